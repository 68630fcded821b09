//! Pulls what another workspace has and this one lacks. It can be repeated, in either direction.
//!
//! 1. A run of the source is compared by its metadata and each writer's coverage. What is here already costs no more.
//! 2. Runs with updates are written into packs here, with their writers and sequence numbers. Readers merge copies
//!    anyway, so a run reads the same wherever it came from.
//! 3. A pack is read back before it is live. A process that dies leaves its finished packs, and the next pull
//!    continues.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use crate::base::ids::{ExperimentId, RunId, WriterId};
use crate::base::items::RUN;
use crate::error::of_one_file;
use crate::error::{Error, Result};
use crate::journal::catalog::Experiment;
use crate::journal::manifest::{Tombstone, covers};
use crate::run::snapshot::RunSnapshot;
use crate::run::state::{Coverage, RunState};
use crate::workspace::read::copies::{differs, without_copies};
use crate::workspace::state::shared::Shared;
use crate::workspace::transfer::deletions::Pair;
use crate::workspace::write::params::RefusedParam;

/// Approximate points per pack.
const POINTS_AT_ONCE: u64 = 4 << 20;
/// Runs per pack.
const RUNS_AT_ONCE: usize = 16 << 10;

/// What a pull did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Readable runs of the source, without logged models.
    pub seen: u64,
    /// New runs.
    pub added: u64,
    /// Existing runs with updates from the source.
    pub updated: u64,
    /// New logged models.
    pub models_added: u64,
    /// Existing logged models with updates from the source.
    pub models_updated: u64,
    /// New points.
    pub points: u64,
    /// Runs that were skipped because they were permanently deleted here.
    pub deleted: Vec<RunId>,
    /// Metrics that were skipped because they were permanently deleted here.
    pub metrics_deleted: u64,
    /// Runs permanently deleted there, and now here.
    pub removed: Vec<RunId>,
    /// Metrics permanently deleted there, and now here.
    pub metrics_removed: u64,
    /// Experiments that were deleted or restored here, as in the source.
    pub experiments_marked: Vec<ExperimentId>,
    /// Experiments permanently deleted there, and now here.
    pub experiments_removed: Vec<ExperimentId>,
    /// Existing experiments with new names or tags from the source.
    pub experiments_updated: u64,
    /// For each experiment of the source, its id here.
    pub experiments: BTreeMap<ExperimentId, ExperimentId>,
    /// Runs and experiments of the source that were left out, and why.
    pub left_out: Vec<String>,
}

/// Runs waiting to be packed.
#[derive(Default)]
struct Waiting {
    runs: Vec<RunUpdate>,
    points: u64,
    done: Pulled,
}

/// A run of the source, or its new part.
struct RunUpdate {
    run: RunSnapshot,
    /// Whether the run is new, and its number of new points; `None` if it is not counted.
    counts: Option<(bool, u64)>,
}

impl Shared {
    /// See [`Workspace::pull`](crate::Workspace::pull).
    pub(crate) fn pull(&self, source: &Self, progress: &mut dyn FnMut(u64, u64)) -> Result<Pulled> {
        if self.id() == source.id() && self.root() == source.root() {
            return Err(Error::invalid("source", "it is this workspace itself"));
        }
        let mut waiting = Waiting::default();
        let (ids, unreadable) = source.readable_ids(None)?;
        waiting.done.left_out = unreadable;
        self.pull_tombstones(source, &mut waiting.done)?;
        // A lost change there may have restored anything that counts as deleted: then no deletion is adopted.
        let lost = source.damage_of_experiments()?;
        waiting.done.left_out.extend(lost.iter().cloned());
        let mut pairs = self.pairs(source, !lost.is_empty(), &mut waiting.done)?;
        let total = ids.len() as u64;
        for (count, id) in ids.iter().enumerate() {
            progress(count as u64, total);
            let run = match source.find_by_files(id) {
                Ok(Some(run)) if run.damage().is_empty() => run,
                Ok(Some(mut run)) => {
                    waiting.done.left_out.extend(run.damage().iter().cloned());
                    run.leave_deletion_out();
                    run
                }
                Ok(None) => continue,
                Err(error) => {
                    waiting.done.left_out.push(of_one_file(error)?.to_string());
                    continue;
                }
            };
            waiting.done.seen += u64::from(run.state().kind() == RUN);
            if let Some(updates) = self.run_update(run, source, &mut pairs, &mut waiting.done)? {
                waiting.points += updates.run.points();
                waiting.runs.push(updates);
            }
            if waiting.points >= POINTS_AT_ONCE || waiting.runs.len() >= RUNS_AT_ONCE {
                self.take(&mut waiting, source)?;
            }
        }
        self.take(&mut waiting, source)?;
        if lost.is_empty() {
            let deletions = self.carried_deletions(source, &pairs)?;
            waiting.runs = deletions.into_iter().map(|run| RunUpdate { run, counts: None }).collect();
            self.take(&mut waiting, source)?;
            self.carry_experiments(source, &pairs, &mut waiting.done)?;
        }
        progress(total, total);
        waiting.done.experiments = pairs.into_iter().map(|(theirs, pair)| (theirs, pair.own.id)).collect();
        waiting.done.left_out.sort();
        waiting.done.left_out.dedup();
        Ok(waiting.done)
    }

    /// The experiments of the source with their counterparts here, which get its names and tags unless changes there
    /// are lost.
    fn pairs(&self, source: &Self, is_lossy: bool, done: &mut Pulled) -> Result<BTreeMap<ExperimentId, Pair>> {
        let mut pairs = BTreeMap::new();
        let forgotten = self.catalog()?.forgotten;
        for theirs in source.experiments().list()? {
            // An experiment permanently deleted here comes back with a run that was not.
            if forgotten.contains_key(&theirs.id) && !self.catalog()?.experiments.contains_key(&theirs.id) {
                continue;
            }
            let own = self.counterpart(&theirs)?;
            if is_lossy {
                pairs.insert(theirs.id, Pair { own, theirs });
                continue;
            }
            let (changed, taken) = self.merge_experiment(own.id, &theirs)?;
            done.experiments_updated += u64::from(changed);
            if let Some(name) = taken {
                let why = format!("experiment {:?} is called {name:?} there, as another experiment is here", own.name);
                done.left_out.push(why);
            }
            let own = if changed { self.experiment(own.id)? } else { own };
            pairs.insert(theirs.id, Pair { own, theirs });
        }
        Ok(pairs)
    }

    /// The updates of a run of the source, if any: the run, or its metadata alone.
    fn run_update(
        &self,
        run: RunSnapshot,
        source: &Self,
        pairs: &mut BTreeMap<ExperimentId, Pair>,
        done: &mut Pulled,
    ) -> Result<Option<RunUpdate>> {
        let id = run.id().clone();
        let Some(mut run) = self.left_of(run, done) else {
            done.deleted.push(id);
            return Ok(None);
        };
        let known = self.find_run(run.id())?;
        if known.as_ref().is_none_or(|known| known.points() == 0) && self.is_original_of_deleted(&run, source) {
            done.deleted.push(id);
            return Ok(None);
        }
        if let Some(known) = &known {
            let twice;
            (run, twice) = without_copies(known, run)?;
            if twice > 0 {
                let why = "are here under other writers, and cannot be told apart from new ones; they may count twice";
                done.left_out.push(format!("run {id}: {twice} of its points {why}"));
            }
            // Params set here win here.
            let refused: Vec<RefusedParam> = other_params(known.state(), run.state()).collect();
            run.leave_params_out(|key| refused.iter().any(|refused| refused.key == key));
            done.left_out.extend(refused.iter().map(RefusedParam::to_string));
        }
        let state = run.state();
        let points_known = known.as_ref().is_some_and(|known| reaches(known.state(), state));
        let pair = match pairs.entry(state.experiment) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                // It was permanently deleted here, or the run's log was copied without the catalog.
                let theirs = source.catalog()?.get(state.experiment).cloned();
                let theirs = theirs.unwrap_or_else(|_| unknown(state.experiment, &state.experiment_name));
                free.insert(Pair { own: self.counterpart(&theirs)?, theirs })
            }
        };
        let deletion = pair.deletion(known.as_ref().map(RunSnapshot::state), Some(state));
        if let Some(known) = &known {
            let mut both = known.state().clone();
            both.merge(state);
            if let Some(deletion) = &deletion {
                both.attributes[deletion.value.kind()] = Some(deletion.clone());
            }
            if points_known && both == *known.state() {
                tell_differences(known, &run, pair, done)?;
                return Ok(None);
            }
        }
        let points = match &known {
            Some(known) => missing(known.state(), state).min(run.points()),
            None => run.points(),
        };
        let counts = Some((known.is_none(), points));
        let run = run.moved(pair.own.id, pair.own.name.clone(), deletion);
        Ok(Some(RunUpdate { run: if points_known { run.without_points() } else { run }, counts }))
    }

    /// Removes from a copy of a run the writers that a permanent deletion here named, for the run or for single
    /// metrics. `None` if nothing is left.
    fn left_of(&self, run: RunSnapshot, done: &mut Pulled) -> Option<RunSnapshot> {
        let manifest = self.inner.manifest.lock();
        let manifest = manifest.state();
        let key = run.id().key();
        let named = |tombstone: Option<&Tombstone>, writer: WriterId| covers(tombstone, writer, 0);
        let (of_run, of_metrics) = (manifest.tombstones.get(&key), manifest.metrics.get(&key));
        if of_run.is_none() && of_metrics.is_none() {
            return Some(run);
        }
        // A later run with the same id shares no writer with the deleted one, and lives even without points.
        let same = run.state().coverage.iter().any(|own| named(of_run, own.writer));
        let of_metric = |metric: &str| of_metrics.and_then(|of_metrics| of_metrics.get(metric));
        let series: Vec<(String, Vec<WriterId>)> =
            run.series().iter().map(|(key, series)| (key.clone(), series.writers.clone())).collect();
        let left = run.without(
            |writer| named(of_run, writer),
            |metric, writer| named(of_run, writer) || named(of_metric(metric), writer),
        );
        let empty = left.state().coverage.iter().all(|own| own.through == own.from);
        let is_left = !same || !empty;
        if is_left {
            let stays_away = |(key, writers): &&(String, Vec<WriterId>)| {
                writers.iter().any(|writer| !named(of_run, *writer) && named(of_metric(key), *writer))
            };
            done.metrics_deleted += series.iter().filter(stays_away).count() as u64;
        }
        is_left.then_some(left)
    }

    /// The counterpart here of an experiment of the source: by id, by name, or newly created.
    fn counterpart(&self, theirs: &Experiment) -> Result<Experiment> {
        loop {
            match self.experiment(theirs.id) {
                Err(Error::NotFound { .. }) => {}
                found => return found,
            }
            if let Some(known) = self.experiments().by_name(&theirs.name)? {
                return Ok(known);
            }
            match self.take_experiment(theirs) {
                // Another process created it: find it now.
                Err(Error::AlreadyExists { .. }) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Stores the waiting runs. A run that cannot be read is left out and reported.
    fn take(&self, waiting: &mut Waiting, source: &Self) -> Result<()> {
        let updates = std::mem::take(&mut waiting.runs);
        waiting.points = 0;
        if updates.is_empty() {
            return Ok(());
        }
        match self.take_all(&updates, &mut waiting.done) {
            Err(error) if is_within(&error, source.root()) => {}
            taken => return taken,
        }
        for one in updates {
            let id = one.run.id().clone();
            match self.take_all(std::slice::from_ref(&one), &mut waiting.done) {
                Err(error) if is_within(&error, source.root()) => {
                    waiting.done.left_out.push(format!("run {id}: {error}"));
                }
                taken => taken?,
            }
        }
        Ok(())
    }

    /// Stores these in one pack, and counts them.
    fn take_all(&self, updates: &[RunUpdate], done: &mut Pulled) -> Result<()> {
        let refused = self.publish_runs(updates.iter().map(|updates| updates.run.clone()).collect())?;
        done.left_out.extend(refused.iter().map(RefusedParam::to_string));
        for (updates, (is_new, points)) in updates.iter().filter_map(|updates| Some((updates, updates.counts?))) {
            *match (updates.run.state().kind(), is_new) {
                (RUN, true) => &mut done.added,
                (RUN, false) => &mut done.updated,
                (_, true) => &mut done.models_added,
                (_, false) => &mut done.models_updated,
            } += 1;
            done.points += points;
        }
        Ok(())
    }
}

/// Whether an error concerns one file in a folder.
fn is_within(error: &Error, folder: &Path) -> bool {
    error.is_of_one_file() && error.path().is_some_and(|path| path.starts_with(folder))
}

/// An experiment known only from a run's metadata.
fn unknown(id: ExperimentId, name: &str) -> Experiment {
    let (artifact_location, tags) = Default::default();
    let name = if name.trim().is_empty() { id.to_string() } else { name.to_owned() };
    Experiment {
        id,
        name,
        created_ms: 0,
        updated_ms: 0,
        deleted: false,
        generation: 0,
        deletion_by: String::new(),
        artifact_location,
        tags,
        renames: 0,
        tag_changes: BTreeMap::new(),
    }
}

/// The params with another value in another copy of a run.
fn other_params(known: &RunState, other: &RunState) -> impl Iterator<Item = RefusedParam> {
    other.params().filter_map(|(key, given)| {
        let existing = known.param(key).filter(|existing| *existing != given)?.to_owned();
        Some(RefusedParam { run: known.id.clone(), key: key.to_owned(), existing, given: given.to_owned() })
    })
}

/// How many later points another copy of a run has, over all writers.
fn missing(known: &RunState, other: &RunState) -> u64 {
    let of_writer = |theirs: &Coverage| {
        let own = known.coverage.iter().filter(|own| own.writer == theirs.writer);
        let reached = own.map(|own| own.through).max().unwrap_or(0).max(theirs.from);
        theirs.through.saturating_sub(reached)
    };
    other.coverage.iter().map(of_writer).sum()
}

/// The writer that decides a run's experiment.
fn first_writer(state: &RunState) -> Option<(u64, WriterId)> {
    state.coverage.iter().map(|own| (own.order, own.writer)).min()
}

/// Whether a copy of a run has all points that another has.
fn reaches(known: &RunState, other: &RunState) -> bool {
    other.coverage.iter().all(|theirs| {
        let mut own = known.coverage.iter().filter(|own| own.writer == theirs.writer);
        theirs.through == theirs.from
            || own.any(|own| own.from <= theirs.from && own.through >= theirs.through && own.lost <= theirs.lost)
    })
}

/// Tells how two copies with the same metadata and coverage still differ.
fn tell_differences(known: &RunSnapshot, run: &RunSnapshot, pair: &Pair, done: &mut Pulled) -> Result<()> {
    let (id, state) = (run.id(), run.state());
    if known.state().experiment != pair.own.id && first_writer(known.state()) == first_writer(state) {
        let (here, there) = (&known.state().experiment_name, &pair.theirs.name);
        let why = "each side keeps its own";
        done.left_out.push(format!("run {id} is in experiment {here:?} here and in {there:?} there; {why}"));
    }
    if differs(known, run)? {
        let why = "other points were imported under its id on the other side; each side keeps its own";
        done.left_out.push(format!("run {id}: {why}"));
    }
    Ok(())
}
