//! The state of the model registry, and its changes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Entity, Error, Result};
use crate::journal::chain::State;

/// All registered models, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// By name.
    pub models: BTreeMap<String, Model>,
    /// Deleted models, by [`Model::id`].
    pub deleted: BTreeMap<u128, DeletedModel>,
}

/// A deleted model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedModel {
    /// Its name.
    pub name: String,
    /// All versions known then, deleted ones included, by number and creation time. Others, created elsewhere
    /// meanwhile, live.
    pub versions: BTreeSet<(u64, i64)>,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// Who did it.
    pub by: String,
}

/// What is known here of a model of another registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// It was never adopted.
    New,
    /// It exists here under this name.
    Here(&'a str, &'a Model),
    /// It was deleted here.
    Deleted(&'a DeletedModel),
}

/// The ids that copies of a model may have, in order: each next one is used if those before are deleted.
fn ids(name: &str, created_ms: i64) -> impl Iterator<Item = u128> {
    (0_u64..).map(move |again| xxh3_128(format!("{created_ms}/{again}/{name}").as_bytes())).filter(|id| *id != 0)
}

/// A registered model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it or a version was last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// Its description.
    pub description: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Aliases, with the version that each names.
    pub aliases: BTreeMap<String, u64>,
    /// Its versions by number, without deleted ones.
    pub versions: BTreeMap<u64, Version>,
    /// The greatest version number ever used.
    pub last_number: u64,
    /// Identifies copies of the model in other workspaces, whatever its name; 0 until it is created.
    pub id: u128,
    /// Who created it; empty if unknown.
    pub user: String,
    /// Deleted versions.
    pub deleted_versions: BTreeMap<u64, DeletedVersion>,
    /// How often each of its fields was changed.
    pub changes: ChangeCounts,
}

/// A deleted version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeletedVersion {
    /// When it was created, which distinguishes it from another workspace's version with the same number.
    pub created_ms: i64,
    /// Who deleted it.
    pub by: String,
}

/// How often fields were changed, see [`Field`]. Copies in two workspaces converge by that: the value changed more
/// often wins, of equal counts the greater. No clock is involved.
pub(crate) type ChangeCounts = BTreeMap<Field, u64>;

/// A field of a model or version. The order of variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Field {
    /// A model's name.
    Name,
    /// Its description.
    Description,
    /// The tag of this key.
    Tag(String),
    /// The alias of this name.
    Alias(String),
    /// A version's stage.
    Stage,
}

/// A version of a registered model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it was last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// Its description.
    pub description: String,
    /// Its stage.
    pub stage: Stage,
    /// Its source, as given by the caller.
    pub source: String,
    /// Where its files are: the source, resolved at creation.
    pub storage_location: String,
    /// The run that created it; may be empty.
    pub run_id: String,
    /// A link to that run; may be empty.
    pub run_link: String,
    /// Its logged model; may be empty.
    pub model_id: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Who created it; empty if unknown.
    pub user: String,
    /// Who moved it to its stage; empty if nobody did.
    pub stage_by: String,
    /// How often each of its fields was changed.
    pub changes: ChangeCounts,
}

/// The stage of a version. The order of variants is the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// No stage.
    #[default]
    None,
    /// Being tried.
    Staging,
    /// In use.
    Production,
    /// No longer in use.
    Archived,
}

impl Stage {
    /// All of them, in order of rank.
    pub const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// The stage's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        }
    }
}

impl std::str::FromStr for Stage {
    type Err = Error;

    /// Parses a stage's name, ignoring case.
    fn from_str(word: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|stage| stage.as_str().eq_ignore_ascii_case(word))
            .ok_or_else(|| Error::invalid("stage", format!("{word:?} is none of None, Staging, Production, Archived")))
    }
}

/// A change of the registry. The order of variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A new model.
    Create {
        /// Its name.
        name: String,
        /// The model; without versions, unless it comes from another workspace.
        model: Model,
    },
    /// A rename; versions, tags and aliases move along.
    Rename {
        /// Which.
        name: String,
        /// The new name.
        new_name: String,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
    },
    /// A model deleted, with all its versions.
    Delete {
        /// Which.
        name: String,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
        /// Who did it.
        by: String,
    },
    /// A model's description.
    Describe {
        /// Which.
        name: String,
        /// The new description.
        description: String,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
    },
    /// A model's tag set, or removed.
    Tag {
        /// Which.
        name: String,
        /// The tag's key.
        key: String,
        /// Its value; `None` removes it.
        value: Option<String>,
    },
    /// An alias set, or removed.
    Alias {
        /// Which model.
        name: String,
        /// The alias.
        alias: String,
        /// The version that it names; `None` removes it.
        version: Option<u64>,
    },
    /// A new version.
    CreateVersion {
        /// Of which model.
        name: String,
        /// Its number, greater than any before.
        number: u64,
        /// The version.
        version: Version,
    },
    /// A version deleted, with its aliases.
    DeleteVersion {
        /// Of which model.
        name: String,
        /// Its number.
        number: u64,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
        /// Who did it.
        by: String,
    },
    /// A version's description.
    DescribeVersion {
        /// Of which model.
        name: String,
        /// Its number.
        number: u64,
        /// The new description.
        description: String,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
    },
    /// A version's tag set, or removed.
    VersionTag {
        /// Of which model.
        name: String,
        /// Its number.
        number: u64,
        /// The tag's key.
        key: String,
        /// Its value; `None` removes it.
        value: Option<String>,
    },
    /// A version's stage.
    Stage {
        /// Of which model.
        name: String,
        /// Its number.
        number: u64,
        /// The new stage.
        stage: Stage,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
        /// Who did it.
        by: String,
    },
    /// The result of merging the registry of another workspace.
    Merge {
        /// Names that are no longer used.
        unused: Vec<String>,
        /// Models as they are now, by name.
        models: BTreeMap<String, Model>,
        /// Models that are deleted, all of them.
        deleted: BTreeMap<u128, DeletedModel>,
    },
}

impl Change {
    /// The changed model.
    fn name(&self) -> &str {
        match self {
            Self::Create { name, .. }
            | Self::Rename { name, .. }
            | Self::Delete { name, .. }
            | Self::Describe { name, .. }
            | Self::Tag { name, .. }
            | Self::Alias { name, .. }
            | Self::CreateVersion { name, .. }
            | Self::DeleteVersion { name, .. }
            | Self::DescribeVersion { name, .. }
            | Self::VersionTag { name, .. }
            | Self::Stage { name, .. } => name,
            Self::Merge { .. } => "",
        }
    }
}

impl Registry {
    /// A change that skips this many version numbers of each model.
    pub(crate) fn passing_over(&self, numbers: u64) -> Change {
        let mut models = self.models.clone();
        models.values_mut().for_each(|model| model.last_number = model.last_number.saturating_add(numbers));
        Change::Merge { unused: Vec::new(), models, deleted: self.deleted.clone() }
    }
}

impl State for Registry {
    type Change = Change;

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Create { name, model } => {
                let mut model = model.clone();
                if model.id == 0 {
                    model.id = self.free_id(name, model.created_ms);
                }
                self.models.insert(name.clone(), model);
            }
            Change::Delete { name, at_ms, by } => {
                if let Some(model) = self.models.remove(name) {
                    let mut versions: BTreeSet<(u64, i64)> = model.known_versions().collect();
                    versions.extend(self.deleted.get(&model.id).iter().flat_map(|gone| &gone.versions));
                    let gone = DeletedModel { name: name.clone(), versions, at_ms: *at_ms, by: by.clone() };
                    self.deleted.insert(model.id, gone);
                }
            }
            Change::Merge { unused, models, deleted } => {
                unused.iter().for_each(|name| _ = self.models.remove(name));
                self.models.extend(models.iter().map(|(name, model)| (name.clone(), model.clone())));
                self.deleted.clone_from(deleted);
            }
            Change::Rename { name, new_name, at_ms } => {
                if let Some(mut model) = self.models.remove(name) {
                    count(&mut model.changes, Field::Name);
                    model.updated_ms = *at_ms;
                    model.versions.values_mut().for_each(|version| version.updated_ms = *at_ms);
                    self.models.insert(new_name.clone(), model);
                }
            }
            change => {
                if let Some(model) = self.models.get_mut(change.name()) {
                    model.apply(change);
                }
            }
        }
    }
}

impl Model {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Create { .. } | Change::Delete { .. } | Change::Rename { .. } | Change::Merge { .. } => {}
            Change::Describe { description, at_ms, .. } => {
                count(&mut self.changes, Field::Description);
                self.description.clone_from(description);
                self.updated_ms = *at_ms;
            }
            Change::Tag { key, value, .. } => {
                count(&mut self.changes, Field::Tag(key.clone()));
                put(&mut self.tags, key, value.clone());
            }
            Change::Alias { alias, version, .. } => {
                count(&mut self.changes, Field::Alias(alias.clone()));
                put(&mut self.aliases, alias, *version);
            }
            Change::CreateVersion { number, version, .. } => {
                self.last_number = self.last_number.max(*number);
                self.updated_ms = version.created_ms;
                self.versions.insert(*number, version.clone());
            }
            Change::DeleteVersion { number, at_ms, by, .. } => {
                if let Some(version) = self.versions.get(number) {
                    let deleted = DeletedVersion { created_ms: version.created_ms, by: by.clone() };
                    self.deleted_versions.insert(*number, deleted);
                }
                self.remove_versions(|other, _| other == *number);
                self.updated_ms = *at_ms;
            }
            Change::DescribeVersion { number, description, at_ms, .. } => {
                if let Some(version) = self.versions.get_mut(number) {
                    count(&mut version.changes, Field::Description);
                    version.description.clone_from(description);
                    version.updated_ms = *at_ms;
                }
            }
            Change::VersionTag { number, key, value, .. } => {
                if let Some(version) = self.versions.get_mut(number) {
                    count(&mut version.changes, Field::Tag(key.clone()));
                    put(&mut version.tags, key, value.clone());
                }
            }
            Change::Stage { number, stage, at_ms, by, .. } => {
                if let Some(version) = self.versions.get_mut(number) {
                    count(&mut version.changes, Field::Stage);
                    version.stage = *stage;
                    version.stage_by.clone_from(by);
                    version.updated_ms = *at_ms;
                    self.updated_ms = *at_ms;
                }
            }
        }
    }

    /// Its versions by number and creation time, deleted ones included.
    pub fn known_versions(&self) -> impl Iterator<Item = (u64, i64)> {
        let live = self.versions.iter().map(|(&number, version)| (number, version.created_ms));
        live.chain(self.deleted_versions.iter().map(|(&number, version)| (number, version.created_ms)))
    }

    /// Removes versions and their aliases.
    pub fn remove_versions(&mut self, which: impl Fn(u64, &Version) -> bool) {
        self.versions.retain(|&number, version| !which(number, version));
        let versions = &self.versions;
        self.aliases.retain(|_, number| versions.contains_key(number));
    }

    /// The greatest version of each stage, in order of the stages' first versions.
    pub fn latest(&self) -> impl Iterator<Item = (u64, &Version)> {
        let mut stages: Vec<Stage> = Vec::new();
        for version in self.versions.values() {
            if !stages.contains(&version.stage) {
                stages.push(version.stage);
            }
        }
        let of = |stage: Stage| self.versions.iter().rev().find(move |(_, version)| version.stage == stage);
        stages.into_iter().filter_map(of).map(|(&number, version)| (number, version))
    }
}

fn count(changes: &mut ChangeCounts, field: Field) {
    let times = changes.entry(field).or_default();
    *times = times.saturating_add(1);
}

fn put<T>(map: &mut BTreeMap<String, T>, key: &str, value: Option<T>) {
    match value {
        Some(value) => map.insert(key.to_owned(), value),
        None => map.remove(key),
    };
}

impl Registry {
    /// The id of a new model: the same wherever the same model is imported, and never that of one that exists or was
    /// deleted here.
    fn free_id(&self, name: &str, created_ms: i64) -> u128 {
        let taken = |id: &u128| self.deleted.contains_key(id) || self.models.values().any(|model| model.id == *id);
        ids(name, created_ms).find(|id| !taken(id)).unwrap_or_default()
    }

    /// What is known here of a model that another registry created under this name and time.
    #[must_use]
    pub fn known(&self, name: &str, created_ms: i64) -> Known<'_> {
        let mut known = Known::New;
        for id in ids(name, created_ms) {
            let here = self.models.iter().find(|(_, model)| model.id == id);
            if let Some((name, model)) = here {
                return Known::Here(name, model);
            }
            match self.deleted.get(&id) {
                Some(gone) => known = Known::Deleted(gone),
                None => break,
            }
        }
        known
    }

    /// A model.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(crate) fn model(&self, name: &str) -> Result<&Model> {
        self.models.get(name).ok_or_else(|| Error::not_found(Entity::Model, name))
    }

    /// A version.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn version(&self, name: &str, number: u64) -> Result<&Version> {
        let version = self.models.get(name).and_then(|model| model.versions.get(&number));
        version.ok_or_else(|| Error::not_found(Entity::ModelVersion, format!("name={name}, version={number}")))
    }

    /// Rejects a name that is taken.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`].
    pub(crate) fn check_free(&self, name: &str) -> Result<()> {
        match self.models.get(name) {
            Some(_) => Err(Error::AlreadyExists { entity: Entity::Model, id: name.to_owned() }),
            None => Ok(()),
        }
    }
}
