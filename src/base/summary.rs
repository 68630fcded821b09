//! What search and lists know of one run: its words and the statistics of its series, never a history.

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
    /// Where it stands.
    pub status: RunStatus,
    /// Milliseconds since the epoch.
    pub start_time_ms: Option<i64>,
    /// Milliseconds since the epoch.
    pub end_time_ms: Option<i64>,
    /// What it stands for: see [`crate::items`].
    pub kind: u8,
    /// Whether the run is marked deleted.
    pub deleted: bool,
    /// How often its experiment had been deleted or restored when that mark was set: see the catalog.
    pub deleted_generation: u64,
    /// Params by key.
    pub params: BTreeMap<String, String>,
    /// Tags by key.
    pub tags: BTreeMap<String, String>,
    /// What is attached, by [`crate::base::items::index_key`].
    pub items: BTreeMap<String, String>,
    /// Statistics of each metric, by key.
    pub metrics: BTreeMap<String, SeriesStats>,
}
