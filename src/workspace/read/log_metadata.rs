//! A log's metadata of runs: followed if possible, else from a full read.

use std::sync::Arc;

use crate::base::ids::{RunId, RunKey};
use crate::error::{Error, Result};
use crate::folder::paths::LogName;
use crate::run::log_summary::LogSummary;
use crate::run::log_view::LogView;
use crate::run::snapshot::RunPart;
use crate::run::state::RunState;
use crate::workspace::read::live::Followed;
use crate::workspace::state::ledgers::Reach;
use crate::workspace::state::shared::Shared;

/// A log's metadata, by how it was read.
pub(crate) enum LogMetadata {
    /// An undamaged log, of which only the new part was read.
    Summary(Arc<LogSummary>),
    /// Any log, read in full.
    View(Box<LogView>),
}

impl LogMetadata {
    /// The log's metadata of a run.
    pub(crate) fn state(&self, id: &RunId) -> Option<RunState> {
        match self {
            Self::Summary(summary) => summary.state(id),
            Self::View(view) => view.run(id).map(|run| view.state(run)),
        }
    }

    /// The log's metadata of the runs with a key.
    pub(crate) fn states_of_key(&self, key: RunKey) -> Vec<RunState> {
        match self {
            Self::Summary(summary) => summary.state_of_key(key).into_iter().collect(),
            Self::View(view) => {
                let of_key = view.runs().filter(|id| id.key() == key);
                of_key.filter_map(|id| view.run(id)).map(|run| view.state(run)).collect()
            }
        }
    }

    /// The length of the log.
    pub(crate) fn reach(&self) -> Reach {
        match self {
            Self::Summary(summary) => Reach::of_summary(summary),
            Self::View(view) => Reach::of(view),
        }
    }

    /// The value of a param that the log claims and has neither set nor retracted.
    pub(crate) fn open_claim(&self, id: &RunId, param: &str) -> Option<&str> {
        match self {
            Self::Summary(summary) => summary.open_claim(id, param),
            Self::View(view) => view.open_claim(id, param),
        }
    }

    /// Whether the log has anything of a run, or claimed a param of it.
    pub(crate) fn mentions(&self, id: &RunId) -> bool {
        match self {
            Self::Summary(summary) => summary.number(id).is_some() || summary.claims(id),
            Self::View(view) => view.mentions(id),
        }
    }

    /// Whether its writer ended it.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Summary(summary) => summary.has_ended(),
            Self::View(view) => view.log().ended,
        }
    }

    /// Its damage.
    pub(crate) fn damage(&self) -> Vec<Error> {
        match self {
            Self::Summary(_) => Vec::new(),
            Self::View(view) => view.damage().map(|bad| Error::corrupt(view.path(), bad.offset, bad.what)).collect(),
        }
    }
}

impl Shared {
    /// An edit log as it is now; `None` if compaction removed it. Reads what was appended since the last call, and
    /// nothing once it has ended.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::NewerFormat`], [`Error::Io`].
    pub(crate) fn edit_log_metadata(&self, name: &LogName) -> Result<Option<LogMetadata>> {
        match self.follow_log(name)? {
            Followed::Whole(summary) => Ok(Some(LogMetadata::Summary(summary))),
            Followed::Gone => Ok(None),
            Followed::Unclear => self.log_metadata(name),
        }
    }

    /// Any log as it is now, read in full except for known prefixes of long ones.
    ///
    /// # Errors
    /// As [`Self::edit_log_metadata`].
    pub(crate) fn log_metadata(&self, name: &LogName) -> Result<Option<LogMetadata>> {
        Ok(self.read_log(name)?.map(|view| LogMetadata::View(Box::new(view))))
    }
}

/// A part with metadata and no points.
pub(crate) fn metadata_part(state: RunState) -> RunPart {
    let series = state.coverage.iter().map(|&coverage| (coverage, Vec::new())).collect();
    RunPart { state, series }
}
