//! Whole sources cut at every byte, flipped and random: no panic, what is whole is read, what is not is told.

use arrow_array::{Float64Array, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use prost::Message;
use std::sync::Arc;

use crate::report::Kind;
use crate::tensorboard::frame;
use crate::tensorboard::messages::{Event, Metadata, PluginData, Summary, Tensor, Value};
use crate::testing::{import_files, import_path, points};
use crate::wandb::messages::{Exit, History, Item, Record, Run, Stats, Step, Timestamp};
use crate::wandb::{Next, Records, write_log};

fn event(step: i64, value: Value) -> Vec<u8> {
    let summary = Some(Summary { value: vec![value] });
    frame(&Event { wall_time: 1_700_000_000.000_5 + step as f64, step, summary, ..Event::default() }.encode_to_vec())
}

/// Records of an event file: scalars as simple values and as tensors, and a text.
fn events() -> Vec<Vec<u8>> {
    let plugin = |name: &str| {
        Some(Metadata {
            plugin_data: Some(PluginData { plugin_name: name.into(), content: vec![] }),
            ..Metadata::default()
        })
    };
    let mut records = vec![frame(&Event { wall_time: 1_700_000_000.0, ..Event::default() }.encode_to_vec())];
    for step in 0..4 {
        let simple = Value { tag: "loss".into(), simple_value: Some(0.1 * step as f32), ..Value::default() };
        records.push(event(step, simple));
        let tensor = Some(Tensor { dtype: 1, content: 2.5f32.to_le_bytes().to_vec(), ..Tensor::default() });
        // Only the first value of a tag names its plugin.
        let metadata = if step == 0 { plugin("scalars") } else { None };
        records.push(event(step, Value { tag: "acc".into(), tensor, metadata, ..Value::default() }));
    }
    let tensor = Some(Tensor { dtype: 7, string_val: vec![b"a note".to_vec()], ..Tensor::default() });
    records.push(event(
        9,
        Value { tag: "note/text_summary".into(), tensor, metadata: plugin("text"), ..Value::default() },
    ));
    records
}

fn item(key: &str, nested: &[&str], json: &str) -> Item {
    Item { key: key.into(), nested_key: nested.iter().map(ToString::to_string).collect(), value_json: json.into() }
}

/// Records of a W&B log: a run, history in both key forms, machine statistics, an exit.
fn wandb_records() -> Vec<Vec<u8>> {
    let config = Some(crate::wandb::messages::Config {
        update: vec![
            item("lr", &[], "0.1"),
            item("", &["model", "depth"], "3"),
            item("opt", &[], "{\"name\": \"adam\"}"),
            item("_wandb", &[], "{}"),
        ],
        remove: vec![],
    });
    let start_time = Some(Timestamp { seconds: 1_700_000_000, nanos: 250_900_000 });
    let run = Run {
        run_id: "abc123".into(),
        project: "p".into(),
        display_name: "calm-sea-1".into(),
        config,
        start_time,
        ..Run::default()
    };
    let mut records = vec![Record { run: Some(run), ..Record::default() }];
    for step in 0..3i64 {
        let items = vec![
            item("loss", &[], if step == 1 { "NaN" } else { "0.5" }),
            item("", &["eval", "acc"], "\"-Infinity\""),
            item("_timestamp", &[], "1700000001.5"),
        ];
        records.push(Record {
            history: Some(History { item: items, step: Some(Step { num: step }) }),
            ..Record::default()
        });
    }
    let stats = Stats {
        timestamp: Some(Timestamp { seconds: 5, nanos: 999_999_999 }),
        item: vec![item("gpu", &[], "{\"0\": {\"temp\": 40}}")],
    };
    records.push(Record { stats: Some(stats), ..Record::default() });
    records.push(Record { exit: Some(Exit { exit_code: 1, runtime: 10 }), ..Record::default() });
    records.iter().map(Message::encode_to_vec).collect()
}

fn parquet_file() -> Vec<u8> {
    let batch = RecordBatch::try_from_iter([
        ("run_id", Arc::new(StringArray::from(vec!["a", "b", "a"])) as arrow_array::ArrayRef),
        ("key", Arc::new(StringArray::from(vec!["x", "x", "y"])) as _),
        ("step", Arc::new(Int64Array::from(vec![0, 1, 2])) as _),
        ("timestamp_ms", Arc::new(Int64Array::from(vec![Some(5), None, None])) as _),
        ("value", Arc::new(Float64Array::from(vec![1.0, f64::NAN, -0.0])) as _),
    ])
    .unwrap();
    let mut file = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

#[test]
fn an_event_file_is_read() {
    let (runs, report) = import_files(&[("logs/a/events.out.tfevents.1.host", &events().concat())]);
    assert_eq!(report.skipped, []);
    let [run] = &runs[..] else { panic!("one run") };
    assert_eq!((run.source.as_str(), run.name.as_str()), ("tensorboard:logs/a", "logs/a"));
    assert_eq!(run.tags, [("note".to_owned(), "a note".to_owned())]);
    assert_eq!(points(run, "loss")[1], (1, Some(1_700_000_001_000), f64::from(0.1f32).to_bits()));
    assert_eq!(points(run, "acc").iter().map(|point| point.2).collect::<Vec<_>>(), [2.5f64.to_bits(); 4]);
    assert_eq!((run.start_time_ms, run.end_time_ms), (Some(1_700_000_000_000), Some(1_700_000_009_000)));
}

#[test]
fn an_event_file_cut_at_any_byte_gives_what_is_whole() {
    let records = events();
    let whole = records.concat();
    let ends: Vec<usize> = records
        .iter()
        .scan(0, |end, record| {
            *end += record.len();
            Some(*end)
        })
        .collect();
    let (all, _) = import_files(&[("tfevents", &whole)]);
    for cut in 1..whole.len() {
        let (runs, report) = import_files(&[("tfevents", &whole[..cut])]);
        let complete = ends.iter().filter(|end| **end <= cut).count();
        let start = if complete == 0 { 0 } else { ends[complete - 1] as u64 };
        let torn = !ends.contains(&cut);
        let places: Vec<_> = report.skipped.iter().map(|skipped| skipped.offset).collect();
        assert_eq!(places.contains(&Some(start)), torn || complete == 0, "cut at {cut}: {:?}", report.skipped);
        let read: usize = runs.iter().flat_map(|run| &run.series).map(|series| series.values.len()).sum();
        assert_eq!(read, complete.saturating_sub(1).min(8), "cut at {cut}");
        for series in runs.iter().flat_map(|run| &run.series) {
            assert!(points(&all[0], &series.key).starts_with(&points(&runs[0], &series.key)));
        }
    }
}

#[test]
fn a_wandb_log_is_read() {
    let (runs, report) = import_files(&[("wandb/run-1-abc123/run-abc123.wandb", &write_log(&wandb_records()))]);
    assert_eq!(report.skipped, []);
    let [run] = &runs[..] else { panic!("one run") };
    assert_eq!((run.id.as_str(), run.experiment.as_deref(), run.name.as_str()), ("abc123", Some("p"), "calm-sea-1"));
    assert_eq!(run.status, stepwell::RunStatus::Failed);
    assert_eq!((run.start_time_ms, run.end_time_ms), (Some(1_700_000_000_250), Some(1_700_000_010_250)));
    let params: Vec<_> = run.params.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(params, [("lr", "0.1"), ("model.depth", "3"), ("opt.name", "adam")]);
    let time = Some(1_700_000_001_500);
    assert_eq!(
        points(run, "loss"),
        [(0, time, 0.5f64.to_bits()), (1, time, f64::NAN.to_bits()), (2, time, 0.5f64.to_bits())]
    );
    assert_eq!(points(run, "eval.acc").len(), 3);
    assert_eq!(points(run, "system/gpu.0.temp"), [(0, Some(5_999), 40f64.to_bits())]);
}

#[test]
fn a_wandb_log_cut_at_any_byte_gives_what_is_whole() {
    let whole = write_log(&wandb_records());
    let (all, _) = import_files(&[("run-abc123.wandb", &whole)]);
    let mut clean = 0;
    for cut in 0..whole.len() {
        let (runs, report) = import_files(&[("run-abc123.wandb", &whole[..cut])]);
        clean += usize::from(report.skipped.is_empty());
        assert!(report.skipped.iter().all(|skipped| skipped.offset.is_some_and(|offset| offset <= cut as u64)));
        for run in &runs {
            assert_eq!(run.id.as_str(), "abc123");
            for series in &run.series {
                assert!(points(&all[0], &series.key).starts_with(&points(run, &series.key)), "cut at {cut}");
            }
        }
    }
    assert_eq!(clean, wandb_records().len(), "only a cut between records is none");
}

#[test]
fn logs_of_a_resumed_wandb_run_are_one_run_in_the_order_of_its_starts() {
    let log = |seconds: i64, value: &str, exit_code: i32| {
        let run = Run { run_id: "r1".into(), start_time: Some(Timestamp { seconds, nanos: 0 }), ..Run::default() };
        let history = History { item: vec![item("x", &[], value)], step: Some(Step { num: seconds }) };
        let records = [
            Record { run: Some(run), ..Record::default() },
            Record { history: Some(history), ..Record::default() },
            Record { exit: Some(Exit { exit_code, runtime: 1 }), ..Record::default() },
        ];
        write_log(&records.iter().map(Message::encode_to_vec).collect::<Vec<_>>())
    };
    let (first, second) = (log(100, "1", 7), log(200, "2", 0));
    let files: [(&str, &[u8]); 4] = [
        ("a/run-r1.wandb", &second),
        ("b/run-r1.wandb", &first),
        ("c/run-r1.wandb", &first),
        ("d/run-r1.wandb", &second),
    ];
    let (runs, report) = import_files(&files);
    assert_eq!((report.runs(), report.points(), runs.len()), (1, 2, 2));
    assert_eq!(points(&runs[0], "x"), [(100, None, 1f64.to_bits())]);
    assert_eq!(points(&runs[1], "x"), [(200, None, 2f64.to_bits())]);
    let parts: Vec<_> = runs.iter().map(|run| run.attached.part.clone().unwrap()).collect();
    assert_eq!((parts[0].started_ms, parts[1].started_ms), (Some(100_000), Some(200_000)));
    let known = |at: usize| (parts[at].known.get(Kind::Run), parts[at].known.get(Kind::Series));
    assert_eq!((known(0), known(1)), ((0, 0), (1, 1)));
    assert_eq!(runs[1].status, stepwell::RunStatus::Finished);
    let copies: Vec<_> = report.skipped.iter().map(|skipped| (skipped.kind, skipped.count)).collect();
    assert_eq!(copies, [(Kind::File, 1), (Kind::File, 1)], "copies are told and not taken");
    // A part is known wherever it lies, and when it comes alone.
    let (alone, _) = import_files(&[("elsewhere/run-r1.wandb", &second)]);
    assert_eq!(alone[0].attached.part.as_ref().unwrap().id, parts[1].id);
    assert_ne!(parts[0].id, parts[1].id);
}

#[test]
fn wandb_media_are_no_metrics_and_a_summary_is_kept() {
    let row = |step: i64| History {
        item: vec![
            item("loss", &[], "0.5"),
            item("", &["img", "_type"], "\"image-file\""),
            item("", &["img", "size"], "69"),
            item("h", &[], "{\"_type\":\"histogram\",\"values\":[1],\"bins\":[0,1]}"),
            item("note", &[], "\"warm\""),
        ],
        step: Some(Step { num: step }),
    };
    let summary = |items: Vec<Item>| Record {
        summary: Some(crate::wandb::messages::Config { update: items, remove: vec![] }),
        ..Record::default()
    };
    let config = Some(crate::wandb::messages::Config {
        update: vec![item("a", &[], "{\"b\": 1}"), item("a.b", &[], "2")],
        remove: vec![],
    });
    let run = Run { run_id: "r2".into(), config, ..Run::default() };
    let mut records = vec![
        Record { run: Some(run), ..Record::default() },
        Record { history: Some(row(4)), ..Record::default() },
        summary(vec![item("test/acc", &[], "0.87"), item("verdict", &[], "\"good\""), item("loss", &[], "0.5")]),
        summary(vec![item("", &["loss2", "best"], "1"), item("_wandb", &[], "{\"runtime\":2}")]),
        summary(vec![item("", &["loss", "max"], "0.9")]),
        Record { alert: Some(vec![]), ..Record::default() },
    ];
    let encoded = |records: &[Record]| write_log(&records.iter().map(Message::encode_to_vec).collect::<Vec<_>>());
    let (open, _) = import_files(&[("run-r2.wandb", &encoded(&records))]);
    records.push(Record { exit: Some(Exit { exit_code: 0, runtime: 1 }), ..Record::default() });
    let (ended, report) = import_files(&[("run-r2.wandb", &encoded(&records))]);
    let keys = |run: &crate::ImportedRun| run.series.iter().map(|series| series.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&open[0]), ["loss"], "a summary may still change");
    assert_eq!(keys(&ended[0]), ["loss", "test/acc", "loss2.best"]);
    assert_eq!(points(&ended[0], "test/acc"), [(4, None, 0.87f64.to_bits())]);
    let tag = |run: &crate::ImportedRun, key: &str| {
        run.tags.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    };
    assert_eq!(tag(&open[0], "wandb.summary.test/acc").as_deref(), Some("0.87"));
    assert_eq!(tag(&ended[0], "wandb.summary.verdict").as_deref(), Some("good"));
    assert_eq!(tag(&ended[0], "wandb.summary.loss.max").as_deref(), Some("0.9"));
    assert_eq!(tag(&ended[0], "wandb.summary.note").as_deref(), Some("warm"));
    assert_eq!(tag(&ended[0], "wandb.summary._wandb.runtime"), None);
    let told =
        |kind: Kind| report.skipped.iter().filter(|skipped| skipped.kind == kind).map(|skipped| skipped.count).sum();
    let told: Vec<u64> = [Kind::Image, Kind::Histogram, Kind::Text, Kind::Param, Kind::Record].map(told).into();
    assert_eq!(told, [1, 1, 1, 1, 1], "{:?}", report.skipped);
}

#[test]
fn a_parquet_file_is_read_and_its_runs_may_be_mixed() {
    let (runs, report) = import_files(&[("p.parquet", &parquet_file())]);
    assert_eq!((report.runs(), report.series(), report.points(), report.skipped), (2, 3, 3, vec![]));
    let a = runs.iter().find(|run| run.id.as_str() == "a").unwrap();
    assert_eq!(points(a, "x"), [(0, Some(5), 1f64.to_bits())]);
    assert_eq!(points(a, "y"), [(2, None, (-0.0f64).to_bits())]);
    let b = runs.iter().find(|run| run.id.as_str() == "b").unwrap();
    assert_eq!(b.series[0].timestamps_ms, None);
}

#[test]
fn a_parquet_file_cut_anywhere_is_told() {
    let whole = parquet_file();
    for cut in (1..whole.len()).step_by(7) {
        let (runs, report) = import_files(&[("p.parquet", &whole[..cut])]);
        assert!(runs.is_empty());
        assert_eq!(report.skipped.len(), 1, "cut at {cut}");
    }
}

#[test]
fn records_under_another_name_are_events_only_when_they_were_meant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.tfrecord");
    std::fs::write(&path, events().concat()).unwrap();
    assert_eq!(import_path(folder.path()).1.runs(), 0);
    assert_eq!(import_path(&path).1.points(), 8);
}

#[test]
fn a_wandb_record_whose_checksum_fails_is_told_and_kept_if_it_is_whole() {
    let mut bytes = write_log(&wandb_records());
    let at = bytes.windows(4).position(|part| part == b"loss").unwrap() - 16;
    let start = (7..at)
        .rev()
        .find(|at| {
            Records::new(&[&bytes[..7], &bytes[*at..]].concat()[..])
                .is_ok_and(|mut log| matches!(log.next(), Ok(Next::Record { sound: true, .. })))
        })
        .unwrap();
    bytes[start] ^= 1;
    let (runs, report) = import_files(&[("run-abc123.wandb", &bytes)]);
    let [told] = &report.skipped[..] else { panic!("{report:?}") };
    assert_eq!(told.offset, Some(start as u64));
    assert!(told.reason.contains("fails its checksum"), "{}", told.reason);
    assert_eq!(points(&runs[0], "loss").len(), 3);
}

const NAMES: [&str; 12] = [
    "a.tfevents",
    "run-a.wandb",
    "a.csv",
    "a.csv.gz",
    "a.jsonl",
    "a.json",
    "trainer_state.json",
    "d/dvclive/plots/metrics/a.tsv",
    "a.parquet",
    "a.db",
    "m/meta.yaml",
    "m/metrics/k",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), form in 0..9usize) {
        let head: &[u8] = [&b""[..], b"SQLite format 3\0", b"PAR1", b":W&B\xe1\xbe\0", b"run_id,key,step,value\n", b"#{\"t_start\": 1}\nr,l,t\n", b"\xff\xfe", b"\x1f\x8b\x08", b"[{\"step\": 1, \"x\": 2}"][form];
        let all = [head, &bytes].concat();
        for name in NAMES {
            let (_, report) = import_files(&[(name, &all)]);
            prop_assert!(report.points() <= all.len() as u64);
        }
    }

    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..6)) {
        for (name, whole) in [("tfevents", events().concat()), ("run-a.wandb", write_log(&wandb_records())), ("p.parquet", parquet_file())] {
            let mut bytes = whole;
            for (at, flip) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
            }
            let (_, report) = import_files(&[(name, &bytes)]);
            prop_assert!(report.points() <= 20);
        }
    }
}
