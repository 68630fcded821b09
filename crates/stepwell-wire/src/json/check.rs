//! Checks of a request's parameters before its operation sees them, with MLflow's words.

use serde_json::{Map, Value};

use super::number::double;
use crate::fault::Fault;

/// One check of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// It must be given, and not be empty.
    Required,
    /// It must be a string.
    Text,
    /// It must be an integer, or a string of one.
    Int,
    /// It must be a number, or a string of one.
    Float,
    /// It must be a truth value.
    Bool,
    /// It must be a list.
    Array,
    /// It must be an integer of at most so many.
    AtMost(i64),
}

/// Which parameters are checked, and for what.
pub(crate) type Checks<'a> = &'a [(&'static str, &'a [Check])];

/// Checks a request with the words of MLflow. Types are looked at only when it could not be read, as MLflow does.
///
/// # Errors
/// The first parameter that does not hold.
pub(crate) fn check(request: &Map<String, Value>, whole: bool, checks: Checks<'_>) -> Result<(), Fault> {
    for (name, list) in checks {
        let mut value = request.get(*name);
        if value.is_none() && !list.contains(&Check::Required) {
            continue;
        }
        if *name == "run_id" && value.is_none_or(Value::is_null) {
            value = request.get("run_uuid").or(value);
        }
        let value = value.unwrap_or(&Value::Null);
        for check in *list {
            let is_type = matches!(check, Check::Text | Check::Int | Check::Float | Check::Bool | Check::Array);
            let passed = is_type && whole;
            if !passed && !holds(*check, value) {
                return Err(Fault::invalid(format!(
                    "{} See the API docs for more information about request parameters.",
                    words(*check, name, value)
                )));
            }
        }
    }
    Ok(())
}

fn holds(check: Check, value: &Value) -> bool {
    match check {
        Check::Required => !value.is_null() && value.as_str() != Some(""),
        Check::Text => value.is_string(),
        // As Python's int() takes it: a fraction is cut, blanks are passed over.
        Check::Int => match value {
            Value::String(text) => text.trim().parse::<i64>().is_ok(),
            _ => value.is_number() || value.is_boolean(),
        },
        Check::Float => double(value).is_some(),
        Check::Bool => value.is_boolean(),
        Check::Array => value.is_array(),
        Check::AtMost(most) => match value {
            Value::String(text) => text.trim().parse::<i64>().is_ok_and(|value| value <= most),
            _ => value.as_f64().is_none_or(|value| value <= most as f64),
        },
    }
}

fn words(check: Check, name: &str, value: &Value) -> String {
    if check == Check::Required {
        return format!("Missing value for required parameter '{name}'.");
    }
    let kind = match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    };
    format!("Invalid value {value} for parameter '{name}' supplied:  Hint: Value was of type '{kind}'.")
}
