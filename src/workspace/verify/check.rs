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
use crate::log::follower::{Depth, Next};
use crate::log::ledger::LINE_LEN;
use crate::log::walk::BadSpan;
use crate::run::log_view::LogView;
use crate::segment::pack::Pack;
use crate::segment::reader::{RowGroup, Source};
use crate::workspace::read::logs::is_unbegun;
use crate::workspace::read::report::{Damage, LOOKS, PAUSE, Report, may_look};
use crate::workspace::read::search::check_index;
use crate::workspace::state::ledgers::{Claim, Reach, Reaches};
use crate::workspace::state::packs;
use crate::workspace::state::shared::Shared;
use crate::workspace::verify::pages::{costs, decode_page, group_names};

impl Shared {
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
            let name = claim.name(&self.inner.root);
            match self.read_log(&name) {
                Ok(Some(view)) => _ = reaches.insert(name.writer, Reach::of(view.metadata())),
                Ok(None) => {}
                // Reported when it was verified.
                Err(error) => _ = unread.insert(of_one_file(error).map(|_| name.log())?),
            }
        }
        let packs = self.refresh()?;
        for (claim, error) in self.lacking(claims, &reaches, |name| unread.contains(&name.log()), &packs) {
            let cost =
                format!("what this writer logged to run {} and is not there", run_of(&claim.name(&self.inner.root)));
            // Its line says more than what a crash may have left of it.
            report.torn.retain(|torn| torn.offset > 0 || Some(torn.file.as_path()) != error.path());
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
                let cost = "they are not seen, since an entry may be lost; a repair takes them in".to_owned();
                report.damage.push(Damage { file, offset: 0, length: 0, what, cost });
            } else {
                let note = "an import or a copy was interrupted; a repair takes it in, a garbage collection with \
                            `drop_unlisted` removes it";
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
        let opened = match live {
            Some(id) => packs::read_around(Source::new(file, path.to_owned()), id, entry.map_or(0, |entry| entry.runs)),
            None => Pack::open(Source::new(file, path.to_owned())),
        };
        let pack = match opened {
            Ok(pack) => pack,
            Err(error) => return report.add_rest(error, len, &all),
        };
        report.add_read_around(&pack, entry)?;
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
        if view.log().at.start().writer != name.writer {
            report.add(
                Error::corrupt(&path, 0, "the log of another writer"),
                0,
                "everything that this writer logged",
            )?;
        }
        let runs: Vec<String> = view.metadata().ids().map(|id| id.to_string()).collect();
        // Damage may have taken all run names.
        let of = if runs.is_empty() { run_of(name) } else { runs.join(", ") };
        let damage = |&BadSpan { offset, len, what, .. }: &BadSpan, cost: &str| {
            let (file, what, cost) = (path.clone(), what.to_owned(), cost.to_owned());
            Damage { file, offset, length: len, what, cost }
        };
        let cost = format!("what one call, or one row group of points, logged to run {of}");
        report.damage.extend(view.damage().map(|span| damage(span, &cost)));
        // Without a power loss a torn end is damage, and reported through the ledger.
        let torn = view.log().read.torn.as_ref().filter(|_| !(alive && view.log().read.torn_by_stop));
        let cost = format!("what was logged last to run {of}, without having been synced");
        report.torn.extend(torn.map(|span| damage(span, &cost)));
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
        while view.log().read.torn.is_some() {
            if self.is_free(name).unwrap_or(looked > 0) || !may_look(looked, looks) {
                break;
            }
            looked += 1;
            std::thread::sleep(PAUSE);
            let path = name.log();
            let file = self.inner.storage.open_read(&path).map_err(Error::io("open", &path))?;
            let mut at = view.log().at.clone();
            if at.read(&*file, &path, &[], Depth::Recent)?.next != Next::Torn {
                view = read()?;
            }
        }
        Ok(view)
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

/// The run of a log, from its name.
fn run_of(name: &LogName) -> String {
    name.run().map_or_else(|| "of any name".to_owned(), |key| key.to_string())
}
