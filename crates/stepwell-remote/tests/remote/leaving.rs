//! What has arrived leaves the spool, and is read, resumed and loaded all the same.

use std::time::Duration;

use stepwell::tracking::{CreateLoggedModel, LoggedModelStatus, Tracking, TrackingOptions};
use stepwell::{NewRun, RunId, RunStatus, Workspace};
use stepwell_remote::{Carried, Error, Spool, carry};

use crate::support::{points, server_and_spool, until};

const LONG: Duration = Duration::from_secs(60);

/// Carries all, and lets what has arrived leave.
fn push(spool: &Spool) -> Carried {
    let mut done = Carried::default();
    carry(spool.server(), spool.workspace(), Vec::new(), true, &mut |_| {}, &mut done).unwrap();
    done
}

#[test]
fn a_run_that_left_is_read_on_the_server_and_gone_on_with() {
    let (dir, mut served, spool) = server_and_spool();
    let new = NewRun { params: vec![("lr".into(), "0.1".into())], ..NewRun::default() };
    let mut run = spool.create_run("vision", new).unwrap();
    let id = run.run_id().clone();
    for step in 0..30_000 {
        run.log_metrics(step, None, &[("loss", step as f64 / 7.0), ("acc", f64::NAN)]).unwrap();
    }
    run.finish(RunStatus::Finished).unwrap();
    let logged = points(spool.workspace(), &id);
    assert!(push(&spool).released.contains(&id) && !spool.holds(&id).unwrap());
    let read = spool.read_run(&id).unwrap();
    assert_eq!(read.points(), 60_000);
    assert_eq!((read.state().param("lr"), read.state().experiment_name.as_str()), (Some("0.1"), "vision"));
    let history = read.history("loss").unwrap();
    assert!(history.iter().zip(&logged["loss"]).all(|(point, known)| point.value.to_bits() == known.2));
    let in_spool = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("read-");
    assert!(!std::fs::read_dir(spool.folder()).unwrap().flatten().any(|entry| in_spool(&entry.file_name())));
    // Gone on with three times, by the same spool, which has forgotten it each time.
    for turn in 0..3 {
        let mut run = spool.resume_run(&id, None).unwrap();
        assert_eq!(spool.last_step(&id), Some(29_999 + turn), "what the server has goes before");
        run.log_metric("loss", 30_000 + turn, 1.0).unwrap();
        run.finish(RunStatus::Finished).unwrap();
        let done = push(&spool);
        assert!(done.released.contains(&id) && done.notes.is_empty(), "turn {turn}: {done:?}");
    }
    let there = Workspace::open(dir.path().join("server")).unwrap();
    let now = points(&there, &id);
    assert_eq!((now["loss"].len(), now["acc"].len()), (30_003, 30_000));
    assert!(now["loss"].windows(2).all(|pair| pair[0].0 + 1 == pair[1].0));
    assert_eq!(there.run(&id).unwrap().state().param("lr"), Some("0.1"));
    // What nobody has, and a server that is not there.
    let unknown = spool.read_run(&RunId::new("unknown").unwrap());
    assert!(matches!(unknown, Err(Error::Refused { status: 404, .. })), "{unknown:?}");
    served.kill();
    assert!(spool.read_run(&id).is_err_and(|error| error.is_network()));
}

#[test]
fn a_carrier_lets_a_run_leave_as_often_as_it_comes_back() {
    let (dir, _served, spool) = server_and_spool();
    spool.start().unwrap();
    let mut run = spool.create_run("vision", NewRun::default()).unwrap();
    let id = run.run_id().clone();
    for turn in 0..4 {
        run.log_metric("loss", turn, 1.0).unwrap();
        run.finish(RunStatus::Finished).unwrap();
        assert!(spool.finish(&id, LONG).arrived);
        until("the run to leave", LONG, || !spool.holds(&id).unwrap());
        run = spool.resume_run(&id, None).unwrap();
    }
    run.close().unwrap();
    assert_eq!(spool.read_run(&id).unwrap().state().status(), RunStatus::Finished);
    let there = Workspace::open(dir.path().join("server")).unwrap();
    let steps: Vec<i64> = points(&there, &id)["loss"].iter().map(|point| point.0).collect();
    assert_eq!(steps, [0, 1, 2, 3]);
}

#[test]
fn what_a_process_was_about_to_remove_is_removed_by_the_next() {
    let (_dir, _served, spool) = server_and_spool();
    let run = spool.create_run("vision", NewRun::default()).unwrap();
    let id = run.run_id().clone();
    run.finish(RunStatus::Finished).unwrap();
    let mut done = Carried::default();
    carry(spool.server(), spool.workspace(), Vec::new(), false, &mut |_| {}, &mut done).unwrap();
    // As if it had died between the mark and the removal.
    spool.workspace().delete_run(&id).unwrap();
    assert!(!spool.holds(&id).unwrap());
    assert_eq!(spool.read_run(&id).unwrap().state().status(), RunStatus::Finished);
    let done = push(&spool);
    assert!(done.notes.is_empty(), "{done:?}");
    assert!(spool.workspace().find_run(&id).unwrap().is_none());
    assert!(spool.workspace().logged_points().unwrap().is_empty() && spool.lag().runs == 0);
    let edits = std::fs::read_dir(spool.workspace().root().join("edits")).map_or(0, Iterator::count);
    assert_eq!(edits, 0, "no log says anything of it");
}

#[test]
fn logged_models_arrive_with_their_files_and_leave_after_their_run() {
    let (dir, _served, spool) = server_and_spool();
    let tracking = |workspace: &Workspace| {
        let folder = workspace.root().join("artifacts").display().to_string();
        let options = TrackingOptions {
            artifact_root: folder.clone(),
            artifact_folder: Some(folder),
            ..TrackingOptions::default()
        };
        Tracking::new(workspace.clone(), options)
    };
    let own = tracking(spool.workspace());
    let run = spool.create_run("vision", NewRun::default()).unwrap();
    let id = run.run_id().clone();
    let experiment = spool.experiment("vision").unwrap().to_string();
    let new = CreateLoggedModel {
        experiment_id: experiment,
        name: Some("net".into()),
        source_run_id: Some(id.to_string()),
        params: vec![("depth".into(), "3".into())],
        ..CreateLoggedModel::default()
    };
    let model = own.create_logged_model(&new).unwrap();
    let model_id = RunId::new(model.model_id.as_str()).unwrap();
    let folder = std::path::PathBuf::from(&model.artifact_uri);
    std::fs::create_dir_all(folder.join("data")).unwrap();
    std::fs::write(folder.join("data/weights"), vec![7; 100_000]).unwrap();
    // While it is being written, what is known of it goes, and its files do not.
    let done = push(&spool);
    assert!(done.files == 0 && done.released.is_empty() && done.notes.is_empty(), "{done:?}");
    let there = Workspace::open(dir.path().join("server")).unwrap();
    let theirs = tracking(&there);
    assert_eq!(theirs.get_logged_model(&model.model_id).unwrap().status, LoggedModelStatus::Pending);
    own.finalize_logged_model(&model.model_id, LoggedModelStatus::Ready).unwrap();
    let done = push(&spool);
    assert!(done.files == 1 && done.released.is_empty(), "its run goes on: {done:?}");
    run.finish(RunStatus::Finished).unwrap();
    let done = push(&spool);
    assert_eq!(done.released.iter().collect::<Vec<_>>(), {
        let mut both = vec![&id, &model_id];
        both.sort();
        both
    });
    let got = theirs.get_logged_model(&model.model_id).unwrap();
    assert_eq!(
        (got.name.as_str(), got.status, got.source_run_id.as_str()),
        ("net", LoggedModelStatus::Ready, id.as_str())
    );
    assert_eq!(got.params.get("depth").map(String::as_str), Some("3"));
    let arrived = std::path::Path::new(&got.artifact_uri).join("data/weights");
    assert_eq!(std::fs::read(arrived).unwrap(), vec![7; 100_000]);
    assert!(!folder.exists(), "its files left with it");
    // Another run measures it later: the spool takes it back for that.
    spool.adopt(&model_id, None).unwrap();
    assert_eq!(own.get_logged_model(&model.model_id).unwrap().name, "net");
    own.set_logged_model_tags(&model.model_id, &[("checked".into(), "yes".into())]).unwrap();
    let done = push(&spool);
    assert!(done.released.contains(&model_id) && done.notes.is_empty(), "{done:?}");
    let tags = theirs.get_logged_model(&model.model_id).unwrap().tags;
    assert_eq!(tags.get("checked").map(String::as_str), Some("yes"));
}

#[test]
fn a_million_points_arrive_once() {
    let (dir, _served, spool) = server_and_spool();
    spool.start().unwrap();
    let mut run = spool.create_run("vision", NewRun::default()).unwrap();
    let id = run.run_id().clone();
    let keys = ["a", "b", "c", "d"].map(|key| (key, run.metric(key).unwrap()));
    for step in 0..250_000 {
        for (at, (_, metric)) in keys.iter().enumerate() {
            run.log(*metric, step, (step as f64 * (at + 1) as f64).sin()).unwrap();
        }
    }
    run.finish(RunStatus::Finished).unwrap();
    let delivery = spool.finish(&id, Duration::from_secs(120));
    assert!(delivery.arrived, "{delivery:?}");
    let there = Workspace::open(dir.path().join("server")).unwrap();
    let found = there.run(&id).unwrap();
    assert_eq!(found.points(), 1_000_000);
    for (at, (key, _)) in keys.iter().enumerate() {
        let history = found.history(key).unwrap();
        assert_eq!(history.len(), 250_000);
        let same = |(step, point): (i64, stepwell::Point)| {
            point.step == step && point.value.to_bits() == (step as f64 * (at + 1) as f64).sin().to_bits()
        };
        assert!((0..).zip(history.iter()).all(same), "{key}");
    }
    until("the spool to be empty", LONG, || spool.workspace().find_run(&id).unwrap().is_none());
    // The other way too, through the same interface.
    assert_eq!(spool.read_run(&id).unwrap().points(), 1_000_000);
}
