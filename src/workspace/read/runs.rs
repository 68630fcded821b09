//! Reading one run from its logs and packs.

use crate::base::ids::{ExperimentId, RunId, RunKey};
use crate::error::{Entity, Error, Result, of_one_file};
use crate::folder::paths::{self, LogName};
use crate::run::snapshot::RunSnapshot;
use crate::run::state::RunState;
use crate::workspace::read::parts::{merge, named};
use crate::workspace::state::ledgers::Reaches;
use crate::workspace::state::packs::PackSet;
use crate::workspace::state::shared::Shared;

impl Shared {
    /// The current number of the manifest's last entry.
    pub(crate) fn manifest_number(&self) -> Result<u64> {
        let mut manifest = self.inner.manifest.lock();
        manifest.refresh()?;
        Ok(manifest.number())
    }

    /// See [`Workspace::run`](crate::Workspace::run).
    pub(crate) fn run(&self, id: &RunId) -> Result<RunSnapshot> {
        self.find_run(id)?.ok_or_else(|| Error::not_found(Entity::Run, id))
    }

    /// See [`Workspace::find_run`](crate::Workspace::find_run).
    pub(crate) fn find_run(&self, id: &RunId) -> Result<Option<RunSnapshot>> {
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
            None => Err(Error::not_found(Entity::Run, id)),
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

    pub(crate) fn find_active(&self, id: &RunId) -> Result<RunSnapshot> {
        let run = self.run_to_change(id)?;
        if self.counts_as_deleted(run.state())? {
            return Err(Error::Deleted { entity: Entity::Run, id: id.to_string() });
        }
        Ok(run)
    }

    /// Fails if a run cannot be changed.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Deleted`], [`Error::Corrupt`], [`Error::Io`].
    pub(crate) fn check_active(&self, id: &RunId) -> Result<()> {
        let run = self.find_summary(id)?.ok_or_else(|| Error::not_found(Entity::Run, id))?;
        if self.is_deleted(run.experiment_id, run.deleted, run.deleted_generation)? {
            return Err(Error::Deleted { entity: Entity::Run, id: id.to_string() });
        }
        Ok(())
    }

    /// See [`Workspace::counts_as_deleted`](crate::Workspace::counts_as_deleted).
    pub(crate) fn counts_as_deleted(&self, run: &RunState) -> Result<bool> {
        self.is_deleted(run.experiment, run.deleted(), run.deleted_generation())
    }

    /// [`Self::counts_as_deleted`] from a run's experiment, its own deletion attribute and that attribute's generation.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn is_deleted(&self, experiment: ExperimentId, marked: bool, generation: u64) -> Result<bool> {
        match self.experiment(experiment) {
            Ok(experiment) => Ok(experiment.counts_as_deleted(marked, generation)),
            Err(Error::Io { path, operation, source }) => Err(Error::Io { path, operation, source }),
            Err(_) => Ok(marked),
        }
    }
}

/// Whether the operating system refuses an existing file or folder.
fn is_refused(error: &Error) -> bool {
    matches!(error, Error::Io { .. }) && !error.is_absent()
}
