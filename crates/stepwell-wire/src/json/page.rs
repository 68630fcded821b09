//! Page tokens: base64 of `{"offset": N}`, as MLflow gives them out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::fault::Fault;

/// The token of the page that begins after `offset` rows.
#[must_use]
pub fn token(offset: usize) -> String {
    STANDARD.encode(format!("{{\"offset\": {offset}}}"))
}

/// The rows before the page of a token; none before the first, whose token is empty.
///
/// # Errors
/// 400 for what is not a token.
pub fn offset(token: &str) -> Result<usize, Fault> {
    if token.is_empty() {
        return Ok(0);
    }
    let invalid = |what: &str| Fault::invalid(format!("Invalid page token, {what}"));
    // As MLflow does, which passes over what no base64 has.
    let kept: String = token.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')).collect();
    let bytes = STANDARD.decode(kept).map_err(|_| invalid("could not base64-decode"))?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|_| invalid(&format!("decoded value={:?}", String::from_utf8_lossy(&bytes))))?;
    // What its database takes for a number is one; less than none is none.
    let rows = match value.get("offset") {
        Some(Value::Number(number)) => number.as_i64().or_else(|| number.as_f64().map(|number| number as i64)),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(Value::Bool(true)) => Some(1),
        _ => None,
    };
    match rows {
        None | Some(0) => Err(invalid(&format!("parsed value={}", python(&value)))),
        Some(rows) => Ok(usize::try_from(rows).unwrap_or(0)),
    }
}

/// The token of a page of a search that must go on as it began: `asked` names what may not change, as MLflow names it.
pub(crate) fn bound_token(asked: &Map<String, Value>, offset: usize) -> String {
    let mut token = asked.clone();
    token.insert("offset".to_owned(), offset.into());
    STANDARD.encode(Value::Object(token).to_string())
}

/// As [`offset`], for the tokens of [`bound_token`].
///
/// # Errors
/// 400 for what is not a token, and for one of another search.
pub(crate) fn bound_offset(asked: &Map<String, Value>, token: &str) -> Result<usize, Fault> {
    let rows = offset(token)?;
    if rows == 0 {
        return Ok(0);
    }
    let known: Value =
        STANDARD.decode(token).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    for (key, expected) in asked {
        let found = known.get(key).unwrap_or(&Value::Null);
        if found != expected {
            let words = match key.as_str() {
                "experiment_ids" => ["Experiment IDs", "do", "experiment IDs"],
                "filter_string" => ["Filter string", "does", "filter string"],
                _ => ["Order by", "does", "order by"],
            };
            return Err(Fault::invalid(format!(
                "{} in the page token {} not match the requested {}. Expected: {}. Found: {}",
                words[0],
                words[1],
                words[2],
                shown(expected),
                shown(found)
            )));
        }
    }
    Ok(rows)
}

/// A value within a sentence: a text stands without quotes.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| python(value), str::to_owned)
}

/// A value as Python shows it, which MLflow's messages do.
fn python(value: &Value) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(python).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{}: {}", quoted(key), python(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Number(number) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_as_python_tells_them() {
        let value = serde_json::json!({"a": [null, true, "it's", 1.5]});
        assert_eq!(python(&value), "{'a': [None, True, 'it\\'s', 1.5]}");
    }

    #[test]
    fn tokens_are_mlflows() {
        assert_eq!(token(7), "eyJvZmZzZXQiOiA3fQ==");
        assert_eq!(offset(&token(7)), Ok(7));
        assert_eq!(offset(""), Ok(0));
        let of = |json: &str| offset(&STANDARD.encode(json));
        assert_eq!((of("{\"offset\": -1}"), of("{\"offset\": \"3\"}"), of("{\"offset\": 1.5}")), (Ok(0), Ok(3), Ok(1)));
        for bad in ["x", "{}", "eyJvZmZzZXQiOiAwfQ==", "e30=", "bnVsbA==", "////"] {
            assert!(offset(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bound_tokens_hold_for_their_search_only() {
        let asked = |filter: &str| Map::from_iter([("filter_string".to_owned(), Value::from(filter))]);
        let token = bound_token(&asked("a"), 7);
        assert_eq!(bound_offset(&asked("a"), &token), Ok(7));
        assert_eq!(bound_offset(&asked("a"), ""), Ok(0));
        let refused = bound_offset(&asked("b"), &token).unwrap_err().message;
        assert!(refused.starts_with("Filter string in the page token does not match"), "{refused}");
        assert!(bound_offset(&asked("a"), &super::token(7)).is_err());
    }
}
