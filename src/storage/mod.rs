//! The disk as a trait, with exactly what the store needs.
//!
//! [`disk`] is the real one and alone names `std::fs` and `mmap`; `memory` simulates one that loses, tears and reorders
//! what was not synced; `read_only` refuses every change; `bytes` reads a file that is in memory.

pub(crate) mod bytes;
pub mod disk;
pub mod fork;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
pub(crate) mod read_only;

#[cfg(test)]
mod conformance;

use std::io;
use std::path::Path;
use std::sync::Arc;

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name within its folder.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// A disk. Paths are absolute or relative to the process's folder, as the caller gave them.
///
/// What a power loss leaves: of a file, what [`File::sync`] covered; of a folder, the names that
/// [`Storage::sync_dir`] covered. All else may be there, in part, in any order, or not.
pub trait Storage: Send + Sync + 'static {
    /// Creates a file that must not exist, for reading and writing, mode 0600. `AlreadyExists` when it does.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens an existing regular file for reading.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens an existing regular file for reading and writing.
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Creates a folder whose parent exists, mode 0700. `AlreadyExists` when it does.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, in no order; names that are not UTF-8 are left out.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Gives the file `from` a second name `to` that must not exist (exclusive). `AlreadyExists` when it does.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives the file `from` the name `to`, replacing what had it, in one step. When both names are the same file's
    /// already, nothing happens and both stay.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the folder's names durable; a new folder's own name belongs to its parent. `Unsupported` if the file
    /// system cannot sync a folder.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Whether a mapping of a file in this folder is safe for a tail: stores survive the process, and a full disk
    /// cannot turn a store into SIGBUS once the file is allocated.
    fn mapping_is_safe(&self, path: &Path) -> bool;
    /// When the file was last changed, in milliseconds since the epoch, by the file system's clock.
    fn modified_ms(&self, path: &Path) -> io::Result<i64>;
    /// The same disk for paths below one existing folder, which may be reached by links. No link below it is followed,
    /// and other paths are rejected. `None` for a disk without links.
    fn beneath(&self, _folder: &Path) -> io::Result<Option<Arc<dyn Storage>>> {
        Ok(None)
    }
}

/// An open file. Offsets and lengths are in bytes.
pub trait File: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf` at `offset`; on an error a part may have been written.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// The file's length.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Shortens or lengthens (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves space for `len` bytes and makes the file at least that long, so that writing them cannot run out of
    /// space. Existing bytes stay, but nobody may write to the file meanwhile: a file system that cannot reserve has
    /// its blocks written instead. After an error the file may be longer.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes everything written, or stored through a mapping, durable, with the file's length, but not its name. After
    /// an error the state of everything written since the last success is unknown, and a later success does not cover
    /// it: write it again, to another file. The error is reported to handles open when it happened, and then to nobody
    /// else: for data of others a success may mean nothing ([`sync_again`]).
    fn sync(&self) -> io::Result<()>;
    /// Tries to take the file's exclusive lock (also exclusive within this process). It ends with the file handle or,
    /// after a fork, with the last process that has it open. The handle must be writable. An error means that locks do
    /// not work here, so that nobody's absence is shown.
    fn try_lock(&self) -> io::Result<bool>;
    /// A number, not 0, that is constant while no unsynced data of this file can have been lost: it changes after a
    /// power loss or a new mount, and copies of the file have another one. An error if unknown.
    fn life(&self) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Whether the file still has a name in some folder.
    fn is_linked(&self) -> io::Result<bool>;
    /// Maps the first `len` bytes (at least one) of a non-empty file for reading and writing, shared with all other
    /// readers. Existing bytes must be allocated. The mapping may be longer than the file, but bytes after its end must
    /// not be touched before they are allocated. The handle must be writable; it may be closed before the region. The
    /// file must not be shortened below `len` while the region exists. The first store to each 4 KiB page costs about a
    /// microsecond, also the first after the page was written back.
    fn map(&self, len: usize) -> io::Result<Box<dyn Region>>;
}

/// Makes the bytes from `from` to `end` of a file durable, whoever wrote them: rewrites and syncs them, since a failed
/// sync of another process may have dropped them, and no later sync would report it. Nobody may change them meanwhile.
/// Bytes after the file's end and pages of zeros are skipped. Reads all pages and writes the others.
pub fn sync_again(file: &dyn File, from: u64, end: u64) -> io::Result<()> {
    const PAGE: usize = 4 << 10;
    let end = end.min(file.len()?);
    let mut bytes = vec![0; 64 * PAGE];
    let mut at = from - from % PAGE as u64;
    while at < end {
        let want = usize::try_from(end - at).map_or(bytes.len(), |left| left.min(bytes.len()));
        let read = file.read_at(&mut bytes[..want], at)?;
        let pages = bytes[..read].chunks(PAGE).enumerate();
        for (number, page) in pages.filter(|(_, page)| page.iter().any(|&byte| byte != 0)) {
            file.write_at(page, at + (number * PAGE) as u64)?;
        }
        at += want as u64;
    }
    file.sync()
}

/// Mapped bytes of a file, at a fixed address as long as this lives.
pub trait Region: Send {
    /// The first byte; aligned to a page.
    fn as_ptr(&self) -> *mut u8;
    /// How many bytes are mapped.
    fn len(&self) -> usize;
    /// Whether nothing is mapped.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
