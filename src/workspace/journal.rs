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
//! Where the file system has no links, step 3 moves the entry into a folder of its own, and renames that to the entry's
//! name: renaming a folder fails where a file or a folder with something in it has the name.
//!
//! An anchor is only given to an entry that survives a stop of the machine. So an anchor without its entry shows that
//! the entry was lost; what it says is read from the anchor.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::storage::Storage;
use crate::workspace::entry::Entry;
pub use crate::workspace::entry::State;
use crate::workspace::journal_files::{JournalFiles, NUMBER_MAX, is_taken};
use crate::workspace::logs::of_one_file;
use crate::workspace::making::{self, Making};
use crate::workspace::paths;

/// An entry carries the whole state when so many came after the last that did.
const FOLD_AFTER: u64 = 32;
/// Of so many entries before it an entry with the whole state names the CRC-32.
const REMEMBERED: usize = 256;
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
struct Listed {
    /// Numbers in the names of folders of entries, rising; `None` where the journal's own folder is missing.
    folders: Option<Vec<u64>>,
    /// Numbers of the entries in the last of them.
    numbers: Vec<u64>,
}

/// Whether an entry counts that was given a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Counts,
    CountsNot,
    Unknown,
}

/// One such state, as far as this process has read it.
pub struct Journal<S: State> {
    files: JournalFiles,
    /// The number in the name of the folder of entries; `None` where there is no such folder.
    folder: Option<u64>,
    state: S,
    /// The number of the last entry read; 0 before the first.
    number: u64,
    /// The number of the last entry that carried the whole state.
    folded: u64,
    /// CRC-32s of the entries up to the last one read, that one first; 0 where one could not be read.
    recent: VecDeque<u32>,
    bad: Vec<BadEntry>,
    /// Why a folder of the journal cannot be listed: what is in it is not known, and nothing is published beside it.
    unlisted: Option<Error>,
    /// How often the state changed in this process.
    reading: u64,
    /// Whether a missing folder is a journal that nobody wrote yet.
    optional: bool,
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
        let mut journal = Self { files, folder, state, number, folded, recent, bad, unlisted, reading, optional };
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
    fn check_listed(&self) -> Result<()> {
        self.unlisted.as_ref().map_or(Ok(()), |error| Err(error.again()))
    }

    /// Whether an entry that was acknowledged may be lost behind the last one that was read, without a trace. An entry is
    /// acknowledged once it has an anchor, and the anchor before goes after that. So where there is an anchor none is lost.
    /// Where there is none, publishers stopped before they gave one, or anchors are lost: if there are several entries, and
    /// no other journal has an anchor either.
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
        let entries = numbers.unwrap_or_default().into_iter().map(|number| (self.path(number), number));
        // Where they cannot be listed that is in `bad`.
        let anchors = self.files.anchors().or_else(|error| of_one_file(error).map(|_| Vec::new()))?;
        let anchors = anchors.into_iter().map(|number| (self.files.anchor_path(number), number));
        for (path, number) in entries.chain(anchors) {
            if let Some(Err(what)) = self.files.read::<S>(&path, number)?
                && !bad.iter().any(|known| known.path == path)
            {
                bad.push(BadEntry { path, what, is_lost: false });
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

    /// Publishes the changes that `plan` makes of the present state; `plan` runs again whenever somebody was faster.
    /// Gives whether there was anything to publish.
    ///
    /// # Errors
    /// Those of `plan`; [`Error::Corrupt`] where the journal's folder is missing; [`Error::Io`], and then it may have
    /// been published all the same: look, and try again if it was not.
    pub fn publish(&mut self, plan: impl FnMut(&S) -> Result<Vec<S::Change>>) -> Result<bool> {
        self.publish_as(plan, false)
    }

    /// The same in an entry that carries the whole state, so that the journal's damage no longer matters.
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
            // Damage stays visible until somebody asks for a repair. What only an anchor says must not depend on it.
            let fold = whole || !self.has_gap() && (number - self.folded > FOLD_AFTER || !self.bad.is_empty());
            let known = if fold { REMEMBERED } else { 1 };
            let before = self.recent.iter().take(known).copied().collect();
            let entry = Entry { before, state: fold.then(|| self.state.clone()), changes };
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

    /// Gives the entry its name, and says whether it counts; `false` when others were faster.
    fn try_publish(&mut self, number: u64, bytes: &[u8], crc: u32, whole: bool) -> Result<bool> {
        if number > NUMBER_MAX {
            return Err(Error::corrupt(&self.path(number), 0, "a journal has no room for entries behind this name"));
        }
        // Where the folder cannot be looked up, nobody could tell afterwards whether the entry counts.
        self.files.folder()?;
        self.make_folder(whole)?;
        let storage = Arc::clone(&self.files.storage);
        let making = making::begin(&*storage, &self.files.root.join(paths::TEMPORARY), "entry")?;
        let written = making.file.write_at(bytes, 0).and_then(|()| making.file.sync());
        let published = written.map_err(Error::io("write", &making.path)).and_then(|()| {
            let counts = self.name_entry(&making, number, bytes, crc)?;
            if counts {
                self.sync_folder()?;
                // The entry stands without its anchor too, which only tells of its loss.
                let _ = self.anchor(&making, number, bytes);
            }
            Ok(counts)
        });
        // The name is published, or nothing is: what is left of the temporary file says nothing.
        let _ = storage.remove_file(&making.path);
        published
    }

    /// Makes the folder of the first entries, whose name then survives whoever made it and died; to repair a journal
    /// whose folder is lost, one for the entry that is to come.
    fn make_folder(&mut self, whole: bool) -> Result<()> {
        let name = match self.folder {
            Some(_) if self.number > 0 => return Ok(()),
            Some(name) => name,
            None if self.number == 0 && !self.has_gap() => 0,
            None if whole => self.number + 1,
            None => {
                let why = "the folder of a journal's entries is missing; `repair` makes it anew";
                return Err(Error::corrupt(&self.files.dir(), 0, why));
            }
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
        // A call may have been carried out whose answer got lost; a name that is taken may be this entry's own.
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
                let why = "others published so much meanwhile that nobody can tell whether this change is among it; look, \
                           and try again if it is not";
                Err(Error::io("publish", &path)(std::io::Error::other(why)))
            }
        }
    }

    /// Whether an entry that was named, or may have been, is one of the journal.
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

    /// Syncs the folder of entries, whatever its name is by now.
    fn sync_folder(&self) -> Result<()> {
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

    /// Makes every entry that was read survive a stop of the machine: whoever published it may have died before it did.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<()> {
        self.check_listed()?;
        if self.folder.is_none() { Ok(()) } else { self.sync_folder() }
    }

    /// Step 6.
    fn anchor(&self, making: &Making, number: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.files.give_anchor(making, bytes, number)?;
        // While something is missing the anchors before may be what is left of it.
        if !self.has_gap() {
            let _ = self.files.remove(&self.files.anchor_path(number - 1));
        }
        Ok(())
    }

    /// Removes entries that a later one made needless, and anchors before the last. Gives how many files went. Others
    /// may read and publish meanwhile, and may have stopped at any step of it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove_folded(&mut self) -> Result<usize> {
        self.refresh()?;
        if let Err(error) = self.list().and_then(|_| self.files.anchors()) {
            // Reading it tells of it.
            return of_one_file(error).and_then(|_| self.read_all()).map(|()| 0);
        }
        let Some(folder) = self.folder.filter(|_| self.bad.is_empty()) else { return Ok(0) };
        let (files, dir) = (self.files.clone(), self.files.dir());
        let folder = folder.max(self.folded);
        if self.folder < Some(folder) {
            self.sync_folder()?;
            let from = files.folder_path(self.folder.unwrap_or(0));
            match files.storage.rename(&from, &files.folder_path(folder)) {
                Ok(()) => self.folder = Some(folder),
                // Another process was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
                Err(error) => return Err(Error::io("rename", &from)(error)),
            }
        }
        files.storage.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
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
            // A folder that somebody made again who slept while it moved on.
            let _ = files.storage.remove_dir(&files.folder_path(older));
        }
        Ok(removed)
    }

    /// Starts from the newest whole state and reads all entries after it.
    fn read_all(&mut self) -> Result<()> {
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
        let known = || numbers.iter().chain(&anchors).copied();
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
    fn list(&self) -> Result<Option<Listed>> {
        let folders = self.files.folders()?;
        let numbers = match folders.as_ref().and_then(|folders| folders.last()) {
            Some(&folder) => self.files.numbers(folder)?,
            None => Some(Vec::new()),
        };
        Ok(numbers.map(|numbers| Listed { folders, numbers }))
    }

    fn take(&mut self, number: u64, entry: Entry<S>, crc: u32) {
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

    fn path(&self, number: u64) -> PathBuf {
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
