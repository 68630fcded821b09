//! Runs: creating, reading, ending, deleting.

use std::collections::BTreeMap;

use crate::base::ids::{ExperimentId, RunId};
use crate::base::items::{ARTIFACT_URI, RUN};
use crate::base::stats::{RunStatus, StatPoint};
use crate::error::Error;
use crate::index::rows::Row;
use crate::run::snapshot::RunSnapshot;
use crate::tracking::calls::inputs;
use crate::tracking::handle::store::Tracking;
use crate::tracking::values::entities::{LifecycleStage, Metric, Run, RunData, RunInfo};
use crate::tracking::values::error::{Fault, Result};
use crate::tracking::values::names;
use crate::tracking::values::validate;
use crate::workspace::write::edits::RunEdit;
use crate::workspace::write::runs::NewRun;

/// The tag that follows a run's name.
pub(crate) const RUN_NAME_TAG: &str = "mlflow.runName";

/// A run to be created.
#[derive(Clone, Debug, Default)]
pub struct CreateRun {
    /// Its experiment's number.
    pub experiment_id: String,
    /// Who runs it.
    pub user_id: String,
    /// Its name; that of the tag `mlflow.runName` otherwise, and a random one where that is missing too.
    pub run_name: String,
    /// When it started, in milliseconds since the epoch; now otherwise.
    pub start_time: Option<i64>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// The caller's own id; MLflow's API has no field for it.
    pub run_id: Option<String>,
}

/// A change of a run; `None` fields stay.
#[derive(Clone, Debug, Default)]
pub struct UpdateRun {
    /// Where it stands.
    pub status: Option<RunStatus>,
    /// When it ended, in milliseconds since the epoch.
    pub end_time: Option<i64>,
    /// Its name; the empty one changes nothing.
    pub run_name: Option<String>,
}

impl Tracking {
    /// Creates a run, and keeps its log open for what will be logged.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for the experiment; `INVALID_PARAMETER_VALUE` where it is deleted, where name and tag
    /// differ, and for tags that break a rule.
    pub fn create_run(&self, new: &CreateRun) -> Result<Run> {
        // MLflow checks the tags of a run only when they are set later.
        let truncate = self.inner.options.truncate_long_values;
        let tags = new.tags.iter().map(|(key, value)| validate::free_tag(key, value, truncate));
        let mut tags: BTreeMap<String, String> = tags.collect::<Result<_>>()?;
        let experiment = self.active_experiment(&new.experiment_id)?;
        let named = tags.get(RUN_NAME_TAG).filter(|name| !name.is_empty());
        let name = match (new.run_name.as_str(), named) {
            (name, Some(tag)) if !name.is_empty() && name != tag => {
                return Err(Fault::invalid(format!(
                    "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values \
                     (run_name='{name}', mlflow.runName='{tag}')."
                )));
            }
            ("", Some(tag)) => tag.clone(),
            ("", None) => names::random_name(),
            (name, _) => name.to_owned(),
        };
        tags.insert(RUN_NAME_TAG.to_owned(), name.clone());
        let run = NewRun {
            id: new.run_id.as_deref().map(validate::strict_run_id).transpose()?,
            name,
            user: new.user_id.clone(),
            start_time_ms: new.start_time,
            tags: tags.into_iter().collect(),
            ..NewRun::default()
        };
        let writer = self.inner.workspace.create_run(experiment.id, run)?;
        let id = writer.run_id().clone();
        self.inner.writers.insert(writer);
        self.shown_run(&self.snapshot(&id)?)
    }

    /// A run, deleted or not, with the latest point of each metric.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub fn get_run(&self, run_id: &str) -> Result<Run> {
        self.get_run_and_left_out(run_id).map(|(run, _)| run)
    }

    /// The same, with messages for the server's log about what could not be read.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub fn get_run_and_left_out(&self, run_id: &str) -> Result<(Run, Vec<String>)> {
        let (id, workspace) = (validate::run_id(run_id)?, &self.inner.workspace);
        let found = workspace.find_summary_and_damage(&id)?.filter(|(run, _)| run.kind == RUN);
        let (mut run, left_out) = found.ok_or_else(|| Fault::missing(format!("Run with id={id} not found")))?;
        run.deleted = workspace.is_deleted(run.experiment_id, run.deleted, run.deleted_generation)?;
        let roots = self.artifact_roots(&[run.experiment_id])?;
        Ok((self.listed(Row::of(&run), &roots).to_run(), left_out))
    }

    /// Changes a run, and returns it. A final status (finished, failed, killed) closes its log and makes everything
    /// logged to the run durable, here or by other processes on this machine. It can still be logged to, as in MLflow.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`; `INVALID_PARAMETER_VALUE` for a deleted run; `DATA_LOSS` and `INTERNAL_ERROR` where
    /// something could not be made to survive; the run has ended all the same.
    pub fn update_run(&self, run_id: &str, update: &UpdateRun) -> Result<RunInfo> {
        let id = validate::run_id(run_id)?;
        let mut edits = Vec::new();
        edits.extend(update.status.map(RunEdit::Status));
        edits.extend(update.end_time.map(|time| RunEdit::EndTime(Some(time))));
        if let Some(name) = update.run_name.as_deref().filter(|name| !name.is_empty()) {
            edits.push(RunEdit::Name(name.to_owned()));
            let (key, value) = validate::tag("", RUN_NAME_TAG, name, true)?;
            edits.push(RunEdit::Tag(key, value));
        }
        let ends = update.status.is_some_and(RunStatus::is_terminal);
        // Before the run is marked as ended.
        let given = if ends { self.inner.workspace.sync_run(&id) } else { Ok(()) };
        self.edit(&id, &edits)?;
        if ends {
            self.inner.writers.close(&id)?;
            // Its end may be in the edit log.
            given.and(self.inner.workspace.sync_edits())?;
        }
        Ok(self.shown_run(&self.snapshot(&id)?)?.info)
    }

    /// Marks a run deleted, unless it is.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub fn delete_run(&self, run_id: &str) -> Result<()> {
        let id = validate::run_id(run_id)?;
        // Flush what was logged before the deletion.
        self.inner.writers.close(&id)?;
        self.snapshot(&id)?;
        let done = self.acting.delete_run(&id);
        self.inner.writers.deleted();
        Ok(done?)
    }

    /// Restores a run, if it is deleted.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub fn restore_run(&self, run_id: &str) -> Result<()> {
        let id = validate::run_id(run_id)?;
        self.snapshot(&id)?;
        let done = self.acting.restore_run(&id);
        self.inner.writers.deleted();
        Ok(done?)
    }

    /// Applies edits to a run: through its open log if there is one, else through the edit log, which needs no new
    /// file.
    pub(crate) fn edit(&self, id: &RunId, edits: &[RunEdit]) -> Result<()> {
        let workspace = &self.inner.workspace;
        let done = match self.inner.writers.with_open(workspace, id, |held| held.writer.edit(edits)) {
            Some(done) => done,
            None => workspace.edit_run(id, edits).map_err(Fault::from),
        };
        done.map_err(|fault| not_active(fault, id))
    }

    /// Where artifacts go, by experiment.
    pub(crate) fn artifact_roots(&self, experiments: &[ExperimentId]) -> Result<BTreeMap<ExperimentId, String>> {
        let mut roots = BTreeMap::new();
        for &id in experiments {
            match self.inner.workspace.experiments().get(id) {
                Ok(experiment) => {
                    roots.insert(id, self.artifact_location(&experiment));
                }
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(roots)
    }

    /// A run, from its snapshot.
    pub(crate) fn shown_run(&self, run: &RunSnapshot) -> Result<Run> {
        let state = run.state();
        let (inputs, outputs) = inputs::of_state(state);
        let mut metrics = Vec::new();
        let mut reader = run.salvage();
        for key in run.keys() {
            match reader.stats(key) {
                Ok(stats) => metrics.push(metric(key, stats.latest)),
                // A series without points, or of which none verifies.
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Ok(Run {
            info: RunInfo {
                run_id: state.id.to_string(),
                run_name: state.name().to_owned(),
                experiment_id: state.experiment.to_string(),
                user_id: state.user().to_owned(),
                status: state.status(),
                start_time: state.start_time_ms(),
                end_time: state.end_time_ms(),
                artifact_uri: match state.item(ARTIFACT_URI, "") {
                    Some(uri) => self.shown_location(uri.to_owned()),
                    None => self.artifact_uri(state.experiment, &state.id)?,
                },
                lifecycle_stage: LifecycleStage::of(self.inner.workspace.counts_as_deleted(state)?),
            },
            data: RunData {
                metrics,
                params: state.params().map(owned).collect(),
                tags: state.tags().map(owned).collect(),
            },
            inputs,
            outputs,
        })
    }
}

/// MLflow's message for a write to a run that is deleted, itself or with its experiment.
pub(crate) fn not_active(fault: Fault, id: &RunId) -> Fault {
    if fault.of_deleted {
        return Fault::invalid(format!("The run {id} must be in the 'active' state. Current state is deleted."));
    }
    fault
}

/// A point as the facade returns it.
pub(crate) fn metric(key: &str, point: impl Into<StatPoint>) -> Metric {
    let point = point.into();
    Metric {
        key: key.to_owned(),
        value: point.value,
        timestamp: point.timestamp_ms.unwrap_or(0),
        step: point.step,
        ..Metric::default()
    }
}
