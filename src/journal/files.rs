//! The files of a journal: names of folders, entries and anchors, and operations on them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::bytes::Malformed;
use crate::base::control;
use crate::error::{Error, Result, of_one_file};
use crate::folder::making::{self, Making};
use crate::folder::paths;
use crate::journal::entry::{Entry, JOURNAL_VERSION, State, newer_version};
use crate::storage::{self, Storage};

/// The greatest number of an entry: names have 16 digits.
pub(super) const NUMBER_MAX: u64 = 9_999_999_999_999_999;
/// The name of an entry inside a folder of its own, on file systems without links.
const WITHIN: &str = "entry";

/// The result of reading an entry: contents and CRC-32, or what is wrong.
pub(super) type Found<S> = Result<(Entry<S>, u32), String>;

/// The files of one journal.
#[derive(Clone)]
pub(super) struct JournalFiles {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) root: PathBuf,
    pub(super) name: &'static str,
}

impl JournalFiles {
    pub(super) fn dir(&self) -> PathBuf {
        self.root.join(self.name)
    }

    pub(super) fn folder_path(&self, folder: u64) -> PathBuf {
        self.dir().join(format!("{folder:016}"))
    }

    pub(super) fn entry_path(&self, folder: u64, number: u64) -> PathBuf {
        self.folder_path(folder).join(format!("{number:016}.entry"))
    }

    pub(super) fn anchor_path(&self, number: u64) -> PathBuf {
        self.root.join(paths::ANCHORS).join(format!("{}.{number:016}.entry", self.name))
    }

    /// Numbers of the entry folders, ascending; `None` if the journal's own folder is missing.
    pub(super) fn folders(&self) -> Result<Option<Vec<u64>>> {
        let dir = self.dir();
        let entries = match self.storage.read_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(Error::io("list", &dir))?,
        };
        let mut folders: Vec<u64> =
            entries.iter().filter(|entry| entry.is_dir).filter_map(|entry| number_of(&entry.name)).collect();
        folders.sort_unstable();
        Ok(Some(folders))
    }

    /// The number of the entry folder, the greatest if there are several; `None` if there is none.
    pub(super) fn folder(&self) -> Result<Option<u64>> {
        Ok(self.folders()?.unwrap_or_default().last().copied())
    }

    /// Numbers of the entries in a folder, ascending; `None` if the folder does not exist.
    pub(super) fn numbers(&self, folder: u64) -> Result<Option<Vec<u64>>> {
        let path = self.folder_path(folder);
        let entries = match self.storage.read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(Error::io("list", &path))?,
        };
        let mut numbers: Vec<u64> =
            entries.iter().filter_map(|entry| number_of(entry.name.strip_suffix(".entry")?)).collect();
        numbers.sort_unstable();
        Ok(Some(numbers))
    }

    /// Numbers of the journal's anchors, ascending; empty if their folder is missing.
    pub(super) fn anchors(&self) -> Result<Vec<u64>> {
        let own = |name: &str| number_of(name.strip_prefix(self.name)?.strip_prefix('.')?.strip_suffix(".entry")?);
        let mut numbers: Vec<u64> = self.anchors_of_all()?.iter().filter_map(|anchor| own(&anchor.name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The anchors of all journals; empty if their folder is missing.
    pub(super) fn anchors_of_all(&self) -> Result<Vec<storage::Entry>> {
        let dir = self.root.join(paths::ANCHORS);
        match self.storage.read_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            entries => entries.map_err(Error::io("list", &dir)),
        }
    }

    /// Reads an entry by its path, or inside a folder of its name; `None` if it does not exist.
    pub(super) fn read<S: State>(&self, path: &Path, number: u64) -> Result<Option<Found<S>>> {
        let bytes = match self.bytes(path).map_err(Error::io("read", path)) {
            Ok(bytes) => bytes,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return of_one_file(error).map(|error| Some(Err(error.to_string()))),
        };
        if let Some(found) = newer_version(&bytes) {
            return Err(Error::NewerFormat { path: path.to_owned(), found, supported: JOURNAL_VERSION });
        }
        Ok(Some(Entry::decode(&bytes, number).map_err(|Malformed(what)| what.to_owned())))
    }

    fn bytes(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        let file = match self.storage.open_read(path) {
            Err(error) if error.kind() == ErrorKind::IsADirectory => {
                self.storage.open_read(&path.join(WITHIN)).map_err(|_| error)?
            }
            opened => opened?,
        };
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX).min(control::CONTROL_BYTES_MAX);
        let mut bytes = vec![0; len];
        let got = file.read_at(&mut bytes, 0)?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// Whether this path exists.
    pub(super) fn is_there(&self, path: &Path) -> bool {
        !self.storage.open_read(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }

    /// Gives a synced file a name that must be free, atomically: by a link or, if there are none, by a folder that
    /// contains it, since a folder is never renamed over an existing name.
    pub(super) fn give_name(&self, making: &Making, bytes: &[u8], path: &Path) -> std::io::Result<()> {
        match self.storage.link(&making.path, path) {
            Err(error) if cannot_link(&error) => {}
            linked => return linked,
        }
        let folder = making.path.with_extension("folder");
        self.storage.create_dir(&folder)?;
        let within = folder.join(WITHIN);
        let named = self.write(bytes, &within).and_then(|()| {
            self.storage.sync_dir(&folder)?;
            self.storage.rename(&folder, path)
        });
        if named.is_err() {
            let _ = self.storage.remove_file(&within);
            let _ = self.storage.remove_dir(&folder);
        }
        named
    }

    fn write(&self, bytes: &[u8], path: &Path) -> std::io::Result<()> {
        let file = self.storage.create_new(path)?;
        file.write_at(bytes, 0)?;
        file.sync()
    }

    /// Creates an entry's anchor durably: a second file, so that damage to one of both costs nothing.
    pub(super) fn give_anchor(&self, bytes: &[u8], number: u64) -> Result<()> {
        let (folder, path) = (self.root.join(paths::ANCHORS), self.anchor_path(number));
        let making = making::begin(&*self.storage, &self.root.join(paths::TEMPORARY), "entry")?;
        let give = || {
            making.file.write_at(bytes, 0)?;
            making.file.sync()?;
            match self.give_name(&making, bytes, &path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.storage.create_dir(&folder)?;
                    self.storage.sync_dir(&self.root)?;
                    self.give_name(&making, bytes, &path)?;
                }
                given => given?,
            }
            self.storage.sync_dir(&folder)
        };
        let given = give().map_err(Error::io("publish", &path));
        let _ = self.storage.remove_file(&making.path);
        given
    }

    /// Removes an entry or anchor, or its folder. Returns whether it existed.
    pub(super) fn remove(&self, path: &Path) -> Result<bool> {
        let removed = match self.storage.remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => match self.storage.remove_file(&path.join(WITHIN)) {
                Ok(()) => self.storage.remove_dir(path),
                // Another process is removing it too.
                Err(within) if within.kind() == ErrorKind::NotFound => self.storage.remove_dir(path),
                Err(_) => Err(error),
            },
            removed => removed,
        };
        match removed {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("remove", path)(error)),
        }
    }
}

/// Parses a number in a name: 16 digits.
pub(super) fn number_of(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|_| digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Whether the file system does not support links, as opposed to a full disk or a missing permission.
fn cannot_link(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::Unsupported
        || matches!(error.raw_os_error(), Some(libc::EPERM | libc::EMLINK | libc::ENOSYS))
}

/// Whether the name was taken.
pub(super) fn is_taken(error: &std::io::Error) -> bool {
    use ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    matches!(error.kind(), AlreadyExists | DirectoryNotEmpty | NotADirectory)
}
