//! Campaigns against a real disk. Processes are killed, stopped and forked, power fails, or disks fill up, while other
//! processes write, edit, import and compact. After each fault, the campaign checks that everything acknowledged is
//! there.
//!
//! ```sh
//! cargo run --release -p stepwell-torture -- kill --minutes 60
//! ```

mod actor;
mod campaign;
mod device;
mod diary;
mod forking;
mod oracle;
mod random;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};

use crate::campaign::{Kind, Outcome, Plan};

/// Ends processes, cuts power and fills disks beneath a workspace, and looks for everything that was acknowledged.
///
/// Exit status: 0 nothing was lost; 1 something was; 3 the campaign itself could not go on.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Processes are killed (SIGKILL) at random and started again.
    Kill(Options),
    /// Processes are stopped (SIGSTOP) at random while the others go on, then continued or killed.
    Stop(Options),
    /// Processes that write fork; parents and children go on and are killed at random.
    Fork(Options),
    /// The power fails: the file system (ext4 and XFS in turn) is shut down. Needs root, xfsprogs and e2fsprogs.
    Power(Options),
    /// The disk promised more than it has, so writes and syncs fail (ext4 and XFS in turn). Needs the same.
    Thin(Options),
    #[command(hide = true)]
    Actor(actor::Orders),
}

#[derive(Debug, Args)]
struct Options {
    /// How long it goes on.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Begins the same way as another campaign with this seed; the order of processes is the machine's.
    #[arg(long)]
    seed: Option<u64>,
    /// Where workspaces are made. Those in which something was lost are kept. Default: a new folder among temporary
    /// files.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Prints the outcome as one JSON document.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let (kind, options) = match Arguments::parse().command {
        Command::Kill(options) => (Kind::Kill, options),
        Command::Stop(options) => (Kind::Stop, options),
        Command::Fork(options) => (Kind::Fork, options),
        Command::Power(options) => (Kind::Power, options),
        Command::Thin(options) => (Kind::Thin, options),
        Command::Actor(orders) => {
            return match actor::act(&orders) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error.to_string()),
            };
        }
    };
    if matches!(kind, Kind::Power | Kind::Thin) {
        match device::enter_own_mounts() {
            Ok(None) => {}
            Ok(Some(code)) => return ExitCode::from(u8::try_from(code).unwrap_or(3)),
            Err(error) => return fail(&error),
        }
    }
    match start(kind, &options) {
        Ok(outcome) => tell(kind, &outcome, options.json),
        Err(error) => fail(&error),
    }
}

fn start(kind: Kind, options: &Options) -> Result<Outcome, String> {
    let dir = match &options.dir {
        Some(dir) => dir.clone(),
        None => tempfile::Builder::new().prefix("stepwell-torture-").tempdir().map_err(|e| e.to_string())?.keep(),
    };
    let seed = options.seed.unwrap_or_else(seed_of_now);
    let time = Duration::try_from_secs_f64(options.minutes * 60.0).map_err(|error| format!("--minutes: {error}"))?;
    let began = Instant::now();
    let mut said = Instant::now();
    let plan = Plan { kind, time, seed, dir };
    campaign::run(&plan, &mut |outcome| {
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            let _ = writeln!(std::io::stderr(), "{:>5} s: {}", began.elapsed().as_secs(), summary(outcome));
        }
    })
}

fn seed_of_now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| u64::from(since.subsec_nanos()))
}

fn summary(outcome: &Outcome) -> String {
    format!(
        "{} rounds, {} faults ({} given up), {} processes, {} points acknowledged, {} failed calls, {} checks, {} \
         violations",
        outcome.rounds,
        outcome.faults,
        outcome.given_up,
        outcome.processes,
        outcome.acknowledged,
        outcome.failed_calls,
        outcome.checks,
        outcome.violations.len()
    )
}

fn tell(kind: Kind, outcome: &Outcome, json: bool) -> ExitCode {
    let sound = outcome.violations.is_empty();
    if sound {
        // Every workspace was sound and is gone; what is left is an empty folder.
        let _ = std::fs::remove_dir(&outcome.dir);
    }
    if json {
        println!("{}", serde_json::to_string_pretty(outcome).expect("an outcome is plain data"));
    } else {
        outcome.violations.iter().for_each(|violation| println!("{violation}"));
        println!("{kind:?}, seed {}: {}", outcome.seed, summary(outcome));
        if !sound {
            println!("The workspaces are kept in {}", outcome.dir.display());
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn fail(error: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "stepwell-torture: {error}");
    ExitCode::from(3)
}
