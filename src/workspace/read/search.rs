//! Search over all runs: the indexes of packs, overlaid with the runs that are in logs or in several packs.
//!
//! A search sees everything acknowledged on this machine before it began: it lists and reads the logs, and overlays
//! their runs on those of the packs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::base::ids::{ExperimentId, RunId, RunKey};
use crate::base::items::RUN;
use crate::base::summary::RunSummary;
use crate::error::of_one_file;
use crate::error::{Error, Result};
use crate::folder::making::{self, Making};
use crate::folder::paths::{self, LogName};
use crate::index::bitmap::Bitmap;
use crate::index::layout::run;
use crate::index::packed::Places;
use crate::index::part::IndexPart;
use crate::run::log_metadata::LogMetadata;
use crate::run::snapshot::{RunSnapshot, summary_of};
use crate::run::state::RunState;
use crate::search::execute::Deletions;
use crate::segment::pack::Pack;
use crate::storage::Storage;
use crate::workspace::read::live::LogMentions;
use crate::workspace::state::indexes::PackIndex;
use crate::workspace::state::overlay::Made;
use crate::workspace::state::packs::{self, OpenPack, PackSet};
use crate::workspace::state::shared::Shared;

/// What one search works on.
pub(crate) struct Parts {
    pub(crate) parts: Vec<(Arc<IndexPart>, Bitmap)>,
    unreadable: Vec<String>,
}

impl Shared {
    /// See [`Workspace::items`](crate::Workspace::items).
    pub(crate) fn items(
        &self,
        kind: u8,
        experiments: &[ExperimentId],
    ) -> Result<BTreeSet<(ExperimentId, String, String)>> {
        let (_, found) = self.run_query(|parts| {
            let mut found = BTreeSet::new();
            for (part, excluded) in &parts.parts {
                part.each_item(kind, |ordinal, experiment, key, value| {
                    if !excluded.contains(ordinal) && experiments.contains(&experiment) {
                        found.insert((experiment, key.to_owned(), value.to_owned()));
                    }
                })?;
            }
            Ok(found)
        })?;
        Ok(found)
    }

    /// See [`Workspace::runs_with_items`](crate::Workspace::runs_with_items).
    pub(crate) fn runs_with_items(&self, kind: u8) -> Result<Vec<(RunId, String, String)>> {
        let (_, found) = self.run_query(|parts| {
            let mut found = Vec::new();
            for (part, excluded) in &parts.parts {
                let mut of_part = Vec::new();
                part.each_item(kind, |ordinal, _, key, value| {
                    if !excluded.contains(ordinal) {
                        of_part.push((ordinal, key.to_owned(), value.to_owned()));
                    }
                })?;
                for (ordinal, key, value) in of_part {
                    found.push((part.run_id(ordinal)?, key, value));
                }
            }
            Ok(found)
        })?;
        Ok(found)
    }

    /// See [`Workspace::run_ids`](crate::Workspace::run_ids).
    pub(crate) fn run_ids(&self) -> Result<Vec<RunId>> {
        self.readable_ids(Some(RUN)).map(|(ids, _)| ids)
    }

    /// Ids of the runs of a kind, or of all; and what could not be read.
    pub(crate) fn readable_ids(&self, kind: Option<u8>) -> Result<(Vec<RunId>, Vec<String>)> {
        let (unreadable, ids) = self.run_query(|parts| {
            let mut ids = Vec::new();
            for (part, excluded) in &parts.parts {
                let kinds = part.run_ints(run::KIND)?;
                let of_kind = |ordinal: u32| kind.is_none_or(|kind| kinds.get(ordinal as usize) == i64::from(kind));
                for ordinal in (0..part.len() as u32).filter(|&at| !excluded.contains(at) && of_kind(at)) {
                    ids.push(part.run_id(ordinal)?);
                }
            }
            Ok(ids)
        })?;
        Ok((ids, unreadable))
    }

    /// The experiments with any run, of any kind and deleted or not; and what could not be read.
    pub(crate) fn experiments_in_use(&self) -> Result<(BTreeSet<ExperimentId>, Vec<String>)> {
        let (unreadable, used) = self.run_query(|parts| {
            let mut used = BTreeSet::new();
            for (part, excluded) in &parts.parts {
                let codes = part.run_ints(run::EXPERIMENT_CODES)?;
                for ordinal in (0..part.len() as u32).filter(|&at| !excluded.contains(at)) {
                    used.insert(part.experiment(codes.get(ordinal as usize) as usize)?);
                }
            }
            Ok(used)
        })?;
        Ok((used, unreadable))
    }

    /// Runs a query. Returns its answer, and the names of what could not be read for it. If the index of a pack is
    /// damaged, or the values in the pack that it names, rebuilds it from what verifies of the pack and runs the query
    /// again.
    pub(crate) fn run_query<T>(&self, mut query: impl FnMut(&Parts) -> Result<T>) -> Result<(Vec<String>, T)> {
        loop {
            let parts = self.search_parts()?;
            match query(&parts) {
                Err(error) if error.is_of_one_file() => {
                    if !error.path().map_or(Ok(false), |path| self.replace_index(path, &parts))? {
                        return Err(error);
                    }
                }
                answer => return Ok((parts.unreadable, answer?)),
            }
        }
    }

    /// Rebuilds the index of a pack in memory, if it was read from its file so far. `path` is that file, or the pack's.
    fn replace_index(&self, path: &Path, parts: &Parts) -> Result<bool> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(id) = paths::pack_id(name) else { return Ok(false) };
        let Some(pack) = self.refresh()?.packs().get(&id).cloned() else { return Ok(false) };
        match self.inner.indexes.lock().of_packs.get(&id) {
            // Another thread did it meanwhile.
            Some(index) if !parts.parts.iter().any(|(part, _)| Arc::ptr_eq(part, &index.part)) => return Ok(true),
            Some(index) if index.from_file => {}
            _ => return Ok(false),
        }
        let index = Arc::new(build_index(&pack)?);
        self.inner.indexes.lock().of_packs.insert(id, index);
        Ok(true)
    }

    /// Generation and deletion of experiments that were ever deleted or restored.
    pub(crate) fn deletions(&self) -> Result<Deletions> {
        let mut catalog = self.inner.catalog.lock();
        catalog.refresh()?;
        let changed = catalog.state().experiments.values().filter(|experiment| experiment.generation > 0);
        Ok(changed.map(|experiment| (experiment.id, (experiment.generation, experiment.deleted))).collect())
    }

    fn search_parts(&self) -> Result<Parts> {
        // Logs before packs: what leaves a log meanwhile is in a pack that is read later.
        let claims = self.claims(false)?;
        let live = self.live()?;
        let packs = self.refresh()?;
        packs.check()?;
        let mut unreadable = self.damage()?;
        unreadable.extend(live.unlisted.iter().chain(&live.unread_edits).map(Error::to_string));
        // Runs that are read in full report this themselves.
        let unclear_edits = live.has_unclear_edits();
        let reported = |name: &LogName| unclear_edits || name.run().is_some_and(|run| live.unclear.contains(&run));
        let lacking = self.lacking(&claims, &live.reaches, reported, &packs);
        unreadable.extend(lacking.iter().map(|(_, error)| error.to_string()));
        let scattered = self.scattered(&packs);
        let tombstones: Vec<RunKey> = self.inner.manifest.lock().state().touched().collect();
        let of_packs = scattered.iter().copied().chain(tombstones).map(|key| (key, Vec::new()));
        let mut over: BTreeMap<RunKey, LogMentions> = of_packs.collect();
        over.extend(live.runs);
        over.extend(live.unclear.iter().map(|&key| (key, Vec::new())));
        let edited = live.unclear_edits.iter().flat_map(LogMetadata::keys);
        edited.for_each(|(key, _)| _ = over.entry(key).or_default());

        let mut parts = Vec::with_capacity(packs.packs().len() + 3);
        for (&id, pack) in packs.packs() {
            let index = self.index_of(id, pack)?;
            let mut excluded = Bitmap::none(index.part.len());
            index.unreadable.iter().for_each(|&ordinal| excluded.insert(ordinal));
            if !index.unreadable.is_empty() {
                unreadable.push(format!("{} runs of {}", index.unreadable.len(), pack.pack().source().path.display()));
            }
            unreadable.extend_from_slice(&index.missing);
            over.keys().flat_map(|&key| pack.pack().rows_of(key)).for_each(|&row| excluded.insert(row));
            parts.push((Arc::clone(&index.part), excluded));
        }

        // Damaged runs are read in full, and reported, each time.
        let all_unclear = unclear_edits || !packs.broken().is_empty();
        let mut unclear: BTreeSet<RunKey> = if all_unclear { over.keys().copied().collect() } else { live.unclear };
        let clear = over.iter().filter(|(key, _)| !unclear.contains(key));
        let stamps = clear.map(|(&key, logs)| (key, logs.iter().map(|&(.., stamp)| stamp).collect())).collect();
        let make = |key: RunKey| match self.summary_of(None, key, &over[&key], &packs) {
            Ok(row) => Ok(row.map_or(Made::Nothing, |row| Made::Row(Box::new(row)))),
            Err(error) => {
                of_one_file(error)?;
                unclear.insert(key);
                Ok(Made::Unclear)
            }
        };
        let cached = self.inner.overlay.lock().update(packs.reading(), stamps, make)?;
        parts.extend(cached);
        if let Some(part) = self.part_in_full(unclear, &mut unreadable)? {
            parts.push(part);
        }
        // Files that may have data of any run are reported for each run.
        let mut reported = BTreeSet::new();
        unreadable.retain(|what| reported.insert(what.clone()));
        Ok(Parts { parts, unreadable })
    }

    /// The rows of runs that are read in full, because some of their data is damaged; what is goes to `unreadable`.
    fn part_in_full(
        &self,
        unclear: BTreeSet<RunKey>,
        unreadable: &mut Vec<String>,
    ) -> Result<Option<(Arc<IndexPart>, Bitmap)>> {
        let mut rows = Vec::new();
        for key in unclear {
            let (run, unread) = self.read_run(key, None)?;
            unreadable.extend(unread.iter().map(Error::to_string));
            let Some(run) = run else { continue };
            // A damaged page must not hide the run or its other metrics.
            let mut reader = run.salvage();
            rows.push(reader.summary()?);
            unreadable.extend(reader.messages());
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let none = Bitmap::none(rows.len());
        Ok(Some((Arc::new(IndexPart::build(&rows)?), none)))
    }

    /// Runs in more than one place of these packs.
    fn scattered(&self, packs: &PackSet) -> Arc<BTreeSet<RunKey>> {
        let ids: Vec<u128> = packs.packs().keys().copied().collect();
        let mut indexes = self.inner.indexes.lock();
        if let Some((known, scattered)) = &indexes.scattered
            && *known == ids
        {
            return Arc::clone(scattered);
        }
        let mut keys: Vec<RunKey> = packs.packs().values().flat_map(|pack| pack.pack().keys()).copied().collect();
        if packs.packs().len() > 1 {
            keys.sort_unstable();
        }
        let twice = keys.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        let scattered = Arc::new(twice);
        indexes.scattered = Some((ids, Arc::clone(&scattered)));
        indexes.of_packs.retain(|id, _| packs.packs().contains_key(id));
        scattered
    }

    /// The index of a pack: from its file or, if that is missing or damaged, built from the pack.
    fn index_of(&self, id: u128, pack: &OpenPack) -> Result<Arc<PackIndex>> {
        if let Some(index) = self.inner.indexes.lock().of_packs.get(&id) {
            return Ok(Arc::clone(index));
        }
        let path = paths::index(&self.inner.root, id);
        let from_file = match self.inner.storage.open_read(&path) {
            // It may have rows of runs that can no longer be found.
            Ok(_) if pack.pack().lost().is_some() => None,
            Ok(file) => IndexPart::from_file(file, &path, pack.pack()).ok(),
            // An unreadable index is rebuilt from the pack.
            Err(error) => of_one_file(Error::io("open", &path)(error)).map(|_| None)?,
        };
        let index = match from_file {
            Some(index) => {
                PackIndex { part: Arc::new(index), unreadable: Vec::new(), missing: Vec::new(), from_file: true }
            }
            None => build_index(pack)?,
        };
        let index = Arc::new(index);
        self.inner.indexes.lock().of_packs.insert(id, Arc::clone(&index));
        Ok(index)
    }

    /// Writes the index of a pack beside it, from `rows` if known. It is derived: if this fails, searches build it.
    pub(crate) fn write_index(&self, id: u128, pack: &OpenPack, rows: Option<Vec<RunSummary>>) -> Result<()> {
        let (rows, places) = match rows {
            Some(rows) => (Some(rows), places(pack.pack())?),
            None => {
                let PackRows { rows, places, missing } = read_rows(pack)?;
                (rows.into_iter().collect::<Option<_>>().filter(|_| missing.is_empty()), places)
            }
        };
        // An index must not contain rows of unreadable runs or partial statistics; searches rebuild it and know which
        // they are.
        let Some(rows) = rows else { return Ok(()) };
        let bytes = IndexPart::image_of_pack(&rows, &places)?;
        let path = paths::index(&self.inner.root, id);
        let storage = &*self.inner.storage;
        let Making { path: temporary, file, .. } =
            making::begin(storage, &self.inner.root.join(paths::TEMPORARY), "index")?;
        let written = file.write_at(&bytes, 0).and_then(|()| file.sync()).map_err(Error::io("write", &temporary));
        let renamed = written.and_then(|()| storage.rename(&temporary, &path).map_err(Error::io("publish", &path)));
        if renamed.is_err() {
            let _ = storage.remove_file(&temporary);
        }
        renamed
    }
}

/// Whether a run counts as deleted, itself or with its experiment.
pub(crate) fn counts_as_deleted(deletions: &Deletions, experiment: ExperimentId, generation: u64, own: bool) -> bool {
    match deletions.get(&experiment) {
        Some(&(changed, deleted)) if generation < changed => deleted,
        _ => own,
    }
}

/// The locations of a pack's points.
fn places(pack: &Pack) -> Result<Places> {
    let mut places = Places::new(pack.id());
    (0..pack.row_group_count()).try_for_each(|group| pack.group(group).map(|group| places.add(&group)))?;
    Ok(places)
}

/// The rows of a pack's runs.
struct PackRows {
    /// In order; `None` for an unreadable run.
    rows: Vec<Option<RunSummary>>,
    /// The locations of their points, if all row groups can be read.
    places: Places,
    /// Messages about points missing from the statistics.
    missing: Vec<String>,
}

fn read_rows(pack: &OpenPack) -> Result<PackRows> {
    let mut rows = Vec::with_capacity(pack.pack().len());
    let (mut places, mut missing) = (Places::new(pack.pack().id()), Vec::new());
    for index in 0..pack.pack().row_group_count() {
        let of_group = pack.pack().rows(index);
        let group = match pack.group(index as u32) {
            Err(error) => {
                of_one_file(error)?;
                rows.extend(of_group.map(|_| None));
                continue;
            }
            Ok(group) => group,
        };
        places.add(group.group());
        for run in 0..of_group.len() as u32 {
            let run = group.part(run).and_then(|part| RunSnapshot::merge(vec![part]));
            let Some(run) = run else {
                rows.push(None);
                continue;
            };
            let mut reader = run.salvage();
            rows.push(Some(reader.summary()?));
            missing.extend(reader.messages());
        }
    }
    Ok(PackRows { rows, places, missing })
}

/// Builds the index of a pack. Unreadable runs get an empty row, which searches skip.
fn build_index(pack: &OpenPack) -> Result<PackIndex> {
    let PackRows { rows, missing, .. } = read_rows(pack)?;
    let unreadable = (0..).zip(&rows).filter(|(_, row)| row.is_none()).map(|(ordinal, _)| ordinal).collect();
    let empty = |row: u32| {
        let id = RunId::of_key(pack.pack().key(row));
        summary_of(&RunState::new(id, ExperimentId::DEFAULT, String::new()), BTreeMap::new())
    };
    let rows: Vec<RunSummary> = (0..).zip(rows).map(|(at, row)| row.unwrap_or_else(|| empty(at))).collect();
    Ok(PackIndex { part: Arc::new(IndexPart::build(&rows)?), unreadable, missing, from_file: false })
}

/// Verifies an index file, without the values it refers to in its pack.
pub(crate) fn check_index(storage: &dyn Storage, root: &Path, path: &Path) -> Result<()> {
    let id = path.file_name().and_then(|name| paths::pack_id(name.to_str()?));
    let id = id.ok_or_else(|| Error::corrupt(path, 0, "no name of an index"))?;
    let open = || storage.open_read(path).map_err(Error::io("open", path));
    IndexPart::verify_bytes(open()?, path)?;
    let pack = match packs::open(storage, root, id) {
        Err(Error::Corrupt { .. } | Error::NewerFormat { .. }) => return Ok(()),
        other => Arc::new(other?),
    };
    match IndexPart::from_file(open()?, path, &pack)?.verify() {
        Err(Error::Corrupt { path: of, .. }) if of != path => Ok(()),
        other => other,
    }
}
