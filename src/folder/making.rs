//! Files in the making: their maker holds their lock, so that nobody takes them for what a dead process left.
//!
//! 1. The maker creates the file, in `tmp` for most, takes its lock, and looks whether it still has a name. If not,
//!    somebody took it for a leftover in between, and the maker begins again.
//! 2. The lock belongs to the file, whatever it is named, and ends with the maker, however that ends. It is kept until
//!    something else says what the file is for.
//! 3. Who collects garbage takes the lock before it judges. While it is taken by another, the file is in the making,
//!    however old it is and whatever any clock says. Where there are no locks nobody can tell, and the file stays until
//!    a person says that its maker is gone.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::ids::random_u128;
use crate::error::{Error, Result};
use crate::storage::{File, Storage};

/// How often a file is begun again that a collector took.
const ATTEMPTS: u32 = 1000;

/// A file in the making.
pub(crate) struct Making {
    /// The number in its name, which is random.
    pub(crate) id: u128,
    /// Its present name.
    pub(crate) path: PathBuf,
    /// The handle that has the lock.
    pub(crate) file: Arc<dyn File>,
}

/// Begins a file `<random number>.<kind>` in a folder.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn begin(storage: &dyn Storage, folder: &Path, kind: &str) -> Result<Making> {
    for _ in 0..ATTEMPTS {
        let id = random_u128();
        let path = folder.join(format!("{id:032x}.{kind}"));
        let file = match storage.create_new(&path) {
            // A copy of a workspace has no such folder.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let made = storage.create_dir(folder);
                made.or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
                    .and_then(|()| storage.create_new(&path))
            }
            created => created,
        };
        let file = file.map_err(Error::io("create", &path))?;
        // Without locks nobody takes anything for a leftover by itself.
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

/// Who makes a file that nothing names.
pub(crate) enum Maker {
    /// Somebody is at it, here or in another process.
    AtWork,
    /// Nobody any more. The lock is held as long as this is.
    Gone(#[allow(dead_code, reason = "it is held, not used")] Box<dyn File>),
    /// Nobody can tell: there are no locks, or the file cannot be opened.
    Unknown(std::io::Error),
}

/// Asks for the maker of a file; `None` where there is no such file.
pub(crate) fn maker_of(storage: &dyn Storage, path: &Path) -> Option<Maker> {
    holder_of(storage, path, |file| file.try_lock())
}

/// Asks who holds a file's lock, by a call that takes it where nobody does; `None` where there is no such file.
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
