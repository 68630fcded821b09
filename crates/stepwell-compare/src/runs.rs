//! Many runs of one point a series: storing them, their bytes, opening, and a filtered and ordered search.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rusqlite::Connection;
use stepwell::import::RunImport;
use stepwell::query::Query;
use stepwell::{Columns, ExperimentId, Point, Workspace};

use crate::contender::Result;
use crate::limits::LIMIT;
use crate::meter::{anonymous_bytes, bytes, cost, device_bytes_read, least, make_cold};
use crate::stores::stepwell::run_id;
use crate::support::Noise;
use crate::table::Figures;

const WORK: &str = "R";
const SQLITE: &str = "sqlite pk";
const FILTER: &str = "metrics.m1 < 0.1 and params.p1 = '3'";
const ORDER: [&str; 1] = ["metrics.m2 DESC"];
/// Runs of a page.
const PAGE: usize = 100;
/// Params and metrics of a run, each.
const KEYS: usize = 5;

/// What a run of the corpus holds.
#[derive(Clone, Copy)]
struct Row {
    params: [u8; KEYS],
    metrics: [f64; KEYS],
    start_ms: i64,
}

fn corpus(runs: usize) -> Vec<Row> {
    let mut noise = Noise(7);
    let row = |at: usize| Row {
        params: std::array::from_fn(|_| (noise.next() % 10) as u8),
        metrics: std::array::from_fn(|_| noise.unit()),
        start_ms: 1_760_000_000_000 + at as i64 * 1000,
    };
    (0..runs).map(row).collect()
}

fn tags(at: usize) -> Vec<(String, String)> {
    vec![
        ("mlflow.runName".to_owned(), format!("clever-name-{}", at % 5000)),
        ("mlflow.user".to_owned(), format!("user{}", at % 7)),
        ("mlflow.source.name".to_owned(), format!("train_{}.py", at % 3)),
    ]
}

/// Numbers of the runs that the search finds, in order, by a plain loop over bare columns.
fn scan(params: &[u8], metric: &[f64], order: &[f64]) -> Vec<u32> {
    let mut found: Vec<u32> =
        (0..params.len() as u32).filter(|at| metric[*at as usize] < 0.1 && params[*at as usize] == 3).collect();
    found.sort_by(|a, b| order[*b as usize].total_cmp(&order[*a as usize]));
    found
}

/// Runs all of it.
pub fn measure(figures: &mut Figures, runs: usize, dir: &Path, stepwell: bool, sqlite: bool) {
    eprintln!("{WORK}: {runs} runs");
    figures.note(format!(
        "{WORK}: {runs} runs with 5 params, 5 metrics of one point, 3 tags; `{FILTER}`, ordered by `{}`, first {PAGE}.",
        ORDER[0]
    ));
    let rows = corpus(runs);
    let (params, metric, order): (Vec<u8>, Vec<f64>, Vec<f64>) = (
        rows.iter().map(|row| row.params[1]).collect(),
        rows.iter().map(|row| row.metrics[1]).collect(),
        rows.iter().map(|row| row.metrics[2]).collect(),
    );
    let wanted = scan(&params, &metric, &order);
    let bare = least(|| {
        black_box(scan(black_box(&params), black_box(&metric), black_box(&order)));
        Ok::<(), std::convert::Infallible>(())
    });
    let Ok(bare) = bare;
    figures.add_with_floor(WORK, "search, warm", "ms", "≤ 15 at 10^6 runs", LIMIT, bare / 1e6);
    if stepwell && let Err(error) = in_stepwell(figures, &rows, &wanted, dir) {
        figures.absent("stepwell", format!("{WORK} failed: {error}"));
    }
    if sqlite && let Err(error) = in_sqlite(figures, &rows, &wanted, dir) {
        figures.absent(SQLITE, format!("{WORK} failed: {error}"));
    }
}

fn fill(root: &Path, rows: &[Row], with_metrics: bool) -> Result<Workspace> {
    let workspace = Workspace::open_or_create(root)?;
    let mut importer = workspace.importer();
    for (at, row) in rows.iter().enumerate() {
        let point = |value| -> Columns {
            [Point { step: 100, timestamp_ms: Some(row.start_ms + 60_000), value }].into_iter().collect()
        };
        let series = row.metrics.iter().enumerate().map(|(key, value)| (format!("m{key}"), point(*value)));
        importer.add(RunImport {
            name: format!("clever-name-{}", at % 5000),
            user: format!("user{}", at % 7),
            start_time_ms: Some(row.start_ms),
            end_time_ms: Some(row.start_ms + 120_000),
            params: row.params.iter().enumerate().map(|(key, value)| (format!("p{key}"), value.to_string())).collect(),
            tags: tags(at),
            series: if with_metrics { series.collect() } else { Vec::new() },
            ..RunImport::new(run_id(at as u32), ExperimentId::DEFAULT)
        })?;
    }
    importer.finish()?;
    Ok(workspace)
}

fn query() -> Result<Query> {
    Ok(Query { max_results: PAGE, ..Query::parse(FILTER, &ORDER)? })
}

fn in_stepwell(figures: &mut Figures, rows: &[Row], wanted: &[u32], dir: &Path) -> Result<()> {
    let runs = rows.len() as f64;
    let root = dir.join("runs");
    let (workspace, filled) = cost(|| fill(&root, rows, true))?;
    figures.add(WORK, "storing, all CPU", "µs/run", "stepwell", filled.cpu_ns / runs / 1e3);
    let (total, _) = bytes(&root)?;
    figures.add(WORK, "bytes", "B/run", "stepwell", total as f64 / runs);
    let without = dir.join("runs-without-metrics");
    drop(fill(&without, rows, false)?);
    let (bare, _) = bytes(&without)?;
    std::fs::remove_dir_all(&without)?;
    let each = (total - bare) as f64 / runs / KEYS as f64;
    figures.add_with_floor(WORK, "bytes that a one-point series adds", "B/series", "≤ 12", "stepwell", each);

    let mut list = workspace.search(&query()?)?;
    let warm = least(|| -> Result<()> {
        list = workspace.search(&query()?)?;
        black_box(list.rows()?);
        Ok(())
    })?;
    let found: Vec<_> = list.rows()?.into_iter().map(|row| row.run_id).collect();
    let first: Vec<_> = wanted.iter().take(PAGE).map(|at| run_id(*at)).collect();
    if found != first || list.total != wanted.len() {
        return Err(format!("the search finds {} runs, not {}", list.total, wanted.len()).into());
    }
    figures.add_with_floor(WORK, "search, warm", "ms", "≤ 15 at 10^6 runs", "stepwell", warm / 1e6);
    drop(workspace);
    for repetition in 0..6 {
        let cold = repetition % 2 == 1;
        if cold {
            make_cold(&root)?;
        }
        let probe = probe(&root)?;
        let of = |what: &str| probe.get(what).copied().ok_or_else(|| format!("a child told no {what}"));
        if cold {
            figures.add(WORK, "cold: open in a new process", "ms", "stepwell", of("open_ns")? / 1e6);
            figures.add(WORK, "cold: open and first search", "ms", "stepwell", of("searched_ns")? / 1e6);
            let what = "cold: open and first search, read from the device";
            figures.add(WORK, what, "KiB", "stepwell", of("device_bytes")? / 1024.0);
            continue;
        }
        let floor = "≤ 250 at 10^6 runs";
        figures.add_with_floor(WORK, "open in a new process", "ms", floor, "stepwell", of("open_ns")? / 1e6);
        figures.add(WORK, "open and first search", "ms", "stepwell", of("searched_ns")? / 1e6);
        let floor = "≤ 300";
        figures.add_with_floor(WORK, "heap after that", "B/run", floor, "stepwell", of("heap_bytes")? / runs);
    }
    Ok(())
}

/// What a child process tells of opening and searching a workspace.
fn probe(root: &Path) -> Result<BTreeMap<String, f64>> {
    let output = Command::new(std::env::current_exe()?).arg("child-open").arg(root).output()?;
    if !output.status.success() {
        return Err(format!("a child failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let words = text.lines().filter_map(|line| line.split_once(' '));
    Ok(words.filter_map(|(name, number)| Some((name.to_owned(), number.parse().ok()?))).collect())
}

/// What the child does: opens the workspace, searches once, tells what it took.
pub fn child_open(root: &Path) -> Result<()> {
    let (before, read_before) = (anonymous_bytes()?, device_bytes_read()?);
    let started = Instant::now();
    let workspace = Workspace::open(root)?;
    let run = workspace.find_run(&run_id(0))?;
    let open = started.elapsed().as_nanos();
    let found = workspace.search(&query()?)?;
    let searched = started.elapsed().as_nanos();
    if run.is_none() || found.rows()?.is_empty() {
        return Err("the workspace is not what was stored".into());
    }
    let (heap, read) = (anonymous_bytes()?.saturating_sub(before), device_bytes_read()? - read_before);
    println!("open_ns {open}\nsearched_ns {searched}\nheap_bytes {heap}\ndevice_bytes {read}");
    Ok(())
}

const SCHEMA: &str = "
    CREATE TABLE runs (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, name TEXT, user TEXT, status INTEGER,
                       start_ms INTEGER, end_ms INTEGER);
    CREATE TABLE params (key TEXT, run INTEGER, value TEXT, PRIMARY KEY (key, run)) WITHOUT ROWID;
    CREATE TABLE tags (key TEXT, run INTEGER, value TEXT, PRIMARY KEY (key, run)) WITHOUT ROWID;
    CREATE TABLE latest (key TEXT, run INTEGER, value REAL, step INTEGER, timestamp INTEGER, PRIMARY KEY (key, run))
        WITHOUT ROWID;";

const SEARCH: &str = "
    SELECT a.run FROM latest a JOIN params p ON p.key = 'p1' AND p.run = a.run JOIN latest o ON o.key = 'm2' AND o.run = a.run
    WHERE a.key = 'm1' AND a.value < 0.1 AND p.value = '3' ORDER BY o.value DESC LIMIT 100";

fn fill_sqlite(path: &Path, rows: &[Row]) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.execute_batch(SCHEMA)?;
    {
        let mut run = connection.prepare("INSERT INTO runs VALUES (?1, ?2, ?3, ?4, 3, ?5, ?6)")?;
        let mut param = connection.prepare("INSERT INTO params VALUES (?1, ?2, ?3)")?;
        let mut tag = connection.prepare("INSERT INTO tags VALUES (?1, ?2, ?3)")?;
        let mut latest = connection.prepare("INSERT INTO latest VALUES (?1, ?2, ?3, 100, ?4)")?;
        for (chunk, rows) in rows.chunks(1000).enumerate() {
            connection.execute_batch("BEGIN")?;
            for (at, row) in rows.iter().enumerate().map(|(at, row)| (chunk * 1000 + at, row)) {
                let (name, user) = (format!("clever-name-{}", at % 5000), format!("user{}", at % 7));
                let id = run_id(at as u32);
                run.execute((at as i64, id.as_str(), name, user, row.start_ms, row.start_ms + 120_000))?;
                for (key, value) in row.params.iter().enumerate() {
                    param.execute((format!("p{key}"), at as i64, value.to_string()))?;
                }
                for (key, value) in tags(at) {
                    tag.execute((key, at as i64, value))?;
                }
                for (key, value) in row.metrics.iter().enumerate() {
                    latest.execute((format!("m{key}"), at as i64, value, row.start_ms + 60_000))?;
                }
            }
            connection.execute_batch("COMMIT")?;
        }
    }
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(connection)
}

fn in_sqlite(figures: &mut Figures, rows: &[Row], wanted: &[u32], dir: &Path) -> Result<()> {
    let runs = rows.len() as f64;
    let folder = dir.join("runs-sqlite");
    std::fs::create_dir(&folder)?;
    let path = folder.join("runs.db");
    let (connection, filled) = cost(|| fill_sqlite(&path, rows))?;
    figures.add(WORK, "storing, all CPU", "µs/run", SQLITE, filled.cpu_ns / runs / 1e3);
    figures.add(WORK, "bytes", "B/run", SQLITE, bytes(&folder)?.0 as f64 / runs);
    let mut found: Vec<u32> = Vec::new();
    let warm = least(|| -> Result<()> {
        found = connection.prepare_cached(SEARCH)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(())
    })?;
    if found != wanted[..wanted.len().min(PAGE)] {
        return Err("the search finds other runs".into());
    }
    figures.add(WORK, "search, warm", "ms", SQLITE, warm / 1e6);
    drop(connection);
    let opened = least(|| -> Result<()> {
        let connection = Connection::open(&path)?;
        let count: i64 = connection.query_row("SELECT count(*) FROM runs WHERE id = 0", [], |row| row.get(0))?;
        if count == 1 { Ok(()) } else { Err("a run is missing".into()) }
    })?;
    figures.add(WORK, "open in a new process", "ms", SQLITE, opened / 1e6);
    for _ in 0..3 {
        make_cold(&folder)?;
        let (read_before, started) = (device_bytes_read()?, Instant::now());
        let connection = Connection::open(&path)?;
        found = connection.prepare(SEARCH)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let (taken, read) = (started.elapsed(), device_bytes_read()? - read_before);
        if found != wanted[..wanted.len().min(PAGE)] {
            return Err("the search finds other runs".into());
        }
        let what = "cold: open and first search";
        figures.add(WORK, what, "ms", SQLITE, taken.as_secs_f64() * 1e3);
        figures.add(WORK, &format!("{what}, read from the device"), "KiB", SQLITE, read as f64 / 1024.0);
    }
    Ok(())
}
