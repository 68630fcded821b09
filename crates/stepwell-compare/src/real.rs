//! Real training logs, when they are at hand: bytes in Stepwell's packs against sorted Parquet with zstd 19.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayAccessor, ArrayRef, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use stepwell::import::RunImport;
use stepwell::maintenance::CompactOptions;
use stepwell::{Columns, ExperimentId, Point, RunId, Workspace};

use crate::contender::Result;
use crate::meter::bytes;
use crate::table::Figures;

const WORK: &str = "logs";
const PARQUET: &str = "parquet sorted";

/// Points of one set of logs, by run and key, in the order of the source.
type Logs = BTreeMap<(String, String), Columns>;

/// Compares all sets under a folder; without one it says so.
pub fn measure(figures: &mut Figures, folder: Option<&Path>, dir: &Path) -> Result<()> {
    let Some(folder) = folder else {
        figures.absent("real logs", "STEPWELL_REAL_LOGS is not set");
        return Ok(());
    };
    let mut paths: Vec<_> =
        std::fs::read_dir(folder.join("parquet"))?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "parquet"));
    paths.sort();
    let (mut points, mut ours, mut theirs, mut given) = (0, 0, 0, 0);
    for path in &paths {
        let logs = read(path)?;
        let count: usize = logs.values().map(Columns::len).sum();
        eprintln!("{WORK}: {}, {count} points", path.display());
        let in_stepwell = in_stepwell(&logs, dir)?;
        let in_parquet = u64::min(in_parquet(&logs, dir, false)?, in_parquet(&logs, dir, true)?);
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        if count >= 10_000 {
            figures.add(WORK, &name, "B/point", "stepwell", in_stepwell as f64 / count as f64);
            figures.add(WORK, &name, "B/point", PARQUET, in_parquet as f64 / count as f64);
        }
        points += count;
        ours += in_stepwell;
        theirs += in_parquet;
        given += std::fs::metadata(path)?.len();
    }
    let all = "all sets";
    figures.add_with_floor(WORK, all, "B/point", "≤ 0.75 × Parquet", "stepwell", ours as f64 / points as f64);
    figures.add_with_floor(WORK, all, "B/point", "≤ 0.75 × Parquet", PARQUET, theirs as f64 / points as f64);
    figures.note(format!(
        "{WORK}: {} sets, {points} points: Stepwell {ours} bytes, Parquet {theirs} (zstd 19, for each set the smaller \
         of its default encodings and of delta and byte-stream-split ones), the files as given {given}.",
        paths.len()
    ));
    Ok(())
}

fn read(path: &Path) -> Result<Logs> {
    let mut logs = Logs::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.with_batch_size(64 << 10).build()? {
        let batch = batch?;
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("no column {name}"));
        let (runs, keys) = (text(column("run_id")?)?, text(column("key")?)?);
        let (runs, keys) = (
            runs.downcast_dict::<StringArray>().ok_or("run ids are not text")?,
            keys.downcast_dict::<StringArray>().ok_or("keys are not text")?,
        );
        let primitive = arrow_array::cast::as_primitive_array::<Int64Type>;
        let (steps, timestamps) = (primitive(column("step")?), primitive(column("timestamp_ms")?));
        let values = arrow_array::cast::as_primitive_array::<Float64Type>(column("value")?);
        let mut at = 0;
        while at < batch.num_rows() {
            // Rows of a series stand together, mostly, so that it is looked up once for them.
            let (run, key) = (runs.value(at), keys.value(at));
            let series = logs.entry((run.to_owned(), key.to_owned())).or_default();
            while at < batch.num_rows() && runs.value(at) == run && keys.value(at) == key {
                let timestamp_ms = timestamps.is_valid(at).then(|| timestamps.value(at));
                series.push(Point { step: steps.value(at), timestamp_ms, value: values.value(at) });
                at += 1;
            }
        }
    }
    Ok(logs)
}

/// A column of words, each kept once.
fn text(column: &ArrayRef) -> Result<&DictionaryArray<Int32Type>> {
    Ok(column.as_any().downcast_ref().ok_or("a column that is not a dictionary of words")?)
}

/// Bytes of a workspace that holds the logs alone, every file counted, after it was read back.
fn in_stepwell(logs: &Logs, dir: &Path) -> Result<u64> {
    let folder = tempfile::tempdir_in(dir)?;
    let workspace = Workspace::open_or_create(folder.path().join("w"))?;
    let mut importer = workspace.importer();
    let mut by_run: BTreeMap<&str, Vec<(String, Columns)>> = BTreeMap::new();
    for ((run, key), columns) in logs {
        by_run.entry(run).or_default().push((key.clone(), columns.clone()));
    }
    let numbers: BTreeMap<&str, RunId> = by_run
        .keys()
        .enumerate()
        .map(|(number, run)| Ok((*run, RunId::new(format!("{number:032x}"))?)))
        .collect::<stepwell::Result<_>>()?;
    for (run, series) in by_run {
        importer.add(RunImport {
            name: run.to_owned(),
            series,
            ..RunImport::new(numbers[run].clone(), ExperimentId::DEFAULT)
        })?;
    }
    importer.finish()?;
    workspace.maintenance().compact(CompactOptions::default())?;
    for ((run, key), columns) in logs {
        if workspace.run(&numbers[run.as_str()])?.arrivals(key)? != *columns {
            return Err(format!("{run} {key} is not what was stored").into());
        }
    }
    drop(workspace);
    Ok(bytes(folder.path())?.0)
}

/// Bytes of a Parquet file of the same points, sorted by series.
fn in_parquet(logs: &Logs, dir: &Path, delta: bool) -> Result<u64> {
    let path = dir.join("sorted.parquet");
    let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let schema = Arc::new(Schema::new(vec![
        Field::new("run_id", text.clone(), false),
        Field::new("key", text, false),
        Field::new("step", DataType::Int64, false),
        Field::new("timestamp_ms", DataType::Int64, true),
        Field::new("value", DataType::Float64, false),
    ]));
    let mut properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(19)?));
    if delta {
        for (name, encoding) in [
            ("step", Encoding::DELTA_BINARY_PACKED),
            ("timestamp_ms", Encoding::DELTA_BINARY_PACKED),
            ("value", Encoding::BYTE_STREAM_SPLIT),
        ] {
            properties =
                properties.set_column_dictionary_enabled(name.into(), false).set_column_encoding(name.into(), encoding);
        }
    }
    let mut writer = ArrowWriter::try_new(File::create(&path)?, Arc::clone(&schema), Some(properties.build()))?;
    for ((run, key), columns) in logs {
        let repeated = |text: &str| -> Result<ArrayRef> {
            let numbers = Int32Array::from(vec![0; columns.len()]);
            let words = Arc::new(StringArray::from(vec![text]));
            Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(numbers, words)?))
        };
        let batch = vec![
            repeated(run)?,
            repeated(key)?,
            Arc::new(Int64Array::from_iter_values(columns.steps.iter().copied())),
            Arc::new(columns.iter().map(|point| point.timestamp_ms).collect::<Int64Array>()),
            Arc::new(Float64Array::from_iter_values(columns.values.iter().copied())),
        ];
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), batch)?)?;
    }
    let rows = writer.close()?.file_metadata().num_rows();
    let length = std::fs::metadata(&path)?.len();
    std::fs::remove_file(&path)?;
    let count: usize = logs.values().map(Columns::len).sum();
    if rows == count as i64 { Ok(length) } else { Err(format!("Parquet took {rows} of {count} points").into()) }
}
