//! The facade: MLflow's tracking and registry data model on a workspace, with MLflow's rules, and without HTTP or JSON.
//!
//! [`Tracking`] is the handle; its methods are MLflow's calls. A [`Fault`] is an error with MLflow's code and message.
//! `docs/mlflow.md` goes call by call and lists every difference.
// `entities` has the values, `error` the errors, `validate` the rules for names and lengths, `messages` MLflow's
// messages for invalid filters; `store` is the handle, with `writers` behind it; the other files are its methods by
// subject.

mod batch;
mod bulk;
pub(crate) mod entities;
pub(crate) mod error;
mod experiments;
mod filter;
mod history;
mod inputs;
mod listing;
mod messages;
mod model_filter;
mod model_search;
mod models;
mod names;
mod places;
mod purge;
mod registered;
mod registry_search;
mod runs;
pub(crate) mod store;
mod validate;
mod writers;

pub use batch::Batch;
pub use entities::*;
pub use error::{Code, Fault, Result};
pub use experiments::{ExperimentSearch, NewExperiment};
pub use listing::{FoundRuns, ListedRun, RunSearch};
pub use model_search::{LoggedModelSearch, ModelOrder};
pub use models::CreateLoggedModel;
pub use registered::CreateModelVersion;
pub use runs::{CreateRun, UpdateRun};
pub use store::{Tracking, TrackingOptions};

#[cfg(test)]
mod tests;
