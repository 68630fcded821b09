//! The endpoints, by subject: each reads its message, asks the facade, and writes the answer in MLflow's shape.

pub(crate) mod artifacts;
pub(crate) mod batch;
pub(crate) mod experiments;
pub(crate) mod metrics;
pub(crate) mod runs;
pub(crate) mod shapes;
pub(crate) mod system;
