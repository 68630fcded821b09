//! Histories of many runs at once, whole or cut down for charts.
//!
//! A chart's points come from footers and pyramids: the first, least, greatest and last point of each piece, so that no
//! spike is missing, and the cost is bounded. A short series is read in full: if every n-th point, as MLflow takes
//! them, shows all there is to see, these are taken; so too if many points share few steps.

use std::ops::RangeInclusive;

use crate::base::point::Point;
use crate::error::Error;
use crate::run::salvage::Salvage;
use crate::tracking::calls::history::{by_value, left_out, points};
use crate::tracking::handle::store::Tracking;
use crate::tracking::values::entities::Curve;
use crate::tracking::values::error::{Fault, Result};

/// Most runs per call.
pub(crate) const RUNS_MAX: usize = 100;
/// Most points of all runs together in [`Tracking::get_metric_history_bulk`].
pub(crate) const BULK_POINTS_MAX: usize = 25_000;
/// Most points of each run in [`Tracking::get_metric_history_bulk_interval`].
pub(crate) const INTERVAL_POINTS_MAX: usize = 2_500;
/// Longest series that is looked at whole for a chart.
const SHORT_POINTS_MAX: u64 = 10_000;
/// Points that a bucket of a plot gives at most.
const POINTS_PER_BUCKET: usize = 4;

impl Tracking {
    /// Points of a metric of several runs, at most 25,000 together: by run id, then in the order of a history.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for no run or more than 100.
    pub fn get_metric_history_bulk(&self, run_ids: &[String], key: &str, max_results: usize) -> Result<Vec<Curve>> {
        check_runs(run_ids)?;
        let max = max_results.min(BULK_POINTS_MAX);
        let mut ids: Vec<&String> = run_ids.iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let (mut found, mut left) = (Vec::new(), max);
        for id in ids {
            if left == 0 {
                break;
            }
            if let Some(run) = self.known_run(id)? {
                let mut reader = run.salvage();
                let mut points = points(&mut reader, key)?;
                points.truncate(left);
                left -= points.len();
                found.push(Curve { run_id: id.clone(), points, left_out: left_out(&run, &reader) });
            }
        }
        Ok(found)
    }

    /// Points of a metric of several runs for a chart, at most `max_results` of each: run by run as asked for, each by
    /// step, time and value. The last point is always among them; where there are no more points than asked for, all of
    /// them.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for no run or more than 100, for more than 2,500 points, and for a range that ends
    /// before it begins.
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
                "end_step must be greater than start_step. SearchResult start_step={} and end_step={}.",
                steps.start(),
                steps.end()
            )));
        }
        let mut found = Vec::new();
        for id in run_ids {
            if let Some(run) = self.known_run(id)? {
                let Ok(count) = run.count(key) else { continue };
                let mut reader = run.salvage();
                let points = sample(&mut reader, count, key, steps.clone(), max_results)?;
                found.push(Curve { run_id: id.clone(), points, left_out: left_out(&run, &reader) });
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

/// At most `max` points of a series that has `count`.
fn sample(
    run: &mut Salvage<'_>,
    count: u64,
    key: &str,
    steps: Option<RangeInclusive<i64>>,
    max: usize,
) -> Result<Vec<Point>, Error> {
    let may_fit = steps.is_some() || count <= max as u64;
    let all = if may_fit { Some(run.downsample(key, steps.clone(), max)?).filter(|all| all.exact) } else { None };
    let exact = all.is_some();
    if !exact && count <= SHORT_POINTS_MAX {
        let mut points: Vec<Point> = run.range(key, steps.clone().unwrap_or(i64::MIN..=i64::MAX))?.iter().collect();
        ordered(&mut points);
        if let Some(told) = telling(&points, max) {
            return Ok(told);
        }
    }
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
        points = every(&points, max);
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

/// Where the `at`-th of `max` pieces of `len` points begins; the first pieces have one point more where they cannot be
/// equal.
fn begin(at: usize, max: usize, len: usize) -> usize {
    at * (len / max) + at.min(len % max)
}

/// At most `max` of the points at even distances, the last among them.
fn every(points: &[Point], max: usize) -> Vec<Point> {
    if points.len() <= max {
        return points.to_vec();
    }
    let mut taken: Vec<Point> = (0..max).map(|at| points[begin(at, max, points.len())]).collect();
    if let (Some(end), Some(last)) = (taken.last_mut(), points.last()) {
        *end = *last;
    }
    taken
}

/// [`every`], where no point between two of them is above or below both.
fn telling(points: &[Point], max: usize) -> Option<Vec<Point>> {
    let taken = every(points, max);
    if points.len() <= max {
        return Some(taken);
    }
    // Between the last two lie the last two pieces.
    let ends = (1..max.saturating_sub(1)).map(|at| begin(at, max, points.len())).chain([points.len()]);
    let mut from = 0;
    for (at, end) in ends.enumerate() {
        let sides = (taken[at].value, taken.get(at + 1).unwrap_or(&taken[at]).value);
        let (low, high) = (sides.0.min(sides.1), sides.0.max(sides.1));
        if !points[from..end].iter().all(|point| (low..=high).contains(&point.value)) {
            return None;
        }
        from = end;
    }
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
        (0..).zip(values).map(|(step, value)| Point { step, timestamp_ms: Some(1), value }).collect()
    }

    fn steps(points: &[Point]) -> Vec<i64> {
        points.iter().map(|point| point.step).collect()
    }

    #[test]
    fn every_nth_point_is_taken_where_it_tells_all() {
        let flat = line([10.0; 10]);
        let taken = |max| telling(&flat, max).map(|taken| steps(&taken));
        assert_eq!(taken(5), Some(vec![0, 2, 4, 6, 9]));
        assert_eq!(taken(7), Some(vec![0, 2, 4, 6, 7, 8, 9]));
        assert_eq!((taken(3), taken(2)), (Some(vec![0, 4, 9]), Some(vec![0, 9])));
        assert_eq!((taken(1), taken(10).map(|all| all.len())), (Some(vec![9]), Some(10)));
        let rising = line((0..1000).map(f64::from));
        assert_eq!(telling(&rising, 100).unwrap().len(), 100);
    }

    #[test]
    fn a_point_beyond_its_neighbours_is_not_passed_over() {
        for (at, value) in [(321, 2000.0), (998, -1.0), (1, f64::NAN), (997, f64::INFINITY)] {
            let mut points = line((0..1000).map(f64::from));
            points[at].value = value;
            assert!(telling(&points, 100).is_none(), "{at} {value}");
        }
    }
}
