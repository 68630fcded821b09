//! RocksDB: a log-structured merge tree in C++.

use std::path::Path;

use rocksdb::{DB, DBRawIterator, Options, WriteBatch};
use stepwell::{Columns, Point};

use super::{all_series, ordered_key, payload, point};
use crate::contender::{Result, Store};
use crate::work::{Logged, Work};

const BATCH: usize = 1000;

struct Rocks {
    database: DB,
}

pub fn open(dir: &Path, _work: &Work) -> Result<Box<dyn Store>> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    Ok(Box::new(Rocks { database: DB::open(&options, dir.join("rocksdb"))? }))
}

/// The entry that an iterator stands at; `None` at its end.
fn entry(iterator: &DBRawIterator<'_>) -> Result<Option<Logged>> {
    match iterator.item() {
        Some((key, payload)) => Ok(Some(point(key, payload).ok_or("bytes of another length")?)),
        None => Ok(iterator.status().map(|()| None)?),
    }
}

impl Store for Rocks {
    fn ingest(&mut self, work: &Work) -> Result<()> {
        let (mut batch, mut pending) = (WriteBatch::default(), 0);
        work.each(|point| {
            batch.put(ordered_key(point.run, point.key, point.step), payload(point));
            pending += 1;
            if pending < BATCH {
                return Ok(());
            }
            pending = 0;
            self.database.write(std::mem::take(&mut batch))
        })?;
        self.database.write(batch)?;
        Ok(self.database.flush()?)
    }

    fn settle(&mut self, _work: &Work) -> Result<()> {
        self.database.compact_range::<&[u8], &[u8]>(None, None);
        Ok(())
    }

    fn each(&mut self, _work: &Work, visit: &mut dyn FnMut(Logged)) -> Result<()> {
        let mut iterator = self.database.raw_iterator();
        iterator.seek_to_first();
        while let Some(point) = entry(&iterator)? {
            visit(point);
            iterator.next();
        }
        Ok(())
    }

    fn history(&mut self, _work: &Work, run: u32, key: u32, out: &mut Columns) -> Result<()> {
        out.clear();
        let mut iterator = self.database.raw_iterator();
        iterator.seek(ordered_key(run, key, 0));
        while let Some(point) = entry(&iterator)?.filter(|point| (point.run, point.key) == (run, key)) {
            out.push(Point { step: point.step, timestamp_ms: Some(point.timestamp), value: point.value });
            iterator.next();
        }
        Ok(())
    }

    fn latest(&mut self, work: &Work) -> Result<Vec<Logged>> {
        let mut iterator = self.database.raw_iterator();
        let last = |(run, key)| -> Result<Logged> {
            iterator.seek_for_prev(ordered_key(run, key, i64::MAX));
            Ok(entry(&iterator)?.ok_or("a series is missing")?)
        };
        all_series(work).map(last).collect()
    }
}
