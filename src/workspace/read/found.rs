//! The result of a search: one page of runs.

use std::sync::Arc;

use crate::base::ids::RunId;
use crate::base::stats::StatPoint;
use crate::base::summary::RunSummary;
use crate::error::Result;
use crate::index::part::IndexPart;
use crate::index::rows::Row;
use crate::search::execute::{Deletions, MaskedPart, Query, execute};
use crate::search::filter::Context;
use crate::search::order::OrderKey;
use crate::search::table::{self, Cell, Profiles};
use crate::workspace::read::keys::KeyKind;
use crate::workspace::read::search::{Parts, counts_as_deleted};
use crate::workspace::state::shared::Shared;

/// One page of runs, in order, as positions in indexes, which it keeps alive. Reads return what existed when the search
/// ran.
#[derive(Debug)]
pub struct SearchResult {
    workspace: Shared,
    query: Query,
    hits: Hits,
    /// The number of matching runs on all pages.
    pub total: usize,
    /// The [`Query::offset`] of the next page, if there is one.
    pub next_offset: Option<usize>,
    /// Messages about what could not be read and was left out; `verify` reports the cost.
    pub unreadable: Vec<String>,
}

/// Index rows in the order of the page.
#[derive(Debug)]
struct Hits {
    rows: Vec<(Arc<IndexPart>, u32)>,
    deletions: Deletions,
}

impl Shared {
    /// See [`Workspace::search`](crate::Workspace::search).
    pub(crate) fn search(&self, query: &Query) -> Result<SearchResult> {
        let (unreadable, (hits, total)) = self.run_query(|parts| {
            let found = self.hits(parts, query)?;
            // Find damage to the rows' columns here, where the index can still be rebuilt: the first time, and again
            // after reading rows failed.
            if !found.0.rows.iter().all(|(part, _)| part.rows_made()) {
                found.0.rows()?;
                found.0.rows.iter().for_each(|(part, _)| part.note_rows(true));
            }
            Ok(found)
        })?;
        let end = query.offset.saturating_add(hits.rows.len());
        let next_offset = (end < total && !hits.rows.is_empty()).then_some(end);
        Ok(SearchResult { workspace: self.clone(), query: query.clone(), hits, total, next_offset, unreadable })
    }

    /// See [`Workspace::profiles`](crate::Workspace::profiles).
    pub(crate) fn profiles(&self, query: &Query, columns: &[OrderKey]) -> Result<(Profiles, Vec<String>)> {
        let deletions = self.deletions()?;
        let (unreadable, profiles) = self.run_query(|parts| {
            let masked: Vec<MaskedPart<'_>> =
                parts.parts.iter().map(|(part, mask)| MaskedPart { part, excluded: Some(mask) }).collect();
            table::profile(&masked, query, &deletions, columns)
        })?;
        Ok((profiles, unreadable))
    }

    fn hits(&self, parts: &Parts, query: &Query) -> Result<(Hits, usize)> {
        let deletions = self.deletions()?;
        let masked: Vec<MaskedPart<'_>> =
            parts.parts.iter().map(|(part, mask)| MaskedPart { part, excluded: Some(mask) }).collect();
        let page = execute(&masked, query, &deletions)?;
        let rows = page.hits.iter().map(|&(part, at)| (Arc::clone(&parts.parts[part].0), at)).collect();
        Ok((Hits { rows, deletions }, page.total))
    }
}

impl SearchResult {
    /// The number of runs on the page.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hits.rows.len()
    }

    /// Whether the page is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hits.rows.is_empty()
    }

    /// The ids of the runs, in order.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::error::Error::Corrupt), [`Error::Io`](crate::error::Error::Io).
    pub fn run_ids(&self) -> Result<Vec<RunId>> {
        self.read(Hits::run_ids)
    }

    /// The runs with all statistics of each metric. Copies all metadata.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::error::Error::Corrupt), [`Error::Io`](crate::error::Error::Io).
    pub fn summaries(&self) -> Result<Vec<RunSummary>> {
        self.read(|hits| {
            let summary = |(part, ordinal): &(Arc<IndexPart>, u32)| {
                let mut run = part.summary(*ordinal)?;
                let (experiment, generation) = (run.experiment_id, run.deleted_generation);
                run.deleted = counts_as_deleted(&hits.deletions, experiment, generation, run.deleted);
                Ok(run)
            };
            hits.rows.iter().map(summary).collect()
        })
    }

    /// The runs with the latest point of each metric. Copies no metadata.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::error::Error::Corrupt), [`Error::Io`](crate::error::Error::Io).
    pub fn rows(&self) -> Result<Vec<Row<'_>>> {
        self.hits.rows()
    }

    /// The latest point of chosen metrics: for each key, in the given order, one per run; `None` if the run has none.
    /// Copies nothing else, so it is the fastest: some nanoseconds per run and key once columns are decoded.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::error::Error::Corrupt), [`Error::Io`](crate::error::Error::Io).
    pub fn latest(&self, keys: &[&str]) -> Result<Vec<Vec<Option<StatPoint>>>> {
        self.read(|hits| {
            let mut columns = vec![vec![None; hits.rows.len()]; keys.len()];
            for (part, ordinals, places) in hits.by_part() {
                for (key, column) in keys.iter().zip(&mut columns) {
                    let points = part.latest_of(key, &ordinals)?;
                    places.iter().zip(points).for_each(|(&place, point)| column[place] = point);
                }
            }
            Ok(columns)
        })
    }

    /// The cells of columns: for each column, in the given order, one per run.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::error::Error::Corrupt), [`Error::Io`](crate::error::Error::Io).
    pub fn cells(&self, columns: &[OrderKey]) -> Result<Vec<Vec<Cell>>> {
        let mut literals = rustc_hash::FxHashSet::default();
        for column in columns {
            if let OrderKey::Metric(name) = column
                && let Some(literal) = &name.literal
                && self.workspace.has_key(KeyKind::Metric, literal)?
            {
                literals.insert(literal.clone());
            }
        }
        let context = Context { literals, conventions: &self.query.conventions };
        self.read(|hits| {
            let mut all = vec![vec![Cell::Missing; hits.rows.len()]; columns.len()];
            for (part, ordinals, places) in hits.by_part() {
                for (to, of_part) in all.iter_mut().zip(table::cells(part, &ordinals, columns, &context)?) {
                    places.iter().zip(of_part).for_each(|(&place, cell)| to[place] = cell);
                }
            }
            Ok(all)
        })
    }

    /// Reads from the rows found. If an index turns out to be damaged, searches again, which rebuilds it. If that finds
    /// other runs, or leaves out more, returns the damage as an error.
    fn read<T>(&self, read: impl Fn(&Hits) -> Result<T>) -> Result<T> {
        match read(&self.hits) {
            Err(error) if error.is_of_one_file() => {
                let (unreadable, (ids, answer)) = self.workspace.run_query(|parts| {
                    let (hits, _) = self.workspace.hits(parts, &self.query)?;
                    Ok((hits.run_ids()?, read(&hits)?))
                })?;
                let reported = unreadable.iter().all(|what| self.unreadable.contains(what));
                if reported && self.hits.run_ids().is_ok_and(|known| known == ids) { Ok(answer) } else { Err(error) }
            }
            answer => answer,
        }
    }
}

impl Hits {
    fn run_ids(&self) -> Result<Vec<RunId>> {
        self.rows.iter().map(|(part, ordinal)| part.run_id(*ordinal)).collect()
    }

    /// For each part, its rows and their positions on the page.
    fn by_part(&self) -> Vec<(&IndexPart, Vec<u32>, Vec<usize>)> {
        let mut parts: Vec<(&IndexPart, Vec<u32>, Vec<usize>)> = Vec::new();
        for (place, (part, ordinal)) in self.rows.iter().enumerate() {
            let known = parts.iter().position(|known| std::ptr::eq(known.0, &**part));
            let at = known.unwrap_or(parts.len());
            if known.is_none() {
                parts.push((part, Vec::new(), Vec::new()));
            }
            parts[at].1.push(*ordinal);
            parts[at].2.push(place);
        }
        parts
    }

    fn rows(&self) -> Result<Vec<Row<'_>>> {
        let mut rows = Vec::with_capacity(self.rows.len());
        for (part, ordinals, places) in self.by_part() {
            let made = part.rows(&ordinals).inspect_err(|_| part.note_rows(false))?;
            rows.extend(places.into_iter().zip(made));
        }
        rows.sort_unstable_by_key(|(place, _)| *place);
        for (_, row) in &mut rows {
            row.deleted = counts_as_deleted(&self.deletions, row.experiment_id, row.deleted_generation, row.deleted);
        }
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }
}
