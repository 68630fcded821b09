//! DuckDB by Arrow batches: an analytical database in C++.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duckdb::arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, Int64Array};
use duckdb::arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use duckdb::arrow::record_batch::RecordBatch;
use duckdb::{Connection, Params, params};
use stepwell::Columns;

use crate::contender::{Result, Store};
use crate::work::{Logged, Work};

/// Points of one batch: a vector of DuckDB.
const BATCH: usize = 2048;
const COLUMNS: &str = "run, key, step, timestamp, value";

struct Duck {
    connection: Connection,
    path: PathBuf,
}

pub fn open(dir: &Path, _work: &Work) -> Result<Box<dyn Store>> {
    let path = dir.join("points.duckdb");
    let connection = Connection::open(&path)?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS points (run INTEGER NOT NULL, key INTEGER NOT NULL, step BIGINT NOT NULL, \
         timestamp BIGINT NOT NULL, value DOUBLE NOT NULL)",
    )?;
    Ok(Box::new(Duck { connection, path }))
}

/// The points as a batch of the table's columns.
fn batch(points: &[Logged]) -> Result<RecordBatch> {
    let columns: [(&str, ArrayRef); 5] = [
        ("run", Arc::new(points.iter().map(|point| point.run as i32).collect::<Int32Array>())),
        ("key", Arc::new(points.iter().map(|point| point.key as i32).collect::<Int32Array>())),
        ("step", Arc::new(points.iter().map(|point| point.step).collect::<Int64Array>())),
        ("timestamp", Arc::new(points.iter().map(|point| point.timestamp).collect::<Int64Array>())),
        ("value", Arc::new(points.iter().map(|point| point.value).collect::<Float64Array>())),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}

impl Duck {
    /// Hands on what a query of all five columns answers.
    fn select(&self, sql: &str, params: impl Params, visit: &mut dyn FnMut(Logged)) -> Result<()> {
        for batch in self.connection.prepare_cached(sql)?.query_arrow(params)? {
            let (run, key) = (batch.column(0).as_primitive::<Int32Type>(), batch.column(1).as_primitive::<Int32Type>());
            let step = batch.column(2).as_primitive::<Int64Type>();
            let timestamp = batch.column(3).as_primitive::<Int64Type>();
            let value = batch.column(4).as_primitive::<Float64Type>();
            for at in 0..batch.num_rows() {
                let (run, key) = (run.value(at) as u32, key.value(at) as u32);
                let (step, timestamp) = (step.value(at), timestamp.value(at));
                visit(Logged { run, key, step, timestamp, value: value.value(at) });
            }
        }
        Ok(())
    }
}

impl Store for Duck {
    fn ingest(&mut self, work: &Work) -> Result<()> {
        let mut appender = self.connection.appender("points")?;
        let mut points = Vec::with_capacity(BATCH);
        work.each(|point| -> Result<()> {
            points.push(point);
            if points.len() == BATCH {
                appender.append_record_batch(batch(&points)?)?;
                points.clear();
            }
            Ok(())
        })?;
        if !points.is_empty() {
            appender.append_record_batch(batch(&points)?)?;
        }
        appender.flush()?;
        drop(appender);
        Ok(self.connection.execute_batch("CHECKPOINT")?)
    }

    fn settle(&mut self, _work: &Work) -> Result<()> {
        // A new file, since one that had more keeps its length.
        let sorted = self.path.with_extension("sorted");
        self.connection.execute_batch(&format!(
            "ATTACH '{}' AS sorted; CREATE TABLE sorted.points AS SELECT * FROM points ORDER BY run, key, step; \
             DETACH sorted",
            sorted.display()
        ))?;
        self.connection = Connection::open_in_memory()?;
        std::fs::rename(&sorted, &self.path)?;
        self.connection = Connection::open(&self.path)?;
        Ok(())
    }

    fn each(&mut self, _work: &Work, visit: &mut dyn FnMut(Logged)) -> Result<()> {
        self.select(&format!("SELECT {COLUMNS} FROM points"), [], visit)
    }

    fn history(&mut self, _work: &Work, run: u32, key: u32, out: &mut Columns) -> Result<()> {
        out.clear();
        let sql = "SELECT step, timestamp, value FROM points WHERE run = ? AND key = ? ORDER BY step, timestamp";
        for batch in self.connection.prepare_cached(sql)?.query_arrow(params![run, key])? {
            out.steps.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
            out.timestamps.ms.extend_from_slice(batch.column(1).as_primitive::<Int64Type>().values());
            out.values.extend_from_slice(batch.column(2).as_primitive::<Float64Type>().values());
        }
        Ok(())
    }

    fn latest(&mut self, _work: &Work) -> Result<Vec<Logged>> {
        let sql =
            "SELECT run, key, max(step), arg_max(timestamp, step), arg_max(value, step) FROM points GROUP BY run, key";
        let mut latest = Vec::new();
        self.select(sql, [], &mut |point| latest.push(point))?;
        Ok(latest)
    }
}
