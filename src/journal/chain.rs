//! A journal: a state stored as a sequence of immutable, synced files, changed by several processes without a lock or a
//! clock.
//!
//! Entry `n + 1` contains the changes after entry `n`. The entries are in one folder, named after an entry `g`, from
//! which they count. To publish:
//!
//! 1. Find the folder, read all its entries from `g` on, and plan the change on that state.
//! 2. Write the entry to a temporary file and sync it.
//! 3. Link it to the next name in the folder, which must not exist. If the name is taken, or the folder was renamed, go
//!    back to 1.
//! 4. Check the folder's name again. If it changed, find out whether the entry counts (below).
//! 5. Sync the folder.
//! 6. Write the entry once more and link it to its name among the anchors, sync their folder, and remove the previous
//!    anchor. Two files, so that damage to one of them costs nothing.
//!
//! So each name is used once, numbers have no gap, and the planned change was valid when it was published.
//!
//! From time to time an entry `f` contains the whole state, and earlier entries are not needed. To remove them:
//!
//! 1. Sync the folder, so that `f` is durable.
//! 2. Rename the folder from `g` to `f`, and sync its parent.
//! 3. Remove entries below `f` from it.
//!
//! Q: Can a removed name be used again? A: Not in the current folder. Only numbers below `f` are removed from folder
//! `f`, and a publisher there has read entry `f`, so it tries a greater number. A publisher that read the folder while
//! it was `g`, and slept since, uses a path that does not exist. There is one folder, whose name only grows, so no path
//! comes back. Each step is one atomic call; however long a process sleeps between two of them, it finds what it relied
//! on, or the call fails.
//!
//! Q: What if the network delivers a call late, or somebody creates a folder with an old name? A: Then the entry may
//! get a name that does not count. So the publisher checks again (step 4): an entry with the whole state contains the
//! CRC-32s of the last 256 entries before it. If the one with this number is the publisher's own, the entry counts; if
//! it is another's, the publisher goes back to 1. Only if more entries were published meanwhile is it unknown, which is
//! an error.
//!
//! Q: What about a number whose entry is damaged or lost? A: Repair publishes the whole state after the greatest number
//! in any name, of an entry, an anchor or the folder, whatever its contents; then renames the folder; and only then
//! moves damaged files out. So that number too becomes free only in a folder where nobody tries it.
//!
//! If the file system has no links, step 3 moves the entry into a folder of its own and renames that to the entry's
//! name: a rename of a folder fails if the target is a file or a folder that is not empty.
//!
//! Only durable entries get an anchor. So an anchor without its entry shows that the entry was lost; its contents are
//! read from the anchor.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::of_one_file;
use crate::error::{Error, Result};
use crate::journal::entry::Entry;
pub use crate::journal::entry::State;
use crate::journal::files::JournalFiles;
use crate::storage::Storage;

/// The number of previous CRC-32s in an entry with the whole state.
pub(super) const REMEMBERED: usize = 256;
/// Attempts to read a journal that changes meanwhile.
const READINGS: u32 = 1000;
/// Longest gap in which missing entries are looked up one by one.
const HOLE_MAX: u64 = 1024;

/// An unreadable entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEntry {
    /// Its file, or the missing folder.
    pub path: PathBuf,
    /// The reason.
    pub what: String,
    /// Whether its changes are lost; else a second copy of it verifies.
    pub is_lost: bool,
}

/// The contents of a journal's folders.
pub(super) struct Listed {
    /// Numbers of the entry folders, ascending; `None` if the journal's own folder is missing.
    folders: Option<Vec<u64>>,
    /// Numbers of the entries in the last folder.
    numbers: Vec<u64>,
}

/// An entry with its number and checksum.
type Numbered<S> = (u64, Entry<S>, u32);

/// A journal, as far as this process has read it.
pub struct Journal<S: State> {
    pub(super) files: JournalFiles,
    /// The number of the entry folder; `None` if there is none.
    pub(super) folder: Option<u64>,
    pub(super) state: S,
    /// The number of the last entry read; 0 before the first.
    pub(super) number: u64,
    /// The number of the last entry with the whole state.
    pub(super) folded: u64,
    /// CRC-32s of the entries up to the last one read, newest first; 0 for unreadable ones.
    pub(super) recent: VecDeque<u32>,
    pub(super) bad: Vec<BadEntry>,
    /// Why a folder of the journal cannot be listed. Then its contents are unknown, and nothing is published.
    unlisted: Option<Error>,
    /// How often the state changed in this process.
    reading: u64,
    /// Whether a missing folder means a journal without entries.
    optional: bool,
    /// The nonce of every entry; random if `None`.
    pub(super) nonce: Option<u64>,
}

impl<S: State> std::fmt::Debug for Journal<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({}, entry {})", self.files.dir().display(), self.number)
    }
}

impl<S: State> Journal<S> {
    /// Reads the journal `name` of the workspace at `root`.
    ///
    /// # Errors
    /// [`Error::Io`]. Damaged entries are skipped and reported by [`Self::lost`].
    pub fn open(storage: Arc<dyn Storage>, root: PathBuf, name: &'static str) -> Result<Self> {
        Self::open_as(storage, root, name, false)
    }

    #[cfg(any(test, feature = "internals"))]
    /// Uses one nonce for all entries of this handle, so that their bytes are deterministic. For tests: publishers of
    /// equal changes with the same nonce may take each other's entry for their own.
    #[doc(hidden)]
    #[must_use]
    pub fn with_nonce(mut self, nonce: u64) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// The same for a journal whose folder may be missing as long as it has no entries.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_optional(storage: Arc<dyn Storage>, root: PathBuf, name: &'static str) -> Result<Self> {
        Self::open_as(storage, root, name, true)
    }

    fn open_as(storage: Arc<dyn Storage>, root: PathBuf, name: &'static str, optional: bool) -> Result<Self> {
        let (state, recent, bad) = Default::default();
        let (files, unlisted) = (JournalFiles { storage, root, name }, None);
        let (folder, number, folded, reading) = (None, 0, 0, 0);
        let nonce = None;
        let mut journal =
            Self { files, folder, state, number, folded, recent, bad, unlisted, reading, optional, nonce };
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

    /// How often the state changed in this process; anything derived from it at another reading is stale.
    #[must_use]
    pub fn reading(&self) -> u64 {
        self.reading
    }

    /// Entries without a readable copy: their changes are lost.
    pub fn lost(&self) -> impl Iterator<Item = &BadEntry> {
        self.bad.iter().filter(|bad| bad.is_lost)
    }

    /// Errors for lost entries and for a folder that cannot be listed.
    pub fn losses(&self) -> impl Iterator<Item = Error> {
        self.lost().map(|bad| Error::corrupt(&bad.path, 0, &bad.what))
    }

    /// Whether something is missing from the state.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.lost().next().is_some()
    }

    /// Why a folder of the journal cannot be listed, if so; then the state is the last known one.
    #[must_use]
    pub fn unlisted(&self) -> Option<&Error> {
        self.unlisted.as_ref()
    }

    /// Fails if the journal's entries are unknown.
    pub(super) fn check_listed(&self) -> Result<()> {
        self.unlisted.as_ref().map_or(Ok(()), |error| Err(error.again()))
    }

    /// Fails if nothing can be published, whatever the change: its folder cannot be listed or is missing.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`] of the folder.
    pub fn check_open(&mut self) -> Result<()> {
        self.refresh()?;
        self.check_listed()?;
        // A handle that knows the folder goes on reading when it cannot be listed, but cannot publish.
        if self.files.folder()?.is_some() || self.number == 0 && !self.has_gap() {
            Ok(())
        } else {
            Err(self.folder_missing())
        }
    }

    pub(super) fn folder_missing(&self) -> Error {
        let why = "the folder of a journal's entries is missing; `repair` makes it anew";
        Error::corrupt(&self.files.dir(), 0, why)
    }

    /// Whether an acknowledged entry after the last one read may be lost without a trace. An entry is acknowledged once
    /// it has an anchor, and the previous anchor is removed later. So if there is an anchor, nothing is lost. If there
    /// is none, publishers stopped before creating it, or anchors are lost: the latter if there are several entries and
    /// no other journal has an anchor either.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn may_lack_entries(&self) -> Result<bool> {
        let anchors = self.files.anchors_of_all().or_else(|error| of_one_file(error).map(|_| Vec::new()))?;
        Ok(self.number > 1 && anchors.is_empty())
    }

    /// Every damaged entry and anchor, and every missing entry.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn check_all(&mut self) -> Result<Vec<BadEntry>> {
        self.read_all()?;
        let mut bad = self.bad.clone();
        let numbers = match self.folder.filter(|_| self.unlisted.is_none()) {
            Some(folder) => self.files.numbers(folder)?,
            None => None,
        };
        // If they cannot be listed, `bad` has the error.
        let anchors = self.files.anchors().or_else(|error| of_one_file(error).map(|_| Vec::new()))?;
        let mut add = |path: PathBuf, what: String, is_lost: bool| {
            if !bad.iter().any(|known| known.path == path) {
                bad.push(BadEntry { path, what, is_lost });
            }
        };
        let mut crcs = BTreeMap::new();
        for number in numbers.unwrap_or_default() {
            let path = self.path(number);
            match self.files.read::<S>(&path, number)? {
                Some(Ok((_, crc))) => _ = crcs.insert(number, crc),
                Some(Err(what)) => add(path, what, false),
                None => {}
            }
        }
        for number in anchors {
            let path = self.files.anchor_path(number);
            match self.files.read::<S>(&path, number)? {
                Some(Ok((_, crc))) if crcs.get(&number).is_some_and(|&own| own != crc) => {
                    add(path, "another entry has the number of this one, which is lost".to_owned(), true);
                }
                Some(Err(what)) => add(path, what, false),
                _ => {}
            }
        }
        Ok(bad)
    }

    /// Reads new entries. Costs two opens, one of them failing, if there are none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn refresh(&mut self) -> Result<()> {
        if self.unlisted.is_some() {
            return self.read_all();
        }
        match self.read_on() {
            Ok(true) => Ok(()),
            Ok(false) => self.read_all(),
            // A folder that cannot be listed is reported there.
            Err(error) => of_one_file(error).and_then(|_| self.read_all()),
        }
    }

    /// Reads on; `false` if everything must be read again.
    fn read_on(&mut self) -> Result<bool> {
        if self.folder.is_none() {
            return Ok(self.files.folder()?.is_none());
        }
        loop {
            let next = self.number + 1;
            match self.files.read(&self.path(next), next)? {
                // Entries in a recreated folder do not count.
                Some(Ok((entry, crc)))
                    if follows(&entry, self.recent.front()) && self.files.folder()? == self.folder =>
                {
                    self.take(next, entry, crc);
                }
                Some(_) => return Ok(false),
                // The next entry may be missing because the folder was renamed.
                None => return self.is_where_it_was(),
            }
        }
    }

    /// Whether the last entry read still has its name, or before the first entry, the folder.
    fn is_where_it_was(&self) -> Result<bool> {
        if self.number == 0 {
            Ok(self.files.folder()? == self.folder)
        } else {
            Ok(self.files.is_there(&self.path(self.number)))
        }
    }

    /// Starts from the newest whole state and reads all entries after it.
    pub(super) fn read_all(&mut self) -> Result<()> {
        for _ in 0..READINGS {
            if self.try_read_all()? {
                return Ok(());
            }
        }
        let why = std::io::Error::other("what was listed there was not there, again and again");
        Err(Error::io("read", &self.files.dir())(why))
    }

    /// `false` if the folder was renamed meanwhile.
    fn try_read_all(&mut self) -> Result<bool> {
        let mut bad = Vec::new();
        // Anchors first: an entry gets its name before its anchor.
        let anchors = match self.files.anchors() {
            Ok(anchors) => anchors,
            // They only reveal lost entries.
            Err(error) => {
                bad.push(unlisted(&of_one_file(error)?, false));
                Vec::new()
            }
        };
        let Listed { folders, numbers } = match self.list() {
            Ok(Some(listed)) => listed,
            Ok(None) => return Ok(false),
            // Keep the known state.
            Err(error) => {
                let error = of_one_file(error)?;
                bad.push(unlisted(&error, true));
                self.reading += u64::from(self.unlisted.is_none());
                (self.bad, self.unlisted) = (bad, Some(error));
                return Ok(true);
            }
        };
        let folder = folders.as_ref().and_then(|folders| folders.last()).copied();
        (self.folder, self.unlisted) = (folder, None);
        if folders.is_none() && !self.optional {
            let (path, what) = (self.files.dir(), "the folder is missing".to_owned());
            bad.push(BadEntry { path, what, is_lost: true });
        }
        let Some((entries, last)) = self.read_back(&numbers, &anchors, folder, &mut bad)? else { return Ok(false) };
        if !bad.is_empty() && self.files.folder()? != folder {
            return Ok(false);
        }
        self.replay(entries, last, bad);
        Ok(true)
    }

    /// The entries from the last one back to the first that has the whole state, newest first, and the last number.
    /// What is missing or bad goes to `bad`. `None` if the folder was renamed meanwhile.
    fn read_back(
        &self,
        numbers: &[u64],
        anchors: &[u64],
        folder: Option<u64>,
        bad: &mut Vec<BadEntry>,
    ) -> Result<Option<(Vec<Numbered<S>>, u64)>> {
        let mut entries = Vec::new();
        // The entry that the folder is named after existed, whatever else is gone.
        let known = || numbers.iter().chain(anchors).chain(&folder).copied();
        let last = known().max().unwrap_or(0);
        let first = folder.unwrap_or(0).max(1);
        let mut number = last;
        while number >= first {
            let path = self.path(number);
            let (mut found, mut what) = (None, "the entry is missing".to_owned());
            match self.files.read(&path, number)? {
                Some(Ok(entry)) => found = Some(entry),
                Some(Err(why)) => what = why,
                None if numbers.binary_search(&number).is_ok() => return Ok(None),
                None => {}
            }
            if found.is_none() {
                if anchors.binary_search(&number).is_ok() {
                    found = self.files.read(&self.files.anchor_path(number), number)?.and_then(Result::ok);
                }
                bad.push(BadEntry { path, what, is_lost: found.is_none() });
            }
            let whole = found.as_ref().is_some_and(|(entry, _): &(Entry<S>, u32)| entry.state.is_some());
            entries.extend(found.map(|(entry, crc)| (number, entry, crc)));
            if whole {
                break;
            }
            number -= 1;
            let below = known().filter(|&known| known <= number).max().unwrap_or(first - 1);
            if number - below > HOLE_MAX {
                let what = format!("this entry and all before it down to number {} are missing", below + 1);
                bad.push(BadEntry { path: self.path(number), what, is_lost: true });
                number = below;
            }
        }
        Ok(Some((entries, last)))
    }

    /// Takes entries, given newest first, as the whole state up to the number `last`.
    fn replay(&mut self, entries: Vec<Numbered<S>>, last: u64, mut bad: Vec<BadEntry>) {
        (self.state, self.number, self.folded) = (S::default(), 0, 0);
        self.recent.clear();
        for (number, entry, crc) in entries.into_iter().rev() {
            let before = if number == self.number + 1 { self.recent.front() } else { None };
            if !follows(&entry, before) {
                let what = "it does not follow the entry before it".to_owned();
                bad.push(BadEntry { path: self.path(number), what, is_lost: true });
            }
            self.take(number, entry, crc);
        }
        self.skip_to(last);
        self.bad = bad;
        self.reading += 1;
    }

    /// The contents of the journal's folders; `None` if the last one was renamed meanwhile.
    pub(super) fn list(&self) -> Result<Option<Listed>> {
        let folders = self.files.folders()?;
        let numbers = match folders.as_ref().and_then(|folders| folders.last()) {
            Some(&folder) => self.files.numbers(folder)?,
            None => Some(Vec::new()),
        };
        Ok(numbers.map(|numbers| Listed { folders, numbers }))
    }

    pub(super) fn take(&mut self, number: u64, entry: Entry<S>, crc: u32) {
        if let Some(state) = entry.state {
            (self.state, self.folded) = (state, number);
            (self.recent, self.number) = (entry.before.into(), number - 1);
        }
        self.skip_to(number - 1);
        self.remember(crc);
        entry.changes.iter().for_each(|change| self.state.apply(change));
        self.number = number;
        self.reading += 1;
    }

    fn remember(&mut self, crc: u32) {
        self.recent.push_front(crc);
        self.recent.truncate(REMEMBERED);
    }

    /// Continues after unreadable entries.
    fn skip_to(&mut self, number: u64) {
        (self.number..number).take(REMEMBERED).for_each(|_| self.remember(0));
        self.number = self.number.max(number);
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.files.entry_path(self.folder.unwrap_or(0), number)
    }
}

/// A folder that cannot be listed.
fn unlisted(error: &Error, is_lost: bool) -> BadEntry {
    let path = error.path().map_or_else(PathBuf::new, Path::to_owned);
    BadEntry { path, what: format!("the folder cannot be listed, so what is in it is not known: {error}"), is_lost }
}

/// Whether an entry follows the one with this CRC-32, if both are known.
fn follows<S: State>(entry: &Entry<S>, last: Option<&u32>) -> bool {
    match (entry.before.first(), last) {
        (Some(&before), Some(&last)) => before == last || before == 0 || last == 0,
        _ => true,
    }
}
