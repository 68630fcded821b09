//! Numbers, words and files that cannot be taken as they are: each is told with its count, wherever it stands.

use std::io::Write;

use prost::Message;

use crate::report::Kind;
use crate::testing::{import_files, import_path, points};
use crate::wandb::messages::{Config, Exit, History, Item, Record, Run, Stats, Step};
use crate::wandb::write_log;

fn item(key: &str, json: &str) -> Item {
    Item { key: key.into(), nested_key: Vec::new(), value_json: json.into() }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// What was told of a kind: counts with reasons.
fn told(report: &crate::Report, kind: Kind) -> Vec<(u64, String)> {
    let of_kind = report.skipped.iter().filter(|skipped| skipped.kind == kind);
    of_kind.map(|skipped| (skipped.count, skipped.reason.clone())).collect()
}

#[test]
fn numbers_of_wandb_that_no_float_holds_are_told_with_their_count() {
    let row = |step: i64, items: Vec<Item>| Record {
        history: Some(History { item: items, step: Some(Step { num: step }) }),
        ..Record::default()
    };
    let config = Some(Config { update: vec![item("big", "1e400"), item("seed", "9007199254740993")], remove: vec![] });
    let records = [
        Record { run: Some(Run { run_id: "r".into(), config, ..Run::default() }), ..Record::default() },
        row(0, vec![item("x", "1e400"), item("y", "9007199254740993"), item("z", "18446744073709551617")]),
        row(1, vec![item("x", "-Infinity"), item("y", "NaN"), item("_step", "\"far\""), item("_timestamp", "NaN")]),
        row(0, vec![item("y", "1"), item("_step", "7.0"), item("_timestamp", "2")]),
        Record {
            stats: Some(Stats { item: vec![item("n", "9007199254740995")], ..Stats::default() }),
            ..Record::default()
        },
        Record {
            summary: Some(Config {
                update: vec![item("x", "1e400"), item("best", "-1e999"), item("count", "9007199254740997")],
                remove: vec![],
            }),
            ..Record::default()
        },
        Record { exit: Some(Exit { exit_code: 0, runtime: 1 }), ..Record::default() },
    ];
    let log = write_log(&records.iter().map(Message::encode_to_vec).collect::<Vec<_>>());
    let (runs, report) = import_files(&[("run-r.wandb", &log)]);
    let cells = told(&report, Kind::Cell);
    assert_eq!(cells.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [4, 3], "{cells:?}");
    assert!(
        cells[0].1.contains("a whole number that no float holds") && cells[1].1.contains("taken as infinite"),
        "{cells:?}"
    );
    let rows = told(&report, Kind::Row);
    assert_eq!(rows.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [1, 1], "{rows:?}");
    let run = &runs[0];
    let inf = f64::INFINITY.to_bits();
    assert_eq!(points(run, "x"), [(0, None, inf), (1, None, f64::NEG_INFINITY.to_bits())]);
    assert_eq!(points(run, "y")[1..], [(1, None, f64::NAN.to_bits()), (7, Some(2_000), 1f64.to_bits())]);
    let seed = run.params.iter().find(|(key, _)| key == "seed");
    assert_eq!(
        seed.map(|(_, word)| word.as_str()),
        Some("9007199254740993"),
        "a whole number of 64 bits is kept as a word"
    );
}

#[test]
fn whole_numbers_of_more_than_64_bits_in_json_are_told() {
    let (_, report) = import_files(&[
        ("a.jsonl", b"{\"step\":0,\"x\":18446744073709551617}\n{\"step\":1,\"x\":36893488147419103235}\n"),
        ("b.json", b"[{\"step\":0,\"x\":18446744073709551617},{\"step\":1,\"x\":1e400}]"),
    ]);
    let cells = told(&report, Kind::Cell);
    assert_eq!(cells.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [2, 1, 1], "{cells:?}");
    assert!(cells[0].1.contains("\"18446744073709551617\""), "{cells:?}");
}

#[test]
fn a_database_of_mlflow_tells_unknown_words_and_numbers_that_no_float_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlflow.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "CREATE TABLE runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, experiment_id);
         CREATE TABLE metrics (run_uuid, key, value, timestamp, step, is_nan);
         INSERT INTO runs VALUES ('a', 'a', 'PAUSED', 'tomorrow', 5, 'active', '0'), ('b', 'b', NULL, 1, NULL, 'active', '0');
         INSERT INTO metrics VALUES ('a', 'x', 9007199254740993, 1, 0, 0), ('a', 'x', '1e400', 2, 1, 0),
             ('a', 'x', 1.5, 'noon', 2, 0), ('a', 'x', 2.5, NULL, 3, 0), ('b', 'y', 0.5, 1, 0, 0);",
    )
    .unwrap();
    drop(db);
    let (runs, report) = import_path(folder.path());
    let status = |at: usize| runs[at].status;
    use stepwell::RunStatus;
    assert_eq!((status(0), status(1)), (RunStatus::Running, RunStatus::Finished));
    let places = told(&report, Kind::Place);
    assert!(
        places.len() == 2 && places[0].1.contains("\"PAUSED\"") && places[1].1.contains("\"tomorrow\""),
        "{places:?}"
    );
    assert_eq!(told(&report, Kind::Cell).iter().map(|(count, _)| *count).sum::<u64>(), 2, "{report:?}");
    assert_eq!(told(&report, Kind::Point)[0].0, 1, "a time that cannot be read: {report:?}");
    assert_eq!(points(&runs[0], "x")[2..], [(2, None, 1.5f64.to_bits()), (3, None, 2.5f64.to_bits())]);
}

#[test]
fn a_packed_file_that_is_cut_gives_what_reads_and_is_told() {
    let rows = |head: &str, row: &dyn Fn(u64) -> String| head.to_owned() + &(0..4_000).map(row).collect::<String>();
    // Digits that do not repeat, so that a half of the file has a part of the rows.
    let noise = |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
    let monitor = rows("#{\"t_start\": 5.0}\nr,l,t\n", &|at| format!("0.{},2,{at}\n", noise(at)));
    let csv = rows("step,x\n", &|at| format!("{at},0.{}\n", noise(at)));
    let lines = rows("", &|at| format!("{{\"step\":{at},\"x\":0.{}}}\n", noise(at)));
    let live = rows("step\tloss\n", &|at| format!("{at}\t0.{}\n", noise(at)));
    for (name, text) in [
        ("a.monitor.csv.gz", monitor),
        ("a.csv.gz", csv),
        ("a.jsonl.gz", lines),
        ("dvclive/plots/metrics/loss.tsv", live),
    ] {
        let packed = gzip(&text);
        for part in [packed.len() / 2, packed.len() - 9] {
            let (runs, report) = import_files(&[(name, &packed[..part])]);
            assert_eq!((runs.len(), report.unread), (1, 1), "{name} {:?}", report.skipped);
            assert!(told(&report, Kind::File)[0].1.contains("not read to its end"), "{name} {:?}", report.skipped);
            let count = runs[0].series[0].values.len();
            assert!((1_000..=4_000).contains(&count), "{name}: {count}");
        }
    }
    // A document has no part that is whole.
    let packed = gzip("[{\"step\":0,\"x\":1},{\"step\":1,\"x\":2}]");
    let (runs, report) = import_files(&[("a.json.gz", &packed[..packed.len() - 9])]);
    assert_eq!((runs.len(), report.unread), (0, 1), "{report:?}");
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_and_told() {
    use std::os::unix::fs::symlink;
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (inside, far) = (folder.path(), outside.path());
    std::fs::create_dir_all(inside.join("run")).unwrap();
    std::fs::create_dir_all(inside.join("d/plots/metrics")).unwrap();
    std::fs::write(inside.join("run/log.csv"), "step,x\n1,2\n").unwrap();
    std::fs::write(far.join("far.csv"), "step,x\n1,2\n").unwrap();
    std::fs::write(far.join("loss.tsv"), "step\tloss\n1\t2\n").unwrap();
    std::fs::write(inside.join("d/metrics.json"), "{}").unwrap();
    std::fs::write(inside.join("d/plots/metrics/own.tsv"), "step\town\n1\t2\n").unwrap();
    symlink(far, inside.join("linked")).unwrap();
    symlink(far.join("far.csv"), inside.join("far.csv")).unwrap();
    symlink(far.join("gone"), inside.join("gone.csv")).unwrap();
    symlink(far.join("loss.tsv"), inside.join("d/plots/metrics/loss.tsv")).unwrap();
    symlink(inside.join("run"), inside.join("latest")).unwrap();
    symlink(inside, inside.join("run/loop")).unwrap();
    let (runs, report) = import_path(inside);
    assert_eq!(runs.iter().map(|run| run.series.len()).collect::<Vec<_>>(), [1, 1], "{runs:?}");
    let files = told(&report, Kind::File);
    assert_eq!(files.iter().filter(|(_, why)| why.contains("outside what was named")).count(), 2, "{files:?}");
    assert_eq!(report.left_out().get(Kind::File), 4, "{files:?}");
    assert_eq!(report.notes.iter().filter(|(_, note)| note.contains("read at its own place")).count(), 2);
    // The path that was named may be a link: it is the caller's own.
    assert_eq!(import_path(&inside.join("linked")).0.len(), 2);
}
