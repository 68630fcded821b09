//! Names of files and folders in a workspace.

use std::path::{Path, PathBuf};

use crate::base::ids::{RunKey, WriterId};

/// The file that makes a folder a workspace.
pub const MARKER: &str = "stepwell.workspace";
/// Second names (anchors) of the journals' last entries.
pub const ANCHORS: &str = "anchors";
/// Entries that say which packs are live.
pub const MANIFEST: &str = "manifest";
/// Entries that say which experiments there are.
pub const CATALOG: &str = "catalog";
/// Entries that say which registered models there are.
pub const REGISTRY: &str = "registry";
/// Logs of runs, in 256 folders by the first two characters of the run's key.
pub const LOGS: &str = "logs";
/// Edit logs.
pub const EDITS: &str = "edits";
/// Packs and their indexes.
pub const PACKS: &str = "packs";
/// Files being made; what a crash leaves here is garbage.
pub const TEMPORARY: &str = "tmp";
/// Originals of files replaced by `repair`, and of damaged logs that compaction salvaged.
pub const QUARANTINE: &str = "quarantine";
/// Ledgers.
pub const LEDGERS: &str = "ledgers";
/// All folders.
pub const FOLDERS: [&str; 10] =
    [ANCHORS, MANIFEST, CATALOG, REGISTRY, LEDGERS, LOGS, EDITS, PACKS, TEMPORARY, QUARANTINE];

/// Folders of journals.
pub const JOURNALS: [&str; 3] = [MANIFEST, CATALOG, REGISTRY];

/// The folder of a run's logs.
#[must_use]
pub fn log_dir(root: &Path, run: RunKey) -> PathBuf {
    root.join(LOGS).join(format!("{:02x}", run.0 >> 120))
}

/// Whether this is the name of a log folder in [`LOGS`].
#[must_use]
pub fn is_log_folder(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(is_hex)
}

/// Whether this is the name of an entry folder of a journal.
#[must_use]
pub fn is_entry_folder(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// A log's files by name: `<stem>.<writer>.log` and, beside it, `<stem>.<writer>.tail`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName {
    /// The folder.
    pub dir: PathBuf,
    /// The run's key, or [`EDITS`].
    pub stem: String,
    /// The writer.
    pub writer: WriterId,
}

impl LogName {
    /// Parses the name of a log file; `None` for every other name.
    #[must_use]
    pub fn parse(dir: &Path, name: &str) -> Option<Self> {
        let (stem, writer) = name.strip_suffix(".log")?.split_once('.')?;
        let hex = |text: &str| text.len() == 32 && text.bytes().all(is_hex);
        let valid = hex(writer) && (hex(stem) || stem == EDITS);
        let writer = u128::from_str_radix(writer, 16).ok().filter(|_| valid)?;
        Some(Self { dir: dir.to_owned(), stem: stem.to_owned(), writer: WriterId(writer) })
    }

    /// The run; `None` for an edit log.
    #[must_use]
    pub fn run(&self) -> Option<RunKey> {
        u128::from_str_radix(&self.stem, 16).ok().filter(|_| self.stem.len() == 32).map(RunKey)
    }

    /// The log's path.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.join(format!("{}.{}.log", self.stem, self.writer))
    }

    /// The tail's path.
    #[must_use]
    pub fn tail(&self) -> PathBuf {
        self.dir.join(format!("{}.{}.tail", self.stem, self.writer))
    }
}

/// The names of a writer's log; of an edit log if `run` is `None`.
#[must_use]
pub fn log_name(root: &Path, run: Option<RunKey>, writer: WriterId) -> LogName {
    let (dir, stem) = match run {
        Some(run) => (log_dir(root, run), run.to_string()),
        None => (root.join(EDITS), EDITS.to_owned()),
    };
    LogName { dir, stem, writer }
}

/// The path of a pack.
#[must_use]
pub fn pack(root: &Path, id: u128) -> PathBuf {
    root.join(PACKS).join(format!("{id:032x}.pack"))
}

/// The path of a pack's index.
#[must_use]
pub fn index(root: &Path, id: u128) -> PathBuf {
    root.join(PACKS).join(format!("{id:032x}.index"))
}

/// Whether this is the name of a ledger.
#[must_use]
pub fn is_ledger(name: &str) -> bool {
    name.strip_suffix(".ledger").is_some_and(|hex| hex.len() == 32 && hex.bytes().all(is_hex))
}

/// Whether this is the path of a pack.
#[must_use]
pub fn is_pack(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "pack")
}

/// The number in the name of a pack or its index.
#[must_use]
pub fn pack_id(name: &str) -> Option<u128> {
    let hex = name.strip_suffix(".pack").or_else(|| name.strip_suffix(".index"))?;
    u128::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 32)
}
