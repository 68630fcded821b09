//! What a handle knows to be durable, besides its own writes.

use std::sync::atomic::AtomicU64;

use rustc_hash::FxHashSet;

use crate::folder::paths::LogName;
use crate::workspace::state::ranked::{Rank, Ranked, Ranks};

/// Most logs remembered as durable.
pub(crate) const LOGS_MAX: usize = 4096;

/// What this handle knows to be durable, besides its own writes.
#[derive(Debug)]
pub struct Durable {
    /// Durable logs that do not change any more.
    pub(crate) logs: Ranked<FxHashSet<LogName>>,
    /// The manifest's last entry with a durable name, and the catalog's.
    pub(crate) manifest: AtomicU64,
    pub(crate) catalog: AtomicU64,
}

impl Durable {
    pub(crate) fn new(ranks: Ranks) -> Self {
        let logs = ranks.lock(Rank::Durable, FxHashSet::default());
        Self { logs, manifest: AtomicU64::default(), catalog: AtomicU64::default() }
    }
}
