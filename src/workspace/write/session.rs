//! The logs that a handle writes: opening them, and syncing them.

use crate::base::ids::{ExperimentId, RunId};
use crate::error::Result;
use crate::folder::clock::now_ms;
use crate::folder::paths::{self};
use crate::options::TailMode;
use crate::run::place::Place;
use crate::run::session::Session;
use crate::run::watermark::Watermark;
use crate::workspace::state::shared::Shared;

/// An edit log that exceeds this is ended, and the next edit starts another.
const EDIT_LOG_BYTES_MAX: u64 = 256 << 10;

impl Shared {
    /// Runs `act` with this handle's edit log, which is created if needed.
    pub(crate) fn with_edit_log<T>(
        &self,
        (id, experiment, experiment_name): (&RunId, ExperimentId, &str),
        act: impl FnOnce(&mut Session, u32) -> Result<T>,
    ) -> Result<T> {
        let mut edits = self.inner.edits.lock();
        if edits.is_none() {
            let place = self.place_of_log(self.inner.root.join(paths::EDITS), paths::EDITS.to_owned(), 1);
            *edits = Some(self.session(place)?);
        }
        let Some(session) = edits.as_mut() else { unreachable!("it was created above") };
        let run = session.run(id, experiment, experiment_name);
        let done = act(session, run);
        // Readers keep edit logs in memory, and compaction skips open ones, so their size is bounded.
        if session.log_len() > EDIT_LOG_BYTES_MAX
            && let Some(mut session) = edits.take()
        {
            session.end()?;
        }
        done
    }

    /// See [`Workspace::sync`](crate::Workspace::sync).
    pub(crate) fn sync(&self) -> Result<()> {
        self.sync_writers(Watermark::sync)
    }

    /// See [`Workspace::request_flushes`](crate::Workspace::request_flushes).
    pub(crate) fn request_flushes(&self) -> bool {
        let writers = self.inner.writers.lock().clone();
        writers.iter().fold(false, |any, writer| writer.request_flush() | any)
    }

    /// See [`Workspace::flushes_are_complete`](crate::Workspace::flushes_are_complete).
    pub(crate) fn flushes_are_complete(&self) -> bool {
        let writers = self.inner.writers.lock().clone();
        writers.iter().all(|writer| writer.is_flush_complete())
    }

    /// See [`Workspace::sync_flushed`](crate::Workspace::sync_flushed).
    pub(crate) fn sync_flushed(&self) -> Result<()> {
        self.sync_writers(Watermark::sync_flushed)
    }

    fn sync_writers(&self, sync: impl Fn(&Watermark) -> Result<bool>) -> Result<()> {
        let mut first = Ok(());
        let writers = self.inner.writers.lock().clone();
        for writer in writers {
            let synced = sync(&writer);
            if first.is_ok() {
                first = synced.map(|_| ());
            }
        }
        self.inner.writers.lock().retain(|writer| !writer.is_done());
        first
    }

    /// Opens a log that [`Self::sync`] covers.
    pub(crate) fn session(&self, place: Place) -> Result<Session> {
        let session = Session::create(place)?;
        let mut writers = self.inner.writers.lock();
        if writers.len() == writers.capacity() {
            writers.retain(|writer| !writer.is_done());
        }
        writers.push(std::sync::Arc::clone(session.watermark()));
        Ok(session)
    }

    /// Ends this handle's edit log, so that compaction may pack it.
    pub(crate) fn end_edit_log(&self) -> Result<()> {
        match self.inner.edits.lock().take() {
            Some(mut session) => session.end(),
            None => Ok(()),
        }
    }

    /// Where a session keeps its files.
    pub(crate) fn place_of_log(&self, dir: std::path::PathBuf, stem: String, order: u64) -> Place {
        let mapped = match self.inner.options.tail {
            // The folder may not exist yet; its parent does, on the same file system.
            TailMode::Auto => self.inner.storage.mapping_is_safe(dir.parent().unwrap_or(&dir)),
            TailMode::Mapped => true,
            TailMode::Written => false,
        };
        Place {
            storage: std::sync::Arc::clone(&self.inner.storage),
            dir,
            stem,
            mapped,
            buffer_slots: self.inner.options.tail_points.clamp(2, crate::log::slot::BUFFER_SLOTS_MAX),
            order,
            created_ms: now_ms(),
            author: None,
            ledger: self.ledger(),
        }
    }
}
