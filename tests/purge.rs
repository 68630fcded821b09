//! Permanent deletion: single metrics, runs and experiments go, stay away when old copies come back, and leave the
//! rest.

use std::path::Path;
use stepwell::Point;

use stepwell::maintenance::{CollectOptions, CompactOptions};
use stepwell::query::{Query, View};
use stepwell::{Error, ExperimentId, NewRun, RunId, RunStatus, Workspace};

/// Logs 2,000 points each of `keep` and `secret/key`, by one writer.
fn log(workspace: &Workspace, name: &str, experiment: ExperimentId) -> RunId {
    let id = RunId::new(name).unwrap();
    let new = NewRun { id: Some(id.clone()), ..NewRun::default() };
    let mut run = workspace.create_run(experiment, new).unwrap();
    let (keep, secret) = (run.metric("keep").unwrap(), run.metric("secret/key").unwrap());
    for step in 0..2_000 {
        run.log_point(keep, Point { step, timestamp_ms: Some(step), value: step as f64 }).unwrap();
        run.log_point(secret, Point { step, timestamp_ms: Some(step), value: -0.5 - step as f64 }).unwrap();
    }
    run.finish(RunStatus::Finished).unwrap();
    id
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// How many runs satisfy a filter.
fn found(workspace: &Workspace, filter: &str) -> usize {
    workspace.search(&Query::filter(filter).unwrap()).unwrap().summaries().unwrap().len()
}

#[test]
fn a_metric_goes_from_logs_and_packs_and_no_old_copy_brings_it_back() {
    for packed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("w");
        let workspace = Workspace::open_or_create(&root).unwrap();
        let watcher = Workspace::open(&root).unwrap();
        let (id, other) = (log(&workspace, "a", ExperimentId::DEFAULT), log(&workspace, "b", ExperimentId::DEFAULT));
        assert_eq!(found(&watcher, "metrics.`secret/key` < -1999"), 2);
        let logs: Vec<_> =
            files(&root.join("logs")).into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect();
        if packed {
            workspace.maintenance().compact(CompactOptions::default()).unwrap();
        }
        workspace.maintenance().delete_metric(&id, "secret/key").unwrap();
        for handle in [&workspace, &watcher, &Workspace::open(&root).unwrap()] {
            assert_eq!(found(handle, "metrics.`secret/key` < -1999"), 1);
            assert_eq!(found(handle, "metrics.keep = 1999"), 2);
            let run = handle.run(&id).unwrap();
            assert_eq!(run.keys().collect::<Vec<_>>(), ["keep"]);
            assert_eq!(run.history("keep").unwrap().len(), 2_000);
            assert_eq!(handle.run(&other).unwrap().history("secret/key").unwrap().len(), 2_000);
        }
        let missing = workspace.maintenance().delete_metric(&id, "secret/key");
        assert!(matches!(missing, Err(Error::NotFound { entity: stepwell::Entity::Metric, .. })), "{missing:?}");

        // A backup of the logs is copied back.
        for (bytes, path) in &logs {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        assert_eq!(watcher.run(&id).unwrap().keys().collect::<Vec<_>>(), ["keep"]);
        workspace.maintenance().compact(CompactOptions::default()).unwrap();
        workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
        assert_eq!(found(&watcher, "metrics.`secret/key` < -1999"), 1);
        let usage = watcher.maintenance().usage().unwrap();
        assert_eq!((usage.runs, usage.series, usage.points), (2, 3, 6_000));
        assert!(watcher.maintenance().verify().unwrap().is_ok());

        // What is logged later under its key lives.
        let mut again = workspace.writer(&id).unwrap();
        again.log_metrics(7, None, &[("secret/key", 7.0)]).unwrap();
        let refused = workspace.maintenance().delete_metric(&id, "secret/key");
        assert!(matches!(refused, Err(Error::Invalid { what: "run", .. })), "{refused:?}");
        drop(again);
        assert_eq!(watcher.run(&id).unwrap().history("secret/key").unwrap().values, [7.0]);
        assert_eq!(watcher.run(&id).unwrap().history("keep").unwrap().len(), 2_000);
    }
}

#[test]
fn nothing_of_a_deleted_metric_is_left_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("w");
    let workspace = Workspace::open_or_create(&root).unwrap();
    let id = log(&workspace, "a", ExperimentId::DEFAULT);
    workspace.maintenance().delete_metric(&id, "secret/key").unwrap();
    let read = |path: &std::path::PathBuf| std::fs::read(path).unwrap();
    let naming: Vec<_> =
        files(&root).into_iter().filter(|path| read(path).windows(10).any(|window| window == b"secret/key")).collect();
    // The manifest says what was deleted.
    assert!(naming.iter().all(|path| path.starts_with(root.join("manifest"))), "{naming:?}");
    assert!(files(&root.join("logs")).is_empty());
    assert_eq!(workspace.maintenance().usage().unwrap().points, 2_000);
}

#[test]
fn a_run_and_an_experiment_are_purged_only_when_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path().join("w")).unwrap();
    let vision = workspace.experiments().create("vision").unwrap();
    let (a, b) = (log(&workspace, "a", vision), log(&workspace, "b", vision));
    let own = log(&workspace, "c", ExperimentId::DEFAULT);
    for refused in [workspace.maintenance().purge_run(&a), workspace.maintenance().purge_experiment(vision)] {
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    workspace.delete_run(&a).unwrap();
    workspace.maintenance().purge_run(&a).unwrap();
    assert!(workspace.find_run(&a).unwrap().is_none());
    assert!(matches!(workspace.maintenance().purge_run(&a), Err(Error::NotFound { .. })));

    let open = workspace.writer(&b).unwrap();
    workspace.experiments().delete(vision).unwrap();
    let refused = workspace.maintenance().purge_experiment(vision);
    assert!(matches!(&refused, Err(Error::Invalid { why, .. }) if why.contains("being written")), "{refused:?}");
    let kept = workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
    assert_eq!((kept.in_use, kept.experiments), (vec![b.clone()], vec![]));
    assert!(workspace.experiments().by_name("vision").unwrap().is_some());
    drop(open);
    let dry = workspace
        .maintenance()
        .collect_garbage(CollectOptions { dry_run: true, ..CollectOptions::before(i64::MAX) })
        .unwrap();
    assert_eq!((dry.runs, dry.experiments), (vec![(vision, b.clone())], vec![vision]));
    workspace.maintenance().purge_experiment(vision).unwrap();
    assert!(workspace.find_run(&b).unwrap().is_none());
    assert!(matches!(workspace.maintenance().purge_experiment(vision), Err(Error::NotFound { .. })));
    assert_ne!(workspace.experiments().create("vision").unwrap(), vision, "the name is free, the number is not");

    // A run that was restored by itself keeps its experiment.
    let speech = workspace.experiments().create("speech").unwrap();
    let (restored, gone) = (log(&workspace, "d", speech), log(&workspace, "e", speech));
    workspace.experiments().delete(speech).unwrap();
    workspace.restore_run(&restored).unwrap();
    let refused = workspace.maintenance().purge_experiment(speech);
    assert!(matches!(&refused, Err(Error::Invalid { why, .. }) if why.contains("run d")), "{refused:?}");
    assert!(workspace.find_run(&gone).unwrap().is_some(), "nothing went");
    let collected = workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
    assert_eq!((collected.runs, collected.experiments), (vec![(speech, gone)], vec![]));
    assert_eq!(workspace.run(&restored).unwrap().points(), 4_000);
    assert!(workspace.experiments().by_name("speech").unwrap().is_some_and(|experiment| experiment.deleted));
    workspace.delete_run(&restored).unwrap();
    workspace.maintenance().purge_experiment(speech).unwrap();
    assert!(workspace.experiments().by_name("speech").unwrap().is_none());

    workspace.experiments().delete(ExperimentId::DEFAULT).unwrap();
    assert!(matches!(workspace.maintenance().purge_experiment(ExperimentId::DEFAULT), Err(Error::Invalid { .. })));
    let collected = workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
    assert_eq!((collected.runs, collected.experiments), (vec![(ExperimentId::DEFAULT, own)], vec![]));
    let all = Query { view: View::All, ..Query::default() };
    assert!(workspace.search(&all).unwrap().summaries().unwrap().is_empty());
    assert!(workspace.maintenance().verify().unwrap().is_ok());
}
