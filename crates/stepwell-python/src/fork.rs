//! Forks of the interpreter: holds all locks of runs during a fork, so that no child finds one held by a thread that it
//! does not have.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock, Weak};

use pyo3::prelude::*;

use crate::flag::{ArcMutexGuard, Mutex};
use crate::remote;
use crate::shared::State;

/// The runs of this process.
static RUNS: LazyLock<parking_lot::Mutex<Vec<Weak<Mutex<State>>>>> = LazyLock::new(Default::default);

thread_local! {
    /// What the forking thread holds while it forks.
    static HELD: RefCell<Vec<ArcMutexGuard<State>>> = const { RefCell::new(Vec::new()) };
}

/// Has a run's lock held during forks.
pub(crate) fn enlist(state: &Arc<Mutex<State>>) {
    let mut runs = RUNS.lock();
    runs.retain(|run| run.strong_count() > 0);
    runs.push(Arc::downgrade(state));
}

/// Takes the locks of all runs. `os.register_at_fork` calls it before a fork; no run calls Python while it is locked.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    // A module that was loaded anew has registered this again.
    if HELD.with_borrow(|held| !held.is_empty()) {
        return;
    }
    remote::before_fork();
    let runs: Vec<_> = RUNS.lock().iter().filter_map(Weak::upgrade).collect();
    for run in runs {
        let guard = loop {
            match run.try_lock_arc() {
                Some(guard) => break guard,
                // Whoever holds it may be waiting for the disk.
                None => py.detach(|| drop(run.lock())),
            }
        };
        HELD.with_borrow_mut(|held| held.push(guard));
    }
}

/// Releases the locks, in the parent and in the child.
#[pyfunction]
pub(crate) fn after_fork() {
    HELD.with_borrow_mut(Vec::clear);
    remote::after_fork();
}
