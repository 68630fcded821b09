//! A fixed view of one run: what its logs and packs had when it was taken.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::base::ids::{ExperimentId, RunId, WriterId};
use crate::base::items::index_key;
use crate::base::point::{Columns, Point};
use crate::base::stats::SeriesStats;
use crate::base::summary::RunSummary;
use crate::error::{Entity, Error, Result};
use crate::log::record::Attribute;
use crate::run::downsample::{self, Downsampled};
use crate::run::log_view::SeriesPart;
use crate::run::salvage::Salvage;
use crate::run::state::{Coverage, RunState, Stamped};
use crate::segment::stats::stats_of;

/// A run's data from one source: a log, or a row group of a pack.
#[derive(Clone, Debug)]
pub struct RunPart<S = SeriesPart> {
    /// The run's metadata, and which points of which writers the source has.
    pub state: RunState,
    /// For each writer, the parts of series in order of arrival.
    pub series: Vec<OfWriter<S>>,
}

/// A writer's points in a source: the coverage, and parts of series by key.
pub type OfWriter<S> = (Coverage, Vec<(String, S)>);

/// A part of a series of which only statistics are needed.
#[derive(Clone, Debug)]
pub enum StatsPart {
    /// Known statistics.
    Known(SeriesStats),
    /// Statistics to be read from the part.
    Of(SeriesPart),
}

impl<S> RunPart<S> {
    /// What a log has of a run: the first coverage of its state is that of the points.
    #[must_use]
    pub fn new(state: RunState, parts: Vec<(String, S)>) -> Self {
        let mut parts = Some(parts);
        let series = state.coverage.iter().map(|&own| (own, parts.take().unwrap_or_default())).collect();
        Self { state, series }
    }
}

impl From<RunPart> for RunPart<StatsPart> {
    fn from(RunPart { state, series }: RunPart) -> Self {
        let of_part = |(key, part): (String, SeriesPart)| (key, StatsPart::Of(part));
        let of_writer = |(coverage, parts): OfWriter<SeriesPart>| (coverage, parts.into_iter().map(of_part).collect());
        Self { state, series: series.into_iter().map(of_writer).collect() }
    }
}

/// One run at one moment. Holds no lock and never changes.
#[derive(Clone, Debug)]
pub struct RunSnapshot {
    state: RunState,
    series: BTreeMap<String, SeriesParts>,
    damage: Vec<String>,
}

/// The parts of one series and their writers, in order of arrival.
#[derive(Clone, Debug, Default)]
pub struct SeriesParts {
    /// The parts.
    pub parts: Vec<SeriesPart>,
    /// The writer of each part.
    pub writers: Vec<WriterId>,
}

impl RunSnapshot {
    /// Merges parts of one run, in any order, copies included. `None` if there are no parts.
    ///
    /// A writer's points count once: of overlapping copies the longest is used.
    #[must_use]
    #[doc(hidden)]
    pub fn merge(parts: Vec<RunPart>) -> Option<Self> {
        let (state, sources) = merge_parts(parts)?;
        let of_writer =
            |(coverage, parts): OfWriter<SeriesPart>| parts.into_iter().map(move |part| (coverage.writer, part));
        let mut parts: Vec<(WriterId, (String, SeriesPart))> = sources.into_iter().flat_map(of_writer).collect();
        // Stable, so that the parts of a key stay in order. Most sources have their keys sorted, so this is a merge.
        parts.sort_by(|(_, (a, _)), (_, (b, _))| a.cmp(b));
        let mut series: Vec<(String, SeriesParts)> = Vec::new();
        for (writer, (key, part)) in parts {
            if series.last().is_none_or(|(last, _)| *last != key) {
                series.push((key, SeriesParts::default()));
            }
            if let Some((_, of_key)) = series.last_mut() {
                of_key.parts.push(part);
                of_key.writers.push(writer);
            }
        }
        Some(Self { state, series: series.into_iter().collect(), damage: Vec::new() })
    }

    /// Damage in the logs that this view was made from; the damaged data is missing from it. Empty for an undamaged
    /// run. Damage in columns is not included: reading those returns an error, and [`Self::salvage`] reads around it.
    #[must_use]
    pub fn damage(&self) -> &[String] {
        &self.damage
    }

    /// Adds damage that this view was made around.
    #[must_use]
    pub(crate) fn with_damage(mut self, damage: Vec<String>) -> Self {
        self.damage.extend(damage);
        self
    }

    /// The same run in another experiment, optionally with another deletion attribute.
    #[must_use]
    pub(crate) fn moved(
        mut self,
        experiment: ExperimentId,
        name: String,
        deletion: Option<Stamped<Attribute>>,
    ) -> Self {
        (self.state.experiment, self.state.experiment_name) = (experiment, name);
        if let Some(deletion) = deletion {
            let kind = deletion.value.kind();
            self.state.attributes[kind] = Some(deletion);
        }
        self
    }

    /// The same run without all points of some writers, and without some writers' points in some metrics.
    #[must_use]
    pub(crate) fn without(
        mut self,
        writer: impl Fn(WriterId) -> bool,
        of_metric: impl Fn(&str, WriterId) -> bool,
    ) -> Self {
        self.state.coverage.retain(|own| !writer(own.writer));
        for (key, series) in &mut self.series {
            let kept =
                series.parts.drain(..).zip(series.writers.drain(..)).filter(|(_, writer)| !of_metric(key, *writer));
            (series.parts, series.writers) = kept.collect::<Vec<_>>().into_iter().unzip();
        }
        self.series.retain(|_, series| !series.parts.is_empty());
        self
    }

    /// The same run without the points and metadata of some writers.
    #[must_use]
    pub(crate) fn without_writers(self, of: impl Fn(WriterId) -> bool) -> Self {
        let mut left = self.without(&of, |_, writer| of(writer));
        left.state.forget_metadata(of);
        left
    }

    /// Removes params by key.
    pub(crate) fn leave_params_out(&mut self, which: impl Fn(&str) -> bool) {
        self.state.params.retain(|key, _| !which(key));
    }

    /// Removes the deletion attribute.
    pub(crate) fn leave_deletion_out(&mut self) {
        self.state.attributes.iter_mut().for_each(|said| {
            said.take_if(|said| matches!(said.value, Attribute::Deleted { .. }));
        });
    }

    /// The run's metadata, as a copy without points.
    #[must_use]
    pub(crate) fn without_points(mut self) -> Self {
        self.series.clear();
        for own in &mut self.state.coverage {
            (own.from, own.through, own.lost) = (0, 0, 0);
        }
        self
    }

    /// The run's id.
    #[must_use]
    pub fn id(&self) -> &RunId {
        &self.state.id
    }

    /// The run's metadata.
    #[must_use]
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// The writers that logged to it, points or not.
    pub fn writers(&self) -> impl Iterator<Item = WriterId> + '_ {
        self.state.coverage.iter().map(|own| own.writer)
    }

    /// The metric keys, sorted by bytes.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }

    /// All series by key, for copying.
    #[must_use]
    pub fn series(&self) -> &BTreeMap<String, SeriesParts> {
        &self.series
    }

    /// Reads the run's points around damage: returns every point that verifies and counts the missing ones. The methods
    /// here return an error instead.
    #[must_use]
    pub fn salvage(&self) -> Salvage<'_> {
        Salvage::new(self)
    }

    /// The parts of a series.
    pub(super) fn known(&self, key: &str) -> Result<&[SeriesPart]> {
        let parts = self
            .series
            .get(key)
            .ok_or_else(|| Error::not_found(Entity::Metric, format!("{key} of run {}", self.state.id)))?;
        Ok(&parts.parts)
    }

    /// Statistics of a series, including its latest value. One lookup for a sealed series.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Io`].
    pub fn stats(&self, key: &str) -> Result<SeriesStats> {
        let mut stats: Option<SeriesStats> = None;
        for part in self.known(key)? {
            if let Some(of_part) = part_stats(part)? {
                add_stats(&mut stats, &of_part);
            }
        }
        stats.ok_or_else(|| Error::not_found(Entity::Metric, key))
    }

    /// The number of points of a series.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn count(&self, key: &str) -> Result<u64> {
        Ok(self.known(key)?.iter().map(part_len).sum::<usize>() as u64)
    }

    /// All points of a series, by step, then timestamp (absent first), then arrival.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Io`].
    pub fn history(&self, key: &str) -> Result<Columns> {
        let mut columns = Columns::default();
        self.history_into(key, &mut columns)?;
        Ok(columns)
    }

    /// [`Self::history`] that replaces the contents of `columns` and reuses their memory: faster for many series, since
    /// fresh memory costs as much as decoding.
    ///
    /// # Errors
    /// As [`Self::history`]; then the contents of `columns` are undefined.
    pub fn history_into(&self, key: &str, columns: &mut Columns) -> Result<()> {
        self.arrivals_into(key, columns)?;
        columns.sort();
        Ok(())
    }

    /// All points of a series in order of arrival: writer by writer, each in its own order.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Io`].
    pub fn arrivals(&self, key: &str) -> Result<Columns> {
        let mut columns = Columns::default();
        self.arrivals_into(key, &mut columns)?;
        Ok(columns)
    }

    fn arrivals_into(&self, key: &str, columns: &mut Columns) -> Result<()> {
        columns.clear();
        let parts = self.known(key)?;
        columns.reserve(parts.iter().map(part_len).sum());
        for part in parts {
            read_part(part, 0..part_len(part), columns)?;
        }
        Ok(())
    }

    /// The points of a series within a range of steps, ordered as in [`Self::history`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Io`].
    pub fn range(&self, key: &str, steps: RangeInclusive<i64>) -> Result<Columns> {
        let mut columns = Columns::default();
        for part in self.known(key)? {
            downsample::read_range(part, &steps, &mut columns)?;
        }
        let mut within: Columns = columns.iter().filter(|point| steps.contains(&point.step)).collect();
        within.sort();
        Ok(within)
    }

    /// At most `buckets` buckets of equal width over a range of steps (all for `None`), each with its first, last,
    /// least and greatest point, so that a plot shows every spike. If the range has no more points than buckets, the
    /// points themselves. The cost does not grow with the series: no point is read where a page of 1,024 points is
    /// narrower than a bucket. An edge between buckets may then be off by half a bucket, to lie between two pages.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Io`]; [`Error::Invalid`] for 0 buckets.
    pub fn downsample(&self, key: &str, steps: Option<RangeInclusive<i64>>, buckets: usize) -> Result<Downsampled> {
        downsample::downsample(self.to_draw(key, buckets)?, steps, buckets)
    }

    /// The parts of a series, to be drawn in this many buckets.
    pub(super) fn to_draw(&self, key: &str, buckets: usize) -> Result<&[SeriesPart]> {
        if buckets == 0 {
            return Err(Error::invalid("buckets", "at least 1 is needed"));
        }
        self.known(key)
    }

    /// The run as lists and search see it.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn summary(&self) -> Result<RunSummary> {
        let mut metrics = BTreeMap::new();
        for key in self.series.keys() {
            metrics.insert(key.clone(), self.stats(key)?);
        }
        Ok(summary_of(&self.state, metrics))
    }

    /// The number of points of all series.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.series.values().flat_map(|series| &series.parts).map(part_len).sum::<usize>() as u64
    }
}

/// Merges parts of one run: its metadata, and the copies of points that count, by writer and in order. `None` if there
/// are no parts.
fn merge_parts<S>(parts: Vec<RunPart<S>>) -> Option<(RunState, Vec<OfWriter<S>>)> {
    let mut parts = parts.into_iter();
    let RunPart { mut state, series: mut sources } = parts.next()?;
    state.coverage.clear();
    for part in parts {
        state.merge(&part.state);
        sources.extend(part.series);
    }
    sources.sort_by_key(|(coverage, _)| *coverage);
    let coverages: Vec<Coverage> = sources.iter().map(|(coverage, _)| *coverage).collect();
    let mut sources: Vec<Option<OfWriter<S>>> = sources.into_iter().map(Some).collect();
    let (mut serving, mut start) = (Vec::with_capacity(sources.len()), 0);
    for of_writer in coverages.chunk_by(|a, b| a.writer == b.writer) {
        for index in choose_copies(of_writer) {
            let coverage = of_writer[index];
            match state.coverage.last_mut() {
                Some(last) if last.writer == coverage.writer && last.through == coverage.from => {
                    last.through = coverage.through;
                    last.lost += coverage.lost;
                }
                _ => state.coverage.push(coverage),
            }
            serving.extend(sources[start + index].take());
        }
        start += of_writer.len();
    }
    Some((state, serving))
}

/// A run's row in lists, from its parts. `None` if there are no parts.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::Io`].
pub fn summarise(parts: Vec<RunPart<StatsPart>>) -> Result<Option<RunSummary>> {
    let Some((state, sources)) = merge_parts(parts) else { return Ok(None) };
    let mut metrics: BTreeMap<String, SeriesStats> = BTreeMap::new();
    for (key, part) in sources.into_iter().flat_map(|(_, parts)| parts) {
        let of_part = match part {
            StatsPart::Known(stats) => Some(stats),
            StatsPart::Of(part) => part_stats(&part)?,
        };
        match (metrics.get_mut(&key), of_part) {
            (Some(stats), Some(of_part)) => stats.merge(&of_part),
            (None, Some(of_part)) => _ = metrics.insert(key, of_part),
            (_, None) => {}
        }
    }
    Ok(Some(summary_of(&state, metrics)))
}

/// The statistics of a part; `None` if it has no points.
pub(super) fn part_stats(part: &SeriesPart) -> Result<Option<SeriesStats>> {
    match part {
        SeriesPart::Sealed(group, index) => group.stats(*index).map(Some),
        SeriesPart::Rows(columns) => Ok(stats_of(columns)),
    }
}

/// Adds the statistics of later points.
pub(super) fn add_stats(known: &mut Option<SeriesStats>, later: &SeriesStats) {
    match known {
        Some(stats) => stats.merge(later),
        None => *known = Some(*later),
    }
}

/// Chooses which copies of one writer's points to use: the chain of adjacent copies that reaches furthest, of equal
/// chains the one with fewest lost points. `copies` are sorted by their first point.
///
/// Two workspaces may have imported a growing source at different times, so that their copies overlap partly. The chain
/// that reaches furthest has all points.
fn choose_copies(copies: &[Coverage]) -> Vec<usize> {
    // For each copy, last to first: the end of the best chain from it, the points that chain lost, and the next copy.
    let mut best: Vec<(u64, u64, Option<usize>)> = vec![(0, 0, None); copies.len()];
    for index in (0..copies.len()).rev() {
        let own = copies[index];
        let following =
            (index + 1..copies.len()).filter(|&next| own.through > own.from && copies[next].from == own.through);
        best[index] = match following.max_by_key(|&next| (best[next].0, std::cmp::Reverse(best[next].1))) {
            Some(next) => (best[next].0, best[next].1 + own.lost, Some(next)),
            None => (own.through, own.lost, None),
        };
    }
    let mut chosen = Vec::new();
    let mut reached = None;
    let mut start = 0;
    while start < copies.len() {
        let from = copies[start].from;
        let end = start + copies[start..].iter().take_while(|copy| copy.from == from).count();
        if reached.is_none_or(|reached| from >= reached) {
            let mut next = (start..end).max_by_key(|&index| (best[index].0, std::cmp::Reverse(best[index].1)));
            while let Some(index) = next {
                // A copy without points is useless beside others.
                if copies[index].through > from || reached.is_none() {
                    chosen.push(index);
                }
                reached = Some(copies[index].through);
                next = best[index].2;
            }
        }
        start = end;
    }
    chosen
}

/// A run's metadata with the statistics of its series.
#[must_use]
pub fn summary_of(state: &RunState, metrics: BTreeMap<String, SeriesStats>) -> RunSummary {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    RunSummary {
        run_id: state.id.clone(),
        experiment_id: state.experiment,
        name: state.name().to_owned(),
        user: state.user().to_owned(),
        status: state.status(),
        start_time_ms: state.start_time_ms(),
        end_time_ms: state.end_time_ms(),
        kind: state.kind(),
        deleted: state.deleted(),
        deleted_generation: state.deleted_generation(),
        params: state.params().map(owned).collect(),
        tags: state.tags().map(owned).collect(),
        items: state
            .items
            .iter()
            .filter_map(|((kind, key), item)| Some((index_key(*kind, key), item.value.clone()?)))
            .collect(),
        metrics,
    }
}

/// The number of points of a part.
#[must_use]
pub fn part_len(part: &SeriesPart) -> usize {
    match part {
        SeriesPart::Sealed(group, index) => group.axis_of(*index).count,
        SeriesPart::Rows(columns) => columns.len(),
    }
}

/// Appends points of a part, counted in order of arrival.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::Io`].
pub fn read_part(part: &SeriesPart, range: std::ops::Range<usize>, out: &mut Columns) -> Result<()> {
    match part {
        SeriesPart::Sealed(group, index) => group.read(*index, range, out),
        SeriesPart::Rows(columns) => {
            range.filter_map(|index| columns.get(index)).for_each(|point: Point| out.push(point));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(copies: &[(u64, u64, u64)]) -> Vec<(u64, u64, u64)> {
        let writer = WriterId(1);
        let mut copies: Vec<Coverage> =
            copies.iter().map(|&(from, through, lost)| Coverage { order: 1, writer, from, through, lost }).collect();
        copies.sort();
        choose_copies(&copies)
            .into_iter()
            .map(|index| copies[index])
            .map(|own| (own.from, own.through, own.lost))
            .collect()
    }

    #[test]
    fn of_overlapping_copies_the_chain_that_reaches_furthest_serves() {
        assert_eq!(chosen(&[(0, 20, 0), (0, 10, 0), (10, 30, 0)]), [(0, 10, 0), (10, 30, 0)]);
        assert_eq!(chosen(&[(0, 20, 0), (0, 20, 0)]), [(0, 20, 0)]);
        assert_eq!(chosen(&[(0, 20, 0), (0, 15, 0)]), [(0, 20, 0)]);
        assert_eq!(chosen(&[(0, 20, 5), (0, 20, 0), (20, 25, 0)]), [(0, 20, 0), (20, 25, 0)]);
        assert_eq!(chosen(&[(0, 10, 0), (15, 20, 0)]), [(0, 10, 0), (15, 20, 0)]);
        assert_eq!(chosen(&[(0, 0, 0), (0, 0, 0)]), [(0, 0, 0)]);
        assert_eq!(chosen(&[(0, 10, 0), (10, 10, 0), (10, 12, 0)]), [(0, 10, 0), (10, 12, 0)]);
        assert!(chosen(&[]).is_empty());
    }
}
