//! The facade: MLflow's tracking and registry data model on a workspace, with MLflow's rules, and without HTTP or JSON.
//!
//! [`Tracking`] is the handle; its methods are MLflow's calls. A [`Fault`] is an error with MLflow's code and message.
//! `docs/mlflow.md` goes call by call and lists every difference.
// Folders in the order of their layers: `values` has entities, errors and rules; `language` MLflow's filters and its
// messages for invalid ones; `handle` the handle with its writers; `calls` its methods by subject.

mod calls;
mod handle;
mod language;
mod values;

pub use calls::batch::Batch;
pub use calls::experiments::{CreateExperiment, ExperimentSearch};
pub use calls::listing::{FoundRuns, ListedRun, RunSearch};
pub use calls::model_search::{LoggedModelSearch, ModelOrder};
pub use calls::models::CreateLoggedModel;
pub use calls::registered::CreateModelVersion;
pub use calls::runs::{CreateRun, UpdateRun};
pub use handle::places::SERVED_ARTIFACTS;
pub use handle::store::{Tracking, TrackingOptions};
pub use values::entities::*;
pub use values::error::{Code, Fault, Result};

#[cfg(test)]
mod tests;
