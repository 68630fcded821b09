//! A disk that refuses one file or folder, in each of the ways in which disks do, and serves all else.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use stepwell::testing::{Entry, File, Region, SimDisk, Storage};

/// How a file or folder is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A sector cannot be read: it opens, and reading fails.
    Sector,
    /// It belongs to somebody else.
    Permission,
    /// A link, FIFO, socket or device stands in its place.
    NoFile,
    /// A folder stands in its place.
    Folder,
}

impl Refusal {
    pub(crate) const ALL: [Self; 4] = [Self::Sector, Self::Permission, Self::NoFile, Self::Folder];

    fn error(self) -> io::Error {
        match self {
            Self::Sector => io::Error::from_raw_os_error(libc::EIO),
            Self::Permission => io::Error::from_raw_os_error(libc::EACCES),
            Self::NoFile => io::Error::new(io::ErrorKind::InvalidInput, "is a FIFO"),
            Self::Folder => io::Error::new(io::ErrorKind::IsADirectory, "is a folder"),
        }
    }
}

/// The disk.
#[derive(Clone)]
pub(crate) struct Refusing {
    pub(crate) disk: SimDisk,
    pub(crate) path: PathBuf,
    pub(crate) how: Refusal,
    pub(crate) well: Arc<AtomicBool>,
    /// What others do before each opening of a file for reading, which is told how many there were.
    pub(crate) meanwhile: Option<Meanwhile>,
}

/// See [`Refusing::meanwhile`].
#[derive(Clone)]
pub(crate) struct Meanwhile {
    opened: Arc<AtomicU64>,
    act: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Meanwhile {
    pub(crate) fn new(act: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { opened: Arc::default(), act: Arc::new(act) }
    }

    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Refusing {
    pub(crate) fn new(disk: &SimDisk, path: &Path, how: Refusal) -> Self {
        Self { disk: disk.clone(), path: path.to_owned(), how, well: Arc::default(), meanwhile: None }
    }

    /// Whether nothing is refused for now.
    pub(crate) fn is_well(&self, well: bool) {
        self.well.store(well, Ordering::Relaxed);
    }

    fn refuses(&self, path: &Path) -> bool {
        path == self.path && !self.well.load(Ordering::Relaxed)
    }

    fn check(&self, path: &Path) -> io::Result<()> {
        if self.refuses(path) && self.how != Refusal::Sector { Err(self.how.error()) } else { Ok(()) }
    }

    fn opened(&self, path: &Path, file: Box<dyn File>) -> Box<dyn File> {
        if self.refuses(path) { Box::new(Sector(file)) } else { file }
    }
}

impl Storage for Refusing {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.disk.create_new(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        if let Some(Meanwhile { opened, act }) = &self.meanwhile {
            act(opened.fetch_add(1, Ordering::Relaxed));
        }
        self.check(path)?;
        self.disk.open_read(path).map(|file| self.opened(path, file))
    }
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.check(path)?;
        self.disk.open_write(path).map(|file| self.opened(path, file))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        if self.refuses(path) && self.how == Refusal::Folder {
            return Ok(Vec::new());
        }
        if self.refuses(path) {
            return Err(self.how.error());
        }
        let mut entries = self.disk.read_dir(path)?;
        for entry in &mut entries {
            entry.is_dir |= path.join(&entry.name) == self.path && self.how == Refusal::Folder;
        }
        Ok(entries)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.link(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        assert_ne!(path, self.path, "what cannot be read is not removed");
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn mapping_is_safe(&self, path: &Path) -> bool {
        self.disk.mapping_is_safe(path)
    }
    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.disk.modified_ms(path)
    }
}

/// A file that opens and cannot be read.
struct Sector(Box<dyn File>);

impl File for Sector {
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Err(Refusal::Sector.error())
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(buf, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_lock()
    }
    fn life(&self) -> io::Result<u64> {
        self.0.life()
    }
    fn is_linked(&self) -> io::Result<bool> {
        self.0.is_linked()
    }
    fn map(&self, len: usize) -> io::Result<Box<dyn Region>> {
        self.0.map(len)
    }
}
