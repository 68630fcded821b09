//! Errors of remote runs: what went wrong, where, and what to do.

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// See the module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server cannot be reached, or did not answer in time.
    #[error("{url} cannot be reached: {why}")]
    Network {
        /// Its address.
        url: String,
        /// What failed.
        why: String,
    },
    /// The server answered with an error.
    #[error("{url} answered {status}: {message}")]
    Refused {
        /// Its address.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// MLflow's error code, if there is one.
        code: String,
        /// What it says.
        message: String,
    },
    /// An address, a token or a file of certificates is not valid.
    #[error("{0}")]
    Invalid(String),
    /// The spool failed.
    #[error(transparent)]
    Store(#[from] stepwell::Error),
    /// A file beside the spool failed.
    #[error("{what} {path}: {source}", path = path.display())]
    File {
        /// What was done.
        what: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the server could not be reached; it may be reachable later.
    #[must_use]
    pub fn is_network(&self) -> bool {
        matches!(self, Self::Network { .. })
    }

    /// Whether a later try may succeed without a change on this side: after a network failure, a restart, a full disk.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Network { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || matches!(status, 408 | 429),
            _ => false,
        }
    }

    pub(crate) fn file(what: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}
