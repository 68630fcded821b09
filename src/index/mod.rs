//! The run index: columns over all runs, for search.
//!
//! [`part::IndexPart`] is the columnar image of many rows, built once and never changed;
//! [`packed`] is what the image of a pack leaves to the pack.

pub mod bitmap;
pub(crate) mod build;
pub(crate) mod image;
pub(crate) mod ints;
pub(crate) mod layout;
pub mod packed;
pub mod part;
pub mod rows;
pub(crate) mod section;
pub(crate) mod strings;
