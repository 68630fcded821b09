//! Experiments: finding, creating and changing them.

use crate::base::ids::ExperimentId;
use crate::error::{Entity, Error, Result};
use crate::folder::clock::now_ms;
use crate::journal::catalog::{self, Catalog, Experiment, NewExperiment, check_tag};
use crate::workspace::state::shared::Shared;

/// The experiments of a workspace. Cheap to make: it borrows the handle.
#[derive(Clone, Copy, Debug)]
pub struct Experiments<'a> {
    workspace: &'a Shared,
}

impl Shared {
    /// See [`Workspace::experiments`](crate::Workspace::experiments).
    pub(crate) fn experiments(&self) -> Experiments<'_> {
        Experiments { workspace: self }
    }

    /// Adopts an experiment of another workspace unchanged.
    pub(crate) fn take_experiment(&self, theirs: &Experiment) -> Result<()> {
        self.change_catalog(|catalog| {
            catalog.check_name(&theirs.name)?;
            if catalog.experiments.contains_key(&theirs.id) {
                return Err(Error::AlreadyExists { entity: Entity::Experiment, id: theirs.id.to_string() });
            }
            Ok(catalog::Change::Create(theirs.clone()))
        })
    }

    /// Merges the name and tags of another workspace's copy of an experiment. A name that another experiment has here
    /// is not taken, and is returned. Also returns whether anything changed.
    pub(crate) fn merge_experiment(&self, id: ExperimentId, theirs: &Experiment) -> Result<(bool, Option<String>)> {
        let mut taken = None;
        // Usually there is no update, and nothing to publish.
        if self.catalog()?.get(id)?.update_from(theirs).is_empty() {
            return Ok((false, None));
        }
        let mut changed = false;
        self.inner.catalog.lock().publish(|catalog| {
            let mut update = catalog.get(id)?.update_from(theirs);
            taken = update.name.take_if(|(name, _)| catalog.by_name(name).is_some_and(|known| known.id != id));
            changed = !update.is_empty();
            let change = catalog::Change::Merge { id, name: update.name, tags: update.tags, at_ms: now_ms() };
            Ok(if changed { vec![change] } else { Vec::new() })
        })?;
        Ok((changed, taken.map(|(name, _)| name)))
    }

    /// Adopts that an experiment was deleted or restored elsewhere, unless known. Returns whether it did.
    pub(crate) fn carry_deletion(&self, id: ExperimentId, theirs: &Experiment) -> Result<bool> {
        // Both sides agree who did it, even if both did.
        let rank = |of: &Experiment| (of.deletion(), of.deletion_by.clone());
        let update = |own: &Experiment| rank(theirs) > rank(own);
        if !self.catalog()?.get(id).is_ok_and(update) {
            return Ok(false);
        }
        let mut carried = false;
        self.inner.catalog.lock().publish(|catalog| {
            carried = catalog.get(id).is_ok_and(update);
            let Experiment { deleted, generation, deletion_by: by, .. } = theirs.clone();
            let change = catalog::Change::Carry { id, deleted, generation, at_ms: now_ms(), by };
            Ok(if carried { vec![change] } else { Vec::new() })
        })?;
        Ok(carried)
    }

    fn change_catalog(&self, mut plan: impl FnMut(&Catalog) -> Result<catalog::Change>) -> Result<()> {
        self.change_catalog_if(|catalog| Ok(vec![plan(catalog)?]))
    }

    /// Publishes the changes that `plan` makes to the newest catalog, if any.
    pub(crate) fn change_catalog_if(&self, plan: impl FnMut(&Catalog) -> Result<Vec<catalog::Change>>) -> Result<()> {
        self.inner.catalog.lock().publish(plan).map(|_| ())
    }
}

impl Experiments<'_> {
    /// All experiments, deleted ones included, by number. Where [`Workspace::damage`](crate::Workspace::damage) names
    /// the catalog, some may be missing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn list(self) -> Result<Vec<Experiment>> {
        Ok(self
            .workspace
            .catalog()?
            .experiments
            .into_values()
            .map(|experiment| self.workspace.dated(experiment))
            .collect())
    }

    /// The experiment of a number, deleted or not.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`] where a damaged catalog may have had it, [`Error::Io`].
    pub fn get(self, id: ExperimentId) -> Result<Experiment> {
        self.workspace.experiment(id)
    }

    /// The experiment of a name, deleted or not, if there is one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where a damaged catalog may have had it, [`Error::Io`].
    pub fn by_name(self, name: &str) -> Result<Option<Experiment>> {
        match (self.workspace.catalog()?.by_name(name).cloned(), self.workspace.catalog_damage()) {
            (None, Some(error)) => Err(error),
            (found, _) => Ok(found.map(|experiment| self.workspace.dated(experiment))),
        }
    }

    /// Creates an experiment. Of several processes that create one name at once, one succeeds. Costs some syncs.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::Invalid`], [`Error::Io`].
    pub fn create(self, name: &str) -> Result<ExperimentId> {
        self.create_with(NewExperiment { name: name.to_owned(), ..NewExperiment::default() })
    }

    /// Creates an experiment with tags, a place for artifacts and a number of the caller's, all in one step.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::Invalid`], [`Error::Io`].
    pub fn create_with(self, new: NewExperiment) -> Result<ExperimentId> {
        new.tags.iter().try_for_each(|(key, value)| check_tag(key, value))?;
        let now = now_ms();
        let mut created = ExperimentId::DEFAULT;
        self.workspace.change_catalog(|catalog| {
            catalog.check_name(&new.name)?;
            let id = new.id.unwrap_or_else(|| catalog.free_id());
            if catalog.experiments.contains_key(&id) {
                return Err(Error::AlreadyExists { entity: Entity::Experiment, id: id.to_string() });
            }
            created = id;
            Ok(catalog::Change::Create(Experiment {
                id,
                name: new.name.clone(),
                created_ms: now,
                updated_ms: now,
                deleted: false,
                generation: 0,
                deletion_by: String::new(),
                artifact_location: new.artifact_location.clone(),
                tags: new.tags.clone(),
                renames: 0,
                tag_changes: Default::default(),
            }))
        })?;
        Ok(created)
    }

    /// The active experiment of a name; creates it where there is none.
    ///
    /// # Errors
    /// [`Error::Deleted`], [`Error::Invalid`], [`Error::Io`].
    pub fn get_or_create(self, name: &str) -> Result<ExperimentId> {
        loop {
            if let Some(known) = self.by_name(name)? {
                return self.workspace.catalog()?.active(known.id).map(|experiment| experiment.id);
            }
            match self.create(name) {
                Err(Error::AlreadyExists { .. }) => {}
                other => return other,
            }
        }
    }

    /// Renames an experiment.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`], [`Error::AlreadyExists`], [`Error::Invalid`], [`Error::Io`].
    pub fn rename(self, id: ExperimentId, name: &str) -> Result<()> {
        self.workspace.change_catalog(|catalog| {
            if catalog.active(id)?.name != name {
                catalog.check_name(name)?;
            }
            Ok(catalog::Change::Rename { id, name: name.to_owned(), at_ms: now_ms() })
        })
    }

    /// Sets a tag of an experiment, or removes it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`], [`Error::Invalid`], [`Error::Io`].
    pub fn set_tag(self, id: ExperimentId, key: &str, value: Option<&str>) -> Result<()> {
        check_tag(key, value.unwrap_or(""))?;
        self.workspace.change_catalog(|catalog| {
            catalog.active(id)?;
            Ok(catalog::Change::Tag { id, key: key.to_owned(), value: value.map(str::to_owned), at_ms: now_ms() })
        })
    }

    /// Marks an experiment deleted: all its runs count as deleted then.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`] when it is already, [`Error::Io`].
    pub fn delete(self, id: ExperimentId) -> Result<()> {
        self.workspace.change_catalog(|catalog| {
            catalog.active(id)?;
            Ok(catalog::Change::Deleted { id, deleted: true, at_ms: now_ms(), by: self.workspace.actor().to_owned() })
        })
    }

    /// Restores a deleted experiment: none of its runs counts as deleted then, whenever it was deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such deleted experiment, [`Error::Io`].
    pub fn restore(self, id: ExperimentId) -> Result<()> {
        self.workspace.change_catalog(|catalog| {
            if !catalog.get(id)?.deleted {
                return Err(Error::not_found(Entity::DeletedExperiment, id));
            }
            Ok(catalog::Change::Deleted { id, deleted: false, at_ms: now_ms(), by: self.workspace.actor().to_owned() })
        })
    }
}
