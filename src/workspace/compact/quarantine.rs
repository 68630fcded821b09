//! Moves damaged files to `quarantine`, each under a new unique name.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::folder::paths;
use crate::workspace::state::shared::{Shared, create_folder};

impl Shared {
    /// Moves a file, or whatever has its name, to `quarantine`, and returns its path there; `None` if it is gone. Never
    /// overwrites: journals have entries with equal names, and a file may be damaged again.
    ///
    /// # Errors
    /// [`Error::Io`]; then nothing was moved.
    pub(crate) fn keep_original(&self, path: &Path) -> Result<Option<PathBuf>> {
        let Some(name) = path.file_name() else { return Ok(None) };
        let (storage, dir) = (&*self.inner.storage, self.inner.root.join(paths::QUARANTINE));
        // A copied workspace may lack it.
        create_folder(storage, &dir)?;
        let is_folder = storage.open_read(path).is_err_and(|error| error.kind() == ErrorKind::IsADirectory);
        for copy in 1_u64.. {
            let mut name = name.to_owned();
            if copy > 1 {
                name.push(format!(".{copy}"));
            }
            let kept = dir.join(name);
            // Reserve the name first, so that no other process overwrites it or is overwritten. A folder can replace an
            // empty folder, but not a file.
            let taken = if is_folder { storage.create_dir(&kept) } else { storage.create_new(&kept).map(drop) };
            match taken {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::io("create", &kept)(error)),
            }
            let Err(error) = storage.rename(path, &kept) else { return Ok(Some(kept)) };
            let _ = if is_folder { storage.remove_dir(&kept) } else { storage.remove_file(&kept) };
            return match error.kind() {
                ErrorKind::NotFound => Ok(None),
                _ => Err(Error::io("move to quarantine", path)(error)),
            };
        }
        Ok(None)
    }
}
