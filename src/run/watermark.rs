//! How far a writer's points and words are known to survive a stop of the machine: shared between the writer and whoever
//! syncs its files meanwhile.
//!
//! A sync by another thread covers the tail where it lies: its slots verify one by one, so they need no frame. From then
//! on the tail holds a promise, and before the writer begins it anew the log, which has its points by then, is synced.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::storage::{File, Storage};

/// The watermark of one writer.
pub struct Watermark {
    /// One past the sequence number of the last point that was published.
    published: AtomicU64,
    /// End of the log's last frame, in bytes.
    appended: AtomicU64,
    /// All points below survive.
    durable: AtomicU64,
    /// All bytes of the log below survive.
    log_durable: AtomicU64,
    files: Mutex<Files>,
}

/// What there is to sync, and how far it was.
struct Files {
    storage: Arc<dyn Storage>,
    /// Folders whose names the files need.
    folders: Vec<PathBuf>,
    /// Whether those names survive.
    named: bool,
    /// The writer's own handle, which holds the log's lock; `None` once the writer is gone.
    log: Option<Arc<dyn File>>,
    log_path: PathBuf,
    tail: Option<Arc<dyn File>>,
    /// The sequence number of the first point in the tail that no frame has.
    base: u64,
    /// Points before this one were promised to survive, in the log or where they lie in the tail.
    promised: u64,
    /// Why a sync failed: what it should have covered can never be reported as durable.
    lost: Option<String>,
}

impl std::fmt::Debug for Watermark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watermark({} of {} points)", self.durable(), self.published.load(Ordering::Relaxed))
    }
}

impl Watermark {
    /// For a log that was just created; `folders` hold its name and theirs.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, folders: Vec<PathBuf>, log: Arc<dyn File>, log_path: PathBuf) -> Self {
        let files = Files {
            storage,
            folders,
            named: false,
            log: Some(log),
            log_path,
            tail: None,
            base: 0,
            promised: 0,
            lost: None,
        };
        let [published, appended, durable, log_durable] = [const { AtomicU64::new(0) }; 4];
        Self { published, appended, durable, log_durable, files: Mutex::new(files) }
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

    /// Makes everything that was published and appended by now survive a stop of the machine. Costs nothing when it does
    /// already. Says whether there was anything to do.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`] when a sync failed, now or before.
    pub fn sync(&self) -> Result<bool> {
        let mut files = self.files.lock();
        // The points first: what defines their series was appended before them.
        let through = self.published.load(Ordering::Acquire);
        let appended = self.appended.load(Ordering::Acquire);
        if files.lost.is_none() && files.named && through == self.durable() && appended == self.log_durable() {
            return Ok(false);
        }
        let synced = self.sync_log(&mut files, appended).and_then(|()| files.sync_tail_and_names(through));
        synced.map_err(|why| Error::DurabilityLost { from: self.durable(), to: through, why })?;
        self.durable.store(through, Ordering::Release);
        Ok(true)
    }

    /// The log has all points before `sequence`, and `restart` frees their slots: those that were promised to survive there
    /// are made to survive in the log first.
    pub fn restart_tail(&self, sequence: u64, restart: impl FnOnce()) {
        let mut files = self.files.lock();
        if files.promised > files.base {
            // When this fails, every later sync says that points may be lost. When one failed before, what had been promised
            // by then is still moved, and nothing new is.
            if files.lost.is_some() {
                let _ = files.sync_log();
            }
            let _ = self.sync_log(&mut files, self.appended.load(Ordering::Acquire));
        }
        files.base = sequence;
        restart();
    }

    /// The writer is gone, so its log's lock is let go. What is not synced by then still can be. `ended` says whether all
    /// points are in the log.
    pub fn close(&self, ended: bool) {
        let mut files = self.files.lock();
        files.log = None;
        if ended {
            files.tail = None;
        }
    }

    /// Whether the writer is gone, and nothing is left to sync.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let files = self.files.lock();
        let synced = files.named
            && self.published.load(Ordering::Acquire) == self.durable()
            && self.appended.load(Ordering::Acquire) == self.log_durable();
        let gone = || files.storage.open_read(&files.log_path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        files.log.is_none() && (synced || gone())
    }

    fn sync_log(&self, files: &mut Files, appended: u64) -> Result<(), String> {
        if let Some(why) = &files.lost {
            return Err(why.clone());
        }
        if appended > self.log_durable() {
            let synced = files.sync_log();
            files.note(synced, "")?;
            self.log_durable.store(appended, Ordering::Release);
        }
        Ok(())
    }
}

impl Files {
    fn sync_log(&self) -> std::io::Result<()> {
        match &self.log {
            Some(log) => log.sync(),
            None => match self.storage.open_write(&self.log_path) {
                Ok(log) => log.sync(),
                // Compaction took it away, so a pack has it, and was synced before.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            },
        }
    }

    fn sync_tail_and_names(&mut self, through: u64) -> Result<(), String> {
        if let Some(tail) = &self.tail
            && through > self.base
        {
            self.promised = through;
            let synced = tail.sync();
            self.note(synced, "the tail of ")?;
        }
        if !self.named {
            for index in 0..self.folders.len() {
                let synced = self.storage.sync_dir(&self.folders[index]);
                self.note(synced, "the folder of ")?;
            }
            self.named = true;
        }
        Ok(())
    }

    /// Remembers a failure for good: the kernel may have dropped what it could not write, and will not say so again.
    fn note(&mut self, synced: std::io::Result<()>, of: &str) -> Result<(), String> {
        synced.map_err(|error| {
            let why = format!("sync of {of}{} failed: {error}", self.log_path.display());
            self.lost = Some(why.clone());
            why
        })
    }
}
