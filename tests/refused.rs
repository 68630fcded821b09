//! One file or folder that the disk refuses: everything else is served, and every answer says what is not in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::maintenance::{CollectOptions, CompactOptions, RepairOptions};
use stepwell::query::Query;
use stepwell::registry::ModelRegistry;
use stepwell::testing::{SimDisk, Storage};
use stepwell::tracking::{Tracking, TrackingOptions};
use stepwell::{Error, ExperimentId, NewRun, Options, RunEdit, RunId, RunStatus, TailMode, Workspace};

use crate::support::frozen::Frozen;
use crate::support::refusing::{Meanwhile, Refusal, Refusing};

const ROOT: &str = "/w";
/// Runs in packs, two in each; runs in ended logs; a run whose writer was killed.
const RUNS: [&str; 7] = ["p1", "p2", "p3", "p4", "l1", "l2", "killed"];

fn open(storage: impl Storage) -> Workspace {
    Workspace::open_on(Arc::new(storage), Path::new(ROOT), Options::default()).unwrap()
}

fn id(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

/// Two packs, three logs, one with a tail, and an edit log.
fn sample() -> SimDisk {
    let disk = SimDisk::new();
    let options = Options { tail: TailMode::Written, ..Options::default() };
    let workspace = Workspace::open_or_create_on(Arc::new(disk.clone()), Path::new(ROOT), options).unwrap();
    for name in RUNS {
        let new = NewRun { id: Some(id(name)), name: name.to_uppercase(), ..NewRun::default() };
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, new).unwrap();
        (0..20).for_each(|step| writer.log_metric("loss", step, step as f64).unwrap());
        if name == "killed" {
            workspace.edit_run(&id("l1"), &[RunEdit::Tag("a".into(), "b".into())]).unwrap();
            return disk.process_crash();
        }
        writer.finish(RunStatus::Finished).unwrap();
        if matches!(name, "p2" | "p4") {
            workspace.maintenance().compact(CompactOptions::default()).unwrap();
        }
    }
    unreachable!("the last run is the killed one")
}

/// Every log, tail, pack, index and folder with such in it.
fn places(disk: &SimDisk) -> Vec<PathBuf> {
    let files = Frozen::of(disk, Path::new(ROOT));
    let of_kind = |path: &&PathBuf| {
        path.extension().is_some_and(|kind| ["log", "tail", "pack", "index"].iter().any(|own| *own == kind))
    };
    let of_logs = |path: &&PathBuf| path.parent().is_some_and(|parent| parent.ends_with("logs"));
    files.files.keys().filter(of_kind).chain(files.folders.iter().filter(of_logs)).cloned().collect()
}

/// The runs that a search finds, and what it left out.
fn listed(workspace: &Workspace) -> (Vec<String>, Vec<String>) {
    let page = workspace.search(&Query::default()).unwrap();
    let mut runs: Vec<String> = page.summaries().unwrap().iter().map(|run| run.run_id.to_string()).collect();
    runs.sort();
    (runs, page.unreadable)
}

#[test]
fn one_refused_file_or_folder_costs_its_own_content_only() {
    let disk = sample();
    for path in places(&disk) {
        for how in Refusal::ALL {
            let what = format!("{how:?} in place of {}", path.display());
            let is_index = path.extension().is_some_and(|kind| kind == "index");
            let is_folder = path.extension().is_none();
            if is_folder && how == Refusal::Folder {
                continue;
            }
            let disk = disk.process_crash();
            let workspace = open(Refusing::new(&disk, &path, how));
            let named = |told: &[String]| told.iter().any(|told| told.contains(path.to_str().unwrap()));
            // Of a pack two runs are lost at most, else one.
            let check = |workspace: &Workspace, when: &str| {
                let (runs, left_out) = listed(workspace);
                let most = if path.extension().is_some_and(|kind| kind == "pack") { 2 } else { 1 };
                assert!(runs.len() + most >= RUNS.len(), "{what}, {when}: {runs:?}");
                assert!(is_index || named(&left_out), "{what}, {when}: the list does not say it: {left_out:?}");
                for name in RUNS {
                    let found = workspace.find_run(&id(name));
                    let in_list = runs.iter().any(|run| run == name);
                    match &found {
                        Ok(Some(run)) => {
                            assert!(in_list, "{what}, {when}: {name} is shown and not listed");
                            let whole = run.points() == 20 && run.state().name() == name.to_uppercase();
                            assert!(whole || named(run.damage()), "{what}, {when}: {name} lacks something in silence");
                        }
                        Ok(None) => panic!("{what}, {when}: {name} is not there, and nothing says why"),
                        Err(error) => {
                            assert!(!in_list, "{what}, {when}: {name} is listed, and not shown: {error}");
                            assert!(error.path() == Some(path.as_path()), "{what}, {when}: {error}");
                        }
                    }
                }
                let usage = workspace.maintenance().usage().unwrap();
                assert_eq!(usage.runs, runs.len() as u64, "{what}, {when}");
                assert!(is_index || named(&usage.unreadable), "{what}, {when}: {:?}", usage.unreadable);
            };
            check(&workspace, "first");
            let report = workspace.maintenance().verify().unwrap();
            assert!(report.damage.iter().any(|damage| damage.file == path), "{what}: {report:?}");

            let target = Workspace::open_or_create_on(Arc::new(SimDisk::new()), Path::new(ROOT), Options::default());
            let pulled = target.unwrap().pull(&workspace, &mut |_, _| {}).unwrap();
            assert!(is_index || named(&pulled.left_out), "{what}: {:?}", pulled.left_out);
            let compacted = workspace.maintenance().compact(CompactOptions::default()).unwrap();
            let left = compacted.skipped.iter().any(|(left, _)| *left == path || left.with_extension("tail") == path);
            assert!(is_index || left, "{what}: {compacted:?}");
            workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
            check(&workspace, "compacted");

            // Whatever was refused is as it was, and read again it is all there.
            let mended = open(disk.process_crash());
            let report = mended.maintenance().verify().unwrap();
            assert!(report.is_ok(), "{what}, mended: {:?}", report.damage);
            let (runs, left_out) = listed(&mended);
            assert_eq!((runs.len(), left_out), (RUNS.len(), Vec::new()), "{what}, mended");
            for name in RUNS {
                assert_eq!(mended.run(&id(name)).unwrap().points(), 20, "{what}, mended: {name}");
            }
        }
    }
}

#[test]
fn repair_leaves_what_the_disk_refuses_to_read_and_mends_the_rest() {
    let disk = sample();
    let files = Frozen::of(&disk, Path::new(ROOT));
    for path in places(&disk) {
        for how in [Refusal::Sector, Refusal::Permission] {
            let what = format!("{how:?} in place of {}", path.display());
            // Beside it another log is damaged.
            let other = files.files.keys().find(|own| {
                own.extension().is_some_and(|kind| kind == "log")
                    && !own.starts_with(&path)
                    && own.with_extension("") != path.with_extension("")
            });
            let other = other.unwrap();
            let disk = disk.process_crash();
            disk.damage(other, |bytes| bytes[8] ^= 1).unwrap();
            let workspace = open(Refusing::new(&disk, &path, how));
            let repaired = workspace.maintenance().repair(RepairOptions::default()).unwrap();
            assert!(repaired.skipped.iter().any(|(left, _)| *left == path), "{what}: {repaired:?}");
            let kept = |kept: &PathBuf| kept.file_name() == other.file_name();
            assert!(repaired.quarantined.iter().any(kept), "{what}: {repaired:?}");
            let mended = open(disk.process_crash());
            let report = mended.maintenance().verify().unwrap();
            assert!(report.is_ok(), "{what}, mended: {:?}", report.damage);
            let (runs, _) = listed(&mended);
            assert!(runs.len() + 1 >= RUNS.len(), "{what}, mended: {runs:?}");
        }
    }
}

/// Whatever another process compacts and removes while `verify` is at any of its files, nothing of that is damage.
#[test]
fn verify_beside_compaction_finds_no_damage() {
    let mut at = 0;
    loop {
        let disk = sample();
        let other = Options { grace_ms: 0, ..Options::default() };
        let other = Workspace::open_on(Arc::new(disk.clone()), Path::new(ROOT), other).unwrap();
        let compact = move |opened: u64| {
            if opened == at {
                // So many packs that they are merged.
                for run in 0..8 {
                    let new = NewRun { id: Some(id(&format!("more{run}"))), ..NewRun::default() };
                    let writer = other.create_run(ExperimentId::DEFAULT, new).unwrap();
                    writer.finish(RunStatus::Finished).unwrap();
                    other.maintenance().compact(CompactOptions::default()).unwrap();
                }
                other.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
            }
        };
        let meanwhile = Meanwhile::new(compact);
        let storage = Refusing {
            meanwhile: Some(meanwhile.clone()),
            ..Refusing::new(&disk, Path::new("/none"), Refusal::Sector)
        };
        let workspace = open(storage);
        let report = workspace.maintenance().verify().unwrap();
        assert!(report.is_ok(), "compaction before opening {at}: {:?}", report.damage);
        let page = workspace.search(&Query::default()).unwrap();
        assert!(page.unreadable.is_empty(), "compaction before opening {at}: {:?}", page.unreadable);
        if meanwhile.opened() <= at {
            break;
        }
        at += 1;
    }
    assert!(at > 20, "{at}");
}

/// Whoever asks for a run of which a pack has a part, or all, gets one answer: what the run, its row in a list, its row
/// by itself and its histories say is the same, and each that can tell what is missing tells it.
#[test]
fn all_answers_about_a_run_with_an_unreadable_pack_agree() {
    let disk = sample();
    // `p1` is in a log too, `l1` is in logs alone, `p2` in the pack alone.
    let mut writer = open(disk.clone()).writer(&id("p1")).unwrap();
    (20..25).for_each(|step| writer.log_metric("loss", step, step as f64).unwrap());
    writer.set_tag("late", "yes").unwrap();
    drop(writer);
    let packs: Vec<PathBuf> =
        places(&disk).into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "pack")).collect();
    let has = |path: &PathBuf, run: &str| {
        let workspace = open(Refusing::new(&disk, path, Refusal::Permission));
        workspace.find_run(&id(run)).is_err()
    };
    let pack = packs.iter().find(|path| has(path, "p2")).unwrap();
    for how in Refusal::ALL {
        let named = |told: &[String]| told.iter().any(|told| told.contains(pack.to_str().unwrap()));
        let storage = Refusing::new(&disk, pack, how);
        {
            let workspace = open(storage);
            let at = format!("{how:?}");
            let page = workspace.search(&Query::default()).unwrap();
            assert!(named(&page.unreadable), "{at}: {:?}", page.unreadable);
            let runs = page.summaries().unwrap();
            let usage = workspace.maintenance().usage().unwrap();
            assert!(named(&usage.unreadable) && usage.runs == runs.len() as u64, "{at}: {usage:?}");
            for name in RUNS {
                let listed = runs.iter().find(|run| run.run_id.as_str() == name);
                let alone = workspace.find_summary(&id(name));
                let tracking = Tracking::new(workspace.clone(), TrackingOptions::default());
                let shown = tracking.get_run(name);
                let history = tracking.get_metric_history(name, "loss", None, 0);
                match workspace.find_run(&id(name)) {
                    Ok(run) => {
                        let run = run.unwrap_or_else(|| panic!("{at}: {name} is absent in silence"));
                        assert!(named(run.damage()), "{at}: {name}: {:?}", run.damage());
                        let listed = listed.unwrap_or_else(|| panic!("{at}: {name} is shown and not listed"));
                        assert_eq!(
                            format!("{:?}", alone.unwrap().as_ref()),
                            format!("{:?}", Some(listed)),
                            "{at}: {name}"
                        );
                        let keys: Vec<&str> = run.keys().collect();
                        assert_eq!(keys, listed.metrics.keys().map(String::as_str).collect::<Vec<_>>(), "{at}: {name}");
                        assert_eq!(run.stats("loss").unwrap(), listed.metrics["loss"], "{at}: {name}");
                        let tags: Vec<(&str, &str)> = run.state().tags().collect();
                        let of_list: Vec<(&str, &str)> =
                            listed.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
                        assert_eq!(tags, of_list, "{at}: {name}");
                        assert_eq!(run.state().name(), listed.name, "{at}: {name}");
                        let steps = run.history("loss").unwrap().steps;
                        assert_eq!(steps.len() as u64, listed.metrics["loss"].count, "{at}: {name}");
                        assert_eq!(history.unwrap().items.len(), steps.len(), "{at}: {name}");
                        assert_eq!(shown.unwrap().info.run_name, listed.name, "{at}: {name}");
                        let expected = if name == "p1" { 20..25 } else { 0..20 };
                        assert_eq!(steps, expected.collect::<Vec<i64>>(), "{at}: {name}");
                    }
                    Err(error) => {
                        assert!(name == "p2" && named(&[error.to_string()]), "{at}: {name}: {error}");
                        assert!(listed.is_none(), "{at}: {name} is listed and not shown");
                        assert!(alone.is_err_and(|error| named(&[error.to_string()])), "{at}: {name}");
                        // Clients are not told where the workspace lies.
                        let file = pack.file_name().and_then(|name| name.to_str()).unwrap();
                        assert!(shown.is_err_and(|fault| fault.to_string().contains(file)), "{at}: {name}");
                        assert!(history.is_err_and(|fault| fault.to_string().contains(file)), "{at}: {name}");
                    }
                }
            }
        }
    }
}

/// A journal whose folder cannot be listed says nothing. Runs are read, every answer says what is not known, what would
/// change the journal is refused and names the folder, and nothing is removed on account of it.
#[test]
fn a_journal_that_cannot_be_listed_is_reported_and_bars_no_reading() {
    let disk = sample();
    open(disk.clone()).experiments().create("vision").unwrap();
    ModelRegistry::new(&open(disk.clone())).create_model("m", "", BTreeMap::new()).unwrap();
    let folders = Frozen::of(&disk, Path::new(ROOT)).folders;
    let of_journals = |path: &&PathBuf| {
        let names = ["manifest", "catalog", "registry", "anchors"].map(|name| Path::new(ROOT).join(name));
        names.iter().any(|name| path.starts_with(name))
    };
    let places: Vec<&PathBuf> = folders.iter().filter(of_journals).collect();
    assert_eq!(places.len(), 7, "{places:?}");
    for path in places {
        for how in [Refusal::Sector, Refusal::Permission, Refusal::NoFile] {
            for was_open in [false, true] {
                let what = format!("{how:?} in place of {}, {was_open}", path.display());
                let disk = disk.process_crash();
                let before = Frozen::of(&disk, Path::new(ROOT));
                let refusing = Refusing::new(&disk, path, how);
                // A handle that is open already meets the same.
                let workspace = if was_open {
                    refusing.is_well(true);
                    let workspace = open(refusing.clone());
                    refusing.is_well(false);
                    workspace
                } else {
                    open(refusing.clone())
                };
                let of = |name: &str| path.starts_with(Path::new(ROOT).join(name));
                let named = |told: &[String]| told.iter().any(|told| told.contains(path.to_str().unwrap()));
                let (runs, left_out) = listed(&workspace);
                assert_eq!(runs.len(), RUNS.len(), "{what}: {left_out:?}");
                for name in RUNS {
                    assert_eq!(workspace.run(&id(name)).unwrap().points(), 20, "{what}: {name}");
                }
                let anchors = of("anchors");
                // An open handle looks only where something seems new.
                assert!(was_open || anchors || named(&workspace.damage().unwrap()), "{what}");
                let report = workspace.maintenance().verify().unwrap();
                assert!(report.damage.iter().any(|damage| damage.file == *path), "{what}: {report:?}");
                // A handle that is open already knows the names of the entries in a folder.
                let may_go_on = was_open && path.parent() != Some(Path::new(ROOT));
                let refused = |done: Result<(), Error>, journal: &str| match done {
                    Err(error) if of(journal) => assert!(named(&[error.to_string()]), "{what}: {error}"),
                    other => assert!(other.is_ok() && (!of(journal) || may_go_on), "{what}: {other:?}"),
                };
                refused(workspace.experiments().create("text").map(|_| ()), "catalog");
                refused(ModelRegistry::new(&workspace).create_model("n", "", BTreeMap::new()).map(|_| ()), "registry");
                let left = workspace.maintenance().compact(CompactOptions::default()).unwrap().skipped;
                let left: Vec<String> = left.into_iter().map(|(_, why)| why).collect();
                assert!(named(&left) || !of("manifest") || may_go_on, "{what}: {left:?}");
                workspace.edit_run(&id("l1"), &[RunEdit::Tag("a".into(), "c".into())]).unwrap();
                let mut writer = workspace.writer(&id("p1")).unwrap();
                writer.log_metric("loss", 20, 20.0).unwrap();
                writer.log_param("lr", "0.1").unwrap();
                drop(writer);
                let done = workspace.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
                assert_eq!(done.experiments, Vec::new(), "{what}");
                let repaired = workspace.maintenance().repair(RepairOptions::default()).unwrap();
                assert!(repaired.skipped.iter().any(|(left, _)| left == path), "{what}: {repaired:?}");
                assert_eq!(repaired.lost, Vec::<String>::new(), "{what}");
                drop(workspace);

                // Listed again it is all there.
                let mended = open(disk.process_crash());
                let report = mended.maintenance().verify().unwrap();
                assert!(report.is_ok(), "{what}, mended: {:?}", report.damage);
                assert_eq!(listed(&mended), (runs, Vec::new()), "{what}, mended");
                assert_eq!(
                    mended.experiments().by_name("vision").unwrap().map(|found| found.name).as_deref(),
                    Some("vision")
                );
                assert!(ModelRegistry::new(&mended).model("m").is_ok(), "{what}");
                let packs = |path: &&PathBuf| path.extension().is_some_and(|kind| kind == "pack");
                let after = Frozen::of(&disk, Path::new(ROOT));
                let is_there = |path: &PathBuf| after.files.contains_key(path);
                assert!(!of("manifest") || before.files.keys().filter(packs).all(is_there), "{what}: a pack is gone");
            }
        }
    }
}

/// Entries of two journals have one name, and a file may be damaged twice: repair keeps every original.
#[test]
fn quarantine_keeps_originals_of_one_name() {
    let disk = sample();
    let workspace = open(disk.clone());
    (0..4).for_each(|number| _ = workspace.experiments().create(&format!("e{number}")).unwrap());
    let entries = || -> Vec<PathBuf> {
        let files = Frozen::of(&disk, Path::new(ROOT)).files;
        let entry = |path: &&PathBuf| {
            let folder = path.parent().and_then(|dir| dir.file_name()?.to_str());
            path.extension().is_some_and(|kind| kind == "entry") && folder.is_some_and(|name| name.starts_with("00"))
        };
        files.keys().filter(entry).cloned().collect()
    };
    let mut originals = Vec::new();
    for time in 0..3_u8 {
        for path in entries() {
            disk.damage(&path, |bytes| bytes.extend([time, originals.len() as u8])).unwrap();
            originals.push(disk.content(&path).unwrap());
        }
        let repaired = open(disk.clone()).maintenance().repair(RepairOptions::default()).unwrap();
        assert!(!repaired.quarantined.is_empty());
    }
    let dir = Path::new(ROOT).join("quarantine");
    let kept: Vec<Vec<u8>> =
        disk.read_dir(&dir).unwrap().iter().map(|entry| disk.content(&dir.join(&entry.name)).unwrap()).collect();
    for original in &originals {
        assert!(kept.contains(original), "of {} originals {} were kept", originals.len(), kept.len());
    }
}

/// An edit log or a pack that cannot be read takes nothing from other runs: they are written, tagged, ended, deleted
/// and restored, and new runs begin with their params. A param of an older run may be set in there, so that it alone is
/// refused, and the run stays as it was.
#[test]
fn what_cannot_be_read_bars_no_write_to_other_runs() {
    let disk = sample();
    let of_any_run =
        |path: &PathBuf| path.extension().is_some_and(|kind| kind == "pack") || path.starts_with("/w/edits");
    let places: Vec<PathBuf> = places(&disk).into_iter().filter(of_any_run).collect();
    assert_eq!(places.iter().filter(|path| path.starts_with("/w/edits")).count(), 1, "{places:?}");
    for path in places.into_iter().chain([PathBuf::from("/w/edits")]) {
        for how in Refusal::ALL {
            let what = format!("{how:?} in place of {}", path.display());
            let is_folder = path.extension().is_none();
            if is_folder && how == Refusal::Folder {
                continue;
            }
            let disk = disk.process_crash();
            let workspace = open(Refusing::new(&disk, &path, how));
            let bars = |error: &Error| assert_eq!(error.path(), Some(path.as_path()), "{what}: {error}");

            let mut writer = workspace.writer(&id("l2")).unwrap();
            writer.log_metric("loss", 20, 20.0).unwrap();
            writer.set_tag("a", "late").unwrap();
            bars(&writer.log_param("lr", "0.1").unwrap_err());
            writer.sync().unwrap();
            writer.finish(RunStatus::Failed).unwrap();
            workspace.sync_run(&id("l1")).unwrap();
            if !is_folder {
                workspace.edit_run(&id("l1"), &[RunEdit::Tag("a".into(), "late".into())]).unwrap();
                bars(&workspace.edit_run(&id("l1"), &[RunEdit::Param("lr".into(), "0.1".into())]).unwrap_err());
                workspace.delete_run(&id("killed")).unwrap();
                workspace.restore_run(&id("killed")).unwrap();
                workspace.delete_run(&id("killed")).unwrap();
            }
            // A permanent deletion must know all that the run has.
            assert!(workspace.maintenance().purge_run(&id("killed")).is_err(), "{what}");
            assert!(workspace.maintenance().delete_metric(&id("l1"), "loss").is_err(), "{what}");

            let params = vec![("lr".to_owned(), "0.1".to_owned())];
            let new = NewRun { name: "new".into(), params, ..NewRun::default() };
            let mut new = workspace.create_run(ExperimentId::DEFAULT, new).unwrap();
            // Nobody adds anything to a pack, nor to what has no file under its name.
            match new.log_param("depth", "3") {
                Err(error) if path.starts_with("/w/edits") && how != Refusal::NoFile && how != Refusal::Folder => {
                    bars(&error);
                }
                done => done.unwrap_or_else(|error| panic!("{what}: {error}")),
            }
            let new_id = new.run_id().clone();
            new.finish(RunStatus::Finished).unwrap();
            drop(workspace);

            let mended = open(disk.process_crash());
            let run = |name: &str| mended.run(&id(name)).unwrap();
            assert_eq!(run("l2").state().tags().collect::<Vec<_>>(), [("a", "late")], "{what}");
            assert_eq!((run("l2").state().status(), run("l2").points()), (RunStatus::Failed, 21), "{what}");
            assert_eq!(run("l2").state().params().count(), 0, "{what}");
            if !is_folder {
                assert_eq!(run("l1").state().tags().collect::<Vec<_>>(), [("a", "late")], "{what}");
                assert!(run("killed").state().deleted(), "{what}");
            }
            let new = mended.run(&new_id).unwrap();
            assert_eq!((new.state().name(), new.state().param("lr")), ("new", Some("0.1")), "{what}");
            assert!(mended.maintenance().verify().unwrap().is_ok(), "{what}");
        }
    }
}
