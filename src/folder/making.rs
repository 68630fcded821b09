//! Files being made: the maker holds a lock, so that nobody takes the file for a dead process' leftover.
//!
//! 1. The maker creates the file, usually in `tmp`, locks it, and checks that it still has a name. If not, somebody
//!    collected it in between, and the maker starts again.
//! 2. The lock belongs to the file, whatever its name, and ends with the maker. It is kept until something else refers
//!    to the file.
//! 3. Garbage collection locks a file before it judges it. If the lock is taken, the file is being made, whatever its
//!    age. Without working locks nobody can tell, and the file stays until a person says that its maker is gone.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::ids::random_u128;
use crate::error::{Error, Result};
use crate::storage::{File, Storage};

/// Attempts to create a file that garbage collection takes.
const ATTEMPTS: u32 = 1000;

/// A file being made.
pub(crate) struct Making {
    /// The random number in its name.
    pub(crate) id: u128,
    /// Its current path.
    pub(crate) path: PathBuf,
    /// The handle with the lock.
    pub(crate) file: Arc<dyn File>,
}

/// Creates a file `<random number>.<kind>` in a folder.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn begin(storage: &dyn Storage, folder: &Path, kind: &str) -> Result<Making> {
    for _ in 0..ATTEMPTS {
        let id = random_u128();
        let path = folder.join(format!("{id:032x}.{kind}"));
        let file = match storage.create_new(&path) {
            // A copied workspace may lack the folder.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made = storage.create_dir(folder);
                made.or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
                    .and_then(|()| storage.create_new(&path))
            }
            created => created,
        };
        let file = file.map_err(Error::io("create", &path))?;
        // Without locks garbage collection does not remove it.
        let is_ours = match file.try_lock() {
            Ok(locked) => locked && file.is_linked().map_err(Error::io("inspect", &path))?,
            Err(_) => true,
        };
        if is_ours {
            return Ok(Making { id, path, file: file.into() });
        }
    }
    let taken = std::io::Error::other("each new file there was removed at once");
    Err(Error::io("create a file in", folder)(taken))
}

/// The maker of a file.
pub(crate) enum Maker {
    /// It is alive, here or in another process.
    AtWork,
    /// It is gone. Holds the lock.
    Gone(#[allow(dead_code, reason = "it is held, not used")] Box<dyn File>),
    /// Unknown: there are no locks, or the file cannot be opened.
    Unknown(std::io::Error),
}

/// Finds the maker of a file; `None` if the file does not exist.
pub(crate) fn maker_of(storage: &dyn Storage, path: &Path) -> Option<Maker> {
    holder_of(storage, path, |file| file.try_lock())
}

/// Finds who holds a file's lock by trying to take it; `None` if the file does not exist.
pub(crate) fn holder_of(
    storage: &dyn Storage,
    path: &Path,
    take: impl FnOnce(&dyn File) -> std::io::Result<bool>,
) -> Option<Maker> {
    let file = match storage.open_write(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => return Some(Maker::Unknown(error)),
        Ok(file) => file,
    };
    Some(match take(&*file) {
        Ok(true) => Maker::Gone(file),
        Ok(false) => Maker::AtWork,
        Err(error) => Maker::Unknown(error),
    })
}
