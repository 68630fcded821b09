//! MLflow's filters and orders, and its messages for invalid ones.

pub(crate) mod filter;
pub(crate) mod messages;
pub(crate) mod model_filter;
pub(crate) mod registry_search;
