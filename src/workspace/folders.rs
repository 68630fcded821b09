//! Folders of a workspace in whose place something else stands, or that cannot be listed: what is not concerned goes
//! on, and whoever asks is told.

use std::path::PathBuf;

use crate::error::{Error, Result, of_one_file};
use crate::folder::paths;
use crate::workspace::open::Workspace;

impl Workspace {
    /// Why nothing can be put into a folder of the workspace, if so. One that is missing is made by who needs it.
    pub(super) fn blocked(&self, folder: &str) -> Result<Option<(PathBuf, String)>> {
        let dir = self.inner.root.join(folder);
        match self.inner.storage.read_dir(&dir).map_err(Error::io("list", &dir)) {
            Err(error) if !error.is_absent() => told(error).map(Some),
            _ => Ok(None),
        }
    }

    /// What keeps packs from being written, if anything does: the folder that cannot be used, and why.
    pub(super) fn packs_blocked(&self) -> Result<Option<(PathBuf, String)>> {
        Ok(self.blocked(paths::TEMPORARY)?.or(self.blocked(paths::PACKS)?))
    }

    /// Folders of journals, and that of their anchors, that cannot be listed: what is in them is not known.
    pub(super) fn unlisted_journals(&self) -> Result<Vec<(PathBuf, String)>> {
        let errors = [
            self.inner.manifest.lock().unlisted().map(Error::again),
            self.inner.catalog.lock().unlisted().map(Error::again),
            self.inner.registry.lock().unlisted().map(Error::again),
        ];
        let mut unlisted: Vec<(PathBuf, String)> = Vec::new();
        for error in errors.into_iter().flatten() {
            unlisted.push(told(error)?);
        }
        unlisted.extend(self.blocked(paths::ANCHORS)?);
        Ok(unlisted)
    }
}

/// What one file or folder refuses: which, and why.
///
/// # Errors
/// Every error that is not about one file alone.
pub(super) fn told(error: Error) -> Result<(PathBuf, String)> {
    let error = of_one_file(error)?;
    let why = error.to_string();
    match error.path() {
        Some(path) => Ok((path.to_owned(), why)),
        None => Err(error),
    }
}
