//! Writing: points and metadata of runs, experiments, and packs.
//!
//! [`runs`] creates and edits runs, [`writer`] is a run's writer, [`edits`] commits changes of metadata, [`params`]
//! sets params; [`experiments`] changes experiments; [`durable`] makes a run durable; [`publish`] publishes packs.

pub mod durable;
pub mod edits;
pub mod experiments;
pub mod params;
pub mod publish;
pub mod runs;
pub mod session;
pub mod writer;
