//! One call of the API: what came with it, and what goes back.

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use super::check::{Checks, check};
use super::fault::Fault;
use super::schema::{Field, Fields, from_query, read, refuse_both_spellings};
use crate::app::App;
use crate::auth::access::Principal;

/// Deepest nesting of a request's JSON.
const DEPTH_MAX: usize = 64;

/// A call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The server.
    pub(crate) app: &'a App,
    /// Who calls.
    pub(crate) principal: &'a Principal,
    /// The request.
    pub(crate) input: &'a Input,
}

/// What came with a call.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// The method.
    pub(crate) method: Method,
    /// The parameters of the path, decoded once.
    pub(crate) path: Vec<(String, String)>,
    /// The arguments of the URL, decoded once, in order.
    pub(crate) query: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Bytes,
}

/// What goes back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The kind of the body.
    pub(crate) content_type: &'static str,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// The result of a handler.
pub(crate) type Outcome = Result<Answer, Fault>;

impl Answer {
    /// A JSON document.
    pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Outcome {
        Self::long_json(value, 128)
    }

    /// A JSON document of about so many bytes.
    pub(crate) fn long_json<T: Serialize + ?Sized>(value: &T, bytes: usize) -> Outcome {
        let mut body = Vec::with_capacity(bytes);
        serde_json::to_writer(&mut body, value).map_err(|error| {
            Fault::new(super::fault::Code::InternalError, format!("cannot write the answer: {error}"))
        })?;
        Self::json_bytes(body)
    }

    /// A JSON document that is written already.
    pub(crate) fn json_bytes(body: Vec<u8>) -> Outcome {
        Ok(Self { status: StatusCode::OK, content_type: "application/json", body })
    }

    /// The empty object, which says that it was done.
    pub(crate) fn done() -> Outcome {
        Self::json_bytes(b"{}".to_vec())
    }
}

impl Input {
    /// A parameter of the path.
    pub(crate) fn path(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The first argument of the URL by a name.
    pub(crate) fn argument(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as an object; empty when it is none, or no JSON.
    ///
    /// # Errors
    /// Nesting over the limit.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Fault> {
        if depth(&self.body) > DEPTH_MAX {
            return Err(Fault::invalid(format!("The request's JSON is nested deeper than {DEPTH_MAX} levels.")));
        }
        let body = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body);
        let mut value = serde_json::from_slice(body).unwrap_or(Value::Null);
        // Old clients send a string that holds the document.
        if let Value::String(text) = &value {
            value = serde_json::from_str(text).unwrap_or(Value::Null);
        }
        match value {
            Value::Object(object) => Ok(object),
            _ => Ok(Map::new()),
        }
    }

    /// What the call says, before any reading: arguments of a GET, the body of anything else.
    ///
    /// # Errors
    /// As [`Self::object`] and [`from_query`].
    pub(crate) fn raw(&self, message: &[Field]) -> Result<Map<String, Value>, Fault> {
        if self.method == Method::GET && !self.query.is_empty() {
            from_query(&self.query, message)
        } else {
            self.object()
        }
    }

    /// Reads and checks the call's message.
    ///
    /// # Errors
    /// A parameter that is missing, of the wrong form, or spelled twice.
    pub(crate) fn read(&self, message: &[Field], checks: Checks<'_>) -> Result<Fields, Fault> {
        let raw = self.raw(message)?;
        refuse_both_spellings(&raw, message)?;
        let (fields, whole) = read(&raw, message);
        check(&raw, whole, checks)?;
        Ok(fields)
    }
}

impl Call<'_> {
    /// As [`Input::read`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn read(&self, message: &[Field], checks: Checks<'_>) -> Result<Fields, Fault> {
        self.input.read(message, checks)
    }
}

/// The deepest nesting of brackets outside of strings.
pub(crate) fn depth(json: &[u8]) -> usize {
    let (mut depth, mut most, mut in_text, mut escaped) = (0usize, 0usize, false, false);
    for &byte in json {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
        } else {
            match byte {
                b'"' => in_text = true,
                b'{' | b'[' => {
                    depth += 1;
                    most = most.max(depth);
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(body: &str) -> Input {
        Input { method: Method::POST, body: Bytes::copy_from_slice(body.as_bytes()), ..Input::default() }
    }

    #[test]
    fn bodies_that_are_no_object_are_empty() {
        for body in ["", "nonsense", "[1]", "null", "{\"a\":", "{} trailing", "\"text\""] {
            assert!(input(body).object().unwrap().is_empty(), "{body}");
        }
        assert_eq!(input(r#""{\"a\":1}""#).object().unwrap()["a"], 1);
        assert_eq!(input("\u{feff}{\"a\":1}").object().unwrap()["a"], 1);
    }

    #[test]
    fn deep_nesting_is_refused_and_brackets_in_strings_do_not_count() {
        assert!(input(&"[".repeat(100_000)).object().is_err());
        assert!(input(&"{\"a\":".repeat(65)).object().is_err());
        let text = format!("{{\"a\":\"{}\\\"[\"}}", "[".repeat(1000));
        assert_eq!(depth(text.as_bytes()), 1);
    }
}
