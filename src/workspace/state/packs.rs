//! Open packs of the manifest, with a cache of their row groups.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::base::bytes::Malformed;
use crate::base::control;
use crate::base::ids::RunKey;
use crate::error::{Error, Result};
use crate::folder::paths;
use crate::journal::manifest::Manifest;
use crate::run::log_view::SeriesPart;
use crate::run::snapshot::RunPart;
use crate::run::state::RunState;
use crate::segment::pack::{Pack, RunPlace};
use crate::segment::reader::{RowGroup, Source};
use crate::storage::Storage;

/// Most row groups of one pack kept in memory.
const ROW_GROUPS_MAX: usize = 64;

/// A row group of a pack with its runs' metadata.
#[derive(Debug)]
pub struct PackRowGroup {
    group: Arc<RowGroup>,
    states: Vec<RunState>,
    /// For each run, the numbers of its series.
    series: Vec<Vec<u32>>,
}

impl PackRowGroup {
    fn read(pack: &Pack, index: usize) -> Result<Self> {
        let group = pack.group(index)?;
        let corrupt =
            |Malformed(what): Malformed| pack.source().corrupt(group.extent().0, format!("a run's record: {what}"));
        let states = group.run_records()?.into_iter().map(|record| control::decode(&record));
        let states: Vec<RunState> = states.collect::<Result<_, _>>().map_err(corrupt)?;
        let mut series = vec![Vec::new(); states.len()];
        for (index, entry) in group.footer().series.iter().enumerate() {
            if let Some(of_run) = series.get_mut(entry.run as usize) {
                of_run.push(index as u32);
            }
        }
        Ok(Self { group: Arc::new(group), states, series })
    }

    /// The metadata of each run.
    #[must_use]
    pub fn states(&self) -> &[RunState] {
        &self.states
    }

    /// The row group itself.
    #[must_use]
    pub fn group(&self) -> &Arc<RowGroup> {
        &self.group
    }

    /// This row group's part of a run.
    #[must_use]
    pub fn part(&self, run: u32) -> Option<RunPart> {
        let state = self.states.get(run as usize)?.clone();
        let footer = self.group.footer();
        let mut series: Vec<_> = state.coverage.iter().map(|&coverage| (coverage, Vec::new())).collect();
        for &index in &self.series[run as usize] {
            let entry = footer.series[index as usize];
            let writer = footer.writers[entry.writer as usize];
            if let Some((_, parts)) = series.iter_mut().find(|(coverage, _)| coverage.writer == writer) {
                let part = SeriesPart::Sealed(Arc::clone(&self.group), index as usize);
                parts.push((footer.key_of(&entry).to_owned(), part));
            }
        }
        Some(RunPart { state, series })
    }
}

/// An open pack.
#[derive(Debug)]
pub struct OpenPack {
    pack: Arc<Pack>,
    groups: Mutex<FxHashMap<u32, Arc<PackRowGroup>>>,
}

impl OpenPack {
    /// Wraps a pack, with none of its row groups read yet.
    #[must_use]
    pub fn new(pack: Pack) -> Self {
        Self { pack: Arc::new(pack), groups: Mutex::default() }
    }

    /// The pack.
    #[must_use]
    pub fn pack(&self) -> &Arc<Pack> {
        &self.pack
    }

    /// One of its row groups.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn group(&self, index: u32) -> Result<Arc<PackRowGroup>> {
        if let Some(known) = self.groups.lock().get(&index) {
            return Ok(Arc::clone(known));
        }
        let group = Arc::new(PackRowGroup::read(&self.pack, index as usize)?);
        let mut groups = self.groups.lock();
        if groups.len() >= ROW_GROUPS_MAX {
            groups.clear();
        }
        groups.insert(index, Arc::clone(&group));
        Ok(group)
    }
}

/// The packs of one manifest state. Cheap to clone: a clone stays as it is while the workspace moves on.
#[derive(Clone, Debug, Default)]
pub struct PackSet {
    packs: BTreeMap<u128, Arc<OpenPack>>,
    /// The manifest reading it is from.
    reading: u64,
    broken: BTreeMap<u128, Arc<Error>>,
    /// Whether the operating system refused to open one, perhaps temporarily: too many open files, an unreachable
    /// network.
    refused: bool,
}

impl PackSet {
    /// Opens new packs of the manifest and forgets removed ones. Packs that cannot be opened are kept separately; the
    /// others serve. `reading` is the manifest's.
    pub fn update(&mut self, storage: &dyn Storage, root: &Path, manifest: &Manifest, reading: u64) {
        self.reading = reading;
        self.packs.retain(|id, _| manifest.packs.contains_key(id));
        self.broken.clear();
        self.refused = false;
        for (&id, entry) in &manifest.packs {
            if let Entry::Vacant(free) = self.packs.entry(id) {
                match open_around(storage, root, id, entry.runs) {
                    Ok(pack) => _ = free.insert(Arc::new(OpenPack::new(pack))),
                    Err(error) => {
                        self.refused |= matches!(error, Error::Io { .. }) && !error.is_absent();
                        self.broken.insert(id, Arc::new(error));
                    }
                }
            }
            if let Some(lost) = self.packs.get(&id).and_then(|pack| pack.pack().lost()) {
                self.broken.insert(id, Arc::new(lost.again()));
            }
        }
    }

    /// The manifest reading this set is from.
    #[must_use]
    pub fn reading(&self) -> u64 {
        self.reading
    }

    /// Packs by number.
    #[must_use]
    pub fn packs(&self) -> &BTreeMap<u128, Arc<OpenPack>> {
        &self.packs
    }

    /// Packs that the manifest names and that cannot be opened, and why. Also those of which some row groups cannot be
    /// found; the others serve.
    #[must_use]
    pub fn broken(&self) -> &BTreeMap<u128, Arc<Error>> {
        &self.broken
    }

    /// Whether the operating system refused to open a pack, so that a retry may help.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// Fails if a pack could not be opened for lack of a process resource, such as descriptors: a retry may help. A
    /// pack that is itself unreadable is left out and reported, see [`Self::broken`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn check(&self) -> Result<()> {
        let lacking = self.broken.values().find(|error| !error.is_of_one_file());
        lacking.map_or(Ok(()), |error| Err(error.again()))
    }

    /// The locations of a run.
    pub fn find(&self, run: RunKey) -> impl Iterator<Item = (&Arc<OpenPack>, RunPlace)> {
        self.packs.values().flat_map(move |pack| pack.pack.find(run).map(move |place| (pack, place)))
    }
}

/// Opens a pack by its number, also if its header or directory is damaged: see [`Pack::open_around`].
///
/// # Errors
/// As [`open`].
pub fn open_around(storage: &dyn Storage, root: &Path, id: u128, runs: u64) -> Result<Pack> {
    let path = paths::pack(root, id);
    let file = storage.open_read(&path).map_err(Error::io("open", &path))?;
    read_around(Source::new(file, path), id, runs)
}

/// [`open_around`] of an open file.
pub(crate) fn read_around(source: Source, id: u128, runs: u64) -> Result<Pack> {
    let key_of = |record: &[u8]| control::decode::<RunState>(record).ok().map(|state| state.id.key());
    Pack::open_around(source, id, runs, key_of)
}

/// Opens a pack by its number.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::NewerFormat`], [`Error::Io`].
pub fn open(storage: &dyn Storage, root: &Path, id: u128) -> Result<Pack> {
    let path = paths::pack(root, id);
    let file = storage.open_read(&path).map_err(Error::io("open", &path))?;
    let pack = Pack::open(Source::new(file, path.clone()))?;
    if pack.id() != id {
        return Err(Error::corrupt(&path, 0, "the pack's own number is another; was the file renamed?"));
    }
    Ok(pack)
}
