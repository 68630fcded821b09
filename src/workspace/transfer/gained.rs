//! Compares a source with what was imported from it: what is new, or why it is a different source.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::ids::WriterId;
use crate::base::point::{Columns, Point};
use crate::error::Result;
use crate::run::log_view::SeriesPart;
use crate::run::snapshot::{RunSnapshot, SeriesParts, part_len, read_part};
use crate::workspace::read::copies::{Pool, columns_of, imports, key_of};
use crate::workspace::transfer::import::RunImport;

/// What a source has that was not imported yet.
pub(crate) struct Gained {
    /// For each imported series, which of its points are new.
    pub(crate) new: FxHashMap<String, New>,
    /// Imported points that the source no longer has.
    pub(crate) absent_in_source: u64,
}

/// Which points of a series are new.
pub(crate) enum New {
    /// All after the first this many.
    From(usize),
    /// Those at these positions.
    At(Vec<usize>),
}

impl New {
    /// The new points.
    pub(crate) fn of(&self, columns: Columns) -> Columns {
        match self {
            Self::From(0) => columns,
            Self::From(from) => (*from..columns.len()).filter_map(|place| columns.get(place)).collect(),
            Self::At(places) => places.iter().filter_map(|place| columns.get(*place)).collect(),
        }
    }
}

impl Gained {
    /// Everything, except permanently deleted series.
    pub(crate) fn all(run: &RunImport, deleted: impl Fn(&str) -> bool) -> Self {
        let kept = run.series.iter().filter(|(key, _)| !deleted(key));
        Self { new: kept.map(|(key, _)| (key.clone(), New::From(0))).collect(), absent_in_source: 0 }
    }

    /// What follows the points imported under `writer`, or a message why the source is different.
    pub(crate) fn of(
        known: &RunSnapshot,
        writer: WriterId,
        run: &RunImport,
        deleted: impl Fn(&str) -> bool,
    ) -> Result<std::result::Result<Self, String>> {
        let mut gained = Self { new: FxHashMap::default(), absent_in_source: 0 };
        // A run with its own id may be an export of what its writers logged here.
        let others = if run.own_id { others(known) } else { FxHashSet::default() };
        let (mut met, mut grew) = (0, false);
        for (key, columns) in run.series.iter().filter(|(key, _)| !deleted(key)) {
            let series = known.series().get(key);
            if let Some(series) = series.filter(|series| series.writers.iter().any(|of| others.contains(of))) {
                match among_others(series, writer, &others, columns)? {
                    Ok(new) => gained.new.insert(key.clone(), New::At(new)),
                    Err(place) => return Ok(Err(other_point(place, key))),
                };
                continue;
            }
            let mut at = 0;
            for part in series.into_iter().flat_map(|series| own_parts(series, writer)) {
                let mut stored = Columns::default();
                read_part(part, 0..part_len(part), &mut stored)?;
                let both = stored.len().min(columns.len().saturating_sub(at));
                if let Some(place) = (0..both).find(|&place| !is_same(stored.get(place), columns.get(at + place))) {
                    return Ok(Err(other_point(at + place, key)));
                }
                gained.absent_in_source += (stored.len() - both) as u64;
                at += stored.len();
            }
            met += usize::from(at > 0);
            grew |= at < columns.len();
            gained.new.insert(key.clone(), New::From(at.min(columns.len())));
        }
        let mut imported = 0;
        for (key, series) in known.series() {
            let points: usize = own_parts(series, writer).map(part_len).sum();
            imported += usize::from(points > 0);
            if !run.own_id && !gained.new.contains_key(key) {
                gained.absent_in_source += points as u64;
            }
        }
        if !run.own_id && met < imported && (grew || met == 0) {
            return Ok(Err(format!("{} of its {imported} metrics are not in the source", imported - met)));
        }
        if gained.absent_in_source > 0 && grew {
            let why = format!(
                "the source has points that are new, and {} that were imported are gone",
                gained.absent_in_source
            );
            return Ok(Err(why));
        }
        Ok(Ok(gained))
    }
}

/// Whether a point equals its imported copy, as far as all source formats can tell.
fn is_same(stored: Option<Point>, given: Option<Point>) -> bool {
    stored.as_ref().map(key_of) == given.as_ref().map(key_of)
}

fn other_point(place: usize, key: &str) -> String {
    format!("point {} of metric {key:?} is not the one that was imported", place + 1)
}

/// The writers of a run that are not imports.
fn others(known: &RunSnapshot) -> FxHashSet<WriterId> {
    let imports = imports([known.state()]);
    known.state().coverage.iter().map(|own| own.writer).filter(|writer| !imports.contains(writer)).collect()
}

/// The positions of points that neither an earlier import by `writer` nor other writers have; or the position at which
/// the source differs from the earlier import.
fn among_others(
    series: &SeriesParts,
    writer: WriterId,
    others: &FxHashSet<WriterId>,
    columns: &Columns,
) -> Result<std::result::Result<Vec<usize>, usize>> {
    let stored = columns_of(series, |of| of == writer)?;
    let mut pool = Pool::of(series, |of| others.contains(&of))?;
    let (mut own, mut new) = (0, Vec::new());
    for (place, point) in columns.iter().enumerate() {
        if own < stored.len() && is_same(stored.get(own), Some(point)) {
            own += 1;
        } else if !pool.take(&point) {
            new.push(place);
        }
    }
    let is_behind = own < stored.len();
    Ok(match new.first() {
        Some(place) if is_behind => Err(*place),
        _ => Ok(new),
    })
}

/// The parts of a series that a writer wrote, in order of arrival.
fn own_parts(series: &SeriesParts, writer: WriterId) -> impl Iterator<Item = &SeriesPart> {
    series.parts.iter().zip(&series.writers).filter(move |&(_, of)| *of == writer).map(|(part, _)| part)
}
