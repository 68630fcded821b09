//! Publishes entries of a journal: the steps are in [`crate::journal::chain`].

use std::io::ErrorKind;
use std::sync::Arc;

use crate::base::ids::random_u128;
use crate::error::{Error, Result};
use crate::folder::making::{self, Making};
use crate::folder::paths;
use crate::journal::chain::{Journal, REMEMBERED};
use crate::journal::entry::{Entry, State};
use crate::journal::files::{NUMBER_MAX, is_taken};

/// After this many entries the next one contains the whole state.
const FOLD_AFTER: u64 = 32;

/// Whether a named entry counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Counts,
    CountsNot,
    Unknown,
}

impl<S: State> Journal<S> {
    /// Publishes the changes that `plan` makes for the current state; `plan` runs again if another process was faster.
    /// Returns whether there was anything to publish.
    ///
    /// # Errors
    /// Those of `plan`; [`Error::Corrupt`] if the journal's folder is missing; [`Error::Io`], then it may still have
    /// been published: check, and retry if not.
    pub fn publish(&mut self, plan: impl FnMut(&S) -> Result<Vec<S::Change>>) -> Result<bool> {
        self.publish_as(plan, false)
    }

    /// The same in an entry with the whole state, so that the journal's damage no longer matters.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn publish_whole(&mut self, plan: impl FnMut(&S) -> Result<Vec<S::Change>>) -> Result<bool> {
        self.publish_as(plan, true)
    }

    fn publish_as(&mut self, mut plan: impl FnMut(&S) -> Result<Vec<S::Change>>, whole: bool) -> Result<bool> {
        self.refresh()?;
        loop {
            self.check_listed()?;
            let changes = plan(&self.state)?;
            if changes.is_empty() {
                return Ok(false);
            }
            let number = self.number + 1;
            // Damage stays visible until repair. What only an anchor has must not be depended on.
            let fold = whole || !self.has_gap() && (number - self.folded > FOLD_AFTER || !self.bad.is_empty());
            let known = if fold { REMEMBERED } else { 1 };
            let before = self.recent.iter().take(known).copied().collect();
            let nonce = self.nonce.unwrap_or_else(|| random_u128() as u64);
            let entry = Entry { nonce, before, state: fold.then(|| self.state.clone()), changes };
            let (bytes, crc) = entry.encode(number);
            if self.try_publish(number, &bytes, crc, whole)? {
                if fold {
                    self.bad.clear();
                }
                self.take(number, entry, crc);
                return Ok(true);
            }
            let before = (self.number, self.folder);
            self.refresh()?;
            if (self.number, self.folder) == before {
                self.read_all()?;
            }
        }
    }

    /// Names the entry. Returns whether it counts; `false` if others were faster.
    fn try_publish(&mut self, number: u64, bytes: &[u8], crc: u32, whole: bool) -> Result<bool> {
        if number > NUMBER_MAX {
            return Err(Error::corrupt(&self.path(number), 0, "a journal has no room for entries behind this name"));
        }
        // If the folder cannot be looked up, it would be unknown afterwards whether the entry counts.
        self.files.folder()?;
        self.make_folder(whole)?;
        let storage = Arc::clone(&self.files.storage);
        let making = making::begin(&*storage, &self.files.root.join(paths::TEMPORARY), "entry")?;
        let written = making.file.write_at(bytes, 0).and_then(|()| making.file.sync());
        let published = written.map_err(Error::io("write", &making.path)).and_then(|()| {
            let counts = self.name_entry(&making, number, bytes, crc)?;
            if counts {
                self.sync_folder()?;
                // The entry counts without its anchor too, which only reveals a loss.
                let _ = self.anchor(number, bytes);
            }
            Ok(counts)
        });
        // The entry is published or not; the temporary file does not matter.
        let _ = storage.remove_file(&making.path);
        published
    }

    /// Creates the folder of the first entries durably, even if another process created it and died; or, to repair a
    /// journal without its folder, one for the next entry.
    fn make_folder(&mut self, whole: bool) -> Result<()> {
        let name = match self.folder {
            Some(_) if self.number > 0 => return Ok(()),
            Some(name) => name,
            None if self.number == 0 && !self.has_gap() => 0,
            None if whole => self.number + 1,
            None => return Err(self.folder_missing()),
        };
        let (storage, dir) = (&self.files.storage, self.files.dir());
        for (folder, above) in [(&dir, &self.files.root), (&self.files.folder_path(name), &dir)] {
            match storage.create_dir(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(Error::io("create", folder)(error));
                }
                _ => storage.sync_dir(above).map_err(Error::io("sync", above))?,
            }
        }
        self.folder = Some(name);
        Ok(())
    }

    /// Step 3 and 4.
    fn name_entry(&self, making: &Making, number: u64, bytes: &[u8], crc: u32) -> Result<bool> {
        let path = self.path(number);
        let failed = match self.files.give_name(making, bytes, &path) {
            Ok(()) if self.files.folder()? == self.folder => return Ok(true),
            Ok(()) => None,
            Err(error) => Some(error),
        };
        // A failed call may have been carried out; a taken name may be this entry's own.
        match (self.standing(number, crc)?, failed) {
            (Standing::Counts, _) => Ok(true),
            (Standing::CountsNot, None) => Ok(false),
            (Standing::CountsNot, Some(error)) if is_taken(&error) => Ok(false),
            (Standing::CountsNot, Some(error))
                if error.kind() == ErrorKind::NotFound && self.files.folder()? != self.folder =>
            {
                Ok(false)
            }
            (_, Some(error)) => Err(Error::io("publish", &path)(error)),
            (Standing::Unknown, None) => {
                let why = "others published so much meanwhile that nobody can tell whether this change is among it; \
                           look, and try again if it is not";
                Err(Error::io("publish", &path)(std::io::Error::other(why)))
            }
        }
    }

    /// Whether an entry that was or may have been named counts.
    fn standing(&self, number: u64, crc: u32) -> Result<Standing> {
        let now = Self::open_optional(Arc::clone(&self.files.storage), self.files.root.clone(), self.files.name)?;
        now.check_listed()?;
        let Some(back) = now.number.checked_sub(number) else { return Ok(Standing::CountsNot) };
        Ok(match usize::try_from(back).ok().and_then(|back| now.recent.get(back)) {
            Some(&own) if own == crc => Standing::Counts,
            None | Some(0) => Standing::Unknown,
            Some(_) => Standing::CountsNot,
        })
    }

    /// Syncs the entry folder, whatever its current name.
    pub(super) fn sync_folder(&self) -> Result<()> {
        let mut folder = self.folder;
        loop {
            let path = self.files.folder_path(folder.unwrap_or(0));
            match self.files.storage.sync_dir(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound && self.files.folder()? != folder => {
                    folder = self.files.folder()?;
                }
                synced => return synced.map_err(Error::io("sync", &path)),
            }
        }
    }

    /// Makes every entry that was read durable: its publisher may have died before syncing it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<()> {
        self.check_listed()?;
        if self.folder.is_none() { Ok(()) } else { self.sync_folder() }
    }

    /// Step 6.
    fn anchor(&self, number: u64, bytes: &[u8]) -> Result<()> {
        self.files.give_anchor(bytes, number)?;
        let before = self.files.anchor_path(number - 1);
        let is_whole = || matches!(self.files.read::<S>(&before, number - 1), Ok(Some(Ok(_))));
        // While changes are lost, earlier anchors may be all that is left of them. A damaged one is left to repair.
        if !self.has_gap() && is_whole() {
            let _ = self.files.remove(&before);
        }
        Ok(())
    }
}
