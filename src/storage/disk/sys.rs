//! The few system calls that the standard library does not offer.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};

/// The lowest descriptor that is none of the standard streams.
const FIRST_FREE_FD: libc::c_int = 3;

/// Moves a file off the descriptors of standard streams, which are free in a process that closed them: otherwise the
/// output of the process or a library would be written into the file.
pub(super) fn above_standard(file: File) -> io::Result<File> {
    if file.as_raw_fd() >= FIRST_FREE_FD {
        return Ok(file);
    }
    // SAFETY: the descriptor is open for as long as `file` lives; the call takes integers only.
    let fd = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST_FREE_FD) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor, and nothing else owns it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// The process's limit on a file's length, in bytes; `u64::MAX` when there is none.
pub(super) fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the structure is ours and outlives the call, which fills it.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } != 0;
    if failed || limit.rlim_cur == libc::RLIM_INFINITY {
        return u64::MAX;
    }
    #[allow(clippy::unnecessary_cast, reason = "the type differs between systems")]
    let bytes = limit.rlim_cur as u64;
    bytes
}

/// Reserves blocks for the first `len` (> 0) bytes and makes the file at least that long, keeping its contents. `false`
/// if the file system cannot; then nothing was changed.
///
/// Uses the system call, not the C library's `posix_fallocate`, which silently writes into each block if the file
/// system cannot allocate.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn allocate(file: &File, len: u64) -> io::Result<bool> {
    let Ok(len) = libc::off64_t::try_from(len) else {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    };
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed; the call takes integers only.
        if unsafe { libc::fallocate64(file.as_raw_fd(), 0, 0, len) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => return Ok(false),
            _ => return Err(error),
        }
    }
}

/// Elsewhere blocks are allocated by writing them.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn allocate(_file: &File, _len: u64) -> io::Result<bool> {
    Ok(false)
}

/// Fails if the file system has shut down, so that what it just confirmed may be lost.
///
/// If ext4 cannot write its journal, it drops the transactions in it. A sync that comes before anything else needs the
/// journal finds no transaction to wait for and succeeds (`jbd2_complete_transaction` in the kernel; seen on 6.18).
/// Anything that needs the journal fails from then on; the cheapest is to remove a missing attribute, which changes
/// nothing. Other file systems answer without a journal, or report the failure themselves. Costs a microsecond.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn takes_writes(file: impl AsFd) -> io::Result<()> {
    use rustix::io::Errno;
    match rustix::io::retry_on_intr(|| rustix::fs::fremovexattr(&file, c"user.stepwell.absent")) {
        Err(gone @ (Errno::ROFS | Errno::IO | Errno::SHUTDOWN | Errno::UCLEAN | Errno::NODEV)) => Err(gone.into()),
        // No such attribute (ENODATA), no attributes at all, or no permission: treated as healthy.
        _ => Ok(()),
    }
}

/// Elsewhere a sync is trusted.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn takes_writes(_file: impl AsFd) -> io::Result<()> {
    Ok(())
}

/// Whether a mapping of an allocated file on this file system keeps every store and never hits a full disk.
///
/// Yes on ext2 to ext4 (which share a magic) and tmpfs: they write allocated blocks in place. No on all others: btrfs,
/// f2fs, bcachefs and ZFS copy on write; so does XFS for cloned files, which `cp` creates by default; an overlay may
/// move the file; a network may lose the store.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn keeps_mapped_stores(folder: &File) -> bool {
    const EXT: i64 = 0xEF53;
    const TMPFS: i64 = 0x0102_1994;
    // SAFETY: statfs is a C structure of integers, for which all bits zero is a value.
    let mut answer: libc::statfs = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: the descriptor is open for as long as `folder` is borrowed, and the structure outlives the call.
        if unsafe { libc::fstatfs(folder.as_raw_fd(), &mut answer) } == 0 {
            break;
        }
        if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return false;
        }
    }
    #[allow(clippy::unnecessary_cast, reason = "the type differs between architectures")]
    let magic = answer.f_type as i64;
    matches!(magic, EXT | TMPFS)
}

/// Elsewhere no file system is known to be safe.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn keeps_mapped_stores(_folder: &File) -> bool {
    false
}
