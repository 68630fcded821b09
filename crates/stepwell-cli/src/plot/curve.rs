//! Reads a metric as a curve: few points, every spike among them.

use stepwell::base::point::Point;
use stepwell::run::snapshot::RunSnapshot;
use stepwell::segment::pyramid::Bucket;

use crate::failure::Outcome;
use crate::plot::scale::{Horizontal, Vertical};

/// Points that may be read to find the finite extremes of buckets with infinite ones.
const REFINE_POINTS: u64 = 1 << 20;

/// One metric of one run, ready to be drawn.
#[derive(Debug, Default)]
pub(crate) struct Curve {
    /// What the legend says.
    pub(crate) label: String,
    /// Unbroken stretches, each of at least one point: x, and y as [`Vertical::place`] has it.
    pub(crate) stretches: Vec<Vec<(f64, f64)>>,
    /// Values that are NaN.
    pub(crate) nan: u64,
    /// Values that are infinite.
    pub(crate) infinite: u64,
    /// Points that were left out since they have no timestamp.
    pub(crate) without_time: u64,
    /// Whether values were left out since they have no logarithm.
    pub(crate) without_logarithm: bool,
}

impl Curve {
    /// Reads a metric with about `pixels` columns of the plot in mind.
    pub(crate) fn read(
        run: &RunSnapshot,
        key: &str,
        label: String,
        pixels: usize,
        x: Horizontal,
        y: Vertical,
    ) -> Outcome<Self> {
        let stats = run.stats(key)?;
        let mut curve = Self { label, nan: stats.nan_count, infinite: stats.inf_count, ..Self::default() };
        let buckets = run.downsample(key, None, pixels)?.buckets;
        let origin = match x {
            Horizontal::Relative => buckets
                .iter()
                .flat_map(|bucket| bucket.points())
                .filter_map(|point| point.timestamp_ms)
                .min()
                .unwrap_or(0),
            _ => 0,
        };
        let mut budget = REFINE_POINTS;
        let mut stretch = Vec::new();
        for bucket in &buckets {
            let mut drawn = false;
            for point in finite_points(run, key, bucket, &mut budget)? {
                let at = match (x, point.timestamp_ms) {
                    (Horizontal::Step, _) => point.step as f64,
                    (_, Some(ms)) => ms.saturating_sub(origin) as f64,
                    (_, None) => {
                        curve.without_time += 1;
                        drawn = true;
                        continue;
                    }
                };
                drawn = true;
                match y.place(point.value) {
                    Some(place) => stretch.push((at, place)),
                    None => curve.without_logarithm = true,
                }
            }
            // A bucket of nothing but NaN and infinities is a gap.
            if !drawn && !stretch.is_empty() {
                curve.stretches.push(std::mem::take(&mut stretch));
            }
        }
        if !stretch.is_empty() {
            curve.stretches.push(stretch);
        }
        if x != Horizontal::Step {
            // Clocks step back, and restarts log old steps later.
            for stretch in &mut curve.stretches {
                stretch.sort_by(|a, b| a.0.total_cmp(&b.0));
            }
        }
        Ok(curve)
    }

    /// How many points are drawn.
    pub(crate) fn len(&self) -> usize {
        self.stretches.iter().map(Vec::len).sum()
    }

    /// What the drawing leaves out, as a sentence; `None` when nothing.
    pub(crate) fn note(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.nan > 0 {
            parts.push(format!("{} NaN", self.nan));
        }
        if self.infinite > 0 {
            parts.push(format!("{} infinite", self.infinite));
        }
        if self.without_time > 0 {
            parts.push("points without timestamps".to_owned());
        }
        if self.without_logarithm {
            parts.push("values that are not above zero".to_owned());
        }
        (!parts.is_empty()).then(|| format!("{}: not drawn: {}", self.label, parts.join(", ")))
    }
}

/// The finite points of a bucket in order of step. Where an extreme is infinite the finite ones are looked up.
fn finite_points(run: &RunSnapshot, key: &str, bucket: &Bucket, budget: &mut u64) -> Outcome<Vec<Point>> {
    let infinite = |point: Option<Point>| point.is_some_and(|point| point.value.is_infinite());
    let mut points: Vec<Point> = bucket.points().filter(|point| point.value.is_finite()).collect();
    if bucket.count > 1 && (infinite(bucket.min) || infinite(bucket.max)) && bucket.count <= *budget {
        *budget -= bucket.count;
        let all = run.range(key, bucket.first.step..=bucket.last.step)?;
        let mut finite = all.iter().filter(|point| point.value.is_finite());
        if let Some(first) = finite.next() {
            let mut of_finite = Bucket::of(first);
            finite.for_each(|point| of_finite.add(point));
            points = of_finite.points().collect();
        }
    }
    Ok(points)
}

/// The least and greatest x and y of all curves; `None` when nothing is drawn.
pub(crate) fn extent(curves: &[Curve]) -> Option<((f64, f64), (f64, f64))> {
    let points = || curves.iter().flat_map(|curve| curve.stretches.iter().flatten());
    points().next()?;
    let range = |of: fn(&(f64, f64)) -> f64| {
        points().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| (low.min(at), high.max(at)))
    };
    Some((range(|point| point.0), range(|point| point.1)))
}
