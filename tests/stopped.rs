//! The crash suite's other axis: a process that stops at any step of a protocol, for ever or until others have done all
//! they do, whatever the clocks say.
//!
//! The clock of the simulated disk stands in 1970, so each file is older than any grace period.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::base::ids::{ExperimentId, RunId};
use stepwell::base::point::{Columns, Point};
use stepwell::base::stats::RunStatus;
use stepwell::error::{Error, Result};
use stepwell::options::{Options, TailMode};
use stepwell::storage::Storage;
use stepwell::storage::memory::{Effect, Fault, OpKind, SimDisk, Times};
use stepwell::workspace::catalog::{Catalog, Change, Experiment};
use stepwell::workspace::compaction::{CompactOptions, Compacted};
use stepwell::workspace::import::RunImport;
use stepwell::workspace::journal::Journal;
use stepwell::workspace::open::Workspace;
use stepwell::workspace::paths;
use stepwell::workspace::runs::NewRun;
use stepwell::workspace::unlisted::LeftoverOptions;

use crate::support::stop::{Actor, Stop, at_every_operation};

const ROOT: &str = "/w";

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

fn open(storage: Arc<dyn Storage>) -> Result<Workspace> {
    let options = Options { tail: TailMode::Written, tail_points: 8, grace_ms: 0, ..Options::default() };
    Workspace::open_or_create_on(storage, Path::new(ROOT), options)
}

fn on(disk: &SimDisk) -> Workspace {
    open(Arc::new(disk.clone())).unwrap()
}

fn id(name: &str) -> RunId {
    RunId::new(name).unwrap()
}

/// Logs three points and a param to a run, and finishes it.
fn log(workspace: &Workspace, name: &str) {
    let new = NewRun { id: Some(id(name)), ..NewRun::default() };
    let mut run = workspace.create_run(ExperimentId::DEFAULT, new).unwrap();
    run.log_param("name", name).unwrap();
    (0..3).for_each(|step| run.log_metric("loss", step, 0.5 + step as f64).unwrap());
    run.finish(RunStatus::Finished).unwrap();
}

/// Everything that [`log`] said of a run is there, once.
fn is_whole(workspace: &Workspace, name: &str) {
    let run = workspace.run(&id(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let points = run.arrivals("loss").unwrap();
    let expected: Columns = (0..3)
        .map(|step| Point { step, timestamp_ms: points.timestamps.view().get(step as usize), value: 0.5 + step as f64 })
        .collect();
    assert_eq!(points.values, expected.values, "{name}");
    assert_eq!((points.steps, run.state().param("name")), (expected.steps, Some(name)));
    assert_eq!(run.state().status(), RunStatus::Finished);
}

fn is_sound(workspace: &Workspace) {
    let report = workspace.verify(&mut |_, _| {}).unwrap();
    assert!(report.is_ok(), "{:?}", report.damage);
}

fn compact(workspace: &Workspace) -> Result<Compacted> {
    workspace.compact(CompactOptions::default())
}

fn collect(workspace: &Workspace) {
    workspace.collect_garbage(i64::MAX, false).unwrap();
}

/// A disk that was prepared once, and copies of it for each try.
fn copies(prepare: impl Fn(&Workspace)) -> impl Fn() -> (SimDisk, ()) {
    let disk = SimDisk::new();
    prepare(&on(&disk));
    move || (disk.process_crash(), ())
}

fn packs(disk: &SimDisk) -> Vec<PathBuf> {
    let dir = Path::new(ROOT).join(paths::PACKS);
    let names = disk.read_dir(&dir).unwrap().into_iter().map(|entry| dir.join(entry.name));
    names.filter(|path| path.extension().is_some_and(|kind| kind == "pack")).collect()
}

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

/// Publishes an experiment, unless there is one of the number.
fn publish(journal: &mut Journal<Catalog>, number: u64) -> Result<bool> {
    journal.publish(|catalog| match catalog.experiments.contains_key(&ExperimentId(number)) {
        true => Ok(Vec::new()),
        false => Ok(vec![experiment(number)]),
    })
}

/// A disk without links answers EPERM.
fn without_links(disk: &SimDisk) {
    let error = libc::EPERM.into();
    disk.add_fault(Fault { at: 0, only: Some(OpKind::Link), error, times: Times::Forever, effect: Effect::Nothing });
}

/// A disk without locks answers ENOLCK.
fn without_locks(disk: &SimDisk) {
    let error = libc::ENOLCK.into();
    disk.add_fault(Fault { at: 0, only: Some(OpKind::Lock), error, times: Times::Forever, effect: Effect::Nothing });
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
            let disk = first.process_crash();
            if !links {
                without_links(&disk);
            }
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
            let disk = first.process_crash();
            if !links {
                without_links(&disk);
            }
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
                let report = now.verify(&mut |_, _| {}).unwrap();
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

/// Imports a run of three points.
fn import(workspace: &Workspace) -> Result<()> {
    let mut importer = workspace.importer();
    let points = (0..3).map(|step| Point { step, timestamp_ms: None, value: 0.5 + step as f64 }).collect();
    importer.add(RunImport {
        params: vec![("name".into(), "imported".into())],
        series: vec![("loss".into(), points)],
        ..RunImport::new(id("imported"), ExperimentId::DEFAULT)
    })?;
    importer.finish().map(|_| ())
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
            let report = now.verify(&mut |_, _| {}).unwrap();
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
                let repaired = other.repair().unwrap();
                assert_eq!((repaired.salvaged_runs, repaired.lost, repaired.quarantined), (1, vec![], vec![]));
                is_whole(&other, "imported");
                let other = on(&disk.process_crash());
                let leftovers = LeftoverOptions { drop_unlisted: true, ..LeftoverOptions::default() };
                assert_eq!(other.collect_garbage_with(0, false, leftovers).unwrap().left, []);
                assert!(other.find_run(&id("imported")).unwrap().is_none());
                assert!(other.verify(&mut |_, _| {}).unwrap().notes.is_empty());
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
        |storage| open(storage)?.collect_garbage(i64::MAX, false).map(|_| ()),
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
            if on(disk).verify(&mut |_, _| {}).unwrap().is_ok() && catalogued_packs(disk) == 0 {
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

/// How many packs entries of the manifest name.
fn catalogued_packs(disk: &SimDisk) -> usize {
    use stepwell::workspace::manifest::Manifest;
    let storage = Arc::new(disk.clone());
    Journal::<Manifest>::open(storage, PathBuf::from(ROOT), paths::MANIFEST).unwrap().state().packs.len()
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
        |storage| open(storage)?.compact(CompactOptions { take_over: true }).map(|_| ()),
        |disk, ()| {
            let collected = on(disk).collect_garbage(i64::MAX, false).unwrap();
            kept +=
                collected.left.iter().filter(|(path, _)| path.extension().is_some_and(|kind| kind == "pack")).count();
        },
        |disk, (), done| {
            if let Some(done) = done {
                done.unwrap();
            }
            is_whole(&on(disk), "a");
            let leftovers = LeftoverOptions { take_over: true, ..LeftoverOptions::default() };
            let collected = on(disk).collect_garbage_with(0, false, leftovers).unwrap();
            assert_eq!(collected.left, []);
            is_whole(&on(disk), "a");
        },
    );
    assert!(kept > 10, "{kept} packs were kept");
}

fn entries(disk: &SimDisk, folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![Path::new(ROOT).join(folder)];
    while let Some(dir) = todo.pop() {
        for entry in disk.read_dir(&dir).unwrap() {
            let path = dir.join(&entry.name);
            if entry.is_dir { todo.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Item 8 of issue 11: a last entry that is lost is missed, and nothing goes because of it.
#[test]
fn a_lost_last_entry_is_missed_and_costs_nothing() {
    let disk = SimDisk::new();
    let workspace = on(&disk);
    workspace.create_experiment("vision").unwrap();
    log(&workspace, "a");
    compact(&workspace).unwrap();
    log(&workspace, "b");
    compact(&workspace).unwrap();
    let registry = stepwell::registry::store::Store::new(&workspace);
    registry.create_model("m", "", Default::default()).unwrap();
    for folder in [paths::MANIFEST, paths::CATALOG, paths::REGISTRY] {
        for everything in [false, true] {
            let disk = disk.process_crash();
            let all = entries(&disk, folder);
            let gone = if everything { &all[..] } else { &all[all.len() - 1..] };
            gone.iter().for_each(|path| disk.remove_file(path).unwrap());
            let report = on(&disk).verify(&mut |_, _| {}).unwrap();
            assert!(report.damage.iter().any(|damage| damage.file == all[all.len() - 1]), "{folder}: {report:?}");
            for _ in 0..2 {
                let now = on(&disk);
                ["a", "b"].iter().for_each(|name| is_whole(&now, name));
                if !everything {
                    assert!(now.experiment_by_name("vision").unwrap().is_some());
                    assert!(stepwell::registry::store::Store::new(&now).model("m").is_ok());
                }
                let before = packs(&disk);
                compact(&now).unwrap();
                collect(&now);
                assert_eq!(packs(&disk), before, "a pack went because an entry was lost");
            }
            on(&disk).repair().unwrap();
            let now = on(&disk);
            is_sound(&now);
            ["a", "b"].iter().for_each(|name| is_whole(&now, name));
            now.create_experiment("text").unwrap();
            log(&now, "c");
            compact(&now).unwrap();
            ["a", "b", "c"].iter().for_each(|name| is_whole(&on(&disk), name));
            is_sound(&on(&disk));
        }
    }
}

/// The last entry and its anchor are lost: nothing but the pack itself tells of it.
#[test]
fn a_pack_that_no_entry_names_is_told_and_stays() {
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
    let report = now.verify(&mut |_, _| {}).unwrap();
    assert_eq!(report.damage.len(), 1, "{report:?}");
    assert!(before.contains(&report.damage[0].file) && report.damage[0].what.contains("1 runs with 3 points"));
    compact(&now).unwrap();
    let collected = now.collect_garbage(i64::MAX, false).unwrap();
    assert_eq!((packs(&disk), collected.left.len()), (before, 1));
    let repaired = on(&disk).repair().unwrap();
    assert_eq!((repaired.salvaged_runs, repaired.quarantined), (1, vec![]));
    let now = on(&disk);
    ["a", "b", "c"].iter().for_each(|name| is_whole(&now, name));
    is_sound(&now);
}

/// Who publishes may stop before it gives the last entry its anchor. Those before show all the same that nothing that
/// was acknowledged came after, so what an interrupted import left is no damage.
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
    let report = now.verify(&mut |_, _| {}).unwrap();
    assert!(report.is_ok() && report.notes.len() == 1 && !all.contains(&report.notes[0].0), "{report:?}");
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
            let report = on(disk).verify(&mut |_, _| {}).unwrap();
            assert!(report.is_ok(), "{:?}", report.damage);
            noted += report.notes.len();
        },
    );
    assert!(noted > 0, "an import can leave a pack behind");
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
        let report = now.verify(&mut |_, _| {}).unwrap();
        assert!(report.damage.iter().any(|damage| damage.file == *second), "{report:?}");
    }
    on(&disk).repair().unwrap();
    let now = on(&disk);
    is_sound(&now);
    ["a", "b", "c", "d", "e"].iter().for_each(|name| is_whole(&now, name));
}

/// A name that no entry has, however great, takes neither time nor sense away.
#[test]
fn a_stray_name_with_a_great_number_is_damage_and_no_more() {
    let disk = SimDisk::new();
    on(&disk).create_experiment("vision").unwrap();
    let dir = entries(&disk, paths::CATALOG)[0].parent().unwrap().to_owned();
    disk.create_new(&dir.join("9999999999999999.entry")).unwrap();
    let now = on(&disk);
    assert!(now.experiment_by_name("vision").unwrap().is_some());
    assert!(!now.verify(&mut |_, _| {}).unwrap().is_ok());
    assert!(matches!(now.create_experiment("text"), Err(Error::Corrupt { .. })));
}
