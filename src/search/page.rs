//! Page tokens: base64 of `{"offset": N}`, as MLflow makes them.

use crate::error::{Error, Result};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The token of the page that begins after `offset` runs.
#[must_use]
pub fn page_token(offset: usize) -> String {
    let json = format!("{{\"offset\": {offset}}}");
    let mut token = String::new();
    for three in json.as_bytes().chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
            token.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    token
}

/// The offset that a token holds; 0 for the empty token, which is the first page.
///
/// # Errors
/// [`Error::Invalid`] when it is no token, or its offset is 0, which no page ever gave (MLflow's rule).
pub fn parse_page_token(token: &str) -> Result<usize> {
    if token.is_empty() {
        return Ok(0);
    }
    let offset = decode(token).and_then(|json| {
        // The offset is written as a number or as a text, with white space wherever JSON allows it.
        let inner = json.trim().strip_prefix('{')?.strip_suffix('}')?.trim().strip_prefix("\"offset\"")?.trim();
        let number = inner.strip_prefix(':')?.trim();
        let digits = number.strip_prefix('"').and_then(|number| number.strip_suffix('"')).unwrap_or(number);
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<usize>().ok())?
    });
    match offset {
        Some(offset) if offset > 0 => Ok(offset),
        _ => Err(Error::invalid(
            "page token",
            format!("{token:?} was given by no page; take the token of the page before, or none"),
        )),
    }
}

fn decode(token: &str) -> Option<String> {
    if !token.len().is_multiple_of(4) || token.len() > 128 {
        return None;
    }
    let digits = token.trim_end_matches('=');
    if token.len() - digits.len() > 2 {
        return None;
    }
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for digit in digits.bytes() {
        bits = bits << 6 | ALPHABET.iter().position(|known| *known == digit)? as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_mlflows() {
        assert_eq!(page_token(1000), "eyJvZmZzZXQiOiAxMDAwfQ==");
        for offset in [1, 9, 10, 123, 99_999, usize::MAX] {
            assert_eq!(parse_page_token(&page_token(offset)).unwrap(), offset);
        }
        assert_eq!(parse_page_token("").unwrap(), 0);
        // {"offset":"5"}, as some clients write it.
        assert_eq!(parse_page_token("eyJvZmZzZXQiOiI1In0=").unwrap(), 5);
    }

    #[test]
    fn what_no_page_gave_is_refused() {
        // Offset 0, a negative one, another object, no JSON, no base64, cut short.
        for token in
            [&*page_token(0), "eyJvZmZzZXQiOiAtMX0=", "e30=", "YWJj", "!!!!", "eyJvZmZzZXQiOiAxMDAwfQ", "====", "é==="]
        {
            assert!(parse_page_token(token).is_err(), "{token}");
        }
    }
}
