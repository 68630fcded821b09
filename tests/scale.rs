//! Shapes that break stores built for the usual ones: very many keys, very many tiny runs, odd keys, paths that are
//! none.

use stepwell::maintenance::CompactOptions;
use stepwell::query::Query;
use stepwell::{Columns, Error, ExperimentId, NewRun, Options, Point, RunEdit, RunId, RunStatus, TailMode, Workspace};

fn workspace() -> (tempfile::TempDir, Workspace) {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    (dir, workspace)
}

#[test]
fn a_run_may_have_a_hundred_thousand_keys() {
    let (_dir, workspace) = workspace();
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let id = writer.run_id().clone();
    let keys: Vec<String> = (0..100_000).map(|key| format!("layer/{key}/norm")).collect();
    let values: Vec<(&str, f64)> = keys.iter().zip(0..).map(|(key, index)| (key.as_str(), f64::from(index))).collect();
    for step in 0..2 {
        writer.log_metrics(step, Some(step), &values).unwrap();
    }
    for packed in [false, true] {
        let run = workspace.run(&id).unwrap();
        assert_eq!((run.keys().count(), run.points()), (100_000, 200_000), "packed: {packed}");
        for (index, key) in keys.iter().enumerate().step_by(9_973) {
            assert_eq!(run.history(key).unwrap().values, [index as f64; 2]);
        }
        if !packed {
            writer.seal().unwrap();
            assert_eq!(workspace.run(&id).unwrap().stats("layer/77/norm").unwrap().latest.value, 77.0);
            drop(std::mem::replace(&mut writer, workspace.writer(&id).unwrap()));
            workspace.maintenance().compact(CompactOptions::default()).unwrap();
        }
    }
    assert!(workspace.maintenance().verify().unwrap().is_ok());
}

#[test]
fn what_no_reader_would_take_is_refused_and_the_writer_goes_on() {
    let (_dir, workspace) = workspace();
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let id = writer.run_id().clone();
    let loss = writer.metric("loss").unwrap();
    // Fifteen data sets of the greatest size are more than the 256 MiB that a reader decodes at once.
    let schema = "s".repeat(18_000_000);
    let edits: Vec<RunEdit> =
        (0..15).map(|number| RunEdit::Item(1, number.to_string(), Some(schema.clone()))).collect();
    let point = Point { step: 1, timestamp_ms: None, value: 0.5 };
    let refused = writer.log_batch(&[(loss, point)], &edits).unwrap_err();
    assert!(matches!(refused, Error::Invalid { .. }) && refused.to_string().contains("limit"), "{refused}");
    writer.log_batch(&[(loss, point)], &edits[..2]).unwrap();
    writer.finish(RunStatus::Finished).unwrap();
    let run = workspace.run(&id).unwrap();
    assert_eq!((run.points(), run.state().items(1).count()), (1, 2));
}

#[test]
fn thousands_of_runs_of_one_point_take_few_files_and_bytes() {
    let (_dir, workspace) = workspace();
    let count = 2_000_u32;
    for number in 0..count {
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        writer.log_metrics(0, Some(1_700_000_000_000), &[("loss", f64::from(number))]).unwrap();
    }
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    let usage = workspace.maintenance().usage().unwrap();
    assert_eq!((usage.runs, usage.series, usage.points), (count.into(), count.into(), count.into()));
    assert!(usage.files < 10, "{usage:?}");
    let query = Query::filter("metrics.loss >= 1990").unwrap();
    assert_eq!(workspace.search(&query).unwrap().total, 10);
}

#[test]
fn keys_may_be_any_text_within_the_limit() {
    let (dir, workspace) = workspace();
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let id = writer.run_id().clone();
    let longest = "é".repeat(250);
    let keys =
        ["a/b/../c", "line\nbreak", "🦀", "\0", "..", "con", "nul.", "sp ace", "e\u{301}", "é", "__proto__", &longest];
    for key in keys {
        writer.log_metric(key, 1, 0.5).unwrap();
        writer.log_param(key, key).unwrap();
    }
    for bad in [String::new(), "x".repeat(251)] {
        assert!(matches!(writer.log_metric(&bad, 1, 0.5), Err(Error::Invalid { .. })));
        assert!(matches!(writer.set_tag(&bad, "v"), Err(Error::Invalid { .. })));
    }
    writer.finish(RunStatus::Finished).unwrap();
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    let run = Workspace::open(dir.path().join("w")).unwrap().run(&id).unwrap();
    for key in keys {
        assert_eq!((run.stats(key).unwrap().count, run.state().param(key)), (1, Some(key)), "{key:?}");
    }
    assert_eq!(run.keys().count(), keys.len());
}

#[test]
fn paths_that_are_no_workspace_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let told = |result: Result<Workspace, Error>| result.unwrap_err().to_string();
    assert!(told(Workspace::open(dir.path().join("absent"))).contains("no Stepwell workspace"));
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    assert!(told(Workspace::open_or_create(dir.path())).contains("notes.txt"));
    assert!(told(Workspace::open_or_create(dir.path().join("notes.txt"))).contains("notes.txt"));
    assert_eq!(std::fs::read_to_string(dir.path().join("notes.txt")).unwrap(), "mine");

    // A newer version is refused, and nothing of it is changed.
    let root = dir.path().join("newer");
    Workspace::open_or_create(&root).unwrap();
    let mark = root.join("stepwell.workspace");
    let mut bytes = std::fs::read(&mark).unwrap();
    bytes[8] = 9;
    let crc = stepwell::internals::base::checksum::crc32(0, &bytes[..28]);
    bytes[28..].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&mark, &bytes).unwrap();
    assert!(matches!(Workspace::open(&root), Err(Error::NewerFormat { found: 9, .. })));
    assert_eq!(std::fs::read(&mark).unwrap(), bytes);
}

#[test]
fn a_written_tail_keeps_the_same_promises_as_a_mapped_one() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { tail: TailMode::Written, ..Options::default() };
    let workspace = Workspace::open_or_create_with(dir.path().join("w"), options).unwrap();
    let new = NewRun { id: Some(RunId::new("mine").unwrap()), ..NewRun::default() };
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, new).unwrap();
    let metric = writer.metric("loss").unwrap();
    let mut expected = Columns::default();
    for step in 0..3_000 {
        let point = Point { step: -step, timestamp_ms: None, value: 1.0 / step as f64 };
        writer.log_point(metric, point).unwrap();
        expected.push(point);
        if step % 1_000 == 500 {
            writer.sync().unwrap();
        }
    }
    // The writer is forgotten as a killed process would leave it.
    std::mem::forget(writer);
    let run = Workspace::open(workspace.root()).unwrap().run(&RunId::new("mine").unwrap()).unwrap();
    assert!(run.arrivals("loss").unwrap() == expected);
}

/// A plot of far more points than buckets moves an edge by half a bucket at most, and by an eighth where buckets are
/// wider than pages, and shows each spike: also where edges lie within pages, steps repeat across pages, and several
/// writers share the series.
#[test]
fn a_long_plot_shows_each_spike_in_its_place() {
    let (_dir, workspace) = workspace();
    let len = 700_000_i64;
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let id = writer.run_id().clone();
    let value = |step: i64| if step % 36_007 == 5 { 1000.0 + step as f64 } else { (step % 1000) as f64 / 1000.0 };
    let log = |writer: &mut stepwell::RunWriter, steps: &[i64]| {
        let values: Vec<f64> = steps.iter().map(|&step| value(step)).collect();
        let metric = writer.metric("loss").unwrap();
        writer.log_columns(metric, steps, None, &values).unwrap();
    };
    let steps: Vec<i64> = (0..len).map(|index| index / 3 * 3).collect();
    log(&mut writer, &steps[..400_000]);
    log(&mut workspace.writer(&id).unwrap(), &steps[400_000..]);
    drop(writer);
    for packed in [false, true] {
        if packed {
            workspace.maintenance().compact(CompactOptions::default()).unwrap();
        }
        for (count, parts) in [(19_usize, 8.0), (600, 2.0), (1_400, 2.0), (5_000, 2.0)] {
            let plot = workspace.run(&id).unwrap().downsample("loss", None, count).unwrap();
            assert_eq!(plot.buckets.len(), count);
            assert_eq!(plot.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), len as u64);
            let width = steps[steps.len() - 1] as f64 / count as f64;
            for (index, bucket) in plot.buckets.iter().enumerate() {
                let edges = (width * index as f64, width * (index + 1) as f64);
                assert!((bucket.first.step as f64 - edges.0).abs() <= width / parts + 3.0, "{edges:?} {bucket:?}");
                assert!((bucket.last.step as f64 - edges.1).abs() <= width / parts + 3.0, "{edges:?} {bucket:?}");
                let from = steps.partition_point(|&step| step <= bucket.first.step);
                let end = steps.partition_point(|&step| step < bucket.last.step).max(from);
                let within = steps[from..end].iter().map(|&step| value(step));
                let (most, least) = (within.clone().fold(0.0, f64::max), within.fold(f64::MAX, f64::min));
                let (min, max) = (bucket.min.unwrap(), bucket.max.unwrap());
                assert!(max.value >= most && min.value <= least, "{most} {least} {bucket:?}");
                assert_eq!((max.value, min.value), (value(max.step), value(min.step)));
            }
            let spikes = plot.points().iter().filter(|point| point.value > 1.0).count();
            assert!(spikes >= count.min(700_000 / 36_007 / 3), "{spikes}");
        }
    }
}
