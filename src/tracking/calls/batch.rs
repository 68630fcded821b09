//! Logging: metrics, params and tags, one by one and in batches.
//!
//! A batch is validated before anything is written. Its params are claimed first, since they alone can conflict;
//! everything else is then logged atomically.

use std::hash::Hasher;

use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use crate::base::ids::RunId;
use crate::base::point::Point;
use crate::error::Error;
use crate::tracking::calls::runs::{RUN_NAME_TAG, not_active};
use crate::tracking::handle::store::Tracking;
use crate::tracking::handle::writers::Held;
use crate::tracking::values::entities::MetricRef;
use crate::tracking::values::error::{Fault, Result};
use crate::tracking::values::validate;
use crate::workspace::handle::Workspace;
use crate::workspace::write::edits::RunEdit;

/// What one call logs to a run, without copies on the way to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'a> {
    /// At most 1,000 points.
    pub metrics: &'a [MetricRef<'a>],
    /// At most 100 params, each key once.
    pub params: &'a [(&'a str, &'a str)],
    /// At most 100 tags; the last value of a key counts.
    pub tags: &'a [(&'a str, &'a str)],
}

impl Tracking {
    /// Logs one point.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a key or time that breaks a rule and for a deleted run; `RESOURCE_DOES_NOT_EXIST`.
    pub fn log_metric<'a>(&self, run_id: &str, metric: impl Into<MetricRef<'a>>) -> Result<()> {
        let (id, metric) = (validate::run_id(run_id)?, metric.into());
        validate::check_metric("", &metric)?;
        self.log(&id, &[metric], &[])
    }

    /// Sets a param, once: the same value again is fine.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for another value, for a key that breaks a rule and for a deleted run;
    /// `RESOURCE_DOES_NOT_EXIST`.
    pub fn log_param(&self, run_id: &str, key: &str, value: &str) -> Result<()> {
        let id = validate::run_id(run_id)?;
        let (key, value) = validate::param("key", key, value, self.inner.options.truncate_long_values)?;
        self.edit(&id, &[RunEdit::Param(key, value)])
    }

    /// Sets a tag; the last one wins. The tag `mlflow.runName` names the run.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a key that breaks a rule and for a deleted run; `RESOURCE_DOES_NOT_EXIST`.
    pub fn set_tag(&self, run_id: &str, key: &str, value: &str) -> Result<()> {
        let id = validate::run_id(run_id)?;
        let (key, value) = validate::tag("", key, value, self.inner.options.truncate_long_values)?;
        self.edit(&id, &tag_edits(key, value))
    }

    /// Removes a tag.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` for the run and for a tag that is not there; `INVALID_PARAMETER_VALUE` for a deleted
    /// run.
    pub fn delete_tag(&self, run_id: &str, key: &str) -> Result<()> {
        let id = validate::run_id(run_id)?;
        let run = self.snapshot(&id)?;
        self.inner.workspace.check_active(&id).map_err(|error| not_active(error.into(), &id))?;
        if !run.state().tags().any(|(known, _)| known == key) {
            return Err(Fault::missing(format!("No tag with name: {key} in run with id {id}")));
        }
        self.edit(&id, &[RunEdit::RemoveTag(key.to_owned())])
    }

    /// Logs a batch atomically, except that params may have been set before a crash.
    ///
    /// A batch that was already logged, as when a client retries after a lost reply, adds nothing.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for whatever breaks a rule, for a param that has another value and for a deleted run;
    /// `RESOURCE_DOES_NOT_EXIST`. Nothing was logged then.
    pub fn log_batch(&self, run_id: &str, batch: &Batch<'_>) -> Result<()> {
        let id = validate::strict_run_id(run_id)?;
        validate::check_batch(batch.metrics.len(), batch.params.len(), batch.tags.len())?;
        for (index, metric) in batch.metrics.iter().enumerate() {
            if validate::check_metric("", metric).is_err() {
                validate::check_metric(&format!("metrics[{index}]"), metric)?;
            }
        }
        let truncate = self.inner.options.truncate_long_values;
        let mut edits = Vec::with_capacity(batch.params.len() + batch.tags.len());
        let mut twice: Vec<String> = Vec::new();
        for (index, &(key, value)) in batch.params.iter().enumerate() {
            let (key, value) = validate::param(&format!("params[{index}].key"), key, value, truncate)?;
            if batch.params[..index].iter().any(|&(before, _)| before == key) {
                twice.push(format!("'{key}'"));
            }
            edits.push(RunEdit::Param(key, value));
        }
        if !twice.is_empty() {
            return Err(Fault::invalid(format!(
                "Duplicate parameter keys have been submitted: [{}]. Please ensure the request contains only one param \
                 value per param key.",
                twice.join(", ")
            )));
        }
        for (index, &(key, value)) in batch.tags.iter().enumerate() {
            let (key, value) = validate::tag(&format!("tags[{index}]"), key, value, truncate)?;
            edits.extend(tag_edits(key, value));
        }
        self.log(&id, batch.metrics, &edits).map_err(|fault| self.conflicts(&id, &edits).unwrap_or(fault))
    }

    /// MLflow's message for a batch that changes params: it lists all of them.
    fn conflicts(&self, id: &RunId, edits: &[RunEdit]) -> Option<Fault> {
        let run = self.snapshot(id).ok()?;
        let known: FxHashMap<&str, &str> = run.state().params().collect();
        let changed: Vec<String> = edits
            .iter()
            .filter_map(|edit| match edit {
                RunEdit::Param(key, value) => {
                    let old = known.get(key.as_str()).filter(|old| *old != value)?;
                    Some(format!("{{'key': '{key}', 'old_value': '{old}', 'new_value': '{value}'}}"))
                }
                _ => None,
            })
            .collect();
        (!changed.is_empty()).then(|| {
            let changed = changed.join(", ");
            let why = "Changing param values is not allowed. Params were already logged=";
            Fault::invalid(format!("{why}'[{changed}]' for run ID='{id}'."))
        })
    }

    /// Logs checked points and edits.
    fn log(&self, id: &RunId, metrics: &[MetricRef<'_>], edits: &[RunEdit]) -> Result<()> {
        if metrics.is_empty() {
            return if edits.is_empty() {
                self.inner.workspace.check_active(id).map_err(|error| not_active(error.into(), id))
            } else {
                self.edit(id, edits)
            };
        }
        let workspace = &self.inner.workspace;
        self.check_models(metrics)?;
        let act = |held: &mut Held| write(workspace, held, metrics, edits);
        self.inner.writers.with(workspace, id, act).map_err(|fault| not_active(fault, id))?;
        self.note_model_metrics(id, metrics)
    }
}

/// A tag, and the run's name where it is that tag.
fn tag_edits(key: String, value: String) -> Vec<RunEdit> {
    let name = (key == RUN_NAME_TAG).then(|| RunEdit::Name(value.clone()));
    std::iter::once(RunEdit::Tag(key, value)).chain(name).collect()
}

fn write(workspace: &Workspace, held: &mut Held, metrics: &[MetricRef<'_>], edits: &[RunEdit]) -> Result<(), Error> {
    let fingerprint = fingerprint(metrics);
    let again = held.seen(fingerprint) && all_logged(workspace, held, metrics)?;
    if again {
        return held.writer.edit(edits);
    }
    let mut points = Vec::with_capacity(metrics.len());
    for metric in metrics {
        points.push((held.writer.metric(metric.key)?, point(metric)));
    }
    if edits.is_empty() { held.writer.log_points(&points) } else { held.writer.log_batch(&points, edits) }
}

fn point(metric: &MetricRef<'_>) -> Point {
    Point { step: metric.step, timestamp_ms: Some(metric.timestamp), value: metric.value }
}

/// A hash of a batch.
fn fingerprint(metrics: &[MetricRef<'_>]) -> u64 {
    let mut hasher = FxHasher::default();
    for metric in metrics {
        hasher.write(metric.key.as_bytes());
        hasher.write_i64(metric.step);
        hasher.write_i64(metric.timestamp);
        hasher.write_u64(metric.value.to_bits());
    }
    // 0 marks a free entry.
    hasher.finish() | 1
}

/// Whether all of these points exist already. Called only for a batch that looks like an earlier one.
fn all_logged(workspace: &Workspace, held: &Held, metrics: &[MetricRef<'_>]) -> Result<bool, Error> {
    let run = workspace.run(held.writer.run_id())?;
    let mut by_key: FxHashMap<&str, Vec<&MetricRef<'_>>> = FxHashMap::default();
    for metric in metrics {
        by_key.entry(metric.key).or_default().push(metric);
    }
    for (key, metrics) in by_key {
        let steps = metrics.iter().map(|metric| metric.step);
        let (Some(low), Some(high)) = (steps.clone().min(), steps.max()) else { continue };
        // Damaged points do not count as existing.
        let known = match run.salvage().range(key, low..=high) {
            Err(Error::NotFound { .. }) => return Ok(false),
            known => known?,
        };
        let bits: FxHashSet<_> =
            known.iter().map(|point| (point.step, point.timestamp_ms, point.value.to_bits())).collect();
        if !metrics.iter().all(|metric| bits.contains(&key_of(metric))) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn key_of(metric: &MetricRef<'_>) -> (i64, Option<i64>, u64) {
    (metric.step, Some(metric.timestamp), metric.value.to_bits())
}
