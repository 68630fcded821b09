//! MLflow: its folder store (`mlruns`) and its SQLite database (`mlflow.db`).
//!
//! [`store`] reads an experiment's folder, [`folder`] a run's, [`registry`] a registered model's; [`database`] reads
//! all of it from SQLite through [`sqlite`], with [`entities`] for what is not a run. [`model`] puts together what both
//! have, [`place`] finds the folders of artifacts.

pub(crate) mod database;
mod entities;
pub(crate) mod folder;
pub(crate) mod meta;
mod model;
mod nested;
mod place;
pub(crate) mod registry;
mod sqlite;
pub(crate) mod store;

use std::path::Path;

use stepwell::RunStatus;

use crate::context::Context;
use crate::number;
use crate::report::Kind;

/// Whether a location of artifacts is on this machine, or stored by a server beside the store.
#[must_use]
pub fn is_local(location: &str) -> bool {
    place::is_local(location)
}

/// The reason for entities that are not imported because they have no counterpart here.
const NO_PLACE: &str = "they have no place here and stay in the source";

/// A time as MLflow writes it: milliseconds, with a fraction where a client passed one, which is rounded.
fn milliseconds(text: &str) -> Option<i64> {
    number::step(text).or_else(|| number::whole(text.trim().parse::<f64>().ok()?.round_ties_even()))
}

/// Run attributes that MLflow has in a form of their own.
struct RunWords {
    status: Option<String>,
    start: Option<String>,
    end: Option<String>,
}

impl RunWords {
    /// The status, the start and the end; reports those that cannot be read. A run without a status has ended. A run
    /// with an unknown status counts as running, because nobody can tell that it ended.
    fn read(&self, of: &str, path: &Path, context: &mut Context<'_>) -> (RunStatus, Option<i64>, Option<i64>) {
        let [status, start, end] =
            [&self.status, &self.start, &self.end].map(|word| word.as_deref().filter(|word| !word.trim().is_empty()));
        let known = status.map_or(Some(RunStatus::Finished), status_of);
        let times = [start, end].map(|word| word.and_then(milliseconds));
        let lost = [
            ("status", status, known.is_none(), "the run is taken as running"),
            ("start_time", start, times[0].is_none(), "left out"),
            ("end_time", end, times[1].is_none(), "left out"),
        ];
        for (name, word, is_lost, what) in lost {
            if let Some(word) = word.filter(|_| is_lost) {
                let word: String = word.chars().take(40).collect();
                context.leave_out(path, Kind::Place, 1, format!("{name} {word:?}{of} cannot be read; {what}"));
            }
        }
        (known.unwrap_or(RunStatus::Running), times[0], times[1])
    }
}

/// A status as MLflow's number or name.
fn status_of(text: &str) -> Option<RunStatus> {
    match text.parse::<u8>() {
        Ok(number) => RunStatus::ALL.into_iter().find(|status| *status as u8 == number),
        Err(_) => text.parse().ok(),
    }
}
