//! The model registry: registered models, their versions, stages, aliases and tags.
//!
//! [`ModelRegistry`] reads and changes it. Its state, a [`Registry`], is a journal, so that names and numbers
//! stay unique under any number of processes.
// `store` is the handle; `pull` brings in the models of another workspace as `merge` says, `adopt` those of other
// registries.

mod adopt;
mod merge;
pub(crate) mod pull;
pub(crate) mod store;

#[doc(inline)]
pub use crate::journal::registry::{DeletedModel, Model, Registry, Stage, Version};
#[doc(inline)]
pub use {
    adopt::{AdoptedModel, ModelImport},
    pull::PulledModels,
    store::{FoundVersion, ModelRegistry, ModelVersion, NewVersion, Page, RegisteredModel},
};

#[cfg(test)]
mod tests;
