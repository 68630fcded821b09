//! What a verification reports, and how often it reads again what may be half written.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::journal::manifest::PackEntry;
use crate::segment::pack::{HEADER_LEN, Pack};

/// Bytes that do not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// First byte.
    pub offset: u64,
    /// How many bytes; 0 where the whole file is missing.
    pub length: u64,
    /// What was expected there.
    pub what: String,
    /// The cost: which runs, series and points cannot be read.
    pub cost: String,
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// All damage, by file.
    pub damage: Vec<Damage>,
    /// Incomplete writes that a crash left, by file. They were never durable, so they are not damage.
    pub torn: Vec<Damage>,
    /// The number of files read.
    pub files: u64,
    /// The number of bytes read.
    pub bytes: u64,
    /// Files worth knowing about that are not damage, and what they are.
    pub notes: Vec<(PathBuf, String)>,
}

/// Retries, in all and per file, and the pauses before them, for frames and slots that may be half written: their
/// writers may be waiting for a processor. Each file gets some of the retries.
pub(crate) const LOOKS: u32 = 100;
pub(crate) const LOOKS_A_FILE: u32 = 25;
pub(crate) const LOOKS_LEFT: u32 = 5;
pub(crate) const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Whether a file may be read again; takes from the retries that are left.
pub(crate) fn may_look(looked: u32, looks: &mut u32) -> bool {
    let may = looked < LOOKS_LEFT || looked < LOOKS_A_FILE && *looks > 0;
    *looks = looks.saturating_sub(u32::from(may));
    may
}

impl Report {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.damage.is_empty()
    }

    /// Adds damage that extends to the end of a file of `file_len` bytes.
    pub(crate) fn add_rest(&mut self, error: Error, file_len: u64, cost: &str) -> Result<()> {
        let offset = if let Error::Corrupt { offset, .. } = error { offset } else { 0 };
        self.add(error, file_len.saturating_sub(offset), cost)
    }

    /// Adds what does not verify of a pack that was read around it.
    pub(crate) fn add_read_around(&mut self, pack: &Pack, entry: Option<PackEntry>) -> Result<()> {
        let len = pack.source().file_len()?;
        for damage in pack.damage() {
            let rest = if let Error::Corrupt { offset: at @ 1.., .. } = damage { len - at } else { HEADER_LEN as u64 };
            let cost = "nothing: its row groups are found without it; `repair` writes the pack anew";
            self.add(damage.again(), rest, cost)?;
        }
        let Some(lost) = pack.lost() else { return Ok(()) };
        let mut points = 0;
        for group in 0..pack.row_group_count() {
            points += pack.group(group)?.footer().points;
        }
        let cost = match entry.filter(|entry| entry.runs > 0) {
            Some(entry) => {
                let runs = entry.runs.saturating_sub(pack.len() as u64);
                format!("{runs} of its {} runs, with {} points", entry.runs, entry.points.saturating_sub(points))
            }
            None => "the runs of row groups that cannot be found; no entry of the manifest says how many".to_owned(),
        };
        self.add(lost.again(), 0, &cost)
    }

    /// Adds a file or folder that the operating system refuses to read.
    pub(crate) fn add_unread(&mut self, error: &Error, path: &Path) {
        let (file, offset) = match error {
            Error::Corrupt { path, offset, .. } => (path.clone(), *offset),
            other => (other.path().unwrap_or(path).to_owned(), 0),
        };
        let what = if let Error::Io { operation, source, .. } = error {
            format!("it cannot be used: {operation}: {source}")
        } else {
            error.to_string()
        };
        let cost = "nobody knows: what it holds is in no answer, and `repair` leaves alone what cannot be read";
        self.damage.push(Damage { file, offset, length: 0, what, cost: cost.to_owned() });
    }

    /// Adds damage; returns every other error.
    pub(crate) fn add(&mut self, error: Error, length: u64, cost: &str) -> Result<()> {
        let (file, offset, what) = match error {
            Error::Corrupt { path, offset, what } => (path, offset, what),
            Error::NewerFormat { ref path, .. } => (path.clone(), 0, error.to_string()),
            Error::NotWorkspace { ref path, .. } => (path.clone(), 0, error.to_string()),
            other => return Err(other),
        };
        self.damage.push(Damage { file, offset, length, what, cost: cost.to_owned() });
        Ok(())
    }
}
