//! A lock that is held for nanoseconds and rarely contended: one atomic exchange, where others take two.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A mutex with this lock.
pub(crate) type Mutex<T> = lock_api::Mutex<RawFlag, T>;
/// Its guard.
pub(crate) type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawFlag, T>;
/// Its guard that holds the mutex too.
pub(crate) type ArcMutexGuard<T> = lock_api::ArcMutexGuard<RawFlag, T>;

/// Tries before a waiting thread sleeps, and how long it sleeps at most.
const SPINS: u32 = 64;
const SLEEP_MAX: Duration = Duration::from_millis(1);

/// Whether it is locked. An unlock is a plain store, since nobody waits in a queue: who waits looks again and again.
pub(crate) struct RawFlag(AtomicBool);

// SAFETY: `try_lock` succeeds for one caller at a time, the one that turned `false` into `true`. The orders of the
// exchange and the store let it see all that was written under the lock before.
unsafe impl lock_api::RawMutex for RawFlag {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait asks for it")]
    const INIT: Self = Self(AtomicBool::new(false));

    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {
        let (mut tries, mut sleep) = (0, Duration::from_micros(10));
        while !self.try_lock() {
            tries += 1;
            if tries < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::sleep(sleep);
                sleep = (sleep * 2).min(SLEEP_MAX);
            }
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        !self.0.swap(true, Ordering::Acquire)
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}
