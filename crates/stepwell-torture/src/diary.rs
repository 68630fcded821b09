//! Diaries: what each actor was about to do, and what was acknowledged, kept outside the store.
//!
//! An actor appends one line before each call and one after it. A line is one JSON document. The file is written by
//! completed writes, so it survives the actor's death; it lies outside the disk that a campaign fails.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mark {
    /// About to be made: from here on its effect may be there.
    Trying,
    /// Returned without an error.
    Done,
    /// Refused by a rule (another value stands): its effect must never be there.
    Refused,
    /// Failed with an error: its effect may be there or not.
    Failed,
}

/// What a call does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// Creates a run.
    Create { run: String },
    /// Logs points; the life has so many in this run then.
    Points { run: String, life: u64, through: u64 },
    /// Sets a param, which all lives of a run contend for.
    Param { run: String, key: String, value: String },
    /// Sets a tag that this actor alone sets.
    Tag { run: String, key: String, value: String },
    /// Syncs a writer: all that this actor was acknowledged about the run survives a power loss.
    Sync { run: String },
    /// Syncs a workspace handle: all that this actor was acknowledged by it survives a power loss.
    SyncAll,
    /// Finishes a run: all that anybody was acknowledged about it before survives a power loss.
    Finish { run: String },
    /// Creates an experiment; survives a power loss.
    Experiment { name: String },
    /// Imports a run of so many points; survives a power loss.
    Import { run: String, life: u64, through: u64 },
    /// Compacts or collects garbage.
    Upkeep,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// When it was written, by the machine's monotonic clock: orders lines of different diaries.
    pub(crate) at_ns: u64,
    pub(crate) mark: Mark,
    pub(crate) deed: Deed,
    /// The error of a failed call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// An actor's own diary, open for appending.
#[derive(Debug)]
pub(crate) struct Diary {
    file: File,
}

impl Diary {
    pub(crate) fn create(dir: &Path, actor: u64) -> std::io::Result<Self> {
        let path = dir.join(format!("{actor:09}"));
        Ok(Self { file: OpenOptions::new().append(true).create_new(true).open(path)? })
    }

    /// Makes a call between two lines. `refused` says which errors are refusals by a rule.
    pub(crate) fn around<T, E: std::fmt::Display>(
        &mut self,
        deed: &Deed,
        refused: impl FnOnce(&E) -> bool,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.write(Mark::Trying, deed, None);
        let result = call();
        match &result {
            Ok(_) => self.write(Mark::Done, deed, None),
            Err(error) => {
                let message = Some(error.to_string());
                let mark = if refused(error) { Mark::Refused } else { Mark::Failed };
                self.write(mark, deed, message);
            }
        }
        result
    }

    fn write(&mut self, mark: Mark, deed: &Deed, error: Option<String>) {
        let line = Line { at_ns: now_ns(), mark, deed: deed.clone(), error };
        let mut text = serde_json::to_vec(&line).expect("a line is plain data");
        text.push(b'\n');
        self.file.write_all(&text).expect("the diary must be writable: it lies outside the disk under test");
    }
}

/// Lines of one diary, in order. A last line without its end was cut off by the actor's death and does not count.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<Line>> {
    let text = std::fs::read_to_string(path)?;
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).map_err(std::io::Error::other))
        .collect()
}

/// The moment by the clock of the diaries.
pub(crate) fn now_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("Linux has a monotonic clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}
