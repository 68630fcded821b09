//! The arena: the same work through Stepwell and its rivals in one process run, and one table of what it cost.

mod contender;
mod limits;
mod machine;
mod meter;
mod points;
mod stores;
#[path = "../../../benches/support/mod.rs"]
mod support;
mod table;
mod work;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

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
    /// Only these works (I1, I2, K, H, R, P, L, D, logs).
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
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
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
    for contender in &rivals {
        figures.note(format!("{}: {}.", contender.name, contender.what));
    }
    machine::publish(&figures, arguments.json, arguments.record.as_deref())
}
