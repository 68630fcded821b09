//! Finding registered models and versions: MLflow's filters and orders of each.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::journal::registry::Model;
use crate::registry::store::{FoundVersion, ModelRegistry, ModelVersion, Page, RegisteredModel};
use crate::search::ast::TextTest;
use crate::search::dialect::{Attribute, Dialect, Keys, Kind, LISTED, NO_RULES, NUMBERS, NameKind, Rules, TEXTS};
use crate::search::parser::{Field, Sorting, Test, parse_list, parse_sorting};
use crate::tracking::language::messages::{Language, tell};
use crate::tracking::values::error::{Fault, Result};

/// The tag that makes a registered model a prompt: searches leave prompts out unless they ask for them by it.
pub(crate) const PROMPT_TAG: &str = "mlflow.prompt.is_prompt";

/// An attribute of a model or a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Name,
    Run,
    Source,
    Number,
    Created,
    Updated,
}

/// The kinds of names of both.
const KEYS: &[Keys] = &[
    Keys { entity: NameKind::Attribute, words: &["attributes", "attribute"], rules: NO_RULES, ordered: true },
    Keys { entity: NameKind::Tag, words: &["tags", "tag"], rules: Rules::text(&TEXTS), ordered: false },
];
const NAME: Attribute<Of> = Attribute::named(Of::Name, &["name"], Rules::text(&LISTED));

pub(crate) const MODELS: Dialect<Of> = Dialect {
    of: "registered models",
    keys: KEYS,
    attributes: &[
        NAME,
        Attribute {
            id: Of::Updated,
            filtered: &[],
            ordered: &["timestamp", "last_updated_timestamp"],
            rules: NO_RULES,
        },
    ],
    hints: &[],
    nesting: false,
    statistics: false,
    trailing_and: true,
};

pub(crate) const VERSIONS: Dialect<Of> = Dialect {
    of: "model versions",
    attributes: &[
        NAME,
        Attribute::named(
            Of::Number,
            &["version_number"],
            Rules { kind: Kind::Integer { quoted: true }, operators: &NUMBERS },
        ),
        Attribute { id: Of::Run, filtered: &["run_id"], ordered: &[], rules: Rules::text(&LISTED) },
        Attribute { id: Of::Source, filtered: &["source_path"], ordered: &[], rules: Rules::text(&TEXTS) },
        Attribute { id: Of::Created, filtered: &[], ordered: &["creation_timestamp"], rules: NO_RULES },
        Attribute { id: Of::Updated, filtered: &[], ordered: &["last_updated_timestamp"], rules: NO_RULES },
    ],
    ..MODELS
};

/// What a filter asks for.
struct Filter {
    tests: Vec<(Field<Of>, Test)>,
    prompts: bool,
}

impl Filter {
    fn new(mut tests: Vec<(Field<Of>, Test)>) -> Self {
        let prompts = tests.iter().find_map(|(field, test)| match (field, test) {
            (Field::Tag(key), Test::Text(test)) if key == PROMPT_TAG => Some(match test {
                TextTest::Equal(value) => value.eq_ignore_ascii_case("true"),
                TextTest::NotEqual(value) => value.eq_ignore_ascii_case("false"),
                _ => false,
            }),
            _ => None,
        });
        let prompts = prompts.unwrap_or(false);
        if !prompts {
            // Models have no such tag, so what is asked of it says only that prompts are left out.
            tests.retain(|(field, _)| !matches!(field, Field::Tag(key) if key == PROMPT_TAG));
        }
        Self { tests, prompts }
    }

    fn passes<'v>(&self, tags: &BTreeMap<String, String>, text: impl Fn(Of) -> &'v str, number: u64) -> bool {
        let prompt = tags.get(PROMPT_TAG).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        (self.prompts || !prompt)
            && self.tests.iter().all(|(field, test)| match (field, test) {
                (Field::Tag(key), Test::Text(test)) => tags.get(key).is_some_and(|value| test.passes(value)),
                (Field::Attribute(of), Test::Text(test)) => test.passes(text(*of)),
                (Field::Attribute(_), Test::Number(test)) => test.passes(i64::try_from(number).unwrap_or(i64::MAX)),
                _ => false,
            })
    }

    /// The one model that it names, if it does.
    fn only(&self) -> Option<&str> {
        self.tests.iter().find_map(|(field, test)| match (field, test) {
            (Field::Attribute(Of::Name), Test::Text(TextTest::Equal(name))) => Some(name.as_str()),
            _ => None,
        })
    }
}

/// A filter and an order, each name at most once.
fn parse(
    language: Language,
    dialect: &Dialect<Of>,
    filter: &str,
    order_by: &[String],
) -> Result<(Filter, Vec<(Of, bool)>)> {
    let refused = |refusal| tell(language, dialect, refusal);
    let filter = Filter::new(parse_list(dialect, filter).map_err(refused)?);
    let mut order = Vec::new();
    for Sorting { field, descending } in parse_sorting(dialect, order_by).map_err(refused)? {
        let Field::Attribute(of) = field else { continue };
        if order.iter().any(|(known, _)| *known == of) {
            return Err(Fault::invalid(format!("`order_by` contains duplicate fields: {order_by:?}")));
        }
        order.push((of, descending));
    }
    Ok((filter, order))
}

/// The first difference by an order's keys.
fn ordered(order: &[(Of, bool)], by: impl Fn(Of) -> Ordering) -> Ordering {
    let mut each = order.iter().map(|(of, descending)| if *descending { by(*of).reverse() } else { by(*of) });
    each.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

/// One page of the models that a filter finds, in order; then by name.
pub(crate) fn models(
    store: ModelRegistry<'_>,
    filter: &str,
    order_by: &[String],
    offset: usize,
    max: usize,
) -> Result<Page<RegisteredModel>> {
    let (filter, order) = parse(Language::Models, &MODELS, filter, order_by)?;
    let passes = |name: &str, model: &Model| filter.passes(&model.tags, |_| name, 0);
    let compare = |a: (&str, &Model), b: (&str, &Model)| {
        let by = |of| match of {
            Of::Updated => a.1.updated_ms.cmp(&b.1.updated_ms),
            _ => a.0.cmp(b.0),
        };
        ordered(&order, by).then_with(|| a.0.cmp(b.0))
    };
    Ok(store.find_models(passes, compare, offset, max)?)
}

/// One page of the versions that a filter finds, in order; the latest updated first where none is given.
pub(crate) fn versions(
    store: ModelRegistry<'_>,
    filter: &str,
    order_by: &[String],
    offset: usize,
    max: usize,
) -> Result<Page<ModelVersion>> {
    let (filter, mut order) = parse(Language::Versions, &VERSIONS, filter, order_by)?;
    if order.is_empty() {
        order.push((Of::Updated, true));
    }
    order.extend([(Of::Name, false), (Of::Number, true)]);
    let passes = |&(name, number, version): &FoundVersion<'_>| {
        let text = |of| match of {
            Of::Run => version.run_id.as_str(),
            Of::Source => version.source.as_str(),
            _ => name,
        };
        filter.passes(&version.tags, text, number)
    };
    let compare = |a: &FoundVersion<'_>, b: &FoundVersion<'_>| {
        ordered(&order, |of| match of {
            Of::Number => a.1.cmp(&b.1),
            Of::Created => a.2.created_ms.cmp(&b.2.created_ms),
            Of::Updated => a.2.updated_ms.cmp(&b.2.updated_ms),
            _ => a.0.cmp(b.0),
        })
    };
    Ok(store.find_versions(filter.only(), passes, compare, offset, max)?)
}
