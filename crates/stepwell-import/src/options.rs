//! Choices of an import, all of which have a default.

use std::path::PathBuf;

/// How sources are read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The table column with the steps, by name or place from 1, or `row` to count rows from 0. Known names otherwise.
    pub step_column: Option<String>,
    /// The table column with the times, by name or place from 1. Known names otherwise.
    pub time_column: Option<String>,
    /// The table column that names the run of each row, by name or place from 1. Known names otherwise.
    pub run_column: Option<String>,
    /// Names for the columns of CSV files that have no header row.
    pub columns: Option<Vec<String>>,
    /// Whether CSV files have no header row. Without names the columns are `column_1` and so on.
    pub no_header: bool,
    /// Whether files are complete, so that a last row without a line break is whole.
    pub complete: bool,
    /// What the named files are, whatever their names and contents say. Folders are searched as always.
    pub format: Option<Format>,
    /// The named path that holds what came by standard input, which has no name of its own.
    pub stdin: Option<PathBuf>,
}

/// The forms of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-, semicolon-, tab- or bar-separated values.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// A JSON document: an array of objects, or one with `log_history`.
    Json,
    /// Apache Parquet.
    Parquet,
}
