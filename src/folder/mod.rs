//! The folder of a workspace: which files there are, and how a file says that it is being made.
//!
//! [`paths`] names the files, [`marker`] is the one that makes a folder a workspace, [`making`] locks files being made,
//! and [`clock`] reads the time that is written into files.

pub mod clock;
pub mod making;
pub mod marker;
pub mod paths;
