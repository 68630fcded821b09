//! Stepwell by handle: one writer for each run.

use std::path::Path;

use stepwell::internals::codec::Effort;
use stepwell::internals::run::pack::pack_runs;
use stepwell::internals::segment::pack::PackWriter;
use stepwell::maintenance::CompactOptions;
use stepwell::query::Query;
use stepwell::testing::{Disk, Storage};
use stepwell::{Columns, ExperimentId, MetricHandle, NewRun, Point, RunId, Workspace};

use crate::contender::{Result, Store};
use crate::meter::{Cost, cost};
use crate::work::{Logged, Work};

struct Stepwell {
    workspace: Workspace,
}

/// The id that a run of a work has, by its number.
pub fn run_id(run: u32) -> RunId {
    RunId::new(format!("run{run:07}")).expect("letters and digits are a run id")
}

pub fn open(dir: &Path, _work: &Work) -> Result<Box<dyn Store>> {
    Ok(Box::new(Stepwell { workspace: Workspace::open_or_create(dir.join("stepwell"))? }))
}

/// Logs a workload as whole columns of each series, to sealed bytes, and checks one series.
pub fn ingest_columns(dir: &Path, work: &Work) -> Result<Cost> {
    let columns: Vec<Columns> = (0..work.keys())
        .map(|key| {
            let points = (0..work.length(0)).map(|step| work.point(0, key, step));
            points
                .map(|point| Point { step: point.step, timestamp_ms: Some(point.timestamp), value: point.value })
                .collect()
        })
        .collect();
    let workspace = Workspace::open_or_create(dir.join("columns"))?;
    let ((), cost) = cost(|| -> Result<()> {
        let new = NewRun { id: Some(run_id(0)), ..NewRun::default() };
        let mut writer = workspace.create_run(ExperimentId::DEFAULT, new)?;
        for (key, columns) in (0..work.keys()).zip(&columns) {
            let metric = writer.metric(&work.key_name(key))?;
            writer.log_columns(metric, &columns.steps, Some(&columns.timestamps.ms), &columns.values)?;
        }
        Ok(writer.seal()?)
    })?;
    let run = workspace.run(&run_id(0))?;
    for (key, columns) in (0..work.keys()).zip(&columns) {
        if run.history(&work.key_name(key))? != *columns {
            return Err(format!("the columns of key {key} are not what was logged").into());
        }
    }
    Ok(cost)
}

/// Packs the runs that were logged into a pack, which is then discarded: compaction without publishing. With the fast
/// codecs, this is the cost of reading, merging and writing; with the strong ones, the whole cost.
pub fn gathering(dir: &Path, work: &Work, effort: Effort) -> Result<Cost> {
    let workspace = Workspace::open(dir.join("stepwell"))?;
    let path = dir.join("gathered.pack");
    let (gathered, cost) = cost(|| -> Result<_> {
        let mut pack = PackWriter::new(Disk.create_new(&path)?, &path, 1, effort)?;
        let gathered = pack_runs(&mut pack, &mut (0..work.runs()).map(|run| workspace.run(&run_id(run))))?;
        pack.finish()?;
        Ok(gathered)
    })?;
    std::fs::remove_file(&path)?;
    if gathered.points == work.points() { Ok(cost) } else { Err(format!("not all was gathered: {gathered:?}").into()) }
}

impl Store for Stepwell {
    fn ingest(&mut self, work: &Work) -> Result<()> {
        let mut writers = Vec::new();
        for run in 0..work.runs() {
            let new = NewRun { id: Some(run_id(run)), ..NewRun::default() };
            let mut writer = self.workspace.create_run(ExperimentId::DEFAULT, new)?;
            let metrics = (0..work.keys())
                .map(|key| writer.metric(&work.key_name(key)))
                .collect::<stepwell::Result<Vec<MetricHandle>>>()?;
            writers.push((writer, metrics));
        }
        work.each(|point| {
            let (writer, metrics) = &mut writers[point.run as usize];
            writer.log_point(
                metrics[point.key as usize],
                stepwell::Point { step: point.step, timestamp_ms: Some(point.timestamp), value: point.value },
            )
        })?;
        for (mut writer, _) in writers {
            writer.seal()?;
        }
        Ok(())
    }

    fn settle(&mut self, work: &Work) -> Result<()> {
        let done = self.workspace.maintenance().compact(CompactOptions::default())?;
        if done.busy || done.points != work.points() || !done.skipped.is_empty() {
            return Err(format!("compaction did not take all in: {done:?}").into());
        }
        Ok(())
    }

    fn each(&mut self, work: &Work, visit: &mut dyn FnMut(Logged)) -> Result<()> {
        let mut columns = Columns::default();
        for run in 0..work.runs() {
            let snapshot = self.workspace.run(&run_id(run))?;
            for key in 0..work.keys() {
                snapshot.history_into(&work.key_name(key), &mut columns)?;
                for point in columns.iter() {
                    let timestamp = point.timestamp_ms.ok_or("a point lost its timestamp")?;
                    visit(Logged { run, key, step: point.step, timestamp, value: point.value });
                }
            }
        }
        Ok(())
    }

    fn history(&mut self, work: &Work, run: u32, key: u32, out: &mut Columns) -> Result<()> {
        Ok(self.workspace.run(&run_id(run))?.history_into(&work.key_name(key), out)?)
    }

    fn latest(&mut self, work: &Work) -> Result<Vec<Logged>> {
        let query = Query { max_results: work.runs() as usize, ..Query::default() };
        let names: Vec<String> = (0..work.keys()).map(|key| work.key_name(key)).collect();
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = self.workspace.search(&query)?;
        let (runs, columns) = (found.run_ids()?, found.latest(&keys)?);
        let mut latest = Vec::with_capacity(runs.len() * keys.len());
        for (row, run) in runs.iter().enumerate() {
            let run = run.as_str().trim_start_matches("run").parse()?;
            for (key, column) in columns.iter().enumerate() {
                let Some(point) = column[row] else { continue };
                let timestamp = point.timestamp_ms.ok_or("a point lost its timestamp")?;
                latest.push(Logged { run, key: key as u32, step: point.step, timestamp, value: point.value });
            }
        }
        Ok(latest)
    }

    fn plot(&mut self, work: &Work, run: u32, key: u32, pixels: usize) -> Result<Option<(u64, f64)>> {
        let picture = self.workspace.run(&run_id(run))?.downsample(&work.key_name(key), None, pixels)?;
        let greatest = picture.buckets.iter().filter_map(|bucket| bucket.max).map(|point| point.value);
        Ok(Some((picture.buckets.iter().map(|bucket| bucket.count).sum(), greatest.fold(f64::MIN, f64::max))))
    }
}
