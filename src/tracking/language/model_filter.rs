//! The filter language of logged models, which differs in MLflow: comparisons of attributes, metrics, params and tags,
//! joined by AND.

use crate::error::Error;
use crate::search::ast::{Clause, Expr, NumberTest, TextAttribute, TextTest, TimeAttribute};
use crate::search::dialect::{self, Dialect, Keys, Kind, LISTED, NO_RULES, NUMBERS, NameKind, Operator, Rules};
use crate::search::parser::{Field, Test, parse_list};
use crate::search::refusal::{Form, Reason, Refusal};
use crate::tracking::language::messages::python_text;
use crate::tracking::values::entities::{LoggedModel, LoggedModelStatus, Metric};
use crate::tracking::values::error::{Fault, Result};

/// A condition that the index cannot evaluate.
pub(crate) enum Asked {
    /// On the latest value of a metric.
    Metric(String, NumberTest),
    /// That there is some metric.
    AnyMetric,
    /// On an attribute that the index has no column of.
    Text(TextField, TextTest),
    /// On the status, by its name.
    Status(TextTest),
    /// On when it was last updated.
    Updated(NumberTest),
}

/// An attribute that is a text; the empty one where a model has none, as in MLflow.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TextField {
    Type,
    Run,
    Experiment,
    Artifacts,
}

impl TextField {
    /// Of a model.
    pub(crate) fn of(self, model: &LoggedModel) -> &str {
        match self {
            Self::Type => model.model_type.as_deref().unwrap_or_default(),
            Self::Run => &model.source_run_id,
            Self::Experiment => &model.experiment_id,
            Self::Artifacts => &model.artifact_uri,
        }
    }
}

/// An attribute of a model.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attribute {
    Name,
    Id,
    Created,
    Updated,
    Status,
    Text(TextField),
}

/// In the order of MLflow's table, which its messages show.
const NUMBER: Rules = Rules::number(&[NUMBERS[2], NUMBERS[3], NUMBERS[4], NUMBERS[5], NUMBERS[0], NUMBERS[1]]);
const TEXT: Rules = Rules { kind: Kind::Text { loose: true }, operators: &LISTED };
const STATUS: Rules = Rules { operators: &[LISTED[0], LISTED[1], Operator::In, Operator::NotIn], ..TEXT };

/// How logged models are searched.
const DIALECT: Dialect<Attribute> = Dialect {
    of: "logged models",
    keys: &[
        Keys { entity: NameKind::Attribute, words: &["attributes"], rules: NO_RULES, ordered: true },
        Keys { entity: NameKind::Metric, words: &["metrics"], rules: NUMBER, ordered: true },
        Keys { entity: NameKind::Param, words: &["params"], rules: TEXT, ordered: false },
        Keys { entity: NameKind::Tag, words: &["tags"], rules: TEXT, ordered: false },
    ],
    attributes: &[
        dialect::Attribute::named(Attribute::Name, &["name"], TEXT),
        dialect::Attribute::named(Attribute::Id, &["model_id"], TEXT),
        dialect::Attribute::named(
            Attribute::Created,
            &["creation_timestamp", "creation_timestamp_ms", "creation_time"],
            NUMBER,
        ),
        dialect::Attribute::named(
            Attribute::Updated,
            &["last_updated_timestamp", "last_updated_timestamp_ms", "last_updated_time"],
            NUMBER,
        ),
        dialect::Attribute::named(Attribute::Text(TextField::Type), &["model_type"], TEXT),
        dialect::Attribute::named(Attribute::Status, &["status"], STATUS),
        dialect::Attribute::named(Attribute::Text(TextField::Run), &["source_run_id"], TEXT),
        dialect::Attribute::named(Attribute::Text(TextField::Experiment), &["experiment_id"], TEXT),
        dialect::Attribute::named(Attribute::Text(TextField::Artifacts), &["artifact_location", "artifact_uri"], TEXT),
    ],
    hints: &[],
    nesting: false,
    statistics: false,
    trailing_and: true,
};

/// The attribute of a name, as filters and orders name them.
pub(crate) fn attribute(name: &str) -> Option<Attribute> {
    let named = |attribute: &&dialect::Attribute<Attribute>| attribute.ordered.contains(&name);
    DIALECT.attributes.iter().find(named).map(|attribute| attribute.id)
}

/// Of some metrics the latest by time, then step; of equal ones that of the first run by id.
pub(crate) fn latest<'a>(metrics: impl Iterator<Item = &'a Metric>) -> Option<&'a Metric> {
    metrics.max_by(|a, b| (a.timestamp, a.step).cmp(&(b.timestamp, b.step)).then_with(|| b.run_id.cmp(&a.run_id)))
}

impl Asked {
    /// Whether a model passes; metrics count as measured on one of the datasets, where there are any.
    pub(crate) fn passes(&self, model: &LoggedModel, datasets: &[(String, Option<String>)]) -> bool {
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
            Self::Text(field, test) => test.passes(field.of(model)),
            Self::Status(test) => test.passes(model.status.as_str()),
            Self::Updated(test) => test.passes(model.last_updated_timestamp),
        }
    }
}

/// Splits conditions into those that the index can evaluate and the others.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` with MLflow's message, followed by the exact reason in parentheses.
pub(crate) fn filter(text: &str) -> Result<(Vec<Expr>, Vec<Asked>)> {
    let (mut indexed, mut others) = (Vec::new(), Vec::new());
    for (field, test) in parse_list(&DIALECT, text).map_err(told)? {
        match (field, test) {
            (Field::Param(key), Test::Text(test)) => indexed.push(Clause::Param(key, test)),
            (Field::Tag(key), Test::Text(test)) => indexed.push(Clause::Tag(key, test)),
            (Field::Metric(name), Test::Number(test)) => others.push(Asked::Metric(name.key, test)),
            (Field::Attribute(Attribute::Name), Test::Text(test)) => {
                indexed.push(Clause::Text(TextAttribute::RunName, test));
            }
            (Field::Attribute(Attribute::Id), Test::Text(test)) => {
                indexed.push(Clause::Text(TextAttribute::RunId, test));
            }
            (Field::Attribute(Attribute::Created), Test::Number(test)) => {
                indexed.push(Clause::Time(TimeAttribute::Start, test));
            }
            (Field::Attribute(Attribute::Updated), Test::Number(test)) => others.push(Asked::Updated(test)),
            (Field::Attribute(Attribute::Status), Test::Text(test)) => others.push(Asked::Status(status(test)?)),
            (Field::Attribute(Attribute::Text(field)), Test::Text(test)) => others.push(Asked::Text(field, test)),
            _ => {}
        }
    }
    Ok((indexed.into_iter().map(Expr::Clause).collect(), others))
}

/// A test of the status, which is named as in `READY`.
fn status(test: TextTest) -> Result<TextTest> {
    let named = match &test {
        TextTest::Equal(name) | TextTest::NotEqual(name) => std::slice::from_ref(name),
        TextTest::In(names) | TextTest::NotIn(names) => names.as_slice(),
        _ => &[],
    };
    match named.iter().find(|name| LoggedModelStatus::ALL.iter().all(|status| status.as_str() != name.as_str())) {
        Some(name) => Err(Fault::invalid(format!("Unknown model status in filter: {}", python_text(name)))),
        None => Ok(test),
    }
}

/// MLflow's message for an error, and ours.
fn told(refusal: Box<Refusal>) -> Fault {
    let own = Error::from(refusal.clone());
    let name = refusal.name.as_ref().map(|(entity, key)| {
        let entity = DIALECT.keys.iter().find(|keys| keys.entity == *entity).map_or("attributes", |keys| keys.words[0]);
        // Times have a longer name in MLflow's tables.
        let is_time = entity == "attributes" && key.ends_with("_timestamp");
        format!("{entity}.{key}{}", if is_time { "_ms" } else { "" })
    });
    let words = match (&refusal.reason, name) {
        (Reason::NameKind(_), _) => {
            let entity = python_text(&refusal.found);
            format!("Invalid entity type: {entity}. Expected one of ['attributes', 'metrics', 'params', 'tags'].")
        }
        (Reason::Attribute(_), _) if !refusal.is_last() => {
            format!("Invalid attribute name: {}", refusal.found)
        }
        (Reason::Operator { operator, .. }, Some(name)) if operator.starts_with("IS ") => {
            format!("Invalid comparison: {name} {operator}. Expected a comparison with 3 tokens.")
        }
        (Reason::Operator { operator, .. }, Some(name)) if !operator.is_empty() && name == "attributes.status" => {
            format!("Invalid comparison operator for status: {operator}")
        }
        (Reason::Operator { operator, known, .. }, Some(name)) if !operator.is_empty() => {
            let known: Vec<String> = known.iter().map(|operator| format!("'{}'", operator.as_str())).collect();
            format!("Invalid comparison operator for {name}: '{operator}'. Expected one of ({}).", known.join(", "))
        }
        (Reason::Value { form, .. }, _) if *form != Form::None => return own.into(),
        _ => format!(
            "Invalid filter string: {}. Expected a list of comparisons separated by 'AND' (e.g. 'metrics.loss > 0.1 \
             AND params.lr = 0.01').",
            python_text(&refusal.text)
        ),
    };
    Fault::invalid(format!("{words} ({own})"))
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
                "Invalid comparison operator for attributes.name: '>'. Expected one of ('=', '!=', 'LIKE', 'ILIKE', \
                 'IN', 'NOT IN').",
            ),
            (
                "metrics.foo LIKE 0",
                "Invalid comparison operator for metrics.foo: 'LIKE'. Expected one of ('<', '<=', '>', '>=', '=', \
                 '!=').",
            ),
            ("tags.t IS NULL", "Invalid comparison: tags.t IS NULL. Expected a comparison with 3 tokens."),
            ("status LIKE 'R%'", "Invalid comparison operator for status: LIKE"),
            ("status = 'LOGGED_MODEL_READY'", "Unknown model status in filter: 'LOGGED_MODEL_READY'"),
            ("nothing = 'x'", "Invalid attribute name: nothing"),
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
