//! An SQLite database as a source: opened without writing anything; a schema may lack some columns.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row, Rows, Statement};

use crate::run::ImportError;

/// Why a database is not read to its end.
pub(crate) enum Stop {
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

/// Opens a database without writing beside it; the folder, if any, holds a copy and lives as long as the connection.
///
/// In WAL mode, SQLite creates files beside a database even to read it. If the database is in use, these files exist
/// already. Otherwise it is opened as immutable if its log is empty; if not, a copy of both is opened.
pub(crate) fn open(path: &Path) -> Result<(Connection, Option<tempfile::TempDir>), Stop> {
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
pub(crate) fn uri(path: &Path, more: &str) -> String {
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
pub(crate) fn columns(connection: &Connection, table: &str) -> Result<Vec<String>, Stop> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(names)
}

/// A statement that selects columns by name; those that a schema does not have are selected as null.
pub(crate) fn select<'c>(
    connection: &'c Connection,
    table: &str,
    wanted: &[&str],
    order: &str,
) -> Result<Statement<'c>, Stop> {
    let there = columns(connection, table)?;
    let list: Vec<String> = wanted
        .iter()
        .map(|name| if there.iter().any(|column| column == name) { format!("\"{name}\"") } else { "NULL".into() })
        .collect();
    // An older schema lacks the table: then there are no rows of it.
    let sql = match there.is_empty() {
        true => format!("SELECT {} WHERE 0", list.join(", ")),
        false => format!("SELECT {} FROM {table} ORDER BY {order}", list.join(", ")),
    };
    Ok(connection.prepare(&sql)?)
}

/// The rows of a table that name one thing, as texts of the wanted columns.
pub(crate) fn rows_where(
    connection: &Connection,
    table: &str,
    wanted: &[&str],
    keys: &[(&str, &str)],
) -> Result<Vec<Vec<Option<String>>>, Stop> {
    let there = columns(connection, table)?;
    let has = |name: &str| there.iter().any(|column| column == name);
    // A key that the schema lacks, such as the workspace, tells nothing apart.
    let keys: Vec<&(&str, &str)> = keys.iter().filter(|(name, _)| has(name)).collect();
    if there.is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<String> =
        wanted.iter().map(|name| if has(name) { format!("\"{name}\"") } else { "NULL".into() }).collect();
    let conditions: Vec<String> =
        keys.iter().enumerate().map(|(at, (name, _))| format!("\"{name}\" = ?{}", at + 1)).collect();
    let condition = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
    let sql = format!("SELECT {} FROM {table} WHERE {condition} ORDER BY rowid", list.join(", "));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(keys.iter().map(|(_, value)| *value)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((0..wanted.len()).map(|at| text(row, at)).collect::<Result<_, _>>()?);
    }
    Ok(found)
}

/// Rows of one table in the order of run ids, read alongside the runs.
pub(crate) struct Side<'s> {
    rows: Rows<'s>,
    /// The run of the row that the statement stands on.
    pub(crate) run: Option<Vec<u8>>,
}

impl<'s> Side<'s> {
    pub(crate) fn new(statement: &'s mut Statement<'_>) -> Result<Self, Stop> {
        let mut side = Self { rows: statement.query([])?, run: None };
        side.step()?;
        Ok(side)
    }

    pub(crate) fn step(&mut self) -> Result<(), Stop> {
        self.run = match self.rows.next()? {
            Some(row) => Some(bytes(row, 0)?.unwrap_or_default()),
            None => None,
        };
        Ok(())
    }

    /// Calls with each row of a run; rows of runs that do not exist are passed over. Says how many those were.
    pub(crate) fn rows_of(
        &mut self,
        run: &[u8],
        take: &mut dyn FnMut(&Row<'_>) -> Result<(), Stop>,
    ) -> Result<u64, Stop> {
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

/// A column as bytes, numbers as their text; `None` for null.
pub(crate) fn bytes(row: &Row<'_>, at: usize) -> Result<Option<Vec<u8>>, Stop> {
    Ok(match row.get_ref(at)? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        ValueRef::Real(number) => Some(number.to_string().into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
    })
}

/// A column as text.
pub(crate) fn text(row: &Row<'_>, at: usize) -> Result<Option<String>, Stop> {
    Ok(bytes(row, at)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
