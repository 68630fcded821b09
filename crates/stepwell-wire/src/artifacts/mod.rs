//! Artifacts: files that clients store and fetch, in trees of their own that no client's path can leave.

pub(crate) mod path;
pub(crate) mod roots;
pub(crate) mod store;

pub use path::ArtifactPath;
pub use roots::Roots;
pub use store::{ArtifactStore, Entry, Upload, failed};
