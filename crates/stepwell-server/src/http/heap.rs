//! The process's heap: memory that a flood of requests took is returned to the operating system afterwards.
//!
//! 1. The C library's allocator keeps freed memory for later use. After a large block was freed, it also keeps blocks
//!    of that size. [`settle`] makes it map every block over 1 MiB separately, so that such a block is returned as soon
//!    as it is freed.
//! 2. Small blocks lie between others that are in use, and whole free pages between them are kept. [`trim`] returns
//!    these; a server calls it after a burst of requests.
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
