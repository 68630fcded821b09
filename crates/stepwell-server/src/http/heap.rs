//! The process's heap: what a flood of requests took goes back to the operating system when the flood is over.
//!
//! 1. The C library's allocator keeps freed memory for later, and after a large block was freed keeps blocks of that
//!    size too. [`settle`] has every block over 1 MiB mapped by itself, so that it goes back as soon as it is freed.
//! 2. Small blocks lie among others in use, and whole free pages between them are kept. [`trim`] gives those back; a
//!    server calls it when requests have passed and are over.
//!
//! Other allocators than that of GNU's C library are left as they are.
#![allow(unsafe_code)]

/// Blocks from this size on are mapped by themselves, in bytes.
#[cfg(target_env = "gnu")]
const OWN_MAPPING: libc::c_int = 1 << 20;

/// Chooses how the allocator keeps memory, for the whole process.
#[cfg(target_env = "gnu")]
pub(crate) fn settle() {
    // SAFETY: the call takes integers, and may be made at any time by any thread.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING) };
}

/// Gives free pages of the heap back. Costs milliseconds, during which allocations may wait.
#[cfg(target_env = "gnu")]
pub(crate) fn trim() {
    // SAFETY: the call takes an integer, and may be made at any time by any thread.
    unsafe { libc::malloc_trim(0) };
}

/// Does nothing here.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn settle() {}

/// Does nothing here.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn trim() {}
