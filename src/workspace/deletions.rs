//! Deletions on their way from one workspace into another: marks of runs and experiments, and what was deleted for
//! good.
//!
//! Whether an experiment is deleted is decided between two copies by its generation, which counts the deletions and
//! restorations that a copy has seen: the greater stands, and of equal ones the deletion. A run's mark is a word with a
//! stamp, and counts in the generation that it was set in. When the generation of a copy rises because the other side's
//! is greater, the marks that the other side had not seen would count no more. So they are carried into the greater
//! generation:
//!
//! 1. A run that only one side has stays what it is there.
//! 2. Where both sides agree whether a run is deleted, it stays so.
//! 3. Where one side has the newer mark and the other the newer generation, neither knew of the other: the run is
//!    deleted, which can be undone.
//! 4. Otherwise one side knows all that the other does, and its answer stands.
//!
//! The same mark comes out on either side, so that both come to the same. Marks are carried before the generation
//! rises: a process that dies between leaves every run what it was.
//!
//! What was deleted for good is named by tombstones, which merge as [`crate::journal::manifest`] says. A word that
//! was said of such a run here, by a writer without points, goes with it. An experiment that was deleted for good there
//! goes here when no run is left in it.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::ids::{ExperimentId, RunId, RunKey, WriterId};
use crate::error::Result;
use crate::error::of_one_file;
use crate::journal::catalog::Experiment;
use crate::journal::manifest::{Change, Tombstone};
use crate::log::record::Attribute;
use crate::run::snapshot::RunSnapshot;
use crate::run::state::{RunState, Stamp, Stamped, rank};
use crate::workspace::open::Workspace;
use crate::workspace::pull::Pulled;

/// An experiment of the source, and the one that stands for it here, as both were before anything was brought in.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) own: Experiment,
    pub(super) theirs: Experiment,
}

impl Pair {
    /// The copy whose deletion or restoration stands.
    fn newer(&self) -> &Experiment {
        if self.theirs.deletion() > self.own.deletion() { &self.theirs } else { &self.own }
    }

    /// Whether the generation here will rise.
    pub(super) fn rises(&self) -> bool {
        self.theirs.deletion() > self.own.deletion()
    }

    /// The mark that a run needs so that it is deleted, or not, as the module says; `None` if it needs no other one.
    /// `own` and `theirs` are what is known of it on either side.
    pub(super) fn mark(&self, own: Option<&RunState>, theirs: Option<&RunState>) -> Option<Stamped<Attribute>> {
        let id = &own.or(theirs)?.id;
        let mark = |state: Option<&RunState>| state.and_then(RunState::mark).cloned();
        let marks = (mark(own), mark(theirs));
        let order = marks.0.as_ref().map(rank).cmp(&marks.1.as_ref().map(rank));
        let newest = if order.is_lt() { marks.1.as_ref() } else { marks.0.as_ref() };
        let deleted = |experiment: &Experiment, state: &RunState| {
            experiment.counts_as_deleted(state.deleted(), state.deleted_generation())
        };
        let merged = self.newer();
        let natural = match newest.map(|mark| &mark.value) {
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

/// A mark that says whether a run is deleted, in the generation of its experiment as it will be.
fn carried(id: &RunId, newest: Option<&Stamped<Attribute>>, wanted: bool, merged: &Experiment) -> Stamped<Attribute> {
    let generation = merged.generation;
    match newest {
        Some(Stamped { stamp, value: Attribute::Deleted { at_ms, by, .. } }) if at_ms.is_some() == wanted => {
            let value = Attribute::Deleted { at_ms: *at_ms, generation, by: by.clone() };
            Stamped { stamp: *stamp, value }
        }
        // What said so was a change of the experiment.
        other => {
            let stamp = other.map_or(Stamp { order: 0, writer: WriterId::derived(id, "") }, |mark| Stamp {
                order: mark.stamp.order.saturating_add(1),
                writer: mark.stamp.writer,
            });
            let at_ms = wanted.then_some(merged.updated_ms);
            Stamped { stamp, value: Attribute::Deleted { at_ms, generation, by: merged.deletion_by.clone() } }
        }
    }
}

impl Workspace {
    /// A run, unless a file of it cannot be read: whoever can read it later meets the tombstone all the same.
    fn found(&self, id: &RunId) -> Result<Option<RunSnapshot>> {
        match self.find_run(id) {
            Err(error) => of_one_file(error).map(|_| None),
            found => found,
        }
    }

    /// Takes over what the source deleted for good of runs, and takes it out of what is here.
    pub(super) fn pull_tombstones(&self, source: &Self, done: &mut Pulled) -> Result<()> {
        source.refresh()?;
        self.refresh()?;
        let (theirs, own) = (source.manifest()?, self.manifest()?);
        let is_news = |theirs: &Tombstone, own: Option<&Tombstone>| {
            theirs.iter().any(|(writer, through)| own.and_then(|own| own.get(writer)).is_none_or(|own| own < through))
        };
        let runs: Vec<RunKey> = theirs
            .tombstones
            .iter()
            .filter(|(key, tombstone)| is_news(tombstone, own.tombstones.get(*key)))
            .map(|(&key, _)| key)
            .collect();
        let metrics: Vec<(RunKey, &String, &Tombstone)> = theirs
            .metrics
            .iter()
            .flat_map(|(&run, keys)| keys.iter().map(move |(key, tombstone)| (run, key, tombstone)))
            .filter(|(run, key, tombstone)| is_news(tombstone, own.metrics.get(run).and_then(|keys| keys.get(*key))))
            .collect();
        if runs.is_empty() && metrics.is_empty() {
            return Ok(());
        }
        // What is said of a run after it was deleted is said in another log.
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
                // The mark was among what went; what is left of the run does not come back by that.
                Some(_) if was_deleted => self.delete_run(&id)?,
                Some(_) => {}
            }
        }
        let left = self.finish_deletions()?;
        done.left_out.extend(left.iter().map(|(path, why)| format!("{}: {why}", path.display())));
        Ok(())
    }

    /// Carries the marks of runs that the source has not into the generation that their experiment will have; gives the
    /// runs of which there is a word to add.
    pub(super) fn carried_marks(
        &self,
        source: &Self,
        pairs: &BTreeMap<ExperimentId, Pair>,
    ) -> Result<Vec<RunSnapshot>> {
        let rising: BTreeMap<ExperimentId, &Pair> =
            pairs.values().filter(|pair| pair.rises()).map(|pair| (pair.own.id, pair)).collect();
        let mut marked = Vec::new();
        if rising.is_empty() {
            return Ok(marked);
        }
        for id in self.readable_ids(None)?.0 {
            let Some(run) = self.found(&id)? else { continue };
            let Some(pair) = rising.get(&run.state().experiment) else { continue };
            // What cannot be read there is compared when it can.
            if source.find_run(&id).is_ok_and(|theirs| theirs.is_none())
                && let Some(mark) = pair.mark(Some(run.state()), None)
            {
                let (experiment, name) = (run.state().experiment, run.state().experiment_name.clone());
                marked.push(run.without_points().moved(experiment, name, Some(mark)));
            }
        }
        Ok(marked)
    }

    /// Takes over which experiments were deleted, restored, or deleted for good there.
    pub(super) fn carry_experiments(
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
        // What cannot be read may have runs of it.
        if !unreadable.is_empty() {
            return Ok(());
        }
        let mut left = gone;
        for id in ids {
            match self.find_run(&id) {
                Ok(Some(run)) => _ = left.remove(&run.state().experiment),
                Ok(None) => {}
                // It may be one of these.
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

/// The writers that said something of a run here and logged no point, if it is the run that a tombstone names: another
/// one that took its id later shares no writer with it.
fn writers_without_points(known: &RunSnapshot, tombstone: &Tombstone) -> Option<Vec<(WriterId, u64)>> {
    let coverage = &known.state().coverage;
    let same = coverage.iter().any(|own| tombstone.contains_key(&own.writer));
    let others = coverage.iter().filter(|own| own.through == own.from && !tombstone.contains_key(&own.writer));
    same.then(|| others.map(|own| (own.writer, own.through)).collect())
}
