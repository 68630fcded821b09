//! Reads a metric as a curve: few points, every spike among them.
//!
//! 1. By steps, and by time without a range, a curve comes from the pyramid of its series, and costs the same for a
//!    long series as for a short one.
//! 2. A logarithmic axis of steps is read octave by octave, each with the pixels that it gets.
//! 3. Smoothing, and a range or a logarithm of times, need every point: they are read piece by piece and thinned to
//!    columns of pixels.

use std::ops::RangeInclusive;

use stepwell::{Bucket, Error, Point, RunSnapshot, Salvage};

use crate::failure::Outcome;
use crate::output::count;
use crate::plot::columns::Place;
use crate::plot::panel::extent;
use crate::plot::scale::Horizontal;
use crate::plot::thinner::Thinner;
use crate::plot::view::View;

/// Points that are read to look behind the extremes of buckets that cannot be drawn.
const REFINE_POINTS: u64 = 1 << 20;
/// Points that are in memory at once where all are read.
const PIECE_POINTS: u64 = 1 << 18;

/// One metric of one run, ready to be drawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Curve {
    /// The run's id.
    pub(crate) run_id: String,
    /// The metric.
    pub(crate) key: String,
    /// What the legend says.
    pub(crate) label: String,
    /// Stretches without a gap, each of at least one point, in order of x. The outermost may lie outside of the
    /// requested range, so that a line leads out of the picture.
    pub(crate) stretches: Vec<Vec<Place>>,
    /// The same before smoothing; empty where nothing was smoothed.
    pub(crate) raw: Vec<Vec<Place>>,
    /// Where infinite values are: x, and whether they are above.
    pub(crate) infinities: Vec<(f64, bool)>,
    /// Values of the whole series that are NaN.
    pub(crate) nan: u64,
    /// Values of the whole series that are infinite.
    pub(crate) infinite: u64,
    /// Points that were left out since they have no timestamp.
    pub(crate) without_time: u64,
    /// Points that were left out since a logarithmic axis has no place for them.
    pub(crate) without_logarithm: u64,
    /// What could not be read, and so is not drawn, in words.
    pub(crate) left_out: Vec<String>,
    /// How many points that is.
    pub(crate) missing: u64,
    /// Whether more points than that were left out, which were not counted.
    pub(crate) and_more: bool,
    /// Whether the series has no point in the range that was asked for.
    pub(crate) outside: bool,
}

/// What becomes of a point.
enum Fate {
    Drawn(Place),
    Nan(f64),
    Infinite(f64, bool),
    WithoutTime,
    WithoutLogarithm(Option<f64>),
}

struct Reader<'a> {
    run: Salvage<'a>,
    key: &'a str,
    view: View,
    /// The timestamp that relative times count from.
    origin: i64,
    budget: u64,
    curve: Curve,
}

impl Curve {
    /// Reads a metric.
    pub(crate) fn read(run: &RunSnapshot, key: &str, label: String, view: View) -> Outcome<Self> {
        let id = run.id().to_string();
        let mut run = run.salvage();
        let buckets = run.downsample(key, None, view.pixels.max(1))?.buckets;
        let (nan, infinite) = match run.stats(key) {
            Ok(stats) => (stats.nan_count, stats.inf_count),
            // No point verifies.
            Err(Error::NotFound { .. }) => (0, 0),
            Err(error) => return Err(error.into()),
        };
        let times = || buckets.iter().flat_map(Bucket::points).filter_map(|point| point.timestamp_ms);
        let curve = Self { run_id: id, key: key.to_owned(), label, nan, infinite, ..Self::default() };
        let origin = if view.x == Horizontal::Relative { times().min().unwrap_or(0) } else { 0 };
        let mut reader = Reader { run, key, view, origin, budget: REFINE_POINTS, curve };
        let of_time = view.x != Horizontal::Step;
        if view.smooth.is_some() || of_time && (view.has_range() || view.log_x) {
            reader.all_points(&buckets)?;
        } else if view.has_range() || view.log_x {
            for (steps, pixels) in reader.pieces(&buckets)? {
                let buckets = reader.run.downsample(key, Some(steps), pixels)?.buckets;
                reader.buckets(&buckets)?;
            }
        } else {
            reader.buckets(&buckets)?;
        }
        let mut curve = reader.curve;
        (curve.left_out, curve.missing) = (reader.run.messages(), reader.run.missing());
        if of_time {
            // Clocks step back, and restarts log old steps later.
            for stretch in curve.stretches.iter_mut().chain(&mut curve.raw) {
                stretch.sort_by(|a, b| a.0.total_cmp(&b.0));
            }
        }
        curve.stretches.retain(|stretch| !stretch.is_empty());
        let within = curve.stretches.iter().flatten().any(|place| view.contains_x(place.0));
        curve.outside = view.has_range() && !within && curve.infinities.is_empty();
        Ok(curve)
    }

    /// How many points are drawn.
    pub(crate) fn len(&self) -> usize {
        self.stretches.iter().map(Vec::len).sum()
    }

    /// Whether there is anything to see of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.outside || self.stretches.is_empty() && self.infinities.is_empty()
    }

    /// What the drawing leaves out, as a sentence; `None` when nothing.
    pub(crate) fn note(&self) -> Option<String> {
        let more = if self.and_more { " or more" } else { "" };
        let mut parts = Vec::new();
        if self.outside {
            parts.push("no point in this range".to_owned());
        }
        if self.nan > 0 {
            parts.push(format!("{} NaN, a gap", count(self.nan)));
        }
        if self.missing > 0 {
            parts.push(format!("{} not readable, missing", count(self.missing)));
        }
        if self.infinite > 0 {
            parts.push(format!("{} infinite, at the edge", count(self.infinite)));
        }
        if self.without_time > 0 {
            parts.push(format!("{}{more} without a timestamp, left out", count(self.without_time)));
        }
        if self.without_logarithm > 0 {
            parts.push(format!("{}{more} not above zero, left out", count(self.without_logarithm)));
        }
        (!parts.is_empty()).then(|| format!("{}: {}", self.label, parts.join("; ")))
    }
}

impl Reader<'_> {
    /// What becomes of a point.
    fn fate(&self, point: &Point) -> Fate {
        let x = match (self.view.x, point.timestamp_ms) {
            (Horizontal::Step, _) => point.step as f64,
            (_, Some(ms)) => ms.saturating_sub(self.origin) as f64,
            (_, None) => return Fate::WithoutTime,
        };
        if self.view.log_x && x <= 0.0 {
            return Fate::WithoutLogarithm(None);
        }
        match point.value {
            value if value.is_nan() => Fate::Nan(x),
            value if value.is_infinite() => Fate::Infinite(x, value > 0.0),
            value if self.view.log_y && value <= 0.0 => Fate::WithoutLogarithm(Some(x)),
            value => Fate::Drawn((x, value)),
        }
    }

    /// Counts a point that is not drawn; gives its x where it leaves a gap.
    fn leave_out(&mut self, fate: &Fate) -> Option<f64> {
        match *fate {
            Fate::Drawn(_) => None,
            Fate::Nan(x) => Some(x),
            Fate::Infinite(x, above) => {
                if self.view.contains_x(x) {
                    self.curve.infinities.push((x, above));
                }
                Some(x)
            }
            Fate::WithoutTime => {
                self.curve.without_time += 1;
                None
            }
            Fate::WithoutLogarithm(x) => {
                self.curve.without_logarithm += 1;
                x
            }
        }
    }

    /// Draws buckets. Those of nothing that can be drawn are gaps.
    fn buckets(&mut self, buckets: &[Bucket]) -> Outcome<()> {
        for bucket in buckets {
            let points = self.points(bucket)?;
            let (mut drawn, mut gap) = (Vec::new(), false);
            for point in points {
                match self.fate(&point) {
                    Fate::Drawn(place) => drawn.push(place),
                    fate => gap |= self.leave_out(&fate).is_some(),
                }
            }
            let stretches = &mut self.curve.stretches;
            match drawn.is_empty() {
                true if gap && stretches.last().is_some_and(|stretch| !stretch.is_empty()) => {
                    stretches.push(Vec::new())
                }
                true => {}
                false => match stretches.last_mut() {
                    Some(stretch) => stretch.extend(drawn),
                    None => stretches.push(drawn),
                },
            }
        }
        Ok(())
    }

    /// The points of a bucket in order of step. If one of them cannot be drawn, the extremes of the other points in the
    /// bucket are looked up. Points that cannot be drawn are included, to be counted.
    fn points(&mut self, bucket: &Bucket) -> Outcome<Vec<Point>> {
        let points: Vec<Point> = bucket.points().collect();
        let drawable = |point: &Point| matches!(self.fate(point), Fate::Drawn(_) | Fate::Nan(_));
        if bucket.count <= points.len() as u64 || points.iter().all(drawable) {
            return Ok(points);
        }
        if bucket.count > self.budget {
            self.curve.and_more = true;
            return Ok(points);
        }
        self.budget -= bucket.count;
        let all = self.run.range(self.key, bucket.first.step..=bucket.last.step)?;
        let mut shown: Option<Bucket> = None;
        let mut others = Vec::new();
        for point in all.iter() {
            match (self.fate(&point), &mut shown) {
                (Fate::Drawn(_), Some(bucket)) => bucket.add(point),
                (Fate::Drawn(_), None) => shown = Some(Bucket::of(point)),
                (Fate::Nan(_), _) => {}
                _ => others.push(point),
            }
        }
        others.extend(shown.iter().flat_map(Bucket::points));
        Ok(others)
    }

    /// The ranges of steps to read one after the other, each with its number of pixels: one before and one after a
    /// chosen range, for the lines that lead out of it, and on a logarithmic axis one for each octave.
    fn pieces(&mut self, buckets: &[Bucket]) -> Outcome<Vec<(RangeInclusive<i64>, usize)>> {
        let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else {
            return Ok(Vec::new());
        };
        let (first, last) = (first.first.step, last.last.step);
        let least = if self.view.log_x { 1 } else { i64::MIN };
        if self.view.log_x && first < 1 {
            let left_out = self.run.downsample(self.key, Some(first..=0), 1)?;
            self.curve.without_logarithm += left_out.buckets.iter().map(|bucket| bucket.count).sum::<u64>();
        }
        let (from, to) = (self.view.from.unwrap_or(first).max(least), self.view.to.unwrap_or(last));
        let mut pieces = Vec::new();
        if from > first.max(least) {
            pieces.push((first.max(least)..=from - 1, 1));
        }
        if from <= to && self.view.log_x {
            let octaves = (to as f64 / from as f64).log2().max(1.0);
            let pixels = (self.view.pixels as f64 / octaves).ceil() as usize + 1;
            let mut low = from;
            while low <= to {
                let high = low.saturating_mul(2).saturating_sub(1).min(to).max(low);
                pieces.push((low..=high, pixels));
                match high.checked_add(1) {
                    Some(next) => low = next,
                    None => break,
                }
            }
        } else if from <= to {
            pieces.push((from..=to, self.view.pixels.max(1)));
        }
        if to < last {
            pieces.push((to.saturating_add(1)..=last, 1));
        }
        Ok(pieces)
    }

    /// Reads every point, smooths if asked for, and thins to columns.
    fn all_points(&mut self, buckets: &[Bucket]) -> Outcome<()> {
        let mut thinner = Thinner::new(self.view, self.extent(buckets));
        for steps in pieces_of(buckets) {
            let points = self.run.range(self.key, steps)?;
            for point in points.iter() {
                let value = thinner.smooth(point.value);
                match self.fate(&Point { value, ..point }) {
                    Fate::Drawn(place) => thinner.add(place, point.value),
                    fate => self.leave_out(&fate).into_iter().for_each(|x| thinner.gap(x)),
                }
            }
        }
        (self.curve.stretches, self.curve.raw) = thinner.finish();
        Ok(())
    }

    /// The least and the greatest x of the points that buckets keep.
    fn extent(&self, buckets: &[Bucket]) -> Option<(f64, f64)> {
        let x_of = |point: Point| match self.fate(&point) {
            Fate::Drawn((x, _)) | Fate::Nan(x) | Fate::Infinite(x, _) | Fate::WithoutLogarithm(Some(x)) => Some(x),
            Fate::WithoutTime | Fate::WithoutLogarithm(None) => None,
        };
        extent(buckets.iter().flat_map(Bucket::points).filter_map(x_of))
    }
}

/// Cuts a series into ranges of steps with about [`PIECE_POINTS`] points each, or more where one step has more.
fn pieces_of(buckets: &[Bucket]) -> Vec<RangeInclusive<i64>> {
    let mut starts = Vec::new();
    let mut points = PIECE_POINTS;
    for bucket in buckets {
        if points >= PIECE_POINTS && starts.last().is_none_or(|&start| start < bucket.first.step) {
            starts.push(bucket.first.step);
            points = 0;
        }
        points += bucket.count;
    }
    let least = buckets.iter().map(|bucket| bucket.first.step).min();
    let most = buckets.iter().map(|bucket| bucket.last.step).max();
    let (Some(least), Some(most)) = (least, most) else {
        return Vec::new();
    };
    starts[0] = least;
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([most]);
    starts.iter().zip(ends).map(|(&start, end)| start..=end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_all_steps_once() {
        let bucket = |first, last, count| {
            let mut bucket = Bucket::of(Point { step: first, timestamp_ms: None, value: 0.0 });
            bucket.add(Point { step: last, timestamp_ms: None, value: 0.0 });
            bucket.count = count;
            bucket
        };
        let many = PIECE_POINTS;
        assert_eq!(pieces_of(&[bucket(-5, 10, many), bucket(11, 20, 3), bucket(21, 30, 1)]), [-5..=10, 11..=30]);
        assert_eq!(pieces_of(&[bucket(7, 7, many), bucket(7, 7, many), bucket(7, 9, 1)]), [7..=9]);
        assert!(pieces_of(&[]).is_empty());
    }
}
