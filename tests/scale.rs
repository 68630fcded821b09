//! Shapes that break stores built for the usual ones: very many keys, very many tiny runs, odd keys, paths that are none.

use stepwell::{
    Columns, CompactOptions, Error, ExperimentId, NewRun, Options, Point, RunId, RunQuery, RunStatus, TailMode,
    Workspace,
};

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
            workspace.compact(CompactOptions::default()).unwrap();
        }
    }
    assert!(workspace.verify(&mut |_, _| {}).unwrap().is_ok());
}

#[test]
fn thousands_of_runs_of_one_point_take_few_files_and_bytes() {
    let (_dir, workspace) = workspace();
    let count = 2_000_u32;
    for number in 0..count {
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        writer.log_metrics(0, Some(1_700_000_000_000), &[("loss", f64::from(number))]).unwrap();
    }
    workspace.compact(CompactOptions::default()).unwrap();
    let usage = workspace.usage().unwrap();
    assert_eq!((usage.runs, usage.series, usage.points), (count.into(), count.into(), count.into()));
    assert!(usage.files < 10, "{usage:?}");
    let query = RunQuery { filter: "metrics.loss >= 1990".into(), ..RunQuery::default() };
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
    workspace.compact(CompactOptions::default()).unwrap();
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
    let crc = stepwell::base::checksum::crc32(0, &bytes[..28]);
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
