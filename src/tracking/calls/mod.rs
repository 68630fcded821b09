//! MLflow's calls by subject.

pub(crate) mod batch;
pub(crate) mod bulk;
pub(crate) mod experiments;
pub(crate) mod history;
pub(crate) mod inputs;
pub(crate) mod listing;
pub(crate) mod model_search;
pub(crate) mod models;
pub(crate) mod purge;
pub(crate) mod registered;
pub(crate) mod runs;
