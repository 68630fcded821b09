//! Where a writer's files are, and how they are created.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::ids::{RunKey, WriterId};
use crate::error::{Error, Result};
use crate::log::frame::Kind;
use crate::log::ledger::Ledger;
use crate::log::record::{Author, Start};
use crate::log::writer::LogWriter;
use crate::run::watermark::Watermark;
use crate::storage::Storage;

/// Attempts to create a folder.
const FOLDER_TRIES: usize = 16;

/// Where a writer's files are, and how they are created.
#[derive(Clone)]
pub struct Place {
    /// The disk.
    pub storage: Arc<dyn Storage>,
    /// The folder of the log, created if missing.
    pub dir: PathBuf,
    /// The prefix of its file names.
    pub stem: String,
    /// Whether the tail may be mapped.
    pub mapped: bool,
    /// Slots per buffer of the tail.
    pub buffer_slots: u32,
    /// The writer's order (see [`Start::order`]).
    pub order: u64,
    /// Creation time, in milliseconds since the epoch.
    pub created_ms: i64,
    /// Whose points the log gets, if it is relayed.
    pub author: Option<Author>,
    /// The ledger for this log; without one nothing outside the log shows that it existed.
    pub ledger: Option<Arc<Ledger>>,
}

impl Place {
    /// The paths of a writer's log and tail.
    #[must_use]
    pub fn paths(&self, writer: WriterId) -> (PathBuf, PathBuf) {
        let name = |end: &str| self.dir.join(format!("{}.{writer}.{end}", self.stem));
        (name("log"), name("tail"))
    }

    /// Creates and locks the log of a new writer.
    ///
    /// # Errors
    /// [`Error::Io`]; no file is left then.
    pub fn create_log(&self) -> Result<(LogWriter, Arc<Watermark>)> {
        let writer = WriterId::random();
        let (path, _) = self.paths(writer);
        let mut log = self.create_file(&path, writer)?;
        let process = format!("pid {}", std::process::id());
        let Place { order, created_ms, buffer_slots, author, .. } = *self;
        let start = Start { writer, order, created_ms, process, buffer_slots, author };
        let mut payload = Vec::new();
        start.encode(&mut payload);
        match log.append(Kind::Start, 0, 0, &payload) {
            Ok(_) => {
                // The folder may be new too, created by a process that died before syncing its name.
                let folders = std::iter::once(&*self.dir).chain(self.dir.parent()).map(Path::to_owned).collect();
                let file = Arc::clone(log.file());
                let key = u128::from_str_radix(&self.stem, 16).ok().filter(|_| self.stem.len() == 32).map(RunKey);
                let line =
                    self.ledger.as_ref().and_then(|ledger| ledger.begin(key, writer, author.is_some(), log.len()));
                let watermark = Watermark::new(Arc::clone(&self.storage), folders, file, path, buffer_slots, line);
                watermark.append(log.len());
                Ok((log, Arc::new(watermark)))
            }
            Err(error) => {
                let _ = self.storage.remove_file(&path);
                Err(error)
            }
        }
    }

    /// Creates the log's file, and its folder if missing. Compaction may remove the empty folder in between.
    fn create_file(&self, path: &Path, writer: WriterId) -> Result<LogWriter> {
        let mut tries = FOLDER_TRIES;
        loop {
            match LogWriter::create(&*self.storage, path, writer) {
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound && tries > 0 => tries -= 1,
                other => return other,
            }
            match self.storage.create_dir(&self.dir) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(Error::io("create", &self.dir)(error));
                }
                _ => {}
            }
        }
    }
}
