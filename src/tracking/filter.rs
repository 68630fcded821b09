//! Filters of runs as MLflow takes them: our language is larger, and what MLflow refuses is refused here.

use crate::search::ast::{Aggregate, Clause, Expr, MetricName, NumberTest, TextAttribute, TextTest};
use crate::search::execute::Query;
use crate::search::lexer::{Kind, tokens};
use crate::search::order::OrderKey;
use crate::search::parser::Dialect;
use crate::tracking::error::{Fault, Result};
use crate::tracking::words::{Language, tell};

/// The query of a filter and an order.
pub(super) fn runs(filter: &str, order_by: &[String], extended: bool) -> Result<Query> {
    parsed(filter, order_by, extended).map_err(|fault| tell(Language::Runs, filter, order_by, fault))
}

fn parsed(filter: &str, order_by: &[String], extended: bool) -> Result<Query> {
    let dialect = if extended { Dialect::Full } else { Dialect::Mlflow };
    let mut query = Query::parse_in(dialect, filter, order_by)?;
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

/// Whether a number is the word for infinity. Digits that are too great for a float are infinite too, as they are to
/// MLflow.
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
        NumberTest::Between(..) | NumberTest::NotBetween(..) => Err(refused(filter, "BETWEEN")),
        NumberTest::Null | NumberTest::NotNull | NumberTest::Nan | NumberTest::NotNan => {
            Err(refused(filter, "IS NULL and IS NAN of numbers"))
        }
    }
}

fn text(filter: &str, test: &TextTest) -> Result<()> {
    match test {
        TextTest::NotLike(_) => Err(refused(filter, "NOT LIKE and NOT ILIKE")),
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
            "metrics.x BETWEEN 1 AND 2",
            "metrics.x NOT BETWEEN 1 AND 2",
            "start_time BETWEEN 1 AND 2 AND params.x = 'a'",
            "params.x NOT LIKE 'a%'",
            "status NOT ILIKE 'a%'",
            "tags.x NOT RLIKE 'a'",
        ] {
            assert!(runs(filter, &[], false).is_err(), "{filter}");
        }
        for filter in [
            "params.x = 'a' OR params.x = 'b'",
            "metrics.`x`.min > 1",
            "(tags.x =~ 'a')",
            "metrics.x BETWEEN 1 AND 2 AND params.y NOT LIKE 'a%'",
        ] {
            runs(filter, &[], true).unwrap();
        }
    }

    /// Wrong filters of every kind, each with what the right one begins with.
    const WRONG: [(&str, &str); 16] = [
        ("metrics.loss", "metrics.loss = NaN"),
        ("metrics.loss", "metrics.loss LIKE 'x'"),
        ("metrics.loss", "metrics.loss IS 5"),
        ("metrics.loss", "metrics.loss NOT 5"),
        ("start_time", "start_time IS NAN"),
        ("end_time", "end_time x"),
        ("params.a", "params.a b = 'x'"),
        ("params.a", "params.a NOT 'x'"),
        ("tags.a", "tags.a < 'x'"),
        ("tags.a", "tags.a IS 5"),
        ("run_id", "run_id < 'x'"),
        ("run_id", "run_id NOT 'x'"),
        ("status", "status b"),
        ("user_id", "user_id NOT 'x'"),
        ("dataset.name", "dataset.name <> 'x'"),
        ("datasets.context", "datasets.context NOT 5"),
    ];

    /// Every operator that an error advises is taken after the name that it was advised for, in both dialects.
    #[test]
    fn hints_advise_nothing_that_is_refused() {
        let mut tried = 0;
        for extended in [false, true] {
            for (name, wrong) in WRONG {
                let message = runs(wrong, &[], extended).expect_err(wrong).message;
                let said = message.rsplit("(invalid filter: ").next().unwrap();
                let Some((_, advice)) = said.split_once("expected ") else { panic!("{wrong}: {message}") };
                let advice = advice.split("; or put NOT").next().unwrap().trim_end_matches(')');
                let number = advice.contains(" for a number");
                let advice = advice.split(" for a ").next().unwrap();
                for operator in advice.split(", ").flat_map(|words| words.split(" or ")) {
                    let right = match operator {
                        "a number" => format!("{name} = 1"),
                        "a number; NaN is found by IS NAN" => format!("{name} IS NAN"),
                        "NULL" | "NOT NULL" | "NAN" | "NOT NAN" => format!("{name} IS {operator}"),
                        "IS" => format!("{name} IS NULL"),
                        "BETWEEN" | "NOT BETWEEN" => format!("{name} {operator} 1 AND 2"),
                        "IN" | "NOT IN" => format!("{name} {operator} ('x')"),
                        _ if number => format!("{name} {operator} 1"),
                        _ => format!("{name} {operator} 'x'"),
                    };
                    runs(&right, &[], extended).unwrap_or_else(|error| panic!("{wrong}: {message}\n{right}: {error}"));
                    tried += 1;
                }
            }
        }
        assert!(tried > 150, "{tried}");
    }

    /// Of what MLflow refuses, no word stands in what its clients are told.
    #[test]
    fn clients_of_mlflow_hear_of_mlflows_language_only() {
        for wrong in [
            "metrics.loss = NaN",
            "params.a = 'x' params.b = 'y'",
            "metrics.`a`.median > 1",
            "params.`a`.min = 'x'",
            "params.a BETWEEN 'a' AND 'b'",
            "(params.a = 'x'",
        ] {
            let message = runs(wrong, &[], false).expect_err(wrong).message;
            let said = message.rsplit("(invalid filter: ").next().unwrap();
            for word in ["IS NAN", " OR", "argmax", "statistic", "RLIKE", "=~", "BETWEEN compares"] {
                assert!(!said.contains(word), "{wrong}: {message}");
            }
        }
    }
}
