//! Bringing the runs of another workspace into this one: what is missing here, as often as one likes, from either side.
//!
//! 1. A run of the source is compared by its words and by how far it reaches in each writer's points. What is here
//!    already costs no more than that.
//! 2. Runs that say more are packed into packs of this workspace, their writers and numbers with them: merging copies
//!    is what readers do anyway, so whatever way a run took, it reads the same everywhere.
//! 3. A pack is read back before it is live. A process that dies leaves the packs that it finished, and the next one
//!    goes on.

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
use crate::workspace::copies::{differs, without_copies};
use crate::workspace::deletions::Pair;
use crate::workspace::open::Workspace;
use crate::workspace::params::Refused;

/// Points of runs that one pack takes, about.
const POINTS_AT_ONCE: u64 = 4 << 20;
/// Runs that one pack takes.
const RUNS_AT_ONCE: usize = 16 << 10;

/// What was brought in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Runs of the source that could be read. Logged models are not runs here.
    pub seen: u64,
    /// Runs that were not here.
    pub added: u64,
    /// Runs that were here, of which the source knew more.
    pub updated: u64,
    /// Logged models that were not here.
    pub models_added: u64,
    /// Logged models that were here, of which the source knew more.
    pub models_updated: u64,
    /// Points that were not here.
    pub points: u64,
    /// Runs that were deleted for good here, and so stayed away.
    pub deleted: Vec<RunId>,
    /// Metrics of runs that were deleted for good here, and so stayed away.
    pub metrics_deleted: u64,
    /// Runs that were deleted for good there, and are no longer here.
    pub removed: Vec<RunId>,
    /// Metrics of runs that were deleted for good there, and are no longer here.
    pub metrics_removed: u64,
    /// Experiments here that were deleted or restored as they are there.
    pub experiments_marked: Vec<ExperimentId>,
    /// Experiments that were deleted for good there, and are no longer here.
    pub experiments_removed: Vec<ExperimentId>,
    /// Experiments that were here, of whose names or tags the source knew more.
    pub experiments_updated: u64,
    /// Experiments of the source by the number that stands for them here.
    pub experiments: BTreeMap<ExperimentId, ExperimentId>,
    /// Runs and experiments of the source that were left out, and why.
    pub left_out: Vec<String>,
}

/// What of the source is on its way.
#[derive(Default)]
struct Waiting {
    runs: Vec<News>,
    points: u64,
    done: Pulled,
}

/// A run of the source, or what is new of it.
struct News {
    run: RunSnapshot,
    /// Whether there was no such run here, and how many points are new; `None` for one that is not counted.
    counts: Option<(bool, u64)>,
}

impl Workspace {
    /// Brings in what `source` has and this workspace has not: runs with all they logged, whatever they stand for, and
    /// their experiments. Others may write to both meanwhile; of a run that is being written what was acknowledged by
    /// now comes. Of a run that was exported and imported, the copy and the points themselves count once. Words that
    /// differ merge as those of two writers of one run do. Deletions come too;
    /// what was deleted for good here stays so. An experiment is known by its number, then by its name; its names and
    /// tags merge as docs/format.md says. `progress` is told how many runs of how many were looked at.
    ///
    /// Costs one look at each run of the source, and packing for those that have news.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`] of this workspace; what was published before stays. Damage in the source is
    /// told in [`Pulled::left_out`].
    pub fn pull(&self, source: &Self, progress: &mut dyn FnMut(u64, u64)) -> Result<Pulled> {
        if self.id() == source.id() && self.root() == source.root() {
            return Err(Error::invalid("source", "it is this workspace itself"));
        }
        let mut waiting = Waiting::default();
        let (ids, unreadable) = source.readable_ids(None)?;
        waiting.done.left_out = unreadable;
        self.pull_tombstones(source, &mut waiting.done)?;
        let mut pairs = BTreeMap::new();
        let forgotten = self.catalog()?.forgotten;
        // What is missing there may have restored what counts as deleted: then no mark is believed.
        let lost = source.damage_of_experiments()?;
        waiting.done.left_out.extend(lost.iter().cloned());
        for theirs in source.experiments().list()? {
            // One that was deleted for good here comes back with a run that was not.
            if forgotten.contains_key(&theirs.id) && !self.catalog()?.experiments.contains_key(&theirs.id) {
                continue;
            }
            let own = self.counterpart(&theirs)?;
            if !lost.is_empty() {
                pairs.insert(theirs.id, Pair { own, theirs });
                continue;
            }
            let (changed, taken) = self.merge_experiment(own.id, &theirs)?;
            waiting.done.experiments_updated += u64::from(changed);
            if let Some(name) = taken {
                let why = format!("experiment {:?} is called {name:?} there, as another experiment is here", own.name);
                waiting.done.left_out.push(why);
            }
            let own = if changed { self.experiments().get(own.id)? } else { own };
            pairs.insert(theirs.id, Pair { own, theirs });
        }
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
            if let Some(news) = self.news(run, source, &mut pairs, &mut waiting.done)? {
                waiting.points += news.run.points();
                waiting.runs.push(news);
            }
            if waiting.points >= POINTS_AT_ONCE || waiting.runs.len() >= RUNS_AT_ONCE {
                self.take(&mut waiting, source)?;
            }
        }
        self.take(&mut waiting, source)?;
        if lost.is_empty() {
            let marks = self.carried_marks(source, &pairs)?;
            waiting.runs = marks.into_iter().map(|run| News { run, counts: None }).collect();
            self.take(&mut waiting, source)?;
            self.carry_experiments(source, &pairs, &mut waiting.done)?;
        }
        progress(total, total);
        waiting.done.experiments = pairs.into_iter().map(|(theirs, pair)| (theirs, pair.own.id)).collect();
        waiting.done.left_out.sort();
        waiting.done.left_out.dedup();
        Ok(waiting.done)
    }

    /// What a run of the source says that is not known here, if anything: the run, or its words alone.
    fn news(
        &self,
        run: RunSnapshot,
        source: &Self,
        pairs: &mut BTreeMap<ExperimentId, Pair>,
        done: &mut Pulled,
    ) -> Result<Option<News>> {
        let id = run.id().clone();
        let Some(mut run) = self.left_of(run, done) else {
            done.deleted.push(id);
            return Ok(None);
        };
        let known = self.find_run(run.id())?;
        if let Some(known) = &known {
            let twice;
            (run, twice) = without_copies(known, run)?;
            if twice > 0 {
                let why = "are here under other writers, and cannot be told apart from new ones; they may count twice";
                done.left_out.push(format!("run {id}: {twice} of its points {why}"));
            }
            // What was set here stands here.
            let refused: Vec<Refused> = other_params(known.state(), run.state()).collect();
            run.leave_params_out(|key| refused.iter().any(|refused| refused.key == key));
            done.left_out.extend(refused.iter().map(Refused::to_string));
        }
        let state = run.state();
        let points_known = known.as_ref().is_some_and(|known| reaches(known.state(), state));
        let pair = match pairs.entry(state.experiment) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                // It was deleted for good here, or the run's log was copied without the catalog.
                let theirs = source.catalog()?.get(state.experiment).cloned();
                let theirs = theirs.unwrap_or_else(|_| unknown(state.experiment, &state.experiment_name));
                free.insert(Pair { own: self.counterpart(&theirs)?, theirs })
            }
        };
        let mark = pair.mark(known.as_ref().map(RunSnapshot::state), Some(state));
        if let Some(known) = &known {
            let mut both = known.state().clone();
            both.merge(state);
            if let Some(mark) = &mark {
                both.attributes[mark.value.kind()] = Some(mark.clone());
            }
            if points_known && both == *known.state() {
                if known.state().experiment != pair.own.id && first_writer(known.state()) == first_writer(state) {
                    let (here, there) = (&known.state().experiment_name, &pair.theirs.name);
                    let why = "each side keeps its own";
                    done.left_out
                        .push(format!("run {id} is in experiment {here:?} here and in {there:?} there; {why}"));
                }
                if differs(known, &run)? {
                    let why = "other points were imported under its id on the other side; each side keeps its own";
                    done.left_out.push(format!("run {id}: {why}"));
                }
                return Ok(None);
            }
        }
        let points = match &known {
            Some(known) => missing(known.state(), state).min(run.points()),
            None => run.points(),
        };
        let counts = Some((known.is_none(), points));
        let run = run.moved(pair.own.id, pair.own.name.clone(), mark);
        Ok(Some(News { run: if points_known { run.without_points() } else { run }, counts }))
    }

    /// What is left of a copy of a run without the writers that a deletion for good named here, for the run or for
    /// single metrics; `None` when that was all.
    fn left_of(&self, run: RunSnapshot, done: &mut Pulled) -> Option<RunSnapshot> {
        let manifest = self.inner.manifest.lock();
        let manifest = manifest.state();
        let key = run.id().key();
        let named = |tombstone: Option<&Tombstone>, writer: WriterId| covers(tombstone, writer, 0);
        let (of_run, of_metrics) = (manifest.tombstones.get(&key), manifest.metrics.get(&key));
        if of_run.is_none() && of_metrics.is_none() {
            return Some(run);
        }
        // One that took the id after the deletion shares no writer with what was deleted, and lives though it has no
        // point yet.
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

    /// The experiment here that stands for one of the source: by number, by name, or made after it.
    fn counterpart(&self, theirs: &Experiment) -> Result<Experiment> {
        loop {
            match self.experiments().get(theirs.id) {
                Err(Error::NotFound { .. }) => {}
                found => return found,
            }
            if let Some(known) = self.experiments().by_name(&theirs.name)? {
                return Ok(known);
            }
            match self.adopt_experiment(theirs) {
                // Somebody was faster: it is found now.
                Err(Error::AlreadyExists { .. }) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Stores what waits. A run that does not verify where it is read is left out, and told.
    fn take(&self, waiting: &mut Waiting, source: &Self) -> Result<()> {
        let news = std::mem::take(&mut waiting.runs);
        waiting.points = 0;
        if news.is_empty() {
            return Ok(());
        }
        match self.take_all(&news, &mut waiting.done) {
            Err(error) if is_within(&error, source.root()) => {}
            taken => return taken,
        }
        for one in news {
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
    fn take_all(&self, news: &[News], done: &mut Pulled) -> Result<()> {
        let refused = self.publish_runs(news.iter().map(|news| news.run.clone()).collect())?;
        done.left_out.extend(refused.iter().map(Refused::to_string));
        for (news, (is_new, points)) in news.iter().filter_map(|news| Some((news, news.counts?))) {
            *match (news.run.state().kind(), is_new) {
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

/// Whether an error is about one file below a folder.
fn is_within(error: &Error, folder: &Path) -> bool {
    error.is_of_one_file() && error.path().is_some_and(|path| path.starts_with(folder))
}

/// An experiment of which nothing but a run's words is known.
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

/// The params of which another copy of a run has another value.
fn other_params(known: &RunState, other: &RunState) -> impl Iterator<Item = Refused> {
    other.params().filter_map(|(key, given)| {
        let existing = known.param(key).filter(|existing| *existing != given)?.to_owned();
        Some(Refused { run: known.id.clone(), key: key.to_owned(), existing, given: given.to_owned() })
    })
}

/// How many points another copy of a run has behind what is known of each of its writers.
fn missing(known: &RunState, other: &RunState) -> u64 {
    let of_writer = |theirs: &Coverage| {
        let own = known.coverage.iter().filter(|own| own.writer == theirs.writer);
        let reached = own.map(|own| own.through).max().unwrap_or(0).max(theirs.from);
        theirs.through.saturating_sub(reached)
    };
    other.coverage.iter().map(of_writer).sum()
}

/// The writer whose word on the run's experiment counts.
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
