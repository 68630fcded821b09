//! The catalog: experiments, whose names are unique.
//!
//! Changes of the name and of each tag are counted. Copies of an experiment in two workspaces converge by these counts:
//! the value that was changed more often wins, and of equal counts the greater text by bytes, a removed tag being less
//! than any. No clock is involved, and the result does not depend on the order of merging ([`Experiment::update`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::ids::ExperimentId;
use crate::base::limits::{EXPERIMENT_NAME_CHARS_MAX, EXPERIMENT_TAG_VALUE_CHARS_MAX, check_chars, check_key};
use crate::error::{Entity, Error, Result};
use crate::journal::chain::State;

/// An experiment: a named set of runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    /// Its id.
    pub id: ExperimentId,
    /// Its name, unique in the workspace, deleted ones included.
    pub name: String,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it was last changed, in milliseconds since the epoch.
    pub updated_ms: i64,
    /// Whether it is marked deleted, with its runs.
    pub deleted: bool,
    /// How often it was deleted or restored. A run's deletion attribute counts only in the generation in which it was
    /// set. Between workspaces the greater generation wins, and of equal ones the deletion.
    pub generation: u64,
    /// Who deleted or restored it last; empty if nobody did.
    pub deletion_by: String,
    /// Where the artifacts of its runs go; empty for the default.
    pub artifact_location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// How often it was renamed.
    pub renames: u64,
    /// How often each tag was set or removed since the experiment was created; includes removed tags.
    pub tag_changes: BTreeMap<String, u64>,
}

/// An experiment to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewExperiment {
    /// Its id; a new one if `None`.
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
    /// By id. `Default` always exists.
    pub experiments: BTreeMap<ExperimentId, Experiment>,
    /// Permanently deleted experiments.
    pub forgotten: BTreeMap<ExperimentId, Forgotten>,
}

/// A permanently deleted experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// Who did it.
    pub by: String,
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
            deletion_by: String::new(),
            artifact_location: String::new(),
            tags: BTreeMap::new(),
            renames: 0,
            tag_changes: BTreeMap::new(),
        };
        Self { experiments: [(default.id, default)].into(), forgotten: BTreeMap::new() }
    }
}

/// A change of the catalog. The order of variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A new experiment.
    Create(Experiment),
    /// A rename.
    Rename {
        /// Its id.
        id: ExperimentId,
        /// The new name.
        name: String,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
    },
    /// A tag set, or removed.
    Tag {
        /// Its id.
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
        /// Its id.
        id: ExperimentId,
        /// Whether it is deleted now.
        deleted: bool,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
        /// Who did it.
        by: String,
    },
    /// Permanently deleted: its name is free.
    Forget {
        /// Its id.
        id: ExperimentId,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
        /// Who did it.
        by: String,
    },
    /// Changes of its name and tags from another workspace.
    Merge {
        /// Its id.
        id: ExperimentId,
        /// The name and how often it was changed there.
        name: Option<(String, u64)>,
        /// Each tag's value, `None` if removed, and how often it was changed there.
        tags: Vec<(String, Option<String>, u64)>,
        /// When, in milliseconds since the epoch.
        at_ms: i64,
    },
    /// Marked deleted or restored in another workspace.
    Carry {
        /// Its id.
        id: ExperimentId,
        /// Whether it is deleted now.
        deleted: bool,
        /// The generation there.
        generation: u64,
        /// When it was adopted, in milliseconds since the epoch.
        at_ms: i64,
        /// Who did it there.
        by: String,
    },
}

/// The values of one copy of an experiment that win over another's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExperimentUpdate {
    /// The name and how often it was changed.
    pub name: Option<(String, u64)>,
    /// Each tag's value, `None` if removed, and how often it was changed.
    pub tags: Vec<(String, Option<String>, u64)>,
}

impl ExperimentUpdate {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.tags.is_empty()
    }
}

impl Experiment {
    /// The values of `theirs`, a copy in another workspace, that win over this copy's. O(tags).
    #[must_use]
    pub fn update_from(&self, theirs: &Self) -> ExperimentUpdate {
        let name = (theirs.renames, &theirs.name) > (self.renames, &self.name);
        let changes = |of: &Self, key: &str| of.tag_changes.get(key).copied().unwrap_or(0);
        let keys: BTreeSet<&String> = theirs.tags.keys().chain(theirs.tag_changes.keys()).collect();
        let tags = keys.into_iter().filter_map(|key| {
            let (own, other) = ((changes(self, key), self.tags.get(key)), (changes(theirs, key), theirs.tags.get(key)));
            (other > own).then(|| (key.clone(), other.1.cloned(), other.0))
        });
        ExperimentUpdate { name: name.then(|| (theirs.name.clone(), theirs.renames)), tags: tags.collect() }
    }

    /// The rank of this copy's deletion state: of two copies the greater wins.
    #[must_use]
    pub fn deletion(&self) -> (u64, bool) {
        (self.generation, self.deleted)
    }

    /// Whether a run of the experiment counts as deleted, given its own deletion attribute and that attribute's
    /// generation.
    #[must_use]
    pub fn counts_as_deleted(&self, deleted: bool, generation: u64) -> bool {
        if generation >= self.generation { deleted } else { self.deleted }
    }
}

impl Experiment {
    fn put_tag(&mut self, key: &str, value: Option<&String>, changes: u64) {
        match value {
            Some(value) => _ = self.tags.insert(key.to_owned(), value.clone()),
            None => _ = self.tags.remove(key),
        }
        self.tag_changes.insert(key.to_owned(), changes);
    }
}

impl State for Catalog {
    type Change = Change;

    fn apply(&mut self, change: &Change) {
        let (id, at) = match change {
            Change::Create(experiment) => {
                self.forgotten.remove(&experiment.id);
                self.experiments.insert(experiment.id, experiment.clone());
                return;
            }
            Change::Forget { id, at_ms, by } => {
                self.experiments.remove(id);
                self.forgotten.insert(*id, Forgotten { at_ms: *at_ms, by: by.clone() });
                return;
            }
            Change::Rename { id, at_ms, .. }
            | Change::Tag { id, at_ms, .. }
            | Change::Deleted { id, at_ms, .. }
            | Change::Carry { id, at_ms, .. }
            | Change::Merge { id, at_ms, .. } => (id, at_ms),
        };
        let Some(experiment) = self.experiments.get_mut(id) else {
            return;
        };
        experiment.updated_ms = *at;
        match change {
            Change::Create(_) | Change::Forget { .. } => {}
            Change::Rename { name, .. } => {
                experiment.name.clone_from(name);
                experiment.renames = experiment.renames.saturating_add(1);
            }
            Change::Tag { key, value, .. } => {
                let changes = experiment.tag_changes.get(key).copied().unwrap_or(0).saturating_add(1);
                experiment.put_tag(key, value.as_ref(), changes);
            }
            Change::Merge { name, tags, .. } => {
                if let Some((name, renames)) = name {
                    experiment.name.clone_from(name);
                    experiment.renames = *renames;
                }
                for (key, value, changes) in tags {
                    experiment.put_tag(key, value.as_ref(), *changes);
                }
            }
            Change::Deleted { deleted, by, .. } => {
                experiment.deleted = *deleted;
                experiment.generation = experiment.generation.saturating_add(1);
                experiment.deletion_by.clone_from(by);
            }
            Change::Carry { deleted, generation, by, .. } => {
                experiment.deleted = *deleted;
                experiment.generation = *generation;
                experiment.deletion_by.clone_from(by);
            }
        }
    }
}

impl Catalog {
    /// The experiment with an id.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, id: ExperimentId) -> Result<&Experiment> {
        self.experiments.get(&id).ok_or_else(|| Error::not_found(Entity::Experiment, id))
    }

    /// The experiment with an id, if it is not deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`].
    pub fn active(&self, id: ExperimentId) -> Result<&Experiment> {
        let experiment = self.get(id)?;
        if experiment.deleted {
            return Err(Error::Deleted { entity: Entity::Experiment, id: experiment.name.clone() });
        }
        Ok(experiment)
    }

    /// The experiment with a name, deleted or not.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Experiment> {
        self.experiments.values().find(|experiment| experiment.name == name)
    }

    /// An id for a new experiment, see [`ExperimentId::after`].
    #[must_use]
    pub fn free_id(&self) -> ExperimentId {
        let greatest = self.experiments.keys().next_back().copied().unwrap_or(ExperimentId::DEFAULT);
        ExperimentId::after(greatest)
    }

    /// Rejects a name that is blank, too long or taken.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::AlreadyExists`].
    pub fn check_name(&self, name: &str) -> Result<()> {
        if name.trim().is_empty() {
            return Err(Error::invalid("experiment name", "it must not be blank"));
        }
        check_chars("experiment name", name, EXPERIMENT_NAME_CHARS_MAX)?;
        match self.by_name(name) {
            Some(_) => Err(Error::AlreadyExists { entity: Entity::Experiment, id: name.to_owned() }),
            None => Ok(()),
        }
    }
}

/// Rejects a tag that exceeds the limits.
///
/// # Errors
/// [`Error::Invalid`].
pub fn check_tag(key: &str, value: &str) -> Result<()> {
    check_key("experiment tag key", key)?;
    check_chars("experiment tag value", value, EXPERIMENT_TAG_VALUE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A step of the test: which of three copies changes, or takes what another has.
    #[derive(Clone, Debug)]
    enum Act {
        Rename(usize, String),
        Tag(usize, String, Option<String>),
        Take(usize, usize),
    }

    fn act() -> impl Strategy<Value = Act> {
        let copy = 0..3_usize;
        prop_oneof![
            (copy.clone(), "[a-c]").prop_map(|(at, name)| Act::Rename(at, name)),
            (copy.clone(), "[kl]", prop::option::of("[x-z]")).prop_map(|(at, key, value)| Act::Tag(at, key, value)),
            (copy.clone(), copy).prop_map(|(to, from)| Act::Take(to, from)),
        ]
    }

    fn take(copies: &mut [Catalog], to: usize, from: usize) {
        let id = ExperimentId::DEFAULT;
        let update = copies[to].experiments[&id].update_from(&copies[from].experiments[&id]);
        copies[to].apply(&Change::Merge { id, name: update.name, tags: update.tags, at_ms: 0 });
    }

    proptest! {
        /// Whatever was done, and whoever took from whom before: when each has taken from each, all are the same, and a
        /// further time brings nothing.
        #[test]
        fn copies_come_to_one_state(acts in prop::collection::vec(act(), 0..30), last in 0..6_usize) {
            let mut copies = vec![Catalog::default(); 3];
            let id = ExperimentId::DEFAULT;
            for act in acts {
                match act {
                    Act::Rename(at, name) => copies[at].apply(&Change::Rename { id, name, at_ms: 0 }),
                    Act::Tag(at, key, value) => copies[at].apply(&Change::Tag { id, key, value, at_ms: 0 }),
                    Act::Take(to, from) => take(&mut copies, to, from),
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
            prop_assert!(copies[0].experiments[&id].update_from(&copies[1].experiments[&id]).is_empty());
        }

        /// A copy that took what another had and then changed it stands over that other.
        #[test]
        fn a_later_change_stands(before in prop::collection::vec(act(), 0..10)) {
            let mut copies = vec![Catalog::default(); 3];
            let id = ExperimentId::DEFAULT;
            for act in before {
                if let Act::Rename(at, name) = act {
                    copies[at].apply(&Change::Rename { id, name, at_ms: 0 });
                }
            }
            take(&mut copies, 0, 1);
            copies[0].apply(&Change::Rename { id, name: String::new(), at_ms: 0 });
            take(&mut copies, 1, 0);
            prop_assert_eq!(copies[1].experiments[&id].name.as_str(), "");
            prop_assert!(copies[0].experiments[&id].update_from(&copies[1].experiments[&id]).is_empty());
        }
    }
}
