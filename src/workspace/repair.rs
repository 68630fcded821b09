//! Salvages what a damaged workspace still has. Nothing is repaired in place: what verifies is written anew, the
//! originals go to `quarantine`, and a bad checksum never becomes a good one.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::ids::{ExperimentId, RunId};
use crate::base::point::Columns;
use crate::error::{Error, Result};
use crate::run::gather::gather;
use crate::run::image::SeriesPart;
use crate::run::snapshot::{RunPart, RunSnapshot, part_len, read_part};
use crate::run::state::{Coverage, RunState};
use crate::segment::layout::PAGE_POINTS;
use crate::segment::reader::Group;
use crate::workspace::check::Damage;
use crate::workspace::compaction::CompactOptions;
use crate::workspace::evidence::Reaches;
use crate::workspace::journal::{Journal, State};
use crate::workspace::manifest::Change;
use crate::workspace::mark;
use crate::workspace::open::Workspace;
use crate::workspace::packs::{self, OpenPack};
use crate::workspace::paths;

/// How much of a file is read at once to see whether it can be, in bytes.
const READ_AT_ONCE: usize = 1 << 20;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Runs that were written anew.
    pub salvaged_runs: u64,
    /// Where the damaged originals are now.
    pub quarantined: Vec<PathBuf>,
    /// What could not be salvaged.
    pub lost: Vec<String>,
    /// Files that the operating system refuses to read, and why: they stay as they are, since what they hold may be
    /// whole.
    pub left: Vec<(PathBuf, String)>,
}

/// Whether each journal lacks a change that no other copy has.
struct Gaps {
    manifest: bool,
    catalog: bool,
    registry: bool,
}

impl Workspace {
    /// Takes damaged files out of use, and writes anew what of them verifies.
    ///
    /// # Errors
    /// [`Error::Io`]; what was done until then stands.
    pub fn repair(&self) -> Result<Repaired> {
        let mut repaired = Repaired::default();
        let mut damage = self.verify(&mut |_, _| {})?.damage;
        damage.retain(|damage| match self.refusal(&damage.file) {
            Some(why) => {
                repaired.left.push((damage.file.clone(), why));
                false
            }
            // What stands in the place of a folder is no file to be moved away.
            None if damage.file.extension().is_none() && self.is_no_file(&damage.file) => {
                repaired.left.push((damage.file.clone(), damage.what.clone()));
                false
            }
            None => true,
        });
        // Asked before the damaged entries go: without them nothing may show that there was one.
        let gaps = self.journal_gaps()?;
        // Nothing is published where entries may be that nobody sees.
        let unlisted = [
            self.inner.manifest.lock().unlisted().map(Error::again),
            self.inner.catalog.lock().unlisted().map(Error::again),
            self.inner.registry.lock().unlisted().map(Error::again),
        ];
        for error in unlisted.iter().flatten() {
            let path = error.path().map_or_else(PathBuf::new, std::path::Path::to_owned);
            if !repaired.left.iter().any(|(left, _)| *left == path) {
                repaired.left.push((path, error.to_string()));
            }
        }
        repaired.left.dedup();
        let mut files: Vec<&PathBuf> = damage.iter().map(|damage| &damage.file).collect();
        files.dedup();
        let of_kind = |kind: &str| {
            let kind = kind.to_owned();
            files.iter().filter(move |file| file.extension().is_some_and(|own| own == kind.as_str()))
        };
        for file in of_kind("workspace") {
            self.quarantine(file, &mut repaired)?;
            mark::write(&*self.inner.storage, &self.inner.root)?;
        }
        for file in of_kind("index") {
            self.quarantine(file, &mut repaired)?;
        }
        for file in of_kind("entry") {
            self.quarantine(file, &mut repaired)?;
        }
        self.repair_journals(&gaps, &mut repaired)?;
        if unlisted[0].is_some() {
            // Packs and logs are mended by packs that the manifest names.
            self.restore_indexes()?;
            return Ok(repaired);
        }
        let taken_in = self.take_in_packs(&mut repaired)?;
        for file in of_kind("pack") {
            let id = file.file_name().and_then(|name| paths::pack_id(name.to_str()?));
            let whole = taken_in.contains(file) && damage.iter().filter(|damage| damage.file == **file).count() == 1;
            if let Some(id) = id.filter(|_| !whole) {
                self.repair_pack(id, &damage, &mut repaired)?;
            }
        }
        // Logs with damage are read around and kept in quarantine by compaction.
        if of_kind("log").next().is_some() || of_kind("tail").next().is_some() {
            let of_logs = |kind: &str| kind == "log" || kind == "tail";
            let lost = damage
                .iter()
                .filter(|damage| damage.file.extension().and_then(|kind| kind.to_str()).is_some_and(of_logs));
            repaired.lost.extend(lost.map(|damage| damage.cost.clone()));
            let compacted = self.compact_by(CompactOptions::default(), true)?;
            for (path, why) in compacted.left {
                let tail = path.with_extension("tail");
                if paths::is_pack(&path) || self.refusal(&path).or_else(|| self.refusal(&tail)).is_some() {
                    continue;
                }
                repaired.lost.push(why);
                self.quarantine(&path, &mut repaired)?;
                self.quarantine(&tail, &mut repaired)?;
            }
        }
        for file in of_kind("ledger") {
            self.quarantine(file, &mut repaired)?;
        }
        self.settle_lost(&mut repaired)?;
        self.restore_indexes()?;
        Ok(repaired)
    }

    /// What was told as lost is missed no more; what stands in its place is taken out of use.
    fn settle_lost(&self, repaired: &mut Repaired) -> Result<()> {
        let claims = self.claims(true)?;
        let packs = self.refresh()?;
        for claim in &claims {
            let name = claim.name(self);
            if !matches!(self.read_log(&name), Ok(None)) {
                continue;
            }
            if !self.lacking(std::slice::from_ref(claim), &Reaches::default(), |_| false, &packs).is_empty() {
                self.settle(&name);
                self.quarantine(&name.log(), repaired)?;
            }
        }
        Ok(())
    }

    /// Why the operating system refuses to read a file, or to list a folder, so that nobody knows whether it is whole.
    /// What stands in the place of a file and is none holds nothing that could be read.
    fn refusal(&self, path: &std::path::Path) -> Option<String> {
        let read = || {
            let file = self.inner.storage.open_read(path)?;
            let mut bytes = vec![0; READ_AT_ONCE];
            let mut at = 0;
            loop {
                match file.read_at(&mut bytes, at)? {
                    0 => return Ok::<(), std::io::Error>(()),
                    got => at += got as u64,
                }
            }
        };
        match read() {
            Ok(()) => None,
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::InvalidInput => None,
                // A folder has its place, or stands in that of a file.
                ErrorKind::IsADirectory => self.inner.storage.read_dir(path).err().map(|error| error.to_string()),
                _ => Some(error.to_string()),
            },
        }
    }

    /// Whether a link, FIFO, socket or device has this name.
    fn is_no_file(&self, path: &std::path::Path) -> bool {
        self.inner.storage.open_read(path).is_err_and(|error| error.kind() == ErrorKind::InvalidInput)
    }

    fn quarantine(&self, path: &std::path::Path, repaired: &mut Repaired) -> Result<()> {
        repaired.quarantined.extend(self.keep_original(path)?);
        Ok(())
    }

    /// Which journals lack a change that no other copy has.
    fn journal_gaps(&self) -> Result<Gaps> {
        fn gap<S: State>(journal: &mut Journal<S>) -> Result<bool> {
            journal.check_all()?;
            Ok(journal.has_gap() && journal.unlisted().is_none())
        }
        Ok(Gaps {
            manifest: gap(&mut self.inner.manifest.lock())?,
            catalog: gap(&mut self.inner.catalog.lock())?,
            registry: gap(&mut self.inner.registry.lock())?,
        })
    }

    /// Publishes entries that carry the whole state, so that nothing builds on what is damaged or lost.
    fn repair_journals(&self, gaps: &Gaps, repaired: &mut Repaired) -> Result<()> {
        let anchors = self.inner.root.join(paths::ANCHORS);
        fn is_damaged<S: State>(journal: &mut Journal<S>, anchors: &std::path::Path) -> Result<bool> {
            Ok(journal.check_all()?.iter().any(|bad| bad.path != anchors) && journal.unlisted().is_none())
        }
        let mut manifest = self.inner.manifest.lock();
        if is_damaged(&mut manifest, &anchors)? || gaps.manifest {
            if gaps.manifest || manifest.has_gap() {
                repaired.lost.push("a change of the manifest: runs deleted for good by it may be back".into());
            }
            let mut known = manifest.state().packs.keys().copied().collect::<Vec<_>>();
            drop(manifest);
            // Where entries are lost every pack counts.
            let all = self.manifest()?.packs;
            known.sort_unstable();
            let missing = all.iter().filter(|(id, _)| known.binary_search(id).is_err());
            let mut changes: Vec<Change> = missing.map(|(&id, &entry)| Change::Add { id, entry }).collect();
            // Any entry serves to fold the state: it drops a pack that never was.
            changes.push(Change::Drop { id: 0 });
            self.inner.manifest.lock().publish_whole(|_| Ok(changes.clone()))?;
        }
        let mut catalog = self.inner.catalog.lock();
        if is_damaged(&mut catalog, &anchors)? || gaps.catalog {
            if gaps.catalog || catalog.has_gap() {
                repaired.lost.push("a change of the experiments; their runs stay".into());
            }
            let default = catalog.state().experiments.get(&ExperimentId::DEFAULT).cloned();
            let rename = default.map(|experiment| crate::workspace::catalog::Change::Rename {
                id: experiment.id,
                name: experiment.name,
                at_ms: experiment.updated_ms,
            });
            catalog.publish_whole(|_| Ok(rename.clone().into_iter().collect()))?;
        }
        drop(catalog);
        let mut registry = self.inner.registry.lock();
        if is_damaged(&mut registry, &anchors)? || gaps.registry {
            if gaps.registry || registry.has_gap() {
                repaired.lost.push("a change of the model registry".into());
            }
            // Any entry serves to fold the state: the removal of a model that never was.
            registry.publish_whole(|_| {
                Ok(vec![crate::registry::rules::Change::Delete { name: String::new(), at_ms: 0, by: String::new() }])
            })?;
        }
        Ok(())
    }

    /// Publishes entries for packs that none names and that have something of their own. Gives their files.
    fn take_in_packs(&self, repaired: &mut Repaired) -> Result<Vec<PathBuf>> {
        let mut taken = Vec::new();
        for (pack, entry) in self.to_take_in()? {
            let add = Change::Add { id: pack.id, entry };
            self.inner.manifest.lock().publish(|_| Ok(vec![add.clone()]))?;
            repaired.salvaged_runs += entry.runs;
            taken.push(pack.path);
        }
        self.update_packs()?;
        Ok(taken)
    }

    fn repair_pack(&self, id: u128, damage: &[Damage], repaired: &mut Repaired) -> Result<()> {
        let path = paths::pack(&self.inner.root, id);
        repaired.lost.extend(damage.iter().filter(|damage| damage.file == path).map(|damage| damage.cost.clone()));
        let live = self.manifest()?.packs.contains_key(&id);
        let pack = packs::open(&*self.inner.storage, &self.inner.root, id).map(OpenPack::new);
        if live {
            let mut runs = match &pack {
                Ok(pack) => salvage(pack)?,
                Err(Error::NewerFormat { .. }) => return Ok(()),
                Err(error) if error.is_of_one_file() => Vec::new(),
                Err(error) => return Err(error.again()),
            };
            repaired.salvaged_runs += runs.len() as u64;
            let mut runs = runs.drain(..).map(Ok);
            self.publish_pack(
                |pack| gather(pack, &mut runs),
                &[Change::Drop { id }],
                |manifest| manifest.packs.contains_key(&id),
            )?;
        }
        let _ = self.inner.storage.remove_file(&paths::index(&self.inner.root, id));
        self.quarantine(&path, repaired)?;
        self.update_packs()?;
        Ok(())
    }

    /// Makes the indexes of packs that have none that verifies.
    fn restore_indexes(&self) -> Result<()> {
        for (&id, pack) in self.refresh()?.packs() {
            if self.inner.storage.open_read(&paths::index(&self.inner.root, id)).is_err() {
                self.write_index(id, pack, None)?;
            }
        }
        Ok(())
    }
}

/// Everything of a pack that verifies.
fn salvage(pack: &OpenPack) -> Result<Vec<RunSnapshot>> {
    let mut runs = Vec::new();
    for index in 0..pack.pack().group_count() as u32 {
        let parts: Vec<RunPart> = match pack.group(index) {
            Ok(group) => (0..group.states().len() as u32).filter_map(|run| group.part(run)).collect(),
            Err(Error::Corrupt { .. }) => match pack.pack().group(index as usize) {
                // The runs' words are lost, their points are not.
                Ok(group) => {
                    let group = Arc::new(group);
                    let keys = pack.pack().rows(index as usize).map(|row| pack.pack().key(row));
                    keys.zip(0..).filter_map(|(key, run)| nameless(&group, run, RunId::of_key(key))).collect()
                }
                Err(Error::Corrupt { .. }) => continue,
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        for mut part in parts {
            keep_readable(&mut part)?;
            runs.extend(RunSnapshot::merge(vec![part]));
        }
    }
    Ok(runs)
}

/// Takes everything that verifies of a run's series into memory, and says whether that is all of it.
pub(super) fn keep_readable(part: &mut RunPart) -> Result<bool> {
    let mut whole = true;
    for (coverage, series) in &mut part.series {
        for (_, part) in series.iter_mut() {
            let columns = readable(part)?;
            // A copy of the run that has them is preferred to this one.
            coverage.lost += (part_len(part) - columns.len()) as u64;
            whole &= columns.len() == part_len(part);
            *part = SeriesPart::Rows(columns.into());
        }
        series.retain(|(_, part)| part_len(part) > 0);
    }
    Ok(whole)
}

/// A run of a group whose record is lost.
fn nameless(group: &Arc<Group>, run: u32, id: RunId) -> Option<RunPart> {
    let footer = group.footer();
    let mut state = RunState::new(id, ExperimentId::DEFAULT, "Default".into());
    let mut series: Vec<(Coverage, Vec<(String, SeriesPart)>)> = Vec::new();
    for (index, entry) in footer.series.iter().enumerate().filter(|(_, entry)| entry.run == run) {
        let writer = footer.writers[entry.writer as usize];
        let part = (footer.key_of(entry).to_owned(), SeriesPart::Sealed(Arc::clone(group), index));
        let points = footer.axes[entry.axis as usize].count as u64;
        match series.iter_mut().find(|(coverage, _)| coverage.writer == writer) {
            Some((coverage, parts)) => {
                coverage.through += points;
                parts.push(part);
            }
            None => {
                let coverage = Coverage { order: 0, writer, from: 0, through: points, lost: 0 };
                series.push((coverage, vec![part]));
            }
        }
    }
    state.coverage = series.iter().map(|(coverage, _)| *coverage).collect();
    (!series.is_empty()).then_some(RunPart { state, series })
}

/// The points of a part whose pages verify.
fn readable(part: &SeriesPart) -> Result<Columns> {
    let mut columns = Columns::default();
    let len = part_len(part);
    for start in (0..len).step_by(PAGE_POINTS) {
        let mut page = Columns::default();
        match read_part(part, start..len.min(start + PAGE_POINTS), &mut page) {
            Ok(()) => columns.extend(&page),
            Err(Error::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(columns)
}
