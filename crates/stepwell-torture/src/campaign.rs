//! One campaign: rounds of actors that are ended by a fault, each followed by a look at what they left.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use stepwell::maintenance::CompactOptions;
use stepwell::{ExperimentId, NewRun, Options, RunId, Workspace};

use crate::actor::{LIVES, Role};
use crate::device::{Device, FileSystem};
use crate::diary::now_ns;
use crate::oracle::{Fault, Round, Settled};
use crate::random::Random;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Processes are killed (SIGKILL) at random and started again.
    Kill,
    /// Processes are stopped (SIGSTOP) at random, for as long as the others like, then continued or killed.
    Stop,
    /// Processes that write fork; parents and children go on, and are killed at random.
    Fork,
    /// The power fails: the file system is shut down beneath the processes. Needs root, xfsprogs, e2fsprogs.
    Power,
    /// The disk promised more than it has: writes and syncs fail. Needs root, xfsprogs, e2fsprogs.
    Thin,
}

/// What a campaign is told.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) time: Duration,
    pub(crate) seed: u64,
    pub(crate) dir: PathBuf,
}

/// What a campaign came to.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    /// Times that all actors were ended and what they left was looked at.
    pub(crate) rounds: u64,
    /// Faults: kills, stops, power losses, full disks.
    pub(crate) faults: u64,
    /// Processes that were started.
    pub(crate) processes: u64,
    /// Faults after which nothing could be checked, because the file system was damaged beyond what its checker repairs
    /// unasked.
    pub(crate) given_up: u64,
    /// Points that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Calls that answered an error, as they may while a disk fails.
    pub(crate) failed_calls: u64,
    /// Comparisons that were made.
    pub(crate) checks: u64,
    /// What was wrong, with the round.
    pub(crate) violations: Vec<String>,
    /// The seed, to begin the same way again.
    pub(crate) seed: u64,
    /// The folder, kept when something was wrong.
    pub(crate) dir: PathBuf,
}

/// Rounds that one workspace lives.
const ROUNDS_A_WORKSPACE: u64 = 25;
/// Size of disks that fail, or the size that they claim; XFS needs at least 300.
const DISK_MEGABYTES: u64 = 320;
/// Runs that several actors write to.
const SHARED: [&str; 3] = ["shared", "b", "c"];
/// Violations after which a campaign ends: one fault often shows many times.
const VIOLATIONS_MAX: usize = 40;

const CAST: [(Role, &str); 9] = [
    (Role::Writer, SHARED[0]),
    (Role::Writer, SHARED[0]),
    (Role::Maintained, SHARED[1]),
    (Role::Session, SHARED[0]),
    (Role::Editor, SHARED[0]),
    (Role::Editor, SHARED[1]),
    (Role::Importer, SHARED[0]),
    (Role::Compactor, SHARED[0]),
    (Role::Compactor, SHARED[0]),
];

const FORKING_CAST: [(Role, &str); 6] = [
    (Role::Forker, SHARED[0]),
    (Role::Forker, SHARED[0]),
    (Role::Forker, SHARED[1]),
    (Role::Editor, SHARED[0]),
    (Role::Session, SHARED[0]),
    (Role::Compactor, SHARED[0]),
];

/// Runs a campaign. `tell` hears of each round.
///
/// # Errors
/// What kept the campaign itself from going on, as text. Faults of the store are violations, not errors.
pub(crate) fn run(plan: &Plan, tell: &mut dyn FnMut(&Outcome)) -> Result<Outcome, String> {
    let mut outcome = Outcome { seed: plan.seed, dir: plan.dir.clone(), ..Outcome::default() };
    let mut random = Random::new(plan.seed);
    let end = Instant::now() + plan.time;
    let mut place = 0;
    while Instant::now() < end && outcome.violations.len() < VIOLATIONS_MAX {
        let dir = plan.dir.join(format!("{place:05}"));
        std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let file_system = if place % 2 == 0 { FileSystem::Ext4 } else { FileSystem::Xfs };
        let device = match plan.kind {
            Kind::Power => Some(Device::create(&dir, file_system, DISK_MEGABYTES)?),
            Kind::Thin => Some(Device::create_thin(&dir, file_system, DISK_MEGABYTES, 2 + random.below(14))?),
            Kind::Kill | Kind::Stop | Kind::Fork => None,
        };
        let mut life = Life {
            plan,
            workspace: device.as_ref().map_or(dir.as_path(), |device| &device.mount).join("w"),
            dir: &dir,
            device: device.as_ref(),
            settled: Settled::default(),
            next: 1,
        };
        let rounds = if plan.kind == Kind::Thin { 1 } else { ROUNDS_A_WORKSPACE };
        let before = outcome.violations.len();
        life.begin()?;
        for round in 0..rounds {
            life.round(round, &mut random, &mut outcome)?;
            tell(&outcome);
            if Instant::now() >= end || outcome.violations.len() > before {
                break;
            }
        }
        drop(device);
        if outcome.violations.len() == before {
            std::fs::remove_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        place += 1;
    }
    Ok(outcome)
}

/// The life of one workspace.
struct Life<'a> {
    plan: &'a Plan,
    workspace: PathBuf,
    dir: &'a Path,
    device: Option<&'a Device>,
    settled: Settled,
    /// The next actor's first life.
    next: u64,
}

impl Life<'_> {
    fn begin(&self) -> Result<(), String> {
        let create = || -> stepwell::Result<()> {
            let workspace = self.open()?;
            for run in SHARED {
                let new = NewRun { id: Some(RunId::new(run)?), ..NewRun::default() };
                workspace.create_run(ExperimentId::DEFAULT, new)?.close()?;
            }
            Ok(())
        };
        create().map_err(|error| format!("the workspace could not be made: {error}"))
    }

    fn open(&self) -> stepwell::Result<Workspace> {
        Workspace::open_or_create_with(&self.workspace, Options { grace_ms: 0, ..Options::default() })
    }

    fn start(&mut self, cast: (Role, &str), diaries: &Path, round: u64) -> Result<Child, String> {
        let (role, run) = cast;
        let life = self.next;
        self.next += LIVES;
        let errors =
            std::fs::File::create(diaries.with_extension(format!("{life}.stderr"))).map_err(|e| e.to_string())?;
        let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
        command.arg("actor");
        command.args(["--role", role.to_possible_value().expect("no role is hidden").get_name(), "--run", run]);
        command.arg("--workspace").arg(&self.workspace).arg("--diaries").arg(diaries);
        command.args(["--life", &life.to_string(), "--round", &round.to_string()]);
        if self.device.is_some() {
            command.arg("--failing");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        command.spawn().map_err(|error| format!("an actor could not be started: {error}"))
    }

    fn round(&mut self, round: u64, random: &mut Random, outcome: &mut Outcome) -> Result<(), String> {
        let diaries = self.dir.join(format!("round-{round}"));
        std::fs::create_dir_all(&diaries).map_err(|error| error.to_string())?;
        let cast: &[(Role, &str)] = if self.plan.kind == Kind::Fork { &FORKING_CAST } else { &CAST };
        let mut actors = Vec::new();
        for &role in cast {
            actors.push(self.start(role, &diaries, round)?);
            outcome.processes += 1;
        }
        let mut over_ns = u64::MAX;
        match self.plan.kind {
            Kind::Kill | Kind::Fork => self.kill_some(cast, &mut actors, &diaries, round, random, outcome)?,
            Kind::Stop => self.stop_some(&mut actors, random, outcome),
            Kind::Power => {
                std::thread::sleep(Duration::from_millis(60 + random.below(700)));
                over_ns = now_ns();
                self.device.expect("power is cut from a device").cut_power()?;
                outcome.faults += 1;
            }
            Kind::Thin => {
                std::thread::sleep(Duration::from_secs(3 + random.below(4)));
                outcome.faults += 1;
            }
        }
        for actor in &mut actors {
            // One that ended by itself is gone; what it did is in its diary.
            let _ = actor.kill();
            let _ = actor.wait();
        }
        if self.plan.kind == Kind::Fork {
            end_orphans(&diaries)?;
        }
        if let Some(device) = self.device {
            device.give_room(2 * DISK_MEGABYTES)?;
            if !device.remount()? {
                outcome.given_up += 1;
                return Ok(());
            }
        }
        self.look(round, &diaries, over_ns, outcome)?;
        Ok(())
    }

    fn kill_some(
        &mut self,
        cast: &[(Role, &str)],
        actors: &mut [Child],
        diaries: &Path,
        round: u64,
        random: &mut Random,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(5 + random.below(40)));
            let at = random.below(actors.len() as u64) as usize;
            let _ = actors[at].kill();
            let _ = actors[at].wait();
            actors[at] = self.start(cast[at], diaries, round)?;
            outcome.faults += 1;
            outcome.processes += 1;
        }
        Ok(())
    }

    fn stop_some(&self, actors: &mut [Child], random: &mut Random, outcome: &mut Outcome) {
        let mut stopped = vec![false; actors.len()];
        for _ in 0..30 {
            std::thread::sleep(Duration::from_millis(2 + random.below(30)));
            let at = random.below(actors.len() as u64) as usize;
            // One that ended by itself takes no signal.
            let signal = if stopped[at] { Signal::SIGCONT } else { Signal::SIGSTOP };
            if kill(Pid::from_raw(actors[at].id() as i32), signal).is_ok() {
                stopped[at] = !stopped[at];
                outcome.faults += 1;
            }
        }
        // Half of those that are stopped go on among all the others' work, the rest never do.
        for (at, actor) in actors.iter().enumerate().filter(|(at, _)| stopped[*at]) {
            if at % 2 == 0 {
                let _ = kill(Pid::from_raw(actor.id() as i32), Signal::SIGCONT);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }

    /// Looks for all that was acknowledged before the moment `over_ns`.
    fn look(&mut self, number: u64, diaries: &Path, over_ns: u64, outcome: &mut Outcome) -> Result<(), String> {
        let round = Round::read(diaries, over_ns).map_err(|error| format!("diaries: {error}"))?;
        let place = self.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut wrong: Vec<String> = Vec::new();
        outcome.failed_calls += round.failures().len() as u64;
        let fault = if self.device.is_some() { Fault::Machine } else { Fault::Process };
        if self.device.is_none() {
            wrong.extend(round.failures().iter().map(|failure| format!("a call failed: {failure}")));
        }
        match self.open().and_then(|workspace| {
            let look = round.check(&workspace, &mut self.settled, fault)?;
            let report = workspace.maintenance().verify()?;
            Ok((workspace, look, report))
        }) {
            Ok((workspace, look, report)) => {
                outcome.checks += look.checks + 1;
                outcome.acknowledged += look.acknowledged;
                wrong.extend(look.violations);
                wrong.extend(report.damage.iter().map(|damage| format!("verify: {damage:?}")));
                // All that is left is packed, and must be the same after.
                if number % 3 == 2 && wrong.is_empty() {
                    let again = workspace.maintenance().compact(CompactOptions::default());
                    match again.and_then(|_| Round::default().check(&workspace, &mut self.settled, Fault::Process)) {
                        Ok(look) => {
                            outcome.checks += look.checks;
                            wrong.extend(look.violations.into_iter().map(|what| format!("after compaction: {what}")));
                        }
                        Err(error) => wrong.push(format!("after compaction: {error}")),
                    }
                }
            }
            Err(error) => wrong.push(format!("the workspace does not read: {error}")),
        }
        outcome.rounds += 1;
        let named = wrong.into_iter().map(|what| format!("workspace {place}, round {number}: {what}"));
        outcome.violations.extend(named);
        Ok(())
    }
}

/// Kills children that forked actors left: they name the folder of diaries in their command line.
fn end_orphans(diaries: &Path) -> Result<(), String> {
    let needle = diaries.to_str().expect("folders of campaigns have plain names").as_bytes();
    loop {
        let mut found = false;
        for entry in std::fs::read_dir("/proc").map_err(|error| error.to_string())?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let ours = line.split(|&byte| byte == 0).any(|part| part == needle);
            if ours && pid != std::process::id() as i32 {
                found = true;
                // A process that ended meanwhile takes no signal.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        if !found {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
