//! Rows of runs from columns: borrowed, as lists show them, or owned with all statistics.
//!
//! Dense keys are looked up one by one: at least every second run has each, so a run looks up at most about twice its
//! own keys. For sparse keys a map from runs to keys is built on first use and kept: 4 bytes per cell and 4 per run.

use std::collections::BTreeMap;

use crate::base::ids::{ExperimentId, RunId};
use crate::base::items::of_index_key;
use crate::base::stats::{Extreme, RunStatus, SeriesStats, StatPoint};
use crate::base::summary::RunSummary;
use crate::error::{Entity, Error, Result};
use crate::index::bitmap::Bitmap;
use crate::index::ints::Ints;
use crate::index::layout::{Family, metric, run};
use crate::index::part::{Cells, IndexPart, Keys, Place};

/// A family's keys by run.
pub(crate) struct RowMap {
    dense: Vec<u32>,
    /// Where each run's sparse keys begin in `sparse`, and the end.
    starts: Vec<u32>,
    /// Sparse keys, run by run, ascending.
    sparse: Vec<u32>,
}

impl RowMap {
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn heap_bytes(&self) -> usize {
        (self.dense.len() + self.starts.len() + self.sparse.len()) * 4
    }
}

/// Merges sparse keys into dense ones.
fn by_key<T>(list: &mut [(&str, T)]) {
    if !list.is_sorted_by(|a, b| a.0 <= b.0) {
        list.sort_unstable_by(|a, b| a.0.cmp(b.0));
    }
}

/// A run as lists show it, with metadata borrowed from the columns and the latest point of each metric, which needs
/// fewer columns than all statistics. Each list is sorted by key.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<'a> {
    /// The run's id.
    pub run_id: RunId,
    /// Its experiment.
    pub experiment_id: ExperimentId,
    /// Its name; may be empty.
    pub name: &'a str,
    /// Who ran it; may be empty.
    pub user: &'a str,
    /// Its status.
    pub status: RunStatus,
    /// Milliseconds since the epoch.
    pub start_time_ms: Option<i64>,
    /// Milliseconds since the epoch.
    pub end_time_ms: Option<i64>,
    /// Its kind: see [`crate::base::items`].
    pub kind: u8,
    /// Whether the run is marked deleted.
    pub deleted: bool,
    /// See [`RunSummary::deleted_generation`].
    pub deleted_generation: u64,
    /// Params.
    pub params: Vec<(&'a str, &'a str)>,
    /// Tags.
    pub tags: Vec<(&'a str, &'a str)>,
    /// Its items, by [`crate::base::items::index_key`].
    pub items: Vec<(&'a str, &'a str)>,
    /// The latest point of each metric.
    pub metrics: Vec<(&'a str, StatPoint)>,
}

impl<'a> Row<'a> {
    /// The row of a run summary.
    #[must_use]
    pub fn of(run: &'a RunSummary) -> Self {
        let texts = |map: &'a BTreeMap<String, String>| map.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        Self {
            run_id: run.run_id.clone(),
            experiment_id: run.experiment_id,
            name: &run.name,
            user: &run.user,
            status: run.status,
            start_time_ms: run.start_time_ms,
            end_time_ms: run.end_time_ms,
            kind: run.kind,
            deleted: run.deleted,
            deleted_generation: run.deleted_generation,
            params: texts(&run.params),
            tags: texts(&run.tags),
            items: texts(&run.items),
            metrics: run.metrics.iter().map(|(key, stats)| (key.as_str(), stats.latest)).collect(),
        }
    }

    fn texts(&mut self, family: Family) -> &mut Vec<(&'a str, &'a str)> {
        match family {
            Family::Params => &mut self.params,
            Family::Tags => &mut self.tags,
            Family::Items | Family::Metrics => &mut self.items,
        }
    }

    /// The same, owned, with these metrics.
    #[must_use]
    pub fn with_metrics(self, metrics: BTreeMap<String, SeriesStats>) -> RunSummary {
        let owned = |texts: Vec<(&str, &str)>| texts.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        RunSummary {
            run_id: self.run_id,
            experiment_id: self.experiment_id,
            name: self.name.to_owned(),
            user: self.user.to_owned(),
            status: self.status,
            start_time_ms: self.start_time_ms,
            end_time_ms: self.end_time_ms,
            kind: self.kind,
            deleted: self.deleted,
            deleted_generation: self.deleted_generation,
            params: owned(self.params),
            tags: owned(self.tags),
            items: owned(self.items),
            metrics,
        }
    }
}

impl IndexPart {
    /// Everything about the run at `ordinal`. On first use decodes every column in which the run has a cell; then
    /// O(keys of the run × log runs).
    ///
    /// # Errors
    /// [`crate::error::Error::NotFound`] past the end; [`crate::error::Error::Corrupt`] or [`crate::error::Error::Io`]
    /// if a column cannot be read.
    pub fn summary(&self, ordinal: u32) -> Result<RunSummary> {
        let mut metrics = BTreeMap::new();
        self.each_cell(
            Family::Metrics,
            &[ordinal],
            |cells| Ok(*cells),
            |_, key, cells, at| {
                metrics.insert(key.to_owned(), self.stats(cells, at)?);
                Ok(())
            },
        )?;
        let mut rows = self.rows_without_metrics(&[ordinal])?;
        let row = rows.pop().ok_or_else(|| Error::not_found(Entity::Row, ordinal))?;
        Ok(row.with_metrics(metrics))
    }

    /// The runs at some ordinals as lists show them, in that order, without copying metadata. Reads column by column
    /// for all runs, so that memory accesses overlap.
    ///
    /// # Errors
    /// As [`IndexPart::summary`].
    pub fn rows(&self, ordinals: &[u32]) -> Result<Vec<Row<'_>>> {
        let mut rows = self.rows_without_metrics(ordinals)?;
        let columns = |cells: &Cells| {
            let ints = |column: usize| self.metric_ints(cells, column);
            let times = (ints(metric::FLAGS)?, ints(metric::LATEST_TIME)?);
            Ok((times, ints(metric::LATEST_STEP)?, self.metric_floats(cells, metric::LATEST)?))
        };
        self.each_cell(Family::Metrics, ordinals, columns, |row, key, &((flags, times), steps, values), at| {
            let timestamp_ms = (flags.get(at) & 1 != 0).then(|| times.get(at));
            rows[row].metrics.push((key, StatPoint { step: steps.get(at), timestamp_ms, value: values[at] }));
            Ok(())
        })?;
        rows.iter_mut().for_each(|row| by_key(&mut row.metrics));
        Ok(rows)
    }

    /// The latest point of one metric for some runs; `None` if a run has none. Decodes four columns on first use.
    ///
    /// # Errors
    /// As [`IndexPart::summary`].
    pub fn latest_of(&self, key: &str, ordinals: &[u32]) -> Result<Vec<Option<StatPoint>>> {
        let Some(cells) = self.cells(Family::Metrics, key)? else { return Ok(vec![None; ordinals.len()]) };
        let place = self.place(&cells)?;
        let (flags, steps) = (self.metric_ints(&cells, metric::FLAGS)?, self.metric_ints(&cells, metric::LATEST_STEP)?);
        let (times, values) =
            (self.metric_ints(&cells, metric::LATEST_TIME)?, self.metric_floats(&cells, metric::LATEST)?);
        let point = |at: usize| StatPoint {
            step: steps.get(at),
            timestamp_ms: (flags.get(at) & 1 != 0).then(|| times.get(at)),
            value: values[at],
        };
        Ok(ordinals.iter().map(|&ordinal| place.find(&cells, ordinal).map(point)).collect())
    }

    /// Runs without their metrics.
    fn rows_without_metrics(&self, ordinals: &[u32]) -> Result<Vec<Row<'_>>> {
        let ints = |section: usize| self.run_ints(section);
        let (names, name_codes) = (self.strings(run::NAMES)?, ints(run::NAME_CODES)?);
        let (users, user_codes) = (self.strings(run::USERS)?, ints(run::USER_CODES)?);
        let (started, starts) = (self.run_bits(run::START_PRESENT)?, ints(run::START)?);
        let (ended, ends) = (self.run_bits(run::END_PRESENT)?, ints(run::END)?);
        let (statuses, experiments, kinds) = (ints(run::STATUS)?, ints(run::EXPERIMENT_CODES)?, ints(run::KIND)?);
        let (deleted, generations) = (self.run_bits(run::DELETED)?, ints(run::DELETED_GENERATION)?);
        let mut rows = Vec::with_capacity(ordinals.len());
        for &ordinal in ordinals {
            self.check(ordinal)?;
            let at = ordinal as usize;
            let time = |present: Option<&Bitmap>, times: &Ints| {
                present.is_none_or(|present| present.contains(ordinal)).then(|| times.get(at))
            };
            let status = RunStatus::ALL.into_iter().find(|known| *known as i64 == statuses.get(at));
            rows.push(Row {
                run_id: self.run_id(ordinal)?,
                experiment_id: self.experiment(experiments.get(at) as usize)?,
                name: names.get(name_codes.get(at) as usize),
                user: users.get(user_codes.get(at) as usize),
                status: status.ok_or_else(|| self.bad(run::STATUS, "a status that does not exist"))?,
                start_time_ms: time(started, starts),
                end_time_ms: time(ended, ends),
                kind: kinds.get(at) as u8,
                deleted: deleted.is_some_and(|deleted| deleted.contains(ordinal)),
                deleted_generation: generations.get(at) as u64,
                params: Vec::new(),
                tags: Vec::new(),
                items: Vec::new(),
                metrics: Vec::new(),
            });
        }
        for family in [Family::Params, Family::Tags, Family::Items] {
            let columns = |cells: &Cells| Ok((self.dictionary(cells)?, self.codes(cells)?));
            self.each_cell(family, ordinals, columns, |row, key, &(texts, codes), at| {
                rows[row].texts(family).push((key, texts.get(codes.get(at) as usize)));
                Ok(())
            })?;
            rows.iter_mut().for_each(|row| by_key(row.texts(family)));
        }
        Ok(rows)
    }

    fn latest_point(&self, cells: &Cells, at: usize) -> Result<StatPoint> {
        let flags = self.metric_ints(cells, metric::FLAGS)?.get(at);
        Ok(StatPoint {
            step: self.metric_ints(cells, metric::LATEST_STEP)?.get(at),
            timestamp_ms: if flags & 1 != 0 {
                Some(self.metric_ints(cells, metric::LATEST_TIME)?.get(at))
            } else {
                None
            },
            value: self.metric_floats(cells, metric::LATEST)?[at],
        })
    }

    fn stats(&self, cells: &Cells, at: usize) -> Result<SeriesStats> {
        let int = |column: usize| Ok::<_, crate::error::Error>(self.metric_ints(cells, column)?.get(at));
        let float = |column: usize| Ok::<_, crate::error::Error>(self.metric_floats(cells, column)?[at]);
        let flags = int(metric::FLAGS)?;
        let extreme = |flag: i64, step: usize, value: usize| {
            Ok::<_, crate::error::Error>(if flags & flag != 0 {
                Some(Extreme { value: float(value)?, step: int(step)? })
            } else {
                None
            })
        };
        Ok(SeriesStats {
            count: int(metric::COUNT)? as u64,
            nan_count: int(metric::NAN_COUNT)? as u64,
            inf_count: int(metric::INF_COUNT)? as u64,
            first: StatPoint {
                step: int(metric::FIRST_STEP)?,
                timestamp_ms: if flags & 2 != 0 { Some(int(metric::FIRST_TIME)?) } else { None },
                value: float(metric::FIRST)?,
            },
            latest: self.latest_point(cells, at)?,
            min: extreme(4, metric::MIN_STEP, metric::MIN)?,
            max: extreme(8, metric::MAX_STEP, metric::MAX)?,
            sum: float(metric::SUM)?,
        })
    }

    /// Calls `take` with each item of a kind: the run's ordinal, its experiment, the item's key and value.
    ///
    /// # Errors
    /// As [`IndexPart::summary`].
    pub fn each_item(&self, kind: u8, mut take: impl FnMut(u32, ExperimentId, &str, &str)) -> Result<()> {
        let keys = self.keys(Family::Items)?;
        let codes = self.run_ints(run::EXPERIMENT_CODES)?;
        for (at, name) in keys.names.iter().enumerate() {
            let Some((own, key)) = of_index_key(name) else { continue };
            if own != kind {
                continue;
            }
            let cells = self.cells_at(Family::Items, keys, at)?;
            let (texts, places) = (self.dictionary(&cells)?, self.codes(&cells)?);
            let mut one = |ordinal: u32, cell: usize| -> Result<()> {
                let experiment = self.experiment(codes.get(ordinal as usize) as usize)?;
                take(ordinal, experiment, key, texts.get(places.get(cell) as usize));
                Ok(())
            };
            match self.place(&cells)? {
                Place::Dense(present) => {
                    for ordinal in 0..self.len() as u32 {
                        if present.is_none_or(|present| present.contains(ordinal)) {
                            one(ordinal, ordinal as usize)?;
                        }
                    }
                }
                Place::Sparse(ordinals) => {
                    for cell in cells.start..cells.end {
                        one(ordinals.get(cell) as u32, cell)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Calls `take` for each key of some runs: the run's position among `ordinals`, the key, the result of `columns`
    /// for the key's cells, and the run's cell in the block. Dense keys come in order, then sparse ones.
    fn each_cell<'a, C>(
        &'a self,
        family: Family,
        ordinals: &[u32],
        columns: impl Fn(&Cells) -> Result<C>,
        mut take: impl FnMut(usize, &'a str, &C, usize) -> Result<()>,
    ) -> Result<()> {
        let keys = self.keys(family)?;
        let map = self.row_map(family, keys)?;
        let mut of_key = |key: u32, row: usize, ordinals: &[u32]| -> Result<()> {
            let cells = self.cells_at(family, keys, key as usize)?;
            let (place, columns, name) = (self.place(&cells)?, columns(&cells)?, keys.names.get(key as usize));
            for (index, &ordinal) in ordinals.iter().enumerate() {
                if let Some(at) = place.find(&cells, ordinal) {
                    take(row + index, name, &columns, at)?;
                }
            }
            Ok(())
        };
        ordinals.iter().try_for_each(|&ordinal| self.check(ordinal))?;
        map.dense.iter().try_for_each(|&key| of_key(key, 0, ordinals))?;
        for (row, &ordinal) in ordinals.iter().enumerate() {
            let (start, end) = (map.starts[ordinal as usize] as usize, map.starts[ordinal as usize + 1] as usize);
            map.sparse[start..end].iter().try_for_each(|&key| of_key(key, row, &[ordinal]))?;
        }
        Ok(())
    }

    fn row_map(&self, family: Family, keys: &Keys) -> Result<&RowMap> {
        let slot = &self.row_maps[family as usize];
        if let Some(map) = slot.get() {
            return Ok(map);
        }
        let mut map = RowMap { dense: Vec::new(), starts: vec![0; self.len() + 2], sparse: Vec::new() };
        // Two passes over the sparse cells: count each run's cells, then place their keys.
        let sparse = |each: &mut dyn FnMut(u32, usize)| -> Result<()> {
            for key in 0..keys.names.len() {
                let cells = self.cells_at(family, keys, key)?;
                if let Place::Sparse(ordinals) = self.place(&cells)? {
                    (cells.start..cells.end).for_each(|at| each(key as u32, ordinals.get(at) as usize));
                }
            }
            Ok(())
        };
        sparse(&mut |_, ordinal| map.starts[ordinal + 2] += 1)?;
        for at in 1..map.starts.len() {
            map.starts[at] += map.starts[at - 1];
        }
        map.sparse = vec![0; map.starts.last().map_or(0, |&end| end as usize)];
        let (starts, placed) = (&mut map.starts, &mut map.sparse);
        sparse(&mut |key, ordinal| {
            placed[starts[ordinal + 1] as usize] = key;
            starts[ordinal + 1] += 1;
        })?;
        map.starts.pop();
        map.dense = (0..keys.names.len() as u32)
            .filter(|&key| self.is_dense(family, keys.blocks[key as usize] as usize))
            .collect();
        Ok(slot.get_or_init(|| map))
    }
}

impl Place<'_> {
    /// The run's cell, if it has one. O(1) for a dense key, else O(log cells).
    pub(crate) fn find(&self, cells: &Cells, ordinal: u32) -> Option<usize> {
        match self {
            Self::Dense(present) => present.is_none_or(|set| set.contains(ordinal)).then_some(ordinal as usize),
            Self::Sparse(ordinals) => {
                let (mut low, mut high) = (cells.start, cells.end);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if ordinals.get(middle) < i64::from(ordinal) { low = middle + 1 } else { high = middle }
                }
                (low < cells.end && ordinals.get(low) == i64::from(ordinal)).then_some(low)
            }
        }
    }
}
