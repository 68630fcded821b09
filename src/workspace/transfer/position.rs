//! How much a workspace has of what a writer logged: where the next parcel of that writer begins.

use std::collections::BTreeMap;

use crate::base::ids::WriterId;
use crate::run::snapshot::{RunSnapshot, part_len};

/// How much a workspace has of what a writer logged to a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Its points, of all metrics.
    pub points: u64,
    /// Its points by metric. Each metric's points arrive in the order in which they were logged.
    pub counts: BTreeMap<String, u64>,
}

impl Position {
    /// What a run has of a writer. Nothing, if points are missing in between: then the writer's points are taken anew,
    /// and the whole copy replaces the damaged one.
    #[must_use]
    pub(crate) fn of(run: &RunSnapshot, writer: WriterId) -> Self {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (key, series) in run.series() {
            let of_writer = series.parts.iter().zip(&series.writers).filter(|(_, of)| **of == writer);
            let count: usize = of_writer.map(|(part, _)| part_len(part)).sum();
            if count > 0 {
                counts.insert(key.clone(), count as u64);
            }
        }
        let points = counts.values().sum();
        let mut coverage = run.state().coverage.iter().filter(|own| own.writer == writer);
        match (coverage.next(), coverage.next()) {
            (Some(own), None) if own.from == 0 && own.through == points && own.lost == 0 => Self { points, counts },
            _ => Self::default(),
        }
    }
}
