//! Filters, orders and columns of runs, in a dialect of theirs.

use crate::error::{Error, Result};
use crate::search::ast::{Clause, Expr};
use crate::search::dialect::{Dialect, RUNS, RunAttribute};
use crate::search::order::{OrderBy, OrderKey};
use crate::search::parser::{Field, Sorting, Test, Tree, parse_field, parse_sorting, parse_tree};
use crate::search::refusal::Parsed;

/// Parses a filter of the store's own language; `None` for the empty text, which keeps every run. O(length).
///
/// # Errors
/// [`Error::Invalid`] with the column, what stands there and what would be right.
pub fn parse_filter(text: &str) -> Result<Option<Expr>> {
    Ok(parse_filter_in(&RUNS, text)?)
}

/// Parses a filter of a dialect.
///
/// # Errors
/// As [`parse_tree`].
pub fn parse_filter_in(dialect: &Dialect<RunAttribute>, text: &str) -> Parsed<Option<Expr>> {
    Ok(parse_tree(dialect, text)?.and_then(expr))
}

/// Parses clauses of the store's own language, such as `metrics.loss DESC`, `` params.`my key` ``, `start_time`;
/// ascending unless they say DESC.
///
/// # Errors
/// [`Error::Invalid`] with the column in the clause. Naming one key twice is not an error: the first counts.
pub fn parse_order_by<S: AsRef<str>>(clauses: &[S]) -> Result<Vec<OrderBy>> {
    Ok(parse_order_by_in(&RUNS, clauses)?)
}

/// Parses clauses of a dialect.
///
/// # Errors
/// As [`parse_sorting`].
pub fn parse_order_by_in<S: AsRef<str>>(dialect: &Dialect<RunAttribute>, clauses: &[S]) -> Parsed<Vec<OrderBy>> {
    let order = |Sorting { field, descending }| Some(OrderBy { key: order_key(field)?, descending });
    Ok(parse_sorting(dialect, clauses)?.into_iter().filter_map(order).collect())
}

/// Parses a name alone, as a column of a table is given: `metrics.loss.min`, `` params.`my key` ``, `start_time`.
///
/// # Errors
/// [`Error::Invalid`] with the column in the text.
pub fn parse_name(text: &str) -> Result<OrderKey> {
    order_key(parse_field(&RUNS, text)?).ok_or_else(|| Error::invalid("column", "runs have many datasets"))
}

/// What orders; datasets do not, and the parser refuses them.
fn order_key(field: Field<RunAttribute>) -> Option<OrderKey> {
    Some(match field {
        Field::Metric(name) => OrderKey::Metric(name),
        Field::Param(key) => OrderKey::Param(key),
        Field::Tag(key) => OrderKey::Tag(key),
        Field::Attribute(RunAttribute::Time(attribute)) => OrderKey::Time(attribute),
        Field::Attribute(RunAttribute::Text(attribute)) => OrderKey::Text(attribute),
        Field::Dataset(_) => return None,
    })
}

/// An expression of comparisons; each name has the kind of test that its dialect gives it.
fn expr(tree: Tree<RunAttribute>) -> Option<Expr> {
    let all = |parts: Vec<Tree<RunAttribute>>| parts.into_iter().map(expr).collect::<Option<Vec<_>>>();
    Some(match tree {
        Tree::And(parts) => Expr::And(all(parts)?),
        Tree::Or(parts) => Expr::Or(all(parts)?),
        Tree::Not(part) => Expr::Not(Box::new(expr(*part)?)),
        Tree::Comparison(field, test) => Expr::Clause(match (field, test) {
            (Field::Metric(name), Test::Number(test)) => Clause::Metric(name, test),
            (Field::Attribute(RunAttribute::Time(attribute)), Test::Number(test)) => Clause::Time(attribute, test),
            (Field::Attribute(RunAttribute::Text(attribute)), Test::Text(test)) => Clause::Text(attribute, test),
            (Field::Param(key), Test::Text(test)) => Clause::Param(key, test),
            (Field::Tag(key), Test::Text(test)) => Clause::Tag(key, test),
            (Field::Dataset(field), Test::Text(test)) => Clause::Dataset(field, test),
            _ => return None,
        }),
    })
}
