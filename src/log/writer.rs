//! Appends frames to a log, each whole or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::ids::WriterId;
use crate::error::{Entity, Error, Result};
use crate::log::frame::{self, Kind, Label, PAYLOAD_MAX};
use crate::storage::{File, Storage};

/// Payloads up to this length are written together with their header in one call.
const COPY_MAX: usize = 64 << 10;

/// The one writer of a log file.
pub struct LogWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    writer: WriterId,
    /// End of the last whole frame.
    offset: u64,
    /// End of what a failed append may have left, at least `offset`.
    dirty: u64,
    durable: u64,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogWriter({}, {} bytes, {} durable)", self.path.display(), self.offset, self.durable)
    }
}

impl LogWriter {
    /// Creates the log's file, which must not exist, and takes its lock.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(storage: &dyn Storage, path: &Path, writer: WriterId) -> Result<Self> {
        let file: Arc<dyn File> = storage.create_new(path).map_err(Error::io("create", path))?.into();
        Self::lock(&*file, path)?;
        Ok(Self { file, path: path.to_owned(), writer, offset: 0, dirty: 0, durable: 0, buffer: Vec::new() })
    }

    /// Where locks are unreliable, the random name alone keeps writers apart.
    fn lock(file: &dyn File, path: &Path) -> Result<()> {
        match file.try_lock() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::AlreadyExists { entity: Entity::LogWriter, id: path.display().to_string() }),
            Err(error)
                if error.kind() == std::io::ErrorKind::Unsupported || error.raw_os_error() == Some(libc::ENOLCK) =>
            {
                Ok(())
            }
            Err(error) => Err(Error::io("lock", path)(error)),
        }
    }

    /// Appends one frame with `count` points from number `sequence` on. On an error nothing is appended.
    ///
    /// # Errors
    /// [`Error::Io`]; then the frame never appears. [`Error::Invalid`] if the payload is too long.
    pub fn append(&mut self, kind: Kind, sequence: u64, count: usize, payload: &[u8]) -> Result<u64> {
        if payload.len() > PAYLOAD_MAX {
            return Err(Error::invalid("batch", format!("{} bytes exceed the limit of {PAYLOAD_MAX}", payload.len())));
        }
        if self.dirty > self.offset {
            // Remains of a failed append may be longer than this frame.
            self.file.set_len(self.offset).map_err(Error::io("truncate", &self.path))?;
            self.dirty = self.offset;
        }
        self.buffer.clear();
        let count = u32::try_from(count).map_err(|_| Error::invalid("batch", "more points than a frame can count"))?;
        let label = Label { kind, count, sequence, durable: self.durable };
        frame::encode_header(label, self.writer, self.offset, payload, &mut self.buffer);
        let (start, len) = (self.offset, (frame::HEADER_LEN + payload.len()) as u64);
        let written = if payload.len() <= COPY_MAX {
            self.buffer.extend_from_slice(payload);
            self.file.write_at(&self.buffer, start)
        } else {
            // The header is written last: without it this is not a frame.
            let written = self.file.write_at(payload, start + frame::HEADER_LEN as u64);
            written.and_then(|()| self.file.write_at(&self.buffer, start))
        };
        if let Err(error) = written {
            self.dirty = start + len;
            if self.file.set_len(start).is_ok() {
                self.dirty = start;
            }
            return Err(Error::io("append to", &self.path)(error));
        }
        self.offset += len;
        self.dirty = self.offset;
        Ok(start + frame::HEADER_LEN as u64)
    }

    /// The file, for syncing it on another thread.
    #[must_use]
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Sets the durable offset that later frames state.
    pub fn set_durable(&mut self, durable: u64) {
        self.durable = durable;
    }

    /// The durable offset that frames state.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// End of the last frame, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.offset
    }

    #[cfg(any(test, feature = "internals"))]
    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offset == 0
    }

    #[cfg(any(test, feature = "internals"))]
    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The writer's identity.
    #[must_use]
    pub fn writer(&self) -> WriterId {
        self.writer
    }

    /// Fails if the file was unlinked: what is written to it would vanish with the process.
    ///
    /// # Errors
    /// [`Error::LogRemoved`], [`Error::Io`].
    pub fn check_linked(&self) -> Result<()> {
        match self.file.is_linked().map_err(Error::io("inspect", &self.path))? {
            true => Ok(()),
            false => Err(Error::LogRemoved { path: self.path.clone() }),
        }
    }
}
