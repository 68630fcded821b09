//! The catalog: experiments, whose names are unique.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::ids::ExperimentId;
use crate::base::limits::{EXPERIMENT_NAME_CHARS_MAX, EXPERIMENT_TAG_VALUE_CHARS_MAX, check_chars, check_key};
use crate::error::{Error, Result};
use crate::workspace::journal::State;

/// A group of runs with a name of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    /// Its number.
    pub id: ExperimentId,
    /// Its name, unique in the workspace, deleted ones included.
    pub name: String,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it was last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// Whether it is marked deleted, and its runs with it.
    pub deleted: bool,
    /// How often it was deleted or restored: what was said of a run's deletion before the last time counts no more.
    pub generation: u64,
    /// Where the artifacts of its runs go; empty for the place that the facade chooses.
    pub artifact_location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// An experiment to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewExperiment {
    /// The caller's number; a new one after all others otherwise.
    pub id: Option<ExperimentId>,
    /// Its name.
    pub name: String,
    /// See [`Experiment::artifact_location`].
    pub artifact_location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// All experiments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// By number. `Default` is there from the start.
    pub experiments: BTreeMap<ExperimentId, Experiment>,
}

impl Default for Catalog {
    fn default() -> Self {
        let default = Experiment {
            id: ExperimentId::DEFAULT,
            name: "Default".into(),
            created_ms: 0,
            updated_ms: 0,
            deleted: false,
            generation: 0,
            artifact_location: String::new(),
            tags: BTreeMap::new(),
        };
        Self { experiments: [(default.id, default)].into() }
    }
}

/// A change of the catalog. The order of variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A new experiment.
    Create(Experiment),
    /// Another name.
    Rename {
        /// Which.
        id: ExperimentId,
        /// The new name.
        name: String,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
    },
    /// A tag set, or removed.
    Tag {
        /// Which.
        id: ExperimentId,
        /// The tag's key.
        key: String,
        /// Its value; `None` removes it.
        value: Option<String>,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
    },
    /// Marked deleted, or restored.
    Deleted {
        /// Which.
        id: ExperimentId,
        /// Whether it is deleted now.
        deleted: bool,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
    },
    /// Deleted for good: its name is free.
    Forget {
        /// Which.
        id: ExperimentId,
    },
}

impl Experiment {
    /// Whether a run of the experiment counts as deleted, given its own mark and the mark's generation.
    #[must_use]
    pub fn counts_as_deleted(&self, deleted: bool, generation: u64) -> bool {
        if generation >= self.generation { deleted } else { self.deleted }
    }
}

impl State for Catalog {
    type Change = Change;

    fn apply(&mut self, change: &Change) {
        let (id, at) = match change {
            Change::Create(experiment) => {
                self.experiments.insert(experiment.id, experiment.clone());
                return;
            }
            Change::Forget { id } => {
                self.experiments.remove(id);
                return;
            }
            Change::Rename { id, at_ms, .. } | Change::Tag { id, at_ms, .. } | Change::Deleted { id, at_ms, .. } => {
                (id, at_ms)
            }
        };
        let Some(experiment) = self.experiments.get_mut(id) else {
            return;
        };
        experiment.updated_ms = *at;
        match change {
            Change::Create(_) | Change::Forget { .. } => {}
            Change::Rename { name, .. } => experiment.name.clone_from(name),
            Change::Tag { key, value: Some(value), .. } => {
                experiment.tags.insert(key.clone(), value.clone());
            }
            Change::Tag { key, value: None, .. } => {
                experiment.tags.remove(key);
            }
            Change::Deleted { deleted, .. } => {
                experiment.deleted = *deleted;
                experiment.generation += 1;
            }
        }
    }
}

impl Catalog {
    /// The experiment of a number.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, id: ExperimentId) -> Result<&Experiment> {
        self.experiments.get(&id).ok_or_else(|| Error::not_found("experiment", id))
    }

    /// The experiment of a number, if it takes changes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`].
    pub fn active(&self, id: ExperimentId) -> Result<&Experiment> {
        let experiment = self.get(id)?;
        if experiment.deleted {
            return Err(Error::Deleted { entity: "experiment", id: experiment.name.clone() });
        }
        Ok(experiment)
    }

    /// The experiment of a name, deleted ones included.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Experiment> {
        self.experiments.values().find(|experiment| experiment.name == name)
    }

    /// A number for a new experiment, see [`ExperimentId::after`].
    #[must_use]
    pub fn free_id(&self) -> ExperimentId {
        let greatest = self.experiments.keys().next_back().copied().unwrap_or(ExperimentId::DEFAULT);
        ExperimentId::after(greatest)
    }

    /// Refuses a name that is blank, too long or taken.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::AlreadyExists`].
    pub fn check_name(&self, name: &str) -> Result<()> {
        if name.trim().is_empty() {
            return Err(Error::invalid("experiment name", "it must not be blank"));
        }
        check_chars("experiment name", name, EXPERIMENT_NAME_CHARS_MAX)?;
        match self.by_name(name) {
            Some(_) => Err(Error::AlreadyExists { entity: "experiment", id: name.to_owned() }),
            None => Ok(()),
        }
    }
}

/// Refuses a tag that breaks MLflow's limits.
///
/// # Errors
/// [`Error::Invalid`].
pub fn check_tag(key: &str, value: &str) -> Result<()> {
    check_key("experiment tag key", key)?;
    check_chars("experiment tag value", value, EXPERIMENT_TAG_VALUE_CHARS_MAX)
}
