//! The one unsafe corner: forking a process that has a writer open.
#![allow(unsafe_code)]

/// Forks, and says whether this is the child. The caller has one thread.
pub(crate) fn fork() -> bool {
    // SAFETY: actors that fork start no threads, so the child inherits no lock that another thread holds.
    match unsafe { nix::unistd::fork() } {
        Ok(result) => result.is_child(),
        Err(error) => panic!("fork failed: {error}"),
    }
}
