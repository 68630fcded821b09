//! A run's summary for search and lists: its metadata and the statistics of its series, without histories.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::ids::{ExperimentId, RunId};
use crate::base::stats::{RunStatus, SeriesStats};

/// One run as search sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run's id.
    pub run_id: RunId,
    /// Its experiment.
    pub experiment_id: ExperimentId,
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
    /// Its kind: see [`crate::items`].
    #[doc(hidden)]
    pub kind: u8,
    /// Whether the run is marked deleted.
    pub deleted: bool,
    /// The experiment's generation in which its deletion attribute was set.
    #[doc(hidden)]
    pub deleted_generation: u64,
    /// Params by key.
    pub params: BTreeMap<String, String>,
    /// Tags by key.
    pub tags: BTreeMap<String, String>,
    /// Its items, by [`crate::base::items::index_key`].
    #[doc(hidden)]
    pub items: BTreeMap<String, String>,
    /// Statistics of each metric, by key.
    pub metrics: BTreeMap<String, SeriesStats>,
}
