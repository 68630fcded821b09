//! fjall: a log-structured merge tree in Rust.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use stepwell::{Columns, Point};

use super::{all_series, ordered_key, payload, point};
use crate::contender::{Result, Store};
use crate::work::{Logged, Work};

const BATCH: usize = 1000;

struct Fjall {
    database: Database,
    points: Keyspace,
}

pub fn open(dir: &Path, _work: &Work) -> Result<Box<dyn Store>> {
    let database = Database::builder(dir.join("fjall")).open()?;
    let points = database.keyspace("points", KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall { database, points }))
}

fn prefix(run: u32, key: u32) -> [u8; 8] {
    let [prefix @ .., _, _, _, _, _, _, _, _] = ordered_key(run, key, 0);
    prefix
}

impl Store for Fjall {
    fn ingest(&mut self, work: &Work) -> Result<()> {
        let mut batch = self.database.batch();
        work.each(|point| {
            batch.insert(&self.points, ordered_key(point.run, point.key, point.step), payload(point));
            if batch.len() == BATCH {
                std::mem::replace(&mut batch, self.database.batch()).commit()?;
            }
            Ok::<(), fjall::Error>(())
        })?;
        batch.commit()?;
        self.database.persist(PersistMode::Buffer)?;
        Ok(())
    }

    fn settle(&mut self, _work: &Work) -> Result<()> {
        self.points.rotate_memtable_and_wait()?;
        self.points.major_compact()?;
        Ok(())
    }

    fn each(&mut self, _work: &Work, visit: &mut dyn FnMut(Logged)) -> Result<()> {
        for entry in self.points.iter() {
            let (key, payload) = entry.into_inner()?;
            visit(point(&key, &payload).ok_or("bytes of another length")?);
        }
        Ok(())
    }

    fn history(&mut self, _work: &Work, run: u32, key: u32, out: &mut Columns) -> Result<()> {
        out.clear();
        for entry in self.points.prefix(prefix(run, key)) {
            let (key, payload) = entry.into_inner()?;
            let read = point(&key, &payload).ok_or("bytes of another length")?;
            out.push(Point { step: read.step, timestamp_ms: Some(read.timestamp), value: read.value });
        }
        Ok(())
    }

    fn latest(&mut self, work: &Work) -> Result<Vec<Logged>> {
        let last = |(run, key)| -> Result<Logged> {
            let entry = self.points.prefix(prefix(run, key)).next_back().ok_or("a series is missing")?;
            let (key, payload) = entry.into_inner()?;
            Ok(point(&key, &payload).ok_or("bytes of another length")?)
        };
        all_series(work).map(last).collect()
    }
}
