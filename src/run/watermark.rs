//! How far a writer's points and words are known to survive a power loss: shared between the writer and
//! whoever syncs its files meanwhile.
//!
//! There are two ways for a sync by another thread:
//!
//! - It **asks** the writer to frame what it has, lets it go on for a moment, and syncs the log: few bytes.
//! - Where the writer did not come by, or has few points, it syncs the tail where it lies: its slots verify one by one,
//!   so they need no frame. From then on the tail holds a promise: before the writer uses those slots again, the log
//!   must survive up to the frame that has their points by then ([`Watermark::framed`],
//!   [`Watermark::make_log_durable`]).
//!
//! The writer's thread takes the lock of `files` for a moment only, never while something is synced.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::log::ledger::Line;
use crate::storage::{File, Storage, fork, sync_again};

/// From so many points on a writer is asked to frame them; fewer take no more pages in the tail than in the log.
const REQUEST_FROM: u64 = 256;

/// The watermark of one writer.
pub struct Watermark {
    /// One past the sequence number of the last point that was published.
    published: AtomicU64,
    /// Whether the writer is asked to frame what it has. Only a hint: what was framed is said under the lock of
    /// `files`.
    requested: AtomicBool,
    /// End of the log's last frame, in bytes.
    appended: AtomicU64,
    /// All points below survive.
    durable: AtomicU64,
    /// All bytes of the log below survive.
    log_durable: AtomicU64,
    /// The same, and so do all points that were logged before what is said there: what frames may say of the log.
    durable_offset: AtomicU64,
    /// From so many points on the writer is asked.
    request_from: u64,
    /// Of the process that the writer is of; in a forked child there is nothing to sync, and locks may never be let go.
    generation: u32,
    line: Option<Line>,
    /// Held while files are synced, so that one sync follows another; taken before `files`.
    syncing: Mutex<()>,
    files: Mutex<Files>,
}

/// What there is to sync, and how far it was.
struct Files {
    storage: Arc<dyn Storage>,
    /// Folders whose names the files need.
    folders: Vec<PathBuf>,
    /// Whether those names survive, or are being synced.
    named: bool,
    /// Whether the writer is about to end the log, or did: from then on compaction may take it, and its folder.
    ending: bool,
    /// The writer's own handle, which holds the log's lock; `None` once the writer is gone.
    log: Option<Arc<dyn File>>,
    log_path: PathBuf,
    tail: Option<Arc<dyn File>>,
    /// The sequence number of the first point in the tail that no frame has.
    base: u64,
    /// End of the frame that has the point before `base`, in bytes.
    framed_end: u64,
    /// Points before this one were promised to survive, in the log or where they lie in the tail.
    promised: u64,
    /// Through which point the writer was asked to frame.
    requested: Option<u64>,
    /// Why a sync failed: what it should have covered can never be reported as durable.
    lost: Option<String>,
}

impl std::fmt::Debug for Watermark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watermark({} of {} points)", self.durable(), self.published.load(Ordering::Relaxed))
    }
}

impl Watermark {
    /// For a log that was just created, whose tail has buffers of so many slots; `folders` hold its name and theirs,
    /// and its line in a ledger is told how far it goes.
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

    /// The writer published all points before `sequence`.
    #[inline]
    pub fn publish(&self, sequence: u64) {
        self.published.store(sequence, Ordering::Release);
    }

    /// The writer appended frames up to this byte of the log.
    pub fn append(&self, end: u64) {
        self.appended.store(end, Ordering::Release);
    }

    /// The writer has a tail now.
    pub fn tail(&self, file: Arc<dyn File>) {
        let mut files = self.files.lock();
        (files.tail, files.named) = (Some(file), false);
    }

    /// How many points are known to survive: all before this one.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// How many bytes of the log are known to survive.
    #[must_use]
    pub fn log_durable(&self) -> u64 {
        self.log_durable.load(Ordering::Acquire)
    }

    /// How many bytes of the log a frame may call durable: a reader takes for damage what is missing before them,
    /// points included.
    #[must_use]
    pub fn durable_offset(&self) -> u64 {
        self.durable_offset.load(Ordering::Acquire)
    }

    /// Asks the writer to frame what it has published by now, unless that is little. Says whether it was asked.
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

    /// Whether the writer framed what it was asked to.
    #[must_use]
    pub fn is_flush_complete(&self) -> bool {
        if self.is_foreign() {
            return true;
        }
        let files = self.files.lock();
        files.requested.is_none_or(|through| files.base >= through)
    }

    /// For the writer: whether it is asked, until it says that it knows.
    #[inline]
    #[must_use]
    pub fn is_flush_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// For the writer: it knows that it is asked.
    pub fn see_request(&self) {
        self.requested.store(false, Ordering::Relaxed);
    }

    /// Makes everything that was published and appended by now survive a power loss. Costs nothing when it
    /// does already. Says whether there was anything to do.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`] when a sync failed, now or before.
    pub fn sync(&self) -> Result<bool> {
        self.sync_through(|_| None)
    }

    /// Makes what was published when the writer was asked survive a power loss, and all that was appended: if
    /// it answered, by a sync of the log alone. If it was not asked, or did not answer, as [`Self::sync`]; it need not
    /// answer any more then.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`] when a sync failed, now or before.
    pub fn sync_flushed(&self) -> Result<bool> {
        self.sync_through(|files| {
            let requested = files.requested.take();
            self.see_request();
            requested.filter(|&through| files.base >= through).map(|_| (files.base, files.framed_end))
        })
    }

    /// Makes all points before the one that `choose` says survive a power loss, and may call the log durable
    /// up to the byte that it says; all that was published, and what was appended before, when it says nothing.
    fn sync_through(&self, choose: impl FnOnce(&mut Files) -> Option<(u64, u64)>) -> Result<bool> {
        if self.is_foreign() {
            return Ok(false);
        }
        let _one = self.syncing.lock();
        let mut files = self.files.lock();
        // What was appended before these points speaks of none behind them; what defines their series was appended
        // before they were published, and what has those before `base` too.
        let said = self.appended.load(Ordering::Acquire);
        let published = self.published.load(Ordering::Acquire);
        let appended = self.appended.load(Ordering::Acquire);
        let (through, durable_offset) = choose(&mut files).unwrap_or((published, said));
        let known =
            through <= self.durable() && appended == self.log_durable() && durable_offset <= self.durable_offset();
        if files.lost.is_none() && files.named && known {
            return Ok(false);
        }
        // Before anything is synced: from here on the writer keeps these slots until the log has them for good.
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
        if let Some(line) = &self.line {
            line.change(|entry| {
                entry.synced_len = appended.max(entry.synced_len);
                entry.synced_points = through.max(entry.synced_points);
            });
        }
        Ok(true)
    }

    /// The log has all points before `sequence`, so that their slots are free. If some of them were promised to survive
    /// there, returns the log's offset that must be durable before they are overwritten; else 0.
    #[must_use]
    pub fn framed(&self, sequence: u64) -> u64 {
        let mut files = self.files.lock();
        let promised = files.promised > files.base;
        (files.base, files.framed_end) = (sequence, self.appended.load(Ordering::Acquire));
        if promised { files.framed_end } else { 0 }
    }

    /// Makes the log survive up to this byte, so that slots may be used again that were promised to survive. When this
    /// fails, every later sync says that points may be lost. When one failed before, what had been promised by then is
    /// still moved, and nothing new is.
    pub fn make_log_durable(&self, appended: u64) {
        if appended <= self.log_durable() {
            return;
        }
        // A sync that is under way may be all that it needs.
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

    /// A point was put into the tail, which is there until the log ends.
    pub fn tail_used(&self) {
        if let Some(line) = &self.line {
            line.change(|entry| entry.tail = true);
        }
    }

    /// The writer ended the log.
    pub fn ended(&self) {
        if let Some(line) = &self.line {
            let (len, points) = (self.appended.load(Ordering::Acquire), self.published.load(Ordering::Acquire));
            line.change(|entry| (entry.len, entry.points, entry.ended) = (len, points, true));
        }
    }

    /// The writer is gone, so its log's lock is let go. What is not synced by then still can be. `ended` says whether
    /// all points are in the log.
    pub fn close(&self, ended: bool) {
        // A sync that is under way has the handle too.
        let _one = self.syncing.lock();
        let mut files = self.files.lock();
        (files.log, files.ending) = (None, true);
        if ended {
            files.tail = None;
        }
    }

    /// Whether the writer is about to end the log: from then on compaction may take it, and its folder when that is
    /// empty then.
    pub fn ending(&self, ending: bool) {
        self.files.lock().ending = ending;
    }

    /// Whether the writer is gone, and nothing is left to sync.
    #[must_use]
    pub fn is_done(&self) -> bool {
        if self.is_foreign() {
            return true;
        }
        let files = self.files.lock();
        let synced = files.named
            && self.published.load(Ordering::Acquire) == self.durable()
            && self.appended.load(Ordering::Acquire) == self.log_durable();
        let gone = || files.storage.open_read(&files.log_path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        files.log.is_none() && (synced || gone())
    }

    /// Whether it can sync its log, and this says so of the log's path.
    #[must_use]
    pub fn is_of(&self, log: impl FnOnce(&Path) -> bool) -> bool {
        !self.is_foreign() && log(&self.files.lock().log_path)
    }

    /// Whether this process is a forked child of the writer's.
    fn is_foreign(&self) -> bool {
        self.generation != fork::generation()
    }

    /// The caller holds `syncing`.
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
            // Compaction took it away when it was empty, so a pack has the log.
            Err(error) if error.kind() == ErrorKind::NotFound && self.files.lock().ending => Ok(()),
            synced => self.note(synced, "the folder of "),
        })
    }

    /// Remembers a failure for good: the kernel may have dropped what it could not write, and will not say so again.
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
    /// What syncs the log, which survives up to `from`; to be called without the lock of this.
    fn log_syncer(&self, from: u64) -> impl FnOnce() -> std::io::Result<()> + use<> {
        let (log, storage, path) = (self.log.clone(), Arc::clone(&self.storage), self.log_path.clone());
        move || match log {
            Some(log) => log.sync(),
            None => match storage.open_write(&path) {
                // Others may have synced it since, and been told of a failure.
                Ok(log) => sync_again(&*log, from, u64::MAX),
                // Compaction took it away, so a pack has it, and was synced before.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            },
        }
    }
}
