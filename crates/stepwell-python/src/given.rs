//! Columns that a caller gives: anything with a buffer, an `__array__`, Arrow's capsules, a `__dlpack__`, or that can
//! be looped over.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::column::Column;
use crate::convert;
use crate::foreign::{self, Number};

/// Values of a column.
pub(crate) fn floats(object: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    check(object)?;
    if let Ok(column) = object.cast::<Column>()
        && let Some(values) = column.get().floats()
    {
        return Ok(values);
    }
    if let Some(values) = buffer(object, |object| {
        of::<f64, f64>(object, |value| value)
            .or_else(|| of::<f32, f64>(object, f64::from))
            .or_else(|| of::<i64, f64>(object, |value| value as f64))
            .or_else(|| of::<i32, f64>(object, f64::from))
            .or_else(|| of::<u8, f64>(object, f64::from))
    })? {
        return values;
    }
    match foreign(object)? {
        Some(numbers) => numbers.into_iter().map(Number::value).collect(),
        None => each(object, convert::value),
    }
}

/// Timestamps of a column: milliseconds since the epoch, or numpy's and pandas' dates of any unit.
pub(crate) fn times(object: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    if !is_dates(object)? {
        let numbers = if object.is_instance_of::<Column>() { None } else { foreign::from_arrow(object)? };
        return match numbers {
            Some(numbers) => numbers.into_iter().map(Number::time).collect(),
            None => integers(object),
        };
    }
    let numpy = object.py().import("numpy")?;
    let dates = numpy.call_method1("asarray", (object,))?.call_method1("astype", ("datetime64[ms]",))?;
    if numpy.call_method1("isnat", (&dates,))?.call_method0("any")?.is_truthy()? {
        return Err(PyTypeError::new_err("a timestamp is missing (NaT)"));
    }
    integers(&dates.call_method1("astype", ("int64",))?)
}

/// Whether an array holds dates.
fn is_dates(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let Some(kind) = object.getattr_opt("dtype")?.map(|dtype| dtype.getattr_opt("kind")).transpose()?.flatten() else {
        return Ok(false);
    };
    Ok(kind.extract::<String>().is_ok_and(|kind| kind == "M" || kind == "m"))
}

/// Refuses arrays whose bytes alone do not say what they mean.
fn check(object: &Bound<'_, PyAny>) -> PyResult<()> {
    if object.hasattr("mask")? && object.hasattr("filled")? {
        return Err(PyTypeError::new_err("a masked array: give `.filled(…)` or `.compressed()`"));
    }
    if is_dates(object)? {
        return Err(PyTypeError::new_err("dates are timestamps, neither steps nor values"));
    }
    Ok(())
}

/// Steps of a column.
pub(crate) fn integers(object: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    check(object)?;
    if let Ok(column) = object.cast::<Column>()
        && let Some(values) = column.get().integers()
    {
        return Ok(values);
    }
    if let Some(values) = buffer(object, |object| {
        of::<i64, i64>(object, |value| value)
            .or_else(|| of::<i32, i64>(object, i64::from))
            .or_else(|| of::<u32, i64>(object, i64::from))
            .or_else(|| of::<u8, i64>(object, i64::from))
    })? {
        return values;
    }
    match foreign(object)? {
        Some(numbers) => numbers.into_iter().map(Number::integer).collect(),
        None => each(object, convert::step),
    }
}

/// The numbers of a buffer, if `read` knows its type; of an array library's object by what it turns into.
fn buffer<T>(
    object: &Bound<'_, PyAny>,
    read: impl Fn(&Bound<'_, PyAny>) -> Option<PyResult<Vec<T>>>,
) -> PyResult<Option<PyResult<Vec<T>>>> {
    if let Some(values) = read(object) {
        return Ok(Some(values));
    }
    let plain = on_host(object)?;
    match gives_array(&plain)? {
        true => Ok(read(&plain.call_method0("__array__")?)),
        false => Ok(None),
    }
}

/// Whether numpy can read an object. Libraries have the method where numpy is not installed too.
fn gives_array(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(object.hasattr("__array__")? && object.py().import("numpy").is_ok())
}

/// The numbers of an object that gives them by another protocol than numpy's.
fn foreign(object: &Bound<'_, PyAny>) -> PyResult<Option<Vec<Number>>> {
    let plain = on_host(object)?;
    // What numpy reads was tried; of what it reads and no buffer has, the items are read one by one.
    if gives_array(&plain)? {
        return Ok(None);
    }
    match foreign::from_arrow(&plain)? {
        None => foreign::from_dlpack(&plain),
        numbers => Ok(numbers),
    }
}

/// A tensor that has a history of gradients, or lies elsewhere, gives no numbers by itself.
fn on_host<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match object.hasattr("detach")? && object.hasattr("cpu")? {
        true => object.call_method0("detach")?.call_method0("cpu"),
        false => Ok(object.clone()),
    }
}

/// The numbers of a buffer of one dimension and this type.
fn of<T: Element, U>(object: &Bound<'_, PyAny>, turn: impl Fn(T) -> U) -> Option<PyResult<Vec<U>>> {
    let buffer = PyBuffer::<T>::get(object).ok()?;
    // Numbers of the other byte order are read one by one.
    if buffer.format().to_bytes().starts_with(b">") || buffer.format().to_bytes().starts_with(b"!") {
        return None;
    }
    if buffer.dimensions() != 1 {
        let why = format!("a column has one dimension, not {}", buffer.dimensions());
        return Some(Err(PyTypeError::new_err(why)));
    }
    Some(buffer.to_vec(object.py()).map(|values| values.into_iter().map(turn).collect()))
}

/// The numbers of anything that can be looped over.
fn each<T>(object: &Bound<'_, PyAny>, read: impl Fn(&Bound<'_, PyAny>) -> PyResult<T>) -> PyResult<Vec<T>> {
    let items = match object.hasattr("tolist")? {
        true => object.call_method0("tolist")?,
        false => object.clone(),
    };
    // An object may claim any length.
    let mut values = Vec::with_capacity(items.len().unwrap_or(0).min(1 << 16));
    for item in items.try_iter()? {
        values.push(read(&item?)?);
    }
    Ok(values)
}
