//! tsink: an embedded time-series store of timestamps and values. It keeps no steps, so it keeps a third less.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stepwell::{Columns, Point};
use tsink::{DataPoint, Label, Row, StorageBuilder, TimestampPrecision, WalSyncMode};

use super::all_series;
use crate::contender::{Result, Store};
use crate::work::{Logged, Work};

const BATCH: usize = 1000;

struct Tsink {
    storage: Arc<dyn tsink::Storage>,
}

pub fn open(dir: &Path, _work: &Work) -> Result<Box<dyn Store>> {
    let storage = StorageBuilder::new()
        .with_data_path(dir.join("tsink"))
        .with_timestamp_precision(TimestampPrecision::Milliseconds)
        .with_retention_enforced(false)
        .with_wal_sync_mode(WalSyncMode::Periodic(Duration::from_secs(3600)))
        .build()?;
    Ok(Box::new(Tsink { storage }))
}

impl Drop for Tsink {
    fn drop(&mut self) {
        if let Err(error) = self.storage.close() {
            eprintln!("tsink does not close: {error}");
        }
    }
}

fn labels(run: u32) -> Vec<Label> {
    vec![Label::new("run", run.to_string())]
}

impl Tsink {
    fn series(&self, work: &Work, run: u32, key: u32) -> Result<Vec<(i64, f64)>> {
        let points = self.storage.select(&work.key_name(key), &labels(run), 0, i64::MAX)?;
        points
            .iter()
            .map(|point| Ok((point.timestamp, point.value_as_f64().ok_or("a value is not a number")?)))
            .collect()
    }
}

impl Store for Tsink {
    fn keeps_steps(&self) -> bool {
        false
    }

    fn ingest(&mut self, work: &Work) -> Result<()> {
        let names: Vec<String> = (0..work.keys()).map(|key| work.key_name(key)).collect();
        let mut batch = Vec::with_capacity(BATCH);
        work.each(|point| {
            let name = names[point.key as usize].as_str();
            batch.push(Row::with_labels(name, labels(point.run), DataPoint::new(point.timestamp, point.value)));
            if batch.len() == BATCH {
                self.storage.insert_rows(&batch)?;
                batch.clear();
            }
            Ok::<(), tsink::TsinkError>(())
        })?;
        self.storage.insert_rows(&batch)?;
        Ok(())
    }

    fn settle(&mut self, _work: &Work) -> Result<()> {
        Ok(())
    }

    fn each(&mut self, work: &Work, visit: &mut dyn FnMut(Logged)) -> Result<()> {
        for (run, key) in all_series(work) {
            for (timestamp, value) in self.series(work, run, key)? {
                visit(Logged { run, key, step: 0, timestamp, value });
            }
        }
        Ok(())
    }

    fn history(&mut self, work: &Work, run: u32, key: u32, out: &mut Columns) -> Result<()> {
        out.clear();
        for (index, (timestamp, value)) in self.series(work, run, key)?.into_iter().enumerate() {
            out.push(Point { step: index as i64, timestamp_ms: Some(timestamp), value });
        }
        Ok(())
    }

    fn latest(&mut self, work: &Work) -> Result<Vec<Logged>> {
        let last = |(run, key)| -> Result<Logged> {
            let (timestamp, value) = *self.series(work, run, key)?.last().ok_or("a series is missing")?;
            Ok(Logged { run, key, step: i64::from(work.length(run)) - 1, timestamp, value })
        };
        all_series(work).map(last).collect()
    }
}
