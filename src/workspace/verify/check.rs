//! Verifies a workspace: reads every byte and reports damage with its location and cost.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::of_one_file;
use crate::error::{Error, Result};
use crate::folder::marker;
use crate::folder::paths::{self, LogName};
use crate::journal::catalog::Catalog;
use crate::journal::chain::{Journal, State};
use crate::journal::manifest::Manifest;
use crate::journal::registry::Registry;
use crate::log::buffers::{begun_within, buffers, read_tail};
use crate::log::ledger::LINE_LEN;
use crate::log::reader::{BadSpan, Depth, read_on};
use crate::log::slot::{Check, SLOT_LEN, Slot};
use crate::run::log_view::LogView;
use crate::segment::pack::Pack;
use crate::segment::reader::{RowGroup, Source};
use crate::workspace::open::Workspace;
use crate::workspace::read::evidence::{Claim, Reach, Reaches};
use crate::workspace::read::logs::is_unbegun;
use crate::workspace::read::search::check_index;
use crate::workspace::verify::pages::{costs, decode_page, group_names};

/// Bytes that do not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// First byte.
    pub offset: u64,
    /// How many bytes; 0 where the whole file is missing.
    pub length: u64,
    /// What was expected there.
    pub what: String,
    /// The cost: which runs, series and points cannot be read.
    pub cost: String,
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// All damage, by file.
    pub damage: Vec<Damage>,
    /// Incomplete writes that a crash left, by file. They were never durable, so they are not damage.
    pub torn: Vec<Damage>,
    /// The number of files read.
    pub files: u64,
    /// The number of bytes read.
    pub bytes: u64,
    /// Files worth knowing about that are not damage, and what they are.
    pub notes: Vec<(PathBuf, String)>,
}

/// Retries, in all and per file, and the pauses before them, for frames and slots that may be half written: their
/// writers may be waiting for a processor. Each file gets some of the retries.
const LOOKS: u32 = 100;
const LOOKS_A_FILE: u32 = 25;
const LOOKS_LEFT: u32 = 5;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

impl Workspace {
    /// See [`Maintenance::verify_with`](crate::maintenance::Maintenance::verify_with).
    pub(crate) fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Report> {
        // Read the ledgers before the logs: see `evidence`.
        let claims = self.claims(true)?;
        self.refresh()?;
        let mut files = Vec::new();
        let mut total = 0;
        let skipped = [paths::TEMPORARY, paths::QUARANTINE].map(|folder| self.inner.root.join(folder));
        let (mut report, mut looks) = (Report::default(), LOOKS);
        self.each_file(&mut |path, len| match len {
            // Contents are skipped; but a file in place of the folder is reported.
            _ if skipped.iter().any(|folder| path.starts_with(folder) && path != folder) => {}
            Ok(len) => {
                total += len;
                files.push((path.to_owned(), len));
            }
            Err(error) => report.add_unread(&error, path),
        })?;
        if let Err(error) = self.check_unlisted(&mut report) {
            // Reported when files are listed or read.
            of_one_file(error)?;
        }
        self.check_journal::<Manifest>(paths::MANIFEST, "which packs are live", &mut report)?;
        self.check_journal::<Catalog>(paths::CATALOG, "experiments", &mut report)?;
        self.check_journal::<Registry>(paths::REGISTRY, "the model registry", &mut report)?;
        let alive: BTreeSet<_> = claims.iter().filter(|claim| claim.is_alive()).map(Claim::writer).collect();
        for (path, len) in &files {
            let len = *len;
            progress(report.bytes, total);
            let alive = |name: &LogName| alive.contains(&name.writer);
            match self.check_file(path, len, &alive, &mut looks, &mut report) {
                // Removed meanwhile. Missing files are found at the end.
                Err(error) if error.is_absent() => {}
                Err(error) => report.add_unread(&of_one_file(error)?, path),
                Ok(()) => {}
            }
            report.files += 1;
            report.bytes += len;
        }
        self.check_missing(&files, &mut report)?;
        self.check_claims(&claims, &mut report)?;
        progress(report.bytes, total);
        Ok(report)
    }

    /// Finds logs and tails that are missing or too short.
    fn check_claims(&self, claims: &[Claim], report: &mut Report) -> Result<()> {
        let mut reaches = Reaches::default();
        let mut unread = BTreeSet::new();
        for claim in claims {
            let name = claim.name(self);
            match self.read_log(&name) {
                Ok(Some(view)) => _ = reaches.insert(name.writer, Reach::of(&view)),
                Ok(None) => {}
                // Reported when it was verified.
                Err(error) => _ = unread.insert(of_one_file(error).map(|_| name.log())?),
            }
        }
        let packs = self.refresh()?;
        for (claim, error) in self.lacking(claims, &reaches, |name| unread.contains(&name.log()), &packs) {
            let cost = format!("what this writer logged to run {} and is not there", run_of(&claim.name(self)));
            report.add(error, 0, &cost)?;
        }
        Ok(())
    }

    fn check_file(
        &self,
        path: &Path,
        len: u64,
        alive: &dyn Fn(&LogName) -> bool,
        looks: &mut u32,
        report: &mut Report,
    ) -> Result<()> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let dir = path.parent().unwrap_or(path);
        let found = match path.extension().and_then(|kind| kind.to_str()) {
            Some("workspace") => marker::read(&*self.inner.storage, &self.inner.root)
                .map(|_| ())
                .map_err(|error| (error, "the workspace does not open; `repair` restores the marker file")),
            Some("entry") => return Ok(()),
            Some("pack") => return self.check_pack(path, len, report),
            Some("index") => match check_index(&*self.inner.storage, &self.inner.root, path) {
                // Removed with its pack, which compaction replaced.
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
                other => other.map_err(|error| (error, "nothing: an index is made anew from its pack")),
            },
            Some("log") => match LogName::parse(dir, name) {
                Some(name) => return self.check_log(&name, alive(&name), looks, report),
                None => Err((Error::corrupt(path, 0, "no name of a log"), "whatever it holds is not read")),
            },
            Some("tail") => return self.check_tail_owner(path, len, report),
            Some("ledger") => {
                for bad in self.check_ledger(path)? {
                    report.add(bad, LINE_LEN as u64, "no data: that a log is emptied or gone may not be noticed")?;
                }
                return Ok(());
            }
            // An entry inside a folder of its name.
            None if dir.extension().is_some_and(|kind| kind == "entry") => return Ok(()),
            _ => Err((Error::corrupt(path, 0, "a file that does not belong here"), "nothing")),
        };
        match found {
            Ok(()) => Ok(()),
            Err((error, cost)) => report.add_rest(error, len, cost),
        }
    }

    /// Finds packs that the manifest names and that are missing.
    fn check_missing(&self, files: &[(PathBuf, u64)], report: &mut Report) -> Result<()> {
        let listed: BTreeSet<&Path> = files.iter().map(|(file, _)| file.as_path()).collect();
        self.refresh()?;
        let named = self.manifest()?.packs;
        let absent = |path: &Path| {
            let file = self.inner.storage.open_read(path);
            file.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        };
        let unlisted = named.keys().map(|&id| (id, paths::pack(&self.inner.root, id)));
        let gone: Vec<(u128, PathBuf)> =
            unlisted.filter(|(_, path)| !listed.contains(path.as_path()) && absent(path)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        // Another pack may have just replaced it.
        self.refresh()?;
        let still = self.manifest()?.packs;
        for (id, path) in gone {
            if let Some(entry) = still.get(&id) {
                let cost = format!("{} runs with {} points", entry.runs, entry.points);
                report.damage.push(Damage {
                    file: path,
                    offset: 0,
                    length: 0,
                    what: "the pack is missing".into(),
                    cost,
                });
            }
        }
        Ok(())
    }

    /// Finds unlisted packs: damage if their entries may be lost, else leftovers of an interrupted process.
    fn check_unlisted(&self, report: &mut Report) -> Result<()> {
        let may_lack_entries = self.inner.manifest.lock().may_lack_entries()?;
        for (file, what) in self.unlisted_content()? {
            if may_lack_entries {
                let cost = "they are not seen, since an entry may be lost; `repair` takes them in".to_owned();
                report.damage.push(Damage { file, offset: 0, length: 0, what, cost });
            } else {
                let note = "an import or a copy was interrupted; `repair` takes it in, `gc --drop-unlisted` removes it";
                report.notes.push((file, format!("{what}: {note}")));
            }
        }
        Ok(())
    }

    fn check_journal<S: State>(&self, folder: &'static str, of: &str, report: &mut Report) -> Result<()> {
        let (root, storage) = (&self.inner.root, &self.inner.storage);
        let (storage_of_journal, root) = (std::sync::Arc::clone(storage), root.clone());
        let mut journal = match folder {
            paths::REGISTRY => Journal::<S>::open_optional(storage_of_journal, root, folder)?,
            _ => Journal::<S>::open(storage_of_journal, root, folder)?,
        };
        for bad in journal.check_all()? {
            // Unlistable folders were reported with the files.
            if report.damage.iter().any(|known| known.file == bad.path && known.length == 0) {
                continue;
            }
            let length = storage.open_read(&bad.path).and_then(|file| file.len()).unwrap_or(0);
            let cost = match bad.is_lost {
                true => format!("a change of {of}; `repair` keeps what the other entries and the packs themselves say"),
                false => "nothing: what it says is known from another copy or a later entry".to_owned(),
            };
            report.damage.push(Damage { file: bad.path, offset: 0, length, what: bad.what, cost });
        }
        Ok(())
    }

    fn check_pack(&self, path: &Path, len: u64, report: &mut Report) -> Result<()> {
        let live = path.file_name().and_then(|name| paths::pack_id(name.to_str()?));
        let entry = live.and_then(|id| self.inner.manifest.lock().state().packs.get(&id).copied());
        let all = match entry {
            Some(entry) => format!("{} runs with {} points", entry.runs, entry.points),
            None => "what it has, if nothing else does: no entry of the manifest names this pack".to_owned(),
        };
        let file = match self.inner.storage.open_read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(Error::io("open", path))?,
        };
        let pack = match Pack::open(Source::new(file, path.to_owned())) {
            Ok(pack) => pack,
            Err(error) => return report.add_rest(error, len, &all),
        };
        for index in 0..pack.row_group_count() {
            match pack.group(index) {
                Ok(group) => self.check_row_group(&group, &group_names(&group), report)?,
                Err(error) => {
                    let runs = pack.rows(index).len();
                    let (offset, len) = pack.row_group_extent(index);
                    let end = offset + len;
                    let left = if let Error::Corrupt { offset, .. } = &error { end - offset } else { len };
                    report.add(error, left, &format!("{runs} runs with all their points"))?;
                }
            }
        }
        Ok(())
    }

    /// Verifies and decodes every page of a row group.
    fn check_row_group(&self, group: &RowGroup, runs: &[String], report: &mut Report) -> Result<()> {
        let cost = costs(group.footer(), runs);
        for index in 0..group.footer().pages.len() {
            let page = group.footer().pages[index];
            let at = group.extent().0 + page.offset;
            let checked = group.page(index).and_then(|(_, bytes)| {
                let decoded = decode_page(group.footer(), index, &bytes);
                decoded.map_err(|what| group.source().corrupt(at, what))
            });
            if let Err(error) = checked {
                let cost = cost.get(&index).map_or("nothing is known to use it", String::as_str);
                report.add(error, u64::from(page.len), cost)?;
            }
        }
        Ok(())
    }

    /// `alive`: no power loss happened since the log was written.
    fn check_log(&self, name: &LogName, alive: bool, looks: &mut u32, report: &mut Report) -> Result<()> {
        let path = name.log();
        let view = match self.read_stable(name, looks) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                let len = self.inner.storage.open_read(&path).and_then(|file| file.len()).unwrap_or(0);
                if matches!(error, Error::Corrupt { .. }) && is_unbegun(&*self.inner.storage, name)? {
                    let what = "a log without its beginning, torn by a crash".to_owned();
                    let cost = format!("what was logged to run {}, without having been synced", run_of(name));
                    if len > 0 {
                        report.torn.push(Damage { file: path, offset: 0, length: len, what, cost });
                    }
                    return Ok(());
                }
                return report.add_rest(
                    error,
                    len,
                    &format!("everything that this writer logged to run {}", run_of(name)),
                );
            }
            Ok(view) => view,
        };
        if view.log().start.writer != name.writer {
            report.add(
                Error::corrupt(&path, 0, "the log of another writer"),
                0,
                "everything that this writer logged",
            )?;
        }
        let runs: Vec<String> = view.runs().map(|id| id.to_string()).collect();
        // Damage may have taken all run names.
        let of = if runs.is_empty() { run_of(name) } else { runs.join(", ") };
        for BadSpan { offset, len, what, .. } in view.damage() {
            let cost = format!("what one call, or one row group of points, logged to run {of}");
            report.damage.push(Damage {
                file: path.clone(),
                offset: *offset,
                length: *len,
                what: (*what).to_owned(),
                cost,
            });
        }
        // Without a power loss a torn end is damage, and reported through the ledger.
        let torn = view.log().torn.as_ref().filter(|_| !(alive && view.log().torn_by_stop));
        if let Some(BadSpan { offset, len, what, .. }) = torn {
            let cost = format!("what was logged last to run {of}, without having been synced");
            report.torn.push(Damage {
                file: path.clone(),
                offset: *offset,
                length: *len,
                what: (*what).to_owned(),
                cost,
            });
        }
        for group in view.groups() {
            self.check_row_group(group, &runs, report)?;
        }
        self.check_tail(name, &view, (&of, alive), looks, report)
    }

    /// Reads a log at a moment when no frame is being appended: what looks torn in a log with a writer is read again,
    /// while there are `looks` left; once if the lock cannot tell.
    fn read_stable(&self, name: &LogName, looks: &mut u32) -> Result<LogView> {
        let read = || LogView::read(&*self.inner.storage, &name.log(), &name.tail(), Depth::All, None);
        let mut view = read()?;
        let mut looked = 0;
        while let Some(torn) = view.log().torn.clone() {
            if view.log().ended || self.is_free(name).unwrap_or(looked > 0) || !may_look(looked, looks) {
                break;
            }
            looked += 1;
            std::thread::sleep(PAUSE);
            let path = name.log();
            let file = self.inner.storage.open_read(&path).map_err(Error::io("open", &path))?;
            if read_on(&*file, &path, name.writer, torn.offset)?.is_some() {
                view = read()?;
            }
        }
        Ok(view)
    }

    /// Whether every slot in the tail of a closed log verifies.
    pub(crate) fn tail_is_whole(&self, name: &LogName, view: &LogView) -> Result<bool> {
        let mut report = Report::default();
        self.check_tail(name, view, ("", true), &mut 0, &mut report)?;
        Ok(report.is_ok())
    }

    /// Checks every slot of a tail: it is a point of the current or an earlier generation, or zeros. Anything else is
    /// damage unless the machine stopped since; then it may be of a generation whose frames were lost, or half of a
    /// slot. A killed writer leaves half of a slot too, right after its last point.
    fn check_tail(
        &self,
        name: &LogName,
        view: &LogView,
        (of, alive): (&str, bool),
        looks: &mut u32,
        report: &mut Report,
    ) -> Result<()> {
        let path = name.tail();
        let Ok(file) = self.inner.storage.open_read(&path) else { return Ok(()) };
        let tail = read_tail(&*file).map_err(Error::io("read", &path))?;
        // The writer may have gone on since: read the log again, after the tail.
        let later = LogView::read(&*self.inner.storage, &name.log(), &path, Depth::Recent, None)?;
        let (check, buffer_slots) = (Check::new(name.writer), later.log().start.buffer_slots);
        let mut generations = later.log().generations(view.log());
        // A generation after a damaged one starts where that one should have ended.
        let from = later.log().slots_from;
        let known = |generations: &[u64], bytes: &[u8; SLOT_LEN], index: usize| {
            let slot = Slot::from_bytes(bytes);
            slot == Slot::default()
                || generations.iter().any(|&generation| slot.verifies(check, generation + index as u64))
        };
        for slots in buffers(&tail, buffer_slots) {
            if slots.first().is_some_and(|slot| !known(&generations, slot, 0)) {
                generations.extend(begun_within(slots, name.writer, from..=from + u64::from(buffer_slots)));
            }
        }
        let mut looked = 0;
        for (slots, start) in buffers(&tail, buffer_slots).into_iter().zip([0, buffer_slots as usize]) {
            let next = newest_points(slots, &generations, check);
            for (index, bytes) in slots.iter().enumerate().filter(|(index, bytes)| !known(&generations, bytes, *index))
            {
                // A live writer may be between the two words of this slot.
                let offset = ((start + index) * SLOT_LEN) as u64;
                let moved_on = || {
                    let mut again = [0; SLOT_LEN];
                    let got = file.read_at(&mut again, offset).map_err(Error::io("read", &path))?;
                    Ok::<bool, Error>(got == SLOT_LEN && (again != *bytes || known(&generations, &again, index)))
                };
                let mut moves = moved_on()?;
                while !moves && !self.is_free(name).unwrap_or(true) && may_look(looked, looks) {
                    looked += 1;
                    std::thread::sleep(PAUSE);
                    moves = moved_on()?;
                }
                if moves {
                    continue;
                }
                let what = "a slot that is not a point".to_owned();
                let cost = format!("a point of run {of}, and those behind it that no frame has");
                let is_half = index == next && !is_one_byte_off(bytes, index, &generations, check);
                let found = if alive && !is_half { &mut report.damage } else { &mut report.torn };
                found.push(Damage { file: path.clone(), offset, length: SLOT_LEN as u64, what, cost });
            }
        }
        let slots: usize = buffers(&tail, buffer_slots).iter().map(|slots| slots.len()).sum();
        let rest = &tail[slots * SLOT_LEN..];
        if !rest.is_empty() {
            let (offset, what) = ((tail.len() - rest.len()) as u64, "bytes behind the last slot".to_owned());
            let cost = format!("a point of run {of}");
            let found = if alive { &mut report.damage } else { &mut report.torn };
            found.push(Damage { file: path, offset, length: rest.len() as u64, what, cost });
        }
        Ok(())
    }

    /// Reports a tail without its log, which is unreadable.
    fn check_tail_owner(&self, path: &Path, len: u64, report: &mut Report) -> Result<()> {
        let log = path.with_extension("log");
        let missing =
            self.inner.storage.open_read(&log).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if missing && self.inner.storage.open_read(path).is_ok() {
            // If the log was synced, or nothing can be lost, its line reports it as missing.
            let cost = "points that were logged last; without the log nothing says of which series".to_owned();
            let what = "the log of this tail is missing".to_owned();
            report.torn.push(Damage { file: path.to_owned(), offset: 0, length: len, what, cost });
        }
        Ok(())
    }
}

/// The number of points of the newest generation at the start of a buffer.
fn newest_points(slots: &[[u8; SLOT_LEN]], generations: &[u64], check: Check) -> usize {
    let points = |&generation: &u64| {
        (generation..)
            .zip(slots)
            .take_while(|(sequence, bytes)| Slot::from_bytes(bytes).verifies(check, *sequence))
            .count()
    };
    let begun = generations.iter().map(|generation| (generation, points(generation))).filter(|(_, points)| *points > 0);
    begun.max().map_or(0, |(_, points)| points)
}

/// Whether a slot differs from a point of one of these generations by one byte.
fn is_one_byte_off(bytes: &[u8; SLOT_LEN], index: usize, generations: &[u64], check: Check) -> bool {
    let mut bytes = *bytes;
    (0..SLOT_LEN).any(|at| {
        let own = bytes[at];
        let verifies = (0..=u8::MAX).any(|byte| {
            bytes[at] = byte;
            let slot = Slot::from_bytes(&bytes);
            generations.iter().any(|&generation| slot.verifies(check, generation + index as u64))
        });
        bytes[at] = own;
        verifies
    })
}

/// The run of a log, from its name.
fn run_of(name: &LogName) -> String {
    name.run().map_or_else(|| "of any name".to_owned(), |key| key.to_string())
}

/// Whether a file may be read again; takes from the retries that are left.
fn may_look(looked: u32, looks: &mut u32) -> bool {
    let may = looked < LOOKS_LEFT || looked < LOOKS_A_FILE && *looks > 0;
    *looks = looks.saturating_sub(u32::from(may));
    may
}

impl Report {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.damage.is_empty()
    }

    /// Adds damage that extends to the end of a file of `file_len` bytes.
    fn add_rest(&mut self, error: Error, file_len: u64, cost: &str) -> Result<()> {
        let offset = if let Error::Corrupt { offset, .. } = error { offset } else { 0 };
        self.add(error, file_len.saturating_sub(offset), cost)
    }

    /// Adds a file or folder that the operating system refuses to read.
    fn add_unread(&mut self, error: &Error, path: &Path) {
        let (file, offset) = match error {
            Error::Corrupt { path, offset, .. } => (path.clone(), *offset),
            other => (other.path().unwrap_or(path).to_owned(), 0),
        };
        let what = if let Error::Io { operation, source, .. } = error {
            format!("it cannot be used: {operation}: {source}")
        } else {
            error.to_string()
        };
        let cost = "nobody knows: what it holds is in no answer, and `repair` leaves alone what cannot be read";
        self.damage.push(Damage { file, offset, length: 0, what, cost: cost.to_owned() });
    }

    /// Adds damage; returns every other error.
    fn add(&mut self, error: Error, length: u64, cost: &str) -> Result<()> {
        let (file, offset, what) = match error {
            Error::Corrupt { path, offset, what } => (path, offset, what),
            Error::NewerFormat { ref path, .. } => (path.clone(), 0, error.to_string()),
            Error::NotWorkspace { ref path, .. } => (path.clone(), 0, error.to_string()),
            other => return Err(other),
        };
        self.damage.push(Damage { file, offset, length, what, cost: cost.to_owned() });
        Ok(())
    }
}
