//! The model registry: registered models, their versions, stages, aliases and tags.
//!
//! [`rules`] is its state and what changes it, without I/O; [`store`] keeps the state in a journal beside the catalog, so that numbers and names are right under any number of processes;
//! [`exchange`] brings in the models of another workspace, as [`merge`] says, [`adopt`] those of other registries.

pub mod adopt;
pub mod exchange;
pub mod merge;
pub mod rules;
pub mod store;

#[cfg(test)]
mod tests;
