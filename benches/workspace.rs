//! A workspace of 10^5 runs (5 params, 5 one-point metrics, 3 tags each): import, open, search, latest of all; each
//! answer is verified.
//!
//! `cargo bench --bench workspace [-- RUNS]` prints one table, with processor time and wall time: the least of some
//! rounds.

mod support;

use std::path::Path;
use std::time::Instant;

use stepwell::import::RunImport;
use stepwell::maintenance::CompactOptions;
use stepwell::query::Query;
use stepwell::{ExperimentId, NewRun, Point, RunId, RunStatus, Workspace};
use support::{Noise, cpu_ns, workspace};

const FILTER: &str = "metrics.m1 < 0.1 and params.p1 = '3'";

/// One run, the same in each round.
fn run(number: u64) -> RunImport {
    let mut noise = Noise(number);
    let start = 1_760_000_000_000 + (noise.next() % 10_000_000_000) as i64;
    let metric = |noise: &mut Noise, key: u64| {
        let point = Point { step: 0, timestamp_ms: Some(start + 1000), value: f64::from(noise.unit() as f32) };
        (format!("m{key}"), [point].into_iter().collect())
    };
    RunImport {
        name: format!("clever-name-{}", number % 5000),
        user: format!("user{}", number % 7),
        start_time_ms: Some(start),
        end_time_ms: Some(start + 120_000),
        params: (0..5).map(|key| (format!("p{key}"), (noise.next() % 10).to_string())).collect(),
        tags: vec![
            ("mlflow.runName".into(), format!("clever-name-{}", number % 5000)),
            ("mlflow.user".into(), format!("user{}", number % 7)),
            ("mlflow.source.name".into(), format!("train_{}.py", number % 3)),
        ],
        series: (0..5).map(|key| metric(&mut noise, key)).collect(),
        ..RunImport::new(
            RunId::new(format!("{:016x}{:016x}", noise.next(), noise.next())).unwrap(),
            ExperimentId::DEFAULT,
        )
    }
}

/// The least processor and wall time of some rounds, in milliseconds.
fn least<T>(rounds: usize, mut work: impl FnMut() -> T) -> (f64, f64) {
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..rounds {
        let (cpu, wall) = (cpu_ns(), Instant::now());
        let result = work();
        best.0 = best.0.min((cpu_ns() - cpu) as f64 / 1e6);
        best.1 = best.1.min(wall.elapsed().as_secs_f64() * 1e3);
        drop(result);
    }
    best
}

/// Memory of this process that is neither a file's nor shared, in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|text| text.parse::<f64>().ok()).unwrap_or(f64::NAN) * 1024.0
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let count = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(100_000_u64);
    if let Some(root) = arguments.iter().find(|argument| argument.starts_with('/')) {
        return read(Path::new(root), count);
    }
    println!("{count} runs, 5 params, 5 metrics of one point, 3 tags each\n");
    let (_dir, store) = workspace();
    let root = store.root().to_owned();
    let imported = least(1, || {
        let mut importer = store.importer();
        (0..count).for_each(|number| _ = importer.add(run(number)).unwrap());
        importer.finish().unwrap();
        store.maintenance().compact(CompactOptions::default()).unwrap();
    });
    row("import and compact", imported, format!("{:.1} µs a run", imported.0 * 1e3 / count as f64));
    let usage = store.maintenance().usage().unwrap();
    assert_eq!((usage.runs, usage.points), (count, 5 * count));
    println!("{:<56} {:.1} bytes a run, {} files", "on disk", usage.bytes_on_disk as f64 / count as f64, usage.files);
    drop(store);
    let (_bare_dir, bare) = workspace();
    let mut importer = bare.importer();
    (0..count).for_each(|number| _ = importer.add(RunImport { series: Vec::new(), ..run(number) }).unwrap());
    importer.finish().unwrap();
    bare.maintenance().compact(CompactOptions::default()).unwrap();
    let each = (usage.bytes_on_disk - bare.maintenance().usage().unwrap().bytes_on_disk) as f64 / (5 * count) as f64;
    println!("{:<56} {each:.2} bytes a series (values of 24 bits)", "that a series of one point adds");
    // Another process, whose memory shows what reading takes.
    let reader =
        std::process::Command::new(std::env::current_exe().unwrap()).arg(&root).arg(count.to_string()).status();
    assert!(reader.unwrap().success());
}

/// Prints one line.
fn row(what: &str, (cpu, wall): (f64, f64), more: String) {
    println!("{what:<56} {cpu:>10.2} ms CPU {wall:>10.2} ms wall  {more}");
}

fn read(root: &Path, count: u64) {
    let before = resident();
    row("open", least(5, || Workspace::open(root).unwrap()), String::new());
    let query =
        |filter: &str, order: &[&str], max: usize| Query { max_results: max, ..Query::parse(filter, order).unwrap() };
    let ordered = query(FILTER, &["metrics.m2 DESC"], 100);
    row("open and first search", least(3, || Workspace::open(root).unwrap().search(&ordered).unwrap()), String::new());

    let store = Workspace::open(root).unwrap();
    row("search, filtered and ordered, 100 results", least(10, || store.search(&ordered).unwrap()), String::new());
    row("search, all by start, 100 results", least(10, || store.search(&query("", &[], 100)).unwrap()), String::new());
    let heap = (resident() - before) / count as f64;
    println!("{:<56} {heap:.0} bytes a run", "heap after these");
    // After memory was looked at, since the plain answer takes some itself.
    let mut expected: Vec<(f64, RunId)> = (0..count)
        .map(run)
        .filter(|run| run.series[1].1.values[0] < 0.1 && run.params[1].1 == "3")
        .map(|run| (run.series[2].1.values[0], run.id))
        .collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0));
    let page = store.search(&ordered).unwrap();
    assert_eq!(page.total, expected.len());
    assert!(page.summaries().unwrap().iter().zip(&expected).all(|(found, (_, id))| found.run_id == *id));
    let some: Vec<RunId> = (0..1000).map(|number| run(number * (count / 1000)).id).collect();
    let latest = least(3, || {
        for id in &some {
            let run = store.run(id).unwrap();
            assert_eq!(run.keys().map(|key| run.stats(key).unwrap().count).sum::<u64>(), 5);
        }
    });
    row("1,000 runs one by one, statistics of all metrics", latest, String::new());
    let latest = least(5, || {
        let runs = store.search(&query("", &[], 1000)).unwrap().summaries().unwrap();
        assert_eq!(runs.iter().map(|run| run.metrics.len()).sum::<usize>(), 5 * runs.len());
    });
    row("1,000 runs in a list, latest of all metrics", latest, String::new());
    let all = Query { max_results: 1000, ..Query::default() };
    let latest = least(5, || {
        let columns = store.search(&all).unwrap().latest(&["m0", "m1", "m2", "m3", "m4"]).unwrap();
        assert!(columns.iter().all(|column| column.iter().all(Option::is_some)));
    });
    row("1,000 runs as columns, latest of 5 metrics", latest, String::new());
    let live = least(3, || {
        let mut writer = store.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        writer.log_metric("m1", 0, 1.0).unwrap();
        writer.finish(RunStatus::Finished).unwrap();
    });
    row("a run created, logged to once and finished, with syncs", live, String::new());
}
