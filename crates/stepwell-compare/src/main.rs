//! The arena: the same work through Stepwell and its rivals in one process run, and one table of what it cost.

mod contender;
mod device;
mod latency;
mod limits;
mod machine;
mod memory;
mod meter;
mod points;
mod processes;
mod real;
mod runs;
mod stores;
#[path = "../../../benches/support/mod.rs"]
mod support;
mod table;
mod work;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use contender::{Result, contenders, not_compiled};
use points::Plan;
use table::Figures;
use work::Work;

/// The same work through Stepwell and its rivals, in one process run.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Points of I1, I2, K and H, each.
    #[arg(long, default_value_t = 1_000_000)]
    points: usize,
    /// Runs of the searches.
    #[arg(long, default_value_t = 20_000)]
    runs: usize,
    /// Multiplies all sizes.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Repetitions of each measure, of which the least cost counts.
    #[arg(long, default_value_t = 2)]
    repetitions: usize,
    /// Only these works (I1, I2, K, H, R, P, L, D, M, logs).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only contenders whose names begin so.
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<String>,
    /// The folder for the stores, on the file system to measure; a temporary one otherwise.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// Write a record (Markdown) into this folder, such as `benches/records`.
    #[arg(long)]
    record: Option<PathBuf>,
    #[command(subcommand)]
    child: Option<Child>,
}

/// What the arena runs in processes of its own.
#[derive(Subcommand)]
enum Child {
    /// Logs a run, as one of several processes.
    #[command(name = "child-log", hide = true)]
    Log { store: String, folder: PathBuf, index: u32, points: usize },
    /// Opens a workspace and searches it.
    #[command(name = "child-open", hide = true)]
    Open { root: PathBuf },
    /// Logs a run of so many keys, and tells what memory that took.
    #[command(name = "child-memory", hide = true)]
    Memory { root: PathBuf, keys: usize, points: usize },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match &arguments.child {
        Some(Child::Log { store, folder, index, points }) => {
            return processes::child_log(store, folder, *index, *points);
        }
        Some(Child::Open { root }) => return runs::child_open(root),
        Some(Child::Memory { root, keys, points }) => return memory::child(root, *keys, *points),
        None => {}
    }
    let temporary = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let dir = temporary.path();
    let wanted = |work: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == work);
    let chosen = |name: &str| {
        arguments.contenders.is_empty() || arguments.contenders.iter().any(|prefix| name.starts_with(prefix.as_str()))
    };
    let points = (arguments.points as f64 * arguments.scale) as usize;
    let mut figures = Figures::default();
    let mut rivals = contenders();
    for contender in &rivals {
        if chosen(contender.name) {
            figures.contender(contender.name);
        } else {
            figures.absent(contender.name, "not chosen on the command line");
        }
    }
    rivals.retain(|contender| chosen(contender.name));
    for (name, why) in not_compiled() {
        figures.absent(name, why);
    }
    let plan =
        Plan { repetitions: arguments.repetitions, patience: Duration::from_secs(5), history: false, latest: false };
    if wanted("I1") {
        let work = Work::one_run(points);
        limits::measure(&mut figures, &work, dir)?;
        points::measure(&mut figures, &rivals, &work, plan, dir);
        for repetition in 0..if chosen("stepwell") { arguments.repetitions } else { 0 } {
            let cost = stores::stepwell::ingest_columns(&dir.join(repetition.to_string()), &work)?;
            let cost = cost.cpu_ns / work.points() as f64;
            figures.add_with_floor("I1", "ingest as columns, all CPU", "ns/point", "≤ 22", "stepwell", cost);
        }
    }
    if wanted("I2") {
        let work = Work::many_runs(1000, points);
        limits::making(&mut figures, &work);
        points::measure(&mut figures, &rivals, &work, Plan { latest: true, ..plan }, dir);
    }
    if wanted("K") {
        let work = Work::many_keys(points / 10, points);
        limits::making(&mut figures, &work);
        points::measure(&mut figures, &rivals, &work, Plan { latest: true, ..plan }, dir);
    }
    if wanted("H") {
        let work = Work::one_series(points);
        limits::columns(&mut figures, &work);
        points::measure(&mut figures, &rivals, &work, Plan { history: true, ..plan }, dir);
    }
    let (stepwell, sqlite) = (chosen("stepwell"), chosen("sqlite"));
    if wanted("R") {
        runs::measure(&mut figures, (arguments.runs as f64 * arguments.scale) as usize, dir, stepwell, sqlite);
    }
    if wanted("P") {
        let stores: Vec<&str> = [("stepwell", stepwell), ("sqlite rowid", sqlite), (limits::LIMIT, true)]
            .iter()
            .filter_map(|(name, on)| on.then_some(*name))
            .collect();
        processes::measure(&mut figures, points / 2, arguments.repetitions, dir, &stores);
    }
    if wanted("L") && stepwell {
        latency::measure(&mut figures, points * 10, dir)?;
    }
    if wanted("D") && stepwell {
        device::measure(&mut figures, dir)?;
    }
    if wanted("M") && stepwell {
        memory::measure(&mut figures, dir)?;
    }
    if wanted("logs") && stepwell {
        let folder = std::env::var_os("STEPWELL_REAL_LOGS").map(PathBuf::from);
        real::measure(&mut figures, folder.as_deref(), dir)?;
    }
    for contender in &rivals {
        figures.note(format!("{}: {}.", contender.name, contender.what));
    }
    machine::publish(&figures, arguments.json, arguments.record.as_deref())
}
