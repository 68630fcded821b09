//! Exclusive locks that belong to an open file, not to a process.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Tries to take the file's exclusive lock; `false` if another open of the file has it, in any process. The lock ends
/// when the last descriptor of this open is closed, including a forked child's. An error (ENOLCK, EINVAL) means that
/// the file system does not support such locks.
///
/// Linux's open file description locks: closing another descriptor of the same file does not drop them, as it drops
/// POSIX record locks, and an unlock by a forked child cannot be confused with `flock` locks that others take.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn try_exclusive(file: &File) -> io::Result<bool> {
    // SAFETY: flock is a C structure of integers, for which all bits zero is a value: the whole file, process 0 as
    // asked.
    let mut request: libc::flock = unsafe { std::mem::zeroed() };
    request.l_type = libc::F_WRLCK as _;
    request.l_whence = libc::SEEK_SET as _;
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed, and the structure outlives the call.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &request) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EACCES) => return Ok(false),
            Some(libc::EINTR) => {}
            _ => return Err(error),
        }
    }
}

/// The same by `flock`, whose locks also belong to the open file, if there are no open file description locks.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn try_exclusive(file: &File) -> io::Result<bool> {
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed; the call takes integers only.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EWOULDBLOCK) => return Ok(false),
            Some(libc::EINTR) => {}
            _ => return Err(error),
        }
    }
}
