//! Introspection: the schema as GraphQL describes itself, `__schema` and `__type`, so that GraphQL tools work.
//!
//! The answers come from the tables of [`super::schema`]. A type is written shallowly: its fields name other types. If
//! a selection continues into such a name, that type is looked up then.

use serde_json::{Map, Value, json};

use super::document::{Document, Selection};
use super::schema::{ENUMS, Holds, INPUTS, ROOTS, TEST, Type};

/// Most values that an answer tells: types name each other, so that nested selections multiply.
const VALUES_MAX: usize = 100_000;

/// The scalars.
const SCALARS: [&str; 5] = ["String", "Float", "Boolean", "Int", "LongString"];

/// A field of the root by which the schema tells of itself.
pub(super) enum Root {
    Schema,
    Type,
}

/// Whether a field of the root asks for the schema.
pub(super) fn root(name: &str) -> Option<Root> {
    match name {
        "__schema" => Some(Root::Schema),
        "__type" => Some(Root::Type),
        _ => None,
    }
}

impl Root {
    /// What was selected. `name` is the argument of that name.
    ///
    /// # Errors
    /// A field that there is none of, or an answer that is too long.
    pub(super) fn answer(
        &self,
        name: Option<&str>,
        selections: &[Selection],
        document: &Document,
    ) -> Result<Value, String> {
        let mut work = Work { types: types(), document, left: VALUES_MAX };
        let value = match self {
            Self::Schema => schema(&work.types),
            Self::Type => match work.types.iter().find(|known| known["name"].as_str() == name) {
                Some(known) => known.clone(),
                None => return Ok(Value::Null),
            },
        };
        work.project(&value, selections)
    }
}

struct Work<'a> {
    types: Vec<Value>,
    document: &'a Document,
    left: usize,
}

impl Work<'_> {
    fn project(&mut self, value: &Value, selections: &[Selection]) -> Result<Value, String> {
        match value {
            Value::Array(items) => items.iter().map(|item| self.project(item, selections)).collect(),
            Value::Object(fields) if !selections.is_empty() => {
                // A name of a type, in place of the type.
                let whole = match fields.get("of") {
                    Some(name) => self.types.iter().find(|known| known["name"] == *name).cloned(),
                    None => None,
                };
                let mut to = Map::new();
                self.select(whole.as_ref().unwrap_or(value), selections, &mut to)?;
                Ok(Value::Object(to))
            }
            other => Ok(other.clone()),
        }
    }

    fn select(&mut self, value: &Value, selections: &[Selection], to: &mut Map<String, Value>) -> Result<(), String> {
        for selection in selections {
            self.left = self.left.checked_sub(1).ok_or("the schema is asked for too deeply at once")?;
            match selection {
                Selection::Field(field) => {
                    let told = match (field.name.as_str(), value.get(&field.name)) {
                        ("__typename", _) => value["__typename"].clone(),
                        (_, Some(inner)) => self.project(inner, &field.selections)?,
                        (name, None) if name == "of" || !KNOWN.contains(&name) => {
                            return Err(format!("Cannot query field '{name}' on type '{}'.", kind(value)));
                        }
                        _ => Value::Null,
                    };
                    to.insert(field.shown().to_owned(), told);
                }
                Selection::Inline { selections, .. } => self.select(value, selections, to)?,
                Selection::Spread(name) => {
                    // The limits let no fragment through that spreads itself.
                    if let Some(fragment) = self.document.fragment(name) {
                        self.select(value, &fragment.selections, to)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// All fields of the types of introspection; one that a value lacks is null.
const KNOWN: [&str; 25] = [
    "args",
    "defaultValue",
    "deprecationReason",
    "description",
    "directives",
    "enumValues",
    "fields",
    "inputFields",
    "interfaces",
    "isDeprecated",
    "isOneOf",
    "isRepeatable",
    "kind",
    "locations",
    "mutationType",
    "name",
    "ofType",
    "onField",
    "onFragment",
    "onOperation",
    "possibleTypes",
    "queryType",
    "specifiedByURL",
    "subscriptionType",
    "type",
];

fn kind(value: &Value) -> &str {
    value["__typename"].as_str().unwrap_or("__Type")
}

fn schema(types: &[Value]) -> Value {
    json!({
        "__typename": "__Schema",
        "description": null,
        "queryType": { "of": "Query" },
        "mutationType": { "of": "Mutation" },
        "subscriptionType": null,
        "types": types,
        "directives": [
            directive("include", &["FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"], "if", "Boolean"),
            directive("skip", &["FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"], "if", "Boolean"),
            directive("component", &["QUERY", "MUTATION"], "name", "String"),
        ],
    })
}

fn directive(name: &str, locations: &[&str], argument: &str, kind: &str) -> Value {
    json!({
        "__typename": "__Directive",
        "name": name,
        "description": null,
        "isRepeatable": false,
        "locations": locations,
        "args": [argument_of(argument, wrapped("NON_NULL", named(kind)))],
    })
}

fn argument_of(name: &str, kind: Value) -> Value {
    json!({
        "__typename": "__InputValue",
        "name": name,
        "description": null,
        "type": kind,
        "defaultValue": null,
        "isDeprecated": false,
        "deprecationReason": null,
    })
}

/// A name in place of a type, with what may be told without looking it up.
fn named(name: &str) -> Value {
    json!({ "of": name })
}

fn wrapped(kind: &str, inner: Value) -> Value {
    json!({ "__typename": "__Type", "kind": kind, "name": null, "ofType": inner })
}

/// A type as GraphQL writes it: a name, or `[name]`.
fn written(text: &str) -> Value {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inner) => wrapped("LIST", named(inner)),
        None => named(text),
    }
}

fn field(name: &str, kind: Value, arguments: Vec<Value>) -> Value {
    json!({
        "__typename": "__Field",
        "name": name,
        "description": null,
        "args": arguments,
        "type": kind,
        "isDeprecated": false,
        "deprecationReason": null,
    })
}

fn type_of(kind: &str, name: &str, part: &str, parts: Value) -> Value {
    let mut told = json!({
        "__typename": "__Type",
        "kind": kind,
        "name": name,
        "description": null,
        "fields": null,
        "inputFields": null,
        "interfaces": null,
        "enumValues": null,
        "possibleTypes": null,
        "ofType": null,
    });
    if kind == "OBJECT" {
        told["interfaces"] = json!([]);
    }
    if !part.is_empty() {
        told[part] = parts;
    }
    told
}

/// All types of the schema.
fn types() -> Vec<Value> {
    let mut told: Vec<Value> = SCALARS.into_iter().map(|name| type_of("SCALAR", name, "", Value::Null)).collect();
    told.extend(ENUMS.iter().map(|names| {
        let value = |name: &&str| {
            json!({ "__typename": "__EnumValue", "name": name, "description": null, "isDeprecated": false, "deprecationReason": null })
        };
        type_of("ENUM", names.name, "enumValues", names.values.iter().map(value).collect())
    }));
    told.extend(INPUTS.iter().map(|input| {
        let fields = input.fields.iter().map(|(name, kind)| argument_of(name, written(kind)));
        type_of("INPUT_OBJECT", input.name, "inputFields", fields.collect())
    }));
    for (name, of_this) in [("Query", 0), ("Mutation", 1)] {
        let mut fields: Vec<Value> = ROOTS
            .iter()
            .filter(|root| if of_this == 0 { root.of.0 } else { root.of.1 })
            .map(|root| field(root.name, named(root.kind.name), vec![argument_of("input", named(root.input.name))]))
            .collect();
        if of_this == 0 {
            fields.push(field("test", named(TEST.name), vec![argument_of("inputString", named("String"))]));
        }
        told.push(type_of("OBJECT", name, "fields", fields.into()));
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut left: Vec<&'static Type> = ROOTS.iter().map(|root| root.kind).chain([&TEST]).collect();
    while let Some(kind) = left.pop() {
        if seen.contains(&kind.name) {
            continue;
        }
        seen.push(kind.name);
        let fields = kind.fields.iter().map(|(name, holds)| {
            let many = |kind: &Type| wrapped("LIST", wrapped("NON_NULL", named(kind.name)));
            let of = match holds {
                Holds::Text | Holds::Optional | Holds::Nothing => named("String"),
                Holds::Long => named("LongString"),
                Holds::Float => named("Float"),
                Holds::Bool => named("Boolean"),
                Holds::Enum(names) => named(names.name),
                Holds::Texts => wrapped("LIST", named("String")),
                Holds::One(kind) => named(kind.name),
                Holds::Many(kind) => many(kind),
                Holds::Asked(asked) if asked.name == "model_versions" => many(asked.kind),
                Holds::Asked(asked) => named(asked.kind.name),
            };
            field(&camel(name), of, Vec::new())
        });
        told.push(type_of("OBJECT", kind.name, "fields", fields.collect()));
        left.extend(kind.fields.iter().filter_map(|(_, holds)| match holds {
            Holds::One(kind) | Holds::Many(kind) => Some(*kind),
            Holds::Asked(asked) => Some(asked.kind),
            _ => None,
        }));
    }
    told
}

/// The camelCase twin of a snake_case name.
fn camel(snake: &str) -> String {
    let mut upper = false;
    let mut name = String::new();
    for c in snake.chars() {
        if c == '_' {
            upper = true;
        } else {
            name.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::super::document::parse;
    use super::*;

    fn ask(query: &str, name: Option<&str>) -> Result<Value, String> {
        let document = parse(query).unwrap();
        let [Selection::Field(field)] = document.operation(None).unwrap() else { panic!("{query}") };
        root(&field.name).unwrap().answer(name, &field.selections, &document)
    }

    #[test]
    fn every_type_that_is_named_is_told() {
        let told = types();
        let names: Vec<&str> = told.iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len());
        fn named(value: &Value, to: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    to.extend(fields.get("of").and_then(Value::as_str).map(str::to_owned));
                    fields.values().for_each(|inner| named(inner, to));
                }
                Value::Array(items) => items.iter().for_each(|inner| named(inner, to)),
                _ => {}
            }
        }
        let mut all = Vec::new();
        named(&schema(&told), &mut all);
        assert!(all.len() > 100);
        for name in all {
            assert!(names.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn types_are_looked_up_as_deep_as_they_are_selected() {
        let told = ask(
            "{ __type { name kind fields { name type { name fields { name type { name } } } } } }",
            Some("MlflowGetRunResponse"),
        );
        let told = told.unwrap();
        assert_eq!((&told["kind"], &told["fields"][0]["name"]), (&json!("OBJECT"), &json!("run")));
        assert_eq!(told["fields"][0]["type"]["fields"][0]["type"]["name"], "MlflowRunInfo");
        assert_eq!(ask("{ __type { name } }", Some("Nothing")), Ok(Value::Null));
        let wrong = ask("{ __type { colour } }", Some("Query")).unwrap_err();
        assert_eq!(wrong, "Cannot query field 'colour' on type '__Type'.");
    }
}
