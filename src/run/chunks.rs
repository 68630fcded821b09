//! Streams a long history: chunk after chunk in order, so that memory does not grow with the series.
//!
//! 1. Parts with a pyramid stay where they are. It says which pages may have points of a range of steps.
//! 2. Parts without one are short. They are decoded at the beginning and sorted.
//! 3. A window is the longest range of steps whose pages and rows have no more points than asked for. It is found by
//!    doubling the width of the last one, then halving the last step. A window is read whole and given in chunks.
//! 4. Where a single step already touches many pages, as in a series whose steps come in random order, each window
//!    would decode those pages again. There a window may have several times the points that one step touches.

use std::ops::RangeInclusive;

use crate::base::point::Columns;
use crate::error::{Error, Result};
use crate::run::downsample::{read_range, stretches_within};
use crate::run::log_view::SeriesPart;
use crate::run::snapshot::{RunSnapshot, part_len, read_part};

/// Points of a window for each part with a pyramid, at least: a window touches a page or two of each.
const WINDOW_POINTS: usize = 4 << 10;
/// How many times the points that its first step touches a window may have.
const WINDOW_SHARE: usize = 4;

/// A part of the series.
#[derive(Debug)]
enum Source<'a> {
    Sealed(&'a SeriesPart),
    /// Sorted as a history is.
    Decoded(Columns),
}

/// The chunks of a history: see [`RunSnapshot::history_chunks`]. After an error there are no more.
#[derive(Debug)]
pub struct HistoryChunks<'a> {
    sources: Vec<Source<'a>>,
    points_max: usize,
    window_max: usize,
    /// The steps that were not read yet.
    rest: Option<RangeInclusive<i64>>,
    /// How many steps the last window had, as a guess for the next.
    width: i128,
    /// The last window, and how many of its points were given.
    window: Columns,
    given: usize,
}

impl RunSnapshot {
    /// The points of [`Self::history`], in the same order, in chunks of at most `points_max` points. Memory: twice a
    /// chunk or a few pages for each row group of the series, the points that share one step, and those of row groups
    /// too short to have a pyramid. Of a series whose steps come in random order, up to all points.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Io`]; [`Error::Invalid`] for 0 points.
    pub fn history_chunks(&self, key: &str, points_max: usize) -> Result<HistoryChunks<'_>> {
        if points_max == 0 {
            return Err(Error::invalid("points of a chunk", "at least 1 is needed"));
        }
        let mut sources = Vec::new();
        for part in self.known(key)? {
            sources.push(match part {
                SeriesPart::Sealed(group, index) if !group.levels(*index).is_empty() => Source::Sealed(part),
                _ => {
                    let mut columns = Columns::default();
                    read_part(part, 0..part_len(part), &mut columns)?;
                    columns.sort();
                    Source::Decoded(columns)
                }
            });
        }
        let sealed = sources.iter().filter(|source| matches!(source, Source::Sealed(_))).count();
        Ok(HistoryChunks {
            sources,
            points_max,
            window_max: points_max.max(sealed * WINDOW_POINTS),
            rest: Some(i64::MIN..=i64::MAX),
            width: 1,
            window: Columns::default(),
            given: 0,
        })
    }
}

/// The points of sorted columns that have these steps.
fn within(columns: &Columns, steps: &RangeInclusive<i64>) -> std::ops::Range<usize> {
    let from = columns.steps.partition_point(|step| step < steps.start());
    from..columns.steps.partition_point(|step| step <= steps.end())
}

impl HistoryChunks<'_> {
    /// At least as many points as there are with these steps.
    fn count(&self, steps: &RangeInclusive<i64>) -> Result<usize> {
        let mut count = 0;
        for source in &self.sources {
            count += match source {
                Source::Sealed(part) => stretches_within(part, Some(steps))?.iter().map(ExactSizeIterator::len).sum(),
                Source::Decoded(columns) => within(columns, steps).len(),
            };
        }
        Ok(count)
    }

    /// The last step of the window that begins at `from`.
    fn end(&self, from: i64, last: i64) -> Result<i64> {
        let most = self.window_max.max(self.count(&(from..=from))?.saturating_mul(WINDOW_SHARE));
        let points = |end: i128| self.count(&(from..=end as i64));
        let (start, last) = (i128::from(from), i128::from(last));
        let mut width = self.width.max(1);
        let mut good = start;
        while points((good + width).min(last))? <= most {
            good = (good + width).min(last);
            if good == last {
                return Ok(good as i64);
            }
            width *= 2;
        }
        let mut bad = (good + width).min(last);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            let count = points(middle)?;
            if count > most {
                bad = middle;
                continue;
            }
            good = middle;
            // Near enough: the window is more than half full.
            if bad - good < self.width / 8 && count > most / 2 {
                break;
            }
        }
        Ok(good as i64)
    }

    fn read(&self, steps: &RangeInclusive<i64>) -> Result<Columns> {
        let mut columns = Columns::default();
        for source in &self.sources {
            match source {
                Source::Sealed(part) => {
                    let mut read = Columns::default();
                    read_range(part, steps, &mut read)?;
                    read.iter().filter(|point| steps.contains(&point.step)).for_each(|point| columns.push(point));
                }
                Source::Decoded(sorted) => {
                    within(sorted, steps).filter_map(|at| sorted.get(at)).for_each(|point| columns.push(point));
                }
            }
        }
        columns.sort();
        Ok(columns)
    }

    /// Reads the next window that has points. `false` if there is none.
    fn read_window(&mut self) -> Result<bool> {
        (self.window, self.given) = (Columns::default(), 0);
        while let Some(rest) = self.rest.take() {
            let (from, last) = (*rest.start(), *rest.end());
            let end = self.end(from, last)?;
            self.window = self.read(&(from..=end))?;
            self.rest = (end < last).then(|| end + 1..=last);
            if let (Some(first), Some(last)) = (self.window.steps.first(), self.window.steps.last()) {
                self.width = i128::from(*last) - i128::from(*first) + 1;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Iterator for HistoryChunks<'_> {
    type Item = Result<Columns>;

    fn next(&mut self) -> Option<Result<Columns>> {
        if self.given == self.window.len() {
            match self.read_window() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        let from = self.given;
        self.given = self.window.len().min(from.saturating_add(self.points_max));
        if from == 0 && self.given == self.window.len() {
            self.given = 0;
            return Some(Ok(std::mem::take(&mut self.window)));
        }
        Some(Ok((from..self.given).filter_map(|at| self.window.get(at)).collect()))
    }
}
