//! Compaction: moves closed logs into packs, and small packs into larger ones.
//!
//! Readers see the same before, during and after. A log is removed only after the pack with its points, the pack's
//! name, and its manifest entry are durable. Readers read logs before packs, so they find each point at least once and
//! count it once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use crate::base::ids::{RunId, RunKey, WriterId};
use crate::error::{Error, Result, of_one_file};
use crate::folder::paths::{self, LogName};
use crate::journal::manifest::{Change, Manifest};
use crate::run::log_view::LogView;
use crate::run::pack::{Packed, pack_runs};
use crate::run::snapshot::RunPart;
use crate::workspace::compact::unlisted::{LeftoverOptions, has_all};
use crate::workspace::read::logs::{is_blank, part_of};
use crate::workspace::read::parts::keep_readable;
use crate::workspace::read::parts::{merge, name_alike, pack_parts};
use crate::workspace::state::folders::path_and_reason;
use crate::workspace::state::ledgers::{Claim, Reach};
use crate::workspace::state::packs::PackSet;
use crate::workspace::state::shared::Shared;

/// Most logs per pack; their views are in memory meanwhile.
const LOGS_AT_ONCE: usize = 4096;
/// This many packs of similar size are merged.
const MERGE_AT: usize = 8;
/// Packs of at least this size are not merged, in bytes.
const MERGE_BELOW: u64 = 1 << 30;
/// Row groups of at least this size are copied instead of encoded again, in bytes.
const COPY_FROM: u64 = 256 << 10;

/// What a compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Another process was compacting, so nothing was done.
    pub busy: bool,
    /// Packed logs.
    pub logs: u64,
    /// Runs packed from them.
    pub runs: u64,
    /// Points packed from them.
    pub points: u64,
    /// Merged packs.
    pub packs_merged: u64,
    /// Damaged logs and packs that were left as they are: paths and reasons.
    pub skipped: Vec<(std::path::PathBuf, String)>,
    /// Unlisted files that stay, and why: see `Leftovers`.
    pub unlisted: Vec<(std::path::PathBuf, String)>,
}

/// How to compact.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompactOptions {
    /// Also pack logs whose locks cannot be trusted, as on network file systems. Use it only if their writers are known
    /// to be gone.
    pub take_over: bool,
}

impl Shared {
    /// See [`Maintenance::compact`](crate::maintenance::Maintenance::compact).
    pub(crate) fn compact(&self, options: CompactOptions) -> Result<Compacted> {
        self.compact_by(options, false)
    }

    /// Compacts. With `salvage` also packs what verifies of damaged logs and moves the originals to quarantine.
    pub(crate) fn compact_by(&self, options: CompactOptions, salvage: bool) -> Result<Compacted> {
        let mut done = Compacted::default();
        self.end_edit_log()?;
        let Some(_lock) = self.compaction_lock()? else {
            done.busy = true;
            return Ok(done);
        };
        self.claims(true)?;
        let (mut names, unlisted) = self.all_log_names()?;
        done.skipped.extend(unlisted.iter().filter_map(|error| Some((error.path()?.to_owned(), error.to_string()))));
        done.skipped.extend(self.damaged_packs()?);
        if let Some(blocked) = self.packs_blocked()?.or(self.manifest_blocked()?) {
            done.skipped.push(blocked);
        } else {
            // Logs of one run stay together.
            names.sort();
            for names in names.chunks(LOGS_AT_ONCE) {
                self.pack_logs(names, options, salvage, &mut done)?;
            }
            self.merge_packs(&mut done)?;
        }
        let leftovers = LeftoverOptions { take_over: options.take_over, ..LeftoverOptions::default() };
        done.unlisted = self.remove_leftovers(leftovers)?.skipped;
        self.remove_empty_folders();
        if let Err(error) = self.remove_spent_ledgers() {
            done.skipped.push(path_and_reason(error)?);
        }
        done.unlisted.retain(|(path, _)| !done.skipped.iter().any(|(left, _)| left == path));
        Ok(done)
    }

    /// Packs that cannot be opened, or only around their damage.
    fn damaged_packs(&self) -> Result<Vec<(PathBuf, String)>> {
        let packs = self.refresh()?;
        let broken = packs.broken().iter().map(|(&id, error)| (id, error.to_string()));
        let read_around = packs.packs().iter().filter_map(|(&id, pack)| Some((id, pack.pack().damage().first()?)));
        let read_around = read_around.map(|(id, error)| (id, error.to_string()));
        let all: BTreeMap<u128, String> = read_around.chain(broken).collect();
        Ok(all.into_iter().map(|(id, why)| (paths::pack(&self.inner.root, id), why)).collect())
    }

    /// Removes empty log folders, which every search would list. Writers create missing folders.
    fn remove_empty_folders(&self) {
        let logs = self.inner.root.join(paths::LOGS);
        // Unlistable folders were reported before.
        for entry in self.inner.storage.read_dir(&logs).unwrap_or_default() {
            if entry.is_dir && paths::is_log_folder(&entry.name) {
                // Fails if it is not empty.
                let _ = self.inner.storage.remove_dir(&logs.join(entry.name));
            }
        }
    }

    /// The compaction lock, which only saves duplicate work. Correctness does not need it.
    fn compaction_lock(&self) -> Result<Option<Box<dyn crate::storage::File>>> {
        let path = self.inner.root.join(paths::MARKER);
        let file = self.inner.storage.open_write(&path).map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(false) => Ok(None),
            // Without locks, publishing decides.
            Ok(true) | Err(_) => Ok(Some(file)),
        }
    }

    /// Whether a log has no writer any more.
    pub(crate) fn is_closed(&self, name: &LogName, view: &LogView, options: CompactOptions) -> bool {
        if view.log().at.has_ended() || options.take_over {
            return true;
        }
        // A log never gets another writer, so a free lock stays free.
        self.is_free(name).unwrap_or(false)
    }

    /// Whether a closed log exists whose first frame is damaged.
    fn is_headless(&self, name: &LogName) -> bool {
        self.is_free(name).unwrap_or(false) && !is_blank(&*self.inner.storage, name)
    }

    /// Packs these logs. A run with a damaged page is left out, so that it does not block the others.
    pub(crate) fn pack_logs(
        &self,
        names: &[LogName],
        options: CompactOptions,
        salvage: bool,
        done: &mut Compacted,
    ) -> Result<()> {
        let mut damaged: BTreeSet<RunKey> = BTreeSet::new();
        loop {
            let mut attempt = Compacted::default();
            let names = names.iter().filter(|name| name.run().is_none_or(|run| !damaged.contains(&run)));
            let names: Vec<&LogName> = names.collect();
            match self.pack_readable(&names, options, salvage, &mut attempt) {
                Ok(()) => {
                    done.logs += attempt.logs;
                    done.runs += attempt.runs;
                    done.points += attempt.points;
                    done.skipped.append(&mut attempt.skipped);
                    return Ok(());
                }
                Err(error) => {
                    let error = of_one_file(error)?;
                    let of = |path: &Path| names.iter().find(|name| name.log() == path).and_then(|name| name.run());
                    // The error is in the pack just written, not in a log.
                    let Some((path, run)) = error.path().and_then(|path| Some((path, of(path)?))) else {
                        return Err(error);
                    };
                    damaged.insert(run);
                    done.skipped.push((path.to_owned(), error.to_string()));
                }
            }
        }
    }

    fn pack_readable(
        &self,
        names: &[&LogName],
        options: CompactOptions,
        salvage: bool,
        done: &mut Compacted,
    ) -> Result<()> {
        let packs = self.refresh()?;
        let Readable { taken, parts, packed } = self.read_closed(names, options, salvage, &packs, done)?;
        if taken.is_empty() {
            return Ok(());
        }
        if packed {
            self.sync_entries()?;
            self.check_names(&packs)?;
        }
        let manifest = self.manifest()?;
        let one = |(key, mut parts): (RunKey, Vec<RunPart>)| {
            name_alike(&mut parts, None, key);
            merge(parts, &manifest)
        };
        let mut runs = parts.into_iter().filter_map(one).map(Ok);
        let (mut packed_runs, mut packed_points) = (0, 0);
        let published = self.publish_pack(
            |pack| {
                let packed = pack_runs(pack, &mut runs)?;
                (packed_runs, packed_points) = (packed.runs, packed.points);
                Ok(packed)
            },
            &[],
            |_| true,
        )?;
        // Leave the logs to the next compaction.
        if published.is_none() && packed_runs > 0 || published.is_some_and(|published| !published.stands) {
            return Ok(());
        }
        done.runs += packed_runs;
        done.points += packed_points;
        for (name, whole) in taken {
            // A pack has its points; if it cannot be quarantined it stays.
            if let Err(error) = self.retire_log(name, whole) {
                done.skipped.push(path_and_reason(error)?);
            }
        }
        Ok(())
    }

    /// Reads the closed ones of these logs, as far as they are readable.
    fn read_closed<'n>(
        &self,
        names: &[&'n LogName],
        options: CompactOptions,
        salvage: bool,
        packs: &PackSet,
        done: &mut Compacted,
    ) -> Result<Readable<'n>> {
        let mut read = Readable::default();
        let claims: FxHashMap<WriterId, Claim> =
            self.claims(false)?.into_iter().map(|claim| (claim.writer(), claim)).collect();
        for &name in names {
            let Some(view) = self.read_if_closed(name, options, salvage, done)? else { continue };
            let ids: Vec<RunId> = view.metadata().ids().cloned().collect();
            // What is missing is known only while log and ledger line exist.
            let missing =
                claims.get(&name.writer).and_then(|claim| self.missing(claim, Some(Reach::of(view.metadata()))));
            if let Some(error) = missing.as_ref().filter(|_| !salvage) {
                done.skipped.push((name.log(), error.to_string()));
                continue;
            }
            let mut whole = missing.is_none() && view.damage().next().is_none() && view.log().read.torn.is_none();
            whole = whole && self.tail_is_whole(name, &view)?;
            for id in ids {
                let Some(mut part) = part_of(&view, &id) else { continue };
                if salvage {
                    whole &= keep_readable(&mut part)?;
                }
                if is_packed(packs, &id, &part)? {
                    read.packed = true;
                } else {
                    read.parts.entry(id.key()).or_default().push(part);
                }
            }
            read.taken.push((name, whole));
            done.logs += 1;
        }
        Ok(read)
    }

    /// A log, if it is closed and readable; why it is not goes to `done`.
    fn read_if_closed(
        &self,
        name: &LogName,
        options: CompactOptions,
        salvage: bool,
        done: &mut Compacted,
    ) -> Result<Option<LogView>> {
        Ok(match self.read_log(name) {
            // Check that the log is closed before reading it, so that nothing is missed.
            Ok(Some(view)) if self.is_closed(name, &view, options) => self.read_log(name)?,
            // Its first frame is damaged and nothing in it was synced; later frames may be salvaged.
            Ok(None) if salvage && self.is_headless(name) => {
                done.skipped.push((name.log(), "a log's first frame does not verify".into()));
                None
            }
            Ok(_) => None,
            Err(error) => {
                done.skipped.push((name.log(), of_one_file(error)?.to_string()));
                None
            }
        })
    }

    /// Removes a log whose points a pack has; a damaged one moves to quarantine.
    pub(crate) fn retire_log(&self, name: &LogName, whole: bool) -> Result<()> {
        let claim = self.claim_of(name)?;
        self.retire_line(name)?;
        self.inner.read_logs.lock().forget(name);
        let storage = &*self.inner.storage;
        let (log, tail) = (name.log(), name.tail());
        let gone = |result: std::io::Result<()>| match result {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        if whole {
            gone(storage.remove_file(&log)).map_err(Error::io("remove", &log))?;
            gone(storage.remove_file(&tail)).map_err(Error::io("remove", &tail))?;
        } else {
            for path in [&log, &tail] {
                self.keep_original(path)?;
            }
        }
        claim.map_or(Ok(()), |claim| self.keep_retired(&claim))
    }

    /// Merges packs of similar size while there are many.
    fn merge_packs(&self, done: &mut Compacted) -> Result<()> {
        let mut damaged: BTreeSet<u128> = BTreeSet::new();
        loop {
            let packs = self.refresh()?;
            let mut manifest = self.manifest()?;
            let is_whole = |id: &u128| packs.packs().get(id).is_some_and(|pack| pack.pack().damage().is_empty());
            manifest.packs.retain(|id, _| is_whole(id) && !damaged.contains(id));
            let chosen = choose_merge(&manifest);
            if chosen.is_empty() {
                return Ok(());
            }
            // Row groups with permanently deleted data are not copied as they are.
            let deleted: BTreeSet<RunKey> = manifest.touched().collect();
            match self.rewrite(&packs, &chosen, &[], &deleted) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // A damaged pack does not block merging the others.
                Err(error) => {
                    let error = of_one_file(error)?;
                    let of = |path: &Path| paths::pack_id(path.file_name()?.to_str()?).filter(|id| chosen.contains(id));
                    let Some((path, id)) = error.path().and_then(|path| Some((path, of(path)?))) else {
                        return Err(error);
                    };
                    damaged.insert(id);
                    done.skipped.push((path.to_owned(), error.to_string()));
                    continue;
                }
            }
            done.packs_merged += chosen.len() as u64;
        }
    }

    /// Rewrites packs as one, without what tombstones cover, and publishes it with `changes`. Returns whether it did.
    pub(crate) fn rewrite(
        &self,
        packs: &PackSet,
        ids: &[u128],
        changes: &[Change],
        purged: &BTreeSet<RunKey>,
    ) -> Result<bool> {
        let mut changes = changes.to_vec();
        changes.extend(ids.iter().map(|&id| Change::Drop { id }));
        let mut after = self.manifest()?;
        changes.iter().for_each(|change| crate::journal::chain::State::apply(&mut after, change));
        let chosen: Vec<_> = ids.iter().filter_map(|id| packs.packs().get(id)).collect();
        if chosen.len() < ids.len() {
            // One cannot be opened: merging would lose what may be repairable.
            return Ok(false);
        }
        if let Some(lost) = ids.iter().find_map(|id| packs.broken().get(id)) {
            return Err(lost.again());
        }
        let mut places: BTreeMap<RunKey, u32> = BTreeMap::new();
        chosen.iter().flat_map(|pack| pack.pack().keys()).for_each(|&key| *places.entry(key).or_default() += 1);
        let published = self.publish_pack(
            |writer| {
                let mut total = Packed::default();
                let mut again: BTreeMap<RunId, Vec<RunPart>> = BTreeMap::new();
                for pack in &chosen {
                    for index in 0..pack.pack().row_group_count() as u32 {
                        let group = pack.group(index)?;
                        let keys = || group.states().iter().map(|state| state.id.key());
                        let alone = keys().all(|key| places.get(&key) == Some(&1) && !purged.contains(&key));
                        if alone && pack.pack().row_group_extent(index as usize).1 >= COPY_FROM {
                            writer.copy_row_group(group.group(), keys())?;
                            let footer = group.group().footer();
                            total.runs += footer.runs as u64;
                            total.series += footer.series.len() as u64;
                            total.points += footer.points;
                            continue;
                        }
                        for (run, state) in group.states().iter().enumerate() {
                            again.entry(state.id.clone()).or_default().extend(group.part(run as u32));
                        }
                    }
                }
                let mut runs = again.into_values().filter_map(|parts| merge(parts, &after)).map(Ok);
                let packed = pack_runs(writer, &mut runs)?;
                total.runs += packed.runs;
                total.series += packed.series;
                total.points += packed.points;
                Ok(total)
            },
            &changes,
            |manifest| ids.iter().all(|id| manifest.packs.contains_key(id)),
        )?;
        // A pack without runs is not published, but the changes are.
        Ok(published.is_some())
    }

    /// Makes every entry that was read durable: its publisher may have died before syncing it.
    pub(crate) fn sync_entries(&self) -> Result<()> {
        self.inner.manifest.lock().sync()
    }
}

/// Closed logs as read for packing.
#[derive(Default)]
struct Readable<'n> {
    /// The logs, and whether each is whole.
    taken: Vec<(&'n LogName, bool)>,
    /// What packs lack of each run.
    parts: BTreeMap<RunKey, Vec<RunPart>>,
    /// Whether packs have some of it already.
    packed: bool,
}

/// Whether packs already have all of a part: a compaction may have stopped between publishing and removing the log.
fn is_packed(packs: &PackSet, id: &RunId, part: &RunPart) -> Result<bool> {
    match pack_parts(packs, id) {
        // What cannot be read does not count.
        Err(error) => of_one_file(error).map(|_| false),
        Ok(parts) => Ok(has_all(parts, part)),
    }
}

/// The packs to merge: the smallest size class with at least [`MERGE_AT`] packs. Classes are factors of 8.
fn choose_merge(manifest: &Manifest) -> Vec<u128> {
    let mut classes: BTreeMap<u32, Vec<u128>> = BTreeMap::new();
    for (&id, entry) in &manifest.packs {
        if entry.bytes < MERGE_BELOW {
            classes.entry(entry.bytes.max(1 << 20).ilog2() / 3).or_default().push(id);
        }
    }
    classes.into_values().find(|ids| ids.len() >= MERGE_AT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::manifest::PackEntry;

    #[test]
    fn packs_of_a_like_size_are_merged_when_many() {
        let mut manifest = Manifest::default();
        let mut add = |id, bytes| manifest.packs.insert(id, PackEntry { runs: 1, series: 1, points: 1, bytes });
        (0..7).for_each(|id| _ = add(id, 1000));
        (10..17).for_each(|id| _ = add(id, 100 << 20));
        (20..40).for_each(|id| _ = add(id, 2 << 30));
        assert!(choose_merge(&manifest).is_empty());
        manifest.packs.insert(7, PackEntry { runs: 1, series: 1, points: 1, bytes: 5 });
        assert_eq!(choose_merge(&manifest), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
