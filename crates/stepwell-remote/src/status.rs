//! What a spool says of itself: what has arrived, and what is behind.

use std::time::Duration;

/// Whether a run, or all runs, have arrived at the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Whether everything that was logged before the call is durable on the server.
    pub arrived: bool,
    /// Points that have not arrived, as far as is known.
    pub points_left: u64,
    /// Files that have not arrived, as far as is known.
    pub files_left: u64,
    /// What the server refused, or does otherwise: each with the reason.
    pub refused: Vec<String>,
    /// Why carrying last failed, if it did.
    pub error: Option<String>,
}

impl Delivery {
    /// What the server refused, and what has not arrived at this address, as sentences.
    #[must_use]
    pub fn sentences(&self, url: &str) -> Vec<String> {
        let mut said: Vec<String> = self.refused.iter().map(|refused| format!("{url}: {refused}")).collect();
        if !self.arrived {
            let (points, files) = (self.points_left, self.files_left);
            let why = self.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            said.push(format!(
                "{points} points and {files} files have not arrived at {url}{why}; they stay in the spool, and the \
                 next process that logs there, or `stepwell spool push`, carries them"
            ));
        }
        said
    }
}

/// How far the server is behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Points in the spool that have not arrived, as far as is known.
    pub points: u64,
    /// Bytes that the spool takes on the disk.
    pub bytes: u64,
    /// Runs in the spool.
    pub runs: u64,
    /// Since when something has been on its way, without all having arrived once.
    pub oldest: Option<Duration>,
    /// Why carrying last failed, if it did.
    pub last_error: Option<String>,
    /// What the server refused, or does otherwise: each with the reason.
    pub refused: Vec<String>,
    /// Whether the spool has reached its limit.
    pub full: bool,
    /// The limit of its bytes.
    pub limit_bytes: u64,
}
