//! What the language takes, what it refuses and how it says so.

use crate::search::lexer::TEXT_BYTES_MAX;
use crate::search::refusal::{CLAUSES_MAX, DEPTH_MAX};
use crate::search::runs::{parse_filter, parse_order_by};

#[test]
fn comparisons_joined_by_and_are_accepted() {
    for filter in [
        "",
        "metrics.loss < 1",
        "metric.loss<=-.5 and metric.acc>=1.",
        "metrics.loss = 1e-3 AND metrics.loss != -2",
        "params.lr = '0.1'",
        "param.lr = \"0.1\"",
        "parameter.lr != '0.1' AND parameters.lr LIKE '%1' AND tags.a ILIKE 'x_'",
        "tags.lab.runName = 'a'",
        "tags.`lab.source.name` = 'a'",
        "params.\"a b\" = 'x'",
        "`metrics`.loss > 1",
        "tags.a IS NULL and params.b is not null",
        "run_id IN ('a', 'b')",
        "attributes.run_id NOT IN ('a')",
        "attribute.status = 'RUNNING'",
        "attr.user_id LIKE 'a%'",
        "run.artifact_uri ILIKE '%A%'",
        "start_time > 1 and end_time<=2 and created >= 0 and Created != 1",
        "run_name = 'x'",
        "`Run Name` = 'x' and attributes.`run name` = 'y'",
        "tags.a = 'it''s'",
        "metrics.é > 0",
        "\n metrics.loss\t> 0 ",
    ] {
        assert!(parse_filter(filter).is_ok(), "{filter}: {}", parse_filter(filter).unwrap_err());
    }
}

#[test]
fn nesting_statistics_and_patterns_are_accepted() {
    for filter in [
        "metrics.a > 1 OR NOT (params.b = 'x' and tags.c != 'y')",
        "not not metrics.a > 1",
        "params.a IN ('x', \"y\") AND tags.b NOT IN ('z') and status in ('FAILED','KILLED')",
        "params.a =~ '^ad' and tags.a !~ 'x$' and run_name RLIKE 'a|b'",
        "metrics.loss.min < 1 and metrics.`loss`.argmin_step >= 10 and metrics.\"a b\".mean > 0",
        "metrics.a IS NAN or metrics.a IS NOT NAN or metrics.a is null or end_time IS NULL",
        "metrics.a < inf and metrics.a > -inf",
        "metrics.a > 1e+9",
        "metrics.a BETWEEN -1 AND 1e3 AND start_time between 1 and 2 OR metrics.a.min NOT BETWEEN 0 AND inf",
        "params.a NOT LIKE 'x%' and tags.b not ilike '%Y' and run_name NOT RLIKE '^a'",
    ] {
        assert!(parse_filter(filter).is_ok(), "{filter}: {}", parse_filter(filter).unwrap_err());
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    // The column where it goes wrong, and a word of what would be right.
    for (filter, column, hint) in [
        ("metrics.a == 1", 11, "found ==, expected =, !=, <"),
        ("metrics.a <> 1", 11, "found <>"),
        ("metrics.a = '1'", 13, "a number without quotes"),
        ("metrics.a = 'NaN'", 13, "a number"),
        ("metrics.a = nan", 13, "IS NAN"),
        ("metrics.a = 0x1", 13, "a number"),
        ("metrics.a = 1_000", 13, "a number"),
        ("metrics.a LIKE '1'", 11, "expected =, !="),
        ("params.a = 1", 12, "a text in quotes"),
        ("params.a = x", 12, "a text in quotes"),
        ("params.a = `x`", 12, "a text in quotes"),
        ("params.a < 'x'", 10, "LIKE"),
        ("params.a == 'x'", 10, "LIKE"),
        ("params.a BETWEEN 'a' AND 'b'", 10, "BETWEEN compares numbers"),
        ("params.a NOT 'x'", 14, "before the whole comparison"),
        ("params.a NOT LIKE x", 19, "a text in quotes"),
        ("metrics.a NOT LIKE 'x'", 11, "NOT BETWEEN"),
        ("metrics.a BETWEEN 1", 20, "AND and a second number"),
        ("metrics.a BETWEEN 1 OR 2", 21, "AND and a second number"),
        ("metrics.a BETWEEN 1 AND 'x'", 25, "a number without quotes"),
        ("metrics.a BETWEEN 2 AND 1", 19, "greater than the second"),
        ("metrics.a BETWEEN NaN AND 1", 19, "IS NAN"),
        ("params.a IN ()", 14, "a text in quotes"),
        ("params.a IN ('a',,)", 18, "a text in quotes"),
        ("params.a IN ('a' 'b')", 18, "',' or ')'"),
        ("params.a IN 'a'", 13, "a list"),
        ("run_id IS NULL", 8, "=, !="),
        ("start_time = '1'", 14, "a number"),
        ("start_time IS NAN", 15, "NULL or NOT NULL"),
        ("metrics.a IS 1", 14, "NULL, NOT NULL, NAN"),
        ("params.a = 'x'; DROP", 15, "only one expression"),
        ("params.a = 'x' params.b = 'y'", 16, "AND, OR or the end"),
        ("params.a = 'x' AND AND params.b = 'y'", 20, "found AND, expected a name"),
        ("AND params.a = 'x'", 1, "expected a name"),
        ("AND", 1, "expected a name"),
        ("params.a = 'x' AND", 19, "the text ends, expected a name"),
        ("params.a = 'x' OR", 18, "the text ends, expected a name"),
        ("(params.a = 'x' AND) OR params.b = 'y'", 20, "found )"),
        ("(params.a = 'x'", 16, "')', AND or OR"),
        ("params.a = 'x')", 15, "AND, OR or the end"),
        ("params.a = 'it's'", 17, "not closed"),
        ("params.a = 'x", 12, "not closed"),
        ("params. = 'x'", 8, "a key"),
        ("params.`` = 'x'", 8, "must not be empty"),
        ("params.a-b = 'x'", 9, "backticks"),
        ("metrics.`a`x > 1", 9, "not a statistic"),
        ("metrics.`a`.median > 1", 9, "argmax_step"),
        ("metrics.a`b` > 1", 9, "all in quotes"),
        ("params.`a`.min = 'x'", 8, "only metrics"),
        ("Metrics.a > 1", 1, "none of metrics"),
        ("`metrics.a` > 1", 1, "quotes go around the key alone"),
        ("loss > 1", 1, "not an attribute"),
        ("name = 'x'", 1, "did you mean run_name?"),
        ("duration > 5", 1, "compare start_time and end_time"),
        ("loss > 1", 1, "did you mean metrics.loss?"),
        ("loss = 1", 1, "did you mean metrics.loss?"),
        ("loss BETWEEN 1 AND 2", 1, "did you mean metrics.loss?"),
        ("`my loss` < 1", 1, "did you mean metrics.`my loss`?"),
        ("lr = '0.1'", 1, "did you mean params.lr or tags.lr?"),
        ("lr IS NULL", 1, "did you mean metrics.lr, params.lr or tags.lr?"),
        ("experiment_id = '1'", 1, "beside the filter"),
        ("attributes.lifecycle_stage = 'active'", 12, "view"),
        ("datasets.kind = 'x'", 10, "name, digest and context"),
        ("metrics.a", 10, "the text ends"),
        ("metrics.a >", 12, "the text ends"),
        ("params.a =~ '('", 13, "regular expression"),
        ("params.a =~ '(a{1000}){1000}'", 13, "regular expression"),
        ("1 = metrics.a", 1, "a name"),
        ("tags.é = 1", 10, "a text in quotes"),
    ] {
        let error = parse_filter(filter).expect_err(filter).to_string();
        let place = format!("column {column}:");
        assert!(
            error.starts_with("invalid filter: ") && error.contains(&place) && error.contains(hint),
            "{filter}: {error}"
        );
    }
    for blank in [" ", "   ", "\n\t"] {
        assert!(parse_filter(blank).unwrap_err().to_string().contains("white space"));
    }
}

#[test]
fn limits_are_kept_and_told() {
    let clauses = |count: usize| vec!["metrics.a > 1"; count].join(" OR ");
    assert!(parse_filter(&clauses(CLAUSES_MAX)).is_ok());
    assert!(parse_filter(&clauses(CLAUSES_MAX + 1)).unwrap_err().to_string().contains("at most 100"));
    let nested = |depth: usize| format!("{}metrics.a > 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse_filter(&nested(DEPTH_MAX)).is_ok());
    assert!(parse_filter(&nested(DEPTH_MAX + 1)).unwrap_err().to_string().contains("at most 64"));
    assert!(parse_filter(&format!("{}metrics.a > 1", "NOT ".repeat(DEPTH_MAX + 1))).is_err());
    let long = |len: usize| format!("params.a = '{}'", "x".repeat(len - 13));
    assert!(parse_filter(&long(TEXT_BYTES_MAX)).is_ok());
    assert!(parse_filter(&long(TEXT_BYTES_MAX + 1)).unwrap_err().to_string().contains("10240"));
}

#[test]
fn orders_are_taken_and_refused() {
    for clause in [
        "metrics.loss",
        "metrics.loss DESC",
        "metric.`a b` asc",
        "metrics.`a`.min desc",
        "params.\"lr\" ASC",
        "tags.lab.runName",
        "start_time",
        "attributes.start_time DESC",
        "Created",
        "run_name",
        "attribute.end_time",
        "status",
        "run_id",
        "user_id",
        "artifact_uri",
    ] {
        assert!(parse_order_by(&[clause]).is_ok(), "{clause}");
    }
    for clause in [
        "",
        " ",
        "metrics.loss NULLS LAST",
        "metrics.loss DESC NULLS LAST",
        "`Run Name`",
        "dataset.name",
        "experiment_id",
        "loss",
        "metrics.a, metrics.b",
        "metrics.a DESC ASC",
        "metrics.a = 1",
    ] {
        let error = parse_order_by(&[clause]).expect_err(clause).to_string();
        assert!(error.starts_with("invalid order_by: at column"), "{clause}: {error}");
    }
}

proptest::proptest! {
    /// Any text is either taken or refused; nothing panics, whatever is cut or put together.
    #[test]
    fn any_text_is_answered(text in "([a-c.`'\"()<>=!~, é%_0-9-]|metrics|params|AND|OR|NOT|IN|IS|NULL|inf){0,40}") {
        let _answered = parse_filter(&text).is_ok();
        let _answered = parse_order_by(&[&text]).is_ok();
    }
}
