//! The run index: columns over all runs, for search.

pub mod summary;
