//! An immutable image of many runs, with columns decoded on first use.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::base::bytes::Reader;
use crate::base::ids::{ExperimentId, RunId};
use crate::base::stats::RunStatus;
use crate::base::summary::RunSummary;
use crate::base::texts::Texts;
use crate::error::{Entity, Error, Result};
use crate::index::bitmap::Bitmap;
use crate::index::build;
use crate::index::image::{Image, Source, plain_floats};
use crate::index::ints::Ints;
use crate::index::layout::{Family, KEY_SECTIONS, form, metric, run, text};
use crate::index::packed::{Places, PoolReader, Pools, read_spans};
use crate::index::rows::RowMap;
use crate::segment::pack::Pack;
use crate::storage::File;

/// A columnar image of runs. Runs are identified by **ordinal**, their position in the part, from 0.
///
/// Opening reads only the directory. A column is read, verified and decoded on first use and then cached. So a search
/// costs memory for the columns in the query (8 bytes per run for a metric, 1 to 4 for a param or tag), and damage is
/// found, with its location, by the first query that needs the damaged bytes. [`IndexPart::verify`] reads everything.
pub struct IndexPart {
    image: Image,
    /// The pack whose runs these are, in the order of its rows.
    pack: Option<Arc<Pack>>,
    pools: OnceLock<Pools>,
    keys: [OnceLock<Box<Keys>>; 4],
    pub(crate) row_maps: [OnceLock<RowMap>; 4],
    by_id: OnceLock<Vec<u32>>,
    experiments: OnceLock<Vec<ExperimentId>>,
    /// Whether making rows from it last succeeded.
    rows_made: AtomicBool,
}

/// A family's key table.
pub(crate) struct Keys {
    /// Sorted by bytes.
    pub(crate) names: Texts,
    /// Each key's block.
    pub(crate) blocks: Vec<u32>,
    /// Each key's first cell in its block.
    pub(crate) starts: Vec<u32>,
    /// The number of runs with each key.
    pub(crate) counts: Vec<u32>,
}

/// The cells of one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cells {
    family: Family,
    block: usize,
    /// First cell in the block; 0 for a dense key.
    pub(crate) start: usize,
    /// One past the last cell in the block.
    pub(crate) end: usize,
}

/// The run of each cell of a key.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// Cell `i` is run `i`, if the set contains it; without a set, every run has a cell.
    Dense(Option<&'a Bitmap>),
    /// Each cell's run.
    Sparse(&'a Ints),
}

impl IndexPart {
    /// Whether making rows from this index last succeeded.
    #[must_use]
    pub fn rows_made(&self) -> bool {
        self.rows_made.load(Ordering::Relaxed)
    }

    /// Records whether making rows succeeded.
    pub fn note_rows(&self, made: bool) {
        self.rows_made.store(made, Ordering::Relaxed);
    }

    /// Builds the image of distinct `runs`, whose ordinals are their positions in the slice. About 1 µs per key of a
    /// run.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are more runs or more text than one part can number (2^32 - 2 runs).
    pub fn build(runs: &[RunSummary]) -> Result<Self> {
        Self::open(Source::Memory(build::build(runs, None)?), Path::new("run index"), None)
    }

    /// The image of all runs of a pack, in the order of its rows. It omits what the pack has, and can only be read with
    /// that pack.
    ///
    /// # Errors
    /// As [`IndexPart::build`].
    pub fn image_of_pack(runs: &[RunSummary], places: &Places) -> Result<Vec<u8>> {
        build::build(runs, Some(places))
    }

    #[cfg(any(test, feature = "internals"))]
    /// The image, as [`IndexPart::from_bytes`] and [`IndexPart::from_file`] read it.
    ///
    /// # Errors
    /// [`Error::Io`] when it is in a file that cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.image.to_bytes()
    }

    #[cfg(any(test, feature = "internals"))]
    /// Opens a copy of an image in memory: verifies its header and directory.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when they do not verify, [`Error::NewerFormat`] when a newer Stepwell wrote them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::open(Source::Memory(bytes.to_vec()), Path::new("run index"), None)
    }

    /// Opens the image of a pack in a file and reads on demand: two reads here, and one per column. Errors name `path`.
    ///
    /// # Errors
    /// As [`IndexPart::from_bytes`], also for the image of another pack; [`Error::Io`].
    pub fn from_file(file: Box<dyn File>, path: &Path, pack: &Arc<Pack>) -> Result<Self> {
        Self::open(Source::File(file), path, Some(Arc::clone(pack)))
    }

    /// Verifies every byte of a pack's image in a file, as far as possible without the pack.
    ///
    /// # Errors
    /// As [`IndexPart::from_file`].
    pub fn verify_bytes(file: Box<dyn File>, path: &Path) -> Result<()> {
        Image::verify_bytes(Source::File(file), path)
    }

    fn open(source: Source, origin: &Path, pack: Option<Arc<Pack>>) -> Result<Self> {
        Ok(Self {
            image: Image::open(source, origin, pack.as_ref().map(|pack| (pack.id(), pack.len())))?,
            pack,
            pools: OnceLock::new(),
            keys: Default::default(),
            row_maps: Default::default(),
            by_id: OnceLock::new(),
            rows_made: AtomicBool::new(false),
            experiments: OnceLock::new(),
        })
    }

    /// The number of runs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.image.directory.rows
    }

    #[cfg(any(test, feature = "internals"))]
    /// Whether there are no runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of the run at `ordinal`.
    ///
    /// # Errors
    /// [`Error::NotFound`] past the end; [`Error::Corrupt`] or [`Error::Io`] if the ids cannot be read.
    pub fn run_id(&self, ordinal: u32) -> Result<RunId> {
        self.check(ordinal)?;
        let text = match self.id(ordinal)? {
            Ok(number) => format!("{number:032x}"),
            Err(text) => text.to_owned(),
        };
        RunId::new(text).map_err(|_| self.bad(run::ID_TEXTS, "a run id with a wrong character"))
    }

    /// The ordinal of a run. O(log n), in a part that stands alone after a first call that sorts.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Io`] when the ids cannot be read.
    pub fn find(&self, run_id: &RunId) -> Result<Option<u32>> {
        let wanted = run_id.key();
        let rows = match &self.pack {
            Some(pack) => pack.rows_of(wanted),
            None => {
                let keys = self.image.ids()?;
                let order = self.by_id.get_or_init(|| {
                    let mut order: Vec<u32> = (0..self.len() as u32).collect();
                    order.sort_unstable_by_key(|&ordinal| keys[ordinal as usize]);
                    order
                });
                let start = order.partition_point(|&ordinal| keys[ordinal as usize] < wanted.0);
                let equal = order[start..].iter().take_while(|&&ordinal| keys[ordinal as usize] == wanted.0);
                &order[start..start + equal.count()]
            }
        };
        // Other ids than hex may share a hash.
        for &ordinal in rows {
            if self.run_id(ordinal)? == *run_id {
                return Ok(Some(ordinal));
            }
        }
        Ok(None)
    }

    /// Reads and verifies every byte again, and decodes what was not decoded yet.
    ///
    /// # Errors
    /// The first damage found, as [`Error::Corrupt`], or [`Error::Io`].
    pub fn verify(&self) -> Result<()> {
        for section in 0..self.image.directory.sections.len() {
            self.image.raw(section)?;
        }
        self.load_ids()?;
        for ordinal in 0..self.len() as u32 {
            self.run_id(ordinal)?;
        }
        self.pools()?;
        self.experiments()?;
        for section in run::INTS {
            self.run_ints(section)?;
        }
        for section in [run::DELETED, run::START_PRESENT, run::END_PRESENT] {
            self.run_bits(section)?;
        }
        for section in [run::NAMES, run::USERS] {
            self.strings(section)?;
        }
        for family in Family::ALL {
            self.keys(family)?;
            for block in 0..self.image.directory.blocks[family as usize].len() {
                let cells = Cells { family, block, start: 0, end: 0 };
                self.place(&cells)?;
                if family != Family::Metrics {
                    self.dictionary(&cells)?;
                    self.codes(&cells)?;
                    continue;
                }
                for column in metric::FLAGS..metric::SECTIONS {
                    if matches!(column, metric::LATEST | metric::FIRST | metric::MIN | metric::MAX | metric::SUM) {
                        self.metric_floats(&cells, column)?;
                    } else {
                        self.metric_ints(&cells, column)?;
                    }
                }
            }
        }
        Ok(())
    }

    #[cfg(any(test, feature = "internals"))]
    /// Heap that this part takes now, in bytes: the directory, what was decoded, and the image if it is in memory.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let keys =
            self.keys.iter().filter_map(OnceLock::get).map(|keys| keys.names.heap_bytes() + keys.counts.len() * 12);
        let maps = self.row_maps.iter().filter_map(OnceLock::get).map(RowMap::heap_bytes);
        let by_id = self.by_id.get().map_or(0, |order| order.len() * 4);
        self.image.heap_bytes() + keys.sum::<usize>() + maps.sum::<usize>() + by_id
    }

    // What search reads. Every column's values are range-checked here, once.

    pub(crate) fn check(&self, ordinal: u32) -> Result<()> {
        if (ordinal as usize) < self.len() { Ok(()) } else { Err(Error::not_found(Entity::Row, ordinal)) }
    }

    /// The run's id: its number, or its text if that is not 32 hex characters.
    pub(crate) fn id(&self, ordinal: u32) -> Result<Result<u128, &str>> {
        match self.strings(run::ID_TEXTS)?.get(ordinal as usize) {
            "" => Ok(Ok(match &self.pack {
                Some(pack) => pack.key(ordinal).0,
                None => self.image.ids()?.get(ordinal as usize).copied().unwrap_or(0),
            })),
            text => Ok(Err(text)),
        }
    }

    /// Decodes what [`IndexPart::id`] reads, which cannot fail afterwards.
    pub(crate) fn load_ids(&self) -> Result<()> {
        let texts = self.strings(run::ID_TEXTS)?.len();
        if texts != 0 && texts != self.len() {
            return Err(self.bad(run::ID_TEXTS, "ids of another count"));
        }
        self.image.ids().map(|_| ())
    }

    /// Distinct experiments; [`run::EXPERIMENT_CODES`] points into them.
    pub(crate) fn experiments(&self) -> Result<&[ExperimentId]> {
        if let Some(experiments) = self.experiments.get() {
            return Ok(experiments);
        }
        let raw = self.image.raw(run::EXPERIMENTS)?;
        let (experiments, rest) = raw.as_chunks();
        if !rest.is_empty() {
            return Err(self.bad(run::EXPERIMENTS, "an experiment id cut short"));
        }
        let experiments = experiments.iter().map(|bytes| ExperimentId(u64::from_le_bytes(*bytes))).collect();
        Ok(self.experiments.get_or_init(|| experiments))
    }

    /// The experiment at a place that [`run::EXPERIMENT_CODES`] holds.
    pub(crate) fn experiment(&self, at: usize) -> Result<ExperimentId> {
        self.experiments()?
            .get(at)
            .copied()
            .ok_or_else(|| self.bad(run::EXPERIMENT_CODES, "an experiment past the last"))
    }

    /// A column over all runs.
    pub(crate) fn run_ints(&self, section: usize) -> Result<&Ints> {
        let bound = match section {
            run::NAME_CODES => Some(self.strings(run::NAMES)?.len()),
            run::USER_CODES => Some(self.strings(run::USERS)?.len()),
            run::EXPERIMENT_CODES => Some(self.experiments()?.len()),
            run::STATUS => Some(RunStatus::ALL.len() + 1),
            _ => None,
        };
        let reference = (section == run::END).then_some(run::START);
        self.image.ints_on(section, self.len(), bound, |stored, values| match (stored, reference) {
            (form::RELATIVE, Some(_)) => self.add_starts(values, |at| at),
            _ => Ok(false),
        })
    }

    /// Converts durations since the starts of runs to times; `row` returns the run of each value.
    fn add_starts(&self, values: &mut [i64], row: impl Fn(usize) -> usize) -> Result<bool> {
        let starts = self.run_ints(run::START)?;
        values.iter_mut().enumerate().for_each(|(at, value)| *value = value.wrapping_add(starts.get(row(at))));
        Ok(true)
    }

    /// A set of runs; `None` where the section is empty.
    pub(crate) fn run_bits(&self, section: usize) -> Result<Option<&Bitmap>> {
        self.image.bits(section)
    }

    /// A list of texts.
    pub(crate) fn strings(&self, section: usize) -> Result<&Texts> {
        self.image.strings(section)
    }

    /// The error that a section is damaged.
    pub(crate) fn bad(&self, section: usize, why: &'static str) -> Error {
        self.image.bad(section, why)
    }

    /// The key table.
    pub(crate) fn keys(&self, family: Family) -> Result<&Keys> {
        let slot = &self.keys[family as usize];
        if let Some(keys) = slot.get() {
            return Ok(keys);
        }
        let first = self.image.directory.keys[family as usize];
        debug_assert_eq!(KEY_SECTIONS, 3);
        let raw = self.image.raw(first)?;
        let mut reader = Reader::new(&raw);
        let names = Texts::read(&mut reader).map_err(|why| self.bad(first, why.0))?;
        let blocks = &self.image.directory.blocks[family as usize];
        let mut filled = vec![0_usize; blocks.len()];
        let block_of = self.image.uncached_ints(first + 1, names.len())?;
        let counts = self.image.uncached_ints(first + 2, names.len())?;
        let mut keys = Keys { names, blocks: Vec::new(), starts: Vec::new(), counts: Vec::new() };
        for (&block, &count) in block_of.iter().zip(&counts) {
            let block = usize::try_from(block).unwrap_or(usize::MAX);
            let entry = blocks.get(block).ok_or_else(|| self.bad(first + 1, "a key of no block"))?;
            let count = usize::try_from(count).ok().filter(|&count| count <= self.len());
            let count = count.ok_or_else(|| self.bad(first + 2, "a key with more runs than there are"))?;
            keys.blocks.push(block as u32);
            keys.starts.push(if entry.dense { 0 } else { filled[block] as u32 });
            keys.counts.push(count as u32);
            filled[block] += if entry.dense { entry.cells.max(1) } else { count };
        }
        if blocks.iter().zip(&filled).any(|(block, &filled)| filled != block.cells) {
            return Err(self.bad(first + 2, "keys that do not fill their blocks"));
        }
        Ok(slot.get_or_init(|| Box::new(keys)))
    }

    /// The cells of a key, if any run has it. O(log keys).
    pub(crate) fn cells(&self, family: Family, key: &str) -> Result<Option<Cells>> {
        let keys = self.keys(family)?;
        keys.names.find_sorted(key).map(|at| self.cells_at(family, keys, at)).transpose()
    }

    /// The cells of the key at place `at` of the key table.
    pub(crate) fn cells_at(&self, family: Family, keys: &Keys, at: usize) -> Result<Cells> {
        let block = keys.blocks[at] as usize;
        let entry = self.image.directory.blocks[family as usize][block];
        let start = keys.starts[at] as usize;
        let end = if entry.dense { entry.cells } else { start + keys.counts[at] as usize };
        Ok(Cells { family, block, start, end })
    }

    /// Whether the key has a cell for each run.
    pub(crate) fn is_dense(&self, family: Family, block: usize) -> bool {
        self.image.directory.blocks[family as usize][block].dense
    }

    /// Which runs the cells of the block belong to.
    pub(crate) fn place(&self, cells: &Cells) -> Result<Place<'_>> {
        let block = self.image.directory.blocks[cells.family as usize][cells.block];
        if block.dense {
            return Ok(Place::Dense(self.image.bits(block.section)?));
        }
        Ok(Place::Sparse(self.image.bounded(block.section, block.cells, Some(self.len()))?))
    }

    /// A column of integers of a metric's block.
    pub(crate) fn metric_ints(&self, cells: &Cells, column: usize) -> Result<&Ints> {
        let block = self.image.directory.blocks[cells.family as usize][cells.block];
        let section = block.section + column;
        if column != metric::LATEST_TIME {
            // What it may be relative to is in memory then, whatever that is relative to itself.
            let reference = metric::reference(column);
            reference.map(|column| self.metric_ints(cells, column)).transpose()?;
            return self.image.ints(section, block.cells, reference.map(|column| block.section + column));
        }
        self.image.ints_on(section, block.cells, None, |stored, values| match (stored, self.place(cells)?) {
            (form::TO_START, Place::Dense(_)) => self.add_starts(values, |at| at),
            (form::TO_START, Place::Sparse(ordinals)) => self.add_starts(values, |at| ordinals.get(at) as usize),
            _ => Ok(false),
        })
    }

    /// A column of values of a metric's block.
    pub(crate) fn metric_floats(&self, cells: &Cells, column: usize) -> Result<&[f64]> {
        let block = self.image.directory.blocks[cells.family as usize][cells.block];
        let section = block.section + column;
        if column != metric::LATEST {
            self.metric_floats(cells, metric::LATEST)?;
            return self.image.floats(section, block.cells, Some(block.section + metric::LATEST));
        }
        self.image.floats_on(section, block.cells, |stored, bytes| match (stored, &self.pack) {
            (form::IN_PACK, Some(pack)) => self.packed_floats(cells, block.cells, bytes, pack).map(Some),
            _ => Ok(None),
        })
    }

    /// Values, with those of single-point cells read from the pack.
    fn packed_floats(&self, cells: &Cells, count: usize, bytes: &[u8], pack: &Pack) -> Result<Vec<f64>> {
        let section = self.image.directory.blocks[cells.family as usize][cells.block].section + metric::LATEST;
        let (spans, others) = read_spans(bytes).map_err(|why| self.bad(section, why.0))?;
        let (pools, points) = (self.pools()?, self.metric_ints(cells, metric::COUNT)?);
        let total: usize = spans.iter().map(|span| span.len as usize).sum();
        let (singles, of_others) = (0..count).fold((0, 0), |(singles, others), at| match points.get(at) {
            0 => (singles, others),
            1 => (singles + 1, others),
            _ => (singles, others + 1),
        });
        if total != singles || others.len() != of_others * 8 || !spans.iter().all(|span| pools.have(span)) {
            return Err(self.bad(section, "values of another count"));
        }
        let (mut packed, mut reader) = (Vec::with_capacity(total), PoolReader::new(pools, pack));
        spans.iter().try_for_each(|span| reader.read(span, &mut packed))?;
        if singles == count {
            return Ok(packed);
        }
        let (mut packed, mut others) = (packed.into_iter(), plain_floats(others).into_iter());
        let value = |at: usize| match points.get(at) {
            0 => None,
            1 => packed.next(),
            _ => others.next(),
        };
        Ok((0..count).map(value).map(|value| value.unwrap_or(0.0)).collect())
    }

    /// The locations of the pack's pools.
    fn pools(&self) -> Result<&Pools> {
        if let Some(pools) = self.pools.get() {
            return Ok(pools);
        }
        let raw = self.image.raw(run::POOLS)?;
        let pools = if raw.is_empty() { Ok(Pools::default()) } else { Pools::read(&raw) };
        let pools = pools.map_err(|why| self.bad(run::POOLS, why.0))?;
        Ok(self.pools.get_or_init(|| pools))
    }

    /// The distinct values of a param's or tag's block.
    pub(crate) fn dictionary(&self, cells: &Cells) -> Result<&Texts> {
        let block = self.image.directory.blocks[cells.family as usize][cells.block];
        self.strings(block.section + text::DICTIONARY)
    }

    /// Each cell's place in the dictionary.
    pub(crate) fn codes(&self, cells: &Cells) -> Result<&Ints> {
        let block = self.image.directory.blocks[cells.family as usize][cells.block];
        let values = self.dictionary(cells)?.len();
        self.image.bounded(block.section + text::CODES, block.cells, Some(values))
    }
}

impl std::fmt::Debug for IndexPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexPart")
            .field("origin", &self.image.origin)
            .field("runs", &self.len())
            .finish_non_exhaustive()
    }
}
