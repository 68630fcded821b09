//! What the operations on a workspace share: journals, open packs and caches.
//!
//! [`packs`] are the open packs, [`overlay`] rows of runs outside of them, `folders` reports blocked folders,
//! [`registers`] is the journal of the model registry, [`actor`] the user of the process.

pub mod actor;
pub mod folders;
pub mod overlay;
pub mod packs;
pub mod registers;
