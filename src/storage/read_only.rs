//! A read-only disk: rejects every change.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::storage::{Entry, File, Storage};

/// See the module.
pub(crate) struct ReadOnly(pub(crate) Arc<dyn Storage>);

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the workspace was opened for reading only"))
}

impl Storage for ReadOnly {
    fn create_new(&self, _path: &Path) -> io::Result<Box<dyn File>> {
        refused()
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.0.open_read(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn File>> {
        // Missing files are reported as such, since callers check for that.
        self.0.open_read(path)?;
        refused()
    }

    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.0.read_dir(path)
    }

    fn link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_dir(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    fn mapping_is_safe(&self, _path: &Path) -> bool {
        false
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.0.modified_ms(path)
    }

    fn beneath(&self, folder: &Path) -> io::Result<Option<Arc<dyn Storage>>> {
        let below = self.0.beneath(folder)?;
        Ok(below.map(|below| Arc::new(Self(below)) as Arc<dyn Storage>))
    }
}
