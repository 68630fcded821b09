//! The one table of conversions: which Python objects are values, steps, timestamps and params.

use pyo3::exceptions::{PyException, PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyComplex, PyDict, PyFloat, PyInt, PyString};

/// A value: a float, or what `float()` takes of numbers: `int`, `bool` (0 or 1), `Decimal`, `Fraction`, scalars of
/// numpy, torch and JAX, arrays without dimensions. Text and `None` are refused, integers beyond the range of a float
/// too; those over 2^53 are rounded, as Python rounds them.
#[inline]
pub(crate) fn value(object: &Bound<'_, PyAny>) -> PyResult<f64> {
    if let Ok(float) = object.cast_exact::<PyFloat>() {
        return Ok(float.value());
    }
    other_value(object)
}

fn other_value(object: &Bound<'_, PyAny>) -> PyResult<f64> {
    // numpy's complex numbers turn into floats without their imaginary part.
    if object.is_instance_of::<PyComplex>() {
        return Err(PyTypeError::new_err("a value must be a number without an imaginary part"));
    }
    object.extract::<f64>().map_err(|error| {
        let py = object.py();
        if error.is_instance_of::<PyOverflowError>(py) {
            PyOverflowError::new_err("a value must fit in a 64-bit float")
        } else if error.is_instance_of::<PyTypeError>(py) {
            PyTypeError::new_err(format!("a value must be a number, not {}", kind(object)))
        } else {
            error
        }
    })
}

/// A step: an integer of 64 bits, or what stands for one (`__index__`); a float if it is whole.
#[inline]
pub(crate) fn step(object: &Bound<'_, PyAny>) -> PyResult<i64> {
    if let Ok(int) = object.cast_exact::<PyInt>()
        && let Ok(step) = int.extract::<i64>()
    {
        return Ok(step);
    }
    other_step(object)
}

fn other_step(object: &Bound<'_, PyAny>) -> PyResult<i64> {
    if let Ok(float) = object.cast::<PyFloat>() {
        return whole(float.value());
    }
    object.extract::<i64>().map_err(|error| {
        if error.is_instance_of::<PyOverflowError>(object.py()) {
            PyOverflowError::new_err("a step must fit in 64 bits")
        } else {
            PyTypeError::new_err(format!("a step must be a whole number, not {}", kind(object)))
        }
    })
}

/// A float as a step, if it is whole.
pub(crate) fn whole(float: f64) -> PyResult<i64> {
    // Both bounds are exact floats; the upper one is one past the greatest step.
    if float.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&float) {
        return Ok(float as i64);
    }
    Err(PyTypeError::new_err(format!("a step must be a whole number of 64 bits, not {float}")))
}

/// A timestamp: milliseconds since the epoch; of a float what lies before the point.
#[inline]
pub(crate) fn time(object: &Bound<'_, PyAny>) -> PyResult<i64> {
    match object.cast::<PyFloat>() {
        Ok(float) if float.value().is_finite() && float.value().abs() < 9e18 => Ok(float.value() as i64),
        _ => step(object).map_err(|error| {
            if error.is_instance_of::<PyException>(object.py()) {
                PyTypeError::new_err("a time is in milliseconds since the epoch, an integer of 64 bits")
            } else {
                error
            }
        }),
    }
}

/// What to say of an object that does not fit.
pub(crate) fn kind(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "this object".to_owned(), |name| name.to_string())
}

/// Params or tags of a dict: keys are text, values what `str()` makes of them; `True` and `None` as Python writes them.
pub(crate) fn texts(dict: &Bound<'_, PyDict>) -> PyResult<Vec<(String, String)>> {
    let mut texts = Vec::with_capacity(dict.len());
    // A copy, since what turns objects into text may change the dict.
    for (key, value) in dict.iter().collect::<Vec<_>>() {
        texts.push((text(&key)?, text(&value)?));
    }
    Ok(texts)
}

/// The text of an object.
pub(crate) fn text(object: &Bound<'_, PyAny>) -> PyResult<String> {
    match object.cast::<PyString>() {
        Ok(text) => Ok(text.to_str()?.to_owned()),
        Err(_) => Ok(object.str()?.to_str()?.to_owned()),
    }
}

/// Calls `found` with each number of a dict and its key; dicts within it are joined by `/`. The keys of values that
/// are no numbers come back with why.
pub(crate) fn flatten<'py>(
    dict: &Bound<'py, PyDict>,
    found: &mut dyn FnMut(&Bound<'py, PyString>, f64) -> PyResult<()>,
) -> PyResult<Vec<String>> {
    let mut refused = Vec::new();
    flatten_into(dict, None, DEPTH_MAX, found, &mut refused)?;
    Ok(refused)
}

/// Dicts within dicts, at most.
const DEPTH_MAX: usize = 64;

fn flatten_into<'py>(
    dict: &Bound<'py, PyDict>,
    prefix: Option<&str>,
    levels: usize,
    found: &mut dyn FnMut(&Bound<'py, PyString>, f64) -> PyResult<()>,
    refused: &mut Vec<String>,
) -> PyResult<()> {
    // A copy, since what turns objects into numbers may change the dict.
    for (key, object) in dict.iter().collect::<Vec<_>>() {
        let key = match key.cast_into_exact::<PyString>() {
            Ok(key) => key,
            Err(other) => other.into_inner().str()?,
        };
        let key = match prefix {
            Some(prefix) => PyString::new(dict.py(), &format!("{prefix}/{}", key.to_str()?)),
            None => key,
        };
        if let Ok(inner) = object.cast::<PyDict>() {
            if levels == 0 {
                refused.push(format!("dicts within dicts, more than {DEPTH_MAX} levels of them"));
            } else {
                flatten_into(inner, Some(key.to_str()?), levels - 1, found, refused)?;
            }
            continue;
        }
        match value(&object) {
            Ok(value) => found(&key, value)?,
            // What a user interrupts is not a value that is refused.
            Err(error) if !error.is_instance_of::<PyException>(dict.py()) => return Err(error),
            Err(error) => refused.push(format!("{:?}: {}", key.to_str()?, error.value(dict.py()))),
        }
    }
    Ok(())
}
