//! A workspace's life from the first point to a pack, seen by readers at each step.

use stepwell::maintenance::CompactOptions;
use stepwell::query::Query;
use stepwell::{Columns, Error, ExperimentId, NewRun, Options, Point, RunEdit, RunId, RunStatus, TailMode, Workspace};

fn workspace(tail: TailMode) -> (tempfile::TempDir, Workspace) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { tail, ..Options::default() };
    let workspace = Workspace::open_or_create_with(dir.path().join("w"), options).unwrap();
    (dir, workspace)
}

fn value(index: i64) -> f64 {
    match index % 7 {
        0 => f64::from_bits(0x7FF8_0000_0000_0000 | index as u64),
        1 => -0.0,
        2 => f64::INFINITY,
        3 => f64::MIN_POSITIVE / 3.0,
        _ => (index as f64).sqrt(),
    }
}

fn point(index: i64) -> Point {
    Point { step: index - index % 3, timestamp_ms: (index % 5 != 0).then_some(1_000_000 + index), value: value(index) }
}

#[test]
fn points_read_back_alike_before_and_after_every_move() {
    for tail in [TailMode::Mapped, TailMode::Written] {
        for count in [1_i64, 5, 95, 97, 1024, 1025, 5_000, 140_000] {
            let (_dir, workspace) = workspace(tail);
            let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
            let id = writer.run_id().clone();
            let (a, b) = (writer.metric("a").unwrap(), writer.metric("β/b\n").unwrap());
            let (mut expected_a, mut expected_b) = (Columns::default(), Columns::default());
            for index in 0..count {
                writer.log_point(a, point(index)).unwrap();
                expected_a.push(point(index));
                if index % 2 == 0 {
                    let other = Point { value: value(index + 3), ..point(index) };
                    writer.log_point(b, other).unwrap();
                    expected_b.push(other);
                }
            }
            let check = |what: &str| {
                let run = workspace.run(&id).unwrap();
                assert!(run.arrivals("a").unwrap() == expected_a, "{what}: {count} points of a, {tail:?}");
                assert!(run.arrivals("β/b\n").unwrap() == expected_b, "{what}: {count} points of b, {tail:?}");
                let mut sorted = expected_a.clone();
                sorted.sort();
                assert!(run.history("a").unwrap() == sorted);
                let stats = run.stats("a").unwrap();
                assert_eq!((stats.count, run.points()), (count as u64, (expected_a.len() + expected_b.len()) as u64));
                let other = Workspace::open(workspace.root()).unwrap();
                assert!(other.run(&id).unwrap().arrivals("a").unwrap() == expected_a, "{what}: by another handle");
            };
            check("in the tail");
            writer.sync().unwrap();
            assert_eq!(writer.durable_through(), writer.points());
            check("synced");
            writer.seal().unwrap();
            check("sealed");
            writer.finish(RunStatus::Finished).unwrap();
            check("finished");
            let done = workspace.maintenance().compact(CompactOptions::default()).unwrap();
            assert_eq!((done.runs, done.logs), (1, 1));
            check("packed");
            let run = workspace.run(&id).unwrap();
            assert_eq!(run.state().status(), RunStatus::Finished);
        }
    }
}

#[test]
fn metadata_follows_its_rules() {
    let (_dir, workspace) = workspace(TailMode::Auto);
    let experiment = workspace.experiments().create("vision").unwrap();
    assert!(matches!(workspace.experiments().create("vision"), Err(Error::AlreadyExists { .. })));
    let new = NewRun { id: Some(RunId::new("mine").unwrap()), name: "first".into(), ..NewRun::default() };
    let mut writer = workspace.create_run(experiment, new.clone()).unwrap();
    assert!(matches!(workspace.create_run(experiment, new), Err(Error::AlreadyExists { .. })));
    writer.log_param("lr", "0.1").unwrap();
    writer.log_param("lr", "0.1").unwrap();
    assert!(matches!(writer.log_param("lr", "0.2"), Err(Error::ParamConflict { .. })));
    writer.set_tag("a", "1").unwrap();
    let mut second = workspace.writer(writer.run_id()).unwrap();
    second.set_tag("a", "2").unwrap();
    assert!(matches!(second.log_param("lr", "0.3"), Err(Error::ParamConflict { .. })));
    second.log_param("batch", "8").unwrap();
    assert!(matches!(writer.log_param("batch", "9"), Err(Error::ParamConflict { .. })));
    let id = writer.run_id().clone();
    workspace.edit_run(&id, &[RunEdit::Tag("a".into(), "3".into()), RunEdit::Name("renamed".into())]).unwrap();
    let check = || {
        let run = workspace.run(&id).unwrap();
        assert_eq!(run.state().params().collect::<Vec<_>>(), [("batch", "8"), ("lr", "0.1")]);
        assert_eq!(run.state().tags().collect::<Vec<_>>(), [("a", "3")]);
        assert_eq!((run.state().name(), run.state().experiment), ("renamed", experiment));
    };
    check();
    drop(writer);
    second.finish(RunStatus::Failed).unwrap();
    check();
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    check();
    workspace.delete_run(&id).unwrap();
    assert!(workspace.run(&id).unwrap().state().deleted());
    assert!(matches!(workspace.writer(&id), Err(Error::Deleted { .. })));
    workspace.restore_run(&id).unwrap();
    check();
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    check();
}

#[test]
fn a_handle_of_another_writer_is_refused() {
    let (_dir, workspace) = workspace(TailMode::Mapped);
    let mut first = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let id = first.run_id().clone();
    let mut same_run = workspace.writer(&id).unwrap();
    let mut other_run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let handle = first.metric("loss").unwrap();
    for other in [&mut same_run, &mut other_run] {
        let own = other.metric("accuracy").unwrap();
        let refused = [
            other.log_point(handle, Point { step: 1, timestamp_ms: Some(2), value: 123.0 }),
            other.log_point(handle, point(1)),
            other.log_points(&[(own, point(1)), (handle, point(1))]),
            other.log_columns(handle, &[1], None, &[1.0]),
            other.log_batch(&[(own, point(1)), (handle, point(1))], &[RunEdit::Tag("key".into(), "value".into())]),
        ];
        for answer in refused {
            assert!(matches!(answer, Err(Error::Invalid { .. })), "{answer:?}");
        }
        assert_eq!(other.points(), 0);
    }
    first.log_point(handle, Point { step: 1, timestamp_ms: Some(2), value: 123.0 }).unwrap();
    let run = workspace.run(&id).unwrap();
    assert_eq!((run.points(), run.state().tags().count()), (1, 0));
}

/// Every file below a folder, with its bytes.
fn files(dir: &std::path::Path, out: &mut Vec<(std::path::PathBuf, Vec<u8>)>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, out);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            out.push((path, bytes));
        }
    }
}

#[test]
fn a_handle_for_reading_reads_all_and_changes_nothing() {
    let (dir, workspace) = workspace(TailMode::Auto);
    let mut ids = Vec::new();
    for (number, packed) in [(0, true), (1, false), (2, false)] {
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        writer.log_metric("loss", number, 0.5).unwrap();
        ids.push(writer.run_id().clone());
        // The last one is of a writer that is still there.
        if number == 2 {
            std::mem::forget(writer);
        } else {
            writer.finish(RunStatus::Finished).unwrap();
        }
        if packed {
            workspace.maintenance().compact(CompactOptions::default()).unwrap();
        }
    }
    let read = Workspace::open_read_only(dir.path().join("w")).unwrap();
    let mut before = Vec::new();
    files(read.root(), &mut before);

    assert_eq!(read.search(&Query::filter("metrics.loss = 0.5").unwrap()).unwrap().total, 3);
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(read.run(id).unwrap().history("loss").unwrap().steps, [number as i64]);
    }
    assert!(read.maintenance().verify().unwrap().is_ok());

    let refused = |what: &str, error: Error| match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {}
        other => panic!("{what}: {other}"),
    };
    refused("create_run", read.create_run(ExperimentId::DEFAULT, NewRun::default()).map(drop).unwrap_err());
    refused("writer", read.writer(&ids[2]).map(drop).unwrap_err());
    refused("edit_run", read.edit_run(&ids[0], &[RunEdit::Name("x".into())]).unwrap_err());
    refused("delete_run", read.delete_run(&ids[0]).unwrap_err());
    refused("create", read.experiments().create("e").map(drop).unwrap_err());
    refused("create_model", read.registry().create_model("m", "", Default::default()).map(drop).unwrap_err());
    refused("compact", read.maintenance().compact(CompactOptions::default()).map(drop).unwrap_err());
    refused("check_writable", read.check_writable().unwrap_err());
    let mut after = Vec::new();
    files(read.root(), &mut after);
    assert!(before == after, "reading changed a file");
}

/// Handles are shared between threads; a writer moves between them.
#[test]
fn handles_are_send_and_sync() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Workspace>();
    shared::<stepwell::RunSnapshot>();
    shared::<stepwell::SearchResult>();
    shared::<stepwell::tracking::Tracking>();
    moved::<stepwell::RunWriter>();
}
