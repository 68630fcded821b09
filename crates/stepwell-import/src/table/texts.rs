//! The values of Parquet's columns as texts. What has no text becomes null.

use std::fmt::{Debug, Display, Write as _};

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions as temporal;
use arrow_array::timezone::Tz;
use arrow_array::types::{
    Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, Float16Type, Float32Type, Float64Type,
    UInt64Type,
};
use arrow_array::{Array, StringArray};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use chrono::{NaiveDateTime, SecondsFormat};

use crate::table::cast::{integers, places};

/// Takes a row's text.
pub(crate) type Take<'t> = &'t mut dyn FnMut(Option<&str>) -> Result<(), ArrowError>;

/// The texts of a column.
pub(crate) fn all(array: &dyn Array) -> Result<StringArray, ArrowError> {
    let mut texts = StringBuilder::new();
    each(array, &mut |text| {
        texts.append_option(text);
        Ok(())
    })?;
    Ok(texts.finish())
}

/// Gives the text of each row.
pub(crate) fn each(array: &dyn Array, take: Take<'_>) -> Result<(), ArrowError> {
    match array.data_type() {
        DataType::Utf8 => given(array.as_string::<i32>().iter(), take),
        DataType::LargeUtf8 => given(array.as_string::<i64>().iter(), take),
        DataType::Utf8View => given(array.as_string_view().iter(), take),
        DataType::Binary => given(array.as_binary::<i32>().iter().map(utf8), take),
        DataType::LargeBinary => given(array.as_binary::<i64>().iter().map(utf8), take),
        DataType::BinaryView => given(array.as_binary_view().iter().map(utf8), take),
        DataType::Boolean => {
            given(array.as_boolean().iter().map(|truth| Some(if truth? { "true" } else { "false" })), take)
        }
        DataType::Null | DataType::Interval(_) => given((0..array.len()).map(|_| None), take),
        DataType::UInt64 => written(array.as_primitive::<UInt64Type>().iter(), take, display),
        DataType::Float16 => written(array.as_primitive::<Float16Type>().iter(), take, display),
        DataType::Float32 => written(array.as_primitive::<Float32Type>().iter(), take, float),
        DataType::Float64 => written(array.as_primitive::<Float64Type>().iter(), take, float),
        DataType::Decimal32(_, scale) => decimals::<Decimal32Type>(array, *scale, take),
        DataType::Decimal64(_, scale) => decimals::<Decimal64Type>(array, *scale, take),
        DataType::Decimal128(_, scale) => decimals::<Decimal128Type>(array, *scale, take),
        DataType::Decimal256(_, scale) => decimals::<Decimal256Type>(array, *scale, take),
        DataType::Dictionary(..) => {
            let rows = array.as_any_dictionary();
            let values = all(rows.values())?;
            let text = |place: Option<usize>| place.filter(|at| values.is_valid(*at)).map(|at| values.value(at));
            given(places(rows)?.into_iter().map(text), take)
        }
        kind if kind.is_integer() => written(integers(array)?.iter(), take, display),
        kind if kind.is_temporal() => times(array, take),
        kind => Err(ArrowError::CastError(format!("a column of type {kind} is not read as texts"))),
    }
}

fn given<'t>(texts: impl Iterator<Item = Option<&'t str>>, take: Take<'_>) -> Result<(), ArrowError> {
    for text in texts {
        take(text)?;
    }
    Ok(())
}

/// Gives what is written of each value; null where nothing can be.
fn written<T>(
    values: impl Iterator<Item = Option<T>>,
    take: Take<'_>,
    write: impl Fn(T, &mut String) -> Option<()>,
) -> Result<(), ArrowError> {
    let mut text = String::new();
    for value in values {
        text.clear();
        let has_text = value.and_then(|value| write(value, &mut text)).is_some();
        take(has_text.then_some(text.as_str()))?;
    }
    Ok(())
}

fn utf8(bytes: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(bytes?).ok()
}

fn display(value: impl Display, text: &mut String) -> Option<()> {
    write!(text, "{value}").ok()
}

/// ISO 8601, as chrono's types have it.
fn iso(value: Option<impl Debug>, text: &mut String) -> Option<()> {
    write!(text, "{:?}", value?).ok()
}

/// The fewest digits that are read back as the same float, always with a point or an exponent.
fn float(value: impl ryu::Float, text: &mut String) -> Option<()> {
    text.push_str(ryu::Buffer::new().format(value));
    Some(())
}

fn decimals<D: DecimalType>(array: &dyn Array, scale: i8, take: Take<'_>) -> Result<(), ArrowError> {
    written(array.as_primitive::<D>().iter(), take, |value, text| {
        text.push_str(&D::format_decimal(value, D::MAX_PRECISION, scale));
        Some(())
    })
}

/// Dates, times of day, timestamps and durations.
fn times(array: &dyn Array, take: Take<'_>) -> Result<(), ArrowError> {
    let values = integers(array)?;
    let values = values.iter();
    match array.data_type() {
        DataType::Date32 => written(values, take, |days, text| {
            let midnight = temporal::date32_to_datetime(i32::try_from(days).ok()?);
            iso(midnight.map(|midnight| midnight.date()), text)
        }),
        DataType::Date64 => written(values, take, |ms, text| iso(temporal::date64_to_datetime(ms), text)),
        DataType::Time32(unit) => written(values, take, |time, text| {
            let time = i32::try_from(time).ok()?;
            let is_s = *unit == TimeUnit::Second;
            iso(if is_s { temporal::time32s_to_time(time) } else { temporal::time32ms_to_time(time) }, text)
        }),
        DataType::Time64(unit) => written(values, take, |time, text| {
            let is_us = *unit == TimeUnit::Microsecond;
            iso(if is_us { temporal::time64us_to_time(time) } else { temporal::time64ns_to_time(time) }, text)
        }),
        DataType::Timestamp(unit, None) => written(values, take, |time, text| iso(instant(*unit, time), text)),
        DataType::Timestamp(unit, Some(zone)) => {
            // The rules of named zones are not at hand: their times are told in UTC.
            let zone: Tz = zone.parse().or_else(|_| "+00:00".parse())?;
            written(values, take, |time, text| {
                let time = instant(*unit, time)?.and_utc().with_timezone(&zone);
                display(time.to_rfc3339_opts(SecondsFormat::AutoSi, true), text)
            })
        }
        DataType::Duration(unit) => written(values, take, |time, text| {
            display(
                match unit {
                    TimeUnit::Second => temporal::try_duration_s_to_duration(time)?,
                    TimeUnit::Millisecond => temporal::try_duration_ms_to_duration(time)?,
                    TimeUnit::Microsecond => temporal::duration_us_to_duration(time),
                    TimeUnit::Nanosecond => temporal::duration_ns_to_duration(time),
                },
                text,
            )
        }),
        _ => given(values.map(|_| None), take),
    }
}

/// The date and time of a timestamp; `None` outside the years that chrono has.
fn instant(unit: TimeUnit, time: i64) -> Option<NaiveDateTime> {
    match unit {
        TimeUnit::Second => temporal::timestamp_s_to_datetime(time),
        TimeUnit::Millisecond => temporal::timestamp_ms_to_datetime(time),
        TimeUnit::Microsecond => temporal::timestamp_us_to_datetime(time),
        TimeUnit::Nanosecond => temporal::timestamp_ns_to_datetime(time),
    }
}
