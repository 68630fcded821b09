//! The real disk: the only module that names `std::fs` and `mmap`.
//!
//! What it adds to the operating system's calls:
//!
//!  * Every open refuses what is not a regular file (a symbolic link, a FIFO, a device, a folder) with an error that
//!    says so, and never blocks on it. Only the last part of a path is checked: the folders above are the caller's, but
//!    for paths below a workspace, of which every part is (`beneath`).
//!  * A descriptor is never 0, 1 or 2, so that no text for the terminal ends in a log, and none is inherited by `exec`.
//!  * A write past the process's file size limit is an error, not the signal SIGXFSZ.
//!  * A sync is believed only if the file system still takes writes after it: ext4 confirms one whose transaction it
//!    just gave up.

mod beneath;
mod life;
mod lock;
mod map;
mod sys;
#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::{Entry, File, Region, Storage};

/// The operating system's file systems. It holds nothing: every value of it is the same disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk;

impl Storage for Disk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let opened = options(true).create_new(true).mode(0o600).open(path)?;
        match DiskFile::new(opened) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => {
                // The name is ours, because the creation was exclusive; without this it would stay taken by nobody.
                let _ = fs::remove_file(path);
                Err(error)
            }
        }
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        open_existing(path, false)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn File>> {
        open_existing(path, true)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            match entry.file_type() {
                Ok(kind) => entries.push(Entry { name, is_dir: kind.is_dir() }),
                // It was removed since the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sync_folder(&open_dir(path)?)
    }

    fn mapping_is_safe(&self, path: &Path) -> bool {
        open_dir(path).is_ok_and(|folder| sys::keeps_mapped_stores(&folder))
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000))
    }

    fn beneath(&self, folder: &Path) -> io::Result<Option<Arc<dyn Storage>>> {
        Ok(Some(Arc::new(beneath::Beneath::new(folder)?)))
    }
}

/// Makes a file or a folder that is not the store's own survive a power loss, with the care that the store
/// takes of its own.
///
/// # Errors
/// The operating system's answer.
pub fn sync_all(file: impl AsFd) -> io::Result<()> {
    rustix::fs::fsync(&file)?;
    sys::takes_writes(file)
}

/// Refuses a folder of a workspace that is a link: what somebody else put there leads nowhere else.
///
/// # Errors
/// `InvalidInput` that names the folder.
pub fn check_no_link(folder: &Path) -> io::Result<()> {
    if !is_symlink(folder) {
        return Ok(());
    }
    let why = format!("{} is a symbolic link, and what is in a workspace leads nowhere else", folder.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

fn sync_folder(folder: &fs::File) -> io::Result<()> {
    folder.sync_all().map_err(|error| match error.raw_os_error() {
        Some(libc::EINVAL | libc::EOPNOTSUPP) => io::Error::new(
            io::ErrorKind::Unsupported,
            "this file system cannot sync a folder, so names in it may not survive a power loss",
        ),
        _ => error,
    })?;
    sys::takes_writes(folder)
}

/// Options of every open of a file: a name that is a symbolic link or a FIFO fails or returns instead of leading
/// elsewhere or blocking. On a regular file O_NONBLOCK changes nothing.
fn options(write: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(write);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC);
    options
}

fn open_existing(path: &Path, write: bool) -> io::Result<Box<dyn File>> {
    let opened = options(write).open(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP | libc::EMLINK) if is_symlink(path) => refused("a symbolic link"),
        Some(libc::ENXIO) => refused("a socket or a device"),
        _ => error,
    })?;
    regular(opened)
}

/// The file that was opened, which must be a regular one.
fn regular(opened: fs::File) -> io::Result<Box<dyn File>> {
    let metadata = opened.metadata()?;
    if !metadata.is_file() {
        return Err(not_regular(&metadata));
    }
    Ok(Box::new(DiskFile::new(opened)?))
}

fn is_symlink(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

fn not_regular(metadata: &Metadata) -> io::Error {
    let kind = metadata.file_type();
    if kind.is_dir() {
        io::Error::new(io::ErrorKind::IsADirectory, "is a folder where a regular file is expected")
    } else if kind.is_fifo() {
        refused("a FIFO")
    } else {
        refused("a socket or a device")
    }
}

fn refused(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("is {what} where a regular file is expected; it was not read or written"),
    )
}

/// Opens a folder for syncing or for asking about its file system. Links are followed: a workspace may be reached by
/// one.
fn open_dir(path: &Path) -> io::Result<fs::File> {
    let folder = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC).open(path)?;
    sys::above_standard(folder)
}

/// An open regular file.
struct DiskFile {
    file: fs::File,
    /// The process's file size limit when the file was opened.
    max_len: u64,
}

impl DiskFile {
    fn new(opened: fs::File) -> io::Result<Self> {
        Ok(DiskFile { file: sys::above_standard(opened)?, max_len: sys::file_size_limit() })
    }

    /// Refuses a length at which the kernel would send SIGXFSZ, which ends a process that does not ignore it.
    fn check_len(&self, len: Option<u64>) -> io::Result<u64> {
        match len {
            Some(len) if len <= self.max_len => Ok(len),
            _ => Err(io::Error::from_raw_os_error(libc::EFBIG)),
        }
    }

    /// Makes every block of the first `len` bytes exist by writing it, where the file system cannot allocate.
    fn allocate_by_writing(&self, len: u64) -> io::Result<()> {
        let mut block = vec![0u8; 64 << 10];
        let mut offset = 0;
        while offset < len {
            let want = usize::try_from(len - offset).map_or(block.len(), |left| left.min(block.len()));
            let read = self.read_at(&mut block[..want], offset)?;
            block[read..want].fill(0);
            self.file.write_all_at(&block[..want], offset)?;
            offset += want as u64;
        }
        Ok(())
    }
}

impl File for DiskFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buf.len() {
            match self.file.read_at(&mut buf[read..], offset.saturating_add(read as u64)) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.check_len(offset.checked_add(buf.len() as u64))?;
        self.file.write_all_at(buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(self.check_len(Some(len))?)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let len = self.check_len(Some(len))?;
        if len == 0 || sys::allocate(&self.file, len)? {
            return Ok(());
        }
        self.allocate_by_writing(len)
    }

    fn sync(&self) -> io::Result<()> {
        // fdatasync: it leaves out times, but not the length or the blocks, without which the bytes could not be read.
        self.file.sync_data()?;
        sys::takes_writes(&self.file)
    }

    fn try_lock(&self) -> io::Result<bool> {
        lock::try_exclusive(&self.file)
    }

    fn life(&self) -> io::Result<u64> {
        life::of(&self.file)
    }

    fn is_linked(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() > 0)
    }

    fn map(&self, len: usize) -> io::Result<Box<dyn Region>> {
        if len == 0 || self.is_empty()? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a mapping must have at least one byte, and so must the file",
            ));
        }
        Ok(Box::new(map::Mapping::new(&self.file, len)?))
    }
}
