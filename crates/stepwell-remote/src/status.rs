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
