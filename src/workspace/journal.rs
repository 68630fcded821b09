//! A state kept as a sequence of immutable, synced files, changed by several processes without a lock.
//!
//! Entry `n + 1` says what changes after entry `n`. To publish it:
//!
//! 1. Read all entries there are, and plan the change on that state.
//! 2. Write the entry to a temporary file and sync it.
//! 3. Link it to its name, which must not exist. If somebody was faster, go back to 1.
//! 4. Sync the folder.
//!
//! So a name is taken once, numbers have no gap, and what was planned held when it was published. Now and then an entry
//! carries the whole state, and those before it are removed after a grace period.
//!
//! ```text
//! magic u64 | number u64 | payload length u32 | CRC-32 of all the rest u32 | payload: a control record
//! ```

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::bytes::{Malformed, Reader};
use crate::base::checksum::crc32;
use crate::base::control;
use crate::base::ids::random_u128;
use crate::error::{Error, Result};
use crate::storage::Storage;

const MAGIC: u64 = u64::from_le_bytes(*b"SWentry1");
/// The digit at the end of [`MAGIC`].
const JOURNAL_VERSION: u32 = 1;
const HEADER_LEN: usize = 24;
/// An entry carries the whole state when so many came after the last that did.
const FOLD_AFTER: u64 = 32;

/// A state that entries change.
pub trait State: Clone + Default + Serialize + DeserializeOwned {
    /// One change.
    type Change: Clone + Serialize + DeserializeOwned;
    /// Carries it out.
    fn apply(&mut self, change: &Self::Change);
}

#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "", deserialize = ""))]
struct Payload<S: State> {
    /// The state before the changes, now and then.
    state: Option<S>,
    changes: Vec<S::Change>,
}

/// An entry that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEntry {
    /// Its file.
    pub path: PathBuf,
    /// Why.
    pub what: String,
}

/// One such state, as far as this process has read it.
pub struct Journal<S: State> {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    temporary: PathBuf,
    state: S,
    /// The number of the last entry read; 0 before the first.
    number: u64,
    /// The number of the last entry that carried the whole state.
    folded: u64,
    bad: Vec<BadEntry>,
    /// How often the state changed in this process.
    reading: u64,
    /// Whether a missing folder is a journal that nobody wrote yet.
    optional: bool,
}

impl<S: State> std::fmt::Debug for Journal<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({}, entry {})", self.dir.display(), self.number)
    }
}

impl<S: State> Journal<S> {
    /// Reads the state in `dir`.
    ///
    /// # Errors
    /// [`Error::Io`]. Entries that do not verify are left out and named by [`Self::bad`].
    pub fn open(storage: Arc<dyn Storage>, dir: PathBuf, temporary: PathBuf) -> Result<Self> {
        Self::open_as(storage, dir, temporary, false)
    }

    /// The same of a journal whose folder may be missing, as long as nobody wrote to it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_optional(storage: Arc<dyn Storage>, dir: PathBuf, temporary: PathBuf) -> Result<Self> {
        Self::open_as(storage, dir, temporary, true)
    }

    fn open_as(storage: Arc<dyn Storage>, dir: PathBuf, temporary: PathBuf, optional: bool) -> Result<Self> {
        let mut journal = Self {
            storage,
            dir,
            temporary,
            state: S::default(),
            number: 0,
            folded: 0,
            bad: Vec::new(),
            reading: 0,
            optional,
        };
        journal.read_all()?;
        Ok(journal)
    }

    /// The state as last read.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The number of the last entry read.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How often the state changed in this process: what was derived from it at another reading is stale, whoever in the
    /// process read on since.
    #[must_use]
    pub fn reading(&self) -> u64 {
        self.reading
    }

    /// Entries that could not be read: what they said is missing from the state.
    #[must_use]
    pub fn bad(&self) -> &[BadEntry] {
        &self.bad
    }

    /// Every entry in the folder that does not verify, and every one that is missing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn check_all(&self) -> Result<Vec<BadEntry>> {
        let mut bad = self.bad.clone();
        for number in self.numbers()? {
            if let Some(Err(what)) = self.read(number)?
                && !bad.iter().any(|known| known.path == self.path(number))
            {
                bad.push(BadEntry { path: self.path(number), what });
            }
        }
        Ok(bad)
    }

    /// Reads what others published since; costs one failing open when nobody did.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn refresh(&mut self) -> Result<()> {
        loop {
            match self.read(self.number + 1)? {
                Some(Ok(payload)) => self.take(self.number + 1, payload),
                Some(Err(_)) => self.read_all()?,
                None => {
                    // The next entry may be missing because this process slept while it was folded and removed.
                    let own = self.path(self.number);
                    if self.number > 0
                        && self.storage.open_read(&own).is_err_and(|error| error.kind() == ErrorKind::NotFound)
                    {
                        self.read_all()?;
                    }
                    return Ok(());
                }
            }
            if !self.bad.is_empty() {
                return Ok(());
            }
        }
    }

    /// Publishes the changes that `plan` makes of the present state; `plan` runs again whenever somebody was faster.
    /// Gives whether there was anything to publish.
    ///
    /// # Errors
    /// Those of `plan`; [`Error::Io`], and then nothing was published.
    pub fn publish(&mut self, mut plan: impl FnMut(&S) -> Result<Vec<S::Change>>) -> Result<bool> {
        self.refresh()?;
        loop {
            let changes = plan(&self.state)?;
            if changes.is_empty() {
                return Ok(false);
            }
            let number = self.number + 1;
            // After damage the state is written whole, so that the damage no longer matters.
            let fold = number - self.folded > FOLD_AFTER || !self.bad.is_empty();
            let payload = Payload { state: fold.then(|| self.state.clone()), changes };
            if self.try_publish(number, &encode(number, &payload))? {
                self.bad.clear();
                self.take(number, payload);
                return Ok(true);
            }
            let before = self.number;
            self.refresh()?;
            if self.number == before {
                // Somebody holds the name with an entry that does not verify: step over it.
                self.read_all()?;
            }
        }
    }

    fn try_publish(&self, number: u64, bytes: &[u8]) -> Result<bool> {
        let temporary = self.temporary.join(format!("{:032x}.entry", random_u128()));
        let path = self.path(number);
        let file = self.storage.create_new(&temporary).map_err(Error::io("create", &temporary))?;
        let written = file.write_at(bytes, 0).and_then(|()| file.sync()).map_err(Error::io("write", &temporary));
        let linked = written.and_then(|()| match self.storage.link(&temporary, &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) if cannot_link(&error) => self.create_at_once(&path, bytes),
            Err(error) => Err(Error::io("publish", &path)(error)),
        });
        // The name is published, or nothing is: what is left of the temporary file says nothing.
        let _ = self.storage.remove_file(&temporary);
        if linked? {
            self.storage.sync_dir(&self.dir).map_err(Error::io("sync", &self.dir))?;
            return Ok(true);
        }
        Ok(false)
    }

    /// For file systems without links: an exclusive create, whose bytes a crash may tear; readers then step over it.
    fn create_at_once(&self, path: &Path, bytes: &[u8]) -> Result<bool> {
        let file = match self.storage.create_new(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(Error::io("create", path)(error)),
        };
        let written = file.write_at(bytes, 0).and_then(|()| file.sync());
        if let Err(error) = written {
            let _ = self.storage.remove_file(path);
            return Err(Error::io("write", path)(error));
        }
        Ok(true)
    }

    /// Removes entries that a later one made needless, if they are older than `before_ms`. Gives how many went.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_folded(&mut self, before_ms: i64) -> Result<usize> {
        let mut removed = 0;
        for number in self.numbers()?.into_iter().filter(|&number| number < self.folded) {
            let path = self.path(number);
            if self.storage.modified_ms(&path).is_ok_and(|modified| modified < before_ms) {
                self.storage.remove_file(&path).map_err(Error::io("remove", &path))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Starts from the newest whole state and reads all entries after it.
    fn read_all(&mut self) -> Result<()> {
        let numbers = self.numbers()?;
        let mut payloads = Vec::new();
        let mut bad = Vec::new();
        let mut expected = None;
        for &number in numbers.iter().rev() {
            // Missing numbers are damage only where a later entry builds on them.
            while let Some(missing) = expected.filter(|&expected| expected > number) {
                bad.push(BadEntry { path: self.path(missing), what: "the entry is missing".into() });
                expected = Some(missing - 1);
            }
            match self.read(number)? {
                Some(Ok(payload)) => {
                    let whole = payload.state.is_some();
                    payloads.push((number, payload));
                    if whole {
                        expected = None;
                        break;
                    }
                }
                Some(Err(what)) => bad.push(BadEntry { path: self.path(number), what }),
                None => {}
            }
            expected = Some(number - 1);
        }
        for missing in (1..=expected.unwrap_or(0)).rev() {
            bad.push(BadEntry { path: self.path(missing), what: "the entry is missing".into() });
        }
        self.state = S::default();
        self.folded = 0;
        for (number, payload) in payloads.into_iter().rev() {
            self.take(number, payload);
        }
        self.number = numbers.last().copied().unwrap_or(0);
        self.bad = bad;
        self.reading += 1;
        Ok(())
    }

    fn take(&mut self, number: u64, payload: Payload<S>) {
        if let Some(state) = payload.state {
            self.state = state;
            self.folded = number;
        }
        payload.changes.iter().for_each(|change| self.state.apply(change));
        self.number = number;
        self.reading += 1;
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016}.entry"))
    }

    /// Numbers of the entries there are, rising.
    fn numbers(&self) -> Result<Vec<u64>> {
        let entries = match self.storage.read_dir(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound && self.optional => return Ok(Vec::new()),
            entries => entries.map_err(Error::io("list", &self.dir))?,
        };
        let number = |name: &str| name.strip_suffix(".entry").filter(|digits| digits.len() == 16)?.parse().ok();
        let mut numbers: Vec<u64> =
            entries.iter().filter_map(|entry| number(&entry.name)).filter(|&number| number > 0).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn read(&self, number: u64) -> Result<Option<Result<Payload<S>, String>>> {
        let path = self.path(number);
        let file = match self.storage.open_read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &path)(error)),
        };
        let len = file.len().map_err(Error::io("read", &path))?;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(control::CONTROL_BYTES_MAX)];
        let got = file.read_at(&mut bytes, 0).map_err(Error::io("read", &path))?;
        if let Some(found) = newer_version(&bytes[..got]) {
            return Err(Error::NewerFormat { path, found, supported: JOURNAL_VERSION });
        }
        Ok(Some(decode(&bytes[..got], number).map_err(|Malformed(what)| what.to_owned())))
    }
}

/// Whether the file system has no links at all, as opposed to a full disk or a missing permission.
fn cannot_link(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::Unsupported
        || matches!(error.raw_os_error(), Some(libc::EPERM | libc::EMLINK | libc::ENOSYS))
}

/// The version of an entry that a newer Stepwell wrote whole, so that nobody builds on a state without it.
fn newer_version(bytes: &[u8]) -> Option<u32> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let version = magic.strip_prefix(b"SWentry").and_then(|digit| char::from(*digit.first()?).to_digit(10))?;
    let stored = u32::from_le_bytes(*rest.get(12..)?.first_chunk()?);
    let whole = bytes.len() >= HEADER_LEN && stored == crc32(crc32(0, &bytes[..20]), &bytes[HEADER_LEN..]);
    (version > JOURNAL_VERSION && whole).then_some(version)
}

fn encode<S: State>(number: u64, payload: &Payload<S>) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    control::encode(payload, &mut bytes);
    let len = (bytes.len() - HEADER_LEN) as u32;
    bytes[16..20].copy_from_slice(&len.to_le_bytes());
    let crc = crc32(crc32(0, &bytes[..20]), &bytes[HEADER_LEN..]);
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode<S: State>(bytes: &[u8], number: u64) -> Result<Payload<S>, Malformed> {
    let mut reader = Reader::new(bytes);
    let (magic, own) = (reader.u64()?, reader.u64()?);
    let (len, crc) = (reader.u32()?, reader.u32()?);
    if magic != MAGIC || own != number || len as usize != reader.remaining() {
        return Err(Malformed("the header of an entry"));
    }
    if crc != crc32(crc32(0, &bytes[..20]), &bytes[HEADER_LEN..]) {
        return Err(Malformed("the checksum of an entry"));
    }
    control::decode(&bytes[HEADER_LEN..])
}
