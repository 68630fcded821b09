//! Columns are cast as `arrow-cast` casts them, row by row; what it refuses is refused or null.

use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowTimestampType, Date32Type, Date64Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, IntervalYearMonthType, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{
    BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, LargeBinaryArray, LargeStringArray, NullArray,
    StringViewArray, UInt64Array,
};
use arrow_cast::{CastOptions, cast_with_options};
use proptest::prelude::*;

use super::*;

type Row<T> = Result<Option<T>, ArrowError>;
type Half = <Float16Type as ArrowPrimitiveType>::Native;

const TEXTS: [&str; 28] = [
    "",
    " ",
    "-",
    "+",
    ".",
    "0",
    "-0",
    "+5",
    "00012",
    " 7 ",
    "\t-8\n",
    "1.",
    ".5",
    "-0.0",
    "1e5",
    "1E-5",
    "1e",
    "1e999",
    "nan",
    "-NaN",
    "inf",
    "-Infinity",
    "true",
    "0x10",
    "1_000",
    "9223372036854775808",
    "loss/é",
    "2024-06-09T12:30:00Z",
];
const WHOLE: [i64; 22] = [
    i64::MIN,
    i64::MIN + 1,
    -9_007_199_254_740_993,
    -1_717_936_200_250_001,
    -86_400_001,
    -1_999,
    -1_000,
    -1,
    0,
    1,
    999,
    1_500,
    86_399,
    86_399_999,
    9_007_199_254_740_992,
    9_007_199_254_740_993,
    1_717_936_200,
    1_717_936_200_250,
    1_717_936_200_250_999,
    1_717_936_200_123_456_789,
    i64::MAX - 1,
    i64::MAX,
];
const ZONES: [Option<&str>; 6] = [None, Some("+02:00"), Some("-0530"), Some("+09"), Some("+00:00"), Some("-00:15")];

fn theirs(array: &dyn Array, kind: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, kind, &CastOptions { safe: true, ..CastOptions::default() })
}

fn first<T: ArrowPrimitiveType>(array: &dyn Array) -> Row<T::Native> {
    Ok(theirs(array, &T::DATA_TYPE)?.as_primitive::<T>().iter().next().flatten())
}

fn their_text(row: &dyn Array) -> Row<String> {
    let text = theirs(row, &DataType::Utf8)?.as_string::<i32>().iter().next().flatten().map(str::to_owned);
    Ok(text.filter(|text| text != "<invalid>"))
}

fn their_float(row: &dyn Array) -> Row<f64> {
    match row.data_type() {
        DataType::Boolean => first::<Float64Type>(&theirs(row, &DataType::Int32)?),
        _ => first::<Float64Type>(row),
    }
}

fn their_whole(row: &dyn Array) -> Row<i64> {
    if row.data_type().is_floating() {
        return Ok(their_float(row)?.and_then(number::whole));
    }
    first::<Int64Type>(row)
}

fn their_time(row: &dyn Array) -> Row<i64> {
    let ms = match row.data_type() {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        _ => DataType::Date64,
    };
    first::<Int64Type>(&theirs(row, &ms)?)
}

/// Compares rows: where all is refused, theirs are refused too; where theirs are refused, ours are null.
fn compare<T: PartialEq + std::fmt::Debug>(
    array: &dyn Array,
    ours: Result<Vec<Option<T>>, ArrowError>,
    theirs: impl Fn(&dyn Array) -> Row<T>,
) {
    let rows = (0..array.len()).map(|row| theirs(&array.slice(row, 1)));
    let Ok(ours) = ours else {
        assert!(rows.into_iter().all(|row| row.is_err()), "{array:?}: {ours:?}");
        return;
    };
    assert_eq!(ours.len(), array.len());
    for (at, (ours, theirs)) in ours.iter().zip(rows).enumerate() {
        let refused = format!("{theirs:?}");
        assert_eq!(*ours, theirs.unwrap_or(None), "row {at} of {}: {refused}", array.data_type());
    }
}

fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

fn words(array: &dyn Array) -> Result<Vec<Option<String>>, ArrowError> {
    let words = dictionary(array)?;
    let texts = words.values().as_string::<i32>();
    Ok(words.keys().iter().map(|code| word(texts, code?).map(str::to_owned)).collect())
}

/// Compares all casts of `array`, whose rows are those of `plain`.
fn check_as(array: &dyn Array, plain: &dyn Array) {
    compare(plain, words(array), their_text);
    let floats = floats(array).map(|floats| floats.iter().map(|float| float.map(bits)).collect());
    compare(plain, floats, |row| Ok(their_float(row)?.map(bits)));
    compare(plain, whole_numbers(array).map(|whole| whole.iter().collect()), their_whole);
    if matches!(array.data_type(), DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)) {
        let time = Time { at: 0, is_ms: false, dates_only: false };
        compare(plain, times(array, time).map(|times| times.iter().collect()), their_time);
    }
}

fn check_keys<K: ArrowDictionaryKeyType>(values: &ArrayRef) {
    let count = values.len().min(100);
    let codes =
        (0..count).rev().map(|code| Some(K::Native::usize_as(code))).chain([None, Some(K::Native::usize_as(0))]);
    let rows = DictionaryArray::<K>::try_new(codes.collect(), values.clone()).unwrap();
    let plain = theirs(&rows, values.data_type()).unwrap();
    check_as(&rows, &plain);
    let some = rows.slice(1, rows.len() - 1);
    check_as(&some, &plain.slice(1, rows.len() - 1));
}

/// Compares all casts of a column, of a part of it, and of dictionaries of it.
fn check(array: impl Array + 'static) {
    let array: ArrayRef = Arc::new(array);
    check_as(&array, &array);
    if array.len() < 3 {
        return;
    }
    let part = array.slice(1, array.len() - 2);
    check_as(&part, &part);
    if *array.data_type() != DataType::Null {
        check_keys::<Int8Type>(&array);
        check_keys::<Int16Type>(&array);
        check_keys::<Int32Type>(&array);
        check_keys::<Int64Type>(&array);
        check_keys::<UInt8Type>(&array);
        check_keys::<UInt16Type>(&array);
        check_keys::<UInt32Type>(&array);
        check_keys::<UInt64Type>(&array);
    }
}

fn column<T: ArrowPrimitiveType>(values: impl IntoIterator<Item = T::Native>) -> PrimitiveArray<T> {
    [None].into_iter().chain(values.into_iter().map(Some)).chain([None]).collect()
}

fn check_cut<T: ArrowPrimitiveType<Native = i32>>() {
    check(column::<T>(WHOLE.map(|number| i32::try_from(number).unwrap_or(number as i32))));
}

fn check_long<T: ArrowPrimitiveType<Native = i64>>() {
    check(column::<T>(WHOLE));
}

fn check_stamps<T: ArrowTimestampType>(values: &[i64]) {
    for zone in ZONES {
        check(column::<T>(values.iter().copied()).with_timezone_opt(zone));
    }
}

fn check_decimal<D: DecimalType>(values: &[D::Native], scale: i8) {
    check(column::<D>(values.iter().copied()).with_precision_and_scale(D::MAX_PRECISION, scale).unwrap());
}

#[test]
fn integers_and_booleans_are_cast_as_arrow_does() {
    check_long::<Int64Type>();
    check_cut::<Int32Type>();
    check(column::<Int8Type>([i8::MIN, -1, 0, 1, i8::MAX]));
    check(column::<Int16Type>([i16::MIN, -1, 0, 1, i16::MAX]));
    check(column::<UInt8Type>([0, 1, u8::MAX]));
    check(column::<UInt16Type>([0, 1, u16::MAX]));
    check(column::<UInt32Type>([0, 1, u32::MAX]));
    check(column::<UInt64Type>([0, 1, 1 << 53 | 1, 1 << 63, (1 << 63) - 1, u64::MAX]));
    check(BooleanArray::from(vec![None, Some(true), Some(false), None]));
    check(NullArray::new(4));
    check(column::<Int64Type>([]));
    check(Int64Array::new_null(0));
}

#[test]
fn floats_are_cast_as_arrow_does() {
    let tens = (-330..=310).flat_map(|power| ["1e", "-1.25e", "9.87654321e"].map(|text| format!("{text}{power}")));
    let odd = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN, f64::MAX, f64::MIN_POSITIVE, 1.5, 2e18];
    let edges = [f64::from_bits(1), -9_223_372_036_854_775_808.0, 9_223_372_036_854_775_808.0, 1e16, 123_456.0];
    let all: Vec<f64> = tens.map(|text| text.parse().unwrap()).chain(odd).chain(edges).collect();
    check(column::<Float64Type>(all.iter().copied()));
    check(column::<Float32Type>(all.iter().map(|value| *value as f32)));
    // Each half float that there is.
    let halves = column::<Float16Type>((0..=u16::MAX).map(Half::from_bits));
    check_as(&halves, &halves);
}

#[test]
fn texts_are_cast_as_arrow_does() {
    let texts: Vec<Option<&str>> = [None].into_iter().chain(TEXTS.map(Some)).chain([None]).collect();
    check(StringArray::from(texts.clone()));
    check(LargeStringArray::from(texts.clone()));
    check(StringViewArray::from(texts.clone()));
    let bytes = || texts.iter().map(|text| text.map(str::as_bytes)).chain([Some(&b"\xff\xfe"[..]), None]);
    check(BinaryArray::from_iter(bytes()));
    check(LargeBinaryArray::from_iter(bytes()));
    check(BinaryViewArray::from_iter(bytes()));
    check(FixedSizeBinaryArray::try_from_iter([[1u8, 2], [3, 4], [5, 6]].into_iter()).unwrap());
}

#[test]
fn times_are_cast_as_arrow_does() {
    check_cut::<Date32Type>();
    check_cut::<Time32SecondType>();
    check_cut::<Time32MillisecondType>();
    check_long::<Date64Type>();
    check_long::<Time64MicrosecondType>();
    check_long::<Time64NanosecondType>();
    check_long::<DurationSecondType>();
    check_long::<DurationMillisecondType>();
    check_long::<DurationMicrosecondType>();
    check_long::<DurationNanosecondType>();
    check_stamps::<TimestampSecondType>(&WHOLE);
    check_stamps::<TimestampMillisecondType>(&WHOLE);
    check_stamps::<TimestampMicrosecondType>(&WHOLE);
    check_stamps::<TimestampNanosecondType>(&WHOLE);
}

#[test]
fn times_in_named_zones_are_told_in_utc_and_intervals_have_no_text() {
    let times = column::<TimestampMillisecondType>([1_717_936_200_250]).with_timezone("Europe/Berlin");
    assert_eq!(words(&times).unwrap(), [None, Some("2024-06-09T12:30:00.250Z".into()), None]);
    assert_eq!(words(&column::<IntervalYearMonthType>([1])).unwrap(), [None, None, None]);
}

#[test]
fn decimals_are_cast_as_arrow_does() {
    type Wide = <Decimal256Type as ArrowPrimitiveType>::Native;
    for scale in -9..=9 {
        check_decimal::<Decimal32Type>(&[i32::MIN, -15, -1, 0, 1, 25, 999_999_999, i32::MAX], scale);
    }
    for scale in -19..=18 {
        check_decimal::<Decimal64Type>(&WHOLE, scale);
    }
    let long = [i128::MIN, -(1 << 53), -25, 0, 7, 1 << 53, (1 << 53) + 1, 1 << 64, 10i128.pow(38) - 1, i128::MAX];
    for scale in [-40, -38, -23, -22, -1, 0, 1, 22, 23, 37, 38] {
        check_decimal::<Decimal128Type>(&long, scale);
        check_decimal::<Decimal256Type>(&long.map(Wide::from_i128), scale);
    }
}

#[test]
fn whole_numbers_in_dictionaries_are_looked_at_row_by_row() {
    let values: ArrayRef = Arc::new(UInt64Array::from(vec![Some(3), Some(u64::MAX - 1), None]));
    let codes = [Some(1), None, Some(1), Some(0), Some(2)].into_iter().collect();
    let mut inexact = [Inexact::default(), Inexact::default()];
    look_at_whole(&DictionaryArray::<Int16Type>::try_new(codes, values).unwrap(), &mut inexact[0]).unwrap();
    look_at_whole(&UInt64Array::from(vec![u64::MAX - 1, u64::MAX - 1]), &mut inexact[1]).unwrap();
    assert_eq!(format!("{:?}", inexact[0]), format!("{:?}", inexact[1]));
    assert_ne!(format!("{:?}", inexact[0]), format!("{:?}", Inexact::default()));
}

proptest! {
    #[test]
    fn any_number_is_cast_as_arrow_does(bits in any::<Vec<u64>>(), wide in any::<Vec<i128>>(), scale in -38i8..=38) {
        check_as_itself(&column::<Float64Type>(bits.iter().map(|bits| f64::from_bits(*bits))));
        check_as_itself(&column::<Float32Type>(bits.iter().map(|bits| f32::from_bits((bits >> 32) as u32))));
        check_as_itself(&column::<UInt64Type>(bits.iter().copied()));
        check_as_itself(&column::<Int64Type>(bits.iter().map(|bits| *bits as i64)));
        check_as_itself(&column::<Decimal128Type>(wide).with_precision_and_scale(38, scale).unwrap());
        let short = scale % 19;
        let half = column::<Decimal64Type>(bits.iter().map(|bits| *bits as i64 >> (bits % 64)));
        check_as_itself(&half.with_precision_and_scale(18, short).unwrap());
    }

    #[test]
    fn any_time_is_cast_as_arrow_does(times in any::<Vec<i64>>(), shift in 0u32..40, zone in 0usize..6) {
        let times: Vec<i64> = times.iter().map(|time| time >> shift).collect();
        let zone = ZONES[zone];
        check_as_itself(&column::<Date64Type>(times.iter().copied()));
        check_as_itself(&column::<TimestampSecondType>(times.iter().copied()).with_timezone_opt(zone));
        check_as_itself(&column::<TimestampMillisecondType>(times.iter().copied()).with_timezone_opt(zone));
        check_as_itself(&column::<TimestampMicrosecondType>(times.iter().copied()).with_timezone_opt(zone));
        check_as_itself(&column::<TimestampNanosecondType>(times).with_timezone_opt(zone));
    }

    #[test]
    fn any_text_is_cast_as_arrow_does(
        numbers in proptest::collection::vec("[ \t]?[-+]?[0-9]{0,20}[.]?[0-9]{0,20}([eE][-+]?[0-9]{0,3})?[ ]?", 0..20),
        others in proptest::collection::vec("[-+0-9.eEnNaAiIfFtTyY _]{0,9}", 0..20),
        bytes in any::<Vec<Vec<u8>>>(),
    ) {
        check_as_itself(&StringArray::from_iter_values(numbers));
        check_as_itself(&StringViewArray::from_iter_values(others));
        check_as_itself(&BinaryArray::from_iter_values(bytes));
    }
}

fn check_as_itself(array: &dyn Array) {
    check_as(array, array);
}
