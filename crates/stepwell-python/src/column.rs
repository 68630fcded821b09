//! A column of numbers or texts, shared with numpy and Arrow without a copy.

use std::ffi::CStr;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::ffi::to_ffi;
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchIterator};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use pyo3::exceptions::{PyAttributeError, PyIndexError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList, PySlice, PyTuple};

/// A column: a sequence of numbers or texts, in which `None` stands for a missing value.
///
/// `numpy.asarray` takes numbers without a copy where none is missing; missing numbers become NaN in a copy. Arrow's
/// consumers take every column without a copy.
#[pyclass(frozen, sequence, module = "stepwell")]
pub(crate) struct Column {
    array: ArrayRef,
}

impl Column {
    /// A column of values.
    pub(crate) fn of_floats(values: Vec<f64>) -> Self {
        Self { array: Arc::new(Float64Array::from(values)) }
    }

    /// A column of integers.
    pub(crate) fn of_integers(values: Vec<i64>) -> Self {
        Self { array: Arc::new(Int64Array::from(values)) }
    }

    /// A column of any array that [`item`] knows.
    pub(crate) fn new(array: ArrayRef) -> Self {
        Self { array }
    }

    /// Its values, if they are floats.
    pub(crate) fn floats(&self) -> Option<Vec<f64>> {
        let array = self.array.as_primitive_opt::<Float64Type>()?;
        Some(array.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    }

    /// Its values, if they are integers and none is missing.
    pub(crate) fn integers(&self) -> Option<Vec<i64>> {
        let array = self.array.as_primitive_opt::<Int64Type>().filter(|array| array.null_count() == 0)?;
        Some(array.values().to_vec())
    }
}

#[pymethods]
impl Column {
    fn __len__(&self) -> usize {
        self.array.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let len = self.array.len();
        if let Ok(slice) = index.cast::<PySlice>() {
            let range = slice.indices(len as isize)?;
            if range.step == 1 {
                let array = self.array.slice(range.start as usize, range.slicelength);
                return Ok(Bound::new(py, Self { array })?.into_any());
            }
            let items = (0..range.slicelength as isize)
                .map(|at| item(py, &self.array, (range.start + at * range.step) as usize))
                .collect::<PyResult<Vec<_>>>()?;
            return Ok(PyList::new(py, items)?.into_any());
        }
        let index = index.extract::<isize>()?;
        match place(index, len) {
            Some(at) => item(py, &self.array, at),
            None => Err(PyIndexError::new_err(format!("index {index} of a column of {len}"))),
        }
    }

    /// The values as a list of Python objects.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let items = (0..self.array.len()).map(|at| item(py, &self.array, at)).collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, items)
    }

    /// What numpy wraps without a copy: numbers of which none is missing.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let found = numbers::<Float64Type>(&self.array, "<f8")
            .or_else(|| numbers::<Int64Type>(&self.array, "<i8"))
            .or_else(|| numbers::<TimestampMillisecondType>(&self.array, "<M8[ms]"));
        let Some((kind, address)) = found else {
            return Err(PyAttributeError::new_err("only columns of numbers without gaps lie in memory as numpy's do"));
        };
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("shape", (self.array.len(),))?;
        interface.set_item("typestr", kind)?;
        interface.set_item("data", (address, true))?;
        Ok(interface)
    }

    /// A numpy array; gaps among numbers are NaN there.
    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let numpy = py.import("numpy")?;
        let column = slf.get();
        let gaps = column.array.null_count() > 0;
        let plain = match (gaps, column.floats()) {
            (true, Some(values)) => Bound::new(py, Self::of_floats(values))?,
            _ => slf.clone(),
        };
        let array = match plain.hasattr("__array_interface__")? {
            true => {
                // A holder without `__array__`, so that numpy reads the memory instead of asking here again.
                let holder =
                    Memory { interface: plain.getattr("__array_interface__")?.unbind(), _owner: plain.unbind() };
                numpy.call_method1("asarray", (Bound::new(py, holder)?,))?
            }
            false => {
                let array = numpy.call_method1("empty", (column.array.len(), "O"))?;
                array.set_item(PySlice::full(py), column.tolist(py)?)?;
                array
            }
        };
        let array = match dtype {
            Some(dtype) => array.call_method1("astype", (dtype,))?,
            None => array,
        };
        if copy == Some(true) { array.call_method0("copy") } else { Ok(array) }
    }

    /// Arrow's schema, as a capsule.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        schema_capsule(py, self.array.data_type())
    }

    /// Arrow's array, as two capsules; no copy.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        // A producer may give its own schema whatever is asked for.
        let _ = requested_schema;
        let (array, schema) = to_ffi(&self.array.to_data()).map_err(arrow)?;
        let schema = PyCapsule::new_with_value(py, schema, c"arrow_schema")?;
        let array = PyCapsule::new_with_value(py, array, c"arrow_array")?;
        PyTuple::new(py, [schema, array])
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let len = slf.get().array.len();
        let shown = len.min(6);
        let items = (0..shown)
            .map(|at| Ok(item(py, &slf.get().array, at)?.repr()?.to_string()))
            .collect::<PyResult<Vec<_>>>()?;
        let more = if len > shown { format!(", … {len} in all") } else { String::new() };
        Ok(format!("Column([{}{more}])", items.join(", ")))
    }
}

/// What numpy reads a column's memory through; keeps the column alive.
#[pyclass(frozen)]
struct Memory {
    #[pyo3(get, name = "__array_interface__")]
    interface: Py<PyAny>,
    _owner: Py<Column>,
}

/// The type and the address of the numbers of an array without gaps.
fn numbers<T: ArrowPrimitiveType>(array: &ArrayRef, kind: &'static str) -> Option<(&'static str, usize)> {
    let array = array.as_primitive_opt::<T>().filter(|array| array.null_count() == 0)?;
    Some((kind, array.values().as_ptr() as usize))
}

/// The place that an index names, counted from the end if it is negative.
pub(crate) fn place(index: isize, len: usize) -> Option<usize> {
    let at = if index < 0 { index.checked_add_unsigned(len)? } else { index };
    usize::try_from(at).ok().filter(|at| *at < len)
}

/// One item of an array as a Python object.
pub(crate) fn item<'py>(py: Python<'py>, array: &dyn Array, at: usize) -> PyResult<Bound<'py, PyAny>> {
    if array.is_null(at) {
        return Ok(py.None().into_bound(py));
    }
    Ok(match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().value(at).into_pyobject(py)?.into_any(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(at).into_pyobject(py)?.into_any(),
        DataType::Timestamp(..) => {
            array.as_primitive::<TimestampMillisecondType>().value(at).into_pyobject(py)?.into_any()
        }
        DataType::Utf8 => array.as_string::<i32>().value(at).into_pyobject(py)?.into_any(),
        other => return Err(PyTypeError::new_err(format!("a column of {other}"))),
    })
}

/// A schema as Arrow's capsule.
pub(crate) fn schema_capsule<'py>(py: Python<'py>, kind: &DataType) -> PyResult<Bound<'py, PyCapsule>> {
    let schema = arrow_schema::ffi::FFI_ArrowSchema::try_from(kind).map_err(arrow)?;
    PyCapsule::new_with_value(py, schema, SCHEMA)
}

const SCHEMA: &CStr = c"arrow_schema";

/// A batch as Arrow's stream of one batch.
pub(crate) fn stream_capsule(py: Python<'_>, batch: RecordBatch) -> PyResult<Bound<'_, PyCapsule>> {
    let schema = batch.schema();
    stream_of(py, vec![batch], schema)
}

/// Batches of a schema as Arrow's stream.
pub(crate) fn stream_of(
    py: Python<'_>,
    batches: Vec<RecordBatch>,
    schema: SchemaRef,
) -> PyResult<Bound<'_, PyCapsule>> {
    let stream = FFI_ArrowArrayStream::new(Box::new(RecordBatchIterator::new(batches.into_iter().map(Ok), schema)));
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

/// An error of Arrow; none is known that valid columns cause.
pub(crate) fn arrow(error: ArrowError) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}
