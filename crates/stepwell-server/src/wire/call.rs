//! One call of the API: what came with it, and what goes back.

use std::cell::RefCell;

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use stepwell::tracking::Tracking;

use super::check::{Checks, check};
use super::fault::Fault;
use super::json;
use super::schema::{Field, Fields, from_query, read, refuse_both_spellings};
use crate::app::App;
use crate::auth::access::Principal;
use crate::http::room::Held;

/// A call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The server.
    pub(crate) app: &'a App,
    /// Who calls.
    pub(crate) principal: &'a Principal,
    /// The request.
    pub(crate) input: &'a Input,
    /// Room for the answer that was taken before it is made.
    pub(crate) held: &'a RefCell<Held>,
}

impl Call<'_> {
    /// The facade as the caller has it: what it deletes, restores, creates or moves is said to be done by the token of
    /// that name.
    pub(crate) fn acting(&self) -> Tracking {
        match self.principal.name() {
            Some(name) => self.app.tracking.acting_as(name),
            None => self.app.tracking.clone(),
        }
    }
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

    /// The body as an object; empty where there is no body.
    ///
    /// # Errors
    /// As [`json::object`].
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Fault> {
        json::object(&self.body)
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
        self.read_from(&self.raw(message)?, message, checks)
    }

    /// As [`Self::read`], of what [`Self::raw`] gave.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn read_from(
        &self,
        raw: &Map<String, Value>,
        message: &[Field],
        checks: Checks<'_>,
    ) -> Result<Fields, Fault> {
        refuse_both_spellings(raw, message)?;
        let fields = read(raw, message);
        check(raw, fields.is_ok(), checks)?;
        fields
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

    /// Takes room for an answer of about so many bytes before it is made, so that many calls at once make no more than
    /// there is room for. As with answers, one call takes half of all room at most.
    ///
    /// # Errors
    /// 503 when there is none.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<(), Fault> {
        self.app.rooms.answer(bytes, &mut self.held.borrow_mut())
    }
}
