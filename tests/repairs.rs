//! What repair takes out of use, and what it must not: files of a newer format, files that somebody writes, and what
//! stands in the place of a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::internals::base::checksum::crc32;
use stepwell::internals::folder::paths;
use stepwell::internals::folder::paths::FOLDERS;
use stepwell::maintenance::{CollectOptions, CompactOptions, RepairOptions, Repaired};
use stepwell::testing::{Effect, Fault, OpKind, SimDisk, Storage, Times};
use stepwell::{ExperimentId, NewRun, Options, RunEdit, RunId, RunStatus, RunWriter, TailMode, Workspace};

use crate::support::protocol::{anchor_of, entries};

const ROOT: &str = "/w";

fn open(disk: &SimDisk) -> Workspace {
    let options = Options { tail: TailMode::Written, grace_ms: 0, ..Options::default() };
    Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new(ROOT), options).unwrap()
}

fn id(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

fn create(workspace: &Workspace, name: &str) -> RunWriter {
    workspace.create_run(ExperimentId::DEFAULT, NewRun { id: Some(id(name)), ..NewRun::default() }).unwrap()
}

/// Logs five points to a run, and finishes it.
fn log(workspace: &Workspace, name: &str) {
    let mut run = create(workspace, name);
    (0..5).for_each(|step| run.log_metric("loss", step, 1.0).unwrap());
    run.finish(RunStatus::Finished).unwrap();
}

fn compact(workspace: &Workspace) {
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
}

/// The only file with this ending in a folder of the workspace, or in a folder within that.
fn only(disk: &SimDisk, folder: &str, ending: &str) -> PathBuf {
    let mut todo = vec![Path::new(ROOT).join(folder)];
    let mut found = Vec::new();
    while let Some(dir) = todo.pop() {
        for entry in disk.read_dir(&dir).unwrap() {
            let path = dir.join(&entry.name);
            if entry.is_dir {
                todo.push(path);
            } else if path.extension().is_some_and(|own| own == ending) {
                found.push(path);
            }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// It stays under its name with all its bytes, and is reported.
fn is_left(disk: &SimDisk, path: &Path, why: &str, repaired: &Repaired) {
    let told = repaired.skipped.iter().find(|(left, _)| left == path);
    assert!(told.is_some_and(|(_, told)| told.contains(why)), "{} is not told: {repaired:?}", path.display());
    assert!(disk.content(path).is_ok(), "{} is gone: {repaired:?}", path.display());
    assert_eq!((&repaired.quarantined[..], &repaired.lost[..]), (&[][..], &[][..]));
}

/// Makes a pack one of a version that this build does not know.
fn make_newer_pack(bytes: &mut [u8]) {
    bytes[8..12].copy_from_slice(&9_u32.to_le_bytes());
    let crc = crc32(0, &bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
}

/// The same of a log: the version is the first number of its first frame.
fn make_newer_log(bytes: &mut [u8]) {
    let (place, len) = (crc32(0, &[0; 24]), u32::from_le_bytes(*bytes[8..].first_chunk().unwrap()) as usize);
    bytes[40] = 9;
    let crc = crc32(place, &bytes[40..40 + len]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32(place, &bytes[..36]);
    bytes[36..40].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn what_a_newer_stepwell_wrote_stays_where_it_is() {
    // A pack that the manifest names, one that no entry names, a log, an edit log.
    for what in ["pack", "unnamed pack", "log", "edits"] {
        let disk = SimDisk::new();
        let workspace = open(&disk);
        let path = match what {
            "pack" => {
                log(&workspace, "a");
                compact(&workspace);
                only(&disk, "packs", "pack")
            }
            "unnamed pack" => {
                log(&workspace, "a");
                compact(&workspace);
                let pack = only(&disk, "packs", "pack");
                let other = pack.with_file_name(format!("{:032x}.pack", 7));
                let bytes = disk.content(&pack).unwrap();
                disk.create_new(&other).unwrap().write_at(&bytes, 0).unwrap();
                other
            }
            "log" => {
                log(&workspace, "a");
                only(&disk, "logs", "log")
            }
            _ => {
                log(&workspace, "a");
                compact(&workspace);
                workspace.edit_run(&id("a"), &[RunEdit::Name("x".into())]).unwrap();
                only(&disk, "edits", "log")
            }
        };
        drop(workspace);
        let of_pack = path.extension().is_some_and(|kind| kind == "pack");
        disk.damage(&path, |bytes| if of_pack { make_newer_pack(bytes) } else { make_newer_log(bytes) }).unwrap();
        let disk = disk.process_crash();
        let before = disk.content(&path).unwrap();
        let workspace = open(&disk);
        assert!(!workspace.maintenance().verify().unwrap().is_ok(), "{what}");
        for take_over in [false, true] {
            let repaired = workspace.maintenance().repair(RepairOptions { take_over }).unwrap();
            is_left(&disk, &path, "format version 9", &repaired);
            assert_eq!(disk.content(&path).unwrap(), before, "{what}");
        }
        // Nor does a collection of garbage advise to move it away.
        let collected = workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
        assert!(collected.skipped.iter().all(|(_, why)| !why.contains("moves it away")), "{what}: {collected:?}");
        assert_eq!(disk.content(&path).unwrap(), before, "{what}");
    }
}

#[test]
fn the_log_of_a_live_writer_stays_where_it_is_until_the_writer_is_gone() {
    let disk = SimDisk::new();
    let workspace = open(&disk);
    let mut writer = create(&workspace, "live");
    (0..5).for_each(|step| writer.log_metric("loss", step, 1.0).unwrap());
    writer.sync().unwrap();
    let path = only(&disk, "logs", "log");
    // Nothing tells who wrote it any more.
    disk.damage(&path, |bytes| bytes[20..200].fill(0x5A)).unwrap();
    let other = open(&disk);
    assert!(!other.maintenance().verify().unwrap().is_ok());
    is_left(&disk, &path, "somebody is writing it", &other.maintenance().repair(RepairOptions::default()).unwrap());
    // The writer finds its log, and goes on.
    writer.log_metric("loss", 5, 1.0).unwrap();
    writer.sync().unwrap();
    let disk = disk.process_crash();
    let repaired = open(&disk).maintenance().repair(RepairOptions::default()).unwrap();
    assert!(!repaired.quarantined.is_empty() && repaired.skipped.is_empty(), "{repaired:?}");
    assert!(open(&disk).maintenance().verify().unwrap().is_ok());
}

/// Damage in the middle of a log: it is salvaged when its writer is gone, and not told as lost before.
#[test]
fn damage_in_the_log_of_a_live_writer_is_not_reported_as_repaired() {
    let disk = SimDisk::new();
    let workspace = open(&disk);
    let mut writer = create(&workspace, "live");
    for round in 0..4 {
        (0..5).for_each(|step| writer.log_metric("loss", round * 5 + step, 1.0).unwrap());
        writer.sync().unwrap();
    }
    let path = only(&disk, "logs", "log");
    let middle = disk.content(&path).unwrap().len() / 2;
    disk.damage(&path, |bytes| bytes[middle] ^= 1).unwrap();
    let other = open(&disk);
    assert!(!other.maintenance().verify().unwrap().is_ok());
    is_left(&disk, &path, "somebody is writing it", &other.maintenance().repair(RepairOptions::default()).unwrap());
    let disk = disk.process_crash();
    let repaired = open(&disk).maintenance().repair(RepairOptions::default()).unwrap();
    assert!(!repaired.lost.is_empty() && repaired.skipped.is_empty(), "{repaired:?}");
    assert!(open(&disk).maintenance().verify().unwrap().is_ok());
}

/// Where locks cannot be judged, a person says that nobody writes.
#[test]
fn without_locks_a_damaged_log_stays_until_somebody_says_that_its_writer_is_gone() {
    let disk = SimDisk::new();
    log(&open(&disk), "a");
    let path = only(&disk, "logs", "log");
    disk.damage(&path, |bytes| bytes[20..200].fill(0x5A)).unwrap();
    let disk = disk.process_crash();
    let error = libc::ENOLCK.into();
    disk.add_fault(Fault { at: 0, only: Some(OpKind::Lock), error, times: Times::Forever, effect: Effect::Nothing });
    let workspace = open(&disk);
    is_left(&disk, &path, "nobody can tell", &workspace.maintenance().repair(RepairOptions::default()).unwrap());
    let repaired = workspace.maintenance().repair(RepairOptions { take_over: true }).unwrap();
    assert!(!repaired.quarantined.is_empty() && repaired.skipped.is_empty(), "{repaired:?}");
}

/// The same of a pack that may be in the making.
#[test]
fn without_locks_a_pack_that_no_entry_names_stays_until_somebody_says_that_its_maker_is_gone() {
    let disk = SimDisk::new();
    let workspace = open(&disk);
    for name in ["a", "b"] {
        log(&workspace, name);
        compact(&workspace);
    }
    // The entry of the second pack is gone, with all that shows it.
    let mut entries = disk.read_dir(&Path::new(ROOT).join("manifest/0000000000000000")).unwrap();
    entries.sort();
    let last = entries.pop().unwrap().name;
    disk.remove_file(&Path::new(ROOT).join("manifest/0000000000000000").join(last)).unwrap();
    for anchor in disk.read_dir(&Path::new(ROOT).join("anchors")).unwrap() {
        disk.remove_file(&Path::new(ROOT).join("anchors").join(anchor.name)).unwrap();
    }
    let disk = disk.process_crash();
    let error = libc::ENOLCK.into();
    disk.add_fault(Fault { at: 0, only: Some(OpKind::Lock), error, times: Times::Forever, effect: Effect::Nothing });
    let workspace = open(&disk);
    let repaired = workspace.maintenance().repair(RepairOptions::default()).unwrap();
    assert!(repaired.skipped.len() == 1 && repaired.skipped[0].1.contains("nobody can tell"), "{repaired:?}");
    assert!(workspace.find_run(&id("b")).unwrap().is_none());
    let repaired = workspace.maintenance().repair(RepairOptions { take_over: true }).unwrap();
    assert_eq!((repaired.salvaged_runs, repaired.skipped.len()), (1, 0), "{repaired:?}");
    assert_eq!(workspace.run(&id("b")).unwrap().points(), 5);
}

/// A ledger has the lock of the process that writes it.
#[test]
fn the_ledger_of_a_live_process_stays_where_it_is() {
    let disk = SimDisk::new();
    let workspace = open(&disk);
    let mut writer = create(&workspace, "live");
    writer.log_metric("loss", 0, 1.0).unwrap();
    writer.sync().unwrap();
    let path = only(&disk, "ledgers", "ledger");
    disk.damage(&path, |bytes| bytes[20] ^= 1).unwrap();
    let other = open(&disk);
    let report = other.maintenance().verify().unwrap();
    assert!(report.damage.iter().any(|damage| damage.file == path), "{report:?}");
    let repaired = other.maintenance().repair(RepairOptions::default()).unwrap();
    assert!(repaired.skipped.iter().any(|(left, why)| *left == path && why.contains("writing it")), "{repaired:?}");
    assert!(disk.content(&path).is_ok());
    let disk = disk.process_crash();
    let repaired = open(&disk).maintenance().repair(RepairOptions::default()).unwrap();
    assert!(repaired.skipped.is_empty() && disk.content(&path).is_err(), "{repaired:?}");
}

fn open_real(root: &Path) -> Workspace {
    Workspace::open_or_create_with(root, Options { grace_ms: 0, ..Options::default() }).unwrap()
}

/// A run in a pack, one in a log, an edit, an experiment and a model.
fn fill(root: &Path) {
    let workspace = open_real(root);
    workspace.experiments().create("vision").unwrap();
    stepwell::registry::ModelRegistry::new(&workspace).create_model("m", "", Default::default()).unwrap();
    log(&workspace, "packed");
    compact(&workspace);
    log(&workspace, "logged");
    workspace.edit_run(&id("packed"), &[RunEdit::Name("x".into())]).unwrap();
}

#[test]
fn a_file_in_the_place_of_a_folder_is_moved_away_and_what_was_in_the_folder_is_reported() {
    let place = tempfile::tempdir().unwrap();
    for folder in FOLDERS {
        let root = place.path().join(folder);
        fill(&root);
        let path = root.join(folder);
        fs::remove_dir_all(&path).unwrap();
        fs::write(&path, b"mine").unwrap();
        let workspace = Workspace::open(&root).unwrap();
        let report = workspace.maintenance().verify().unwrap();
        assert!(report.damage.iter().any(|damage| damage.file == path), "{folder}: {:?}", report.damage);
        let repaired = workspace.maintenance().repair(RepairOptions::default()).unwrap();
        assert!(repaired.skipped.is_empty(), "{folder}: {repaired:?}");
        let kept = repaired.quarantined.iter().any(|kept| fs::read(kept).is_ok_and(|kept| kept == b"mine"));
        assert!(kept, "{folder}: {repaired:?}");
        // What held something that nothing else has is missed; the model's one entry has its anchor.
        let held = [paths::MANIFEST, paths::CATALOG, paths::LOGS, paths::EDITS, paths::PACKS];
        assert_eq!(repaired.lost.is_empty(), !held.contains(&folder), "{folder}: {repaired:?}");
        let workspace = Workspace::open(&root).unwrap();
        let report = workspace.maintenance().verify().unwrap();
        assert!(report.is_ok(), "{folder}: {:?}", report.damage);
        if folder != paths::PACKS {
            assert_eq!(workspace.run(&id("packed")).unwrap().points(), 5, "{folder}");
        }
        if folder != paths::LOGS {
            assert_eq!(workspace.run(&id("logged")).unwrap().points(), 5, "{folder}");
        }
        // All goes on as before.
        workspace.experiments().create("text").unwrap();
        log(&workspace, "later");
        compact(&workspace);
        assert_eq!(workspace.run(&id("later")).unwrap().points(), 5, "{folder}");
        assert!(workspace.maintenance().verify().unwrap().is_ok(), "{folder}");
    }
}

/// Folders within those: of logs by the run's key, and of entries.
#[test]
fn a_file_in_the_place_of_a_folder_within_is_moved_away() {
    let place = tempfile::tempdir().unwrap();
    for folder in [paths::LOGS, paths::MANIFEST, paths::CATALOG] {
        let root = place.path().join(folder);
        fill(&root);
        let mut within = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let path = within.find(|path| fs::read_dir(path).is_ok_and(|mut files| files.next().is_some())).unwrap();
        fs::remove_dir_all(&path).unwrap();
        fs::write(&path, b"mine").unwrap();
        let workspace = Workspace::open(&root).unwrap();
        assert!(!workspace.maintenance().verify().unwrap().is_ok(), "{folder}");
        let repaired = workspace.maintenance().repair(RepairOptions::default()).unwrap();
        // The one entry of a journal has its anchor.
        assert!(
            repaired.skipped.is_empty() && repaired.lost.is_empty() == (folder != paths::LOGS),
            "{folder}: {repaired:?}"
        );
        let workspace = Workspace::open(&root).unwrap();
        let report = workspace.maintenance().verify().unwrap();
        assert!(report.is_ok(), "{folder}: {:?}", report.damage);
        assert_eq!(workspace.run(&id("packed")).unwrap().points(), 5, "{folder}");
        workspace.experiments().create("text").unwrap();
        assert!(Workspace::open(&root).unwrap().experiments().by_name("text").unwrap().is_some(), "{folder}");
    }
}

/// A run, or its experiment, was deleted and restored, and the restoration does not verify or is gone: nothing is
/// deleted for good on account of what is left, neither before nor after a repair.
#[test]
fn what_a_damaged_change_may_have_restored_is_not_deleted_for_good() {
    for of_experiment in [false, true] {
        for gone in [false, true] {
            let disk = SimDisk::new();
            let workspace = open(&disk);
            let experiment = workspace.experiments().get_or_create("vision").unwrap();
            let new = NewRun { id: Some(id("a")), ..NewRun::default() };
            let mut run = workspace.create_run(experiment, new).unwrap();
            run.log_metric("loss", 0, 0.5).unwrap();
            run.finish(RunStatus::Finished).unwrap();
            workspace.maintenance().compact(CompactOptions::default()).unwrap();
            let copy = open(&SimDisk::new());
            copy.pull(&workspace, &mut |_, _| {}).unwrap();
            let folder = if of_experiment { "catalog" } else { "edits" };
            if of_experiment {
                workspace.experiments().delete(experiment).unwrap();
            } else {
                workspace.delete_run(&id("a")).unwrap();
            }
            drop(workspace);
            let known = entries(&disk, folder);
            let workspace = open(&disk);
            if of_experiment {
                workspace.experiments().restore(experiment).unwrap();
            } else {
                workspace.restore_run(&id("a")).unwrap();
            }
            drop(workspace);
            let restored: Vec<_> = entries(&disk, folder).into_iter().filter(|path| !known.contains(path)).collect();
            assert_eq!(restored.len(), 1, "{restored:?}");
            if of_experiment {
                // Its anchor would serve.
                disk.damage(&anchor_of(&restored[0], folder), |bytes| bytes[30] ^= 1).unwrap();
            }
            if gone {
                disk.remove_file(&restored[0]).unwrap();
            } else {
                disk.damage(&restored[0], |bytes| *bytes.last_mut().unwrap() ^= 1).unwrap();
            }
            let what = format!("of experiment {of_experiment}, gone {gone}");
            for repaired in [false, true, true] {
                let workspace = open(&disk);
                if repaired {
                    workspace.maintenance().repair(RepairOptions::default()).unwrap();
                }
                let collected = workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
                assert_eq!((collected.runs.len(), collected.experiments.len()), (0, 0), "{what} {collected:?}");
                if repaired {
                    assert!(workspace.maintenance().verify().unwrap().is_ok(), "{what}");
                    assert!(!workspace.counts_as_deleted(workspace.run(&id("a")).unwrap().state()).unwrap(), "{what}");
                } else {
                    assert!(!collected.left_out.is_empty(), "{what}");
                    assert!(workspace.maintenance().purge_run(&id("a")).is_err(), "{what}");
                    assert!(workspace.maintenance().purge_experiment(experiment).is_err(), "{what}");
                    let pulled = copy.pull(&workspace, &mut |_, _| {}).unwrap();
                    assert!(!pulled.left_out.is_empty(), "{what}");
                    assert!(!copy.counts_as_deleted(copy.run(&id("a")).unwrap().state()).unwrap(), "{what}");
                }
                assert_eq!(open(&disk).run(&id("a")).unwrap().points(), 1, "{what}");
            }
        }
    }
}

/// A link or a FIFO stands in the place of a folder: nothing ends as a whole, what is not concerned is mended, packed
/// and deleted, and each answer names the place. The folder back in its place, all is there.
#[test]
fn what_is_not_concerned_by_a_blocked_folder_is_done() {
    let place = tempfile::tempdir().unwrap();
    for folder in FOLDERS {
        for is_link in [false, true] {
            let what = format!("{folder}, link {is_link}");
            let root = place.path().join(&what);
            fill(&root);
            let workspace = open_real(&root);
            log(&workspace, "gone");
            compact(&workspace);
            workspace.delete_run(&id("gone")).unwrap();
            log(&workspace, "logged2");
            drop(workspace);
            let (path, home) = (root.join(folder), place.path().join(format!("home of {what}")));
            fs::rename(&path, &home).unwrap();
            if is_link {
                std::os::unix::fs::symlink(&home, &path).unwrap();
            } else {
                assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
            }
            let workspace = open_real(&root);
            let named = |places: &[(PathBuf, String)]| places.iter().any(|(left, _)| left.starts_with(&path));
            let repaired = workspace.maintenance().repair(RepairOptions::default()).unwrap();
            assert!(named(&repaired.skipped) && repaired.lost.is_empty(), "{what}: {repaired:?}");
            let before = fs::read_dir(root.join(paths::PACKS)).into_iter().flatten().count();
            let done = workspace.maintenance().compact(CompactOptions::default()).unwrap();
            let told = named(&done.skipped) || named(&done.unlisted);
            assert!(told || folder == paths::QUARANTINE, "{what}: {done:?}");
            let may_pack = ![paths::TEMPORARY, paths::PACKS, paths::MANIFEST].contains(&folder);
            assert_eq!(done.logs > 0, may_pack, "{what}: {done:?}");
            let after = fs::read_dir(root.join(paths::PACKS)).into_iter().flatten().count();
            assert!(may_pack || after == before, "{what}: a pack that no entry can name was written");
            let done = workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
            let told = named(&done.skipped) || done.left_out.iter().any(|what| what.contains(path.to_str().unwrap()));
            assert!(told || folder == paths::QUARANTINE, "{what}: {done:?}");
            // What else could not be read may have restored it.
            let may_delete = [paths::LEDGERS, paths::QUARANTINE, paths::ANCHORS, paths::REGISTRY];
            assert_eq!(done.runs.len(), usize::from(may_delete.contains(&folder)), "{what}: {done:?}");
            drop(workspace);
            fs::remove_file(&path).unwrap();
            fs::rename(&home, &path).unwrap();
            let workspace = open_real(&root);
            let report = workspace.maintenance().verify().unwrap();
            assert!(report.is_ok(), "{what}: {:?}", report.damage);
            for name in ["packed", "logged", "logged2"] {
                assert_eq!(workspace.run(&id(name)).unwrap().points(), 5, "{what}: {name}");
            }
        }
    }
}
