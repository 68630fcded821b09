//! Random filters and orders over random runs: the executor must answer what a plain loop over rows answers.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::base::ids::ExperimentId;
use crate::base::stats::SeriesStats;
use crate::base::summary::RunSummary;
use crate::index::bitmap::Bitmap;
use crate::index::part::IndexPart;
use crate::search::execute::{Conventions, MaskedPart, Query, UriTemplate, View, execute};
use crate::search::tests::index::{KEYS, Numbers, random_runs};

/// A filter that the test made, its text and its meaning kept apart from the library's parser.
enum Plain {
    And(Vec<Plain>),
    Or(Vec<Plain>),
    Not(Box<Plain>),
    /// A number of the run, an operator and a bound.
    Number(Field, &'static str, f64),
    /// A text of the run, an operator and the operands.
    Text(Field, &'static str, Vec<String>),
}

#[derive(Clone, Debug)]
enum Field {
    Metric(String, &'static str),
    Time(&'static str),
    Param(String),
    Tag(String),
    Word(&'static str),
}

const STATISTICS: [&str; 14] = [
    "",
    "latest",
    "first",
    "min",
    "max",
    "mean",
    "sum",
    "count",
    "nan_count",
    "inf_count",
    "argmin_step",
    "argmax_step",
    "step",
    "timestamp",
];

impl Field {
    fn text(&self) -> String {
        // A key with a backtick goes in double quotes.
        let quoted = |key: &str| {
            if key.contains('`') { format!("\"{key}\"") } else { format!("`{key}`") }
        };
        match self {
            Self::Metric(key, "") => format!("metrics.{}", quoted(key)),
            Self::Metric(key, statistic) => format!("metrics.{}.{statistic}", quoted(key)),
            Self::Time(name) | Self::Word(name) => (*name).to_owned(),
            Self::Param(key) => format!("params.{}", quoted(key)),
            Self::Tag(key) => format!("tags.{}", quoted(key)),
        }
    }

    fn number(&self, run: &RunSummary) -> Option<f64> {
        match self {
            Self::Metric(key, statistic) => statistic_of(run.metrics.get(key)?, statistic),
            Self::Time("start_time") => run.start_time_ms.map(|time| time as f64),
            Self::Time(_) => run.end_time_ms.map(|time| time as f64),
            _ => None,
        }
    }

    fn word(&self, run: &RunSummary) -> Option<String> {
        match self {
            Self::Param(key) => run.params.get(key).cloned(),
            Self::Tag(key) => run.tags.get(key).cloned(),
            Self::Word("run_id") => Some(run.run_id.to_string()),
            Self::Word("run_name") => Some(run.name.clone()),
            Self::Word("user_id") => Some(run.user.clone()),
            Self::Word("status") => Some(run.status.as_str().to_owned()),
            Self::Word("artifact_uri") if run.experiment_id == ExperimentId(1) => {
                Some(format!("s3://b/{}/artifacts", run.run_id))
            }
            _ => None,
        }
    }
}

fn statistic_of(stats: &SeriesStats, name: &str) -> Option<f64> {
    let finite = stats.count - stats.nan_count - stats.inf_count;
    match name {
        "" | "latest" => Some(stats.latest.value),
        "first" => Some(stats.first.value),
        "min" => stats.min.map(|min| min.value),
        "max" => stats.max.map(|max| max.value),
        "mean" => (finite > 0).then(|| stats.sum / finite as f64),
        "sum" => Some(stats.sum),
        "count" => Some(stats.count as f64),
        "nan_count" => Some(stats.nan_count as f64),
        "inf_count" => Some(stats.inf_count as f64),
        "argmin_step" => stats.min.map(|min| min.step as f64),
        "argmax_step" => stats.max.map(|max| max.step as f64),
        "step" => Some(stats.latest.step as f64),
        "timestamp" => stats.latest.timestamp_ms.map(|time| time as f64),
        _ => None,
    }
}

/// The other end of a range that begins at `bound`.
fn above(bound: f64) -> f64 {
    if bound.is_infinite() { f64::INFINITY } else { bound + bound.abs().max(1.0) }
}

/// LIKE by its definition.
fn like(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((&'%', rest)) => (0..=text.len()).any(|skip| like(rest, &text[skip..])),
        Some((&'_', rest)) => !text.is_empty() && like(rest, &text[1..]),
        Some((c, rest)) => text.first() == Some(c) && like(rest, &text[1..]),
    }
}

impl Plain {
    fn text(&self) -> String {
        let joined = |parts: &[Self], by: &str| {
            parts.iter().map(|part| format!("({})", part.text())).collect::<Vec<_>>().join(by)
        };
        match self {
            Self::And(parts) => joined(parts, " AND "),
            Self::Or(parts) => joined(parts, " or "),
            Self::Not(inner) => format!("NOT ({})", inner.text()),
            Self::Number(field, operator, _) if operator.starts_with("IS") => {
                format!("{} {operator}", field.text())
            }
            Self::Number(field, operator, bound) if operator.ends_with("BETWEEN") => {
                format!("{} {operator} {bound:?} AND {:?}", field.text(), above(*bound))
            }
            Self::Number(field, operator, bound) => {
                format!("{} {operator} {bound:?}", field.text())
            }
            Self::Text(field, operator, _) if operator.starts_with("IS") => {
                format!("{} {operator}", field.text())
            }
            Self::Text(field, operator, operands) => {
                let operands: Vec<_> = operands.iter().map(|operand| format!("\"{operand}\"")).collect();
                let list =
                    if operator.ends_with("IN") { format!("({})", operands.join(", ")) } else { operands[0].clone() };
                format!("{} {operator} {list}", field.text())
            }
        }
    }

    fn holds(&self, run: &RunSummary) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.holds(run)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(run)),
            Self::Not(inner) => !inner.holds(run),
            Self::Number(field, operator, bound) => {
                let number = field.number(run);
                match (*operator, number) {
                    ("IS NULL", number) => number.is_none(),
                    (_, None) => false,
                    ("IS NOT NULL", _) => true,
                    ("IS NAN", Some(number)) => number.is_nan(),
                    ("IS NOT NAN", Some(number)) => !number.is_nan(),
                    ("=", Some(number)) => number == *bound,
                    ("!=", Some(number)) => number != *bound,
                    ("<", Some(number)) => number < *bound,
                    ("<=", Some(number)) => number <= *bound,
                    (">", Some(number)) => number > *bound,
                    ("BETWEEN", Some(number)) => number >= *bound && number <= above(*bound),
                    ("NOT BETWEEN", Some(number)) => number < *bound || number > above(*bound),
                    (_, Some(number)) => number >= *bound,
                }
            }
            Self::Text(field, operator, operands) => {
                let chars = |text: &str| text.chars().collect::<Vec<_>>();
                match (*operator, field.word(run)) {
                    ("IS NULL", text) => text.is_none(),
                    (_, None) => false,
                    ("IS NOT NULL", _) => true,
                    ("=", Some(text)) => text == operands[0],
                    ("!=", Some(text)) => text != operands[0],
                    ("LIKE", Some(text)) => like(&chars(&operands[0]), &chars(&text)),
                    ("ILIKE", Some(text)) => like(&chars(&operands[0].to_lowercase()), &chars(&text.to_lowercase())),
                    ("NOT LIKE", Some(text)) => !like(&chars(&operands[0]), &chars(&text)),
                    ("NOT ILIKE", Some(text)) => {
                        !like(&chars(&operands[0].to_lowercase()), &chars(&text.to_lowercase()))
                    }
                    ("IN", Some(text)) => operands.contains(&text),
                    ("NOT IN", Some(text)) => !operands.contains(&text),
                    // The patterns made below have no special character, so that a match is containment.
                    ("!~" | "NOT RLIKE", Some(text)) => !text.contains(&operands[0]),
                    (_, Some(text)) => text.contains(&operands[0]),
                }
            }
        }
    }
}

fn field(numbers: &mut Numbers, text: bool) -> Field {
    let key = numbers.pick(&KEYS).to_owned();
    match (text, numbers.below(4)) {
        (false, 0) => Field::Time(numbers.pick(&["start_time", "end_time"])),
        (false, _) => Field::Metric(key, STATISTICS[numbers.below(14) as usize]),
        (true, 0) => {
            Field::Word(["run_id", "run_name", "user_id", "status", "artifact_uri"][numbers.below(5) as usize])
        }
        (true, 1 | 2) => Field::Param(key),
        (true, _) => Field::Tag(key),
    }
}

fn random_filter(numbers: &mut Numbers, runs: &[RunSummary], depth: u64) -> Plain {
    if depth > 0 && numbers.below(2) == 0 {
        let mut parts = || (0..2).map(|_| random_filter(numbers, runs, depth - 1)).collect::<Vec<_>>();
        let parts = parts();
        return match numbers.below(3) {
            0 => Plain::And(parts),
            1 => Plain::Or(parts),
            _ => Plain::Not(Box::new(parts.into_iter().next().unwrap())),
        };
    }
    if numbers.below(2) == 0 {
        let field = field(numbers, false);
        const OPERATORS: [&str; 12] = [
            "=",
            "!=",
            "<",
            "<=",
            ">",
            ">=",
            "BETWEEN",
            "NOT BETWEEN",
            "IS NULL",
            "IS NOT NULL",
            "IS NAN",
            "IS NOT NAN",
        ];
        let known = if matches!(field, Field::Time(_)) { 10 } else { 12 };
        // Bounds come from the runs, so that equality happens; NaN cannot be written. i64 read as f64 is exact here or
        // saturates on both sides, except near 2^53 and above, where only orders of magnitude are asked for.
        let run = &runs[numbers.below(runs.len() as u64) as usize];
        let bound = match field.number(run) {
            Some(bound)
                if !bound.is_nan()
                    && (!matches!(&field, Field::Time(_) | Field::Metric(_, "timestamp")) || bound.abs() < 9e15) =>
            {
                bound
            }
            _ => [0.0, 1.5, 1.7e12, f64::INFINITY, f64::NEG_INFINITY][numbers.below(5) as usize],
        };
        return Plain::Number(field, OPERATORS[numbers.below(known) as usize], bound);
    }
    let field = field(numbers, true);
    let mut operand = || {
        let run = &runs[numbers.below(runs.len() as u64) as usize];
        match (field.word(run), numbers.below(3)) {
            (Some(text), 0 | 1) => text,
            _ => numbers.pick(&["x", "X", "ada", "%a%", "_", "%", "FI%", "0", ""]).to_owned(),
        }
    };
    let operands = vec![operand(), operand()];
    const OPERATORS: [&str; 14] = [
        "=",
        "!=",
        "LIKE",
        "NOT LIKE",
        "ILIKE",
        "NOT ILIKE",
        "IN",
        "NOT IN",
        "=~",
        "!~",
        "RLIKE",
        "NOT RLIKE",
        "IS NULL",
        "IS NOT NULL",
    ];
    let known = if matches!(field, Field::Word(_)) { 12 } else { 14 };
    Plain::Text(field, OPERATORS[numbers.below(known) as usize], operands)
}

/// Numbers, then NaN, then missing; else by value.
fn compare_by(field: &Field, descending: bool, a: &RunSummary, b: &RunSummary) -> Ordering {
    let directed = |order: Ordering| if descending { order.reverse() } else { order };
    if let Field::Metric(..) = field {
        let class = |value: Option<f64>| value.map_or(2, |value| i32::from(value.is_nan()));
        let (a, b) = (field.number(a), field.number(b));
        return class(a).cmp(&class(b)).then_with(|| directed(a.partial_cmp(&b).unwrap_or(Ordering::Equal)));
    }
    let times = |run: &RunSummary| {
        if matches!(field, Field::Time("start_time")) { run.start_time_ms } else { run.end_time_ms }
    };
    let (missing, order) = match field {
        Field::Time(_) => ((times(a).is_none(), times(b).is_none()), times(a).cmp(&times(b))),
        _ => ((field.word(a).is_none(), field.word(b).is_none()), field.word(a).cmp(&field.word(b))),
    };
    missing.0.cmp(&missing.1).then_with(|| if missing.0 { Ordering::Equal } else { directed(order) })
}

#[test]
fn execution_answers_what_a_loop_over_rows_answers() {
    let mut numbers = Numbers(11);
    // One dense part, one sparse, one of one run, one empty; a few runs of each are superseded.
    let groups: Vec<Vec<RunSummary>> =
        [1200, 60, 1, 0].iter().enumerate().map(|(at, count)| random_runs(20 + at as u64, *count)).collect();
    let parts: Vec<IndexPart> = groups.iter().map(|runs| IndexPart::build(runs).unwrap()).collect();
    let masks: Vec<Bitmap> = groups.iter().map(|runs| Bitmap::of(&vec![(); runs.len()], |()| false)).collect();
    let masks: Vec<Bitmap> = masks
        .into_iter()
        .map(|mut mask| {
            (0..mask.len() as u32).filter(|ordinal| ordinal % 7 == 3).for_each(|ordinal| mask.insert(ordinal));
            mask
        })
        .collect();
    let masked: Vec<MaskedPart<'_>> =
        parts.iter().zip(&masks).map(|(part, mask)| MaskedPart { part, excluded: Some(mask) }).collect();
    let mut found = 0;
    for round in 0..400 {
        let filter = random_filter(&mut numbers, &groups[round % 2], 3);
        let order: Vec<(Field, bool)> = (0..numbers.below(3))
            .map(|_| {
                let text = numbers.below(2) == 0;
                (field(&mut numbers, text), numbers.below(2) == 0)
            })
            .collect();
        let clauses: Vec<String> = order
            .iter()
            .map(|(field, descending)| format!("{}{}", field.text(), if *descending { " DESC" } else { "" }))
            .collect();
        let text = filter.text();
        let view = [View::ActiveOnly, View::DeletedOnly, View::All][numbers.below(3) as usize];
        let experiments: Vec<_> = (0..numbers.below(3)).map(ExperimentId).collect();
        let max_results = [1, 3, 50, 5000][numbers.below(4) as usize];
        let offset = [0, 0, 2, 40][numbers.below(4) as usize];
        let query = Query {
            view,
            experiments: experiments.clone(),
            max_results,
            offset,
            conventions: Conventions {
                artifact_uris: BTreeMap::from([(
                    ExperimentId(1),
                    UriTemplate { before: "s3://b/".into(), after: "/artifacts".into() },
                )]),
                ..Conventions::default()
            },
            ..Query::parse(&text, &clauses).unwrap_or_else(|error| panic!("{text}: {error}"))
        };
        let deletions = BTreeMap::from([(ExperimentId(1), (1, offset % 2 == 0))]);
        let mut expected: Vec<(usize, u32)> = Vec::new();
        for (part, runs) in groups.iter().enumerate() {
            for (ordinal, run) in runs.iter().enumerate() {
                // Experiment 1 was deleted or restored once, so that older marks count no more.
                let marked = run.experiment_id != ExperimentId(1) || run.deleted_generation >= 1;
                let deleted = if marked { run.deleted } else { offset % 2 == 0 };
                let seen = match view {
                    View::ActiveOnly => !deleted,
                    View::DeletedOnly => deleted,
                    View::All => true,
                };
                if seen
                    && run.kind == 0
                    && (experiments.is_empty() || experiments.contains(&run.experiment_id))
                    && ordinal % 7 != 3
                    && filter.holds(run)
                {
                    expected.push((part, ordinal as u32));
                }
            }
        }
        let run = |at: &(usize, u32)| &groups[at.0][at.1 as usize];
        expected.sort_by(|a, b| {
            let (a, b) = (run(a), run(b));
            let mut orders = order.iter().map(|(field, descending)| compare_by(field, *descending, a, b));
            orders.find(|order| order.is_ne()).unwrap_or_else(|| {
                compare_by(&Field::Time("start_time"), true, a, b).then_with(|| a.run_id.cmp(&b.run_id))
            })
        });
        found += expected.len();
        let page = execute(&masked, &query, &deletions).unwrap();
        assert_eq!(page.total, expected.len(), "{text}");
        let wanted: Vec<_> = expected.iter().skip(offset).take(max_results).copied().collect();
        assert_eq!(page.hits, wanted, "{text} ordered by {clauses:?}, {max_results} from {offset}");
        assert_eq!(page.total, expected.len());
    }
    assert!(found > 10_000, "the filters must find something: {found}");
}
