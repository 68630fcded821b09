//! Runs are logged into a spool and arrive at a server, whatever happens in between.

use std::time::Duration;

use stepwell::{NewRun, RunStatus, Workspace};

use crate::support::{points, server_and_spool, until};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_run_arrives_with_all_that_was_logged() {
    let (dir, _served, spool) = server_and_spool();
    spool.start().unwrap();
    let new = NewRun {
        name: "first".into(),
        params: vec![("lr".into(), "0.1".into())],
        tags: vec![("team".into(), "vision".into())],
        ..NewRun::default()
    };
    let mut run = spool.create_run("vision", new).unwrap();
    let id = run.run_id().clone();
    for step in 0..5000 {
        run.log_metric("loss", step, 1.0 / (step + 1) as f64).unwrap();
        if step % 10 == 0 {
            run.log_metric("acc", step, f64::NAN).unwrap();
        }
    }
    let there = Workspace::open(dir.path().join("server")).unwrap();
    until("the points", Duration::from_secs(5), || {
        points(&there, &id).get("loss").is_some_and(|points| points.len() == 5000)
    });
    run.finish(RunStatus::Finished).unwrap();
    let before = points(spool.workspace(), &id);
    let delivery = spool.finish(&id, LONG);
    assert!(delivery.arrived && delivery.points_left == 0, "{delivery:?}");
    assert_eq!(points(&there, &id), before);
    let run = there.run(&id).unwrap();
    let state = run.state();
    assert_eq!((state.name(), state.param("lr"), state.status()), ("first", Some("0.1"), RunStatus::Finished));
    assert_eq!(state.tags().collect::<Vec<_>>(), [("team", "vision")]);
    assert_eq!(there.experiments().get(state.experiment).unwrap().name, "vision");
    until("the spool to be empty", LONG, || spool.workspace().find_run(&id).unwrap().is_none());
    assert!(there.maintenance().verify().unwrap().damage.is_empty());
}

#[test]
fn a_killed_server_goes_on_where_it_was() {
    let (dir, mut served, spool) = server_and_spool();
    spool.start().unwrap();
    let mut run = spool.create_run("vision", NewRun::default()).unwrap();
    let id = run.run_id().clone();
    for life in 0..4 {
        for at in 0..30_000 {
            let step = life * 30_000 + at;
            let other = ["b", "c"][step as usize % 2];
            run.log_metrics(step, None, &[("a", step as f64), (other, -step as f64)]).unwrap();
        }
        std::thread::sleep(Duration::from_millis(300));
        served.kill();
        spool.wake();
        std::thread::sleep(Duration::from_millis(100));
        served.start_again();
    }
    run.finish(RunStatus::Finished).unwrap();
    let before = points(spool.workspace(), &id);
    assert_eq!(before["a"].len(), 120_000);
    let delivery = spool.finish(&id, LONG);
    assert!(delivery.arrived, "{delivery:?}");
    let there = Workspace::open(dir.path().join("server")).unwrap();
    assert_eq!(points(&there, &id), before);
}
