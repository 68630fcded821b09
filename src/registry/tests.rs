//! The registry's rules against a plain oracle, and its journal under several handles at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use crate::error::Error;
use crate::journal::registry::Stage;
use crate::options::Options;
use crate::registry::store::{FoundVersion, ModelRegistry, NewVersion};
use crate::storage::memory::SimDisk;
use crate::workspace::handle::Workspace;

fn on(disk: &Arc<SimDisk>) -> Workspace {
    let storage = Arc::clone(disk);
    Workspace::open_or_create_on(storage, Path::new("/w"), Options::default()).unwrap()
}

fn version(name: &str) -> NewVersion {
    NewVersion { name: name.into(), source: "s3://b/m".into(), ..NewVersion::default() }
}

/// What may be done to one of two models.
#[derive(Clone, Debug)]
enum Step {
    Create,
    Delete,
    Rename,
    NewVersion,
    DeleteVersion(u64),
    Alias(bool, u64),
    Unalias(bool),
    Move(u64, usize, bool),
    Tag(bool, bool),
}

fn step() -> impl Strategy<Value = (bool, Step)> {
    let number = 0_u64..5;
    let step = prop_oneof![
        2 => Just(Step::Create),
        1 => Just(Step::Delete),
        1 => Just(Step::Rename),
        6 => Just(Step::NewVersion),
        2 => number.clone().prop_map(Step::DeleteVersion),
        3 => (any::<bool>(), number.clone()).prop_map(|(alias, number)| Step::Alias(alias, number)),
        1 => any::<bool>().prop_map(Step::Unalias),
        4 => (number, 0_usize..4, any::<bool>()).prop_map(|(number, stage, archive)| Step::Move(number, stage, archive)),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(key, set)| Step::Tag(key, set)),
    ];
    (any::<bool>(), step)
}

/// A model as one would write it down.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plain {
    next: u64,
    versions: Vec<(u64, Stage)>,
    aliases: BTreeMap<String, u64>,
    tags: BTreeSet<String>,
}

fn name(which: bool) -> &'static str {
    if which { "a" } else { "b" }
}

fn word(which: bool) -> &'static str {
    if which { "x" } else { "X" }
}

/// Does the step to the oracle; whether it is allowed.
fn plainly(models: &mut BTreeMap<&'static str, Plain>, which: bool, step: &Step) -> bool {
    let (own, other) = (name(which), name(!which));
    match step {
        Step::Create => {
            let free = !models.contains_key(own);
            models.entry(own).or_insert_with(|| Plain { next: 1, ..Plain::default() });
            return free;
        }
        Step::Delete => return models.remove(own).is_some(),
        Step::Rename => {
            if models.contains_key(other) {
                return false;
            }
            let Some(model) = models.remove(own) else { return false };
            models.insert(other, model);
            return true;
        }
        _ => {}
    }
    let Some(model) = models.get_mut(own) else { return false };
    let has = |model: &Plain, number: u64| model.versions.iter().any(|(known, _)| *known == number);
    match *step {
        Step::NewVersion => {
            model.versions.push((model.next, Stage::None));
            model.next += 1;
        }
        Step::DeleteVersion(number) => {
            if !has(model, number) {
                return false;
            }
            model.versions.retain(|(known, _)| *known != number);
            model.aliases.retain(|_, named| *named != number);
        }
        Step::Alias(alias, number) => {
            if !has(model, number) {
                return false;
            }
            model.aliases.insert(word(alias).into(), number);
        }
        Step::Unalias(alias) => _ = model.aliases.remove(word(alias)),
        Step::Move(number, stage, archive) => {
            if !has(model, number) {
                return false;
            }
            let stage = Stage::ALL[stage];
            for (known, own) in &mut model.versions {
                if *known == number {
                    *own = stage;
                } else if archive && *own == stage {
                    *own = Stage::Archived;
                }
            }
        }
        Step::Tag(key, true) => _ = model.tags.insert(word(key).into()),
        Step::Tag(key, false) => _ = model.tags.remove(word(key)),
        Step::Create | Step::Delete | Step::Rename => unreachable!("done above"),
    }
    true
}

fn really(store: ModelRegistry<'_>, which: bool, step: &Step) -> Result<(), Error> {
    let own = name(which);
    match *step {
        Step::Create => store.create_model(own, "", BTreeMap::new()).map(|_| ()),
        Step::Delete => store.delete_model(own),
        Step::Rename => store.rename_model(own, name(!which)).map(|_| ()),
        Step::NewVersion => store.create_version(&version(own)).map(|_| ()),
        Step::DeleteVersion(number) => store.delete_version(own, number),
        Step::Alias(alias, number) => store.set_alias(own, word(alias), Some(number)),
        Step::Unalias(alias) => store.set_alias(own, word(alias), None),
        Step::Move(number, stage, archive) => {
            store.set_version_stage(own, number, Stage::ALL[stage], archive).map(|_| ())
        }
        Step::Tag(key, set) => store.set_model_tag(own, word(key), set.then_some("v")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn the_rules_are_those_of_a_plain_list(steps in prop::collection::vec(step(), 1..60)) {
        let disk = Arc::new(SimDisk::new());
        let workspace = on(&disk);
        let mut models = BTreeMap::new();
        for (which, step) in &steps {
            let allowed = plainly(&mut models, *which, step);
            let done = really(ModelRegistry::new(&workspace), *which, step);
            prop_assert_eq!(done.is_ok(), allowed, "{:?} of {}: {:?}", step, name(*which), done);
        }
        // A handle that was not there sees the same.
        let other = on(&disk);
        let (found, _) = ModelRegistry::new(&other).find_models(|_, _| true, |a, b| a.0.cmp(b.0), 0, 10).unwrap();
        let names: Vec<&str> = found.iter().map(|model| model.name.as_str()).collect();
        prop_assert_eq!(names, models.keys().copied().collect::<Vec<_>>());
        for model in found {
            let plain = &models[model.name.as_str()];
            prop_assert_eq!(&model.aliases, &plain.aliases);
            prop_assert_eq!(model.tags.keys().cloned().collect::<BTreeSet<_>>(), plain.tags.clone());
            let by_number = |a: &FoundVersion<'_>, b: &FoundVersion<'_>| a.1.cmp(&b.1);
            let (versions, _) =
                ModelRegistry::new(&other).find_versions(Some(&model.name), |_| true, by_number, 0, 1000).unwrap();
            let versions: Vec<(u64, Stage)> =
                versions.iter().map(|version| (version.version, version.current_stage)).collect();
            prop_assert_eq!(&versions, &plain.versions);
            for stage in Stage::ALL {
                let latest = plain.versions.iter().filter(|(_, own)| *own == stage).map(|(number, _)| *number).max();
                let own = model.latest_versions.iter().find(|version| version.current_stage == stage);
                prop_assert_eq!(own.map(|version| version.version), latest);
            }
        }
    }
}

#[test]
fn numbers_and_names_are_given_once_among_many_handles() {
    let disk = Arc::new(SimDisk::new());
    let workspace = on(&disk);
    ModelRegistry::new(&workspace).create_model("m", "", BTreeMap::new()).unwrap();
    let hands = 4;
    let results: Vec<(Vec<u64>, usize)> = std::thread::scope(|scope| {
        let work = |_| {
            let workspace = on(&disk);
            move || {
                let store = ModelRegistry::new(&workspace);
                let numbers = (0..12).map(|_| store.create_version(&version("m")).unwrap().version).collect();
                let taken = (0..6).filter(|at| store.create_model(&format!("n{at}"), "", BTreeMap::new()).is_ok());
                (numbers, taken.count())
            }
        };
        let threads: Vec<_> = (0..hands).map(|hand| scope.spawn(work(hand))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut numbers: Vec<u64> = results.iter().flat_map(|(numbers, _)| numbers.clone()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=12 * hands).collect::<Vec<_>>());
    assert_eq!(results.iter().map(|(_, taken)| taken).sum::<usize>(), 6);
}

#[test]
fn a_workspace_without_the_folder_is_read_and_gets_it_with_the_first_change() {
    use crate::storage::Storage;
    let disk = Arc::new(SimDisk::new());
    drop(on(&disk));
    let storage: &dyn Storage = &*disk;
    let folder = Path::new("/w/registry");
    assert!(storage.read_dir(folder).unwrap().is_empty());
    storage.remove_dir(folder).unwrap();
    let workspace = on(&disk);
    assert!(workspace.damage().unwrap().is_empty());
    assert!(workspace.maintenance().verify().unwrap().is_ok());
    let store = ModelRegistry::new(&workspace);
    assert!(matches!(store.model("m"), Err(Error::NotFound { .. })));
    store.create_model("m", "", BTreeMap::new()).unwrap();
    assert_eq!(ModelRegistry::new(&on(&disk)).model("m").unwrap().name, "m");
}
