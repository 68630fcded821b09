//! A state kept as a sequence of immutable, synced files, changed by several processes without a lock or a clock.
//!
//! Entry `n + 1` says what changes after entry `n`. The entries lie in one folder, which is named after an entry: `g`.
//! It counts from entry `g` on. To publish:
//!
//! 1. Find the folder and read all entries in it from `g` on, and plan the change on that state.
//! 2. Write the entry to a temporary file and sync it.
//! 3. Link it to the next name in the folder, which must not exist. If the name is taken, or no folder is named so any
//!    more, go back to 1.
//! 4. Look at the folder's name again. If it is another one by now, find out whether the entry counts (below).
//! 5. Sync the folder.
//! 6. Link the entry to its second name among the anchors, sync their folder, and remove the anchor before.
//!
//! So a name is taken once, numbers have no gap, and what was planned held when it was published.
//!
//! Now and then an entry `f` carries the whole state, and the entries before it are not needed. To remove them:
//!
//! 1. Sync the folder, so that `f` survives.
//! 2. Rename the folder from `g` to `f`, and sync the folder above it.
//! 3. Remove from it what has a number below `f`.
//!
//! Q: Can a name be taken again that was removed? A: Not under a folder's present name. Only numbers below `f` are
//! removed from the folder `f`, and whoever publishes there has read entry `f`, so tries a greater number. Whoever read
//! the folder while it was `g`, and slept since, names a folder that is not there. There is one folder, which moves
//! from name to name, and each name is greater than the one before, so no name comes back. A step is one call, which
//! happens at once or not; however long a process sleeps between two of them, it finds what it relied on or a failing
//! call.
//!
//! Q: And within the call, on a network that delivers it late, or where somebody makes a folder of an old name again?
//! A: Then the entry may get a name that does not count. So the publisher looks again (4): an entry with the whole
//! state names the CRC-32s of the last 256 entries before it. If the one of that number is the publisher's own, it
//! counts; if it is another's, the publisher goes back to 1. Only if more entries were published meanwhile is it
//! unknown, which is an error.
//!
//! Q: And a number whose entry is damaged or lost? A: Whoever repairs publishes the whole state behind the greatest
//! number that any name tells, of an entry, an anchor or the folder, whatever is in it; then moves the folder on; and
//! only then takes what is damaged out of it. So that number too becomes free in a folder where nobody tries it.
//!
//! Where the file system has no links, step 3 moves the entry into a folder of its own, and renames that to the entry's
//! name: renaming a folder fails where a file or a folder with something in it has the name.
//!
//! An anchor is only given to an entry that survives a power loss. So an anchor without its entry shows that
//! the entry was lost; what it says is read from the anchor.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::of_one_file;
use crate::error::{Error, Result};
use crate::journal::entry::Entry;
pub use crate::journal::entry::State;
use crate::journal::files::JournalFiles;
use crate::storage::Storage;

/// Of so many entries before it an entry with the whole state names the CRC-32.
pub(super) const REMEMBERED: usize = 256;
/// How often a journal is read again that changes while it is read.
const READINGS: u32 = 1000;
/// Missing entries are looked for one by one as long as there are at most so many in a row.
const HOLE_MAX: u64 = 1024;

/// An entry that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEntry {
    /// Its file, or the folder where that is missing.
    pub path: PathBuf,
    /// Why.
    pub what: String,
    /// Whether what it said is missing from the state; else a second copy of it verifies.
    pub is_lost: bool,
}

/// What the folders of a journal hold.
pub(super) struct Listed {
    /// Numbers in the names of folders of entries, rising; `None` where the journal's own folder is missing.
    folders: Option<Vec<u64>>,
    /// Numbers of the entries in the last of them.
    numbers: Vec<u64>,
}

/// One such state, as far as this process has read it.
pub struct Journal<S: State> {
    pub(super) files: JournalFiles,
    /// The number in the name of the folder of entries; `None` where there is no such folder.
    pub(super) folder: Option<u64>,
    pub(super) state: S,
    /// The number of the last entry read; 0 before the first.
    pub(super) number: u64,
    /// The number of the last entry that carried the whole state.
    pub(super) folded: u64,
    /// CRC-32s of the entries up to the last one read, that one first; 0 where one could not be read.
    pub(super) recent: VecDeque<u32>,
    pub(super) bad: Vec<BadEntry>,
    /// Why a folder of the journal cannot be listed: what is in it is not known, and nothing is published beside it.
    unlisted: Option<Error>,
    /// How often the state changed in this process.
    reading: u64,
    /// Whether a missing folder is a journal that nobody wrote yet.
    optional: bool,
    /// The nonce of every entry; drawn at random where none is given.
    pub(super) nonce: Option<u64>,
}

impl<S: State> std::fmt::Debug for Journal<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal({}, entry {})", self.files.dir().display(), self.number)
    }
}

impl<S: State> Journal<S> {
    /// Reads the state of the journal of a name in the workspace at `root`.
    ///
    /// # Errors
    /// [`Error::Io`]. Entries that do not verify are left out and named by [`Self::lost`].
    pub fn open(storage: Arc<dyn Storage>, root: PathBuf, name: &'static str) -> Result<Self> {
        Self::open_as(storage, root, name, false)
    }

    #[cfg(any(test, feature = "internals"))]
    /// Gives all entries of this handle one nonce, so that their bytes can be foretold. For tests: whoever publishes
    /// the same changes with the same nonce at once may take another's entry for its own.
    #[doc(hidden)]
    #[must_use]
    pub fn with_nonce(mut self, nonce: u64) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// The same of a journal whose folder may be missing, as long as nobody wrote to it.
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

    /// How often the state changed in this process: what was derived from it at another reading is stale, whoever in
    /// the process read on since.
    #[must_use]
    pub fn reading(&self) -> u64 {
        self.reading
    }

    /// Entries of which no copy can be read: what they said is missing from the state.
    pub fn lost(&self) -> impl Iterator<Item = &BadEntry> {
        self.bad.iter().filter(|bad| bad.is_lost)
    }

    /// What the entries said that are lost, and a folder of them that cannot be listed, as errors that name them.
    pub fn losses(&self) -> impl Iterator<Item = Error> {
        self.lost().map(|bad| Error::corrupt(&bad.path, 0, &bad.what))
    }

    /// Whether something is missing from the state.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.lost().next().is_some()
    }

    /// Why a folder of the journal cannot be listed, if one cannot: the state is what was known before.
    #[must_use]
    pub fn unlisted(&self) -> Option<&Error> {
        self.unlisted.as_ref()
    }

    /// Refuses where the journal's entries are not known.
    pub(super) fn check_listed(&self) -> Result<()> {
        self.unlisted.as_ref().map_or(Ok(()), |error| Err(error.again()))
    }

    /// Whether an entry that was acknowledged may be lost behind the last one that was read, without a trace. An entry
    /// is acknowledged once it has an anchor, and the anchor before goes after that. So where there is an anchor none
    /// is lost. Where there is none, publishers stopped before they gave one, or anchors are lost: if there are several
    /// entries, and no other journal has an anchor either.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn may_lack_entries(&self) -> Result<bool> {
        let anchors = self.files.anchors_of_all().or_else(|error| of_one_file(error).map(|_| Vec::new()))?;
        Ok(self.number > 1 && anchors.is_empty())
    }

    /// Every entry and every anchor in the folders that does not verify, and every entry that is missing.
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
        // Where they cannot be listed that is in `bad`.
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

    /// Reads what others published since; costs two opens, one of them failing, when nobody did.
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
            // That a folder cannot be listed is told there.
            Err(error) => of_one_file(error).and_then(|_| self.read_all()),
        }
    }

    /// Says `false` where what was published since cannot simply be read on.
    fn read_on(&mut self) -> Result<bool> {
        if self.folder.is_none() {
            return Ok(self.files.folder()?.is_none());
        }
        loop {
            let next = self.number + 1;
            match self.files.read(&self.path(next), next)? {
                // In a folder that somebody made again entries do not count.
                Some(Ok((entry, crc)))
                    if follows(&entry, self.recent.front()) && self.files.folder()? == self.folder =>
                {
                    self.take(next, entry, crc);
                }
                Some(_) => return Ok(false),
                // The next entry may be missing because the folder has another name by now.
                None => return self.is_where_it_was(),
            }
        }
    }

    /// Whether the last entry read still has its name; before the first, whether the folder has it.
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

    /// Says `false` when the folder got another name meanwhile.
    fn try_read_all(&mut self) -> Result<bool> {
        let (mut entries, mut bad) = (Vec::new(), Vec::new());
        // Anchors first: an entry has its name before its anchor has.
        let anchors = match self.files.anchors() {
            Ok(anchors) => anchors,
            // They only tell of entries that are lost.
            Err(error) => {
                bad.push(unlisted(&of_one_file(error)?, false));
                Vec::new()
            }
        };
        let Listed { folders, numbers } = match self.list() {
            Ok(Some(listed)) => listed,
            Ok(None) => return Ok(false),
            // What was known before serves on.
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
        // The entry of which the folder has its name was there, whatever else is gone.
        let known = || numbers.iter().chain(&anchors).chain(&folder).copied();
        let last = known().max().unwrap_or(0);
        let first = folder.unwrap_or(0).max(1);
        let mut number = last;
        while number >= first {
            let path = self.path(number);
            let (mut found, mut what) = (None, "the entry is missing".to_owned());
            match self.files.read(&path, number)? {
                Some(Ok(entry)) => found = Some(entry),
                Some(Err(why)) => what = why,
                None if numbers.binary_search(&number).is_ok() => return Ok(false),
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
        if !bad.is_empty() && self.files.folder()? != folder {
            return Ok(false);
        }
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
        Ok(true)
    }

    /// What the journal's folders hold; `None` when the last of them got another name meanwhile.
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

    /// Goes on behind entries that cannot be read.
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

/// Whether an entry follows the one with this CRC-32, as far as both are known.
fn follows<S: State>(entry: &Entry<S>, last: Option<&u32>) -> bool {
    match (entry.before.first(), last) {
        (Some(&before), Some(&last)) => before == last || before == 0 || last == 0,
        _ => true,
    }
}
