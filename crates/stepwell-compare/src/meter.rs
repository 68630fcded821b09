//! What is measured: processor time of all threads and ended children, wall time, bytes on disk, bytes to the device.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Processor time of this process and of its children that were waited for, all threads, in nanoseconds.
pub fn cpu_ns() -> u64 {
    let of = |who| {
        let usage = getrusage(who).expect("the system tells processor time");
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as u64 * 1000
    };
    of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)
}

/// What a piece of work cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Processor time, nanoseconds.
    pub cpu_ns: f64,
    /// Wall time, nanoseconds.
    pub wall_ns: f64,
}

/// Runs work and tells its cost.
pub fn cost<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(T, Cost), E> {
    let (before, started) = (cpu_ns(), Instant::now());
    let result = work()?;
    let wall_ns = started.elapsed().as_nanos() as f64;
    Ok((result, Cost { cpu_ns: (cpu_ns() - before) as f64, wall_ns }))
}

/// The least wall time of some repetitions of quick work, in nanoseconds: at least three, for at most a second or so.
pub fn least<E>(mut work: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let (mut best, begun, mut times) = (f64::MAX, Instant::now(), 0);
    while times < 3 || (times < 50 && begun.elapsed() < Duration::from_millis(300)) {
        if times > 0 && begun.elapsed() > Duration::from_secs(3) {
            break;
        }
        let started = Instant::now();
        work()?;
        best = best.min(started.elapsed().as_nanos() as f64);
        times += 1;
    }
    Ok(best)
}

/// Bytes of all files under a folder: by their lengths, and as allocated on the disk.
pub fn bytes(folder: &Path) -> io::Result<(u64, u64)> {
    let (mut lengths, mut allocated) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            let (more, blocks) = bytes(&entry.path())?;
            lengths += more;
            allocated += blocks;
        } else {
            lengths += metadata.len();
            allocated += metadata.blocks() * 512;
        }
    }
    Ok((lengths, allocated))
}

/// Bytes that this process caused to be written to devices so far, by the system's account: without those whose files
/// were removed before they were written.
pub fn device_bytes() -> io::Result<u64> {
    Ok(account("write_bytes: ")?.saturating_sub(account("cancelled_write_bytes: ")?))
}

/// Bytes that this process caused to be read from devices so far, read-ahead included, by the system's account.
pub fn device_bytes_read() -> io::Result<u64> {
    account("read_bytes: ")
}

fn account(entry: &str) -> io::Result<u64> {
    let account = std::fs::read_to_string("/proc/self/io")?;
    let line = account.lines().find_map(|line| line.strip_prefix(entry));
    line.and_then(|count| count.trim().parse().ok())
        .ok_or_else(|| io::Error::other(format!("/proc/self/io: no {entry}")))
}

/// Makes all files under a folder cold: syncs them, then asks the system to drop their pages. Names and inodes stay in
/// memory, and so does what the device itself caches.
pub fn make_cold(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_cold(&entry.path())?;
        } else {
            let file = std::fs::File::open(entry.path())?;
            file.sync_all()?;
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        }
    }
    Ok(())
}

/// Processor time of this process so far, all threads: in its own code, and in the kernel, in nanoseconds.
pub fn user_and_system_ns() -> [u64; 2] {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the system tells processor time");
    [usage.user_time(), usage.system_time()].map(|time| time.num_microseconds() as u64 * 1000)
}

/// Times that the scheduler took this thread off a processor against its will.
pub fn preemptions() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("the system counts switches");
    usage.involuntary_context_switches() as u64
}

/// Anonymous memory of this process that is resident, in bytes: its heap, without the page cache.
pub fn anonymous_bytes() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: Option<u64> = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("/proc/self/status has no RssAnon"))
}

/// Resident bytes of this process's mappings of files whose names end so.
pub fn mapped_bytes(end: &str) -> io::Result<u64> {
    let (mut bytes, mut within) = (0, false);
    for line in std::fs::read_to_string("/proc/self/smaps")?.lines() {
        match line.strip_prefix("Rss:") {
            Some(rest) if within => bytes += 1024 * rest.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0),
            Some(_) => {}
            None if line.split_whitespace().next().is_some_and(|first| !first.ends_with(':')) => {
                within = line.ends_with(end)
            }
            None => {}
        }
    }
    Ok(bytes)
}
