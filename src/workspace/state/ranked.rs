//! Locks with an order. A thread that holds a lock may take only locks of greater ranks; debug builds check it.

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
    /// Edit logs as last read: held while they are read.
    EditLogs,
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

/// A lock with a rank.
pub(crate) struct Ranked<T> {
    rank: Rank,
    lock: Mutex<T>,
}

impl<T> Ranked<T> {
    pub(crate) const fn new(rank: Rank, value: T) -> Self {
        Self { rank, lock: Mutex::new(value) }
    }

    /// Takes the lock.
    ///
    /// # Panics
    /// In debug builds, if this thread holds a lock of the same or a greater rank.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let held = Held::new(self.rank);
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
    rank: Rank,
}

#[cfg(debug_assertions)]
thread_local! {
    /// The ranks of the locks that this thread holds.
    static HELD: std::cell::RefCell<Vec<Rank>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Held {
    #[cfg(debug_assertions)]
    fn new(rank: Rank) -> Self {
        HELD.with_borrow_mut(|held| {
            let above = held.iter().find(|known| **known >= rank);
            assert!(above.is_none(), "{rank:?} is locked while {above:?} is held");
            held.push(rank);
        });
        Self { rank }
    }

    #[cfg(not(debug_assertions))]
    const fn new(_: Rank) -> Self {
        Self {}
    }
}

#[cfg(debug_assertions)]
impl Drop for Held {
    fn drop(&mut self) {
        // A thread that ends may have dropped its list already.
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some(at) = held.iter().rposition(|known| *known == self.rank) {
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
        let (manifest, packs) = (Ranked::new(Rank::Manifest, 1), Ranked::new(Rank::Packs, 2));
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
    #[should_panic(expected = "Manifest is locked while Some(Packs) is held")]
    fn a_lock_out_of_order_is_noticed() {
        let (manifest, packs) = (Ranked::new(Rank::Manifest, ()), Ranked::new(Rank::Packs, ()));
        let _packs = packs.lock();
        drop(manifest.lock());
    }
}
