//! The run index: columns over all runs, for search.
//!
//! [`summary`] is a row; [`part::IndexPart`] is the columnar image of many rows, built once and never changed.

pub mod summary;
pub mod bitmap;
pub(crate) mod ints;
pub(crate) mod strings;
pub(crate) mod section;
pub(crate) mod layout;
pub(crate) mod build;
pub mod part;
pub mod rows;

#[cfg(test)]
pub(crate) mod tests;
