//! Messages as MLflow's protobuf descriptors give them, and the reading of JSON into them.
//!
//! MLflow parses a request with protobuf's JSON mapping. It ignores unknown fields. At the first value of a wrong type,
//! it stops and continues with what it has read so far, so numbers become 0 and lists are cut. Here such a value is
//! refused.

use serde_json::{Map, Value};

use super::number::{double, integer};
use crate::fault::Fault;

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// An integer of 64 bits, or of 32, which MLflow's rules bound anyway.
    Int,
    /// A double.
    Float,
    /// A truth value.
    Bool,
    /// One of these names, or its number.
    Enum(&'static [(&'static str, i64)]),
    /// A message.
    Message(&'static [Field]),
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// Its name, in snake_case; the camelCase twin is taken too.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Whether it is a list.
    pub(crate) many: bool,
}

/// A field of one value.
pub(crate) const fn one(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, many: false }
}

/// A list.
pub(crate) const fn many(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, many: true }
}

/// A string field.
pub(crate) const fn text(name: &'static str) -> Field {
    one(name, Kind::Text)
}

/// An integer field.
pub(crate) const fn int(name: &'static str) -> Field {
    one(name, Kind::Int)
}

/// A message that was read: known fields only, by their snake_case names, each of its kind (doubles that JSON cannot
/// write are strings still; see [`Fields::float`]).
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Map<String, Value>);

/// Longest text of a wrong value that is told, in characters.
const SHOWN_MAX: usize = 100;

/// A value that its field cannot hold.
struct Wrong {
    /// Where it is, from the innermost field to the outermost.
    path: Vec<String>,
    value: String,
    kind: Kind,
    /// Whether a list is wanted.
    many: bool,
}

/// Reads a JSON object.
///
/// # Errors
/// 400 for the first value that its field cannot hold: its place, the value, and what it must be.
pub(crate) fn read(from: &Map<String, Value>, message: &[Field]) -> Result<Fields, Fault> {
    let mut to = Map::new();
    match read_into(from, message, &mut to) {
        Ok(()) => Ok(Fields(to)),
        Err(wrong) => {
            let path = wrong.path.iter().rev().fold(String::new(), |path, part| match part.as_str() {
                part if path.is_empty() || part.starts_with('[') => path + part,
                part => path + "." + part,
            });
            Err(Fault::invalid(format!(
                "Invalid value {} for parameter '{path}' supplied: it must be {}. See the API docs for more \
                 information about request parameters.",
                wrong.value,
                if wrong.many { "a list".to_owned() } else { wanted(wrong.kind) }
            )))
        }
    }
}

/// What a field of a kind must be.
fn wanted(kind: Kind) -> String {
    match kind {
        Kind::Text => "a string".into(),
        Kind::Int => "an integer of 64 bits, or a string of one".into(),
        Kind::Float => "a number, or a string of one (\"NaN\", \"Infinity\" and \"-Infinity\" too)".into(),
        Kind::Bool => "true or false".into(),
        Kind::Enum(names) => {
            format!("one of {}", names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))
        }
        Kind::Message(_) => "an object".into(),
    }
}

fn read_into(from: &Map<String, Value>, message: &[Field], to: &mut Map<String, Value>) -> Result<(), Wrong> {
    for (name, value) in from {
        let Some(field) = message.iter().find(|field| field.name == name || is_camel(name, field.name)) else {
            continue;
        };
        if value.is_null() {
            continue;
        }
        let within = |mut wrong: Wrong| {
            wrong.path.push(field.name.to_owned());
            wrong
        };
        if field.many {
            let Value::Array(items) = value else {
                return Err(within(Wrong { many: true, ..wrong(value, field.kind) }));
            };
            let list = to.entry(field.name).or_insert_with(|| Value::Array(Vec::with_capacity(items.len())));
            for (index, item) in items.iter().enumerate() {
                let item = read_value(item, field.kind).map_err(|mut wrong| {
                    wrong.path.push(format!("[{index}]"));
                    within(wrong)
                })?;
                if let Value::Array(list) = list {
                    list.push(item);
                }
            }
        } else {
            to.insert(field.name.to_owned(), read_value(value, field.kind).map_err(within)?);
        }
    }
    Ok(())
}

fn wrong(value: &Value, kind: Kind) -> Wrong {
    let mut text = value.to_string();
    if let Some((cut, _)) = text.char_indices().nth(SHOWN_MAX) {
        text.truncate(cut);
        text.push('…');
    }
    Wrong { path: Vec::new(), value: text, kind, many: false }
}

fn read_value(value: &Value, kind: Kind) -> Result<Value, Wrong> {
    let read = match (kind, value) {
        (Kind::Text, Value::String(_)) | (Kind::Bool, Value::Bool(_)) => Some(value.clone()),
        (Kind::Int, _) => integer(value).map(Value::from),
        (Kind::Float, _) => double(value).map(|double| match serde_json::Number::from_f64(double) {
            Some(number) => Value::Number(number),
            None => value.clone(),
        }),
        (Kind::Enum(names), Value::String(text)) => {
            names.iter().find(|(name, _)| name == text).map(|(name, _)| Value::from(*name))
        }
        (Kind::Enum(names), Value::Number(_)) => integer(value)
            .and_then(|number| names.iter().find(|(_, known)| *known == number))
            .map(|(name, _)| Value::from(*name)),
        (Kind::Message(message), Value::Object(object)) => {
            let mut to = Map::new();
            read_into(object, message, &mut to)?;
            Some(Value::Object(to))
        }
        _ => None,
    };
    read.ok_or_else(|| wrong(value, kind))
}

/// Reads the arguments of a URL, which have no types: a list takes all arguments of its name, any other field the
/// first.
///
/// # Errors
/// A truth value that is neither `true` nor `false`.
pub(crate) fn from_query(query: &[(String, String)], message: &[Field]) -> Result<Map<String, Value>, Fault> {
    let mut to = Map::new();
    for field in message {
        let mut values = query.iter().filter(|(name, _)| name == field.name).map(|(_, value)| value);
        if field.many {
            let values: Vec<Value> = values.cloned().map(Value::String).collect();
            if !values.is_empty() {
                to.insert(field.name.to_owned(), Value::Array(values));
            }
        } else if let Some(value) = values.next() {
            let value = match (field.kind, value.to_ascii_lowercase().as_str()) {
                (Kind::Bool, "true") => Value::Bool(true),
                (Kind::Bool, "false") => Value::Bool(false),
                (Kind::Bool, _) => {
                    return Err(Fault::invalid(format!("Invalid boolean value: {value}, must be 'true' or 'false'.")));
                }
                _ => Value::String(value.clone()),
            };
            to.insert(field.name.to_owned(), value);
        }
    }
    Ok(to)
}

/// Refuses an object that has one field in both spellings: a reader might use the one and a guard the other.
///
/// # Errors
/// The field and its two spellings.
pub(crate) fn refuse_both_spellings(from: &Map<String, Value>, message: &[Field]) -> Result<(), Fault> {
    for field in message {
        let camel = from.keys().find(|name| *name != field.name && is_camel(name, field.name));
        let snake = from.get(field.name);
        if let (Some(camel), Some(_)) = (camel, snake) {
            return Err(Fault::invalid(format!(
                "Request specifies both '{}' and '{camel}'; provide only one of them.",
                field.name
            )));
        }
        if let Kind::Message(inner) = field.kind {
            match snake.or_else(|| camel.and_then(|camel| from.get(camel))) {
                Some(Value::Object(object)) => refuse_both_spellings(object, inner)?,
                Some(Value::Array(items)) => {
                    for object in items.iter().filter_map(Value::as_object) {
                        refuse_both_spellings(object, inner)?;
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether `name` is the camelCase twin of a snake_case name.
pub(crate) fn is_camel(name: &str, snake: &str) -> bool {
    let mut name = name.chars();
    let mut upper = false;
    for c in snake.chars() {
        if c == '_' {
            upper = true;
            continue;
        }
        let c = if upper { c.to_ascii_uppercase() } else { c };
        upper = false;
        if name.next() != Some(c) {
            return false;
        }
    }
    name.next().is_none()
}

impl Fields {
    /// Whether the field was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A string; `""` when it was not given.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.opt_text(name).unwrap_or_default()
    }

    /// A string, if it was given.
    pub(crate) fn opt_text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// The id of a run, under either of its names.
    pub(crate) fn run_id(&self) -> &str {
        match self.text("run_id") {
            "" => self.text("run_uuid"),
            id => id,
        }
    }

    /// An integer, if it was given.
    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    /// A double; 0 when it was not given.
    pub(crate) fn float(&self, name: &str) -> f64 {
        self.0.get(name).and_then(double).unwrap_or_default()
    }

    /// A truth value; false when it was not given.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The strings of a list.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.items(name).filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    /// A message within.
    pub(crate) fn message(&self, name: &str) -> Option<Fields> {
        self.0.get(name).and_then(Value::as_object).cloned().map(Fields)
    }

    /// The messages of a list.
    pub(crate) fn messages(&self, name: &str) -> Vec<Fields> {
        self.items(name).filter_map(|item| item.as_object().cloned().map(Fields)).collect()
    }

    fn items(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.0.get(name).and_then(Value::as_array).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &[Field] = &[text("key"), text("value")];
    const STATUS: &[(&str, i64)] = &[("RUNNING", 1), ("FINISHED", 3)];
    const MESSAGE: &[Field] = &[
        text("run_id"),
        int("end_time"),
        one("status", Kind::Enum(STATUS)),
        many("tags", Kind::Message(TAG)),
        one("value", Kind::Float),
    ];

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_place() {
        for (json, path, wanted) in [
            (r#"{"run_id":"a","x":1,"status":"NOPE","endTime":"5"}"#, "'status'", "one of RUNNING, FINISHED"),
            (r#"{"status":7}"#, "'status'", "one of"),
            (r#"{"endTime":"abc"}"#, "'end_time'", "an integer"),
            (r#"{"end_time":1.5}"#, "'end_time'", "an integer"),
            (r#"{"end_time":""}"#, "'end_time'", "an integer"),
            (r#"{"end_time":9223372036854775808}"#, "'end_time'", "an integer"),
            (r#"{"value":"abc"}"#, "'value'", "a number"),
            (r#"{"value":[1]}"#, "'value'", "a number"),
            (r#"{"run_id":1}"#, "'run_id'", "a string"),
            (r#"{"tags":{}}"#, "'tags'", "a list"),
            (r#"{"tags":[{"key":"a"},5]}"#, "'tags[1]'", "an object"),
            (r#"{"tags":[{"key":"a","value":1}]}"#, "'tags[0].value'", "a string"),
        ] {
            let told = read(&object(json), MESSAGE).unwrap_err().message;
            assert!(told.contains(path) && told.contains(wanted), "{json}: {told}");
        }
        let long = object(&format!(r#"{{"end_time":"{}"}}"#, "9".repeat(1000)));
        assert!(read(&long, MESSAGE).unwrap_err().message.len() < 400);
        let fields = read(&object(r#"{"endTime":"5","status":3,"value":"NaN","x":"y"}"#), MESSAGE).unwrap();
        assert_eq!((fields.int("end_time"), fields.text("status")), (Some(5), "FINISHED"));
        assert!(fields.float("value").is_nan());
    }

    #[test]
    fn both_spellings_are_refused_within_lists_too() {
        const OUTER: &[Field] = &[many("items", Kind::Message(&[text("model_id")]))];
        assert!(refuse_both_spellings(&object(r#"{"items":[{"modelId":"a"}]}"#), OUTER).is_ok());
        let fault = refuse_both_spellings(&object(r#"{"items":[{"modelId":"a","model_id":"b"}]}"#), OUTER);
        assert!(fault.unwrap_err().message.contains("'model_id' and 'modelId'"));
    }
}
