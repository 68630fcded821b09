//! Imports real training logs and compares each series with the Parquet oracles, bit for bit, in order.
//!
//! `STEPWELL_REAL_LOGS` names the folder with `raw/*.tar.zst` and `parquet/*.parquet` (relative to the workspace).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use stepwell_import::{BoxError, ImportedRun, ImportedSeries, Kind, Report, Sink, Skipped, Taken, import};
use tempfile::TempDir;

/// A point by its bits.
type Point = (i64, Option<i64>, u64);
/// Series by run and key.
type Content = BTreeMap<(String, String), Vec<Point>>;

#[derive(Default)]
struct Collect {
    runs: Vec<ImportedRun>,
}

impl Sink for Collect {
    fn run(&mut self, run: ImportedRun) -> Result<Taken, BoxError> {
        for series in &run.series {
            assert_eq!(series.steps.len(), series.values.len());
            assert!(series.timestamps_ms.as_ref().is_none_or(|timestamps| timestamps.len() == series.steps.len()));
            assert!(series.timestamps_ms.as_ref().is_none_or(|timestamps| timestamps.iter().any(Option::is_some)));
        }
        let taken = Taken::new(run.counts());
        self.runs.push(run);
        Ok(taken)
    }
}

/// The data folder; says loudly, past the test harness's capture, when there is none.
fn data() -> Option<PathBuf> {
    match std::env::var_os("STEPWELL_REAL_LOGS") {
        Some(folder) => Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder)),
        None => {
            let mut stderr = std::io::stderr().lock();
            stderr
                .write_all(
                    b"STEPWELL_REAL_LOGS is unset: real logs were NOT checked
",
                )
                .unwrap();
            None
        }
    }
}

/// Unpacks the wanted files of an archive; the folder below which they are.
fn unpack(data: &Path, name: &str, wanted: impl Fn(&str) -> bool) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut decoder = zstd::Decoder::new(File::open(data.join(format!("raw/{name}.tar.zst"))).unwrap()).unwrap();
    decoder.window_log_max(27).unwrap();
    let mut archive = tar::Archive::new(decoder);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        if wanted(&path) {
            entry.unpack_in(folder.path()).unwrap();
        }
    }
    let inner = folder.path().join(name);
    (folder, inner)
}

fn read(path: &Path) -> (Vec<ImportedRun>, Report) {
    let mut sink = Collect::default();
    let report = import(&[path.to_path_buf()], &mut sink).unwrap();
    let runs = sink.runs.iter().filter(|run| run.attached.kind == stepwell::items::RUN);
    let ids: std::collections::BTreeSet<_> = runs.map(|run| run.id.clone()).collect();
    assert_eq!(report.runs(), ids.len() as u64, "parts of a run are one run");
    let series = sink.runs.iter().flat_map(|run| run.series.iter().map(|series| (&run.id, &series.key)));
    let series: std::collections::BTreeSet<_> = series.collect();
    assert_eq!(report.series(), series.len() as u64, "a metric of several parts is one");
    (sink.runs, report)
}

fn points(series: &ImportedSeries) -> Vec<Point> {
    let time = |at: usize| series.timestamps_ms.as_ref().and_then(|timestamps| timestamps[at]);
    (0..series.steps.len()).map(|at| (series.steps[at], time(at), series.values[at].to_bits())).collect()
}

fn content(runs: &[ImportedRun], name: impl Fn(&ImportedRun) -> String) -> Content {
    let mut content = Content::new();
    for run in runs {
        for series in &run.series {
            assert!(
                content.insert((name(run), series.key.clone()), points(series)).is_none(),
                "{} twice in {}",
                series.key,
                run.source
            );
        }
    }
    content
}

/// An oracle, with its numbers of runs, series and points as they were published with it.
fn oracle(data: &Path, name: &str, counts: (u64, u64, u64)) -> Content {
    let (runs, report) = read(&data.join(format!("parquet/{name}.parquet")));
    assert_eq!(report.skipped, []);
    assert_eq!((report.runs(), report.series(), report.points()), counts, "{name}");
    content(&runs, |run| run.name.clone())
}

fn compare(name: &str, expected: &Content, got: &Content) {
    for (series, points) in expected {
        let got = got.get(series).unwrap_or_else(|| panic!("{name}: {series:?} was not imported"));
        assert_eq!(got.len(), points.len(), "{name}: {series:?}");
        if let Some(at) = (0..points.len()).find(|&at| got[at] != points[at]) {
            panic!("{name}: {series:?} point {at}: {:?} instead of {:?}", got[at], points[at]);
        }
    }
    let more: Vec<_> = got.keys().filter(|series| !expected.contains_key(*series)).collect();
    assert!(more.is_empty(), "{name}: not in the oracle: {more:?}");
}

/// Places that could not be read: what has no place in a store of metrics is counted, and no damage.
fn damage(report: &Report) -> Vec<&Skipped> {
    report.skipped.iter().filter(|skipped| skipped.kind == Kind::Place).collect()
}

/// The run's path in the archive.
fn path_of(run: &ImportedRun) -> String {
    run.source.split_once(':').unwrap().1.to_owned()
}

fn check_tensorboard(archive: &str, set: &str, counts: (u64, u64, u64)) {
    let Some(data) = data() else { return };
    let (_folder, root) = unpack(&data, archive, |_| true);
    let (runs, report) = read(&root);
    assert!(damage(&report).is_empty(), "{:?}", report.skipped);
    compare(set, &oracle(&data, set, counts), &content(&runs, path_of));
    // A second import gives the same runs in the same order.
    let (again, _) = read(&root);
    assert!(runs.iter().map(|run| (&run.id, &run.source)).eq(again.iter().map(|run| (&run.id, &run.source))));
    assert_eq!(content(&runs, |run| run.id.to_string()), content(&again, |run| run.id.to_string()));
}

#[test]
fn tensorboard_of_tianshou() {
    check_tensorboard("thu-ml+tianshou", "tianshou-tb", (10, 108, 84_634));
}

#[test]
fn tensorboard_of_trackio() {
    check_tensorboard("gradio-app+trackio", "trackio-tb", (2, 4, 70));
}

#[test]
fn tensorboard_of_tensorboard() {
    check_tensorboard("tensorflow+tensorboard", "tensorboard-testdata", (5, 65, 298));
}

#[test]
fn tensorboard_of_corso() {
    check_tensorboard("Ball-Man+corso", "corso-tb", (337, 337, 350_270));
}

#[test]
fn tensorboard_of_modded_nanogpt() {
    let Some(data) = data() else { return };
    let (_folder, root) = unpack(&data, "KellerJordan+modded-nanogpt", |path| path.contains("tfevents"));
    let (runs, report) = read(&root.join("runs"));
    assert!(damage(&report).is_empty(), "{:?}", report.skipped);
    let expected = oracle(&data, "modded-nanogpt-tb", (110, 222, 66_054));
    compare("modded-nanogpt-tb", &expected, &content(&runs, path_of));
    assert_eq!(expected.values().flatten().filter(|point| f64::from_bits(point.2).is_nan()).count(), 16);
}

#[test]
fn parquet_of_modded_nanogpt() {
    let Some(data) = data() else { return };
    let all = oracle(&data, "modded-nanogpt", (1_515, 4_701, 4_972_409));
    assert!(all.values().flatten().all(|point| point.1.is_none()));
    assert_eq!(all.values().flatten().filter(|point| f64::from_bits(point.2).is_nan()).count(), 2_880);
    let first =
        &all[&("track_1_short/2024-06-06_AdamW/f66d43d7-e449-4029-8adf-e8537bab49ea.log".to_owned(), "tel".to_owned())];
    assert_eq!(first[..2], [(0, None, 10.968_871f64.to_bits()), (128, None, 6.034_447f64.to_bits())]);
}

#[test]
fn monitor_files_of_rl_trained_agents() {
    let Some(data) = data() else { return };
    let (_folder, root) = unpack(&data, "DLR-RM+rl-trained-agents", |path| path.ends_with(".csv"));
    let (runs, report) = read(&root);
    assert_eq!(report.skipped, []);
    assert_eq!(runs.len(), 715, "ten files have no row yet");
    compare(
        "rl-trained-agents",
        &oracle(&data, "rl-trained-agents", (705, 2_125, 4_180_143)),
        &content(&runs, path_of),
    );
    compare("rl-trained-agents-merged", &oracle(&data, "rl-trained-agents-merged", (5, 15, 747_417)), &merged(&runs));
}

/// The same runs, their environments' episodes merged by time, the step counted over all of them.
fn merged(runs: &[ImportedRun]) -> Content {
    let mut content = Content::new();
    for folder in ["a2c", "ppo", "sac", "td3", "tqc"].map(|name| format!("{name}/BipedalWalkerHardcore-v3_1")) {
        let mut episodes = Vec::new();
        for run in runs.iter().filter(|run| path_of(run).starts_with(&format!("{folder}/"))) {
            let start: f64 = run.params.iter().find(|(key, _)| key == "t_start").unwrap().1.parse().unwrap();
            let values = |key: &str| &run.series.iter().find(|series| series.key == key).unwrap().values;
            let (rewards, lengths, seconds) = (values("r"), values("l"), values("t"));
            episodes.extend((0..rewards.len()).map(|at| (start + seconds[at], rewards[at], lengths[at], seconds[at])));
        }
        episodes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut step = 0;
        for (time, reward, length, seconds) in episodes {
            step += length as i64;
            for (key, value) in [("r", reward), ("l", length), ("t", seconds)] {
                let point = (step, Some((time * 1000.0).round_ties_even() as i64), value.to_bits());
                content.entry((folder.clone(), key.to_owned())).or_default().push(point);
            }
        }
    }
    content
}

#[test]
fn wandb_logs() {
    let Some(data) = data() else { return };
    let (_folder, root) = unpack(&data, "wandb+wandb", |_| true);
    let (runs, report) = read(&root);
    // The oracle has the history and the machine's statistics; what the summary adds is one point a key.
    let mut expected = oracle(&data, "wandb-assets", (107, 1_266, 3_211));
    // It takes the sizes of pictures for metrics, too.
    expected.retain(|(_, key), _| !["samples.", "gallery."].iter().any(|media| key.starts_with(media)));
    let mut got = content(&runs, path_of);
    got.retain(|series, points| expected.contains_key(series) || points.len() > 1);
    compare("wandb-assets", &expected, &got);
    let mut damage: Vec<_> = damage(&report)
        .iter()
        .map(|skipped| (skipped.path.file_name().unwrap().to_str().unwrap(), skipped.offset))
        .collect();
    damage.sort_unstable();
    assert_eq!(
        damage,
        [("bad-crc.wandb", Some(143)), ("run-1zmslxrd.wandb", Some(0)), ("truncated-tail.wandb", Some(234))],
        "{:?}",
        report.skipped
    );
}

#[test]
fn mlflow_folders_and_databases() {
    let Some(data) = data() else { return };
    let (_folder, root) = unpack(&data, "10-academy-w-9+crypto-trading-backtesting", |_| true);
    let (runs, report) = read(&root.join("mlruns"));
    assert_eq!(report.skipped, []);
    compare(
        "tenacademy-mlruns",
        &oracle(&data, "tenacademy-mlruns", (21, 168, 168)),
        &content(&runs, |run| format!("mlruns/{}", path_of(run))),
    );
    assert!(runs.iter().all(|run| run.id.as_str() == path_of(run).rsplit('/').next().unwrap()));
    assert!(
        runs.iter().all(|run| run.experiment.as_deref() == Some("Crypto Trading Backtesting") && run.user == "dell")
    );
    let (runs, report) = read(&root.join("mlflow.db"));
    assert_eq!(report.skipped, []);
    assert_eq!(runs.len(), 39, "nine runs have no metric");
    compare(
        "tenacademy-mlflowdb",
        &oracle(&data, "tenacademy-mlflowdb", (30, 227, 227)),
        &content(&runs, |run| format!("mlflow.db:{}", run.id)),
    );
    let (runs, report) = read(&root);
    assert_eq!((runs.len(), report.points()), (60, 168 + 227));

    let (_folder, root) = unpack(&data, "mlflow-empty-schemas", |_| true);
    let root = if root.exists() { root } else { _folder.path().to_path_buf() };
    let (runs, report) = read(&root);
    assert!(runs.is_empty());
    assert_eq!(report.skipped, []);
}
