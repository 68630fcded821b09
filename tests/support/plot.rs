//! Plain computations of statistics and plots, to compare with.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use stepwell::base::point::Point;
use stepwell::base::stats::SeriesStats;
use stepwell::run::downsample::Downsampled;
use stepwell::segment::pyramid::Bucket;

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}

/// The first of all points for which `better(point, best)` never holds against it.
fn best(points: &[Point], better: impl Fn(&Point, &Point) -> bool) -> Option<Point> {
    let mut best: Option<Point> = None;
    for point in points {
        if best.as_ref().is_none_or(|best| better(point, best)) {
            best = Some(*point);
        }
    }
    best
}

fn numbers(points: &[Point]) -> Vec<Point> {
    points.iter().filter(|point| !point.value.is_nan()).copied().collect()
}

/// Compares statistics with those of the points in order of arrival.
pub(crate) fn check_stats(stats: &SeriesStats, points: &[Point]) {
    assert_eq!(stats.count, points.len() as u64);
    assert_eq!(stats.nan_count, points.iter().filter(|point| point.value.is_nan()).count() as u64);
    assert_eq!(stats.inf_count, points.iter().filter(|point| point.value.is_infinite()).count() as u64);
    let first = points[0];
    assert!(same(stats.first.value, first.value) && stats.first.step == first.step, "first");
    assert_eq!(stats.first.timestamp_ms, first.timestamp_ms);
    let rank = |point: &Point| {
        let value = if point.value.is_nan() { 0.0 } else { point.value };
        (point.step, point.timestamp_ms, value)
    };
    let latest = best(points, |a, b| rank(a).partial_cmp(&rank(b)).is_some_and(std::cmp::Ordering::is_gt)).unwrap();
    assert!(same(stats.latest.value, latest.value), "latest {:?}, expected {latest:?}", stats.latest);
    assert_eq!((stats.latest.step, stats.latest.timestamp_ms), (latest.step, latest.timestamp_ms));
    let numbers = numbers(points);
    for (found, expected) in
        [(stats.min, best(&numbers, |a, b| a.value < b.value)), (stats.max, best(&numbers, |a, b| a.value > b.value))]
    {
        match (found, expected) {
            (None, None) => {}
            (Some(found), Some(expected)) => {
                assert!(
                    same(found.value, expected.value) && found.step == expected.step,
                    "{found:?}, expected {expected:?}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Compares a plot with buckets of equal width that were filled point by point.
pub(crate) fn check_plot(plot: &Downsampled, points: &[Point], range: Option<RangeInclusive<i64>>, buckets: usize) {
    let range = range.unwrap_or_else(|| {
        let steps = points.iter().map(|point| point.step);
        steps.clone().min().unwrap()..=steps.max().unwrap()
    });
    let within: Vec<Point> = points.iter().filter(|point| range.contains(&point.step)).copied().collect();
    if within.len() <= buckets {
        // Few enough to be shown one by one.
        assert!(plot.exact, "{} points fit into {buckets} buckets", within.len());
        let mut sorted = within.clone();
        sorted.sort_by_key(|point| (point.step, point.timestamp_ms));
        let shown: Vec<Point> = plot.points().iter().collect();
        assert!(shown == sorted, "{shown:?}\n{sorted:?}");
        return;
    }
    let width = range.end().abs_diff(*range.start()) as u128 + 1;
    let mut pixels: BTreeMap<u128, Vec<Point>> = BTreeMap::new();
    for point in &within {
        let pixel = u128::from(point.step.abs_diff(*range.start())) * buckets as u128 / width;
        pixels.entry(pixel).or_default().push(*point);
    }
    assert!(plot.buckets.len() <= buckets);
    let key = |point: &Point| (point.step, point.timestamp_ms);
    let is = |bucket: &Bucket, points: &[Point]| {
        let numbers = numbers(points);
        bucket.count == points.len() as u64
            && Some(bucket.first) == best(points, |a, b| key(a) < key(b))
            && Some(bucket.last) == best(points, |a, b| key(a) >= key(b))
            && bucket.min == best(&numbers, |a, b| a.value < b.value)
            && bucket.max == best(&numbers, |a, b| a.value > b.value)
    };
    let strict = plot.buckets.len() == pixels.len()
        && plot.buckets.iter().zip(pixels.values()).all(|(bucket, points)| is(bucket, points));
    if !strict {
        shifted(plot, &within, width / buckets as u128);
    }
}

/// The same where pages or buckets of pages that are narrow beside a pixel may stand whole on one side of an edge: an edge is
/// off by an eighth of a pixel at most, every point counts once, and the extremes are those of all points.
fn shifted(plot: &Downsampled, within: &[Point], width: u128) {
    assert!(width >= 4, "nothing is narrow beside a pixel of {width} steps");
    assert_eq!(plot.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), within.len() as u64);
    for bucket in &plot.buckets {
        assert!(bucket.first.step <= bucket.last.step);
        assert!(u128::from(bucket.first.step.abs_diff(bucket.last.step)) <= width + width / 4 + 1, "{bucket:?}");
        assert!(bucket.points().all(|point| within.contains(&point)), "a point that was not logged");
    }
    let numbers = numbers(within);
    let least = plot.buckets.iter().filter_map(|bucket| bucket.min).map(|point| point.value).reduce(f64::min);
    let greatest = plot.buckets.iter().filter_map(|bucket| bucket.max).map(|point| point.value).reduce(f64::max);
    assert_eq!(least, numbers.iter().map(|point| point.value).reduce(f64::min));
    assert_eq!(greatest, numbers.iter().map(|point| point.value).reduce(f64::max));
}
