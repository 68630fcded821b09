//! Orders of runs.

use crate::search::ast::{MetricName, TextAttribute, TimeAttribute};

/// Orders of runs.
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
    /// A text attribute of the run, by its bytes.
    Text(TextAttribute),
}

/// One clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// The key.
    pub key: OrderKey,
    /// Greatest first.
    pub descending: bool,
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
