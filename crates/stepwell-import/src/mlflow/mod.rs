//! MLflow: its folder store (`mlruns`) and its SQLite database (`mlflow.db`).
//!
//! [`store`] reads an experiment's folder, [`folder`] a run's, [`registry`] a registered model's; [`database`] reads
//! all of it from SQLite through [`sqlite`], with [`entities`] for what is not a run. What both have is put together by
//! [`run`], [`model`] (logged models) and [`version`] (of registered models). [`place`] finds the folders of artifacts.

pub(crate) mod database;
mod entities;
pub(crate) mod folder;
pub(crate) mod meta;
mod model;
mod nested;
mod place;
pub(crate) mod registry;
mod run;
mod sqlite;
pub(crate) mod store;
mod version;

use crate::number;

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
