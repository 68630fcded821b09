//! Runs of a workspace: creating them, reading them, and light edits without a writer.

use crate::base::ids::{ExperimentId, RunId, RunKey, WriterId};
use crate::base::stats::RunStatus;
use crate::error::{Error, Result, of_one_file};
use crate::folder::clock::now_ms;
use crate::folder::paths::{self, LogName};
use crate::journal::manifest::{Manifest, covers};
use crate::log::record::{Attribute, Record};
use crate::options::TailMode;
use crate::run::place::Place;
use crate::run::session::Session;
use crate::run::snapshot::{RunPart, RunSnapshot};
use crate::run::state::{Coverage, RunState};
use crate::run::watermark::Watermark;
use crate::workspace::open::Workspace;
use crate::workspace::read::copies::imports;
use crate::workspace::read::evidence::Reaches;
use crate::workspace::state::packs::PackSet;
pub use crate::workspace::write::edits::RunEdit;
use crate::workspace::write::edits::{Editor, Since, UNREAD_ORDERS, check_edit};
use crate::workspace::write::params::Unrelated;
use crate::workspace::write::writer::RunWriter;

/// An edit log that exceeds this is ended, and the next edit starts another.
const EDIT_LOG_BYTES_MAX: u64 = 256 << 10;

/// The initial state of a run; all fields are optional.
#[derive(Clone, Debug, Default)]
pub struct NewRun {
    /// The id; random if `None`.
    pub id: Option<RunId>,
    /// Its name.
    pub name: String,
    /// Who runs it.
    pub user: String,
    /// When it started, in milliseconds since the epoch; now if `None`.
    pub start_time_ms: Option<i64>,
    /// Its params: each key once, or with one value.
    pub params: Vec<(String, String)>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// Prefix of a random id.
    pub id_prefix: &'static str,
}

impl Workspace {
    /// Creates a run and opens a writer for it. A run with a random id is created atomically with everything in `new`,
    /// and regardless of unreadable files.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Deleted`] for the experiment, [`Error::AlreadyExists`] for a given id,
    /// [`Error::Invalid`], [`Error::Io`].
    pub fn create_run(&self, experiment: ExperimentId, new: NewRun) -> Result<RunWriter> {
        let seen = self.manifest_number()?;
        let has_random_id = new.id.is_none();
        let (state, edits) = self.begin(experiment, new)?;
        if has_random_id {
            return RunWriter::begin(self, state, seen, &edits);
        }
        let mut writer = RunWriter::open(self, state, Some(seen))?;
        writer.edit(&edits)?;
        Ok(writer)
    }

    /// Creates a run with metadata only and without a log of its own, as a server does for many light entities. Its id
    /// is random; `edits` are applied atomically with `new`.
    ///
    /// # Errors
    /// As [`Self::create_run`]; [`Error::Invalid`] where `new` gives an id.
    pub fn create_light(&self, experiment: ExperimentId, new: NewRun, edits: &[RunEdit]) -> Result<RunId> {
        if let Some(id) = &new.id {
            return Err(Error::invalid("run", format!("a light run has a random id, and {id} is given")));
        }
        let (mut state, mut all) = self.begin(experiment, new)?;
        all.extend_from_slice(edits);
        self.edit(&mut state, Since::Begin, false, &all)?;
        Ok(state.id)
    }

    /// The initial state of a new run; nothing is written yet.
    fn begin(&self, experiment: ExperimentId, new: NewRun) -> Result<(RunState, Vec<RunEdit>)> {
        let experiment = self.experiments().get(experiment)?;
        if experiment.deleted {
            return Err(Error::Deleted { entity: "experiment", id: experiment.name });
        }
        let NewRun { id, name, user, start_time_ms, params, tags, id_prefix } = new;
        let id = match id {
            Some(id) if self.find_run(&id)?.is_some() => {
                return Err(Error::AlreadyExists { entity: "run", id: id.to_string() });
            }
            Some(id) => id,
            None if id_prefix.is_empty() => RunId::random(),
            None => RunId::new(format!("{id_prefix}{}", RunId::random()))?,
        };
        let mut edits =
            vec![RunEdit::Status(RunStatus::Running), RunEdit::StartTime(Some(start_time_ms.unwrap_or_else(now_ms)))];
        edits.extend((!name.is_empty()).then_some(RunEdit::Name(name)));
        edits.extend((!user.is_empty()).then_some(RunEdit::User(user)));
        edits.extend(params.into_iter().map(|(key, value)| RunEdit::Param(key, value)));
        edits.extend(tags.into_iter().map(|(key, value)| RunEdit::Tag(key, value)));
        edits.iter().try_for_each(check_edit)?;
        Ok((RunState::new(id, experiment.id, experiment.name), edits))
    }

    /// Opens a writer for an existing run, which may have others, here or in other processes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`], [`Error::Corrupt`], [`Error::Io`].
    pub fn writer(&self, id: &RunId) -> Result<RunWriter> {
        // Read before the run, so that it never claims more than was read.
        let seen = self.manifest_number()?;
        let run = self.find_active(id)?;
        RunWriter::open(self, run.state().clone(), run.damage().is_empty().then_some(seen))
    }

    /// The current number of the manifest's last entry.
    pub(crate) fn manifest_number(&self) -> Result<u64> {
        let mut manifest = self.inner.manifest.lock();
        manifest.refresh()?;
        Ok(manifest.number())
    }

    /// A run as it is now.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Io`].
    pub fn run(&self, id: &RunId) -> Result<RunSnapshot> {
        self.find_run(id)?.ok_or_else(|| Error::not_found("run", id))
    }

    /// A run as it is now, if it exists. [`RunSnapshot::damage`] names unreadable files, and lost changes of the
    /// manifest and the experiments that may decide whether it is deleted.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`] if the run is not found and an unreadable file may have it.
    pub fn find_run(&self, id: &RunId) -> Result<Option<RunSnapshot>> {
        let Some(run) = self.find_by_files(id)? else { return Ok(None) };
        let lost = self.lost_of_runs();
        if lost.is_empty() {
            return Ok(Some(run));
        }
        let damage = [run.damage(), &lost].concat();
        Ok(Some(run.with_damage(damage)))
    }

    /// The same, naming only the run's unreadable files.
    pub(crate) fn find_by_files(&self, id: &RunId) -> Result<Option<RunSnapshot>> {
        let (run, mut unread) = self.read_run(id.key(), Some(id))?;
        if run.is_none() && !unread.is_empty() {
            // It may have the run.
            return Err(unread.swap_remove(0));
        }
        Ok(run.map(|run| run.with_damage(unread.iter().map(Error::to_string).collect())))
    }

    /// The run with a key, as far as it can be read, and the errors of unreadable files that may have some of it.
    /// `None` also if it has another id than `id`.
    ///
    /// # Errors
    /// [`Error::Io`] that concerns more than one file.
    pub(crate) fn read_run(&self, key: RunKey, id: Option<&RunId>) -> Result<(Option<RunSnapshot>, Vec<Error>)> {
        // Logs before packs: a log that is gone by now is in a listed pack.
        let claims = self.claims_of(key)?;
        let mut reaches = Reaches::default();
        let (mut parts, mut unread) = self.log_parts(key, &mut reaches)?;
        let packs = self.refresh()?;
        packs.check()?;
        for (pack, place) in packs.find(key) {
            match pack.group(place.group) {
                Ok(group) => parts.extend(group.part(place.run)),
                Err(error) => unread.push(of_one_file(error)?),
            }
        }
        let reported = |name: &LogName| unread.iter().any(|error| error.path() == Some(&name.log()));
        let lacking = self.lacking(&claims, &reaches, reported, &packs);
        unread.extend(lacking.into_iter().map(|(_, error)| error));
        unread.extend(packs.broken().values().map(|error| error.again()));
        named(&mut parts, id, key);
        let manifest = self.inner.manifest.lock();
        Ok((merge(parts, manifest.state()), unread))
    }

    /// A run as it is now, for a change, whose order must exceed all others: so the operating system must not refuse
    /// any of the run's own files. Damaged files, and refused ones that may belong to any run, are reported by readers
    /// and do not block changes: see [`UNREAD_ORDERS`].
    pub(crate) fn run_to_change(&self, id: &RunId) -> Result<RunSnapshot> {
        let packs = self.refresh()?;
        self.run_unless(id, |error| is_refused(error) && self.is_of_run(error, id.key(), &packs))
    }

    /// A run as it is now, for a change that must name all its writers: nothing that may belong to it may be
    /// unreadable.
    pub(crate) fn run_to_delete(&self, id: &RunId) -> Result<RunSnapshot> {
        self.run_unless(id, is_refused)
    }

    /// A run as it is now, unless an unreadable file prevents that.
    fn run_unless(&self, id: &RunId, bars: impl Fn(&Error) -> bool) -> Result<RunSnapshot> {
        let (run, mut unread) = self.read_run(id.key(), Some(id))?;
        if let Some(at) = unread.iter().position(bars) {
            return Err(unread.swap_remove(at));
        }
        match run {
            Some(run) => Ok(run.with_damage(unread.iter().map(Error::to_string).collect())),
            None if !unread.is_empty() => Err(unread.swap_remove(0)),
            None => Err(Error::not_found("run", id)),
        }
    }

    /// Whether an unreadable file belongs to this run: its logs, their folder, or a pack that has it. Anything else, an
    /// edit log or a pack with an unknown directory, may be of any run.
    fn is_of_run(&self, error: &Error, run: RunKey, packs: &PackSet) -> bool {
        let Some(path) = error.path() else { return true };
        let logs = paths::log_dir(&self.inner.root, run);
        let mut opened = packs.packs().keys().map(|&id| paths::pack(&self.inner.root, id));
        path.starts_with(&logs) || logs.starts_with(path) || opened.any(|pack| pack == path)
    }

    fn find_active(&self, id: &RunId) -> Result<RunSnapshot> {
        let run = self.run_to_change(id)?;
        if self.counts_as_deleted(run.state())? {
            return Err(Error::Deleted { entity: "run", id: id.to_string() });
        }
        Ok(run)
    }

    /// Fails if a run cannot be changed.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`], [`Error::Corrupt`], [`Error::Io`].
    pub(crate) fn check_active(&self, id: &RunId) -> Result<()> {
        let run = self.find_summary(id)?.ok_or_else(|| Error::not_found("run", id))?;
        if self.is_deleted(run.experiment_id, run.deleted, run.deleted_generation)? {
            return Err(Error::Deleted { entity: "run", id: id.to_string() });
        }
        Ok(())
    }

    /// Whether a run counts as deleted: by its own deletion attribute, unless its experiment was deleted or restored
    /// since.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn counts_as_deleted(&self, run: &RunState) -> Result<bool> {
        self.is_deleted(run.experiment, run.deleted(), run.deleted_generation())
    }

    /// [`Self::counts_as_deleted`] from a run's experiment, its own deletion attribute and that attribute's generation.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn is_deleted(&self, experiment: ExperimentId, marked: bool, generation: u64) -> Result<bool> {
        match self.experiments().get(experiment) {
            Ok(experiment) => Ok(experiment.counts_as_deleted(marked, generation)),
            Err(Error::Io { path, operation, source }) => Err(Error::Io { path, operation, source }),
            Err(_) => Ok(marked),
        }
    }

    /// Changes a run without opening a writer, as a server does for many runs. Atomic.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`], [`Error::ParamConflict`], [`Error::Invalid`], [`Error::Io`].
    pub fn edit_run(&self, id: &RunId, edits: &[RunEdit]) -> Result<()> {
        self.edit_found(&self.find_active(id)?, edits)
    }

    /// The same, whether the run is deleted or not.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::ParamConflict`], [`Error::Invalid`], [`Error::Io`].
    pub fn edit_any_run(&self, id: &RunId, edits: &[RunEdit]) -> Result<()> {
        self.edit_found(&self.run_to_change(id)?, edits)
    }

    fn edit_found(&self, run: &RunSnapshot, edits: &[RunEdit]) -> Result<()> {
        self.edit(&mut run.state().clone(), Since::JustNow, !run.damage().is_empty(), edits)
    }

    /// Marks a run deleted, unless it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Io`].
    pub fn delete_run(&self, id: &RunId) -> Result<()> {
        self.mark_deleted(id, true)
    }

    /// Restores a run, if it is deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Io`].
    pub fn restore_run(&self, id: &RunId) -> Result<()> {
        self.mark_deleted(id, false)
    }

    fn mark_deleted(&self, id: &RunId, deleted: bool) -> Result<()> {
        let run = self.run_to_change(id)?;
        // Unreadable files may say the opposite.
        if run.damage().is_empty() && self.counts_as_deleted(run.state())? == deleted {
            return Ok(());
        }
        let generation = self.experiments().get(run.state().experiment).map_or(0, |experiment| experiment.generation);
        let attribute = Attribute::Deleted { at_ms: deleted.then(now_ms), generation, by: self.actor().to_owned() };
        let unread = if run.damage().is_empty() { 0 } else { UNREAD_ORDERS };
        let order = run.state().greatest_order() + unread + 1;
        let state = run.state();
        self.with_edit_log((&state.id, state.experiment, &state.experiment_name), |session, run| {
            session.commit(vec![Record::Attribute { run, attribute: attribute.clone(), order }], &[])
        })
    }

    fn edit(&self, state: &mut RunState, since: Since, partly: bool, edits: &[RunEdit]) -> Result<()> {
        let (id, experiment, name) = (state.id.clone(), state.experiment, state.experiment_name.clone());
        self.with_edit_log((&id, experiment, &name), |session, run| {
            let (seen, unrelated) = (&mut None, &Unrelated::default());
            Editor { workspace: self, session, run, state, seen, since, partly, unrelated }.commit(edits, &[])
        })
    }

    /// Runs `act` with this handle's edit log, which is created if needed.
    fn with_edit_log<T>(
        &self,
        (id, experiment, experiment_name): (&RunId, ExperimentId, &str),
        act: impl FnOnce(&mut Session, u32) -> Result<T>,
    ) -> Result<T> {
        let mut edits = self.inner.edits.lock();
        if edits.is_none() {
            let place = self.place(self.inner.root.join(paths::EDITS), paths::EDITS.to_owned(), 1);
            *edits = Some(self.session(place)?);
        }
        let Some(session) = edits.as_mut() else { unreachable!("it was created above") };
        let run = session.run(id, experiment, experiment_name);
        let done = act(session, run);
        // Readers keep edit logs in memory, and compaction skips open ones, so their size is bounded.
        if session.log_len() > EDIT_LOG_BYTES_MAX
            && let Some(mut session) = edits.take()
        {
            session.end()?;
        }
        done
    }

    /// Makes everything acknowledged so far durable: by any writer of this handle and the handle itself
    /// ([`Self::edit_run`], [`Self::delete_run`], [`Self::restore_run`]). Writers go on meanwhile. Costs a few syncs
    /// per writer with something new.
    ///
    /// # Errors
    /// [`Error::DurabilityLost`] of the first writer with a failed sync, now or earlier; the others are synced.
    pub fn sync(&self) -> Result<()> {
        self.sync_writers(Watermark::sync)
    }

    /// Requests that this handle's writers flush at their next calls, so that a sync soon after writes less. Returns
    /// whether any writer had enough points.
    #[must_use]
    #[doc(hidden)]
    pub fn request_flushes(&self) -> bool {
        let writers = self.inner.writers.lock().clone();
        writers.iter().fold(false, |any, writer| writer.request_flush() | any)
    }

    /// Whether all requested flushes are complete.
    #[must_use]
    #[doc(hidden)]
    pub fn flushes_are_complete(&self) -> bool {
        let writers = self.inner.writers.lock().clone();
        writers.iter().all(|writer| writer.is_flush_complete())
    }

    /// As [`Self::sync`], but for writers that completed a flush requested by [`Self::request_flushes`], syncs only
    /// what they had logged at the request.
    ///
    /// # Errors
    /// As [`Self::sync`].
    #[doc(hidden)]
    pub fn sync_flushed(&self) -> Result<()> {
        self.sync_writers(Watermark::sync_flushed)
    }

    fn sync_writers(&self, sync: impl Fn(&Watermark) -> Result<bool>) -> Result<()> {
        let mut first = Ok(());
        let writers = self.inner.writers.lock().clone();
        for writer in writers {
            let synced = sync(&writer);
            if first.is_ok() {
                first = synced.map(|_| ());
            }
        }
        self.inner.writers.lock().retain(|writer| !writer.is_done());
        first
    }

    /// Opens a log that [`Self::sync`] covers.
    pub(crate) fn session(&self, place: Place) -> Result<Session> {
        let session = Session::create(place)?;
        let mut writers = self.inner.writers.lock();
        if writers.len() == writers.capacity() {
            writers.retain(|writer| !writer.is_done());
        }
        writers.push(std::sync::Arc::clone(session.watermark()));
        Ok(session)
    }

    /// Ends this handle's edit log, so that compaction may pack it.
    pub(crate) fn end_edit_log(&self) -> Result<()> {
        match self.inner.edits.lock().take() {
            Some(mut session) => session.end(),
            None => Ok(()),
        }
    }

    /// Where a session keeps its files.
    pub(crate) fn place(&self, dir: std::path::PathBuf, stem: String, order: u64) -> Place {
        let mapped = match self.inner.options.tail {
            // The folder may not exist yet; its parent does, on the same file system.
            TailMode::Auto => self.inner.storage.mapping_is_safe(dir.parent().unwrap_or(&dir)),
            TailMode::Mapped => true,
            TailMode::Written => false,
        };
        Place {
            storage: std::sync::Arc::clone(&self.inner.storage),
            dir,
            stem,
            mapped,
            buffer_slots: self.inner.options.tail_points.clamp(2, crate::log::slot::BUFFER_SLOTS_MAX),
            order,
            created_ms: now_ms(),
            ledger: self.ledger(),
        }
    }
}

/// Whether the operating system refuses an existing file or folder.
fn is_refused(error: &Error) -> bool {
    matches!(error, Error::Io { .. }) && !error.is_absent()
}

/// Keeps only the parts of the run with this id or, if no id is given, of the run that the key belongs to.
pub(crate) fn named<S>(parts: &mut Vec<RunPart<S>>, id: Option<&RunId>, key: RunKey) {
    let id = name_alike(parts, id, key);
    parts.retain(|part| part.state.id == id);
}

/// Gives the parts of a run one id, and puts the part that determines its experiment first. `key` is the key of all
/// parts.
///
/// Damage may take a run's id from one of its sources, which then uses the digits of the key and does not know the
/// experiment. No other run's id is spelled by those digits, so that source belongs to the run that the others name. If
/// sources name different experiments, the writer with the least order wins.
pub(crate) fn name_alike<S>(parts: &mut [RunPart<S>], id: Option<&RunId>, key: RunKey) -> RunId {
    let digits = RunId::of_key(key);
    let name = parts.iter().map(|part| &part.state.id).find(|name| **name != digits);
    let id = id.filter(|id| **id != digits).or(name).unwrap_or(&digits).clone();
    if parts.len() > 1 {
        parts.sort_by_cached_key(|RunPart { state, .. }| {
            let first = state.coverage.iter().map(|own| (own.order, own.writer)).min();
            (state.id == digits, first, state.experiment)
        });
    }
    for part in parts.iter_mut().filter(|part| part.state.id == digits) {
        part.state.id.clone_from(&id);
    }
    id
}

/// What packs know of a run.
pub(crate) fn pack_parts(packs: &PackSet, id: &RunId) -> Result<Vec<RunPart>> {
    let mut parts = Vec::new();
    for (pack, place) in packs.find(id.key()) {
        parts.extend(pack.group(place.group)?.part(place.run).filter(|part| part.state.id == *id));
    }
    Ok(parts)
}

/// Merges a run's parts without what tombstones cover.
pub(crate) fn merge(parts: Vec<RunPart>, manifest: &Manifest) -> Option<RunSnapshot> {
    RunSnapshot::merge(surviving(parts, manifest))
}

/// Removes what tombstones cover from a run's parts: all of a writer, or its points of a metric.
pub(crate) fn surviving<S>(mut parts: Vec<RunPart<S>>, manifest: &Manifest) -> Vec<RunPart<S>> {
    let Some(run) = parts.first().map(|part| part.state.id.key()) else { return parts };
    if let Some(of_run) = manifest.tombstones.get(&run) {
        let gone = |coverage: &Coverage| covers(Some(of_run), coverage.writer, coverage.through);
        for part in &mut parts {
            part.series.retain(|(coverage, _)| !gone(coverage));
            let left = part.state.coverage.iter().filter(|own| !gone(own)).count();
            if left > 0 && left < part.state.coverage.len() {
                // Replacing an import replaces its metadata; that of others stays.
                let imports = imports([&part.state]);
                let is_gone = |own: &Coverage| gone(own) && imports.contains(&own.writer);
                let others: Vec<WriterId> =
                    part.state.coverage.iter().filter(|own| is_gone(own)).map(|own| own.writer).collect();
                part.state.forget_metadata(|writer| others.contains(&writer));
            }
            part.state.coverage.retain(|coverage| !gone(coverage));
        }
        parts.retain(|part| !part.state.coverage.is_empty());
    }
    if let Some(of_metrics) = manifest.metrics.get(&run) {
        for (coverage, series) in parts.iter_mut().flat_map(|part| &mut part.series) {
            series.retain(|(key, _)| !covers(of_metrics.get(key), coverage.writer, coverage.through));
        }
    }
    parts
}
