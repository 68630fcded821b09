//! Follows runs as they change: delivers what is new since the last result, each point once, each writer's in order.
//!
//! For each **tracked** run, a follower counts the points delivered per writer and metric. A count identifies the same
//! points wherever they are, since logs and packs keep a writer's order; so a compaction changes nothing. Runs without
//! a writer need no state: everything in the packs that it has **adopted**, and in logs that had ended when it began,
//! counts as delivered.
//!
//! It works in three steps. [`scan`] finds runs that may have changed, without reading any. [`look`] compares each with
//! what was delivered. When none is left, the packs found by the scan are adopted. After an error the remaining runs
//! stay for the next call, and nothing found is lost.

mod cursor;
mod look;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::ids::{ExperimentId, RunId, RunKey, WriterId};
use crate::base::items::RUN;
use crate::base::point::Columns;
use crate::error::{Entity, Error, Result};
use crate::folder::clock::Stopwatch;
use crate::journal::manifest::Manifest;
use crate::run::state::RunState;
use crate::workspace::read::follow::look::Known;
use crate::workspace::read::follow::scan::{LogKey, Watched};
use crate::workspace::state::packs::PackSet;
use crate::workspace::state::shared::Shared;

/// Approximate limit of points per result.
pub const POINTS_MAX: usize = 1 << 20;
/// The shortest and longest time between two scans.
const WAIT_MIN: Duration = Duration::from_millis(10);
const WAIT_MAX: Duration = Duration::from_millis(200);
/// The time between two scans is at least this many times the duration of the last one.
const WAIT_COSTS: u32 = 4;
/// Unreadable files are reported once; beyond this many reports, all are reported again.
const REPORTED_MAX: usize = 10_000;

/// What to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follow {
    /// These runs. If empty, all runs of the workspace, including future ones; runs of other kinds, such as logged
    /// models, only if named.
    pub runs: Vec<RunId>,
    /// Only points of these metrics. If empty, of all.
    pub keys: Vec<String>,
    /// Where to begin.
    pub begin: Begin,
}

impl Follow {
    /// One run, from now on.
    #[must_use]
    pub fn run(id: RunId) -> Self {
        Self { runs: vec![id], ..Self::default() }
    }
}

/// Where a follower begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// With changes after the call of [`Workspace::follow`](crate::Workspace::follow).
    #[default]
    Now,
    /// With what exists: each run first appears with its metadata and this many of the newest points per metric and
    /// writer. `usize::MAX` means all points.
    Last(usize),
}

/// What changed since the last result.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Runs that changed. A run with very many new points may continue in the next result. A run that was permanently
    /// deleted and created again is reported as changed.
    pub runs: Vec<RunChange>,
    /// Experiments that were created, changed, deleted, restored or permanently deleted, if the whole workspace is
    /// followed. The runs of a deleted or restored experiment are not listed one by one.
    pub experiments: Vec<ExperimentId>,
    /// Messages about what could not be read, each once. Its contents are missing from the results until it can be
    /// read. Empty if nothing is missing.
    pub damage: Vec<String>,
    /// Whether this result reached the limit of points, so that the next call has more at once.
    pub more: bool,
    /// Its points.
    points: usize,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.experiments.is_empty() && self.damage.is_empty()
    }

    /// The number of points of all runs.
    #[must_use]
    pub fn points(&self) -> usize {
        self.points
    }
}

/// What changed in a run.
#[derive(Clone, Debug)]
pub struct RunChange {
    /// The run.
    pub id: RunId,
    /// Whether it appeared or went away.
    pub event: Option<RunEvent>,
    /// Whether it counts as deleted now.
    pub deleted: bool,
    /// Its metadata (status, name, params, tags), if that changed or the run appeared.
    pub state: Option<RunState>,
    /// New points, by metric and writer.
    pub points: Vec<NewPoints>,
    /// Metrics that lost delivered points: they were permanently deleted, or `compact --salvage` read around damage.
    pub removed: Vec<String>,
}

/// How a run appeared or went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// It is new, or existed at the first result.
    Appeared,
    /// It was marked deleted.
    Deleted,
    /// It was restored.
    Restored,
    /// It was permanently deleted. If the run ended before the follower began and was never compacted, the id is given
    /// as the digits of its key, which is the id if it was created here.
    Gone,
}

/// New points of a metric by one writer, in order of arrival.
#[derive(Clone, Debug)]
pub struct NewPoints {
    /// The metric.
    pub key: String,
    /// The writer. Points of different writers have no order.
    pub writer: WriterId,
    /// The points: steps, timestamps in milliseconds since the epoch, values.
    pub columns: Columns,
}

/// Follows runs as they change, see [`Workspace::follow`](crate::Workspace::follow).
pub struct Follower {
    workspace: Shared,
    /// The followed runs; empty for all.
    chosen: BTreeMap<RunKey, RunId>,
    /// The followed metrics; empty for all.
    keys: BTreeSet<String>,
    /// Whether runs of all kinds are followed.
    all_kinds: bool,
    /// Logs at the last scan.
    logs: FxHashMap<LogKey, Watched>,
    /// Writers of logs that had ended when this began: all their points count as delivered.
    whole: FxHashSet<WriterId>,
    /// Tracked runs.
    runs: BTreeMap<RunKey, Known>,
    /// Adopted packs, and the manifest that names them.
    packs: PackSet,
    manifest: Manifest,
    /// Packs found by the last scan.
    next: Option<(PackSet, Manifest)>,
    /// Hashes of the experiments as last reported.
    experiments: BTreeMap<ExperimentId, u64>,
    /// Runs to compare.
    ahead: BTreeSet<RunKey>,
    /// Whether it continues from a cursor and has not scanned yet.
    resumed: bool,
    /// Runs that lost a log that counts as delivered.
    went: BTreeSet<RunKey>,
    /// The run compared last.
    behind: Option<RunKey>,
    /// Writers of logs removed since the last scan.
    leaving: Vec<WriterId>,
    /// Points per metric and writer in the first result, while that is being made.
    first: Option<usize>,
    reported: BTreeSet<String>,
    /// The result being made.
    result: Changes,
    /// Time since the last scan, and how long that took.
    rested: Option<(Stopwatch, Duration)>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Follower({}, {} runs in hand)", self.workspace.root().display(), self.runs.len())
    }
}

impl Shared {
    /// As [`Self::follow`], with runs of every kind where none is named.
    pub(crate) fn follow_all_kinds(&self, follow: &Follow) -> Result<Follower> {
        let mut follower = self.follow(follow)?;
        follower.all_kinds = true;
        Ok(follower)
    }

    /// See [`Workspace::follow`](crate::Workspace::follow).
    pub(crate) fn follow(&self, follow: &Follow) -> Result<Follower> {
        let mut follower = Follower::new(self, follow.runs.iter().cloned(), follow.keys.iter().cloned());
        match follow.begin {
            Begin::Now => follower.begin_now()?,
            Begin::Last(points) => {
                follower.check_there()?;
                follower.first = Some(points);
                follower.experiments = follower.experiments_now()?;
            }
        }
        Ok(follower)
    }
}

impl Follower {
    fn new(workspace: &Shared, runs: impl Iterator<Item = RunId>, keys: impl Iterator<Item = String>) -> Self {
        Self {
            workspace: workspace.clone(),
            chosen: runs.map(|id| (id.key(), id)).collect(),
            keys: keys.collect(),
            all_kinds: false,
            logs: FxHashMap::default(),
            whole: FxHashSet::default(),
            runs: BTreeMap::new(),
            packs: PackSet::default(),
            manifest: Manifest::default(),
            next: None,
            experiments: BTreeMap::new(),
            ahead: BTreeSet::new(),
            resumed: false,
            went: BTreeSet::new(),
            behind: None,
            leaving: Vec::new(),
            first: None,
            reported: BTreeSet::new(),
            result: Changes::default(),
            rested: None,
        }
    }

    /// Returns what changed since the last result; `None` if nothing did before the timeout. A zero timeout scans once.
    ///
    /// It polls, after 10 ms at first, then up to every 200 ms, and never sooner than four times the duration of the
    /// last scan: no operating system reports stores to mapped memory. A scan lists the log folders and reads a little
    /// of each open log, but no run without a writer. Fast changes come in larger results. A result has about 2^20
    /// points at most; one metric of a run may be spread over several.
    ///
    /// If a log is damaged while it is followed, `damage` reports it, and points logged between that result and the
    /// previous one may be missing.
    ///
    /// # Errors
    /// [`Error::Io`] that concerns more than one file. A later call continues.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Changes>> {
        let watch = Stopwatch::start();
        let left = |watch: &Stopwatch| timeout.saturating_sub(watch.elapsed());
        let mut wait = WAIT_MIN;
        loop {
            if let Some((since, took)) = self.rested.as_ref().filter(|_| self.ahead.is_empty()) {
                let rest = wait.max(took.saturating_mul(WAIT_COSTS)).saturating_sub(since.elapsed());
                std::thread::sleep(rest.min(left(&watch)));
                wait = (wait * 3 / 2).min(WAIT_MAX);
            }
            let look = Stopwatch::start();
            let looked = self.look_once();
            let took = look.elapsed();
            self.rested = Some((Stopwatch::start(), took));
            // Deliver what was found before an error first: the next scan meets the error again, if it stays.
            if self.result.is_empty() {
                looked?;
            }
            if !self.result.is_empty() {
                self.result.more = !self.ahead.is_empty();
                return Ok(Some(std::mem::take(&mut self.result)));
            }
            if left(&watch).is_zero() {
                return Ok(None);
            }
        }
    }

    /// Finds changes and adds them to the result.
    fn look_once(&mut self) -> Result<()> {
        if self.ahead.is_empty() {
            self.scan()?;
        }
        while let Some(key) = self.following() {
            if self.result.points >= POINTS_MAX {
                return Ok(());
            }
            let done = self.look(key)?;
            self.behind = Some(key);
            if done {
                self.ahead.remove(&key);
            }
        }
        self.first = None;
        self.take_in();
        Ok(())
    }

    /// The run to compare next, round-robin, so that one with many points does not block the others.
    fn following(&self) -> Option<RunKey> {
        let after = |last: RunKey| self.ahead.range(RunKey(last.0.saturating_add(1))..).next();
        self.behind.and_then(after).or_else(|| self.ahead.first()).copied()
    }

    /// Counts so many points of a run as delivered, by writer and metric, before anything of it is.
    pub(crate) fn skip(&mut self, run: &RunId, counts: BTreeMap<WriterId, BTreeMap<String, u64>>) {
        self.runs.insert(run.key(), Known::at(run, counts));
    }

    /// Whether runs of a kind are followed.
    fn is_of_kind(&self, kind: u8) -> bool {
        !self.chosen.is_empty() || self.all_kinds || kind == RUN
    }

    /// Whether a run is followed.
    fn is_chosen(&self, key: RunKey) -> bool {
        self.chosen.is_empty() || self.chosen.contains_key(&key)
    }

    /// Reports an unreadable file.
    fn report(&mut self, what: String) {
        if self.reported.len() >= REPORTED_MAX {
            self.reported.clear();
        }
        if self.reported.insert(what.clone()) {
            self.result.damage.push(what);
        }
    }

    /// Fails if a named run does not exist.
    fn check_there(&self) -> Result<()> {
        for (&key, id) in &self.chosen {
            let (run, unread) = self.workspace.read_run(key, Some(id))?;
            if run.is_none() && unread.is_empty() {
                return Err(Error::not_found(Entity::Run, id));
            }
        }
        Ok(())
    }
}
