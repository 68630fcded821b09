//! RocksDB: a log-structured merge tree in C++.

use std::path::Path;

use rocksdb::{DB, IteratorMode, Options, WriteBatch};
use stepwell::base::point::{Columns, Point};

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

impl Store for Rocks {
    fn ingest(&mut self, work: &Work) -> Result<()> {
        let mut batch = WriteBatch::default();
        work.each(|point| {
            batch.put(ordered_key(point.run, point.key, point.step), payload(point));
            if batch.len() == BATCH { self.database.write(&std::mem::take(&mut batch)) } else { Ok(()) }
        })?;
        self.database.write(&batch)?;
        Ok(self.database.flush()?)
    }

    fn settle(&mut self, _work: &Work) -> Result<()> {
        self.database.compact_range::<&[u8], &[u8]>(None, None);
        Ok(())
    }

    fn each(&mut self, _work: &Work, visit: &mut dyn FnMut(Logged)) -> Result<()> {
        for entry in self.database.iterator(IteratorMode::Start) {
            let (key, payload) = entry?;
            visit(point(&key, &payload).ok_or("bytes of another length")?);
        }
        Ok(())
    }

    fn history(&mut self, _work: &Work, run: u32, key: u32, out: &mut Columns) -> Result<()> {
        out.clear();
        let from = ordered_key(run, key, 0);
        for entry in self.database.iterator(IteratorMode::From(&from, rocksdb::Direction::Forward)) {
            let (at, payload) = entry?;
            let read = point(&at, &payload).ok_or("bytes of another length")?;
            if (read.run, read.key) != (run, key) {
                break;
            }
            out.push(Point { step: read.step, timestamp_ms: Some(read.timestamp), value: read.value });
        }
        Ok(())
    }

    fn latest(&mut self, work: &Work) -> Result<Vec<Logged>> {
        let last = |(run, key)| -> Result<Logged> {
            let to = ordered_key(run, key, i64::MAX);
            let mut entries = self.database.iterator(IteratorMode::From(&to, rocksdb::Direction::Reverse));
            let (at, payload) = entries.next().ok_or("a series is missing")??;
            Ok(point(&at, &payload).ok_or("bytes of another length")?)
        };
        all_series(work).map(last).collect()
    }
}
