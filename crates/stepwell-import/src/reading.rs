//! Reads the files of a group one by one: what ends a file early, and how far it is.

use arrow_schema::ArrowError;
use parquet::errors::ParquetError;

use crate::context::Context;
use crate::run::ImportError;
use crate::walk::{Group, SourceFile};

/// Rows between two reports of progress.
const PROGRESS_ROWS: u64 = 1 << 16;

/// Why a file is not read to its end.
pub(crate) enum Stop {
    /// The file's fault; the next one is read.
    File(String),
    /// The sink's; the import ends.
    Import(ImportError),
}

impl From<ImportError> for Stop {
    fn from(error: ImportError) -> Self {
        Self::Import(error)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::File(error.to_string())
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::File(error.to_string())
    }
}

impl From<ParquetError> for Stop {
    fn from(error: ParquetError) -> Self {
        Self::File(error.to_string())
    }
}

impl From<ArrowError> for Stop {
    fn from(error: ArrowError) -> Self {
        Self::File(error.to_string())
    }
}

/// How far a file is read.
pub(crate) struct Progress<'f> {
    file: &'f SourceFile,
    /// Bytes that were reported.
    reported: u64,
}

impl Progress<'_> {
    /// Reports that the file is read up to this byte.
    pub(crate) fn reach(&mut self, offset: u64, context: &mut Context<'_>) {
        let offset = offset.min(self.file.bytes);
        context.advance(&self.file.path, offset.saturating_sub(self.reported));
        self.reported = offset;
    }

    /// The same after so many rows, now and then.
    pub(crate) fn reach_row(&mut self, rows: u64, offset: u64, context: &mut Context<'_>) {
        if rows.is_multiple_of(PROGRESS_ROWS) {
            self.reach(offset, context);
        }
    }
}

/// Reads each file of a group, and reports those that are not read to their end. `form` says as what they are read,
/// such as ` as Parquet`; it may be empty.
pub(crate) fn each_file(
    group: &Group,
    form: &str,
    context: &mut Context<'_>,
    read: impl Fn(&SourceFile, &mut Progress<'_>, &mut Context<'_>) -> Result<(), Stop>,
) -> Result<(), ImportError> {
    for file in &group.files {
        let mut progress = Progress { file, reported: 0 };
        match read(file, &mut progress, context) {
            Ok(()) => {}
            Err(Stop::Import(error)) => return Err(error),
            Err(Stop::File(why)) => context.unread(&file.path, format!("not read to its end{form}: {why}")),
        }
        // At its end, and where it was given up.
        progress.reach(file.bytes, context);
    }
    Ok(())
}
