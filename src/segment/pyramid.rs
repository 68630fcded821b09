//! The pyramid of a series: one bucket per page (first, last, least and greatest point) and one per [`FAN_OUT`] buckets
//! below, so that a plot reads few of them however long the series is. Long series have one level below that of pages,
//! so that a plot need not read many pages for parts of a pixel.

use std::ops::Range;

use crate::base::bytes::Malformed;
use crate::base::point::Point;
use crate::codec::{Effort, Scratch};
use crate::segment::layout::{
    BUCKETS_PER_PAGE, ColumnReader, ColumnWriter, FAN_OUT, FINE_FROM, FINE_POINTS, PAGE_POINTS,
};

/// What a plot needs of neighbouring points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The number of points.
    pub count: u64,
    /// The first point by step, then timestamp, then arrival.
    pub first: Point,
    /// The last point by step, then timestamp, then arrival.
    pub last: Point,
    /// The least value, of equals the first that arrived; `None` if all are NaN.
    pub min: Option<Point>,
    /// The greatest value, of equals the first that arrived; `None` if all are NaN.
    pub max: Option<Point>,
}

impl Bucket {
    /// The bucket of one point.
    #[must_use]
    pub fn of(point: Point) -> Self {
        let extreme = (!point.value.is_nan()).then_some(point);
        Self { count: 1, first: point, last: point, min: extreme, max: extreme }
    }

    /// Adds a point that arrived later.
    #[inline]
    pub fn add(&mut self, point: Point) {
        self.count += 1;
        if order(&point) >= order(&self.last) {
            self.last = point;
        } else if order(&point) < order(&self.first) {
            self.first = point;
        }
        if !point.value.is_nan() {
            if self.min.is_none_or(|min| point.value < min.value) {
                self.min = Some(point);
            }
            if self.max.is_none_or(|max| point.value > max.value) {
                self.max = Some(point);
            }
        }
    }

    /// Adds a bucket whose points arrived later.
    pub fn merge(&mut self, later: &Self) {
        self.count += later.count;
        if order(&later.first) < order(&self.first) {
            self.first = later.first;
        }
        if order(&later.last) >= order(&self.last) {
            self.last = later.last;
        }
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
    }

    /// The bucket's distinct points in order of step: at most four, which a line through them shows with every spike.
    pub fn points(&self) -> impl Iterator<Item = Point> + use<> {
        let mut points: Vec<Point> = Vec::with_capacity(4);
        let middle = {
            let mut extremes = [self.min, self.max];
            extremes.sort_by_key(|point| point.as_ref().map(order));
            extremes
        };
        for point in [Some(self.first), middle[0], middle[1], Some(self.last)].into_iter().flatten() {
            if !points.contains(&point) {
                points.push(point);
            }
        }
        points.into_iter()
    }
}

/// The order of a history: step, then timestamp (absent first).
#[must_use]
pub fn order(point: &Point) -> (i64, Option<i64>) {
    (point.step, point.timestamp_ms)
}

/// The number of pages for `count` points.
#[must_use]
pub fn pages(count: usize) -> usize {
    count.div_ceil(PAGE_POINTS)
}

/// Whether the pyramid of a series of `count` points has a fine level, in a row group that has such levels.
fn has_fine_level(count: usize, fine: bool) -> bool {
    fine && count >= FINE_FROM
}

/// The number of buckets per level, lowest first, for a series of `count` points; empty if it has one page. `fine`: the
/// row group has fine levels.
#[must_use]
pub fn levels(count: usize, fine: bool) -> Vec<usize> {
    let mut levels = Vec::new();
    if has_fine_level(count, fine) {
        levels.push(count.div_ceil(FINE_POINTS));
    }
    let mut buckets = pages(count);
    while buckets > 1 {
        levels.push(buckets);
        if buckets <= FAN_OUT {
            break;
        }
        buckets = buckets.div_ceil(FAN_OUT);
    }
    levels
}

/// Buckets of the level below, or points below the lowest level, per bucket of a level.
#[must_use]
pub fn fan_out(count: usize, fine: bool, level: usize) -> usize {
    match (level, has_fine_level(count, fine)) {
        (0, false) => PAGE_POINTS,
        (0, true) => FINE_POINTS,
        (1, true) => PAGE_POINTS / FINE_POINTS,
        _ => FAN_OUT,
    }
}

/// The number of pages of the pyramid of a series of `count` points.
#[must_use]
pub fn bucket_pages(count: usize, fine: bool) -> usize {
    levels(count, fine).iter().map(|buckets| buckets.div_ceil(BUCKETS_PER_PAGE)).sum()
}

/// The next level up.
#[must_use]
pub fn level_above(buckets: &[Bucket]) -> Vec<Bucket> {
    buckets
        .chunks(FAN_OUT)
        .map(|chunk| {
            let mut bucket = chunk[0];
            chunk[1..].iter().for_each(|next| bucket.merge(next));
            bucket
        })
        .collect()
}

/// Appends at most [`BUCKETS_PER_PAGE`] buckets as one page.
pub fn encode_buckets(buckets: &[Bucket], effort: Effort, scratch: &mut Scratch, out: &mut Vec<u8>) {
    let mut columns = ColumnWriter::new(out, effort, scratch);
    let ints = |f: &dyn Fn(&Bucket) -> i64| buckets.iter().map(f).collect::<Vec<i64>>();
    columns.ints(&ints(&|bucket| bucket.count as i64));
    let has_extreme = ints(&|bucket| i64::from(bucket.min.is_some()));
    columns.ints(&has_extreme);
    // Absent extremes are written as the first point; the column above marks them absent.
    let corners: [&dyn Fn(&Bucket) -> Point; 4] =
        [&|bucket| bucket.first, &|bucket| bucket.last, &|bucket| bucket.min.unwrap_or(bucket.first), &|bucket| {
            bucket.max.unwrap_or(bucket.first)
        }];
    for (index, corner) in corners.into_iter().enumerate() {
        // All corners but the first are written as differences to it.
        let base = |bucket: &Bucket| {
            if index == 0 { (0, 0) } else { (bucket.first.step, bucket.first.timestamp_ms.unwrap_or(0)) }
        };
        columns.ints(&ints(&|bucket| corner(bucket).step.wrapping_sub(base(bucket).0)));
        columns.ints(&ints(&|bucket| i64::from(corner(bucket).timestamp_ms.is_some())));
        columns.ints(&ints(&|bucket| corner(bucket).timestamp_ms.map_or(0, |ms| ms.wrapping_sub(base(bucket).1))));
        columns.floats(&buckets.iter().map(|bucket| corner(bucket).value).collect::<Vec<f64>>());
    }
}

/// Reads `count` buckets of one page.
///
/// # Errors
/// [`Malformed`] if the bytes are not such a page.
pub fn decode_buckets(bytes: &[u8], count: usize) -> Result<Vec<Bucket>, Malformed> {
    let mut buckets = Vec::new();
    decode_some_buckets(bytes, count, 0..count, &mut buckets)?;
    Ok(buckets)
}

/// Appends the `wanted` range of the `count` buckets of one page.
///
/// # Errors
/// [`Malformed`] if the bytes are not such a page.
pub fn decode_some_buckets(
    bytes: &[u8],
    count: usize,
    wanted: Range<usize>,
    out: &mut Vec<Bucket>,
) -> Result<(), Malformed> {
    let mut columns = ColumnReader::new(bytes);
    let counts = columns.ints(count)?;
    let has_extreme = columns.ints(count)?;
    let mut corners = Vec::with_capacity(4);
    for _ in 0..4 {
        let (steps, present) = (columns.ints(count)?, columns.ints(count)?);
        corners.push(Corners { steps, present, timestamps: columns.ints(count)?, values: columns.floats(count)? });
    }
    columns.end()?;
    let none = Point { step: 0, timestamp_ms: Some(0), value: 0.0 };
    let bucket = |index: usize| {
        let first = corners[0].point(index, &none);
        let extreme = |corner: usize| (has_extreme[index] != 0).then(|| corners[corner].point(index, &first));
        let last = corners[1].point(index, &first);
        Bucket { count: counts[index] as u64, first, last, min: extreme(2), max: extreme(3) }
    };
    out.extend(wanted.map(bucket));
    Ok(())
}

/// The columns of one corner of all buckets of a page.
struct Corners {
    steps: Vec<i64>,
    present: Vec<i64>,
    timestamps: Vec<i64>,
    values: Vec<f64>,
}

impl Corners {
    /// The corner of a bucket, written as a difference to `base`.
    #[inline]
    fn point(&self, index: usize, base: &Point) -> Point {
        let timestamp_ms = self.timestamps[index].wrapping_add(base.timestamp_ms.unwrap_or(0));
        Point {
            step: self.steps[index].wrapping_add(base.step),
            timestamp_ms: (self.present[index] != 0).then_some(timestamp_ms),
            value: self.values[index],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: i64, timestamp_ms: Option<i64>, value: f64) -> Point {
        Point { step, timestamp_ms, value }
    }

    #[test]
    fn a_bucket_page_round_trips() {
        let mut bucket = Bucket::of(point(5, None, f64::NAN));
        bucket.add(point(3, Some(7), f64::NAN));
        let mut other = Bucket::of(point(i64::MIN, Some(i64::MAX), -0.0));
        other.add(point(i64::MAX, Some(i64::MIN), f64::INFINITY));
        let buckets = [bucket, other, Bucket::of(point(0, Some(0), 1.5))];
        let mut out = Vec::new();
        encode_buckets(&buckets, Effort::Fast, &mut Scratch::default(), &mut out);
        assert_eq!(decode_buckets(&out, 3).unwrap(), buckets);
        for len in 0..out.len() {
            assert!(decode_buckets(&out[..len], 3).is_err());
        }
    }

    #[test]
    fn levels_shrink_by_the_fan_out() {
        assert!(levels(1024, true).is_empty());
        assert_eq!(levels(1025, true), [2]);
        assert_eq!(levels(1024 * 33, true), [33, 5]);
        assert_eq!(levels(FINE_FROM - 1, true), [128, 16, 2]);
        assert_eq!(levels(FINE_FROM, true), [512, 128, 16, 2]);
        assert_eq!(levels(FINE_FROM, false), [128, 16, 2]);
        assert_eq!(levels(100_000_000, true), [390_625, 97_657, 12_208, 1_526, 191, 24, 3]);
        assert_eq!(bucket_pages(100_000_000, true), 1526 + 382 + 48 + 6 + 3);
        for (count, fine) in [1025, 50_000, FINE_FROM - 1, FINE_FROM, FINE_FROM + 1, 100_000_000]
            .into_iter()
            .flat_map(|count| [(count, false), (count, true)])
        {
            let mut below = count;
            for (level, buckets) in levels(count, fine).into_iter().enumerate() {
                assert_eq!(buckets, below.div_ceil(fan_out(count, fine, level)), "level {level} of {count} points");
                below = buckets;
            }
        }
    }

    #[test]
    fn merging_buckets_equals_adding_points() {
        let points: Vec<Point> = [3.0, f64::NAN, -1.0, 9.0, 9.0, -1.0]
            .iter()
            .enumerate()
            .map(|(i, &v)| point([4, 2, 8, 8, 1, 5][i], Some(i as i64 % 3), v))
            .collect();
        let of = |points: &[Point]| {
            let mut bucket = Bucket::of(points[0]);
            points[1..].iter().for_each(|&p| bucket.add(p));
            bucket
        };
        for cut in 1..points.len() {
            let mut left = of(&points[..cut]);
            left.merge(&of(&points[cut..]));
            assert_eq!(left, of(&points));
        }
        let shown: Vec<Point> = of(&points).points().collect();
        assert_eq!(shown.first().unwrap().step, 1);
        assert!(shown.iter().any(|p| p.value == -1.0) && shown.iter().any(|p| p.value == 9.0));
    }
}
