//! The handle of maintenance: what keeps a workspace small and sound.

use crate::base::ids::{ExperimentId, RunId};
use crate::error::Result;
use crate::workspace::background::{Background, Schedule};
use crate::workspace::compaction::{CompactOptions, Compacted};
use crate::workspace::open::Workspace;
use crate::workspace::purge::{CollectOptions, Collected};
use crate::workspace::repair::{RepairOptions, Repaired};
use crate::workspace::usage::Usage;
use crate::workspace::verify::Report;

/// Maintenance of a workspace: compaction, garbage collection, verification, repair. Cheap to make: it borrows the
/// handle.
#[derive(Clone, Copy, Debug)]
pub struct Maintenance<'a> {
    workspace: &'a Workspace,
}

impl Workspace {
    /// Maintenance: what keeps the workspace small and sound, by hand or in the background.
    #[must_use]
    pub fn maintenance(&self) -> Maintenance<'_> {
        Maintenance { workspace: self }
    }
}

impl Maintenance<'_> {
    /// Gathers all logs that nobody writes any more into packs, and merges small packs. Others may write and read
    /// meanwhile. Costs about 150 ns a point once, when its run is packed.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io); everything stays readable as it was.
    pub fn compact(self, options: CompactOptions) -> Result<Compacted> {
        self.workspace.compact(options)
    }

    /// Deletes for good the runs that were marked deleted before `before_ms`, by
    /// themselves or with their experiment; then the experiments that were, unless a run of theirs was kept; and files
    /// of no more use. A dry run only tells which.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn collect_garbage(self, options: CollectOptions) -> Result<Collected> {
        self.workspace.collect_garbage(options)
    }

    /// Reads every byte of the workspace, but for `quarantine` and `tmp`, and verifies it. Others may write meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); damage is in the report, not an error.
    pub fn verify(self) -> Result<Report> {
        self.workspace.verify(&mut |_, _| {})
    }

    /// [`Self::verify`], telling `progress` how many bytes of how many are done.
    ///
    /// # Errors
    /// Those of [`Self::verify`].
    pub fn verify_with(self, progress: &mut dyn FnMut(u64, u64)) -> Result<Report> {
        self.workspace.verify(progress)
    }

    /// Takes damaged files out of use, and writes anew what of them verifies.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); what was done until then stands.
    pub fn repair(self, options: RepairOptions) -> Result<Repaired> {
        self.workspace.repair_with(options)
    }

    /// Counts everything that can be read. Costs the reading of every footer and of every log.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) of an index, [`Error::Io`](crate::Error::Io).
    pub fn usage(self) -> Result<Usage> {
        self.workspace.usage()
    }

    /// Deletes a run for good that was marked deleted. What is logged to it afterwards, by a writer that was not known,
    /// lives.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound); [`Error::Invalid`](crate::Error::Invalid) when it is not marked
    /// deleted, or is being written; [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn purge_run(self, id: &RunId) -> Result<()> {
        self.workspace.purge_run(id)
    }

    /// Deletes an experiment for good that was marked deleted, with all its runs. Its name is free then.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound); [`Error::Invalid`](crate::Error::Invalid) when it is not marked
    /// deleted, for the default one, or when one of its runs is being written or was restored by itself;
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn purge_experiment(self, id: ExperimentId) -> Result<()> {
        self.workspace.purge_experiment(id)
    }

    /// Deletes one metric of a run for good, with all its points. What is logged under its key later lives; importing
    /// the run again does not bring it back. Costs the rewriting of the logs and packs that hold the run.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound); [`Error::Invalid`](crate::Error::Invalid) when the run is being
    /// written; [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn delete_metric(self, id: &RunId, key: &str) -> Result<()> {
        self.workspace.delete_metric(id, key)
    }

    /// Starts maintenance. The first sync and the first compaction come after one interval each. Errors do not end it;
    /// the last one is kept, see [`Background::syncs`] and [`Background::compactions`]. A forked child has no such
    /// threads.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when a thread cannot be started.
    pub fn start(self, schedule: Schedule) -> Result<Background> {
        self.workspace.start_maintenance(schedule)
    }
}
