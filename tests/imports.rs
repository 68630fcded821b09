//! Imports: by several processes at once, of sources that grew, changed or are others, and in place of what was there.

use stepwell::import::{AddOutcome, ConcurrentImport, Importer, RefusalReason, RunImport};
use stepwell::maintenance::{CollectOptions, CompactOptions};
use stepwell::{ExperimentId, Options, Point, RunId, Workspace};

/// A source without an id of its own: metrics with so many points, each value the step times a factor.
fn source(series: &[(&str, usize, f64)]) -> RunImport {
    let point = |factor: f64| move |step: i64| Point { step, timestamp_ms: None, value: step as f64 * factor };
    RunImport {
        own_id: false,
        name: "logs/run".into(),
        params: vec![("lr".into(), "0.1".into())],
        series: series
            .iter()
            .map(|&(key, count, factor)| (key.to_owned(), (0..count as i64).map(point(factor)).collect()))
            .collect(),
        ..RunImport::new(RunId::new("imported").unwrap(), ExperimentId::DEFAULT)
    }
}

fn import(workspace: &Workspace, run: RunImport) -> stepwell::import::RunAdded {
    let mut importer = workspace.importer();
    let added = importer.add(run).unwrap();
    importer.finish().unwrap();
    added
}

fn refusal(workspace: &Workspace, run: RunImport) -> RefusalReason {
    match workspace.importer().try_add(run).unwrap() {
        AddOutcome::Refused(run, refusal) => {
            assert_eq!(run.id.as_str(), "imported", "the run comes back");
            refusal
        }
        AddOutcome::Added(added) => panic!("{added:?}"),
    }
}

fn values(workspace: &Workspace, key: &str) -> Vec<f64> {
    workspace.run(&RunId::new("imported").unwrap()).unwrap().arrivals(key).unwrap().values
}

#[test]
fn two_imports_at_once_store_one_copy() {
    let dir = tempfile::tempdir().unwrap();
    let workspaces: Vec<Workspace> =
        (0..3).map(|_| Workspace::open_or_create_with(dir.path(), Options::default()).unwrap()).collect();
    let id = |number: usize| RunId::new(format!("run{number}")).unwrap();
    let batch = |workspace: &Workspace, points: usize| {
        let mut importer = workspace.importer();
        for number in 0..5 {
            let run = RunImport { id: id(number), ..source(&[("loss", points, 1.0)]) };
            assert!(importer.add(run).unwrap().is_new, "each of the imports finds nothing there");
        }
        importer
    };
    // All look before any stores.
    let mut batches: Vec<Importer> = workspaces.iter().map(|workspace| batch(workspace, 500)).collect();
    let longer = batch(&workspaces[2], 600);
    // Of what an import was told it added, it hears at the end what another one stored meanwhile.
    let elsewhere = |importer: Importer| {
        let found = importer.finish().unwrap();
        let sum = |of: &dyn Fn(&ConcurrentImport) -> u64| found.iter().map(of).sum::<u64>();
        (sum(&|run| u64::from(run.is_new)), sum(&|run| run.series), sum(&|run| run.points))
    };
    let counts: Vec<_> = batches.drain(..).map(elsewhere).collect();
    assert_eq!(counts, [(0, 0, 0), (5, 5, 2500), (5, 5, 2500)]);
    let packs = || std::fs::read_dir(dir.path().join("packs")).unwrap().count();
    let one = packs();
    assert_eq!(workspaces[0].maintenance().usage().unwrap().points, 2500);
    // One that read more is stored as well: its copy serves.
    assert_eq!(elsewhere(longer), (5, 0, 2500), "500 of each run's 600 points");
    assert_eq!(packs(), 2 * one, "one pack and what belongs to it for each copy");
    for number in 0..5 {
        assert_eq!(workspaces[1].run(&id(number)).unwrap().points(), 600);
    }
    workspaces[0].maintenance().compact(CompactOptions::default()).unwrap();
    assert!(workspaces[0].maintenance().verify().unwrap().damage.is_empty());
}

#[test]
fn a_source_known_by_its_place_is_the_one_whose_points_it_begins_with() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create_with(dir.path(), Options::default()).unwrap();
    import(&workspace, source(&[("loss", 10, 1.0), ("acc", 3, 2.0)]));
    // Grown, with a metric that is new.
    let grown = import(&workspace, source(&[("loss", 12, 1.0), ("acc", 3, 2.0), ("lr", 1, 0.0)]));
    assert_eq!((grown.is_new, grown.series, grown.points, grown.absent_in_source), (false, 2, 3, 0));
    // A shorter copy adds nothing, and says by how much it is shorter.
    let shorter = import(&workspace, source(&[("loss", 4, 1.0)]));
    assert_eq!((shorter.points, shorter.absent_in_source), (0, 12));
    // Others: another value, another metric, points gone while others came.
    for (other, why) in [
        (source(&[("loss", 13, 1.5), ("acc", 3, 2.0), ("lr", 1, 0.0)]), "point 2 of metric \"loss\""),
        (source(&[("mse", 3, 1.0)]), "3 of its 3 metrics are not in the source"),
        (source(&[("loss", 13, 1.0)]), "2 of its 3 metrics are not in the source"),
        (source(&[("loss", 13, 1.0), ("acc", 2, 2.0), ("lr", 1, 0.0)]), "1 that were imported are gone"),
    ] {
        match refusal(&workspace, other) {
            RefusalReason::Changed(told) => assert!(told.contains(why), "{told}"),
            other => panic!("{other:?}"),
        }
    }
    let params = vec![("lr".into(), "0.2".into())];
    let conflict = RunImport { params, ..source(&[("loss", 12, 1.0), ("acc", 3, 2.0), ("lr", 1, 0.0)]) };
    assert!(matches!(refusal(&workspace, conflict), RefusalReason::Param(other) if other.key == "lr"));
    // Of a run that names itself, a source may have one metric only.
    let part = RunImport { own_id: true, ..source(&[("loss", 13, 1.0)]) };
    assert_eq!(import(&workspace, part).points, 1);
    assert_eq!(values(&workspace, "loss").len(), 13);
}

#[test]
fn a_changed_source_takes_the_place_of_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create_with(dir.path(), Options::default()).unwrap();
    let replace = |run: RunImport| {
        let mut importer = workspace.importer();
        let added = importer.replace(run).unwrap();
        importer.finish().unwrap();
        added
    };
    import(&workspace, source(&[("loss", 5, 1.0), ("old", 5, 1.0)]));
    for (round, factor) in [(1, 2.0), (2, 3.0)] {
        let params = vec![("lr".into(), factor.to_string())];
        let changed = RunImport { params, ..source(&[("loss", 4, factor)]) };
        assert_eq!(replace(changed.clone()).points, 4, "round {round}");
        assert_eq!(values(&workspace, "loss"), (0..4).map(|step| f64::from(step) * factor).collect::<Vec<_>>());
        let run = workspace.run(&changed.id).unwrap();
        assert_eq!(
            (run.keys().collect::<Vec<_>>(), run.state().param("lr")),
            (vec!["loss"], changed.params[0].1.as_str().into())
        );
        // It is followed like any other, and the old content is another source.
        assert_eq!(import(&workspace, changed).points, 0);
        assert_eq!(import(&workspace, RunImport { params: vec![], ..source(&[("loss", 6, factor)]) }).points, 2);
        assert!(matches!(refusal(&workspace, source(&[("loss", 9, 1.0)])), RefusalReason::Changed(_)));
        workspace.maintenance().compact(CompactOptions::default()).unwrap();
        workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
        assert_eq!(values(&workspace, "loss").len(), 6, "round {round}");
        assert!(workspace.maintenance().verify().unwrap().damage.is_empty());
    }
    // Once permanently deleted it stays away, unless it is wanted.
    let id = RunId::new("imported").unwrap();
    workspace.delete_run(&id).unwrap();
    workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
    assert_eq!(refusal(&workspace, source(&[("loss", 4, 3.0)])), RefusalReason::Deleted);
    assert!(replace(source(&[("loss", 4, 3.0)])).is_new);
    assert_eq!((values(&workspace, "loss").len(), import(&workspace, source(&[("loss", 4, 3.0)])).points), (4, 0));
}

#[test]
fn an_import_says_what_it_changes_of_a_run_and_may_preview() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create_with(dir.path(), Options::default()).unwrap();
    let first =
        RunImport { tags: vec![("a".into(), "1".into()), ("b".into(), "1".into())], ..source(&[("m", 3, 1.0)]) };
    assert!(import(&workspace, first.clone()).changed.is_empty());
    assert!(import(&workspace, first.clone()).changed.is_empty());
    let later =
        RunImport { name: "new".into(), tags: vec![("a".into(), "2".into())], deleted_ms: Some(5), ..first.clone() };
    let mut looking = workspace.importer();
    looking.dry_run();
    let would = looking.add(later.clone()).unwrap();
    looking.finish().unwrap();
    assert!(import(&workspace, first.clone()).changed.is_empty(), "nothing was stored");
    let done = import(&workspace, later);
    assert_eq!(done, would);
    assert_eq!((done.changed.name, done.changed.deleted), (Some(("logs/run".into(), "new".into())), true));
    assert_eq!((done.changed.tags_set, done.changed.tags_removed), (1, vec![]), "a tag that the source lacks stays");
    let mut importer = workspace.importer();
    let anew = RunImport { params: vec![], tags: vec![], ..source(&[("m", 1, 2.0)]) };
    let changed = importer.replace(anew).unwrap().changed;
    importer.finish().unwrap();
    assert_eq!((changed.restored, changed.points_removed), (true, 3));
    assert_eq!((changed.tags_removed.len(), changed.params_removed.len()), (2, 1));
    assert_eq!(values(&workspace, "m"), [0.0]);
}
