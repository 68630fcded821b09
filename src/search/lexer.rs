//! Filter text to tokens.

use crate::search::refusal::{Parsed, Reason, Refusal, Source};

/// Longest filter, or clause of an order, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 10 << 10;

/// A token and where it stands in the text, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind<'a> {
    /// Letters, digits, `_` and dots: keywords and names.
    Word(&'a str),
    /// A text in quotes, without them, and which quotes: `'`, `"` or a backtick.
    Quoted(char, &'a str),
    /// A number, as written.
    Number(&'a str),
    /// A run of `<>=~!`.
    Operator(&'a str),
    /// `(`, `)` or `,`.
    Punctuation(char),
}

impl Token<'_> {
    /// Whether it is this keyword, in any case.
    pub(crate) fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.kind, Kind::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// All tokens of `text`.
///
/// # Errors
/// A text that is too long, a quote that is not closed, and a character that begins no token.
pub(crate) fn tokens(source: Source, text: &str) -> Parsed<Vec<Token<'_>>> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Refusal::new(source, text, 0, Reason::TooLong));
    }
    let refuse = |at, reason| Err(Refusal::new(source, text, at, reason));
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(c) = text[start..].chars().next() {
        let rest = &text[start..];
        if c.is_whitespace() {
            start += c.len_utf8();
            continue;
        }
        let (kind, len) = match c {
            '\'' | '"' | '`' => {
                let Some(close) = closing(rest, c) else {
                    return refuse(start, Reason::Unclosed(c));
                };
                (Kind::Quoted(c, &rest[1..close]), close + 1)
            }
            '<' | '>' | '=' | '~' | '!' => {
                let len = rest.find(|c| !matches!(c, '<' | '>' | '=' | '~' | '!')).unwrap_or(rest.len());
                (Kind::Operator(&rest[..len]), len)
            }
            '(' | ')' | ',' => (Kind::Punctuation(c), 1),
            '-' | '.' | '0'..='9' if number(rest) > 0 => {
                let len = number(rest);
                (Kind::Number(&rest[..len]), len)
            }
            _ if word(c) => {
                let len = rest.find(|c| !word(c)).unwrap_or(rest.len());
                (Kind::Word(&rest[..len]), len)
            }
            ';' => return refuse(start, Reason::SecondFilter),
            _ => return refuse(start, Reason::Character(c)),
        };
        tokens.push(Token { kind, start, end: start + len });
        start += len;
    }
    Ok(tokens)
}

/// Whether a key may hold it without quotes.
pub(crate) fn word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

/// Length of the number that `text` begins with, or 0: digits with a point, an exponent, a minus; or `-inf`.
fn number(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    if at == 1 && text[1..].starts_with("inf") && !text[4..].starts_with(word) {
        return 4;
    }
    let whole = digits(at);
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if whole + fraction == 0 {
            return 0;
        }
        at += 1 + fraction;
    } else if whole == 0 {
        return 0;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'-' | b'+')));
        let exponent = digits(at + 1 + sign);
        if exponent > 0 {
            at += 1 + sign + exponent;
        }
    }
    if text[at..].starts_with(word) { 0 } else { at }
}

/// Where the quote that opens `text` closes. Two quotes or a backslash before a quote do not close and
/// stay in the text as written; where nothing else closes, the last such quote does.
fn closing(text: &str, quote: char) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = quote as u8;
    if quote == b'`' {
        return text[1..].find('`').map(|at| at + 1);
    }
    let mut at = 1;
    let mut instead = None;
    while at < bytes.len() {
        if bytes[at] == quote && bytes.get(at + 1) == Some(&quote) {
            instead = Some(at);
            at += 2;
        } else if bytes[at] == b'\\' && bytes.get(at + 1) == Some(&quote) {
            instead = Some(at + 1);
            at += 2;
        } else if bytes[at] == quote {
            return Some(at);
        } else {
            at += 1;
        }
    }
    instead
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind<'_>> {
        tokens(Source::Filter, text).unwrap().into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn tokens_of_every_kind() {
        assert_eq!(
            kinds("metrics.`a b`.min>=-1.5e-3 AND(x=~'it''s',\"q\")"),
            [
                Kind::Word("metrics."),
                Kind::Quoted('`', "a b"),
                Kind::Word(".min"),
                Kind::Operator(">="),
                Kind::Number("-1.5e-3"),
                Kind::Word("AND"),
                Kind::Punctuation('('),
                Kind::Word("x"),
                Kind::Operator("=~"),
                Kind::Quoted('\'', "it''s"),
                Kind::Punctuation(','),
                Kind::Quoted('"', "q"),
                Kind::Punctuation(')'),
            ]
        );
        for number in ["0", "-1", "1.", ".5", "1e9", "1E-9", "1e+9", "-inf"] {
            assert_eq!(kinds(number), [Kind::Number(number)]);
        }
        assert_eq!(kinds(r"'C:\'"), [Kind::Quoted('\'', r"C:\")]);
        assert_eq!(kinds("''"), [Kind::Quoted('\'', "")]);
    }

    #[test]
    fn what_is_no_token_is_reported_with_its_column() {
        for (text, column) in [("a = 'x", 5), ("é; b", 2), ("metrics.a-b", 10), ("a = `", 5)] {
            let error = tokens(Source::Filter, text).unwrap_err().to_string();
            assert!(error.contains(&format!("column {column}:")), "{text}: {error}");
        }
    }
}
