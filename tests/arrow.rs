//! Streamed histories, and record batches, against what the store returns otherwise, bit for bit.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, RecordBatch};

use stepwell::maintenance::CompactOptions;
use stepwell::query::Query;
use stepwell::{Columns, ExperimentId, NewRun, Point, RunId, RunSnapshot, Workspace};

/// Values with bits that are easily lost.
const VALUES: [f64; 7] = [1.5, f64::NAN, -0.0, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX];

fn value(at: u64) -> f64 {
    match at % 8 {
        // A NaN with a payload.
        7 => f64::from_bits(0x7FF8_0000_0000_0000 | at),
        kind => VALUES[kind as usize],
    }
}

/// The step of the point at a position.
type Step = fn(u64) -> i64;

fn points(count: u64, step: impl Fn(u64) -> i64) -> Vec<Point> {
    let timestamp = |at: u64| (!at.is_multiple_of(3)).then_some(1_700_000_000_000 + at as i64);
    (0..count).map(|at| Point { step: step(at), timestamp_ms: timestamp(at), value: value(at) }).collect()
}

/// A point with the bits of its value, so that NaNs are compared.
fn bits(columns: &Columns) -> Vec<(i64, Option<i64>, u64)> {
    columns.iter().map(|point| (point.step, point.timestamp_ms, point.value.to_bits())).collect()
}

fn check_chunks(snapshot: &RunSnapshot, key: &str) {
    let whole = bits(&snapshot.history(key).unwrap());
    for points_max in [1_000, 5_000, usize::MAX] {
        let mut streamed = Vec::new();
        for chunk in snapshot.history_chunks(key, points_max).unwrap() {
            let chunk = chunk.unwrap();
            assert!((1..=points_max).contains(&chunk.len()), "{key}: {} of {points_max}", chunk.len());
            streamed.extend(bits(&chunk));
        }
        assert!(streamed == whole, "{key} in chunks of {points_max}");
    }
    let batches = snapshot.history_chunks(key, 3_000).unwrap().record_batches();
    let streamed: Vec<_> = batches.flat_map(|batch| of_batch(&batch.unwrap())).collect();
    assert!(streamed == whole, "{key} as record batches");
}

fn of_batch(batch: &RecordBatch) -> Vec<(i64, Option<i64>, u64)> {
    let steps = batch["step"].as_primitive::<Int64Type>();
    let times = batch["timestamp_ms"].as_primitive::<Int64Type>();
    let values = batch["value"].as_primitive::<Float64Type>();
    let time = |at: usize| (!times.is_null(at)).then(|| times.value(at));
    (0..batch.num_rows()).map(|at| (steps.value(at), time(at), values.value(at).to_bits())).collect()
}

#[test]
fn chunks_and_record_batches_are_the_history() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path()).unwrap();
    let mut run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let id = run.run_id().clone();
    let forms: [(&str, u64, Step); 6] = [
        ("rising", 40_000, |at| at as i64),
        ("back and forth", 20_000, |at| ((at * 7_919) % 20_011) as i64 - 10_000),
        ("one step", 9_000, |_| 7),
        ("far apart", 12_000, |at| i64::MIN + (at as i64 % 2) * i64::MAX + at as i64),
        ("a few", 5, |at| 5 - at as i64),
        ("bursts", 15_000, |at| (at / 100) as i64 * 1_000_000),
    ];
    for (key, count, step) in forms {
        let metric = run.metric(key).unwrap();
        let all: Vec<_> = points(count, step).into_iter().map(|point| (metric, point)).collect();
        all.chunks(1_000).for_each(|some| run.log_points(some).unwrap());
    }
    // Another writer's points lie between, some not sealed.
    let mut other = workspace.writer(&id).unwrap();
    let metric = other.metric("rising").unwrap();
    let all: Vec<_> = points(6_000, |at| at as i64 * 5).into_iter().map(|point| (metric, point)).collect();
    other.log_points(&all[..5_000]).unwrap();
    other.seal().unwrap();
    other.log_points(&all[5_000..]).unwrap();
    let check = || forms.iter().for_each(|(key, ..)| check_chunks(&workspace.run(&id).unwrap(), key));
    check();
    other.close().unwrap();
    run.close().unwrap();
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    check();
    let snapshot = workspace.run(&id).unwrap();
    assert!(snapshot.history_chunks("rising", 0).is_err() && snapshot.history_chunks("none", 1).is_err());
    assert_eq!(snapshot.history_chunks("one step", 1).unwrap().count(), 9_000);
}

#[test]
fn search_results_are_record_batches() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path()).unwrap();
    let names = ["naïve 数据", "", "a\u{0}b\n'\""];
    for (number, name) in (0..).zip(names) {
        let new =
            NewRun { id: Some(RunId::new(format!("r{number}")).unwrap()), name: name.into(), ..NewRun::default() };
        let mut run = workspace.create_run(ExperimentId::DEFAULT, new).unwrap();
        run.log_metric("loss é", 0, value(number + 5)).unwrap();
        if number > 0 {
            run.log_metric("only some", 1, f64::NAN).unwrap();
            run.log_param("größe", name).unwrap();
        } else {
            run.set_tag("метка", "значение").unwrap();
        }
    }
    let found = workspace.search(&Query::parse("", &["run_id"]).unwrap()).unwrap();
    let batch = found.to_record_batch().unwrap();
    let text = |name: &str, at: usize| {
        let column = batch.column_by_name(name).unwrap().as_string::<i32>();
        (!column.is_null(at)).then(|| column.value(at).to_owned())
    };
    assert_eq!(batch.num_rows(), 3);
    for (at, run) in found.summaries().unwrap().into_iter().enumerate() {
        assert_eq!(text("run_id", at), Some(run.run_id.to_string()));
        assert_eq!((text("name", at), text("status", at)), (Some(run.name), Some("RUNNING".into())));
        assert_eq!(text("params.größe", at).as_ref(), run.params.get("größe"));
        assert_eq!(text("tags.метка", at).as_ref(), run.tags.get("метка"));
        assert_eq!(batch["experiment_id"].as_primitive::<UInt64Type>().value(at), 0);
        let started = batch["start_time_ms"].as_primitive::<Int64Type>();
        assert_eq!(Some(started.value(at)), run.start_time_ms);
        assert!(batch["end_time_ms"].is_null(at) && !batch["deleted"].as_boolean().value(at));
        for key in ["loss é", "only some"] {
            let column = batch[format!("metrics.{key}").as_str()].as_primitive::<Float64Type>();
            let there = (!column.is_null(at)).then(|| column.value(at).to_bits());
            assert_eq!(there, run.metrics.get(key).map(|stats| stats.latest.value.to_bits()), "{key}");
        }
    }
    let none = workspace.search(&Query::filter("params.x = 'y'").unwrap()).unwrap().to_record_batch().unwrap();
    assert_eq!((none.num_rows(), none.num_columns()), (0, 8));
}
