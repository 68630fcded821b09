//! redb: a copy-on-write B-tree keyed by run, key and step.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use stepwell::{Columns, Point};

use super::all_series;
use crate::contender::{Result, Store};
use crate::work::{Logged, Work};

const POINTS: TableDefinition<'_, (u32, u32, i64), (i64, f64)> = TableDefinition::new("points");
const BATCH: usize = 1000;

struct Redb {
    database: Database,
}

pub fn open(dir: &Path, _work: &Work) -> Result<Box<dyn Store>> {
    Ok(Box::new(Redb { database: Database::create(dir.join("points.redb"))? }))
}

impl Redb {
    fn commit(&self, batch: &mut Vec<Logged>, durability: Durability) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(durability)?;
        let mut table = transaction.open_table(POINTS)?;
        for point in batch.drain(..) {
            table.insert((point.run, point.key, point.step), (point.timestamp, point.value))?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }
}

impl Store for Redb {
    fn ingest(&mut self, work: &Work) -> Result<()> {
        let mut batch = Vec::with_capacity(BATCH);
        work.each(|point| {
            batch.push(point);
            if batch.len() == BATCH { self.commit(&mut batch, Durability::None) } else { Ok(()) }
        })?;
        self.commit(&mut batch, Durability::Immediate)
    }

    fn settle(&mut self, _work: &Work) -> Result<()> {
        self.database.compact()?;
        Ok(())
    }

    fn each(&mut self, _work: &Work, visit: &mut dyn FnMut(Logged)) -> Result<()> {
        let transaction = self.database.begin_read()?;
        for entry in transaction.open_table(POINTS)?.iter()? {
            let (key, payload) = entry?;
            let ((run, key, step), (timestamp, value)) = (key.value(), payload.value());
            visit(Logged { run, key, step, timestamp, value });
        }
        Ok(())
    }

    fn history(&mut self, _work: &Work, run: u32, key: u32, out: &mut Columns) -> Result<()> {
        out.clear();
        let transaction = self.database.begin_read()?;
        for entry in transaction.open_table(POINTS)?.range((run, key, i64::MIN)..=(run, key, i64::MAX))? {
            let (at, payload) = entry?;
            let (timestamp, value) = payload.value();
            out.push(Point { step: at.value().2, timestamp_ms: Some(timestamp), value });
        }
        Ok(())
    }

    fn latest(&mut self, work: &Work) -> Result<Vec<Logged>> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(POINTS)?;
        let last = |(run, key): (u32, u32)| -> Result<Logged> {
            let mut range = table.range((run, key, i64::MIN)..=(run, key, i64::MAX))?;
            let (at, payload) = range.next_back().ok_or("a series is missing")??;
            let (timestamp, value) = payload.value();
            Ok(Logged { run, key, step: at.value().2, timestamp, value })
        };
        all_series(work).map(last).collect()
    }
}
