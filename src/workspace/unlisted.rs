//! Packs that no entry of the manifest names: what they are, and what becomes of them.
//!
//! A pack gets its name before its entry does, and keeps it for a while after another has replaced it. So a pack
//! without an entry is in the making; or it was replaced, or its maker died before the entry, and all it has is
//! elsewhere; or it has what nothing else has: an import was interrupted, or the entry is lost. The first is told by
//! its maker's lock, the others by what is in it. No clock decides: a pack that has something of its own stays until a
//! person says what to do with it.

use std::io::ErrorKind;
use std::path::PathBuf;

use rustc_hash::FxHashSet;

use crate::base::ids::{RunId, RunKey};
use crate::error::{Error, Result, of_one_file};
use crate::folder::clock::now_ms;
use crate::folder::making::{Maker, maker_of};
use crate::folder::paths;
use crate::journal::manifest::PackEntry;
use crate::run::snapshot::{RunPart, RunSnapshot};
use crate::run::state::Coverage;
use crate::workspace::evidence::Reaches;
use crate::workspace::folders::told;
use crate::workspace::open::Workspace;
use crate::workspace::packs::{self, OpenPack};
use crate::workspace::runs::{pack_parts, surviving};

/// What a pack is that no entry names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Somebody is making it.
    InTheMaking,
    /// All it has is elsewhere, or was deleted for good.
    Needless,
    /// It has something of these runs, with so many points in all, that nothing else has.
    Holds { runs: u64, points: u64 },
    /// It does not verify, or cannot be opened.
    Unreadable(String),
    /// A newer Stepwell wrote it.
    Newer(String),
}

/// A pack that no entry names. While this lives nobody else judges the pack, where there are locks.
pub(super) struct Unlisted {
    pub(super) id: u128,
    pub(super) path: PathBuf,
    pub(super) standing: Standing,
    /// Why nobody can tell whether it is in the making.
    pub(super) maker_unknown: Option<String>,
    _lock: Option<Maker>,
}

/// What to do with files that nothing names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftoverOptions {
    /// Also remove those of which nobody can tell whether they are in the making, as on network file systems: only when
    /// all who worked on the workspace are known to be gone.
    pub take_over: bool,
    /// Also remove packs that no entry of the manifest names and that have something that nothing else has: what an
    /// interrupted import brought, or runs whose entry is lost.
    pub drop_unlisted: bool,
}

/// What became of files that nothing names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// How many were removed.
    pub removed: u64,
    /// Those that stay, and why; files that are in the making or younger than the grace period are not among them.
    pub kept: Vec<(PathBuf, String)>,
}

impl Leftovers {
    /// Tells what one file or folder refuses, so that the others are looked at all the same.
    fn tell(&mut self, looked: Result<()>) -> Result<()> {
        if let Err(error) = looked {
            self.kept.push(told(error)?);
        }
        Ok(())
    }
}

impl Workspace {
    /// Removes files that nothing names, nobody makes, and that hold nothing of their own, once they are older than the
    /// grace period, which delays a removal and never permits it. A folder that cannot be looked at is among those that
    /// stay.
    pub(super) fn remove_leftovers(&self, options: LeftoverOptions) -> Result<Leftovers> {
        let mut left = Leftovers::default();
        if self.inner.manifest.lock().has_gap() {
            // Nobody knows what is needed.
            return Ok(left);
        }
        self.sync_entries()?;
        let looked = self.remove_temporary(options, &mut left);
        left.tell(looked)?;
        let looked = self.remove_unlisted(options, &mut left);
        left.tell(looked)?;
        let folded = [
            self.inner.manifest.lock().remove_folded(),
            self.inner.catalog.lock().remove_folded(),
            self.inner.registry.lock().remove_folded(),
        ];
        for folded in folded {
            let looked = folded.map(|count| left.removed += count as u64);
            left.tell(looked)?;
        }
        left.kept.extend(self.unlisted_journals()?);
        Ok(left)
    }

    /// What dead processes left in `tmp`.
    fn remove_temporary(&self, options: LeftoverOptions, left: &mut Leftovers) -> Result<()> {
        let storage = &*self.inner.storage;
        let dir = self.inner.root.join(paths::TEMPORARY);
        let entries = match storage.read_dir(&dir).map_err(Error::io("list", &dir)) {
            // A copy of a workspace has no such folder.
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
            // An entry on its way, on a file system without links.
            for within in storage.read_dir(&path).unwrap_or_default() {
                self.remove_if_left(path.join(within.name), options, left)?;
            }
            // It fails where there is something in it.
            let _ = storage.remove_dir(&path);
        }
        Ok(())
    }

    fn remove_if_left(&self, path: PathBuf, options: LeftoverOptions, left: &mut Leftovers) -> Result<()> {
        match maker_of(&*self.inner.storage, &path) {
            None | Some(Maker::AtWork) => return Ok(()),
            Some(Maker::Unknown(error)) if !options.take_over => {
                left.kept.push((path, nobody_knows(&error.to_string())));
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
                    format!("{}; `repair` takes them in, `gc --drop-unlisted` removes them", holds(*runs, *points))
                }
                (Standing::Unreadable(what), _) => {
                    format!("no entry of the manifest names it, and it cannot be read: {what}; `repair` moves it away")
                }
                (Standing::Newer(what), _) => format!("no entry of the manifest names it: {what}"),
                _ => {
                    self.remove_file(&unlisted.path)?;
                    left.removed += 1;
                    continue;
                }
            };
            left.kept.push((unlisted.path, why));
        }
        // Indexes of packs that are gone: derived, and made anew where they are missed.
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

    /// Files in the folder of packs whose names end so, and the numbers in their names.
    fn pack_files(&self, ending: &str) -> Result<Vec<(PathBuf, u128)>> {
        let dir = self.inner.root.join(paths::PACKS);
        let entries = match self.inner.storage.read_dir(&dir).map_err(Error::io("list", &dir)) {
            // A copy of a workspace without packs need not have it.
            Err(error) if error.is_absent() => Vec::new(),
            entries => entries?,
        };
        let named = entries.iter().filter(|entry| entry.name.ends_with(ending));
        Ok(named.filter_map(|entry| Some((dir.join(&entry.name), paths::pack_id(&entry.name)?))).collect())
    }

    /// Packs that the manifest, read after the folder was listed, does not name. Empty where entries are lost: then
    /// every pack counts.
    pub(super) fn unlisted_ids(&self) -> Result<Vec<u128>> {
        let files = self.pack_files(".pack")?;
        self.refresh()?;
        let listed = self.manifest()?.packs;
        Ok(files.into_iter().map(|(_, id)| id).filter(|id| !listed.contains_key(id)).collect())
    }

    /// What a pack is that was not listed a moment ago; `None` when it is gone, or listed by now. Costs a look at every
    /// run in it.
    pub(super) fn judge(&self, id: u128) -> Result<Option<Unlisted>> {
        let path = paths::pack(&self.inner.root, id);
        // The lock comes first: whoever had it until now has published the entry, or never will.
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

    /// How many runs a pack has something of that no listed pack and no log has, and that was not deleted for good; and
    /// how many points these have in it.
    fn content_of(&self, pack: &OpenPack) -> Result<(u64, u64)> {
        // Logs before packs, as always.
        let mut logged: FxHashSet<RunKey> = self.all_log_names()?.0.iter().filter_map(|name| name.run()).collect();
        logged.extend(self.edit_log_views()?.0.iter().flat_map(|view| view.runs()).map(RunId::key));
        let (listed, manifest) = (self.refresh()?, self.manifest()?);
        let (mut runs, mut points) = (0, 0);
        for index in 0..pack.pack().row_group_count() as u32 {
            let group = pack.group(index)?;
            let parts = (0..group.states().len() as u32).filter_map(|run| group.part(run)).collect::<Vec<RunPart>>();
            for part in parts.into_iter().flat_map(|part| surviving(vec![part], &manifest)) {
                let id = &part.state.id;
                let mut known = match pack_parts(&listed, id) {
                    // What cannot be read does not count.
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

    /// What a verification says of packs that no entry names and that have something of their own.
    pub(super) fn unlisted_content(&self) -> Result<Vec<(PathBuf, String)>> {
        let mut content = Vec::new();
        for id in self.unlisted_ids()? {
            if let Some(Unlisted { path, standing: Standing::Holds { runs, points }, .. }) = self.judge(id)? {
                content.push((path, holds(runs, points)));
            }
        }
        Ok(content)
    }

    /// Packs that no entry names and that have something of their own, with what an entry would say of them.
    pub(super) fn to_take_in(&self) -> Result<Vec<(Unlisted, PackEntry)>> {
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
    format!("nobody can tell whether it is in the making ({why}); `gc --take-over` removes it if its maker is gone")
}

fn holds(runs: u64, points: u64) -> String {
    format!(
        "no entry of the manifest names it, and it has {runs} runs with {points} points that nothing else has in full"
    )
}

/// Whether sources of a run have all that another one says of it, words and points.
pub(super) fn has_all(sources: Vec<RunPart>, part: &RunPart) -> bool {
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
