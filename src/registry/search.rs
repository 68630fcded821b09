//! Finding registered models and versions: MLflow's filters and orders of each.

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::registry::rules::{Model, Registry, Version};
use crate::search::ast::{NumberTest, TextTest};
use crate::search::conditions::{Condition, Operator, TEXTS, parse_conditions, parse_sorting};

/// The tag that makes a registered model a prompt: searches leave prompts out unless they ask for them by it.
pub const PROMPT_TAG: &str = "mlflow.prompt.is_prompt";

/// A condition on a model or a version.
enum Test {
    Name(TextTest),
    Run(TextTest),
    Source(TextTest),
    Number(NumberTest),
    Tag(String, TextTest),
}

/// What a filter asks for.
struct Filter {
    tests: Vec<Test>,
    prompts: bool,
}

impl Filter {
    fn parse(text: &str, versions: bool) -> Result<Self> {
        let conditions = parse_conditions(text)?;
        let (mut tests, mut prompts) = (Vec::new(), None);
        for condition in &conditions {
            let test = test(condition, versions)?;
            if let Test::Tag(key, test) = &test
                && key == PROMPT_TAG
            {
                prompts = prompts.or(Some(match test {
                    TextTest::Equal(value) => value.eq_ignore_ascii_case("true"),
                    TextTest::NotEqual(value) => value.eq_ignore_ascii_case("false"),
                    _ => false,
                }));
            }
            tests.push(test);
        }
        let prompts = prompts.unwrap_or(false);
        if !prompts {
            // Models have no such tag, so what is asked of it says only that prompts are left out.
            tests.retain(|test| !matches!(test, Test::Tag(key, _) if key == PROMPT_TAG));
        }
        Ok(Self { tests, prompts })
    }

    /// Whether tags are those of what is asked for.
    fn takes(&self, tags: &std::collections::BTreeMap<String, String>) -> bool {
        self.prompts || !tags.get(PROMPT_TAG).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

fn test(condition: &Condition, versions: bool) -> Result<Test> {
    let listed = [&TEXTS[..], &[Operator::In, Operator::NotIn]].concat();
    match (condition.entity.as_deref(), condition.key.as_str()) {
        (Some("tag" | "tags"), key) => Ok(Test::Tag(key.to_owned(), condition.text(&TEXTS)?)),
        (None | Some("attribute" | "attributes"), "name") => Ok(Test::Name(condition.text(&listed)?)),
        (None | Some("attribute" | "attributes"), "run_id") if versions => Ok(Test::Run(condition.text(&listed)?)),
        (None | Some("attribute" | "attributes"), "source_path") if versions => {
            Ok(Test::Source(condition.text(&TEXTS)?))
        }
        (None | Some("attribute" | "attributes"), "version_number") if versions => {
            Ok(Test::Number(condition.integer(true)?))
        }
        (_, key) => {
            let known = if versions { "name, version_number, run_id, source_path" } else { "name" };
            Err(condition.wrong(format!("Invalid attribute key '{key}' specified. Valid keys are {known}, and tags")))
        }
    }
}

/// Names of the models that a filter finds, in order.
///
/// # Errors
/// [`Error::Invalid`].
pub fn models<'a>(registry: &'a Registry, filter: &str, order_by: &[String]) -> Result<Vec<(&'a str, &'a Model)>> {
    let filter = Filter::parse(filter, false)?;
    let mut order = Vec::new();
    for clause in parse_sorting(order_by)? {
        let by_time = match (clause.entity.as_deref(), clause.key.as_str()) {
            (None | Some("attribute" | "attributes"), "name") => false,
            (None | Some("attribute" | "attributes"), "timestamp" | "last_updated_timestamp") => true,
            (_, key) => return Err(bad_order(key, "name, timestamp, last_updated_timestamp")),
        };
        if order.iter().any(|(known, _)| *known == by_time) {
            return Err(twice(order_by));
        }
        order.push((by_time, clause.descending));
    }
    let passes = |name: &str, model: &Model| {
        filter.takes(&model.tags)
            && filter.tests.iter().all(|test| match test {
                Test::Name(test) => test.passes(name),
                Test::Tag(key, test) => model.tags.get(key).is_some_and(|value| test.passes(value)),
                Test::Run(_) | Test::Source(_) | Test::Number(_) => false,
            })
    };
    let mut found: Vec<(&str, &Model)> = registry
        .models
        .iter()
        .map(|(name, model)| (name.as_str(), model))
        .filter(|(name, model)| passes(name, model))
        .collect();
    found.sort_by(|a, b| {
        let by = |&(by_time, descending): &(bool, bool)| {
            let ordering = if by_time { a.1.updated_ms.cmp(&b.1.updated_ms) } else { a.0.cmp(b.0) };
            if descending { ordering.reverse() } else { ordering }
        };
        order.iter().map(by).find(|ordering| ordering.is_ne()).unwrap_or_else(|| a.0.cmp(b.0))
    });
    Ok(found)
}

/// A version that was found: its model's name, its number, and itself.
pub type FoundVersion<'a> = (&'a str, u64, &'a Version);

/// The versions that a filter finds, in order.
///
/// # Errors
/// [`Error::Invalid`].
pub fn versions<'a>(registry: &'a Registry, filter: &str, order_by: &[String]) -> Result<Vec<FoundVersion<'a>>> {
    let filter = Filter::parse(filter, true)?;
    let mut order: Vec<(&str, bool)> = Vec::new();
    let sorting = parse_sorting(order_by)?;
    for clause in &sorting {
        let key = clause.key.as_str();
        let of_version = matches!(clause.entity.as_deref(), None | Some("attribute" | "attributes"));
        if !of_version || !["name", "version_number", "creation_timestamp", "last_updated_timestamp"].contains(&key) {
            return Err(bad_order(key, "name, version_number, creation_timestamp, last_updated_timestamp"));
        }
        if order.iter().any(|(known, _)| *known == key) {
            return Err(twice(order_by));
        }
        order.push((key, clause.descending));
    }
    if order.is_empty() {
        order.push(("last_updated_timestamp", true));
    }
    order.extend([("name", false), ("version_number", true)]);
    let passes = |&(name, number, version): &FoundVersion<'_>| {
        filter.takes(&version.tags)
            && filter.tests.iter().all(|test| match test {
                Test::Name(test) => test.passes(name),
                Test::Run(test) => test.passes(&version.run_id),
                Test::Source(test) => test.passes(&version.source),
                Test::Number(test) => test.passes(i64::try_from(number).unwrap_or(i64::MAX)),
                Test::Tag(key, test) => version.tags.get(key).is_some_and(|value| test.passes(value)),
            })
    };
    // A filter that names one model looks at no other.
    let only = filter.tests.iter().find_map(|test| match test {
        Test::Name(TextTest::Equal(name)) => Some(name.as_str()),
        _ => None,
    });
    let all = |model: (&'a String, &'a Model)| {
        model.1.versions.iter().map(move |(&number, version)| (model.0.as_str(), number, version))
    };
    let mut found: Vec<FoundVersion<'a>> = match only {
        Some(name) => registry.models.get_key_value(name).into_iter().flat_map(all).filter(passes).collect(),
        None => registry.models.iter().flat_map(all).filter(passes).collect(),
    };
    found.sort_by(|a, b| {
        let by = |&(key, descending): &(&str, bool)| {
            let ordering: Ordering = match key {
                "name" => a.0.cmp(b.0),
                "version_number" => a.1.cmp(&b.1),
                "creation_timestamp" => a.2.created_ms.cmp(&b.2.created_ms),
                _ => a.2.updated_ms.cmp(&b.2.updated_ms),
            };
            if descending { ordering.reverse() } else { ordering }
        };
        order.iter().map(by).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    });
    Ok(found)
}

fn bad_order(key: &str, known: &str) -> Error {
    Error::invalid("order_by", format!("Invalid order by key '{key}' specified. Valid keys are {known}"))
}

fn twice(order_by: &[String]) -> Error {
    Error::invalid("order_by", format!("`order_by` contains duplicate fields: {order_by:?}"))
}
