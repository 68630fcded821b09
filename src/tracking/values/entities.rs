//! The facade's entities: plain values, named as in MLflow.

use std::collections::BTreeMap;

use crate::base::point::Point;
pub use crate::base::stats::RunStatus;
pub use crate::journal::registry::Stage;
pub use crate::registry::store::{ModelVersion, RegisteredModel};
pub use crate::search::execute::View;

/// Whether something is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleStage {
    /// It is not.
    Active,
    /// It is, and cannot be changed until it is restored.
    Deleted,
}

impl LifecycleStage {
    /// MLflow's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
        }
    }

    pub(crate) fn of(deleted: bool) -> Self {
        if deleted { Self::Deleted } else { Self::Active }
    }
}

/// An experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Experiment {
    /// Its number, in decimal.
    pub experiment_id: String,
    /// Its name, unique among all, deleted ones included.
    pub name: String,
    /// Where its runs' artifacts go.
    pub artifact_location: String,
    /// Whether it is deleted.
    pub lifecycle_stage: LifecycleStage,
    /// Milliseconds since the epoch.
    pub creation_time: i64,
    /// Milliseconds since the epoch.
    pub last_update_time: i64,
    /// By key.
    pub tags: BTreeMap<String, String>,
}

/// A run: what it is, what it logged last, and what went in and came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What it is.
    pub info: RunInfo,
    /// What it logged.
    pub data: RunData,
    /// What it read.
    pub inputs: RunInputs,
    /// What it made.
    pub outputs: RunOutputs,
}

/// What a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInfo {
    /// Its id.
    pub run_id: String,
    /// Its name.
    pub run_name: String,
    /// Its experiment's number, in decimal.
    pub experiment_id: String,
    /// Who ran it; may be empty.
    pub user_id: String,
    /// Its status.
    pub status: RunStatus,
    /// Milliseconds since the epoch.
    pub start_time: Option<i64>,
    /// Milliseconds since the epoch.
    pub end_time: Option<i64>,
    /// Where its artifacts are.
    pub artifact_uri: String,
    /// Whether it is deleted.
    pub lifecycle_stage: LifecycleStage,
}

/// What a run logged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunData {
    /// The latest point of each metric, by key.
    pub metrics: Vec<Metric>,
    /// By key.
    pub params: BTreeMap<String, String>,
    /// By key.
    pub tags: BTreeMap<String, String>,
}

/// One point of a metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metric {
    /// The metric's key.
    pub key: String,
    /// Its value, all bits kept: NaN and infinities too.
    pub value: f64,
    /// Milliseconds since the epoch; 0 for a point that was logged without.
    pub timestamp: i64,
    /// The step.
    pub step: i64,
    /// The logged model that it was measured of.
    pub model_id: Option<String>,
    /// The dataset that it was measured on.
    pub dataset_name: Option<String>,
    /// That dataset's digest.
    pub dataset_digest: Option<String>,
    /// The run that logged it, where that is not plain from the context.
    pub run_id: Option<String>,
}

/// One point of a metric, with borrowed texts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MetricRef<'a> {
    /// See [`Metric::key`].
    pub key: &'a str,
    /// See [`Metric::value`].
    pub value: f64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// The step.
    pub step: i64,
    /// See [`Metric::model_id`].
    pub model_id: Option<&'a str>,
    /// See [`Metric::dataset_name`].
    pub dataset_name: Option<&'a str>,
    /// See [`Metric::dataset_digest`].
    pub dataset_digest: Option<&'a str>,
}

impl<'a> From<&'a Metric> for MetricRef<'a> {
    fn from(metric: &'a Metric) -> Self {
        Self {
            key: &metric.key,
            value: metric.value,
            timestamp: metric.timestamp,
            step: metric.step,
            model_id: metric.model_id.as_deref(),
            dataset_name: metric.dataset_name.as_deref(),
            dataset_digest: metric.dataset_digest.as_deref(),
        }
    }
}

/// Points of a run's metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The run.
    pub run_id: String,
    /// Its points, by step, time and value.
    pub points: Vec<Point>,
    /// Messages for clients about missing points.
    pub left_out: Vec<String>,
}

/// What a run read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunInputs {
    /// Datasets.
    pub dataset_inputs: Vec<DatasetInput>,
    /// Ids of logged models.
    pub model_inputs: Vec<String>,
}

/// What a run made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOutputs {
    /// Logged models.
    pub model_outputs: Vec<ModelOutput>,
}

/// A logged model that a run made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelOutput {
    /// The model.
    pub model_id: String,
    /// At which step.
    pub step: i64,
}

/// A dataset. Within an experiment, name and digest name it, and its first description stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dataset {
    /// Its name, at most 500 characters.
    pub name: String,
    /// What its contents come to, at most 36 characters.
    pub digest: String,
    /// The kind of its source.
    pub source_type: String,
    /// Where it comes from, at most 65,535 characters.
    pub source: String,
    /// Its columns, at most 1,048,575 characters.
    pub schema: Option<String>,
    /// What is known of its contents, at most 16,777,215 characters.
    pub profile: Option<String>,
}

/// A dataset that a run read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetInput {
    /// The dataset.
    pub dataset: Dataset,
    /// Tags of this use; `mlflow.data.context` is one.
    pub tags: Vec<(String, String)>,
}

/// A dataset that runs of an experiment read, and what for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatasetSummary {
    /// The experiment's number, in decimal.
    pub experiment_id: String,
    /// The dataset's name.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// What it was used for, by the tag `mlflow.data.context`.
    pub context: Option<String>,
}

/// The status of a logged model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoggedModelStatus {
    /// Unspecified.
    #[default]
    Unspecified,
    /// Its files are on their way.
    Pending,
    /// It is whole.
    Ready,
    /// Its files did not arrive.
    UploadFailed,
}

impl LoggedModelStatus {
    /// All of them, in MLflow's order.
    pub const ALL: [Self; 4] = [Self::Unspecified, Self::Pending, Self::Ready, Self::UploadFailed];

    /// MLflow's name, as in filters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Pending => "PENDING",
            Self::Ready => "READY",
            Self::UploadFailed => "FAILED",
        }
    }
}

impl std::str::FromStr for LoggedModelStatus {
    type Err = crate::tracking::values::error::Fault;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| crate::tracking::values::error::Fault::invalid(format!("Invalid model status: {word}")))
    }
}

/// A logged model.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedModel {
    /// Its id, `m-` and 32 hex characters.
    pub model_id: String,
    /// Its experiment's number, in decimal.
    pub experiment_id: String,
    /// Its name, which need not be unique.
    pub name: String,
    /// Milliseconds since the epoch.
    pub creation_timestamp: i64,
    /// Milliseconds since the epoch.
    pub last_updated_timestamp: i64,
    /// Where its files are.
    pub artifact_uri: String,
    /// Its status.
    pub status: LoggedModelStatus,
    /// What kind of model it is.
    pub model_type: Option<String>,
    /// The run that made it; may be empty.
    pub source_run_id: String,
    /// More of its status.
    pub status_message: Option<String>,
    /// By key.
    pub tags: BTreeMap<String, String>,
    /// By key.
    pub params: BTreeMap<String, String>,
    /// Of each metric, dataset and run the latest value.
    pub metrics: Vec<Metric>,
}

/// A page of something.
#[derive(Clone, Debug, PartialEq)]
pub struct PageOf<T> {
    /// What is on it, in order.
    pub items: Vec<T>,
    /// How many come before the next page, if there is one.
    pub next_offset: Option<usize>,
    /// Messages for clients about what could not be read; for histories.
    pub left_out: Vec<String>,
}

impl<T> PageOf<T> {
    /// A page from which nothing was left out.
    pub(crate) fn of(items: Vec<T>, next_offset: Option<usize>) -> Self {
        Self { items, next_offset, left_out: Vec::new() }
    }

    /// The page of a whole list.
    pub(crate) fn cut(all: impl IntoIterator<Item = T>, offset: usize, max: usize) -> Self {
        let mut rest = all.into_iter().skip(offset);
        let items: Vec<T> = rest.by_ref().take(max).collect();
        let next_offset = rest.next().is_some().then_some(offset + items.len());
        Self::of(items, next_offset)
    }
}
