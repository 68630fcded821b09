//! What the registry holds, and the changes of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::workspace::journal::State;

/// All registered models, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// By name.
    pub models: BTreeMap<String, Model>,
}

/// A registered model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it or a version was last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// What it is about.
    pub description: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The version that each alias names.
    pub aliases: BTreeMap<String, u64>,
    /// Its versions by number; deleted ones are gone.
    pub versions: BTreeMap<u64, Version>,
    /// The greatest number that any version ever had: the next gets one more.
    pub last_number: u64,
}

/// A version of a registered model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it was last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// What it is about.
    pub description: String,
    /// Where it stands.
    pub stage: Stage,
    /// Where it comes from, as the caller said it.
    pub source: String,
    /// Where its files are: the source, resolved when the version was created.
    pub storage_location: String,
    /// The run that made it; may be empty.
    pub run_id: String,
    /// A link to that run; may be empty.
    pub run_link: String,
    /// The logged model that it is; may be empty.
    pub model_id: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// Where a version stands. The order of variants is the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Nowhere yet.
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
    /// All of them, in MLflow's order.
    pub const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// MLflow's word.
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

    /// Reads MLflow's word, in any case.
    fn from_str(word: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str().eq_ignore_ascii_case(word)).ok_or_else(|| {
            let why = format!(
                "Invalid Model Version stage: {word}. Value must be one of None, Staging, Production, Archived."
            );
            Error::invalid("stage", why)
        })
    }
}

/// A change of the registry. The order of variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A new model.
    Create {
        /// Its name.
        name: String,
        /// The model: without versions, but for one that another workspace had.
        model: Model,
    },
    /// Another name; versions, tags and aliases go with it.
    Rename {
        /// Which.
        name: String,
        /// The new name.
        new_name: String,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
    },
    /// A model gone, with all its versions.
    Delete {
        /// Which.
        name: String,
    },
    /// What a model is about.
    Describe {
        /// Which.
        name: String,
        /// The new words.
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
    /// A version gone, and the aliases that named it.
    DeleteVersion {
        /// Of which model.
        name: String,
        /// Its number.
        number: u64,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
    },
    /// What a version is about.
    DescribeVersion {
        /// Of which model.
        name: String,
        /// Its number.
        number: u64,
        /// The new words.
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
    /// Where a version stands.
    Stage {
        /// Of which model.
        name: String,
        /// Its number.
        number: u64,
        /// The new stage.
        stage: Stage,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
    },
}

impl Change {
    /// The model that is changed.
    fn name(&self) -> &str {
        match self {
            Self::Create { name, .. }
            | Self::Rename { name, .. }
            | Self::Delete { name }
            | Self::Describe { name, .. }
            | Self::Tag { name, .. }
            | Self::Alias { name, .. }
            | Self::CreateVersion { name, .. }
            | Self::DeleteVersion { name, .. }
            | Self::DescribeVersion { name, .. }
            | Self::VersionTag { name, .. }
            | Self::Stage { name, .. } => name,
        }
    }
}

impl State for Registry {
    type Change = Change;

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Create { name, model } => {
                self.models.insert(name.clone(), model.clone());
            }
            Change::Delete { name } => {
                self.models.remove(name);
            }
            Change::Rename { name, new_name, at_ms } => {
                if let Some(mut model) = self.models.remove(name) {
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
            Change::Create { .. } | Change::Delete { .. } | Change::Rename { .. } => {}
            Change::Describe { description, at_ms, .. } => {
                self.description.clone_from(description);
                self.updated_ms = *at_ms;
            }
            Change::Tag { key, value, .. } => put(&mut self.tags, key, value.clone()),
            Change::Alias { alias, version, .. } => put(&mut self.aliases, alias, *version),
            Change::CreateVersion { number, version, .. } => {
                self.last_number = self.last_number.max(*number);
                self.updated_ms = version.created_ms;
                self.versions.insert(*number, version.clone());
            }
            Change::DeleteVersion { number, at_ms, .. } => {
                self.versions.remove(number);
                self.aliases.retain(|_, version| version != number);
                self.updated_ms = *at_ms;
            }
            Change::DescribeVersion { number, description, at_ms, .. } => {
                if let Some(version) = self.versions.get_mut(number) {
                    version.description.clone_from(description);
                    version.updated_ms = *at_ms;
                }
            }
            Change::VersionTag { number, key, value, .. } => {
                if let Some(version) = self.versions.get_mut(number) {
                    put(&mut version.tags, key, value.clone());
                }
            }
            Change::Stage { number, stage, at_ms, .. } => {
                if let Some(version) = self.versions.get_mut(number) {
                    version.stage = *stage;
                    version.updated_ms = *at_ms;
                    self.updated_ms = *at_ms;
                }
            }
        }
    }

    /// The greatest version of each stage that has one. The stages come as their first versions do (MLflow's order).
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

fn put<T>(map: &mut BTreeMap<String, T>, key: &str, value: Option<T>) {
    match value {
        Some(value) => map.insert(key.to_owned(), value),
        None => map.remove(key),
    };
}

impl Registry {
    /// A model.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn model(&self, name: &str) -> Result<&Model> {
        self.models.get(name).ok_or_else(|| Error::not_found("registered model", name))
    }

    /// A version.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn version(&self, name: &str, number: u64) -> Result<&Version> {
        let version = self.models.get(name).and_then(|model| model.versions.get(&number));
        version.ok_or_else(|| Error::not_found("model version", format!("name={name}, version={number}")))
    }

    /// Refuses a name that is taken.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`].
    pub fn check_free(&self, name: &str) -> Result<()> {
        match self.models.get(name) {
            Some(_) => Err(Error::AlreadyExists { entity: "registered model", id: name.to_owned() }),
            None => Ok(()),
        }
    }
}
