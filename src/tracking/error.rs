//! What a call of the facade answers when it refuses: one of MLflow's codes, and a message.

use crate::error::Error;

/// A result of the facade.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// Why a call was refused, by MLflow's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// An argument breaks a rule, or the state of what it names does.
    InvalidParameterValue,
    /// A rule between rows of MLflow's database would break.
    BadRequest,
    /// There is no such thing.
    ResourceDoesNotExist,
    /// The name is taken.
    ResourceAlreadyExists,
    /// The thing is in a state that does not allow it.
    InvalidState,
    /// The call is known, but nobody serves it.
    NotImplemented,
    /// Bytes in the store do not verify.
    DataLoss,
    /// MLflow fails on such a request.
    InternalError,
    /// The store could not do it now; `INTERNAL_ERROR` on the wire.
    StoreFailed,
}

impl Code {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidParameterValue => "INVALID_PARAMETER_VALUE",
            Self::BadRequest => "BAD_REQUEST",
            Self::ResourceDoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            Self::ResourceAlreadyExists => "RESOURCE_ALREADY_EXISTS",
            Self::InvalidState => "INVALID_STATE",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::DataLoss => "DATA_LOSS",
            Self::InternalError | Self::StoreFailed => "INTERNAL_ERROR",
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Fault {
    /// Which kind.
    pub code: Code,
    /// What, where, what to do; MLflow's words where clients look at them.
    pub message: String,
}

impl Fault {
    /// A refusal of this kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// An argument that breaks a rule.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    /// Something that is not there.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceDoesNotExist, message)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::NotFound { entity: "run", id } => return Self::missing(format!("Run with id={id} not found")),
            Error::NotFound { entity: "registered model", id } => {
                return Self::missing(format!("Registered Model with name={id} not found"));
            }
            Error::NotFound { entity: "model version", id } => {
                return Self::missing(format!("Model Version ({id}) not found"));
            }
            Error::NotFound { .. } => Code::ResourceDoesNotExist,
            Error::AlreadyExists { entity: "registered model", id } => {
                let message = format!("Registered Model (name={id}) already exists.");
                return Self::new(Code::ResourceAlreadyExists, message);
            }
            Error::AlreadyExists { .. } => Code::ResourceAlreadyExists,
            Error::ParamConflict { run, key, existing, given } => {
                return Self::invalid(format!(
                    "Changing param values is not allowed. Param with key='{key}' was already logged with \
                     value='{existing}' for run ID='{run}'. Attempted logging new value '{given}'."
                ));
            }
            Error::Deleted { entity, id } => {
                let message = format!("The {entity} {id} must be in the 'active' state. Current state is deleted.");
                return Self::invalid(message);
            }
            Error::Invalid { .. } => Code::InvalidParameterValue,
            Error::Corrupt { .. } | Error::DurabilityLost { .. } => Code::DataLoss,
            Error::Io { .. } | Error::NotWorkspace { .. } | Error::NewerFormat { .. } | Error::LogRemoved { .. } => {
                Code::StoreFailed
            }
        };
        Self::new(code, error.to_string())
    }
}
