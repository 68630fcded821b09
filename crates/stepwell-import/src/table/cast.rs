//! Parquet's columns cast to what they mean. What does not fit becomes null.

use std::sync::Arc;

use arrow_array::builder::{PrimitiveBuilder, StringDictionaryBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    AnyDictionaryArray, Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, DictionaryArray, Float64Array,
    Int32Array, Int64Array, PrimitiveArray, StringArray,
};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{ArrowError, DataType, TimeUnit};

use crate::number;
use crate::table::columns::Time;
use crate::table::inexact::Inexact;
use crate::table::texts;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Powers of ten up to this one are floats.
const TENS_EXACT: u8 = 22;
/// Whole numbers below this one are floats.
const WHOLE_EXACT: u64 = 1 << 53;

/// Whether a column can be a metric.
pub(crate) fn is_number(kind: &DataType) -> bool {
    match kind {
        DataType::Boolean | DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => true,
        DataType::Dictionary(_, value) => is_number(value),
        kind => kind.is_integer() || kind.is_floating(),
    }
}

fn unfit(array: &dyn Array) -> ArrowError {
    ArrowError::CastError(format!("a column of type {} is not read as numbers", array.data_type()))
}

/// Where a dictionary's rows have their values; null also for a code that it does not have.
pub(crate) fn places(rows: &dyn AnyDictionaryArray) -> Result<Vec<Option<usize>>, ArrowError> {
    let codes = integers(rows.keys())?;
    let count = rows.values().len();
    Ok(codes.iter().map(|code| usize::try_from(code?).ok().filter(|place| *place < count)).collect())
}

/// A dictionary's rows.
fn spread<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>, places: &[Option<usize>]) -> PrimitiveArray<T> {
    places.iter().map(|place| place.filter(|place| values.is_valid(*place)).map(|place| values.value(place))).collect()
}

/// Words as a dictionary of strings, whatever their type was.
pub(crate) fn dictionary(array: &dyn Array) -> Result<DictionaryArray<Int32Type>, ArrowError> {
    let Some(rows) = array.as_any_dictionary_opt() else {
        let mut words = StringDictionaryBuilder::<Int32Type>::new();
        texts::each(array, &mut |text| {
            match text {
                Some(text) => _ = words.append(text)?,
                None => words.append_null(),
            }
            Ok(())
        })?;
        return Ok(words.finish());
    };
    let words: ArrayRef = match rows.values().data_type() {
        DataType::Utf8 => rows.values().clone(),
        _ => Arc::new(texts::all(rows.values())?),
    };
    let code =
        |place: Option<usize>| place.map(i32::try_from).transpose().map_err(|_| ArrowError::DictionaryKeyOverflowError);
    let codes: Int32Array = places(rows)?.into_iter().map(code).collect::<Result<_, _>>()?;
    DictionaryArray::try_new(codes, words)
}

/// A word of a dictionary; `None` for a code that it does not have, and for null.
pub(crate) fn word(words: &StringArray, code: i32) -> Option<&str> {
    let code = usize::try_from(code).ok()?;
    (code < words.len() && words.is_valid(code)).then(|| words.value(code))
}

/// Numbers of one type as another.
fn mapped<F: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    array: &dyn Array,
    map: impl Fn(F::Native) -> Option<T::Native>,
) -> PrimitiveArray<T> {
    array.as_primitive::<F>().iter().map(|number| map(number?)).collect()
}

/// The numbers that texts are.
fn parsed<T: ArrowPrimitiveType>(
    array: &dyn Array,
    parse: impl Fn(&str) -> Option<T::Native>,
) -> Result<PrimitiveArray<T>, ArrowError> {
    let mut numbers = PrimitiveBuilder::<T>::with_capacity(array.len());
    texts::each(array, &mut |text| {
        numbers.append_option(text.and_then(|text| parse(text.trim_ascii())));
        Ok(())
    })?;
    Ok(numbers.finish())
}

/// What has whole numbers of at most 64 bits inside: integers, booleans, dates, times and durations.
pub(crate) fn integers(array: &dyn Array) -> Result<Int64Array, ArrowError> {
    /// The numbers under another name.
    fn plain<T: ArrowPrimitiveType>(array: &dyn Array) -> Result<PrimitiveArray<T>, ArrowError> {
        Ok(array.to_data().into_builder().data_type(T::DATA_TYPE).build()?.into())
    }
    fn wide<T: ArrowPrimitiveType<Native: TryInto<i64>>>(array: &dyn Array) -> Int64Array {
        mapped::<T, Int64Type>(array, |number| number.try_into().ok())
    }
    Ok(match array.data_type() {
        DataType::Null => Int64Array::new_null(array.len()),
        DataType::Boolean => array.as_boolean().iter().map(|truth| truth.map(i64::from)).collect(),
        DataType::Int8 => wide::<Int8Type>(array),
        DataType::Int16 => wide::<Int16Type>(array),
        DataType::Int32 => wide::<Int32Type>(array),
        DataType::UInt8 => wide::<UInt8Type>(array),
        DataType::UInt16 => wide::<UInt16Type>(array),
        DataType::UInt32 => wide::<UInt32Type>(array),
        DataType::UInt64 => wide::<UInt64Type>(array),
        DataType::Date32 | DataType::Time32(_) => wide::<Int32Type>(&plain::<Int32Type>(array)?),
        DataType::Int64 | DataType::Date64 | DataType::Time64(_) | DataType::Timestamp(..) | DataType::Duration(_) => {
            plain(array)?
        }
        _ => return Err(unfit(array)),
    })
}

/// Decimals as the nearest floats.
fn decimal_floats<D: DecimalType>(array: &dyn Array, scale: i8) -> Float64Array {
    let ten = Some(scale.unsigned_abs()).filter(|power| *power <= TENS_EXACT).map(|power| 10f64.powi(power.into()));
    mapped::<D, Float64Type>(array, |number| match (ten, number.to_i64()) {
        // Of two floats, one operation is rounded once.
        (Some(ten), Some(whole)) if whole.unsigned_abs() < WHOLE_EXACT => {
            Some(if scale < 0 { whole as f64 * ten } else { whole as f64 / ten })
        }
        _ => D::format_decimal(number, D::MAX_PRECISION, scale).parse().ok(),
    })
}

/// Decimals as whole numbers, their fraction cut off.
fn decimal_integers<D: DecimalType>(array: &dyn Array, scale: i8) -> Result<Int64Array, ArrowError> {
    let ten = D::Native::usize_as(10).pow_checked(scale.unsigned_abs().into())?;
    Ok(mapped::<D, Int64Type>(array, |number| {
        if scale < 0 { number.mul_checked(ten).ok()?.to_i64() } else { number.div_wrapping(ten).to_i64() }
    }))
}

/// Values as f64: float32 exactly, booleans as 0 and 1, integers and decimals to the nearest.
pub(crate) fn floats(array: &dyn Array) -> Result<Float64Array, ArrowError> {
    Ok(match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().clone(),
        // Widened here so that NaNs keep their payload on every processor.
        DataType::Float32 => mapped::<Float32Type, _>(array, |number| Some(number::widen(number))),
        DataType::Float16 => mapped::<Float16Type, _>(array, |number| Some(number::widen(number.to_f32()))),
        DataType::UInt64 => mapped::<UInt64Type, _>(array, |number| Some(number as f64)),
        DataType::Decimal32(_, scale) => decimal_floats::<Decimal32Type>(array, *scale),
        DataType::Decimal64(_, scale) => decimal_floats::<Decimal64Type>(array, *scale),
        DataType::Decimal128(_, scale) => decimal_floats::<Decimal128Type>(array, *scale),
        DataType::Decimal256(_, scale) => decimal_floats::<Decimal256Type>(array, *scale),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => parsed(array, |text| text.parse().ok())?,
        DataType::Dictionary(..) => {
            let rows = array.as_any_dictionary();
            spread(&floats(rows.values())?, &places(rows)?)
        }
        DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => return Err(unfit(array)),
        _ => mapped::<Int64Type, _>(&integers(array)?, |number| Some(number as f64)),
    })
}

/// Counts the whole numbers of a column that are not floats.
pub(crate) fn look_at_whole(array: &dyn Array, inexact: &mut Inexact) -> Result<(), ArrowError> {
    /// Numbers that may be none.
    fn long(array: &dyn Array) -> Vec<Option<i128>> {
        match array.data_type() {
            DataType::Int64 => array.as_primitive::<Int64Type>().iter().map(|number| number.map(i128::from)).collect(),
            DataType::UInt64 => {
                array.as_primitive::<UInt64Type>().iter().map(|number| number.map(i128::from)).collect()
            }
            _ => Vec::new(),
        }
    }
    match array.as_any_dictionary_opt() {
        None => long(array).into_iter().flatten().for_each(|number| inexact.look_at_whole(number)),
        Some(rows) => {
            let values = long(rows.values());
            let rows = places(rows)?.into_iter().flatten().filter_map(|place| *values.get(place)?);
            rows.for_each(|number| inexact.look_at_whole(number));
        }
    }
    Ok(())
}

/// A step column: whole numbers in any type; others are null.
pub(crate) fn whole_numbers(array: &dyn Array) -> Result<Int64Array, ArrowError> {
    Ok(match array.data_type() {
        kind if kind.is_floating() => mapped::<Float64Type, _>(&floats(array)?, number::whole),
        DataType::Decimal32(_, scale) => decimal_integers::<Decimal32Type>(array, *scale)?,
        DataType::Decimal64(_, scale) => decimal_integers::<Decimal64Type>(array, *scale)?,
        DataType::Decimal128(_, scale) => decimal_integers::<Decimal128Type>(array, *scale)?,
        DataType::Decimal256(_, scale) => decimal_integers::<Decimal256Type>(array, *scale)?,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => parsed(array, |text| text.parse().ok())?,
        DataType::Dictionary(..) => {
            let rows = array.as_any_dictionary();
            spread(&whole_numbers(rows.values())?, &places(rows)?)
        }
        _ => integers(array)?,
    })
}

/// Seconds or milliseconds, told apart by their size, as milliseconds.
fn whole_to_ms(time: i64) -> Option<i64> {
    if time.unsigned_abs() >= 100_000_000_000 { Some(time) } else { time.checked_mul(1000) }
}

/// A time column in milliseconds.
pub(crate) fn times(array: &dyn Array, time: Time) -> Result<Int64Array, ArrowError> {
    let is_ms = time.is_ms;
    let each = |times: Int64Array, ms: fn(i64) -> Option<i64>| mapped::<Int64Type, Int64Type>(&times, ms);
    Ok(match array.data_type() {
        kind if time.dates_only && is_number(kind) => Int64Array::new_null(array.len()),
        DataType::Date32 => each(integers(array)?, |days| days.checked_mul(DAY_MS)),
        DataType::Date64 => integers(array)?,
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => each(integers(array)?, |seconds| seconds.checked_mul(1000)),
            TimeUnit::Millisecond => integers(array)?,
            TimeUnit::Microsecond => each(integers(array)?, |us| Some(us / 1000)),
            TimeUnit::Nanosecond => each(integers(array)?, |ns| Some(ns / 1_000_000)),
        },
        kind if kind.is_integer() && is_ms => integers(array)?,
        kind if kind.is_integer() => each(integers(array)?, whole_to_ms),
        kind if kind.is_floating() => mapped::<Float64Type, _>(&floats(array)?, |time| {
            if is_ms { number::whole(time.round_ties_even()) } else { number::time_to_ms(time) }
        }),
        _ => {
            let words = dictionary(array)?;
            let texts = words.values().as_string::<i32>();
            words.keys().iter().map(|code| number::time_text_to_ms(word(texts, code?)?)).collect()
        }
    })
}

#[cfg(test)]
mod tests;
