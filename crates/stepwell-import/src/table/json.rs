//! JSON as trackers write it: Python's bare `NaN` and `Infinity` are read, nested values flattened.

use serde_json::Value;

use crate::number;
use crate::table::inexact::{Lost, is_rounded_text};

/// Whole numbers with fewer digits have 64 bits at most.
const LONG_DIGITS: usize = 19;

/// Parses a JSON text. Bare `NaN`, `Infinity` and `-Infinity` become the strings of these names, and so do numbers that
/// are too large for a float, as in Python's `json`; nesting is limited to 128 levels; numbers are rounded correctly.
pub(crate) fn parse(bytes: &[u8]) -> Option<Value> {
    parse_counting(bytes).map(|(value, _)| value)
}

/// The value that a text begins with, read in the same way.
pub(crate) fn first(bytes: &[u8]) -> Option<Value> {
    let first = |bytes: &[u8]| serde_json::Deserializer::from_slice(bytes).into_iter().next()?.ok();
    first(bytes).or_else(|| first(&quote_bare_words(bytes).0?))
}

/// The same as [`parse`], and which numbers the value has otherwise than the text.
pub(crate) fn parse_counting(bytes: &[u8]) -> Option<(Value, Lost)> {
    if let Ok(value) = serde_json::from_slice(bytes) {
        let lost = if has_long_number(bytes) { quote_bare_words(bytes).1 } else { Lost::default() };
        return Some((value, lost));
    }
    let (quoted, lost) = quote_bare_words(bytes);
    Some((serde_json::from_slice(&quoted?).ok()?, lost))
}

/// Whether a text may have whole numbers of more than 64 bits, which a value has as floats.
fn has_long_number(bytes: &[u8]) -> bool {
    let digit = |at: &usize| bytes.get(*at).is_some_and(u8::is_ascii_digit);
    // Each run of so many digits covers one of the places looked at.
    let mut at = LONG_DIGITS - 1;
    while at < bytes.len() {
        if digit(&at) {
            let start = (0..at).rev().take_while(digit).last().unwrap_or(at);
            let end = (at..bytes.len()).take_while(digit).last().unwrap_or(at);
            if end - start + 1 >= LONG_DIGITS {
                return true;
            }
            at = end;
        }
        at += LONG_DIGITS;
    }
    false
}

/// Puts quotes around the bare words, and writes numbers beyond all floats as such; `None` when there are none. Also
/// gives the numbers that a value has otherwise than the text.
fn quote_bare_words(bytes: &[u8]) -> (Option<Vec<u8>>, Lost) {
    let mut lost = Lost::default();
    let mut quoted = Vec::with_capacity(bytes.len() + 16);
    let (mut at, mut in_string, mut found) = (0, false, false);
    while let Some(&byte) = bytes.get(at) {
        if in_string {
            if byte == b'\\' {
                quoted.push(byte);
                at += 1;
            } else if byte == b'"' {
                in_string = false;
            }
        } else if byte == b'"' {
            in_string = true;
        } else if let Some(word) =
            [&b"NaN"[..], b"-Infinity", b"Infinity"].into_iter().find(|word| bytes[at..].starts_with(word))
        {
            quoted.push(b'"');
            quoted.extend_from_slice(word);
            quoted.push(b'"');
            at += word.len();
            found = true;
            continue;
        } else if byte == b'-' || byte.is_ascii_digit() {
            let number = number_at(&bytes[at..]);
            let text = std::str::from_utf8(number).unwrap_or_default();
            match text.parse::<f64>() {
                Ok(value) if value.is_infinite() => {
                    quoted.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
                    found = true;
                    lost.too_large += 1;
                }
                _ => {
                    if number.len() >= LONG_DIGITS
                        && text
                            .parse::<i128>()
                            .map_or(true, |whole| i64::try_from(whole).is_err() && u64::try_from(whole).is_err())
                        && is_rounded_text(text)
                    {
                        lost.long(text);
                    }
                    quoted.extend_from_slice(number);
                }
            }
            at += number.len();
            continue;
        }
        quoted.extend(bytes.get(at));
        at += 1;
    }
    (found.then_some(quoted), lost)
}

/// The number that begins here in JSON's grammar; where none does, the one byte.
fn number_at(bytes: &[u8]) -> &[u8] {
    let digits =
        |from: usize| bytes.get(from..).map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count());
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let whole = if bytes.get(sign) == Some(&b'0') { 1 } else { digits(sign) };
    if whole == 0 {
        return &bytes[..1];
    }
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let after = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if digits(after) > 0 {
            end = after + digits(after);
        }
    }
    &bytes[..end]
}

/// A scalar as a metric value: numbers, booleans as 0 and 1, and the strings by which JSON writes NaN and infinities.
pub(crate) fn scalar(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(boolean) => Some(f64::from(u8::from(*boolean))),
        Value::String(text)
            if !text.bytes().any(|b| b.is_ascii_digit())
                && !text.eq_ignore_ascii_case("true")
                && !text.eq_ignore_ascii_case("false") =>
        {
            number::value(text)
        }
        _ => None,
    }
}

/// Calls with each number in a value and its key, nested keys joined; lists, nulls and other strings are passed over.
pub(crate) fn flatten(key: &str, value: &Value, joint: &str, push: &mut dyn FnMut(&str, f64)) {
    leaves(key, value, joint, &mut |key, leaf| {
        if let Ok(number) = leaf {
            push(key, number);
        }
    });
}

/// Calls with each leaf of a value and its key, nested keys joined: a number, or what is none. Nulls are passed over.
pub(crate) fn leaves(key: &str, value: &Value, joint: &str, give: &mut dyn FnMut(&str, Result<f64, &Value>)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                leaves(&format!("{key}{joint}{name}"), member, joint, give);
            }
        }
        Value::Null => {}
        leaf => give(key, scalar(leaf).ok_or(leaf)),
    }
}

/// Calls with each number in a value.
pub(crate) fn numbers<'v>(value: &'v Value, give: &mut dyn FnMut(&'v Value)) {
    match value {
        Value::Object(members) => members.values().for_each(|member| numbers(member, give)),
        Value::Number(_) => give(value),
        _ => {}
    }
}

/// A leaf that is not a number as a word: a string as it is, the rest as JSON.
pub(crate) fn word(leaf: &Value) -> String {
    leaf.as_str().map_or_else(|| leaf.to_string(), str::to_owned)
}

/// Calls with each leaf of a value as a word and its key: strings as they are, the rest as JSON.
pub(crate) fn flatten_words(key: &str, value: &Value, joint: &str, put: &mut dyn FnMut(&str, String)) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                flatten_words(&format!("{key}{joint}{name}"), member, joint, put);
            }
        }
        Value::String(text) => put(key, text.clone()),
        other => put(key, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_words_are_read_outside_strings_only() {
        let value = parse(br#"{"a": NaN, "b": [-Infinity, 1], "c": {"d": Infinity}, "NaN \" Infinity": 2}"#).unwrap();
        let mut seen = Vec::new();
        flatten("x", &value, "/", &mut |key, value| seen.push((key.to_owned(), value)));
        assert!(seen[0].1.is_nan());
        assert_eq!(seen[0].0, "x/a");
        assert_eq!(seen[1..], [("x/c/d".to_owned(), f64::INFINITY), ("x/NaN \" Infinity".to_owned(), 2.0)]);
        assert!(parse(b"{\"a\": Nope}").is_none());
        assert!(parse(b"\"\\").is_none());
        assert!(parse(&vec![b'['; 100_000]).is_none());
    }

    #[test]
    fn numbers_beyond_all_floats_are_infinite() {
        let huge = format!("-{}.5", "9".repeat(400));
        for (text, expected) in [("1e999", f64::INFINITY), ("-1E+400", f64::NEG_INFINITY), (&huge, f64::NEG_INFINITY)] {
            let row = parse(format!("{{\"1e999\":0.1,\"a\":[{text}],\"b\":{text}}}").as_bytes()).unwrap();
            assert_eq!((scalar(&row["b"]), scalar(&row["1e999"])), (Some(expected), Some(0.1)), "{text}");
        }
        for text in ["01e999", "1.e999", ".1e999", "1e", "-", "--1e999", "+1e999", "1e999x", "-NaN"] {
            assert!(parse(format!("[{text}, NaN]").as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn numbers_that_a_value_cannot_hold_are_counted() {
        let counts = |text: &str| {
            let (_, lost) = parse_counting(text.as_bytes()).unwrap();
            (lost.too_large, lost.too_long)
        };
        // 2^64 - 1 is a whole number to the parser, and looked at where it becomes a float.
        assert_eq!(counts("[18446744073709551615, 9007199254740993, 0.12345678901234567890123]"), (0, 0));
        assert_eq!(counts("[18446744073709551617, -9223372036854775809123, \"18446744073709551617\"]"), (0, 2));
        assert_eq!(counts("[100000000000000000000]"), (0, 0), "10^20 is a float");
        assert_eq!(counts("[1e400, NaN, -18446744073709551617]"), (1, 1));
        for place in 0..60 {
            let text = format!("{{\"{}\":18446744073709551617}}", "k".repeat(place));
            assert_eq!(counts(&text), (0, 1), "{text}");
        }
    }

    #[test]
    fn numbers_keep_their_bits() {
        for text in ["0.1", "1e-320", "123456789.123456789e-7", "9007199254740993", "1.7976931348623157e308", "-0.0"] {
            assert_eq!(
                scalar(&parse(text.as_bytes()).unwrap()).unwrap().to_bits(),
                text.parse::<f64>().unwrap().to_bits(),
                "{text}"
            );
        }
        assert_eq!(scalar(&parse(b"true").unwrap()), Some(1.0));
        assert_eq!(scalar(&parse(b"\"-Infinity\"").unwrap()), Some(f64::NEG_INFINITY));
        assert_eq!(scalar(&parse(b"\"12\"").unwrap()), None);
        assert_eq!(scalar(&parse(b"null").unwrap()), None);
    }
}
