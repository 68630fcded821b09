//! One log read at one moment: the metadata of its runs, and their points as parts of series.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::ids::RunKey;
use crate::base::point::{Columns, Point};
use crate::error::{Error, Result};
use crate::log::buffers::read_tail;
use crate::log::follower::Depth;
use crate::log::reader::{Log, Prefix, read_log};
use crate::log::record::Record;
use crate::log::walk::{BadSpan, Frame};
use crate::run::log_metadata::LogMetadata;
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
        self.source.file.is_linked().unwrap_or(false) && self.prefix.at.is_of(file)
    }
}

/// A log at one moment.
#[derive(Debug)]
pub struct LogView {
    path: PathBuf,
    log: Log,
    /// The end of what was known before.
    known: u64,
    source: Source,
    groups: Vec<Arc<RowGroup>>,
    metadata: LogMetadata,
    /// Points in row form, by series.
    rows: BTreeMap<u32, Arc<Columns>>,
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
        let log = read_log(&*file, log_path, &tail, depth, known.map(|known| &known.prefix))?;
        // All row groups share one handle.
        let source = known.map_or_else(|| Source::new(file, log_path.to_owned()), |known| known.source.clone());
        let mut metadata = LogMetadata::new(log.at.clone());
        metadata.damage.clone_from(&log.read.damage);
        metadata.torn_by_stop = log.read.torn_by_stop;
        let (path, rows) = (log_path.to_owned(), BTreeMap::new());
        let known_end = known.map_or(0, |known| known.prefix.at.end());
        let mut view = Self { path, log, known: known_end, source, groups: Vec::new(), metadata, rows };
        view.open_groups(known.map_or(&[], |known| &known.groups))?;
        view.take_records();
        view.collect_rows();
        Ok(view)
    }

    /// Opens the row groups, except for those known.
    fn open_groups(&mut self, known: &[Arc<RowGroup>]) -> Result<()> {
        for (index, frame) in self.log.groups().enumerate() {
            match known.get(index).filter(|group| group.extent() == frame.extent()) {
                Some(group) => self.groups.push(Arc::clone(group)),
                None => match open_group(&self.source, frame)? {
                    Ok(group) => self.groups.push(Arc::new(group)),
                    Err(damage) => self.metadata.damage.push(damage),
                },
            }
        }
        Ok(())
    }

    /// Collects names, then metadata: damage may have moved a name behind its use. If it took the name of a run's own
    /// log, the file name still gives its key.
    fn take_records(&mut self) {
        let is_name = |record: &&Record| matches!(record, Record::Run { .. } | Record::Series { .. });
        let Self { log, metadata, .. } = self;
        log.records().filter(is_name).for_each(|record| metadata.take(record));
        let stem = self.path.file_name().and_then(|name| name.to_str()?.split_once('.')).map(|(stem, _)| stem);
        let key = stem.filter(|stem| stem.len() == 32).and_then(|stem| u128::from_str_radix(stem, 16).ok());
        if let Some(key) = key.filter(|_| !log.read.damage.is_empty()) {
            metadata.name_run(RunKey(key));
        }
        log.records().filter(|record| !is_name(record)).for_each(|record| metadata.take(record));
    }

    fn collect_rows(&mut self) {
        let mut rows: BTreeMap<u32, Columns> = BTreeMap::new();
        let mut add = |series: u32, point: Point| rows.entry(series).or_default().push(point);
        let mut through = self.log.sealed_through();
        for (sequence, batch) in self.log.batches() {
            for (row, at) in batch.rows.iter().zip(sequence..) {
                if at >= through {
                    add(row.series, row.point());
                }
            }
            // A frame without rows may follow points that are still in the tail, or in rows of a later frame.
            if !batch.rows.is_empty() {
                through = through.max(sequence + batch.rows.len() as u64);
            }
        }
        let slots = self.log.read.slots.iter().zip(self.log.read.slots_from..);
        slots.filter(|&(_, at)| at >= through).for_each(|(slot, _)| add(slot.series(), slot.point()));
        let found = rows.values().map(|columns| columns.len() as u64).sum::<u64>();
        let sealed: u64 = self.groups.iter().map(|group| group.footer().points).sum();
        self.metadata.lost = self.log.sequence_end().saturating_sub(sealed.saturating_add(found));
        self.rows = rows.into_iter().map(|(series, columns)| (series, Arc::new(columns))).collect();
    }

    /// What need not be read again, if the log is undamaged and longer than what was known.
    #[must_use]
    pub fn known(&self) -> Option<Known> {
        let prefix = self.log.prefix().filter(|prefix| self.metadata.is_whole() && prefix.at.end() > self.known)?;
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

    /// What the log says of its runs.
    #[must_use]
    pub fn metadata(&self) -> &LogMetadata {
        &self.metadata
    }

    /// Its row groups.
    #[must_use]
    pub fn groups(&self) -> &[Arc<RowGroup>] {
        &self.groups
    }

    /// All damage, of frames and of row group footers.
    pub fn damage(&self) -> impl Iterator<Item = &BadSpan> {
        self.metadata.damage.iter()
    }

    /// Points in row form, by series number.
    pub fn rows(&self) -> impl Iterator<Item = (u32, &Arc<Columns>)> {
        self.rows.iter().map(|(&series, columns)| (series, columns))
    }

    /// The parts of a run's series with their keys, in order of arrival.
    pub fn parts(&self, run: u32) -> impl Iterator<Item = (&str, SeriesPart)> {
        let sealed = self.groups.iter().flat_map(move |group| {
            let of_run = group.footer().series.iter().enumerate().filter(move |(_, series)| series.run == run);
            of_run.map(|(index, series)| (group.footer().key_of(series), SeriesPart::Sealed(Arc::clone(group), index)))
        });
        let rows = self.rows.iter().filter_map(move |(&series, columns)| {
            let (of, key) = self.metadata.series(series)?;
            (of == run).then(|| (&**key, SeriesPart::Rows(Arc::clone(columns))))
        });
        sealed.chain(rows)
    }
}

/// The row group of a frame, or what of it is damaged.
pub(super) fn open_group(source: &Source, frame: &Frame) -> Result<std::result::Result<RowGroup, BadSpan>> {
    let ((at, len), header) = (frame.extent(), frame.header);
    let says = (header.sequence, u64::from(header.count));
    let (offset, what) = match RowGroup::open(source.clone(), at, len) {
        Ok(group) if (group.footer().first_sequence, group.footer().points) == says => return Ok(Ok(group)),
        Ok(_) => (at, "a row group that has other points than its frame says"),
        Err(Error::Corrupt { offset, .. }) => (offset, "the footer of a row group"),
        Err(error) => return Err(error),
    };
    Ok(Err(BadSpan { offset, len: at + len - offset, what, changed: true }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::ids::{ExperimentId, RunId};
    use crate::log::record::Attribute;
    use crate::run::place::Place;
    use crate::run::session::Session;
    use crate::storage::memory::SimDisk;

    /// The contents of a view as text.
    fn contents(view: &LogView) -> String {
        let groups: Vec<_> = view.groups.iter().map(|group| (group.extent(), group.footer())).collect();
        let LogView { log, rows, metadata, .. } = view;
        format!("{log:?} {groups:?} {rows:?} {metadata:?}")
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
                let on = read(known.as_ref());
                prop_assert_eq!(contents(&on), contents(&read(None)));
                known = on.known().or(known);
                prop_assert!(known.is_some());
            }
            let file = disk.open_write(&log).unwrap();
            let whole = file.len().unwrap();
            file.write_at(&garbage, whole).unwrap();
            let torn = read(known.as_ref());
            prop_assert_eq!(contents(&torn), contents(&read(None)));
            known = torn.known().or(known);
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
