//! The filter language and its execution over the run index.
