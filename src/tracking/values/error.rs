//! Errors of the facade: one of MLflow's codes, and a message.

use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Entity, Error};
use crate::folder::paths;

/// A result of the facade.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// MLflow's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// An argument breaks a rule, or the state of what it names does.
    InvalidParameterValue,
    /// A rule between rows of MLflow's database would break.
    BadRequest,
    /// The entity does not exist.
    ResourceDoesNotExist,
    /// The name is taken.
    ResourceAlreadyExists,
    /// The entity's state does not allow it.
    InvalidState,
    /// The call is known, but not implemented.
    NotImplemented,
    /// Stored data is damaged.
    DataLoss,
    /// MLflow fails on such a request.
    InternalError,
    /// The store could not do it now; `INTERNAL_ERROR` on the wire.
    StoreFailed,
    /// The workspace is read-only. A retry does not help.
    PermissionDenied,
    /// The disk is full. Acknowledged data stays.
    ResourceExhausted,
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
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
        }
    }
}

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Fault {
    /// Its code.
    pub code: Code,
    /// What, where, what to do; MLflow's wording where clients match it. Paths are relative to the workspace, so that
    /// clients do not learn where it is on the machine.
    pub message: String,
    /// The same for the server's log, with full paths, if different.
    pub detail: Option<String>,
    /// Whether it refuses a change of something deleted.
    #[doc(hidden)]
    pub of_deleted: bool,
}

impl Fault {
    /// An error with this code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: None, of_deleted: false }
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
            Error::NotFound { entity: Entity::Run, id } => return Self::missing(format!("Run with id={id} not found")),
            Error::NotFound { entity: Entity::Model, id } => {
                return Self::missing(format!("Registered Model with name={id} not found"));
            }
            Error::NotFound { entity: Entity::ModelVersion, id } => {
                return Self::missing(format!("Model Version ({id}) not found"));
            }
            Error::NotFound { .. } => Code::ResourceDoesNotExist,
            Error::AlreadyExists { entity: Entity::Model, id } => {
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
                return Self { of_deleted: true, ..Self::invalid(message) };
            }
            Error::Invalid { .. } => Code::InvalidParameterValue,
            Error::Corrupt { .. } | Error::DurabilityLost { .. } => Code::DataLoss,
            Error::Io { source, .. } => match source.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Code::PermissionDenied,
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Code::ResourceExhausted,
                _ => Code::StoreFailed,
            },
            Error::NotWorkspace { .. }
            | Error::NewerFormat { .. }
            | Error::ParamClaimed { .. }
            | Error::LogRemoved { .. } => Code::StoreFailed,
        };
        let (message, detail) = (client_message(&error), error.to_string());
        Self { code, detail: Some(detail).filter(|detail| *detail != message), message, of_deleted: false }
    }
}

/// The message for clients: the error's, without the workspace's path.
pub(crate) fn client_message(error: &Error) -> String {
    match error {
        Error::Io { operation, path, source } => {
            let file = inner(path);
            match source.kind() {
                ErrorKind::ReadOnlyFilesystem => format!(
                    "This workspace is on a read-only file system: it can be read, and nothing can be written to it \
                     ({operation} {file})."
                ),
                ErrorKind::PermissionDenied => format!(
                    "The owner of this workspace does not let the server do that ({operation} {file}: permission \
                     denied). Where it is shared for reading only, nothing can be written."
                ),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!(
                    "The disk of this workspace is full or over its quota ({operation} {file}). What was logged before \
                     is kept; free some room, then send this again."
                ),
                _ => format!("{operation} {file}: {source}"),
            }
        }
        Error::Corrupt { path, offset, what } => {
            let file = inner(path);
            format!("{file} is damaged at byte {offset}: {what}")
        }
        Error::NewerFormat { path, found, supported } => {
            let file = inner(path);
            format!(
                "{file} has format version {found}, and this server reads up to {supported}; it needs a newer Stepwell"
            )
        }
        Error::NotWorkspace { why, .. } => format!("The server's folder is no Stepwell workspace: {why}"),
        Error::LogRemoved { path } => format!("The log {} was removed while it was written", inner(path)),
        Error::DurabilityLost { from, to, .. } => format!(
            "points {from} to {to} of this writer may not survive a power loss, since a sync failed; the server's log \
             says more"
        ),
        other => other.to_string(),
    }
}

/// A file of a workspace by its path from the workspace's folder on, as far as its name shows that; else its name
/// alone.
fn inner(path: &Path) -> String {
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    let from = parts.iter().rposition(|part| paths::FOLDERS.contains(part)).unwrap_or(parts.len().saturating_sub(1));
    parts.get(from..).unwrap_or_default().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_holds_the_place_of_the_workspace() {
        let root = Path::new("/home/someone/secret place/ws");
        let io = |kind: ErrorKind, at: &str| Error::io("create", &root.join(at))(kind.into());
        let log = "logs/9c/9c3c46da8317354d72c6c9bb454e2495.000000000000000000000000000000a1.log";
        let told = [
            (io(ErrorKind::StorageFull, "tmp/1.entry"), Code::ResourceExhausted, "tmp/1.entry"),
            (io(ErrorKind::QuotaExceeded, log), Code::ResourceExhausted, log),
            (io(ErrorKind::ReadOnlyFilesystem, "tmp/1.entry"), Code::PermissionDenied, "read-only"),
            (io(ErrorKind::PermissionDenied, log), Code::PermissionDenied, log),
            (io(ErrorKind::Other, "stepwell.workspace"), Code::StoreFailed, "stepwell.workspace"),
            (Error::corrupt(&root.join("packs/1.pack"), 7, "x"), Code::DataLoss, "packs/1.pack is damaged at byte 7"),
            (
                Error::NewerFormat { path: root.join("manifest/1.entry"), found: 9, supported: 1 },
                Code::StoreFailed,
                "manifest/1.entry has format version 9",
            ),
            (
                Error::NotWorkspace { path: root.to_owned(), why: "it is empty".into() },
                Code::StoreFailed,
                "it is empty",
            ),
            (
                Error::DurabilityLost { from: 1, to: 2, why: format!("sync of {} failed", root.join(log).display()) },
                Code::DataLoss,
                "may not survive",
            ),
            (Error::LogRemoved { path: root.join(log) }, Code::StoreFailed, log),
        ];
        for (error, code, words) in told {
            let fault = Fault::from(error);
            assert_eq!(fault.code, code, "{fault}");
            assert!(fault.message.contains(words) && !fault.message.contains("secret"), "{fault}");
            assert!(fault.detail.is_some_and(|detail| detail.contains("/home/someone/secret place/ws")));
        }
    }
}
