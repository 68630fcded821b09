//! Cuts a text that was refused into pieces and comparisons, leniently, as MLflow's SQL parser would.

/// A piece of a text, as MLflow's SQL parser would cut it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, also one in backticks or double quotes.
    Name,
    Keyword,
    Text,
    Number,
    Operator,
    /// From a parenthesis to its end.
    List,
    Other,
}

const KEYWORDS: [&str; 13] =
    ["AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "ILIKE", "RLIKE", "BETWEEN", "ASC", "DESC", "NULLS"];

pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, len) = match c {
            _ if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '\'' => text_piece(rest),
            '(' => (Kind::List, rest.find(')').map_or(rest.len(), |end| end + 1)),
            '<' | '>' | '=' | '!' | '~' => {
                (Kind::Operator, rest.find(|c| !matches!(c, '<' | '>' | '=' | '!' | '~')).unwrap_or(rest.len()))
            }
            '-' | '.' | '0'..='9' => {
                let of_number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
                let len = rest.find(|c| !of_number(c)).unwrap_or(rest.len());
                let word = name(rest);
                if rest[..len].parse::<f64>().is_ok() && word.1 <= len { (Kind::Number, len) } else { word }
            }
            _ => name(rest),
        };
        let piece = &rest[..len];
        let keyword = kind == Kind::Name && KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(piece));
        all.push(Piece { kind: if keyword { Kind::Keyword } else { kind }, text: piece });
        at += len;
    }
    all
}

/// A text in quotes, in which two quotes are no end.
fn text_piece(rest: &str) -> (Kind, usize) {
    let mut at = 1;
    while let Some(end) = rest[at..].find('\'') {
        at += end + 1;
        if !rest[at..].starts_with('\'') {
            return (Kind::Text, at);
        }
        at += 1;
    }
    // Two quotes at the very end are a text that ends after all.
    if rest.len() > 1 && rest.ends_with('\'') { (Kind::Text, rest.len()) } else { (Kind::Other, rest.len()) }
}

/// A name at the beginning of a text: words and quoted pieces that touch each other.
fn name(rest: &str) -> (Kind, usize) {
    let mut len = 0;
    while let Some(c) = rest[len..].chars().next() {
        match c {
            '`' | '"' => match rest[len + 1..].find(c) {
                Some(end) => len += end + 2,
                None => return (Kind::Other, rest.len()),
            },
            _ if c.is_alphanumeric() || c == '_' || c == '.' => len += c.len_utf8(),
            _ => break,
        }
    }
    if len == 0 { (Kind::Other, rest.chars().next().map_or(1, char::len_utf8)) } else { (Kind::Name, len) }
}

/// A comparison: its left side, its operator in capitals, its right side if it has one.
pub(super) type Comparison<'a> = (Piece<'a>, String, Option<Piece<'a>>);

/// The comparisons of a filter, and what is no part of one.
pub(super) fn comparisons(text: &str) -> (Vec<Comparison<'_>>, Vec<&str>) {
    let pieces = pieces(text);
    let word = |at: usize| match pieces.get(at) {
        Some(Piece { kind: Kind::Keyword, text }) => text.to_ascii_uppercase(),
        _ => String::new(),
    };
    let is_value = |piece: &&Piece<'_>| match piece.kind {
        Kind::Name | Kind::Text | Kind::Number | Kind::List => true,
        Kind::Keyword => piece.text.eq_ignore_ascii_case("NULL"),
        Kind::Operator | Kind::Other => false,
    };
    let value = |at: usize| pieces.get(at).filter(is_value).copied();
    let (mut found, mut others, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(left) = pieces.get(at) {
        if word(at) == "AND" {
            at += 1;
            continue;
        }
        let next = (word(at + 1), word(at + 2), word(at + 3));
        let list = |at: usize| value(at).filter(|value| value.kind == Kind::List);
        let taken = match (next.0.as_str(), next.1.as_str(), next.2.as_str()) {
            _ if value(at).is_none() => None,
            ("IS", "NULL", _) => Some(("IS NULL".to_owned(), None, 3)),
            ("IS", "NOT", "NULL") => Some(("IS NOT NULL".to_owned(), None, 4)),
            ("IN", ..) => list(at + 2).map(|right| ("IN".to_owned(), Some(right), 3)),
            ("NOT", "IN", _) => list(at + 3).map(|right| ("NOT IN".to_owned(), Some(right), 4)),
            ("NOT", "LIKE" | "ILIKE", _) => value(at + 3).map(|right| (format!("NOT {}", next.1), Some(right), 4)),
            ("LIKE" | "ILIKE" | "RLIKE", ..) => value(at + 2).map(|right| (next.0.clone(), Some(right), 3)),
            _ => match (pieces.get(at + 1), value(at + 2)) {
                (Some(Piece { kind: Kind::Operator, text }), Some(right)) => Some(((*text).to_owned(), Some(right), 3)),
                _ => None,
            },
        };
        match taken {
            Some((operator, right, pieces)) => {
                found.push((*left, operator, right));
                at += pieces;
            }
            None => {
                others.push(left.text);
                at += 1;
            }
        }
    }
    (found, others)
}
