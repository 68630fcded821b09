//! Page tokens: base64 of `{"offset": N}`, as MLflow gives them out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::fault::Fault;

/// The token of the page that begins after `offset` rows.
pub(crate) fn token(offset: usize) -> String {
    STANDARD.encode(format!("{{\"offset\": {offset}}}"))
}

/// The rows before the page of a token; none before the first, whose token is empty.
///
/// # Errors
/// 400 for what is no token.
pub(crate) fn offset(token: &str) -> Result<usize, Fault> {
    if token.is_empty() {
        return Ok(0);
    }
    let invalid = |what: &str| Fault::invalid(format!("Invalid page token, {what}"));
    let bytes = STANDARD.decode(token).map_err(|_| invalid("could not base64-decode"))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| invalid("could not parse decoded value"))?;
    match value.get("offset").and_then(Value::as_u64).and_then(|offset| usize::try_from(offset).ok()) {
        Some(offset) if offset > 0 => Ok(offset),
        _ => Err(invalid(&format!("decoded value={value}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_mlflows() {
        assert_eq!(token(7), "eyJvZmZzZXQiOiA3fQ==");
        assert_eq!(offset(&token(7)), Ok(7));
        assert_eq!(offset(""), Ok(0));
        for bad in ["x", "eyJvZmZzZXQiOiAwfQ==", "e30=", "bnVsbA==", "////"] {
            assert!(offset(bad).is_err(), "{bad}");
        }
    }
}
