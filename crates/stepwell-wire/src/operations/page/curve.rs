//! One curve: a metric of a run as points for some pixels, over steps, time or another metric.
//!
//! 1. Buckets are `2^k` steps wide and begin at multiples of that, so that a series that grows, and a view that is
//!    moved, keep the buckets they have.
//! 2. Each bucket becomes its first, least, greatest and last point, in order of step; equal ones stand once.
//! 3. Over time, buckets are of steps all the same. A range of time is narrowed to its range of steps, twice or more,
//!    until enough buckets are within it.

use std::ops::RangeInclusive;

use stepwell::{Bucket, Point, Result, RunSnapshot, Salvage};

/// Most rounds in which a range of time is narrowed.
const ROUNDS_MAX: usize = 8;
/// Longest history of another metric that is read whole for an x axis.
const AXIS_POINTS_MAX: u64 = 1 << 20;

/// What a curve is drawn over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Axis {
    /// The step.
    Step,
    /// Wall-clock time, in milliseconds since the epoch.
    Time,
    /// Seconds since the run's start.
    Relative,
    /// The latest value of this metric at the step or before it.
    Metric(String),
}

/// Which part of a curve is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) axis: Axis,
    /// In units of x; `None` is all.
    pub(crate) range: Option<(f64, f64)>,
    /// How many buckets, about.
    pub(crate) width: usize,
}

/// Bits that say what a point is to its bucket.
const FIRST: u8 = 1;
const LEAST: u8 = 2;
const GREATEST: u8 = 4;
const LAST: u8 = 8;

/// A curve.
#[derive(Clone, Debug, Default)]
pub(crate) struct Curve {
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    pub(crate) kinds: Vec<u8>,
    /// Whether each point of the range is there.
    pub(crate) exact: bool,
    /// Points without a place on the axis.
    pub(crate) without_x: u64,
}

/// Draws a metric of a run.
///
/// # Errors
/// Those of reading the run around damage.
pub(crate) fn draw(run: &RunSnapshot, reader: &mut Salvage<'_>, key: &str, wanted: &Wanted) -> Result<Curve> {
    match &wanted.axis {
        Axis::Step => {
            let steps = wanted.range.map(|(low, high)| low.floor() as i64..=high.ceil() as i64);
            let (buckets, exact) = buckets(reader, key, steps, wanted.width, run.count(key)?)?;
            Ok(of_buckets(&buckets, exact, |point| Some(point.step as f64)))
        }
        Axis::Time => over_time(run, reader, key, wanted, 0, 1.0),
        Axis::Relative => {
            let start = run.state().start_time_ms();
            let start = match start {
                Some(start) => start,
                None => reader.stats(key)?.first.timestamp_ms.unwrap_or(0),
            };
            over_time(run, reader, key, wanted, start, 1000.0)
        }
        Axis::Metric(axis) => over_metric(run, reader, key, axis, wanted),
    }
}

/// The buckets of a range of steps, and whether each is a single point.
fn buckets(
    reader: &mut Salvage<'_>,
    key: &str,
    steps: Option<RangeInclusive<i64>>,
    width: usize,
    count: u64,
) -> Result<(Vec<Bucket>, bool)> {
    let (first, last) = match steps {
        Some(steps) => (*steps.start(), *steps.end()),
        None if count <= width as u64 => {
            let all = reader.downsample(key, None, width)?;
            return Ok((all.buckets, all.exact));
        }
        None => match reader.downsample(key, None, 1)?.buckets.first() {
            Some(all) => (all.first.step, all.last.step),
            None => return Ok((Vec::new(), true)),
        },
    };
    let (range, width) = aligned(first, last, width);
    let found = reader.downsample(key, Some(range), width)?;
    Ok((found.buckets, found.exact))
}

/// A range with a bucket more at either end, so that lines go on to the edge of a view, and the number of its buckets:
/// `2^k` steps each, from a multiple of that on.
fn aligned(first: i64, last: i64, width: usize) -> (RangeInclusive<i64>, usize) {
    let (low, high) = (i128::from(first.min(last)), i128::from(first.max(last)));
    let span = (high - low + 1) as u128;
    let bucket = span.div_ceil(width.max(1) as u128).next_power_of_two() as i128;
    let start = low.div_euclid(bucket) * bucket - bucket;
    let count = (high - start) / bucket + 2;
    let end = start + bucket * count - 1;
    match (i64::try_from(start), i64::try_from(end)) {
        (Ok(start), Ok(end)) => (start..=end, count as usize),
        _ => (first..=last, width),
    }
}

fn of_buckets(buckets: &[Bucket], exact: bool, x_of: impl Fn(&Point) -> Option<f64>) -> Curve {
    let mut curve = Curve { exact, ..Curve::default() };
    for bucket in buckets {
        for point in bucket.points() {
            let Some(x) = x_of(&point) else {
                curve.without_x += 1;
                continue;
            };
            let kind = |is: bool, bit: u8| if is { bit } else { 0 };
            curve.kinds.push(
                kind(point == bucket.first, FIRST)
                    | kind(bucket.min == Some(point), LEAST)
                    | kind(bucket.max == Some(point), GREATEST)
                    | kind(point == bucket.last, LAST),
            );
            curve.x.push(x);
            curve.y.push(point.value);
        }
    }
    curve
}

fn over_time(
    run: &RunSnapshot,
    reader: &mut Salvage<'_>,
    key: &str,
    wanted: &Wanted,
    start: i64,
    unit: f64,
) -> Result<Curve> {
    let x_of = |point: &Point| point.timestamp_ms.map(|ms| (ms - start) as f64 / unit);
    let (mut found, mut exact) = buckets(reader, key, None, wanted.width, run.count(key)?)?;
    if let Some((low, high)) = wanted.range {
        for _ in 0..ROUNDS_MAX {
            let inside = |bucket: &Bucket| {
                let (first, last) = (x_of(&bucket.first), x_of(&bucket.last));
                first.is_some_and(|first| first <= high) && last.is_some_and(|last| last >= low)
            };
            let within = found.iter().filter(|bucket| inside(bucket)).count();
            if exact || within * 2 >= wanted.width || within == found.len() {
                break;
            }
            let first = found.iter().position(inside).unwrap_or(0);
            let last = found.iter().rposition(inside).unwrap_or(first);
            let (Some(from), Some(to)) = (found.get(first.saturating_sub(1)), found.get(last + 1).or(found.last()))
            else {
                break;
            };
            (found, exact) = buckets(reader, key, Some(from.first.step..=to.last.step), wanted.width, 0)?;
        }
    }
    Ok(of_buckets(&found, exact, x_of))
}

fn over_metric(run: &RunSnapshot, reader: &mut Salvage<'_>, key: &str, axis: &str, wanted: &Wanted) -> Result<Curve> {
    let (found, exact) = buckets(reader, key, None, wanted.width, run.count(key)?)?;
    let count = run.count(axis).unwrap_or(0);
    if count == 0 {
        let without_x = found.iter().map(|bucket| bucket.points().count() as u64).sum();
        return Ok(Curve { without_x, ..Curve::default() });
    }
    let whole = count <= AXIS_POINTS_MAX;
    let (steps, values): (Vec<i64>, Vec<f64>) = if whole {
        let history = reader.history(axis)?;
        (history.steps, history.values)
    } else {
        let (buckets, _) = buckets(reader, axis, None, wanted.width * 4, count)?;
        buckets.iter().flat_map(Bucket::points).map(|point| (point.step, point.value)).unzip()
    };
    let x_of = |point: &Point| {
        let at = steps.partition_point(|step| *step <= point.step).checked_sub(1)?;
        Some(values[at]).filter(|value| !value.is_nan())
    };
    Ok(of_buckets(&found, exact && whole, x_of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_stay_where_they_are_as_a_series_grows() {
        let (range, count) = aligned(0, 999, 100);
        assert_eq!((range.clone(), count), (-16..=1023, 65));
        let (longer, more) = aligned(0, 1300, 100);
        assert_eq!((*longer.start(), *longer.end(), more), (-16, 1327, 84));
        assert_eq!(aligned(5, 5, 10), (4..=6, 3));
        assert_eq!(aligned(i64::MIN, i64::MAX, 10), (i64::MIN..=i64::MAX, 10), "there is no room at the ends");
    }
}
