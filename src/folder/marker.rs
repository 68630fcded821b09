//! The marker file, which makes a folder a workspace.

use std::io::ErrorKind;
use std::path::Path;

use crate::base::bytes::{Malformed, Reader};
use crate::base::checksum::crc32;
use crate::base::ids::random_u128;
use crate::error::{Error, Result};
use crate::folder::making::{self, Making};
use crate::folder::paths;
use crate::storage::Storage;

const MAGIC: u64 = u64::from_le_bytes(*b"STEPWELL");
/// The workspace layout version that this build writes, and the greatest it reads.
pub const WORKSPACE_VERSION: u32 = 1;
const MARKER_LEN: usize = 32;

/// Reads the marker file: the random id of the workspace.
///
/// # Errors
/// [`Error::NotWorkspace`] without a marker file, [`Error::Corrupt`], [`Error::NewerFormat`], [`Error::Io`].
pub(crate) fn read(storage: &dyn Storage, root: &Path) -> Result<u128> {
    let path = root.join(paths::MARKER);
    let file = match storage.open_read(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            let why = format!(
                "it has no file {:?}; import or log something with it to create one, or name another folder",
                paths::MARKER
            );
            return Err(Error::NotWorkspace { path: root.to_owned(), why });
        }
        Err(error) => return Err(Error::io("open", &path)(error)),
    };
    let mut bytes = [0; MARKER_LEN + 1];
    let got = file.read_at(&mut bytes, 0).map_err(Error::io("read", &path))?;
    let corrupt = |Malformed(what)| Error::corrupt(&path, 0, what);
    let mut reader = Reader::new(&bytes[..got]);
    let magic = reader.u64().map_err(corrupt)?;
    let version = reader.u32().map_err(corrupt)?;
    let id = reader.u128().map_err(corrupt)?;
    let crc = reader.u32().map_err(corrupt)?;
    if magic != MAGIC || got != MARKER_LEN || crc != crc32(0, &bytes[..MARKER_LEN - 4]) {
        return Err(corrupt(Malformed("a marker file")));
    }
    if version > WORKSPACE_VERSION {
        return Err(Error::NewerFormat { path, found: version, supported: WORKSPACE_VERSION });
    }
    Ok(id)
}

/// Writes a marker file with a new id, atomically and durably, unless there is one.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn write(storage: &dyn Storage, root: &Path) -> Result<()> {
    let mut bytes = Vec::with_capacity(MARKER_LEN);
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&WORKSPACE_VERSION.to_le_bytes());
    bytes.extend_from_slice(&random_u128().to_le_bytes());
    bytes.extend_from_slice(&crc32(0, &bytes).to_le_bytes());
    let Making { path: temporary, file, .. } = making::begin(storage, &root.join(paths::TEMPORARY), "mark")?;
    let path = root.join(paths::MARKER);
    let written = file.write_at(&bytes, 0).and_then(|()| file.sync()).map_err(Error::io("write", &temporary));
    let linked = written.and_then(|()| match storage.link(&temporary, &path) {
        // Another process was faster: its marker file is used.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // Without links, rename: racing creators agree on the last file before any of them reads it.
        Err(_) => storage.rename(&temporary, &path).map_err(Error::io("create", &path)),
        Ok(()) => Ok(()),
    });
    let _ = storage.remove_file(&temporary);
    linked?;
    storage.sync_dir(root).map_err(Error::io("sync", root))
}
