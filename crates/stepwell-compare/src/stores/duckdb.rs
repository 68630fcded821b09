//! DuckDB by its appender: an analytical database in C++.

use std::path::Path;

use duckdb::{Connection, params};
use stepwell::base::point::{Columns, Point};

use crate::contender::{Result, Store};
use crate::work::{Logged, Work};

struct Duck {
    connection: Connection,
}

pub fn open(dir: &Path, _work: &Work) -> Result<Box<dyn Store>> {
    let connection = Connection::open(dir.join("points.duckdb"))?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS points (run INTEGER NOT NULL, key INTEGER NOT NULL, step BIGINT NOT NULL, \
         timestamp BIGINT NOT NULL, value DOUBLE NOT NULL)",
    )?;
    Ok(Box::new(Duck { connection }))
}

fn row(row: &duckdb::Row<'_>) -> duckdb::Result<Logged> {
    Ok(Logged { run: row.get(0)?, key: row.get(1)?, step: row.get(2)?, timestamp: row.get(3)?, value: row.get(4)? })
}

impl Store for Duck {
    fn ingest(&mut self, work: &Work) -> Result<()> {
        let mut appender = self.connection.appender("points")?;
        work.each(|point| {
            appender.append_row(params![point.run, point.key, point.step, point.timestamp, point.value])
        })?;
        appender.flush()?;
        drop(appender);
        Ok(self.connection.execute_batch("CHECKPOINT")?)
    }

    fn settle(&mut self, _work: &Work) -> Result<()> {
        Ok(self.connection.execute_batch("CHECKPOINT")?)
    }

    fn each(&mut self, _work: &Work, visit: &mut dyn FnMut(Logged)) -> Result<()> {
        let mut select = self.connection.prepare("SELECT run, key, step, timestamp, value FROM points")?;
        for point in select.query_map([], row)? {
            visit(point?);
        }
        Ok(())
    }

    fn history(&mut self, _work: &Work, run: u32, key: u32, out: &mut Columns) -> Result<()> {
        out.clear();
        let mut select = self.connection.prepare_cached(
            "SELECT run, key, step, timestamp, value FROM points WHERE run = ? AND key = ? ORDER BY step",
        )?;
        for point in select.query_map(params![run, key], row)? {
            let point = point?;
            out.push(Point { step: point.step, timestamp_ms: Some(point.timestamp), value: point.value });
        }
        Ok(())
    }

    fn latest(&mut self, _work: &Work) -> Result<Vec<Logged>> {
        let sql =
            "SELECT run, key, max(step), arg_max(timestamp, step), arg_max(value, step) FROM points GROUP BY run, key";
        Ok(self.connection.prepare_cached(sql)?.query_map([], row)?.collect::<duckdb::Result<_>>()?)
    }
}
