//! Creating runs, and light edits without a writer.

use crate::base::ids::{ExperimentId, RunId};
use crate::base::stats::RunStatus;
use crate::error::{Entity, Error, Result};
use crate::folder::clock::now_ms;
use crate::log::record::{Attribute, Record};
use crate::run::snapshot::RunSnapshot;
use crate::run::state::RunState;
use crate::workspace::state::shared::Shared;
pub use crate::workspace::write::edits::RunEdit;
use crate::workspace::write::edits::{Editor, Since, UNREAD_ORDERS, check_edit};
use crate::workspace::write::params::Unrelated;
use crate::workspace::write::writer::RunWriter;

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

impl Shared {
    /// See [`Workspace::create_run`](crate::Workspace::create_run).
    pub(crate) fn create_run(&self, experiment: ExperimentId, new: NewRun) -> Result<RunWriter> {
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

    /// See [`Workspace::create_run_without_log`](crate::Workspace::create_run_without_log).
    pub(crate) fn create_run_without_log(
        &self,
        experiment: ExperimentId,
        new: NewRun,
        edits: &[RunEdit],
    ) -> Result<RunId> {
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
        let experiment = self.experiment(experiment)?;
        if experiment.deleted {
            return Err(Error::Deleted { entity: Entity::Experiment, id: experiment.name });
        }
        let NewRun { id, name, user, start_time_ms, params, tags, id_prefix } = new;
        let id = match id {
            Some(id) if self.find_run(&id)?.is_some() => {
                return Err(Error::AlreadyExists { entity: Entity::Run, id: id.to_string() });
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

    /// See [`Workspace::writer`](crate::Workspace::writer).
    pub(crate) fn writer(&self, id: &RunId) -> Result<RunWriter> {
        // Read before the run, so that it never claims more than was read.
        let seen = self.manifest_number()?;
        let run = self.find_active(id)?;
        RunWriter::open(self, run.state().clone(), run.damage().is_empty().then_some(seen))
    }

    /// See [`Workspace::edit_run`](crate::Workspace::edit_run).
    pub(crate) fn edit_run(&self, id: &RunId, edits: &[RunEdit]) -> Result<()> {
        self.edit_found(&self.find_active(id)?, edits)
    }

    /// See [`Workspace::edit_run_even_deleted`](crate::Workspace::edit_run_even_deleted).
    pub(crate) fn edit_run_even_deleted(&self, id: &RunId, edits: &[RunEdit]) -> Result<()> {
        self.edit_found(&self.run_to_change(id)?, edits)
    }

    fn edit_found(&self, run: &RunSnapshot, edits: &[RunEdit]) -> Result<()> {
        self.edit(&mut run.state().clone(), Since::JustNow, !run.damage().is_empty(), edits)
    }

    /// See [`Workspace::delete_run`](crate::Workspace::delete_run).
    pub(crate) fn delete_run(&self, id: &RunId) -> Result<()> {
        self.mark_deleted(id, true)
    }

    /// See [`Workspace::restore_run`](crate::Workspace::restore_run).
    pub(crate) fn restore_run(&self, id: &RunId) -> Result<()> {
        self.mark_deleted(id, false)
    }

    fn mark_deleted(&self, id: &RunId, deleted: bool) -> Result<()> {
        let run = self.run_to_change(id)?;
        // Unreadable files may say the opposite.
        if run.damage().is_empty() && self.counts_as_deleted(run.state())? == deleted {
            return Ok(());
        }
        let generation = self.experiment(run.state().experiment).map_or(0, |experiment| experiment.generation);
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
}
