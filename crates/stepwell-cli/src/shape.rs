//! The shapes of JSON that the contract names: runs, points and their statistics.

use std::collections::BTreeMap;

use serde::Serialize;

use stepwell::{Extreme, Point, RunSummary, SeriesStats, StatPoint};

use crate::output::JsonValue;

/// A run as `runs` lists it.
#[derive(Debug, Serialize)]
pub(crate) struct RunShape<'a> {
    run_id: &'a str,
    experiment_id: String,
    name: &'a str,
    user: &'a str,
    status: &'static str,
    start_time: Option<i64>,
    end_time: Option<i64>,
    deleted: bool,
    metrics: BTreeMap<&'a str, JsonValue>,
    params: &'a BTreeMap<String, String>,
    tags: &'a BTreeMap<String, String>,
}

impl<'a> From<&'a RunSummary> for RunShape<'a> {
    fn from(run: &'a RunSummary) -> Self {
        let latest = |(key, stats): (&'a String, &SeriesStats)| (key.as_str(), JsonValue(stats.latest.value));
        Self {
            run_id: run.run_id.as_str(),
            experiment_id: run.experiment_id.to_string(),
            name: &run.name,
            user: &run.user,
            status: run.status.as_str(),
            start_time: run.start_time_ms,
            end_time: run.end_time_ms,
            deleted: run.deleted,
            metrics: run.metrics.iter().map(latest).collect(),
            params: &run.params,
            tags: &run.tags,
        }
    }
}

/// A point.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct PointShape {
    step: i64,
    timestamp_ms: Option<i64>,
    value: JsonValue,
}

impl From<Point> for PointShape {
    fn from(point: Point) -> Self {
        Self { step: point.step, timestamp_ms: point.timestamp_ms, value: JsonValue(point.value) }
    }
}

impl From<StatPoint> for PointShape {
    fn from(point: StatPoint) -> Self {
        Self { step: point.step, timestamp_ms: point.timestamp_ms, value: JsonValue(point.value) }
    }
}

/// An extreme and where it first stood.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ExtremeShape {
    value: JsonValue,
    step: i64,
}

impl From<Extreme> for ExtremeShape {
    fn from(extreme: Extreme) -> Self {
        Self { value: JsonValue(extreme.value), step: extreme.step }
    }
}

/// Statistics of a series.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StatsShape {
    count: u64,
    nan_count: u64,
    inf_count: u64,
    first: PointShape,
    latest: PointShape,
    min: Option<ExtremeShape>,
    max: Option<ExtremeShape>,
    mean: Option<f64>,
}

impl From<&SeriesStats> for StatsShape {
    fn from(stats: &SeriesStats) -> Self {
        Self {
            count: stats.count,
            nan_count: stats.nan_count,
            inf_count: stats.inf_count,
            first: stats.first.into(),
            latest: stats.latest.into(),
            min: stats.min.map(Into::into),
            max: stats.max.map(Into::into),
            mean: stats.mean().filter(|mean| mean.is_finite()),
        }
    }
}
