//! Filters and orders of runs as MLflow takes them; D4 to D6 of `docs/mlflow.md` say where answers differ.

use crate::search::dialect::{
    Dialect, LISTED, NULLABLE, NUMBERS, RUN_HINTS, RUNS, Rules, RunAttribute, TEXTS, run_attributes, run_keys,
};
use crate::search::execute::Query;
use crate::tracking::language::messages::{Language, tell};
use crate::tracking::values::error::Result;

/// MLflow's language of runs: comparisons joined by AND. `metrics.a.min` is the metric of that name.
pub(crate) static MLFLOW: Dialect<RunAttribute> = Dialect {
    of: "runs",
    keys: &run_keys(Rules::number(&NUMBERS), Rules::text(&NULLABLE), Rules::text(&LISTED)),
    attributes: &run_attributes(Rules::number(&NUMBERS), Rules::text(&TEXTS), Rules::text(&LISTED)),
    hints: RUN_HINTS,
    nesting: false,
    statistics: false,
    trailing_and: true,
};

/// The query of a filter and an order; `extended` takes all of the store's language too.
pub(crate) fn runs(filter: &str, order_by: &[String], extended: bool) -> Result<Query> {
    let dialect = if extended { Dialect { trailing_and: true, ..RUNS } } else { MLFLOW };
    Query::parse_in(&dialect, filter, order_by).map_err(|refusal| tell(Language::Runs, &dialect, refusal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::ast::{Clause, Expr};
    use crate::search::order::OrderKey;

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
                if advice.starts_with("a number") {
                    let right = if advice.contains("IS NAN") { "IS NAN" } else { "= -1" };
                    runs(&format!("{name} {right}"), &[], extended).unwrap();
                    continue;
                }
                let number = advice.contains(" for a number");
                let advice = advice.split(" for a ").next().unwrap();
                for operator in advice.split(", ").flat_map(|words| words.split(" or ")) {
                    let right = match operator {
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

    /// Messages to clients do not mention what MLflow does not support.
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
