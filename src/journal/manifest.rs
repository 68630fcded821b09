//! The manifest: live packs and tombstones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::ids::{RunKey, WriterId};
use crate::journal::chain::State;

/// A live pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackEntry {
    /// Its runs, counted per row group.
    pub runs: u64,
    /// Its series, by key and writer.
    pub series: u64,
    /// Its points.
    pub points: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Live packs and tombstones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Packs by id.
    pub packs: BTreeMap<u128, PackEntry>,
    /// Tombstones of permanently deleted runs. Later points live.
    pub tombstones: BTreeMap<RunKey, Tombstone>,
    /// The same for single metrics, by key.
    pub metrics: BTreeMap<RunKey, BTreeMap<String, Tombstone>>,
}

/// A tombstone: through which point of each writer something is deleted.
pub type Tombstone = BTreeMap<WriterId, u64>;

/// A change of the manifest. The order of variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A pack becomes live.
    Add {
        /// The pack's id.
        id: u128,
        /// Its contents.
        entry: PackEntry,
    },
    /// A pack is no longer live; its file stays for a grace period.
    Drop {
        /// The pack's id.
        id: u128,
    },
    /// A run is permanently deleted.
    Delete {
        /// The run.
        run: RunKey,
        /// Its writers, and through which point.
        writers: Vec<(WriterId, u64)>,
    },
    /// One metric of a run is permanently deleted.
    DeleteMetric {
        /// The run.
        run: RunKey,
        /// The metric's key.
        key: String,
        /// The run's writers, and through which point.
        writers: Vec<(WriterId, u64)>,
    },
}

impl Manifest {
    /// Runs with tombstones.
    pub fn touched(&self) -> impl Iterator<Item = RunKey> {
        self.tombstones.keys().chain(self.metrics.keys()).copied()
    }
}

impl State for Manifest {
    type Change = Change;

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Add { id, entry } => {
                self.packs.insert(*id, *entry);
            }
            Change::Drop { id } => {
                self.packs.remove(id);
            }
            Change::Delete { run, writers } => {
                reach_further(self.tombstones.entry(*run).or_default(), writers);
            }
            Change::DeleteMetric { run, key, writers } => {
                let of_run = self.metrics.entry(*run).or_default();
                reach_further(of_run.entry(key.clone()).or_default(), writers);
            }
        }
    }
}

fn reach_further(tombstone: &mut Tombstone, writers: &[(WriterId, u64)]) {
    for &(writer, through) in writers {
        let own = tombstone.entry(writer).or_default();
        *own = through.max(*own);
    }
}

/// Whether a tombstone, if any, covers all points of a writer up to this one.
#[must_use]
pub fn covers(tombstone: Option<&Tombstone>, writer: WriterId, through: u64) -> bool {
    tombstone.and_then(|tombstone| tombstone.get(&writer)).is_some_and(|&deleted| through <= deleted)
}
