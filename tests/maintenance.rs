//! Maintenance in the background: it syncs what is written and compacts what is finished while others write, and ends with
//! its handle.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stepwell::base::ids::ExperimentId;
use stepwell::base::stats::RunStatus;
use stepwell::options::{Options, TailMode};
use stepwell::storage::memory::{Fate, PowerLoss, SimDisk};
use stepwell::workspace::maintenance::Schedule;
use stepwell::workspace::open::Workspace;
use stepwell::workspace::runs::NewRun;

#[test]
fn it_gathers_finished_runs_while_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    let maintenance = workspace
        .start_maintenance(Schedule { sync_every: None, compact_every: Some(Duration::from_millis(2)) })
        .unwrap();
    let mut live = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let mut ids = Vec::new();
    let mut written = 0;
    // Until it has seen finished runs, however slow the machine is.
    let gathered = loop {
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
    assert!(gathered > 0);
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(workspace.run(id).unwrap().history("loss").unwrap().values, [index as f64]);
    }
    assert_eq!(workspace.run(live.run_id()).unwrap().count("loss").unwrap(), written as u64);
}

/// What background syncs report as durable survives a power loss, though the writer never syncs: also while it seals, and
/// when it stands still.
#[test]
fn it_syncs_what_writers_log_while_they_go_on() {
    let disk = SimDisk::new();
    let open = |disk: &SimDisk| {
        Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new("/w"), Options::default()).unwrap()
    };
    let workspace = open(&disk);
    let schedule = Schedule { sync_every: Some(Duration::from_millis(1)), compact_every: None };
    let maintenance = workspace.start_maintenance(schedule).unwrap();
    let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let id = writer.run_id().clone();
    let loss = writer.metric("loss").unwrap();
    let mut logged = 0;
    let mut seen = 0;
    while seen < 20 {
        for _ in 0..500 {
            writer.log(loss, logged, logged, logged as f64).unwrap();
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

/// Points that a sync by another thread made durable in the tail stay so when the tail is begun anew: its stores may reach
/// the disk before anything that was appended to the log.
#[test]
fn a_promise_is_kept_before_the_tail_is_begun_anew() {
    for tail in [TailMode::Mapped, TailMode::Written] {
        let disk = SimDisk::new();
        let options = Options { tail, ..Options::default() };
        let workspace = Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new("/w"), options).unwrap();
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
        let loss = writer.metric("loss").unwrap();
        (0..9).for_each(|step| writer.log(loss, step, step, 1.0).unwrap());
        workspace.sync().unwrap();
        assert_eq!(writer.durable_through(), 9);
        writer.seal().unwrap();
        writer.log(loss, 9, 9, 1.0).unwrap();
        let left = disk.power_loss_with(&mut |pending| match pending.path.extension() {
            Some(end) if end == "tail" => Fate::Keep,
            _ => Fate::Drop,
        });
        let left = Workspace::open_on(Arc::new(left), Path::new("/w"), options).unwrap();
        assert!(left.run(writer.run_id()).unwrap().count("loss").unwrap() >= 9);
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
                    writer.log(loss, step, step, (step as f64).sin()).unwrap();
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
            let report = workspace.verify(&mut |_, _| {});
            verified.fetch_add(1, Ordering::Relaxed);
            if !report.as_ref().is_ok_and(|report| report.is_ok()) {
                verified.store(40, Ordering::Relaxed);
                frames.store(20, Ordering::Relaxed);
                panic!("{report:?}");
            }
        }
    });
}
