//! Locks with an order. A thread that holds a lock may take only locks of the same handle with greater ranks; debug
//! builds check it.

use std::ops::{Deref, DerefMut};

use parking_lot::{Mutex, MutexGuard};

/// The locks of a handle, in the order in which one thread may hold several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// The journal of models: held while a caller's closure reads it, which may do anything else with the workspace.
    Registry,
    /// This handle's edit log: held while its edits are committed, which may read anything.
    Edits,
    /// Rows of runs outside of packs: held while missing ones are made.
    Overlay,
    /// The summary of one log: held while the log is followed.
    Summary,
    /// The table of summaries.
    Summaries,
    /// Known prefixes of logs.
    ReadLogs,
    /// The ledger for this handle's writers.
    Ledger,
    /// Lines of ledgers.
    Ledgers,
    /// The journal of packs.
    Manifest,
    /// The journal of experiments.
    Catalog,
    /// Open packs.
    Packs,
    /// Indexes of packs.
    Indexes,
    /// Watermarks of this handle's writers.
    Writers,
    /// Logs known to be durable.
    Durable,
}

/// The maker of one handle's locks. Locks of different handles have no order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranks {
    #[cfg(debug_assertions)]
    handle: u64,
}

impl Ranks {
    /// The ranks of a new handle.
    #[cfg(debug_assertions)]
    pub(crate) fn of_handle() -> Self {
        static HANDLES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        Self { handle: HANDLES.fetch_add(1, std::sync::atomic::Ordering::Relaxed) }
    }

    /// The ranks of a new handle.
    #[cfg(not(debug_assertions))]
    pub(crate) const fn of_handle() -> Self {
        Self {}
    }

    /// A lock of this handle.
    pub(crate) const fn lock<T>(self, rank: Rank, value: T) -> Ranked<T> {
        Ranked { ranks: self, rank, lock: Mutex::new(value) }
    }
}

/// A lock with a rank.
pub(crate) struct Ranked<T> {
    ranks: Ranks,
    rank: Rank,
    lock: Mutex<T>,
}

impl<T> Ranked<T> {
    /// Takes the lock.
    ///
    /// # Panics
    /// In debug builds, if this thread holds a lock of the same handle with the same or a greater rank.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let held = Held::new(self.ranks, self.rank);
        Guard { guard: self.lock.lock(), _held: held }
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Ranked<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ranked").field("rank", &self.rank).field("lock", &self.lock).finish()
    }
}

/// A lock that is held.
pub(crate) struct Guard<'a, T> {
    // Dropped in this order: the lock is free before its rank is.
    guard: MutexGuard<'a, T>,
    _held: Held,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Notes, in debug builds, that this thread holds a lock of a rank.
struct Held {
    #[cfg(debug_assertions)]
    of: (u64, Rank),
}

#[cfg(debug_assertions)]
thread_local! {
    /// The handles and ranks of the locks that this thread holds.
    static HELD: std::cell::RefCell<Vec<(u64, Rank)>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Held {
    #[cfg(debug_assertions)]
    fn new(ranks: Ranks, rank: Rank) -> Self {
        let of = (ranks.handle, rank);
        // At a process's exit the list may be gone already; then nothing is checked.
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some((_, above)) = held.iter().find(|known| known.0 == of.0 && known.1 >= rank) {
                panic!("{rank:?} is locked while {above:?} is held");
            }
            held.push(of);
        });
        Self { of }
    }

    #[cfg(not(debug_assertions))]
    const fn new(_: Ranks, _: Rank) -> Self {
        Self {}
    }
}

#[cfg(debug_assertions)]
impl Drop for Held {
    fn drop(&mut self) {
        // A thread that ends may have dropped its list already.
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some(at) = held.iter().rposition(|known| *known == self.of) {
                held.remove(at);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_taken_in_order_and_given_back_in_any() {
        let ranks = Ranks::of_handle();
        let (manifest, packs) = (ranks.lock(Rank::Manifest, 1), ranks.lock(Rank::Packs, 2));
        for _ in 0..2 {
            let first = manifest.lock();
            let mut second = packs.lock();
            *second += *first;
            drop(first);
            drop(second);
        }
        assert_eq!(*packs.lock(), 4);
        drop(packs.lock());
        drop(manifest.lock());
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "Manifest is locked while Packs is held")]
    fn a_lock_out_of_order_is_noticed() {
        let ranks = Ranks::of_handle();
        let (manifest, packs) = (ranks.lock(Rank::Manifest, ()), ranks.lock(Rank::Packs, ()));
        let _packs = packs.lock();
        drop(manifest.lock());
    }
    #[test]
    fn locks_of_two_handles_have_no_order() {
        let packs = Ranks::of_handle().lock(Rank::Packs, ());
        let other = Ranks::of_handle().lock(Rank::Manifest, ());
        let _packs = packs.lock();
        drop(other.lock());
    }
}
