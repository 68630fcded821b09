//! The worked examples of `docs/format-codecs.md`, read from there: they decode to what they say, and what is ours to
//! write is written like that.

use super::id::{ints as forms, views as kinds};
use super::property_tests::{force_floats_as, force_ints};
use super::views::View;
use super::*;

const PAGE: &str = include_str!("../../docs/format-codecs.md");

/// One row of the table of examples.
struct Example {
    codec: CodecId,
    values: &'static str,
    bytes: Vec<u8>,
}

fn examples() -> Vec<Example> {
    let (_, table) = PAGE.split_once("## Examples").expect("the page has examples");
    table
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [number, values, hex] = cells[..] else { return None };
            let number = number.trim_matches('`').strip_prefix("0x")?;
            let bytes = hex.trim_matches('`').split_whitespace();
            Some(Example {
                codec: CodecId(u8::from_str_radix(number, 16).expect("a codec's number")),
                values,
                bytes: bytes.map(|byte| u8::from_str_radix(byte, 16).expect("a byte in hex")).collect(),
            })
        })
        .collect()
}

/// The values of a row, each by `parse`, repeated where it says so.
fn values<T: Copy>(text: &str, parse: impl Fn(&str) -> T) -> Vec<T> {
    let mut all = Vec::new();
    for item in text.split(',').map(str::trim) {
        match item.split_whitespace().collect::<Vec<_>>()[..] {
            ["repeat", value, times] => all.extend(std::iter::repeat_n(parse(value), times.parse().expect("a count"))),
            _ => all.push(parse(item)),
        }
    }
    all
}

fn ints_of(text: &str) -> Vec<i64> {
    values(text, |item| item.parse().expect("an integer"))
}

/// Floats; a trailing `f` means rounded to float32.
fn floats_of(text: &str) -> Vec<f64> {
    values(text, |item| match item.strip_suffix('f') {
        Some(narrow) => f64::from(narrow.parse::<f32>().expect("a float32")),
        None => item.parse().expect("a float"),
    })
}

/// Whether the bytes are pinned for writing too: those of pco and zstd may change with their versions.
fn is_ours(codec: CodecId) -> bool {
    let by_pco = codec.view() <= 0x50 && matches!(codec.ints(), forms::PCO | forms::DELTA_PCO);
    !by_pco && codec != CodecId::FLOAT_PCO && codec != CodecId::BYTES_ZSTD
}

#[test]
fn the_examples_decode_and_encode() {
    for Example { codec, values, bytes } in examples() {
        match codec.view() {
            kinds::INTS => {
                let expected = ints_of(values);
                let written = force_ints(codec.ints(), &expected, Effort::Fast).expect("the codec holds the values");
                assert!(!is_ours(codec) || written == bytes, "{codec:?} {values}: {written:02x?}");
                let mut found = vec![0; expected.len()];
                decode_ints(codec, &bytes, &mut found).unwrap();
                assert_eq!(found, expected, "{codec:?}");
            }
            0xE0 => {
                let text = values.strip_prefix("text ").expect("a text");
                assert_eq!(decode_bytes(codec, &bytes, text.len()).unwrap(), text.as_bytes());
                let mut written = Vec::new();
                assert_eq!(encode_bytes(text.as_bytes(), Effort::Fast, &mut written), codec);
                assert!(!is_ours(codec) || written == bytes, "{codec:?} {values}: {written:02x?}");
            }
            kind => {
                let expected = floats_of(values);
                let exponent = if matches!(kind, kinds::DECIMAL | kinds::NARROW_DECIMAL) { 3 } else { 0 };
                let written =
                    force_floats_as(codec, View { kind, exponent }, &expected).expect("the codec holds the values");
                assert!(!is_ours(codec) || written == bytes, "{codec:?} {values}: {written:02x?}");
                let mut found = vec![0.0; expected.len()];
                decode_floats(codec, &bytes, &mut found).unwrap();
                assert!(found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "{codec:?} {found:?}");
            }
        }
    }
}

#[test]
fn each_form_and_view_has_an_example() {
    let examples = examples();
    let has = |wanted: &dyn Fn(CodecId) -> bool| examples.iter().any(|example| wanted(example.codec));
    for codec in CodecId::ALL {
        if codec.view() >= 0xE0 {
            assert!(has(&|id| id == codec), "{codec:?}");
        } else {
            assert!(has(&|id| id.view() == codec.view()), "view of {codec:?}");
            assert!(has(&|id| id.view() < 0xE0 && id.ints() == codec.ints()), "form of {codec:?}");
        }
    }
}
