//! Adopts registered models of another registry, with their versions, numbers, times, stages, tags and aliases.
//!
//! A model is identified by its name and creation time in the source, even if renamed here; a different model of that
//! name is not taken. The source's data is taken each time; what exists only here stays. A version that was deleted
//! here, or is a different one here, stays as it is. A model that was deleted here stays deleted unless the caller
//! revives it; then it is a new model to workspaces that know of the deletion.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::journal::registry::{Change, Known, Model, Version};
use crate::workspace::handle::Workspace;

/// A registered model of a source, to be adopted.
#[derive(Clone, Copy, Debug)]
pub struct ModelImport<'a> {
    /// Its name in the source.
    pub name: &'a str,
    /// The model as it is there.
    pub model: &'a Model,
    /// Whether to restore it if it was deleted here.
    pub revive: bool,
    /// How storage locations begin whose files are here. A version that has such a one keeps it, even if the source,
    /// read without its files, names another.
    pub own_storage: &'a str,
}

/// The result of adopting a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdoptedModel {
    /// Whether it is new here.
    pub is_new: bool,
    /// Whether anything was written.
    pub is_changed: bool,
    /// Whether a different model has its name here; then nothing was taken.
    pub is_other: bool,
    /// Whether it was deleted here; then nothing was taken.
    pub is_deleted: bool,
    /// Its name here, if that differs.
    pub name_here: Option<String>,
    /// Versions that are new here.
    pub versions_added: u64,
    /// Numbers of versions that are different or deleted here; not taken.
    pub versions_left_out: Vec<u64>,
    /// Whether it was deleted here and revived as a new model.
    pub is_revived: bool,
    /// Whether its description changed.
    pub is_described: bool,
    /// Changed tags, its own and its versions'.
    pub tags_set: u64,
    /// Changed aliases.
    pub aliases_moved: Vec<String>,
    /// Numbers of changed versions: stage, description, source.
    pub versions_changed: Vec<u64>,
}

impl Workspace {
    /// Adopts a registered model of a source atomically; see the module. A change costs some syncs.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`], [`crate::Error::Io`]; then nothing was changed.
    pub fn adopt_model(&self, import: &ModelImport<'_>) -> Result<AdoptedModel> {
        self.adopt_or_preview(import, false)
    }

    /// What [`Self::adopt_model`] would do; changes nothing.
    ///
    /// # Errors
    /// As [`Self::adopt_model`].
    pub fn preview_model(&self, import: &ModelImport<'_>) -> Result<AdoptedModel> {
        self.adopt_or_preview(import, true)
    }

    fn adopt_or_preview(&self, import: &ModelImport<'_>, preview: bool) -> Result<AdoptedModel> {
        let ModelImport { name, model: theirs, revive, own_storage } = *import;
        let mut done = AdoptedModel::default();
        self.change_registry(|registry| {
            done = AdoptedModel::default();
            let known = match registry.known(name, theirs.created_ms) {
                Known::Here(own_name, own) => Some((own_name, own)),
                // One that was created here has another id, and still is the one of this name: its time of creation
                // tells below.
                Known::New | Known::Deleted(_) => {
                    registry.models.get_key_value(name).map(|(name, own)| (name.as_str(), own))
                }
            };
            let (name, after) = match known {
                None if !revive && matches!(registry.known(name, theirs.created_ms), Known::Deleted(_)) => {
                    done.is_deleted = true;
                    return Ok(Vec::new());
                }
                None => {
                    done.is_new = true;
                    done.is_revived = matches!(registry.known(name, theirs.created_ms), Known::Deleted(_));
                    done.versions_added = theirs.versions.len() as u64;
                    (name, theirs.clone())
                }
                Some((_, own)) if own.created_ms != theirs.created_ms => {
                    done.is_other = true;
                    return Ok(Vec::new());
                }
                Some((own_name, own)) => {
                    done.name_here = Some(own_name.to_owned()).filter(|here| here != name);
                    let after = updated(own, theirs, own_storage, &mut done);
                    if after == *own {
                        return Ok(Vec::new());
                    }
                    (own_name, after)
                }
            };
            done.is_changed = true;
            if preview {
                return Ok(Vec::new());
            }
            Ok(vec![Change::Create { name: name.to_owned(), model: after }])
        })?;
        Ok(done)
    }
}

/// The model here, updated from the source.
fn updated(own: &Model, theirs: &Model, own_storage: &str, done: &mut AdoptedModel) -> Model {
    let mut after = own.clone();
    if !theirs.description.is_empty() {
        after.description.clone_from(&theirs.description);
    }
    after.tags.extend(theirs.tags.clone());
    for (&number, version) in &theirs.versions {
        match after.versions.get_mut(&number) {
            Some(known) if known.created_ms == version.created_ms => {
                *known = updated_version(known, version, own_storage)
            }
            None if number > own.last_number => {
                done.versions_added += 1;
                after.versions.insert(number, version.clone());
            }
            _ => done.versions_left_out.push(number),
        }
    }
    let named = theirs
        .aliases
        .iter()
        .filter(|(_, number)| after.versions.contains_key(number) && !done.versions_left_out.contains(number));
    after.aliases.extend(named.map(|(alias, number)| (alias.clone(), *number)));
    after.last_number = own.last_number.max(theirs.last_number);
    after.updated_ms = own.updated_ms.max(theirs.updated_ms);
    note_changes(own, &after, done);
    after
}

/// Records what changed in a model here.
fn note_changes(own: &Model, after: &Model, done: &mut AdoptedModel) {
    let set = |own: &BTreeMap<String, String>, after: &BTreeMap<String, String>| {
        own.iter().filter(|(key, value)| after.get(*key).is_some_and(|now| now != *value)).count() as u64
    };
    done.is_described = own.description != after.description;
    done.tags_set = set(&own.tags, &after.tags);
    let is_moved = |(alias, number): &(&String, &u64)| after.aliases.get(*alias).is_some_and(|now| now != *number);
    done.aliases_moved = own.aliases.iter().filter(is_moved).map(|(alias, _)| alias.clone()).collect();
    for (number, before) in &own.versions {
        let Some(now) = after.versions.get(number) else { continue };
        done.tags_set += set(&before.tags, &now.tags);
        let fields = |version: &Version| (version.stage, version.description.clone(), version.source.clone());
        if fields(before) != fields(now) {
            done.versions_changed.push(*number);
        }
    }
}

fn updated_version(own: &Version, theirs: &Version, own_storage: &str) -> Version {
    let mut after = theirs.clone();
    if after.description.is_empty() {
        after.description.clone_from(&own.description);
    }
    after.tags = own.tags.clone();
    after.tags.extend(theirs.tags.clone());
    after.updated_ms = own.updated_ms.max(theirs.updated_ms);
    (after.user, after.stage_by) = (own.user.clone(), own.stage_by.clone());
    after.changes = own.changes.clone();
    if own.storage_location.starts_with(own_storage) && !theirs.storage_location.starts_with(own_storage) {
        after.storage_location.clone_from(&own.storage_location);
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::registry::Stage;
    use crate::registry::store::ModelRegistry;

    fn model() -> Model {
        let version = |number: u64| Version {
            created_ms: 100 + number as i64,
            updated_ms: 100 + number as i64,
            source: format!("s3://b/{number}"),
            storage_location: format!("s3://b/{number}"),
            run_id: "gone".into(),
            ..Version::default()
        };
        Model {
            created_ms: 50,
            updated_ms: 60,
            description: "d".into(),
            tags: BTreeMap::from([("t".to_owned(), "1".to_owned())]),
            aliases: BTreeMap::from([("best".to_owned(), 1)]),
            versions: BTreeMap::from([(1, version(1)), (2, version(2))]),
            last_number: 3,
            ..Model::default()
        }
    }

    fn adopt(workspace: &Workspace, model: &Model, revive: bool) -> AdoptedModel {
        workspace.adopt_model(&ModelImport { name: "net", model, revive, own_storage: "here:" }).unwrap()
    }

    #[test]
    fn a_model_comes_as_it_was_and_follows_its_source() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::open_or_create(dir.path()).unwrap();
        let done = adopt(&workspace, &model(), false);
        assert_eq!((done.is_new, done.versions_added), (true, 2));
        let kept = workspace.read_registry(|all| Ok(all.models["net"].clone())).unwrap();
        assert_ne!(kept.id, 0, "a model gets a number of its own here");
        assert_eq!(kept, Model { id: kept.id, ..model() });
        assert!(!adopt(&workspace, &model(), false).is_changed);

        let store = ModelRegistry::new(&workspace);
        store.set_model_tag("net", "own", Some("x")).unwrap();
        let mut later = model();
        later.aliases.insert("best".into(), 2);
        later.versions.get_mut(&1).unwrap().stage = Stage::Production;
        later.tags.insert("t".into(), "2".into());
        assert!(adopt(&workspace, &later, false).is_changed);
        let shown = store.model("net").unwrap();
        assert_eq!((shown.aliases["best"], shown.tags["t"].as_str(), shown.tags["own"].as_str()), (2, "2", "x"));
        assert_eq!(store.version("net", 1).unwrap().current_stage, Stage::Production);
        assert_eq!(
            store
                .create_version(&crate::registry::store::NewVersion { name: "net".into(), ..Default::default() })
                .unwrap()
                .version,
            4,
            "the number of a version that the source deleted stays taken"
        );
    }

    #[test]
    fn other_models_and_deleted_versions_stay_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::open_or_create(dir.path()).unwrap();
        adopt(&workspace, &model(), false);
        let other = Model { created_ms: 51, ..model() };
        let done = adopt(&workspace, &other, false);
        assert!(done.is_other && !done.is_changed);
        ModelRegistry::new(&workspace).delete_version("net", 1).unwrap();
        let done = adopt(&workspace, &model(), false);
        assert_eq!((done.versions_left_out, done.is_changed), (vec![1], false));
        assert!(ModelRegistry::new(&workspace).model("net").unwrap().aliases.is_empty(), "its alias stays away too");
    }

    #[test]
    fn a_deleted_model_stays_deleted_until_it_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::open_or_create(dir.path()).unwrap();
        let store = ModelRegistry::new(&workspace);
        let adopt = |theirs: &Model, revive| adopt(&workspace, theirs, revive);
        for round in 0..2 {
            assert!(adopt(&model(), true).is_new, "{round}");
            store.delete_model("net").unwrap();
            let mut grown = model();
            grown.last_number = 4;
            grown.versions.insert(4, Version::default());
            for theirs in [&model(), &grown] {
                let done = adopt(theirs, false);
                assert_eq!((done.is_deleted, done.is_changed, done.versions_added), (true, false, 0), "{round}");
            }
            assert!(store.model("net").is_err(), "{round}");
        }
        // Another model of that name is another one.
        assert!(adopt(&Model { created_ms: 51, ..model() }, false).is_new);
    }

    #[test]
    fn a_model_that_was_renamed_here_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::open_or_create(dir.path()).unwrap();
        adopt(&workspace, &model(), false);
        let store = ModelRegistry::new(&workspace);
        store.rename_model("net", "vision").unwrap();
        let mut later = model();
        later.tags.insert("t".into(), "2".into());
        let done = adopt(&workspace, &later, false);
        assert_eq!((done.is_new, done.name_here.as_deref()), (false, Some("vision")));
        assert_eq!((store.model("vision").unwrap().tags["t"].as_str(), store.model("net").is_err()), ("2", true));
    }
}
