//! The end of a run, and a sync of it, cover all that the run was given before, by whichever writer on the machine.

use std::path::Path;
use std::sync::Arc;

use stepwell::maintenance::CompactOptions;
use stepwell::testing::{OpKind, PowerLoss, SimDisk, Storage, Times};
use stepwell::tracking::{Tracking, TrackingOptions, UpdateRun};
use stepwell::{ExperimentId, NewRun, Options, Point, RunEdit, RunId, RunStatus, RunWriter, TailMode, Workspace};

use crate::support::stop::{Actor, Stop};

/// The slots of a tail's buffer in these tests.
const HALF: u32 = 8;
/// How many chosen losses of power are tried each time, beside those of all and of nothing.
const LOSSES: u64 = 20;

fn on(disk: &SimDisk, tail: TailMode) -> Workspace {
    let options = Options { tail, tail_points: HALF, ..Options::default() };
    Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new("/w"), options).unwrap()
}

fn log(writer: &mut RunWriter, key: &str, steps: std::ops::Range<i64>) {
    for step in steps {
        let metric = writer.metric(key).unwrap();
        writer.log_point(metric, Point { step, timestamp_ms: None, value: step as f64 }).unwrap();
    }
}

/// A run of five points by a process, which goes on.
fn begun(disk: &SimDisk) -> (Workspace, RunWriter) {
    let process = on(disk, TailMode::Mapped);
    let mut writer = process.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    log(&mut writer, "loss", 0..5);
    (process, writer)
}

/// Fails the operation of the disk that has this place among those to come.
fn fail(disk: &SimDisk, operation: u64) -> u64 {
    let fault = disk.operations() + operation;
    disk.fail_at(fault, libc::EIO, Times::Once);
    fault
}

/// How the run ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Finish,
    Sync,
    Server,
}

/// Every other writer is another process: one was killed, one ended, two are at work, one edits. Then the run ends, the
/// others go on so far that they use their tails' slots again, and the power fails.
#[test]
fn the_end_of_a_run_covers_what_every_other_writer_gave_it() {
    for tail in [TailMode::Mapped, TailMode::Written] {
        for end in [End::Finish, End::Sync, End::Server] {
            for more in [0, 1, 5, 40] {
                // A sync alone does not keep what another process overwrites.
                if matches!(end, End::Sync) && more > 1 {
                    continue;
                }
                let disk = SimDisk::new();
                let processes: Vec<Workspace> = (0..6).map(|_| on(&disk, tail)).collect();
                let experiment = processes[0].experiments().get_or_create("vision").unwrap();
                let new = NewRun { name: "probe".into(), ..NewRun::default() };
                let mut first = processes[0].create_run(experiment, new).unwrap();
                let id = first.run_id().clone();
                first.log_param("lr", "0.1").unwrap();
                log(&mut first, "first", 0..5);
                let mut killed = processes[1].writer(&id).unwrap();
                log(&mut killed, "killed", 0..11);
                killed.set_tag("killed", "yes").unwrap();
                let mut live = processes[2].writer(&id).unwrap();
                log(&mut live, "live", 0..13);
                live.set_tag("live", "yes").unwrap();
                let mut framed = processes[3].writer(&id).unwrap();
                log(&mut framed, "framed", 0..3);
                framed.seal().unwrap();
                processes[4].edit_run(&id, &[RunEdit::Param("depth".into(), "3".into())]).unwrap();
                drop(first);
                // Its log and tail stay as they are, and its lock is free.
                disk.crash_at(disk.operations());
                drop(killed);
                let disk_of = |disk: &SimDisk| disk.process_crash();
                let disk = disk_of(&disk);
                // The others are processes of their own, which go on.
                let processes: Vec<Workspace> = (0..6).map(|_| on(&disk, tail)).collect();
                drop((live, framed));
                let mut live = processes[2].writer(&id).unwrap();
                log(&mut live, "again", 0..13);
                live.set_tag("again", "yes").unwrap();
                processes[4].edit_run(&id, &[RunEdit::Tag("edited".into(), "yes".into())]).unwrap();

                match end {
                    End::Finish => processes[5].writer(&id).unwrap().finish(RunStatus::Finished).unwrap(),
                    End::Sync => {
                        let mut own = processes[5].writer(&id).unwrap();
                        own.sync().unwrap();
                        own.sync().unwrap();
                        std::mem::forget(own);
                    }
                    End::Server => {
                        let tracking = Tracking::new(processes[5].clone(), TrackingOptions::default());
                        let update = UpdateRun { status: Some(RunStatus::Finished), ..UpdateRun::default() };
                        tracking.update_run(id.as_str(), &update).unwrap();
                    }
                }
                log(&mut live, "again", 13..13 + more);

                let seeds = (0..LOSSES).map(PowerLoss::Seeded);
                for how in [PowerLoss::DropAll, PowerLoss::KeepAll].into_iter().chain(seeds) {
                    let after = disk.power_loss(how);
                    for compacted in [false, true] {
                        let workspace = on(&after, tail);
                        if compacted {
                            workspace.maintenance().compact(CompactOptions::default()).unwrap();
                        }
                        let run = workspace.run(&id).unwrap();
                        let state = run.state();
                        let at = format!("{tail:?} {end:?} {more} {how:?} {compacted}");
                        assert_eq!(
                            (state.name(), state.param("lr"), state.param("depth")),
                            ("probe", Some("0.1"), Some("3")),
                            "{at}"
                        );
                        let tags: Vec<&str> = state.tags().map(|(key, _)| key).collect();
                        assert_eq!(tags, ["again", "edited", "killed", "live"], "{at}");
                        for (key, count) in [("first", 5), ("killed", 11), ("live", 13), ("framed", 3)] {
                            assert_eq!(
                                run.history(key).unwrap().steps,
                                (0..count).collect::<Vec<i64>>(),
                                "{at}: {key}"
                            );
                        }
                        let again = run.history("again").unwrap().steps;
                        assert!(
                            again.len() >= 13 && again.iter().copied().eq(0..again.len() as i64),
                            "{at}: {again:?}"
                        );
                        if !matches!(end, End::Sync) {
                            assert_eq!(state.status(), RunStatus::Finished, "{at}");
                        }
                        assert!(workspace.experiments().by_name("vision").unwrap().is_some(), "{at}");
                    }
                }
            }
        }
    }
}

/// A sync failed, and who was told of it is gone or another process: whoever syncs later is told nothing by the kernel,
/// but what it calls durable is.
#[test]
fn what_another_process_failed_to_sync_is_written_once_more() {
    for tail in [TailMode::Mapped, TailMode::Written] {
        for (end, framed) in [(End::Finish, false), (End::Finish, true), (End::Sync, false), (End::Sync, true)] {
            let mut failures = 0;
            for operation in 0.. {
                let disk = SimDisk::new();
                let process = on(&disk, tail);
                let mut writer = process.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
                let id = writer.run_id().clone();
                writer.set_tag("of", "the first").unwrap();
                log(&mut writer, "loss", 0..5);
                if framed {
                    writer.seal().unwrap();
                    log(&mut writer, "loss", 5..7);
                }
                let points = if framed { 7 } else { 5 };
                let fault = fail(&disk, operation);
                failures += u32::from(writer.sync().is_err());
                if disk.operations() <= fault {
                    break;
                }
                disk.crash_at(disk.operations());
                drop((writer, process));
                let disk = disk.process_crash();
                let other = on(&disk, tail);
                match end {
                    End::Finish => other.writer(&id).unwrap().finish(RunStatus::Finished).unwrap(),
                    _ => other.sync_run(&id).unwrap(),
                }
                let after = on(&disk.power_loss(PowerLoss::DropAll), tail);
                let run = after.run(&id).unwrap();
                let at = format!("{tail:?} {end:?} {framed} {operation}");
                assert_eq!(run.history("loss").unwrap().steps, (0..points).collect::<Vec<i64>>(), "{at}");
                assert_eq!(run.state().tags().collect::<Vec<_>>(), [("of", "the first")], "{at}");
            }
            assert!(failures >= 2, "{tail:?} {end:?} {framed}: {failures} syncs failed");
        }
    }
}

/// Whoever ends or syncs a run says of each other log, outside that log, that it survived: it is missed when it is gone
/// after the power failed.
#[test]
fn a_log_that_another_process_synced_is_missed_after_the_machine_stopped() {
    for end in [End::Finish, End::Sync] {
        for killed in [false, true] {
            let disk = SimDisk::new();
            let (process, writer) = begun(&disk);
            let id = writer.run_id().clone();
            let known = logs(&disk);
            let disk = if killed {
                disk.crash_at(disk.operations());
                drop((writer, process));
                disk.process_crash()
            } else {
                drop((writer, process));
                disk
            };
            let other = on(&disk, TailMode::Mapped);
            match end {
                End::Finish => other.writer(&id).unwrap().finish(RunStatus::Finished).unwrap(),
                _ => other.sync_run(&id).unwrap(),
            }
            drop(other);
            let after = disk.power_loss(PowerLoss::KeepAll);
            let sound = on(&after, TailMode::Mapped).maintenance().verify().unwrap();
            assert!(sound.is_ok(), "{end:?} {killed}: {:?}", sound.damage);
            after.remove_file(&known[0]).unwrap();
            let report = on(&after, TailMode::Mapped).maintenance().verify().unwrap();
            assert!(report.damage.iter().any(|damage| damage.file == known[0]), "{end:?} {killed}: {report:?}");
        }
    }
}

/// A sync of a run fails at any operation: the next one by the same handle leaves nothing out.
#[test]
fn a_failed_sync_of_a_run_is_made_good_by_the_next() {
    for operation in 0.. {
        let disk = SimDisk::new();
        let (process, writer) = begun(&disk);
        let id = writer.run_id().clone();
        drop((writer, process));
        let other = on(&disk, TailMode::Mapped);
        let fault = fail(&disk, operation);
        let _ = other.sync_run(&id);
        if disk.operations() <= fault {
            assert!(operation > 10);
            break;
        }
        other.sync_run(&id).unwrap();
        let after = on(&disk.power_loss(PowerLoss::DropAll), TailMode::Mapped);
        assert_eq!(after.run(&id).unwrap().history("loss").unwrap().steps, (0..5).collect::<Vec<i64>>(), "{operation}");
        assert!(after.maintenance().verify().unwrap().is_ok(), "{operation}");
    }
}

/// Files of logs.
fn logs(disk: &SimDisk) -> Vec<std::path::PathBuf> {
    let found = crate::support::protocol::entries(disk, "logs").into_iter();
    found.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect()
}

/// A writer closed its log, and another process that tried to sync it consumed the error.
#[test]
fn a_closed_log_that_another_process_failed_to_sync_is_written_once_more() {
    let mut failures = 0;
    for operation in 0.. {
        let disk = SimDisk::new();
        let (process, mut writer) = begun(&disk);
        let id = writer.run_id().clone();
        writer.seal().unwrap();
        drop(writer);
        let other = on(&disk, TailMode::Mapped);
        let fault = fail(&disk, operation);
        failures += u32::from(other.sync_run(&id).is_err());
        if disk.operations() <= fault {
            break;
        }
        process.sync().unwrap();
        let after = on(&disk.power_loss(PowerLoss::DropAll), TailMode::Mapped);
        assert_eq!(after.run(&id).unwrap().history("loss").unwrap().steps, (0..5).collect::<Vec<i64>>(), "{operation}");
    }
    assert!(failures >= 2, "{failures} syncs failed");
}

/// The experiment's entry has its name, and whoever published it was killed before that survived a power loss.
#[test]
fn the_end_of_a_run_covers_the_name_of_its_experiment() {
    let mut lost_otherwise = 0;
    for number in 0.. {
        let disk = SimDisk::new();
        on(&disk, TailMode::Written);
        let create = |disk: Arc<dyn Storage>| {
            let workspace = Workspace::open_on(disk, Path::new("/w"), Options::default())?;
            workspace.experiments().get_or_create("vision")
        };
        let actor = Actor::start(Arc::new(disk.clone()), Stop::After(number), create);
        if actor.stands_at().is_none() {
            break;
        }
        actor.kill();
        let workspace = on(&disk, TailMode::Written);
        let Some(experiment) = workspace.experiments().by_name("vision").unwrap() else { continue };
        let is_there = |disk: &SimDisk| on(disk, TailMode::Written).experiments().by_name("vision").unwrap().is_some();
        lost_otherwise += u32::from(!is_there(&disk.power_loss(PowerLoss::DropAll)));
        let writer = workspace.create_run(experiment.id, NewRun::default()).unwrap();
        writer.finish(RunStatus::Finished).unwrap();
        assert!(is_there(&disk.power_loss(PowerLoss::DropAll)), "operation {number}");
    }
    assert!(lost_otherwise > 0, "the name survived each time by itself");
}

/// A run with one writer costs a look, and no sync more.
#[test]
fn the_end_of_a_run_with_one_writer_syncs_nothing_else() {
    let disk = SimDisk::new();
    let workspace = on(&disk, TailMode::Written);
    let experiment = workspace.experiments().get_or_create("vision").unwrap();
    let mut others: Vec<RunId> = Vec::new();
    for _ in 0..3 {
        let mut other = workspace.create_run(experiment, NewRun::default()).unwrap();
        log(&mut other, "loss", 0..3);
        others.push(other.run_id().clone());
    }
    let syncs = |disk: &SimDisk, from: u64| {
        let trace = disk.trace();
        let syncs = trace[from as usize..].iter().filter(|op| matches!(op.kind, OpKind::Sync | OpKind::SyncDir));
        syncs.map(|op| op.path.to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let mut counts = Vec::new();
    for _ in 0..2 {
        let mut writer = workspace.create_run(experiment, NewRun::default()).unwrap();
        log(&mut writer, "loss", 0..3);
        let from = disk.operations();
        let own = format!("{:032x}", writer.run_id().key().0);
        writer.finish(RunStatus::Finished).unwrap();
        let synced = syncs(&disk, from);
        let foreign = synced.iter().filter(|path| path.ends_with(".log") && !path.contains(&own)).count();
        assert_eq!(foreign, 0, "{synced:?}");
        counts.push(synced.len());
    }
    // The first end of a handle makes the names of experiments survive; two syncs of the log and two of folders are its
    // own.
    assert_eq!(counts, [5, 4]);
    assert_eq!(others.len(), 3);
}
