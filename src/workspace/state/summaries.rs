//! Summaries of logs as last followed, within a bound of memory.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::folder::paths::LogName;
use crate::run::log_summary::LogSummary;
use crate::workspace::state::ranked::{Rank, Ranked, Ranks};

/// Approximate limit of a handle's summaries, in bytes: some 20,000 logs of a few keys, or one log of 400,000. Edit
/// logs are kept beyond it: their length is bounded, and every query needs them.
pub(crate) const WEIGHT_MAX: usize = 128 << 20;

/// The summaries as last followed.
pub struct LiveLogs {
    ranks: Ranks,
    pub(crate) known: FxHashMap<LogName, Cached>,
    pub(crate) weight: usize,
    /// Counts queries over all logs.
    pub(crate) round: u64,
}

pub(crate) struct Cached {
    /// `None` while the log is first read, and after it could not be followed.
    pub(crate) summary: Arc<Ranked<Option<Arc<LogSummary>>>>,
    pub(crate) weight: usize,
    /// The last query over all logs in which the log existed.
    pub(crate) round: u64,
}

impl LiveLogs {
    pub(crate) fn new(ranks: Ranks) -> Self {
        Self { ranks, known: FxHashMap::default(), weight: 0, round: 0 }
    }

    pub(crate) fn slot(&mut self, name: &LogName) -> Arc<Ranked<Option<Arc<LogSummary>>>> {
        let round = self.round;
        if let Some(cached) = self.known.get_mut(name) {
            cached.round = round;
            return Arc::clone(&cached.summary);
        }
        let summary = Arc::new(self.ranks.lock(Rank::Summary, None));
        self.known.insert(name.clone(), Cached { summary: Arc::clone(&summary), weight: 0, round });
        summary
    }

    /// Records the memory of a summary. `false` if it exceeds the limit.
    pub(crate) fn weigh(&mut self, name: &LogName, weight: usize) -> bool {
        let Some(cached) = self.known.get_mut(name) else { return false };
        let total = self.weight - cached.weight + weight;
        let fits = total <= WEIGHT_MAX || name.run().is_none();
        let weight = if fits { weight } else { 0 };
        self.weight = self.weight - cached.weight + weight;
        cached.weight = weight;
        fits
    }

    pub(crate) fn forget(&mut self, name: &LogName) {
        if let Some(cached) = self.known.remove(name) {
            self.weight -= cached.weight;
        }
    }

    /// Forgets logs not seen since a query began.
    pub(crate) fn forget_before(&mut self, round: u64) {
        let mut freed = 0;
        self.known.retain(|_, cached| {
            let stays = cached.round >= round;
            freed += if stays { 0 } else { cached.weight };
            stays
        });
        self.weight -= freed;
    }
}
