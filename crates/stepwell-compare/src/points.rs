//! Measures the stores on a workload of points: ingest, settling, bytes, history, latest values, a plot.

use std::path::Path;
use std::time::{Duration, Instant};

use stepwell::Columns;
use stepwell::internals::codec::Effort;

use crate::contender::{Contender, Result, Store};
use crate::meter::{bytes, cost, device_bytes_read, least, make_cold};
use crate::table::Figures;
use crate::work::{Digest, Logged, Work, picture};

/// Pixels of the plots.
const PIXELS: u64 = 2000;

/// How a workload of points is measured.
#[derive(Clone, Copy)]
pub struct Plan {
    /// At most so many repetitions, of which the least cost counts.
    pub repetitions: usize,
    /// A contender is not repeated once it took so long.
    pub patience: Duration,
    /// Whether history and a plot of one series are read.
    pub history: bool,
    /// Whether the latest values of all series are read.
    pub latest: bool,
}

/// Runs all contenders on one workload, taking turns.
pub fn measure(figures: &mut Figures, contenders: &[Contender], work: &Work, plan: Plan, dir: &Path) {
    eprintln!("{}: {}", work.name, work.what);
    figures.note(format!("{}: {}.", work.name, work.what));
    let mut taken = vec![Duration::ZERO; contenders.len()];
    for _ in 0..plan.repetitions {
        for (contender, taken) in contenders.iter().zip(&mut taken) {
            if *taken > plan.patience {
                continue;
            }
            let started = Instant::now();
            let folder = match tempfile::tempdir_in(dir) {
                Ok(folder) => folder,
                Err(error) => return figures.absent(contender.name, error),
            };
            eprintln!("  {}", contender.name);
            let measured = one(figures, contender, work, plan, folder.path());
            if work.runs() > 1 {
                // For minutes ext4 looks at each file that was removed when it makes a new one: removed with all, at
                // the end.
                let _ = folder.keep();
            }
            if let Err(error) = measured {
                figures.absent(contender.name, format!("{} failed: {error}", work.name));
                *taken = Duration::MAX;
                continue;
            }
            *taken += started.elapsed();
        }
    }
}

fn one(figures: &mut Figures, contender: &Contender, work: &Work, plan: Plan, dir: &Path) -> Result<()> {
    let points = work.points() as f64;
    let name = contender.name;
    let open = || (contender.open)(dir, work);

    let ((), ingest) = cost(|| -> Result<()> { open()?.ingest(work) })?;
    figures.add_with_floor(work.name, "ingest, all CPU", "ns/point", ingest_floor(work), name, ingest.cpu_ns / points);
    figures.add(work.name, "ingest, wall", "points/s", name, points / (ingest.wall_ns / 1e9));
    let (lengths, _) = bytes(dir)?;
    figures.add(work.name, "bytes after ingest", "B/point", name, lengths as f64 / points);
    check(&mut *open()?, work)?;
    if name == "stepwell" {
        reads(figures, &mut *open()?, work, plan, name, "before settling")?;
        if work.name != "I2" {
            let codecs = [("fast codecs", Effort::Fast, "≥ 50 M"), ("strong codecs", Effort::Tight, "≥ 5 M")];
            for (of, effort, floor) in codecs {
                let gathering = crate::stores::stepwell::gathering(dir, work, effort)?;
                let floor = if work.name == "I1" { floor } else { "" };
                let rate = points / (gathering.cpu_ns / 1e9);
                figures.add_with_floor(
                    work.name,
                    &format!("gathering with {of}, a core"),
                    "points/s",
                    floor,
                    name,
                    rate,
                );
            }
        }
    }

    let ((), settle) = cost(|| -> Result<()> { open()?.settle(work) })?;
    let floor = if name == "stepwell" && work.name == "I1" { "≤ 200" } else { "" };
    figures.add_with_floor(work.name, "settling, all CPU", "ns/point", floor, name, settle.cpu_ns / points);
    let (lengths, allocated) = bytes(dir)?;
    let floor = if work.name == "I1" { "≤ 2.8" } else { "" };
    figures.add_with_floor(work.name, "bytes settled", "B/point", floor, name, lengths as f64 / points);
    figures.add(work.name, "bytes settled, allocated", "B/point", name, allocated as f64 / points);
    let mut store = open()?;
    check(&mut *store, work)?;
    reads(figures, &mut *store, work, plan, name, "settled")?;
    drop(store);
    if plan.history { cold_reads(figures, &open, work, name, dir) } else { Ok(()) }
}

/// Opens the store and reads one series, and opens it and draws one, with none of its bytes in memory.
fn cold_reads(
    figures: &mut Figures,
    open: &dyn Fn() -> Result<Box<dyn Store>>,
    work: &Work,
    name: &str,
    dir: &Path,
) -> Result<()> {
    let (run, key) = (work.runs() / 2, work.keys() / 2);
    let mut columns = Columns::default();
    for _ in 0..3 {
        for what in ["history of one key", "plot of one key"] {
            make_cold(dir)?;
            let (read_before, started) = (device_bytes_read()?, Instant::now());
            let mut store = open()?;
            if what.starts_with("history") {
                store.history(work, run, key, &mut columns)?;
            } else {
                draw(&mut *store, work, run, key, &mut columns)?;
            }
            let (taken, read) = (started.elapsed(), device_bytes_read()? - read_before);
            let cold = format!("cold: open and {what}");
            figures.add(work.name, &cold, "ms", name, taken.as_secs_f64() * 1e3);
            figures.add(work.name, &format!("{cold}, read from the device"), "KiB", name, read as f64 / 1024.0);
        }
    }
    Ok(())
}

/// Draws a series: by the store's own means, else from its whole history. Points counted, and the greatest value.
fn draw(store: &mut dyn Store, work: &Work, run: u32, key: u32, columns: &mut Columns) -> Result<(u64, f64)> {
    if let Some(counted) = store.plot(work, run, key, PIXELS as usize)? {
        return Ok(counted);
    }
    store.history(work, run, key, columns)?;
    let picture = picture(columns.iter(), u64::from(work.length(run)), PIXELS);
    let greatest = picture.iter().map(|pixel| pixel.4).fold(f64::MIN, f64::max);
    Ok((picture.iter().map(|pixel| pixel.0).sum(), greatest))
}

fn ingest_floor(work: &Work) -> &'static str {
    if work.name == "I1" { "≤ 25; ≥ 4 × under Parquet, ≥ 12 × under SQLite" } else { "" }
}

fn reads(figures: &mut Figures, store: &mut dyn Store, work: &Work, plan: Plan, name: &str, state: &str) -> Result<()> {
    if plan.history {
        let (run, key) = (work.runs() / 2, work.keys() / 2);
        let length = work.length(run);
        let mut columns = Columns::default();
        let history = least(|| store.history(work, run, key, &mut columns))?;
        check_history(&columns, work, run, key, store.keeps_steps())?;
        let floor = if state == "settled" { "≥ 60 M" } else { "≥ 250 M" };
        let rate = f64::from(length) / (history / 1e9);
        figures.add_with_floor(work.name, &format!("history of one key, {state}"), "points/s", floor, name, rate);
        let mut counted = (0, f64::MIN);
        let plot = least(|| -> Result<()> {
            counted = draw(store, work, run, key, &mut columns)?;
            Ok(())
        })?;
        let greatest = (0..length).map(|step| work.point(run, key, step).value).fold(f64::MIN, f64::max);
        if counted != (u64::from(length), greatest) {
            return Err(format!("the plot shows {counted:?}, not {:?}", (length, greatest)).into());
        }
        let what = format!("plot of one key to {PIXELS} px, {state}");
        figures.add_with_floor(work.name, &what, "ms", "≤ 5", name, plot / 1e6);
    }
    if plan.latest {
        let mut found = Vec::new();
        let latest = least(|| -> Result<()> {
            found = store.latest(work)?;
            Ok(())
        })?;
        check_latest(found, work, store.keeps_steps())?;
        let what = format!("latest of {} runs × {} keys, {state}", work.runs(), work.keys());
        let floor = if work.name == "I2" { "≤ 2" } else { "" };
        figures.add_with_floor(work.name, &what, "ms", floor, name, latest / 1e6);
    }
    Ok(())
}

/// Fails unless the store has every point, once, with all its bits.
fn check(store: &mut dyn Store, work: &Work) -> Result<()> {
    let with_steps = store.keeps_steps();
    let mut digest = Digest::new(with_steps);
    store.each(work, &mut |point| digest.add(point))?;
    let wanted = work.digest(with_steps);
    if digest == wanted { Ok(()) } else { Err(format!("wrong points: {digest:?}, not {wanted:?}").into()) }
}

fn check_history(columns: &Columns, work: &Work, run: u32, key: u32, with_steps: bool) -> Result<()> {
    let wrong = (0..work.length(run)).find(|step| {
        let wanted = work.point(run, key, *step);
        columns.get(*step as usize).is_none_or(|point| {
            (with_steps && point.step != wanted.step)
                || point.timestamp_ms != Some(wanted.timestamp)
                || point.value.to_bits() != wanted.value.to_bits()
        })
    });
    match wrong {
        None if columns.len() == work.length(run) as usize => Ok(()),
        _ => Err(format!("a history of {} points is wrong at {wrong:?}", columns.len()).into()),
    }
}

fn check_latest(mut found: Vec<Logged>, work: &Work, with_steps: bool) -> Result<()> {
    found.sort_by_key(|point| (point.run, point.key));
    let mut wanted = crate::stores::all_series(work).map(|(run, key)| work.point(run, key, work.length(run) - 1));
    let equal = |point: &Logged, wanted: Logged| {
        (point.run, point.key, point.timestamp, point.value.to_bits())
            == (wanted.run, wanted.key, wanted.timestamp, wanted.value.to_bits())
            && (!with_steps || point.step == wanted.step)
    };
    let all = found.iter().all(|point| wanted.next().is_some_and(|wanted| equal(point, wanted)));
    if all && wanted.next().is_none() { Ok(()) } else { Err("the latest values are wrong".into()) }
}
