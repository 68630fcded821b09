//! Artifacts: files that clients store and fetch, in a tree of their own that no client's path can leave.

pub(crate) mod kinds;
pub mod path;
pub(crate) mod range;
pub(crate) mod roots;
pub(crate) mod serve;
pub(crate) mod store;
