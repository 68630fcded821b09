//! MLflow's entities, errors, and rules for names and lengths.

pub(crate) mod entities;
pub(crate) mod error;
pub(crate) mod names;
pub(crate) mod validate;
