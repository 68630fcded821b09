//! Where spools are: one folder for each server, with the workspace, the server's address, and the carrier's lock.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The file with the server's address.
const ADDRESS: &str = "server";
/// The file whose lock says who carries.
pub(crate) const LOCK: &str = "carrier.lock";
/// The folder of the workspace.
pub(crate) const WORKSPACE: &str = "workspace";

/// The folder of all spools of this user: `$STEPWELL_SPOOL`, else `stepwell/spool` in `$XDG_DATA_HOME`, else in
/// `~/.local/share`.
///
/// # Errors
/// [`Error::Invalid`] if none of these is known.
pub fn root() -> Result<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = || of("XDG_DATA_HOME").or_else(|| of("HOME").map(|home| home.join(".local/share")));
    let unknown = || Error::Invalid("nobody knows where the spool is: set STEPWELL_SPOOL to a folder".into());
    of("STEPWELL_SPOOL").or_else(|| data().map(|data| data.join("stepwell/spool"))).ok_or_else(unknown)
}

/// The folder of a server's spool.
pub(crate) fn folder(root: &Path, url: &str) -> PathBuf {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let name: String = rest.bytes().map(|byte| if plain(byte) { char::from(byte) } else { '-' }).take(60).collect();
    let digest = Sha256::digest(url.as_bytes());
    let mark: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    root.join(format!("{}-{mark}", name.trim_matches(['.', '-'])))
}

/// Makes the folder of a server's spool, for its owner only.
pub(crate) fn make(folder: &Path, url: &str) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder).map_err(Error::file("create", folder))?;
    let address = folder.join(ADDRESS);
    if fs::read_to_string(&address).is_ok_and(|known| known.trim() == url) {
        return Ok(());
    }
    let new = folder.join(format!("{ADDRESS}.{}", std::process::id()));
    fs::write(&new, format!("{url}\n")).map_err(Error::file("write", &new))?;
    fs::rename(&new, &address).map_err(Error::file("write", &address))
}

/// How names of scratch folders begin.
const SCRATCH: &str = "read-";

/// A folder of this process alone, which goes with the value. Its lock says that it is in use.
pub(crate) struct Scratch {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl Scratch {
    /// A new one in a folder.
    pub(crate) fn within(folder: &Path) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{SCRATCH}{}-{count}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                made => made.map_err(Error::file("create", &path))?,
            }
            let lock = File::open(&path).map_err(Error::file("open", &path))?;
            let _ = lock.try_lock();
            // Another process may have swept it away before it was locked.
            let inode = lock.metadata().map_or(0, |found| found.ino());
            if fs::metadata(&path).is_ok_and(|found| found.ino() == inode) {
                return Ok(Self { path, _lock: lock });
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes scratch folders of processes that died.
pub(crate) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_scratch = entry.file_name().to_str().is_some_and(|name| name.starts_with(SCRATCH));
        if is_scratch && File::open(entry.path()).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A spool that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its folder.
    pub folder: PathBuf,
    /// The server's address.
    pub url: String,
}

/// The spools in a folder, or the one that the folder is.
///
/// # Errors
/// [`Error::File`] if the folder cannot be listed; one that does not exist has none.
pub fn left_in(root: &Path) -> Result<Vec<Left>> {
    let address = |folder: &Path| fs::read_to_string(folder.join(ADDRESS)).ok().map(|url| url.trim().to_owned());
    if let Some(url) = address(root) {
        return Ok(vec![Left { folder: root.to_owned(), url }]);
    }
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("list", root)(error)),
    };
    let mut left = Vec::new();
    for entry in entries {
        let folder = entry.map_err(Error::file("list", root))?.path();
        left.extend(address(&folder).map(|url| Left { folder, url }));
    }
    left.sort_by(|one, other| one.url.cmp(&other.url));
    Ok(left)
}
