//! Filter text to comparisons, in any dialect.
//!
//! ```text
//! filter  = "" | any
//! any     = all { OR all }          all  = one { AND one }
//! one     = NOT one | "(" any ")" | name test
//! name    = [entity "."] key        key  = word | `text` | "text" | `text`.statistic | "text".statistic
//! test    = compare value | [NOT] BETWEEN number AND number | IS [NOT] (NULL | NAN)
//!         | (=~ | !~ | [NOT] (LIKE | ILIKE | RLIKE)) 'text' | [NOT] IN ('text', …)
//! ```
//! Keywords take any case; entities, keys and values do not. Which names there are and which operators they take, a
//! [`Dialect`] says.

use crate::search::ast::{Aggregate, DatasetField, MetricName, NumberTest, TextTest};
use crate::search::dialect::{Attribute, Dialect, NameKind, Rules};
use crate::search::lexer::{Kind, Token, tokens, word};
use crate::search::refusal::{CLAUSES_MAX, DEPTH_MAX, ORDER_BY_MAX, Parsed, Reason, Refusal, Source};

/// What a name names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field<A> {
    /// An attribute.
    Attribute(A),
    /// A metric.
    Metric(MetricName),
    /// A param.
    Param(String),
    /// A tag.
    Tag(String),
    /// Something of a dataset.
    Dataset(DatasetField),
}

/// What is asked of it.
#[derive(Clone, Debug)]
pub enum Test {
    /// Of a number.
    Number(NumberTest),
    /// Of a text.
    Text(TextTest),
}

/// Comparisons joined by AND, OR and NOT.
#[derive(Clone, Debug)]
pub enum Tree<A> {
    /// All hold.
    And(Vec<Self>),
    /// At least one holds.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// One comparison.
    Comparison(Field<A>, Test),
}

/// One clause of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sorting<A> {
    /// What orders.
    pub field: Field<A>,
    /// Greatest first.
    pub descending: bool,
}

/// Parses a filter; `None` for the empty text, which keeps everything. O(length).
///
/// # Errors
/// The place, what stands there and what would be right. A text of white space only is refused.
pub fn parse_tree<A: Copy>(dialect: &Dialect<A>, text: &str) -> Parsed<Option<Tree<A>>> {
    if text.is_empty() {
        return Ok(None);
    }
    let tokens = tokens(Source::Filter, text)?;
    if tokens.is_empty() {
        return Err(Refusal::new(Source::Filter, text, 0, Reason::Blank));
    }
    let mut parser = Parser::new(Source::Filter, text, &tokens, dialect);
    let tree = parser.any(0)?;
    match parser.peek() {
        None => Ok(Some(tree)),
        Some(_) => Err(parser.expected(parser.joined("the end"))),
    }
}

/// Parses a filter of a dialect without nesting: all of its comparisons must hold.
///
/// # Errors
/// As [`parse_tree`].
pub fn parse_list<A: Copy>(dialect: &Dialect<A>, text: &str) -> Parsed<Vec<(Field<A>, Test)>> {
    debug_assert!(!dialect.nesting);
    let all = match parse_tree(dialect, text)? {
        None => Vec::new(),
        Some(Tree::And(all)) => all,
        Some(one) => vec![one],
    };
    let comparison = |tree| match tree {
        Tree::Comparison(field, test) => Some((field, test)),
        Tree::And(_) | Tree::Or(_) | Tree::Not(_) => None,
    };
    Ok(all.into_iter().filter_map(comparison).collect())
}

/// Parses clauses such as `metrics.loss DESC`; ascending unless they say DESC.
///
/// # Errors
/// The clause and the place in it. Naming one key twice is not an error here.
pub fn parse_sorting<A: Copy, S: AsRef<str>>(dialect: &Dialect<A>, clauses: &[S]) -> Parsed<Vec<Sorting<A>>> {
    if clauses.len() > ORDER_BY_MAX {
        return Err(Refusal::new(Source::OrderBy, "", 0, Reason::TooManyClauses(clauses.len())));
    }
    let parse = |clause: &S| {
        let text = clause.as_ref();
        let tokens = tokens(Source::OrderBy, text)?;
        let mut parser = Parser::new(Source::OrderBy, text, &tokens, dialect);
        let (field, _) = parser.field()?;
        let descending = parser.keyword("DESC");
        if !descending {
            parser.keyword("ASC");
        }
        match parser.peek() {
            None => Ok(Sorting { field, descending }),
            Some(_) => Err(parser.expected("ASC, DESC or the end; what lacks a value always comes last")),
        }
    };
    clauses.iter().map(parse).collect()
}

/// Parses a name alone, as a column of a table is given.
///
/// # Errors
/// The place, and what would be right.
pub fn parse_field<A: Copy>(dialect: &Dialect<A>, text: &str) -> Parsed<Field<A>> {
    let tokens = tokens(Source::Column, text)?;
    let mut parser = Parser::new(Source::Column, text, &tokens, dialect);
    let (field, _) = parser.field()?;
    match parser.peek() {
        None => Ok(field),
        Some(_) => Err(parser.expected("the end of the name")),
    }
}

pub(super) struct Parser<'t, 'a, A: 'static> {
    source: Source,
    pub(super) text: &'a str,
    tokens: &'t [Token<'a>],
    pub(super) at: usize,
    pub(super) comparisons: usize,
    pub(super) dialect: &'t Dialect<A>,
    /// Where the comparison that is read begins, in bytes.
    start: usize,
    /// The name whose comparison is read.
    name: Option<(NameKind, String)>,
}

/// The key of a name: whether it is in quotes, and what follows the quotes.
struct Key<'k> {
    quoted: bool,
    key: &'k str,
    suffix: Option<&'k str>,
}

impl<'t, 'a, A: Copy> Parser<'t, 'a, A> {
    fn new(source: Source, text: &'a str, tokens: &'t [Token<'a>], dialect: &'t Dialect<A>) -> Self {
        Self { source, text, tokens, at: 0, comparisons: 0, dialect, start: 0, name: None }
    }

    pub(super) fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at)
    }

    /// The text of the next token; nothing at the end.
    pub(super) fn found(&self) -> &'a str {
        self.peek().map_or("", |token| &self.text[token.start..token.end])
    }

    /// A refusal of what stands at a place.
    fn refuse(&self, at: usize, found: &str, reason: Reason) -> Box<Refusal> {
        let mut refusal = Refusal::new(self.source, self.text, at, reason);
        refusal.found = found.to_owned();
        refusal.name = self.name.clone();
        refusal.start = if self.name.is_some() { self.start } else { at };
        refusal
    }

    /// A refusal of the next token.
    pub(super) fn refuse_next(&self, reason: Reason) -> Box<Refusal> {
        let at = self.peek().map_or(self.text.len(), |token| token.start);
        self.refuse(at, self.found(), reason)
    }

    /// A refusal of the next token, which is not what is wanted.
    pub(super) fn expected(&self, wanted: impl Into<String>) -> Box<Refusal> {
        self.refuse_next(Reason::Expected(wanted.into()))
    }

    /// What may join comparisons, or end them.
    fn joined(&self, end: &str) -> String {
        if self.dialect.nesting { format!("AND, OR or {end}") } else { format!("AND or {end}") }
    }

    /// Takes the next token if it is this keyword.
    pub(super) fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is_keyword(keyword));
        self.at += usize::from(found);
        found
    }

    pub(super) fn punctuation(&mut self, wanted: char) -> bool {
        let found = matches!(self.peek(), Some(Token { kind: Kind::Punctuation(found), .. }) if *found == wanted);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self, depth: usize) -> Parsed<Tree<A>> {
        let mut parts = vec![self.all(depth)?];
        while self.dialect.nesting && self.keyword("OR") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tree::Or(parts) })
    }

    fn all(&mut self, depth: usize) -> Parsed<Tree<A>> {
        let mut parts = vec![self.one(depth)?];
        while self.keyword("AND") {
            if self.dialect.trailing_and && depth == 0 && self.peek().is_none() {
                break;
            }
            parts.push(self.one(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Tree::And(parts) })
    }

    fn one(&mut self, depth: usize) -> Parsed<Tree<A>> {
        let start = self.at;
        let not = self.dialect.nesting && self.keyword("NOT");
        let open = !not && self.dialect.nesting && self.punctuation('(');
        if (not || open) && depth == DEPTH_MAX {
            self.at = start;
            return Err(self.refuse_next(Reason::TooDeep));
        }
        if not {
            return Ok(Tree::Not(Box::new(self.one(depth + 1)?)));
        }
        if open {
            let tree = self.any(depth + 1)?;
            return if self.punctuation(')') { Ok(tree) } else { Err(self.expected("')', AND or OR")) };
        }
        self.comparisons += 1;
        if self.comparisons > CLAUSES_MAX {
            return Err(self.refuse_next(Reason::TooManyComparisons));
        }
        let (field, rules) = self.field()?;
        let test = self.test(rules)?;
        self.name = None;
        Ok(Tree::Comparison(field, test))
    }

    /// A name, of tokens that touch each other, and how it is compared.
    fn field(&mut self) -> Parsed<(Field<A>, Rules)> {
        let from = self.at;
        self.start = self.peek().map_or(self.text.len(), |token| token.start);
        if !["AND", "OR", "NOT"].iter().any(|keyword| self.peek().is_some_and(|token| token.is_keyword(keyword))) {
            while let Some(token) = self.peek()
                && matches!(token.kind, Kind::Word(_) | Kind::Quoted('`' | '"', _))
                && (self.at == from || self.tokens[self.at - 1].end == token.start)
            {
                self.at += 1;
            }
        }
        self.named(&self.tokens[from..self.at])
    }

    /// Names as examples.
    fn names(&self) -> String {
        let example = |entity| match entity {
            NameKind::Metric => Some("metrics.loss"),
            NameKind::Param => Some("params.`my key`"),
            NameKind::Tag => Some("tags.owner"),
            NameKind::Attribute | NameKind::Dataset => None,
        };
        let keys = self.dialect.keys.iter().filter_map(|keys| example(keys.entity));
        let mut names: Vec<&str> = keys.collect();
        names.extend(self.known().last());
        format!("a name as {}", alternatives(&names))
    }

    /// The names of attributes, of each the usual one.
    fn known(&self) -> impl Iterator<Item = &'static str> {
        self.dialect.attributes.iter().filter_map(|attribute| self.source.names_of(attribute).first().copied())
    }

    /// What the tokens of a name name. It is split at its first dot: the entity before it, the key after it; without a
    /// dot it is an attribute.
    fn named(&mut self, tokens: &[Token<'a>]) -> Parsed<(Field<A>, Rules)> {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return Err(self.refuse_next(Reason::Name(self.names())));
        };
        let (start, raw) = (first.start, &self.text[first.start..last.end]);
        let Some((entity, _)) = raw.split_once('.') else {
            let key = match tokens {
                [Token { kind: Kind::Word(key) | Kind::Quoted(_, key), .. }] => key,
                _ => raw,
            };
            return self.attribute(start, key);
        };
        let key_start = start + entity.len() + 1;
        let unquoted = entity.strip_prefix('`').and_then(|entity| entity.strip_suffix('`')).unwrap_or(entity);
        let Key { quoted, key, suffix } = self.key_after(tokens, key_start)?;
        let Some(keys) = self.dialect.keys.iter().find(|keys| keys.words.contains(&unquoted)) else {
            let words = self.dialect.keys.iter().filter_map(|keys| keys.words.first().copied());
            let quotes = entity.starts_with(['"', '`']);
            let hint = if quotes { "; quotes go around the key alone, as in tags.`my key`" } else { "" };
            let known = format!("{}{hint}", words.collect::<Vec<_>>().join(", "));
            return Err(self.refuse(start, unquoted, Reason::NameKind(known)));
        };
        if self.source != Source::Filter && !keys.ordered {
            return Err(self.refuse(start, unquoted, Reason::NotOrdered(keys.entity)));
        }
        if let Some(suffix) = suffix
            && !(self.dialect.statistics && keys.entity == NameKind::Metric)
        {
            let why = if self.dialect.statistics { "only metrics have statistics" } else { "a key is all in quotes" };
            return self.refuse_key(key_start, format!("{suffix:?} follows the key; {why}"));
        }
        self.name = Some((keys.entity, key.to_owned()));
        let field = match keys.entity {
            NameKind::Attribute => return self.attribute(key_start, key),
            NameKind::Metric => Field::Metric(match suffix {
                None if quoted || !self.dialect.statistics => MetricName::latest(key),
                None => MetricName::unquoted(key),
                Some(suffix) => match suffix.strip_prefix('.').and_then(Aggregate::named) {
                    Some(aggregate) => MetricName { key: key.to_owned(), aggregate, literal: None },
                    None => {
                        let names: Vec<_> = Aggregate::NAMES.iter().map(|(name, _)| *name).collect();
                        let why = format!("{suffix:?} is not a statistic; there are {}", names.join(", "));
                        return self.refuse_key(key_start, why);
                    }
                },
            }),
            NameKind::Param => Field::Param(key.to_owned()),
            NameKind::Tag => Field::Tag(key.to_owned()),
            NameKind::Dataset => match key {
                "name" => Field::Dataset(DatasetField::Name),
                "digest" => Field::Dataset(DatasetField::Digest),
                "context" => Field::Dataset(DatasetField::Context),
                _ => {
                    return self
                        .refuse_key(key_start, format!("datasets have no {key:?}, only name, digest and context"));
                }
            },
        };
        Ok((field, keys.rules))
    }

    /// The key of a name, which begins at `key_start`.
    fn key_after<'k>(&self, tokens: &'k [Token<'a>], key_start: usize) -> Parsed<Key<'k>>
    where
        'a: 'k,
    {
        // The key's tokens: the entity's own token may go on into the key.
        let mut pieces = tokens.iter().filter(|token| token.end > key_start).map(|token| match token.kind {
            Kind::Word(word) => (false, &word[key_start.saturating_sub(token.start)..]),
            Kind::Quoted(_, text) => (true, text),
            _ => (false, ""),
        });
        let (quoted, key, suffix) = match (pieces.next(), pieces.next(), pieces.next()) {
            (Some((quoted, key)), None, None) => (quoted, key, None),
            (Some((true, key)), Some((false, suffix)), None) => (true, key, Some(suffix)),
            (None, ..) => return self.refuse_key(key_start, "a key is missing after the dot".into()),
            _ => return self.refuse_key(key_start, "a key is either all in quotes or not at all".into()),
        };
        if key.is_empty() {
            return self.refuse_key(key_start, "a key must not be empty".into());
        }
        Ok(Key { quoted, key, suffix })
    }

    fn refuse_key<T>(&self, key_start: usize, why: String) -> Parsed<T> {
        Err(self.refuse(key_start, "", Reason::Key(why)))
    }

    fn attribute(&mut self, start: usize, key: &str) -> Parsed<(Field<A>, Rules)> {
        self.name = Some((NameKind::Attribute, key.to_owned()));
        let names = |attribute: &&Attribute<A>| self.source.names_of(attribute).contains(&key);
        if let Some(attribute) = self.dialect.attributes.iter().find(names) {
            return Ok((Field::Attribute(attribute.id), attribute.rules));
        }
        let hint = match self.dialect.hints.iter().find(|(name, _)| *name == key) {
            Some((_, hint)) => format!("; {hint}"),
            None => self.meant(key).map_or_else(String::new, |meant| format!("; did you mean {meant}?")),
        };
        let known = self.known().collect::<Vec<_>>().join(", ");
        let reason = Reason::Attribute(format!("{}; there are {known}{hint}", self.dialect.of));
        Err(self.refuse(start, key, reason))
    }

    /// What a name that is not an attribute may stand for, by what it is compared with.
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
            _ => token.is_keyword("BETWEEN") || token.is_keyword("NAN"),
        });
        let text = rest.iter().any(|token| matches!(token.kind, Kind::Quoted('\'' | '"', _)));
        let candidates = self.dialect.keys.iter().filter(|keys| match keys.entity {
            NameKind::Metric => number || !text,
            NameKind::Param | NameKind::Tag => !number,
            NameKind::Attribute | NameKind::Dataset => false,
        });
        let names: Vec<String> =
            candidates.filter_map(|keys| keys.words.first().map(|word| format!("{word}.{key}"))).collect();
        (!names.is_empty()).then(|| alternatives(&names))
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn alternatives<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
    }
}
