//! Filters over small sets that stay in memory (experiments, registered models, versions): comparisons joined by AND.
//!
//! ```text
//! filter = "" | one { AND one } [AND]
//! one    = [entity "."] key ( operator value | [NOT] IN ('text', …) | IS [NOT] NULL )
//! ```
//! Which entities, keys and operators there are is for the caller to say, who turns each comparison into a test.

use crate::error::{Error, Result};
use crate::search::ast::{Comparison, Number, NumberTest, TextTest};
use crate::search::lexer::{Kind, Token, tokens, wrong};
use crate::search::like::Like;
use crate::search::order::ORDER_BY_MAX;
use crate::search::parser::{CLAUSES_MAX, FILTER_BYTES_MAX};

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`, `!=`, `<` …
    Is(Comparison),
    /// `LIKE`
    Like,
    /// `ILIKE`
    Ilike,
    /// `IN`
    In,
    /// `NOT IN`
    NotIn,
    /// `IS NULL`
    Null,
    /// `IS NOT NULL`
    NotNull,
}

impl std::fmt::Display for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Is(comparison) => comparison.as_str(),
            Self::Like => "LIKE",
            Self::Ilike => "ILIKE",
            Self::In => "IN",
            Self::NotIn => "NOT IN",
            Self::Null => "IS NULL",
            Self::NotNull => "IS NOT NULL",
        })
    }
}

/// Operators of texts that every key takes.
pub const TEXTS: [Operator; 4] =
    [Operator::Is(Comparison::Equal), Operator::Is(Comparison::NotEqual), Operator::Like, Operator::Ilike];

/// Words that are no values.
const KEYWORDS: [&str; 8] = ["AND", "OR", "NOT", "IN", "IS", "LIKE", "ILIKE", "NULL"];

/// What something is compared with.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    None,
    Text(String),
    Number(Number),
    List(Vec<String>),
    /// A word without quotes.
    Word,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What stands before the first dot.
    pub entity: Option<String>,
    /// What stands after it, without its quotes.
    pub key: String,
    /// The operator.
    pub operator: Operator,
    value: Value,
    /// What stands right of the operator, without quotes.
    right: String,
    filter: String,
    at: usize,
}

/// One clause of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sorting {
    /// What stands before the first dot.
    pub entity: Option<String>,
    /// What stands after it, without its quotes.
    pub key: String,
    /// Greatest first.
    pub descending: bool,
}

impl Condition {
    /// The error that this comparison is not taken.
    pub fn wrong(&self, why: impl std::fmt::Display) -> Error {
        wrong("filter", &self.filter, self.at, why)
    }

    /// The comparison as a test of a text, where its operator is among `allowed`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another operator, and for a value that is no text in quotes.
    pub fn text(&self, allowed: &[Operator]) -> Result<TextTest> {
        if !allowed.contains(&self.operator) {
            return Err(self.wrong(format!("{:?} does not take this operator", self.key)));
        }
        Ok(match (self.operator, &self.value) {
            (Operator::Is(Comparison::Equal), Value::Text(text)) => TextTest::Equal(text.clone()),
            (Operator::Is(Comparison::NotEqual), Value::Text(text)) => TextTest::NotEqual(text.clone()),
            (Operator::Like, Value::Text(text)) => TextTest::Like(Like::new(text, false)),
            (Operator::Ilike, Value::Text(text)) => TextTest::Like(Like::new(text, true)),
            (Operator::In, Value::List(list)) => TextTest::In(list.clone()),
            (Operator::NotIn, Value::List(list)) => TextTest::NotIn(list.clone()),
            (Operator::Null, _) => TextTest::Null,
            (Operator::NotNull, _) => TextTest::NotNull,
            _ => return Err(self.wrong(format!("{:?} is compared with a text in quotes", self.key))),
        })
    }

    /// The comparison as a test of a text, whatever stands right of the operator: words and numbers without quotes are
    /// texts too.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn loose_text(&self, allowed: &[Operator]) -> Result<TextTest> {
        match self.value {
            Value::Word | Value::Number(_) => {
                Self { value: Value::Text(self.right.clone()), ..self.clone() }.text(allowed)
            }
            _ => self.text(allowed),
        }
    }

    /// The comparison as a test of an integer; `quoted` tells whether one in quotes is taken too.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another operator, and for a value that is no integer.
    pub fn integer(&self, quoted: bool) -> Result<NumberTest> {
        let Operator::Is(comparison) = self.operator else {
            return Err(self.wrong(format!("{:?} is compared by =, !=, <, <=, > and >=", self.key)));
        };
        let number = match &self.value {
            Value::Number(number) => number.integer,
            Value::Text(text) if quoted => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(integer) => Ok(NumberTest::Is(comparison, Number { value: integer as f64, integer: Some(integer) })),
            None => Err(self.wrong(format!("{:?} is compared with an integer without quotes", self.key))),
        }
    }

    /// The comparison as a test of a number.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another operator, and for a value that is no number.
    pub fn number(&self) -> Result<NumberTest> {
        match (self.operator, &self.value) {
            (Operator::Is(comparison), Value::Number(number)) => Ok(NumberTest::Is(comparison, *number)),
            _ => Err(self.wrong(format!("{:?} is compared with a number by =, !=, <, <=, > and >=", self.key))),
        }
    }
}

impl TextTest {
    /// Whether a text passes, or its absence.
    #[must_use]
    pub fn passes_optional(&self, text: Option<&str>) -> bool {
        match text {
            Some(text) => self.passes(text),
            None => matches!(self, Self::Null),
        }
    }
}

impl NumberTest {
    /// Whether an integer passes.
    #[must_use]
    pub fn passes(&self, value: i64) -> bool {
        match self {
            Self::Is(comparison, number) => {
                let (low, high, outside) = number.integers(*comparison);
                (low..=high).contains(&value) != outside
            }
            Self::Between(low, high) | Self::NotBetween(low, high) => {
                let within = |comparison, number| Self::Is(comparison, number).passes(value);
                let between = within(Comparison::GreaterEqual, *low) && within(Comparison::LessEqual, *high);
                between == matches!(self, Self::Between(..))
            }
            Self::NotNull | Self::NotNan => true,
            Self::Null | Self::Nan => false,
        }
    }

    /// Whether a float passes; NaN satisfies `!=` only.
    #[must_use]
    pub fn passes_float(&self, value: f64) -> bool {
        match self {
            Self::Is(comparison, number) => match comparison {
                Comparison::Equal => value == number.value,
                Comparison::NotEqual => value != number.value,
                Comparison::Less => value < number.value,
                Comparison::LessEqual => value <= number.value,
                Comparison::Greater => value > number.value,
                Comparison::GreaterEqual => value >= number.value,
            },
            Self::Between(low, high) => low.value <= value && value <= high.value,
            Self::NotBetween(low, high) => value < low.value || value > high.value,
            Self::Nan => value.is_nan(),
            Self::NotNan => !value.is_nan(),
            Self::NotNull => true,
            Self::Null => false,
        }
    }
}

/// Parses a filter; the empty text has no condition.
///
/// # Errors
/// [`Error::Invalid`] with the column, what stands there and what would be right.
pub fn parse_conditions(text: &str) -> Result<Vec<Condition>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    check_len("filter", text)?;
    let tokens = tokens("filter", text)?;
    let mut parser = Parser { what: "filter", text, tokens: &tokens, at: 0 };
    let mut conditions = Vec::new();
    loop {
        if conditions.len() == CLAUSES_MAX {
            return Err(parser.expected(&format!("at most {CLAUSES_MAX} comparisons")));
        }
        conditions.push(parser.condition()?);
        if parser.at == tokens.len() {
            return Ok(conditions);
        }
        if !parser.keyword("AND") {
            return Err(parser.expected("AND or the end"));
        }
        if parser.at == tokens.len() {
            return Ok(conditions);
        }
    }
}

/// Parses clauses such as `name DESC`; ascending unless they say so.
///
/// # Errors
/// [`Error::Invalid`] with the column.
pub fn parse_sorting<S: AsRef<str>>(clauses: &[S]) -> Result<Vec<Sorting>> {
    if clauses.len() > ORDER_BY_MAX {
        let why = format!("{} clauses are more than the limit of {ORDER_BY_MAX}", clauses.len());
        return Err(Error::invalid("order_by", why));
    }
    let parse = |clause: &S| {
        let text = clause.as_ref();
        check_len("order_by", text)?;
        let tokens = tokens("order_by", text)?;
        let mut parser = Parser { what: "order_by", text, tokens: &tokens, at: 0 };
        let (entity, key) = parser.name()?;
        let descending = parser.keyword("DESC");
        if !descending {
            parser.keyword("ASC");
        }
        if parser.at < tokens.len() {
            return Err(parser.expected("ASC, DESC or the end"));
        }
        Ok(Sorting { entity, key, descending })
    };
    clauses.iter().map(parse).collect()
}

fn check_len(what: &'static str, text: &str) -> Result<()> {
    if text.len() <= FILTER_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid(what, format!("{} bytes are more than the limit of {FILTER_BYTES_MAX}", text.len())))
}

struct Parser<'t, 'a> {
    what: &'static str,
    text: &'a str,
    tokens: &'t [Token<'a>],
    at: usize,
}

impl<'a> Parser<'_, 'a> {
    fn expected(&self, wanted: &str) -> Error {
        match self.tokens.get(self.at) {
            Some(token) => {
                let why = format!("found {}, expected {wanted}", &self.text[token.start..token.end]);
                wrong(self.what, self.text, token.start, why)
            }
            None => wrong(self.what, self.text, self.text.len(), format!("the text ends, expected {wanted}")),
        }
    }

    fn peek(&self) -> Option<Kind<'a>> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Some(Kind::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    fn punctuation(&mut self, wanted: char) -> bool {
        let found = matches!(self.peek(), Some(Kind::Punctuation(found)) if found == wanted);
        self.at += usize::from(found);
        found
    }

    /// A name, of tokens that touch: split at its first dot outside of quotes.
    fn name(&mut self) -> Result<(Option<String>, String)> {
        const NAME: &str = "a name as name or tags.`my key`";
        let from = self.at;
        while let Some(token) = self.tokens.get(self.at)
            && matches!(token.kind, Kind::Word(_) | Kind::Quoted('`' | '"', _))
            && (self.at == from || self.tokens[self.at - 1].end == token.start)
        {
            self.at += 1;
        }
        let pieces: Vec<Kind<'_>> = self.tokens[from..self.at].iter().map(|token| token.kind).collect();
        let split = match pieces[..] {
            [Kind::Word(word)] => match word.split_once('.') {
                Some((entity, key)) => (Some(entity), key),
                None => (None, word),
            },
            [Kind::Quoted(_, key)] => (None, key),
            [Kind::Word(word), Kind::Quoted(_, key)] => match word.strip_suffix('.') {
                Some(entity) if !entity.contains('.') => (Some(entity), key),
                _ => (None, ""),
            },
            _ => (None, ""),
        };
        match split {
            (_, "") | (Some(""), _) => {
                self.at = from;
                Err(self.expected(NAME))
            }
            (entity, key) => Ok((entity.map(str::to_owned), key.to_owned())),
        }
    }

    fn condition(&mut self) -> Result<Condition> {
        let at = self.tokens.get(self.at).map_or(self.text.len(), |token| token.start);
        let (entity, key) = self.name()?;
        let (operator, value) = self.comparison()?;
        let right = match self.tokens.get(self.at.wrapping_sub(1)) {
            Some(Token { kind: Kind::Quoted(_, text), .. }) => text,
            Some(token) => &self.text[token.start..token.end],
            None => "",
        };
        Ok(Condition { entity, key, operator, value, right: right.to_owned(), filter: self.text.to_owned(), at })
    }

    fn comparison(&mut self) -> Result<(Operator, Value)> {
        // Every key takes `=`. Which others it takes, the caller knows, so no hint names them.
        const OPERATORS: &str = "an operator such as =";
        let from = self.at;
        if self.keyword("IS") {
            let not = self.keyword("NOT");
            if !self.keyword("NULL") {
                self.at = from;
                return Err(self.expected(OPERATORS));
            }
            return Ok((if not { Operator::NotNull } else { Operator::Null }, Value::None));
        }
        if self.keyword("NOT") {
            if !self.keyword("IN") {
                self.at = from;
                return Err(self.expected(OPERATORS));
            }
            return Ok((Operator::NotIn, self.list()?));
        }
        if self.keyword("IN") {
            return Ok((Operator::In, self.list()?));
        }
        let operator = if self.keyword("LIKE") {
            Operator::Like
        } else if self.keyword("ILIKE") {
            Operator::Ilike
        } else {
            let comparison = match self.peek() {
                Some(Kind::Operator(operator)) => Comparison::of(operator),
                _ => None,
            };
            let comparison = comparison.ok_or_else(|| self.expected(OPERATORS))?;
            self.at += 1;
            Operator::Is(comparison)
        };
        let value = match self.peek() {
            Some(Kind::Quoted('\'' | '"', text)) => Value::Text(text.to_owned()),
            Some(Kind::Number(text)) => Value::Number(Number::parse(text).ok_or_else(|| self.expected("a number"))?),
            Some(Kind::Word(word)) if !KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word)) => Value::Word,
            _ => return Err(self.expected("a text in quotes or a number")),
        };
        self.at += 1;
        Ok((operator, value))
    }

    fn list(&mut self) -> Result<Value> {
        if !self.punctuation('(') {
            return Err(self.expected("a list of texts, as ('a', 'b')"));
        }
        let mut list = Vec::new();
        loop {
            let Some(Kind::Quoted('\'' | '"', text)) = self.peek() else {
                return Err(self.expected("a text in quotes"));
            };
            list.push(text.to_owned());
            self.at += 1;
            if self.punctuation(')') {
                return Ok(Value::List(list));
            }
            if !self.punctuation(',') {
                return Err(self.expected("',' or ')'"));
            }
            // One comma may follow the last, as in Python's tuples, of which clients make lists.
            if self.punctuation(')') {
                return Ok(Value::List(list));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_every_form() {
        let text =
            "name LIKE 'a%' AND tags.`my key` IS NOT NULL and attribute.creation_time >= -5 AND x IN ('a',\"b\") AND";
        let conditions = parse_conditions(text).unwrap();
        assert_eq!(conditions.len(), 4);
        assert!(conditions[0].text(&TEXTS).unwrap().passes("abc"));
        assert_eq!((conditions[1].entity.as_deref(), conditions[1].key.as_str()), (Some("tags"), "my key"));
        assert!(!conditions[1].text(&[Operator::NotNull]).unwrap().passes_optional(None));
        assert!(conditions[2].integer(false).unwrap().passes(-5));
        assert!(conditions[3].text(&[Operator::In]).unwrap().passes("b"));
        assert!(conditions[3].text(&TEXTS).is_err());
        assert!(parse_conditions("").unwrap().is_empty());
        assert_eq!(parse_conditions("tags.a.b = 'x'").unwrap()[0].key, "a.b");
    }

    #[test]
    fn words_without_quotes_are_texts_only_where_they_may_be() {
        let condition = |text: &str| parse_conditions(text).unwrap().remove(0);
        for text in ["name = x", "name = 5"] {
            assert!(condition(text).text(&TEXTS).is_err());
        }
        assert!(condition("name = x").loose_text(&TEXTS).unwrap().passes("x"));
        assert!(condition("name = 1e3").loose_text(&TEXTS).unwrap().passes("1e3"));
        assert!(condition("name = 'x y' AND b = 1").loose_text(&TEXTS).unwrap().passes("x y"));
        assert!(condition("name < x").loose_text(&TEXTS).is_err());
    }

    #[test]
    fn one_comma_may_end_a_list() {
        assert!(parse_conditions("x IN ('a', 'b',)").unwrap()[0].text(&[Operator::In]).unwrap().passes("b"));
        assert!(parse_conditions("x IN ('a',,)").is_err() && parse_conditions("x IN (,)").is_err());
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in [
            " ",
            "name",
            "name =",
            "name = AND",
            "name = 'a' OR name = 'b'",
            "(name = 'a')",
            "name == 'a'",
            "name <> 'a'",
            "name IN ()",
            "name IN 'a'",
            "tags. = 'a'",
            ".x = 'a'",
            "NOT name = 'a'",
            "name = 'a' name = 'b'",
            "a`b` = 'x'",
            "name IS NULL 5",
            "AND",
            "name NOT LIKE 'a'",
        ] {
            assert!(parse_conditions(text).is_err(), "{text}");
        }
        assert!(parse_sorting(&["name DESC NULLS"]).is_err());
        assert!(parse_sorting(&[""]).is_err());
        let sorting = parse_sorting(&["attribute.name desc", "x"]).unwrap();
        assert!(sorting[0].descending && !sorting[1].descending);
        assert_eq!(sorting[0].entity.as_deref(), Some("attribute"));
    }

    #[test]
    fn integers_and_floats_are_told_apart() {
        let condition = |text: &str| parse_conditions(text).unwrap().remove(0);
        assert!(condition("a < 1.5").integer(true).is_err());
        assert!(condition("a < '7'").integer(false).is_err());
        assert!(condition("a < '7'").integer(true).unwrap().passes(6));
        assert!(condition("a != 0.5").number().unwrap().passes_float(f64::NAN));
        assert!(!condition("a > 0.5").number().unwrap().passes_float(f64::NAN));
    }
}
