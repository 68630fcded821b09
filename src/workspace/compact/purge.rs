//! Permanent deletion of runs and experiments that are marked deleted, and of single metrics.
//!
//! 1. A tombstone in the manifest says through which point of each writer a run, or one of its metrics, is deleted.
//!    From then on no reader sees what it covers, wherever it is, nor any copy that comes back later, including
//!    exported and imported ones.
//! 2. Logs and packs with covered data are rewritten without it. If the process dies before that, the next garbage
//!    collection continues.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::base::ids::{ExperimentId, RunId, RunKey};
use crate::error::{Entity, Error, Result, of_one_file};
use crate::folder::clock::now_ms;
use crate::folder::paths;
use crate::journal::catalog;
use crate::journal::manifest::{Change, Manifest, Tombstone, covers};
use crate::run::snapshot::RunSnapshot;
use crate::workspace::compact::compaction::{CompactOptions, Compacted};
use crate::workspace::compact::unlisted::LeftoverOptions;
use crate::workspace::read::copies::with_copies;
use crate::workspace::read::parts::surviving;
use crate::workspace::state::folders::path_and_reason;
use crate::workspace::state::packs::OpenPack;
use crate::workspace::state::shared::Shared;

/// Attempts to rewrite packs while a compaction replaces them.
const REWRITES: usize = 8;

/// What to collect as garbage.
#[derive(Clone, Copy, Debug, Default)]
pub struct CollectOptions {
    /// Collect runs and experiments marked deleted before this time, in milliseconds since the epoch.
    pub before_ms: i64,
    /// Only report what would be collected.
    pub dry_run: bool,
    /// How to treat unlisted files.
    pub leftovers: LeftoverOptions,
}

impl CollectOptions {
    /// Collects what was marked deleted before this time, in milliseconds since the epoch.
    #[must_use]
    pub fn before(before_ms: i64) -> Self {
        Self { before_ms, ..Self::default() }
    }
}

/// What a garbage collection did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Permanently deleted runs with their experiments.
    pub runs: Vec<(ExperimentId, RunId)>,
    /// Deleted runs that stay because they have a live writer.
    pub in_use: Vec<RunId>,
    /// Permanently deleted experiments; their names are free again.
    pub experiments: Vec<ExperimentId>,
    /// Removed files that nothing needed.
    pub files: u64,
    /// Messages about unreadable data that was left alone; `verify` reports the cost.
    pub left_out: Vec<String>,
    /// Unlisted files that stay, and why.
    pub skipped: Vec<(std::path::PathBuf, String)>,
}

impl Shared {
    /// See [`Maintenance::collect_garbage`](crate::maintenance::Maintenance::collect_garbage).
    pub(crate) fn collect_garbage(&self, options: CollectOptions) -> Result<Collected> {
        let CollectOptions { before_ms, dry_run, leftovers } = options;
        let mut collected = Collected::default();
        let mut left: BTreeSet<ExperimentId> = BTreeSet::new();
        let catalog = self.catalog()?;
        let (ids, unreadable) = self.readable_ids(None)?;
        collected.left_out = unreadable;
        // A lost change may have restored any experiment, with all its runs.
        let lost = self.damage_of_experiments()?;
        collected.left_out.extend(lost.iter().cloned());
        let mut doomed = self.doomed(ids, before_ms, &catalog, &lost, &mut left, &mut collected)?;
        let gone = |experiment: &&catalog::Experiment| {
            let old = experiment.deleted && experiment.updated_ms < before_ms;
            let forgettable = old && experiment.id != ExperimentId::DEFAULT;
            // Unreadable data may have runs of it.
            forgettable && collected.left_out.is_empty() && !left.contains(&experiment.id)
        };
        let gone: Vec<ExperimentId> = catalog.experiments.values().filter(gone).map(|gone| gone.id).collect();
        collected.experiments = gone;
        collected.left_out.sort();
        collected.left_out.dedup();
        if let Some(blocked) = self.manifest_blocked()? {
            // Nothing can be deleted.
            collected.skipped.push(blocked);
            (collected.runs, collected.experiments, doomed) = Default::default();
        }
        if dry_run {
            return Ok(collected);
        }
        let gone = self.entomb(&doomed)?;
        let (runs, kept): (Vec<_>, Vec<_>) = collected.runs.into_iter().partition(|(_, id)| gone.contains(&id.key()));
        collected.runs = runs;
        let why = "it was restored or written meanwhile, or could not be read again; it stays";
        collected.left_out.extend(kept.iter().map(|(_, id)| format!("run {id}: {why}")));
        collected.experiments = self.forget_experiments(&collected.experiments)?;
        // Deletions begun earlier and just now.
        let kept = self.finish_deletions()?;
        let left = self.remove_leftovers(leftovers)?;
        (collected.files, collected.skipped) = (left.removed, left.skipped);
        collected.skipped.extend(kept);
        if let Err(error) = self.remove_spent_ledgers() {
            collected.skipped.push(path_and_reason(error)?);
        }
        // One path may fail in several steps.
        collected.skipped.sort();
        collected.skipped.dedup_by(|one, other| one.0 == other.0);
        Ok(collected)
    }

    /// The runs to delete permanently, which go to `collected` too, as do those that stay because they are being
    /// written. `left`: the experiments of the runs that stay.
    fn doomed(
        &self,
        ids: Vec<RunId>,
        before_ms: i64,
        catalog: &catalog::Catalog,
        lost: &[String],
        left: &mut BTreeSet<ExperimentId>,
        collected: &mut Collected,
    ) -> Result<Vec<RunSnapshot>> {
        let may_be_restored = |run: &RunSnapshot| !run.damage().is_empty() || !lost.is_empty();
        let mut doomed = Vec::new();
        for id in ids {
            let run = match self.run_to_delete(&id) {
                Ok(run) => run,
                Err(Error::NotFound { .. }) => continue,
                // Leave unreadable data alone.
                Err(error) => {
                    collected.left_out.push(of_one_file(error)?.to_string());
                    continue;
                }
            };
            collected.left_out.extend(run.damage().iter().cloned());
            let experiment = run.state().experiment;
            if deleted_since(catalog, &run).is_none_or(|since| since >= before_ms) || may_be_restored(&run) {
                left.insert(experiment);
            } else if self.has_live_writer(&id)? {
                left.insert(experiment);
                collected.in_use.push(id);
            } else {
                collected.runs.push((experiment, id));
                doomed.push(run);
            }
        }
        Ok(doomed)
    }

    /// Ids of the runs of a kind that count as deleted since some time, or for longer.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub(crate) fn deleted_by(&self, kind: u8, time_ms: i64) -> Result<Vec<RunId>> {
        let catalog = self.catalog()?;
        let mut found = Vec::new();
        for id in self.readable_ids(Some(kind))?.0 {
            let Some(run) = self.find_run(&id)? else { continue };
            if deleted_since(&catalog, &run).is_some_and(|since| since <= time_ms) {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// See [`Maintenance::purge_run`](crate::maintenance::Maintenance::purge_run).
    pub(crate) fn purge_run(&self, id: &RunId) -> Result<()> {
        let run = self.run_to_delete(id)?;
        if deleted_since(&self.catalog()?, &run).is_none() {
            return Err(Error::invalid("run", format!("{id} is not deleted; mark it deleted first")));
        }
        self.check_known(&run)?;
        self.check_unwritten(id)?;
        check_taken_out(self.purge(&[run])?)
    }

    /// See [`Maintenance::purge_experiment`](crate::maintenance::Maintenance::purge_experiment).
    pub(crate) fn purge_experiment(&self, id: ExperimentId) -> Result<()> {
        check_forgettable(self.catalog()?.get(id)?)?;
        let mut runs = Vec::new();
        let (ids, unreadable) = self.readable_ids(None)?;
        if let Some(place) = unreadable.first() {
            let why = format!("its runs are not all known, since something cannot be read: {place}");
            return Err(Error::invalid("experiment", why));
        }
        for run in ids {
            let found = match self.run_to_delete(&run) {
                Err(Error::NotFound { .. }) => continue,
                found => found?,
            };
            if found.state().experiment == id {
                self.check_known(&found)?;
                self.check_unwritten(&run)?;
                if deleted_since(&self.catalog()?, &found).is_none() {
                    let why =
                        format!("run {run} of it was restored by itself; delete it too, or restore the experiment");
                    return Err(Error::invalid("experiment", why));
                }
                runs.push(found);
            }
        }
        check_taken_out(self.purge(&runs)?)?;
        let forgotten = self.forget_experiments(&[id])?;
        if forgotten.is_empty() {
            let why = "a run of it was restored, or came to it, meanwhile; look, and try again";
            return Err(Error::invalid("experiment", why));
        }
        Ok(())
    }

    /// See [`Maintenance::delete_metric`](crate::maintenance::Maintenance::delete_metric).
    pub(crate) fn delete_metric(&self, id: &RunId, key: &str) -> Result<()> {
        self.check_unwritten(id)?;
        let run = self.run_to_delete(id)?;
        if !run.series().contains_key(key) {
            return Err(Error::not_found(Entity::Metric, format!("{key} of run {id}")));
        }
        let change = Change::DeleteMetric { run: id.key(), key: key.to_owned(), writers: with_copies(&run) };
        self.inner.manifest.lock().publish(|_| Ok(vec![change.clone()]))?;
        // Ledger lines of removed logs are retired, so they must be known before logs are listed.
        self.claims(true)?;
        let mut names = self.run_log_names(id.key())?;
        names.sort();
        let mut done = Compacted::default();
        self.pack_logs(&names, CompactOptions::default(), false, &mut done)?;
        // No reader sees the metric any more, but damaged files still contain it.
        done.skipped.extend(self.rewrite_those_with(&BTreeSet::from([id.key()]))?);
        check_taken_out(done.skipped)
    }

    /// See [`Workspace::has_live_writer`](crate::Workspace::has_live_writer).
    pub(crate) fn has_live_writer(&self, id: &RunId) -> Result<bool> {
        for name in self.run_log_names(id.key())? {
            let written = match self.read_log(&name) {
                Ok(Some(view)) => !self.is_closed(&name, &view, CompactOptions::default()),
                Ok(None) => false,
                // For an unreadable log only its lock tells; if that fails too, nobody knows.
                Err(error) => of_one_file(error).map(|_| !self.is_free(&name).unwrap_or(false))?,
            };
            if written {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The permanent deletions of a run, as last read: the run's tombstone, and those of its metrics by key.
    pub(crate) fn deleted_for_good(&self, id: &RunId) -> (Option<Tombstone>, BTreeMap<String, Tombstone>) {
        let manifest = self.inner.manifest.lock();
        let (state, key) = (manifest.state(), id.key());
        (state.tombstones.get(&key).cloned(), state.metrics.get(&key).cloned().unwrap_or_default())
    }

    /// Fails if lost data may have restored the run.
    fn check_known(&self, run: &RunSnapshot) -> Result<()> {
        match run.damage().iter().chain(&self.damage_of_experiments()?).next() {
            Some(lost) => {
                let why = format!("{} may have been restored by what cannot be read; repair first: {lost}", run.id());
                Err(Error::invalid("run", why))
            }
            None => Ok(()),
        }
    }

    fn check_unwritten(&self, id: &RunId) -> Result<()> {
        if self.has_live_writer(id)? {
            return Err(Error::invalid("run", format!("{id} is being written; try again when its writers are closed")));
        }
        Ok(())
    }

    /// Permanently deletes these runs, except those restored or written to since. Returns the packs that still contain
    /// some of them, and why: no reader sees it any more.
    fn purge(&self, runs: &[RunSnapshot]) -> Result<Vec<(PathBuf, String)>> {
        let purged = self.entomb(runs)?;
        if purged.is_empty() {
            return Ok(Vec::new());
        }
        self.claims(true)?;
        purged.iter().try_for_each(|&key| self.retire_deleted_logs(key))?;
        self.rewrite_those_with(&purged)
    }

    /// Step 1: publishes tombstones. Returns the keys.
    fn entomb(&self, runs: &[RunSnapshot]) -> Result<BTreeSet<RunKey>> {
        let catalog = self.catalog()?;
        let mut changes: Vec<Change> = Vec::new();
        let mut purged = BTreeSet::new();
        for run in runs {
            let now = match self.run_to_delete(run.id()) {
                Ok(now) => now,
                Err(Error::NotFound { .. }) => continue,
                // A tombstone must name all writers: leave this run to a later collection.
                Err(error) => {
                    of_one_file(error)?;
                    continue;
                }
            };
            if deleted_since(&catalog, &now).is_some() && !self.has_live_writer(run.id())? {
                changes.push(Change::Delete { run: run.id().key(), writers: with_copies(&now) });
                purged.insert(run.id().key());
            }
        }
        if !changes.is_empty() {
            self.end_edit_log()?;
            self.inner.manifest.lock().publish(|_| Ok(changes.clone()))?;
        }
        Ok(purged)
    }

    /// Rewrites every pack with one of these runs. If a concurrent compaction replaces packs, tries again. Returns
    /// damaged packs that stay as they are, and why.
    fn rewrite_those_with(&self, purged: &BTreeSet<RunKey>) -> Result<Vec<(PathBuf, String)>> {
        let mut left: BTreeMap<u128, (PathBuf, String)> = BTreeMap::new();
        for _ in 0..REWRITES {
            let (packs, manifest) = (self.refresh()?, self.manifest()?);
            let mut whole = true;
            for (&id, pack) in packs.packs() {
                if left.contains_key(&id) {
                    continue;
                }
                let path = paths::pack(&self.inner.root, id);
                let rewrite = || {
                    for &key in purged {
                        if holds_deleted(pack, key, &manifest)? {
                            return self.rewrite(&packs, &[id], &[], purged);
                        }
                    }
                    Ok(true)
                };
                match rewrite() {
                    Ok(done) => whole &= done,
                    Err(error) => {
                        let error = of_one_file(error)?;
                        left.insert(id, (path, format!("it still has what was deleted: {error}")));
                    }
                }
            }
            if whole {
                break;
            }
        }
        // Readers do not see it in any case, and the next garbage collection tries again.
        Ok(left.into_values().collect())
    }

    /// Finishes earlier deletions: removes what tombstones cover from logs and packs. Returns the packs that still
    /// contain some, and why.
    pub(crate) fn finish_deletions(&self) -> Result<Vec<(PathBuf, String)>> {
        let touched: BTreeSet<RunKey> = self.manifest()?.touched().collect();
        if touched.is_empty() {
            return Ok(Vec::new());
        }
        self.claims(true)?;
        let mut left = Vec::new();
        for name in self.all_log_names()?.0 {
            if let Some(key) = name.run().filter(|key| touched.contains(key))
                && let Err(error) = self.retire_deleted_logs(key)
            {
                let (_, why) = path_and_reason(error)?;
                left.push((name.log(), format!("it still has what was deleted: {why}")));
            }
        }
        left.extend(self.rewrite_those_with(&touched)?);
        Ok(left)
    }

    /// Removes the closed logs of a permanently deleted run whose writers the tombstone covers.
    fn retire_deleted_logs(&self, key: RunKey) -> Result<()> {
        let Some(tombstone) = self.manifest()?.tombstones.get(&key).cloned() else { return Ok(()) };
        for name in self.run_log_names(key)? {
            let view = match self.read_log(&name) {
                Ok(Some(view)) => view,
                Ok(None) => continue,
                // Unreadable logs are left to `repair`; no reader sees them.
                Err(error) => {
                    of_one_file(error)?;
                    continue;
                }
            };
            let through = view.log().sequence_end();
            if covers(Some(&tombstone), name.writer, through) && self.is_closed(&name, &view, CompactOptions::default())
            {
                self.retire_log(&name, true)?;
            }
        }
        Ok(())
    }

    /// Removes experiments from the catalog that were permanently deleted in `source`, and records who did it.
    pub(crate) fn forget_for(&self, ids: &[ExperimentId], source: &Self) -> Result<()> {
        let forgotten = source.catalog()?.forgotten;
        let change = |id: &ExperimentId| {
            let catalog::Forgotten { at_ms, by } = forgotten.get(id)?.clone();
            Some(catalog::Change::Forget { id: *id, at_ms, by })
        };
        let changes: Vec<catalog::Change> = ids.iter().filter_map(change).collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.inner.catalog.lock().publish(|_| Ok(changes.clone())).map(|_| ())
    }

    /// Removes experiments from the catalog, except those restored meanwhile or with runs left. Returns the removed
    /// ones.
    fn forget_experiments(&self, ids: &[ExperimentId]) -> Result<Vec<ExperimentId>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (used, unreadable) = self.experiments_in_use()?;
        // Unreadable data may have runs of them.
        let empty: Vec<ExperimentId> =
            ids.iter().filter(|id| unreadable.is_empty() && !used.contains(id)).copied().collect();
        let at_ms = now_ms();
        let mut gone = Vec::new();
        let mut catalog = self.inner.catalog.lock();
        let plan = |known: &catalog::Catalog| {
            let forgettable = |id: &&ExperimentId| known.get(**id).is_ok_and(|known| check_forgettable(known).is_ok());
            gone = empty.iter().filter(forgettable).copied().collect();
            let forget = |&id: &ExperimentId| catalog::Change::Forget { id, at_ms, by: self.actor().to_owned() };
            Ok(gone.iter().map(forget).collect())
        };
        catalog.publish(plan)?;
        Ok(gone)
    }
}

/// Fails if deleted data is still in a file, although no reader sees it any more.
fn check_taken_out(left: Vec<(PathBuf, String)>) -> Result<()> {
    let refuse =
        |(path, why): (PathBuf, String)| Error::io("take what was deleted out of", &path)(std::io::Error::other(why));
    left.into_iter().next().map_or(Ok(()), |first| Err(refuse(first)))
}

/// Since when a run counts as deleted, in milliseconds since the epoch, if it does.
fn deleted_since(catalog: &catalog::Catalog, run: &RunSnapshot) -> Option<i64> {
    match decides(catalog, run) {
        Some(experiment) => experiment.deleted.then_some(experiment.updated_ms),
        None => run.state().deleted_ms(),
    }
}

/// The run's experiment, if that decides whether the run is deleted.
fn decides<'c>(catalog: &'c catalog::Catalog, run: &RunSnapshot) -> Option<&'c catalog::Experiment> {
    let generation = run.state().deleted_generation();
    catalog.get(run.state().experiment).ok().filter(|experiment| generation < experiment.generation)
}

/// Rejects an experiment that is not marked deleted, and the default one.
fn check_forgettable(experiment: &catalog::Experiment) -> Result<()> {
    let why = match experiment {
        default if default.id == ExperimentId::DEFAULT => {
            "the default experiment cannot be deleted for good".to_owned()
        }
        active if !active.deleted => format!("{:?} is not deleted; mark it deleted first", active.name),
        _ => return Ok(()),
    };
    Err(Error::invalid("experiment", why))
}

/// Whether a pack contains data of a run that tombstones cover.
fn holds_deleted(pack: &OpenPack, key: RunKey, manifest: &Manifest) -> Result<bool> {
    for place in pack.pack().find(key) {
        let Some(part) = pack.group(place.group)?.part(place.run) else { continue };
        let whole: usize = part.series.iter().map(|(_, series)| series.len()).sum();
        let writers = part.state.coverage.len();
        let left = surviving(vec![part], manifest);
        let series: usize = left.iter().flat_map(|part| &part.series).map(|(_, series)| series.len()).sum();
        let kept = left.iter().map(|part| part.state.coverage.len()).sum::<usize>();
        if (series, kept) != (whole, writers) {
            return Ok(true);
        }
    }
    Ok(false)
}
