//! The crash suite's other axis: a process that stops at any step of a protocol, for ever or until others have done all
//! they do, whatever the clocks say.
//!
//! The clock of the simulated disk stands in 1970, so each file is older than any grace period.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::Error;
use stepwell::internals::folder::paths;
use stepwell::internals::journal::chain::Journal;
use stepwell::maintenance::{CollectOptions, CompactOptions, LeftoverOptions, RepairOptions};
use stepwell::testing::{SimDisk, Storage};

use crate::support::protocol::*;
use crate::support::stop::{Actor, Stop, at_every_operation};

/// Writes a file and renames it: five operations.
fn write_and_rename(disk: Arc<dyn Storage>) -> std::io::Result<()> {
    let file = disk.create_new(Path::new("/new"))?;
    file.try_lock()?;
    file.write_at(b"text", 0)?;
    file.sync()?;
    disk.rename(Path::new("/new"), Path::new("/name"))
}

#[test]
fn an_actor_stops_where_it_should_and_keeps_its_locks() {
    let disk = SimDisk::new();
    let actor = Actor::start(Arc::new(disk.clone()), Stop::After(4), write_and_rename);
    assert_eq!(actor.stands_at().as_deref(), Some("After(4) rename to /name"));
    assert!(!disk.open_write(Path::new("/name")).unwrap().try_lock().unwrap(), "the lock is held");
    assert_eq!(actor.operations(), 5);
    actor.resume().unwrap();
    assert!(disk.open_write(Path::new("/name")).unwrap().try_lock().unwrap());

    let disk = SimDisk::new();
    let actor = Actor::start(Arc::new(disk.clone()), Stop::Before(2), write_and_rename);
    assert_eq!(disk.content(Path::new("/new")).unwrap(), b"");
    actor.kill();
    assert!(disk.open_write(Path::new("/new")).unwrap().try_lock().unwrap(), "a dead process has no locks");
    assert_eq!(disk.content(Path::new("/new")).unwrap(), b"");

    let whole = Actor::start(Arc::new(SimDisk::new()), Stop::Before(5), write_and_rename);
    assert_eq!(whole.stands_at(), None, "there is no sixth operation");
    whole.resume().unwrap();
}

#[test]
fn every_operation_is_a_place_to_stop() {
    let (mut with_name, mut ended) = (0, 0);
    let operations = at_every_operation(
        || (SimDisk::new(), ()),
        write_and_rename,
        |disk, ()| with_name += u32::from(disk.content(Path::new("/name")).is_ok()),
        |disk, (), done| {
            if let Some(done) = done {
                done.unwrap();
                assert!(disk.content(Path::new("/name")).is_ok());
                ended += 1;
            }
        },
    );
    // The name is there at the last of ten places, for each of three ways to go on; one of these ends, and so does the
    // last run.
    assert_eq!((operations, with_name, ended), (5, 3, 11));
}

/// Item 1 of issue 11: a compaction stops anywhere, for longer than any grace period, while others collect garbage,
/// compact, log, search and verify. Nothing is lost, whether it goes on or not.
#[test]
fn a_compaction_stops_anywhere_while_others_collect_garbage() {
    let prepare = copies(|workspace| {
        log(workspace, "packed");
        compact(workspace).unwrap();
        log(workspace, "a");
        log(workspace, "b");
    });
    at_every_operation(
        prepare,
        |storage| compact(&open(storage)?),
        |disk, ()| {
            let others = on(disk);
            collect(&others);
            log(&others, "c");
            compact(&others).unwrap();
            collect(&others);
            is_sound(&others);
        },
        |disk, (), done| {
            if let Some(done) = done {
                done.unwrap();
            }
            let now = on(disk);
            let mut names = vec!["packed", "a", "b"];
            names.extend(now.find_run(&id("c")).unwrap().map(|_| "c"));
            for turn in 0..2 {
                names.iter().for_each(|name| is_whole(&now, name));
                let report = now.maintenance().verify().unwrap();
                assert!(report.is_ok() && report.notes.is_empty(), "turn {turn}: {report:?}");
                let _ = compact(&now).unwrap();
                collect(&now);
            }
        },
    );
}

/// Eight packs, which a compaction merges.
#[test]
fn a_merge_stops_anywhere_while_others_collect_garbage() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let prepare = copies(|workspace| {
        for name in &names[..7] {
            log(workspace, name);
            compact(workspace).unwrap();
        }
        log(workspace, "h");
    });
    at_every_operation(
        prepare,
        |storage| compact(&open(storage)?),
        |disk, ()| {
            let others = on(disk);
            collect(&others);
            compact(&others).unwrap();
            collect(&others);
        },
        |disk, (), done| {
            if let Some(done) = done {
                done.unwrap();
            }
            let now = on(disk);
            names.iter().for_each(|name| is_whole(&now, name));
            is_sound(&now);
        },
    );
}

/// What an import said it stored is there; what it was about to store when it died stays until somebody says otherwise.
#[test]
fn an_import_stops_anywhere_while_others_collect_garbage() {
    let mut noted = 0;
    at_every_operation(
        copies(|workspace| log(workspace, "other")),
        move |storage| import(&open(storage)?),
        |disk, ()| {
            let others = on(disk);
            collect(&others);
            compact(&others).unwrap();
            collect(&others);
        },
        |disk, (), done| {
            let now = on(disk);
            is_whole(&now, "other");
            let report = now.maintenance().verify().unwrap();
            assert!(report.is_ok(), "{:?}", report.damage);
            if let Some(done) = done {
                done.unwrap();
                is_whole(&now, "imported");
                assert!(report.notes.is_empty());
            }
            if !report.notes.is_empty() {
                noted += 1;
                // It is taken in or dropped, as one likes.
                let other = on(&disk.process_crash());
                let repaired = other.maintenance().repair(RepairOptions::default()).unwrap();
                assert_eq!((repaired.salvaged_runs, repaired.lost, repaired.quarantined), (1, vec![], vec![]));
                is_whole(&other, "imported");
                let other = on(&disk.process_crash());
                let leftovers = LeftoverOptions { drop_unlisted: true, ..LeftoverOptions::default() };
                assert_eq!(
                    other
                        .maintenance()
                        .collect_garbage(CollectOptions { before_ms: 0, dry_run: false, leftovers })
                        .unwrap()
                        .skipped,
                    []
                );
                assert!(other.find_run(&id("imported")).unwrap().is_none());
                assert!(other.maintenance().verify().unwrap().notes.is_empty());
            }
            import(&now).unwrap();
            is_whole(&now, "imported");
        },
    );
    assert!(noted > 0, "an import died between its pack's name and its entry");
}

/// The other way round: whoever collects garbage stops anywhere, while others publish.
#[test]
fn a_collection_of_garbage_stops_anywhere_while_others_publish() {
    let prepare = copies(|workspace| {
        ["a", "gone"].iter().for_each(|name| log(workspace, name));
        compact(workspace).unwrap();
        workspace.delete_run(&id("gone")).unwrap();
        log(workspace, "b");
    });
    at_every_operation(
        prepare,
        |storage| open(storage)?.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).map(|_| ()),
        |disk, ()| {
            let others = on(disk);
            log(&others, "c");
            compact(&others).unwrap();
        },
        |disk, (), done| {
            if let Some(done) = done {
                done.unwrap();
                assert!(on(disk).find_run(&id("gone")).unwrap().is_none());
            }
            let now = on(disk);
            ["a", "b"].iter().for_each(|name| is_whole(&now, name));
            if now.find_run(&id("c")).unwrap().is_some() {
                is_whole(&now, "c");
            }
            is_sound(&now);
        },
    );
}

/// An outsider, or a program that judges by age, removes packs that no entry names. The publisher finds out before it
/// removes what its pack was made from.
#[test]
fn a_publisher_whose_pack_was_taken_keeps_its_sources() {
    let (mut refused, prepare) = (0, copies(|workspace| ["a", "b"].iter().for_each(|name| log(workspace, name))));
    at_every_operation(
        prepare,
        |storage| compact(&open(storage)?),
        |disk, ()| {
            if on(disk).maintenance().verify().unwrap().is_ok() && catalogued_packs(disk) == 0 {
                packs(disk).iter().for_each(|pack| disk.remove_file(pack).unwrap());
            }
        },
        |disk, (), done| {
            if let Some(Err(error)) = done {
                assert!(matches!(error, Error::Corrupt { .. } | Error::Io { .. }), "{error}");
                refused += 1;
            }
            let now = on(disk);
            ["a", "b"].iter().for_each(|name| is_whole(&now, name));
        },
    );
    assert!(refused > 0, "a pack was taken away");
}

/// Where there are no locks, what may be in the making stays until somebody says that nobody makes it.
#[test]
fn without_locks_nothing_is_taken_for_a_leftover() {
    let mut kept = 0;
    at_every_operation(
        || {
            let (disk, ()) = copies(|workspace| log(workspace, "a"))();
            without_locks(&disk);
            (disk, ())
        },
        |storage| open(storage)?.maintenance().compact(CompactOptions { take_over: true }).map(|_| ()),
        |disk, ()| {
            let collected = on(disk).maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
            kept += collected
                .skipped
                .iter()
                .filter(|(path, _)| path.extension().is_some_and(|kind| kind == "pack"))
                .count();
        },
        |disk, (), done| {
            if let Some(done) = done {
                done.unwrap();
            }
            is_whole(&on(disk), "a");
            let leftovers = LeftoverOptions { take_over: true, ..LeftoverOptions::default() };
            let collected = on(disk)
                .maintenance()
                .collect_garbage(CollectOptions { before_ms: 0, dry_run: false, leftovers })
                .unwrap();
            assert_eq!(collected.skipped, []);
            is_whole(&on(disk), "a");
        },
    );
    assert!(kept > 10, "{kept} packs were kept");
}

/// In a workspace whose first import died there is nothing to be missed.
#[test]
fn what_the_first_import_left_is_no_damage() {
    let mut noted = 0;
    let fresh = || {
        let disk = SimDisk::new();
        on(&disk);
        (disk, ())
    };
    at_every_operation(
        fresh,
        |storage| import(&open(storage)?),
        |_, ()| {},
        |disk, (), _| {
            let report = on(disk).maintenance().verify().unwrap();
            assert!(report.is_ok(), "{:?}", report.damage);
            noted += report.notes.len();
        },
    );
    assert!(noted > 0, "an import can leave a pack behind");
}

/// How many packs entries of the manifest name.
fn catalogued_packs(disk: &SimDisk) -> usize {
    use stepwell::internals::journal::manifest::Manifest;
    let storage = Arc::new(disk.clone());
    Journal::<Manifest>::open(storage, PathBuf::from(ROOT), paths::MANIFEST).unwrap().state().packs.len()
}
