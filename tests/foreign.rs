//! A workspace from somebody else touches nothing outside itself, and says where a link stands.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use stepwell::internals::folder::paths::FOLDERS;
use stepwell::maintenance::{CollectOptions, CompactOptions, RepairOptions};
use stepwell::query::Query;
use stepwell::{Error, ExperimentId, NewRun, Options, RunEdit, RunId, RunStatus, Workspace};

fn open(root: &Path) -> Result<Workspace, Error> {
    Workspace::open_or_create_with(root, Options { grace_ms: 0, ..Options::default() })
}

/// Two runs in a pack, two in logs, one of each deleted, and an edit.
fn fill(root: &Path) {
    let workspace = open(root).unwrap();
    for name in ["p1", "p2", "l1", "l2"] {
        let new = NewRun { id: Some(RunId::new(name).unwrap()), ..NewRun::default() };
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, new).unwrap();
        writer.log_metric("loss", 0, 1.0).unwrap();
        writer.finish(RunStatus::Finished).unwrap();
        if name == "p2" {
            workspace.maintenance().compact(CompactOptions::default()).unwrap();
        }
    }
    for name in ["p1", "l1"] {
        workspace.delete_run(&RunId::new(name).unwrap()).unwrap();
    }
    workspace.edit_run(&RunId::new("l2").unwrap(), &[RunEdit::Name("x".into())]).unwrap();
}

/// Every file below a folder, with what it holds.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            found.extend(tree(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Everything that anybody does with a workspace; errors are answers too.
fn use_it(root: &Path) {
    let Ok(workspace) = open(root) else { return };
    let _ = workspace.search(&Query::default());
    for name in ["p1", "p2", "l1", "l2"] {
        let id = RunId::new(name).unwrap();
        let _ = workspace.find_run(&id).map(|run| run.map(|run| run.history("loss")));
        let _ = workspace.edit_run(&id, &[RunEdit::Name("y".into())]);
        let _ = workspace.writer(&id).and_then(|mut writer| {
            writer.log_metric("loss", 1, 2.0)?;
            writer.finish(RunStatus::Finished)
        });
    }
    let _ = workspace.create_run(ExperimentId::DEFAULT, NewRun::default());
    let _ = workspace.experiments().create("another");
    let _ = workspace.maintenance().usage();
    let _ = workspace.maintenance().compact(CompactOptions::default());
    let _ = workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX));
    let _ = workspace.maintenance().repair(RepairOptions::default());
    let _ = workspace.maintenance().compact(CompactOptions::default());
}

#[test]
fn a_folder_that_is_a_link_is_refused_and_nothing_behind_it_is_touched() {
    for folder in FOLDERS {
        let place = tempfile::tempdir().unwrap();
        let (root, home) = (place.path().join("w"), place.path().join("home"));
        fill(&root);
        // What the folder holds lies elsewhere, beside files of the victim's whose names invite.
        fs::rename(root.join(folder), &home).unwrap();
        for name in ["thesis.txt", "00000000000000000000000000000000.pack", "0000000000000001.entry.txt"] {
            fs::write(home.join(name), b"kept").unwrap();
        }
        symlink(&home, root.join(folder)).unwrap();
        let before = tree(&home);
        match open(&root) {
            // Without its journals there is no workspace.
            Err(error) => assert!(error.to_string().contains("link"), "{folder}: {error}"),
            Ok(workspace) => {
                let report = workspace.maintenance().verify().unwrap();
                let named = report.damage.iter().any(|damage| damage.file == root.join(folder));
                assert!(named, "{folder}: {:?}", report.damage);
            }
        }
        use_it(&root);
        assert_eq!(tree(&home), before, "{folder}");
    }
}

#[test]
fn a_file_that_is_a_link_is_refused_and_what_it_names_is_not_touched() {
    let place = tempfile::tempdir().unwrap();
    let sample = place.path().join("sample");
    fill(&sample);
    let files: Vec<PathBuf> = tree(&sample).into_keys().filter(|path| path.is_file()).collect();
    assert!(files.len() >= 6, "{files:?}");
    for (file, number) in files.iter().zip(0..) {
        let (root, home) = (place.path().join(format!("w{number}")), place.path().join(format!("home{number}")));
        fs::create_dir(&home).unwrap();
        for (path, bytes) in tree(&sample) {
            let to = root.join(path.strip_prefix(&sample).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            if path.is_dir() { fs::create_dir_all(&to).unwrap() } else { fs::write(&to, bytes).unwrap() }
        }
        let own = root.join(file.strip_prefix(&sample).unwrap());
        fs::rename(&own, home.join("victim")).unwrap();
        symlink(home.join("victim"), &own).unwrap();
        let before = tree(&home);
        if let Ok(workspace) = open(&root) {
            let report = workspace.maintenance().verify().unwrap();
            assert!(report.damage.iter().any(|damage| damage.file == own), "{}: {:?}", own.display(), report.damage);
        }
        use_it(&root);
        assert_eq!(tree(&home), before, "{}", own.display());
    }
}

/// The folder of a workspace itself may be reached by a link that the caller names.
#[test]
fn a_workspace_may_be_reached_by_a_link() {
    let place = tempfile::tempdir().unwrap();
    fill(&place.path().join("w"));
    symlink(place.path().join("w"), place.path().join("link")).unwrap();
    let workspace = open(&place.path().join("link")).unwrap();
    assert!(workspace.maintenance().verify().unwrap().is_ok());
    assert_eq!(workspace.run_ids().unwrap().len(), 4);
    assert!(workspace.maintenance().compact(CompactOptions::default()).unwrap().skipped.is_empty());
}

/// A creation that stopped half way goes on, but not through a link.
#[test]
fn creating_follows_no_link() {
    let place = tempfile::tempdir().unwrap();
    let (root, home) = (place.path().join("w"), place.path().join("home"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&home).unwrap();
    symlink(&home, root.join("tmp")).unwrap();
    assert!(open(&root).is_err());
    assert!(tree(&home).is_empty());
}
