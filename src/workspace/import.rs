//! Taking in runs that something else logged: whole, straight into packs, and as often as one likes.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::ids::{ExperimentId, RunId, RunKey, WriterId};
use crate::base::items::RUN;
use crate::base::point::Columns;
use crate::base::stats::RunStatus;
use crate::error::{Error, Result};
use crate::journal::manifest::{Change, Manifest, covers};
use crate::run::log_view::SeriesPart;
use crate::run::pack::pack_runs;
use crate::run::snapshot::{RunPart, RunSnapshot};
use crate::run::state::{Coverage, RunState};
use crate::workspace::copies::imports;
use crate::workspace::gained::Gained;
pub use crate::workspace::imported_metadata::ChangedHere;
use crate::workspace::imported_metadata::{add_metadata, check_metadata};
use crate::workspace::open::Workspace;
use crate::workspace::packs::{self, PackSet};
use crate::workspace::params::Refused;

/// Points that wait in memory before a pack is written.
const POINTS_PENDING: u64 = 4 << 20;
/// Runs that wait in memory before a pack is written.
const RUNS_PENDING: usize = 16 << 10;

/// A run as a source has it.
#[derive(Clone, Debug)]
pub struct RunImport {
    /// Its id: the source's own, or one derived from the source's name.
    pub id: RunId,
    /// Whether the source itself names the run. Of such a run a source may have some series only; a source that is
    /// known by its place must have all that was imported from it.
    pub own_id: bool,
    /// Its experiment, which exists.
    pub experiment: ExperimentId,
    /// Its name; may be empty.
    pub name: String,
    /// Who ran it; may be empty.
    pub user: String,
    /// Where it stands.
    pub status: RunStatus,
    /// Milliseconds since the epoch.
    pub start_time_ms: Option<i64>,
    /// Milliseconds since the epoch.
    pub end_time_ms: Option<i64>,
    /// When it was deleted, if it was: milliseconds since the epoch.
    pub deleted_ms: Option<i64>,
    /// Params.
    pub params: Vec<(String, String)>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// What is attached, by kind and key: see [`crate::items`].
    pub items: Vec<(u8, String, String)>,
    /// What the run stands for: [`crate::base::items::RUN`] for a plain run.
    pub kind: u8,
    /// Metrics, each key once, with its points in the source's order.
    pub series: Vec<(String, Columns)>,
    /// Which part of the run this is: a resumed run leaves a log for each of its starts, and they may come in any
    /// order. Empty for a run that is one piece.
    pub part: String,
    /// Whether words that the run has already stay as they are: name, user, status, end, tags and items.
    pub keep_metadata: bool,
}

impl RunImport {
    /// A run of which nothing but its id and experiment is known.
    #[must_use]
    pub fn new(id: RunId, experiment: ExperimentId) -> Self {
        Self {
            id,
            own_id: true,
            experiment,
            name: String::new(),
            user: String::new(),
            status: RunStatus::Finished,
            start_time_ms: None,
            end_time_ms: None,
            deleted_ms: None,
            params: Vec::new(),
            tags: Vec::new(),
            items: Vec::new(),
            kind: RUN,
            series: Vec::new(),
            part: String::new(),
            keep_metadata: false,
        }
    }
}

/// A param of a source that has another value here, which stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherParam {
    /// Its key.
    pub key: String,
    /// The value here.
    pub existing: String,
    /// The source's.
    pub given: String,
}

/// What an import added to one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Whether the run is new here.
    pub run: bool,
    /// Series that got points.
    pub series: u64,
    /// Points.
    pub points: u64,
    /// Points that were imported before and that the source has no longer, since it is a shorter copy. They stay.
    pub behind: u64,
    /// Series of the source that were deleted for good here, and stay so.
    pub deleted_series: u64,
    /// Points of these.
    pub deleted_points: u64,
    /// Params that were not taken, as they are write-once.
    pub other_params: Vec<OtherParam>,
    /// Whether the run is marked deleted here, and not in the source. It stays so.
    pub stays_deleted: bool,
    /// What of the run that was here is otherwise now.
    pub changed: ChangedHere,
}

/// What of a run another import stored while this one did: it counts as added by that one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// What the run stands for.
    pub kind: u8,
    /// Whether the run was new here.
    pub run: bool,
    /// Series of which the other import stored all points.
    pub series: u64,
    /// Points.
    pub points: u64,
}

/// What became of a run that was offered.
#[derive(Debug)]
pub enum Offered {
    /// It was taken.
    Taken(Added),
    /// It was not, and nothing of it was added. The caller has the run back.
    Refused(Box<RunImport>, Refusal),
}

/// Why a run was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The source is not what was imported before under this id, in these words: it was overwritten, or is another one.
    Changed(String),
    /// It does not name its run, and gives a param another value than the run has.
    Param(OtherParam),
    /// The run was deleted for good.
    Deleted,
}

/// Takes in runs, a batch of some thousand at a time. What it was given is stored for good when [`Self::finish`]
/// returned; a part may be before. What others log to a run after its batch began is merged like anything else that is
/// said at once; what another import stored meanwhile is not stored a second time.
#[derive(Debug)]
pub struct Importer {
    workspace: Workspace,
    pending: Vec<RunSnapshot>,
    by_id: FxHashSet<RunId>,
    points: u64,
    known: Option<Known>,
    /// Tombstones of what waiting runs replace.
    replaced: Vec<Change>,
    progress: Progress,
    /// Runs that wait and were not here when they were offered.
    new: FxHashSet<RunId>,
    elsewhere: BTreeMap<RunId, Elsewhere>,
    /// Nothing is stored.
    only_looks: bool,
}

/// Whom to tell how much of a batch is stored: points done, and points in all.
#[derive(Default)]
struct Progress(Option<Box<dyn FnMut(u64, u64) + Send>>);

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Progress").field(&self.0.is_some()).finish()
    }
}

/// What was known when a batch began, so that a run that is new costs no listing of folders.
#[derive(Debug)]
pub(super) struct Known {
    /// Runs that logs speak of.
    logged: FxHashSet<RunKey>,
    packs: PackSet,
    /// Whether something cannot be read that may speak of any run.
    unclear: bool,
    /// Names and generations of experiments that were asked for.
    experiments: FxHashMap<ExperimentId, (String, u64)>,
}

impl Known {
    /// What is known now.
    pub(super) fn of(workspace: &Workspace) -> Result<Self> {
        // Logs before packs, as always.
        let (names, unlisted) = workspace.all_log_names()?;
        let mut logged: FxHashSet<RunKey> = names.iter().filter_map(|name| name.run()).collect();
        let (edits, unreadable) = workspace.edit_log_views()?;
        logged.extend(edits.iter().flat_map(|image| image.runs().map(RunId::key).chain(image.claimed())));
        let packs = workspace.refresh()?;
        packs.check()?;
        let unclear = !unlisted.is_empty() || !unreadable.is_empty() || !packs.broken().is_empty();
        Ok(Self { logged, packs, unclear, experiments: FxHashMap::default() })
    }

    /// Whether anything may be known of a run.
    pub(super) fn may_have(&self, run: RunKey) -> bool {
        self.unclear || self.logged.contains(&run) || self.packs.find(run).next().is_some()
    }

    fn experiment(&mut self, workspace: &Workspace, id: ExperimentId) -> Result<(String, u64)> {
        if let Some(known) = self.experiments.get(&id) {
            return Ok(known.clone());
        }
        let experiment = workspace.experiments().get(id)?;
        let known = (experiment.name, experiment.generation);
        self.experiments.insert(id, known.clone());
        Ok(known)
    }
}

impl Workspace {
    /// Starts an import.
    #[must_use]
    pub fn importer(&self) -> Importer {
        Importer {
            workspace: self.clone(),
            pending: Vec::new(),
            by_id: FxHashSet::default(),
            points: 0,
            known: None,
            replaced: Vec::new(),
            progress: Progress::default(),
            new: FxHashSet::default(),
            elsewhere: BTreeMap::new(),
            only_looks: false,
        }
    }
}

impl Importer {
    /// Calls `tell` with points stored and points in all while a batch is written.
    pub fn on_progress(&mut self, tell: impl FnMut(u64, u64) + Send + 'static) {
        self.progress = Progress(Some(Box::new(tell)));
    }

    /// From here on nothing is stored: answers say what would be.
    pub fn only_look(&mut self) {
        self.only_looks = true;
    }

    /// Takes in a run. Of a run that was imported before, only what its series gained at their ends is added, so that
    /// importing again adds nothing, nor does an older and shorter copy. A metric that was deleted for good since it
    /// was imported stays deleted. A param of a run that its source names stays when it has another value here, see
    /// [`Added::other_params`]; of its points, those that its own writers logged here are not taken a second time.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a limit is broken, or when the source's points are not those that were imported before;
    /// [`Error::ParamConflict`]; [`Error::Corrupt`], [`Error::Io`]. Nothing of the run was added then.
    pub fn add(&mut self, run: RunImport) -> Result<Added> {
        match self.offer(run)? {
            Offered::Taken(added) => Ok(added),
            Offered::Refused(run, refusal) => Err(refusal.into_error(&run.id)),
        }
    }

    /// As [`Self::add`], but gives back a run that is refused for what is known of it. Compares the source with every
    /// point that was imported before, which costs their decoding.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a limit is broken; [`Error::Corrupt`], [`Error::Io`]. Nothing of the run was added then.
    pub fn offer(&mut self, run: RunImport) -> Result<Offered> {
        self.take(run, false)
    }

    /// Takes in a run in place of what was imported under its id; also of a run that was deleted for good. The old
    /// points and words are gone in the same moment in which the new ones are there. What others logged to the run and
    /// said of it stays; a param that they set otherwise is told in [`Added::other_params`].
    ///
    /// # Errors
    /// [`Error::Invalid`] when a limit is broken, or somebody writes the run; [`Error::Corrupt`], [`Error::Io`].
    pub fn replace(&mut self, run: RunImport) -> Result<Added> {
        let id = run.id.clone();
        match self.take(run, true)? {
            Offered::Taken(added) => Ok(added),
            Offered::Refused(_, refusal) => Err(refusal.into_error(&id)),
        }
    }

    /// What is known of a run; an error where some of it cannot be read, since the source is compared with all of it.
    fn known_whole(&self, id: &RunId) -> Result<Option<RunSnapshot>> {
        let (run, unread) = self.workspace.read_run(id.key(), Some(id))?;
        unread.into_iter().next().map_or(Ok(run), Err)
    }

    fn take(&mut self, run: RunImport, replace: bool) -> Result<Offered> {
        check_metadata(&run)?;
        if self.by_id.contains(&run.id) {
            self.flush()?;
        }
        let mut at_start = match self.known.take() {
            Some(known) => known,
            None => Known::of(&self.workspace)?,
        };
        let experiment = at_start.experiment(&self.workspace, run.experiment);
        let known = if at_start.may_have(run.id.key()) { self.known_whole(&run.id) } else { Ok(None) };
        self.known = Some(at_start);
        let ((experiment_name, generation), mut known) = (experiment?, known?);
        let (of_run, of_metrics) = self.workspace.deleted_for_good(&run.id);
        let (mut replacements, mut writer) = (0, WriterId::derived(&run.id, &run.part));
        while covers(of_run.as_ref(), writer, 0) {
            replacements += 1;
            writer = WriterId::derived_at(&run.id, &run.part, replacements);
        }
        let is_own = |known: &RunSnapshot| known.state().coverage.iter().any(|own| own.writer == writer);
        if replacements > 0 && !replace && !known.as_ref().is_some_and(is_own) {
            return Ok(Offered::Refused(Box::new(run), Refusal::Deleted));
        }
        let mut order = 0;
        let mut before = known.as_ref().map(|known| (known.state().clone(), known.points()));
        if let Some(old) = known.take_if(|_| replace) {
            if self.workspace.has_live_writer(&run.id)? {
                let why = format!("{} is being written, so it cannot be replaced", run.id);
                return Err(Error::invalid("run", why));
            }
            order = old.state().greatest_order();
            if old.state().coverage.iter().any(|own| own.writer == writer) {
                writer = WriterId::derived_at(&run.id, &run.part, replacements + 1);
            }
            let mut own = imports([old.state()]);
            own.extend((0..=replacements).map(|at| WriterId::derived_at(&run.id, &run.part, at)));
            let mut writers: Vec<WriterId> = old.state().coverage.iter().map(|known| known.writer).collect();
            writers.retain(|writer| own.contains(writer));
            let writers = writers.into_iter().map(|writer| (writer, u64::MAX)).collect();
            self.replaced.push(Change::Delete { run: run.id.key(), writers });
            let left = old.without_writers(|writer| own.contains(&writer));
            before.iter_mut().for_each(|(_, points)| *points -= left.points().min(*points));
            known = Some(left).filter(|left| !left.state().coverage.is_empty());
        }
        let mut state = RunState::new(run.id.clone(), run.experiment, experiment_name);
        let existing = known.as_ref().map(|known| known.state().clone());
        let stored = |key: &str| covers(of_metrics.get(key), writer, 0);
        let gained = match &known {
            None => Gained::all(&run, stored),
            Some(known) => match Gained::of(known, writer, &run, stored)? {
                Ok(gained) => gained,
                Err(why) => return Ok(Offered::Refused(Box::new(run), Refusal::Changed(why))),
            },
        };
        let stays_deleted = match &existing {
            Some(known) if run.deleted_ms.is_none() => self.workspace.counts_as_deleted(known)?,
            _ => false,
        };
        let mut added = Added { run: known.is_none(), behind: gained.behind, stays_deleted, ..Added::default() };
        for (_, columns) in run.series.iter().filter(|(key, _)| stored(key)) {
            added.deleted_series += 1;
            added.deleted_points += columns.len() as u64;
        }
        if gained.behind > 0 {
            // What an older copy says of the run is older too.
            return Ok(Offered::Taken(added));
        }
        let (changed, mut other_params) = add_metadata(&mut state, existing.as_ref(), writer, &run, generation, order);
        if !run.own_id
            && !replace
            && let Some(other) = other_params.pop()
        {
            return Ok(Offered::Refused(Box::new(run), Refusal::Param(other)));
        }
        added.other_params = other_params;
        if changed && let Some((before, points)) = &before {
            let mut after = existing.clone().unwrap_or_else(|| state.clone());
            after.merge(&state);
            added.changed = ChangedHere::of(before, &after);
            added.changed.points_removed = if replace { *points } else { 0 };
        }
        added.changed.restored |= before.is_none() && replacements > 0;
        let own = |coverage: &&Coverage| coverage.writer == writer;
        let before = existing.as_ref().and_then(|known| known.coverage.iter().find(own).copied());
        let mut series = Vec::new();
        for (key, columns) in run.series {
            let Some(new) = gained.new.get(&key) else { continue };
            let rest = new.of(columns);
            if !rest.is_empty() {
                added.series += 1;
                added.points += rest.len() as u64;
                series.push((key, SeriesPart::Rows(std::sync::Arc::new(rest))));
            }
        }
        if !changed && added.points == 0 && !added.run {
            return Ok(Offered::Taken(added));
        }
        let from = before.map_or(0, |coverage| coverage.through);
        let order = before
            .map_or_else(|| existing.map_or(order + 1, |known| known.greatest_order() + 1), |before| before.order);
        let coverage = Coverage { order, writer, from, through: from + added.points, lost: 0 };
        state.coverage.push(coverage);
        if let Some(snapshot) = RunSnapshot::merge(vec![RunPart { state, series: vec![(coverage, series)] }]) {
            if added.run {
                self.new.insert(run.id.clone());
            }
            self.by_id.insert(run.id);
            self.pending.push(snapshot);
        }
        self.points += added.points;
        if self.points >= POINTS_PENDING || self.pending.len() >= RUNS_PENDING {
            self.flush()?;
        }
        Ok(Offered::Taken(added))
    }

    /// Stores everything.
    ///
    /// # Errors
    /// [`Error::Io`]; what waited is not stored then.
    pub fn finish(self) -> Result<()> {
        self.finish_counting().map(|_| ())
    }

    /// Stores everything; says what of it another import stored meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`]; what waited is not stored then.
    pub fn finish_counting(mut self) -> Result<Vec<Elsewhere>> {
        self.flush()?;
        Ok(self.elsewhere.into_values().collect())
    }

    fn flush(&mut self) -> Result<()> {
        let mut runs = std::mem::take(&mut self.pending);
        if self.only_looks {
            runs.clear();
            self.by_id.clear();
            self.points = 0;
        }
        if runs.is_empty() {
            self.replaced.clear();
            self.known = None;
            self.new.clear();
            return Ok(());
        }
        let changes = std::mem::take(&mut self.replaced);
        // What a source replaces goes with what it set.
        let is_replaced =
            |id: &RunId| changes.iter().any(|change| matches!(change, Change::Delete { run, .. } if *run == id.key()));
        let workspace = self.workspace.clone();
        let stored = workspace.claiming_params(
            runs,
            |id| !is_replaced(id),
            |runs, refused| match refused.into_iter().next() {
                // Somebody was faster since the run was compared: when it is imported again that is told.
                Some(Refused { run, key, existing, given }) => {
                    Err(Error::ParamConflict { run: run.to_string(), key, existing, given })
                }
                None => self.publish(runs, &changes),
            },
        );
        self.new.clear();
        stored
    }

    /// Publishes runs, unless another import does.
    fn publish(&mut self, mut runs: Vec<RunSnapshot>, changes: &[Change]) -> Result<()> {
        let mut seen: BTreeSet<u128> =
            self.known.take().map(|known| known.packs.packs().keys().copied().collect()).unwrap_or_default();
        self.by_id.clear();
        self.points = 0;
        while !runs.is_empty() {
            let workspace = &self.workspace;
            let met = Cell::new(false);
            let total: u64 = runs.iter().map(RunSnapshot::points).sum();
            let (mut done, tell) = (0, &mut self.progress.0);
            let mut each = runs.iter().map(|run| {
                if let Some(tell) = tell.as_mut() {
                    tell(done, total);
                }
                done += run.points();
                Ok(run.clone())
            });
            // Another import may store the same runs at the same time: who comes second looks at what the first one
            // stored.
            let is_alone = |manifest: &Manifest| {
                let mut others = manifest.packs.keys().filter(|id| !seen.contains(id));
                met.set(others.any(|id| workspace.pack_has_any(*id, &runs)));
                !met.get()
            };
            workspace.publish_pack(|pack| pack_runs(pack, &mut each), changes, is_alone)?;
            if let Some(tell) = self.progress.0.as_mut() {
                tell(total, total);
            }
            if !met.get() {
                return Ok(());
            }
            seen.extend(workspace.refresh()?.packs().keys());
            let mut left = Vec::with_capacity(runs.len());
            for run in runs {
                let stored = workspace.find_run(run.id())?;
                if let Some(stored) = &stored {
                    let found = elsewhere(stored, &run, self.new.contains(run.id()));
                    self.elsewhere.insert(run.id().clone(), found);
                }
                if !stored.is_some_and(|stored| has_all(&stored, &run)) {
                    left.push(run);
                }
            }
            runs = left;
        }
        Ok(())
    }
}

impl Workspace {
    /// Whether a pack has something of one of these runs.
    fn pack_has_any(&self, id: u128, runs: &[RunSnapshot]) -> bool {
        let pack = packs::open(&*self.inner.storage, &self.inner.root, id);
        pack.is_ok_and(|pack| runs.iter().any(|run| pack.find(run.id().key()).next().is_some()))
    }
}

/// What of a run that waits to be stored is stored by now.
fn elsewhere(stored: &RunSnapshot, waiting: &RunSnapshot, is_new: bool) -> Elsewhere {
    let mut points = 0;
    for own in &waiting.state().coverage {
        for known in stored.state().coverage.iter().filter(|known| known.writer == own.writer) {
            points += own.through.min(known.through).saturating_sub(own.from.max(known.from));
        }
    }
    let series = if points >= waiting.points() { waiting.keys().count() as u64 } else { 0 };
    Elsewhere { kind: waiting.state().kind(), run: is_new, series, points }
}

/// Whether a run as it is stored has the points and the words of one that waits to be stored.
fn has_all(stored: &RunSnapshot, waiting: &RunSnapshot) -> bool {
    let (stored, waiting) = (stored.state(), waiting.state());
    let of_writer = |writer| stored.coverage.iter().filter(move |own| own.writer == writer);
    let points = waiting
        .coverage
        .iter()
        .all(|own| of_writer(own.writer).any(|known| known.from <= own.from && known.through >= own.through));
    let attributes = waiting.attributes.iter().zip(&stored.attributes).all(|(own, known)| {
        own.as_ref().is_none_or(|own| known.as_ref().is_some_and(|known| known.value == own.value))
    });
    let params = waiting.params().all(|(key, value)| stored.param(key) == Some(value));
    let items =
        waiting.items.iter().all(|(key, item)| stored.items.get(key).is_some_and(|known| known.value == item.value));
    let tags = waiting.tags.iter().all(|(key, tag)| stored.tags.get(key).is_some_and(|known| known.value == tag.value));
    points && attributes && params && tags && items
}

impl Refusal {
    fn into_error(self, id: &RunId) -> Error {
        match self {
            Self::Changed(why) => Error::invalid("source", why),
            Self::Param(OtherParam { key, existing, given }) => {
                Error::ParamConflict { run: id.to_string(), key, existing, given }
            }
            Self::Deleted => {
                Error::invalid("run", format!("{id} was deleted for good here; import it under another id"))
            }
        }
    }
}
