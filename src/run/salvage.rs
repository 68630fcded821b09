//! Reads a run around damage: returns every point that verifies and counts the missing ones per metric.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use crate::base::point::Columns;
use crate::base::stats::SeriesStats;
use crate::base::summary::RunSummary;
use crate::error::{Entity, Error, Result};
use crate::run::downsample::{self, Downsampled};
use crate::run::log_view::SeriesPart;
use crate::run::snapshot::{RunSnapshot, add_stats, part_len, part_stats, read_part, summary_of};
use crate::segment::stats::stats_of;

/// A reader that skips pages it cannot read or verify: see [`RunSnapshot::salvage`]. [`Self::gaps`] names what it
/// skipped.
#[derive(Debug)]
pub struct Salvage<'a> {
    run: &'a RunSnapshot,
    gaps: BTreeMap<(String, usize), Gap>,
}

/// Points of a part of a metric that could not be read.
#[derive(Debug)]
pub struct Gap {
    /// The first error.
    pub error: Error,
    /// Ranges of unreadable points of the part, without overlaps.
    stretches: Vec<Range<usize>>,
}

impl Gap {
    /// The number of missing points.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.len() as u64).sum()
    }

    /// Adds a range that may overlap known ones.
    fn add(&mut self, stretch: Range<usize>) {
        self.stretches.push(stretch);
        self.stretches.sort_by_key(|stretch| stretch.start);
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(self.stretches.len());
        for stretch in self.stretches.drain(..) {
            match merged.last_mut() {
                Some(last) if stretch.start <= last.end => last.end = last.end.max(stretch.end),
                _ => merged.push(stretch),
            }
        }
        self.stretches = merged;
    }
}

impl<'a> Salvage<'a> {
    /// Starts with nothing missing.
    pub(super) fn new(run: &'a RunSnapshot) -> Self {
        Self { run, gaps: BTreeMap::new() }
    }

    /// As [`RunSnapshot::history`].
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Io`] that concerns more than one file.
    pub fn history(&mut self, key: &str) -> Result<Columns> {
        let mut columns = self.arrivals(key)?;
        columns.sort();
        Ok(columns)
    }

    /// As [`RunSnapshot::arrivals`].
    ///
    /// # Errors
    /// As [`Self::history`].
    pub fn arrivals(&mut self, key: &str) -> Result<Columns> {
        let mut columns = Columns::default();
        for (at, part) in self.run.known(key)?.iter().enumerate() {
            self.read(key, at, part, 0..part_len(part), &mut columns)?;
        }
        Ok(columns)
    }

    /// Appends points of part `at` of a metric (see [`RunSnapshot::series`]), counted in order of arrival.
    ///
    /// # Errors
    /// As [`Self::history`].
    pub fn part(&mut self, key: &str, at: usize, range: Range<usize>, out: &mut Columns) -> Result<()> {
        match self.run.known(key)?.get(at) {
            Some(part) => self.read(key, at, part, range, out),
            None => Ok(()),
        }
    }

    /// As [`RunSnapshot::range`]. If a missing page may have points in the range, all its points count as missing.
    ///
    /// # Errors
    /// As [`Self::history`].
    pub fn range(&mut self, key: &str, steps: RangeInclusive<i64>) -> Result<Columns> {
        let mut columns = Columns::default();
        for (at, part) in self.run.known(key)?.iter().enumerate() {
            for range in downsample::stretches_around(part, Some(&steps))? {
                self.read(key, at, part, range, &mut columns)?;
            }
        }
        let mut within: Columns = columns.iter().filter(|point| steps.contains(&point.step)).collect();
        within.sort();
        Ok(within)
    }

    /// As [`RunSnapshot::downsample`]. If a part's pyramid or pages are damaged, all its points in the range are read;
    /// missing ones are counted as by [`Self::range`].
    ///
    /// # Errors
    /// As [`Self::history`]; [`Error::Invalid`] for 0 buckets.
    pub fn downsample(&mut self, key: &str, steps: Option<RangeInclusive<i64>>, buckets: usize) -> Result<Downsampled> {
        let (parts, gaps) = (self.run.to_draw(key, buckets)?, &mut self.gaps);
        downsample::downsample_around(parts, steps, buckets, &mut |at, stretch, error| {
            note(gaps, key, at, stretch, error);
            Ok(())
        })
    }

    /// As [`RunSnapshot::stats`]. If the stored statistics of a part are damaged, they are computed from the points
    /// that verify.
    ///
    /// # Errors
    /// As [`Self::history`]; also [`Error::NotFound`] if no point verifies.
    pub fn stats(&mut self, key: &str) -> Result<SeriesStats> {
        let mut stats: Option<SeriesStats> = None;
        for (at, part) in self.run.known(key)?.iter().enumerate() {
            let of_part = match part_stats(part) {
                Err(error) if error.is_of_one_file() => {
                    let mut columns = Columns::default();
                    self.read(key, at, part, 0..part_len(part), &mut columns)?;
                    stats_of(&columns)
                }
                known => known?,
            };
            if let Some(of_part) = of_part {
                add_stats(&mut stats, &of_part);
            }
        }
        stats.ok_or_else(|| Error::not_found(Entity::Metric, key))
    }

    /// As [`RunSnapshot::summary`], by [`Self::stats`]. Metrics without a verifiable point are left out.
    ///
    /// # Errors
    /// [`Error::Io`] that concerns more than one file.
    pub fn summary(&mut self) -> Result<RunSummary> {
        let mut metrics = BTreeMap::new();
        for key in self.run.keys() {
            match self.stats(key) {
                Err(Error::NotFound { .. }) => {}
                stats => _ = metrics.insert(key.to_owned(), stats?),
            }
        }
        Ok(summary_of(self.run.state(), metrics))
    }

    /// The gaps in the results so far, with their metric keys.
    pub fn gaps(&self) -> impl Iterator<Item = (&str, &Gap)> {
        self.gaps.iter().map(|((key, _), gap)| (key.as_str(), gap))
    }

    /// The number of points missing from the results so far.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.gaps.values().map(Gap::points).sum()
    }

    /// The gaps as messages, one per part of a metric.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        let line = |(key, gap): (&str, &Gap)| {
            format!("{} points of {key:?} of run {}: {}", gap.points(), self.run.id(), gap.error)
        };
        self.gaps().map(line).collect()
    }

    fn read(&mut self, key: &str, at: usize, part: &SeriesPart, range: Range<usize>, out: &mut Columns) -> Result<()> {
        read_around(part, range, out, &mut |stretch, error| {
            note(&mut self.gaps, key, at, stretch, error);
            Ok(())
        })
    }
}

fn note(gaps: &mut BTreeMap<(String, usize), Gap>, key: &str, at: usize, stretch: Range<usize>, error: Error) {
    let new = || Gap { error, stretches: Vec::new() };
    gaps.entry((key.to_owned(), at)).or_insert_with(new).add(stretch);
}

/// Appends the points of a part that verify, counted in order of arrival. `missing` is called for each unreadable range
/// and may refuse it.
///
/// # Errors
/// [`Error::Io`] that concerns more than one file; errors from `missing`.
pub fn read_around(
    part: &SeriesPart,
    range: Range<usize>,
    out: &mut Columns,
    missing: &mut dyn FnMut(Range<usize>, Error) -> Result<()>,
) -> Result<()> {
    let before = out.len();
    let SeriesPart::Sealed(group, index) = part else { return read_part(part, range, out) };
    match read_part(part, range.clone(), out) {
        Err(error) if error.is_of_one_file() => out.truncate(before),
        read => return read,
    }
    for piece in group.page_stretches(*index, range) {
        let mut columns = Columns::default();
        match read_part(part, piece.clone(), &mut columns) {
            Ok(()) => out.extend(&columns),
            Err(error) if error.is_of_one_file() => missing(piece, error)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
