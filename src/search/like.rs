//! LIKE and ILIKE: `%` matches any text, `_` any character; there is no escape.
//!
//! The pattern is split at `%`. The first piece must match at the beginning, the last at the end, and each piece in
//! between as far left as possible, which never prevents a later match. Search uses Shift-And: one bit per pattern
//! character, all advanced at once, so a text of n characters costs n × pieces / 64 steps for any pattern.

use rustc_hash::FxHashMap;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Like {
    ignore_case: bool,
    first: Vec<Option<char>>,
    middle: Vec<Piece>,
    /// `None` when the pattern has no `%`.
    last: Option<Vec<Option<char>>>,
}

/// Characters to be found next to each other.
#[derive(Clone, Debug)]
struct Piece {
    len: usize,
    /// Bit i: position i takes any character.
    any: Vec<u64>,
    /// Bit i: position i takes this character, or any.
    of: FxHashMap<char, Vec<u64>>,
}

impl Like {
    /// Compiles a pattern. ILIKE folds each character that has a lower case of one character.
    pub(crate) fn new(pattern: &str, ignore_case: bool) -> Self {
        let mut pieces = pattern.split('%').map(|piece| {
            piece.chars().map(|c| (c != '_').then(|| if ignore_case { fold(c) } else { c })).collect::<Vec<_>>()
        });
        let first = pieces.next().unwrap_or_default();
        let mut middle: Vec<_> = pieces.collect();
        let last = middle.pop();
        let middle = middle.iter().filter(|piece| !piece.is_empty()).map(|piece| Piece::new(piece)).collect();
        Self { ignore_case, first, middle, last }
    }

    /// Whether all of `text` fits the pattern.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().map(|c| if self.ignore_case { fold(c) } else { c }).collect();
        let fits = |piece: &[Option<char>], text: &[char]| {
            piece.iter().zip(text).all(|(wanted, c)| wanted.is_none_or(|wanted| wanted == *c))
        };
        let Some(last) = &self.last else {
            return text.len() == self.first.len() && fits(&self.first, &text);
        };
        if text.len() < self.first.len() + last.len()
            || !fits(&self.first, &text)
            || !fits(last, &text[text.len() - last.len()..])
        {
            return false;
        }
        let mut left = &text[self.first.len()..text.len() - last.len()];
        for piece in &self.middle {
            match piece.find_end(left) {
                Some(end) => left = &left[end..],
                None => return false,
            }
        }
        true
    }
}

impl Piece {
    fn new(piece: &[Option<char>]) -> Self {
        let mut any = vec![0_u64; piece.len().div_ceil(64)];
        for (at, _) in piece.iter().enumerate().filter(|(_, wanted)| wanted.is_none()) {
            any[at / 64] |= 1 << (at % 64);
        }
        let mut of: FxHashMap<char, Vec<u64>> = FxHashMap::default();
        for (at, wanted) in piece.iter().enumerate() {
            if let Some(c) = wanted {
                of.entry(*c).or_insert_with(|| any.clone())[at / 64] |= 1 << (at % 64);
            }
        }
        Self { len: piece.len(), any, of }
    }

    /// One past the leftmost place where the piece stands.
    fn find_end(&self, text: &[char]) -> Option<usize> {
        let (word, bit) = ((self.len - 1) / 64, (self.len - 1) % 64);
        // Bit i of the state: the last i + 1 characters fit the piece's first i + 1.
        let mut state = vec![0_u64; self.any.len()];
        for (at, c) in text.iter().enumerate() {
            let mask = self.of.get(c).unwrap_or(&self.any);
            let mut carry = 1;
            for (bits, mask) in state.iter_mut().zip(mask) {
                let out = *bits >> 63;
                *bits = (*bits << 1 | carry) & mask;
                carry = out;
            }
            if state[word] >> bit & 1 == 1 {
                return Some(at + 1);
            }
        }
        None
    }
}

/// The lower case of a character, where that is one character.
fn fold(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(lower), None) => lower,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, by trying everything.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((&'%', rest)) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            Some((&'_', rest)) => !text.is_empty() && slow(rest, &text[1..]),
            Some((c, rest)) => text.first() == Some(c) && slow(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matches_as_defined(pattern in "[ab%_é]{0,8}", text in "[abé]{0,10}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            prop_assert_eq!(Like::new(&pattern, false).matches(&text), slow(&chars(&pattern), &chars(&text)));
        }
    }

    #[test]
    fn case_and_wildcards() {
        let like = |pattern: &str, text: &str| Like::new(pattern, false).matches(text);
        assert!(like("", "") && !like("", "a") && like("%", "") && like("%%", "a\nb"));
        assert!(like("A%", "Adam") && !like("a%", "Adam") && like("_dam", "Adam") && !like("_", ""));
        assert!(Like::new("aD%É", true).matches("ADam é"));
        // A pattern over one word of bits, wildcards within, found late.
        let long = "ab".repeat(50);
        assert!(like(&format!("%{}_%", long), &format!("xa{long}c")));
        assert!(!like(&format!("%{}_%", long), &format!("xa{long}")));
        // What a backtracking matcher would take for ever over.
        assert!(!like(&"%a_".repeat(2_000), &"a".repeat(3_000)));
    }
}
