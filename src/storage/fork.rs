//! Whether this process is a forked copy of the one that opened a handle.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};

/// 0 until the handler is registered; afterwards never 0.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// This process's generation: differs from the values of all its ancestors.
///
/// Store the value with anything a child must not share with its parent (a log, a lock, a thread) and compare: if it
/// changed, this process is a child, and the handle is the parent's. Costs one relaxed load and a branch; the first
/// call registers a handler with `pthread_atfork`.
///
/// Children of a bare `clone`, `vfork` or `_Fork` are not detected; those of the C library's `fork`, and so of Python's
/// `os.fork` and `multiprocessing`, are. If the registration fails (no memory), it is retried at the next call, and 0
/// is returned meanwhile.
#[inline]
pub fn generation() -> u32 {
    match GENERATION.load(Ordering::Relaxed) {
        0 => register(),
        generation => generation,
    }
}

/// Registers the handler, then publishes that.
///
/// No lock: a fork in the middle would leave it held in the child forever. Two threads that get here at once register
/// twice, and a fork then counts by two, which works as well. A fork between the two steps affects nobody: no value was
/// returned yet.
#[cold]
fn register() -> u32 {
    // SAFETY: the handler is a function for the life of the library, and does what is allowed in a child of a process
    // with threads: it changes one atomic number.
    let failed = unsafe { libc::pthread_atfork(None, None, Some(in_child)) } != 0;
    if !failed {
        let _ = GENERATION.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
    }
    GENERATION.load(Ordering::Relaxed)
}

/// Runs in every forked child, before `fork` returns there.
extern "C" fn in_child() {
    let next = GENERATION.load(Ordering::Relaxed).wrapping_add(1).max(1);
    GENERATION.store(next, Ordering::Relaxed);
}
