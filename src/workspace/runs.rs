//! Runs of a workspace: creating them, reading them, and light edits without a writer.

use crate::base::ids::{ExperimentId, RunId, WriterId};
use crate::base::limits::{PARAM_VALUE_CHARS_MAX, RUN_NAME_CHARS_MAX, TAG_VALUE_CHARS_MAX, check_chars, check_key};
use crate::base::point::Point;
use crate::base::stats::RunStatus;
use crate::error::{Error, Result};
use crate::log::record::{Attribute, Record};
use crate::options::TailMode;
use crate::run::session::{Place, Session};
use crate::run::snapshot::{RunPart, RunSnapshot};
use crate::run::state::RunState;
use crate::workspace::clock::now_ms;
use crate::workspace::manifest::Manifest;
use crate::workspace::open::{Workspace, create_folder};
use crate::workspace::packs::PackSet;
use crate::workspace::paths;
use crate::workspace::writer::RunWriter;

/// How a new run begins. All but the experiment may be left out.
#[derive(Clone, Debug, Default)]
pub struct NewRun {
    /// The caller's id; a random one otherwise.
    pub id: Option<RunId>,
    /// Its name.
    pub name: String,
    /// Who runs it.
    pub user: String,
    /// When it started, in milliseconds since the epoch; now otherwise.
    pub start_time_ms: Option<i64>,
    /// Its first tags.
    pub tags: Vec<(String, String)>,
}

/// A change of a run beside its points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEdit {
    /// Another name.
    Name(String),
    /// Who ran it.
    User(String),
    /// Where it stands.
    Status(RunStatus),
    /// When it started, in milliseconds since the epoch.
    StartTime(Option<i64>),
    /// When it ended, in milliseconds since the epoch.
    EndTime(Option<i64>),
    /// Sets a tag; the last one wins.
    Tag(String, String),
    /// Removes a tag; nothing happens where there is none.
    RemoveTag(String),
    /// Sets a param, once: the same value again is fine, another one is an error.
    Param(String, String),
}

impl Workspace {
    /// Creates a run, and opens a writer for it.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Deleted`] for the experiment, [`Error::AlreadyExists`] for a given id,
    /// [`Error::Invalid`], [`Error::Io`].
    pub fn create_run(&self, experiment: ExperimentId, new: NewRun) -> Result<RunWriter> {
        let experiment = self.catalog()?.active(experiment)?.clone();
        let NewRun { id, name, user, start_time_ms, tags } = new;
        let id = match id {
            Some(id) if self.find_run(&id)?.is_some() => {
                return Err(Error::AlreadyExists { entity: "run", id: id.to_string() });
            }
            Some(id) => id,
            None => RunId::random(),
        };
        let mut edits =
            vec![RunEdit::Status(RunStatus::Running), RunEdit::StartTime(Some(start_time_ms.unwrap_or_else(now_ms)))];
        edits.extend((!name.is_empty()).then_some(RunEdit::Name(name)));
        edits.extend((!user.is_empty()).then_some(RunEdit::User(user)));
        edits.extend(tags.into_iter().map(|(key, value)| RunEdit::Tag(key, value)));
        edits.iter().try_for_each(check_edit)?;
        let state = RunState::new(id, experiment.id, experiment.name);
        let mut writer = RunWriter::open(self, state)?;
        writer.edit(&edits)?;
        Ok(writer)
    }

    /// Opens a writer for an existing run: beside whichever others there are, here or in other processes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`], [`Error::Corrupt`], [`Error::Io`].
    pub fn writer(&self, id: &RunId) -> Result<RunWriter> {
        RunWriter::open(self, self.active_run(id)?)
    }

    /// A run as it is now.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::Io`].
    pub fn run(&self, id: &RunId) -> Result<RunSnapshot> {
        self.find_run(id)?.ok_or_else(|| Error::not_found("run", id))
    }

    /// A run as it is now, if there is one.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn find_run(&self, id: &RunId) -> Result<Option<RunSnapshot>> {
        // Logs before packs: a log that is gone by now is in a pack that the manifest names by then.
        let (mut parts, mut damage) = self.log_parts(id)?;
        let packs = self.refresh()?;
        parts.extend(pack_parts(&packs, id)?);
        damage.extend(packs.broken().values().map(|error| Error::corrupt_as(error)));
        if parts.is_empty() && !damage.is_empty() {
            // It may be in there.
            return Err(damage.swap_remove(0));
        }
        let damage = damage.iter().map(Error::to_string).collect();
        let manifest = self.inner.manifest.lock();
        Ok(merge(parts, manifest.state()).map(|run| run.with_damage(damage)))
    }

    fn active_run(&self, id: &RunId) -> Result<RunState> {
        let run = self.run(id)?;
        let deleted = run.state().deleted()
            || self.catalog()?.get(run.state().experiment).is_ok_and(|experiment| experiment.deleted);
        if deleted {
            return Err(Error::Deleted { entity: "run", id: id.to_string() });
        }
        Ok(run.state().clone())
    }

    /// Changes a run without a writer of one's own: what a server does to many runs. All changes happen, or none.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`], [`Error::ParamConflict`], [`Error::Invalid`], [`Error::Io`].
    pub fn edit_run(&self, id: &RunId, edits: &[RunEdit]) -> Result<()> {
        let state = self.active_run(id)?;
        self.edit(&state, edits)
    }

    /// Marks a run deleted; nothing happens to one that is.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Io`].
    pub fn delete_run(&self, id: &RunId) -> Result<()> {
        self.mark_deleted(id, true)
    }

    /// Restores a deleted run; nothing happens to one that is not.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Io`].
    pub fn restore_run(&self, id: &RunId) -> Result<()> {
        self.mark_deleted(id, false)
    }

    fn mark_deleted(&self, id: &RunId, deleted: bool) -> Result<()> {
        let run = self.run(id)?;
        if run.state().deleted() == deleted {
            return Ok(());
        }
        let order = run.state().greatest_order() + 1;
        self.with_edit_log(run.state(), |session, run| {
            session.commit(
                vec![Record::Attribute { run, attribute: Attribute::Deleted(deleted.then(now_ms)), order }],
                &[],
            )
        })
    }

    fn edit(&self, state: &RunState, edits: &[RunEdit]) -> Result<()> {
        let mut own = state.clone();
        self.with_edit_log(state, |session, run| commit_edits(self, session, run, &mut own, edits, &[]))
    }

    /// Does something with this handle's own log of edits, which it creates if needed.
    fn with_edit_log<T>(&self, state: &RunState, act: impl FnOnce(&mut Session, u32) -> Result<T>) -> Result<T> {
        let mut edits = self.inner.edits.lock();
        if edits.is_none() {
            *edits =
                Some(Session::create(self.place(self.inner.root.join(paths::EDITS), paths::EDITS.to_owned(), 1)?)?);
        }
        let Some(session) = edits.as_mut() else { unreachable!("it was created above") };
        let run = session.run(&state.id, state.experiment, &state.experiment_name);
        act(session, run)
    }

    /// Ends this handle's log of edits, so that compaction may gather it.
    pub(super) fn end_edit_log(&self) -> Result<()> {
        match self.inner.edits.lock().take() {
            Some(mut session) => session.end(),
            None => Ok(()),
        }
    }

    /// Where a session keeps its files.
    pub(super) fn place(&self, dir: std::path::PathBuf, stem: String, order: u64) -> Result<Place> {
        create_folder(&*self.inner.storage, &dir)?;
        let mapped = match self.inner.options.tail {
            TailMode::Auto => self.inner.storage.mapping_is_safe(&dir),
            TailMode::Mapped => true,
            TailMode::Written => false,
        };
        Ok(Place {
            storage: std::sync::Arc::clone(&self.inner.storage),
            dir,
            stem,
            mapped,
            order,
            created_ms: now_ms(),
        })
    }
}

/// What packs know of a run.
pub(super) fn pack_parts(packs: &PackSet, id: &RunId) -> Result<Vec<RunPart>> {
    let mut parts = Vec::new();
    for (pack, place) in packs.find(id.key()) {
        parts.extend(pack.group(place.group)?.part(place.run).filter(|part| part.state.id == *id));
    }
    Ok(parts)
}

/// Merges what is left of a run's parts when those are gone that a tombstone covers.
pub(super) fn merge(mut parts: Vec<RunPart>, manifest: &Manifest) -> Option<RunSnapshot> {
    let key = parts.first()?.state.id.key();
    if let Some(tombstones) = manifest.tombstones.get(&key) {
        let gone = |writer: WriterId, through: u64| tombstones.get(&writer).is_some_and(|&deleted| through <= deleted);
        for part in &mut parts {
            part.series.retain(|(coverage, _)| !gone(coverage.writer, coverage.through));
            part.state.coverage.retain(|coverage| !gone(coverage.writer, coverage.through));
        }
        parts.retain(|part| !part.state.coverage.is_empty());
    }
    RunSnapshot::merge(parts)
}

/// Refuses an edit that breaks a limit.
fn check_edit(edit: &RunEdit) -> Result<()> {
    match edit {
        RunEdit::Name(name) => check_chars("run name", name, RUN_NAME_CHARS_MAX),
        RunEdit::User(user) => check_chars("user", user, RUN_NAME_CHARS_MAX),
        RunEdit::Status(_) | RunEdit::StartTime(_) | RunEdit::EndTime(_) => Ok(()),
        RunEdit::Tag(key, value) => {
            check_key("tag key", key)?;
            check_chars("tag value", value, TAG_VALUE_CHARS_MAX)
        }
        RunEdit::RemoveTag(key) => check_key("tag key", key),
        RunEdit::Param(key, value) => {
            check_key("param key", key)?;
            check_chars("param value", value, PARAM_VALUE_CHARS_MAX)
        }
    }
}

/// The edit as a record; `None` when it changes nothing.
fn record(run: u32, state: &RunState, edit: &RunEdit, order: u64) -> Result<Option<Record>> {
    let attribute = |attribute| Ok(Some(Record::Attribute { run, attribute, order }));
    match edit.clone() {
        RunEdit::Name(name) => attribute(Attribute::Name(name)),
        RunEdit::User(user) => attribute(Attribute::User(user)),
        RunEdit::Status(status) => attribute(Attribute::Status(status)),
        RunEdit::StartTime(time) => attribute(Attribute::StartTime(time)),
        RunEdit::EndTime(time) => attribute(Attribute::EndTime(time)),
        RunEdit::Tag(key, value) => Ok(Some(Record::Tag { run, key, value: Some(value), order })),
        RunEdit::RemoveTag(key) => Ok(Some(Record::Tag { run, key, value: None, order })),
        RunEdit::Param(key, value) => match state.param(&key) {
            Some(existing) if existing == value => Ok(None),
            Some(existing) => Err(conflict(&state.id, &key, existing, &value)),
            None => Ok(Some(Record::Param { run, key, value, order })),
        },
    }
}

fn conflict(run: &RunId, key: &str, existing: &str, given: &str) -> Error {
    let (run, key) = (run.to_string(), key.to_owned());
    Error::ParamConflict { run, key, existing: existing.to_owned(), given: given.to_owned() }
}

/// Checks edits against the run's state and commits them: params first, since they alone can fail against others, then
/// all else and the points in one step.
pub(super) fn commit_edits(
    workspace: &Workspace,
    session: &mut Session,
    run: u32,
    state: &mut RunState,
    edits: &[RunEdit],
    points: &[(u32, Point)],
) -> Result<()> {
    edits.iter().try_for_each(check_edit)?;
    let (params, others): (Vec<&RunEdit>, Vec<&RunEdit>) =
        edits.iter().partition(|edit| matches!(edit, RunEdit::Param(..)));
    if !params.is_empty() {
        commit_params(workspace, session, run, state, &params)?;
    }
    let mut records = Vec::with_capacity(others.len());
    for edit in others {
        let order = state.greatest_order() + 1;
        if let Some(record) = record(run, state, edit, order)? {
            state.apply(session.writer(), &record);
            records.push(record);
        }
    }
    if records.is_empty() {
        return session.push_batch(points);
    }
    session.commit(records, points)
}

/// How often a claim is tried again when two writers met: each time all but one of them find the winner's.
const CLAIM_ATTEMPTS: u32 = 16;

/// Sets params, write-once among all writers of the run, without a lock:
///
/// 1. Append the claim. From now on every other writer that reads sees it.
/// 2. Read what the others appended. Whoever finds another value takes its own back; so of two claims at most one is
///    acknowledged.
/// 3. If both took theirs back, each waits a random moment and tries again.
fn commit_params(
    workspace: &Workspace,
    session: &mut Session,
    run: u32,
    state: &mut RunState,
    params: &[&RunEdit],
) -> Result<()> {
    for attempt in 0..CLAIM_ATTEMPTS {
        let mut records: Vec<Record> = Vec::new();
        let mut claimed = state.clone();
        for edit in params {
            let order = claimed.greatest_order() + 1;
            if let Some(record) = record(run, &claimed, edit, order)? {
                claimed.apply(session.writer(), &record);
                records.push(record);
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        session.commit(records.clone(), &[])?;
        let others = workspace.run(&state.id)?.state().clone();
        let rival = records.iter().find_map(|record| {
            let Record::Param { key, value, .. } = record else {
                return None;
            };
            let claims = others.params.get(key)?;
            claims.iter().find(|claim| claim.stamp.writer != session.writer() && claim.value != *value)
        });
        if rival.is_none() {
            state.merge(&claimed);
            return Ok(());
        }
        let retract = |record: &Record| match record {
            Record::Param { key, .. } => Some(Record::ParamRetracted { run, key: key.clone() }),
            _ => None,
        };
        session.commit(records.iter().filter_map(retract).collect(), &[])?;
        let wait = crate::base::ids::random_u128() as u64 % (2000 << attempt.min(5));
        std::thread::sleep(std::time::Duration::from_micros(wait));
        // What stands by now decides: a conflict is an error in the next round, a withdrawn claim is not.
        let others = workspace.run(&state.id)?;
        state.merge(others.state());
        for (key, claims) in &mut state.params {
            claims.retain(|claim| others.state().params.get(key).is_some_and(|known| known.contains(claim)));
        }
        state.params.retain(|_, claims| !claims.is_empty());
    }
    let (key, given) = params
        .iter()
        .find_map(|edit| match edit {
            RunEdit::Param(key, value) => Some((key.as_str(), value.as_str())),
            _ => None,
        })
        .unwrap_or_default();
    Err(conflict(&state.id, key, "claimed by several writers at once", given))
}
