//! What a handle knows to be durable, besides its own writes.

use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use rustc_hash::FxHashSet;

use crate::folder::paths::LogName;

/// Most logs remembered as durable.
pub(crate) const LOGS_MAX: usize = 4096;

/// What this handle knows to be durable, besides its own writes.
#[derive(Debug, Default)]
pub struct Durable {
    /// Durable logs that do not change any more.
    pub(crate) logs: Mutex<FxHashSet<LogName>>,
    /// The manifest's last entry with a durable name, and the catalog's.
    pub(crate) manifest: AtomicU64,
    pub(crate) catalog: AtomicU64,
}
