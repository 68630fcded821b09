//! Real processes on a real disk: writers, readers and compactors of one workspace, killed at random and started again.
//!
//! The test runs its own binary again as a child; what a child is to do stands in its environment. A writer appends one
//! line to a file of its own before each call and one after, so that the parent knows what was attempted and what was
//! acknowledged however the child ended.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use stepwell::maintenance::CompactOptions;
use stepwell::{Error, ExperimentId, NewRun, Options, Point, RunId, RunStatus, TailMode, Workspace};

const ROLE: &str = "STEPWELL_TEST_ROLE";
const DIR: &str = "STEPWELL_TEST_DIR";
const NAME: &str = "STEPWELL_TEST_NAME";
const RUNS: [&str; 3] = ["shared", "b", "c"];

/// Starts this binary again for one role.
fn start(role: &str, dir: &Path, name: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(DIR, dir)
        .env(NAME, name)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// No test of its own: what a child process does.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let dir = PathBuf::from(std::env::var(DIR).unwrap());
    let name = std::env::var(NAME).unwrap();
    match role.as_str() {
        "writer" => write(&dir, &name),
        "reader" => read(&dir),
        "compactor" => compact(&dir),
        "racer" => race(&dir, &name),
        other => panic!("no role {other}"),
    }
}

fn workspace(dir: &Path) -> Workspace {
    // With no grace at all, whatever is replaced goes at once: the hardest case for those who read meanwhile.
    let tail = if dir.ends_with("written") { TailMode::Written } else { TailMode::Auto };
    // Each process has halves of a tail of another size: some are sealed all the time, some never.
    let tail_points = 64 << (std::process::id() % 11);
    Workspace::open_or_create_with(dir.join("w"), Options { tail, tail_points, ..Options::default() }).unwrap()
}

/// A number that only this life of this writer writes.
fn value(life: u64, at: u64) -> f64 {
    (life * 10_000_000 + at) as f64
}

/// Logs until it is killed. `name` is the run and the number of this life.
fn write(dir: &Path, name: &str) {
    let (run, life) = name.split_once('.').unwrap();
    let life: u64 = life.parse().unwrap();
    let mut diary = OpenOptions::new().append(true).create(true).open(dir.join("diaries").join(name)).unwrap();
    let mut note = |mark: char, from: u64, to: u64| {
        diary.write_all(format!("{mark} {from} {to}\n").as_bytes()).unwrap();
    };
    let workspace = workspace(dir);
    let mut writer = workspace.writer(&RunId::new(run).unwrap()).unwrap();
    let loss = writer.metric("loss").unwrap();
    let mut at = 0;
    for turn in 0_u64.. {
        let len = match turn % 7 {
            0 => 40,
            1 => 700,
            _ => 1,
        };
        note('+', at, at + len);
        let steps: Vec<i64> = (at..at + len).map(|at| at as i64).collect();
        let values: Vec<f64> = (at..at + len).map(|at| value(life, at)).collect();
        match turn % 7 {
            0 => {
                let point = |at| (loss, Point { step: at as i64, timestamp_ms: None, value: value(life, at) });
                writer.log_points(&(at..at + len).map(point).collect::<Vec<_>>()).unwrap();
            }
            1 => writer.log_columns(loss, &steps, None, &values).unwrap(),
            _ => writer
                .log_point(loss, Point { step: at as i64, timestamp_ms: Some(1), value: value(life, at) })
                .unwrap(),
        }
        at += len;
        note('=', at, at);
        // Slow enough that kills, not points, are what there are many of.
        std::thread::sleep(Duration::from_micros(300));
        match turn % 50 {
            20 => writer.sync().unwrap(),
            30 => writer.seal().unwrap(),
            40 => writer.set_tag("life", name).unwrap(),
            _ => {}
        }
        if turn == 400 + life % 300 {
            return writer.finish(RunStatus::Finished).unwrap();
        }
    }
}

/// What diaries say: for each run and life how many points were acknowledged, and how many attempted.
fn diaries(dir: &Path) -> BTreeMap<String, BTreeMap<u64, (u64, u64)>> {
    let mut lives: BTreeMap<String, BTreeMap<u64, (u64, u64)>> = BTreeMap::new();
    for entry in std::fs::read_dir(dir.join("diaries")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (run, life) = name.split_once('.').unwrap();
        let (mut acknowledged, mut attempted) = (0, 0);
        let text = std::fs::read_to_string(dir.join("diaries").join(&name)).unwrap();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let mut words = line.split_whitespace();
            let (mark, _, to) = (words.next(), words.next(), words.next());
            let to = to.unwrap().parse().unwrap();
            match mark {
                Some("=") => acknowledged = to,
                _ => attempted = to,
            }
        }
        lives.entry(run.to_owned()).or_default().insert(life.parse().unwrap(), (acknowledged, attempted));
    }
    lives
}

/// Compares what is found now with diaries read before it and after it.
fn look(workspace: &Workspace, dir: &Path) {
    let before = diaries(dir);
    let found: BTreeMap<&str, Vec<f64>> = RUNS
        .into_iter()
        .map(|run| {
            let snapshot = workspace.run(&RunId::new(run).unwrap()).unwrap();
            let known = snapshot.keys().any(|key| key == "loss");
            (run, if known { snapshot.arrivals("loss").unwrap().values } else { Vec::new() })
        })
        .collect();
    let after = diaries(dir);
    for (run, values) in found {
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        for value in values {
            let (life, at) = (value as u64 / 10_000_000, value as u64 % 10_000_000);
            let count = counts.entry(life).or_default();
            assert_eq!(at, *count, "{run}, life {life}: each point once and in order");
            *count += 1;
        }
        for (life, (acknowledged, _)) in before.get(run).into_iter().flatten() {
            let count = counts.get(life).copied().unwrap_or(0);
            assert!(count >= *acknowledged, "{run}, life {life}: {acknowledged} acknowledged, {count} found");
        }
        for (life, count) in counts {
            let attempted = after.get(run).and_then(|lives| lives.get(&life)).map_or(0, |(_, attempted)| *attempted);
            assert!(count <= attempted, "{run}, life {life}: {attempted} attempted, {count} found");
        }
    }
}

fn read(dir: &Path) {
    let mut kept = workspace(dir);
    for turn in 0_u64.. {
        look(&kept, dir);
        if turn % 5 == 4 {
            kept = workspace(dir);
        }
    }
}

fn compact(dir: &Path) {
    let workspace = workspace(dir);
    loop {
        let done = workspace.maintenance().compact(CompactOptions::default()).unwrap();
        assert!(done.skipped.is_empty(), "{done:?}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// A small generator of pseudo-random numbers: what is killed when.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn seconds() -> u64 {
    std::env::var("STEPWELL_KILL_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

#[test]
fn killed_processes_lose_nothing_that_was_acknowledged() {
    if std::env::var(ROLE).is_ok() {
        return;
    }
    for mode in ["auto", "written"] {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join(mode);
        std::fs::create_dir_all(dir.join("diaries")).unwrap();
        let own = workspace(&dir);
        for run in RUNS {
            let new = NewRun { id: Some(RunId::new(run).unwrap()), ..NewRun::default() };
            drop(own.create_run(ExperimentId::DEFAULT, new).unwrap());
        }
        let roles = [
            ("writer", RUNS[0]),
            ("writer", RUNS[0]),
            ("writer", RUNS[1]),
            ("writer", RUNS[2]),
            ("reader", ""),
            ("reader", ""),
            ("compactor", ""),
            ("compactor", ""),
        ];
        let (mut random, mut life, mut kills) = (Random(0x9E37_79B9_7F4A_7C15), 0, 0);
        let mut begin = |role: &(&'static str, &str)| {
            life += 1;
            start(role.0, &dir, &format!("{}.{life}", role.1))
        };
        let mut children: Vec<Child> = roles.iter().map(&mut begin).collect();
        let end = Instant::now() + Duration::from_millis(seconds() * 500);
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5 + random.below(25)));
            let at = random.below(children.len() as u64) as usize;
            for (index, (child, role)) in children.iter_mut().zip(&roles).enumerate() {
                let ended = child.try_wait().unwrap();
                if let Some(status) = ended {
                    assert!(status.success() && role.0 == "writer", "a {} ended by itself: {status}", role.0);
                } else if index == at {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    kills += 1;
                } else {
                    continue;
                }
                *child = begin(role);
            }
            if random.below(8) == 0 {
                look(&own, &dir);
            }
        }
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        look(&workspace(&dir), &dir);
        own.maintenance().compact(CompactOptions::default()).unwrap();
        look(&workspace(&dir), &dir);
        let total: u64 = diaries(&dir).values().flat_map(BTreeMap::values).map(|(acknowledged, _)| acknowledged).sum();
        println!("{mode}: {kills} kills, {life} processes, {total} points acknowledged");
        assert!(total > 0 && kills > 0);
    }
}

/// Creates what another seven processes create at the same moment.
fn race(dir: &Path, name: &str) {
    while !dir.join("go").exists() {
        std::hint::spin_loop();
    }
    let workspace = workspace(dir);
    let mut won = Vec::new();
    match workspace.experiments().create("one") {
        Ok(_) => won.push("experiment"),
        Err(Error::AlreadyExists { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    writer.log_metric("loss", 0, 1.0).unwrap();
    File::create(dir.join(format!("ready.{name}"))).unwrap();
    while !dir.join("run").exists() || (0..8).any(|racer| !dir.join(format!("ready.{racer}")).exists()) {
        std::hint::spin_loop();
    }
    let mut writer = workspace.writer(&RunId::new("shared").unwrap()).unwrap();
    match writer.log_param("lr", name) {
        Ok(()) => won.push("param"),
        Err(Error::ParamConflict { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    std::fs::write(dir.join(format!("won.{name}")), won.join(" ")).unwrap();
}

#[test]
fn of_eight_that_create_the_same_one_wins() {
    if std::env::var(ROLE).is_ok() {
        return;
    }
    for _ in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let mut children: Vec<Child> = (0..8).map(|racer| start("racer", dir, &racer.to_string())).collect();
        std::thread::sleep(Duration::from_millis(50));
        File::create(dir.join("go")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while (0..8).any(|racer| !dir.join(format!("ready.{racer}")).exists()) {
            assert!(Instant::now() < deadline, "the racers are stuck");
            std::thread::sleep(Duration::from_millis(1));
        }
        let workspace = workspace(dir);
        let new = NewRun { id: Some(RunId::new("shared").unwrap()), ..NewRun::default() };
        drop(workspace.create_run(ExperimentId::DEFAULT, new).unwrap());
        File::create(dir.join("run")).unwrap();
        children.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
        let won: Vec<String> =
            (0..8).map(|racer| std::fs::read_to_string(dir.join(format!("won.{racer}"))).unwrap()).collect();
        let winners = |what: &str| (0..8).filter(|&racer| won[racer].contains(what)).collect::<Vec<_>>();
        assert_eq!(winners("experiment").len(), 1, "{won:?}");
        assert_eq!(workspace.experiments().list().unwrap().len(), 2);
        let params = winners("param");
        assert_eq!(params.len(), 1, "{won:?}");
        let run = workspace.run(&RunId::new("shared").unwrap()).unwrap();
        assert_eq!(run.state().param("lr"), Some(params[0].to_string().as_str()));
    }
}
