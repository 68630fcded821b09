//! An SQLite database as a source: opened without writing anything; a schema may lack some columns.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row, Rows, Statement};

use crate::mlflow::milliseconds;
use crate::reading::Stop;

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
    let list = list(wanted, &there);
    // An older schema lacks the table: then there are no rows of it.
    let sql = match there.is_empty() {
        true => format!("SELECT {list} WHERE 0"),
        false => format!("SELECT {list} FROM {table} ORDER BY {order}"),
    };
    Ok(connection.prepare(&sql)?)
}

/// The columns to select, with nulls for those that are not there.
fn list(wanted: &[&str], there: &[String]) -> String {
    let column = |name: &&str| match there.iter().any(|column| column == name) {
        true => format!("\"{name}\""),
        false => "NULL".to_owned(),
    };
    wanted.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// A row's texts by their columns, of which each is taken once.
pub(crate) struct Fields<'n> {
    names: &'n [&'n str],
    texts: Vec<Option<String>>,
}

impl<'n> Fields<'n> {
    /// The texts of a row, which has these columns in this order.
    pub(crate) fn of(row: &Row<'_>, names: &'n [&'n str]) -> Result<Self, Stop> {
        Ok(Self { names, texts: (0..names.len()).map(|at| text(row, at)).collect::<Result<_, _>>()? })
    }

    /// The text of a column; `None` for null.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.names.iter().position(|known| *known == name);
        debug_assert!(at.is_some(), "{name} is not selected");
        self.texts.get_mut(at?)?.take()
    }

    /// The text of a column; empty for null.
    pub(crate) fn word(&mut self, name: &str) -> String {
        self.take(name).unwrap_or_default()
    }

    /// The text of a column, if it is not empty.
    pub(crate) fn some_word(&mut self, name: &str) -> Option<String> {
        self.take(name).filter(|text| !text.is_empty())
    }

    /// The time in a column.
    pub(crate) fn ms(&mut self, name: &str) -> Option<i64> {
        self.take(name).as_deref().and_then(milliseconds)
    }
}

/// The rows of a table that name one thing.
pub(crate) fn rows_where<'n>(
    connection: &Connection,
    table: &str,
    wanted: &'n [&'n str],
    keys: &[(&str, &str)],
) -> Result<Vec<Fields<'n>>, Stop> {
    let there = columns(connection, table)?;
    let has = |name: &str| there.iter().any(|column| column == name);
    // A key that the schema lacks, such as the workspace, tells nothing apart.
    let keys: Vec<&(&str, &str)> = keys.iter().filter(|(name, _)| has(name)).collect();
    if there.is_empty() {
        return Ok(Vec::new());
    }
    let conditions: Vec<String> =
        keys.iter().enumerate().map(|(at, (name, _))| format!("\"{name}\" = ?{}", at + 1)).collect();
    let condition = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
    let sql = format!("SELECT {} FROM {table} WHERE {condition} ORDER BY rowid", list(wanted, &there));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(keys.iter().map(|(_, value)| *value)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Fields::of(row, wanted)?);
    }
    Ok(found)
}

/// The pairs of two columns in the rows that name one thing; a missing text is empty.
pub(crate) fn pairs_where(
    connection: &Connection,
    table: &str,
    wanted: [&str; 2],
    keys: &[(&str, &str)],
) -> Result<Vec<(String, String)>, Stop> {
    let rows = rows_where(connection, table, &wanted, keys)?;
    Ok(rows.into_iter().map(|mut row| (row.word(wanted[0]), row.word(wanted[1]))).collect())
}

/// Rows of one table in the order of run ids, read alongside the runs.
pub(crate) struct Side<'s> {
    rows: Rows<'s>,
    /// The run of the row that the statement stands on.
    run: Option<Vec<u8>>,
    /// Rows of runs that do not exist.
    orphans: u64,
}

impl<'s> Side<'s> {
    pub(crate) fn new(statement: &'s mut Statement<'_>) -> Result<Self, Stop> {
        let mut side = Self { rows: statement.query([])?, run: None, orphans: 0 };
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

    /// Calls with each row of a run; rows of runs that do not exist are passed over.
    pub(crate) fn rows_of(
        &mut self,
        run: &[u8],
        mut take: impl FnMut(&Row<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        while let Some(of) = self.run.as_deref().filter(|of| *of <= run) {
            match (of == run, self.rows.get()) {
                (true, Some(row)) => take(row)?,
                _ => self.orphans += 1,
            }
            self.step()?;
        }
        Ok(())
    }

    /// How many rows belong to no run, once all runs were read.
    pub(crate) fn orphans(mut self) -> Result<u64, Stop> {
        while self.run.is_some() {
            self.orphans += 1;
            self.step()?;
        }
        Ok(self.orphans)
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
