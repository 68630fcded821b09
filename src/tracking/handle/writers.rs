//! The logs that a facade holds open for writing, a bounded number: one for each run that is being logged to.
//!
//! 1. A call asks for its run's slot under the table's lock, and leaves it at once; it waits for the run's own lock
//!    only.
//! 2. Where the table is full, the slot that was used longest ago goes, unless a call holds it.
//! 3. A slot that was not written for a while is closed by [`Writers::close_idle`].
//!
//! A run may be deleted by another process meanwhile, which no lock prevents: an open log asks again when it has not
//! done so for a second. Deletions through the same facade are known at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::base::ids::RunId;
use crate::error::Error;
use crate::folder::clock::now_ms;
use crate::tracking::values::error::{Fault, Result};
use crate::workspace::handle::Workspace;
use crate::workspace::write::writer::RunWriter;

/// How long an open log trusts that its run is not deleted, in milliseconds.
const TRUST_MS: i64 = 1000;
/// How many batches of a run are remembered, to know one that is sent again.
const BATCHES: usize = 32;

/// An open log and what is known of it.
pub(crate) struct Held {
    pub(crate) writer: RunWriter,
    /// When the run was last known to be active.
    checked_ms: i64,
    /// The count of deletions at that moment.
    deletions: u64,
    /// Fingerprints of the last batches, the oldest overwritten first.
    batches: [u64; BATCHES],
    next_batch: usize,
}

impl Held {
    /// Whether a batch of this fingerprint was taken lately, and remembers it.
    pub(crate) fn seen(&mut self, fingerprint: u64) -> bool {
        if self.batches.contains(&fingerprint) {
            return true;
        }
        self.batches[self.next_batch] = fingerprint;
        self.next_batch = (self.next_batch + 1) % BATCHES;
        false
    }
}

type Shared = Arc<Mutex<Option<Held>>>;

struct Slot {
    held: Shared,
    used: u64,
    used_ms: i64,
}

#[derive(Default)]
struct Table {
    slots: FxHashMap<RunId, Slot>,
    uses: u64,
}

/// See the module.
pub(crate) struct Writers {
    table: Mutex<Table>,
    max: usize,
    idle_ms: i64,
    /// How many runs or experiments this facade deleted or restored.
    deletions: AtomicU64,
}

impl Writers {
    pub(crate) fn new(max: usize, idle_ms: i64) -> Self {
        Self { table: Mutex::default(), max, idle_ms, deletions: AtomicU64::new(0) }
    }

    /// Does something with the open log of a run, which is opened if need be.
    ///
    /// A log that was removed while it was open, by a restore of the folder for example, is opened anew once.
    pub(crate) fn with<T>(
        &self,
        workspace: &Workspace,
        id: &RunId,
        mut act: impl FnMut(&mut Held) -> Result<T, Error>,
    ) -> Result<T> {
        for attempt in 0.. {
            if self.is_full_without(id) {
                // A log is not closed for a run that there is none of.
                workspace.check_active(id)?;
            }
            let (shared, evicted) = self.slot(id);
            close(evicted);
            let mut slot = shared.lock();
            let now = now_ms();
            let deletions = self.deletions.load(Ordering::Acquire);
            let held = match &mut *slot {
                Some(held) => held,
                None => match workspace.writer(id) {
                    Ok(writer) => slot.insert(self.hold(writer)),
                    Err(error) => {
                        self.table.lock().slots.remove(id);
                        return Err(error.into());
                    }
                },
            };
            if held.deletions != deletions || now.saturating_sub(held.checked_ms).unsigned_abs() > TRUST_MS as u64 {
                workspace.check_active(id)?;
                (held.checked_ms, held.deletions) = (now, deletions);
            }
            match act(held) {
                Err(Error::LogRemoved { .. }) if attempt == 0 => *slot = None,
                done => return done.map_err(Fault::from),
            }
        }
        unreachable!("the second attempt returns")
    }

    /// Does something with the open log of a run if there is one.
    pub(crate) fn with_open<T>(
        &self,
        workspace: &Workspace,
        id: &RunId,
        act: impl FnMut(&mut Held) -> Result<T, Error>,
    ) -> Option<Result<T>> {
        let open = self.table.lock().slots.contains_key(id);
        open.then(|| self.with(workspace, id, act))
    }

    /// Takes in the log of a run that was just created.
    pub(crate) fn insert(&self, writer: RunWriter) {
        let id = writer.run_id().clone();
        let (shared, evicted) = self.slot(&id);
        close(evicted);
        *shared.lock() = Some(self.hold(writer));
    }

    fn is_full_without(&self, id: &RunId) -> bool {
        let table = self.table.lock();
        table.slots.len() >= self.max && !table.slots.contains_key(id)
    }

    fn hold(&self, writer: RunWriter) -> Held {
        let deletions = self.deletions.load(Ordering::Acquire);
        Held { writer, checked_ms: now_ms(), deletions, batches: [0; BATCHES], next_batch: 0 }
    }

    /// Says that runs were deleted or restored, so that open logs ask again before they write.
    pub(crate) fn deleted(&self) {
        self.deletions.fetch_add(1, Ordering::AcqRel);
    }

    /// Ends the open log of a run, if there is one, and makes it survive a power loss.
    pub(crate) fn close(&self, id: &RunId) -> Result<()> {
        let slot = self.table.lock().slots.remove(id);
        match slot.and_then(|slot| slot.held.lock().take()) {
            Some(held) => Ok(held.writer.close()?),
            None => Ok(()),
        }
    }

    pub(crate) fn close_idle(&self) -> Result<()> {
        let before = now_ms().saturating_sub(self.idle_ms);
        self.close_those(|slot| slot.used_ms < before && Arc::strong_count(&slot.held) == 1)
    }

    pub(crate) fn close_all(&self) -> Result<()> {
        self.close_those(|_| true)
    }

    fn close_those(&self, which: impl Fn(&Slot) -> bool) -> Result<()> {
        let gone: Vec<Shared> = {
            let mut table = self.table.lock();
            let ids: Vec<RunId> =
                table.slots.iter().filter(|(_, slot)| which(slot)).map(|(id, _)| id.clone()).collect();
            ids.iter().filter_map(|id| table.slots.remove(id)).map(|slot| slot.held).collect()
        };
        // One that fails keeps no other from being closed.
        let mut first = Ok(());
        for shared in gone {
            let taken = shared.lock().take();
            if let Some(held) = taken
                && let Err(error) = held.writer.close()
                && first.is_ok()
            {
                first = Err(error.into());
            }
        }
        first
    }

    /// The slot of a run, and one that had to go for it.
    fn slot(&self, id: &RunId) -> (Shared, Option<Shared>) {
        let mut table = self.table.lock();
        table.uses += 1;
        let used = table.uses;
        if let Some(slot) = table.slots.get_mut(id) {
            (slot.used, slot.used_ms) = (used, now_ms());
            return (Arc::clone(&slot.held), None);
        }
        let mut evicted = None;
        if table.slots.len() >= self.max {
            let free = table.slots.iter().filter(|(_, slot)| Arc::strong_count(&slot.held) == 1);
            let oldest = free.min_by_key(|(_, slot)| slot.used).map(|(id, _)| id.clone());
            evicted = oldest.and_then(|id| table.slots.remove(&id)).map(|slot| slot.held);
        }
        let held = Shared::default();
        table.slots.insert(id.clone(), Slot { held: Arc::clone(&held), used, used_ms: now_ms() });
        (held, evicted)
    }
}

/// Ends a log that had to go. What it was given survives the process in any case.
fn close(evicted: Option<Shared>) {
    if let Some(shared) = evicted
        && let Some(held) = shared.lock().take()
    {
        drop(held);
    }
}
