//! Taking in whole runs: those of other tools, and those of another workspace.
//!
//! [`import`] takes in runs (`imported_metadata` compares their metadata, `gained` their points), [`adopt`] experiments
//! of other stores, [`pull`] what another workspace has, with its [`deletions`].

pub mod adopt;
pub mod deletions;
pub mod gained;
pub mod import;
pub mod imported_metadata;
pub mod pull;
