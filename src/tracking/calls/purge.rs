//! Permanent deletion of runs and experiments that were deleted before, and of single metrics. MLflow's server has no
//! call for it; `mlflow gc` does the first two on the database.

use crate::base::items::{LOGGED_MODEL, RUN};
use crate::error::Error;
use crate::tracking::handle::store::Tracking;
use crate::tracking::values::error::{Code, Fault, Result};
use crate::tracking::values::validate;

impl Tracking {
    /// Permanently deletes a run that was deleted before, with everything it logged. The caller removes its artifacts.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_STATE` when it is active, or some process writes it.
    pub fn purge_run(&self, run_id: &str) -> Result<()> {
        let id = validate::run_id(run_id)?;
        self.snapshot(&id)?;
        self.inner.writers.close(&id)?;
        self.inner.workspace.maintenance().purge_run(&id).map_err(in_this_state)
    }

    /// Permanently deletes a logged model that was deleted before. The caller removes its files.
    ///
    /// # Errors
    /// As [`Self::purge_run`].
    pub fn purge_logged_model(&self, model_id: &str) -> Result<()> {
        let id = self.model_run(model_id)?.id().clone();
        self.inner.workspace.maintenance().purge_run(&id).map_err(in_this_state)
    }

    /// Ids of the runs that were deleted at or before a time in milliseconds since the epoch, by themselves or with
    /// their experiment.
    ///
    /// # Errors
    /// `DATA_LOSS`, `INTERNAL_ERROR`.
    pub fn runs_deleted_by(&self, time_ms: i64) -> Result<Vec<String>> {
        self.deleted_by(RUN, time_ms)
    }

    /// Ids of the logged models that were deleted at or before a time, likewise.
    ///
    /// # Errors
    /// `DATA_LOSS`, `INTERNAL_ERROR`.
    pub fn logged_models_deleted_by(&self, time_ms: i64) -> Result<Vec<String>> {
        self.deleted_by(LOGGED_MODEL, time_ms)
    }

    fn deleted_by(&self, kind: u8, time_ms: i64) -> Result<Vec<String>> {
        let ids = self.inner.workspace.deleted_by(kind, time_ms)?;
        Ok(ids.iter().map(ToString::to_string).collect())
    }

    /// Permanently deletes an experiment that was deleted before, with all its runs; its name becomes free. The caller
    /// removes the artifacts.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_STATE` when it is active, when it is the default one, or when some process
    /// writes one of its runs; `INVALID_PARAMETER_VALUE`.
    pub fn purge_experiment(&self, experiment_id: &str) -> Result<()> {
        let id = validate::experiment_id(experiment_id)?;
        self.experiment(experiment_id)?;
        self.inner.writers.close_all()?;
        self.acting.maintenance().purge_experiment(id).map_err(in_this_state)
    }

    /// Permanently deletes one metric of a run, with all its points. It may be logged again.
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
        workspace.maintenance().delete_metric(&id, key).map_err(in_this_state)
    }
}

/// The store fails because of the entity's state, never because of an invalid argument.
fn in_this_state(error: Error) -> Fault {
    match error {
        Error::Invalid { .. } => Fault::new(Code::InvalidState, error.to_string()),
        other => other.into(),
    }
}
