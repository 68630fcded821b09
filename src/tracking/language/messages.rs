//! MLflow's error messages for filters and orders. Its users match them in scripts and tests; ours, with the column and
//! what is expected, follow in parentheses.

use crate::error::Error;
use crate::search::dialect::{Dialect, Kind, NameKind, Operator};
use crate::search::lexer::tokens;
use crate::search::refusal::{Form, Reason, Refusal, Source};
use crate::tracking::values::error::Fault;

/// Which language a text is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Runs,
    Experiments,
    Models,
    Versions,
}

/// A text as Python shows it.
pub(crate) fn python_text(text: &str) -> String {
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

/// A set as MLflow writes it, but in order.
fn set(words: &[&str]) -> String {
    let mut words = words.to_vec();
    words.sort_unstable();
    format!("{{{}}}", words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", "))
}

/// Prepends MLflow's message to that of an error.
pub(crate) fn tell<A: Copy>(language: Language, dialect: &Dialect<A>, refusal: Box<Refusal>) -> Fault {
    let words = Words { language, dialect, refusal: &refusal };
    let words = if refusal.source == Source::Filter { words.of_filter() } else { words.of_order() };
    let own = Error::from(refusal);
    match words {
        Some(words) => Fault::invalid(format!("{words} ({own})")),
        None => own.into(),
    }
}

/// A refusal in a language.
struct Words<'a, A: 'static> {
    language: Language,
    dialect: &'a Dialect<A>,
    refusal: &'a Refusal,
}

impl<A: Copy> Words<'_, A> {
    /// What MLflow says to a filter, if it says anything that is known here.
    fn of_filter(&self) -> Option<String> {
        let Refusal { text, found, reason, .. } = self.refusal;
        match reason {
            Reason::Blank => Some(format!("Invalid filter '{text}'. Could not be parsed.")),
            Reason::SecondFilter if text.trim() == ";" => self.invalid_clause(),
            Reason::SecondFilter => {
                Some(format!("Search filter contained multiple expression {text:?}. Provide AND-ed expression list."))
            }
            Reason::Name(_) if found.starts_with('\'') => {
                Some(format!("Invalid comparison clause. Expected 'Identifier' found '{found}'"))
            }
            Reason::Unclosed(_) | Reason::Character(_) | Reason::Expected(_) | Reason::Name(_) => self.invalid_clause(),
            Reason::Attribute(_) if self.refusal.is_last() => self.invalid_clause(),
            Reason::NameKind(_) | Reason::Attribute(_) | Reason::Key(_) => self.of_name(),
            Reason::Operator { operator, form, value, .. } => self.of_operator(operator, *form, value),
            Reason::Value { form: Form::None, .. } => self.invalid_clause(),
            Reason::Value { form: Form::List, operator: Operator::In | Operator::NotIn, value, .. } => {
                Some(of_list(value))
            }
            Reason::Value { form, value, .. } => self.of_value(*form, value).or_else(|| self.invalid_clause()),
            _ => None,
        }
    }

    /// What is not part of a comparison, piece by piece.
    fn invalid_clause(&self) -> Option<String> {
        let Refusal { text, at, found, reason, start, .. } = self.refusal;
        let end = at + found.len();
        let rest = text.get(*at..)?.trim();
        let pieces: Vec<&str> = match reason {
            Reason::Unclosed(_) | Reason::Character(_) | Reason::SecondFilter => vec![rest],
            _ if found == "(" => vec![rest.find(')').map_or(rest, |end| &rest[..=end])],
            // A word where a name is wanted stands alone; behind an operator nothing makes a comparison.
            Reason::Name(_) if found.starts_with(|c: char| !c.is_alphanumeric()) => pieces(rest),
            Reason::Operator { .. } | Reason::Value { .. } => pieces(text.get(*start..end)?),
            _ if found.is_empty() => vec![text.trim()],
            _ => vec![found],
        };
        // For runs MLflow puts quotes around each.
        let quote = if self.language == Language::Runs { "'" } else { "" };
        let pieces: Vec<String> = pieces.iter().map(|piece| format!("{quote}{piece}{quote}")).collect();
        Some(format!("Invalid clause(s) in filter string: {}", pieces.join(", ")))
    }

    fn of_name(&self) -> Option<String> {
        let found = &self.refusal.found;
        match (&self.refusal.reason, &self.refusal.name) {
            (Reason::NameKind(_), _) => {
                let known = match self.language {
                    Language::Runs => "Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']",
                    Language::Experiments => "Valid entity types are ('attribute', 'attributes', 'tag', 'tags')",
                    Language::Models | Language::Versions => "Valid entity types are ('attribute', 'tag', 'tags')",
                };
                Some(format!("Invalid entity type '{found}'. {known}"))
            }
            (Reason::Attribute(_), _)
                if self.language == Language::Models && self.refusal.source == Source::OrderBy =>
            {
                Some(self.of_model_order(found))
            }
            (Reason::Attribute(_), _) => {
                let source = self.refusal.source;
                let names = self.dialect.attributes.iter().flat_map(|attribute| source.names_of(attribute));
                let known = set(&names.copied().collect::<Vec<_>>());
                Some(format!("Invalid attribute key '{found}' specified. Valid keys are '{known}'"))
            }
            (_, Some((NameKind::Dataset, key))) => {
                let known = set(&["context", "digest", "name"]);
                Some(format!("Invalid dataset key '{key}' specified. Valid keys are '{known}'"))
            }
            _ => None,
        }
    }

    /// What MLflow says to a key by which registered models are not ordered.
    fn of_model_order(&self, key: &str) -> String {
        let names = self.dialect.attributes.iter().filter_map(|attribute| attribute.ordered.first().copied());
        let known = set(&names.collect::<Vec<_>>());
        format!("Invalid order by key '{key}' specified. Valid keys are '{known}'")
    }

    /// What MLflow says to an operator: what it compares with is looked at first.
    fn of_operator(&self, operator: &str, form: Form, value: &str) -> Option<String> {
        let (entity, key) = self.refusal.name.as_ref()?;
        let number = self.is_number(*entity, key);
        match operator {
            "IS NULL" | "IS NOT NULL" => return Some(self.of_null(*entity, key)),
            "" | "BETWEEN" | "NOT BETWEEN" | "IS NAN" | "IS NOT NAN" => return self.invalid_clause(),
            _ => {}
        }
        if let Some(words) = self.of_value(form, value) {
            return Some(words);
        }
        let Reason::Operator { known, .. } = &self.refusal.reason else { return None };
        Some(match (self.language, entity) {
            (Language::Models | Language::Versions, NameKind::Tag) => format!("Invalid comparator for tag: {operator}"),
            (Language::Versions, _) if number => format!("Invalid comparator for attribute {key}: {operator}"),
            (Language::Models | Language::Versions, _) => format!("Invalid comparator for attribute: {operator}"),
            (Language::Experiments, NameKind::Attribute) if key == "experiment_id" => {
                format!("Invalid comparator for experiment_id: {operator}")
            }
            _ => {
                let known = set(&known.iter().map(|operator| operator.as_str()).collect::<Vec<_>>());
                format!("Invalid comparator '{operator}' not one of '{known}'")
            }
        })
    }

    fn of_null(&self, entity: NameKind, key: &str) -> String {
        match self.language {
            Language::Runs => {
                let kind = match entity {
                    NameKind::Metric => "metric",
                    NameKind::Dataset => "dataset",
                    _ => "attribute",
                };
                format!("IS NULL / IS NOT NULL is only supported for tags and params, not for '{kind}' '{key}'")
            }
            Language::Experiments => {
                format!("IS NULL / IS NOT NULL is only supported for tags, not for attribute '{key}'")
            }
            Language::Models => "IS NULL / IS NOT NULL is not supported for registered model search.".to_owned(),
            Language::Versions => "IS NULL / IS NOT NULL is not supported for model version search.".to_owned(),
        }
    }

    /// Whether a name is compared with numbers.
    fn is_number(&self, entity: NameKind, key: &str) -> bool {
        let rules = match entity {
            NameKind::Attribute => {
                self.dialect.attributes.iter().find(|known| known.filtered.contains(&key)).map(|known| known.rules)
            }
            entity => self.dialect.keys.iter().find(|keys| keys.entity == entity).map(|keys| keys.rules),
        };
        rules.is_some_and(|rules| !matches!(rules.kind, Kind::Text { .. }))
    }

    /// What MLflow says to what stands right of an operator; nothing where it is of the right kind.
    fn of_value(&self, form: Form, given: &str) -> Option<String> {
        let (entity, key) = self.refusal.name.as_ref()?;
        match (entity, form) {
            (_, Form::None) => self.invalid_clause(),
            (NameKind::Metric, Form::Number) => (given == "-inf").then(|| not_numeric("metric", given)),
            (NameKind::Metric, _) => Some(not_numeric("metric", given)),
            (NameKind::Attribute, Form::List) if self.language == Language::Runs && self.is_number(*entity, key) => {
                self.of_integer(key, form, given)
            }
            (NameKind::Attribute, Form::List) if self.language != Language::Models => self.of_unlisted(key),
            (NameKind::Attribute, form) if self.is_number(*entity, key) => self.of_integer(key, form, given),
            (_, Form::Text) => None,
            (_, Form::Word) => Some(format!(
                "Parameter value is either not quoted or unidentified quote types used for string value {given}. Use \
                 either single or double quotes."
            )),
            (NameKind::Param | NameKind::Tag, _) => {
                let kind = if *entity == NameKind::Tag { "tag" } else { "parameter" };
                Some(format!("Expected a quoted string value for {kind} (e.g. 'my-value'). Got value {given}"))
            }
            (_, Form::List) => Some(of_list(given)),
            (NameKind::Attribute, Form::Number) if self.language == Language::Versions => Some(format!(
                "Only the '{}' attributes support comparison with numeric values.",
                set(&["creation_timestamp", "last_updated_timestamp", "version_number"])
            )),
            (NameKind::Dataset, _) => {
                Some(format!("Expected a quoted string value for dataset attributes. Got value {given}"))
            }
            _ if matches!(self.language, Language::Models | Language::Versions) => Some(format!(
                "Expected a quoted string value or a list of quoted string values for attributes. Got value {given}"
            )),
            _ => Some(format!("Expected a quoted string value for attributes. Got value {given}")),
        }
    }

    /// What MLflow says to a list where the attribute is compared with none.
    fn of_unlisted(&self, key: &str) -> Option<String> {
        let listed: Vec<&str> = self
            .dialect
            .attributes
            .iter()
            .filter(|attribute| attribute.rules.operators.contains(&Operator::In))
            .filter_map(|attribute| attribute.filtered.first().copied())
            .collect();
        if listed.contains(&key) {
            return None;
        }
        let listed: Vec<String> = listed.iter().map(|key| format!("'{key}'")).collect();
        let listed = listed.join(", ");
        Some(format!("Only [{listed}] attributes support comparison with a list of quoted string values."))
    }

    /// What MLflow says to the value of an attribute that is a number.
    fn of_integer(&self, key: &str, form: Form, given: &str) -> Option<String> {
        let whole = given.trim_matches(['\'', '"']).parse::<i64>().is_ok();
        match (self.language, form) {
            (Language::Runs, Form::Number) if given != "-inf" => None,
            (Language::Experiments, Form::Number) | (Language::Versions, Form::Number | Form::Text) if whole => None,
            (Language::Experiments, Form::Number) => {
                Some(format!("Invalid value for numeric attribute '{key}': '{given}'"))
            }
            (Language::Versions, Form::Number | Form::Text) => {
                Some(format!("Invalid value for numeric attribute '{key}': {given}"))
            }
            _ => Some(not_numeric(&format!("numeric attribute: {key}"), given)),
        }
    }

    /// What MLflow says to a clause of an order.
    fn of_order(&self) -> Option<String> {
        let clause = &self.refusal.text;
        // The shape is looked at before the name.
        let long = clause.split_whitespace().count() > 2 && !clause.contains(['`', '"']);
        match &self.refusal.reason {
            Reason::NameKind(_) | Reason::Attribute(_) | Reason::NotOrdered(_) if long => {
                Some(format!("Invalid order_by clause '{clause}'. Could not be parsed."))
            }
            Reason::NotOrdered(_) if self.language == Language::Models => {
                Some(self.of_model_order(clause.split_whitespace().next().unwrap_or_default()))
            }
            Reason::Expected(_) if self.refusal.is_last() && !self.refusal.found.is_empty() => {
                Some(format!("Invalid ordering key in order_by clause '{clause}'."))
            }
            Reason::Expected(_) | Reason::Name(_) | Reason::Unclosed(_) | Reason::Character(_) => {
                Some(format!("Invalid order_by clause '{clause}'. Could not be parsed."))
            }
            Reason::NotOrdered(NameKind::Dataset) => Some("Invalid identifier type 'dataset'".to_owned()),
            Reason::NotOrdered(_) => Some("Invalid order_by entity: tag".to_owned()),
            _ => self.of_name(),
        }
    }
}

/// The tokens of an invalid comparison, up to an AND.
fn pieces(text: &str) -> Vec<&str> {
    let tokens = tokens(Source::Filter, text).unwrap_or_default();
    let until = tokens.iter().take_while(|token| !token.is_keyword("AND"));
    until.map(|token| &text[token.start..token.end]).collect()
}

fn not_numeric(what: &str, given: &str) -> String {
    format!("Expected numeric value type for {what}. Found {given}")
}

/// What MLflow says to a list.
fn of_list(list: &str) -> String {
    const WHILE: &str = "While parsing a list in the query, expected";
    if list.trim_matches(['(', ')']).trim().is_empty() {
        return format!("{WHILE} a non-empty list of string values, but got empty list");
    }
    format!("{WHILE} string value, punctuation, or whitespace, but got different type in list: {list}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::parser::{parse_sorting, parse_tree};
    use crate::tracking::calls::experiments;
    use crate::tracking::language::{filter, registry_search};

    /// The message for a filter or an order clause; empty if it is valid.
    fn said(language: Language, filter: &str, order_by: &[&str]) -> String {
        fn of<A: Copy>(language: Language, dialect: &Dialect<A>, filter: &str, order_by: &[&str]) -> String {
            let refused = parse_tree(dialect, filter).err().or_else(|| parse_sorting(dialect, order_by).err());
            refused.map_or_else(String::new, |refusal| tell(language, dialect, refusal).message)
        }
        match language {
            Language::Runs => of(language, &filter::MLFLOW, filter, order_by),
            Language::Experiments => of(language, &experiments::DIALECT, filter, order_by),
            Language::Models => of(language, &registry_search::MODELS, filter, order_by),
            Language::Versions => of(language, &registry_search::VERSIONS, filter, order_by),
        }
    }

    fn begins(language: Language, filter: &str, words: &str) {
        let said = said(language, filter, &[]);
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
            ("metrics.a > and run_id = 'x'", "Invalid clause(s) in filter string: 'metrics.a'"),
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
            ("start_time = ('a')", "Expected numeric value type for numeric attribute: start_time. Found ('a')"),
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
            let said = said(language, "", &[clause]);
            assert!(said.starts_with(words), "{clause}: {said}");
        }
        for clause in ["metrics.a", "params.`a b` DESC", "start_time asc", "tags.k"] {
            assert_eq!(said(Language::Runs, "", &[clause]), "", "{clause}");
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
            assert_eq!(said(Language::Runs, filter, &[]), "", "{filter}");
        }
    }

    #[test]
    fn lists_of_comparisons_are_taken_and_refused() {
        for language in [Language::Experiments, Language::Models, Language::Versions] {
            for filter in
                ["", "name = 'a'", "name ILIKE 'a%' AND tags.x != 'b'", "tags.`a b` = 'x' and name != 'y' AND"]
            {
                assert_eq!(said(language, filter, &[]), "", "{language:?}: {filter}");
            }
            for filter in [
                " ",
                "name",
                "name =",
                "name = AND",
                "name = 'a' OR name = 'b'",
                "(name = 'a')",
                "name == 'a'",
                "name <> 'a'",
                "name IN ()",
                "name IN (,)",
                "tags.x IN 'a'",
                "tags. = 'a'",
                ".x = 'a'",
                "NOT name = 'a'",
                "name = 'a' name = 'b'",
                "name IS NULL 5",
                "AND",
                "name NOT LIKE 'a'",
                "name =~ 'a'",
                "name = a",
            ] {
                assert_ne!(said(language, filter, &[]), "", "{language:?}: {filter}");
            }
            for clause in ["name", "name DESC", "attribute.name asc"] {
                assert_eq!(said(language, "", &[clause]), "", "{language:?}: {clause}");
            }
            for clause in ["", "name DESC NULLS", "nothing", "name, name", "tags.x"] {
                assert_ne!(said(language, "", &[clause]), "", "{language:?}: {clause}");
            }
        }
    }
}
