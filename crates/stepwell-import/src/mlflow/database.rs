//! MLflow's SQLite database, any schema since `runs` and `metrics` exist. It is never written to.
//!
//! Runs, metrics, params and tags are each read once, in the order of run ids, and merged; within a run and key,
//! points come in the order in which they were written.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row, Rows, Statement};
use stepwell::base::ids::RunId;
use stepwell::index::summary::RunStatus;

use crate::context::Context;
use crate::mlflow::folder::status_of;
use crate::number;
use crate::run::{ImportError, ImportedRun};
use crate::series::Gather;
use crate::walk::{Group, SourceFile};

/// Why a database is not read to its end.
enum Stop {
    /// The database's fault.
    File(String),
    /// The sink's.
    Import(ImportError),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::File(error.to_string())
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::File(error.to_string())
    }
}

/// Whether an SQLite file has MLflow's tables. A database that cannot be opened counts as one, so that it is reported.
pub(crate) fn is_tracking_store(path: &Path) -> bool {
    let tables = || -> Result<bool, Stop> {
        let (connection, _copy) = open(path)?;
        Ok(columns(&connection, "runs")?.iter().any(|name| name == "run_uuid")
            && !columns(&connection, "metrics")?.is_empty())
    };
    tables().unwrap_or(true)
}

/// Reads a database.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    for file in &group.files {
        match read_database(file, context) {
            Ok(()) => {}
            Err(Stop::Import(error)) => return Err(error),
            Err(Stop::File(reason)) => {
                context.skip(&file.path, None, format!("not read to its end as an MLflow database: {reason}"))
            }
        }
        context.advance(&file.path, file.bytes);
    }
    Ok(())
}

/// Opens a database without writing beside it; the folder, if any, holds a copy and lives as long as the connection.
///
/// A database in WAL mode makes SQLite create files beside it even to read. One that is in use has them already. One
/// that is not is opened as immutable when its log is empty, else a copy of both is opened.
fn open(path: &Path) -> Result<(Connection, Option<tempfile::TempDir>), Stop> {
    let mut head = [0; 20];
    File::open(path)?.read_exact(&mut head)?;
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let wal_mode = head[19] == 2;
    if !wal_mode || beside("-shm").exists() {
        return Ok((Connection::open_with_flags(uri(path, ""), flags)?, None));
    }
    if std::fs::metadata(beside("-wal")).map_or(0, |wal| wal.len()) == 0 {
        return Ok((Connection::open_with_flags(uri(path, "&immutable=1"), flags)?, None));
    }
    let copy = tempfile::tempdir()?;
    let target = copy.path().join("copy.db");
    std::fs::copy(path, &target)?;
    std::fs::copy(beside("-wal"), copy.path().join("copy.db-wal"))?;
    Ok((Connection::open_with_flags(uri(&target, ""), flags)?, Some(copy)))
}

/// A path as SQLite's URI for reading, with more parameters.
fn uri(path: &Path, more: &str) -> String {
    let mut text = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
    }
    format!("{text}?mode=ro{more}")
}

/// A table's column names; none when there is no such table.
fn columns(connection: &Connection, table: &str) -> Result<Vec<String>, Stop> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(names)
}

/// A statement that selects columns by name; those that a schema does not have are selected as null.
fn select<'c>(connection: &'c Connection, table: &str, wanted: &[&str], order: &str) -> Result<Statement<'c>, Stop> {
    let there = columns(connection, table)?;
    let list: Vec<String> = wanted
        .iter()
        .map(|name| if there.iter().any(|column| column == name) { format!("\"{name}\"") } else { "NULL".into() })
        .collect();
    Ok(connection.prepare(&format!("SELECT {} FROM {table} ORDER BY {order}", list.join(", ")))?)
}

/// Rows of one table in the order of run ids, read alongside the runs.
struct Side<'s> {
    rows: Rows<'s>,
    /// The run of the row that the statement stands on.
    run: Option<Vec<u8>>,
}

impl<'s> Side<'s> {
    fn new(statement: &'s mut Statement<'_>) -> Result<Self, Stop> {
        let mut side = Self { rows: statement.query([])?, run: None };
        side.step()?;
        Ok(side)
    }

    fn step(&mut self) -> Result<(), Stop> {
        self.run = match self.rows.next()? {
            Some(row) => Some(bytes(row, 0)?.unwrap_or_default()),
            None => None,
        };
        Ok(())
    }

    /// Calls with each row of a run; rows of runs that do not exist are passed over. Says how many those were.
    fn rows_of(&mut self, run: &[u8], take: &mut dyn FnMut(&Row<'_>) -> Result<(), Stop>) -> Result<u64, Stop> {
        let mut orphans = 0;
        while let Some(of) = self.run.as_deref().filter(|of| *of <= run) {
            match (of == run, self.rows.get()) {
                (true, Some(row)) => take(row)?,
                _ => orphans += 1,
            }
            self.step()?;
        }
        Ok(orphans)
    }
}

fn read_database(file: &SourceFile, context: &mut Context<'_>) -> Result<(), Stop> {
    let (connection, _copy) = open(&file.path)?;
    let mut experiments = std::collections::HashMap::new();
    let mut statement = select(&connection, "experiments", &["experiment_id", "name", "lifecycle_stage"], "1")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        experiments.insert(text(row, 0)?, (text(row, 1)?, text(row, 2)?.as_deref() == Some("deleted")));
    }
    let by_run = "run_uuid COLLATE BINARY, rowid";
    let mut metrics_statement =
        select(&connection, "metrics", &["run_uuid", "key", "value", "timestamp", "step", "is_nan"], by_run)?;
    let mut params_statement = select(&connection, "params", &["run_uuid", "key", "value"], by_run)?;
    let mut tags_statement = select(&connection, "tags", &["run_uuid", "key", "value"], by_run)?;
    let mut metrics = Side::new(&mut metrics_statement)?;
    let mut params = Side::new(&mut params_statement)?;
    let mut tags = Side::new(&mut tags_statement)?;
    let wanted =
        ["run_uuid", "name", "user_id", "status", "start_time", "end_time", "lifecycle_stage", "experiment_id"];
    let mut statement = select(&connection, "runs", &wanted, "run_uuid COLLATE BINARY")?;
    let mut rows = statement.query([])?;
    let mut orphans = 0;
    while let Some(row) = rows.next()? {
        let uuid = bytes(row, 0)?.unwrap_or_default();
        let mut gather = Gather::default();
        let mut bad = 0u64;
        orphans += metrics.rows_of(&uuid, &mut |row| {
            bad += u64::from(!take_metric(row, &mut gather)?);
            Ok(())
        })?;
        let mut words = [Vec::new(), Vec::new()];
        for (side, words) in [&mut params, &mut tags].into_iter().zip(&mut words) {
            side.rows_of(&uuid, &mut |row| {
                if let Some(key) = text(row, 1)? {
                    words.push((key, text(row, 2)?.unwrap_or_default()));
                }
                Ok(())
            })?;
        }
        let [params, tags] = words;
        let name = String::from_utf8_lossy(&uuid).into_owned();
        if bad > 0 {
            context.skip(
                &file.path,
                None,
                format!("run {name}: {bad} metric rows without key, step or number; passed over"),
            );
        }
        let tag = |wanted: &str| tags.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone());
        let (experiment, experiment_deleted) = experiments.get(&text(row, 7)?).cloned().unwrap_or_default();
        let run = ImportedRun {
            id: RunId::new(name.as_str())
                .unwrap_or_else(|_| RunId::derived("mlflow.db", &format!("{}\0{name}", file.relative))),
            source: format!("mlflow.db:{}", file.relative),
            experiment,
            name: text(row, 1)?.filter(|name| !name.is_empty()).or_else(|| tag("mlflow.runName")).unwrap_or(name),
            user: text(row, 2)?.or_else(|| tag("mlflow.user")).unwrap_or_default(),
            status: text(row, 3)?.and_then(|status| status_of(&status)).unwrap_or(RunStatus::Finished),
            start_time_ms: text(row, 4)?.and_then(|time| number::step(&time)),
            end_time_ms: text(row, 5)?.and_then(|time| number::step(&time)),
            deleted: experiment_deleted || text(row, 6)?.as_deref() == Some("deleted"),
            params,
            tags,
            series: gather.finish(),
        };
        context.emit(run, &file.path).map_err(Stop::Import)?;
    }
    // What is left belongs to no run, as it would in MLflow.
    while metrics.run.is_some() {
        orphans += 1;
        metrics.step()?;
    }
    if orphans > 0 {
        context.skip(&file.path, None, format!("{orphans} metric rows of runs that do not exist; passed over"));
    }
    Ok(())
}

/// Takes a metric row; false when something is missing. MLflow stores NaN as 0 with a mark, infinities as ±1.797e308.
fn take_metric(row: &Row<'_>, gather: &mut Gather) -> Result<bool, Stop> {
    let is_nan = match row.get_ref(5)? {
        ValueRef::Integer(mark) => mark != 0,
        ValueRef::Text(mark) => mark.eq_ignore_ascii_case(b"true") || mark == b"1",
        _ => false,
    };
    let value = match row.get_ref(2)? {
        _ if is_nan => Some(f64::NAN),
        ValueRef::Real(value) => Some(value),
        ValueRef::Integer(value) => Some(value as f64),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().and_then(number::value),
        // SQLite itself keeps a NaN as null.
        ValueRef::Null => Some(f64::NAN),
        ValueRef::Blob(_) => None,
    };
    let whole = |at| Ok::<_, Stop>(text(row, at)?.and_then(|text| number::step(&text)));
    let step = match row.get_ref(4)? {
        // The first schemas had no step.
        ValueRef::Null => Some(0),
        ValueRef::Integer(step) => Some(step),
        _ => whole(4)?,
    };
    let timestamp_ms = match row.get_ref(3)? {
        ValueRef::Integer(timestamp) => Some(timestamp),
        _ => whole(3)?,
    };
    let ValueRef::Text(key) = row.get_ref(1)? else {
        return Ok(false);
    };
    match (std::str::from_utf8(key), value, step) {
        (Ok(key), Some(value), Some(step)) => gather.push(key, step, timestamp_ms, value),
        _ => return Ok(false),
    }
    Ok(true)
}

/// A column as bytes, numbers as their text; `None` for null.
fn bytes(row: &Row<'_>, at: usize) -> Result<Option<Vec<u8>>, Stop> {
    Ok(match row.get_ref(at)? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        ValueRef::Real(number) => Some(number.to_string().into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
    })
}

/// A column as text.
fn text(row: &Row<'_>, at: usize) -> Result<Option<String>, Stop> {
    Ok(bytes(row, at)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
