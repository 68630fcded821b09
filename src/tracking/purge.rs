//! Deleting for good: runs and experiments that were deleted before, and single metrics. MLflow's server has no call
//! for it; `mlflow gc` does the first two on the database.

use crate::error::Error;
use crate::tracking::error::{Code, Fault, Result};
use crate::tracking::store::Tracking;
use crate::tracking::validate;

impl Tracking {
    /// Deletes a run for good that was deleted before, with all that it logged. Its artifacts are the caller's to
    /// remove.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_STATE` when it is active, or some process writes it.
    pub fn purge_run(&self, run_id: &str) -> Result<()> {
        let id = validate::run_id(run_id)?;
        self.snapshot(&id)?;
        self.inner.writers.close(&id)?;
        self.inner.workspace.purge_run(&id).map_err(in_this_state)
    }

    /// Deletes an experiment for good that was deleted before, with all its runs; its name is free then. The artifacts
    /// are the caller's to remove.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_STATE` when it is active, when it is the default one, or when some process
    /// writes one of its runs; `INVALID_PARAMETER_VALUE`.
    pub fn purge_experiment(&self, experiment_id: &str) -> Result<()> {
        let id = validate::experiment_id(experiment_id)?;
        self.experiment(experiment_id)?;
        self.inner.writers.close_all()?;
        self.acting.purge_experiment(id).map_err(in_this_state)
    }

    /// Deletes one metric of a run for good, with all its points. It may be logged anew.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for an unknown run or metric; `INVALID_PARAMETER_VALUE` for a deleted run;
    /// `INVALID_STATE` when another process writes the run.
    pub fn delete_metric(&self, run_id: &str, key: &str) -> Result<()> {
        let id = validate::run_id(run_id)?;
        self.snapshot(&id)?;
        let workspace = &self.inner.workspace;
        workspace.check_active(&id).map_err(|error| super::runs::not_active(error.into(), &id))?;
        self.inner.writers.close(&id)?;
        workspace.delete_metric(&id, key).map_err(in_this_state)
    }
}

/// The store refuses by the state of what is named, never by the form of an argument.
fn in_this_state(error: Error) -> Fault {
    match error {
        Error::Invalid { .. } => Fault::new(Code::InvalidState, error.to_string()),
        other => other.into(),
    }
}
