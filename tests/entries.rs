//! Journals, while processes stop at any step of their protocol, and after entries of them were damaged or lost.

use std::path::PathBuf;
use std::sync::Arc;

use stepwell::internals::folder::paths;
use stepwell::internals::journal::catalog::{Catalog, Change};
use stepwell::internals::journal::chain::Journal;
use stepwell::maintenance::{CollectOptions, RepairOptions};
use stepwell::testing::{SimDisk, Storage};
use stepwell::{Error, Experiment, ExperimentId, Result};

use crate::support::protocol::*;
use crate::support::stop::at_every_operation;

fn experiment(number: u64) -> Change {
    let (artifact_location, tags) = Default::default();
    Change::Create(Experiment {
        id: ExperimentId(number),
        name: number.to_string(),
        created_ms: 1,
        updated_ms: 1,
        deleted: false,
        generation: 0,
        deletion_by: String::new(),
        renames: 0,
        tag_changes: Default::default(),
        artifact_location,
        tags,
    })
}

fn catalog(storage: Arc<dyn Storage>) -> Result<Journal<Catalog>> {
    Journal::open(storage, PathBuf::from(ROOT), paths::CATALOG)
}

fn catalog_on(disk: &SimDisk) -> Journal<Catalog> {
    catalog(Arc::new(disk.clone())).unwrap()
}

/// The same disk after its processes died, with links or without as before.
fn again(disk: &SimDisk, links: bool) -> SimDisk {
    let disk = disk.process_crash();
    if !links {
        without_links(&disk);
    }
    disk
}

/// Publishes an experiment, unless there is one of the number.
fn publish(journal: &mut Journal<Catalog>, number: u64) -> Result<bool> {
    journal.publish(|catalog| match catalog.experiments.contains_key(&ExperimentId(number)) {
        true => Ok(Vec::new()),
        false => Ok(vec![experiment(number)]),
    })
}

/// Item 3 of issue 11: whoever publishes an entry, and stops anywhere, publishes it under a number that counts or not
/// at all.
#[test]
fn a_publisher_of_an_entry_stops_anywhere_while_others_fold_its_number_away() {
    // The first entry, which makes the folder, and one in the middle.
    for (links, before) in [(true, 0), (true, 30), (false, 30)] {
        let first = SimDisk::new();
        on(&first);
        (1..=before).for_each(|number| _ = publish(&mut catalog_on(&first), number).unwrap());
        let prepare = || {
            let disk = again(&first, links);
            (disk, ())
        };
        let act = |storage: Arc<dyn Storage>| publish(&mut catalog(storage)?, 1_000);
        at_every_operation(
            prepare,
            act,
            |disk, ()| {
                let mut others = catalog_on(disk);
                for number in 100..140 {
                    assert!(publish(&mut others, number).unwrap());
                    if number % 20 == 0 {
                        others.remove_folded().unwrap();
                    }
                }
                others.remove_folded().unwrap();
            },
            |disk, (), done| {
                let mut now = catalog_on(disk);
                let has = |number, journal: &Journal<Catalog>| {
                    journal.state().experiments.contains_key(&ExperimentId(number))
                };
                if let Some(done) = done {
                    assert!(done.unwrap());
                    assert!(has(1_000, &now), "what was acknowledged is seen by nobody");
                }
                let others = (100..140).filter(|&number| has(number, &now)).count();
                assert!(others == 40 || others == 0, "{others} of others' changes are there");
                assert!((1..=before).all(|number| has(number, &now)));
                assert_eq!(now.check_all().unwrap(), []);
                assert!(publish(&mut now, 2_000).unwrap() && has(2_000, &catalog_on(disk)));
            },
        );
    }
}

/// Whoever folds entries away, and stops anywhere, takes nothing from those who publish meanwhile.
#[test]
fn a_remover_of_entries_stops_anywhere_while_others_publish() {
    for links in [true, false] {
        let first = SimDisk::new();
        on(&first);
        if !links {
            without_links(&first);
        }
        (1..=40).for_each(|number| _ = publish(&mut catalog_on(&first), number).unwrap());
        let prepare = || {
            let disk = again(&first, links);
            let old = catalog_on(&disk);
            (disk, old)
        };
        let act = |storage: Arc<dyn Storage>| catalog(storage)?.remove_folded();
        at_every_operation(
            prepare,
            act,
            |disk, old| {
                let mut others = catalog_on(disk);
                (100..140).for_each(|number| _ = publish(&mut others, number).unwrap());
                // One who slept since before the folding.
                assert!(publish(old, 500).unwrap());
                others.remove_folded().unwrap();
            },
            |disk, old, done| {
                let mut now = catalog_on(disk);
                assert_eq!(now.check_all().unwrap(), []);
                let numbers = (1..=40)
                    .chain((100..140).filter(|_| now.number() > 60))
                    .chain((500..501).filter(|_| now.number() > 60));
                for number in numbers {
                    assert!(now.state().experiments.contains_key(&ExperimentId(number)), "{number} is gone");
                }
                old.refresh().unwrap();
                assert!(old.state() == now.state() && old.number() == now.number());
                if let Some(done) = done {
                    done.unwrap();
                    now.remove_folded().unwrap();
                }
            },
        );
    }
}

/// Item 8 of issue 11: a last entry that is lost is missed, and nothing goes because of it.
#[test]
fn a_lost_last_entry_is_missed_and_costs_nothing() {
    let disk = SimDisk::new();
    let workspace = on(&disk);
    workspace.experiments().create("vision").unwrap();
    log(&workspace, "a");
    compact(&workspace).unwrap();
    log(&workspace, "b");
    compact(&workspace).unwrap();
    let registry = stepwell::registry::ModelRegistry::new(&workspace);
    registry.create_model("m", "", Default::default()).unwrap();
    for folder in [paths::MANIFEST, paths::CATALOG, paths::REGISTRY] {
        for everything in [false, true] {
            let disk = disk.process_crash();
            let all = entries(&disk, folder);
            let gone = if everything { &all[..] } else { &all[all.len() - 1..] };
            gone.iter().for_each(|path| disk.remove_file(path).unwrap());
            let report = on(&disk).maintenance().verify().unwrap();
            assert!(report.damage.iter().any(|damage| damage.file == all[all.len() - 1]), "{folder}: {report:?}");
            for _ in 0..2 {
                let now = on(&disk);
                ["a", "b"].iter().for_each(|name| is_whole(&now, name));
                if !everything {
                    assert!(now.experiments().by_name("vision").unwrap().is_some());
                    assert!(stepwell::registry::ModelRegistry::new(&now).model("m").is_ok());
                }
                let before = packs(&disk);
                compact(&now).unwrap();
                collect(&now);
                assert_eq!(packs(&disk), before, "a pack went because an entry was lost");
            }
            on(&disk).maintenance().repair(RepairOptions::default()).unwrap();
            let now = on(&disk);
            is_sound(&now);
            ["a", "b"].iter().for_each(|name| is_whole(&now, name));
            now.experiments().create("text").unwrap();
            log(&now, "c");
            compact(&now).unwrap();
            ["a", "b", "c"].iter().for_each(|name| is_whole(&on(&disk), name));
            is_sound(&on(&disk));
        }
    }
}

/// The last entry of a journal, or its anchor, has a flipped bit: the other one says the same. Both: the entry is lost.
#[test]
fn a_flipped_bit_in_a_last_entry_or_its_anchor_costs_nothing() {
    for folder in [paths::MANIFEST, paths::CATALOG, paths::REGISTRY] {
        for (entry, anchor) in [(true, false), (false, true), (true, true)] {
            let disk = SimDisk::new();
            let workspace = on(&disk);
            log(&workspace, "a");
            compact(&workspace).unwrap();
            workspace.delete_run(&id("a")).unwrap();
            collect(&workspace);
            workspace.experiments().create("vision").unwrap();
            stepwell::registry::ModelRegistry::new(&workspace).create_model("m", "", Default::default()).unwrap();
            drop(workspace);
            let last = entries(&disk, folder).pop().unwrap();
            let anchors = entries(&disk, paths::ANCHORS);
            let own = anchors.iter().find(|path| path.to_str().unwrap().contains(folder)).unwrap();
            let mut bad: Vec<&PathBuf> = Vec::new();
            bad.extend(entry.then_some(&last));
            bad.extend(anchor.then_some(own));
            bad.iter().for_each(|path| disk.damage(path, |bytes| bytes[30] ^= 4).unwrap());
            let what = format!("{folder}: entry {entry}, anchor {anchor}");
            let now = on(&disk);
            let report = now.maintenance().verify().unwrap();
            assert!(
                bad.iter().all(|path| report.damage.iter().any(|damage| damage.file == **path)),
                "{what}: {report:?}"
            );
            if entry && anchor {
                assert!(report.damage.iter().any(|damage| damage.file == last && damage.cost.contains("a change")));
                assert!(!now.damage().unwrap().is_empty(), "{what}");
                continue;
            }
            assert!(report.damage.iter().all(|damage| damage.cost.starts_with("nothing")), "{what}: {report:?}");
            assert_eq!(now.damage().unwrap(), Vec::<String>::new(), "{what}");
            assert!(now.find_run(&id("a")).unwrap().is_none(), "{what}");
            assert!(now.experiments().by_name("vision").unwrap().is_some(), "{what}");
            assert!(stepwell::registry::ModelRegistry::new(&now).model("m").is_ok(), "{what}");
            now.maintenance().repair(RepairOptions::default()).unwrap();
            is_sound(&on(&disk));
        }
    }
}

/// The last entry and its anchor are lost: nothing but the pack itself tells of it.
#[test]
fn a_pack_that_no_entry_names_is_reported_and_stays() {
    let disk = SimDisk::new();
    let workspace = on(&disk);
    ["a", "b", "c"].iter().for_each(|name| {
        log(&workspace, name);
        compact(&workspace).unwrap();
    });
    let last = entries(&disk, paths::MANIFEST).pop().unwrap();
    disk.remove_file(&last).unwrap();
    for anchor in entries(&disk, paths::ANCHORS) {
        disk.remove_file(&anchor).unwrap();
    }
    let now = on(&disk);
    ["a", "b"].iter().for_each(|name| is_whole(&now, name));
    let before = packs(&disk);
    let report = now.maintenance().verify().unwrap();
    assert_eq!(report.damage.len(), 1, "{report:?}");
    assert!(before.contains(&report.damage[0].file) && report.damage[0].what.contains("1 runs with 3 points"));
    compact(&now).unwrap();
    let collected = now.maintenance().collect_garbage(CollectOptions::before(i64::MAX)).unwrap();
    assert_eq!((packs(&disk), collected.skipped.len()), (before, 1));
    let repaired = on(&disk).maintenance().repair(RepairOptions::default()).unwrap();
    assert_eq!((repaired.salvaged_runs, repaired.quarantined), (1, vec![]));
    let now = on(&disk);
    ["a", "b", "c"].iter().for_each(|name| is_whole(&now, name));
    is_sound(&now);
}

/// Who publishes may stop before it gives the last entry its anchor. Those before show all the same that nothing that
/// was acknowledged came after, so what an interrupted import left is not damage.
#[test]
fn an_import_that_was_interrupted_behind_an_entry_without_an_anchor_is_no_damage() {
    let disk = SimDisk::new();
    let workspace = on(&disk);
    log(&workspace, "a");
    compact(&workspace).unwrap();
    let anchors = |disk: &SimDisk| {
        entries(disk, paths::ANCHORS)
            .into_iter()
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(paths::MANIFEST)))
            .collect::<Vec<_>>()
    };
    let first = anchors(&disk);
    let kept = disk.process_crash();
    log(&workspace, "b");
    compact(&workspace).unwrap();
    // As if the second compaction had stopped behind its entry, and an import behind its pack.
    let all = packs(&disk);
    import(&workspace).unwrap();
    let last = entries(&disk, paths::MANIFEST).pop().unwrap();
    disk.remove_file(&last).unwrap();
    for anchor in anchors(&disk) {
        disk.remove_file(&anchor).unwrap();
    }
    for anchor in &first {
        let file = kept.open_read(anchor).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        disk.create_new(anchor).unwrap().write_at(&bytes, 0).unwrap();
    }
    let now = on(&disk);
    ["a", "b"].iter().for_each(|name| is_whole(&now, name));
    let report = now.maintenance().verify().unwrap();
    assert!(report.is_ok() && report.notes.len() == 1 && !all.contains(&report.notes[0].0), "{report:?}");
}

/// Damage in an entry stays visible, and costs no pack, whatever is published after it.
#[test]
fn publishing_after_damage_hides_nothing() {
    let disk = SimDisk::new();
    let workspace = on(&disk);
    ["a", "b", "c"].iter().for_each(|name| {
        log(&workspace, name);
        compact(&workspace).unwrap();
    });
    let second = &entries(&disk, paths::MANIFEST)[1];
    disk.damage(second, |bytes| bytes[30] ^= 1).unwrap();
    let now = on(&disk);
    for name in ["d", "e"] {
        log(&now, name);
        compact(&now).unwrap();
        collect(&now);
        let now = on(&disk);
        ["a", "b", "c", "d"].iter().for_each(|name| is_whole(&now, name));
        let report = now.maintenance().verify().unwrap();
        assert!(report.damage.iter().any(|damage| damage.file == *second), "{report:?}");
    }
    on(&disk).maintenance().repair(RepairOptions::default()).unwrap();
    let now = on(&disk);
    is_sound(&now);
    ["a", "b", "c", "d", "e"].iter().for_each(|name| is_whole(&now, name));
}

/// A name that no entry has, however great, takes neither time nor sense away.
#[test]
fn a_stray_name_with_a_great_number_is_damage_and_no_more() {
    let disk = SimDisk::new();
    on(&disk).experiments().create("vision").unwrap();
    let dir = entries(&disk, paths::CATALOG)[0].parent().unwrap().to_owned();
    disk.create_new(&dir.join("9999999999999999.entry")).unwrap();
    let now = on(&disk);
    assert!(now.experiments().by_name("vision").unwrap().is_some());
    assert!(!now.maintenance().verify().unwrap().is_ok());
    assert!(matches!(now.experiments().create("text"), Err(Error::Corrupt { .. })));
}

/// Damages these files, as far as they are there. Two names may be one file's.
fn damage_all(disk: &SimDisk, files: &[PathBuf]) {
    files.iter().for_each(|path| _ = disk.damage(path, |bytes| bytes[28..32].fill(0xA5)));
}

/// Files of the catalog: entries, and its anchor.
fn files_of_catalog(disk: &SimDisk) -> Vec<PathBuf> {
    let mut files = entries(disk, paths::CATALOG);
    files.extend(
        entries(disk, paths::ANCHORS)
            .into_iter()
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(paths::CATALOG))),
    );
    files
}

/// Every entry and anchor is damaged, and repaired, while a publisher stands at any step: its number was given before
/// the damage, or is not given again. What it says it published is seen.
#[test]
fn a_publisher_stops_anywhere_while_a_journal_that_is_damaged_is_repaired() {
    // Others publish so many after it that numbers that began anew would reach less far than before, or just as far.
    for (links, before, more) in [(true, 1, 0), (true, 3, 0), (true, 3, 2), (false, 3, 2), (true, 40, 39)] {
        let first = SimDisk::new();
        on(&first);
        if !links {
            without_links(&first);
        }
        (1..=before).for_each(|number| _ = publish(&mut catalog_on(&first), number).unwrap());
        catalog_on(&first).remove_folded().unwrap();
        let known = files_of_catalog(&first);
        assert!(known.len() >= 2);
        let prepare = || {
            let disk = again(&first, links);
            // One who read all that there was, and reads on afterwards.
            let old = catalog_on(&disk);
            (disk, old)
        };
        at_every_operation(
            prepare,
            |storage: Arc<dyn Storage>| publish(&mut catalog(storage)?, 1_000),
            |disk, _| {
                damage_all(disk, &known);
                let repaired = on(disk).maintenance().repair(RepairOptions::default()).unwrap();
                assert!(!repaired.lost.is_empty(), "{repaired:?}");
                (2_000..2_000 + more).for_each(|number| assert!(publish(&mut catalog_on(disk), number).unwrap()));
            },
            |disk, old, done| {
                let mut now = catalog_on(disk);
                let has = |number| now.state().experiments.contains_key(&ExperimentId(number));
                if let Some(done) = done {
                    // One who met the damage may say so.
                    if done.is_ok_and(|published| published) {
                        assert!(has(1_000), "what was acknowledged is seen by nobody");
                    }
                }
                let others = (2_000..2_000 + more).filter(|&number| has(number)).count() as u64;
                assert!(others == more || others == 0, "{others} of others' changes are there");
                assert_eq!(now.check_all().unwrap(), []);
                old.refresh().unwrap();
                assert!(old.state() == now.state() && old.number() == now.number(), "a reader of before sees it");
                assert!(old.number() > before, "numbers began anew: {} after {before}", old.number());
                assert!(publish(&mut now, 3_000).unwrap() && publish(old, 3_001).unwrap());
                let last = catalog_on(disk);
                assert!([3_000, 3_001].iter().all(|&own| last.state().experiments.contains_key(&ExperimentId(own))));
            },
        );
    }
}

/// A repair stops anywhere: what is there afterwards is as before it, or repaired, and can be repaired.
#[test]
fn a_repair_of_a_journal_stops_anywhere_while_others_publish() {
    let first = SimDisk::new();
    on(&first);
    (1..=3).for_each(|number| _ = publish(&mut catalog_on(&first), number).unwrap());
    let known = files_of_catalog(&first);
    let prepare = || {
        let disk = first.process_crash();
        // The last one verifies.
        damage_all(&disk, &known[..2]);
        (disk, ())
    };
    at_every_operation(
        prepare,
        |storage| open(storage)?.maintenance().repair(RepairOptions::default()).map(|_| ()),
        |disk, ()| {
            assert!(publish(&mut catalog_on(disk), 100).unwrap());
        },
        |disk, (), done| {
            if let Some(done) = done {
                done.unwrap();
            }
            let had = catalog_on(disk).state().experiments.contains_key(&ExperimentId(100));
            on(disk).maintenance().repair(RepairOptions::default()).unwrap();
            let mut now = catalog_on(disk);
            assert_eq!(now.check_all().unwrap(), []);
            let has = |number| now.state().experiments.contains_key(&ExperimentId(number));
            assert!(has(3) && (has(100) || !had));
        },
    );
}

/// The folder of entries tells that there were some, whatever became of all files.
#[test]
fn an_emptied_folder_of_entries_is_missed_and_numbers_go_on_behind_it() {
    let disk = SimDisk::new();
    on(&disk);
    (1..=40).for_each(|number| _ = publish(&mut catalog_on(&disk), number).unwrap());
    catalog_on(&disk).remove_folded().unwrap();
    let number = catalog_on(&disk).number();
    for path in files_of_catalog(&disk) {
        disk.remove_file(&path).unwrap();
    }
    assert!(!on(&disk).maintenance().verify().unwrap().is_ok());
    assert!(!on(&disk).maintenance().repair(RepairOptions::default()).unwrap().lost.is_empty());
    is_sound(&on(&disk));
    assert!(publish(&mut catalog_on(&disk), 100).unwrap());
    let now = catalog_on(&disk);
    assert!(now.state().experiments.contains_key(&ExperimentId(100)), "what was published is seen");
    assert!(now.number() + 8 > number, "numbers began anew: {} after {number}", now.number());
}

/// A lost last entry whose number somebody gave again, who slept since before it was given.
#[test]
fn an_entry_with_the_number_of_a_lost_one_is_reported() {
    let disk = SimDisk::new();
    on(&disk);
    publish(&mut catalog_on(&disk), 1).unwrap();
    let before = disk.process_crash();
    publish(&mut catalog_on(&disk), 2).unwrap();
    publish(&mut catalog_on(&before), 3).unwrap();
    let last = entries(&disk, paths::CATALOG).pop().unwrap();
    let other = before.content(&last).unwrap();
    disk.remove_file(&last).unwrap();
    disk.create_new(&last).unwrap().write_at(&other, 0).unwrap();
    let report = on(&disk).maintenance().verify().unwrap();
    assert!(report.damage.iter().any(|damage| damage.what.contains("another entry")), "{report:?}");
    assert!(!on(&disk).maintenance().repair(RepairOptions::default()).unwrap().lost.is_empty());
    is_sound(&on(&disk));
}

/// After a repair of a stray name with a great number all goes on.
#[test]
fn repair_takes_a_stray_name_with_a_great_number_away() {
    let disk = SimDisk::new();
    on(&disk).experiments().create("vision").unwrap();
    let dir = entries(&disk, paths::CATALOG)[0].parent().unwrap().to_owned();
    disk.create_new(&dir.join("9999999999999999.entry")).unwrap();
    on(&disk).maintenance().repair(RepairOptions::default()).unwrap();
    let now = on(&disk);
    is_sound(&now);
    now.experiments().create("text").unwrap();
    assert!(on(&disk).experiments().by_name("vision").unwrap().is_some());
}

/// Two publish the same change, byte by byte: one of them is told that it did, the other that it is there.
#[test]
fn of_two_who_publish_the_same_one_did() {
    let mut decided = 0;
    at_every_operation(
        || {
            let disk = SimDisk::new();
            on(&disk);
            (disk, None)
        },
        |storage| publish(&mut catalog(storage)?, 1),
        |disk, other| *other = Some(publish(&mut catalog_on(disk), 1).unwrap()),
        |_, other, done| {
            if let (Some(done), Some(other)) = (done, *other) {
                assert_eq!(u32::from(done.unwrap()) + u32::from(other), 1);
                decided += 1;
            }
        },
    );
    assert!(decided >= 20, "{decided}");
}
