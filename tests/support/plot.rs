//! Plain computations of statistics and plots, to compare with.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use stepwell::{Bucket, Downsampled, Point, SeriesStats};

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
    let pixel = |step: i64| u128::from(step.abs_diff(*range.start())) * buckets as u128 / width;
    let mut pixels: BTreeMap<u128, Vec<Point>> = BTreeMap::new();
    for point in &within {
        pixels.entry(pixel(point.step)).or_default().push(*point);
    }
    assert!(plot.buckets.len() <= buckets);
    let counts = plot.buckets.iter().map(|bucket| bucket.count);
    if !counts.clone().eq(pixels.values().map(|points| points.len() as u64)) {
        // Neighbouring points whose steps span no more than a pixel may go together where most of them are.
        assert_eq!(counts.sum::<u64>(), within.len() as u64, "each point is in one bucket");
        let slack = i128::try_from(width / buckets as u128 / 2 + 1).unwrap();
        for bucket in &plot.buckets {
            check_near(bucket, &within, slack, |step| {
                pixel(step) == pixel(bucket.first.step.midpoint(bucket.last.step))
            });
        }
        return;
    }
    let key = |point: &Point| (point.step, point.timestamp_ms);
    for (bucket, points) in plot.buckets.iter().zip(pixels.values()) {
        assert_eq!(Some(bucket.first), best(points, |a, b| key(a) < key(b)), "first");
        assert_eq!(Some(bucket.last), best(points, |a, b| key(a) >= key(b)), "last");
        let numbers = numbers(points);
        assert_eq!(bucket.min, best(&numbers, |a, b| a.value < b.value), "min");
        assert_eq!(bucket.max, best(&numbers, |a, b| a.value > b.value), "max");
    }
}

/// A bucket has all points that are well within its pixel, and none that is far outside.
fn check_near(bucket: &Bucket, points: &[Point], slack: i128, in_pixel: impl Fn(i64) -> bool) {
    let moved = |point: &Point, by: i128| i64::try_from(i128::from(point.step) + by).is_ok_and(&in_pixel);
    let may = |point: &Point| in_pixel(point.step) || moved(point, slack) || moved(point, -slack);
    let must = |point: &&Point| in_pixel(point.step) && moved(point, slack) && moved(point, -slack);
    let inside: Vec<&Point> = points.iter().filter(must).collect();
    let possible = points.iter().filter(|point| may(point)).count();
    assert!((inside.len()..=possible).contains(&(bucket.count as usize)), "{bucket:?}");
    for shown in [Some(bucket.first), Some(bucket.last), bucket.min, bucket.max].into_iter().flatten() {
        assert!(may(&shown) && points.contains(&shown), "{shown:?} of {bucket:?}");
    }
    for point in inside {
        assert!((bucket.first.step..=bucket.last.step).contains(&point.step), "{point:?} of {bucket:?}");
        let within = |min: Point, max: Point| (min.value..=max.value).contains(&point.value);
        assert!(point.value.is_nan() || bucket.min.zip(bucket.max).is_some_and(|(min, max)| within(min, max)));
    }
}
