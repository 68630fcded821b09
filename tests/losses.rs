//! What a journal lost is reported with every result that it may change, and no name or number is reused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use stepwell::maintenance::{CompactOptions, RepairOptions};
use stepwell::query::Query;
use stepwell::registry::{ModelRegistry, NewVersion};
use stepwell::testing::SimDisk;
use stepwell::{Error, Workspace};

use crate::support::protocol::{anchor_of, entries, id, log, on};

/// The last entry of a journal loses a byte, and so does its anchor.
fn lose_last(disk: &SimDisk, journal: &str) -> PathBuf {
    let last =
        entries(disk, journal).into_iter().filter(|path| path.to_string_lossy().ends_with(".entry")).max().unwrap();
    for path in [&last, &anchor_of(&last, journal)] {
        disk.damage(path, |bytes| *bytes.last_mut().unwrap() ^= 1).unwrap();
    }
    last
}

fn version_of(workspace: &Workspace, model: &str) -> Result<u64, Error> {
    let new = NewVersion { name: model.into(), source: "s3://b/m".into(), ..NewVersion::default() };
    ModelRegistry::new(workspace).create_version(&new).map(|version| version.version)
}

/// The deletion of an experiment, and the whole manifest's change, are lost: the run, its row and every list say it.
#[test]
fn every_answer_about_a_run_tells_what_may_have_deleted_it() {
    for journal in ["catalog", "manifest"] {
        let disk = SimDisk::new();
        let workspace = on(&disk);
        log(&workspace, "a");
        workspace.maintenance().compact(CompactOptions::default()).unwrap();
        log(&workspace, "b");
        workspace.experiments().create("vision").unwrap();
        let experiment = workspace.experiments().get_or_create("text").unwrap();
        workspace.experiments().delete(experiment).unwrap();
        assert_eq!(workspace.run(&id("b")).unwrap().damage(), <[String; 0]>::default());
        drop(workspace);
        let lost = lose_last(&disk, journal);
        let workspace = on(&disk);
        let named = |told: &[String]| told.iter().filter(|told| told.contains(lost.to_str().unwrap())).count();
        for run in ["a", "b"] {
            assert_eq!(named(workspace.run(&id(run)).unwrap().damage()), 1, "{journal} {run}");
            let (_, told) = workspace.find_summary_and_damage(&id(run)).unwrap().unwrap();
            assert_eq!(named(&told), 1, "{journal} {run}");
        }
        assert_eq!(named(&workspace.search(&Query::default()).unwrap().unreadable), 1, "{journal}");
        assert_eq!(named(&workspace.damage_of_experiments().unwrap()), usize::from(journal == "catalog"));
        workspace.maintenance().repair(RepairOptions::default()).unwrap();
        assert_eq!(named(on(&disk).run(&id("b")).unwrap().damage()), 0, "{journal}");
    }
}

/// A change that gave a version its number is lost: no number and no name is given before a repair, and none is given
/// again after it. What changes neither goes on.
#[test]
fn no_number_is_given_again_after_a_change_of_the_registry_is_lost() {
    let disk = SimDisk::new();
    let workspace = on(&disk);
    for name in ["m", "n"] {
        ModelRegistry::new(&workspace).create_model(name, "", BTreeMap::new()).unwrap();
    }
    assert_eq!((1..=3).map(|_| version_of(&workspace, "m").unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    drop(workspace);
    let lost = lose_last(&disk, "registry");
    let workspace = on(&disk);
    let store = ModelRegistry::new(&workspace);
    let refused = |error: Error| {
        assert_eq!(error.path(), Some(lost.as_path()), "{error}");
        assert!(error.to_string().contains("repair the workspace first"), "{error}");
    };
    refused(version_of(&workspace, "m").unwrap_err());
    refused(version_of(&workspace, "n").unwrap_err());
    refused(store.create_model("new", "", BTreeMap::new()).unwrap_err());
    refused(store.rename_model("n", "new").unwrap_err());
    store.set_alias("m", "best", Some(2)).unwrap();
    store.set_model_tag("n", "k", Some("v")).unwrap();
    drop(workspace);

    for round in 0..2 {
        let repaired = on(&disk).maintenance().repair(RepairOptions::default()).unwrap();
        assert_eq!(repaired.lost.len(), usize::from(round == 0), "{repaired:?}");
    }
    let workspace = on(&disk);
    let store = ModelRegistry::new(&workspace);
    assert!(workspace.damage_of_registry().unwrap().is_empty());
    assert_eq!(store.version_by_alias("m", "best").unwrap().unwrap().version, 2);
    assert_eq!(version_of(&workspace, "m").unwrap(), 1003);
    assert_eq!(version_of(&workspace, "n").unwrap(), 1001);
    assert_eq!(version_of(&workspace, "n").unwrap(), 1002);
    store.rename_model("n", "new").unwrap();
}
