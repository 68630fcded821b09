//! Filters of runs as MLflow takes them: our language is larger, and what MLflow refuses is refused here.

use crate::search::ast::{Aggregate, Clause, Expr, MetricName, NumberTest, TextAttribute, TextTest};
use crate::search::execute::Query;
use crate::search::lexer::{Kind, tokens};
use crate::search::order::OrderKey;
use crate::tracking::error::{Fault, Result};
use crate::tracking::words::{Language, tell};

/// The query of a filter and an order.
pub(super) fn runs(filter: &str, order_by: &[String], extended: bool) -> Result<Query> {
    parsed(filter, order_by, extended).map_err(|fault| tell(Language::Runs, filter, order_by, fault))
}

fn parsed(filter: &str, order_by: &[String], extended: bool) -> Result<Query> {
    let mut query = Query::parse(filter, order_by)?;
    if extended {
        return Ok(query);
    }
    if parenthesis(filter)? {
        return Err(refused(filter, "parentheses"));
    }
    if infinity(filter)? {
        return Err(refused(filter, "infinities"));
    }
    if let Some(expr) = &mut query.filter {
        match expr {
            Expr::And(parts) => parts.iter_mut().try_for_each(|part| only_clause(filter, part))?,
            expr => only_clause(filter, expr)?,
        }
    }
    for (at, order) in query.order_by.iter_mut().enumerate() {
        if let OrderKey::Metric(name) = &mut order.key {
            literal(filter, name)?;
        }
        if let OrderKey::Metric(MetricName { aggregate, .. }) = &order.key
            && *aggregate != Aggregate::Latest
        {
            let why =
                format!("invalid order_by: {}: statistics of metrics are not part of MLflow's language", order_by[at]);
            return Err(Fault::invalid(why));
        }
    }
    Ok(query)
}

fn refused(text: &str, what: &str) -> Fault {
    Fault::invalid(format!("invalid filter: {text}: {what} are not part of MLflow's language"))
}

/// Whether there is a parenthesis that begins no list.
fn parenthesis(filter: &str) -> Result<bool> {
    let tokens = tokens("filter", filter)?;
    let is_in = |at: usize| matches!(tokens[at].kind, Kind::Word(word) if word.eq_ignore_ascii_case("IN"));
    let opens = |at: &usize| tokens[*at].kind == Kind::Punctuation('(');
    Ok((0..tokens.len()).filter(opens).any(|at| at == 0 || !is_in(at - 1)))
}

/// Whether a number is the word for infinity. Digits that are too great for a float are infinite too, as they are to MLflow.
fn infinity(filter: &str) -> Result<bool> {
    let is_word = |kind: &Kind<'_>| matches!(kind, Kind::Word(word) | Kind::Number(word) if word.trim_start_matches('-').eq_ignore_ascii_case("inf"));
    let tokens = tokens("filter", filter)?;
    Ok(tokens.windows(2).any(|pair| matches!(pair[0].kind, Kind::Operator(_)) && is_word(&pair[1].kind)))
}

fn only_clause(filter: &str, expr: &mut Expr) -> Result<()> {
    let refuse = |what| Err(refused(filter, what));
    match expr {
        Expr::Clause(Clause::Metric(name, test)) => {
            literal(filter, name)?;
            number(filter, test)
        }
        Expr::Clause(Clause::Time(_, test)) => number(filter, test),
        Expr::Clause(Clause::Param(_, test) | Clause::Tag(_, test)) => match test {
            TextTest::In(_) | TextTest::NotIn(_) => refuse("lists of params and tags"),
            test => text(filter, test),
        },
        Expr::Clause(Clause::Text(attribute, test)) => match test {
            TextTest::In(_) | TextTest::NotIn(_) if *attribute != TextAttribute::RunId => {
                refuse("lists of other attributes than run_id")
            }
            TextTest::Null | TextTest::NotNull => refuse("IS NULL of attributes"),
            test => text(filter, test),
        },
        Expr::Clause(Clause::Dataset(_, test)) => text(filter, test),
        Expr::And(_) | Expr::Or(_) | Expr::Not(_) => refuse("OR, NOT and parentheses"),
    }
}

/// `metrics.a.min` is the metric of that name, always.
fn literal(filter: &str, name: &mut MetricName) -> Result<()> {
    if let Some(key) = name.literal.take() {
        *name = MetricName { key, aggregate: Aggregate::Latest, literal: None };
    }
    if name.aggregate == Aggregate::Latest { Ok(()) } else { Err(refused(filter, "statistics of metrics")) }
}

fn number(filter: &str, test: &NumberTest) -> Result<()> {
    match test {
        NumberTest::Is(..) => Ok(()),
        NumberTest::Null | NumberTest::NotNull | NumberTest::Nan | NumberTest::NotNan => {
            Err(refused(filter, "IS NULL and IS NAN of numbers"))
        }
    }
}

fn text(filter: &str, test: &TextTest) -> Result<()> {
    match test {
        TextTest::Matches(_) | TextTest::NotMatches(_) => Err(refused(filter, "regular expressions")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mlflows_language_is_taken() {
        for filter in [
            "",
            "metrics.a.min > 1 AND params.x = 'y'",
            "metrics.`a b` <= -1e3 AND",
            "tags.a IS NULL",
            "run_id IN ('a', 'b')",
            "attribute.run_id NOT IN ('a')",
            "status = 'FINISHED' and start_time > 5",
            "tags.mlflow.runName LIKE '%x'",
            "params.x IS NOT NULL",
            "params.`(` = '('",
            "metrics.x < 1e400",
            "metrics.x > -1e400",
        ] {
            runs(filter, &[], false).unwrap_or_else(|error| panic!("{filter}: {error}"));
        }
        let query = runs("metrics.a.min > 1", &["metrics.b.max DESC".into()], false).unwrap();
        let Some(Expr::Clause(Clause::Metric(name, _))) = query.filter else { panic!() };
        assert_eq!(name.key, "a.min");
        let OrderKey::Metric(name) = &query.order_by[0].key else { panic!() };
        assert_eq!(name.key, "b.max");
    }

    #[test]
    fn what_mlflow_refuses_is_refused_unless_asked_for() {
        for filter in [
            "a.b",
            "params.x = 'a' OR params.x = 'b'",
            "NOT params.x = 'a'",
            "(params.x = 'a')",
            "params.x = 'a' AND (params.x = 'b' AND params.y = 'c')",
            "params.x IN ('a')",
            "status IN ('FINISHED')",
            "tags.x =~ 'a'",
            "metrics.x IS NULL",
            "metrics.x IS NAN",
            "metrics.x > inf",
            "metrics.x > -inf",
            "metrics.`x`.min > 1",
            "   ",
            "metrics.x = 'NaN'",
            "params.x < 'a'",
        ] {
            assert!(runs(filter, &[], false).is_err(), "{filter}");
        }
        for filter in ["params.x = 'a' OR params.x = 'b'", "metrics.`x`.min > 1", "(tags.x =~ 'a')"] {
            runs(filter, &[], true).unwrap();
        }
    }
}
