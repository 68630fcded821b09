//! The operations, by subject: each reads its message, asks the facade, and writes the answer in MLflow's shape.

pub(crate) mod artifacts;
pub(crate) mod batch;
pub(crate) mod datasets;
pub(crate) mod empty;
pub(crate) mod experiments;
pub(crate) mod graphql;
pub(crate) mod logged_models;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod page;
pub(crate) mod runs;
pub(crate) mod shapes;
mod sources;
pub(crate) mod spool;
pub(crate) mod system;
pub(crate) mod versions;
