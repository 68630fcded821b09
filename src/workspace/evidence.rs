//! What should be there: the ledgers of writers held against logs and packs, so that what is missing is missed.
//!
//! 1. Ledgers are read before logs, and logs before packs: what a line says holds of a log that is looked at later, and
//!    a log that is gone by then is in a pack, or deleted for good.
//! 2. What is known of a line stays true when the line moves on, and lines are only ever added, so of a ledger that
//!    grew only what is new is read. A question about one run reads the lines of its logs again, and no others.
//! 3. Compaction retires a line before it removes the log. A ledger of retired lines whose lock is free is removed.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::MutexGuard;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::bytes::Malformed;
use crate::base::ids::{RunKey, WriterId};
use crate::error::of_one_file;
use crate::error::{Error, Result};
use crate::folder::making;
use crate::folder::paths::{self, LogName};
use crate::journal::manifest::covers;
use crate::log::ledger::{Entry, LINE_LEN, Ledger, is_changed};
use crate::log::slot::SLOT_LEN;
use crate::run::log_summary::LogSummary;
use crate::run::log_view::LogView;
use crate::storage::File;
use crate::workspace::open::Workspace;
use crate::workspace::packs::PackSet;

/// Ledgers as last read.
#[derive(Default)]
pub struct Ledgers {
    /// How far each was read.
    read: FxHashMap<PathBuf, Lines>,
    /// What their lines say of logs that are not retired, by run (none for logs of edits) and writer.
    open: BTreeMap<(Option<RunKey>, WriterId), Claim>,
    /// Logs that were found in packs though their lines do not say so.
    retired: FxHashSet<WriterId>,
    /// Why a ledger, or their folder, could not be read when they were last asked for.
    unread: Option<Error>,
}

/// What was read of a ledger.
#[derive(Default)]
struct Lines {
    /// The lines before this offset.
    end: u64,
    /// Those of them that did not verify, which may just have been in the making.
    unclear: Vec<u64>,
}

impl Ledgers {
    /// Takes in a line; one that is known is replaced.
    fn note(&mut self, claim: Claim) {
        let Entry { run, writer, retired, .. } = claim.entry;
        if retired || self.retired.contains(&writer) {
            self.open.remove(&(run, writer));
        } else {
            self.open.insert((run, writer), claim);
        }
    }

    /// Notes that nothing of a log is to be missed any more.
    fn retire(&mut self, run: Option<RunKey>, writer: WriterId) {
        self.open.remove(&(run, writer));
        self.retired.insert(writer);
    }

    /// What is known of the logs of a run; of logs of edits where none is given.
    fn of(&self, run: Option<RunKey>) -> impl Iterator<Item = &Claim> {
        self.open.range((run, WriterId(0))..=(run, WriterId(u128::MAX))).map(|(_, claim)| claim)
    }

    /// Forgets ledgers that are gone.
    fn retain(&mut self, paths: &[PathBuf]) {
        if self.read.keys().any(|path| !paths.contains(path)) {
            self.read.retain(|path, _| paths.contains(path));
            self.open.retain(|_, claim| self.read.contains_key(&*claim.ledger));
        }
    }
}

/// One line, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) ledger: Arc<Path>,
    pub(super) offset: u64,
    pub(super) entry: Entry,
    /// Whether nothing that was written since can have been lost, so that all of the line counts.
    alive: bool,
}

/// How far logs go that could be read, by writer.
pub(super) type Reaches = FxHashMap<WriterId, Reach>;

/// How far a log goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    end: u64,
    points: u64,
    ended: bool,
    /// Whether what is behind the end is not a frame, as only a power loss leaves it.
    torn_by_stop: bool,
}

impl Reach {
    pub(super) fn of(view: &LogView) -> Self {
        let log = view.log();
        Self { end: log.end, points: log.sequence_end(), ended: log.ended, torn_by_stop: log.torn_by_stop }
    }

    pub(super) fn of_summary(summary: &LogSummary) -> Self {
        let (end, points, ended) = summary.reach();
        Self { end, points, ended, torn_by_stop: false }
    }
}

impl Claim {
    /// The names of the log.
    pub(super) fn name(&self, workspace: &Workspace) -> LogName {
        paths::log_name(&workspace.inner.root, self.entry.run, self.entry.writer)
    }

    /// How many bytes the log must have, and how many points there must be.
    fn floor(&self) -> (u64, u64) {
        let Entry { len, points, synced_len, synced_points, .. } = self.entry;
        if self.alive { (len.max(synced_len), points.max(synced_points)) } else { (synced_len, synced_points) }
    }

    /// Whose log it is about.
    pub(super) fn writer(&self) -> WriterId {
        self.entry.writer
    }

    /// Whether the log is known to have had bytes, so that its writer had its lock.
    pub(super) fn has_begun(&self) -> bool {
        self.entry.len.max(self.entry.synced_len) > 0
    }

    /// How many bytes and points the log has, if its writer ended it.
    pub(super) fn end(&self) -> Option<(u64, u64)> {
        self.entry.ended.then_some((self.entry.len, self.entry.points))
    }

    /// So many bytes of the log survived a sync of its writer.
    pub(super) fn synced_len(&self) -> u64 {
        self.entry.synced_len
    }

    /// Whether every slot of the log's tail must be known: nothing that was stored there can have been lost.
    pub(super) fn is_alive(&self) -> bool {
        self.alive
    }

    /// What is missing of a log that goes so far, if anything; `None` stands for no log.
    fn missing(&self, reach: Option<Reach>) -> Option<String> {
        let (len, points) = self.floor();
        let Some(reach) = reach else {
            let of_points = if points > 0 { format!(" and {points} points") } else { String::new() };
            return (len > 0).then(|| format!("the log is missing or empty: it had {len} bytes{of_points}"));
        };
        if reach.end < len {
            return Some(format!("the log ends at byte {}: it had {len} bytes", reach.end));
        }
        if self.alive && reach.torn_by_stop {
            let end = reach.end;
            return Some(format!("the log does not verify from byte {end} on, and the machine did not stop since"));
        }
        (reach.points < points).then(|| format!("the log has {} points: it had {points}", reach.points))
    }
}

impl Workspace {
    /// A ledger to write lines to; `None` where none can be made, so that logs are evidence of themselves alone.
    pub(super) fn ledger(&self) -> Option<Arc<Ledger>> {
        let mut own = self.inner.ledger.lock();
        if !own.as_ref().is_some_and(|own| own.has_room()) {
            *own = self.take_ledger().map(Arc::new);
        }
        own.clone()
    }

    /// Goes on with a ledger that nobody has locked, or makes one.
    fn take_ledger(&self) -> Option<Ledger> {
        let (storage, dir) = (&*self.inner.storage, self.inner.root.join(paths::LEDGERS));
        for path in self.ledger_paths().unwrap_or_default() {
            let free = |file: Box<dyn File>| (file.try_lock().ok()? && file.is_linked().ok()?).then_some(file);
            let taken = storage.open_write(&path).ok().and_then(free).and_then(|file| Ledger::new(file).ok());
            if let Some(ledger) = taken.filter(Ledger::has_room) {
                return Some(ledger);
            }
        }
        // One that another process went on with, or removed, before it was locked is left to it.
        let making = making::begin(storage, &dir, "ledger").ok()?;
        Ledger::new(making.file).ok()
    }

    fn ledger_paths(&self) -> Result<Vec<PathBuf>> {
        let dir = self.inner.root.join(paths::LEDGERS);
        match self.inner.storage.read_dir(&dir).map_err(Error::io("list", &dir)) {
            Ok(entries) => {
                let named = entries.iter().filter(|entry| paths::is_ledger(&entry.name));
                Ok(named.map(|entry| dir.join(&entry.name)).collect())
            }
            Err(error) if error.is_absent() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Everything that ledgers say of logs that are not retired. To be asked before logs are listed; with `anew` all is
    /// read again. A ledger that cannot be read is not evidence.
    pub(super) fn claims(&self, anew: bool) -> Result<Vec<Claim>> {
        let ledgers = self.read_ledgers(anew)?;
        Ok(ledgers.open.values().cloned().collect())
    }

    /// What ledgers say by now of the logs of a run, and of logs of edits, that are not retired. To be asked before
    /// logs are listed. Costs a listing, an open for each ledger, and a read for each of these logs.
    pub(super) fn claims_of(&self, run: RunKey) -> Result<Vec<Claim>> {
        let ledgers = self.read_ledgers(false)?;
        let mut claims: Vec<Claim> = ledgers.of(Some(run)).chain(ledgers.of(None)).cloned().collect();
        drop(ledgers);
        claims.retain_mut(|claim| {
            if let Some(entry) = self.line(claim) {
                claim.entry = entry;
            }
            !claim.entry.retired
        });
        Ok(claims)
    }

    /// Whether a ledger says that the writer of a log ended it, so that nothing is added.
    pub(super) fn has_ended_by_ledger(&self, name: &LogName) -> Result<bool> {
        Ok(self.claim_of(name)?.and_then(|claim| self.line(&claim)).is_some_and(|entry| entry.ended))
    }

    /// What ledgers say of a log that is not retired.
    pub(super) fn claim_of(&self, name: &LogName) -> Result<Option<Claim>> {
        Ok(self.read_ledgers(false)?.open.get(&(name.run(), name.writer)).cloned())
    }

    /// Reads what is new of all ledgers, or with `anew` all of them.
    fn read_ledgers(&self, anew: bool) -> Result<MutexGuard<'_, Ledgers>> {
        let (paths, unlisted) = match self.ledger_paths() {
            Ok(paths) => (paths, None),
            Err(error) => (Vec::new(), Some(of_one_file(error)?)),
        };
        let mut ledgers = self.inner.ledgers.lock();
        ledgers.retain(&paths);
        ledgers.unread = unlisted;
        for path in paths {
            let file = match self.inner.storage.open_read(&path).map_err(Error::io("open", &path)) {
                Ok(file) => file,
                Err(error) => {
                    ledgers.unread = Some(error).filter(|error| !error.is_absent()).or(ledgers.unread.take());
                    continue;
                }
            };
            let len = file.len().unwrap_or(0);
            let mut lines = ledgers.read.remove(&path).filter(|lines| !anew && lines.end <= len).unwrap_or_default();
            if lines.end < len {
                let from = lines.unclear.iter().copied().min().unwrap_or(lines.end);
                match read_ledger(&*file, &path, from) {
                    Ok(read) => {
                        read.claims.into_iter().for_each(|claim| ledgers.note(claim));
                        lines = Lines { end: read.end, unclear: read.unclear };
                    }
                    Err(error) => ledgers.unread = Some(error),
                }
            }
            ledgers.read.insert(path, lines);
        }
        Ok(ledgers)
    }

    /// What stands in the place of a claim's line by now; `None` where that is not a line that verifies.
    fn line_there(&self, claim: &Claim) -> std::io::Result<Option<Entry>> {
        let mut line = [0; LINE_LEN];
        let got = self.inner.storage.open_read(&claim.ledger)?.read_at(&mut line, claim.offset)?;
        Ok(Entry::decode(&line, claim.offset).ok().filter(|_| got == LINE_LEN))
    }

    /// The line of a claim as it is now, if it is still there and the log's own.
    fn line(&self, claim: &Claim) -> Option<Entry> {
        self.line_there(claim).ok().flatten().filter(|entry| entry.writer == claim.entry.writer)
    }

    /// What of the logs of these claims is missing: the log, and what, as an error. `reaches` says how far those logs
    /// go that could be read; those `unread` are told of by themselves.
    pub(super) fn lacking(
        &self,
        claims: &[Claim],
        reaches: &Reaches,
        unread: impl Fn(&LogName) -> bool,
        packs: &PackSet,
    ) -> Vec<(Claim, Error)> {
        let mut lacking = Vec::new();
        for claim in claims {
            let (name, reach) = (claim.name(self), reaches.get(&claim.entry.writer).copied());
            let missing = self.missing(claim, reach).filter(|_| !unread(&name));
            let missing = missing.filter(|_| !self.is_retired(claim) && !self.is_elsewhere(claim, packs));
            if let Some(missing) = missing {
                lacking.push((claim.clone(), missing));
            }
        }
        lacking
    }

    /// What is missing of a log that goes so far, if anything, as an error of the log or of its tail; `None` stands for
    /// no log.
    pub(super) fn missing(&self, claim: &Claim, reach: Option<Reach>) -> Option<Error> {
        let name = claim.name(self);
        let mut reach = reach;
        if let Some(torn) = reach.as_mut().filter(|reach| claim.alive && reach.torn_by_stop) {
            // A frame may have been in the middle of being written.
            let again = self.read_log(&name).ok().flatten().map(|view| Reach::of(&view));
            *torn = again.unwrap_or(Reach { torn_by_stop: false, ..*torn });
        }
        if reach.is_some_and(|reach| !self.tail_is_there(claim, &name, reach)) {
            return Some(Error::corrupt(&name.tail(), 0, "the tail is missing or empty: it held points"));
        }
        let end = reach.map_or(0, |reach| reach.end);
        claim.missing(reach).map(|what| Error::corrupt(&name.log(), end, what))
    }

    /// Whether the tail is there that a writer must have. One that ends meanwhile removes it.
    fn tail_is_there(&self, claim: &Claim, name: &LogName, reach: Reach) -> bool {
        if !claim.alive || !claim.entry.tail || claim.entry.ended || reach.ended {
            return true;
        }
        let holds_something = || {
            let file = self.inner.storage.open_read(&name.tail())?;
            // The first point of all was put here, and nothing is ever emptied.
            let mut bytes = [0; SLOT_LEN];
            let got = file.read_at(&mut bytes, 0)?;
            Ok::<bool, std::io::Error>(bytes[..got].iter().any(|&byte| byte != 0))
        };
        match holds_something() {
            Ok(there) if there => true,
            Err(error) if error.kind() != ErrorKind::NotFound => true,
            _ => {
                let view = self.read_log(name);
                !matches!(view, Ok(Some(view)) if !view.log().ended)
            }
        }
    }

    /// Whether a claim's line says by now that the log may go, is another log's, or is gone with its ledger. Asked of
    /// logs that are not there: whoever removes one retires its line before.
    fn is_retired(&self, claim: &Claim) -> bool {
        let retired = match self.line_there(claim) {
            Ok(entry) => entry.is_some_and(|entry| entry.retired || entry.writer != claim.entry.writer),
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if retired {
            self.inner.ledgers.lock().retire(claim.entry.run, claim.entry.writer);
        }
        retired
    }

    /// Whether packs or tombstones have all that a log must have had.
    fn is_elsewhere(&self, claim: &Claim, packs: &PackSet) -> bool {
        let (writer, (_, points)) = (claim.entry.writer, claim.floor());
        let manifest = self.inner.manifest.lock();
        let deleted = claim.entry.run.and_then(|run| manifest.state().tombstones.get(&run));
        let deleted = covers(deleted, writer, points);
        drop(manifest);
        let has = |states: &[crate::run::state::RunState]| {
            states.iter().flat_map(|state| &state.coverage).any(|own| own.writer == writer && own.through >= points)
        };
        let packed = || match claim.entry.run {
            Some(run) => packs.find(run).any(|(pack, place)| {
                pack.group(place.group)
                    .is_ok_and(|group| group.states().get(place.run as usize..=place.run as usize).is_some_and(has))
            }),
            // Edits went to their runs, each of which names the log.
            None => packs.packs().values().any(|pack| {
                let groups = 0..pack.pack().row_group_count() as u32;
                groups.into_iter().any(|group| pack.group(group).is_ok_and(|group| has(group.states())))
            }),
        };
        let found = deleted || packed();
        if found {
            self.inner.ledgers.lock().retire(claim.entry.run, writer);
        }
        found
    }

    /// Says in the line of a log that nobody writes any more that so many bytes and points of it survived a sync.
    pub(super) fn note_synced(&self, claim: &Claim, len: u64, points: u64) {
        // Should it fail, the line says less than is so.
        let _ = self.change_line(claim, |entry| {
            entry.synced_len = len.max(entry.synced_len);
            entry.synced_points = points.max(entry.synced_points);
        });
    }

    /// Says in a log's line that the log may go. Whoever says so knows that a pack or a tombstone has it.
    ///
    /// # Errors
    /// [`Error::Io`]: the line, in a ledger that cannot be read for one, may still ask for the log, which must stay
    /// then.
    pub(super) fn retire_line(&self, name: &LogName) -> Result<()> {
        let ledgers = self.inner.ledgers.lock();
        let claim = ledgers.open.get(&(name.run(), name.writer)).cloned();
        let unread = ledgers.unread.as_ref().filter(|_| !ledgers.retired.contains(&name.writer)).map(Error::again);
        drop(ledgers);
        match (claim, unread) {
            (Some(claim), _) => self.change_line(&claim, |entry| entry.retired = true)?,
            (None, Some(unread)) => return Err(unread),
            (None, None) => {}
        }
        self.inner.ledgers.lock().retire(name.run(), name.writer);
        Ok(())
    }

    /// Changes the line of a claim as it is now, which may have moved on since it was read; if it is still the log's.
    fn change_line(&self, claim: &Claim, change: impl FnOnce(&mut Entry)) -> Result<()> {
        let line = match self.line_there(claim) {
            // Nothing is missed without its ledger.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            line => line.map_err(Error::io("read", &claim.ledger))?,
        };
        let Some(known) = line.filter(|entry| entry.writer == claim.entry.writer) else { return Ok(()) };
        let mut entry = known;
        change(&mut entry);
        if entry == known {
            return Ok(());
        }
        let file = self.inner.storage.open_write(&claim.ledger);
        let written = file.and_then(|file| file.write_at(&entry.encode(claim.offset), claim.offset));
        written.map_err(Error::io("write", &claim.ledger))
    }

    /// Removes ledgers that nobody writes and whose lines are all retired.
    pub(super) fn remove_spent_ledgers(&self) -> Result<()> {
        for path in self.ledger_paths()? {
            let Ok(file) = self.inner.storage.open_write(&path) else { continue };
            if !file.try_lock().unwrap_or(false) {
                continue;
            }
            let Ok(ReadLedger { claims, bad, .. }) = read_ledger(&*file, &path, 0) else { continue };
            let known = self.inner.ledgers.lock();
            let spent = |claim: &Claim| claim.entry.retired || known.retired.contains(&claim.entry.writer);
            let open: Vec<Claim> = claims.into_iter().filter(|claim| !spent(claim)).collect();
            drop(known);
            let packs = self.refresh()?;
            let gone = |claim: &Claim| {
                let log = self.inner.storage.open_read(&claim.name(self).log());
                log.is_err_and(|error| error.kind() == ErrorKind::NotFound)
            };
            let over = |claim: &Claim| gone(claim) && (claim.floor() == (0, 0) || self.is_elsewhere(claim, &packs));
            if bad.is_empty() && open.iter().all(over) {
                match self.inner.storage.remove_file(&path) {
                    // Another process was faster.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    removed => removed.map_err(Error::io("remove", &path))?,
                }
            }
        }
        Ok(())
    }

    /// The lines of a ledger that do not verify, each an error, for `verify`.
    pub(super) fn check_ledger(&self, path: &std::path::Path) -> Result<Vec<Error>> {
        let file = self.inner.storage.open_read(path).map_err(Error::io("open", path))?;
        let mut bad = read_ledger(&*file, path, 0)?.bad;
        // One that is just being written is whole when it is read again.
        if !bad.is_empty() {
            bad = read_ledger(&*file, path, 0)?.bad;
        }
        Ok(bad)
    }
}

/// Lines of a ledger.
struct ReadLedger {
    /// Those that verify.
    claims: Vec<Claim>,
    /// Where those stand that do not.
    unclear: Vec<u64>,
    /// Those of them that were changed, each an error.
    bad: Vec<Error>,
    /// Behind the last one.
    end: u64,
}

/// The lines of a ledger from the one at an offset on.
fn read_ledger(file: &dyn File, path: &Path, from: u64) -> Result<ReadLedger> {
    let len = file.len().map_err(Error::io("read", path))?.saturating_sub(from);
    let life = file.life().unwrap_or(0);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(LEDGER_MAX)];
    let got = file.read_at(&mut bytes, from).map_err(Error::io("read", path))?;
    let (lines, _) = bytes[..got].as_chunks::<LINE_LEN>();
    let end = from + (lines.len() * LINE_LEN) as u64;
    let mut read = ReadLedger { claims: Vec::with_capacity(lines.len()), unclear: Vec::new(), bad: Vec::new(), end };
    let ledger: Arc<Path> = path.into();
    for (line, offset) in lines.iter().zip((from..).step_by(LINE_LEN)) {
        match Entry::decode(line, offset) {
            Ok(entry) => {
                let alive = life != 0 && entry.life == life;
                read.claims.push(Claim { ledger: Arc::clone(&ledger), offset, entry, alive });
                continue;
            }
            Err(Malformed(what)) if is_changed(line, offset, life) => read.bad.push(Error::corrupt(path, offset, what)),
            // What a crash left: no evidence.
            Err(_) => {}
        }
        read.unclear.push(offset);
    }
    Ok(read)
}

/// Longest ledger that is read, in bytes.
const LEDGER_MAX: usize = 16 << 20;
