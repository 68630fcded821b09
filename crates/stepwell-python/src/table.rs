//! What a search found, as a table of columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, StringBuilder, TimestampMillisecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList, PyString};

use stepwell::{SearchResult, Workspace};

use crate::column::{Column, item, place, schema_capsule, stream_capsule};
use crate::errors;

/// A table of runs, one row a run: `run_id`, `name`, `experiment`, `status`, `user`, `start_time`, `end_time`, then
/// `metrics.KEY` (the latest value), `params.KEY` and `tags.KEY`. A cell that a run has no value for is `None`.
///
/// `table["metrics.loss"]` is a column, `table[0]` a row as a dict. Polars, pyarrow, pandas and DuckDB take the table
/// itself, without a copy.
#[pyclass(frozen, mapping, module = "stepwell")]
pub(crate) struct Table {
    batch: RecordBatch,
    /// How many runs match in all.
    total: usize,
    /// What could not be read.
    unreadable: Vec<String>,
}

/// The columns of texts that every run has.
const WORDS: [&str; 5] = ["run_id", "name", "experiment", "status", "user"];

/// The columns of a group, by key, each as long as the rows so far or shorter.
struct Group<B> {
    columns: BTreeMap<String, (B, usize)>,
}

impl<B: Default> Group<B> {
    fn new() -> Self {
        Self { columns: BTreeMap::new() }
    }

    /// Puts a value in a row; rows come in order.
    fn put(&mut self, key: &str, row: usize, skip: impl Fn(&mut B, usize), put: impl FnOnce(&mut B)) {
        if !self.columns.contains_key(key) {
            self.columns.insert(key.to_owned(), (B::default(), 0));
        }
        if let Some((column, len)) = self.columns.get_mut(key) {
            skip(column, row - *len);
            put(column);
            *len = row + 1;
        }
    }

    /// The columns, all of them of `rows` rows.
    fn finish(
        self,
        prefix: &str,
        kind: &DataType,
        rows: usize,
        skip: impl Fn(&mut B, usize),
        finish: impl Fn(B) -> ArrayRef,
        out: &mut Vec<(Field, ArrayRef)>,
    ) {
        for (key, (mut column, len)) in self.columns {
            skip(&mut column, rows - len);
            out.push((Field::new(format!("{prefix}.{key}"), kind.clone(), true), finish(column)));
        }
    }
}

/// Leaves `rows` rows of a column of numbers empty.
fn skip_floats(column: &mut Float64Builder, rows: usize) {
    column.append_nulls(rows);
}

/// Leaves `rows` rows of a column of texts empty.
fn skip_texts(column: &mut StringBuilder, rows: usize) {
    column.append_nulls(rows);
}

/// Rows of runs, before they are a table.
struct Rows {
    count: usize,
    texts: [StringBuilder; 5],
    times: [TimestampMillisecondBuilder; 2],
    metrics: Group<Float64Builder>,
    params: Group<StringBuilder>,
    tags: Group<StringBuilder>,
}

impl Rows {
    fn new() -> Self {
        Self {
            count: 0,
            texts: std::array::from_fn(|_| StringBuilder::new()),
            times: std::array::from_fn(|_| TimestampMillisecondBuilder::new().with_timezone("UTC")),
            metrics: Group::new(),
            params: Group::new(),
            tags: Group::new(),
        }
    }

    /// Adds a run: its words in the order of [`WORDS`], start and end, metrics, params, tags.
    fn push<'a>(
        &mut self,
        words: [&str; 5],
        times: [Option<i64>; 2],
        metrics: impl IntoIterator<Item = (&'a str, f64)>,
        params: impl IntoIterator<Item = (&'a str, &'a str)>,
        tags: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        let at = self.count;
        self.texts.iter_mut().zip(words).for_each(|(column, text)| column.append_value(text));
        self.times.iter_mut().zip(times).for_each(|(column, time)| column.append_option(time));
        for (key, value) in metrics {
            self.metrics.put(key, at, skip_floats, |column| column.append_value(value));
        }
        for (key, value) in params {
            self.params.put(key, at, skip_texts, |column| column.append_value(value));
        }
        for (key, value) in tags {
            self.tags.put(key, at, skip_texts, |column| column.append_value(value));
        }
        self.count += 1;
    }

    fn finish(self) -> RecordBatch {
        let moment = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
        for (name, mut column) in WORDS.into_iter().zip(self.texts) {
            columns.push((Field::new(name, DataType::Utf8, false), Arc::new(column.finish())));
        }
        for (name, mut column) in ["start_time", "end_time"].into_iter().zip(self.times) {
            columns.push((Field::new(name, moment.clone(), true), Arc::new(column.finish())));
        }
        let text = |mut column: StringBuilder| -> ArrayRef { Arc::new(column.finish()) };
        let float = |mut column: Float64Builder| -> ArrayRef { Arc::new(column.finish()) };
        self.metrics.finish("metrics", &DataType::Float64, self.count, skip_floats, float, &mut columns);
        self.params.finish("params", &DataType::Utf8, self.count, skip_texts, text, &mut columns);
        self.tags.finish("tags", &DataType::Utf8, self.count, skip_texts, text, &mut columns);
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("each column has a value for each row")
    }
}

impl Table {
    /// The table of a page of runs.
    pub(crate) fn new(workspace: &Workspace, found: &SearchResult) -> stepwell::Result<Self> {
        let names: BTreeMap<_, _> =
            workspace.experiments().list()?.into_iter().map(|experiment| (experiment.id, experiment.name)).collect();
        let mut rows = Rows::new();
        for row in &found.rows()? {
            let experiment = names.get(&row.experiment_id).map_or("", String::as_str);
            rows.push(
                [row.run_id.as_str(), row.name, experiment, row.status.as_str(), row.user],
                [row.start_time_ms, row.end_time_ms],
                row.metrics.iter().map(|(key, latest)| (*key, latest.value)),
                row.params.iter().map(|(key, value)| (*key, *value)),
                row.tags.iter().map(|(key, value)| (*key, *value)),
            );
        }
        Ok(Self { batch: rows.finish(), total: found.total, unreadable: found.unreadable.clone() })
    }
}

/// A run that a server found: its words, start and end, metrics, params and tags.
type Given = ([String; 5], [Option<i64>; 2], Vec<(String, f64)>, Vec<(String, String)>, Vec<(String, String)>);

#[pymethods]
impl Table {
    /// A table of runs that a server found, which says of `total` no more than that there are so many or more.
    #[staticmethod]
    fn _of(runs: Vec<Given>, total: usize) -> Self {
        let mut rows = Rows::new();
        for (words, times, metrics, params, tags) in &runs {
            rows.push(
                words.each_ref().map(String::as_str),
                *times,
                metrics.iter().map(|(key, value)| (key.as_str(), *value)),
                params.iter().map(|(key, value)| (key.as_str(), value.as_str())),
                tags.iter().map(|(key, value)| (key.as_str(), value.as_str())),
            );
        }
        Self { batch: rows.finish(), total, unreadable: Vec::new() }
    }

    /// The count of runs that match; the table has `len(table)` of them.
    #[getter]
    fn total(&self) -> usize {
        self.total
    }

    /// What could not be read and is missing from the table, in words.
    #[getter]
    fn unreadable<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, &self.unreadable)
    }

    /// Names of the columns.
    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.batch.schema_ref().fields().iter().map(|field| field.name()))
    }

    /// Names of the columns, so that `dict(table)` works.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.columns(py)
    }

    /// A column by its name, or a row, as a dict of what it has, by its place.
    fn __getitem__<'py>(&self, py: Python<'py>, at: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(name) = at.cast::<PyString>() {
            let name = name.to_str()?;
            return match self.batch.column_by_name(name) {
                Some(column) => Ok(Bound::new(py, Column::new(Arc::clone(column)))?.into_any()),
                None => Err(errors::new(py, "NotFoundError", format!("no column {name:?} in this table"))),
            };
        }
        let Ok(index) = at.extract::<isize>() else {
            return Err(PyTypeError::new_err("a table is asked for a column by its name or for a row by its place"));
        };
        let rows = self.batch.num_rows();
        match place(index, rows) {
            Some(at) => self.row(py, at).map(Bound::into_any),
            None => Err(PyIndexError::new_err(format!("row {index} of {rows}"))),
        }
    }

    fn __len__(&self) -> usize {
        self.batch.num_rows()
    }

    /// The rows, each as a dict of the cells that have a value.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.rows(py)?.try_iter()?.into_any())
    }

    /// The rows, each as a dict of the cells that have a value.
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let rows = (0..self.batch.num_rows()).map(|at| self.row(py, at)).collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, rows)
    }

    /// A pandas data frame, with times in UTC. Needs pandas.
    fn to_pandas<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, table) = (slf.py(), slf.get());
        let dict = PyDict::new(py);
        for (field, column) in table.batch.schema_ref().fields().iter().zip(table.batch.columns()) {
            let array = Bound::new(py, Column::new(Arc::clone(column)))?.call_method0("__array__")?;
            dict.set_item(field.name(), array)?;
        }
        let pandas = py.import("pandas")?;
        let frame = pandas.call_method1("DataFrame", (dict,))?;
        for name in ["start_time", "end_time"] {
            let options = PyDict::new(py);
            options.set_item("unit", "ms")?;
            options.set_item("utc", true)?;
            let times = pandas.call_method("to_datetime", (frame.get_item(name)?,), Some(&options))?;
            frame.set_item(name, times)?;
        }
        Ok(frame)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &DataType::Struct(self.batch.schema_ref().fields().clone()))
    }

    /// The table as Arrow's stream; no copy.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        stream_capsule(py, self.batch.clone())
    }

    fn __repr__(&self) -> String {
        let more = if self.total > self.batch.num_rows() { format!(" of {}", self.total) } else { String::new() };
        format!("<stepwell.Table {}{more} runs, {} columns>", self.batch.num_rows(), self.batch.num_columns())
    }

    fn _repr_html_(slf: &Bound<'_, Self>) -> PyResult<String> {
        slf.py().import("stepwell._html")?.call_method1("table", (slf,))?.extract()
    }
}

impl Table {
    fn row<'py>(&self, py: Python<'py>, at: usize) -> PyResult<Bound<'py, PyDict>> {
        let row = PyDict::new(py);
        for (field, column) in self.batch.schema_ref().fields().iter().zip(self.batch.columns()) {
            if !column.is_null(at) {
                row.set_item(field.name(), item(py, column, at)?)?;
            }
        }
        Ok(row)
    }
}
