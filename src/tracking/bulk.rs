//! Histories of many runs at once, whole or cut down for charts.
//!
//! A chart's points come from footers and pyramids: of each of its pieces the first, least, greatest and last point, so
//! that no spike is missing, and the cost is bounded however long the history is. Only a series whose points crowd on few
//! steps, as when nobody gave steps, is read whole, and every n-th of its points is taken.

use std::ops::RangeInclusive;

use crate::base::point::Point;
use crate::error::Error;
use crate::run::snapshot::RunSnapshot;
use crate::tracking::entities::Curve;
use crate::tracking::error::{Fault, Result};
use crate::tracking::history::{by_value, points};
use crate::tracking::store::Tracking;

/// Most runs in one question.
pub(super) const RUNS_MAX: usize = 100;
/// Most points of all runs together in [`Tracking::get_metric_history_bulk`].
pub(super) const BULK_POINTS_MAX: usize = 25_000;
/// Most points of each run in [`Tracking::get_metric_history_bulk_interval`].
pub(super) const INTERVAL_POINTS_MAX: usize = 2_500;
/// Points that a bucket of a plot gives at most.
const POINTS_PER_BUCKET: usize = 4;

impl Tracking {
    /// Points of a metric of several runs, at most 25,000 together: by run id, then in the order of a history.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for no run or more than 100, and for no points.
    pub fn get_metric_history_bulk(&self, run_ids: &[String], key: &str, max_results: usize) -> Result<Vec<Curve>> {
        check_runs(run_ids)?;
        let max = max_results.min(BULK_POINTS_MAX);
        if max == 0 {
            return Err(Fault::invalid("Invalid value 0 for parameter 'max_results' supplied."));
        }
        let mut ids: Vec<&String> = run_ids.iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let (mut found, mut left) = (Vec::new(), max);
        for id in ids {
            if left == 0 {
                break;
            }
            if let Some(run) = self.known_run(id)? {
                let mut points = points(&run, key)?;
                points.truncate(left);
                left -= points.len();
                found.push(Curve { run_id: id.clone(), points });
            }
        }
        Ok(found)
    }

    /// Points of a metric of several runs for a chart, at most `max_results` of each: run by run as asked for, each by step,
    /// time and value. The last point is always among them; where there are no more points than asked for, all of them.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for no run or more than 100, for more than 2,500 points, and for a range that ends before
    /// it begins.
    pub fn get_metric_history_bulk_interval(
        &self,
        run_ids: &[String],
        key: &str,
        max_results: usize,
        steps: Option<RangeInclusive<i64>>,
    ) -> Result<Vec<Curve>> {
        check_runs(run_ids)?;
        if max_results == 0 || max_results > INTERVAL_POINTS_MAX {
            return Err(Fault::invalid(format!(
                "max_results must be between 1 and {INTERVAL_POINTS_MAX}, got {max_results}."
            )));
        }
        if let Some(steps) = &steps
            && steps.start() > steps.end()
        {
            return Err(Fault::invalid(format!(
                "end_step must be greater than start_step. Found start_step={} and end_step={}.",
                steps.start(),
                steps.end()
            )));
        }
        let mut found = Vec::new();
        for id in run_ids {
            if let Some(run) = self.known_run(id)? {
                let sampled = match sample(&run, key, steps.clone(), max_results) {
                    Err(Error::NotFound { .. }) => continue,
                    sampled => sampled?,
                };
                found.push(Curve { run_id: id.clone(), points: sampled });
            }
        }
        Ok(found)
    }
}

fn check_runs(run_ids: &[String]) -> Result<()> {
    match run_ids.len() {
        0 => Err(Fault::invalid("GetMetricHistoryBulk request must specify at least one run_id.")),
        len if len > RUNS_MAX => Err(Fault::invalid(format!(
            "GetMetricHistoryBulk request cannot specify more than {RUNS_MAX} run_ids. Received {len} run_ids."
        ))),
        _ => Ok(()),
    }
}

fn sample(run: &RunSnapshot, key: &str, steps: Option<RangeInclusive<i64>>, max: usize) -> Result<Vec<Point>, Error> {
    let may_fit = steps.is_some() || run.count(key)? <= max as u64;
    let all = if may_fit { Some(run.downsample(key, steps.clone(), max)?).filter(|all| all.exact) } else { None };
    let exact = all.is_some();
    let drawn = match all {
        Some(all) => all,
        None => run.downsample(key, steps.clone(), (max / POINTS_PER_BUCKET).max(1))?,
    };
    let mut points: Vec<Point> = drawn.points().iter().collect();
    ordered(&mut points);
    if !exact && points.len() < (max / POINTS_PER_BUCKET).max(2) {
        // The points crowd on few steps.
        let range = steps.unwrap_or(i64::MIN..=i64::MAX);
        points = run.range(key, range)?.iter().collect();
        ordered(&mut points);
        points = every(points, max);
    }
    if points.len() > max {
        let last = points.pop();
        points.truncate(max - 1);
        points.extend(last);
    }
    Ok(points)
}

/// By step, time and value, each point once.
fn ordered(points: &mut Vec<Point>) {
    let order = |point: &Point| (point.step, point.timestamp_ms.unwrap_or(0));
    points.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| by_value(a.value, b.value)));
    points.dedup_by(|a, b| order(a) == order(b) && a.value.to_bits() == b.value.to_bits());
}

/// At most `max` of the points at even distances, the last among them.
fn every(points: Vec<Point>, max: usize) -> Vec<Point> {
    let Some(&last) = points.last() else { return points };
    if points.len() <= max {
        return points;
    }
    let mut taken: Vec<Point> = (0..max).map(|at| points[at * points.len() / max]).collect();
    if let Some(end) = taken.last_mut() {
        *end = last;
    }
    taken
}
