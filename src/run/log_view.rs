//! One log read at one moment: the metadata of its runs, and their points as parts of series.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::ids::{ExperimentId, RunId, RunKey};
use crate::base::point::{Columns, Point};
use crate::error::{Error, Result};
use crate::log::buffers::read_tail;
use crate::log::prefix::Prefix;
use crate::log::reader::{BadSpan, Depth, Log, read_log};
use crate::log::record::{Record, Start};
use crate::run::state::{Coverage, RunState};
use crate::segment::reader::{RowGroup, Source};
use crate::storage::{File, Storage};

/// Points of a series by one writer, in order of arrival.
#[derive(Clone, Debug)]
pub enum SeriesPart {
    /// In a row group, by the series' number there.
    Sealed(Arc<RowGroup>, usize),
    /// In memory.
    Rows(Arc<Columns>),
}

/// The part of a log that need not be read again: verified frames and row group footers up to some offset.
#[derive(Clone, Debug)]
pub struct Known {
    prefix: Prefix,
    groups: Vec<Arc<RowGroup>>,
    source: Source,
    weight: usize,
}

impl Known {
    /// Approximate memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Whether `file` is still the same log: another file may have taken the name, such as a newer copy.
    fn is_of(&self, file: &dyn File) -> bool {
        self.source.file.is_linked().unwrap_or(false) && self.prefix.is_in(file)
    }
}

/// A log at one moment.
#[derive(Debug)]
pub struct LogView {
    path: PathBuf,
    log: Log,
    prefix: Option<Prefix>,
    source: Source,
    groups: Vec<Arc<RowGroup>>,
    /// By run number.
    runs: BTreeMap<u32, RunName>,
    /// Runs with a claimed param, at any time.
    claimed: BTreeSet<RunKey>,
    /// Run and key of each series, by series number.
    series: BTreeMap<u32, (u32, String)>,
    /// Points in row form, by series.
    rows: BTreeMap<u32, Arc<Columns>>,
    /// Row groups with a damaged footer.
    damage: Vec<BadSpan>,
    /// Points lost to damage.
    lost: u64,
}

#[derive(Clone, Debug)]
struct RunName {
    id: RunId,
    experiment: ExperimentId,
    experiment_name: String,
}

impl LogView {
    /// Reads a log and its tail: the frames, but not the columns, and nothing that is `known`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the first frame does not verify; other damage is part of the view. [`Error::NewerFormat`],
    /// [`Error::Io`]; `NotFound` if compaction removed the log.
    pub fn read(
        storage: &dyn Storage,
        log_path: &Path,
        tail_path: &Path,
        depth: Depth,
        known: Option<&Known>,
    ) -> Result<Self> {
        let tail = match storage.open_read(tail_path) {
            Ok(tail) => read_tail(&*tail).map_err(Error::io("read", tail_path))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io("open", tail_path)(error)),
        };
        let file = storage.open_read(log_path).map_err(Error::io("open", log_path))?;
        let known = known.filter(|known| depth == Depth::Recent && known.is_of(&*file));
        let (log, prefix) = read_log(&*file, log_path, &tail, depth, known.map(|known| &known.prefix))?;
        // All row groups share one handle.
        let source = known.map_or_else(|| Source::new(file, log_path.to_owned()), |known| known.source.clone());
        let mut view = Self {
            path: log_path.to_owned(),
            log,
            prefix,
            source,
            groups: Vec::new(),
            runs: BTreeMap::new(),
            claimed: BTreeSet::new(),
            series: BTreeMap::new(),
            rows: BTreeMap::new(),
            damage: Vec::new(),
            lost: 0,
        };
        let known = known.map_or(&[][..], |known| &known.groups);
        for (index, place) in view.log.groups.iter().enumerate() {
            if let Some(group) = known.get(index).filter(|group| group.extent() == (place.offset, place.len)) {
                view.groups.push(Arc::clone(group));
                continue;
            }
            match RowGroup::open(view.source.clone(), place.offset, place.len) {
                Ok(group)
                    if group.footer().points != place.points || group.footer().first_sequence != place.sequence =>
                {
                    let what = "a row group that has other points than its frame says";
                    view.damage.push(BadSpan { offset: place.offset, len: place.len, what, changed: true });
                }
                Ok(group) => view.groups.push(Arc::new(group)),
                Err(Error::Corrupt { offset, .. }) => {
                    let len = place.offset + place.len - offset;
                    view.damage.push(BadSpan { offset, len, what: "the footer of a row group", changed: true });
                }
                Err(error) => return Err(error),
            }
        }
        view.name_runs_and_series(log_path);
        view.collect_rows();
        Ok(view)
    }

    /// Collects the names of runs and series. If damage took the name of a run's own log, the file name still gives its
    /// key.
    fn name_runs_and_series(&mut self, path: &Path) {
        for record in self.log.batches.iter().flat_map(|(_, batch)| &batch.records) {
            match record {
                Record::Run { run, id, experiment, experiment_name } => {
                    let (id, experiment, experiment_name) = (id.clone(), *experiment, experiment_name.clone());
                    self.runs.insert(*run, RunName { id, experiment, experiment_name });
                }
                Record::Series { series, run, key } => {
                    self.series.insert(*series, (*run, key.clone()));
                }
                Record::ParamClaimed { id, .. } => _ = self.claimed.insert(id.key()),
                _ => {}
            }
        }
        let stem = path.file_name().and_then(|name| name.to_str()?.split_once('.')).map(|(stem, _)| stem);
        let key = stem.filter(|stem| stem.len() == 32).and_then(|stem| u128::from_str_radix(stem, 16).ok());
        if let Some(key) = key.filter(|_| self.runs.is_empty() && !self.log.damage.is_empty()) {
            let (id, experiment) = (RunId::of_key(RunKey(key)), ExperimentId::DEFAULT);
            self.runs.insert(0, RunName { id, experiment, experiment_name: "Default".into() });
        }
    }

    fn collect_rows(&mut self) {
        let sealed = self.log.sealed_through();
        let mut rows: BTreeMap<u32, Columns> = BTreeMap::new();
        let mut add = |series: u32, point: Point| rows.entry(series).or_default().push(point);
        let mut through = sealed;
        for (sequence, batch) in &self.log.batches {
            for (row, at) in batch.rows.iter().zip(*sequence..) {
                if at >= through {
                    add(row.series, row.point());
                }
            }
            // A frame without rows may follow points that are still in the tail, or in rows of a later frame.
            if !batch.rows.is_empty() {
                through = through.max(sequence + batch.rows.len() as u64);
            }
        }
        let slots = self.log.slots.iter().zip(self.log.slots_from..);
        slots.filter(|&(_, at)| at >= through).for_each(|(slot, _)| add(slot.series(), slot.point()));
        let found = rows.values().map(|columns| columns.len() as u64).sum::<u64>();
        let sealed: u64 = self.groups.iter().map(|group| group.footer().points).sum();
        self.lost = self.log.sequence_end().saturating_sub(sealed.saturating_add(found));
        self.rows = rows.into_iter().map(|(series, columns)| (series, Arc::new(columns))).collect();
    }

    /// Takes what need not be read again, if the log is undamaged and longer than what was known.
    pub fn take_known(&mut self) -> Option<Known> {
        let prefix = self.prefix.take().filter(|_| self.damage.is_empty())?;
        let weight = prefix.weight() + self.groups.iter().map(|group| group.weight()).sum::<usize>();
        Some(Known { prefix, groups: self.groups.clone(), source: self.source.clone(), weight })
    }

    /// The log's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log as it was read.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Its row groups.
    #[must_use]
    pub fn groups(&self) -> &[Arc<RowGroup>] {
        &self.groups
    }

    /// All damage, of frames and of row group footers.
    pub fn damage(&self) -> impl Iterator<Item = &BadSpan> {
        self.log.damage.iter().chain(&self.damage)
    }

    /// Points in row form, by series number.
    pub fn rows(&self) -> impl Iterator<Item = (u32, &Arc<Columns>)> {
        self.rows.iter().map(|(&series, columns)| (series, columns))
    }

    /// Points lost to damage.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The log's runs, by number.
    pub fn runs(&self) -> impl Iterator<Item = &RunId> {
        self.runs.values().map(|run| &run.id)
    }

    /// The number of a run in this log.
    #[must_use]
    pub fn run(&self, id: &RunId) -> Option<u32> {
        self.runs.iter().find(|(_, run)| run.id == *id).map(|(&number, _)| number)
    }

    /// The run's metadata in this log.
    #[must_use]
    pub fn state(&self, run: u32) -> RunState {
        let RunName { id, experiment, experiment_name } = self.runs[&run].clone();
        let mut state = RunState::new(id, experiment, experiment_name);
        let said_by = self.log.start.said_by();
        for record in self.log.batches.iter().flat_map(|(_, batch)| &batch.records) {
            if record_run(record) == Some(run) {
                state.apply(said_by, record);
            }
        }
        let Start { writer, order, author, .. } = self.log.start;
        state.coverage = Coverage::of_log(writer, order, author, self.log.sequence_end(), self.lost);
        state
    }

    /// Whether the log has anything of a run, or ever claimed a param of it.
    #[must_use]
    pub fn mentions(&self, id: &RunId) -> bool {
        self.run(id).is_some() || self.claimed.contains(&id.key())
    }

    /// Runs with a claimed param, at any time.
    pub fn claimed(&self) -> impl Iterator<Item = RunKey> {
        self.claimed.iter().copied()
    }

    /// The value of a param that this log claims and has neither set nor retracted.
    #[must_use]
    pub fn open_claim(&self, id: &RunId, param: &str) -> Option<&str> {
        if !self.claimed.contains(&id.key()) {
            return None;
        }
        let of_run = self.run(id);
        let records = self.log.batches.iter().rev().flat_map(|(_, batch)| batch.records.iter().rev());
        records.into_iter().find_map(|record| match record {
            Record::ParamClaimed { id: of, key, value } => (of == id && key == param).then_some(Some(value.as_str())),
            Record::Param { run, key, .. } | Record::ParamRetracted { run, key } => {
                (Some(*run) == of_run && key == param).then_some(None)
            }
            _ => None,
        })?
    }

    /// The parts of a run's series with their keys, in order of arrival.
    pub fn parts(&self, run: u32) -> impl Iterator<Item = (&str, SeriesPart)> {
        let sealed = self.groups.iter().flat_map(move |group| {
            let of_run = group.footer().series.iter().enumerate().filter(move |(_, series)| series.run == run);
            of_run.map(|(index, series)| (group.footer().key_of(series), SeriesPart::Sealed(Arc::clone(group), index)))
        });
        let rows = self.rows.iter().filter_map(move |(&series, columns)| {
            let (of, key) = self.series.get(&series)?;
            (*of == run).then(|| (key.as_str(), SeriesPart::Rows(Arc::clone(columns))))
        });
        sealed.chain(rows)
    }
}

/// The run number of a record; `None` for a claim, which names its run by id.
#[must_use]
pub fn record_run(record: &Record) -> Option<u32> {
    match record {
        Record::Run { run, .. }
        | Record::Series { run, .. }
        | Record::Param { run, .. }
        | Record::ParamRetracted { run, .. }
        | Record::Tag { run, .. }
        | Record::Attribute { run, .. }
        | Record::Item { run, .. } => Some(*run),
        Record::ParamClaimed { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log::record::Attribute;
    use crate::run::place::Place;
    use crate::run::session::Session;
    use crate::storage::memory::SimDisk;

    /// The contents of a view as text.
    fn contents(view: &LogView) -> String {
        let groups: Vec<_> = view.groups.iter().map(|group| (group.extent(), group.footer())).collect();
        let LogView { log, runs, series, rows, damage, lost, .. } = view;
        format!("{log:?} {groups:?} {runs:?} {series:?} {rows:?} {damage:?} {lost}")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever a writer does between two readings, and whatever a crash tears behind what was read, a reading that
        /// goes on says what a reading of all of it says.
        #[test]
        fn what_is_read_on_is_what_is_read_anew(
            doings in proptest::collection::vec((0_u8..7, 1_usize..400), 1..40),
            mapped in any::<bool>(),
            garbage in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let disk = SimDisk::new();
            disk.create_dir(Path::new("/w")).unwrap();
            let place = Place {
                storage: Arc::new(disk.clone()),
                dir: "/w".into(),
                stem: format!("{:032x}", 7),
                mapped,
                buffer_slots: 256,
                order: 1,
                created_ms: 0,
                author: None,
                ledger: None,
            };
            let mut session = Session::create(place).unwrap();
            let run = session.run(&RunId::new("r").unwrap(), ExperimentId::DEFAULT, "Default");
            session.commit(Vec::new(), &[]).unwrap();
            let log = session.path().to_owned();
            let tail = log.with_extension("tail");
            let read = |known: Option<&Known>| LogView::read(&disk, &log, &tail, Depth::Recent, known).unwrap();
            let mut known: Option<Known> = None;
            for (at, (doing, count)) in doings.into_iter().enumerate() {
                match doing {
                    0 => session.sync().unwrap(),
                    1 => session.seal().unwrap(),
                    2 => {
                        let attribute = Attribute::Name(at.to_string());
                        session.commit(vec![Record::Attribute { run, attribute, order: at as u64 }], &[]).unwrap();
                    }
                    _ => for step in 0..count as i64 {
                        let series = session.series(run, ["a", "b", "c"][(step as usize + at) % 3]).unwrap();
                        session.push(series, step, Some(step), step as f64).unwrap();
                    },
                }
                if at % 3 == 2 {
                    continue;
                }
                let mut on = read(known.as_ref());
                prop_assert_eq!(contents(&on), contents(&read(None)));
                known = on.take_known().or(known);
                prop_assert!(known.is_some());
            }
            let file = disk.open_write(&log).unwrap();
            let whole = file.len().unwrap();
            file.write_at(&garbage, whole).unwrap();
            let mut torn = read(known.as_ref());
            prop_assert_eq!(contents(&torn), contents(&read(None)));
            known = torn.take_known().or(known);
            // A copy takes the name, as tools that copy folders do.
            let mut bytes = vec![0; whole as usize];
            file.read_at(&mut bytes, 0).unwrap();
            let copy = disk.create_new(Path::new("/w/copy")).unwrap();
            copy.write_at(&bytes, 0).unwrap();
            disk.rename(Path::new("/w/copy"), &log).unwrap();
            prop_assert_eq!(contents(&read(known.as_ref())), contents(&read(None)));
        }
    }
}
