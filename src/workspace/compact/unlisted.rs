//! Unlisted packs: those that no manifest entry names.
//!
//! A pack gets its name before its entry, and keeps it for a while after it was replaced. So an unlisted pack is being
//! made; or it is needless, because it was replaced or its maker died, and all its data is elsewhere; or it has unique
//! data: an import was interrupted, or its entry is lost. The lock tells the first, its contents the others. No clock
//! decides: a pack with unique data stays until a person decides.

use std::io::ErrorKind;
use std::path::PathBuf;

use rustc_hash::FxHashSet;

use crate::base::ids::RunKey;
use crate::error::{Error, Result, of_one_file};
use crate::folder::clock::now_ms;
use crate::folder::making::{Maker, maker_of};
use crate::folder::paths;
use crate::journal::manifest::PackEntry;
use crate::run::log_metadata::LogMetadata;
use crate::run::snapshot::{RunPart, RunSnapshot};
use crate::run::state::Coverage;
use crate::workspace::read::parts::{pack_parts, surviving};
use crate::workspace::state::folders::path_and_reason;
use crate::workspace::state::ledgers::Reaches;
use crate::workspace::state::packs::{self, OpenPack};
use crate::workspace::state::shared::Shared;

/// What an unlisted pack is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is being made.
    InTheMaking,
    /// All its data is elsewhere, or permanently deleted.
    Needless,
    /// It has unique data of this many runs and points.
    Holds { runs: u64, points: u64 },
    /// It is damaged or cannot be opened.
    Unreadable(String),
    /// A newer Stepwell wrote it.
    Newer(String),
}

/// An unlisted pack. Holds its lock, if locks work, so that nobody else judges it.
pub(crate) struct Unlisted {
    pub(crate) id: u128,
    pub(crate) path: PathBuf,
    pub(crate) standing: Standing,
    /// Why it is unknown whether it is being made.
    pub(crate) maker_unknown: Option<String>,
    _lock: Option<Maker>,
}

/// How to treat unlisted files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftoverOptions {
    /// Also remove files that may be being made, as on network file systems. Use it only if all processes that used the
    /// workspace are known to be gone.
    pub take_over: bool,
    /// Also remove unlisted packs with unique data: from an interrupted import, or runs whose entry is lost.
    pub drop_unlisted: bool,
}

/// What happened to unlisted files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// The number of removed files.
    pub removed: u64,
    /// Files that stay, and why; without those being made or younger than the grace period.
    pub skipped: Vec<(PathBuf, String)>,
}

impl Leftovers {
    /// Records an error of one file or folder, so that the others are still handled.
    fn record(&mut self, looked: Result<()>) -> Result<()> {
        if let Err(error) = looked {
            self.skipped.push(path_and_reason(error)?);
        }
        Ok(())
    }
}

impl Shared {
    /// Removes unlisted files that are not being made, have no unique data and are older than the grace period (which
    /// delays a removal and never permits one). Folders that cannot be listed are reported as staying.
    pub(crate) fn remove_leftovers(&self, options: LeftoverOptions) -> Result<Leftovers> {
        let mut left = Leftovers::default();
        if self.inner.manifest.lock().has_gap() {
            // It is unknown what is needed.
            return Ok(left);
        }
        self.sync_entries()?;
        let looked = self.remove_temporary(options, &mut left);
        left.record(looked)?;
        let looked = self.remove_unlisted(options, &mut left);
        left.record(looked)?;
        let manifest = self.inner.manifest.lock().remove_folded();
        let catalog = self.inner.catalog.lock().remove_folded();
        let registry = self.inner.registry.lock().remove_folded();
        for folded in [manifest, catalog, registry] {
            let looked = folded.map(|count| left.removed += count as u64);
            left.record(looked)?;
        }
        left.skipped.extend(self.unlisted_journals()?);
        Ok(left)
    }

    /// What dead processes left in `tmp`.
    fn remove_temporary(&self, options: LeftoverOptions, left: &mut Leftovers) -> Result<()> {
        let storage = &*self.inner.storage;
        let dir = self.inner.root.join(paths::TEMPORARY);
        let entries = match storage.read_dir(&dir).map_err(Error::io("list", &dir)) {
            // A copied workspace may lack it.
            Err(error) if error.is_absent() => Vec::new(),
            entries => entries?,
        };
        for entry in entries {
            let path = dir.join(&entry.name);
            if !self.is_past_grace(&path) {
                continue;
            }
            if !entry.is_dir {
                self.remove_if_left(path, options, left)?;
                continue;
            }
            // A half-published entry, on a file system without links.
            for within in storage.read_dir(&path).unwrap_or_default() {
                self.remove_if_left(path.join(within.name), options, left)?;
            }
            // Fails if it is not empty.
            let _ = storage.remove_dir(&path);
        }
        Ok(())
    }

    fn remove_if_left(&self, path: PathBuf, options: LeftoverOptions, left: &mut Leftovers) -> Result<()> {
        match maker_of(&*self.inner.storage, &path) {
            None | Some(Maker::AtWork) => return Ok(()),
            Some(Maker::Unknown(error)) if !options.take_over => {
                left.skipped.push((path, nobody_knows(&error.to_string())));
                return Ok(());
            }
            // The lock is held until the name is gone.
            Some(_lock) => self.remove_file(&path)?,
        }
        left.removed += 1;
        Ok(())
    }

    fn remove_unlisted(&self, options: LeftoverOptions, left: &mut Leftovers) -> Result<()> {
        for id in self.unlisted_ids()? {
            if !self.is_past_grace(&paths::pack(&self.inner.root, id)) {
                continue;
            }
            let Some(unlisted) = self.judge(id)? else { continue };
            let why = match (&unlisted.standing, unlisted.maker_unknown) {
                (Standing::InTheMaking, _) => continue,
                (_, Some(why)) if !options.take_over => nobody_knows(&why),
                (Standing::Holds { runs, points }, _) if !options.drop_unlisted => {
                    format!(
                        "{}; a repair takes them in, a garbage collection with `drop_unlisted` removes them",
                        holds(*runs, *points)
                    )
                }
                (Standing::Unreadable(what), _) => {
                    format!("no entry of the manifest names it, and it cannot be read: {what}; a repair moves it away")
                }
                (Standing::Newer(what), _) => format!("no entry of the manifest names it: {what}"),
                _ => {
                    self.remove_file(&unlisted.path)?;
                    left.removed += 1;
                    continue;
                }
            };
            left.skipped.push((unlisted.path, why));
        }
        // Indexes of removed packs: derived, and rebuilt if needed.
        for (index, id) in self.pack_files(".index")? {
            let pack = self.inner.storage.open_read(&paths::pack(&self.inner.root, id));
            let gone = pack.is_err_and(|error| error.kind() == ErrorKind::NotFound);
            if gone && self.is_past_grace(&index) && !self.manifest()?.packs.contains_key(&id) {
                self.remove_file(&index)?;
                left.removed += 1;
            }
        }
        Ok(())
    }

    fn remove_file(&self, path: &std::path::Path) -> Result<()> {
        match self.inner.storage.remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
            _ => Ok(()),
        }
    }

    fn is_past_grace(&self, path: &std::path::Path) -> bool {
        let before = now_ms().saturating_sub(self.inner.options.grace_ms);
        self.inner.storage.modified_ms(path).is_ok_and(|modified| modified < before)
    }

    /// Files in the packs folder with this ending, and the ids in their names.
    fn pack_files(&self, ending: &str) -> Result<Vec<(PathBuf, u128)>> {
        let dir = self.inner.root.join(paths::PACKS);
        let entries = match self.inner.storage.read_dir(&dir).map_err(Error::io("list", &dir)) {
            // A copied workspace without packs may lack it.
            Err(error) if error.is_absent() => Vec::new(),
            entries => entries?,
        };
        let named = entries.iter().filter(|entry| entry.name.ends_with(ending));
        Ok(named.filter_map(|entry| Some((dir.join(&entry.name), paths::pack_id(&entry.name)?))).collect())
    }

    /// Packs that the manifest, read after the listing, does not name. Empty if entries are lost: then every pack
    /// counts.
    pub(crate) fn unlisted_ids(&self) -> Result<Vec<u128>> {
        let files = self.pack_files(".pack")?;
        self.refresh()?;
        let listed = self.manifest()?.packs;
        Ok(files.into_iter().map(|(_, id)| id).filter(|id| !listed.contains_key(id)).collect())
    }

    /// Judges a pack that was unlisted a moment ago; `None` if it is gone, or listed by now. Checks every run in it.
    pub(crate) fn judge(&self, id: u128) -> Result<Option<Unlisted>> {
        let path = paths::pack(&self.inner.root, id);
        // Lock first: the previous holder has published the entry, or never will.
        let Some(maker) = maker_of(&*self.inner.storage, &path) else { return Ok(None) };
        self.refresh()?;
        if self.manifest()?.packs.contains_key(&id) {
            return Ok(None);
        }
        let (maker_unknown, lock) = match maker {
            Maker::AtWork => {
                let standing = Standing::InTheMaking;
                return Ok(Some(Unlisted { id, path, standing, maker_unknown: None, _lock: None }));
            }
            Maker::Gone(_) => (None, Some(maker)),
            Maker::Unknown(error) => (Some(error.to_string()), None),
        };
        let pack = packs::open(&*self.inner.storage, &self.inner.root, id).map(OpenPack::new);
        let standing = match pack.and_then(|pack| self.content_of(&pack)) {
            Ok((0, _)) => Standing::Needless,
            Ok((runs, points)) => Standing::Holds { runs, points },
            Err(error) if error.is_absent() => return Ok(None),
            Err(error @ Error::NewerFormat { .. }) => Standing::Newer(error.to_string()),
            Err(error) => Standing::Unreadable(of_one_file(error)?.to_string()),
        };
        Ok(Some(Unlisted { id, path, standing, maker_unknown, _lock: lock }))
    }

    /// The number of runs of which a pack has unique data (in no listed pack or log, and not permanently deleted), and
    /// their points in it.
    fn content_of(&self, pack: &OpenPack) -> Result<(u64, u64)> {
        // Logs before packs.
        let mut logged: FxHashSet<RunKey> = self.all_log_names()?.0.iter().filter_map(|name| name.run()).collect();
        logged.extend(self.edit_logs()?.0.iter().flat_map(LogMetadata::keys).map(|(key, _)| key));
        let (listed, manifest) = (self.refresh()?, self.manifest()?);
        let (mut runs, mut points) = (0, 0);
        for index in 0..pack.pack().row_group_count() as u32 {
            let group = pack.group(index)?;
            let parts = (0..group.states().len() as u32).filter_map(|run| group.part(run)).collect::<Vec<RunPart>>();
            for part in parts.into_iter().flat_map(|part| surviving(vec![part], &manifest)) {
                let id = &part.state.id;
                let mut known = match pack_parts(&listed, id) {
                    // Unreadable data does not count.
                    Err(error) => of_one_file(error).map(|_| Vec::new())?,
                    Ok(parts) => parts,
                };
                if !has_all(known.clone(), &part) && logged.contains(&id.key()) {
                    known.extend(self.log_parts(id.key(), &mut Reaches::default())?.0);
                }
                if !has_all(known, &part) {
                    runs += 1;
                    points += part.state.coverage.iter().map(|own| own.through - own.from - own.lost).sum::<u64>();
                }
            }
        }
        Ok((runs, points))
    }

    /// Messages for a verification about unlisted packs with unique data.
    pub(crate) fn unlisted_content(&self) -> Result<Vec<(PathBuf, String)>> {
        let mut content = Vec::new();
        for id in self.unlisted_ids()? {
            if let Some(Unlisted { path, standing: Standing::Holds { runs, points }, .. }) = self.judge(id)? {
                content.push((path, holds(runs, points)));
            }
        }
        Ok(content)
    }

    /// Unlisted packs with unique data, and their entries.
    pub(crate) fn to_take_in(&self) -> Result<Vec<(Unlisted, PackEntry)>> {
        let mut found = Vec::new();
        for id in self.unlisted_ids()? {
            let Some(unlisted) = self.judge(id)?.filter(|own| matches!(own.standing, Standing::Holds { .. })) else {
                continue;
            };
            let pack = packs::open(&*self.inner.storage, &self.inner.root, id)?;
            let mut entry = PackEntry { runs: 0, series: 0, points: 0, bytes: 0 };
            for index in 0..pack.row_group_count() {
                let group = pack.group(index)?;
                let footer = group.footer();
                entry.runs += footer.runs as u64;
                entry.series += footer.series.len() as u64;
                entry.points += footer.points;
            }
            entry.bytes = pack.source().file_len()?;
            found.push((unlisted, entry));
        }
        Ok(found)
    }
}

fn nobody_knows(why: &str) -> String {
    format!("nobody can tell whether it is in the making ({why}); a garbage collection with `take_over` removes it")
}

fn holds(runs: u64, points: u64) -> String {
    format!(
        "no entry of the manifest names it, and it has {runs} runs with {points} points that nothing else has in full"
    )
}

/// Whether sources of a run have all metadata and points of `part`.
pub(crate) fn has_all(sources: Vec<RunPart>, part: &RunPart) -> bool {
    let Some(known) = RunSnapshot::merge(sources) else { return false };
    let reaches = |own: &Coverage| {
        let same = known.state().coverage.iter().filter(|known| known.writer == own.writer);
        own.from == own.through
            || same
                .into_iter()
                .any(|known| known.from <= own.from && known.through >= own.through && known.lost <= own.lost)
    };
    let mut both = known.state().clone();
    both.merge(&part.state);
    part.state.coverage.iter().all(reaches) && both == *known.state()
}
