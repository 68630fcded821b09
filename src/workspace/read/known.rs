//! What existed when a batch of writes began, so that a new run costs no listing of folders.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::ids::{ExperimentId, RunKey};
use crate::error::Result;
use crate::run::log_metadata::LogMetadata;
use crate::workspace::state::packs::PackSet;
use crate::workspace::state::shared::Shared;

/// What existed when a batch began, so that a new run costs no listing of folders.
#[derive(Debug)]
pub(crate) struct Known {
    /// Runs in logs.
    logged: FxHashSet<RunKey>,
    pub(crate) packs: PackSet,
    /// Whether an unreadable file may mention any run.
    unclear: bool,
    /// Names and generations of experiments used so far.
    experiments: FxHashMap<ExperimentId, (String, u64)>,
}

impl Known {
    /// The current state.
    pub(crate) fn of(workspace: &Shared) -> Result<Self> {
        // Logs before packs.
        let (names, unlisted) = workspace.all_log_names()?;
        let mut logged: FxHashSet<RunKey> = names.iter().filter_map(|name| name.run()).collect();
        let (edits, unreadable) = workspace.edit_logs()?;
        logged.extend(edits.iter().flat_map(LogMetadata::mentioned));
        let packs = workspace.refresh()?;
        packs.check()?;
        let unclear = !unlisted.is_empty() || !unreadable.is_empty() || !packs.broken().is_empty();
        Ok(Self { logged, packs, unclear, experiments: FxHashMap::default() })
    }

    /// Whether anything may exist of a run.
    pub(crate) fn may_have(&self, run: RunKey) -> bool {
        self.unclear || self.logged.contains(&run) || self.packs.find(run).next().is_some()
    }

    pub(crate) fn experiment(&mut self, workspace: &Shared, id: ExperimentId) -> Result<(String, u64)> {
        if let Some(known) = self.experiments.get(&id) {
            return Ok(known.clone());
        }
        let experiment = workspace.experiment(id)?;
        let known = (experiment.name, experiment.generation);
        self.experiments.insert(id, known.clone());
        Ok(known)
    }
}
