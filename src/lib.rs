//! Stepwell is an embedded metrics time-series store for experiment tracking.
//!
//! A [`Workspace`] is a folder of runs. Any number of processes write and read it at once, with no server. A logging
//! call costs nanoseconds, and what it logged survives the death of the process; after [`RunWriter::sync`] it survives
//! a stop of the machine. Nothing that was logged is dropped: steps may repeat and go back, and values keep all their
//! bits.
//!
//! ```
//! use stepwell::{CompactOptions, NewRun, Result, RunQuery, RunStatus, Workspace};
//!
//! # fn main() -> Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let folder = dir.path().join("runs");
//! let workspace = Workspace::open_or_create(folder)?;
//! let experiment = workspace.experiment_named("vision")?;
//!
//! // One writer a thread or process; any number of them may write to one run.
//! let mut run = workspace.create_run(experiment, NewRun { name: "first".into(), ..NewRun::default() })?;
//! let id = run.run_id().clone();
//! run.log_param("learning_rate", "0.01")?;
//!
//! // The fastest form: resolve a key once, then log by the handle.
//! let loss = run.metric("loss")?;
//! for step in 0..5_000 {
//!     run.log(loss, step, 1_700_000_000_000 + step, 1.0 / (step + 1) as f64)?;
//! }
//! // Many keys at one step, all or none; then columns of one key. `None` is now, and no timestamps.
//! run.log_metrics(5_000, None, &[("accuracy", 0.93), ("lr", 1e-4)])?;
//! run.log_columns(loss, &[5_001, 5_002], None, &[f64::NAN, f64::INFINITY])?;
//! // From here on all of it survives a power loss.
//! run.finish(RunStatus::Finished)?;
//!
//! // A snapshot is a fixed view, whatever is written meanwhile.
//! let snapshot = workspace.run(&id)?;
//! assert_eq!(snapshot.history("loss")?.len(), 5_002);
//! assert_eq!(snapshot.downsample("loss", None, 200)?.buckets.len(), 200);
//!
//! // MLflow's filter language, and OR, IN, regular expressions and statistics beyond it.
//! let filter = "metrics.loss.min < 0.001 AND params.learning_rate = '0.01'".into();
//! let page = workspace.search(&RunQuery { filter, ..RunQuery::default() })?;
//! assert_eq!(page.runs[0].run_id, id);
//!
//! // Finished runs go into packs: fewer files, fewer bytes, the same answers.
//! assert_eq!(workspace.compact(CompactOptions::default())?.runs, 1);
//! assert!(workspace.verify(&mut |_, _| {})?.is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! The modules stand in order of their layers, which is the order to read them in: each imports only those before it.
//! `ARCHITECTURE.md` draws the map, `docs/format.md` spells out every byte.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod error;

pub mod base;
pub mod options;
pub mod storage;

pub mod codec;
pub mod log;
pub mod segment;

pub mod run;

pub mod index;
pub mod search;

pub mod workspace;

pub mod registry;
pub mod tracking;

pub use base::ids::{ExperimentId, RunId};
pub use base::point::{Columns, Point};
pub use base::stats::{Extreme, RunStatus, SeriesStats, StatPoint};
pub use error::{Error, Result};
pub use index::summary::RunSummary;
pub use options::{Options, TailMode};
pub use run::downsample::Downsampled;
pub use run::snapshot::RunSnapshot;
pub use segment::pyramid::Bucket;
pub use workspace::catalog::Experiment;
pub use workspace::check::{Damage, Report};
pub use workspace::compaction::{CompactOptions, Compacted};
pub use workspace::edits::RunEdit;
pub use workspace::exchange::Pulled;
pub use workspace::import::{Added, ChangedHere, Elsewhere, Importer, Offered, Refusal, RunImport};
pub use workspace::keys::KeyKind;
pub use workspace::maintenance::{Maintenance, Rounds, Schedule};
pub use workspace::open::Workspace;
pub use workspace::purge::Collected;
pub use workspace::repair::Repaired;
pub use workspace::runs::NewRun;
pub use workspace::search::{RunPage, RunQuery, ViewType};
pub use workspace::table::LatestTable;
pub use workspace::usage::Usage;
pub use workspace::writer::{Metric, RunWriter};
