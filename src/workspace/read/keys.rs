//! The keys of metrics, params and tags that runs have.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::items::RUN;
use crate::error::Result;
use crate::index::bitmap::Bitmap;
use crate::index::layout::{Family, run};
use crate::index::part::{Cells, IndexPart, Place};
use crate::search::execute::{MaskedPart, Query, literals, matching};
use crate::search::filter::Context;
use crate::workspace::state::shared::Shared;

/// What a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// A metric.
    Metric,
    /// A param.
    Param,
    /// A tag.
    Tag,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Metric, Self::Param, Self::Tag];

    /// The prefix of such keys in filters.
    #[must_use]
    pub fn entity(self) -> &'static str {
        match self {
            Self::Metric => "metrics",
            Self::Param => "params",
            Self::Tag => "tags",
        }
    }

    fn family(self) -> Family {
        match self {
            Self::Metric => Family::Metrics,
            Self::Param => Family::Params,
            Self::Tag => Family::Tags,
        }
    }
}

impl Shared {
    /// See [`Workspace::has_key`](crate::Workspace::has_key).
    pub(crate) fn has_key(&self, kind: KeyKind, key: &str) -> Result<bool> {
        let family = kind.family();
        let (_, found) = self.run_query(|view| {
            for (part, excluded) in &view.parts {
                if let Some(cells) = part.cells(family, key)?
                    && has_run(part, &cells, &other_than_runs(part, excluded)?)?
                {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        Ok(found)
    }

    /// See [`Workspace::keys`](crate::Workspace::keys).
    pub(crate) fn keys(&self, kind: KeyKind) -> Result<BTreeSet<String>> {
        let family = kind.family();
        let (_, found) = self.run_query(|view| {
            let mut found = BTreeSet::new();
            for (part, excluded) in &view.parts {
                let others = other_than_runs(part, excluded)?;
                add_keys(part, family, &others, &mut found)?;
            }
            Ok(found)
        })?;
        Ok(found)
    }

    /// See [`Workspace::keys_of`](crate::Workspace::keys_of).
    pub(crate) fn keys_of(&self, query: &Query) -> Result<BTreeMap<KeyKind, BTreeSet<String>>> {
        let deletions = self.deletions()?;
        let (_, found) = self.run_query(|view| {
            let masked: Vec<MaskedPart<'_>> =
                view.parts.iter().map(|(part, mask)| MaskedPart { part, excluded: Some(mask) }).collect();
            let context = Context { literals: literals(&masked, query.names())?, conventions: &query.conventions };
            let hits = matching(&masked, query, &deletions, &context)?;
            let mut found = BTreeMap::from(KeyKind::ALL.map(|kind| (kind, BTreeSet::new())));
            for ((part, _), mut others) in view.parts.iter().zip(hits).filter(|(_, hits)| hits.count() > 0) {
                others.invert();
                for (kind, found) in &mut found {
                    add_keys(part, kind.family(), &others, found)?;
                }
            }
            Ok(found)
        })?;
        Ok(found)
    }
}

/// Adds the keys of a part that any run has, other than those given.
fn add_keys(part: &IndexPart, family: Family, others: &Bitmap, found: &mut BTreeSet<String>) -> Result<()> {
    let keys = part.keys(family)?;
    for (at, name) in keys.names.iter().enumerate() {
        if !found.contains(name) && has_run(part, &part.cells_at(family, keys, at)?, others)? {
            found.insert(name.to_owned());
        }
    }
    Ok(())
}

/// The rows of a part that are excluded or not plain runs.
fn other_than_runs(part: &IndexPart, excluded: &Bitmap) -> Result<Bitmap> {
    let mut others = part.run_ints(run::KIND)?.within(i64::from(RUN), i64::from(RUN));
    others.invert();
    others.or(excluded);
    Ok(others)
}

/// Whether a run other than `others` has a cell.
fn has_run(part: &IndexPart, cells: &Cells, others: &Bitmap) -> Result<bool> {
    let mut all = cells.start..cells.end;
    Ok(match part.place(cells)? {
        Place::Sparse(ordinals) => all.any(|at| !others.contains(ordinals.get(at) as u32)),
        Place::Dense(present) => {
            all.any(|at| present.is_none_or(|set| set.contains(at as u32)) && !others.contains(at as u32))
        }
    })
}
