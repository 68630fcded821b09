//! What MLflow says to a filter or an order that is refused. Its users match these words in scripts and tests; ours,
//! which say the column and what would be right, follow in parentheses.
//!
//! A text that was refused is looked at once more, leniently: what is no comparison is told first, then names, then
//! values, then operators, in the order in which MLflow looks.

mod clauses;

use crate::tracking::error::{Code, Fault};
use crate::tracking::words::clauses::{Kind, Piece, comparisons, pieces};

/// Which language a text is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Runs,
    Experiments,
    Models,
    Versions,
}

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entity {
    Metric,
    Param,
    Tag,
    Attribute,
    Dataset,
}

const NUMBERS: &[&str] = &["!=", "<", "<=", "=", ">", ">="];
const TEXTS: &[&str] = &["!=", "=", "ILIKE", "LIKE"];
const LISTS: &[&str] = &["!=", "=", "ILIKE", "IN", "LIKE", "NOT IN"];
const NULLS: &[&str] = &["!=", "=", "ILIKE", "IS NOT NULL", "IS NULL", "LIKE"];

impl Language {
    fn entity(self, name: &str) -> Option<Entity> {
        Some(match name.strip_prefix('`').and_then(|name| name.strip_suffix('`')).unwrap_or(name) {
            "tag" | "tags" => Entity::Tag,
            "attribute" | "attributes" => Entity::Attribute,
            "attr" | "run" if self == Self::Runs => Entity::Attribute,
            "metric" | "metrics" if self == Self::Runs => Entity::Metric,
            "parameter" | "parameters" | "param" | "params" if self == Self::Runs => Entity::Param,
            "dataset" | "datasets" if self == Self::Runs => Entity::Dataset,
            _ => return None,
        })
    }

    fn no_entity(self, name: &str) -> String {
        let known = match self {
            Self::Runs => "Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']",
            Self::Experiments => "Valid entity types are ('attribute', 'attributes', 'tag', 'tags')",
            _ => "Valid entity types are ('attribute', 'tag', 'tags')",
        };
        format!("Invalid entity type '{name}'. {known}")
    }

    /// Attributes that filters take.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Runs => &[
                "Created",
                "Run Name",
                "Run name",
                "artifact_uri",
                "created",
                "end_time",
                "run name",
                "run_id",
                "run_name",
                "start_time",
                "status",
                "user_id",
            ],
            Self::Experiments => &["creation_time", "experiment_id", "last_update_time", "name"],
            Self::Models => &["name"],
            Self::Versions => &["name", "run_id", "source_path", "version_number"],
        }
    }

    /// Attributes that orders take.
    fn order_keys(self) -> &'static [&'static str] {
        match self {
            Self::Runs => &[
                "Created",
                "artifact_uri",
                "created",
                "end_time",
                "run_id",
                "run_name",
                "start_time",
                "status",
                "user_id",
            ],
            Self::Experiments => self.keys(),
            Self::Models => &["name", "timestamp"],
            Self::Versions => &["creation_timestamp", "last_updated_timestamp", "name", "version_number"],
        }
    }

    fn is_number(self, key: &str) -> bool {
        match self {
            Self::Runs => matches!(key, "start_time" | "end_time" | "created" | "Created"),
            Self::Experiments => matches!(key, "creation_time" | "last_update_time"),
            Self::Models => false,
            Self::Versions => key == "version_number",
        }
    }

    /// The attributes that are compared with lists, if not all are.
    fn list_keys(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Runs => Some(&["run_id"]),
            Self::Experiments => Some(&["experiment_id"]),
            Self::Versions => Some(&["name", "run_id"]),
            Self::Models => None,
        }
    }

    fn operators(self, entity: Entity, key: &str) -> &'static [&'static str] {
        match entity {
            Entity::Metric => NUMBERS,
            Entity::Attribute if self.is_number(key) => NUMBERS,
            Entity::Attribute if key == "source_path" => TEXTS,
            Entity::Attribute if key == "experiment_id" => &["!=", "=", "IN", "NOT IN"],
            Entity::Attribute | Entity::Dataset => LISTS,
            Entity::Tag if matches!(self, Self::Models | Self::Versions) => TEXTS,
            Entity::Param | Entity::Tag => NULLS,
        }
    }
}

/// A set as MLflow writes it, but in order.
fn set(words: &[&str]) -> String {
    format!("{{{}}}", words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", "))
}

/// A text as Python shows it.
pub(super) fn python_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// What MLflow says to a filter, if it says anything that is known here.
fn of_filter(language: Language, text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some(format!("Invalid filter '{text}'. Could not be parsed."));
    }
    if text.split_once(';').is_some_and(|(first, rest)| !first.contains(['\'', '"', '`']) && !rest.trim().is_empty())
        || text.contains("'; ")
    {
        return Some(format!("Search filter contained multiple expression {text:?}. Provide AND-ed expression list."));
    }
    let (found, others) = comparisons(text);
    if !others.is_empty() {
        // For runs MLflow puts quotes around each.
        let quote = if language == Language::Runs { "'" } else { "" };
        let others: Vec<String> = others.iter().map(|piece| format!("{quote}{piece}{quote}")).collect();
        return Some(format!("Invalid clause(s) in filter string: {}", others.join(", ")));
    }
    let mut names = Vec::new();
    for (left, operator, right) in &found {
        let (entity, key) = match identifier(language, left, language.keys()) {
            Ok(named) => named,
            Err(words) => return Some(words),
        };
        match right {
            Some(right) => {
                if let Some(words) = of_value(language, entity, &key, *right) {
                    return Some(words);
                }
            }
            None if language == Language::Runs && !matches!(entity, Entity::Tag | Entity::Param) => {
                let kind = match entity {
                    Entity::Metric => "metric",
                    Entity::Dataset => "dataset",
                    _ => "attribute",
                };
                return Some(format!(
                    "IS NULL / IS NOT NULL is only supported for tags and params, not for '{kind}' '{key}'"
                ));
            }
            None if language == Language::Experiments && entity != Entity::Tag => {
                return Some(format!("IS NULL / IS NOT NULL is only supported for tags, not for attribute '{key}'"));
            }
            None if language == Language::Models => {
                return Some("IS NULL / IS NOT NULL is not supported for registered model search.".to_owned());
            }
            None if language == Language::Versions => {
                return Some("IS NULL / IS NOT NULL is not supported for model version search.".to_owned());
            }
            None => {}
        }
        names.push((entity, key, operator));
    }
    names.into_iter().find_map(|(entity, key, operator)| {
        let known = language.operators(entity, &key);
        if known.contains(&operator.as_str()) {
            return None;
        }
        Some(match (language, entity) {
            (Language::Models | Language::Versions, Entity::Tag) => format!("Invalid comparator for tag: {operator}"),
            (Language::Versions, _) if language.is_number(&key) => {
                format!("Invalid comparator for attribute {key}: {operator}")
            }
            (Language::Models | Language::Versions, _) => format!("Invalid comparator for attribute: {operator}"),
            (Language::Experiments, Entity::Attribute) if key == "experiment_id" => {
                format!("Invalid comparator for experiment_id: {operator}")
            }
            _ => format!("Invalid comparator '{operator}' not one of '{}'", set(known)),
        })
    })
}

/// The entity and key of a name, or what MLflow says to it.
fn identifier(language: Language, left: &Piece<'_>, keys: &[&str]) -> Result<(Entity, String), String> {
    if left.kind != Kind::Name {
        return Err(format!("Invalid comparison clause. Expected 'Identifier' found '{}'", left.text));
    }
    let (entity, key) = match left.text.split_once('.') {
        Some((entity, key)) => (language.entity(entity).ok_or_else(|| language.no_entity(entity))?, key),
        None => (Entity::Attribute, left.text),
    };
    let key = key.trim_matches(['`', '"']).to_owned();
    if entity == Entity::Attribute && !keys.contains(&key.as_str()) {
        return Err(format!("Invalid attribute key '{key}' specified. Valid keys are '{}'", set(keys)));
    }
    const DATASET: &[&str] = &["context", "digest", "name"];
    if entity == Entity::Dataset && !DATASET.contains(&key.as_str()) {
        return Err(format!("Invalid dataset key '{key}' specified. Valid keys are '{}'", set(DATASET)));
    }
    Ok((entity, key))
}

/// What MLflow says to a value.
fn of_value(language: Language, entity: Entity, key: &str, value: Piece<'_>) -> Option<String> {
    let given = value.text;
    let text = || {
        if given.starts_with(['\'', '"']) {
            return None;
        }
        Some(format!(
            "Parameter value is either not quoted or unidentified quote types used for string value {given}. Use either \
             single or double quotes."
        ))
    };
    match (entity, value.kind) {
        (Entity::Metric, Kind::Number) => None,
        (Entity::Metric, _) => Some(format!("Expected numeric value type for metric. Found {given}")),
        (Entity::Attribute, Kind::List) if language.list_keys().is_some_and(|keys| !keys.contains(&key)) => {
            let keys: Vec<String> =
                language.list_keys().unwrap_or_default().iter().map(|key| format!("'{key}'")).collect();
            let keys = keys.join(", ");
            Some(format!("Only [{keys}] attributes support comparison with a list of quoted string values."))
        }
        (Entity::Attribute, kind) if language.is_number(key) => match kind {
            Kind::Number if language == Language::Runs || given.parse::<i64>().is_ok() => None,
            Kind::Text if language == Language::Versions && given.trim_matches(['\'', '"']).parse::<i64>().is_ok() => {
                None
            }
            Kind::Number if language == Language::Experiments => {
                Some(format!("Invalid value for numeric attribute '{key}': '{given}'"))
            }
            Kind::Number | Kind::Text if matches!(kind, Kind::Number) || language == Language::Versions => {
                Some(format!("Invalid value for numeric attribute '{key}': {given}"))
            }
            _ => Some(format!("Expected numeric value type for numeric attribute: {key}. Found {given}")),
        },
        (_, Kind::Text | Kind::Name) => text(),
        (Entity::Param | Entity::Tag, _) => {
            let kind = if entity == Entity::Tag { "tag" } else { "parameter" };
            Some(format!("Expected a quoted string value for {kind} (e.g. 'my-value'). Got value {given}"))
        }
        (Entity::Attribute | Entity::Dataset, Kind::List) => of_list(given),
        (Entity::Attribute, Kind::Number) if language == Language::Versions => Some(format!(
            "Only the '{}' attributes support comparison with numeric values.",
            set(&["creation_timestamp", "last_updated_timestamp", "version_number"])
        )),
        (Entity::Dataset, _) => {
            Some(format!("Expected a quoted string value for dataset attributes. Got value {given}"))
        }
        _ if matches!(language, Language::Models | Language::Versions) => Some(format!(
            "Expected a quoted string value or a list of quoted string values for attributes. Got value {given}"
        )),
        _ => Some(format!("Expected a quoted string value for attributes. Got value {given}")),
    }
}

/// What MLflow says to a list.
fn of_list(list: &str) -> Option<String> {
    const WHILE: &str = "While parsing a list in the query, expected";
    let inner = list.trim_start_matches('(').trim_end_matches(')');
    if inner.trim().is_empty() {
        return Some(format!("{WHILE} a non-empty list of string values, but got empty list"));
    }
    // One comma may follow the last, as in Python's tuples.
    let inner = inner.trim_end().strip_suffix(',').unwrap_or(inner);
    let texts = inner.split(',').all(|item| item.trim().starts_with('\'') && item.trim().ends_with('\''));
    if texts && list.ends_with(')') {
        return None;
    }
    Some(format!("{WHILE} string value, punctuation, or whitespace, but got different type in list: {list}"))
}

/// What MLflow says to a clause of an order.
fn of_order(language: Language, clause: &str) -> Option<String> {
    let pieces = pieces(clause);
    let name = match &pieces[..] {
        [name @ Piece { kind: Kind::Name, .. }] => name,
        [name @ Piece { kind: Kind::Name, .. }, Piece { kind: Kind::Keyword, text }]
            if text.eq_ignore_ascii_case("ASC") || text.eq_ignore_ascii_case("DESC") =>
        {
            name
        }
        [Piece { kind: Kind::Name, .. }, Piece { kind: Kind::Name, .. }] => {
            return Some(format!("Invalid ordering key in order_by clause '{clause}'."));
        }
        _ => return Some(format!("Invalid order_by clause '{clause}'. Could not be parsed.")),
    };
    if language == Language::Models {
        let known = ["name", "timestamp", "last_updated_timestamp"];
        let keys = set(language.order_keys());
        return (!known.contains(&name.text))
            .then(|| format!("Invalid order by key '{}' specified. Valid keys are '{keys}'", name.text));
    }
    match identifier(language, name, language.order_keys()) {
        Err(words) => Some(words),
        Ok((Entity::Dataset, _)) => Some("Invalid identifier type 'dataset'".to_owned()),
        Ok((Entity::Tag, _)) if language != Language::Runs => Some("Invalid order_by entity: tag".to_owned()),
        Ok(_) => None,
    }
}

/// Puts MLflow's words before those of a refusal.
pub(super) fn tell(language: Language, filter: &str, order_by: &[String], fault: Fault) -> Fault {
    if fault.code != Code::InvalidParameterValue {
        return fault;
    }
    let words = if fault.message.starts_with("invalid order_by") {
        order_by.iter().find_map(|clause| of_order(language, clause))
    } else if fault.message.starts_with("invalid filter") {
        of_filter(language, filter)
    } else {
        None
    };
    match words {
        Some(words) => Fault::invalid(format!("{words} ({})", fault.message)),
        None => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(language: Language, filter: &str, words: &str) {
        let said = of_filter(language, filter).unwrap_or_else(|| panic!("nothing is said to {filter}"));
        assert!(said.starts_with(words), "{filter}: {said}");
    }

    #[test]
    fn refused_filters_are_told_as_mlflow_tells_them() {
        for (filter, words) in [
            ("   ", "Invalid filter '   '"),
            ("metrics.a > 1; metrics.b < 1", "Search filter contained multiple expression"),
            ("metrics.a > 0.1 OR params.b = 'x'", "Invalid clause(s) in filter string: 'OR'"),
            ("metrics.a > 0.1 NAND params.b = 'x'", "Invalid clause(s) in filter string: 'NAND'"),
            ("metrics.a > 0.1 AND (params.b = 'x')", "Invalid clause(s) in filter string: '(params.b = 'x')'"),
            ("`metrics.a > 0.1", "Invalid clause(s) in filter string"),
            ("params.acc = 'LR", "Invalid clause(s) in filter string"),
            ("params.acc = LR'", "Invalid clause(s) in filter string"),
            ("tags.acc = = 'LR'", "Invalid clause(s) in filter string"),
            ("attribute.status IS 'RUNNING'", "Invalid clause(s) in filter string"),
            ("metrics.a BETWEEN 0 AND 5", "Invalid clause(s) in filter string"),
            ("m.acc >= 0.94", "Invalid entity type 'm'"),
            ("p.model >= 'LR'", "Invalid entity type 'p'"),
            ("acc >= 0.94", "Invalid attribute key 'acc' specified. Valid keys are '{"),
            ("attribute.start != 1", "Invalid attribute key 'start'"),
            ("dataset.size = '1'", "Invalid dataset key 'size'"),
            ("'a' = 'b'", "Invalid comparison clause. Expected 'Identifier' found ''a''"),
            ("params.acc = LR", "Parameter value is either not quoted or unidentified quote types"),
            ("tags.acc = `LR`", "Parameter value is either not quoted or unidentified quote types"),
            ("params.acc = 5", "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 5"),
            ("metrics.a = NULL", "Expected numeric value type for metric. Found NULL"),
            ("metrics.a = 1_000", "Expected numeric value type for metric. Found 1_000"),
            ("metrics.a = 'it''s'", "Expected numeric value type for metric. Found 'it''s'"),
            ("metrics.a = '5'", "Expected numeric value type for metric. Found '5'"),
            ("start_time > 'x'", "Expected numeric value type for numeric attribute: start_time. Found 'x'"),
            ("status = 5", "Expected a quoted string value for attributes. Got value 5"),
            ("status IN ('a')", "Only ['run_id'] attributes support comparison with a list"),
            ("run_id IN ()", "While parsing a list in the query, expected a non-empty list"),
            ("metrics.a == 5", "Invalid comparator '==' not one of '{'!=', '<', '<=', '=', '>', '>='}'"),
            ("metrics.a ~ 5", "Invalid comparator '~'"),
            ("params.a < 'x'", "Invalid comparator '<'"),
            ("tags.a rlike 'x'", "Invalid comparator 'RLIKE'"),
            ("metrics.a IS NULL", "IS NULL / IS NOT NULL is only supported for tags and params, not for 'metric' 'a'"),
        ] {
            begins(Language::Runs, filter, words);
        }
        for (language, filter, words) in [
            (
                Language::Experiments,
                "metrics.a > 1",
                "Invalid entity type 'metrics'. Valid entity types are ('attribute'",
            ),
            (
                Language::Experiments,
                "creation_time > 1.5",
                "Invalid value for numeric attribute 'creation_time': '1.5'",
            ),
            (Language::Experiments, "experiment_id > '1'", "Invalid comparator for experiment_id: >"),
            (Language::Versions, "tags.k IS NULL", "IS NULL / IS NOT NULL is not supported for model version search."),
            (Language::Versions, "source_path IN ('a')", "Only ['name', 'run_id'] attributes support comparison"),
            (Language::Versions, "version_number = 'x'", "Invalid value for numeric attribute 'version_number': 'x'"),
            (Language::Versions, "run_id = 5", "Only the '{'creation_timestamp', 'last_updated_timestamp'"),
            (
                Language::Runs,
                "dataset.name IS NULL",
                "IS NULL / IS NOT NULL is only supported for tags and params, not for 'dataset'",
            ),
            (Language::Experiments, "name > 'x'", "Invalid comparator '>' not one of"),
            (Language::Experiments, "creation_time > 1.5", "Invalid value for numeric attribute 'creation_time'"),
            (Language::Experiments, "bad", "Invalid clause(s) in filter string: bad"),
            (Language::Models, "run_id = 'x'", "Invalid attribute key 'run_id' specified. Valid keys are '{'name'}'"),
            (Language::Models, "tags.k IS NULL", "IS NULL / IS NOT NULL is not supported for registered model search."),
            (Language::Versions, "version_number LIKE 1", "Invalid comparator for attribute version_number: LIKE"),
        ] {
            begins(language, filter, words);
        }
    }

    #[test]
    fn refused_orders_are_told_as_mlflow_tells_them() {
        for (language, clause, words) in [
            (Language::Runs, "", "Invalid order_by clause ''. Could not be parsed."),
            (Language::Runs, "metrics.a ACS", "Invalid ordering key in order_by clause 'metrics.a ACS'."),
            (Language::Runs, "metrics.a DESC NULLS LAST", "Invalid order_by clause"),
            (Language::Runs, "m.x", "Invalid entity type 'm'"),
            (Language::Runs, "acc", "Invalid attribute key 'acc' specified"),
            (Language::Runs, "dataset.name", "Invalid identifier type 'dataset'"),
            (Language::Experiments, "tags.k", "Invalid order_by entity: tag"),
            (Language::Models, "creation_timestamp", "Invalid order by key 'creation_timestamp' specified"),
            (Language::Versions, "status", "Invalid attribute key 'status' specified"),
        ] {
            let said = of_order(language, clause).unwrap_or_default();
            assert!(said.starts_with(words), "{clause}: {said}");
        }
        for clause in ["metrics.a", "params.`a b` DESC", "start_time asc", "tags.k"] {
            assert_eq!(of_order(Language::Runs, clause), None, "{clause}");
        }
    }

    #[test]
    fn nothing_is_said_to_what_is_right() {
        for filter in [
            "metrics.a > 1 AND params.b = 'x'",
            "tags.`a b` IS NOT NULL and run_id IN ('a', 'b')",
            "attributes.status != \"RUNNING\"",
            "start_time >= -5",
            "dataset.name NOT IN ('a')",
        ] {
            assert_eq!(of_filter(Language::Runs, filter), None, "{filter}");
        }
    }
}
