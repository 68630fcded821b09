//! Reads a run around what does not verify: gives every point that does, and says how many of which metric are missing.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use crate::base::point::Columns;
use crate::base::stats::SeriesStats;
use crate::base::summary::RunSummary;
use crate::error::{Error, Result};
use crate::run::downsample::{self, Downsampled};
use crate::run::log_view::SeriesPart;
use crate::run::snapshot::{RunSnapshot, add_stats, part_len, part_stats, read_part, summary_of};
use crate::segment::stats::stats_of;

/// A reader of a run's points that goes on where pages do not verify or cannot be read: see [`RunSnapshot::salvage`].
/// Its answers lack what [`Self::gaps`] names.
#[derive(Debug)]
pub struct Salvage<'a> {
    run: &'a RunSnapshot,
    gaps: BTreeMap<(String, usize), Gap>,
}

/// Points of a part of a metric that were to be read and do not verify.
#[derive(Debug)]
pub struct Gap {
    /// What is wrong with the first of them.
    pub error: Error,
    /// Stretches of points of the part that cannot be read, none of which overlaps another.
    stretches: Vec<Range<usize>>,
}

impl Gap {
    /// How many points are missing.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.stretches.iter().map(|stretch| stretch.len() as u64).sum()
    }

    /// Takes in a stretch, of which some may be known.
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
    /// Begins with nothing missing.
    pub(super) fn new(run: &'a RunSnapshot) -> Self {
        Self { run, gaps: BTreeMap::new() }
    }

    /// As [`RunSnapshot::history`].
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Io`] that is not about one file alone.
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

    /// Appends points of the part of a metric that has this place among [`RunSnapshot::series`], counted in order of
    /// arrival.
    ///
    /// # Errors
    /// As [`Self::history`].
    pub fn part(&mut self, key: &str, at: usize, range: Range<usize>, out: &mut Columns) -> Result<()> {
        match self.run.known(key)?.get(at) {
            Some(part) => self.read(key, at, part, range, out),
            None => Ok(()),
        }
    }

    /// As [`RunSnapshot::range`]. Where a page that is missing may have points within the range, all of its points
    /// count as missing.
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

    /// As [`RunSnapshot::downsample`]. Of a part whose pyramid or pages do not verify every point in the range is read;
    /// what is missing is counted as by [`Self::range`].
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

    /// As [`RunSnapshot::stats`]: of a series whose statistics stand beside its points, those of all of them; of one
    /// whose do not, those of the points that verify.
    ///
    /// # Errors
    /// As [`Self::history`]; [`Error::NotFound`] as well where no point verifies.
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
        stats.ok_or_else(|| Error::not_found("metric", key))
    }

    /// As [`RunSnapshot::summary`], by [`Self::stats`]; without the metrics of which no point verifies.
    ///
    /// # Errors
    /// [`Error::Io`] that is not about one file alone.
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

    /// What the answers so far lack, with the keys of the metrics.
    pub fn gaps(&self) -> impl Iterator<Item = (&str, &Gap)> {
        self.gaps.iter().map(|((key, _), gap)| (key.as_str(), gap))
    }

    /// How many points the answers so far lack.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.gaps.values().map(Gap::points).sum()
    }

    /// The same in words, for each part of a metric one line.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
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

/// Appends the points of a part that verify, counted in order of arrival. `missing` is told each stretch that cannot be
/// read, and why, and may refuse it.
///
/// # Errors
/// [`Error::Io`] that is not about one file alone; what `missing` says.
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
