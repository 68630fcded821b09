//! Planned faults of a simulated disk, and the trace of its operations.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OpKind {
    /// `create_new`.
    Create,
    /// `open_read` or `open_write`.
    Open,
    /// `create_dir`.
    CreateDir,
    /// `read_dir`.
    ReadDir,
    /// `link`; `to` is the new name.
    Link,
    /// `rename`; `to` is the new name.
    Rename,
    /// `remove_file`.
    RemoveFile,
    /// `remove_dir`.
    RemoveDir,
    /// `sync_dir`.
    SyncDir,
    /// `modified_ms`, `len` or `is_linked`.
    Stat,
    /// `read_at`.
    Read,
    /// `write_at`.
    Write,
    /// `set_len`.
    SetLen,
    /// `allocate`.
    Allocate,
    /// `sync` of a file.
    Sync,
    /// `try_lock`.
    Lock,
    /// `map`.
    Map,
}

/// One operation, as the disk saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Which operation of this disk, from 0.
    pub number: u64,
    /// The kind.
    pub kind: OpKind,
    /// The path given; of a file handle, the one by which it was opened, even if the file was renamed since.
    pub path: Arc<Path>,
    /// The second path of a link or rename.
    pub to: Option<Arc<Path>>,
    /// The file's identity, which renames and links keep; of an operation on a handle only.
    pub file: Option<u64>,
    /// Where in the file, in bytes; 0 where it says nothing.
    pub offset: u64,
    /// How many bytes, or the length asked for; 0 where it says nothing.
    pub len: u64,
    /// Whether it succeeded.
    pub ok: bool,
}

/// How often a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// One operation fails; the next ones succeed.
    Once,
    /// That operation and all that follow fail.
    Forever,
}

/// What a failing operation does before it returns its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// A write leaves this many of its first bytes (at most all); other operations do nothing.
    Bytes(u64),
    /// A write leaves the first half of its bytes; other operations do nothing.
    Half,
    /// Everything: only the reply is lost, as on a network. A failed `sync` never has this effect.
    Whole,
}

/// The error of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// The operating system's number, for instance `libc::EIO`.
    Errno(i32),
    /// A kind without a number.
    Kind(io::ErrorKind),
}

impl From<i32> for FaultError {
    fn from(errno: i32) -> Self {
        FaultError::Errno(errno)
    }
}

impl From<io::ErrorKind> for FaultError {
    fn from(kind: io::ErrorKind) -> Self {
        FaultError::Kind(kind)
    }
}

impl FaultError {
    fn to_error(self) -> io::Error {
        match self {
            FaultError::Errno(errno) => io::Error::from_raw_os_error(errno),
            FaultError::Kind(kind) => io::Error::new(kind, "the simulated disk was told to fail here"),
        }
    }
}

/// One planned fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which operation fails: its number among all, or among those of `only`; both count from 0.
    pub at: u64,
    /// Counts and fails operations of this kind only.
    pub only: Option<OpKind>,
    /// The error.
    pub error: FaultError,
    /// Once or forever.
    pub times: Times,
    /// What happens nevertheless.
    pub effect: Effect,
}

/// The error of every call after [`super::SimDisk::crash_at`] struck: to the caller the process is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the simulated process was killed")]
pub struct Crashed;

/// Whether an error, or what it wraps, is the simulated end of the process.
pub fn is_crash(error: &io::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(error) = cause {
        if error.is::<Crashed>() || error.downcast_ref::<io::Error>().is_some_and(is_crash) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Why an operation fails.
pub(super) struct Stop {
    pub(super) error: io::Error,
    pub(super) effect: Effect,
    pub(super) crash: bool,
}

/// Faults to come, operations so far, and the trace.
#[derive(Default)]
pub(super) struct Plan {
    faults: Vec<Fault>,
    crash_at: Option<u64>,
    /// How many operations of each kind there were.
    counts: BTreeMap<OpKind, u64>,
    /// Every operation, in order; its length is the counter of operations.
    pub(super) trace: Vec<Op>,
}

impl Plan {
    pub(super) fn operations(&self) -> u64 {
        self.trace.len() as u64
    }

    pub(super) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(super) fn crash_at(&mut self, number: u64) {
        self.crash_at = Some(number);
    }

    pub(super) fn clear_faults(&mut self) {
        self.faults.clear();
        self.crash_at = None;
    }

    /// Counts and records an operation. Returns whether it proceeds.
    pub(super) fn admit(&mut self, mut op: Op) -> Option<Stop> {
        op.number = self.operations();
        let of_kind = self.counts.entry(op.kind).or_default();
        let (number, number_of_kind, kind) = (op.number, *of_kind, op.kind);
        *of_kind += 1;
        self.trace.push(op);
        if let Some(at) = self.crash_at
            && number >= at
        {
            let effect = if number == at { Effect::Half } else { Effect::Nothing };
            return Some(Stop { error: io::Error::other(Crashed), effect, crash: true });
        }
        self.faults.iter().find_map(|fault| {
            let position = match fault.only {
                Some(only) if only != kind => return None,
                Some(_) => number_of_kind,
                None => number,
            };
            let strikes = match fault.times {
                Times::Once => position == fault.at,
                Times::Forever => position >= fault.at,
            };
            strikes.then(|| Stop { error: fault.error.to_error(), effect: fault.effect, crash: false })
        })
    }
}
