//! GraphQL, as far as MLflow's UI speaks it: the queries of its schema, answered by the same code as the REST calls.
//!
//! A document is parsed (`document`), its root fields are answered as REST calls whose JSON is then cut to what was
//! selected, by the table of types (`schema`).

mod document;
mod introspection;
mod limits;
mod schema;

use std::cell::Cell;

use serde_json::{Map, Value, json as object};

use self::document::{Document, Selection, parse};
use self::schema::{Holds, QUERY, TEST, Type};
use crate::call::{Answer, Call, Input, Outcome};
use crate::fault::{Code, Fault};
use crate::json::schema::is_camel;
use crate::routes::{Verb, mentioned};

/// Bytes that a byte of JSON takes as a tree and in what is selected of it.
const TREE_BYTES: usize = 8;
/// Most bytes that the trees of one operation take.
const BYTES_MAX: usize = 64 << 20;

/// `POST /graphql`.
pub(crate) fn post(call: &Call<'_>) -> Outcome {
    let request = call.object()?;
    let query = request.get("query").and_then(Value::as_str).unwrap_or_default();
    let variables = request.get("variables").and_then(Value::as_object).cloned().unwrap_or_default();
    let operation = request.get("operationName").and_then(Value::as_str);
    Answer::json(&answer(call, query, &variables, operation))
}

/// `GET /graphql?query=…`.
pub(crate) fn get(call: &Call<'_>) -> Outcome {
    let variables = crate::json::document::object(call.input.argument("variables").unwrap_or_default().as_bytes())
        .map_err(|fault| Fault::invalid(format!("The argument 'variables': {}", fault.message)))?;
    let query = call.input.argument("query").unwrap_or_default();
    Answer::json(&answer(call, query, &variables, call.input.argument("operationName")))
}

fn answer(call: &Call<'_>, query: &str, variables: &Map<String, Value>, operation: Option<&str>) -> Value {
    let failed = |message: String| object!({ "data": null, "errors": [message] });
    let document = match parse(query) {
        Ok(document) => document,
        Err(message) => return failed(format!("Syntax Error: {message}")),
    };
    let selections = match document.operation(operation) {
        Ok(selections) => selections,
        Err(message) => return failed(message),
    };
    if let Err(message) = limits::check(&document, selections) {
        return failed(message);
    }
    let mut work =
        Work { call, document: &document, variables, errors: Vec::new(), unknown: false, bytes: Cell::default() };
    let mut fields = Vec::new();
    work.collect(selections, QUERY.name, &mut fields);
    let mut data = Map::new();
    for field in fields {
        let value = work.root(field);
        data.insert(field.shown().to_owned(), value);
    }
    if work.unknown {
        // Such a document is refused as a whole, as by MLflow.
        return object!({ "data": null, "errors": work.errors });
    }
    let errors = (!work.errors.is_empty()).then_some(work.errors);
    object!({ "data": data, "errors": errors })
}

/// A field that was selected.
type Field<'d> = &'d document::Field;

/// The work on one operation.
struct Work<'a, 'd> {
    call: &'a Call<'a>,
    document: &'d Document,
    variables: &'a Map<String, Value>,
    errors: Vec<String>,
    /// Whether the root was asked for a field that there is none of.
    unknown: bool,
    /// Bytes that the answers of the calls so far take, as trees.
    bytes: Cell<usize>,
}

impl<'d> Work<'_, 'd> {
    /// The fields of a selection, with those of fragments of this type. It ends, since [`limits::check`] lets no
    /// fragment through that spreads itself.
    fn collect(&self, selections: &'d [Selection], name: &str, to: &mut Vec<Field<'d>>) {
        for selection in selections {
            match selection {
                Selection::Field(field) => to.push(field),
                Selection::Inline { on, selections } if on.as_deref().is_none_or(|on| on == name) => {
                    self.collect(selections, name, to);
                }
                Selection::Spread(spread) => {
                    if let Some(fragment) = self.document.fragment(spread).filter(|fragment| fragment.on == name) {
                        self.collect(&fragment.selections, name, to);
                    }
                }
                Selection::Inline { .. } => {}
            }
        }
    }

    /// Answers a field of the root by the REST call of that name.
    fn root(&mut self, field: Field<'d>) -> Value {
        if field.name == "__typename" {
            return QUERY.name.into();
        }
        if let Some(known) = introspection::root(&field.name) {
            let given = field.argument("name", self.variables);
            return known
                .answer(given.as_ref().and_then(Value::as_str), &field.selections, self.document)
                .unwrap_or_else(|message| {
                    self.errors.push(message);
                    Value::Null
                });
        }
        if field.name == "test" {
            // By which clients of MLflow see whether GraphQL is served at all.
            let given = field.argument("inputString", self.variables).unwrap_or_default();
            return self.project(&object!({ "output": given }), &TEST, &field.selections);
        }
        let Some(schema::Root { name, kind, run, .. }) = schema::ROOTS.iter().find(|root| root.name == field.name)
        else {
            self.no_field(field, QUERY.name);
            self.unknown = true;
            return Value::Null;
        };
        let input = field.argument("input", self.variables).unwrap_or_default();
        match self.may_reach(&input).and_then(|()| self.ask(*run, &input)) {
            Ok(value) => self.project(&value, kind, &field.selections),
            Err(fault) => {
                tracing::debug!(name, %fault, "graphql");
                self.errors.push(fault.message);
                Value::Null
            }
        }
    }

    fn no_field(&mut self, field: Field<'d>, kind: &str) {
        self.errors.push(format!("Cannot query field '{}' on type '{kind}'.", field.name));
    }

    /// Holds the objects that a field of the root names against the caller's scope, as for REST calls.
    fn may_reach(&self, input: &Value) -> Result<(), Fault> {
        if !self.call.context.is_bound() {
            return Ok(());
        }
        let mut named = Vec::new();
        mentioned("", input, &mut named);
        self.call.context.may_reach(&named)
    }

    fn ask(&self, run: fn(&Call<'_>) -> Outcome, input: &Value) -> Result<Value, Fault> {
        // REST's required parameters are looked for in snake_case.
        let input: Map<String, Value> =
            input.as_object().into_iter().flatten().map(|(name, value)| (snake(name), value.clone())).collect();
        let body = Value::from(input).to_string();
        let input = Input { verb: Verb::Post, ..Input::default() };
        let Call { api, context, .. } = *self.call;
        let answer = run(&Call { api, context, input: &input, body: body.as_bytes() })?;
        // It becomes a tree, and what is selected of it another; all fields of the root are held at once.
        self.bytes.set(self.bytes.get() + answer.body.len() * TREE_BYTES);
        self.call.context.reserve(self.bytes.get())?;
        if self.bytes.get() > BYTES_MAX {
            return Err(Fault::invalid("This operation asks for too much at once; ask for fewer results."));
        }
        serde_json::from_slice(&answer.body).map_err(|error| Fault::new(Code::InternalError, error.to_string()))
    }

    /// What was selected of an object. What protobuf leaves out is its default.
    fn project(&mut self, value: &Value, kind: &'static Type, selections: &'d [Selection]) -> Value {
        let mut fields = Vec::new();
        self.collect(selections, kind.name, &mut fields);
        let mut to = Map::new();
        for field in fields {
            let shown = field.shown().to_owned();
            if field.name == "__typename" {
                to.insert(shown, kind.name.into());
                continue;
            }
            let known = kind.fields.iter().find(|(name, _)| *name == field.name || is_camel(&field.name, name));
            let Some((name, holds)) = known else {
                self.no_field(field, kind.name);
                continue;
            };
            let inner = value.get(name);
            let projected = match holds {
                Holds::Text => inner.cloned().unwrap_or_else(|| "".into()),
                Holds::Long => inner.map_or_else(|| "0".into(), |number| number.to_string().into()),
                // NaN is a string in our JSON, and nothing in GraphQL's.
                Holds::Float => match inner.unwrap_or(&object!(0.0)) {
                    Value::String(text) if text.ends_with("Infinity") => {
                        object!(if text.starts_with('-') { f64::MIN } else { f64::MAX })
                    }
                    Value::String(_) => Value::Null,
                    number => number.clone(),
                },
                Holds::Bool => inner.cloned().unwrap_or(Value::Bool(false)),
                Holds::Enum(_) | Holds::Optional => inner.cloned().unwrap_or_default(),
                Holds::Nothing => Value::Null,
                Holds::Texts => inner.cloned().unwrap_or_else(|| object!([])),
                Holds::One(kind) => self.project(inner.unwrap_or(&object!({})), kind, &field.selections),
                Holds::Many(kind) => {
                    let items = inner.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                    items.iter().map(|item| self.project(item, kind, &field.selections)).collect()
                }
                Holds::Asked(asked) => self.asked(asked, value, field),
            };
            to.insert(shown, projected);
        }
        Value::Object(to)
    }

    /// A field that takes a further call: a run's experiment, or its model versions.
    fn asked(&mut self, asked: &schema::Asked, value: &Value, field: Field<'d>) -> Value {
        let input = (asked.input)(value);
        // The registry is of the whole workspace, also as far as it is about one's own runs.
        let allowed = if asked.name == "model_versions" && self.call.context.is_bound() {
            return object!([]);
        } else {
            self.may_reach(&input)
        };
        let answer = match allowed.and_then(|()| self.ask(asked.run, &input)) {
            Ok(answer) => answer,
            Err(fault) => {
                self.errors.push(fault.message);
                return Value::Null;
            }
        };
        match answer.get(asked.name) {
            Some(Value::Array(items)) => {
                items.iter().map(|item| self.project(item, asked.kind, &field.selections)).collect()
            }
            Some(item) => self.project(item, asked.kind, &field.selections),
            None => object!([]),
        }
    }
}

/// The snake_case twin of a camelCase name.
fn snake(camel: &str) -> String {
    camel.chars().fold(String::new(), |mut name, c| {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
        name
    })
}
