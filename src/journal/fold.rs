//! Removes entries that a newer whole state made needless: the steps are in [`crate::journal::chain`].

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::of_one_file;
use crate::error::{Error, Result};
use crate::folder::paths;
use crate::journal::chain::Journal;
use crate::journal::entry::State;
use crate::journal::files::{NUMBER_MAX, number_of};

impl<S: State> Journal<S> {
    /// Renames the entry folder to the last entry with the whole state, durably. Returns whether it has that name or a
    /// later one, so that lesser entries are needless.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn move_on(&mut self) -> Result<bool> {
        let Some(folder) = self.folder else { return Ok(false) };
        if folder < self.folded {
            self.sync_folder()?;
            let from = self.files.folder_path(folder);
            match self.files.storage.rename(&from, &self.files.folder_path(self.folded)) {
                Ok(()) => self.folder = Some(self.folded),
                // Another process was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.refresh()?;
                    return Ok(self.folder >= Some(self.folded));
                }
                Err(error) => return Err(Error::io("rename", &from)(error)),
            }
        }
        let dir = self.files.dir();
        self.files.storage.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
        Ok(true)
    }

    /// Removes needless entries, and all anchors but the last. Returns the number of removed files. Others may read and
    /// publish meanwhile, and may have stopped at any step.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_folded(&mut self) -> Result<usize> {
        self.refresh()?;
        if let Err(error) = self.list().and_then(|_| self.files.anchors()) {
            // Reading reports it.
            return of_one_file(error).and_then(|_| self.read_all()).map(|()| 0);
        }
        if !self.bad.is_empty() || !self.move_on()? {
            return Ok(0);
        }
        let Some(folder) = self.folder else { return Ok(0) };
        let files = self.files.clone();
        let mut needless = Vec::new();
        for older in files.folders()?.unwrap_or_default().into_iter().filter(|&older| older <= folder) {
            let numbers = files.numbers(older)?.unwrap_or_default().into_iter();
            let below = numbers.filter(|&number| older < folder || number < folder);
            needless.extend(below.map(|number| files.entry_path(older, number)));
        }
        let anchors = files.anchors()?;
        needless.extend(anchors.iter().rev().skip(1).map(|&number| files.anchor_path(number)));
        let mut removed = 0;
        for path in needless {
            removed += usize::from(files.remove(&path)?);
        }
        for older in files.folders()?.unwrap_or_default().into_iter().filter(|&older| older < folder) {
            // A folder recreated by a process that slept through the rename.
            let _ = files.storage.remove_dir(&files.folder_path(older));
        }
        Ok(removed)
    }

    /// The path of a needless entry or anchor of a damaged journal after [`Self::move_on`].
    pub(crate) fn now_at(&self, path: &Path) -> Option<PathBuf> {
        if path.parent().is_some_and(|folder| folder.ends_with(paths::ANCHORS)) {
            return Some(path.to_owned());
        }
        let number = number_of(path.file_name()?.to_str()?.strip_suffix(".entry")?)?;
        let folder = self.folder.filter(|&folder| number < folder)?;
        Some(self.files.entry_path(folder, number))
    }

    /// Damaged entries and anchors with the greatest possible numbers, after which nothing could be published, and
    /// folders with such names. Nobody published them: numbers rise by one.
    pub(crate) fn strays(&self) -> Result<Vec<PathBuf>> {
        let folders = self.files.folders()?.unwrap_or_default();
        let mut strays = Vec::new();
        for &folder in &folders {
            let numbers = self.files.numbers(folder)?.unwrap_or_default();
            let great = numbers.into_iter().filter(|&number| number >= NUMBER_MAX);
            strays.extend(great.map(|number| (number, self.files.entry_path(folder, number))));
        }
        let anchors = self.files.anchors().or_else(|error| of_one_file(error).map(|_| Vec::new()))?;
        let great = anchors.into_iter().filter(|&number| number >= NUMBER_MAX);
        strays.extend(great.map(|number| (number, self.files.anchor_path(number))));
        let mut bad = Vec::new();
        for (number, path) in strays {
            if self.files.read::<S>(&path, number)?.is_some_and(|read| read.is_err()) {
                bad.push(path);
            }
        }
        bad.extend(
            folders.into_iter().filter(|&folder| folder >= NUMBER_MAX).map(|folder| self.files.folder_path(folder)),
        );
        Ok(bad)
    }
}
