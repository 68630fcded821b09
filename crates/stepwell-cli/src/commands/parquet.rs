//! Points as Parquet: columns run_id, key, step, timestamp_ms and value, compressed with zstd.

use std::io::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use stepwell::Columns;

use crate::failure::{Failure, Outcome};

/// Points of one batch: what is in memory as text at once.
const BATCH: usize = 64 << 10;

/// A Parquet file being written. It cannot be read before [`Self::finish`].
pub(crate) struct Points<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: Arc<Schema>,
}

impl<W: Write + Send> Points<W> {
    /// Begins a file.
    pub(crate) fn new(out: W) -> Outcome<Self> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("run_id", DataType::Utf8, false),
            Field::new("key", DataType::Utf8, false),
            Field::new("step", DataType::Int64, false),
            Field::new("timestamp_ms", DataType::Int64, true),
            Field::new("value", DataType::Float64, false),
        ]));
        let mut properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
        for name in ["step", "timestamp_ms"] {
            let column = ColumnPath::from(name);
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
        let writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties.build())).map_err(failure)?;
        Ok(Self { writer, schema })
    }

    /// Appends points of one series.
    pub(crate) fn add(&mut self, run: &str, key: &str, points: &Columns) -> Outcome<()> {
        let timestamps = points.timestamps.view();
        for from in (0..points.len()).step_by(BATCH) {
            let range = from..(from + BATCH).min(points.len());
            let count = range.len();
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(run, count))),
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(key, count))),
                Arc::new(Int64Array::from(points.steps[range.clone()].to_vec())),
                Arc::new(range.clone().map(|index| timestamps.get(index)).collect::<Int64Array>()),
                Arc::new(Float64Array::from(points.values[range].to_vec())),
            ];
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
                .map_err(|error| Failure::failed(error.to_string()))?;
            self.writer.write(&batch).map_err(failure)?;
        }
        Ok(())
    }

    /// Writes the rest. Gives back what it wrote to.
    pub(crate) fn finish(self) -> Outcome<W> {
        self.writer.into_inner().map_err(failure)
    }
}

fn failure(error: ParquetError) -> Failure {
    match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(error) => (*error).into(),
            Err(other) => Failure::failed(format!("cannot write Parquet: {other}")),
        },
        other => Failure::failed(format!("cannot write Parquet: {other}")),
    }
}
