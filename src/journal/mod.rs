//! State that all processes share, changed by publishing numbered entries without a lock.
//!
//! [`chain`] is a journal of entries, in files that [`files`] names and [`entry`] spells out; `publish` adds entries,
//! `fold` takes them away. Three states are kept so: the [`catalog`] of experiments, the [`manifest`] of packs, and the
//! [`registry`] of models. A state knows no file and no handle.

pub mod catalog;
pub mod chain;
pub mod entry;
pub mod files;
mod fold;
pub mod manifest;
mod publish;
pub mod registry;
