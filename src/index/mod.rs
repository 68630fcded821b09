//! The run index: columns over all runs, for search.
//!
//! [`part::IndexPart`] is an immutable columnar image of many rows; [`packed`] handles the values that a pack's index
//! reads from the pack.

pub mod bitmap;
pub(crate) mod build;
pub(crate) mod image;
pub(crate) mod ints;
pub(crate) mod layout;
pub mod packed;
pub mod part;
pub mod rows;
pub(crate) mod section;
