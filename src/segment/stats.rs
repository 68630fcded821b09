//! Statistics of series: computed when points are sealed, merged when parts of a series are read together.

use crate::base::point::{Columns, Point, TimestampsRef};
use crate::base::stats::{Extreme, SeriesStats, StatPoint};
use crate::segment::pyramid::Bucket;

/// The order by which one point is the latest: step, then timestamp (absent first), then value with NaN as 0.
fn latest_key(point: &StatPoint) -> (i64, Option<i64>, f64) {
    let value = if point.value.is_nan() { 0.0 } else { point.value };
    (point.step, point.timestamp_ms, value)
}

impl SeriesStats {
    /// The statistics of one point.
    #[must_use]
    pub(crate) fn of(point: Point) -> Self {
        let (value, at) = (point.value, StatPoint::from(point));
        let extreme = (!value.is_nan()).then_some(Extreme { value, step: point.step });
        Self {
            count: 1,
            nan_count: u64::from(value.is_nan()),
            inf_count: u64::from(value.is_infinite()),
            first: at,
            latest: at,
            min: extreme,
            max: extreme,
            sum: if value.is_finite() { value } else { 0.0 },
        }
    }

    /// Adds a point that was logged later.
    #[inline]
    pub(crate) fn add(&mut self, point: Point) {
        let value = point.value;
        self.count += 1;
        if value.is_finite() {
            self.sum += value;
        } else {
            self.nan_count += u64::from(value.is_nan());
            self.inf_count += u64::from(value.is_infinite());
        }
        if !value.is_nan() {
            let extreme = Extreme { value, step: point.step };
            if self.min.is_none_or(|min| value < min.value) {
                self.min = Some(extreme);
            }
            if self.max.is_none_or(|max| value > max.value) {
                self.max = Some(extreme);
            }
        }
        if point.step >= self.latest.step {
            let at = StatPoint::from(point);
            if latest_key(&at) > latest_key(&self.latest) {
                self.latest = at;
            }
        }
    }

    /// Adds the statistics of later points.
    pub fn merge(&mut self, later: &Self) {
        self.count += later.count;
        self.nan_count += later.nan_count;
        self.inf_count += later.inf_count;
        self.sum += later.sum;
        if let Some(min) = later.min
            && self.min.is_none_or(|own| min.value < own.value)
        {
            self.min = Some(min);
        }
        if let Some(max) = later.max
            && self.max.is_none_or(|own| max.value > own.value)
        {
            self.max = Some(max);
        }
        if latest_key(&later.latest) > latest_key(&self.latest) {
            self.latest = later.latest;
        }
    }

    /// The mean of the finite values; `None` if there are none.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let finite = self.count - self.nan_count - self.inf_count;
        (finite > 0).then(|| self.sum / finite as f64)
    }
}

/// The statistics of columns in order of arrival; `None` without points.
#[must_use]
pub fn stats_of(columns: &Columns) -> Option<SeriesStats> {
    let mut points = columns.iter();
    let mut stats = SeriesStats::of(points.next()?);
    points.for_each(|point| stats.add(point));
    Some(stats)
}

/// The statistics and the pyramid's bucket of one page of points, in order of arrival.
///
/// The common page (timestamps present, steps rising, values finite) takes one pass that vectorises; every other one
/// is added point by point.
#[must_use]
pub fn summarise(first: Point, steps: &[i64], timestamps: TimestampsRef<'_>, values: &[f64]) -> (SeriesStats, Bucket) {
    let point = |index: usize| Point { step: steps[index], timestamp_ms: timestamps.get(index), value: values[index] };
    let rising = steps.windows(2).fold(true, |rising, pair| rising & (pair[0] < pair[1]));
    let finite = values.iter().fold(true, |finite, value| finite & value.is_finite());
    if !(rising && finite) {
        let (mut stats, mut bucket) = (SeriesStats::of(first), Bucket::of(first));
        for index in 1..values.len() {
            stats.add(point(index));
            bucket.add(point(index));
        }
        return (stats, bucket);
    }
    let (least, greatest, sum) = least_greatest_sum(values, first.value);
    // The first of equals; `==` also matches -0.0 and 0.0, whichever came first, as adding point by point would.
    let at = |wanted: f64| point(values.iter().position(|&value| value == wanted).unwrap_or(0));
    let (min, max, last) = (at(least), at(greatest), point(values.len() - 1));
    let extreme = |point: Point| Some(Extreme { value: point.value, step: point.step });
    let stats = SeriesStats {
        count: values.len() as u64,
        nan_count: 0,
        inf_count: 0,
        first: first.into(),
        latest: last.into(),
        min: extreme(min),
        max: extreme(max),
        sum,
    };
    (stats, Bucket { count: values.len() as u64, first, last, min: Some(min), max: Some(max) })
}

/// For finite values; `first` is one of them. Eight lanes, since a sequential sum would wait for each addition.
fn least_greatest_sum(values: &[f64], first: f64) -> (f64, f64, f64) {
    const LANES: usize = 8;
    let less = |a: f64, b: f64| if a < b { a } else { b };
    let greater = |a: f64, b: f64| if a > b { a } else { b };
    let (mut least, mut greatest, mut sum) = ([first; LANES], [first; LANES], [0.0; LANES]);
    let (rows, rest) = values.as_chunks::<LANES>();
    for row in rows {
        for lane in 0..LANES {
            least[lane] = less(row[lane], least[lane]);
            greatest[lane] = greater(row[lane], greatest[lane]);
            sum[lane] += row[lane];
        }
    }
    for (lane, &value) in rest.iter().enumerate() {
        least[lane] = less(value, least[lane]);
        greatest[lane] = greater(value, greatest[lane]);
        sum[lane] += value;
    }
    (least.into_iter().fold(first, less), greatest.into_iter().fold(first, greater), sum.into_iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: i64, timestamp_ms: i64, value: f64) -> Point {
        Point { step, timestamp_ms: Some(timestamp_ms), value }
    }

    fn of(points: &[Point]) -> SeriesStats {
        let mut stats = SeriesStats::of(points[0]);
        points[1..].iter().for_each(|&point| stats.add(point));
        stats
    }

    #[test]
    fn latest_is_the_greatest_step_then_timestamp_then_value_with_nan_as_zero() {
        let latest = |points: &[Point]| of(points).latest.value.to_bits();
        assert_eq!(latest(&[point(5, 0, 1.0), point(3, 9, 2.0)]), 1.0_f64.to_bits());
        assert_eq!(latest(&[point(5, 0, 1.0), point(5, 0, 2.0)]), 2.0_f64.to_bits());
        assert_eq!(latest(&[point(5, 0, -1.0), point(5, 0, f64::NAN)]), f64::NAN.to_bits());
        assert_eq!(latest(&[point(5, 0, 1.0), point(5, 0, f64::NAN)]), 1.0_f64.to_bits());
        assert_eq!(latest(&[point(5, 0, 0.0), point(5, 0, f64::NAN)]), 0.0_f64.to_bits());
        assert_eq!(latest(&[point(5, 1, 1.0), point(5, 0, 7.0)]), 1.0_f64.to_bits());
    }

    #[test]
    fn merging_equals_adding() {
        let points = [
            point(0, 0, f64::NAN),
            point(1, 5, 3.0),
            point(1, 4, -2.0),
            point(-7, 3, f64::INFINITY),
            point(1, 5, 3.0),
            point(9, 0, f64::NEG_INFINITY),
            point(9, 0, 1.0),
        ];
        for cut in 1..points.len() {
            let mut left = of(&points[..cut]);
            left.merge(&of(&points[cut..]));
            let whole = of(&points);
            assert_eq!(format!("{left:?}"), format!("{whole:?}"));
        }
        let stats = of(&points);
        assert_eq!((stats.count, stats.nan_count, stats.inf_count), (7, 1, 2));
        assert_eq!((stats.min.unwrap().step, stats.max.unwrap().step), (9, -7));
        assert_eq!(stats.mean(), Some(5.0 / 4.0));
    }

    #[test]
    fn only_nan_has_no_extreme() {
        let stats = of(&[point(0, 0, f64::NAN), point(1, 0, f64::NAN)]);
        assert_eq!((stats.min, stats.max, stats.mean()), (None, None, None));
    }
}
