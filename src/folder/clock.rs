//! The only module that reads the time. Time is data: nothing is ordered or made unique by it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch by the system's clock, which may step back.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_millis() as i64,
        Err(before) => -(before.duration().as_millis() as i64),
    }
}

/// [`now_ms`] at the kernel's last tick, up to 10 ms ago: for points logged without a timestamp, at a quarter of the
/// cost.
#[cfg(target_os = "linux")]
#[must_use]
#[inline]
#[allow(unsafe_code)]
pub(crate) fn coarse_now_ms() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the structure that the pointer leads to, or fails and leaves it.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut time) };
    if done == 0 { time.tv_sec * 1000 + time.tv_nsec / 1_000_000 } else { now_ms() }
}

/// [`now_ms`]; there is no cheaper clock here.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub(crate) fn coarse_now_ms() -> i64 {
    now_ms()
}

/// Measures elapsed time by a monotonic clock.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_is_the_same_clock() {
        let (before, coarse) = (now_ms(), coarse_now_ms());
        // A tick is 10 ms at most, and the machine may stop between the two.
        assert!(coarse >= before - 20 && coarse <= now_ms() + 1, "{before} {coarse}");
    }
}
