//! Takes damaged files out of use without losing anything: each gets a name in `quarantine` that nothing else has.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::folder::paths;
use crate::workspace::open::{Workspace, create_folder};

impl Workspace {
    /// Moves a file, or whatever stands in its place, to `quarantine`, and gives its name there; `None` where it is
    /// gone. What is in quarantine already stays: journals have entries of one name, and a file may be damaged again.
    ///
    /// # Errors
    /// [`Error::Io`]; everything is where it was then.
    pub(super) fn keep_original(&self, path: &Path) -> Result<Option<PathBuf>> {
        let Some(name) = path.file_name() else { return Ok(None) };
        let (storage, dir) = (&*self.inner.storage, self.inner.root.join(paths::QUARANTINE));
        // A copy of a workspace need not have it.
        create_folder(storage, &dir)?;
        let is_folder = storage.open_read(path).is_err_and(|error| error.kind() == ErrorKind::IsADirectory);
        for copy in 1_u64.. {
            let mut name = name.to_owned();
            if copy > 1 {
                name.push(format!(".{copy}"));
            }
            let kept = dir.join(name);
            // The name is taken first, so that no other process moves something over it, or is moved over. A folder
            // takes the place of an empty folder, never that of a file.
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
