//! The handle for maintenance.

use crate::base::ids::{ExperimentId, RunId};
use crate::error::Result;
use crate::workspace::background::{Background, Schedule};
use crate::workspace::compact::compaction::{CompactOptions, Compacted};
use crate::workspace::compact::purge::{CollectOptions, Collected};
use crate::workspace::read::report::Report;
use crate::workspace::read::usage::Usage;
use crate::workspace::state::shared::Shared;
use crate::workspace::verify::repair::{RepairOptions, Repaired};

/// Maintenance of a workspace: compaction, garbage collection, verification, repair. Cheap to make: it borrows the
/// handle.
#[derive(Clone, Copy, Debug)]
pub struct Maintenance<'a> {
    shared: &'a Shared,
}

impl<'a> Maintenance<'a> {
    pub(in crate::workspace) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }
}

impl Maintenance<'_> {
    /// Moves all closed logs into packs, and merges small packs. Others may write and read meanwhile. Costs about 150
    /// ns per point, once.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io); everything stays readable as it was.
    pub fn compact(self, options: CompactOptions) -> Result<Compacted> {
        self.shared.compact(options)
    }

    /// Permanently deletes runs that were marked deleted before `before_ms`, themselves or with their experiment; then
    /// such experiments, unless one of their runs was kept; and files that nothing needs. A dry run only reports them.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn collect_garbage(self, options: CollectOptions) -> Result<Collected> {
        self.shared.collect_garbage(options)
    }

    /// Reads and verifies every byte of the workspace, except `quarantine` and `tmp`. Others may write meanwhile.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); damage is in the report, not an error.
    pub fn verify(self) -> Result<Report> {
        self.shared.verify(&mut |_, _| {})
    }

    /// [`Self::verify`], reporting bytes done and total bytes to `progress`.
    ///
    /// # Errors
    /// Those of [`Self::verify`].
    pub fn verify_with(self, progress: &mut dyn FnMut(u64, u64)) -> Result<Report> {
        self.shared.verify(progress)
    }

    /// Writes what verifies of damaged files to new ones, and moves the originals to quarantine.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); what was done until then stays done.
    pub fn repair(self, options: RepairOptions) -> Result<Repaired> {
        self.shared.repair_with(options)
    }

    /// Counts everything that can be read. Reads every footer and every log.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) of an index, [`Error::Io`](crate::Error::Io).
    pub fn usage(self) -> Result<Usage> {
        self.shared.usage()
    }

    /// Permanently deletes a run that was marked deleted. What new writers log to it afterwards is kept.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound); [`Error::Invalid`](crate::Error::Invalid) when it is not marked
    /// deleted, or is being written; [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn purge_run(self, id: &RunId) -> Result<()> {
        self.shared.purge_run(id)
    }

    /// Permanently deletes an experiment that was marked deleted, with all its runs. Its name becomes free.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound); [`Error::Invalid`](crate::Error::Invalid) when it is not marked
    /// deleted, for the default one, or when one of its runs is being written or was restored by itself;
    /// [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn purge_experiment(self, id: ExperimentId) -> Result<()> {
        self.shared.purge_experiment(id)
    }

    /// Permanently deletes one metric of a run, with all its points. Points logged under its key later are kept;
    /// importing the run again does not restore it. Rewrites the logs and packs that have the run.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound); [`Error::Invalid`](crate::Error::Invalid) when the run is being
    /// written; [`Error::Corrupt`](crate::Error::Corrupt), [`Error::Io`](crate::Error::Io).
    pub fn delete_metric(self, id: &RunId, key: &str) -> Result<()> {
        self.shared.delete_metric(id, key)
    }

    /// Starts background maintenance. The first sync and compaction come after one interval. Errors do not stop it; the
    /// last one is kept, see [`Background::syncs`] and [`Background::compactions`]. A forked child has no such threads.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when a thread cannot be started.
    pub fn start(self, schedule: Schedule) -> Result<Background> {
        self.shared.start_maintenance(schedule)
    }
}
