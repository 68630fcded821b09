//! Makes a run durable: everything that any writer on this machine has logged.
//!
//! The data of other writers is in their logs and tails, in edit logs, and in packs:
//!
//! - Logs of this handle's writers are synced through their watermarks.
//! - What others wrote and no ledger calls synced is rewritten before it is synced: if a sync failed for its writer,
//!   the kernel may have dropped it, and reports that only once.
//! - Of a writer that is gone, log and tail are rewritten and synced. They do not change any more.
//! - Of a live writer in another process, the frames of the log are rewritten and synced, and the tail is synced. But
//!   that writer reuses its slots without syncing its log first. So when a run finishes, points that are only in such a
//!   tail are put into a pack.
//! - Packs are synced before they are named, and so are manifest and catalog entries, except for their names if the
//!   publisher was just killed. Those names are synced.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashMap;

use crate::base::ids::{RunId, WriterId};
use crate::error::{Error, Result, of_one_file};
use crate::folder::paths::{self, LogName};
use crate::journal::chain::{Journal, State};
use crate::run::log_view::LogView;
use crate::run::pack::pack_runs;
use crate::run::snapshot::{RunPart, RunSnapshot};
use crate::run::watermark::Watermark;
use crate::storage::{File, sync_again};
use crate::workspace::read::logs::{is_abandoned, part_of};
use crate::workspace::state::known_durable::LOGS_MAX;
use crate::workspace::state::ledgers::Claim;
use crate::workspace::state::shared::Shared;

/// A log's ledger line, and the log's bytes and points.
type Reached<'c> = (&'c Claim, u64, u64);

/// Synced logs of others, whose names may not be durable yet.
#[derive(Default)]
struct Synced<'c> {
    /// The folders with their names.
    folders: BTreeSet<PathBuf>,
    /// Closed logs.
    logs: Vec<(LogName, Option<Reached<'c>>)>,
}

impl Shared {
    /// See [`Workspace::sync_run`](crate::Workspace::sync_run).
    pub(crate) fn sync_run(&self, id: &RunId) -> Result<()> {
        self.sync_others(id, None, false, true)
    }

    /// The same without the log of `writer`. `alone`: no other log has the run. Unless `for_good`, points in the tail
    /// of another process' writer are durable only until it reuses their slots.
    pub(crate) fn sync_others(&self, id: &RunId, writer: Option<WriterId>, alone: bool, for_good: bool) -> Result<()> {
        let mut first = Ok(());
        let mut note = |done: Result<()>| {
            if first.is_ok() {
                first = done;
            }
        };
        if !alone {
            note(self.sync_logs(id, writer, for_good));
        }
        // After the logs: what left one by now is in a pack.
        note(self.sync_names_of_packs(id));
        note(self.sync_names_of_experiments());
        first
    }

    /// Syncs the logs that mention a run, except that of `writer`.
    fn sync_logs(&self, id: &RunId, writer: Option<WriterId>, for_good: bool) -> Result<()> {
        let mut first = Ok(());
        let (mut synced, mut open) = (Synced::default(), Vec::new());
        let claims = self.claims_of(id.key())?;
        let claims: FxHashMap<WriterId, &Claim> = claims.iter().map(|claim| (claim.writer(), claim)).collect();
        let mut names = self.run_log_names(id.key())?;
        match self.edit_log_names() {
            Ok(edits) => names.extend(edits),
            // Treated as unreadable.
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
                // Compaction removed the empty folder, so packs have its contents.
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

    /// Remembers closed logs that are durable now, and records it in their ledgers.
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

    /// Syncs a log that mentions a run, with its tail, and adds it to `done`. What its ledger calls synced is not
    /// rewritten. Returns the log's part of the run if it may have a live writer and points only in its tail.
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
        // A damaged one may mention it.
        if let Err(error @ Error::Io { .. }) = metadata {
            return of_one_file(error).map(|_| None);
        }
        let log = self.open_to_sync(&name.log())?;
        // The lock keeps others from the files while they are rewritten.
        let free = log.as_ref().is_some_and(|log| is_abandoned(&**log).unwrap_or(false));
        // The line of an ended log has its length, unless a power loss took some of the log since.
        let ended = claim.filter(|claim| free && claim.is_alive()).and_then(Claim::end);
        let view = if ended.is_some() { None } else { self.read_log(name).ok().flatten() };
        let synced = claim.map_or(0, Claim::synced_len);
        if let Some(log) = &log {
            let framed = view.as_ref().map_or(0, |view| view.log().at.end());
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
            let reach = ended.or_else(|| view.as_ref().map(|view| (view.log().at.end(), view.log().sequence_end())));
            let reach = claim.and_then(|claim| reach.map(|(len, points)| (claim, len, points)));
            done.logs.push((name.clone(), reach));
        }
        let in_tail = |view: &LogView| !free && !view.log().read.slots.is_empty() && view.damage().next().is_none();
        Ok(view.filter(in_tail).and_then(|view| part_of(&view, id)))
    }

    /// Opens a file for syncing, if it exists.
    fn open_to_sync(&self, path: &Path) -> Result<Option<Box<dyn File>>> {
        match self.inner.storage.open_write(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", path)(error)),
        }
    }

    /// The watermark of a log of this handle's writers.
    fn watermark_of(&self, log: &Path) -> Option<Arc<Watermark>> {
        self.inner.writers.lock().iter().find(|writer| writer.is_of(|own| own == log)).cloned()
    }

    /// Makes all edits of this handle ([`Self::edit_run`] and others) durable.
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

/// Makes all entries of a journal durable, unless the last one is known to be.
fn sync_names<S: State>(journal: &mut Journal<S>, durable: &AtomicU64) -> Result<()> {
    journal.refresh()?;
    if journal.number() > durable.load(Ordering::Acquire) {
        journal.sync()?;
        durable.fetch_max(journal.number(), Ordering::AcqRel);
    }
    Ok(())
}
