//! Making a run survive a power loss: all that it was given by now, by whichever writer on this machine.
//!
//! What others gave the run lies in their logs and tails, in logs of edits, and in packs:
//!
//! - A log of a writer of this handle is synced through its watermark, like its writer does.
//! - What others wrote and no ledger calls synced is written once more before it is synced: if a sync failed for its
//!   writer, the kernel may have dropped it, and tells nobody who comes later.
//! - Of a writer that is gone, log and tail are written and synced so. They do not change any more.
//! - Of a writer elsewhere that may go on, the log is too, as far as its frames go, and the tail is synced. But the
//!   writer uses the slots of its tail again, and nobody tells it to sync its log before: when a run ends, what such a
//!   log has is put into a pack if some of it is in the tail alone.
//! - Packs are synced before they are named; so is the entry that names them, but for its own name, if its publisher
//!   was killed just then. The same holds for the entry of the run's experiment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::ids::{RunId, WriterId};
use crate::error::{Error, Result, of_one_file};
use crate::folder::paths::{self, LogName};
use crate::journal::chain::{Journal, State};
use crate::run::log_view::LogView;
use crate::run::pack::pack_runs;
use crate::run::snapshot::{RunPart, RunSnapshot};
use crate::run::watermark::Watermark;
use crate::storage::{File, sync_again};
use crate::workspace::evidence::Claim;
use crate::workspace::logs::{is_abandoned, part_of};
use crate::workspace::open::Workspace;

/// Of more logs than this it is forgotten that they survive.
const LOGS_MAX: usize = 4096;

/// What this handle knows to survive a power loss, beside what it wrote itself.
#[derive(Debug, Default)]
pub struct Durable {
    /// Logs that do not change any more.
    logs: Mutex<FxHashSet<LogName>>,
    /// Through which entry the names in the manifest's folder survive, and in the catalog's.
    manifest: AtomicU64,
    catalog: AtomicU64,
}

/// What a ledger says of a log, and how many bytes and points the log has.
type Reached<'c> = (&'c Claim, u64, u64);

/// Logs of others that were synced, whose names may not survive yet.
#[derive(Default)]
struct Synced<'c> {
    /// Folders that have their names.
    folders: BTreeSet<PathBuf>,
    /// Those that nobody writes any more.
    logs: Vec<(LogName, Option<Reached<'c>>)>,
}

impl Workspace {
    /// Makes all that a run was given by now survive a power loss: by writers of this handle and by any other
    /// on this machine, open, closed or killed, as points, words or edits; and its experiment. Costs some syncs for
    /// each log of the run that has something new, and a pack where a writer elsewhere has points in its tail. A log of
    /// edits that cannot be read is in no answer about any run, which [`RunSnapshot::damage`] tells; it is left out.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`], [`Error::Io`] of the first that could not be synced; the others are.
    pub fn sync_run(&self, id: &RunId) -> Result<()> {
        self.sync_others(id, None, false, true)
    }

    /// The same without the log of `writer`. `alone` says that no other log speaks of the run. Where it is not
    /// `for_good`, points in the tail of a writer elsewhere survive until that one uses their slots again.
    pub(super) fn sync_others(&self, id: &RunId, writer: Option<WriterId>, alone: bool, for_good: bool) -> Result<()> {
        let mut first = Ok(());
        let mut note = |done: Result<()>| {
            if first.is_ok() {
                first = done;
            }
        };
        if !alone {
            note(self.sync_logs(id, writer, for_good));
        }
        // Behind the logs: what left one by now is in a pack.
        note(self.sync_names_of_packs(id));
        note(self.sync_names_of_experiments());
        first
    }

    /// Syncs the logs that speak of a run, but for that of `writer`.
    fn sync_logs(&self, id: &RunId, writer: Option<WriterId>, for_good: bool) -> Result<()> {
        let mut first = Ok(());
        let (mut synced, mut open) = (Synced::default(), Vec::new());
        let claims = self.claims_of(id.key())?;
        let claims: FxHashMap<WriterId, &Claim> = claims.iter().map(|claim| (claim.writer(), claim)).collect();
        let mut names = self.run_log_names(id.key())?;
        match self.edit_log_names() {
            Ok(edits) => names.extend(edits),
            // As one that cannot be read.
            Err(error) => _ = of_one_file(error)?,
        }
        for name in names.into_iter().filter(|name| Some(name.writer) != writer) {
            match self.sync_log(&name, id, claims.get(&name.writer).copied(), &mut synced) {
                Ok(part) => open.extend(part.filter(|_| for_good)),
                Err(error) if first.is_ok() => first = Err(error),
                Err(_) => {}
            }
        }
        let mut are_named = true;
        for folder in synced.folders {
            match self.inner.storage.sync_dir(&folder).map_err(Error::io("sync", &folder)) {
                // Compaction took it away when it was empty, so packs have what was in it.
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    are_named = false;
                    first = first.and(Err(error));
                }
                Ok(()) => {}
            }
        }
        if are_named {
            self.note_durable(synced.logs);
        }
        if let Some(run) = RunSnapshot::merge(open) {
            let mut runs = [Ok(run)].into_iter();
            self.publish_pack(|pack| pack_runs(pack, &mut runs), &[], |_| true)?;
        }
        first
    }

    /// Remembers logs that nobody writes any more and that survive by now, and says so in their ledgers.
    fn note_durable(&self, logs: Vec<(LogName, Option<Reached<'_>>)>) {
        for (name, reach) in logs {
            if let Some((claim, len, points)) = reach {
                self.note_synced(claim, len, points);
            }
            let mut durable = self.inner.durable.logs.lock();
            if durable.len() >= LOGS_MAX {
                durable.clear();
            }
            durable.insert(name);
        }
    }

    /// Syncs a log if it speaks of a run, and its tail, and adds it to `done`. What its ledger calls synced is not
    /// written again. Gives what the log has if somebody may write it who holds some of it in the tail alone.
    fn sync_log<'c>(
        &self,
        name: &LogName,
        id: &RunId,
        claim: Option<&'c Claim>,
        done: &mut Synced<'c>,
    ) -> Result<Option<RunPart>> {
        if self.inner.durable.logs.lock().contains(name) {
            return Ok(None);
        }
        let metadata = if name.run().is_none() { self.edit_log_metadata(name) } else { Ok(None) };
        if matches!(&metadata, Ok(Some(metadata)) if !metadata.mentions(id)) {
            return Ok(None);
        }
        if let Some(own) = self.watermark_of(&name.log()) {
            return own.sync().map(|_| None);
        }
        // One that does not verify may speak of it.
        if let Err(error @ Error::Io { .. }) = metadata {
            return of_one_file(error).map(|_| None);
        }
        let log = self.open_to_sync(&name.log())?;
        // The lock keeps everybody from the files as long as they are written.
        let free = log.as_ref().is_some_and(|log| is_abandoned(&**log).unwrap_or(false));
        // A line of a log that ended says itself how far it goes.
        let ended = claim.and_then(|claim| claim.end()).filter(|_| free);
        let view = if ended.is_some() { None } else { self.read_log(name).ok().flatten() };
        let synced = claim.map_or(0, Claim::synced_len);
        if let Some(log) = &log {
            let framed = view.as_ref().map_or(0, |view| view.log().end);
            let end = if free { u64::MAX } else { framed };
            sync_again(&**log, synced, end).map_err(Error::io("sync", &name.log()))?;
        }
        if let Some(tail) = self.open_to_sync(&name.tail())? {
            let synced = if free { sync_again(&*tail, 0, u64::MAX) } else { tail.sync() };
            synced.map_err(Error::io("sync", &name.tail()))?;
        }
        if log.is_some() {
            done.folders.insert(name.dir.clone());
            done.folders.extend(name.run().and(name.dir.parent()).map(Path::to_owned));
        }
        if free {
            let reach = ended.or_else(|| view.as_ref().map(|view| (view.log().end, view.log().sequence_end())));
            // Packs need not show that they have a log of edits, so that one that compaction removed would be missed.
            let claim = claim.filter(|_| name.run().is_some());
            let reach = claim.and_then(|claim| reach.map(|(len, points)| (claim, len, points)));
            done.logs.push((name.clone(), reach));
        }
        let in_tail = |view: &LogView| !free && !view.log().slots.is_empty() && view.damage().next().is_none();
        Ok(view.filter(in_tail).and_then(|view| part_of(&view, id)))
    }

    /// Opens a file for a sync, if it is there.
    fn open_to_sync(&self, path: &Path) -> Result<Option<Box<dyn File>>> {
        match self.inner.storage.open_write(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", path)(error)),
        }
    }

    /// The watermark of a log that a writer of this handle writes or wrote.
    fn watermark_of(&self, log: &Path) -> Option<Arc<Watermark>> {
        self.inner.writers.lock().iter().find(|writer| writer.is_of(|own| own == log)).cloned()
    }

    /// Makes all edits of this handle ([`Self::edit_run`] and others) survive a power loss.
    ///
    /// # Errors
    /// As [`Self::sync_run`].
    pub(crate) fn sync_edits(&self) -> Result<()> {
        let dir = self.inner.root.join(paths::EDITS);
        let writers = self.inner.writers.lock().clone();
        let mut of_edits = writers.iter().filter(|writer| writer.is_of(|log| log.parent() == Some(&dir)));
        of_edits.try_for_each(|writer| writer.sync().map(|_| ()))
    }

    fn sync_names_of_packs(&self, id: &RunId) -> Result<()> {
        if self.refresh()?.find(id.key()).next().is_none() {
            return Ok(());
        }
        let mut manifest = self.inner.manifest.lock();
        sync_names(&mut manifest, &self.inner.durable.manifest)
    }

    fn sync_names_of_experiments(&self) -> Result<()> {
        sync_names(&mut self.inner.catalog.lock(), &self.inner.durable.catalog)
    }
}

/// Makes all entries of a journal survive, unless that is known of the last one.
fn sync_names<S: State>(journal: &mut Journal<S>, durable: &AtomicU64) -> Result<()> {
    journal.refresh()?;
    if journal.number() > durable.load(Ordering::Acquire) {
        journal.sync()?;
        durable.fetch_max(journal.number(), Ordering::AcqRel);
    }
    Ok(())
}
