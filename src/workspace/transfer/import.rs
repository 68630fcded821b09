//! Imports runs that other tools logged: whole, straight into packs, repeatable.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashSet;

use crate::base::ids::{ExperimentId, RunId, WriterId};
use crate::base::items::RUN;
use crate::base::point::Columns;
use crate::base::stats::RunStatus;
use crate::error::{Error, Result};
use crate::journal::manifest::{Change, Manifest, covers};
use crate::run::log_view::SeriesPart;
use crate::run::pack::pack_runs;
use crate::run::snapshot::{RunPart, RunSnapshot};
use crate::run::state::{Coverage, RunState};
use crate::workspace::read::copies::imports;
use crate::workspace::read::known::Known;
use crate::workspace::state::packs::{self};
use crate::workspace::state::shared::Shared;
use crate::workspace::transfer::gained::Gained;
pub use crate::workspace::transfer::imported_metadata::ImportChanges;
use crate::workspace::transfer::imported_metadata::{add_metadata, check_metadata};
use crate::workspace::write::params::RefusedParam;

/// Points buffered before a pack is written.
const POINTS_PENDING: u64 = 4 << 20;
/// Runs buffered before a pack is written.
const RUNS_PENDING: usize = 16 << 10;

/// A run of a source.
#[derive(Clone, Debug)]
pub struct RunImport {
    /// Its id: the source's own, or one derived from the source's name.
    pub id: RunId,
    /// Whether the id is the source's own. Such a source may have only some of the run's series; a source identified by
    /// its path must have everything that was imported from it.
    pub own_id: bool,
    /// Its experiment, which must exist.
    pub experiment: ExperimentId,
    /// Its name; may be empty.
    pub name: String,
    /// Who ran it; may be empty.
    pub user: String,
    /// Its status.
    pub status: RunStatus,
    /// Milliseconds since the epoch.
    pub start_time_ms: Option<i64>,
    /// Milliseconds since the epoch.
    pub end_time_ms: Option<i64>,
    /// When it was deleted, in milliseconds since the epoch; `None` if it is not.
    pub deleted_ms: Option<i64>,
    /// Params.
    pub params: Vec<(String, String)>,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// Its items, by kind and key: see [`crate::items`].
    pub items: Vec<(u8, String, String)>,
    /// The run's kind: [`crate::base::items::RUN`] for a plain run.
    pub kind: u8,
    /// Metrics, each key once, with its points in the source's order.
    pub series: Vec<(String, Columns)>,
    /// Which part of the run this is: a resumed run leaves one log per start, and they may be imported in any order.
    /// Empty for a run in one piece.
    pub part: String,
    /// Whether existing metadata stays as it is: name, user, status, end, tags and items.
    pub keep_metadata: bool,
}

impl RunImport {
    /// A run with an id and an experiment, and nothing else.
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

/// A param that has another value here, which stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamConflict {
    /// Its key.
    pub key: String,
    /// The value here.
    pub existing: String,
    /// The source's value.
    pub given: String,
}

/// What an import added to one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunAdded {
    /// Whether the run is new here.
    pub is_new: bool,
    /// Series with new points.
    pub series: u64,
    /// Points.
    pub points: u64,
    /// Points imported before that the source no longer has, being a shorter copy. They stay here.
    pub absent_in_source: u64,
    /// Series of the source that were permanently deleted here, and stay so.
    pub deleted_series: u64,
    /// Their points.
    pub deleted_points: u64,
    /// Params that were not imported because they are write-once.
    pub param_conflicts: Vec<ParamConflict>,
    /// Whether the run stays deleted here although it is not deleted in the source.
    pub stays_deleted: bool,
    /// What changed in an existing run.
    pub changed: ImportChanges,
}

/// What a concurrent import stored of a run; it counts as added by that import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConcurrentImport {
    /// The run's kind.
    pub kind: u8,
    /// Whether the run was new.
    pub is_new: bool,
    /// Series whose points the other import stored completely.
    pub series: u64,
    /// Points.
    pub points: u64,
}

/// The result of offering a run.
#[derive(Debug)]
pub enum AddOutcome {
    /// It was imported.
    Added(RunAdded),
    /// It was refused, and nothing was added. Returns the run.
    Refused(Box<RunImport>, RefusalReason),
}

/// Why a run was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The source differs from what was imported before under this id: it was overwritten, or is another one. With a
    /// message.
    Changed(String),
    /// The id is not the source's own, and a param has another value here.
    Param(ParamConflict),
    /// The run was permanently deleted.
    Deleted,
}

/// Imports runs in batches of thousands. They are stored once [`Self::finish`] returns; some may be earlier. What
/// others log to a run after its batch began is merged as usual; what another import stored meanwhile is not stored
/// twice.
#[derive(Debug)]
pub struct Importer {
    workspace: Shared,
    pending: Vec<RunSnapshot>,
    by_id: FxHashSet<RunId>,
    points: u64,
    known: Option<Known>,
    /// Tombstones for what the buffered runs replace.
    replaced: Vec<Change>,
    progress: Progress,
    /// Buffered runs that were new when they were offered.
    new: FxHashSet<RunId>,
    concurrent: BTreeMap<RunId, ConcurrentImport>,
    /// Whether this is a dry run.
    dry_run: bool,
}

/// Progress callback: points stored and total points of a batch.
#[derive(Default)]
struct Progress(Option<Box<dyn FnMut(u64, u64) + Send>>);

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Progress").field(&self.0.is_some()).finish()
    }
}

impl Shared {
    /// See [`Workspace::importer`](crate::Workspace::importer).
    pub(crate) fn importer(&self) -> Importer {
        Importer {
            workspace: self.clone(),
            pending: Vec::new(),
            by_id: FxHashSet::default(),
            points: 0,
            known: None,
            replaced: Vec::new(),
            progress: Progress::default(),
            new: FxHashSet::default(),
            concurrent: BTreeMap::new(),
            dry_run: false,
        }
    }
}

impl Importer {
    /// Calls `tell` with points stored and points in all while a batch is written.
    pub fn on_progress(&mut self, tell: impl FnMut(u64, u64) + Send + 'static) {
        self.progress = Progress(Some(Box::new(tell)));
    }

    /// Makes this a dry run: results say what would be stored.
    pub fn dry_run(&mut self) {
        self.dry_run = true;
    }

    /// Imports a run. If it was imported before, only points appended to its series are added, so a repeated import or
    /// an older, shorter copy adds nothing. A metric that was permanently deleted stays deleted. If the id is the
    /// source's own, a param with another value here is kept, see [`RunAdded::param_conflicts`], and points that the
    /// run's own writers logged here are not added again.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a limit is exceeded, or the source's points differ from those imported before;
    /// [`Error::ParamConflict`]; [`Error::Corrupt`], [`Error::Io`]. Then nothing of the run was added.
    pub fn add(&mut self, run: RunImport) -> Result<RunAdded> {
        match self.try_add(run)? {
            AddOutcome::Added(added) => Ok(added),
            AddOutcome::Refused(run, refusal) => Err(refusal.into_error(&run.id)),
        }
    }

    /// As [`Self::add`], but returns a run that conflicts with what is here. Compares the source with every point
    /// imported before, which must be decoded.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a limit is exceeded; [`Error::Corrupt`], [`Error::Io`]. Then nothing of the run was added.
    pub fn try_add(&mut self, run: RunImport) -> Result<AddOutcome> {
        self.take(run, false)
    }

    /// Replaces what was imported under the run's id, even if the run was permanently deleted. Old points and metadata
    /// are replaced atomically. What others logged to the run is kept; params they set to other values are listed in
    /// [`RunAdded::param_conflicts`].
    ///
    /// # Errors
    /// [`Error::Invalid`] if a limit is exceeded, or the run has a live writer; [`Error::Corrupt`], [`Error::Io`].
    pub fn replace(&mut self, run: RunImport) -> Result<RunAdded> {
        let id = run.id.clone();
        match self.take(run, true)? {
            AddOutcome::Added(added) => Ok(added),
            AddOutcome::Refused(_, refusal) => Err(refusal.into_error(&id)),
        }
    }

    /// The run as it is here; an error if some of it cannot be read, since the source is compared with all of it.
    fn known_whole(&self, id: &RunId) -> Result<Option<RunSnapshot>> {
        let (run, unread) = self.workspace.read_run(id.key(), Some(id))?;
        unread.into_iter().next().map_or(Ok(run), Err)
    }

    /// The experiment's name and generation, and the run as it is here, with what was offered of it before.
    fn here(&mut self, run: &RunImport) -> Result<((String, u64), Option<RunSnapshot>)> {
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
        Ok((experiment?, known?))
    }

    fn take(&mut self, run: RunImport, replace: bool) -> Result<AddOutcome> {
        check_metadata(&run)?;
        let ((experiment_name, generation), mut known) = self.here(&run)?;
        let (of_run, of_metrics) = self.workspace.deleted_for_good(&run.id);
        let (mut replacements, mut writer) = (0, WriterId::derived(&run.id, &run.part));
        while covers(of_run.as_ref(), writer, 0) {
            replacements += 1;
            writer = WriterId::derived_at(&run.id, &run.part, replacements);
        }
        let is_own = |known: &RunSnapshot| known.state().coverage.iter().any(|own| own.writer == writer);
        if replacements > 0 && !replace && !known.as_ref().is_some_and(is_own) {
            return Ok(AddOutcome::Refused(Box::new(run), RefusalReason::Deleted));
        }
        let mut order = 0;
        let mut before = known.as_ref().map(|known| (known.state().clone(), known.points()));
        if let Some(old) = known.take_if(|_| replace) {
            order = old.state().greatest_order();
            let left;
            (left, writer) = self.remove_imported(&run, old, writer, replacements)?;
            before.iter_mut().for_each(|(_, points)| *points -= left.points().min(*points));
            known = Some(left).filter(|left| !left.state().coverage.is_empty());
        }
        let existing = known.as_ref().map(|known| known.state().clone());
        let stored = |key: &str| covers(of_metrics.get(key), writer, 0);
        let gained = match &known {
            None => Gained::all(&run, stored),
            Some(known) => match Gained::of(known, writer, &run, stored)? {
                Ok(gained) => gained,
                Err(why) => return Ok(AddOutcome::Refused(Box::new(run), RefusalReason::Changed(why))),
            },
        };
        let mut added = self.added(&run, known.is_none(), existing.as_ref(), gained.absent_in_source, stored)?;
        if gained.absent_in_source > 0 {
            // The metadata of an older copy is older too.
            return Ok(AddOutcome::Added(added));
        }
        let mut state = RunState::new(run.id.clone(), run.experiment, experiment_name);
        let (changed, mut other_params) = add_metadata(&mut state, existing.as_ref(), writer, &run, generation, order);
        if !run.own_id
            && !replace
            && let Some(other) = other_params.pop()
        {
            return Ok(AddOutcome::Refused(Box::new(run), RefusalReason::Param(other)));
        }
        added.param_conflicts = other_params;
        if changed && let Some((before, points)) = &before {
            let mut after = existing.clone().unwrap_or_else(|| state.clone());
            after.merge(&state);
            added.changed = ImportChanges::of(before, &after);
            added.changed.points_removed = if replace { *points } else { 0 };
        }
        added.changed.restored |= before.is_none() && replacements > 0;
        let series = new_points(run, &gained, &mut added);
        if changed || added.points > 0 || added.is_new {
            self.buffer(state, existing.as_ref(), (writer, order), series, &added)?;
        }
        Ok(AddOutcome::Added(added))
    }

    /// Removes what was imported of a run before, to be replaced. Returns what others logged to it, and the writer of
    /// the replacement.
    fn remove_imported(
        &mut self,
        run: &RunImport,
        old: RunSnapshot,
        writer: WriterId,
        replacements: u64,
    ) -> Result<(RunSnapshot, WriterId)> {
        if self.workspace.has_live_writer(&run.id)? {
            let why = format!("{} is being written, so it cannot be replaced", run.id);
            return Err(Error::invalid("run", why));
        }
        let is_used = old.state().coverage.iter().any(|own| own.writer == writer);
        let mut own = imports([old.state()]);
        own.extend((0..=replacements).map(|at| WriterId::derived_at(&run.id, &run.part, at)));
        let mut writers: Vec<WriterId> = old.state().coverage.iter().map(|known| known.writer).collect();
        writers.retain(|writer| own.contains(writer));
        let writers = writers.into_iter().map(|writer| (writer, u64::MAX)).collect();
        self.replaced.push(Change::Delete { run: run.id.key(), writers });
        let next = if is_used { WriterId::derived_at(&run.id, &run.part, replacements + 1) } else { writer };
        Ok((old.without_writers(|writer| own.contains(&writer)), next))
    }

    /// The result for a run before its points are counted.
    fn added(
        &self,
        run: &RunImport,
        is_new: bool,
        existing: Option<&RunState>,
        absent_in_source: u64,
        is_deleted: impl Fn(&str) -> bool,
    ) -> Result<RunAdded> {
        let stays_deleted = match existing {
            Some(known) if run.deleted_ms.is_none() => self.workspace.counts_as_deleted(known)?,
            _ => false,
        };
        let mut added = RunAdded { is_new, absent_in_source, stays_deleted, ..RunAdded::default() };
        for (_, columns) in run.series.iter().filter(|(key, _)| is_deleted(key)) {
            added.deleted_series += 1;
            added.deleted_points += columns.len() as u64;
        }
        Ok(added)
    }

    /// Buffers what is new of a run, and stores the batch if it is full. `order` is the greatest of what is replaced.
    fn buffer(
        &mut self,
        mut state: RunState,
        existing: Option<&RunState>,
        (writer, order): (WriterId, u64),
        series: Vec<(String, SeriesPart)>,
        added: &RunAdded,
    ) -> Result<()> {
        let own = |coverage: &&Coverage| coverage.writer == writer;
        let before = existing.and_then(|known| known.coverage.iter().find(own).copied());
        let from = before.map_or(0, |coverage| coverage.through);
        let order = before
            .map_or_else(|| existing.map_or(order + 1, |known| known.greatest_order() + 1), |before| before.order);
        let coverage = Coverage { order, writer, from, through: from + added.points, lost: 0 };
        state.coverage.push(coverage);
        let id = state.id.clone();
        if let Some(snapshot) = RunSnapshot::merge(vec![RunPart { state, series: vec![(coverage, series)] }]) {
            if added.is_new {
                self.new.insert(id.clone());
            }
            self.by_id.insert(id);
            self.pending.push(snapshot);
        }
        self.points += added.points;
        if self.points >= POINTS_PENDING || self.pending.len() >= RUNS_PENDING {
            self.flush()?;
        }
        Ok(())
    }

    /// Stores everything; returns what concurrent imports stored of the runs added, which was not stored again.
    ///
    /// # Errors
    /// [`Error::Io`]; then buffered runs are not stored.
    pub fn finish(mut self) -> Result<Vec<ConcurrentImport>> {
        self.flush()?;
        Ok(self.concurrent.into_values().collect())
    }

    fn flush(&mut self) -> Result<()> {
        let mut runs = std::mem::take(&mut self.pending);
        if self.dry_run {
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
        // Replacing a source also removes what it set.
        let is_replaced =
            |id: &RunId| changes.iter().any(|change| matches!(change, Change::Delete { run, .. } if *run == id.key()));
        let workspace = self.workspace.clone();
        let stored = workspace.claiming_params(
            runs,
            |id| !is_replaced(id),
            |runs, refused| match refused.into_iter().next() {
                // Another process set it since the run was compared; a repeated import reports it.
                Some(RefusedParam { run, key, existing, given }) => {
                    Err(Error::ParamConflict { run: run.to_string(), key, existing, given })
                }
                None => self.publish(runs, &changes),
            },
        );
        self.new.clear();
        stored
    }

    /// Publishes runs, unless another import already did.
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
            // Another import may store the same runs at the same time: the second one compares with what the first
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
                    let found = stored_meanwhile(stored, &run, self.new.contains(run.id()));
                    self.concurrent.insert(run.id().clone(), found);
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

impl Shared {
    /// Whether a pack has any of these runs.
    fn pack_has_any(&self, id: u128, runs: &[RunSnapshot]) -> bool {
        let pack = packs::open(&*self.inner.storage, &self.inner.root, id);
        pack.is_ok_and(|pack| runs.iter().any(|run| pack.find(run.id().key()).next().is_some()))
    }
}

/// The points of a source that are new, which are counted in `added`.
fn new_points(run: RunImport, gained: &Gained, added: &mut RunAdded) -> Vec<(String, SeriesPart)> {
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
    series
}

/// What is stored by now of a buffered run.
fn stored_meanwhile(stored: &RunSnapshot, waiting: &RunSnapshot, is_new: bool) -> ConcurrentImport {
    let mut points = 0;
    for own in &waiting.state().coverage {
        for known in stored.state().coverage.iter().filter(|known| known.writer == own.writer) {
            points += own.through.min(known.through).saturating_sub(own.from.max(known.from));
        }
    }
    let series = if points >= waiting.points() { waiting.keys().count() as u64 } else { 0 };
    ConcurrentImport { kind: waiting.state().kind(), is_new, series, points }
}

/// Whether a stored run has all points and metadata of a buffered one.
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

impl RefusalReason {
    fn into_error(self, id: &RunId) -> Error {
        match self {
            Self::Changed(why) => Error::invalid("source", why),
            Self::Param(ParamConflict { key, existing, given }) => {
                Error::ParamConflict { run: id.to_string(), key, existing, given }
            }
            Self::Deleted => {
                Error::invalid("run", format!("{id} was deleted for good here; import it under another id"))
            }
        }
    }
}
