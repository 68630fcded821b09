//! Filter text to an expression: MLflow's language for runs, and OR, NOT, parentheses, IN, regular expressions and
//! statistics of metrics beyond it.
//!
//! ```text
//! filter  = "" | any [AND]
//! any     = all { OR all }          all  = one { AND one }
//! one     = NOT one | "(" any ")" | name test
//! name    = [entity "."] key        key  = word | `text` | "text" | `text`.statistic | "text".statistic
//! test    = compare number | IS [NOT] (NULL | NAN)                       of metrics and times
//!         | (= | != | LIKE | ILIKE | =~ | RLIKE | !~) 'text' | [NOT] IN ('text', …) | IS [NOT] NULL   of texts
//! ```
//! Keywords take any case; entities, keys and values do not.

use regex::{Regex, RegexBuilder};

use crate::error::{Error, Result};
use crate::search::ast::{
    Aggregate, Clause, Comparison, DatasetField, Expr, MetricName, Number, NumberTest, TextAttribute, TextTest,
    TimeAttribute,
};
use crate::search::lexer::{Kind, Token, tokens, wrong};
use crate::search::like::Like;

/// Longest filter, in bytes.
pub const FILTER_BYTES_MAX: usize = 10 << 10;
/// Most comparisons in a filter.
pub const CLAUSES_MAX: usize = 100;
/// Deepest nesting of parentheses and NOT.
pub const DEPTH_MAX: usize = 64;
/// Most memory that one compiled regular expression takes, in bytes; its cache of states is bounded by the same.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Parses a filter; `None` for the empty text, which keeps every run. O(length).
///
/// # Errors
/// [`Error::Invalid`] with the column, what stands there and what would be right. A text of white space only is refused,
/// as in MLflow.
pub fn parse_filter(text: &str) -> Result<Option<Expr>> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > FILTER_BYTES_MAX {
        return Err(Error::invalid(
            "filter",
            format!("{} bytes are more than the limit of {FILTER_BYTES_MAX}", text.len()),
        ));
    }
    let tokens = tokens("filter", text)?;
    if tokens.is_empty() {
        return Err(Error::invalid(
            "filter",
            "there is nothing but white space; leave the filter empty to keep every run",
        ));
    }
    let mut parser = Parser { what: "filter", text, tokens: &tokens, at: 0, clauses: 0 };
    let expr = parser.any(0)?;
    match parser.peek() {
        None => Ok(Some(expr)),
        Some(_) => Err(parser.expected("AND, OR or the end")),
    }
}

/// What a name names.
pub(crate) enum Subject {
    Metric(MetricName),
    Param(String),
    Tag(String),
    Time(TimeAttribute),
    Text(TextAttribute),
    Dataset(DatasetField),
}

pub(crate) struct Parser<'t, 'a> {
    /// `filter` or `order_by`.
    pub(crate) what: &'static str,
    pub(crate) text: &'a str,
    pub(crate) tokens: &'t [Token<'a>],
    pub(crate) at: usize,
    pub(crate) clauses: usize,
}

impl<'t, 'a> Parser<'t, 'a> {
    pub(crate) fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at)
    }

    fn wrong(&self, at: usize, why: impl std::fmt::Display) -> Error {
        wrong(self.what, self.text, at, why)
    }

    /// The error that the next token is not `wanted`.
    pub(crate) fn expected(&self, wanted: &str) -> Error {
        match self.peek() {
            Some(token) => {
                self.wrong(token.start, format!("found {}, expected {wanted}", &self.text[token.start..token.end]))
            }
            None => self.wrong(self.text.len(), format!("the text ends, expected {wanted}")),
        }
    }

    /// Takes the next token if it is this keyword.
    pub(crate) fn keyword(&mut self, keyword: &str) -> bool {
        let found =
            matches!(self.peek(), Some(Token { kind: Kind::Word(word), .. }) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    fn punctuation(&mut self, wanted: char) -> bool {
        let found = matches!(self.peek(), Some(Token { kind: Kind::Punctuation(found), .. }) if *found == wanted);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self, depth: usize) -> Result<Expr> {
        let mut parts = vec![self.all(depth)?];
        while self.keyword("OR") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Or(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Expr> {
        let mut parts = vec![self.one(depth)?];
        // MLflow accepts an AND at the very end, and clients that join clauses rely on it.
        while self.keyword("AND") && !(depth == 0 && self.peek().is_none()) {
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) })
    }

    fn one(&mut self, depth: usize) -> Result<Expr> {
        let deeper = || {
            if depth < DEPTH_MAX {
                Ok(depth + 1)
            } else {
                Err(self.expected(&format!("at most {DEPTH_MAX} nested parentheses and NOTs")))
            }
        };
        let deeper = deeper();
        if self.keyword("NOT") {
            return Ok(Expr::Not(Box::new(self.one(deeper?)?)));
        }
        if self.punctuation('(') {
            let expr = self.any(deeper?)?;
            return if self.punctuation(')') { Ok(expr) } else { Err(self.expected("')', AND or OR")) };
        }
        self.clauses += 1;
        if self.clauses > CLAUSES_MAX {
            return Err(self.expected(&format!("at most {CLAUSES_MAX} comparisons; IN takes a list of any length")));
        }
        Ok(Expr::Clause(match self.subject(true)? {
            Subject::Metric(name) => Clause::Metric(name, self.number_test(true)?),
            Subject::Time(attribute) => Clause::Time(attribute, self.number_test(false)?),
            Subject::Param(key) => Clause::Param(key, self.text_test(true)?),
            Subject::Tag(key) => Clause::Tag(key, self.text_test(true)?),
            Subject::Text(attribute) => Clause::Text(attribute, self.text_test(false)?),
            Subject::Dataset(field) => Clause::Dataset(field, self.text_test(false)?),
        }))
    }

    /// A name, of tokens that touch each other; aliases that MLflow filters but does not order by depend on `aliases`.
    pub(crate) fn subject(&mut self, aliases: bool) -> Result<Subject> {
        const NAME: &str = "a name as metrics.loss, params.`my key`, tags.owner or start_time";
        let from = self.at;
        if matches!(self.peek(), Some(Token { kind: Kind::Word(word), .. }) if word.eq_ignore_ascii_case("AND") || word.eq_ignore_ascii_case("OR"))
        {
            return Err(self.expected(NAME));
        }
        while let Some(token) = self.peek()
            && matches!(token.kind, Kind::Word(_) | Kind::Quoted('`' | '"', _))
            && (self.at == from || self.tokens[self.at - 1].end == token.start)
        {
            self.at += 1;
        }
        let tokens = &self.tokens[from..self.at];
        let [first, .., last] = tokens else {
            return match tokens {
                [only] => self.named(only.start, only.end, tokens, aliases),
                _ => Err(self.expected(NAME)),
            };
        };
        self.named(first.start, last.end, tokens, aliases)
    }

    /// MLflow splits a name at its first dot: the entity before it, the key after it; without a dot it is an attribute.
    fn named(&self, start: usize, end: usize, tokens: &[Token<'a>], aliases: bool) -> Result<Subject> {
        let raw = &self.text[start..end];
        let Some((entity, _)) = raw.split_once('.') else {
            let key = match tokens {
                [Token { kind: Kind::Word(key) | Kind::Quoted(_, key), .. }] => key,
                _ => raw,
            };
            return self.attribute(start, key, aliases);
        };
        let key_start = start + entity.len() + 1;
        let unquoted = entity.strip_prefix('`').and_then(|entity| entity.strip_suffix('`')).unwrap_or(entity);
        // The key's tokens: the entity's own token may go on into the key.
        let mut pieces = tokens.iter().filter(|token| token.end > key_start).map(|token| match token.kind {
            Kind::Word(word) => (None, &word[key_start.saturating_sub(token.start)..]),
            Kind::Quoted(quote, text) => (Some(quote), text),
            _ => (None, ""),
        });
        let (key, suffix) = match (pieces.next(), pieces.next(), pieces.next()) {
            (Some((None, word)), None, None) => (Key::Plain(word), None),
            (Some((Some(_), text)), None, None) => (Key::Quoted(text), None),
            (Some((Some(_), text)), Some((None, suffix)), None) => (Key::Quoted(text), Some(suffix)),
            (None, ..) => return Err(self.wrong(key_start, "a key is missing after the dot")),
            _ => return Err(self.wrong(key_start, "a key is either all in quotes or not at all")),
        };
        let (Key::Plain(text) | Key::Quoted(text)) = key;
        if text.is_empty() {
            return Err(self.wrong(key_start, "a key must not be empty"));
        }
        if unquoted == "metric" || unquoted == "metrics" {
            return self.metric(key_start, key, suffix).map(Subject::Metric);
        }
        if let Some(suffix) = suffix {
            return Err(self.wrong(key_start, format!("{suffix:?} follows the key; only metrics have statistics")));
        }
        match unquoted {
            "param" | "params" | "parameter" | "parameters" => Ok(Subject::Param(text.to_owned())),
            "tag" | "tags" => Ok(Subject::Tag(text.to_owned())),
            "attr" | "attribute" | "attributes" | "run" => self.attribute(key_start, text, aliases),
            "dataset" | "datasets" if !aliases => {
                Err(self.wrong(start, "runs are not ordered by their datasets, of which they have many"))
            }
            "dataset" | "datasets" => match text {
                "name" => Ok(Subject::Dataset(DatasetField::Name)),
                "digest" => Ok(Subject::Dataset(DatasetField::Digest)),
                "context" => Ok(Subject::Dataset(DatasetField::Context)),
                _ => Err(self.wrong(key_start, format!("datasets have no {text:?}, only name, digest and context"))),
            },
            _ => {
                let hint = if entity.starts_with(['"', '`']) {
                    "; quotes go around the key alone, as in metrics.`my key`"
                } else {
                    ""
                };
                Err(self
                    .wrong(start, format!("{unquoted:?} is none of metrics, params, tags, attributes, datasets{hint}")))
            }
        }
    }

    fn metric(&self, start: usize, key: Key<'_>, suffix: Option<&str>) -> Result<MetricName> {
        let plain = |key: &str| MetricName { key: key.to_owned(), aggregate: Aggregate::Latest, literal: None };
        match (key, suffix) {
            (Key::Quoted(key), None) => Ok(plain(key)),
            (Key::Quoted(key), Some(suffix)) => match suffix.strip_prefix('.').and_then(Aggregate::named) {
                Some(aggregate) => Ok(MetricName { key: key.to_owned(), aggregate, literal: None }),
                None => {
                    let names: Vec<_> = Aggregate::NAMES.iter().map(|(name, _)| *name).collect();
                    Err(self.wrong(start, format!("{suffix:?} is no statistic; there are {}", names.join(", "))))
                }
            },
            (Key::Plain(text), _) => {
                match text.rsplit_once('.').and_then(|(key, name)| Some((key, Aggregate::named(name)?))) {
                    Some((key, aggregate)) if !key.is_empty() => {
                        Ok(MetricName { key: key.to_owned(), aggregate, literal: Some(text.to_owned()) })
                    }
                    _ => Ok(plain(text)),
                }
            }
        }
    }

    fn attribute(&self, start: usize, key: &str, aliases: bool) -> Result<Subject> {
        Ok(match key {
            "start_time" | "created" | "Created" => Subject::Time(TimeAttribute::Start),
            "end_time" => Subject::Time(TimeAttribute::End),
            "run_id" => Subject::Text(TextAttribute::RunId),
            "run_name" => Subject::Text(TextAttribute::RunName),
            "run name" | "Run name" | "Run Name" if aliases => Subject::Text(TextAttribute::RunName),
            "status" => Subject::Text(TextAttribute::Status),
            "artifact_uri" => Subject::Text(TextAttribute::ArtifactUri),
            "user_id" => Subject::Text(TextAttribute::UserId),
            _ => {
                let hint = match key {
                    "experiment_id" => "; give the experiments beside the filter",
                    "lifecycle_stage" => "; give the view (active, deleted, all) beside the filter",
                    _ => "",
                };
                let known = "run_id, run_name, status, artifact_uri, user_id, start_time, end_time";
                return Err(self.wrong(start, format!("{key:?} is no attribute of runs; there are {known}{hint}")));
            }
        })
    }

    fn number_test(&mut self, metric: bool) -> Result<NumberTest> {
        if self.keyword("IS") {
            let not = self.keyword("NOT");
            return match (self.keyword("NULL"), metric && self.keyword("NAN")) {
                (true, _) => Ok(if not { NumberTest::NotNull } else { NumberTest::Null }),
                (_, true) => Ok(if not { NumberTest::NotNan } else { NumberTest::Nan }),
                _ => Err(self.expected(if metric { "NULL, NOT NULL, NAN or NOT NAN" } else { "NULL or NOT NULL" })),
            };
        }
        let comparison = match self.peek().map(|token| token.kind) {
            Some(Kind::Operator(operator)) => Comparison::of(operator),
            _ => None,
        };
        let comparison = comparison.ok_or_else(|| self.expected("=, !=, <, <=, >, >= or IS for a number"))?;
        self.at += 1;
        let value = match self.peek().map(|token| token.kind) {
            Some(Kind::Number(text)) => Number::parse(text),
            Some(Kind::Word(word)) if word.eq_ignore_ascii_case("inf") => {
                Some(Number { value: f64::INFINITY, integer: None })
            }
            Some(Kind::Word(word)) if word.eq_ignore_ascii_case("nan") => {
                return Err(self.expected("a number; NaN is found by IS NAN"));
            }
            _ => None,
        };
        let value = value.ok_or_else(|| self.expected("a number without quotes, as 0.5, -1 or 1e-3"))?;
        self.at += 1;
        Ok(NumberTest::Is(comparison, value))
    }

    fn text_test(&mut self, nullable: bool) -> Result<TextTest> {
        const TESTS: &str = "=, !=, LIKE, ILIKE, IN, NOT IN, =~, !~ or RLIKE for a text";
        if nullable && self.keyword("IS") {
            let not = self.keyword("NOT");
            return match self.keyword("NULL") {
                true => Ok(if not { TextTest::NotNull } else { TextTest::Null }),
                false => Err(self.expected("NULL or NOT NULL")),
            };
        }
        if self.keyword("IN") {
            return self.list().map(TextTest::In);
        }
        if self.keyword("NOT") {
            return if self.keyword("IN") {
                self.list().map(TextTest::NotIn)
            } else {
                Err(self.expected("IN; or put NOT before the whole comparison"))
            };
        }
        if self.keyword("LIKE") {
            return Ok(TextTest::Like(Like::new(self.value()?, false)));
        }
        if self.keyword("ILIKE") {
            return Ok(TextTest::Like(Like::new(self.value()?, true)));
        }
        if self.keyword("RLIKE") {
            return self.regex().map(TextTest::Matches);
        }
        let Some(Kind::Operator(operator)) = self.peek().map(|token| token.kind) else {
            return Err(self.expected(if nullable {
                "=, !=, LIKE, ILIKE, IN, NOT IN, =~, !~, RLIKE or IS for a text"
            } else {
                TESTS
            }));
        };
        if !matches!(operator, "=" | "!=" | "=~" | "!~") {
            return Err(self.expected(TESTS));
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

#[derive(Clone, Copy)]
enum Key<'a> {
    Plain(&'a str),
    Quoted(&'a str),
}
