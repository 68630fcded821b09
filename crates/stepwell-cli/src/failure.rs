//! How a command ends: its answer or its failure, with the exit status of each.

use std::io;
use std::path::Path;

use stepwell::Error;

use crate::output::escape;

/// What a command says when it worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Exit status 0.
    Done,
    /// Exit status 1: damage was found, or nothing matched.
    No,
    /// The exit status of another command.
    Exit(u8),
}

/// Why a command did not work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The words of the call are wrong: exit status 2.
    Usage(String),
    /// It could not be done: exit status 3. The second text is the way out, where there is one.
    Failed(String, Option<String>),
    /// A command could not be started: this exit status.
    Unstarted(u8, String),
    /// The reader of our output has gone, so the rest is not needed: exit status 0, without a message.
    PipeClosed,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(why) | Self::Failed(why, _) | Self::Unstarted(_, why) => f.write_str(why),
            Self::PipeClosed => f.write_str("nobody reads the output"),
        }
    }
}

/// A command's result.
pub(crate) type Outcome<T = Answer> = Result<T, Failure>;

impl Failure {
    /// A failure without a hint.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into(), None)
    }

    /// A failure with a hint.
    pub(crate) fn hinted(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed(message.into(), Some(hint.into()))
    }

    /// A failure of a file operation.
    pub(crate) fn io<'a>(operation: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| match error.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::failed(format!("cannot {operation} {}: {error}", escape(&path.display().to_string()))),
        }
    }

    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(..) => 3,
            Self::Unstarted(status, _) => *status,
            Self::PipeClosed => 0,
        }
    }
}

/// Errors of standard output; those of files go through [`Failure::io`], which names them.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::PipeClosed,
            _ => Self::failed(format!("cannot write the output: {error}")),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hint = match &error {
            Error::NotWorkspace { .. } => Some(
                "name a workspace with -w DIR or $STEPWELL_DIR; `stepwell import PATH` and `stepwell log --new` make \
                 one",
            ),
            Error::NotFound { entity: stepwell::Entity::Run, .. } => Some("`stepwell runs` lists the runs"),
            Error::NotFound { entity: stepwell::Entity::Experiment, .. } => {
                Some("`stepwell experiments` lists the experiments")
            }
            Error::Deleted { entity: stepwell::Entity::Run, .. } => {
                Some("`stepwell restore RUN`, or `stepwell experiments restore NAME` when its experiment is deleted")
            }
            Error::Deleted { entity: stepwell::Entity::Experiment, .. } => Some("`stepwell experiments restore NAME`"),
            Error::Corrupt { .. } => Some("`stepwell verify` shows all damage, and what it costs"),
            Error::ParamClaimed { .. } => Some("`stepwell compact --take-over`, if you know that the writer is gone"),
            _ => None,
        };
        Self::Failed(escape(&error.to_string()), hint.map(str::to_owned))
    }
}
