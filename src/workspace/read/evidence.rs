//! Checks ledgers against logs and packs, so that missing data is noticed.
//!
//! 1. Ledgers are read before logs, and logs before packs: what a line says holds for the log when it is read later,
//!    and a log that is gone by then is in a pack, or was permanently deleted.
//! 2. Older contents of a line stay true, and lines are only added, so only new lines of a grown ledger are read. A
//!    query about one run rereads the lines of its logs only.
//! 3. Compaction retires a line before it removes the log. A free ledger with only retired lines is removed.
//! 4. Packs need not name an edit log, so its retired line is synced before the log is removed.
//! 5. Two processes may rewrite one line at once: one notes that the log is synced, the other retires it. Each looks
//!    again afterwards, so that the line of a removed log ends up retired.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::bytes::Malformed;
use crate::base::ids::RunKey;
use crate::error::of_one_file;
use crate::error::{Error, Result};
use crate::folder::making;
use crate::folder::paths::{self, LogName};
use crate::journal::manifest::covers;
use crate::log::ledger::{Entry, LINE_LEN, Ledger, is_changed};
use crate::log::slot::SLOT_LEN;
use crate::storage::File;
use crate::workspace::state::ledgers::{Claim, Ledgers, Lines, Reach, Reaches};
use crate::workspace::state::packs::PackSet;
use crate::workspace::state::ranked::Guard;
use crate::workspace::state::shared::Shared;

impl Shared {
    /// A ledger for new lines; `None` if none can be created. Then logs have no evidence outside themselves.
    pub(crate) fn ledger(&self) -> Option<Arc<Ledger>> {
        let mut own = self.inner.ledger.lock();
        if !own.as_ref().is_some_and(|own| own.has_room()) {
            *own = self.take_ledger().map(Arc::new);
        }
        own.clone()
    }

    /// Takes a free ledger, or creates one.
    fn take_ledger(&self) -> Option<Ledger> {
        let (storage, dir) = (&*self.inner.storage, self.inner.root.join(paths::LEDGERS));
        for path in self.ledger_paths().unwrap_or_default() {
            let free = |file: Box<dyn File>| (file.try_lock().ok()? && file.is_linked().ok()?).then_some(file);
            let taken = storage.open_write(&path).ok().and_then(free).and_then(|file| Ledger::new(file).ok());
            if let Some(ledger) = taken.filter(Ledger::has_room) {
                return Some(ledger);
            }
        }
        // Skip a ledger that another process took or removed before it was locked here.
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

    /// All lines of logs that are not retired. Call it before listing logs. With `anew` everything is read again. An
    /// unreadable ledger is ignored.
    pub(crate) fn claims(&self, anew: bool) -> Result<Vec<Claim>> {
        let ledgers = self.read_ledgers(anew)?;
        Ok(ledgers.open.values().cloned().collect())
    }

    /// The current lines of a run's logs and of edit logs that are not retired. Call it before listing logs. Costs a
    /// listing, an open per ledger, and a read per log.
    pub(crate) fn claims_of(&self, run: RunKey) -> Result<Vec<Claim>> {
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

    /// Whether a ledger says that the log ended.
    pub(crate) fn has_ended_by_ledger(&self, name: &LogName) -> Result<bool> {
        Ok(self.claim_of(name)?.and_then(|claim| self.line(&claim)).is_some_and(|entry| entry.ended))
    }

    /// The line of a log, if it is not retired.
    pub(crate) fn claim_of(&self, name: &LogName) -> Result<Option<Claim>> {
        Ok(self.read_ledgers(false)?.open.get(&(name.run(), name.writer)).cloned())
    }

    /// Reads new lines of all ledgers, or with `anew` all lines.
    fn read_ledgers(&self, anew: bool) -> Result<Guard<'_, Ledgers>> {
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

    /// The current line in the place of a claim's line; `None` if it does not verify.
    fn line_there(&self, claim: &Claim) -> std::io::Result<Option<Entry>> {
        let mut line = [0; LINE_LEN];
        let got = self.inner.storage.open_read(&claim.ledger)?.read_at(&mut line, claim.offset)?;
        Ok(Entry::decode(&line, claim.offset).ok().filter(|_| got == LINE_LEN))
    }

    /// The current line of a claim, if it still belongs to the log.
    fn line(&self, claim: &Claim) -> Option<Entry> {
        self.line_there(claim).ok().flatten().filter(|entry| entry.writer == claim.entry.writer)
    }

    /// What the logs of these claims lack, as errors. `reaches` has the lengths of readable logs; those `unread` report
    /// themselves.
    pub(crate) fn lacking(
        &self,
        claims: &[Claim],
        reaches: &Reaches,
        unread: impl Fn(&LogName) -> bool,
        packs: &PackSet,
    ) -> Vec<(Claim, Error)> {
        let mut lacking = Vec::new();
        for claim in claims {
            let (name, reach) = (claim.name(&self.inner.root), reaches.get(&claim.entry.writer).copied());
            let missing = self.missing(claim, reach).filter(|_| !unread(&name));
            let missing = missing.filter(|_| !self.is_retired(claim) && !self.is_elsewhere(claim, packs));
            if let Some(missing) = missing {
                lacking.push((claim.clone(), missing));
            }
        }
        lacking
    }

    /// What a log of this length lacks, as an error of the log or its tail; `None` if there is no log.
    pub(crate) fn missing(&self, claim: &Claim, reach: Option<Reach>) -> Option<Error> {
        let name = claim.name(&self.inner.root);
        let mut reach = reach;
        if let Some(torn) = reach.as_mut().filter(|reach| claim.alive && reach.torn_by_stop) {
            // A frame may have been half written.
            let again = self.read_log(&name).ok().flatten().map(|view| Reach::of(view.metadata()));
            *torn = again.unwrap_or(Reach { torn_by_stop: false, ..*torn });
        }
        if reach.is_some_and(|reach| !self.tail_is_there(claim, &name, reach)) {
            return Some(Error::corrupt(&name.tail(), 0, "the tail is missing or empty: it held points"));
        }
        let end = reach.map_or(0, |reach| reach.end);
        claim.missing(reach).map(|what| Error::corrupt(&name.log(), end, what))
    }

    /// Whether the tail that a writer must have exists. A writer that ends meanwhile removes it.
    fn tail_is_there(&self, claim: &Claim, name: &LogName, reach: Reach) -> bool {
        if !claim.alive || !claim.entry.tail || claim.entry.ended || reach.ended {
            return true;
        }
        let holds_something = || {
            let file = self.inner.storage.open_read(&name.tail())?;
            // The very first point was stored here, and slots are never cleared.
            let mut bytes = [0; SLOT_LEN];
            let got = file.read_at(&mut bytes, 0)?;
            Ok::<bool, std::io::Error>(bytes[..got].iter().any(|&byte| byte != 0))
        };
        match holds_something() {
            Ok(there) if there => true,
            Err(error) if error.kind() != ErrorKind::NotFound => true,
            _ => {
                let view = self.read_log(name);
                !matches!(view, Ok(Some(view)) if !view.log().at.has_ended())
            }
        }
    }

    /// Whether a claim's line is retired by now, belongs to another log, or is gone with its ledger. For logs that are
    /// missing: whoever removes a log retires its line first.
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

    /// Whether packs or tombstones cover everything the log must have had.
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
            // Edits are in packs of their runs, which name the log.
            None => packs.packs().values().any(|pack| {
                let groups = 0..pack.pack().row_group_count() as u32;
                groups.into_iter().any(|group| pack.group(group).is_ok_and(|group| has(group.states())))
            }),
        };
        let found = deleted || packed();
        // An edit log needs a retired line: what its packs have may be deleted for good later.
        if found && claim.entry.run.is_some() {
            self.inner.ledgers.lock().retire(claim.entry.run, writer);
        }
        found
    }

    /// Records in a closed log's line that this many bytes and points are durable.
    pub(crate) fn note_synced(&self, claim: &Claim, len: u64, points: u64) {
        // On failure the line claims less than is true.
        let noted = self.change_line(claim, |entry| {
            entry.synced_len = len.max(entry.synced_len);
            entry.synced_points = points.max(entry.synced_points);
        });
        let log = self.inner.storage.open_read(&claim.name(&self.inner.root).log());
        if noted.is_ok() && log.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            // This may have undone that somebody retired it.
            let _ = self.change_line(claim, |entry| entry.retired = true);
        }
    }

    /// Retires a log's line. The caller knows that a pack or tombstone covers the log.
    ///
    /// # Errors
    /// [`Error::Io`]: the line, perhaps in an unreadable ledger, may still claim the log, which must stay.
    pub(crate) fn retire_line(&self, name: &LogName) -> Result<()> {
        let ledgers = self.inner.ledgers.lock();
        let claim = ledgers.open.get(&(name.run(), name.writer)).cloned();
        let unread = ledgers.unread.as_ref().filter(|_| !ledgers.retired.contains(&name.writer)).map(Error::again);
        drop(ledgers);
        match (claim, unread) {
            (Some(claim), _) => {
                let line = self.change_line(&claim, |entry| entry.retired = true)?;
                if name.run().is_none() && line.is_some_and(|entry| entry.synced_len > 0) {
                    self.sync_ledger(&claim.ledger)?;
                }
            }
            (None, Some(unread)) => return Err(unread),
            (None, None) => {}
        }
        self.inner.ledgers.lock().retire(name.run(), name.writer);
        Ok(())
    }

    /// Retires the line of a removed log once more, if somebody overwrote it meanwhile.
    pub(crate) fn keep_retired(&self, claim: &Claim) -> Result<()> {
        self.change_line(claim, |entry| entry.retired = true).map(drop)
    }

    fn sync_ledger(&self, path: &Path) -> Result<()> {
        match self.inner.storage.open_write(path).and_then(|file| file.sync()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("sync", path)(error)),
            _ => Ok(()),
        }
    }

    /// Updates the current line of a claim, if it still belongs to the log. Returns the line as it is now.
    fn change_line(&self, claim: &Claim, change: impl FnOnce(&mut Entry)) -> Result<Option<Entry>> {
        let line = match self.line_there(claim) {
            // Without the ledger nothing is claimed.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            line => line.map_err(Error::io("read", &claim.ledger))?,
        };
        let Some(known) = line.filter(|entry| entry.writer == claim.entry.writer) else { return Ok(None) };
        let mut entry = known;
        change(&mut entry);
        if entry == known {
            return Ok(Some(known));
        }
        let file = self.inner.storage.open_write(&claim.ledger);
        let written = file.and_then(|file| file.write_at(&entry.encode(claim.offset), claim.offset));
        written.map_err(Error::io("write", &claim.ledger))?;
        Ok(Some(entry))
    }

    /// Removes free ledgers whose lines are all retired.
    pub(crate) fn remove_spent_ledgers(&self) -> Result<()> {
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
                let log = self.inner.storage.open_read(&claim.name(&self.inner.root).log());
                log.is_err_and(|error| error.kind() == ErrorKind::NotFound)
            };
            let over = |claim: &Claim| gone(claim) && (claim.floor() == (0, 0) || self.is_elsewhere(claim, &packs));
            if bad.is_empty() && open.iter().all(over) {
                match self.inner.storage.remove_file(&path) {
                    // Another process removed it.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    removed => removed.map_err(Error::io("remove", &path))?,
                }
            }
        }
        Ok(())
    }

    /// The damaged lines of a ledger, as errors, for `verify`.
    pub(crate) fn check_ledger(&self, path: &std::path::Path) -> Result<Vec<Error>> {
        let file = self.inner.storage.open_read(path).map_err(Error::io("open", path))?;
        let mut bad = read_ledger(&*file, path, 0)?.bad;
        // A half-written line verifies when read again.
        if !bad.is_empty() {
            bad = read_ledger(&*file, path, 0)?.bad;
        }
        Ok(bad)
    }
}

/// The lines of a ledger.
struct ReadLedger {
    /// Lines that verify.
    claims: Vec<Claim>,
    /// Offsets of lines that do not verify.
    unclear: Vec<u64>,
    /// Lines that were changed after they were written, as errors.
    bad: Vec<Error>,
    /// The end of the last line.
    end: u64,
}

/// Reads the lines of a ledger from an offset on.
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
            // Left by a crash: ignore it.
            Err(_) => {}
        }
        read.unclear.push(offset);
    }
    Ok(read)
}

/// Longest ledger read, in bytes.
const LEDGER_MAX: usize = 16 << 20;
