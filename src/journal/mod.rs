//! State shared by all processes, changed by publishing numbered entries without a lock.
//!
//! [`chain`] is a journal of entries; [`files`] names its files, [`entry`] defines their bytes, `publish` adds entries
//! and `fold` removes them. Three states are journals: the [`catalog`] of experiments, the [`manifest`] of packs, and
//! the [`registry`] of models. A state knows nothing of files and handles.

pub mod catalog;
pub mod chain;
pub mod entry;
pub mod files;
mod fold;
pub mod manifest;
mod publish;
pub mod registry;
