//! One call: its contents, who asked and in which context, and the answer.

use serde::Serialize;
use serde_json::{Map, Value};
use stepwell::tracking::Tracking;

use crate::api::Api;
use crate::fault::{Code, Fault};
use crate::json::check::{Checks, check};
use crate::json::document;
use crate::json::schema::{Field, Fields, from_query, read, refuse_both_spellings};
use crate::routes::{Object, Verb};

/// What a call needs from whoever runs it, and what it reports besides its answer. The default methods suit a process
/// that calls for itself: it may do everything, and nothing is reported.
pub trait Context {
    /// The name that is recorded for what the call deletes, restores, creates or moves. If there is none, the name of
    /// the process's user is recorded.
    fn caller(&self) -> Option<&str> {
        None
    }

    /// The answer was made without these places, which cannot be read: what is there, and why.
    fn left_out(&self, places: &[String]) {
        let _ = places;
    }

    /// So many points of metrics were stored.
    fn stored(&self, points: u64) {
        let _ = points;
    }

    /// [`Api::answer_in`] answers with this fault. Only this method sees [`Fault::detail`].
    fn failed(&self, fault: &Fault) {
        let _ = fault;
    }

    /// Reserves room for an answer of about this many bytes before it is made. While the call goes on, it may reserve
    /// more in place of what it has.
    ///
    /// # Errors
    /// When there is none; the call ends with it.
    fn reserve(&self, bytes: usize) -> Result<(), Fault> {
        let _ = bytes;
        Ok(())
    }

    /// Whether the caller may reach some experiments only, so that [`Self::may_reach`] must be asked.
    fn is_bound(&self) -> bool {
        false
    }

    /// Whether the caller may reach these objects, of a route with [`Reach::Operation`](crate::routes::Reach).
    ///
    /// # Errors
    /// When it may not.
    fn may_reach(&self, objects: &[Object]) -> Result<(), Fault> {
        let _ = objects;
        Ok(())
    }
}

/// A process that calls for itself.
impl Context for () {}

/// A call.
pub(crate) struct Call<'a> {
    /// Who answers.
    pub(crate) api: &'a Api,
    /// Who asks.
    pub(crate) context: &'a dyn Context,
    /// The head of the request.
    pub(crate) input: &'a Input,
    /// Its body.
    pub(crate) body: &'a [u8],
}

/// The head of a request.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The method.
    pub verb: Verb,
    /// The parameters of the path, decoded once.
    pub path: Vec<(String, String)>,
    /// The arguments of the URL, decoded once, in order.
    pub query: Vec<(String, String)>,
}

/// What goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, as HTTP counts: 200 when it was done, 400 and more for a [`Fault`].
    pub status: u16,
    /// The kind of the body: `application/json` but for a few words of text.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// The result of an operation.
pub type Outcome = Result<Answer, Fault>;

impl Answer {
    /// A JSON document.
    pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Outcome {
        Self::long_json(value, 128)
    }

    /// A JSON document of about so many bytes.
    pub(crate) fn long_json<T: Serialize + ?Sized>(value: &T, bytes: usize) -> Outcome {
        let mut body = Vec::with_capacity(bytes);
        serde_json::to_writer(&mut body, value)
            .map_err(|error| Fault::new(Code::InternalError, format!("cannot write the answer: {error}")))?;
        Self::json_bytes(body)
    }

    /// A JSON document that is written already.
    pub(crate) fn json_bytes(body: Vec<u8>) -> Outcome {
        Ok(Self { status: 200, content_type: JSON, body })
    }

    /// The empty object, which says that it was done.
    #[must_use]
    pub fn done() -> Self {
        Self { status: 200, content_type: JSON, body: b"{}".to_vec() }
    }
}

const JSON: &str = "application/json";

impl From<&Fault> for Answer {
    fn from(fault: &Fault) -> Self {
        Self { status: fault.http_status(), content_type: JSON, body: fault.body() }
    }
}

impl Input {
    /// A parameter of the path; `""` where there is none of that name.
    #[must_use]
    pub fn path(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The first argument of the URL by a name.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Call<'_> {
    /// The facade.
    pub(crate) fn tracking(&self) -> &Tracking {
        self.api.tracking()
    }

    /// The facade under the caller's name: what it deletes, restores, creates or moves is recorded as done by the
    /// caller.
    pub(crate) fn acting(&self) -> Tracking {
        match self.context.caller() {
            Some(name) => self.tracking().acting_as(name),
            None => self.tracking().clone(),
        }
    }

    /// The body as an object; empty where there is no body.
    ///
    /// # Errors
    /// As [`document::object`].
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Fault> {
        document::object(self.body)
    }

    /// The call's message, not yet interpreted: arguments of a GET, the body of anything else.
    ///
    /// # Errors
    /// As [`Self::object`] and [`from_query`].
    pub(crate) fn raw(&self, message: &[Field]) -> Result<Map<String, Value>, Fault> {
        if self.input.verb == Verb::Get && !self.input.query.is_empty() {
            from_query(&self.input.query, message)
        } else {
            self.object()
        }
    }

    /// Reads and checks the call's message.
    ///
    /// # Errors
    /// A parameter that is missing, of the wrong form, or spelled twice.
    pub(crate) fn read(&self, message: &[Field], checks: Checks<'_>) -> Result<Fields, Fault> {
        read_from(&self.raw(message)?, message, checks)
    }
}

/// As [`Call::read`], of what [`Call::raw`] gave.
///
/// # Errors
/// As there.
pub(crate) fn read_from(raw: &Map<String, Value>, message: &[Field], checks: Checks<'_>) -> Result<Fields, Fault> {
    refuse_both_spellings(raw, message)?;
    let fields = read(raw, message);
    check(raw, fields.is_ok(), checks)?;
    fields
}
