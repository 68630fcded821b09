//! What follows a name in a filter: an operator and what it compares with.

use regex::{Regex, RegexBuilder};

use crate::error::Result;
use crate::search::ast::{Comparison, Number, NumberTest, TextTest};
use crate::search::lexer::Kind;
use crate::search::like::Like;
use crate::search::parser::{Dialect, Parser};

/// Most memory that one compiled regular expression takes, in bytes; its cache of states is bounded by the same.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// What kind of text is tested, which decides the operators that a hint names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TextKind {
    /// A param or tag, which a run may lack.
    Keyed,
    /// The run's id, or a word of a dataset.
    Listed,
    /// Another attribute.
    Plain,
}

impl<'a> Parser<'_, 'a> {
    pub(super) fn number_test(&mut self, metric: bool) -> Result<NumberTest> {
        let tests = self.by_dialect(
            "=, !=, <, <=, >, >=, BETWEEN, NOT BETWEEN or IS for a number",
            "=, !=, <, <=, > or >= for a number",
        );
        let from = self.at;
        if self.keyword("IS") {
            let not = self.keyword("NOT");
            return match (self.keyword("NULL"), metric && self.keyword("NAN")) {
                (true, _) => Ok(if not { NumberTest::NotNull } else { NumberTest::Null }),
                (_, true) => Ok(if not { NumberTest::NotNan } else { NumberTest::Nan }),
                _ if self.dialect == Dialect::Mlflow => {
                    self.at = from;
                    Err(self.expected(tests))
                }
                _ => Err(self.expected(if metric { "NULL, NOT NULL, NAN or NOT NAN" } else { "NULL or NOT NULL" })),
            };
        }
        let not = self.keyword("NOT");
        if self.keyword("BETWEEN") {
            return self.range(not);
        }
        if not {
            self.at = from;
            return Err(self.expected(tests));
        }
        let comparison = match self.peek().map(|token| token.kind) {
            Some(Kind::Operator(operator)) => Comparison::of(operator),
            _ => None,
        };
        let comparison = comparison.ok_or_else(|| self.expected(tests))?;
        self.at += 1;
        Ok(NumberTest::Is(comparison, self.number()?))
    }

    /// The two numbers of BETWEEN.
    fn range(&mut self, not: bool) -> Result<NumberTest> {
        let at = self.peek().map_or(self.text.len(), |token| token.start);
        let low = self.number()?;
        if !self.keyword("AND") {
            return Err(self.expected("AND and a second number, as in BETWEEN 1 AND 2"));
        }
        let high = self.number()?;
        let reversed = match (low.integer, high.integer) {
            (Some(low), Some(high)) => low > high,
            _ => low.value > high.value,
        };
        if reversed {
            return Err(self.wrong(at, "the first number of BETWEEN is greater than the second, so no run matches"));
        }
        self.clauses += 1;
        Ok(if not { NumberTest::NotBetween(low, high) } else { NumberTest::Between(low, high) })
    }

    fn number(&mut self) -> Result<Number> {
        let number = match self.peek().map(|token| token.kind) {
            Some(Kind::Number(text)) => Number::parse(text),
            Some(Kind::Word(word)) if word.eq_ignore_ascii_case("inf") => {
                Some(Number { value: f64::INFINITY, integer: None })
            }
            Some(Kind::Word(word)) if word.eq_ignore_ascii_case("nan") => {
                return Err(self.expected(self.by_dialect("a number; NaN is found by IS NAN", "a number")));
            }
            _ => None,
        };
        let number = number.ok_or_else(|| self.expected("a number without quotes, as 0.5, -1 or 1e-3"))?;
        self.at += 1;
        Ok(number)
    }

    pub(super) fn text_test(&mut self, kind: TextKind) -> Result<TextTest> {
        const FULL: &str =
            "=, !=, LIKE, NOT LIKE, ILIKE, NOT ILIKE, IN, NOT IN, =~, RLIKE, !~, NOT RLIKE or IS for a text";
        const FULL_WITHOUT_NULL: &str =
            "=, !=, LIKE, NOT LIKE, ILIKE, NOT ILIKE, IN, NOT IN, =~, RLIKE, !~ or NOT RLIKE for a text";
        let tests = match kind {
            TextKind::Keyed => self.by_dialect(FULL, "=, !=, LIKE, ILIKE or IS for a text"),
            TextKind::Listed => self.by_dialect(FULL_WITHOUT_NULL, "=, !=, LIKE, ILIKE, IN or NOT IN for a text"),
            TextKind::Plain => self.by_dialect(FULL_WITHOUT_NULL, "=, !=, LIKE or ILIKE for a text"),
        };
        let from = self.at;
        if kind == TextKind::Keyed && self.keyword("IS") {
            let not = self.keyword("NOT");
            return match self.keyword("NULL") {
                true => Ok(if not { TextTest::NotNull } else { TextTest::Null }),
                false => Err(self.expected("NULL or NOT NULL")),
            };
        }
        let not = self.keyword("NOT");
        if self.keyword("IN") {
            return self.list().map(if not { TextTest::NotIn } else { TextTest::In });
        }
        for (keyword, ignore_case) in [("LIKE", false), ("ILIKE", true)] {
            if self.keyword(keyword) {
                let like = Like::new(self.value()?, ignore_case);
                return Ok(if not { TextTest::NotLike(like) } else { TextTest::Like(like) });
            }
        }
        if self.keyword("RLIKE") {
            return self.regex().map(if not { TextTest::NotMatches } else { TextTest::Matches });
        }
        if not {
            if self.dialect == Dialect::Full {
                return Err(self.expected("IN, LIKE, ILIKE or RLIKE; or put NOT before the whole comparison"));
            }
            self.at = from;
            return Err(self.expected(tests));
        }
        let operator = match self.peek().map(|token| token.kind) {
            Some(Kind::Operator(operator)) => operator,
            Some(Kind::Word(word)) if word.eq_ignore_ascii_case("BETWEEN") && self.dialect == Dialect::Full => {
                return Err(self.expected("another test: BETWEEN compares numbers, and this is a text"));
            }
            _ => return Err(self.expected(tests)),
        };
        if !matches!(operator, "=" | "!=" | "=~" | "!~") {
            return Err(self.expected(tests));
        }
        self.at += 1;
        Ok(match operator {
            "=" => TextTest::Equal(self.value()?.to_owned()),
            "!=" => TextTest::NotEqual(self.value()?.to_owned()),
            "=~" => TextTest::Matches(self.regex()?),
            _ => TextTest::NotMatches(self.regex()?),
        })
    }

    fn value(&mut self) -> Result<&'a str> {
        match self.peek().map(|token| token.kind) {
            Some(Kind::Quoted('\'' | '"', text)) => {
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.expected("a text in quotes, as 'adam'")),
        }
    }

    fn list(&mut self) -> Result<Vec<String>> {
        if !self.punctuation('(') {
            return Err(self.expected("a list of texts, as ('a', 'b')"));
        }
        let mut list = Vec::new();
        loop {
            list.push(self.value()?.to_owned());
            if self.punctuation(')') {
                return Ok(list);
            }
            if !self.punctuation(',') {
                return Err(self.expected("',' or ')'"));
            }
            // One comma may follow the last, as in Python's tuples, of which clients make lists.
            if self.punctuation(')') {
                return Ok(list);
            }
        }
    }

    fn regex(&mut self) -> Result<Regex> {
        let at = self.peek().map_or(self.text.len(), |token| token.start);
        let pattern = self.value()?;
        RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build().map_err(
            |error| {
                self.wrong(
                    at,
                    format!("not a regular expression that is taken: {}", error.to_string().replace('\n', " ")),
                )
            },
        )
    }
}
