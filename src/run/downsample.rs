//! Plots: a series as a bounded number of buckets, from its pyramid, with every spike kept.
//!
//! 1. The range of steps is cut into buckets of equal width ("pixels").
//! 2. Each part of the series is walked from the top of its pyramid. A bucket within one pixel is merged into it; one
//!    that spans several is opened, down to the points.
//! 3. So at most one chain of buckets is opened per edge between pixels, however long the series is.
//! 4. A bucket no wider than a pixel is not opened for an edge. It goes to the pixel that holds its middle. An edge may
//!    thus be half a pixel off; all points are as logged, and every spike is shown. The cost depends only on the number
//!    of pixels.
//! 5. If part of the series is damaged and the caller accepts gaps, all verifiable points in the range are read,
//!    narrowed by the pyramid where that verifies.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use crate::base::point::Columns;
use crate::error::{Error, Result};
use crate::run::log_view::SeriesPart;
use crate::run::salvage::read_around;
use crate::run::snapshot::{part_len, read_part};
use crate::segment::layout::PAGE_POINTS;
use crate::segment::pyramid::Bucket;
use crate::segment::reader::RowGroup;
use crate::segment::stats::summarise;

/// A series for a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Downsampled {
    /// Buckets in order of step, none of them empty.
    pub buckets: Vec<Bucket>,
    /// Whether each bucket is a single point, so nothing was left out.
    pub exact: bool,
}

impl Downsampled {
    /// The points of all buckets in order of step: at most four for each.
    #[must_use]
    pub fn points(&self) -> Columns {
        self.buckets.iter().flat_map(Bucket::points).collect()
    }
}

/// Pages read at once.
const PAGES_AT_ONCE: usize = 16;

/// Which pixel a step falls into.
#[derive(Clone, Copy, Debug)]
struct Pixels {
    first: i64,
    last: i64,
    count: u64,
}

impl Pixels {
    fn of(&self, step: i64) -> Option<u64> {
        if step < self.first || step > self.last {
            return None;
        }
        // In 128 bits, since a range of steps may be as wide as 2^64.
        let width = u128::from(self.last.abs_diff(self.first)) + 1;
        Some((u128::from(step.abs_diff(self.first)) * u128::from(self.count) / width) as u64)
    }

    /// The steps of a pixel.
    fn steps(&self, pixel: u64) -> RangeInclusive<i64> {
        let width = u128::from(self.last.abs_diff(self.first)) + 1;
        let start = |pixel: u64| (u128::from(pixel) * width).div_ceil(u128::from(self.count));
        let at = |offset: u128| (i128::from(self.first) + offset as i128) as i64;
        at(start(pixel))..=at(start(pixel + 1).saturating_sub(1))
    }

    /// The number of steps per pixel, rounded down.
    fn width(&self) -> u64 {
        (u128::from(self.last.abs_diff(self.first)) + 1).checked_div(u128::from(self.count)).unwrap_or(0) as u64
    }

    fn contains_any(&self, bucket: &Bucket) -> bool {
        bucket.first.step <= self.last && bucket.last.step >= self.first
    }
}

/// Called with a part's index, a range of its points that cannot be read, and the error. May refuse by returning an
/// error.
type Missing<'a> = &'a mut dyn FnMut(usize, Range<usize>, Error) -> Result<()>;

/// An error and the index of the part it belongs to.
struct Failed {
    at: usize,
    error: Error,
}

/// Adds the part's index to an error.
fn of(at: usize) -> impl FnOnce(Error) -> Failed {
    move |error| Failed { at, error }
}

/// See [`crate::run::snapshot::RunSnapshot::downsample`].
///
/// # Errors
/// Those of reading the parts.
pub fn downsample(parts: &[SeriesPart], steps: Option<RangeInclusive<i64>>, count: usize) -> Result<Downsampled> {
    let parts: Vec<Part<'_>> = parts.iter().map(Part::whole).collect();
    draw(&parts, steps, count, &mut |_, _, error| Err(error)).map_err(|failed| failed.error)
}

/// See [`crate::run::salvage::Salvage::downsample`].
///
/// # Errors
/// Errors of reading that concern more than one file, and errors from `missing`.
pub fn downsample_around(
    parts: &[SeriesPart],
    steps: Option<RangeInclusive<i64>>,
    count: usize,
    missing: Missing<'_>,
) -> Result<Downsampled> {
    let mut parts: Vec<Part<'_>> = parts.iter().map(Part::whole).collect();
    loop {
        match draw(&parts, steps.clone(), count, missing) {
            Err(Failed { at, error }) if error.is_of_one_file() && !parts[at].broken => parts[at].broken = true,
            drawn => return drawn.map_err(|failed| failed.error),
        }
    }
}

/// A part of a series to be drawn.
struct Part<'a> {
    part: &'a SeriesPart,
    /// Whether the part is damaged. Then all its points in the range are read, except those that do not verify.
    broken: bool,
}

impl<'a> Part<'a> {
    fn whole(part: &'a SeriesPart) -> Self {
        Self { part, broken: false }
    }

    /// The ranges of points that may have these steps.
    fn stretches(&self, steps: Option<&RangeInclusive<i64>>) -> Result<Vec<Range<usize>>> {
        if self.broken { stretches_around(self.part, steps) } else { stretches_within(self.part, steps) }
    }

    /// Passes on the points of ranges in order of arrival, a few pages at a time.
    fn each_piece(
        &self,
        ranges: Vec<Range<usize>>,
        missing: &mut dyn FnMut(Range<usize>, Error) -> Result<()>,
        mut give: impl FnMut(&Columns),
    ) -> Result<()> {
        let mut columns = Columns::default();
        for range in ranges {
            let mut start = range.start;
            while start < range.end {
                // Whole pages, so that none is decoded twice.
                let end = range.end.min((start / PAGE_POINTS + PAGES_AT_ONCE) * PAGE_POINTS);
                columns.clear();
                if self.broken {
                    read_around(self.part, start..end, &mut columns, missing)?;
                } else {
                    read_part(self.part, start..end, &mut columns)?;
                }
                give(&columns);
                start = end;
            }
        }
        Ok(())
    }
}

fn draw(
    parts: &[Part<'_>],
    steps: Option<RangeInclusive<i64>>,
    count: usize,
    missing: Missing<'_>,
) -> Result<Downsampled, Failed> {
    let mut tops = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        let mut missing = |stretch: Range<usize>, error: Error| missing(at, stretch, error);
        tops.push(top(part, steps.as_ref(), &mut missing).map_err(of(at))?);
    }
    let (first, last) = match steps {
        Some(steps) => (*steps.start(), *steps.end()),
        None => {
            let all = tops.iter().flat_map(|top| top.iter());
            (all.clone().map(|top| top.first.step).min().unwrap_or(0), all.map(|top| top.last.step).max().unwrap_or(0))
        }
    };
    let pixels = Pixels { first, last, count: count as u64 };
    if let Some(exact) = exact(parts, &tops, pixels, missing)? {
        return Ok(exact);
    }
    let mut canvas = Canvas::new(pixels);
    for (at, (part, top)) in parts.iter().zip(&tops).enumerate() {
        if top.iter().any(|top| pixels.contains_any(top)) {
            let mut missing = |stretch: Range<usize>, error: Error| missing(at, stretch, error);
            add_part(part, top, &mut canvas, &mut missing).map_err(of(at))?;
        }
    }
    let buckets = canvas.finish();
    let exact = buckets.iter().all(|bucket| bucket.count == 1);
    Ok(Downsampled { buckets, exact })
}

/// The points themselves if the range has no more points than pixels.
fn exact(
    parts: &[Part<'_>],
    tops: &[Arc<[Bucket]>],
    pixels: Pixels,
    missing: Missing<'_>,
) -> Result<Option<Downsampled>, Failed> {
    let total: usize = parts.iter().map(|part| part_len(part.part)).sum();
    let whole = tops
        .iter()
        .flat_map(|top| top.iter())
        .all(|top| top.first.step >= pixels.first && top.last.step <= pixels.last);
    if whole && total > pixels.count as usize {
        return Ok(None);
    }
    // Buckets at the edges may have points outside the range, so more points are read than counted.
    let limit = (pixels.count as usize).saturating_add(4 * PAGE_POINTS * parts.len());
    let steps = pixels.first..=pixels.last;
    let mut columns = Columns::default();
    for (at, part) in parts.iter().enumerate() {
        let stretches = part.stretches(Some(&steps)).map_err(of(at))?;
        if stretches.iter().map(ExactSizeIterator::len).sum::<usize>() + columns.len() > limit {
            return Ok(None);
        }
        let mut missing = |stretch: Range<usize>, error: Error| missing(at, stretch, error);
        part.each_piece(stretches, &mut missing, |piece| columns.extend(piece)).map_err(of(at))?;
    }
    let mut within: Columns = columns.iter().filter(|point| steps.contains(&point.step)).collect();
    if within.len() > pixels.count as usize {
        return Ok(None);
    }
    within.sort();
    Ok(Some(Downsampled { buckets: within.iter().map(Bucket::of).collect(), exact: true }))
}

/// The top buckets of a part's pyramid: few, and together all its points. For a broken part: one bucket of the points
/// that may have these steps.
fn top(
    part: &Part<'_>,
    steps: Option<&RangeInclusive<i64>>,
    missing: &mut dyn FnMut(Range<usize>, Error) -> Result<()>,
) -> Result<Arc<[Bucket]>> {
    if let (SeriesPart::Sealed(group, index), false) = (part.part, part.broken) {
        let top = group.top(*index)?;
        if !top.is_empty() {
            return Ok(top);
        }
    }
    // Without a pyramid all points are one range.
    let stretches = part.stretches(steps)?;
    let mut bucket: Option<Bucket> = None;
    part.each_piece(stretches, missing, |piece| {
        for point in piece.iter() {
            match &mut bucket {
                Some(bucket) => bucket.add(point),
                None => bucket = Some(Bucket::of(point)),
            }
        }
    })?;
    Ok(bucket.into_iter().collect())
}

/// The picture so far. Neighbouring points mostly share a pixel, so the current one is kept separately.
struct Canvas {
    pixels: Pixels,
    /// The current pixel's number and steps, and what was added to it since it became current.
    at: u64,
    steps: RangeInclusive<i64>,
    now: Option<Bucket>,
    drawn: BTreeMap<u64, Bucket>,
    /// Buckets of at most this many steps are narrow: a pixel's width.
    narrow: u64,
}

impl Canvas {
    fn new(pixels: Pixels) -> Self {
        let (at, now, drawn) = (0, None, BTreeMap::new());
        Self { pixels, at, steps: pixels.steps(0), now, drawn, narrow: pixels.width() }
    }

    /// Makes the pixel of a step current. `false` if the step is outside the picture.
    fn turn_to(&mut self, step: i64) -> bool {
        if self.steps.contains(&step) {
            return true;
        }
        let Some(pixel) = self.pixels.of(step) else { return false };
        self.put_down();
        (self.at, self.steps) = (pixel, self.pixels.steps(pixel));
        true
    }

    fn put_down(&mut self) {
        if let Some(now) = self.now.take() {
            self.drawn.entry(self.at).and_modify(|own| own.merge(&now)).or_insert(now);
        }
    }

    /// Adds points in order of arrival, consecutive points of one pixel at once.
    fn add_points(&mut self, columns: &Columns) {
        let (steps, timestamps) = (&columns.steps, columns.timestamps.view());
        let mut at = 0;
        while let Some(first) = columns.get(at) {
            if !self.turn_to(first.step) {
                at += 1;
                continue;
            }
            let end = at + steps[at..].iter().take_while(|step| self.steps.contains(step)).count();
            let range = at..end;
            let timestamps = timestamps.slice(range.clone());
            let (_, bucket) = summarise(first, &steps[range.clone()], timestamps, &columns.values[range]);
            self.add(&bucket);
            at = end;
        }
    }

    /// Adds a bucket to the current pixel.
    fn add(&mut self, bucket: &Bucket) {
        match &mut self.now {
            Some(now) => now.merge(bucket),
            None => self.now = Some(*bucket),
        }
    }

    /// A step in the pixel that takes the whole bucket: the bucket lies within it, or is `narrow`.
    fn place(&self, bucket: &Bucket, narrow: bool) -> Option<i64> {
        let (first, last) = (bucket.first.step, bucket.last.step);
        if self.steps.contains(&first) && self.steps.contains(&last) {
            return Some(first);
        }
        if first < self.pixels.first || last > self.pixels.last {
            return None;
        }
        (narrow || self.pixels.of(first) == self.pixels.of(last)).then(|| first.midpoint(last))
    }

    /// Adds a bucket to the pixel of this step.
    fn add_bucket(&mut self, step: i64, bucket: &Bucket) {
        if self.turn_to(step) {
            self.add(bucket);
        }
    }

    fn finish(mut self) -> Vec<Bucket> {
        self.put_down();
        self.drawn.into_values().collect()
    }
}

/// Adds a part whose `top` was read.
fn add_part(
    part: &Part<'_>,
    top: &[Bucket],
    canvas: &mut Canvas,
    missing: &mut dyn FnMut(Range<usize>, Error) -> Result<()>,
) -> Result<()> {
    if let (SeriesPart::Sealed(group, index), false) = (part.part, part.broken) {
        let levels = group.levels(*index);
        if let Some(level) = levels.len().checked_sub(1) {
            return Walk { part, group, index: *index, levels }.place(level, 0, top, canvas);
        }
    }
    let steps = canvas.pixels.first..=canvas.pixels.last;
    part.each_piece(part.stretches(Some(&steps))?, missing, |piece| canvas.add_points(piece))
}

struct Walk<'a> {
    part: &'a Part<'a>,
    group: &'a RowGroup,
    index: usize,
    levels: Vec<usize>,
}

impl Walk<'_> {
    /// Adds buckets `range` of a level.
    fn add(&self, level: usize, range: Range<usize>, canvas: &mut Canvas) -> Result<()> {
        let range = range.start..range.end.min(self.levels[level]);
        let buckets = self.group.buckets(self.index, level, range.clone())?;
        self.place(level, range.start, &buckets, canvas)
    }

    /// Adds buckets of a level from number `first` on, opening those that span several pixels.
    fn place(&self, level: usize, first: usize, buckets: &[Bucket], canvas: &mut Canvas) -> Result<()> {
        let mut open: Option<Range<usize>> = None;
        for (bucket, at) in buckets.iter().zip(first..) {
            if !canvas.pixels.contains_any(bucket) {
                continue;
            }
            let narrow = bucket.last.step.abs_diff(bucket.first.step) < canvas.narrow;
            let place = canvas.place(bucket, narrow);
            if let Some(open) = open.as_mut().filter(|open| place.is_none() && open.end == at) {
                open.end = at + 1;
                continue;
            }
            // Arrival order decides between equals, so pending buckets are opened first.
            self.open(level, open.take(), canvas)?;
            match place {
                Some(step) => canvas.add_bucket(step, bucket),
                None => open = Some(at..at + 1),
            }
        }
        self.open(level, open, canvas)
    }

    /// Adds the level below neighbouring buckets.
    fn open(&self, level: usize, range: Option<Range<usize>>, canvas: &mut Canvas) -> Result<()> {
        let Some(range) = range else { return Ok(()) };
        let below = self.group.fan_out(self.index, level);
        let range = range.start * below..range.end * below;
        if level > 0 {
            return self.add(level - 1, range, canvas);
        }
        let range = range.start..range.end.min(part_len(self.part.part));
        self.part.each_piece(vec![range], &mut |_, error| Err(error), |piece| canvas.add_points(piece))
    }
}

/// The ranges of points that may have these steps, by the part's pyramid; all points if `steps` is `None`.
pub(super) fn stretches_within(part: &SeriesPart, steps: Option<&RangeInclusive<i64>>) -> Result<Vec<Range<usize>>> {
    let len = part_len(part);
    let all = || std::iter::once(0..len).collect();
    let (SeriesPart::Sealed(group, index), Some(steps)) = (part, steps) else { return Ok(all()) };
    let levels = group.levels(*index);
    if levels.is_empty() {
        return Ok(all());
    }
    // From the top down, keep buckets that may touch the range.
    let mut candidates: Vec<Range<usize>> = std::iter::once(0..levels[levels.len() - 1]).collect();
    for level in (0..levels.len()).rev() {
        let mut next: Vec<Range<usize>> = Vec::new();
        let factor = group.fan_out(*index, level);
        for range in candidates {
            let range = range.start..range.end.min(levels[level]);
            for (bucket, at) in group.buckets(*index, level, range.clone())?.iter().zip(range) {
                if bucket.first.step > *steps.end() || bucket.last.step < *steps.start() {
                    continue;
                }
                match next.last_mut() {
                    Some(last) if last.end == at * factor => last.end = (at + 1) * factor,
                    _ => next.push(at * factor..(at + 1) * factor),
                }
            }
        }
        candidates = next;
    }
    Ok(candidates.into_iter().map(|range| range.start..range.end.min(len)).collect())
}

/// The same, or all points if the pyramid does not verify.
///
/// # Errors
/// [`Error::Io`] that concerns more than one file.
pub fn stretches_around(part: &SeriesPart, steps: Option<&RangeInclusive<i64>>) -> Result<Vec<Range<usize>>> {
    match stretches_within(part, steps) {
        Err(error) if error.is_of_one_file() => Ok(std::iter::once(0..part_len(part)).collect()),
        stretches => stretches,
    }
}

/// Appends the points that may have these steps, in order of arrival.
///
/// # Errors
/// Those of reading the part.
pub fn read_range(part: &SeriesPart, steps: &RangeInclusive<i64>, out: &mut Columns) -> Result<()> {
    for range in stretches_within(part, Some(steps))? {
        read_part(part, range, out)?;
    }
    Ok(())
}
