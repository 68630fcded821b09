//! `GET /api/stepwell/run`: a run with the statistics of each of its metrics.

use std::collections::BTreeMap;

use serde::Serialize;
use stepwell::query::Query;
use stepwell::{RunId, SeriesStats};

use super::{Float, failed};
use crate::call::{Answer, Call, Outcome};
use crate::fault::Fault;
use crate::json::check::Check::{Required, Text};
use crate::operations::runs::RUN_ID;

/// A metric's statistics.
#[derive(Serialize)]
struct MetricJson {
    count: u64,
    nan: u64,
    inf: u64,
    first: Float,
    last: Float,
    last_step: i64,
    last_ms: Option<i64>,
    min: Option<Float>,
    min_step: Option<i64>,
    max: Option<Float>,
    max_step: Option<i64>,
    mean: Option<Float>,
}

impl From<&SeriesStats> for MetricJson {
    fn from(of: &SeriesStats) -> Self {
        Self {
            count: of.count,
            nan: of.nan_count,
            inf: of.inf_count,
            first: Float(of.first.value),
            last: Float(of.latest.value),
            last_step: of.latest.step,
            last_ms: of.latest.timestamp_ms,
            min: of.min.map(|min| Float(min.value)),
            min_step: of.min.map(|min| min.step),
            max: of.max.map(|max| Float(max.value)),
            max_step: of.max.map(|max| max.step),
            mean: of.mean().map(Float),
        }
    }
}

/// A run.
#[derive(Serialize)]
struct RunJson<'a> {
    run_id: &'a str,
    experiment_id: String,
    experiment_name: String,
    name: &'a str,
    user: &'a str,
    status: &'a str,
    /// Whether a process has the run open for writing.
    live: bool,
    deleted: bool,
    start_ms: Option<i64>,
    end_ms: Option<i64>,
    artifact_uri: String,
    params: &'a BTreeMap<String, String>,
    tags: &'a BTreeMap<String, String>,
    metrics: BTreeMap<&'a str, MetricJson>,
    /// How many runs name this one as their parent.
    children: usize,
    left_out: Vec<String>,
}

/// `GET /api/stepwell/run?run_id=`.
pub(crate) fn run(call: &Call<'_>) -> Outcome {
    let request = call.read(RUN_ID, &[("run_id", &[Required, Text])])?;
    let workspace = call.tracking().workspace();
    let id = RunId::new(request.run_id()).map_err(failed)?;
    let found = workspace.find_summary_and_damage(&id).map_err(failed)?;
    let (run, left_out) = found.ok_or_else(|| Fault::missing(format!("Run with id={id} not found")))?;
    call.context.left_out(&left_out);
    let experiment = workspace.experiments().get(run.experiment_id).map_err(failed)?;
    let of_parent = format!("tags.`mlflow.parentRunId` = '{}'", id.as_str().replace('\'', ""));
    let children = Query { experiments: vec![run.experiment_id], ..Query::filter(&of_parent).map_err(failed)? };
    let (children, _) = workspace.profiles(&children, &[]).map_err(failed)?;
    let shown = call.tracking().get_run(id.as_str())?;
    Answer::long_json(
        &RunJson {
            run_id: run.run_id.as_str(),
            experiment_id: run.experiment_id.to_string(),
            experiment_name: experiment.name,
            name: &run.name,
            user: &run.user,
            status: run.status.as_str(),
            live: !run.status.is_terminal() && workspace.has_live_writer(&id).map_err(failed)?,
            deleted: shown.info.lifecycle_stage == stepwell::tracking::LifecycleStage::Deleted,
            start_ms: run.start_time_ms,
            end_ms: run.end_time_ms,
            artifact_uri: shown.info.artifact_uri,
            params: &run.params,
            tags: &run.tags,
            metrics: run.metrics.iter().map(|(key, stats)| (key.as_str(), stats.into())).collect(),
            children: children.total,
            left_out,
        },
        run.metrics.len() * 256 + 1024,
    )
}
