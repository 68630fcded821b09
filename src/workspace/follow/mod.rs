//! Following runs as they change: what is new since the last answer, each point once, each writer's in its order.
//!
//! A follower counts, for each run that it has **in hand**, the points of each writer and metric that it gave. A count
//! stands for the same points wherever they lie, since logs and packs keep a writer's points in their order; so a
//! compaction between two answers changes nothing. Of runs that nobody writes it keeps nothing: what is in the packs
//! that it has **taken in**, and in logs that had ended when it began, counts as given.
//!
//! It looks in three steps. [`scan`] finds the runs that may have changed, and reads no run for it. [`look`] compares
//! each of them with what was given. When none is left, the packs that the scan found are taken in. An error between
//! leaves what is to be looked at for the next call, and nothing that was found is lost.

mod cursor;
mod look;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::ids::{ExperimentId, RunId, RunKey, WriterId};
use crate::base::point::Columns;
use crate::error::{Error, Result};
use crate::folder::clock::Stopwatch;
use crate::journal::manifest::Manifest;
use crate::run::state::RunState;
use crate::workspace::follow::look::Known;
use crate::workspace::follow::scan::{LogKey, Watched};
use crate::workspace::open::Workspace;
use crate::workspace::packs::PackSet;

/// About how many points an answer has at most.
pub const POINTS_MAX: usize = 1 << 20;
/// The shortest and the longest time between two looks.
const WAIT_MIN: Duration = Duration::from_millis(10);
const WAIT_MAX: Duration = Duration::from_millis(200);
/// The time between two looks is at least so many times what the last one took.
const WAIT_COSTS: u32 = 4;
/// Things that cannot be read are told once; when more than this were told, all are told again.
const TOLD_MAX: usize = 10_000;

/// What to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follow {
    /// These runs. When empty, all runs of the workspace, those that appear later too; runs that stand for something
    /// else, such as logged models, only when they are named.
    pub runs: Vec<RunId>,
    /// Points of these metrics alone. When empty, of all.
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
    /// With what comes after the call of [`Workspace::follow`].
    #[default]
    Now,
    /// With what is there: first each run appears, with its words and so many of the newest points of each metric and
    /// writer. `usize::MAX` stands for all points.
    Last(usize),
}

/// What changed since the answer before.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Runs that changed. A run that has very many new points may stand here again in the next answer. One that was
    /// deleted for good and created again since the answer before is one that changed.
    pub runs: Vec<RunChange>,
    /// Experiments that were created, changed, deleted, restored or deleted for good, where the whole workspace is
    /// followed. The runs of one that was deleted or restored are not named one by one.
    pub experiments: Vec<ExperimentId>,
    /// What could not be read, in words, each told once: what it holds is missing from the answers until it can be
    /// read. Empty when nothing is missing.
    pub damage: Vec<String>,
    /// Whether this answer came to its bound of points, so that the next call has more at once.
    pub more: bool,
    /// Points in it.
    points: usize,
}

impl Changes {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.experiments.is_empty() && self.damage.is_empty()
    }

    /// How many points of all runs there are.
    #[must_use]
    pub fn points(&self) -> usize {
        self.points
    }
}

/// What changed of a run.
#[derive(Clone, Debug)]
pub struct RunChange {
    /// The run.
    pub id: RunId,
    /// Whether it came or went.
    pub event: Option<RunEvent>,
    /// Whether it counts as deleted by now.
    pub deleted: bool,
    /// All that is said of it beside its points (status, name, params, tags), if that changed or it came.
    pub state: Option<RunState>,
    /// New points, by metric and writer.
    pub points: Vec<NewPoints>,
    /// Metrics of which points are gone that were given: they were deleted for good, or `compact --salvage` read around
    /// damage.
    pub removed: Vec<String>,
}

/// How a run came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// It is new here, or it is the first answer and it was there.
    Appeared,
    /// It was marked deleted.
    Deleted,
    /// It was restored.
    Restored,
    /// It was deleted for good. Of a run that ended before the follower began, and was never compacted, the id is the
    /// digits of its key, which is the id where that was made here.
    Gone,
}

/// New points of a metric by one writer, in order of arrival.
#[derive(Clone, Debug)]
pub struct NewPoints {
    /// The metric.
    pub key: String,
    /// Who logged them. Points of different writers have no order.
    pub writer: WriterId,
    /// The points: steps, timestamps in milliseconds since the epoch, values.
    pub columns: Columns,
}

/// Follows runs as they change, see [`Workspace::follow`].
pub struct Follower {
    workspace: Workspace,
    /// The runs that are followed; empty for all.
    chosen: BTreeMap<RunKey, RunId>,
    /// The metrics that are followed; empty for all.
    keys: BTreeSet<String>,
    /// Logs that were there when the folders were last listed.
    logs: FxHashMap<LogKey, Watched>,
    /// Writers of logs that had ended when this began: all that they logged counts as given.
    whole: FxHashSet<WriterId>,
    /// Runs in hand.
    runs: BTreeMap<RunKey, Known>,
    /// Packs that were taken in, and the manifest that names them.
    packs: PackSet,
    manifest: Manifest,
    /// Those that the last scan found.
    next: Option<(PackSet, Manifest)>,
    /// Marks of the experiments as they were last told.
    experiments: BTreeMap<ExperimentId, u64>,
    /// Runs to look at.
    ahead: BTreeSet<RunKey>,
    /// Whether it goes on where another was, and has not scanned yet.
    resumed: bool,
    /// Runs of which a log went that counts as given.
    went: BTreeSet<RunKey>,
    /// The run that was looked at last.
    behind: Option<RunKey>,
    /// Writers of logs that went since the last scan.
    leaving: Vec<WriterId>,
    /// How many points of each metric and writer the first answer has, while that is made.
    first: Option<usize>,
    told: BTreeSet<String>,
    /// The answer in the making.
    answer: Changes,
    /// Since the last look, and how long it took.
    rested: Option<(Stopwatch, Duration)>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Follower({}, {} runs in hand)", self.workspace.root().display(), self.runs.len())
    }
}

impl Workspace {
    /// Follows runs as they change, whoever writes them, in this process or another. Writes nothing, and takes no lock.
    ///
    /// ```
    /// use std::time::Duration;
    /// use stepwell::{Follow, Workspace};
    /// # use stepwell::{ExperimentId, NewRun, Result};
    /// # fn main() -> Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let workspace = Workspace::open_or_create(dir.path().join("runs"))?;
    /// # let mut run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default())?;
    /// # let id = run.run_id().clone();
    ///
    /// let mut follower = workspace.follow(&Follow::run(id))?;
    /// run.log_metric("loss", 1, 0.5)?; // Here or in another process.
    /// while let Some(changes) = follower.next(Duration::from_millis(100))? {
    ///     for new in changes.runs.iter().flat_map(|run| &run.points) {
    ///         println!("{} {:?}", new.key, new.columns.values); // loss [0.5]
    /// #       assert_eq!((new.key.as_str(), &new.columns.values[..]), ("loss", &[0.5][..]));
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`Begin::Now`] costs a listing of the logs, the ledgers, and a reading of each run that a log speaks of which
    /// has not ended; [`Begin::Last`] reads each run that is followed, within the answers.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a run that is named and not there; [`Error::Corrupt`], [`Error::Io`].
    pub fn follow(&self, follow: &Follow) -> Result<Follower> {
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
    fn new(workspace: &Workspace, runs: impl Iterator<Item = RunId>, keys: impl Iterator<Item = String>) -> Self {
        Self {
            workspace: workspace.clone(),
            chosen: runs.map(|id| (id.key(), id)).collect(),
            keys: keys.collect(),
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
            told: BTreeSet::new(),
            answer: Changes::default(),
            rested: None,
        }
    }

    /// What changed since the last answer; `None` when nothing did before the time was over. With no time it looks
    /// once.
    ///
    /// It waits by looking again, after 10 ms at first, then ever less often up to each 200 ms, and never for less than
    /// four times what the last look took: points come by stores to mapped memory, of which no operating system tells.
    /// A look costs a listing of the folders of logs and some reads of each log that has not ended; runs that nobody
    /// writes are not read. What changes faster comes in larger answers. An answer has about 2^20 points at most, and
    /// one metric of a run may be spread over several.
    ///
    /// When a log is damaged while it is followed, `damage` tells of it,
    /// and points that were logged between that answer and the one before may be missing from those of that log.
    ///
    /// # Errors
    /// [`Error::Io`] that is not about one file alone. A later call goes on where this one was.
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
            // What was found before an error is given first: the next look meets the error again, if it stays.
            if self.answer.is_empty() {
                looked?;
            }
            if !self.answer.is_empty() {
                self.answer.more = !self.ahead.is_empty();
                return Ok(Some(std::mem::take(&mut self.answer)));
            }
            if left(&watch).is_zero() {
                return Ok(None);
            }
        }
    }

    /// Looks for changes, and adds them to the answer.
    fn look_once(&mut self) -> Result<()> {
        if self.ahead.is_empty() {
            self.scan()?;
        }
        while let Some(key) = self.following() {
            if self.answer.points >= POINTS_MAX {
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

    /// The run to look at next: each in turn, so that one with many points bars no other.
    fn following(&self) -> Option<RunKey> {
        let after = |last: RunKey| self.ahead.range(RunKey(last.0.saturating_add(1))..).next();
        self.behind.and_then(after).or_else(|| self.ahead.first()).copied()
    }

    /// Whether a run is followed.
    fn is_chosen(&self, key: RunKey) -> bool {
        self.chosen.is_empty() || self.chosen.contains_key(&key)
    }

    /// Tells of what cannot be read.
    fn tell(&mut self, what: String) {
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        if self.told.insert(what.clone()) {
            self.answer.damage.push(what);
        }
    }

    /// Refuses a run that is named and not there.
    fn check_there(&self) -> Result<()> {
        for (&key, id) in &self.chosen {
            let (run, unread) = self.workspace.read_run(key, Some(id))?;
            if run.is_none() && unread.is_empty() {
                return Err(Error::not_found("run", id));
            }
        }
        Ok(())
    }
}
