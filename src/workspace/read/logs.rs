//! Finding and reading the logs of a workspace.

use std::io::ErrorKind;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::base::ids::{RunId, RunKey, WriterId};
use crate::error::{Error, Result, of_one_file};
use crate::folder::making::{Maker, holder_of};
use crate::folder::paths::{self, LogName};
use crate::log::frame;
use crate::log::reader::{Depth, Unbegun, why_unbegun};
use crate::run::log_view::{Known, LogView};
use crate::run::snapshot::RunPart;
use crate::storage::{File, Storage};
use crate::workspace::read::log_metadata::metadata_part;
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
        let mut view = match view {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            // Its first frame is not complete, perhaps because the writer died: nothing in it was ever durable.
            Err(Error::Corrupt { .. }) if is_unbegun(&*self.inner.storage, name)? => return Ok(None),
            other => other?,
        };
        if view.log().start.writer != name.writer {
            return Err(Error::corrupt(&name.log(), 0, "the log names another writer; was the file renamed?"));
        }
        let long = view.log().end >= ReadLogs::LONG;
        if let Some(known) = long.then(|| view.take_known()).flatten() {
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

    /// All readable edit logs, and the errors of the others, which may mention any run.
    pub(crate) fn edit_log_views(&self) -> Result<(Vec<Arc<LogView>>, Vec<Error>)> {
        let (mut views, mut unreadable) = (Vec::new(), Vec::new());
        let names = or_report(self.edit_log_names(), &mut unreadable)?;
        let mut logs = self.inner.edit_logs.lock();
        logs.known.retain(|name, _| names.contains(name));
        for name in names {
            let len = self.inner.storage.open_read(&name.log()).and_then(|file| file.len()).unwrap_or(0);
            if let Some((known, view)) = logs.known.get(&name)
                && *known == len
            {
                views.push(Arc::clone(view));
                continue;
            }
            match self.read_log(&name) {
                Ok(Some(view)) => {
                    let view = Arc::new(view);
                    logs.known.insert(name, (len, Arc::clone(&view)));
                    views.push(view);
                }
                Ok(None) => {}
                Err(error) => unreadable.push(of_one_file(error)?),
            }
        }
        Ok((views, unreadable))
    }

    /// Whether nobody but this writer can have changed a run since this manifest number: no other log exists, no edits,
    /// and packs are the same. Costs two listings, an open per edit log and a failing open.
    pub(crate) fn alone(&self, id: &RunId, writer: WriterId, manifest_number: u64) -> Result<bool> {
        let others = self.run_log_names(id.key()).and_then(|names| {
            let mut others = names.iter().any(|name| name.writer != writer);
            for name in self.edit_log_names()?.iter().filter(|name| name.writer != writer) {
                let metadata = self.edit_log_metadata(name)?;
                others |= metadata.is_some_and(|log| !log.damage().is_empty() || log.mentions(id));
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
                    reaches.insert(name.writer, Reach::of(&view));
                    damage.extend(damage_of(&view));
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
                    reaches.insert(name.writer, log.reach());
                    damage.extend(log.damage());
                    parts.extend(log.states_of_key(key).into_iter().map(metadata_part));
                }
                Ok(None) => {}
                Err(error) => damage.push(of_one_file(error)?),
            }
        }
        Ok((parts, damage))
    }
}

/// A folder's contents; if only that folder cannot be listed, nothing, and its error in `unread`.
fn or_report<T>(listed: Result<Vec<T>>, unread: &mut Vec<Error>) -> Result<Vec<T>> {
    listed.or_else(|error| {
        unread.push(of_one_file(error)?);
        Ok(Vec::new())
    })
}

/// The damage of a log.
fn damage_of(view: &LogView) -> impl Iterator<Item = Error> {
    view.damage().map(|bad| Error::corrupt(view.path(), bad.offset, bad.what))
}

/// A log's part of a run.
pub(crate) fn part_of(view: &LogView, id: &RunId) -> Option<RunPart> {
    view.run(id).map(|run| part_of_number(view, run))
}

/// A log's parts of the runs with a key.
fn part_of_key(view: &LogView, key: RunKey) -> impl Iterator<Item = RunPart> {
    view.runs().filter(move |id| id.key() == key).filter_map(|id| part_of(view, id))
}

fn part_of_number(view: &LogView, run: u32) -> RunPart {
    let state = view.state(run);
    let mut parts = Some(view.parts(run).map(|(key, part)| (key.to_owned(), part)).collect());
    // The first coverage is that of the points.
    let series = state.coverage.iter().map(|&own| (own, parts.take().unwrap_or_default())).collect();
    RunPart { state, series }
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
