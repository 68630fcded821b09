//! Smallest histories that once went wrong, each with what it cost.

use std::path::Path;
use std::sync::Arc;

use stepwell::maintenance::CompactOptions;
use stepwell::testing::{Effect, Fate, Fault, Op, OpKind, PendingKind, PowerLoss, SimDisk, Storage, Times};
use stepwell::{
    Error, ExperimentId, NewRun, Options, Point, RunEdit, RunId, RunStatus, RunWriter, TailMode, Workspace,
};

fn open(disk: &SimDisk, tail: TailMode) -> Workspace {
    let options = Options { tail, ..Options::default() };
    Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new("/w"), options).unwrap()
}

fn run(workspace: &Workspace) -> (RunId, RunWriter) {
    let writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    (writer.run_id().clone(), writer)
}

/// Metadata written after points hid these points, first from readers and then from compaction, permanently.
#[test]
fn metadata_does_not_hide_the_points_before_them() {
    let disk = SimDisk::new();
    let workspace = open(&disk, TailMode::Mapped);
    let (id, mut writer) = run(&workspace);
    let loss = writer.metric("loss").unwrap();
    writer.log_point(loss, Point { step: 1, timestamp_ms: Some(1), value: 1.0 }).unwrap();
    writer.log_point(loss, Point { step: 2, timestamp_ms: Some(2), value: 2.0 }).unwrap();
    writer.set_tag("a", "b").unwrap();
    let values = || workspace.run(&id).unwrap().arrivals("loss").unwrap().values;
    assert_eq!(values(), [1.0, 2.0]);
    writer.log_point(loss, Point { step: 3, timestamp_ms: Some(3), value: 3.0 }).unwrap();
    writer.sync().unwrap();
    assert_eq!(values(), [1.0, 2.0, 3.0]);
    drop(writer);
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    assert_eq!(values(), [1.0, 2.0, 3.0]);
}

/// A writer that was opened first numbered its metadata too low, so that a status, set last, gave way to an older edit.
#[test]
fn the_last_word_wins_whoever_says_it() {
    let disk = SimDisk::new();
    let workspace = open(&disk, TailMode::Auto);
    let (id, mut first) = run(&workspace);
    let mut second = workspace.writer(&id).unwrap();
    for value in 0..9 {
        second.set_tag("a", &value.to_string()).unwrap();
        workspace.edit_run(&id, &[RunEdit::Status(RunStatus::Failed)]).unwrap();
    }
    first.set_tag("a", "last").unwrap();
    first.finish(RunStatus::Finished).unwrap();
    let run = workspace.run(&id).unwrap();
    assert_eq!(run.state().tags().collect::<Vec<_>>(), [("a", "last")]);
    assert_eq!(run.state().status(), RunStatus::Finished);
}

/// A first batch longer than a new tail ended the process by a panic.
#[test]
fn a_first_batch_may_be_long() {
    for tail in [TailMode::Mapped, TailMode::Written] {
        for len in [2048, 2049, 10_000, 131_072, 131_073] {
            let disk = SimDisk::new();
            let workspace = open(&disk, tail);
            let (id, mut writer) = run(&workspace);
            let loss = writer.metric("loss").unwrap();
            let point = |step| Point { step, timestamp_ms: None, value: step as f64 };
            let points: Vec<_> = (0..len).map(|step| (loss, point(step))).collect();
            writer.log_points(&points).unwrap();
            assert_eq!(workspace.run(&id).unwrap().points(), len as u64);
        }
    }
}

/// The manifest's entry had its name, its folder could not be synced, and the packs it names was removed: what had been
/// merged into it was gone.
#[test]
fn a_pack_stays_when_its_entry_may_be_published() {
    let merge_fails_at = |nth: u64| {
        let disk = SimDisk::new();
        disk.set_clock_ms(i64::MAX / 2);
        let workspace = open(&disk, TailMode::Auto);
        let mut ids = Vec::new();
        for value in 0..8 {
            let (id, mut writer) = run(&workspace);
            writer.log_metric("loss", 0, f64::from(value)).unwrap();
            writer.finish(RunStatus::Finished).unwrap();
            ids.push(id);
            if value < 7 {
                workspace.maintenance().compact(CompactOptions::default()).unwrap();
            }
        }
        let fault = Fault {
            at: nth,
            only: Some(OpKind::SyncDir),
            error: libc::EIO.into(),
            times: Times::Once,
            effect: Effect::Nothing,
        };
        let before = disk.trace().iter().filter(|op| op.kind == OpKind::SyncDir).count() as u64;
        disk.add_fault(Fault { at: before + nth, ..fault });
        let failed = workspace.maintenance().compact(CompactOptions::default()).is_err();
        for id in &ids {
            assert_eq!(workspace.run(id).unwrap().points(), 1, "sync {nth} of a folder failed");
        }
        disk.clear_faults();
        workspace.maintenance().compact(CompactOptions::default()).unwrap();
        for id in &ids {
            assert_eq!(open(&disk, TailMode::Auto).run(id).unwrap().points(), 1, "sync {nth} of a folder failed");
        }
        failed
    };
    // The third and the sixth are of the folder of anchors, without which an entry stands too.
    assert_eq!((0..6).map(merge_fails_at).collect::<Vec<_>>(), [true, true, false, true, true, false]);
}

/// A batch whose write failed after all its bytes reappeared behind the next point.
#[test]
fn what_a_failed_write_left_is_no_point() {
    let disk = SimDisk::new();
    let workspace = open(&disk, TailMode::Written);
    let (id, mut writer) = run(&workspace);
    let loss = writer.metric("loss").unwrap();
    writer.log_point(loss, Point { step: 0, timestamp_ms: Some(0), value: 0.0 }).unwrap();
    let point = |step| (loss, Point { step, timestamp_ms: None, value: step as f64 });
    for (times, effect) in [(1, Effect::Whole), (2, Effect::Whole)] {
        for again in 0..times {
            let fault = Fault {
                at: disk.operations() + again,
                only: None,
                error: libc::EIO.into(),
                times: Times::Once,
                effect,
            };
            disk.add_fault(fault);
        }
        assert!(writer.log_points(&[point(7), point(8), point(9)]).is_err());
        disk.clear_faults();
        writer.log_point(loss, Point { step: 1, timestamp_ms: Some(1), value: 1.0 }).unwrap();
    }
    assert_eq!(workspace.run(&id).unwrap().arrivals("loss").unwrap().values, [0.0, 1.0, 1.0]);
}

/// A folder that another process created and did not live to sync took synced logs with it.
#[test]
fn a_sync_covers_folders_that_another_created() {
    for nth in 0..20 {
        let disk = SimDisk::new();
        let workspace = open(&disk, TailMode::Auto);
        let fault = Fault {
            at: disk.trace().iter().filter(|op| op.kind == OpKind::SyncDir).count() as u64 + nth,
            only: Some(OpKind::SyncDir),
            error: libc::EIO.into(),
            times: Times::Once,
            effect: Effect::Nothing,
        };
        disk.add_fault(fault);
        let id = RunId::new("r").unwrap();
        let new = || NewRun { id: Some(id.clone()), ..NewRun::default() };
        let mut writer = match workspace.create_run(ExperimentId::DEFAULT, new()) {
            Ok(writer) => writer,
            Err(_) => workspace.create_run(ExperimentId::DEFAULT, new()).unwrap(),
        };
        writer.log_metric("loss", 0, 1.0).unwrap();
        let synced = writer.sync().or_else(|_| writer.sync());
        if synced.is_ok() {
            let left = open(&disk.power_loss(PowerLoss::DropAll), TailMode::Auto);
            assert_eq!(left.run(&id).unwrap().points(), 1, "sync {nth} of a folder failed");
        }
    }
}

/// The answer to a claim could not be read; the next value was acknowledged, and readers saw the first.
#[test]
fn an_acknowledged_param_is_what_readers_find() {
    for nth in 0..40 {
        let disk = SimDisk::new();
        let workspace = open(&disk, TailMode::Auto);
        let (id, mut writer) = run(&workspace);
        disk.fail_at(disk.operations() + nth, libc::EIO, Times::Once);
        let first = writer.log_param("lr", "1");
        disk.clear_faults();
        let expected = match first {
            Ok(()) => "1",
            Err(_) => {
                writer.log_param("lr", "2").unwrap();
                "2"
            }
        };
        assert_eq!(workspace.run(&id).unwrap().state().param("lr"), Some(expected), "operation {nth} failed");
    }
}

/// A tail that could neither be reserved nor removed kept its name, and the writer could never log again.
#[test]
fn a_tail_that_could_not_be_made_is_made_later() {
    let disk = SimDisk::new();
    let workspace = open(&disk, TailMode::Mapped);
    let (id, mut writer) = run(&workspace);
    let loss = writer.metric("loss").unwrap();
    let creates = disk.trace().iter().filter(|op| op.kind == OpKind::Allocate).count() as u64;
    for only in [OpKind::Allocate, OpKind::RemoveFile] {
        let at = if only == OpKind::Allocate { creates } else { 0 };
        let fault =
            Fault { at, only: Some(only), error: libc::ENOSPC.into(), times: Times::Forever, effect: Effect::Nothing };
        disk.add_fault(fault);
    }
    assert!(writer.log_point(loss, Point { step: 0, timestamp_ms: Some(0), value: 0.0 }).is_err());
    disk.clear_faults();
    writer.log_point(loss, Point { step: 1, timestamp_ms: Some(1), value: 1.0 }).unwrap();
    assert_eq!(workspace.run(&id).unwrap().arrivals("loss").unwrap().values, [1.0]);
}

/// A pack that could not be opened for a moment was missing from this handle until the manifest changed.
#[test]
fn a_pack_that_cannot_be_opened_now_is_opened_later() {
    let disk = SimDisk::new();
    let workspace = open(&disk, TailMode::Auto);
    let (id, mut writer) = run(&workspace);
    writer.log_metric("loss", 0, 1.0).unwrap();
    drop(writer);
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    for nth in 0..60 {
        disk.fail_at(disk.operations() + nth, libc::EMFILE, Times::Once);
        let other = Workspace::open_on(Arc::new(disk.clone()), Path::new("/w"), Options::default());
        let first = other.as_ref().ok().map(|other| other.run(&id));
        disk.clear_faults();
        match first {
            Some(Ok(run)) => assert_eq!(run.points(), 1),
            Some(Err(error)) => assert!(matches!(error, Error::Io { .. }), "operation {nth} failed: {error}"),
            None => continue,
        }
        assert_eq!(other.unwrap().run(&id).unwrap().points(), 1, "operation {nth} failed");
    }
}

/// An entry had its name but its folder was not synced; the next compaction found the points packed, and removed the
/// log.
#[test]
fn a_log_stays_until_the_entry_that_replaces_it_is_safe() {
    let disk = SimDisk::new();
    let workspace = open(&disk, TailMode::Auto);
    let (id, mut writer) = run(&workspace);
    writer.log_metric("loss", 0, 1.0).unwrap();
    writer.finish(RunStatus::Finished).unwrap();
    // The process dies between the two steps of publishing.
    let trial = disk.process_crash();
    open(&trial, TailMode::Auto).maintenance().compact(CompactOptions::default()).unwrap();
    let is_entry = |op: &&Op| {
        op.kind == OpKind::Link && op.to.as_ref().is_some_and(|to| !to.parent().unwrap().ends_with("anchors"))
    };
    let link = trial.trace().iter().rfind(is_entry).map(|op| op.number).unwrap();
    let dead = disk.process_crash();
    dead.crash_at(link + 1);
    let _ = open(&dead, TailMode::Auto).maintenance().compact(CompactOptions::default());
    let found = dead.process_crash();
    open(&found, TailMode::Auto).maintenance().compact(CompactOptions::default()).unwrap();
    // Removals reach the disk at once, what has a name by then does not.
    let left = found.power_loss_with(&mut |pending| match pending.kind {
        PendingKind::Name(OpKind::RemoveFile) => Fate::Keep,
        _ => Fate::Drop,
    });
    assert_eq!(open(&left, TailMode::Auto).run(&id).unwrap().points(), 1);
}

/// Whoever looked at the manifest first, a writer or a publisher, kept the next reader from opening the packs that
/// others had published: their words and points were missing from its view, and new words were numbered below theirs.
#[test]
fn packs_of_others_are_opened_whoever_read_the_manifest_first() {
    let disk = SimDisk::new();
    let (here, there) = (open(&disk, TailMode::Auto), open(&disk, TailMode::Auto));
    let (id, mut writer) = run(&here);
    let mut other = there.writer(&id).unwrap();
    let loss = other.metric("loss").unwrap();
    other.log_point(loss, Point { step: 1, timestamp_ms: Some(1), value: 1.0 }).unwrap();
    (0..9).for_each(|value| other.set_tag("a", &value.to_string()).unwrap());
    drop(other);
    there.maintenance().compact(CompactOptions::default()).unwrap();
    writer.set_tag("a", "last").unwrap();
    let run = here.run(&id).unwrap();
    assert_eq!(run.points(), 1);
    assert_eq!(run.state().tags().next(), Some(("a", "last")));
}

/// The index of another pack with as many runs verifies, and was taken for a pack's own: searches found the other's
/// runs.
#[test]
fn an_index_that_was_moved_from_another_pack_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("w");
    let workspace = Workspace::open_or_create(&root).unwrap();
    let mut ids = Vec::new();
    for value in ["here", "there"] {
        let (id, mut writer) = run(&workspace);
        writer.set_tag("place", value).unwrap();
        writer.finish(RunStatus::Finished).unwrap();
        workspace.maintenance().compact(CompactOptions::default()).unwrap();
        ids.push(id);
    }
    let indexes: Vec<_> = std::fs::read_dir(root.join("packs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "index"))
        .collect();
    assert_eq!(indexes.len(), 2);
    let bytes = indexes.iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>();
    std::fs::write(&indexes[0], &bytes[1]).unwrap();
    let fresh = Workspace::open(&root).unwrap();
    for (value, id) in ["here", "there"].iter().zip(&ids) {
        let query = stepwell::query::Query::filter(&format!("tags.place = '{value}'")).unwrap();
        let page = fresh.search(&query).unwrap();
        assert_eq!((page.total, &page.summaries().unwrap()[0].run_id), (1, id));
    }
}

/// The power failed when a tail had reached the disk, and the frame that named a series had not: points of that series
/// were missing, and later ones of others were there.
#[test]
fn no_point_outlives_one_before_it_whose_series_was_lost() {
    let disk = SimDisk::new();
    let workspace = open(&disk, TailMode::Mapped);
    let (id, mut writer) = run(&workspace);
    writer.log_metric("a", 0, 0.0).unwrap();
    workspace.sync().unwrap();
    let (a, b) = (writer.metric("a").unwrap(), writer.metric("b").unwrap());
    let of = |metric, step| (metric, Point { step, timestamp_ms: None, value: 1.0 });
    writer.log_points(&[of(a, 1), of(b, 1)]).unwrap();
    writer.log_points(&[of(a, 2), of(a, 3)]).unwrap();
    let left = disk.power_loss_with(&mut |pending| match pending.path.extension() {
        Some(end) if end == "tail" => Fate::Keep,
        _ => Fate::Drop,
    });
    let left = open(&left, TailMode::Mapped);
    assert_eq!(left.run(&id).unwrap().arrivals("a").unwrap().steps, [0]);
    for _ in 0..2 {
        let summary = left.find_summary(&id).unwrap().unwrap();
        assert_eq!(summary.metrics.values().map(|stats| stats.count).collect::<Vec<u64>>(), [1]);
    }
    left.maintenance().compact(CompactOptions::default()).unwrap();
    assert_eq!(left.run(&id).unwrap().arrivals("a").unwrap().steps, [0]);
}

/// Verifying answered that a file is not there, when compaction had replaced its pack meanwhile.
#[test]
fn verifying_goes_on_when_packs_are_replaced() {
    let disk = SimDisk::new();
    let options = Options { grace_ms: 0, ..Options::default() };
    let workspace = Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new("/w"), options).unwrap();
    let finish = || {
        let (_, mut writer) = run(&workspace);
        writer.log_metric("a", 0, 0.0).unwrap();
        writer.finish(RunStatus::Finished).unwrap();
        workspace.maintenance().compact(CompactOptions::default()).unwrap();
    };
    let packs =
        || disk.read_dir(Path::new("/w/packs")).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>();
    finish();
    let before = packs();
    assert!(before.iter().any(|name| name.ends_with(".index")));
    let mut replaced = false;
    let mut replace = |_, _| {
        while !replaced {
            finish();
            let now = packs();
            replaced = before.iter().all(|name| !now.contains(name));
        }
    };
    let report = workspace.maintenance().verify_with(&mut replace).unwrap();
    assert!(report.is_ok(), "{report:?}");
}

/// A sync of the tail failed; then points that an earlier one had made durable there were overwritten before the log
/// was synced, which has them.
#[test]
fn a_failed_sync_takes_nothing_that_was_durable_before() {
    let disk = SimDisk::new();
    let workspace = open(&disk, TailMode::Mapped);
    let (id, mut writer) = run(&workspace);
    writer.log_metric("a", 0, 0.0).unwrap();
    workspace.sync().unwrap();
    writer.log_metric("a", 1, 0.0).unwrap();
    let at = disk.trace().iter().filter(|op| op.kind == OpKind::Sync).count() as u64;
    let error = libc::EIO.into();
    disk.add_fault(Fault { at, only: Some(OpKind::Sync), error, times: Times::Once, effect: Effect::Nothing });
    assert!(matches!(workspace.sync(), Err(Error::DurabilityLost { from: 1, .. })));
    writer.seal().unwrap();
    writer.log_metric("a", 2, 0.0).unwrap();
    let left = disk.power_loss_with(&mut |pending| match pending.path.extension() {
        Some(end) if end == "tail" => Fate::Keep,
        _ => Fate::Drop,
    });
    assert_eq!(writer.durable_through(), 1);
    assert!(open(&left, TailMode::Mapped).run(&id).unwrap().count("a").unwrap() >= 1);
    assert!(workspace.sync().is_err());
}

/// All that nobody had synced was verified at each look at a run, so that a plot of a long one cost the reading of it
/// all.
#[test]
fn what_was_whole_at_the_last_look_is_not_taken_for_torn() {
    let disk = SimDisk::new();
    let workspace = open(&disk, TailMode::Mapped);
    let (id, mut writer) = run(&workspace);
    let metric = writer.metric("a").unwrap();
    let steps: Vec<i64> = (0..400_000).collect();
    let values: Vec<f64> = steps.iter().map(|step| (*step as f64).sin()).collect();
    writer.log_columns(metric, &steps, None, &values).unwrap();
    writer.seal().unwrap();
    assert_eq!(workspace.run(&id).unwrap().history("a").unwrap().values, values);

    let only = |dir: &Path, end: &str| {
        let entries = disk.read_dir(dir).unwrap();
        dir.join(&entries.iter().find(|entry| entry.name.ends_with(end)).unwrap().name)
    };
    let log = disk.open_write(&only(&only(Path::new("/w/logs"), ""), ".log")).unwrap();
    let (mut byte, at) = ([0], log.len().unwrap() / 2);
    log.read_at(&mut byte, at).unwrap();
    log.write_at(&[!byte[0]], at).unwrap();

    // This reader knows that the row group was whole: the damage is named. So it is by another one, since no crash
    // leaves it so.
    for workspace in [&workspace, &open(&disk, TailMode::Mapped)] {
        let run = workspace.run(&id).unwrap();
        assert_eq!(run.count("a").unwrap(), 400_000);
        assert!(matches!(run.history("a"), Err(Error::Corrupt { .. })));
    }
}
