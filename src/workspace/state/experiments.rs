//! Reading the journal of experiments.

use crate::base::ids::ExperimentId;
use crate::error::{Error, Result};
use crate::folder::paths;
use crate::journal::catalog::{Catalog, Experiment};
use crate::workspace::state::shared::Shared;

impl Shared {
    /// `Default` is never created: it is as old as the workspace's marker file, which does not change.
    pub(crate) fn dated(&self, experiment: Experiment) -> Experiment {
        if experiment.created_ms != 0 || experiment.id != ExperimentId::DEFAULT {
            return experiment;
        }
        let marker = self.inner.root.join(paths::MARKER);
        let created_ms = self.inner.storage.modified_ms(&marker).unwrap_or(0);
        Experiment { created_ms, updated_ms: experiment.updated_ms.max(created_ms), ..experiment }
    }

    /// The experiments as they are now.
    pub(crate) fn catalog(&self) -> Result<Catalog> {
        let mut catalog = self.inner.catalog.lock();
        catalog.refresh()?;
        Ok(catalog.state().clone())
    }

    /// Why an experiment that is not found may exist: an entry of the catalog is damaged.
    /// The experiments as they are now.
    pub(crate) fn catalog_damage(&self) -> Option<Error> {
        self.inner.catalog.lock().losses().next()
    }

    /// See [`Experiments::get`](crate::Experiments::get).
    pub(crate) fn experiment(&self, id: ExperimentId) -> Result<Experiment> {
        let mut catalog = self.inner.catalog.lock();
        catalog.refresh()?;
        let damage = catalog.losses().next();
        let found = catalog.state().get(id).cloned().map_err(|error| damage.unwrap_or(error));
        drop(catalog);
        Ok(self.dated(found?))
    }
}
