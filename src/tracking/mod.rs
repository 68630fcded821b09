//! The facade: MLflow's tracking and registry data model on a workspace, with MLflow's rules, and without HTTP or JSON.
//!
//! [`Tracking`] is the handle; its methods are MLflow's calls. A [`Fault`] is a refusal with MLflow's code and words.
//! `docs/mlflow.md` goes call by call and lists every difference.
// `entities` are the values, `error` the refusals, `validate` the rules of names and lengths, `words` what MLflow says
// to wrong filters; `store` is the handle, with `writers` behind it; the other files are its methods by subject.

mod batch;
mod bulk;
pub(crate) mod entities;
pub(crate) mod error;
mod experiments;
mod filter;
mod history;
mod inputs;
mod listing;
mod model_filter;
mod model_search;
mod models;
mod names;
mod purge;
mod registered;
mod registry_search;
mod runs;
pub(crate) mod store;
mod validate;
mod words;
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
