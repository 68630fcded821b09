//! The points of one metric of one run, as columns; and what a plot shows of them.

use std::sync::{Arc, OnceLock};

use arrow_array::builder::StringViewBuilder;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, Field, Schema};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};

use stepwell::{Columns, RunSnapshot};

use crate::column::{Column, arrow, item, place, schema_capsule, stream_capsule};
use crate::errors::OrRaise;
use crate::interrupt::interruptible;

/// Points that are read before anybody wants to interrupt.
const SHORT: u64 = 1_000_000;

/// The points of one metric, in the order of step, timestamp and arrival. They are read when they are first needed.
///
/// A sequence of tuples (step, time in milliseconds or `None`, value). `steps`, `times_ms` and `values` are the same
/// points as columns, which numpy, pandas, polars and pyarrow take without a copy.
#[pyclass(frozen, sequence, module = "stepwell")]
pub(crate) struct Series {
    run: Arc<RunSnapshot>,
    key: String,
    points: OnceLock<RecordBatch>,
}

impl Series {
    /// The series of a metric that the run has.
    pub(crate) fn new(run: Arc<RunSnapshot>, key: String) -> Self {
        Self { run, key, points: OnceLock::new() }
    }

    /// Reads points; a long series so that it can be interrupted.
    fn read(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&RunSnapshot, &str) -> stepwell::Result<Columns> + Send + 'static,
    ) -> PyResult<Columns> {
        if self.run.count(&self.key).or_raise(py)? <= SHORT {
            return py.detach(|| read(&self.run, &self.key)).or_raise(py);
        }
        let (run, key) = (Arc::clone(&self.run), self.key.clone());
        interruptible(py, move |_| read(&run, &key))?.or_raise(py)
    }

    /// The points, read once.
    fn batch(&self, py: Python<'_>) -> PyResult<&RecordBatch> {
        if let Some(batch) = self.points.get() {
            return Ok(batch);
        }
        let columns = self.read(py, |run, key| run.history(key))?;
        let batch = batch(columns)?;
        Ok(self.points.get_or_init(|| batch))
    }
}

#[pymethods]
impl Series {
    /// The metric's key.
    #[getter]
    fn key(&self) -> &str {
        &self.key
    }

    /// The run's id.
    #[getter]
    fn run_id(&self) -> &str {
        self.run.id().as_str()
    }

    /// Steps of the points: integers of 64 bits.
    #[getter]
    fn steps(&self, py: Python<'_>) -> PyResult<Column> {
        Ok(Column::new(Arc::clone(self.batch(py)?.column(0))))
    }

    /// When each point was logged, in milliseconds since the epoch; `None` where that is not known.
    #[getter]
    fn times_ms(&self, py: Python<'_>) -> PyResult<Column> {
        Ok(Column::new(Arc::clone(self.batch(py)?.column(1))))
    }

    /// Values of the points: floats of 64 bits, bit by bit as logged.
    #[getter]
    fn values(&self, py: Python<'_>) -> PyResult<Column> {
        Ok(Column::new(Arc::clone(self.batch(py)?.column(2))))
    }

    /// Statistics of all points, without reading them: a dict of `count`, `first`, `latest`, `latest_step`, `min`,
    /// `min_step`, `max`, `max_step`, `mean`, `nan_count` and `inf_count`.
    ///
    /// Minimum, maximum and mean leave NaN out, and are `None` where nothing else was logged.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.run.stats(&self.key).or_raise(py)?;
        let dict = PyDict::new(py);
        dict.set_item("count", stats.count)?;
        dict.set_item("first", stats.first.value)?;
        dict.set_item("latest", stats.latest.value)?;
        dict.set_item("latest_step", stats.latest.step)?;
        dict.set_item("min", stats.min.map(|min| min.value))?;
        dict.set_item("min_step", stats.min.map(|min| min.step))?;
        dict.set_item("max", stats.max.map(|max| max.value))?;
        dict.set_item("max_step", stats.max.map(|max| max.step))?;
        dict.set_item("mean", stats.mean())?;
        dict.set_item("nan_count", stats.nan_count)?;
        dict.set_item("inf_count", stats.inf_count)?;
        Ok(dict)
    }

    /// The points of the steps from `first` to `last`, both included. Reads these alone.
    fn between(&self, py: Python<'_>, first: i64, last: i64) -> PyResult<Self> {
        let columns = self.read(py, move |run, key| run.range(key, first..=last))?;
        let points = OnceLock::new();
        let _ = points.set(batch(columns)?);
        Ok(Self { run: Arc::clone(&self.run), key: self.key.clone(), points })
    }

    /// The points that a plot needs: of each pixel the first, the least, the greatest and the last, so that every spike
    /// shows.
    ///
    /// width: pixels; at most four points each come back.
    /// first, last: the least and the greatest step, both included; all without.
    ///
    /// A million points or a billion take about as long: a millisecond.
    #[pyo3(signature = (width=1000, first=None, last=None))]
    fn plot(&self, py: Python<'_>, width: usize, first: Option<i64>, last: Option<i64>) -> PyResult<Plot> {
        if width == 0 {
            return Err(PyValueError::new_err("a plot has at least one pixel"));
        }
        let steps = match (first, last) {
            (None, None) => None,
            _ => Some(first.unwrap_or(i64::MIN)..=last.unwrap_or(i64::MAX)),
        };
        let found = py.detach(|| self.run.downsample(&self.key, steps, width)).or_raise(py)?;
        Ok(Plot { key: self.key.clone(), exact: found.exact, points: batch(found.points())? })
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        match self.points.get() {
            Some(batch) => Ok(batch.num_rows()),
            None => Ok(self.run.count(&self.key).or_raise(py)? as usize),
        }
    }

    /// The point of a place: step, time in milliseconds or `None`, value.
    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        point(py, self.batch(py)?, index)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &DataType::Struct(schema(false).fields))
    }

    /// The points as Arrow's stream; no copy. Columns: step, time, value.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        stream_capsule(py, self.batch(py)?.clone())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<stepwell.Series {:?} of run {}, {} points>", self.key, self.run.id(), self.__len__(py)?))
    }

    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        self.plot(py, 300, None, None)?._repr_html_(py)
    }
}

/// The points that a plot shows of a series; `Series.plot` makes one. A sequence of tuples like a series.
#[pyclass(frozen, sequence, module = "stepwell")]
pub(crate) struct Plot {
    key: String,
    exact: bool,
    points: RecordBatch,
}

#[pymethods]
impl Plot {
    /// The metric's key.
    #[getter]
    fn key(&self) -> &str {
        &self.key
    }

    /// Whether these are all points.
    #[getter]
    fn exact(&self) -> bool {
        self.exact
    }

    /// Steps of the points.
    #[getter]
    fn steps(&self) -> Column {
        Column::new(Arc::clone(self.points.column(0)))
    }

    /// When each was logged, in milliseconds since the epoch.
    #[getter]
    fn times_ms(&self) -> Column {
        Column::new(Arc::clone(self.points.column(1)))
    }

    /// Values of the points.
    #[getter]
    fn values(&self) -> Column {
        Column::new(Arc::clone(self.points.column(2)))
    }

    fn __len__(&self) -> usize {
        self.points.num_rows()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
        point(py, &self.points, index)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, &DataType::Struct(schema(false).fields))
    }

    /// The points as Arrow's stream; no copy.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        stream_capsule(py, self.points.clone())
    }

    fn __repr__(&self) -> String {
        format!("<stepwell.Plot {:?}, {} points{}>", self.key, self.__len__(), if self.exact { ", all" } else { "" })
    }

    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        py.import("stepwell._html")?.call_method1("plot", (&self.key, self.steps(), self.values()))?.extract()
    }
}

/// The point of a place, counted from the end if it is negative.
fn point<'py>(py: Python<'py>, batch: &RecordBatch, index: isize) -> PyResult<Bound<'py, PyAny>> {
    let len = batch.num_rows();
    match place(index, len) {
        Some(at) => {
            let item = |column: usize| item(py, batch.column(column), at);
            Ok((item(0)?, item(1)?, item(2)?).into_pyobject(py)?.into_any())
        }
        None => Err(pyo3::exceptions::PyIndexError::new_err(format!("index {index} of {len} points"))),
    }
}

/// The columns of points; with `names` those of the run and the metric before.
pub(crate) fn schema(names: bool) -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8View, false);
    let mut fields = if names { vec![text("run_id"), text("key")] } else { Vec::new() };
    fields.extend([
        Field::new("step", DataType::Int64, false),
        Field::new("time", DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, Some("UTC".into())), true),
        Field::new("value", DataType::Float64, false),
    ]);
    Schema::new(fields)
}

/// Points with the columns of their run and metric, whose texts are there once.
pub(crate) fn named(points: &RecordBatch, run_id: &str, key: &str) -> PyResult<RecordBatch> {
    let repeated = |text: &str| -> PyResult<ArrayRef> {
        let mut builder = StringViewBuilder::with_capacity(points.num_rows());
        let block = builder.append_block(text.as_bytes().to_vec().into());
        for _ in 0..points.num_rows() {
            builder.try_append_view(block, 0, text.len() as u32).map_err(arrow)?;
        }
        Ok(Arc::new(builder.finish()))
    };
    let mut columns = vec![repeated(run_id)?, repeated(key)?];
    columns.extend_from_slice(points.columns());
    RecordBatch::try_new(Arc::new(schema(true)), columns).map_err(arrow)
}

/// Points as a batch, without a copy.
pub(crate) fn batch(columns: Columns) -> PyResult<RecordBatch> {
    let Columns { steps, timestamps, values } = columns;
    let absent = timestamps.absent;
    let nulls = (!absent.is_empty()).then(|| NullBuffer::new(BooleanBuffer::from_iter(absent.iter().map(|gap| !gap))));
    let times = TimestampMillisecondArray::new(timestamps.ms.into(), nulls).with_timezone("UTC");
    let arrays: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(steps)), Arc::new(times), Arc::new(Float64Array::from(values))];
    RecordBatch::try_new(Arc::new(schema(false)), arrays).map_err(arrow)
}
