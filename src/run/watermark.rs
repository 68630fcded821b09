//! Tracks which of a writer's points and frames are durable; shared between the writer and threads that sync its files.
//!
//! Another thread can sync in two ways:
//!
//! - It **requests a flush**: the writer moves its points into frames, and the thread then syncs the log, which is few
//!   bytes.
//! - If the writer makes no call, or has few points, the thread syncs the tail in place; its slots verify one by one
//!   and need no frame. These points are now promised durable in the tail: before the writer reuses their slots, the
//!   log must be durable up to the frame that has them ([`Watermark::framed`], [`Watermark::make_log_durable`]).
//!
//! The writer's thread holds the lock of `files` only briefly, never during a sync.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::log::ledger::{Entry, Line};
use crate::storage::{File, Storage, fork, sync_again};

/// Least points for which a flush is requested; fewer take no more pages in the tail than in the log.
const REQUEST_FROM: u64 = 256;

/// The watermark of one writer.
pub struct Watermark {
    /// One past the sequence number of the last point that was published.
    published: AtomicU64,
    /// Whether a flush is requested and not yet seen. Only a hint: `files` has the truth.
    requested: AtomicBool,
    /// End of the log's last frame, in bytes.
    appended: AtomicU64,
    /// Points before this one are durable.
    durable: AtomicU64,
    /// Bytes of the log before this one are durable.
    log_durable: AtomicU64,
    /// The same, and so are all points logged before what those bytes contain: the durable offset that frames may
    /// state.
    durable_offset: AtomicU64,
    /// Least points for which a flush is requested.
    request_from: u64,
    /// The process generation of the writer. In a forked child there is nothing to sync, and locks may be held forever.
    generation: u32,
    line: Option<Line>,
    /// Serialises syncs; locked before `files`.
    syncing: Mutex<()>,
    files: Mutex<Files>,
}

/// What there is to sync, and how far it is synced.
struct Files {
    storage: Arc<dyn Storage>,
    /// Folders that hold the names of the files.
    folders: Vec<PathBuf>,
    /// Whether those names are durable, or being synced.
    named: bool,
    /// Whether the writer ended the log or is about to: then compaction may remove it and its folder.
    ending: bool,
    /// The writer's handle, which holds the log's lock; `None` once the writer is gone.
    log: Option<Arc<dyn File>>,
    log_path: PathBuf,
    tail: Option<Arc<dyn File>>,
    /// The sequence number of the first point that no frame has.
    base: u64,
    /// The end of the frame with the point before `base`, in bytes.
    framed_end: u64,
    /// Points before this one were promised durable, in the log or in the tail.
    promised: u64,
    /// Points before this one were requested to be framed.
    requested: Option<u64>,
    /// Why a sync failed: what it covered can never be reported durable.
    lost: Option<String>,
}

impl std::fmt::Debug for Watermark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watermark({} of {} points)", self.durable(), self.published.load(Ordering::Relaxed))
    }
}

impl Watermark {
    /// For a new log. `folders` hold its name and their own names; `line` is its line in a ledger.
    #[must_use]
    pub fn new(
        storage: Arc<dyn Storage>,
        folders: Vec<PathBuf>,
        log: Arc<dyn File>,
        log_path: PathBuf,
        buffer_slots: u32,
        line: Option<Line>,
    ) -> Self {
        let files = Files {
            storage,
            folders,
            named: false,
            ending: false,
            log: Some(log),
            log_path,
            tail: None,
            base: 0,
            framed_end: 0,
            promised: 0,
            requested: None,
            lost: None,
        };
        let [published, appended, durable, log_durable, durable_offset] = [const { AtomicU64::new(0) }; 5];
        let (requested, request_from) = (AtomicBool::new(false), REQUEST_FROM.min(u64::from(buffer_slots) / 2));
        let (syncing, files) = (Mutex::new(()), Mutex::new(files));
        let generation = fork::generation();
        Self {
            published,
            requested,
            appended,
            durable,
            log_durable,
            durable_offset,
            request_from,
            generation,
            line,
            syncing,
            files,
        }
    }

    /// Records that all points before `sequence` are published.
    #[inline]
    pub fn publish(&self, sequence: u64) {
        self.published.store(sequence, Ordering::Release);
    }

    /// Records that the log has frames up to this offset.
    pub fn append(&self, end: u64) {
        self.appended.store(end, Ordering::Release);
    }

    /// Sets the writer's tail.
    pub fn tail(&self, file: Arc<dyn File>) {
        let mut files = self.files.lock();
        (files.tail, files.named) = (Some(file), false);
    }

    /// The number of durable points.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// The number of durable bytes of the log.
    #[must_use]
    pub fn log_durable(&self) -> u64 {
        self.log_durable.load(Ordering::Acquire)
    }

    /// The durable offset that a frame may state. To readers, anything missing before it, points included, is damage.
    #[must_use]
    pub fn durable_offset(&self) -> u64 {
        self.durable_offset.load(Ordering::Acquire)
    }

    /// Requests that the writer frames all points published so far, unless they are few. Returns whether it did.
    pub fn request_flush(&self) -> bool {
        if self.is_foreign() {
            return false;
        }
        let mut files = self.files.lock();
        let published = self.published.load(Ordering::Acquire);
        let bare = published.saturating_sub(files.base.max(self.durable()));
        let requested = bare >= self.request_from.max(1) && files.log.is_some() && files.lost.is_none();
        files.requested = requested.then_some(published);
        self.requested.store(requested, Ordering::Relaxed);
        requested
    }

    /// Whether the requested points are framed.
    #[must_use]
    pub fn is_flush_complete(&self) -> bool {
        if self.is_foreign() {
            return true;
        }
        let files = self.files.lock();
        files.requested.is_none_or(|through| files.base >= through)
    }

    /// For the writer: whether a flush is requested and not yet seen.
    #[inline]
    #[must_use]
    pub fn is_flush_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// For the writer: marks the request as seen.
    pub fn see_request(&self) {
        self.requested.store(false, Ordering::Relaxed);
    }

    /// Makes everything published and appended so far durable. Free if it already is. Returns whether there was
    /// anything to do.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`] if a sync failed, now or earlier.
    pub fn sync(&self) -> Result<bool> {
        self.sync_through(|_| None)
    }

    /// Makes what was published at the flush request durable, and all that was appended. If the flush is complete,
    /// syncs the log alone; else as [`Self::sync`]. Withdraws the request.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`] if a sync failed, now or earlier.
    pub fn sync_flushed(&self) -> Result<bool> {
        self.sync_through(|files| {
            let requested = files.requested.take();
            self.see_request();
            requested.filter(|&through| files.base >= through).map(|_| (files.base, files.framed_end))
        })
    }

    /// Makes all points before a sequence number durable and raises the durable offset. `choose` gives both; `None`
    /// stands for everything published, and what was appended before that.
    fn sync_through(&self, choose: impl FnOnce(&mut Files) -> Option<(u64, u64)>) -> Result<bool> {
        if self.is_foreign() {
            return Ok(false);
        }
        let _one = self.syncing.lock();
        let mut files = self.files.lock();
        // Frames appended before these points refer to no later ones. Their series were defined before they were
        // published, and the frames of points before `base` were appended before `base` moved.
        let said = self.appended.load(Ordering::Acquire);
        let published = self.published.load(Ordering::Acquire);
        let appended = self.appended.load(Ordering::Acquire);
        let (through, durable_offset) = choose(&mut files).unwrap_or((published, said));
        let known =
            through <= self.durable() && appended == self.log_durable() && durable_offset <= self.durable_offset();
        if files.lost.is_none() && files.named && known {
            return Ok(false);
        }
        // Before the sync: from here on the writer must not reuse these slots until the log has their points durably.
        let tail = files.tail.clone().filter(|_| through > files.base && files.lost.is_none());
        if tail.is_some() {
            files.promised = through;
        }
        let folders = if files.named { Vec::new() } else { files.folders.clone() };
        files.named = true;
        drop(files);
        let synced = self.sync_log(appended).and_then(|()| self.sync_tail_and_names(tail, &folders));
        synced.map_err(|why| Error::DurabilityLost { from: self.durable(), to: through, why })?;
        self.durable.fetch_max(through, Ordering::AcqRel);
        self.durable_offset.fetch_max(durable_offset, Ordering::AcqRel);
        self.change_line(|entry| {
            entry.synced_len = appended.max(entry.synced_len);
            entry.synced_points = through.max(entry.synced_points);
        });
        Ok(true)
    }

    /// Updates the log's line. Compaction may retire it at the same time, once the log ends, and then removes the log;
    /// so that this does not undo it, the line is retired again if the log is gone.
    fn change_line(&self, update: impl FnOnce(&mut Entry)) {
        let Some(line) = &self.line else { return };
        line.change(update);
        let files = self.files.lock();
        if files.may_be_removed() && files.is_gone() {
            line.change(|entry| entry.retired = true);
        }
    }

    /// Records that the log has all points before `sequence`. If some of them were promised durable in the tail,
    /// returns the log offset that must be durable before their slots are reused; else 0.
    #[must_use]
    pub fn framed(&self, sequence: u64) -> u64 {
        let mut files = self.files.lock();
        let promised = files.promised > files.base;
        (files.base, files.framed_end) = (sequence, self.appended.load(Ordering::Acquire));
        if promised { files.framed_end } else { 0 }
    }

    /// Makes the log durable up to this offset, so that slots with promised points may be reused. If this fails, every
    /// later sync reports lost durability. If an earlier sync failed, points promised before are still moved; nothing
    /// new is promised.
    pub fn make_log_durable(&self, appended: u64) {
        if appended <= self.log_durable() {
            return;
        }
        // A sync in progress may already do it.
        let _one = self.syncing.lock();
        if appended <= self.log_durable() {
            return;
        }
        let files = self.files.lock();
        let lost = files.lost.is_some().then(|| files.log_syncer(self.log_durable()));
        drop(files);
        match lost {
            Some(sync) => _ = sync(),
            None => _ = self.sync_log(appended),
        }
    }

    /// Records that the tail has points; it exists until the log ends.
    pub fn tail_used(&self) {
        if let Some(line) = &self.line {
            line.change(|entry| entry.tail = true);
        }
    }

    /// Records that the log ended.
    pub fn ended(&self) {
        let (len, points) = (self.appended.load(Ordering::Acquire), self.published.load(Ordering::Acquire));
        self.change_line(|entry| (entry.len, entry.points, entry.ended) = (len, points, true));
    }

    /// Releases the log's lock: the writer is gone. What is not synced yet still can be. `ended` says whether the log
    /// has all points.
    pub fn close(&self, ended: bool) {
        // A sync in progress holds the handle too.
        let _one = self.syncing.lock();
        let mut files = self.files.lock();
        (files.log, files.ending) = (None, true);
        if ended {
            files.tail = None;
        }
    }

    /// Sets whether the writer is ending the log: from then on compaction may remove it, and its folder if that becomes
    /// empty.
    pub fn ending(&self, ending: bool) {
        self.files.lock().ending = ending;
    }

    /// Whether the writer is gone and nothing is left to sync.
    #[must_use]
    pub fn is_done(&self) -> bool {
        if self.is_foreign() {
            return true;
        }
        let files = self.files.lock();
        let synced = files.named
            && self.published.load(Ordering::Acquire) == self.durable()
            && self.appended.load(Ordering::Acquire) == self.log_durable();
        files.log.is_none() && (synced || files.is_gone())
    }

    /// Whether this process can sync the log and its path passes the test.
    #[must_use]
    pub fn is_of(&self, log: impl FnOnce(&Path) -> bool) -> bool {
        !self.is_foreign() && log(&self.files.lock().log_path)
    }

    /// Whether this process is a forked child of the writer's process.
    fn is_foreign(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Requires the lock `syncing`.
    fn sync_log(&self, appended: u64) -> Result<(), String> {
        let files = self.files.lock();
        if let Some(why) = &files.lost {
            return Err(why.clone());
        }
        if appended > self.log_durable() {
            let sync = files.log_syncer(self.log_durable());
            drop(files);
            self.note(sync(), "")?;
            self.log_durable.store(appended, Ordering::Release);
        }
        Ok(())
    }

    fn sync_tail_and_names(&self, tail: Option<Arc<dyn File>>, folders: &[PathBuf]) -> Result<(), String> {
        if let Some(tail) = tail {
            self.note(tail.sync(), "the tail of ")?;
        }
        let storage = Arc::clone(&self.files.lock().storage);
        folders.iter().try_for_each(|folder| match storage.sync_dir(folder) {
            // Compaction removed the empty folder, so a pack has the log.
            Err(error) if error.kind() == ErrorKind::NotFound && self.files.lock().ending => Ok(()),
            synced => self.note(synced, "the folder of "),
        })
    }

    /// Records a failure permanently: the kernel may have dropped unwritten pages and reports that only once.
    fn note(&self, synced: std::io::Result<()>, of: &str) -> Result<(), String> {
        synced.map_err(|error| {
            let mut files = self.files.lock();
            let why = format!("sync of {of}{} failed: {error}", files.log_path.display());
            files.lost = Some(why.clone());
            why
        })
    }
}

impl Files {
    /// Whether compaction may remove the log.
    fn may_be_removed(&self) -> bool {
        self.log.is_none() || self.ending
    }

    /// Whether the log was removed.
    fn is_gone(&self) -> bool {
        self.storage.open_read(&self.log_path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }

    /// Returns a function that syncs the log, which is durable up to `from`. Call it without this lock.
    fn log_syncer(&self, from: u64) -> impl FnOnce() -> std::io::Result<()> + use<> {
        let (log, storage, path) = (self.log.clone(), Arc::clone(&self.storage), self.log_path.clone());
        move || match log {
            Some(log) => log.sync(),
            None => match storage.open_write(&path) {
                // Others may have synced it since and consumed the error.
                Ok(log) => sync_again(&*log, from, u64::MAX),
                // Compaction removed it, so a durable pack has it.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            },
        }
    }
}
