//! Histories and search results as Arrow record batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};

use crate::base::point::Columns;
use crate::error::{Error, Result};
use crate::index::rows::Row;
use crate::run::chunks::HistoryChunks;
use crate::workspace::read::found::SearchResult;

/// A column: its field and its values.
type Column = (Field, ArrayRef);

fn batch(columns: Vec<Column>, rows: usize) -> Result<RecordBatch> {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|error| Error::invalid("record batch", error.to_string()))
}

impl Columns {
    /// The points as a record batch: `step` (int64), `timestamp_ms` (int64, null where absent), `value` (float64).
    /// Values keep their bits.
    ///
    /// ```
    /// use stepwell::{Columns, Point};
    ///
    /// let points: Columns = [Point { step: 1, timestamp_ms: None, value: f64::NAN }].into_iter().collect();
    /// let batch = points.to_record_batch()?;
    /// assert_eq!((batch.num_columns(), batch.num_rows()), (3, 1));
    /// assert_eq!(batch["timestamp_ms"].null_count(), 1);
    /// # Ok::<_, stepwell::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] if the columns differ in length.
    pub fn to_record_batch(&self) -> Result<RecordBatch> {
        self.clone().into_record_batch()
    }

    /// See [`Self::to_record_batch`]: steps and values are not copied.
    fn into_record_batch(self) -> Result<RecordBatch> {
        let rows = self.len();
        let timestamps = self.timestamps.view();
        let timestamps: Int64Array = (0..timestamps.ms.len()).map(|at| timestamps.get(at)).collect();
        let columns: Vec<Column> = vec![
            (Field::new("step", DataType::Int64, false), Arc::new(Int64Array::from(self.steps))),
            (Field::new("timestamp_ms", DataType::Int64, true), Arc::new(timestamps)),
            (Field::new("value", DataType::Float64, false), Arc::new(Float64Array::from(self.values))),
        ];
        batch(columns, rows)
    }
}

impl<'a> HistoryChunks<'a> {
    /// The chunks as record batches: see [`Columns::to_record_batch`].
    ///
    /// ```
    /// use stepwell::{ExperimentId, NewRun, Workspace};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let workspace = Workspace::open_or_create(dir.path())?;
    /// let mut run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default())?;
    /// let loss = run.metric("loss")?;
    /// run.log_columns(loss, &[0, 1, 2], None, &[3.0, 2.0, 1.0])?;
    /// let snapshot = workspace.run(run.run_id())?;
    /// for batch in snapshot.history_chunks("loss", 65_536)?.record_batches() {
    ///     assert_eq!(batch?.num_rows(), 3);
    /// }
    /// # Ok::<_, stepwell::Error>(())
    /// ```
    pub fn record_batches(self) -> impl Iterator<Item = Result<RecordBatch>> + use<'a> {
        self.map(|chunk| chunk?.into_record_batch())
    }
}

impl SearchResult {
    /// The runs of the page as a record batch, one row each, in order.
    ///
    /// `run_id`, `name`, `user`, `status` (utf8), `experiment_id` (uint64), `start_time_ms`, `end_time_ms` (int64),
    /// `deleted` (bool); then one column a key, null where a run lacks it: `metrics.KEY` (float64, the latest value),
    /// `params.KEY` and `tags.KEY` (utf8).
    ///
    /// ```
    /// use stepwell::{ExperimentId, NewRun, Workspace, query::Query};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let workspace = Workspace::open_or_create(dir.path())?;
    /// let mut run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default())?;
    /// run.log_metric("loss", 0, 0.5)?;
    /// let batch = workspace.search(&Query::filter("metrics.loss < 1")?)?.to_record_batch()?;
    /// assert_eq!(batch.num_rows(), 1);
    /// assert!(batch.column_by_name("metrics.loss").is_some());
    /// # Ok::<_, stepwell::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn to_record_batch(&self) -> Result<RecordBatch> {
        let rows = self.rows()?;
        let text = |name: &str, of: &dyn Fn(&Row<'_>) -> String| -> Column {
            let values: StringArray = rows.iter().map(|row| Some(of(row))).collect();
            (Field::new(name, DataType::Utf8, false), Arc::new(values))
        };
        let time = |name: &str, of: &dyn Fn(&Row<'_>) -> Option<i64>| -> Column {
            let values: Int64Array = rows.iter().map(of).collect();
            (Field::new(name, DataType::Int64, true), Arc::new(values))
        };
        let experiments: UInt64Array = rows.iter().map(|row| Some(row.experiment_id.0)).collect();
        let deleted: BooleanArray = rows.iter().map(|row| Some(row.deleted)).collect();
        let mut columns: Vec<Column> = vec![
            text("run_id", &|row| row.run_id.to_string()),
            (Field::new("experiment_id", DataType::UInt64, false), Arc::new(experiments)),
            text("name", &|row| row.name.to_owned()),
            text("user", &|row| row.user.to_owned()),
            text("status", &|row| row.status.as_str().to_owned()),
            time("start_time_ms", &|row| row.start_time_ms),
            time("end_time_ms", &|row| row.end_time_ms),
            (Field::new("deleted", DataType::Boolean, false), Arc::new(deleted)),
        ];
        let metrics = rows.iter().map(|row| row.metrics.iter().map(|(key, latest)| (*key, latest.value)).collect());
        for (key, values) in by_key(metrics, rows.len()) {
            let field = Field::new(format!("metrics.{key}"), DataType::Float64, true);
            columns.push((field, Arc::new(Float64Array::from(values))));
        }
        let params = by_key(rows.iter().map(|row| row.params.clone()), rows.len());
        let tags = by_key(rows.iter().map(|row| row.tags.clone()), rows.len());
        for (family, of_family) in [("params", params), ("tags", tags)] {
            for (key, values) in of_family {
                let field = Field::new(format!("{family}.{key}"), DataType::Utf8, true);
                columns.push((field, Arc::new(StringArray::from(values))));
            }
        }
        batch(columns, rows.len())
    }
}

/// Values of rows by key, one for each row.
fn by_key<'a, T: Copy>(
    rows: impl Iterator<Item = Vec<(&'a str, T)>>,
    count: usize,
) -> BTreeMap<&'a str, Vec<Option<T>>> {
    let mut columns: BTreeMap<&str, Vec<Option<T>>> = BTreeMap::new();
    for (at, row) in rows.enumerate() {
        for (key, value) in row {
            columns.entry(key).or_insert_with(|| vec![None; count])[at] = Some(value);
        }
    }
    columns
}
