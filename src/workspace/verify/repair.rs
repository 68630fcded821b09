//! Repairs a damaged workspace. Nothing is changed in place: what verifies is written to new files, the originals go to
//! `quarantine`, and a bad checksum never becomes a good one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::ids::{ExperimentId, RunId};
use crate::error::{Error, Result, of_one_file};
use crate::folder::clock::now_ms;
use crate::folder::{marker, paths};
use crate::journal::catalog;
use crate::journal::chain::{BadEntry, Journal, State};
use crate::journal::manifest::Change;
use crate::run::log_view::SeriesPart;
use crate::run::pack::pack_runs;
use crate::run::snapshot::{RunPart, RunSnapshot};
use crate::run::state::{Coverage, RunState};
use crate::segment::reader::RowGroup;
use crate::workspace::compact::compaction::CompactOptions;
use crate::workspace::read::parts::keep_readable;
use crate::workspace::read::report::Damage;
use crate::workspace::state::folders::path_and_reason;
use crate::workspace::state::ledgers::Reaches;
use crate::workspace::state::packs::{self, OpenPack};
use crate::workspace::state::shared::Shared;
use crate::workspace::verify::repair_files::{Held, unknown};

/// Version numbers that are skipped for each model if a change of the registry is lost: it may have brought several
/// versions from another workspace.
const NUMBERS_PASSED_OVER: u64 = 1000;

/// How to repair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepairOptions {
    /// Also quarantine files that may have a writer, as on network file systems. Use it only if all processes that used
    /// the workspace are known to be gone.
    pub take_over: bool,
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Runs written to new files.
    pub salvaged_runs: u64,
    /// Where the damaged originals are now.
    pub quarantined: Vec<PathBuf>,
    /// What could not be salvaged.
    pub lost: Vec<String>,
    /// Files and folders that stay as they are, and why: they are unreadable, from a newer Stepwell, being written, or
    /// cannot be replaced.
    pub skipped: Vec<(PathBuf, String)>,
}

impl Repaired {
    pub(crate) fn leave(&mut self, path: &Path, why: String) {
        if !self.skipped.iter().any(|(left, _)| left == path) {
            self.skipped.push((path.to_owned(), why));
        }
    }
}

/// For each journal, whether a change is lost.
struct Gaps {
    manifest: bool,
    catalog: bool,
    registry: bool,
}

impl Shared {
    /// See [`Maintenance::repair`](crate::maintenance::Maintenance::repair).
    pub(crate) fn repair_with(&self, options: RepairOptions) -> Result<Repaired> {
        let mut repaired = Repaired::default();
        self.free_folders(&mut repaired)?;
        // Without these folders nothing can be moved or rewritten.
        let no_quarantine = self.blocked(paths::QUARANTINE)?;
        let no_writing = self.packs_blocked()?;
        for (path, why) in no_quarantine.iter().chain(&no_writing) {
            repaired.leave(path, why.clone());
        }
        let blocked = no_quarantine.as_ref().or(no_writing.as_ref()).map(|(path, _)| path.as_path());
        let damage = self.repairable(blocked, &mut repaired)?;
        if no_writing.is_some() {
            return Ok(repaired);
        }
        // Check before damaged entries are moved: afterwards nothing may show that they existed.
        let gaps = self.journal_gaps()?;
        // Publish nothing in a folder that may have unseen entries.
        for (path, why) in self.unlisted_journals()? {
            repaired.leave(&path, why);
        }
        let manifest_is_unlisted = self.inner.manifest.lock().unlisted().is_some();
        for file in of_kind(&damage, "workspace") {
            self.quarantine(file, &mut repaired)?;
            marker::write(&*self.inner.storage, &self.inner.root)?;
        }
        for file in of_kind(&damage, "index") {
            self.quarantine(file, &mut repaired)?;
        }
        if no_quarantine.is_none() {
            self.repair_journals(&gaps, &mut repaired)?;
        }
        if manifest_is_unlisted {
            // Packs and logs are repaired through new packs in the manifest.
            self.restore_indexes()?;
            return Ok(repaired);
        }
        let taken_in = self.take_in_packs(options, &mut repaired)?;
        if no_quarantine.is_some() {
            self.restore_indexes()?;
            return Ok(repaired);
        }
        self.repair_sources(&damage, &taken_in, options, &mut repaired)?;
        self.retire_lost(options, &mut repaired)?;
        self.restore_indexes()?;
        // Missing ones too: `verify` names an edit log that a ledger claims.
        let edits = self.inner.root.join(paths::EDITS);
        if damage.iter().any(|damage| damage.file.starts_with(&edits) && self.is_gone(&damage.file)) {
            self.restore_what_edits_deleted(&mut repaired)?;
        }
        Ok(repaired)
    }

    /// The damage that can be repaired; the rest is left, with the reason. `blocked`: a folder that cannot be used.
    fn repairable(&self, blocked: Option<&Path>, repaired: &mut Repaired) -> Result<Vec<Damage>> {
        let mut damage = self.verify(&mut |_, _| {})?.damage;
        damage.retain(|damage| match self.must_stay(&damage.file) {
            Some(why) => {
                repaired.leave(&damage.file, why);
                false
            }
            // Something in place of a folder is not a file to quarantine.
            None if damage.file.extension().is_none() && self.is_no_file(&damage.file) => {
                repaired.leave(&damage.file, damage.what.clone());
                false
            }
            None => match blocked {
                Some(blocked) => {
                    let why = format!("{}; nothing is mended while {} cannot be used", damage.what, blocked.display());
                    repaired.leave(&damage.file, why);
                    false
                }
                None => true,
            },
        });
        Ok(damage)
    }

    /// Repairs packs, logs and ledgers; `taken_in` are packs that no entry named before.
    fn repair_sources(
        &self,
        damage: &[Damage],
        taken_in: &[PathBuf],
        options: RepairOptions,
        repaired: &mut Repaired,
    ) -> Result<()> {
        for file in of_kind(damage, "pack") {
            let id = file.file_name().and_then(|name| paths::pack_id(name.to_str()?));
            let whole = taken_in.contains(file) && damage.iter().filter(|damage| damage.file == **file).count() == 1;
            if let Some(id) = id.filter(|_| !whole) {
                self.repair_pack(id, damage, options, repaired)?;
            }
        }
        let of_logs = |damage: &&Damage| {
            damage.file.extension().and_then(|kind| kind.to_str()).is_some_and(|kind| kind == "log" || kind == "tail")
        };
        let of_logs: Vec<&Damage> = damage.iter().filter(of_logs).collect();
        if !of_logs.is_empty() {
            self.repair_logs(&of_logs, options, repaired)?;
        }
        for file in of_kind(damage, "ledger") {
            self.take_out(file, options, repaired)?;
        }
        Ok(())
    }

    /// Restores all deleted runs: an edit log is lost that may have restored any of them.
    fn restore_what_edits_deleted(&self, repaired: &mut Repaired) -> Result<()> {
        let mut restored = 0;
        for id in self.readable_ids(None)?.0 {
            let restore = || match self.find_run(&id)? {
                Some(run) if run.state().deleted() && self.counts_as_deleted(run.state())? => {
                    self.restore_run(&id).map(|()| true)
                }
                _ => Ok(false),
            };
            match restore() {
                Ok(done) => restored += u64::from(done),
                Err(error) => {
                    let (path, why) = path_and_reason(error)?;
                    repaired.leave(&path, format!("run {id} may have been restored and stays deleted: {why}"));
                }
            }
        }
        if restored > 0 {
            repaired
                .lost
                .push(format!("edits; {restored} runs that were deleted are restored, as those may have done"));
        }
        Ok(())
    }

    /// Lets compaction salvage damaged logs and quarantine the originals.
    fn repair_logs(&self, damage: &[&Damage], options: RepairOptions, repaired: &mut Repaired) -> Result<()> {
        let compacted = self.compact_by(CompactOptions { take_over: options.take_over }, true)?;
        for (path, why) in compacted.skipped.into_iter().filter(|(path, _)| !paths::is_pack(path)) {
            let tail = path.with_extension("tail");
            if let Some(why) = self.must_stay(&path).or_else(|| self.must_stay(&tail)) {
                repaired.leave(&path, why);
            } else if path.extension().is_some_and(|kind| kind == "log") && self.take_out(&path, options, repaired)? {
                repaired.lost.push(why);
                self.quarantine(&tail, repaired)?;
            }
        }
        for Damage { file, cost, .. } in damage {
            let log = file.with_extension("log");
            if self.is_gone(&log) {
                repaired.lost.push(cost.clone());
            } else if compacted.busy {
                repaired
                    .leave(&log, "another process is compacting the workspace; repair again when it has ended".into());
            } else if let Held::Yes(why) = self.held(&log, options) {
                repaired.leave(&log, why);
            } else {
                repaired.lost.push(cost.clone());
            }
        }
        Ok(())
    }

    /// Retires the ledger lines of logs reported lost, and quarantines what has their names.
    fn retire_lost(&self, options: RepairOptions, repaired: &mut Repaired) -> Result<()> {
        let claims = self.claims(true)?;
        let packs = self.refresh()?;
        for claim in &claims {
            let name = claim.name(&self.inner.root);
            if !matches!(self.read_log(&name), Ok(None)) {
                continue;
            }
            let lacking = !self.lacking(std::slice::from_ref(claim), &Reaches::default(), |_| false, &packs).is_empty();
            if lacking && self.take_out(&name.log(), options, repaired)? {
                self.retire_line(&name)?;
            }
        }
        Ok(())
    }

    pub(crate) fn quarantine(&self, path: &Path, repaired: &mut Repaired) -> Result<()> {
        repaired.quarantined.extend(self.keep_original(path)?);
        Ok(())
    }

    /// Finds journals with lost changes.
    fn journal_gaps(&self) -> Result<Gaps> {
        fn gap<S: State>(journal: &mut Journal<S>) -> Result<bool> {
            journal.check_all()?;
            Ok(journal.has_gap() && journal.unlisted().is_none())
        }
        let manifest = gap(&mut self.inner.manifest.lock())?;
        let catalog = gap(&mut self.inner.catalog.lock())?;
        let registry = gap(&mut self.inner.registry.lock())?;
        Ok(Gaps { manifest, catalog, registry })
    }

    /// Publishes entries with the whole state, so that nothing depends on damaged or lost entries; then quarantines the
    /// damaged ones.
    fn repair_journals(&self, gaps: &Gaps, repaired: &mut Repaired) -> Result<()> {
        self.repair_manifest(gaps.manifest, repaired)?;
        self.repair_catalog(gaps.catalog, repaired)?;
        self.repair_registry(gaps.registry, repaired)
    }

    /// The bad entries of a journal, anchors apart.
    fn bad_entries<S: State>(&self, journal: &mut Journal<S>) -> Result<Vec<BadEntry>> {
        let anchors = self.inner.root.join(paths::ANCHORS);
        Ok(journal.check_all()?.into_iter().filter(|bad| bad.path != anchors).collect())
    }

    fn repair_manifest(&self, has_gap: bool, repaired: &mut Repaired) -> Result<()> {
        let mut manifest = self.inner.manifest.lock();
        let bad = self.bad_entries(&mut manifest)?;
        if manifest.unlisted().is_none() && (!bad.is_empty() || has_gap) {
            self.quarantine_strays(&mut manifest, repaired)?;
            if has_gap || bad.iter().any(|bad| bad.is_lost) {
                repaired.lost.push("a change of the manifest: runs deleted for good by it may be back".into());
            }
            let mut known = manifest.state().packs.keys().copied().collect::<Vec<_>>();
            drop(manifest);
            // If entries are lost, every pack counts.
            let all = self.manifest()?.packs;
            known.sort_unstable();
            let missing = all.iter().filter(|(id, _)| known.binary_search(id).is_err());
            let mut changes: Vec<Change> = missing.map(|(&id, &entry)| Change::Add { id, entry }).collect();
            // Any change triggers a full-state entry: drop a pack that never existed.
            changes.push(Change::Drop { id: 0 });
            self.renew(&mut self.inner.manifest.lock(), &bad, |_| changes.clone(), repaired)?;
        }
        Ok(())
    }

    fn repair_catalog(&self, has_gap: bool, repaired: &mut Repaired) -> Result<()> {
        let mut catalog = self.inner.catalog.lock();
        let bad = self.bad_entries(&mut catalog)?;
        if catalog.unlisted().is_none() && (!bad.is_empty() || has_gap) {
            self.quarantine_strays(&mut catalog, repaired)?;
            // Any change triggers a full-state entry: merge nothing.
            let default = catalog.state().experiments.get(&ExperimentId::DEFAULT);
            let nothing = default.map(|experiment| catalog::Change::Merge {
                id: experiment.id,
                name: None,
                tags: Vec::new(),
                at_ms: experiment.updated_ms,
            });
            let mut changes = nothing.into_iter().collect::<Vec<_>>();
            if has_gap || bad.iter().any(|bad| bad.is_lost) {
                // A lost change may have restored any deleted experiment.
                let deleted = catalog.state().experiments.values().filter(|experiment| experiment.deleted);
                let (at_ms, by) = (now_ms(), self.actor().to_owned());
                let restore = |own: &catalog::Experiment| catalog::Change::Deleted {
                    id: own.id,
                    deleted: false,
                    at_ms,
                    by: by.clone(),
                };
                let before = changes.len();
                changes.extend(deleted.map(restore));
                let restored = changes.len() - before;
                let mut lost = "a change of the experiments; their runs stay".to_owned();
                if restored > 0 {
                    lost += &format!("; {restored} that were deleted are restored, as that change may have done");
                }
                repaired.lost.push(lost);
            }
            self.renew(&mut catalog, &bad, |_| changes.clone(), repaired)?;
        }
        Ok(())
    }

    fn repair_registry(&self, has_gap: bool, repaired: &mut Repaired) -> Result<()> {
        let mut registry = self.inner.registry.lock();
        let bad = self.bad_entries(&mut registry)?;
        if registry.unlisted().is_none() && (!bad.is_empty() || has_gap) {
            self.quarantine_strays(&mut registry, repaired)?;
            let is_lost = has_gap || bad.iter().any(|bad| bad.is_lost);
            if is_lost {
                repaired.lost.push(
                    "a change of the model registry; new versions get numbers above those that it may have given"
                        .into(),
                );
            }
            // Each entry assigned at most one version number per model.
            let passed_over = if is_lost { NUMBERS_PASSED_OVER.max(registry.number()) } else { 0 };
            self.renew(&mut registry, &bad, |state| vec![state.passing_over(passed_over)], repaired)?;
        }
        Ok(())
    }

    /// Quarantines files with names that no entry can have: numbers are consecutive, and none follow these.
    fn quarantine_strays<S: State>(&self, journal: &mut Journal<S>, repaired: &mut Repaired) -> Result<()> {
        for path in journal.strays()? {
            self.quarantine(&path, repaired)?;
        }
        journal.check_all().map(drop)
    }

    /// Publishes the whole state after every number ever used, in the current entry folder. Only then quarantines
    /// damaged entries: a number freed earlier could be reused by a process that slept since before the damage, where
    /// no reader looks.
    fn renew<S: State>(
        &self,
        journal: &mut Journal<S>,
        bad: &[BadEntry],
        changes: impl Fn(&S) -> Vec<S::Change>,
        repaired: &mut Repaired,
    ) -> Result<()> {
        if !journal.publish_whole(|state| Ok(changes(state)))? || !journal.move_on()? {
            return Ok(());
        }
        for bad in bad {
            let Some(path) = journal.now_at(&bad.path) else { continue };
            match self.refusal(&path) {
                Some(why) => repaired.leave(&path, why),
                None => self.quarantine(&path, repaired)?,
            }
        }
        journal.refresh()
    }

    /// Lists unlisted packs with unique data in the manifest. Returns their files.
    fn take_in_packs(&self, options: RepairOptions, repaired: &mut Repaired) -> Result<Vec<PathBuf>> {
        let mut taken = Vec::new();
        let found = match self.to_take_in() {
            Err(error) => {
                let (path, why) = path_and_reason(error)?;
                repaired.leave(&path, why);
                Vec::new()
            }
            found => found?,
        };
        for (pack, entry) in found {
            if let Some(why) = pack.maker_unknown.as_ref().filter(|_| !options.take_over) {
                repaired.leave(&pack.path, unknown(why));
                continue;
            }
            let add = Change::Add { id: pack.id, entry };
            self.inner.manifest.lock().publish(|_| Ok(vec![add.clone()]))?;
            repaired.salvaged_runs += entry.runs;
            taken.push(pack.path);
        }
        self.update_packs()?;
        Ok(taken)
    }

    fn repair_pack(&self, id: u128, damage: &[Damage], options: RepairOptions, repaired: &mut Repaired) -> Result<()> {
        let path = paths::pack(&self.inner.root, id);
        let live = self.manifest()?.packs.contains_key(&id);
        // The maker of a pack holds its lock until the manifest names it.
        let _lock = match self.held(&path, RepairOptions { take_over: options.take_over || live }) {
            Held::Yes(why) => {
                repaired.leave(&path, why);
                return Ok(());
            }
            Held::No(lock) => lock,
        };
        if let Some(why) = self.must_stay(&path) {
            repaired.leave(&path, why);
            return Ok(());
        }
        let costs = damage.iter().filter(|damage| damage.file == path).map(|damage| damage.cost.clone());
        repaired.lost.extend(costs.filter(|cost| !cost.starts_with("nothing")));
        let runs = self.manifest()?.packs.get(&id).map_or(0, |entry| entry.runs);
        let pack = packs::open_around(&*self.inner.storage, &self.inner.root, id, runs).map(OpenPack::new);
        if live {
            let mut runs = match &pack {
                Ok(pack) => salvage(pack)?,
                Err(error) if error.is_of_one_file() => Vec::new(),
                Err(error) => return Err(error.again()),
            };
            repaired.salvaged_runs += runs.len() as u64;
            let mut runs = runs.drain(..).map(Ok);
            self.publish_pack(
                |pack| pack_runs(pack, &mut runs),
                &[Change::Drop { id }],
                |manifest| manifest.packs.contains_key(&id),
            )?;
        }
        let _ = self.inner.storage.remove_file(&paths::index(&self.inner.root, id));
        self.quarantine(&path, repaired)?;
        self.update_packs()?;
        Ok(())
    }

    /// Rebuilds missing or damaged indexes.
    fn restore_indexes(&self) -> Result<()> {
        for (&id, pack) in self.refresh()?.packs() {
            if self.inner.storage.open_read(&paths::index(&self.inner.root, id)).is_err()
                && let Err(error) = self.write_index(id, pack, None)
            {
                // Searches rebuild it, or do without.
                of_one_file(error)?;
            }
        }
        Ok(())
    }
}

/// Everything that verifies in a pack.
fn salvage(pack: &OpenPack) -> Result<Vec<RunSnapshot>> {
    let mut runs = Vec::new();
    for index in 0..pack.pack().row_group_count() as u32 {
        let parts: Vec<RunPart> = match pack.group(index) {
            Ok(group) => (0..group.states().len() as u32).filter_map(|run| group.part(run)).collect(),
            Err(Error::Corrupt { .. }) => match pack.pack().group(index as usize) {
                // The runs' metadata is lost, their points are not.
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

/// The damaged files with an extension, each once.
fn of_kind<'d>(damage: &'d [Damage], kind: &'d str) -> impl Iterator<Item = &'d PathBuf> {
    let mut files: Vec<&PathBuf> = damage.iter().map(|damage| &damage.file).collect();
    files.dedup();
    files.into_iter().filter(move |file| file.extension().is_some_and(|own| own == kind))
}

/// A run whose record in a row group is lost.
fn nameless(group: &Arc<RowGroup>, run: u32, id: RunId) -> Option<RunPart> {
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
