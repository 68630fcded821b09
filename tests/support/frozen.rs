//! A disk that nobody can write to: files in memory, one of which may stand in with other bytes.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stepwell::testing::{Entry, File, Region, SimDisk, Storage};

/// Files by path; folders are known by the files and the empty folders in them.
#[derive(Clone, Default)]
pub(crate) struct Frozen {
    pub(crate) files: BTreeMap<PathBuf, Arc<Vec<u8>>>,
    pub(crate) folders: Vec<PathBuf>,
    /// What the disk says of each file's life.
    lives: BTreeMap<PathBuf, u64>,
    origin: SimDisk,
}

impl Frozen {
    /// A copy of what is in a simulated disk below `root`.
    pub(crate) fn of(disk: &SimDisk, root: &Path) -> Self {
        let mut frozen = Self { origin: disk.process_crash(), ..Self::default() };
        let mut todo = vec![root.to_owned()];
        while let Some(dir) = todo.pop() {
            for entry in disk.read_dir(&dir).unwrap() {
                let path = dir.join(entry.name);
                if entry.is_dir {
                    todo.push(path);
                } else {
                    let content = disk.content(&path).unwrap();
                    frozen.lives.insert(path.clone(), disk.open_read(&path).unwrap().life().unwrap());
                    frozen.files.insert(path, content.into());
                }
            }
            frozen.folders.push(dir);
        }
        frozen
    }

    /// The same with other bytes in one file.
    pub(crate) fn with(&self, path: &Path, bytes: Vec<u8>) -> Self {
        let mut other = self.clone();
        other.files.insert(path.to_owned(), bytes.into());
        other
    }

    /// The same without one file.
    pub(crate) fn without(&self, path: &Path) -> Self {
        let mut other = self.clone();
        other.files.remove(path).unwrap();
        other
    }

    /// The disk that was copied, with these bytes in its files. Names of one file share what is changed under one of
    /// them.
    pub(crate) fn thaw(&self) -> SimDisk {
        let disk = self.origin.process_crash();
        for (path, bytes) in &self.files {
            if self.origin.content(path).unwrap() != **bytes {
                disk.damage(path, |old| old.clone_from(bytes)).unwrap();
            }
        }
        disk
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(ErrorKind::ReadOnlyFilesystem, "a reader wrote"))
}

impl Storage for Frozen {
    fn create_new(&self, _: &Path) -> io::Result<Box<dyn File>> {
        refused()
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        match self.files.get(path) {
            Some(bytes) => Ok(Box::new(Bytes(Arc::clone(bytes), self.lives.get(path).copied()))),
            None => Err(ErrorKind::NotFound.into()),
        }
    }
    fn open_write(&self, _: &Path) -> io::Result<Box<dyn File>> {
        refused()
    }
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        if !self.folders.iter().any(|folder| folder == path) {
            return Err(ErrorKind::NotFound.into());
        }
        let of = |own: &PathBuf, is_dir| {
            let name = own.strip_prefix(path).ok()?.to_str()?.to_owned();
            (own.parent() == Some(path)).then_some(Entry { name, is_dir })
        };
        let files = self.files.keys().filter_map(|own| of(own, false));
        Ok(files.chain(self.folders.iter().filter_map(|own| of(own, true))).collect())
    }
    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }
    fn remove_file(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn mapping_is_safe(&self, _: &Path) -> bool {
        false
    }
    fn modified_ms(&self, _: &Path) -> io::Result<i64> {
        Ok(0)
    }
}

struct Bytes(Arc<Vec<u8>>, Option<u64>);

impl File for Bytes {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let len = buf.len().min(self.0.len() - from);
        buf[..len].copy_from_slice(&self.0[from..from + len]);
        Ok(len)
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        refused()
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        refused()
    }
    fn allocate(&self, _: u64) -> io::Result<()> {
        refused()
    }
    fn sync(&self) -> io::Result<()> {
        refused()
    }
    fn try_lock(&self) -> io::Result<bool> {
        refused()
    }
    fn is_linked(&self) -> io::Result<bool> {
        Ok(true)
    }
    fn life(&self) -> io::Result<u64> {
        self.1.ok_or_else(|| ErrorKind::Unsupported.into())
    }
    fn map(&self, _: usize) -> io::Result<Box<dyn Region>> {
        refused()
    }
}
