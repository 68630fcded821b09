//! Parquet files by arrow-rs: one written as points arrive, one that keeps all in memory and sorts them by series.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, Float64Array, Int64Array, PrimitiveArray, RecordBatch, UInt32Array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;
use stepwell::{Columns, Point};

use crate::contender::{Result, Store};
use crate::work::{Logged, Work};

/// Rows of one batch handed to the writer.
const BATCH: usize = 64 << 10;
/// Rows of a row group: small enough that a reader of one series skips most of the file.
const ROW_GROUP: usize = 128 << 10;

struct Parquet {
    path: PathBuf,
    sorted: bool,
}

pub fn open_arrival(dir: &Path, _work: &Work) -> Result<Box<dyn Store>> {
    Ok(Box::new(Parquet { path: dir.join("points.parquet"), sorted: false }))
}

pub fn open_sorted(dir: &Path, _work: &Work) -> Result<Box<dyn Store>> {
    Ok(Box::new(Parquet { path: dir.join("points.parquet"), sorted: true }))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("run", DataType::UInt32, false),
        Field::new("key", DataType::UInt32, false),
        Field::new("step", DataType::Int64, false),
        Field::new("timestamp", DataType::Int64, false),
        Field::new("value", DataType::Float64, false),
    ]))
}

/// A writer. Sorted columns take the encodings that suit them: differences, and the bytes of values by significance.
fn writer(path: &Path, level: i32, sorted: bool) -> Result<ArrowWriter<File>> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
        .set_max_row_group_row_count(Some(ROW_GROUP));
    if sorted {
        for (name, encoding) in [
            ("step", Encoding::DELTA_BINARY_PACKED),
            ("timestamp", Encoding::DELTA_BINARY_PACKED),
            ("value", Encoding::BYTE_STREAM_SPLIT),
        ] {
            properties =
                properties.set_column_dictionary_enabled(name.into(), false).set_column_encoding(name.into(), encoding);
        }
    }
    Ok(ArrowWriter::try_new(File::create(path)?, schema(), Some(properties.build()))?)
}

fn batch(points: &[Logged]) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(points.iter().map(|point| point.run))),
        Arc::new(UInt32Array::from_iter_values(points.iter().map(|point| point.key))),
        Arc::new(Int64Array::from_iter_values(points.iter().map(|point| point.step))),
        Arc::new(Int64Array::from_iter_values(points.iter().map(|point| point.timestamp))),
        Arc::new(Float64Array::from_iter_values(points.iter().map(|point| point.value))),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// Writes sorted points.
fn write(path: &Path, points: &[Logged], level: i32) -> Result<()> {
    let mut writer = writer(path, level, true)?;
    for points in points.chunks(BATCH) {
        writer.write(&batch(points)?)?;
    }
    writer.close()?;
    Ok(())
}

fn column<T: ArrowPrimitiveType>(batch: &RecordBatch, at: usize) -> Result<&PrimitiveArray<T>> {
    Ok(batch.column(at).as_any().downcast_ref().ok_or("a column of another type")?)
}

impl Parquet {
    /// Visits points; of row groups only those that may hold the series, when one is asked for.
    fn visit(&self, series: Option<(u32, u32)>, visit: &mut dyn FnMut(Logged)) -> Result<()> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&self.path)?)?;
        let may_hold = |at: usize| {
            let group = builder.metadata().row_group(at);
            let within = |column: usize, wanted: u32| match group.column(column).statistics() {
                Some(Statistics::Int32(range)) => {
                    range.min_opt().is_none_or(|least| *least as u32 <= wanted)
                        && range.max_opt().is_none_or(|greatest| wanted <= *greatest as u32)
                }
                _ => true,
            };
            series.is_none_or(|(run, key)| within(0, run) && within(1, key))
        };
        let groups = (0..builder.metadata().num_row_groups()).filter(|at| may_hold(*at)).collect();
        for batch in builder.with_row_groups(groups).with_batch_size(BATCH).build()? {
            let batch = batch?;
            let (runs, keys) = (column::<UInt32Type>(&batch, 0)?.values(), column::<UInt32Type>(&batch, 1)?.values());
            let steps = column::<Int64Type>(&batch, 2)?.values();
            let timestamps = column::<Int64Type>(&batch, 3)?.values();
            let values = column::<Float64Type>(&batch, 4)?.values();
            for at in 0..batch.num_rows() {
                if series.is_none_or(|series| series == (runs[at], keys[at])) {
                    let (step, timestamp, value) = (steps[at], timestamps[at], values[at]);
                    visit(Logged { run: runs[at], key: keys[at], step, timestamp, value });
                }
            }
        }
        Ok(())
    }
}

impl Store for Parquet {
    fn ingest(&mut self, work: &Work) -> Result<()> {
        if self.sorted {
            let mut points = Vec::new();
            work.each(|point| {
                points.push(point);
                Ok::<(), parquet::errors::ParquetError>(())
            })?;
            points.sort_by_key(|point| (point.run, point.key, point.step));
            return write(&self.path, &points, 3);
        }
        let (mut writer, mut points) = (writer(&self.path, 3, false)?, Vec::with_capacity(BATCH));
        work.each(|point| {
            points.push(point);
            if points.len() == BATCH {
                writer.write(&batch(&points)?)?;
                points.clear();
            }
            Ok::<(), Box<dyn std::error::Error>>(())
        })?;
        writer.write(&batch(&points)?)?;
        writer.close()?;
        Ok(())
    }

    fn settle(&mut self, _work: &Work) -> Result<()> {
        let mut points = Vec::new();
        self.visit(None, &mut |point| points.push(point))?;
        points.sort_by_key(|point| (point.run, point.key, point.step));
        write(&self.path, &points, 19)
    }

    fn each(&mut self, _work: &Work, visit: &mut dyn FnMut(Logged)) -> Result<()> {
        self.visit(None, visit)
    }

    fn history(&mut self, _work: &Work, run: u32, key: u32, out: &mut Columns) -> Result<()> {
        out.clear();
        self.visit(Some((run, key)), &mut |point| {
            out.push(Point { step: point.step, timestamp_ms: Some(point.timestamp), value: point.value });
        })?;
        out.sort();
        Ok(())
    }

    fn latest(&mut self, work: &Work) -> Result<Vec<Logged>> {
        let keys = work.keys() as usize;
        let mut latest: Vec<Option<Logged>> = vec![None; work.runs() as usize * keys];
        self.visit(None, &mut |point| {
            let place = &mut latest[point.run as usize * keys + point.key as usize];
            if place.is_none_or(|last| last.step <= point.step) {
                *place = Some(point);
            }
        })?;
        latest.into_iter().map(|point| Ok(point.ok_or("a series is missing")?)).collect()
    }
}
