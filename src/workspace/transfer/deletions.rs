//! Carries deletions from one workspace to another: of runs and experiments, and permanent ones.
//!
//! Of two copies of an experiment, the one with the greater generation decides whether it is deleted; the generation
//! counts deletions and restorations. If equal, deletion wins. A run's deletion attribute has a stamp and counts only
//! in the generation in which it was set. If the other side's greater generation is adopted, attributes that it had not
//! seen would stop counting. So they are carried into that generation:
//!
//! 1. A run that only one side has keeps its state.
//! 2. If both sides agree, the state stays.
//! 3. If one side has the newer attribute and the other the newer generation, neither knew of the other: the run is
//!    deleted, which can be undone.
//! 4. Otherwise one side knows everything the other does, and its state wins.
//!
//! Both sides compute the same attribute and converge. Attributes are carried before the generation rises, so a process
//! that dies in between leaves every run as it was.
//!
//! A run that was deleted where only imported copies of it were is not deleted where its own writers are. But it does
//! not come back from there, if its id has 32 hex digits: then it is the same run.
//!
//! Permanent deletions are tombstones, which merge as [`crate::journal::manifest`] describes. Metadata that writers
//! without points set here goes with the run. An experiment that was permanently deleted there is deleted here once it
//! has no runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::ids::{ExperimentId, RunId, RunKey, WriterId};
use crate::error::Result;
use crate::error::of_one_file;
use crate::journal::catalog::Experiment;
use crate::journal::manifest::{Change, Manifest, Tombstone, covers};
use crate::log::record::Attribute;
use crate::run::snapshot::RunSnapshot;
use crate::run::state::{RunState, Stamp, Stamped, rank};
use crate::workspace::read::copies::imports;
use crate::workspace::state::shared::Shared;
use crate::workspace::transfer::pull::Pulled;

/// An experiment of the source and its counterpart here, as both were before the pull.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) own: Experiment,
    pub(crate) theirs: Experiment,
}

impl Pair {
    /// The copy whose state wins.
    fn newer(&self) -> &Experiment {
        if self.theirs.deletion() > self.own.deletion() { &self.theirs } else { &self.own }
    }

    /// Whether the generation here will rise.
    pub(crate) fn rises(&self) -> bool {
        self.theirs.deletion() > self.own.deletion()
    }

    /// The deletion attribute that a run needs, by the rules of the module; `None` if it needs no new one. `own` and
    /// `theirs` are its states on either side.
    pub(crate) fn deletion(&self, own: Option<&RunState>, theirs: Option<&RunState>) -> Option<Stamped<Attribute>> {
        let id = &own.or(theirs)?.id;
        let deletion = |state: Option<&RunState>| state.and_then(RunState::deletion_attribute).cloned();
        let deletions = (deletion(own), deletion(theirs));
        let order = deletions.0.as_ref().map(rank).cmp(&deletions.1.as_ref().map(rank));
        let newest = if order.is_lt() { deletions.1.as_ref() } else { deletions.0.as_ref() };
        let deleted = |experiment: &Experiment, state: &RunState| {
            experiment.counts_as_deleted(state.deleted(), state.deleted_generation())
        };
        let merged = self.newer();
        let natural = match newest.map(|deletion| &deletion.value) {
            Some(Attribute::Deleted { at_ms, generation, .. }) => {
                merged.counts_as_deleted(at_ms.is_some(), *generation)
            }
            _ => merged.counts_as_deleted(false, 0),
        };
        let generations = self.own.deletion().cmp(&self.theirs.deletion());
        let wanted = match (own, theirs) {
            (Some(own), None) => deleted(&self.own, own),
            (None, Some(theirs)) => deleted(&self.theirs, theirs),
            (Some(own), Some(theirs)) => {
                let (own, theirs) = (deleted(&self.own, own), deleted(&self.theirs, theirs));
                if own == theirs { own } else { natural || order.is_ne() && order == generations.reverse() }
            }
            (None, None) => return None,
        };
        (natural != wanted).then(|| carried(id, newest, wanted, merged))
    }
}

/// A deletion attribute in the experiment's future generation.
fn carried(id: &RunId, newest: Option<&Stamped<Attribute>>, wanted: bool, merged: &Experiment) -> Stamped<Attribute> {
    let generation = merged.generation;
    match newest {
        Some(Stamped { stamp, value: Attribute::Deleted { at_ms, by, .. } }) if at_ms.is_some() == wanted => {
            let value = Attribute::Deleted { at_ms: *at_ms, generation, by: by.clone() };
            Stamped { stamp: *stamp, value }
        }
        // The experiment decided it.
        other => {
            let stamp = other.map_or(Stamp { order: 0, writer: WriterId::derived(id, "") }, |deletion| Stamp {
                order: deletion.stamp.order.saturating_add(1),
                writer: deletion.stamp.writer,
            });
            let at_ms = wanted.then_some(merged.updated_ms);
            Stamped { stamp, value: Attribute::Deleted { at_ms, generation, by: merged.deletion_by.clone() } }
        }
    }
}

impl Shared {
    /// Finds a run, unless a file of it cannot be read: the tombstone applies to it in any case.
    fn found(&self, id: &RunId) -> Result<Option<RunSnapshot>> {
        match self.find_run(id) {
            Err(error) => of_one_file(error).map(|_| None),
            found => found,
        }
    }

    /// Adopts the source's permanent deletions of runs and removes those runs' data here.
    pub(crate) fn pull_tombstones(&self, source: &Self, done: &mut Pulled) -> Result<()> {
        source.refresh()?;
        self.refresh()?;
        let (theirs, own) = (source.manifest()?, self.manifest()?);
        let (runs, metrics) = new_tombstones(&theirs, &own);
        if runs.is_empty() && metrics.is_empty() {
            return Ok(());
        }
        // Metadata set after the deletion is in another log.
        self.end_edit_log()?;
        let (ids, _) = self.readable_ids(None)?;
        let ids: BTreeMap<RunKey, RunId> = ids.into_iter().map(|id| (id.key(), id)).collect();
        let mut changes = Vec::new();
        let mut touched = Vec::new();
        for run in runs {
            let mut writers: Tombstone = theirs.tombstones[&run].clone();
            if let Some(id) = ids.get(&run)
                && let Some(known) = self.found(id)?
            {
                if is_of_copies(&writers) && has_own_points(&known) && !source.has_points(id)? {
                    continue;
                }
                if let Some(others) = writers_without_points(&known, &writers) {
                    writers.extend(others);
                }
                touched.push((id.clone(), self.counts_as_deleted(known.state())?));
            }
            changes.push(Change::Delete { run, writers: writers.into_iter().collect() });
        }
        for (run, key, tombstone) in metrics {
            if let Some(id) = ids.get(&run)
                && self.found(id)?.is_some_and(|known| known.series().contains_key(key))
            {
                done.metrics_removed += 1;
            }
            let writers = tombstone.iter().map(|(&writer, &through)| (writer, through)).collect();
            changes.push(Change::DeleteMetric { run, key: key.clone(), writers });
        }
        self.inner.manifest.lock().publish(|_| Ok(changes.clone())).map(|_| ())?;
        for (id, was_deleted) in touched {
            match self.found(&id)? {
                None => done.removed.push(id),
                // The deletion attribute was removed with the rest; what is left of the run must stay deleted.
                Some(_) if was_deleted => self.delete_run(&id)?,
                Some(_) => {}
            }
        }
        let left = self.finish_deletions()?;
        done.left_out.extend(left.iter().map(|(path, why)| format!("{}: {why}", path.display())));
        Ok(())
    }

    /// Whether a run is there with points, as far as it can be read.
    fn has_points(&self, id: &RunId) -> Result<bool> {
        Ok(self.found(id)?.is_some_and(|run| run.points() > 0))
    }

    /// Whether a run of `source`, which has no points here, is the original of imported copies that were permanently
    /// deleted here. If the source has the same tombstone, it replaced an import of its own, and its run lives.
    pub(crate) fn is_original_of_deleted(&self, run: &RunSnapshot, source: &Self) -> bool {
        let key = run.id().key();
        let theirs = source.inner.manifest.lock().state().tombstones.get(&key).cloned();
        let own = self.inner.manifest.lock().state().tombstones.get(&key).cloned();
        let Some(own) = own.filter(is_of_copies) else { return false };
        let is_known_there = own.iter().all(|(&writer, &through)| covers(theirs.as_ref(), writer, through));
        !is_known_there && RunId::of_key(key) == *run.id() && has_own_points(run)
    }

    /// Carries the deletion attributes of runs that the source lacks into the future generation of their experiment.
    /// Returns the runs that need a new attribute.
    pub(crate) fn carried_deletions(
        &self,
        source: &Self,
        pairs: &BTreeMap<ExperimentId, Pair>,
    ) -> Result<Vec<RunSnapshot>> {
        let rising: BTreeMap<ExperimentId, &Pair> =
            pairs.values().filter(|pair| pair.rises()).map(|pair| (pair.own.id, pair)).collect();
        let mut carried = Vec::new();
        if rising.is_empty() {
            return Ok(carried);
        }
        for id in self.readable_ids(None)?.0 {
            let Some(run) = self.found(&id)? else { continue };
            let Some(pair) = rising.get(&run.state().experiment) else { continue };
            // What cannot be read there is compared by a later pull.
            if source.find_run(&id).is_ok_and(|theirs| theirs.is_none())
                && let Some(deletion) = pair.deletion(Some(run.state()), None)
            {
                let (experiment, name) = (run.state().experiment, run.state().experiment_name.clone());
                carried.push(run.without_points().moved(experiment, name, Some(deletion)));
            }
        }
        Ok(carried)
    }

    /// Adopts which experiments were deleted, restored or permanently deleted there.
    pub(crate) fn carry_experiments(
        &self,
        source: &Self,
        pairs: &BTreeMap<ExperimentId, Pair>,
        done: &mut Pulled,
    ) -> Result<()> {
        for pair in pairs.values() {
            if self.carry_deletion(pair.own.id, &pair.theirs)? {
                done.experiments_marked.push(pair.own.id);
            }
        }
        let catalog = self.catalog()?;
        let gone: BTreeSet<ExperimentId> =
            source.catalog()?.forgotten.into_keys().filter(|id| catalog.experiments.contains_key(id)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let (ids, unreadable) = self.readable_ids(None)?;
        // Unreadable files may have runs of it.
        if !unreadable.is_empty() {
            return Ok(());
        }
        let mut left = gone;
        for id in ids {
            match self.find_run(&id) {
                Ok(Some(run)) => _ = left.remove(&run.state().experiment),
                Ok(None) => {}
                // It may belong to one of these.
                Err(error) => return of_one_file(error).map(|_| ()),
            }
        }
        left.remove(&ExperimentId::DEFAULT);
        let left: Vec<ExperimentId> = left.into_iter().collect();
        self.forget_for(&left, source)?;
        done.experiments_removed.extend(left);
        Ok(())
    }
}

/// Whether a tombstone stands for imported copies alone: each other writer that it names logged no point.
fn is_of_copies(tombstone: &Tombstone) -> bool {
    tombstone.values().all(|&through| through == 0 || through == u64::MAX)
}

/// Whether a run has points of a writer that does not stand for an import.
fn has_own_points(run: &RunSnapshot) -> bool {
    let imports = imports([run.state()]);
    run.state().coverage.iter().any(|own| own.through > own.from && !imports.contains(&own.writer))
}

/// The writers without points that set metadata of a run here, if it is the run of the tombstone: a later run with the
/// same id shares no writer with it.
fn writers_without_points(known: &RunSnapshot, tombstone: &Tombstone) -> Option<Vec<(WriterId, u64)>> {
    let coverage = &known.state().coverage;
    let same = coverage.iter().any(|own| tombstone.contains_key(&own.writer));
    let others = coverage.iter().filter(|own| own.through == own.from && !tombstone.contains_key(&own.writer));
    same.then(|| others.map(|own| (own.writer, own.through)).collect())
}

/// A permanent deletion of a metric: the run, the key, and up to where of each writer.
type MetricTombstone<'m> = (RunKey, &'m String, &'m Tombstone);

/// The permanent deletions in `theirs` that `own` lacks: of runs, and of metrics.
fn new_tombstones<'m>(theirs: &'m Manifest, own: &Manifest) -> (Vec<RunKey>, Vec<MetricTombstone<'m>>) {
    let is_news = |theirs: &Tombstone, own: Option<&Tombstone>| {
        theirs.iter().any(|(writer, through)| own.and_then(|own| own.get(writer)).is_none_or(|own| own < through))
    };
    let runs = theirs
        .tombstones
        .iter()
        .filter(|(key, tombstone)| is_news(tombstone, own.tombstones.get(*key)))
        .map(|(&key, _)| key)
        .collect();
    let metrics = theirs
        .metrics
        .iter()
        .flat_map(|(&run, keys)| keys.iter().map(move |(key, tombstone)| (run, key, tombstone)))
        .filter(|(run, key, tombstone)| is_news(tombstone, own.metrics.get(run).and_then(|keys| keys.get(*key))))
        .collect();
    (runs, metrics)
}
