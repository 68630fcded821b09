//! The model registry: registered models, their versions, stages, aliases and tags.
//!
//! [`rules`] is its state and what changes it, without I/O; [`store`] keeps the state in a journal beside the catalog, so that numbers and names are right under any number of processes;
//! [`exchange`] brings in the models of another workspace, as [`merge`] says, [`adopt`] those of other registries.

mod adopt;
pub(crate) mod exchange;
mod merge;
pub(crate) mod store;

#[doc(inline)]
pub use crate::journal::registry::{Gone, Model, Registry, Stage, Version};
#[doc(inline)]
pub use {
    adopt::AdoptedModel,
    exchange::PulledModels,
    store::{Found, FoundVersion, ModelVersion, NewVersion, RegisteredModel, Store},
};

#[cfg(test)]
mod tests;
