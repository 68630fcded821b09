//! Parquet's columns cast to what they mean. What does not fit becomes null.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, DictionaryArray, Float64Array, Int64Array, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, TimeUnit};

use crate::number;
use crate::table::columns::Time;
use crate::table::inexact::Inexact;

/// Whether a column can be a metric.
pub(crate) fn is_number(kind: &DataType) -> bool {
    match kind {
        DataType::Boolean | DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => true,
        DataType::Dictionary(_, value) => is_number(value),
        kind => kind.is_integer() || kind.is_floating(),
    }
}

fn cast(array: &ArrayRef, kind: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, kind, &CastOptions { safe: true, ..CastOptions::default() })
}

/// Words as a dictionary of strings, whatever their type was.
pub(crate) fn dictionary(array: &ArrayRef) -> Result<DictionaryArray<Int32Type>, ArrowError> {
    let array = match array.data_type() {
        DataType::Dictionary(..) => array.clone(),
        _ => cast(array, &DataType::Utf8)?,
    };
    let words = cast(&array, &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)))?;
    Ok(words.as_dictionary::<Int32Type>().clone())
}

/// A word of a dictionary; `None` for a code that it does not have, and for null.
pub(crate) fn word(words: &StringArray, code: i32) -> Option<&str> {
    let code = usize::try_from(code).ok()?;
    (code < words.len() && words.is_valid(code)).then(|| words.value(code))
}

/// Values as f64: float32 exactly, booleans as 0 and 1, integers and decimals to the nearest.
pub(crate) fn floats(array: &ArrayRef) -> Result<Float64Array, ArrowError> {
    let array = match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, &value.clone())?,
        DataType::Float32 => {
            // Widened here so that NaNs keep their payload on every processor.
            let narrow = array.as_primitive::<Float32Type>();
            return Ok(narrow.iter().map(|value| value.map(number::widen)).collect());
        }
        DataType::Boolean => cast(array, &DataType::Int32)?,
        _ => array.clone(),
    };
    Ok(cast(&array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

/// Counts the whole numbers of a column that are not floats.
pub(crate) fn look_at_whole(array: &ArrayRef, inexact: &mut Inexact) -> Result<(), ArrowError> {
    match array.data_type() {
        DataType::Int64 => {
            array.as_primitive::<Int64Type>().iter().flatten().for_each(|number| inexact.look_at_whole(number.into()));
        }
        DataType::UInt64 => {
            array.as_primitive::<UInt64Type>().iter().flatten().for_each(|number| inexact.look_at_whole(number.into()));
        }
        DataType::Dictionary(_, value) if value.is_integer() => look_at_whole(&cast(array, &value.clone())?, inexact)?,
        _ => {}
    }
    Ok(())
}

/// A step column: whole numbers in any type; others are null.
pub(crate) fn whole_numbers(array: &ArrayRef) -> Result<Int64Array, ArrowError> {
    if array.data_type().is_floating() {
        return Ok(floats(array)?.iter().map(|number| number.and_then(number::whole)).collect());
    }
    Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// A time column in milliseconds.
pub(crate) fn times(array: &ArrayRef, time: Time) -> Result<Int64Array, ArrowError> {
    let is_ms = time.is_ms;
    match array.data_type() {
        kind if time.dates_only && is_number(kind) => Ok(Int64Array::new_null(array.len())),
        DataType::Date32 | DataType::Date64 => {
            let ms = cast(array, &DataType::Date64)?;
            Ok(cast(&ms, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        }
        DataType::Timestamp(_, zone) => {
            let ms = cast(array, &DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))?;
            Ok(cast(&ms, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        }
        kind if kind.is_integer() && is_ms => whole_numbers(array),
        kind if kind.is_integer() => {
            let wide = whole_numbers(array)?;
            Ok(wide
                .iter()
                .map(|time| {
                    time.and_then(|time| {
                        if time.unsigned_abs() >= 100_000_000_000 { Some(time) } else { time.checked_mul(1000) }
                    })
                })
                .collect())
        }
        kind if kind.is_floating() => Ok(floats(array)?
            .iter()
            .map(|time| {
                time.and_then(
                    |time| {
                        if is_ms { number::whole(time.round_ties_even()) } else { number::time_to_ms(time) }
                    },
                )
            })
            .collect()),
        _ => {
            let words = dictionary(array)?;
            let texts = words.values().as_string::<i32>();
            Ok(words.keys().iter().map(|code| number::time_text_to_ms(word(texts, code?)?)).collect())
        }
    }
}
