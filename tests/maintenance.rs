//! Maintenance in the background: it syncs what is written and compacts what is finished while others write, and ends
//! with its handle.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use stepwell::Point;

use stepwell::maintenance::{CompactOptions, Schedule};
use stepwell::testing::{Fate, Op, OpKind, PowerLoss, SimDisk, Times};
use stepwell::{Error, ExperimentId, NewRun, Options, RunId, RunStatus, RunWriter, TailMode, Workspace};

#[test]
fn it_packs_finished_runs_while_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    let maintenance = workspace
        .maintenance()
        .start(Schedule { sync_every: None, compact_every: Some(Duration::from_millis(2)) })
        .unwrap();
    let mut live = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let mut ids = Vec::new();
    let mut written = 0;
    // Until it has seen finished runs, however slow the machine is.
    let packed = loop {
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        writer.log_metric("loss", 0, written as f64).unwrap();
        live.log_metric("loss", written, 1.0).unwrap();
        written += 1;
        ids.push(writer.run_id().clone());
        writer.finish(RunStatus::Finished).unwrap();
        match maintenance.compactions().last {
            Some(Ok(last)) if last.runs > 0 => break last.runs,
            Some(Err(error)) => panic!("{error}"),
            _ => {}
        }
    };
    drop(maintenance);
    assert!(packed > 0);
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(workspace.run(id).unwrap().history("loss").unwrap().values, [index as f64]);
    }
    assert_eq!(workspace.run(live.run_id()).unwrap().count("loss").unwrap(), written as u64);
}

/// What background syncs report as durable survives a power loss, though the writer never syncs: also while it seals,
/// and when it stands still.
#[test]
fn it_syncs_what_writers_log_while_they_go_on() {
    let disk = SimDisk::new();
    let open = |disk: &SimDisk| {
        Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new("/w"), Options::default()).unwrap()
    };
    let workspace = open(&disk);
    let schedule = Schedule { sync_every: Some(Duration::from_millis(1)), compact_every: None };
    let maintenance = workspace.maintenance().start(schedule).unwrap();
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let id = writer.run_id().clone();
    let loss = writer.metric("loss").unwrap();
    let mut logged = 0;
    let mut seen = 0;
    while seen < 20 {
        for _ in 0..500 {
            writer.log_point(loss, Point { step: logged, timestamp_ms: Some(logged), value: logged as f64 }).unwrap();
            logged += 1;
        }
        if logged % 7_000 == 0 {
            writer.seal().unwrap();
        }
        let durable = writer.durable_through();
        let rounds = maintenance.syncs();
        assert!(rounds.last.is_none_or(|last| last.is_ok()));
        if durable > 0 && rounds.rounds > seen {
            seen = rounds.rounds;
            let left = open(&disk.power_loss(PowerLoss::Seeded(seen))).run(&id).unwrap().history("loss").unwrap();
            assert!(left.len() as u64 >= durable, "{} points are left of {durable}", left.len());
            assert!(left.values.iter().enumerate().all(|(at, &value)| value == at as f64));
        }
    }
    // It stands still, and all of it becomes durable.
    while writer.durable_through() < logged as u64 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let left = open(&disk.power_loss(PowerLoss::DropAll)).run(&id).unwrap();
    assert_eq!(left.count("loss").unwrap(), logged as u64);
}

/// Points that a sync by another thread made durable in the tail stay so when the tail is begun anew: its stores may
/// reach the disk before anything that was appended to the log.
#[test]
fn a_promise_is_kept_before_the_tail_is_begun_anew() {
    for tail in [TailMode::Mapped, TailMode::Written] {
        let disk = SimDisk::new();
        let options = Options { tail, ..Options::default() };
        let workspace = Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new("/w"), options).unwrap();
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        let loss = writer.metric("loss").unwrap();
        (0..9).for_each(|step| writer.log_point(loss, Point { step, timestamp_ms: Some(step), value: 1.0 }).unwrap());
        workspace.sync().unwrap();
        assert_eq!(writer.durable_through(), 9);
        writer.seal().unwrap();
        writer.log_point(loss, Point { step: 9, timestamp_ms: Some(9), value: 1.0 }).unwrap();
        let left = disk.power_loss_with(&mut |pending| match pending.path.extension() {
            Some(end) if end == "tail" => Fate::Keep,
            _ => Fate::Drop,
        });
        let left = Workspace::open_on(Arc::new(left), Path::new("/w"), options).unwrap();
        assert!(left.run(writer.run_id()).unwrap().count("loss").unwrap() >= 9);
    }
}

/// A writer that is asked seals what it has in some pieces of its next calls, and syncing its log is enough then; its
/// tail is not synced. What is said after points that were not asked for is not a mark that those were on disk.
#[test]
fn a_requested_flush_frames_what_the_writer_has() {
    for (tail, points) in [(TailMode::Mapped, 9_000), (TailMode::Written, 9_000), (TailMode::Mapped, 700)] {
        let disk = SimDisk::new();
        let options = Options { tail, ..Options::default() };
        let open = |disk: SimDisk| Workspace::open_or_create_on(Arc::new(disk), Path::new("/w"), options).unwrap();
        let workspace = open(disk.clone());
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        let (loss, other) = (writer.metric("loss").unwrap(), writer.metric("other").unwrap());
        let mut logged = 0;
        let mut log = |writer: &mut RunWriter, count: i64| {
            for _ in 0..count {
                writer
                    .log_point(
                        if logged % 3 == 0 { other } else { loss },
                        Point { step: logged, timestamp_ms: Some(logged), value: logged as f64 },
                    )
                    .unwrap();
                logged += 1;
            }
        };
        log(&mut writer, 10);
        assert!(!workspace.request_flushes(), "so few points are synced where they lie");
        workspace.sync_flushed().unwrap();
        assert_eq!(writer.durable_through(), 10);
        for turn in 0..4_u64 {
            log(&mut writer, points);
            let asked = writer.points();
            assert!(workspace.request_flushes() && !workspace.flushes_are_complete());
            let mut calls = 0;
            while !workspace.flushes_are_complete() {
                log(&mut writer, 1);
                calls += 1;
            }
            assert!(calls <= 1000, "{calls} calls until {points} points were framed");
            log(&mut writer, 5);
            writer.set_tag("turn", &turn.to_string()).unwrap();
            let before = disk.trace().len();
            workspace.sync_flushed().unwrap();
            let of_tail = |op: &Op| op.kind == OpKind::Sync && op.path.extension().is_some_and(|end| end == "tail");
            assert!(!disk.trace()[before..].iter().any(of_tail), "the tail was synced");
            assert!((asked..writer.points()).contains(&writer.durable_through()));
            // The next frame carries a durable offset, and reaches the disk, while the points before it do not.
            writer.set_tag("after", &turn.to_string()).unwrap();
            let left = open(disk.power_loss_with(&mut |pending| match pending.path.extension() {
                Some(end) if end == "log" => Fate::Keep,
                _ => Fate::Drop,
            }));
            assert!(left.maintenance().verify().unwrap().is_ok());
            let left = left.run(writer.run_id()).unwrap();
            assert_eq!(left.points(), writer.durable_through());
            let values = left.arrivals("loss").unwrap().values;
            assert!(values.iter().zip((0..).filter(|at| at % 3 > 0)).all(|(&value, at)| value == f64::from(at)));
        }
        // It is idle: what it has is synced where it lies.
        log(&mut writer, points);
        assert!(workspace.request_flushes());
        workspace.sync_flushed().unwrap();
        assert_eq!(writer.durable_through(), writer.points());
        // Whatever reaches the disk of the calls after that, those points stay.
        let durable = writer.points();
        for _ in 0..3 {
            log(&mut writer, points);
            writer.seal().unwrap();
            log(&mut writer, 300);
            let left = open(disk.power_loss_with(&mut |pending| match pending.path.extension() {
                Some(end) if end == "tail" => Fate::Keep,
                _ => Fate::Drop,
            }));
            assert!(left.run(writer.run_id()).unwrap().points() >= durable);
        }
        let run = writer.run_id().clone();
        writer.finish(RunStatus::Finished).unwrap();
        let left = open(disk.power_loss(PowerLoss::DropAll));
        assert_eq!(left.run(&run).unwrap().points(), logged as u64);
        assert!(left.maintenance().verify().unwrap().is_ok());
    }
}

/// A failed sync is reported, whether or not the writer completed its flush, and the writer logs on.
#[test]
fn a_failed_sync_after_a_flush_is_reported() {
    for answered in [false, true] {
        let disk = SimDisk::new();
        let open =
            |disk: SimDisk| Workspace::open_or_create_on(Arc::new(disk), Path::new("/w"), Options::default()).unwrap();
        let workspace = open(disk.clone());
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        let loss = writer.metric("loss").unwrap();
        (0..300).for_each(|step| writer.log_point(loss, Point { step, timestamp_ms: Some(step), value: 1.0 }).unwrap());
        workspace.sync().unwrap();
        (0..300).for_each(|step| writer.log_point(loss, Point { step, timestamp_ms: Some(step), value: 1.0 }).unwrap());
        assert!(workspace.request_flushes());
        if answered {
            writer.log_point(loss, Point { step: 0, timestamp_ms: Some(0), value: 1.0 }).unwrap();
            assert!(workspace.flushes_are_complete());
        }
        disk.fail_at(disk.operations(), libc::EIO, Times::Once);
        assert!(matches!(workspace.sync_flushed(), Err(Error::DurabilityLost { from: 300, .. })));
        assert!(!workspace.request_flushes());
        assert!(matches!(workspace.sync_flushed(), Err(Error::DurabilityLost { .. })));
        assert_eq!(writer.durable_through(), 300);
        (0..900).for_each(|step| writer.log_point(loss, Point { step, timestamp_ms: Some(step), value: 1.0 }).unwrap());
        writer.seal().unwrap();
        writer.log_point(loss, Point { step: 0, timestamp_ms: Some(0), value: 1.0 }).unwrap();
        let points = writer.points();
        assert_eq!(workspace.run(writer.run_id()).unwrap().points(), points);
        assert!(matches!(writer.sync(), Err(Error::DurabilityLost { .. })));
    }
}

#[test]
fn verifying_finds_nothing_wrong_while_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    let (verified, frames) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
                let loss = writer.metric("loss").unwrap();
                for step in 0.. {
                    writer
                        .log_point(loss, Point { step, timestamp_ms: Some(step), value: (step as f64).sin() })
                        .unwrap();
                    if step % 3000 == 0 {
                        writer.seal().unwrap();
                        frames.fetch_add(1, Ordering::Relaxed);
                    }
                    let (verified, frames) = (verified.load(Ordering::Relaxed), frames.load(Ordering::Relaxed));
                    if verified >= 40 && frames >= 20 || frames > 2000 {
                        break;
                    }
                }
            });
        }
        while verified.load(Ordering::Relaxed) < 40 || frames.load(Ordering::Relaxed) < 20 {
            let report = workspace.maintenance().verify();
            verified.fetch_add(1, Ordering::Relaxed);
            if !report.as_ref().is_ok_and(|report| report.is_ok()) {
                verified.store(40, Ordering::Relaxed);
                frames.store(20, Ordering::Relaxed);
                panic!("{report:?}");
            }
        }
    });
}

/// A folder of logs goes when compaction has emptied it, so that no search lists it; what was in it can still be
/// synced.
#[test]
fn empty_folders_of_logs_go() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    let folders = || std::fs::read_dir(dir.path().join("w/logs")).unwrap().count();
    std::fs::create_dir(dir.path().join("w/logs/lost+found")).unwrap();
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    writer.log_metric("loss", 0, 1.0).unwrap();
    drop(writer);
    assert_eq!(folders(), 2);
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    assert_eq!(folders(), 1);
    workspace.sync().unwrap();
}

/// Whoever makes a log in a folder that goes at that moment makes the folder again.
#[test]
fn a_folder_that_goes_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    let folder = dir.path().join("w/logs/aa");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir(dir.path().join("w/logs")).unwrap() {
                    let _ = std::fs::remove_dir(entry.unwrap().path());
                }
            }
        });
        for number in 0..2000 {
            // All in one folder.
            let id = Some(RunId::new(format!("aa{number:030x}")).unwrap());
            let writer = workspace.create_run(ExperimentId::DEFAULT, NewRun { id, ..NewRun::default() });
            let writer = writer.inspect_err(|_| stop.store(true, Ordering::Relaxed)).unwrap();
            for entry in std::fs::read_dir(&folder).unwrap() {
                std::fs::remove_file(entry.unwrap().path()).unwrap();
            }
            drop(writer);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Points of a writer whose log was taken away with its folder are never said to survive.
#[test]
fn a_log_that_is_gone_is_not_durable() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    writer.log_metric("loss", 0, 1.0).unwrap();
    std::fs::remove_dir_all(dir.path().join("w/logs")).unwrap();
    assert!(matches!(workspace.sync(), Err(Error::DurabilityLost { .. })));
    assert_eq!(writer.durable_through(), 0);
    std::mem::forget(writer);
}

#[test]
fn verifying_finds_nothing_wrong_beside_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let compacting = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) || rounds < 5 {
                for value in 0..30 {
                    let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
                    writer.log_metric("loss", 0, f64::from(value)).unwrap();
                }
                workspace.maintenance().compact(CompactOptions::default()).unwrap();
                rounds += 1;
            }
        });
        let mut wrong = None;
        for _ in 0..40 {
            let report = workspace.maintenance().verify();
            if !report.as_ref().is_ok_and(|report| report.is_ok()) || workspace.maintenance().usage().is_err() {
                wrong = Some(report);
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        compacting.join().unwrap();
        assert!(wrong.is_none(), "{wrong:?}");
    });
}
