//! Errors: what went wrong, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// All errors of the store. Each says what it concerns, where, and, if possible, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system failed; acknowledged data stays.
    #[error("{operation} {path}: {source}", path = path.display())]
    Io {
        /// The operation, as a verb: `read`, `create`, `sync`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Damaged bytes. The rest stays readable; [`Maintenance::verify`](crate::maintenance::Maintenance::verify) reports
    /// all damage and what it costs.
    #[error("{path} is damaged at byte {offset}: {what}", path = path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// The offset in the file, in bytes.
        offset: u64,
        /// What should be there.
        what: String,
    },
    /// The folder is not a workspace.
    #[error("{path} is no Stepwell workspace: {why}", path = path.display())]
    NotWorkspace {
        /// The folder.
        path: PathBuf,
        /// What is missing, and how to make one.
        why: String,
    },
    /// A newer Stepwell wrote this.
    #[error(
        "{path} has format version {found}, and this Stepwell reads up to {supported}; use a newer Stepwell",
        path = path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The greatest version that this build reads.
        supported: u32,
    },
    /// No such experiment, run, metric …
    #[error("no {entity} {id:?}")]
    NotFound {
        /// The kind of entity.
        entity: Entity,
        /// Its id or name.
        id: String,
    },
    /// The name or id is taken.
    #[error("{entity} {id:?} exists already")]
    AlreadyExists {
        /// The kind of entity.
        entity: Entity,
        /// Its id or name.
        id: String,
    },
    /// The entity is deleted and cannot be changed until it is restored.
    #[error("{entity} {id:?} is deleted; restore it first")]
    Deleted {
        /// The kind of entity.
        entity: Entity,
        /// Its id or name.
        id: String,
    },
    /// An argument is invalid.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// Which argument.
        what: &'static str,
        /// The rule and the given value.
        why: String,
    },
    /// A param has another value already; params are write-once.
    #[error("param {key:?} of run {run} is {existing:?} and cannot become {given:?}; params are write-once")]
    ParamConflict {
        /// The run.
        run: String,
        /// The param's key.
        key: String,
        /// The existing value.
        existing: String,
        /// The rejected value.
        given: String,
    },
    /// Another writer claims the param and has neither set it nor retracted the claim. Nothing was changed.
    #[error(
        "param {key:?} of run {run} is just being set by the writer of {log}; try again, and if that writer hangs, end \
         its process; where locks cannot tell that it is gone, a compaction that takes over logs ends the claim",
        log = log.display()
    )]
    ParamClaimed {
        /// The run.
        run: String,
        /// The param's key.
        key: String,
        /// The other writer's log.
        log: PathBuf,
    },
    /// A sync failed, so some logged data may not survive a power loss.
    #[error("points {from} to {to} of this writer may not survive a power loss: {why}")]
    DurabilityLost {
        /// The writer's first affected point.
        from: u64,
        /// One past the last.
        to: u64,
        /// The failed step.
        why: String,
    },
    /// The writer's log was deleted or replaced while it was open.
    #[error("the log {path} was removed while it was written; open a new writer", path = path.display())]
    LogRemoved {
        /// The log.
        path: PathBuf,
    },
}

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entity {
    /// A run.
    Run,
    /// A row of an index.
    Row,
    /// An experiment.
    Experiment,
    /// An experiment that is deleted, to be restored.
    DeletedExperiment,
    /// A metric of a run.
    Metric,
    /// A registered model.
    Model,
    /// A version of a registered model.
    ModelVersion,
    /// The writer of a log.
    LogWriter,
}

impl std::fmt::Display for Entity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Run => "run",
            Self::Row => "row",
            Self::Experiment => "experiment",
            Self::DeletedExperiment => "deleted experiment",
            Self::Metric => "metric",
            Self::Model => "registered model",
            Self::ModelVersion => "model version",
            Self::LogWriter => "writer of",
        })
    }
}

impl Error {
    /// An [`Error::Io`] of `operation` on `path`.
    pub fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    /// An [`Error::Invalid`].
    pub fn invalid(what: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { what, why: why.into() }
    }

    /// An [`Error::NotFound`].
    pub fn not_found(entity: Entity, id: impl ToString) -> Self {
        Self::NotFound { entity, id: id.to_string() }
    }

    /// Copies an error that concerns a file; any other becomes an [`Error::Corrupt`] without a path.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Corrupt { path, offset, what } => Self::corrupt(path, *offset, what),
            Self::NewerFormat { path, found, supported } => {
                Self::NewerFormat { path: path.clone(), found: *found, supported: *supported }
            }
            Self::Io { path, operation, source } => Self::io(operation, path)(match source.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::Error::new(source.kind(), source.to_string()),
            }),
            other => Self::corrupt(Path::new(""), 0, other),
        }
    }

    /// Whether this concerns a single file, so that a reader of many files reports it and goes on: the file is damaged,
    /// or the operating system refuses it. `false` if the process lacks a resource, such as descriptors or memory: then
    /// any file may fail, and a retry may help.
    #[must_use]
    pub fn is_of_one_file(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::NewerFormat { .. } => true,
            Self::Io { source, .. } => match source.raw_os_error() {
                Some(number) => !matches!(number, libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR),
                None => !matches!(source.kind(), io::ErrorKind::Other | io::ErrorKind::OutOfMemory),
            },
            _ => false,
        }
    }

    /// Whether the file does not exist.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The file or folder that this concerns, if any.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Io { path, .. }
            | Self::Corrupt { path, .. }
            | Self::NotWorkspace { path, .. }
            | Self::NewerFormat { path, .. }
            | Self::LogRemoved { path } => Some(path),
            _ => None,
        }
    }

    /// An [`Error::Corrupt`].
    pub fn corrupt(path: &Path, offset: u64, what: impl ToString) -> Self {
        Self::Corrupt { path: path.to_owned(), offset, what: what.to_string() }
    }
}

/// Returns errors that concern a single file, to be reported while other files are read.
///
/// # Errors
/// Every other error.
pub(crate) fn of_one_file(error: Error) -> Result<Error> {
    if error.is_of_one_file() { Ok(error) } else { Err(error) }
}
