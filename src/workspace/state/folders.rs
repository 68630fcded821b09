//! Workspace folders that cannot be listed, or that something else replaced: unaffected work goes on, and callers get
//! the reason.

use std::path::PathBuf;

use crate::error::{Error, Result, of_one_file};
use crate::folder::paths;
use crate::workspace::state::shared::Shared;

impl Shared {
    /// Why a folder of the workspace cannot be written to, if so. A missing folder is created when needed.
    pub(crate) fn blocked(&self, folder: &str) -> Result<Option<(PathBuf, String)>> {
        let dir = self.inner.root.join(folder);
        match self.inner.storage.read_dir(&dir).map_err(Error::io("list", &dir)) {
            Err(error) if !error.is_absent() => path_and_reason(error).map(Some),
            _ => Ok(None),
        }
    }

    /// The folder that prevents writing packs and the reason, if any.
    pub(crate) fn packs_blocked(&self) -> Result<Option<(PathBuf, String)>> {
        Ok(self.blocked(paths::TEMPORARY)?.or(self.blocked(paths::PACKS)?))
    }

    /// The folder that prevents changes of the manifest and the reason, if any.
    pub(crate) fn manifest_blocked(&self) -> Result<Option<(PathBuf, String)>> {
        match self.blocked(paths::TEMPORARY)? {
            None => self.inner.manifest.lock().check_open().err().map(path_and_reason).transpose(),
            blocked => Ok(blocked),
        }
    }

    /// Journal folders, including anchors, that cannot be listed: their contents are unknown.
    pub(crate) fn unlisted_journals(&self) -> Result<Vec<(PathBuf, String)>> {
        let manifest = self.inner.manifest.lock().unlisted().map(Error::again);
        let catalog = self.inner.catalog.lock().unlisted().map(Error::again);
        let registry = self.inner.registry.lock().unlisted().map(Error::again);
        let mut unlisted: Vec<(PathBuf, String)> = Vec::new();
        for error in [manifest, catalog, registry].into_iter().flatten() {
            unlisted.push(path_and_reason(error)?);
        }
        unlisted.extend(self.blocked(paths::ANCHORS)?);
        Ok(unlisted)
    }
}

/// The path and reason of an error that concerns one file or folder.
///
/// # Errors
/// Every error that concerns more than one file.
pub(crate) fn path_and_reason(error: Error) -> Result<(PathBuf, String)> {
    let error = of_one_file(error)?;
    let why = error.to_string();
    match error.path() {
        Some(path) => Ok((path.to_owned(), why)),
        None => Err(error),
    }
}
