//! Known prefixes of long logs, within bounds of files and memory.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::folder::paths::LogName;
use crate::run::log_view::Known;

/// Known prefixes of long logs, so that only the new part of an open run is read again.
#[derive(Debug, Default)]
pub struct ReadLogs {
    pub(crate) known: FxHashMap<LogName, Arc<Known>>,
    /// Of all prefixes.
    pub(crate) weight: usize,
}

impl ReadLogs {
    /// Shorter logs are read in full each time.
    pub(crate) const LONG: u64 = 1 << 20;
    /// Beyond this many logs, whose files stay open, or the limit of bytes, all are forgotten.
    pub(crate) const LOGS_MAX: usize = 64;
    pub(crate) const WEIGHT_MAX: usize = 64 << 20;

    /// Remembers a prefix; returns what it replaces, to be dropped without the lock.
    pub(crate) fn note(&mut self, name: &LogName, known: Known) -> Vec<Arc<Known>> {
        let mut gone: Vec<Arc<Known>> = self.forget(name).into_iter().collect();
        if known.weight() > Self::WEIGHT_MAX {
            return gone;
        }
        if self.known.len() >= Self::LOGS_MAX || self.weight + known.weight() > Self::WEIGHT_MAX {
            gone.extend(self.known.drain().map(|(_, known)| known));
            self.weight = 0;
        }
        self.weight += known.weight();
        self.known.insert(name.clone(), Arc::new(known));
        gone
    }

    /// Forgets a log, so that its file is closed.
    pub(crate) fn forget(&mut self, name: &LogName) -> Option<Arc<Known>> {
        let known = self.known.remove(name)?;
        self.weight -= known.weight();
        Some(known)
    }

    /// Forgets logs that are gone, so that their files are closed.
    pub(crate) fn retain(&mut self, is_there: impl Fn(&LogName) -> bool) {
        let gone: Vec<LogName> = self.known.keys().filter(|name| !is_there(name)).cloned().collect();
        gone.iter().for_each(|name| _ = self.forget(name));
    }
}
