//! JSON of requests: how large and deep a document is, checked before it is parsed, and what is wrong with one that is
//! not valid.

use serde_json::{Map, Value};

use crate::fault::Fault;

/// Deepest nesting of a request's JSON.
pub const DEPTH_MAX: usize = 64;
/// Most values of a request's JSON, the keys of objects counted too.
pub const VALUES_MAX: usize = 100_000;
/// Most bytes that a value takes once it is parsed: in the document's tree, in the message that is read from it, and in
/// the copies that a call makes of the message. Texts are counted in addition, see [`Shape::bytes`].
const VALUE_BYTES: usize = 448;
/// How often the texts of a document are copied.
const TEXTS_COPIES: usize = 3;

/// A body of at most this many bytes is parsed without measuring its shape, because it takes little memory.
const LITTLE_BYTES: usize = 1 << 10;

/// How large a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    depth: usize,
    values: usize,
    /// Values that texts would have, if they were documents themselves, as some are.
    inner: usize,
    text: usize,
}

impl Shape {
    /// Of a body that is not little; refused, if it is too large to be parsed.
    ///
    /// # Errors
    /// 400 with the limit.
    pub fn of_long(body: &[u8]) -> Result<Option<Self>, Fault> {
        if body.len() <= LITTLE_BYTES {
            return Ok(None);
        }
        let shape = Self::of(body);
        shape.check()?;
        Ok(Some(shape))
    }

    /// Measures a document without parsing it. For invalid JSON, the result is at least as large as what a parser would
    /// see.
    pub(crate) fn of(json: &[u8]) -> Self {
        let (mut depth, mut most, mut values, mut inner) = (0usize, 0usize, 1usize, 0usize);
        let (mut in_text, mut escaped) = (false, false);
        for &byte in json {
            if in_text {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_text = false,
                    b'{' | b'[' | b',' | b':' => inner += 1,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => in_text = true,
                    b'{' | b'[' => {
                        depth += 1;
                        values += 1;
                        most = most.max(depth);
                    }
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    b',' | b':' => values += 1,
                    _ => {}
                }
            }
        }
        Self { depth: most, values, inner, text: json.len() }
    }

    /// Refuses what is too large to be parsed.
    ///
    /// # Errors
    /// 400 with the limit.
    pub(crate) fn check(self) -> Result<(), Fault> {
        if self.depth > DEPTH_MAX {
            return Err(Fault::invalid(format!("The request's JSON is nested deeper than {DEPTH_MAX} levels.")));
        }
        if self.values > VALUES_MAX {
            return Err(Fault::invalid(format!(
                "The request's JSON has more than {VALUES_MAX} values, keys counted; send it in several requests."
            )));
        }
        Ok(())
    }

    /// Bytes that the document takes at most while a call works on it, the body itself not counted.
    #[must_use]
    pub fn bytes(self) -> usize {
        (self.values + self.inner).min(VALUES_MAX) * VALUE_BYTES + self.text * TEXTS_COPIES
    }
}

/// A document as an object. Nothing, and `null`, are the empty object.
///
/// # Errors
/// 400 for what is too large, no JSON or no object: what is wrong, and where.
pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    Shape::of(body).check()?;
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    let mut value = parse(body)?;
    // Old clients send a string that holds the document.
    if let Value::String(text) = &value {
        Shape::of(text.as_bytes()).check()?;
        value = if text.is_empty() { Value::Null } else { parse(text.as_bytes())? };
    }
    let kind = match value {
        Value::Object(object) => return Ok(object),
        Value::Null => return Ok(Map::new()),
        Value::Array(_) => "a list",
        Value::String(_) => "a text",
        Value::Number(_) => "a number",
        Value::Bool(_) => "a truth value",
    };
    Err(Fault::invalid(format!("The request's body is to be a JSON object, and is {kind}.")))
}

/// Parses JSON.
///
/// # Errors
/// 400 with what is wrong, and where.
pub(crate) fn parse(json: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(json).map_err(|error| match bare_number(json) {
        Some((word, at)) => Fault::invalid(format!(
            "The request's body is not JSON: it holds the bare word {word} at byte {at}. JSON has no such number; \
             write it as the string \"{}\".",
            if word.starts_with('-') {
                "-Infinity"
            } else if word.eq_ignore_ascii_case("nan") {
                "NaN"
            } else {
                "Infinity"
            }
        )),
        None => Fault::invalid(format!("The request's body is not JSON: {error}.")),
    })
}

/// The first bare word outside of strings that other writers of JSON use for a number JSON cannot express, and its
/// offset.
fn bare_number(json: &[u8]) -> Option<(String, usize)> {
    let (mut at, mut in_text, mut escaped) = (0, false, false);
    while let Some(&byte) = json.get(at) {
        if in_text {
            (in_text, escaped) = (byte != b'"' || escaped, byte == b'\\' && !escaped);
            at += 1;
        } else if byte == b'"' {
            in_text = true;
            at += 1;
        } else if byte == b'-' || byte.is_ascii_alphabetic() {
            let rest = json[at + 1..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
            let word = String::from_utf8_lossy(&json[at..=at + rest]).into_owned();
            let number = word.trim_start_matches('-').to_ascii_lowercase();
            if ["nan", "inf", "infinity"].contains(&number.as_str()) {
                return Some((word, at));
            }
            at += 1 + rest;
        } else {
            at += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_told() {
        for body in ["", " \n", "null", "{}", "\u{feff}"] {
            assert!(object(body.as_bytes()).unwrap().is_empty(), "{body:?}");
        }
        for (body, words) in [
            ("nonsense", "not JSON: expected"),
            ("[1]", "is a list"),
            ("7", "is a number"),
            ("true", "is a truth value"),
            ("{\"a\":", "not JSON: EOF"),
            ("{} trailing", "line 1 column 4"),
            ("\"text\"", "not JSON"),
            ("\"\\\"text\\\"\"", "is a text"),
        ] {
            let told = object(body.as_bytes()).unwrap_err().message;
            assert!(told.contains(words), "{body}: {told}");
        }
        assert_eq!(object(br#""{\"a\":1}""#).unwrap()["a"], 1);
        assert_eq!(object("\u{feff}{\"a\":1}".as_bytes()).unwrap()["a"], 1);
    }

    #[test]
    fn bare_numbers_are_named() {
        for (body, word, at) in [
            (r#"{"value": NaN}"#, "NaN", 10),
            (r#"{"NaN": "Infinity", "value": -Infinity}"#, "-Infinity", 29),
            (r#"{"a": "\"NaN", "value":Infinity}"#, "Infinity", 23),
            (r#"{"value": nan}"#, "nan", 10),
            (r#"[1, -inf]"#, "-inf", 4),
        ] {
            let told = parse(body.as_bytes()).unwrap_err().message;
            assert!(told.contains(&format!("the bare word {word} at byte {at}.")), "{body}: {told}");
        }
        assert!(!parse(br#"{"value": nano}"#).unwrap_err().message.contains("bare word"));
        assert!(parse(br#"{"value": "NaN"}"#).is_ok());
    }

    #[test]
    fn what_is_too_deep_or_has_too_many_values_is_refused() {
        let refused = |json: &str| object(json.as_bytes()).err().map(|fault| fault.message).unwrap_or_default();
        assert!(refused(&"[".repeat(100_000)).contains("deeper than 64 levels"));
        assert!(refused(&"{\"a\":".repeat(65)).contains("deeper than 64 levels"));
        assert!(refused(&format!("[{}0]", "0,".repeat(VALUES_MAX))).contains("more than 100000 values"));
        let text = format!("{{\"a\":\"{}\\\"[\"}}", "[,:".repeat(100_000));
        assert_eq!(Shape::of(text.as_bytes()), Shape { depth: 1, values: 3, inner: 300_001, text: text.len() });
        assert_eq!(refused(&text), "");
        // A document within a text counts too.
        let inner = Value::from(format!("[{}0]", "0,".repeat(VALUES_MAX))).to_string();
        assert!(refused(&inner).contains("more than 100000 values"));
    }
}
