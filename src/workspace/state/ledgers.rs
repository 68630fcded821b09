//! Lines of ledgers as last read, and what a log must have by its line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::ids::{RunKey, WriterId};
use crate::error::Error;
use crate::folder::paths::{self, LogName};
use crate::log::ledger::Entry;
use crate::run::log_metadata::LogMetadata;

/// The ledgers as last read.
#[derive(Default)]
pub struct Ledgers {
    /// How far each ledger was read.
    pub(crate) read: FxHashMap<PathBuf, Lines>,
    /// Lines that are not retired, by run (`None` for edit logs) and writer.
    pub(crate) open: BTreeMap<(Option<RunKey>, WriterId), Claim>,
    /// Logs found in packs although their lines are not retired.
    pub(crate) retired: FxHashSet<WriterId>,
    /// The last error of reading a ledger or their folder.
    pub(crate) unread: Option<Error>,
}

/// How far a ledger was read.
#[derive(Default)]
pub(crate) struct Lines {
    /// All lines before this offset.
    pub(crate) end: u64,
    /// Offsets of lines that did not verify; they may have been half written.
    pub(crate) unclear: Vec<u64>,
}

impl Ledgers {
    /// Adds or replaces a line.
    pub(crate) fn note(&mut self, claim: Claim) {
        let Entry { run, writer, retired, .. } = claim.entry;
        if retired || self.retired.contains(&writer) {
            self.open.remove(&(run, writer));
        } else {
            self.open.insert((run, writer), claim);
        }
    }

    /// Notes that a log may be gone.
    pub(crate) fn retire(&mut self, run: Option<RunKey>, writer: WriterId) {
        self.open.remove(&(run, writer));
        self.retired.insert(writer);
    }

    /// The lines of a run's logs; of edit logs if `run` is `None`.
    pub(crate) fn of(&self, run: Option<RunKey>) -> impl Iterator<Item = &Claim> {
        self.open.range((run, WriterId(0))..=(run, WriterId(u128::MAX))).map(|(_, claim)| claim)
    }

    /// Forgets removed ledgers.
    pub(crate) fn retain(&mut self, paths: &[PathBuf]) {
        if self.read.keys().any(|path| !paths.contains(path)) {
            self.read.retain(|path, _| paths.contains(path));
            self.open.retain(|_, claim| self.read.contains_key(&*claim.ledger));
        }
    }
}

/// One line and its location.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) ledger: Arc<Path>,
    pub(crate) offset: u64,
    pub(crate) entry: Entry,
    /// Whether no power loss happened since it was written, so that all of it holds.
    pub(crate) alive: bool,
}

/// The lengths of readable logs, by writer.
pub(crate) type Reaches = FxHashMap<WriterId, Reach>;

/// The length of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    pub(crate) end: u64,
    pub(crate) points: u64,
    pub(crate) ended: bool,
    /// Whether only a power loss can have left its torn end.
    pub(crate) torn_by_stop: bool,
}

impl Reach {
    pub(crate) fn of(log: &LogMetadata) -> Self {
        let at = log.at();
        Self { end: at.end(), points: at.points(), ended: at.has_ended(), torn_by_stop: log.is_torn_by_stop() }
    }
}

impl Claim {
    /// The log's file names.
    pub(crate) fn name(&self, root: &Path) -> LogName {
        paths::log_name(root, self.entry.run, self.entry.writer)
    }

    /// The least bytes and points the log must have.
    pub(crate) fn floor(&self) -> (u64, u64) {
        let Entry { len, points, synced_len, synced_points, .. } = self.entry;
        if self.alive { (len.max(synced_len), points.max(synced_points)) } else { (synced_len, synced_points) }
    }

    /// The log's writer.
    pub(crate) fn writer(&self) -> WriterId {
        self.entry.writer
    }

    /// Whether the log's points count as another writer's.
    pub(crate) fn is_relayed(&self) -> bool {
        self.entry.relayed
    }

    /// Whether the log is known to have had bytes, so that its writer had locked it.
    pub(crate) fn has_begun(&self) -> bool {
        self.entry.len.max(self.entry.synced_len) > 0
    }

    /// The log's bytes and points, if its writer ended it.
    pub(crate) fn end(&self) -> Option<(u64, u64)> {
        self.entry.ended.then_some((self.entry.len, self.entry.points))
    }

    /// The log's synced bytes.
    pub(crate) fn synced_len(&self) -> u64 {
        self.entry.synced_len
    }

    /// Whether every slot of the tail must verify: nothing stored there can have been lost.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive
    }

    /// What a log of this length lacks, if anything; `None` if there is no log.
    pub(crate) fn missing(&self, reach: Option<Reach>) -> Option<String> {
        let (len, points) = self.floor();
        let Some(reach) = reach else {
            let of_points = if points > 0 { format!(" and {points} points") } else { String::new() };
            return (len > 0).then(|| format!("the log is missing or empty: it had {len} bytes{of_points}"));
        };
        if reach.end < len {
            return Some(format!("the log ends at byte {}: it had {len} bytes", reach.end));
        }
        if self.alive && reach.torn_by_stop {
            let end = reach.end;
            return Some(format!("the log does not verify from byte {end} on, and the machine did not stop since"));
        }
        (reach.points < points).then(|| format!("the log has {} points: it had {points}", reach.points))
    }
}
