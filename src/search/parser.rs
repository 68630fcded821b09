//! Filter text to an expression: MLflow's language for runs, and OR, NOT, parentheses, IN, regular expressions and
//! statistics of metrics beyond it.
//!
//! ```text
//! filter  = "" | any [AND]
//! any     = all { OR all }          all  = one { AND one }
//! one     = NOT one | "(" any ")" | name test
//! name    = [entity "."] key        key  = word | `text` | "text" | `text`.statistic | "text".statistic
//! test    = compare number | [NOT] BETWEEN number AND number | IS [NOT] (NULL | NAN)        of metrics and times
//!         | (= | != | =~ | !~ | [NOT] (LIKE | ILIKE | RLIKE)) 'text' | [NOT] IN ('text', …) | IS [NOT] NULL   of texts
//! ```
//! Keywords take any case; entities, keys and values do not.

use crate::error::{Error, Result};
use crate::search::ast::{Aggregate, Clause, DatasetField, Expr, MetricName, TextAttribute, TimeAttribute};
use crate::search::comparison::TextKind;
use crate::search::lexer::{Kind, Token, tokens, word, wrong};

/// Longest filter, in bytes.
pub const FILTER_BYTES_MAX: usize = 10 << 10;
/// Most comparisons in a filter.
pub const CLAUSES_MAX: usize = 100;
/// Deepest nesting of parentheses and NOT.
pub const DEPTH_MAX: usize = 64;
/// Whose language the caller of a filter may use. The grammar is one; errors advise only what the dialect takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// All of it.
    #[default]
    Full,
    /// What MLflow takes; the facade refuses the rest after parsing.
    Mlflow,
}

/// Parses a filter; `None` for the empty text, which keeps every run. O(length).
///
/// # Errors
/// [`Error::Invalid`] with the column, what stands there and what would be right. A text of white space only is
/// refused, as in MLflow.
pub fn parse_filter(text: &str) -> Result<Option<Expr>> {
    parse_filter_in(Dialect::Full, text)
}

/// The same, with errors that advise only what `dialect` takes.
///
/// # Errors
/// As [`parse_filter`].
pub fn parse_filter_in(dialect: Dialect, text: &str) -> Result<Option<Expr>> {
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
    let mut parser = Parser { what: "filter", text, tokens: &tokens, at: 0, clauses: 0, dialect };
    let expr = parser.any(0)?;
    match parser.peek() {
        None => Ok(Some(expr)),
        Some(_) => Err(parser.expected(parser.by_dialect("AND, OR or the end", "AND or the end"))),
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
    pub(crate) dialect: Dialect,
}

impl<'t, 'a> Parser<'t, 'a> {
    pub(crate) fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at)
    }

    /// What a hint says to those who may use everything, and to MLflow's clients.
    pub(super) fn by_dialect(&self, full: &'static str, mlflow: &'static str) -> &'static str {
        match self.dialect {
            Dialect::Full => full,
            Dialect::Mlflow => mlflow,
        }
    }

    pub(super) fn wrong(&self, at: usize, why: impl std::fmt::Display) -> Error {
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

    pub(super) fn punctuation(&mut self, wanted: char) -> bool {
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
            return if self.punctuation(')') {
                Ok(expr)
            } else {
                Err(self.expected(self.by_dialect("')', AND or OR", "')'")))
            };
        }
        self.clauses += 1;
        if self.clauses > CLAUSES_MAX {
            let list = self.by_dialect("; IN takes a list of any length", "");
            return Err(self.expected(&format!("at most {CLAUSES_MAX} comparisons{list}")));
        }
        Ok(Expr::Clause(match self.subject(true)? {
            Subject::Metric(name) => Clause::Metric(name, self.number_test(true)?),
            Subject::Time(attribute) => Clause::Time(attribute, self.number_test(false)?),
            Subject::Param(key) => Clause::Param(key, self.text_test(TextKind::Keyed)?),
            Subject::Tag(key) => Clause::Tag(key, self.text_test(TextKind::Keyed)?),
            Subject::Text(attribute @ TextAttribute::RunId) => {
                Clause::Text(attribute, self.text_test(TextKind::Listed)?)
            }
            Subject::Text(attribute) => Clause::Text(attribute, self.text_test(TextKind::Plain)?),
            Subject::Dataset(field) => Clause::Dataset(field, self.text_test(TextKind::Listed)?),
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
            let why = self.by_dialect("; only metrics have statistics", "");
            return Err(self.wrong(key_start, format!("{suffix:?} follows the key{why}")));
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
        match (key, suffix) {
            (Key::Quoted(key), None) => Ok(MetricName::latest(key)),
            (Key::Quoted(key), Some(suffix)) => match suffix.strip_prefix('.').and_then(Aggregate::named) {
                Some(aggregate) => Ok(MetricName { key: key.to_owned(), aggregate, literal: None }),
                None if self.dialect == Dialect::Mlflow => Err(self
                    .wrong(start, format!("{suffix:?} follows the key; a key is either all in quotes or not at all"))),
                None => {
                    let names: Vec<_> = Aggregate::NAMES.iter().map(|(name, _)| *name).collect();
                    Err(self.wrong(start, format!("{suffix:?} is no statistic; there are {}", names.join(", "))))
                }
            },
            (Key::Plain(text), _) => Ok(MetricName::unquoted(text)),
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
                let known = "run_id, run_name, status, artifact_uri, user_id, start_time, end_time";
                let hint = match key {
                    "experiment_id" => "; give the experiments beside the filter".to_owned(),
                    "lifecycle_stage" => "; give the view (active, deleted, all) beside the filter".to_owned(),
                    _ => self.meant(key).map_or_else(String::new, |meant| format!("; did you mean {meant}?")),
                };
                return Err(self.wrong(start, format!("{key:?} is no attribute of runs; there are {known}{hint}")));
            }
        })
    }

    /// What a name that is no attribute may stand for, by what it is compared with.
    fn meant(&self, key: &str) -> Option<String> {
        let key = match key {
            key if key.chars().all(|c| word(c) && c != '.') => key.to_owned(),
            key if !key.contains('`') => format!("`{key}`"),
            _ => return None,
        };
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        let number = rest.iter().take(3).any(|token| match token.kind {
            Kind::Number(_) => true,
            Kind::Operator(operator) => operator.starts_with(['<', '>']),
            Kind::Word(word) => word.eq_ignore_ascii_case("BETWEEN") || word.eq_ignore_ascii_case("NAN"),
            _ => false,
        });
        Some(if number {
            format!("metrics.{key}")
        } else if rest.iter().any(|token| matches!(token.kind, Kind::Quoted('\'' | '"', _))) {
            format!("params.{key} or tags.{key}")
        } else {
            format!("metrics.{key}, params.{key} or tags.{key}")
        })
    }
}

#[derive(Clone, Copy)]
enum Key<'a> {
    Plain(&'a str),
    Quoted(&'a str),
}
