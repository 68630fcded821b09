//! Whether this process is a forked copy of the one that opened a handle.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};

/// 0 until the handler is registered; afterwards never 0.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// This process's generation: it differs from every value that a forked child's ancestors were ever given.
///
/// Keep the value beside whatever a child must not share with its parent (a log, a lock, a thread) and compare: when it
/// changed, this process is a child, and the handle is the parent's. The cost is one relaxed load and a branch; the
/// first call of a process registers a handler with `pthread_atfork`.
///
/// Children made by a bare `clone`, `vfork` or `_Fork` are not seen; the C library's `fork`, and so Python's `os.fork`
/// and `multiprocessing`, are. Should the registration ever fail (no memory), it is tried again at the next call, which
/// returns 0 meanwhile.
#[inline]
pub fn generation() -> u32 {
    match GENERATION.load(Ordering::Relaxed) {
        0 => register(),
        generation => generation,
    }
}

/// Registers the handler, then says so.
///
/// No lock: a fork in the middle would leave it held in the child for ever. Two threads that come here at once register
/// twice, and a fork then counts two, which differs from before just as well. A fork between the two steps meets nobody
/// who was given a value.
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
