//! What the registry and the facade use of a workspace beside its public API. Nothing else may.

use crate::base::ids::{ExperimentId, RunId};
use crate::error::Result;
use crate::journal::registry::{Change, Registry};
use crate::workspace::handle::Workspace;

/// For the registry: its journal.
impl Workspace {
    pub(crate) fn read_registry<T>(&self, read: impl FnOnce(&Registry) -> Result<T>) -> Result<T> {
        self.shared.read_registry(read)
    }

    pub(crate) fn name_in_registry(&self, plan: impl FnMut(&Registry) -> Result<Vec<Change>>) -> Result<()> {
        self.shared.name_in_registry(plan)
    }

    pub(crate) fn change_registry(&self, plan: impl FnMut(&Registry) -> Result<Vec<Change>>) -> Result<()> {
        self.shared.change_registry(plan)
    }
}

/// For the facade: what its calls check and list without reading runs.
impl Workspace {
    pub(crate) fn check_active(&self, id: &RunId) -> Result<()> {
        self.shared.check_active(id)
    }

    pub(crate) fn is_deleted(&self, experiment: ExperimentId, marked: bool, generation: u64) -> Result<bool> {
        self.shared.is_deleted(experiment, marked, generation)
    }

    pub(crate) fn deleted_by(&self, kind: u8, time_ms: i64) -> Result<Vec<RunId>> {
        self.shared.deleted_by(kind, time_ms)
    }

    pub(crate) fn sync_edits(&self) -> Result<()> {
        self.shared.sync_edits()
    }
}
