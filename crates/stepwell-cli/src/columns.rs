//! Columns that a caller of `runs` asks for: metrics with their statistics, params, tags and attributes, named as in
//! filters.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use stepwell::query::{Aggregate, MetricName, OrderKey, Statistic, TextAttribute, TimeAttribute, parse_name};
use stepwell::{KeyKind, RunSummary, Workspace};

use crate::failure::Outcome;
use crate::output::{JsonValue, escape, rounded};
use crate::table::{Cell, Column};
use crate::time::moment_or_empty;

/// Columns of one argument, which has commas between them.
#[derive(Clone, Debug)]
pub(crate) struct Columns(Vec<Asked>);

/// A column as it was asked for.
#[derive(Clone, Debug)]
struct Asked {
    text: String,
    key: OrderKey,
}

/// A column with its name looked up among the keys of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    text: String,
    key: OrderKey,
}

/// Reads columns separated by commas; commas within quotes do not separate.
pub(crate) fn parse(text: &str) -> Result<Columns, String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (None, ',') => parts.push(String::new()),
            _ => {
                match (quote, c) {
                    (None, '`' | '"') => quote = Some(c),
                    (Some(open), c) if c == open => quote = None,
                    _ => {}
                }
                if let Some(part) = parts.last_mut() {
                    part.push(c);
                }
            }
        }
    }
    let columns = parts.iter().map(|part| {
        let text = part.trim();
        Ok(Asked { text: text.to_owned(), key: parse_one(text)? })
    });
    columns.collect::<Result<_, String>>().map(Columns)
}

/// Reads one column. Without quotes, all that follows the first dot is the key, whatever it has in it.
fn parse_one(text: &str) -> Result<OrderKey, String> {
    let plain = text.split_once('.').filter(|(_, key)| !key.is_empty() && !key.starts_with(['`', '"']));
    Ok(match plain {
        Some(("metrics" | "metric", key)) => OrderKey::Metric(MetricName::unquoted(key)),
        Some(("params" | "param" | "parameters" | "parameter", key)) => OrderKey::Param(key.to_owned()),
        Some(("tags" | "tag", key)) => OrderKey::Tag(key.to_owned()),
        _ => match parse_name(text).map_err(|error| error.to_string())? {
            OrderKey::Text(TextAttribute::ArtifactUri) => {
                return Err("artifact_uri is not a column; `stepwell show RUN` has it".to_owned());
            }
            key => key,
        },
    })
}

/// The columns of all arguments, and their names.
pub(crate) fn names(arguments: &[Columns]) -> Vec<OrderKey> {
    arguments.iter().flat_map(|columns| &columns.0).map(|asked| asked.key.clone()).collect()
}

/// Looks the names up: `metrics.a.min` is the metric `a.min` where any run has one, else the least value of `a`.
pub(crate) fn look_up(workspace: &Workspace, arguments: &[Columns]) -> Outcome<Vec<Known>> {
    let mut known = Vec::new();
    for Asked { text, key } in arguments.iter().flat_map(|columns| &columns.0) {
        let key = match key {
            OrderKey::Metric(MetricName { literal: Some(literal), .. })
                if workspace.has_key(KeyKind::Metric, literal)? =>
            {
                OrderKey::Metric(MetricName::latest(literal))
            }
            key => key.clone(),
        };
        known.push(Known { text: text.clone(), key });
    }
    Ok(known)
}

impl Known {
    /// The head: the name without its entity.
    pub(crate) fn column(&self) -> Column {
        let head = match &self.key {
            OrderKey::Metric(MetricName { key, aggregate: Aggregate::Latest, .. })
            | OrderKey::Param(key)
            | OrderKey::Tag(key) => escape(key),
            _ => escape(self.text.split_once('.').map_or(self.text.as_str(), |(_, key)| key)),
        };
        if matches!(self.key, OrderKey::Metric(_)) { Column::number(&head) } else { Column::whole(&head) }
    }

    /// The cell of a run; empty where it has none.
    pub(crate) fn cell(&self, run: &RunSummary) -> Cell {
        let text = |text: Option<&String>| text.map(|text| escape(text)).unwrap_or_default();
        match &self.key {
            OrderKey::Metric(_) => match self.statistic(run) {
                Some(Statistic::Float(value)) => rounded(value),
                Some(Statistic::Integer(number)) => number.to_string(),
                None => String::new(),
            },
            OrderKey::Param(key) => text(run.params.get(key)),
            OrderKey::Tag(key) => text(run.tags.get(key)),
            OrderKey::Time(attribute) => moment_or_empty(time(run, *attribute)),
            OrderKey::Text(attribute) => escape(word(run, *attribute)),
        }
        .into()
    }

    fn statistic(&self, run: &RunSummary) -> Option<Statistic> {
        match &self.key {
            OrderKey::Metric(name) => name.aggregate.of(run.metrics.get(&name.key)?),
            _ => None,
        }
    }
}

/// The columns of a run in JSON, by the names that the caller gave them.
pub(crate) fn shape<'a>(columns: &'a [Known], run: &RunSummary) -> BTreeMap<&'a str, Json> {
    let value = |column: &Known| match &column.key {
        OrderKey::Metric(_) => match column.statistic(run) {
            Some(Statistic::Float(value)) => json!(JsonValue(value)),
            Some(Statistic::Integer(number)) => json!(number),
            None => Json::Null,
        },
        OrderKey::Param(key) => json!(run.params.get(key)),
        OrderKey::Tag(key) => json!(run.tags.get(key)),
        OrderKey::Time(attribute) => json!(time(run, *attribute)),
        OrderKey::Text(attribute) => json!(word(run, *attribute)),
    };
    columns.iter().map(|column| (column.text.as_str(), value(column))).collect()
}

fn time(run: &RunSummary, attribute: TimeAttribute) -> Option<i64> {
    match attribute {
        TimeAttribute::Start => run.start_time_ms,
        TimeAttribute::End => run.end_time_ms,
    }
}

fn word(run: &RunSummary, attribute: TextAttribute) -> &str {
    match attribute {
        TextAttribute::RunId => run.run_id.as_str(),
        TextAttribute::RunName => &run.name,
        TextAttribute::Status => run.status.as_str(),
        TextAttribute::UserId => &run.user,
        // Refused when it is asked for.
        TextAttribute::ArtifactUri => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_as_in_filters() {
        let one = |text: &str| parse(text).unwrap().0.remove(0).key;
        let metric = |key: &str, aggregate, literal: Option<&str>| {
            OrderKey::Metric(MetricName { key: key.into(), aggregate, literal: literal.map(str::to_owned) })
        };
        assert_eq!(one("metrics.loss"), metric("loss", Aggregate::Latest, None));
        assert_eq!(one("metrics.loss.min"), metric("loss", Aggregate::Min, Some("loss.min")));
        assert_eq!(one("metrics.`loss.min`"), metric("loss.min", Aggregate::Latest, None));
        assert_eq!(one("metrics.\"train/loss\".max"), metric("train/loss", Aggregate::Max, None));
        assert_eq!(one("metrics.train/loss"), metric("train/loss", Aggregate::Latest, None));
        assert_eq!(one("params.a.min"), OrderKey::Param("a.min".into()));
        assert_eq!(one("tags.`a,b`"), OrderKey::Tag("a,b".into()));
        assert_eq!(one("start_time"), OrderKey::Time(TimeAttribute::Start));
        assert_eq!(one("attributes.user_id"), OrderKey::Text(TextAttribute::UserId));
        assert_eq!(parse("metrics.a, tags.`b,c`,params.d").unwrap().0.len(), 3);
    }

    #[test]
    fn a_wrong_column_is_told_with_what_may_be_meant() {
        for (text, says) in [
            ("loss", "did you mean metrics.loss, params.loss or tags.loss?"),
            ("x.y", "none of metrics, params, tags"),
            ("metrics.", "a key is missing"),
            ("metrics.`a`.median", "not a statistic"),
            ("metrics.a,", "expected a name"),
            ("artifact_uri", "stepwell show"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
