//! The processor's floating-point mode, set to its default around arithmetic whose result must not depend on it.
#![allow(unsafe_code)]

// Q: Why? A: a host program may have set flush-to-zero or another rounding mode on this thread (fast-math libraries,
// torch.set_flush_denormal). Then subnormals read as zero and quotients round differently, and what one thread wrote
// another would not read back bit for bit.

/// Runs `work` with the default floating-point mode (round to nearest, subnormals kept, exceptions masked) and puts
/// the caller's mode back afterwards, also when `work` unwinds. Costs a few nanoseconds.
pub(super) fn with_default<T>(work: impl FnOnce() -> T) -> T {
    let _restore = Restore::new();
    apart(work)
}

/// Not inlined, so that no arithmetic of `work` moves across the change of mode.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// The caller's mode, put back on drop.
struct Restore {
    callers: arch::Mode,
}

impl Restore {
    fn new() -> Self {
        let callers = arch::get();
        if !arch::is_default(callers) {
            arch::set(arch::DEFAULT);
        }
        Self { callers }
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if !arch::is_default(self.callers) {
            arch::set(self.callers);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod arch {
    use std::arch::asm;

    pub(super) type Mode = u32;
    /// All exceptions masked, round to nearest, no flush to zero.
    pub(super) const DEFAULT: Mode = 0x1F80;
    /// The six sticky flags record what happened and change no result.
    const STICKY: Mode = 0x3F;

    pub(super) fn is_default(mode: Mode) -> bool {
        mode & !STICKY == DEFAULT
    }

    pub(super) fn get() -> Mode {
        let mut mode: Mode = 0;
        // SAFETY: stmxcsr writes the four bytes of `mode`, which is valid for that.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack, preserves_flags)) };
        mode
    }

    pub(super) fn set(mode: Mode) {
        // SAFETY: ldmxcsr reads the four bytes of `mode`; the value is the default or was read by `get`, so that no
        // reserved bit is set.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod arch {
    use std::arch::asm;

    pub(super) type Mode = u64;
    /// All traps off, round to nearest, no flush to zero.
    pub(super) const DEFAULT: Mode = 0;

    pub(super) fn is_default(mode: Mode) -> bool {
        mode == DEFAULT
    }

    pub(super) fn get() -> Mode {
        let mode: Mode;
        // SAFETY: reading FPCR has no effect but its result.
        unsafe { asm!("mrs {}, fpcr", out(reg) mode, options(nostack, preserves_flags)) };
        mode
    }

    pub(super) fn set(mode: Mode) {
        // SAFETY: the value is the default or was read by `get`.
        unsafe { asm!("msr fpcr, {}", in(reg) mode, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod arch {
    pub(super) type Mode = ();
    pub(super) const DEFAULT: Mode = ();

    pub(super) fn is_default(_: Mode) -> bool {
        true
    }

    pub(super) fn get() -> Mode {}

    pub(super) fn set(_: Mode) {}
}

/// Runs `work` on this thread with subnormals flushed to zero, as fast-math libraries leave it.
#[cfg(test)]
pub(super) fn with_flush_to_zero<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    let flushing = arch::DEFAULT | 0x8040;
    #[cfg(target_arch = "aarch64")]
    let flushing = arch::DEFAULT | 1 << 24;
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let flushing = ();
    let _restore = Restore { callers: arch::get() };
    arch::set(flushing);
    let result = apart(work);
    arch::set(arch::DEFAULT);
    result
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    fn half_of_the_smallest_normal() -> f64 {
        black_box(f64::MIN_POSITIVE) * black_box(0.5)
    }

    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn the_mode_is_default_inside_and_the_callers_outside() {
        with_flush_to_zero(|| {
            assert_eq!(half_of_the_smallest_normal().to_bits(), 0);
            assert_ne!(with_default(half_of_the_smallest_normal).to_bits(), 0);
            assert_eq!(half_of_the_smallest_normal().to_bits(), 0);
        });
        assert_ne!(half_of_the_smallest_normal().to_bits(), 0);
    }

    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn the_mode_comes_back_after_a_panic() {
        with_flush_to_zero(|| {
            let outcome = std::panic::catch_unwind(|| with_default(|| std::panic::resume_unwind(Box::new(()))));
            assert!(outcome.is_err());
            assert_eq!(half_of_the_smallest_normal().to_bits(), 0);
        });
    }
}
