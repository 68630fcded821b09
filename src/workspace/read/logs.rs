//! Finding and reading the logs of a workspace.

use std::io::ErrorKind;

use rustc_hash::FxHashSet;

use crate::base::ids::{RunId, RunKey, WriterId};
use crate::error::{Error, Result, of_one_file};
use crate::folder::making::{Maker, holder_of};
use crate::folder::paths::{self, LogName};
use crate::log::follower::{Depth, Unbegun, why_unbegun};
use crate::log::frame;
use crate::run::log_view::{Known, LogView};
use crate::run::snapshot::RunPart;
use crate::storage::{File, Storage};
use crate::workspace::state::known_logs::ReadLogs;
use crate::workspace::state::ledgers::{Reach, Reaches};
use crate::workspace::state::shared::Shared;

impl Shared {
    /// Names of the logs in a folder; none if the folder is missing.
    pub(crate) fn log_names(&self, dir: &std::path::Path) -> Result<Vec<LogName>> {
        match self.inner.storage.read_dir(dir) {
            Ok(entries) => Ok(entries.iter().filter_map(|entry| LogName::parse(dir, &entry.name)).collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::io("list", dir)(error)),
        }
    }

    /// Names of a run's logs.
    pub(crate) fn run_log_names(&self, run: RunKey) -> Result<Vec<LogName>> {
        let mut names = self.log_names(&paths::log_dir(&self.inner.root, run))?;
        names.retain(|name| name.run() == Some(run));
        self.inner.read_logs.lock().retain(|known| known.run() != Some(run) || names.contains(known));
        Ok(names)
    }

    /// Names of all logs, edit logs last, and errors of folders that cannot be listed, whose logs are unknown.
    ///
    /// # Errors
    /// [`Error::Io`] that concerns more than one folder.
    pub(crate) fn all_log_names(&self) -> Result<(Vec<LogName>, Vec<Error>)> {
        let (mut names, mut unread) = (Vec::new(), Vec::new());
        let logs = self.inner.root.join(paths::LOGS);
        let shards = or_report(self.inner.storage.read_dir(&logs).map_err(Error::io("list", &logs)), &mut unread)?;
        for shard in shards.iter().filter(|shard| paths::is_log_folder(&shard.name)) {
            names.extend(or_report(self.log_names(&logs.join(&shard.name)), &mut unread)?);
        }
        let mut known = self.inner.read_logs.lock();
        if !known.known.is_empty() {
            let there: FxHashSet<&LogName> = names.iter().collect();
            known.retain(|name| name.run().is_none() || there.contains(name));
        }
        drop(known);
        names.extend(or_report(self.edit_log_names(), &mut unread)?);
        Ok((names, unread))
    }

    /// Names of the edit logs.
    pub(crate) fn edit_log_names(&self) -> Result<Vec<LogName>> {
        let names = self.log_names(&self.inner.root.join(paths::EDITS))?;
        self.inner.read_logs.lock().retain(|known| known.run().is_some() || names.contains(known));
        Ok(names)
    }

    /// A log as it is now; `None` if compaction removed it, so that a pack has it.
    pub(crate) fn read_log(&self, name: &LogName) -> Result<Option<LogView>> {
        let read = |known: Option<&Known>| {
            LogView::read(&*self.inner.storage, &name.log(), &name.tail(), Depth::Recent, known)
        };
        let known = self.inner.read_logs.lock().known.get(name).cloned();
        let mut view = read(known.as_deref());
        if view.is_err() && known.is_some() {
            // The known prefix, or its open file, may be what cannot be read.
            self.inner.read_logs.lock().forget(name);
            view = read(None);
        }
        let view = match view {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            // Its first frame is not complete, perhaps because the writer died: nothing in it was ever durable.
            Err(Error::Corrupt { .. }) if is_unbegun(&*self.inner.storage, name)? => return Ok(None),
            other => other?,
        };
        if view.log().at.start().writer != name.writer {
            return Err(Error::corrupt(&name.log(), 0, "the log names another writer; was the file renamed?"));
        }
        let long = view.log().at.end() >= ReadLogs::LONG;
        if let Some(known) = long.then(|| view.known()).flatten() {
            let gone = self.inner.read_logs.lock().note(name, known);
            drop(gone);
        } else if view.damage().next().is_some() {
            self.inner.read_logs.lock().forget(name);
        }
        Ok(Some(view))
    }

    /// Whether a log's lock is free; an error if that is unknown.
    pub(crate) fn is_free(&self, name: &LogName) -> std::io::Result<bool> {
        self.inner.storage.open_write(&name.log()).and_then(|file| is_abandoned(&*file))
    }

    /// See [`Workspace::is_held`](crate::Workspace::is_held).
    pub(crate) fn is_held(&self, id: &RunId) -> Result<bool> {
        let names = self.run_log_names(id.key())?;
        Ok(names.iter().any(|name| self.is_free(name).is_ok_and(|free| !free)))
    }

    /// Whether nobody but this writer can have changed a run since this manifest number: no other log exists, no edits,
    /// and packs are the same. Costs two listings, an open per edit log and a failing open.
    pub(crate) fn alone(&self, id: &RunId, writer: WriterId, manifest_number: u64) -> Result<bool> {
        let others = self.run_log_names(id.key()).and_then(|names| {
            let mut others = names.iter().any(|name| name.writer != writer);
            for name in self.edit_log_names()?.iter().filter(|name| name.writer != writer) {
                let metadata = self.edit_log_metadata(name)?;
                others |= metadata.is_some_and(|log| !log.is_whole() || log.mentions(id));
            }
            Ok(others)
        });
        match others {
            Ok(false) => {}
            Ok(true) => return Ok(false),
            // There may be other logs in it.
            Err(error) => return of_one_file(error).map(|_| false),
        }
        let mut manifest = self.inner.manifest.lock();
        manifest.refresh()?;
        Ok(manifest.number() == manifest_number)
    }

    /// What logs have of the run with a key, its own and edit logs, and the errors of unreadable ones. An unreadable
    /// edit log may mention any run. Records the length of each log in `reaches`. Reads the run's logs and what is new
    /// in edit logs.
    pub(crate) fn log_parts(&self, key: RunKey, reaches: &mut Reaches) -> Result<(Vec<RunPart>, Vec<Error>)> {
        let (mut parts, mut damage) = (Vec::new(), Vec::new());
        for name in or_report(self.run_log_names(key), &mut damage)? {
            match self.read_log(&name) {
                Ok(Some(view)) => {
                    reaches.insert(name.writer, Reach::of(view.metadata()));
                    damage.extend(view.metadata().damage(view.path()));
                    parts.extend(part_of_key(&view, key));
                }
                Ok(None) => {}
                // The run's other logs still serve.
                Err(error) => damage.push(of_one_file(error)?),
            }
        }
        for name in or_report(self.edit_log_names(), &mut damage)? {
            match self.edit_log_metadata(&name) {
                Ok(Some(log)) => {
                    reaches.insert(name.writer, Reach::of(&log));
                    damage.extend(log.damage(&name.log()));
                    parts.extend(log.states_of_key(key).map(|state| RunPart::new(state, Vec::new())));
                }
                Ok(None) => {}
                Err(error) => damage.push(of_one_file(error)?),
            }
        }
        Ok((parts, damage))
    }
}

/// What was read; if only one file or folder cannot be read, nothing, and its error in `unread`.
pub(super) fn or_report<T: Default>(read: Result<T>, unread: &mut Vec<Error>) -> Result<T> {
    read.or_else(|error| {
        unread.push(of_one_file(error)?);
        Ok(T::default())
    })
}

/// A log's part of a run.
pub(crate) fn part_of(view: &LogView, id: &RunId) -> Option<RunPart> {
    let run = view.metadata().number(id)?;
    let parts = view.parts(run).map(|(key, part)| (key.to_owned(), part)).collect();
    Some(RunPart::new(view.metadata().state(run)?, parts))
}

/// A log's parts of the runs with a key.
fn part_of_key(view: &LogView, key: RunKey) -> impl Iterator<Item = RunPart> {
    view.metadata().ids().filter(move |id| id.key() == key).filter_map(|id| part_of(view, id))
}

/// Whether a log with a bad first frame is what a power loss may leave of one that was never synced: its name and that
/// of its tail, any length, and any of its sectors.
pub(crate) fn is_unbegun(storage: &dyn Storage, name: &LogName) -> Result<bool> {
    let path = name.log();
    match storage.open_read(&path) {
        Ok(file) => Ok(why_unbegun(&*file, &path, name.writer)? == Unbegun::Torn),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(Error::io("open", &path)(error)),
    }
}

/// Whether a log has no writer. If so, takes its lock, which the handle keeps. A writer locks its log before the first
/// byte, so an empty log may still get one, and its lock is never taken.
pub(crate) fn is_abandoned(log: &dyn File) -> std::io::Result<bool> {
    is_abandoned_since(log, false)
}

/// The same; `begun` says that the log is known to have had bytes.
fn is_abandoned_since(log: &dyn File, begun: bool) -> std::io::Result<bool> {
    Ok((begun || !log.is_empty()?) && log.try_lock()?)
}

/// Finds the writer of a log, as [`is_abandoned`] does; `None` if the file is missing. `begun`: the log is known to
/// have had bytes.
pub(crate) fn writer_of(storage: &dyn Storage, name: &LogName, begun: bool) -> Option<Maker> {
    holder_of(storage, &name.log(), |log| is_abandoned_since(log, begun))
}

/// Whether a log has nothing to lose: no first frame, nothing that verifies after it, and no tail.
pub(crate) fn is_blank(storage: &dyn Storage, name: &LogName) -> bool {
    const FIRST_FRAMES_LEN: usize = 4096;
    let mut bytes = [0; FIRST_FRAMES_LEN];
    let Ok(len) = storage.open_read(&name.log()).and_then(|file| file.read_at(&mut bytes, 0)) else { return false };
    let tail = storage.open_read(&name.tail());
    let later = (1..len).any(|at| frame::decode(&bytes[at..len], name.writer, at as u64).is_ok());
    len < FIRST_FRAMES_LEN && !later && tail.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}
