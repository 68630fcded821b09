//! The facade's entities as JSON: MLflow's field names, 64-bit integers as numbers, and nothing for what is absent.

use std::collections::BTreeMap;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use stepwell::StatPoint;
use stepwell::tracking::{
    DatasetInput, Experiment, ListedRun, Metric, ModelOutput, Run, RunData, RunInfo, RunInputs, RunOutputs, RunStatus,
    View,
};

use crate::json::number::Double;
use crate::json::schema::{Field, Fields, Kind, text};

/// A key and a value, in requests.
pub(crate) const PAIR: &[Field] = &[text("key"), text("value")];
/// `RunStatus`.
pub(crate) const RUN_STATUS: &[(&str, i64)] =
    &[("RUNNING", 1), ("SCHEDULED", 2), ("FINISHED", 3), ("FAILED", 4), ("KILLED", 5)];
/// MLflow's `ViewType`.
pub(crate) const VIEW_TYPE: &[(&str, i64)] = &[("ACTIVE_ONLY", 1), ("DELETED_ONLY", 2), ("ALL", 3)];
/// MLflow's `ViewType`, as a field.
pub(crate) const VIEW_TYPE_KIND: Kind = Kind::Enum(VIEW_TYPE);

/// The keys and values of a list of tags or params.
pub(crate) fn pairs(request: &Fields, name: &str) -> Vec<(String, String)> {
    let pair = |fields: Fields| (fields.text("key").to_owned(), fields.text("value").to_owned());
    request.messages(name).into_iter().map(pair).collect()
}

/// The stages that a view shows.
pub(crate) fn view(name: &str) -> View {
    match name {
        "DELETED_ONLY" => View::DeletedOnly,
        "ALL" => View::All,
        _ => View::ActiveOnly,
    }
}

/// A status by its name.
pub(crate) fn status(name: &str) -> Option<RunStatus> {
    [RunStatus::Running, RunStatus::Scheduled, RunStatus::Finished, RunStatus::Failed, RunStatus::Killed]
        .into_iter()
        .find(|status| status_name(*status) == name)
}

/// A status's name.
pub(crate) fn status_name(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "RUNNING",
        RunStatus::Scheduled => "SCHEDULED",
        RunStatus::Finished => "FINISHED",
        RunStatus::Failed => "FAILED",
        RunStatus::Killed => "KILLED",
    }
}

/// One tag or param.
#[derive(Serialize)]
pub(crate) struct Pair<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
}

/// Tags or params, as a list.
pub(crate) enum Pairs<'a> {
    /// Of an entity.
    Map(&'a BTreeMap<String, String>),
    /// Of a row.
    List(&'a [(&'a str, &'a str)]),
}

impl Pairs<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Map(map) => map.is_empty(),
            Self::List(list) => list.is_empty(),
        }
    }
}

impl<'a> From<&'a BTreeMap<String, String>> for Pairs<'a> {
    fn from(map: &'a BTreeMap<String, String>) -> Self {
        Self::Map(map)
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Map(map) => to.collect_seq(map.iter().map(|(key, value)| Pair { key, value })),
            Self::List(list) => to.collect_seq(list.iter().map(|&(key, value)| Pair { key, value })),
        }
    }
}

/// A list whose entries are written by a shape of theirs.
pub(crate) struct Each<'a, T, S>(pub(crate) &'a [T], pub(crate) fn(&'a T) -> S);

impl<T, S: Serialize> Serialize for Each<'_, T, S> {
    fn serialize<Z: Serializer>(&self, to: Z) -> Result<Z::Ok, Z::Error> {
        let mut list = to.serialize_seq(Some(self.0.len()))?;
        for item in self.0 {
            list.serialize_element(&(self.1)(item))?;
        }
        list.end()
    }
}

impl<T, S> Each<'_, T, S> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An experiment.
#[derive(Serialize)]
pub(crate) struct ExperimentShape<'a> {
    experiment_id: &'a str,
    name: &'a str,
    artifact_location: &'a str,
    lifecycle_stage: &'static str,
    last_update_time: i64,
    creation_time: i64,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    tags: Pairs<'a>,
    /// MLflow's own workspaces, of which this server has one.
    workspace: &'static str,
}

impl<'a> From<&'a Experiment> for ExperimentShape<'a> {
    fn from(from: &'a Experiment) -> Self {
        Self {
            experiment_id: &from.experiment_id,
            name: &from.name,
            artifact_location: &from.artifact_location,
            lifecycle_stage: from.lifecycle_stage.as_str(),
            last_update_time: from.last_update_time,
            creation_time: from.creation_time,
            tags: (&from.tags).into(),
            workspace: "default",
        }
    }
}

/// What a run is.
#[derive(Serialize)]
pub(crate) struct RunInfoShape<'a> {
    run_id: &'a str,
    run_uuid: &'a str,
    run_name: &'a str,
    experiment_id: &'a str,
    user_id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<i64>,
    artifact_uri: &'a str,
    lifecycle_stage: &'static str,
}

impl<'a> From<&'a RunInfo> for RunInfoShape<'a> {
    fn from(from: &'a RunInfo) -> Self {
        Self {
            run_id: &from.run_id,
            run_uuid: &from.run_id,
            run_name: &from.run_name,
            experiment_id: &from.experiment_id,
            user_id: &from.user_id,
            status: status_name(from.status),
            start_time: from.start_time,
            end_time: from.end_time,
            artifact_uri: &from.artifact_uri,
            lifecycle_stage: from.lifecycle_stage.as_str(),
        }
    }
}

/// One point of a metric.
#[derive(Default, Serialize)]
pub(crate) struct MetricShape<'a> {
    key: &'a str,
    value: Double,
    timestamp: i64,
    step: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset_digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
}

impl<'a> From<&'a Metric> for MetricShape<'a> {
    fn from(from: &'a Metric) -> Self {
        Self {
            key: &from.key,
            value: Double(from.value),
            timestamp: from.timestamp,
            step: from.step,
            dataset_name: from.dataset_name.as_deref(),
            dataset_digest: from.dataset_digest.as_deref(),
            model_id: from.model_id.as_deref(),
            run_id: from.run_id.as_deref(),
        }
    }
}

/// A list of points of logged models.
pub(crate) type Metrics<'a> = Each<'a, Metric, MetricShape<'a>>;

/// The latest points of a run's metrics.
enum Latest<'a> {
    /// Of an entity.
    Metrics(&'a [Metric]),
    /// Of a row.
    Points(&'a [(&'a str, StatPoint)]),
}

impl Latest<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Metrics(list) => list.is_empty(),
            Self::Points(list) => list.is_empty(),
        }
    }
}

impl Serialize for Latest<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Metrics(list) => to.collect_seq(list.iter().map(MetricShape::from)),
            Self::Points(list) => to.collect_seq(list.iter().map(|(key, point)| MetricShape {
                key,
                value: Double(point.value),
                timestamp: point.timestamp_ms.unwrap_or(0),
                step: point.step,
                ..MetricShape::default()
            })),
        }
    }
}

/// What a run logged.
#[derive(Serialize)]
struct RunDataShape<'a> {
    #[serde(skip_serializing_if = "Latest::is_empty")]
    metrics: Latest<'a>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    params: Pairs<'a>,
    /// Present even if it is empty: MLflow's runs have at least the tag with their name, and its UI relies on the list.
    tags: Pairs<'a>,
}

impl<'a> From<&'a RunData> for RunDataShape<'a> {
    fn from(from: &'a RunData) -> Self {
        Self { metrics: Latest::Metrics(&from.metrics), params: (&from.params).into(), tags: (&from.tags).into() }
    }
}

/// A dataset.
#[derive(Serialize)]
struct DatasetShape<'a> {
    name: &'a str,
    digest: &'a str,
    source_type: &'a str,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
}

/// A dataset that a run read.
#[derive(Serialize)]
pub(crate) struct DatasetInputShape<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair<'a>>,
    dataset: DatasetShape<'a>,
}

impl<'a> From<&'a DatasetInput> for DatasetInputShape<'a> {
    fn from(from: &'a DatasetInput) -> Self {
        let dataset = &from.dataset;
        Self {
            tags: from.tags.iter().map(|(key, value)| Pair { key, value }).collect(),
            dataset: DatasetShape {
                name: &dataset.name,
                digest: &dataset.digest,
                source_type: &dataset.source_type,
                source: &dataset.source,
                schema: dataset.schema.as_deref(),
                profile: dataset.profile.as_deref(),
            },
        }
    }
}

/// A logged model that a run read.
#[derive(Serialize)]
pub(crate) struct ModelInputShape<'a> {
    model_id: &'a str,
}

/// What a run read.
#[derive(Serialize)]
struct RunInputsShape<'a> {
    #[serde(skip_serializing_if = "Each::is_empty")]
    dataset_inputs: Each<'a, DatasetInput, DatasetInputShape<'a>>,
    #[serde(skip_serializing_if = "Each::is_empty")]
    model_inputs: Each<'a, String, ModelInputShape<'a>>,
}

impl<'a> From<&'a RunInputs> for RunInputsShape<'a> {
    fn from(from: &'a RunInputs) -> Self {
        Self {
            dataset_inputs: Each(&from.dataset_inputs, Into::into),
            model_inputs: Each(&from.model_inputs, |model_id| ModelInputShape { model_id }),
        }
    }
}

/// A logged model that a run made.
#[derive(Serialize)]
struct ModelOutputShape<'a> {
    model_id: &'a str,
    step: i64,
}

/// What a run made.
#[derive(Serialize)]
struct RunOutputsShape<'a> {
    #[serde(skip_serializing_if = "Each::is_empty")]
    model_outputs: Each<'a, ModelOutput, ModelOutputShape<'a>>,
}

impl<'a> From<&'a RunOutputs> for RunOutputsShape<'a> {
    fn from(from: &'a RunOutputs) -> Self {
        let shape = |output: &'a ModelOutput| ModelOutputShape { model_id: &output.model_id, step: output.step };
        Self { model_outputs: Each(&from.model_outputs, shape) }
    }
}

/// A run.
#[derive(Serialize)]
pub(crate) struct RunShape<'a> {
    info: RunInfoShape<'a>,
    data: RunDataShape<'a>,
    inputs: RunInputsShape<'a>,
    /// MLflow leaves it out of a run that was just created.
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<RunOutputsShape<'a>>,
}

impl<'a> From<&'a Run> for RunShape<'a> {
    fn from(from: &'a Run) -> Self {
        Self {
            info: (&from.info).into(),
            data: (&from.data).into(),
            inputs: (&from.inputs).into(),
            outputs: Some((&from.outputs).into()),
        }
    }
}

impl<'a> From<&'a ListedRun<'a>> for RunShape<'a> {
    fn from(from: &'a ListedRun<'a>) -> Self {
        let row = &from.row;
        Self {
            info: RunInfoShape {
                run_id: row.run_id.as_str(),
                run_uuid: row.run_id.as_str(),
                run_name: row.name,
                experiment_id: &from.experiment_id,
                user_id: row.user,
                status: status_name(row.status),
                start_time: row.start_time_ms,
                end_time: row.end_time_ms,
                artifact_uri: &from.artifact_uri,
                lifecycle_stage: from.lifecycle_stage.as_str(),
            },
            data: RunDataShape {
                metrics: Latest::Points(&row.metrics),
                params: Pairs::List(&row.params),
                tags: Pairs::List(&row.tags),
            },
            inputs: (&from.inputs).into(),
            outputs: Some((&from.outputs).into()),
        }
    }
}

impl RunShape<'_> {
    /// The shape of a run that was just created.
    pub(crate) fn fresh(self) -> Self {
        Self { outputs: None, ..self }
    }
}
