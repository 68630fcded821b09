//! Merges the registries of two workspaces, without I/O and without a clock.
//!
//! 1. A model is identified by its id, whatever its name.
//! 2. What one side deleted is deleted: a model with the versions known to that side, a version by its number. Versions
//!    that the other side created meanwhile live, and the model with them.
//! 3. For each field (name, description, tag, alias, stage) the value that was changed more often wins; of equal counts
//!    the greater, where none is less than any.
//! 4. Two versions with one number, or two models with one name, cannot be merged: each side keeps its own, and they
//!    are reported.
//!
//! Without such conflicts merging is commutative, associative and idempotent.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::registry::{ChangeCounts, DeletedModel, Field, Model, Registry, Version};

/// The result of a merge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    /// The state.
    pub registry: Registry,
    /// Names of models that could not be merged, or whose name could not.
    pub diverged: BTreeSet<String>,
}

/// Merges `theirs` into `own`. O(models, versions and their fields).
#[must_use]
pub(super) fn merge(own: &Registry, theirs: &Registry) -> Merged {
    let mut merged = Merged { registry: own.clone(), ..Merged::default() };
    let gone = &mut merged.registry.deleted;
    for (id, theirs) in &theirs.deleted {
        let own = gone.entry(*id).or_insert_with(|| theirs.clone());
        let versions = own.versions.union(&theirs.versions).copied().collect();
        // Which of two actors is recorded does not matter, but both sides must agree.
        let newer =
            if (&theirs.by, theirs.at_ms, &theirs.name) > (&own.by, own.at_ms, &own.name) { theirs } else { &*own };
        *own = DeletedModel { versions, ..newer.clone() };
    }
    let mut models: BTreeMap<u128, (String, Model)> = BTreeMap::new();
    for (name, model) in &own.models {
        models.insert(model.id, (name.clone(), model.clone()));
    }
    for (name, theirs) in &theirs.models {
        match models.get_mut(&theirs.id) {
            None => _ = models.insert(theirs.id, (name.clone(), theirs.clone())),
            Some((own_name, own)) => {
                if stands(&theirs.changes, &own.changes, &Field::Name, *name > *own_name) {
                    own_name.clone_from(name);
                }
                if !merge_model(own, theirs) {
                    merged.diverged.insert(own_name.clone());
                }
            }
        }
    }
    models.retain(|id, (_, model)| match merged.registry.deleted.get(id) {
        Some(gone) if model.known_versions().all(|version| gone.versions.contains(&version)) => false,
        Some(gone) => {
            model.remove_versions(|number, version| gone.versions.contains(&(number, version.created_ms)));
            // Their numbers are not reused.
            let last = gone.versions.last().map_or(0, |&(number, _)| number);
            model.last_number = model.last_number.max(last);
            true
        }
        None => true,
    });
    merged.registry.models = named(models, own, &mut merged.diverged);
    merged
}

/// Resolves names. If two models have one name, each keeps its name here; a new one is not taken.
fn named(
    models: BTreeMap<u128, (String, Model)>,
    own: &Registry,
    diverged: &mut BTreeSet<String>,
) -> BTreeMap<String, Model> {
    let known: BTreeMap<u128, &String> = own.models.iter().map(|(name, model)| (model.id, name)).collect();
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    models.values().for_each(|(name, _)| *uses.entry(name.clone()).or_default() += 1);
    // A model that keeps its name, since its new one is taken, may block another: repeat until nothing changes.
    let mut names: BTreeMap<u128, String> = models.iter().map(|(id, (name, _))| (*id, name.clone())).collect();
    loop {
        let mut changed = false;
        for (id, name) in &mut names {
            if uses[name.as_str()] > 1 {
                diverged.insert(name.clone());
                if let Some(&kept) = known.get(id).filter(|kept| ***kept != *name) {
                    *uses.entry(name.clone()).or_default() -= 1;
                    *uses.entry(kept.clone()).or_default() += 1;
                    name.clone_from(kept);
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    let mut out = BTreeMap::new();
    for (id, (_, model)) in models {
        let name = &names[&id];
        if uses[name.as_str()] == 1 || known.contains_key(&id) {
            out.insert(name.clone(), model);
        }
    }
    out
}

/// Whether their value wins over ours, given which is greater.
fn stands(theirs: &ChangeCounts, own: &ChangeCounts, field: &Field, greater: bool) -> bool {
    let times = |changes: &ChangeCounts| changes.get(field).copied().unwrap_or(0);
    let (theirs, own) = (times(theirs), times(own));
    theirs > own || theirs == own && greater
}

/// Merges a copy of the model. Returns whether all of it could be merged.
fn merge_model(own: &mut Model, theirs: &Model) -> bool {
    if stands(&theirs.changes, &own.changes, &Field::Description, theirs.description > own.description) {
        own.description.clone_from(&theirs.description);
    }
    merge_map(&mut own.tags, &theirs.tags, &own.changes, &theirs.changes, Field::Tag);
    merge_map(&mut own.aliases, &theirs.aliases, &own.changes, &theirs.changes, Field::Alias);
    let mut whole = true;
    for (number, theirs) in &theirs.versions {
        match own.versions.get_mut(number) {
            None => _ = own.versions.insert(*number, theirs.clone()),
            Some(own) => whole &= merge_version(own, theirs),
        }
    }
    for (number, theirs) in &theirs.deleted_versions {
        let own = own.deleted_versions.entry(*number).or_insert_with(|| theirs.clone());
        if *theirs > *own {
            own.clone_from(theirs);
        }
    }
    own.last_number = own.last_number.max(theirs.last_number);
    own.created_ms = own.created_ms.min(theirs.created_ms);
    own.updated_ms = own.updated_ms.max(theirs.updated_ms);
    if theirs.user > own.user {
        own.user.clone_from(&theirs.user);
    }
    merge_changes(&mut own.changes, &theirs.changes);
    let deleted = own.deleted_versions.clone();
    own.remove_versions(|number, version| {
        deleted.get(&number).is_some_and(|deleted| deleted.created_ms == version.created_ms)
    });
    whole
}

/// Merges a copy of a version, if it is the same version. Returns whether it is.
fn merge_version(own: &mut Version, theirs: &Version) -> bool {
    let identity = |version: &Version| (version.created_ms, version.source.clone(), version.run_id.clone());
    if identity(own) != identity(theirs) {
        return false;
    }
    if stands(&theirs.changes, &own.changes, &Field::Description, theirs.description > own.description) {
        own.description.clone_from(&theirs.description);
    }
    let greater = (theirs.stage, &theirs.stage_by) > (own.stage, &own.stage_by);
    if stands(&theirs.changes, &own.changes, &Field::Stage, greater) {
        own.stage = theirs.stage;
        own.stage_by.clone_from(&theirs.stage_by);
    }
    merge_map(&mut own.tags, &theirs.tags, &own.changes, &theirs.changes, Field::Tag);
    own.updated_ms = own.updated_ms.max(theirs.updated_ms);
    for (own, theirs) in [
        (&mut own.user, &theirs.user),
        (&mut own.storage_location, &theirs.storage_location),
        (&mut own.run_link, &theirs.run_link),
        (&mut own.model_id, &theirs.model_id),
    ] {
        if *theirs > *own {
            own.clone_from(theirs);
        }
    }
    merge_changes(&mut own.changes, &theirs.changes);
    true
}

fn merge_map<V: Clone + Ord>(
    own: &mut BTreeMap<String, V>,
    theirs: &BTreeMap<String, V>,
    own_changes: &ChangeCounts,
    their_changes: &ChangeCounts,
    field: fn(String) -> Field,
) {
    let changed = their_changes.keys().filter_map(|changed| match changed {
        Field::Tag(key) | Field::Alias(key) if *changed == field(key.clone()) => Some(key),
        _ => None,
    });
    let keys: BTreeSet<String> = changed.chain(theirs.keys()).cloned().collect();
    for key in keys {
        if stands(their_changes, own_changes, &field(key.clone()), theirs.get(&key) > own.get(&key)) {
            match theirs.get(&key) {
                Some(value) => _ = own.insert(key, value.clone()),
                None => _ = own.remove(&key),
            }
        }
    }
}

fn merge_changes(own: &mut ChangeCounts, theirs: &ChangeCounts) {
    for (field, &times) in theirs {
        let own = own.entry(field.clone()).or_default();
        *own = times.max(*own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::chain::State;
    use crate::journal::registry::{Change, Stage};
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Act {
        Change(usize, Box<Change>),
        NewVersion(usize, String),
        Take(usize, usize),
    }

    /// ChangeCounts of two models by three workspaces, each of which creates models and versions of its own numbers
    /// only.
    fn act() -> impl Strategy<Value = Act> {
        let name = prop::sample::select(vec!["m0", "m1"]).prop_map(str::to_owned);
        (0..3_usize, name, 0..10_u8, 1..6_u64, 0..3_usize, "[x-z]").prop_map(
            |(at, name, kind, number, other, value)| {
                let by = format!("user{at}");
                let change = match kind {
                    0 => Change::Delete { name, at_ms: 0, by },
                    1 => Change::Describe { name, description: value, at_ms: 0 },
                    2 => Change::Tag { name, key: "k".into(), value: (number % 2 == 0).then_some(value) },
                    3 => Change::Alias { name, alias: "a".into(), version: (number > 1).then_some(number) },
                    4 => Change::DeleteVersion { name, number, at_ms: 0, by },
                    5 => Change::Stage { name, number, stage: Stage::ALL[number as usize % 4], at_ms: 0, by },
                    6 => {
                        Change::VersionTag { name, number, key: "k".into(), value: (number % 2 == 0).then_some(value) }
                    }
                    7 => return Act::NewVersion(at, name),
                    _ => return Act::Take(at, other),
                };
                Act::Change(at, Box::new(change))
            },
        )
    }

    fn two_models() -> Registry {
        let mut registry = Registry::default();
        for name in ["m0", "m1"] {
            registry.apply(&Change::Create { name: name.into(), model: Model::default() });
        }
        registry
    }

    fn take(copies: &mut [Registry], to: usize, from: usize) {
        copies[to] = merge(&copies[to], &copies[from]).registry;
    }

    proptest! {
        /// Whatever was done, and whoever took from whom before: when each took from each, all are the same, nothing
        /// that was deleted is back, and of what nobody deleted nothing is missing.
        #[test]
        fn copies_come_to_one_state(acts in prop::collection::vec(act(), 0..40), last in 0..6_usize) {
            let mut copies = vec![two_models(); 3];
            let mut numbers = [0_u64; 3];
            let (mut created, mut deleted) = (BTreeSet::new(), BTreeSet::new());
            for act in acts {
                match act {
                    Act::Take(to, from) => take(&mut copies, to, from),
                    Act::NewVersion(at, name) => {
                        if let Some(model) = copies[at].models.get(&name) {
                            // Numbers that no other workspace gives.
                            let number = (model.last_number + 1..).find(|number| number % 3 == at as u64).unwrap();
                            numbers[at] += 1;
                            created.insert((model.id, number));
                            let version = Version { source: format!("{at}/{}", numbers[at]), ..Version::default() };
                            copies[at].apply(&Change::CreateVersion { name, number, version });
                        }
                    }
                    Act::Change(at, change) => {
                        if let Some(model) = copies[at].models.get(change_name(&change)) {
                            match &*change {
                                Change::Delete { .. } => {
                                    deleted.extend(model.known_versions().map(|(number, _)| (model.id, number)));
                                }
                                Change::DeleteVersion { number, .. } if model.versions.contains_key(number) => {
                                    deleted.insert((model.id, *number));
                                }
                                Change::DeleteVersion { .. } => continue,
                                Change::Alias { version: Some(version), .. }
                                    if !model.versions.contains_key(version) => continue,
                                _ => {}
                            }
                        }
                        copies[at].apply(&change);
                    }
                }
            }
            let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
            for _ in 0..2 {
                for to in orders[last] {
                    (0..3).for_each(|from| take(&mut copies, to, from));
                }
            }
            prop_assert_eq!(&copies[0], &copies[1]);
            prop_assert_eq!(&copies[1], &copies[2]);
            let live: BTreeSet<(u128, u64)> = copies[0]
                .models
                .values()
                .flat_map(|model| model.versions.keys().map(|&number| (model.id, number)))
                .collect();
            let expected: BTreeSet<(u128, u64)> = created.difference(&deleted).copied().collect();
            prop_assert_eq!(live, expected);
        }
    }

    fn change_name(change: &Change) -> &str {
        match change {
            Change::Delete { name, .. }
            | Change::Describe { name, .. }
            | Change::Tag { name, .. }
            | Change::Alias { name, .. }
            | Change::DeleteVersion { name, .. }
            | Change::Stage { name, .. }
            | Change::VersionTag { name, .. } => name,
            _ => "",
        }
    }

    #[test]
    fn one_number_for_two_versions_and_one_name_for_two_models_are_reported() {
        let (mut a, mut b) = (two_models(), two_models());
        for (registry, source) in [(&mut a, "a"), (&mut b, "b")] {
            let version = Version { source: source.into(), ..Version::default() };
            registry.apply(&Change::CreateVersion { name: "m0".into(), number: 1, version });
            let model = Model { created_ms: source.len() as i64 + i64::from(source == "b"), ..Model::default() };
            registry.apply(&Change::Create { name: "new".into(), model });
        }
        let merged = merge(&a, &b);
        assert_eq!(merged.diverged, ["m0", "new"].map(str::to_owned).into());
        assert_eq!(merged.registry, a, "each side keeps its own");
    }

    #[test]
    fn a_name_that_is_used_again_is_another_model() {
        let mut a = two_models();
        let b = a.clone();
        a.apply(&Change::Delete { name: "m0".into(), at_ms: 0, by: "me".into() });
        a.apply(&Change::Create { name: "m0".into(), model: Model::default() });
        let merged = merge(&b, &a);
        assert_eq!((merged.registry, merged.diverged), (a, BTreeSet::new()));
    }
}
