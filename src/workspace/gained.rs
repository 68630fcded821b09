//! What a source has beyond what was imported from it, or why it is another source.

use rustc_hash::FxHashMap;

use crate::base::ids::WriterId;
use crate::base::point::Columns;
use crate::error::Result;
use crate::run::image::SeriesPart;
use crate::run::snapshot::{RunSnapshot, SeriesParts, part_len, read_part};
use crate::workspace::import::RunImport;

/// What a source has that was not imported yet.
pub(super) struct Gained {
    /// For each series that is taken, how many of its points were imported before.
    pub(super) from: FxHashMap<String, usize>,
    /// Points that were imported and that the source has no longer.
    pub(super) behind: u64,
}

impl Gained {
    /// Everything, but for series that were deleted for good.
    pub(super) fn all(run: &RunImport, deleted: impl Fn(&str) -> bool) -> Self {
        let kept = run.series.iter().filter(|(key, _)| !deleted(key));
        Self { from: kept.map(|(key, _)| (key.clone(), 0)).collect(), behind: 0 }
    }

    /// What comes behind the points that were imported under `writer`; or, in words, why the source is another one.
    pub(super) fn of(
        known: &RunSnapshot,
        writer: WriterId,
        run: &RunImport,
        deleted: impl Fn(&str) -> bool,
    ) -> Result<std::result::Result<Self, String>> {
        let mut gained = Self { from: FxHashMap::default(), behind: 0 };
        let (mut met, mut grew) = (0, false);
        for (key, columns) in run.series.iter().filter(|(key, _)| !deleted(key)) {
            let mut at = 0;
            for part in known.series().get(key).into_iter().flat_map(|series| own_parts(series, writer)) {
                let mut stored = Columns::default();
                read_part(part, 0..part_len(part), &mut stored)?;
                let both = stored.len().min(columns.len().saturating_sub(at));
                if let Some(place) = (0..both).find(|&place| stored.get(place) != columns.get(at + place)) {
                    let place = at + place + 1;
                    return Ok(Err(format!("point {place} of metric {key:?} is not the one that was imported")));
                }
                gained.behind += (stored.len() - both) as u64;
                at += stored.len();
            }
            met += usize::from(at > 0);
            grew |= at < columns.len();
            gained.from.insert(key.clone(), at.min(columns.len()));
        }
        let mut imported = 0;
        for (key, series) in known.series() {
            let points: usize = own_parts(series, writer).map(part_len).sum();
            imported += usize::from(points > 0);
            if !run.own_id && !gained.from.contains_key(key) {
                gained.behind += points as u64;
            }
        }
        if !run.own_id && met < imported && (grew || met == 0) {
            return Ok(Err(format!("{} of its {imported} metrics are not in the source", imported - met)));
        }
        if gained.behind > 0 && grew {
            let why = format!("the source has points that are new, and {} that were imported are gone", gained.behind);
            return Ok(Err(why));
        }
        Ok(Ok(gained))
    }
}

/// The parts of a series that a writer wrote, in order of arrival.
fn own_parts(series: &SeriesParts, writer: WriterId) -> impl Iterator<Item = &SeriesPart> {
    series.parts.iter().zip(&series.writers).filter(move |&(_, of)| *of == writer).map(|(part, _)| part)
}
