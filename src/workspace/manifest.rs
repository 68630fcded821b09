//! The manifest: which packs are live, and what was deleted for good.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::ids::{RunKey, WriterId};
use crate::workspace::journal::State;

/// A live pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackEntry {
    /// Runs in it, those counted twice that lie in two groups.
    pub runs: u64,
    /// Series in it, by key and writer.
    pub series: u64,
    /// Points in it.
    pub points: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Which packs are live, and the tombstones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Packs by the number in their name.
    pub packs: BTreeMap<u128, PackEntry>,
    /// For runs deleted for good: through which point of each writer. What was logged later lives.
    pub tombstones: BTreeMap<RunKey, BTreeMap<WriterId, u64>>,
}

/// A change of the manifest. The order of variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A pack becomes live.
    Add {
        /// The number in its name.
        id: u128,
        /// What it holds.
        entry: PackEntry,
    },
    /// A pack is no longer live; its file stays for a grace period.
    Drop {
        /// The number in its name.
        id: u128,
    },
    /// A run is deleted for good.
    Delete {
        /// The run.
        run: RunKey,
        /// Its writers, and through which point.
        writers: Vec<(WriterId, u64)>,
    },
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
                let of_run = self.tombstones.entry(*run).or_default();
                for &(writer, through) in writers {
                    let own = of_run.entry(writer).or_default();
                    *own = through.max(*own);
                }
            }
        }
    }
}
