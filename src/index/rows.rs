//! One run's row out of the columns.
//!
//! Dense keys are asked one by one: at least every second run has each, so that a run asks at most about twice its own
//! keys. For sparse keys a map from runs to keys is made at the first row and kept: 4 bytes a cell and 4 a run.

use std::collections::BTreeMap;

use crate::base::ids::ExperimentId;
use crate::base::items::of_index_key;
use crate::error::Result;
use crate::index::layout::{Family, metric, run};
use crate::index::part::{Cells, IndexPart, Keys, Place};
use crate::index::summary::{Extreme, RunStatus, RunSummary, SeriesStats, StatPoint};

/// A family's keys by run.
pub(crate) struct RowMap {
    dense: Vec<u32>,
    /// Where each run's sparse keys begin in `sparse`, and the end.
    starts: Vec<u32>,
    /// Sparse keys, run by run, ascending.
    sparse: Vec<u32>,
}

impl RowMap {
    pub(crate) fn heap_bytes(&self) -> usize {
        (self.dense.len() + self.starts.len() + self.sparse.len()) * 4
    }
}

/// A run with the latest point of each metric, which costs fewer columns than all statistics.
#[derive(Clone, Debug, PartialEq)]
pub struct RunLatest {
    /// The run; its `metrics` are empty.
    pub run: RunSummary,
    /// The latest point of each metric.
    pub metrics: BTreeMap<String, StatPoint>,
}

impl IndexPart {
    /// All that is known of the run at `ordinal`. Decodes every column that the run has a cell in, at the first call;
    /// then O(keys of the run × log runs).
    ///
    /// # Errors
    /// [`crate::error::Error::NotFound`] past the end; [`crate::error::Error::Corrupt`] or [`crate::error::Error::Io`] when a column cannot be read.
    pub fn summary(&self, ordinal: u32) -> Result<RunSummary> {
        let mut summary = self.words(ordinal)?;
        self.each_cell(Family::Metrics, ordinal, |key, cells, at| {
            summary.metrics.insert(key.to_owned(), self.stats(cells, at)?);
            Ok(())
        })?;
        Ok(summary)
    }

    /// The run at `ordinal` with the latest point of each metric: what lists show.
    ///
    /// # Errors
    /// As [`IndexPart::summary`].
    pub fn latest(&self, ordinal: u32) -> Result<RunLatest> {
        let run = self.words(ordinal)?;
        let mut metrics = BTreeMap::new();
        self.each_cell(Family::Metrics, ordinal, |key, cells, at| {
            metrics.insert(key.to_owned(), self.latest_point(cells, at)?);
            Ok(())
        })?;
        Ok(RunLatest { run, metrics })
    }

    /// The run without its metrics.
    fn words(&self, ordinal: u32) -> Result<RunSummary> {
        self.check(ordinal)?;
        let at = ordinal as usize;
        let has = |section: usize, without: bool| {
            Ok::<_, crate::error::Error>(self.run_bits(section)?.map_or(without, |set| set.contains(ordinal)))
        };
        let time = |present: usize, column: usize| {
            Ok::<_, crate::error::Error>(if has(present, true)? { Some(self.run_ints(column)?.get(at)) } else { None })
        };
        let word = |codes: usize, words: usize| {
            Ok::<_, crate::error::Error>(self.strings(words)?.get(self.run_ints(codes)?.get(at) as usize).to_owned())
        };
        let status = self.run_ints(run::STATUS)?.get(at);
        let status = RunStatus::ALL.into_iter().find(|known| *known as i64 == status);
        let mut summary = RunSummary {
            run_id: self.run_id(ordinal)?,
            experiment_id: self.experiment(self.run_ints(run::EXPERIMENT_CODES)?.get(at) as usize)?,
            name: word(run::NAME_CODES, run::NAMES)?,
            user: word(run::USER_CODES, run::USERS)?,
            status: status.ok_or_else(|| self.bad(run::STATUS, "a status that does not exist"))?,
            start_time_ms: time(run::START_PRESENT, run::START)?,
            end_time_ms: time(run::END_PRESENT, run::END)?,
            kind: self.run_ints(run::KIND)?.get(at) as u8,
            deleted: has(run::DELETED, false)?,
            deleted_generation: self.run_ints(run::DELETED_GENERATION)?.get(at) as u64,
            params: BTreeMap::new(),
            tags: BTreeMap::new(),
            items: BTreeMap::new(),
            metrics: BTreeMap::new(),
        };
        let families = [
            (Family::Params, &mut summary.params),
            (Family::Tags, &mut summary.tags),
            (Family::Items, &mut summary.items),
        ];
        for (family, texts) in families {
            self.each_cell(family, ordinal, |key, cells, at| {
                let text = self.dictionary(cells)?.get(self.codes(cells)?.get(at) as usize);
                texts.insert(key.to_owned(), text.to_owned());
                Ok(())
            })?;
        }
        Ok(summary)
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

    /// Calls `take` with each key that the run has, its cells and the run's cell among the group's.
    fn each_cell(
        &self,
        family: Family,
        ordinal: u32,
        mut take: impl FnMut(&str, &Cells, usize) -> Result<()>,
    ) -> Result<()> {
        let keys = self.keys(family)?;
        let map = self.row_map(family, keys)?;
        let (start, end) = (map.starts[ordinal as usize] as usize, map.starts[ordinal as usize + 1] as usize);
        for &key in map.dense.iter().chain(&map.sparse[start..end]) {
            let cells = self.cells_at(family, keys, key as usize)?;
            if let Some(at) = self.place(&cells)?.find(&cells, ordinal) {
                take(keys.names.get(key as usize), &cells, at)?;
            }
        }
        Ok(())
    }

    fn row_map(&self, family: Family, keys: &Keys) -> Result<&RowMap> {
        let slot = &self.row_maps[family as usize];
        if let Some(map) = slot.get() {
            return Ok(map);
        }
        let mut map = RowMap { dense: Vec::new(), starts: vec![0; self.len() + 2], sparse: Vec::new() };
        // Two passes over the sparse cells: count each run's, then put each key where its run's begin.
        // starts[run + 2] counts first, so that after the sums starts[run + 1] is a cursor that ends as the run's end.
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
            .filter(|&key| self.is_dense(family, keys.groups[key as usize] as usize))
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
