//! JSON as trackers write it: Python's bare `NaN` and `Infinity` are read, nested values flattened.

use serde_json::Value;

use crate::number;

/// Parses a JSON text. Bare `NaN`, `Infinity` and `-Infinity` become the strings of these names, and so do numbers that
/// are too large for a float, as in Python's `json`; nesting is limited to 128 levels; numbers are rounded correctly.
pub(crate) fn parse(bytes: &[u8]) -> Option<Value> {
    parse_counting(bytes).map(|(value, _)| value)
}

/// The value that a text begins with, read in the same way.
pub(crate) fn first(bytes: &[u8]) -> Option<Value> {
    let first = |bytes: &[u8]| serde_json::Deserializer::from_slice(bytes).into_iter().next()?.ok();
    first(bytes).or_else(|| first(&quote_bare_words(bytes)?.0))
}

/// The same as [`parse`], and how many numbers were too large for a float.
pub(crate) fn parse_counting(bytes: &[u8]) -> Option<(Value, u64)> {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Some((value, 0));
    }
    let (quoted, too_large) = quote_bare_words(bytes)?;
    Some((serde_json::from_slice(&quoted).ok()?, too_large))
}

/// Puts quotes around the bare words, and writes numbers beyond all floats as such; `None` when there are none. Also
/// gives how many of those numbers there are.
fn quote_bare_words(bytes: &[u8]) -> Option<(Vec<u8>, u64)> {
    let mut too_large = 0;
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
                    too_large += 1;
                }
                _ => quoted.extend_from_slice(number),
            }
            at += number.len();
            continue;
        }
        quoted.extend(bytes.get(at));
        at += 1;
    }
    found.then_some((quoted, too_large))
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

/// A leaf that is no number as a word: a string as it is, the rest as JSON.
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
