//! SQLite, bundled: a plain table of points, and one that is ordered by run, key and step.

use std::path::Path;

use rusqlite::Connection;
use stepwell::{Columns, Point};

use super::all_series;
use crate::contender::{Result, Store};
use crate::work::{Logged, Work};

/// Points of one transaction.
pub const BATCH: usize = 1000;

struct Sqlite {
    connection: Connection,
    by_key: bool,
}

pub fn open_rowid(dir: &Path, _work: &Work) -> Result<Box<dyn Store>> {
    Ok(Box::new(Sqlite { connection: connect(&dir.join("points.db"), false)?, by_key: false }))
}

pub fn open_key(dir: &Path, _work: &Work) -> Result<Box<dyn Store>> {
    Ok(Box::new(Sqlite { connection: connect(&dir.join("points.db"), true)?, by_key: true }))
}

/// A connection to a database with the table of points. It waits for other processes.
pub fn connect(path: &Path, by_key: bool) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(120))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    let order = if by_key { ", PRIMARY KEY (run, key, step)) WITHOUT ROWID" } else { ")" };
    connection.execute(
        &format!(
            "CREATE TABLE IF NOT EXISTS points (run INTEGER NOT NULL, key INTEGER NOT NULL, step INTEGER NOT NULL, \
             timestamp INTEGER NOT NULL, value REAL NOT NULL{order}"
        ),
        [],
    )?;
    Ok(connection)
}

/// Inserts points in transactions of [`BATCH`].
pub fn insert(connection: &Connection, work: &Work, run_offset: u32) -> Result<()> {
    let mut insert = connection.prepare("INSERT INTO points VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut pending = 0;
    work.each(|point| {
        if pending == 0 {
            connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        insert.execute((point.run + run_offset, point.key, point.step, point.timestamp, point.value))?;
        pending += 1;
        if pending == BATCH {
            pending = 0;
            connection.execute_batch("COMMIT")?;
        }
        Ok::<(), rusqlite::Error>(())
    })?;
    if pending > 0 {
        connection.execute_batch("COMMIT")?;
    }
    Ok(())
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Logged> {
    Ok(Logged { run: row.get(0)?, key: row.get(1)?, step: row.get(2)?, timestamp: row.get(3)?, value: row.get(4)? })
}

/// Visits all points of a database.
pub fn scan(connection: &Connection, visit: &mut dyn FnMut(Logged)) -> Result<()> {
    let mut select = connection.prepare("SELECT run, key, step, timestamp, value FROM points")?;
    for point in select.query_map([], row)? {
        visit(point?);
    }
    Ok(())
}

impl Store for Sqlite {
    fn ingest(&mut self, work: &Work) -> Result<()> {
        insert(&self.connection, work, 0)?;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    fn settle(&mut self, _work: &Work) -> Result<()> {
        self.connection.execute_batch("VACUUM")?;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    fn each(&mut self, _work: &Work, visit: &mut dyn FnMut(Logged)) -> Result<()> {
        scan(&self.connection, visit)
    }

    fn history(&mut self, _work: &Work, run: u32, key: u32, out: &mut Columns) -> Result<()> {
        out.clear();
        let mut select = self.connection.prepare_cached(
            "SELECT step, timestamp, value FROM points WHERE run = ?1 AND key = ?2 ORDER BY step, timestamp",
        )?;
        let mut rows = select.query((run, key))?;
        while let Some(row) = rows.next()? {
            out.push(Point { step: row.get(0)?, timestamp_ms: Some(row.get(1)?), value: row.get(2)? });
        }
        Ok(())
    }

    fn latest(&mut self, work: &Work) -> Result<Vec<Logged>> {
        if !self.by_key {
            let sql = "SELECT run, key, max(step), timestamp, value FROM points GROUP BY run, key";
            return Ok(self.connection.prepare_cached(sql)?.query_map([], row)?.collect::<rusqlite::Result<_>>()?);
        }
        let mut select = self.connection.prepare_cached(
            "SELECT run, key, step, timestamp, value FROM points WHERE run = ?1 AND key = ?2 ORDER BY step DESC LIMIT \
             1",
        )?;
        Ok(all_series(work).map(|series| select.query_row(series, row)).collect::<rusqlite::Result<_>>()?)
    }
}
