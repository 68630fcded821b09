//! A run's status and the statistics of a series, shared by footers, index and search.

use serde::{Deserialize, Serialize};

use crate::base::point::Point;

/// The status of a run. The numbers are the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum RunStatus {
    /// Being written.
    #[default]
    Running = 1,
    /// Not yet started.
    Scheduled = 2,
    /// Ended well.
    Finished = 3,
    /// Ended badly.
    Failed = 4,
    /// Killed.
    Killed = 5,
}

impl RunStatus {
    /// All of them, by number.
    pub const ALL: [Self; 5] = [Self::Running, Self::Scheduled, Self::Finished, Self::Failed, Self::Killed];

    /// The name, in capitals.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Scheduled => "SCHEDULED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Killed)
    }
}

impl std::str::FromStr for RunStatus {
    type Err = crate::error::Error;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.as_str() == s).ok_or_else(|| {
            crate::error::Error::invalid(
                "run status",
                format!("{s:?} is none of RUNNING, SCHEDULED, FINISHED, FAILED, KILLED"),
            )
        })
    }
}

/// Statistics of one series. Min and max ignore NaN; the first of equal extremes counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesStats {
    /// How many points.
    pub count: u64,
    /// How many of them are NaN.
    pub nan_count: u64,
    /// How many are +∞ or −∞.
    pub inf_count: u64,
    /// The first point logged.
    pub first: StatPoint,
    /// The latest point: greatest (step, timestamp, value with NaN as 0); of equals the first logged.
    pub latest: StatPoint,
    /// The least value and its first step; `None` if all are NaN.
    pub min: Option<Extreme>,
    /// The greatest value and its first step; `None` if all are NaN.
    pub max: Option<Extreme>,
    /// Sum of the values that are finite; its rounding depends on how points were grouped.
    pub sum: f64,
}

/// A point kept in statistics.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatPoint {
    /// Its step.
    pub step: i64,
    /// Its timestamp in milliseconds, where it had one.
    pub timestamp_ms: Option<i64>,
    /// Its value.
    pub value: f64,
}

/// An extreme value and its first step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extreme {
    /// The value.
    pub value: f64,
    /// The step of the first point with this value.
    pub step: i64,
}

impl From<Point> for StatPoint {
    fn from(point: Point) -> Self {
        Self { step: point.step, timestamp_ms: point.timestamp_ms, value: point.value }
    }
}
