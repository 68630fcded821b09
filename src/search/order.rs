//! Order-by clauses: a name as in filters, then ASC or DESC.

use crate::error::{Error, Result};
use crate::search::ast::{MetricName, TextAttribute, TimeAttribute};
use crate::search::lexer::tokens;
use crate::search::parser::{Dialect, FILTER_BYTES_MAX, Parser, Subject};

/// Most clauses in one query.
pub const ORDER_BY_MAX: usize = 100;

/// What orders runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderKey {
    /// A metric: numbers, then NaN, then runs without it, in both directions.
    Metric(MetricName),
    /// A time; runs without it last in both directions.
    Time(TimeAttribute),
    /// A param by the bytes of its text; runs without it last in both directions.
    Param(String),
    /// A tag, likewise.
    Tag(String),
    /// A word of the run, by its bytes.
    Text(TextAttribute),
}

/// One clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// What orders.
    pub key: OrderKey,
    /// Greatest first.
    pub descending: bool,
}

/// Parses clauses such as `metrics.loss DESC`, `` params.`my key` ``, `start_time`; ascending unless it says DESC.
///
/// # Errors
/// [`Error::Invalid`] with the clause's column. Naming one key twice is no error (MLflow answers 500): the first
/// counts.
pub fn parse_order_by<S: AsRef<str>>(clauses: &[S]) -> Result<Vec<OrderBy>> {
    parse_order_by_in(Dialect::Full, clauses)
}

/// The same, with errors that advise only what `dialect` takes.
///
/// # Errors
/// As [`parse_order_by`].
pub fn parse_order_by_in<S: AsRef<str>>(dialect: Dialect, clauses: &[S]) -> Result<Vec<OrderBy>> {
    if clauses.len() > ORDER_BY_MAX {
        return Err(Error::invalid(
            "order_by",
            format!("{} clauses are more than the limit of {ORDER_BY_MAX}", clauses.len()),
        ));
    }
    clauses.iter().map(|clause| parse(dialect, clause.as_ref())).collect()
}

/// Parses a name alone, as a column of a table is given: `metrics.loss.min`, `` params.`my key` ``, `start_time`.
///
/// # Errors
/// [`Error::Invalid`] with the column in the text.
pub fn parse_name(text: &str) -> Result<OrderKey> {
    let tokens = tokens("column", text)?;
    let mut parser = Parser { what: "column", text, tokens: &tokens, at: 0, clauses: 0, dialect: Dialect::Full };
    let key = order_key(&mut parser)?;
    match parser.peek() {
        None => Ok(key),
        Some(_) => Err(parser.expected("the end of the name")),
    }
}

fn order_key(parser: &mut Parser<'_, '_>) -> Result<OrderKey> {
    Ok(match parser.subject(false)? {
        Subject::Metric(name) => OrderKey::Metric(name),
        Subject::Time(attribute) => OrderKey::Time(attribute),
        Subject::Param(key) => OrderKey::Param(key),
        Subject::Tag(key) => OrderKey::Tag(key),
        Subject::Text(attribute) => OrderKey::Text(attribute),
        Subject::Dataset(_) => return Err(parser.expected("a metric, param, tag or attribute")),
    })
}

fn parse(dialect: Dialect, text: &str) -> Result<OrderBy> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(Error::invalid(
            "order_by",
            format!("{} bytes are more than the limit of {FILTER_BYTES_MAX}", text.len()),
        ));
    }
    let tokens = tokens("order_by", text)?;
    let mut parser = Parser { what: "order_by", text, tokens: &tokens, at: 0, clauses: 0, dialect };
    let key = order_key(&mut parser)?;
    let descending = parser.keyword("DESC");
    if !descending {
        parser.keyword("ASC");
    }
    match parser.peek() {
        None => Ok(OrderBy { key, descending }),
        Some(_) => Err(parser.expected("ASC, DESC or the end; runs without a value always come last")),
    }
}

/// The whole order: the clauses, then the latest start first, then the run id, which no two runs share.
pub(crate) fn complete(clauses: &[OrderBy]) -> Vec<OrderBy> {
    let mut order: Vec<OrderBy> = Vec::new();
    let last = [
        OrderBy { key: OrderKey::Time(TimeAttribute::Start), descending: true },
        OrderBy { key: OrderKey::Text(TextAttribute::RunId), descending: false },
    ];
    for clause in clauses.iter().chain(&last) {
        if !order.iter().any(|before| before.key == clause.key) {
            order.push(clause.clone());
        }
    }
    order
}
