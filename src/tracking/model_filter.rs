//! The language of filters of logged models, which has its own words in MLflow: comparisons joined by AND of
//! attributes, metrics, params and tags.

use std::fmt::Write as _;

use crate::search::ast::{Clause, Comparison, Expr, NumberTest, TextAttribute, TextTest, TimeAttribute};
use crate::search::conditions::{Condition, Operator, TEXTS, parse_conditions};
use crate::tracking::entities::{LoggedModel, LoggedModelStatus, Metric};
use crate::tracking::error::{Fault, Result};
use crate::tracking::words::python_text;

/// A condition that the index does not answer.
pub(super) enum Test {
    /// On the latest value of a metric.
    Metric(String, NumberTest),
    /// That there is some metric.
    AnyMetric,
    /// On an attribute that the index has no column of.
    Text(Word, TextTest),
    /// On the status, by its name.
    Status(TextTest),
    /// On when it was last updated.
    Updated(NumberTest),
}

/// An attribute that is a text; the empty one where a model has none, as in MLflow.
#[derive(Clone, Copy)]
pub(super) enum Word {
    Type,
    Run,
    Experiment,
    Artifacts,
}

impl Word {
    /// Of a model.
    pub(super) fn of(self, model: &LoggedModel) -> &str {
        match self {
            Self::Type => model.model_type.as_deref().unwrap_or_default(),
            Self::Run => &model.source_run_id,
            Self::Experiment => &model.experiment_id,
            Self::Artifacts => &model.artifact_uri,
        }
    }
}

/// An attribute of a model.
#[derive(Clone, Copy)]
pub(super) enum Attribute {
    Name,
    Id,
    Created,
    Updated,
    Status,
    Word(Word),
}

/// The attribute of a name, as filters and orders name them.
pub(super) fn attribute(name: &str) -> Option<Attribute> {
    Some(match name {
        "name" => Attribute::Name,
        "model_id" => Attribute::Id,
        "creation_timestamp" | "creation_timestamp_ms" | "creation_time" => Attribute::Created,
        "last_updated_timestamp" | "last_updated_timestamp_ms" | "last_updated_time" => Attribute::Updated,
        "model_type" => Attribute::Word(Word::Type),
        "status" => Attribute::Status,
        "source_run_id" => Attribute::Word(Word::Run),
        "experiment_id" => Attribute::Word(Word::Experiment),
        "artifact_location" | "artifact_uri" => Attribute::Word(Word::Artifacts),
        _ => return None,
    })
}

/// Of some metrics the latest by time, then step; of equal ones that of the first run by id.
pub(super) fn latest<'a>(metrics: impl Iterator<Item = &'a Metric>) -> Option<&'a Metric> {
    metrics.max_by(|a, b| (a.timestamp, a.step).cmp(&(b.timestamp, b.step)).then_with(|| b.run_id.cmp(&a.run_id)))
}

impl Test {
    /// Whether a model passes; metrics count as measured on one of the datasets, where there are any.
    pub(super) fn passes(&self, model: &LoggedModel, datasets: &[(String, Option<String>)]) -> bool {
        let on = |metric: &&Metric| {
            datasets.is_empty()
                || datasets.iter().any(|(name, digest)| {
                    metric.dataset_name.as_ref() == Some(name) && (digest.is_none() || metric.dataset_digest == *digest)
                })
        };
        match self {
            Self::Metric(key, test) => {
                let of_key = model.metrics.iter().filter(on).filter(|metric| metric.key == *key);
                latest(of_key).is_some_and(|metric| test.passes_float(metric.value))
            }
            Self::AnyMetric => model.metrics.iter().any(|metric| on(&metric)),
            Self::Text(word, test) => test.passes(word.of(model)),
            Self::Status(test) => test.passes(model.status.as_str()),
            Self::Updated(test) => test.passes(model.last_updated_timestamp),
        }
    }
}

/// The conditions that the index answers, and the others.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` with MLflow's words; what is wrong exactly follows in parentheses.
pub(super) fn filter(text: &str) -> Result<(Vec<Expr>, Vec<Test>)> {
    let conditions = parse_conditions(text).map_err(|error| {
        Fault::invalid(format!(
            "Invalid filter string: {}. Expected a list of comparisons separated by 'AND' (e.g. 'metrics.loss > 0.1 AND \
             params.lr = 0.01'). ({error})",
            python_text(text)
        ))
    })?;
    let (mut indexed, mut others) = (Vec::new(), Vec::new());
    for condition in &conditions {
        let key = condition.key.clone();
        match (condition.entity.as_deref(), condition.key.as_str()) {
            (Some("params"), _) => indexed.push(Clause::Param(key, texts(condition)?)),
            (Some("tags"), _) => indexed.push(Clause::Tag(key, texts(condition)?)),
            (Some("metrics"), _) => others.push(Test::Metric(key, number(condition)?)),
            (None | Some("attributes"), name) => match attribute(name) {
                Some(Attribute::Name) => indexed.push(Clause::Text(TextAttribute::RunName, texts(condition)?)),
                Some(Attribute::Id) => indexed.push(Clause::Text(TextAttribute::RunId, texts(condition)?)),
                Some(Attribute::Created) => indexed.push(Clause::Time(TimeAttribute::Start, number(condition)?)),
                Some(Attribute::Updated) => others.push(Test::Updated(number(condition)?)),
                Some(Attribute::Status) => others.push(Test::Status(status(condition)?)),
                Some(Attribute::Word(word)) => others.push(Test::Text(word, texts(condition)?)),
                None => return Err(condition.wrong(format!("Invalid attribute name: {name}")).into()),
            },
            (Some(entity), _) => {
                return Err(Fault::invalid(format!(
                    "Invalid entity type: {}. Expected one of ['attributes', 'metrics', 'params', 'tags'].",
                    python_text(entity)
                )));
            }
        }
    }
    Ok((indexed.into_iter().map(Expr::Clause).collect(), others))
}

/// The operators that texts take.
fn text_operators() -> [Operator; 6] {
    let [equal, unequal, like, ilike] = TEXTS;
    [equal, unequal, like, ilike, Operator::In, Operator::NotIn]
}

fn texts(condition: &Condition) -> Result<TextTest> {
    let allowed = text_operators();
    check_operator(condition, &allowed)?;
    Ok(condition.loose_text(&allowed)?)
}

fn number(condition: &Condition) -> Result<NumberTest> {
    use Comparison::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
    check_operator(condition, &[Less, LessEqual, Greater, GreaterEqual, Equal, NotEqual].map(Operator::Is))?;
    Ok(condition.number()?)
}

/// A test of the status, which is named as in `READY`.
fn status(condition: &Condition) -> Result<TextTest> {
    let test = texts(condition)?;
    let named = match &test {
        TextTest::Equal(name) | TextTest::NotEqual(name) => std::slice::from_ref(name),
        TextTest::In(names) | TextTest::NotIn(names) => names.as_slice(),
        _ => {
            let why = format!("Invalid comparison operator for status: {}", condition.operator);
            return Err(Fault::invalid(why));
        }
    };
    match named.iter().find(|name| LoggedModelStatus::ALL.iter().all(|status| status.as_str() != name.as_str())) {
        Some(name) => Err(Fault::invalid(format!("Unknown model status in filter: {}", python_text(name)))),
        None => Ok(test),
    }
}

fn check_operator(condition: &Condition, allowed: &[Operator]) -> Result<()> {
    if allowed.contains(&condition.operator) {
        return Ok(());
    }
    let entity = condition.entity.as_deref().unwrap_or("attributes");
    // Times have a longer name in MLflow's tables.
    let is_time = entity == "attributes" && condition.key.ends_with("_timestamp");
    let name = format!("{entity}.{}{}", condition.key, if is_time { "_ms" } else { "" });
    if matches!(condition.operator, Operator::Null | Operator::NotNull) {
        return Err(Fault::invalid(format!(
            "Invalid comparison: {name} {}. Expected a comparison with 3 tokens.",
            condition.operator
        )));
    }
    let mut known = String::new();
    for operator in allowed {
        let _ = write!(known, "{}'{operator}'", if known.is_empty() { "" } else { ", " });
    }
    Err(Fault::invalid(format!(
        "Invalid comparison operator for {name}: '{}'. Expected one of ({known}).",
        condition.operator
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_refused_with_mlflows_words() {
        for (text, words) in [
            ("Foo", "Invalid filter string: 'Foo'. Expected a list of comparisons separated by 'AND'"),
            (
                "name = 'foo' OR name = 'bar'",
                "Invalid filter string: \"name = 'foo' OR name = 'bar'\". Expected a list",
            ),
            ("   ", "Invalid filter string: '   '."),
            (
                "foo.bar = 'a'",
                "Invalid entity type: 'foo'. Expected one of ['attributes', 'metrics', 'params', 'tags'].",
            ),
            (
                "name > 'foo'",
                "Invalid comparison operator for attributes.name: '>'. Expected one of ('=', '!=', 'LIKE', 'ILIKE', 'IN', \
                 'NOT IN').",
            ),
            (
                "metrics.foo LIKE 0",
                "Invalid comparison operator for metrics.foo: 'LIKE'. Expected one of ('<', '<=', '>', '>=', '=', '!=').",
            ),
            ("tags.t IS NULL", "Invalid comparison: tags.t IS NULL. Expected a comparison with 3 tokens."),
            ("status LIKE 'R%'", "Invalid comparison operator for status: LIKE"),
            ("status = 'LOGGED_MODEL_READY'", "Unknown model status in filter: 'LOGGED_MODEL_READY'"),
            ("nothing = 'x'", "invalid filter: at column 1: Invalid attribute name: nothing"),
        ] {
            let fault = filter(text).map(|_| ()).unwrap_err();
            assert!(fault.message.starts_with(words), "{text}: {fault}");
        }
    }

    #[test]
    fn values_without_quotes_are_texts() {
        for text in
            ["name = a", "params.p = 5", "tags.t != 1e3", "model_type IN ('a',)", "status IN ('READY', 'FAILED')"]
        {
            filter(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        }
    }
}
