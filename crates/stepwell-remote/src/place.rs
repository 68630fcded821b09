//! Where spools are: one folder for each server, with the workspace, the server's address, and the carrier's lock.

use std::fs;
use std::path::{Path, PathBuf};

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
    use std::os::unix::fs::DirBuilderExt as _;
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
