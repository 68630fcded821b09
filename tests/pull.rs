//! What one workspace takes from another: what was deleted stays so, nothing is taken twice, and nothing here is
//! overwritten.

use stepwell::import::Pulled;
use stepwell::maintenance::{CollectOptions, CompactOptions};
use stepwell::query::{Query, View};
use stepwell::registry::{ModelRegistry, NewVersion, Stage};
use stepwell::{ExperimentId, NewRun, RunEdit, RunId, RunStatus, Workspace};

fn two() -> (tempfile::TempDir, Workspace, Workspace) {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| Workspace::open_or_create(dir.path().join(name)).unwrap();
    let (source, target) = (open("source"), open("target"));
    (dir, source, target)
}

fn log(workspace: &Workspace, name: &str, experiment: ExperimentId, keys: &[&str]) -> RunId {
    let id = RunId::new(name).unwrap();
    let new = NewRun { id: Some(id.clone()), ..NewRun::default() };
    let mut run = workspace.create_run(experiment, new).unwrap();
    for step in 0..300 {
        let points: Vec<(&str, f64)> = keys.iter().map(|key| (*key, step as f64)).collect();
        run.log_metrics(step, Some(step), &points).unwrap();
    }
    run.finish(RunStatus::Finished).unwrap();
    id
}

fn pull(target: &Workspace, source: &Workspace) -> Pulled {
    target.pull(source, &mut |_, _| {}).unwrap()
}

fn shown(workspace: &Workspace, view: View) -> Vec<String> {
    let query = Query { view, ..Query::default() };
    let mut ids: Vec<String> =
        workspace.search(&query).unwrap().summaries().unwrap().iter().map(|run| run.run_id.to_string()).collect();
    ids.sort();
    ids
}

#[test]
fn what_was_permanently_deleted_stays_away_whatever_is_logged_to_it_elsewhere() {
    let (_dir, source, target) = two();
    let id = log(&source, "a", ExperimentId::DEFAULT, &["m", "n"]);
    let live = log(&source, "live", ExperimentId::DEFAULT, &["m", "n"]);
    assert_eq!(pull(&target, &source).added, 2);
    target.delete_run(&id).unwrap();
    target.maintenance().purge_run(&id).unwrap();
    target.maintenance().delete_metric(&live, "n").unwrap();
    source.edit_run(&id, &[RunEdit::Tag("later".into(), "word".into())]).unwrap();
    source.writer(&live).unwrap().log_metrics(300, None, &[("m", 300.0)]).unwrap();
    for _ in 0..2 {
        let pulled = pull(&target, &source);
        assert_eq!((pulled.deleted, pulled.added), (vec![id.clone()], 0));
        assert_eq!(shown(&target, View::All), ["live"]);
        let run = target.run(&live).unwrap();
        assert_eq!(run.keys().collect::<Vec<_>>(), ["m"]);
        assert_eq!(run.history("m").unwrap().len(), 301);
    }
    let again = pull(&target, &source);
    assert_eq!((again.updated, again.points), (0, 0));
}

#[test]
fn metadata_alone_brings_no_points_again() {
    let (_dir, source, target) = two();
    let id = log(&source, "a", ExperimentId::DEFAULT, &["m"]);
    pull(&target, &source);
    source.edit_run(&id, &[RunEdit::Tag("later".into(), "word".into())]).unwrap();
    let before = target.maintenance().usage().unwrap().bytes_on_disk;
    let pulled = pull(&target, &source);
    assert_eq!((pulled.updated, pulled.points), (1, 0));
    assert_eq!(target.run(&id).unwrap().state().tags().collect::<Vec<_>>(), [("later", "word")]);
    assert_eq!(target.run(&id).unwrap().history("m").unwrap().len(), 300);
    let packs: u64 = target.maintenance().usage().unwrap().by_kind.iter().map(|(_, _, bytes)| bytes).sum();
    assert!(packs < before + 2_000, "the points came again");
}

#[test]
fn runs_are_deleted_or_not_as_they_are_at_the_source() {
    let (_dir, source, target) = two();
    let vision = source.experiments().create("vision").unwrap();
    let (a, b) = (log(&source, "a", vision, &["m"]), log(&source, "b", vision, &["m"]));
    source.delete_run(&a).unwrap();
    source.experiments().delete(vision).unwrap();
    source.experiments().restore(vision).unwrap();
    source.delete_run(&b).unwrap();
    // Known by its name here, with a history of its own.
    let own = target.experiments().create("vision").unwrap();
    for _ in 0..3 {
        target.experiments().delete(own).unwrap();
        target.experiments().restore(own).unwrap();
    }
    let other = tempfile::tempdir().unwrap();
    let fresh = Workspace::open_or_create(other.path().join("fresh")).unwrap();
    for workspace in [&target, &fresh] {
        let pulled = pull(workspace, &source);
        assert_eq!(pulled.experiments[&vision], workspace.experiments().by_name("vision").unwrap().unwrap().id);
        assert_eq!(shown(workspace, View::ActiveOnly), ["a"]);
        assert_eq!(shown(workspace, View::DeletedOnly), ["b"]);
        assert_eq!(pull(workspace, &source).updated, 0);
    }
}

#[test]
fn models_are_merged_word_by_word() {
    let (_dir, source, target) = two();
    let (theirs, own) = (ModelRegistry::new(&source), ModelRegistry::new(&target));
    theirs.create_model("m", "", Default::default()).unwrap();
    theirs.create_version(&version("m")).unwrap();
    assert_eq!(target.pull_models(&source).unwrap().added, ["m"]);
    // Only the source went on: an alias, then a version.
    theirs.set_alias("m", "champion", Some(1)).unwrap();
    theirs.create_version(&version("m")).unwrap();
    assert_eq!(target.pull_models(&source).unwrap().updated, ["m"]);
    assert_eq!(own.version_by_alias("m", "champion").unwrap().unwrap().version, 1);
    assert_eq!(target.pull_models(&source).unwrap(), Default::default());
    // Both did.
    own.set_alias("m", "own", Some(2)).unwrap();
    theirs.create_version(&version("m")).unwrap();
    let pulled = target.pull_models(&source).unwrap();
    assert_eq!((pulled.updated, pulled.diverged), (vec!["m".to_owned()], vec![]));
    assert_eq!(own.version("m", 3).unwrap().version, 3);
    assert_eq!(own.version_by_alias("m", "own").unwrap().unwrap().version, 2);
    assert_eq!(own.version_by_alias("m", "own").unwrap().unwrap().current_stage, Stage::None);
}

#[test]
fn an_import_of_a_run_that_was_deleted_for_good_is_refused() {
    let (_dir, workspace, _other) = two();
    let import = |count: usize| stepwell::import::RunImport {
        series: vec![("m".into(), (0..count as i64).map(point).collect())],
        ..stepwell::import::RunImport::new(RunId::new("imported").unwrap(), ExperimentId::DEFAULT)
    };
    let add = |count: usize| {
        let mut importer = workspace.importer();
        importer.add(import(count)).and_then(|added| importer.finish().map(|_| added))
    };
    add(5).unwrap();
    let id = RunId::new("imported").unwrap();
    workspace.delete_run(&id).unwrap();
    workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
    for count in [5, 9] {
        let refused = add(count).unwrap_err().to_string();
        assert!(refused.contains("deleted for good"), "{refused}");
        assert!(workspace.find_run(&id).unwrap().is_none());
    }
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
}

/// Of a run with a random id an imported copy is deleted for good. The original does not come back from where it is,
/// stays there, and is taken by others from there.
#[test]
fn the_original_of_a_copy_that_was_deleted_for_good_stays_away() {
    for (name, is_random) in [("0123456789abcdef0123456789abcdef", true), ("chosen", false)] {
        let (dir, source, target) = two();
        let id = log(&source, name, ExperimentId::DEFAULT, &["m"]);
        let copy = stepwell::import::RunImport {
            own_id: true,
            series: vec![("m".into(), (0..300).map(point).collect())],
            ..stepwell::import::RunImport::new(id.clone(), ExperimentId::DEFAULT)
        };
        let mut importer = target.importer();
        importer.add(copy).unwrap();
        importer.finish().unwrap();
        target.delete_run(&id).unwrap();
        target.maintenance().purge_run(&id).unwrap();
        for _ in 0..2 {
            pull(&source, &target);
            assert_eq!(source.run(&id).unwrap().points(), 300, "{name}");
            source.edit_run(&id, &[RunEdit::Tag("later".into(), "word".into())]).unwrap();
            let pulled = pull(&target, &source);
            assert_eq!(pulled.deleted == [id.clone()], is_random, "{name}: {pulled:?}");
            assert_eq!(target.find_run(&id).unwrap().is_none(), is_random, "{name}");
            assert!(target.maintenance().verify().unwrap().is_ok());
        }
        let third = Workspace::open_or_create(dir.path().join("third")).unwrap();
        for _ in 0..2 {
            pull(&third, &source);
            assert_eq!(third.run(&id).unwrap().points(), 300, "{name}");
        }
    }
}

#[test]
fn names_and_tags_of_experiments_merge_by_how_often_they_were_changed() {
    let (_dir, source, target) = two();
    let id = source.experiments().create("vision").unwrap();
    source.experiments().set_tag(id, "owner", Some("ann")).unwrap();
    pull(&target, &source);
    assert_eq!(target.experiments().get(id).unwrap().tags["owner"], "ann");
    // Each side changes something else; a tag is removed.
    source.experiments().rename(id, "sight").unwrap();
    target.experiments().set_tag(id, "team", Some("a")).unwrap();
    target.experiments().set_tag(id, "owner", None).unwrap();
    assert_eq!((pull(&target, &source).experiments_updated, pull(&source, &target).experiments_updated), (1, 1));
    for workspace in [&source, &target] {
        let known = workspace.experiments().get(id).unwrap();
        assert_eq!((known.name.as_str(), known.tags.len(), known.tags["team"].as_str()), ("sight", 1, "a"));
    }
    assert_eq!((pull(&target, &source).experiments_updated, pull(&source, &target).experiments_updated), (0, 0));
    // Equally often: the greater stands on both sides. A name that is taken stays away and is told each time.
    source.experiments().set_tag(id, "team", Some("b")).unwrap();
    target.experiments().set_tag(id, "team", Some("c")).unwrap();
    pull(&target, &source);
    pull(&source, &target);
    assert!([&source, &target].iter().all(|workspace| workspace.experiments().get(id).unwrap().tags["team"] == "c"));
    target.experiments().create("taken").unwrap();
    source.experiments().rename(id, "taken").unwrap();
    for _ in 0..2 {
        let pulled = pull(&target, &source);
        assert!(pulled.left_out.iter().any(|why| why.contains("\"taken\"")), "{:?}", pulled.left_out);
        assert_eq!(target.experiments().get(id).unwrap().name, "sight");
    }
}

fn version(name: &str) -> NewVersion {
    NewVersion { name: name.into(), source: "runs:/a/model".into(), ..NewVersion::default() }
}

fn point(step: i64) -> stepwell::Point {
    stepwell::Point { step, timestamp_ms: None, value: step as f64 }
}
