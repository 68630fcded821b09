//! Errors as MLflow's clients know them: a code, a message, an HTTP status, and the JSON body that carries them.

use std::fmt;

use serde::Serialize;

/// An error code of MLflow's REST API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 400: a parameter is missing, of the wrong form, or against a rule.
    InvalidParameterValue,
    /// 400: the request is not one that can be understood.
    BadRequest,
    /// 400: what is to be created exists.
    ResourceAlreadyExists,
    /// 401: no valid token came with the request.
    Unauthenticated,
    /// 403: the token does not allow it.
    PermissionDenied,
    /// 404: a run, experiment, model or file does not exist.
    ResourceDoesNotExist,
    /// 404: no such thing.
    NotFound,
    /// 404: this server has no such endpoint.
    EndpointNotFound,
    /// 429: too many requests.
    RequestLimitExceeded,
    /// 500: the fault is ours, or MLflow fails on such a request.
    InternalError,
    /// 500, `INTERNAL_ERROR`: the store could not do it.
    StoreFailed,
    /// 500: what is asked for does not fit the present state.
    InvalidState,
    /// 500: stored bytes are damaged.
    DataLoss,
    /// 501: the server does not do this.
    NotImplemented,
    /// 507: the disk is full. MLflow's clients do not ask again at this status, and show the message.
    ResourceExhausted,
    /// 503: not now.
    TemporarilyUnavailable,
    /// 504: it took too long.
    DeadlineExceeded,
}

impl Code {
    /// The code's name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidParameterValue => "INVALID_PARAMETER_VALUE",
            Self::BadRequest => "BAD_REQUEST",
            Self::ResourceAlreadyExists => "RESOURCE_ALREADY_EXISTS",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceDoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            Self::NotFound => "NOT_FOUND",
            Self::EndpointNotFound => "ENDPOINT_NOT_FOUND",
            Self::RequestLimitExceeded => "REQUEST_LIMIT_EXCEEDED",
            Self::InternalError | Self::StoreFailed => "INTERNAL_ERROR",
            Self::InvalidState => "INVALID_STATE",
            Self::DataLoss => "DATA_LOSS",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidParameterValue | Self::BadRequest | Self::ResourceAlreadyExists => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::ResourceDoesNotExist | Self::NotFound | Self::EndpointNotFound => 404,
            Self::RequestLimitExceeded => 429,
            Self::InternalError | Self::StoreFailed | Self::InvalidState | Self::DataLoss => 500,
            Self::NotImplemented => 501,
            Self::TemporarilyUnavailable => 503,
            Self::DeadlineExceeded => 504,
            Self::ResourceExhausted => 507,
        }
    }

    /// The SQLSTATE and error class that MLflow adds to some codes.
    fn class(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::InvalidParameterValue | Self::BadRequest => Some(("KAM00", "INVALID_PARAMETER_VALUE")),
            Self::ResourceAlreadyExists => Some(("KAM00", "RESOURCE_ALREADY_EXISTS")),
            Self::PermissionDenied => Some(("KAM00", "PERMISSION_DENIED")),
            Self::ResourceDoesNotExist | Self::NotFound | Self::EndpointNotFound => {
                Some(("KAM00", "RESOURCE_NOT_FOUND"))
            }
            Self::InternalError | Self::StoreFailed | Self::InvalidState | Self::TemporarilyUnavailable => {
                Some(("XXM00", "CLIENT_INTERNAL_ERROR"))
            }
            _ => None,
        }
    }
}

/// What went wrong, as it is told to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub code: Code,
    /// What, where, and what to do.
    pub message: String,
    /// An HTTP status other than the code's own.
    pub status: Option<u16>,
    /// What no client is told: the message with whole paths.
    pub detail: Option<String>,
}

/// The body of an error.
#[derive(Serialize)]
struct Body<'a> {
    error_code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlstate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_class: Option<&'a str>,
}

impl Fault {
    /// A fault of a kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), status: None, detail: None }
    }

    /// A parameter that is missing, of the wrong form, or against a rule.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    /// Something that does not exist.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceDoesNotExist, message)
    }

    /// The same fault with another HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// 413: a body of more than `limit` bytes.
    #[must_use]
    pub fn too_long(limit: u64) -> Self {
        Self::new(Code::BadRequest, format!("The request's body is over the limit of {limit} bytes.")).with_status(413)
    }

    /// 404: nothing is at this path.
    #[must_use]
    pub fn no_endpoint() -> Self {
        Self::new(Code::EndpointNotFound, "This server has no such endpoint.")
    }

    /// 405: what is at this path is asked by another method.
    #[must_use]
    pub fn no_method() -> Self {
        Self::new(Code::EndpointNotFound, "This server has no such method at that endpoint.").with_status(405)
    }

    /// A disk without room, of an artifact at `what`.
    pub(crate) fn disk_full(what: &str) -> Self {
        let why = format!("The disk is full or over its quota ({what}); free some room, then send this again.");
        Self::new(Code::ResourceExhausted, why)
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.status.unwrap_or_else(|| self.code.status())
    }

    /// The JSON body of the answer.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let class = self.code.class();
        let body = Body {
            error_code: self.code.name(),
            message: &self.message,
            sqlstate: class.map(|(state, _)| state),
            error_class: class.map(|(_, class)| class),
        };
        // Four strings always serialise.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for Fault {}

/// A refusal of the facade, which has the same codes.
impl From<stepwell::tracking::Fault> for Fault {
    fn from(from: stepwell::tracking::Fault) -> Self {
        use stepwell::tracking::Code as C;
        let code = match from.code {
            C::InvalidParameterValue => Code::InvalidParameterValue,
            C::BadRequest => Code::BadRequest,
            C::ResourceDoesNotExist => Code::ResourceDoesNotExist,
            C::ResourceAlreadyExists => Code::ResourceAlreadyExists,
            C::InvalidState => Code::InvalidState,
            C::NotImplemented => Code::NotImplemented,
            C::DataLoss => Code::DataLoss,
            C::StoreFailed => Code::StoreFailed,
            C::PermissionDenied => Code::PermissionDenied,
            C::ResourceExhausted => Code::ResourceExhausted,
            _ => Code::InternalError,
        };
        Self { detail: from.detail, ..Self::new(code, from.message) }
    }
}
