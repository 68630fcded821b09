//! Duplicates: points present both from their own writers and from an import of an export of the same run.
//!
//! An import has its own writer, so merging by writer would count its points twice. Imports and pulls therefore compare
//! points one by one and skip those that exist. A point that was logged twice counts twice on both sides.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::ids::WriterId;
use crate::base::items::IMPORTED_PART;
use crate::base::point::{Columns, Point};
use crate::base::stats::{SeriesStats, StatPoint};
use crate::error::Result;
use crate::run::log_view::SeriesPart;
use crate::run::snapshot::{RunPart, RunSnapshot, SeriesParts, part_len, read_part};
use crate::run::state::{Coverage, RunState};

/// Most replacements of a run's import that are considered.
const REPLACEMENTS_MAX: u64 = 16;

/// The writers that stand for imports of a run, derived from its id and parts.
pub(crate) fn imports<'s>(states: impl IntoIterator<Item = &'s RunState>) -> FxHashSet<WriterId> {
    let of_state = |state: &'s RunState| {
        parts_of(state)
            .flat_map(move |part| (0..REPLACEMENTS_MAX).map(move |at| WriterId::derived_at(&state.id, part, at)))
    };
    states.into_iter().flat_map(of_state).collect()
}

/// The parts in which a run may have been imported; the empty one is the whole run.
fn parts_of(state: &RunState) -> impl Iterator<Item = &str> {
    std::iter::once("").chain(state.items(IMPORTED_PART).map(|(part, _)| part))
}

/// The writers that a permanent deletion must name: those of the run, up to their last point, and those under which an
/// exported copy would be imported, for all points, so that no copy restores what is gone. The next import writer is
/// then used for a wanted re-import.
pub(crate) fn with_copies(run: &RunSnapshot) -> Vec<(WriterId, u64)> {
    let state = run.state();
    let reaches = state.reaches();
    let mut writers = reaches.clone();
    for part in parts_of(state) {
        let of_part = |at: u64| WriterId::derived_at(&state.id, part, at);
        let last = (0..REPLACEMENTS_MAX).rev().find(|at| reaches.contains_key(&of_part(*at))).unwrap_or_default();
        writers.extend((0..=last).map(|at| (of_part(at), u64::MAX)));
    }
    writers.into_iter().collect()
}

/// Points of a series with their counts.
#[derive(Debug, Default)]
pub(crate) struct Pool(FxHashMap<PointKey, u32>);

/// A point's identity for comparing copies.
pub(crate) type PointKey = (i64, Option<i64>, u64);

impl Pool {
    /// The points of some writers.
    pub(crate) fn of(series: &SeriesParts, of: impl Fn(WriterId) -> bool) -> Result<Self> {
        let mut pool = Self::default();
        for point in columns_of(series, of)?.iter() {
            *pool.0.entry(key_of(&point)).or_default() += 1;
        }
        Ok(pool)
    }

    /// Removes a point. Returns whether it was there.
    pub(crate) fn take(&mut self, point: &Point) -> bool {
        let left = self.0.get_mut(&key_of(point)).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    }
}

/// A point's identity for comparing copies. All NaNs are equal, since text formats do not distinguish them.
pub(crate) fn key_of(point: &Point) -> PointKey {
    (point.step, point.timestamp_ms, bits_of(point.value))
}

fn bits_of(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

/// The points of some writers in a series, in order of arrival.
pub(crate) fn columns_of(series: &SeriesParts, of: impl Fn(WriterId) -> bool) -> Result<Columns> {
    let mut columns = Columns::default();
    for (part, _) in series.parts.iter().zip(&series.writers).filter(|(_, writer)| of(**writer)) {
        read_part(part, 0..part_len(part), &mut columns)?;
    }
    Ok(columns)
}

/// Whether two copies with equal coverage have different points, as far as statistics tell. Only imports can make such
/// copies: their writer ids derive from the run's id, all others are random.
pub(crate) fn differs(known: &RunSnapshot, run: &RunSnapshot) -> Result<bool> {
    let imports = imports([known.state(), run.state()]);
    let is_import = |own: &Coverage| own.through > own.from && imports.contains(&own.writer);
    let reach = |state: &RunState| -> BTreeSet<(WriterId, u64, u64)> {
        state.coverage.iter().map(|own| (own.writer, own.from, own.through)).collect()
    };
    if !run.state().coverage.iter().any(is_import) || reach(known.state()) != reach(run.state()) {
        return Ok(false);
    }
    for key in run.series().keys() {
        if !known.series().contains_key(key) {
            return Ok(true);
        }
        let [own, theirs] = [known.stats(key)?, run.stats(key)?];
        let summary = |stats: &SeriesStats| {
            let point = |at: &StatPoint| (at.step, at.timestamp_ms, bits_of(at.value));
            (stats.count, stats.nan_count, point(&stats.first), point(&stats.latest))
        };
        let extremes = |stats: &SeriesStats| (stats.min, stats.max);
        if summary(&own) != summary(&theirs) || extremes(&own) != extremes(&theirs) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Which of a writer's points another copy of the run has under other writers.
enum Shared {
    Nothing,
    /// All of them.
    All,
    /// Some: the count, and the positions of the others in each shared series.
    Some(u64, FxHashMap<String, Vec<usize>>),
}

/// Removes from a copy of a run what `known` has under other writers. Also returns how many points may count twice
/// because they cannot be told apart from new ones.
pub(crate) fn without_copies(known: &RunSnapshot, mut run: RunSnapshot) -> Result<(RunSnapshot, u64)> {
    let imports = imports([known.state(), run.state()]);
    let has = |state: &RunState, import: bool| {
        state.coverage.iter().any(|own| own.through > own.from && imports.contains(&own.writer) == import)
    };
    let mut twice = 0;
    // Only if imports are on one side and other writers on the other can points exist twice.
    if !(has(known.state(), true) && has(run.state(), false) || has(known.state(), false) && has(run.state(), true)) {
        return Ok((run, 0));
    }
    let is_known = |theirs: &Coverage| {
        let mut own = known.state().coverage.iter().filter(|own| own.writer == theirs.writer);
        own.any(|own| own.from <= theirs.from && own.through >= theirs.through && own.lost <= theirs.lost)
    };
    let news: Vec<Coverage> =
        run.state().coverage.iter().filter(|own| own.through > own.from && !is_known(own)).copied().collect();
    for theirs in news {
        match shared(known, &run, theirs, &imports)? {
            Shared::Nothing => {}
            Shared::All => run = run.without(|own| own == theirs.writer, |_, own| own == theirs.writer),
            Shared::Some(count, others) => match trimmed(known, &run, theirs, count, &others)? {
                Some(trimmed) => run = trimmed,
                None => twice += count,
            },
        }
    }
    Ok((run, twice))
}

fn shared(known: &RunSnapshot, run: &RunSnapshot, theirs: Coverage, imports: &FxHashSet<WriterId>) -> Result<Shared> {
    let is_import = imports.contains(&theirs.writer);
    let is_other = |own: WriterId| own == theirs.writer || imports.contains(&own) != is_import;
    let (mut count, mut total) = (0, 0);
    let mut others = FxHashMap::default();
    for (key, series) in run.series() {
        let points = columns_of(series, |own| own == theirs.writer)?;
        total += points.len() as u64;
        let Some(own) = known.series().get(key) else { continue };
        let mut pool = Pool::of(own, is_other)?;
        let new = points.iter().enumerate().filter(|(_, point)| !pool.take(point));
        let new: Vec<usize> = new.map(|(place, _)| place).collect();
        count += (points.len() - new.len()) as u64;
        others.insert(key.clone(), new);
    }
    Ok(match count {
        0 => Shared::Nothing,
        count if count == total => Shared::All,
        count => Shared::Some(count, others),
    })
}

/// Keeps only those of a writer's points that `others` names by series and position, numbered from `count` on. `None`
/// if the writer's points are in several pieces, or other points have these numbers.
fn trimmed(
    known: &RunSnapshot,
    run: &RunSnapshot,
    theirs: Coverage,
    count: u64,
    others: &FxHashMap<String, Vec<usize>>,
) -> Result<Option<RunSnapshot>> {
    let mut state = run.state().clone();
    let once = |writer: WriterId| state.coverage.iter().filter(|own| own.writer == writer).count() == 1;
    let from = theirs.from + count;
    let mut of_same = known.state().coverage.iter().filter(|own| own.writer == theirs.writer);
    if theirs.lost > 0 || of_same.any(|own| own.through > from) || !state.coverage.iter().all(|own| once(own.writer)) {
        return Ok(None);
    }
    let mut of_writers = Vec::with_capacity(state.coverage.len());
    for own in &mut state.coverage {
        let mut series: Vec<(String, SeriesPart)> = Vec::new();
        for (key, parts) in run.series() {
            if own.writer != theirs.writer {
                let of_own = parts.parts.iter().zip(&parts.writers).filter(|(_, writer)| **writer == own.writer);
                series.extend(of_own.map(|(part, _)| (key.clone(), part.clone())));
                continue;
            }
            let all = columns_of(parts, |writer| writer == theirs.writer)?;
            let rest: Columns = match others.get(key) {
                Some(places) => places.iter().filter_map(|place| all.get(*place)).collect(),
                None => all,
            };
            if !rest.is_empty() {
                series.push((key.clone(), SeriesPart::Rows(std::sync::Arc::new(rest))));
            }
        }
        if own.writer == theirs.writer {
            own.from = from;
        }
        of_writers.push((*own, series));
    }
    Ok(RunSnapshot::merge(vec![RunPart { state, series: of_writers }]))
}
