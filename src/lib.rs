//! Stepwell is an embedded metrics time-series store for experiment tracking.
//!
//! A [`Workspace`] is a folder of runs. Any number of processes write and read it at once, with no server. A logging
//! call costs nanoseconds, and what it logged survives the death of the process; after [`RunWriter::sync`] it survives
//! a power loss. Nothing that was logged is dropped: steps may repeat and go back, and values keep all their
//! bits.
//!
//! ```
//! use stepwell::{NewRun, Result, RunStatus, Workspace, maintenance::CompactOptions, query::Query};
//!
//! # fn main() -> Result<()> {
//! # let dir = tempfile::tempdir().unwrap();
//! # let folder = dir.path().join("runs");
//! let workspace = Workspace::open_or_create(folder)?;
//! let experiment = workspace.experiments().get_or_create("vision")?;
//!
//! // One writer a thread or process; any number of them may write to one run.
//! let mut run = workspace.create_run(experiment, NewRun { name: "first".into(), ..NewRun::default() })?;
//! let id = run.run_id().clone();
//! run.log_param("learning_rate", "0.01")?;
//!
//! // Resolve a key once, then log by the handle. `log_point` takes a timestamp of your own.
//! let loss = run.metric("loss")?;
//! for step in 0..5_000 {
//!     run.log(loss, step, 1.0 / (step + 1) as f64)?;
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
//! let query = Query::parse("metrics.loss.min < 0.001 AND params.learning_rate = '0.01'", &["metrics.loss.min"])?;
//! assert_eq!(workspace.search(&query)?.run_ids()?, [id]);
//!
//! // Finished runs go into packs: fewer files, fewer bytes, the same answers.
//! assert_eq!(workspace.maintenance().compact(CompactOptions::default())?.runs, 1);
//! assert!(workspace.maintenance().verify()?.is_ok());
//! # Ok(())
//! # }
//! ```
//!
//! Start with [`Workspace`]: it opens a folder, hands out writers, and answers searches. [`query`] is the language of
//! searches, [`maintenance`] keeps a folder small and sound, [`import`](mod@import) takes whole runs in, and
//! [`registry`] holds registered models. [`tracking`] speaks MLflow's data model, for authors of tracking servers.
//!
//! `ARCHITECTURE.md` is the map of the code, `docs/format.md` defines every byte.
//!
//! # Features
//!
//! - `arrow` turns histories and search results into Arrow record batches: `Columns::to_record_batch`,
//!   `HistoryChunks::record_batches`, `SearchResult::to_record_batch`.
//! - `testing` adds a module of that name with a simulated disk that fails on demand, for testing programs that use
//!   this library.
//! - `internals` is for this repository's own fuzz targets and benchmarks. It exposes inner modules, whose names change
//!   without notice.
#![cfg_attr(test, allow(clippy::disallowed_methods))]
#![cfg_attr(not(feature = "internals"), allow(unreachable_pub))]

#[cfg(not(any(target_os = "linux", target_os = "android")))]
compile_error!("Stepwell builds on Linux only; docs/limits.md says what other systems lack");

mod error;

mod base;
mod options;
mod storage;

mod codec;
mod log;
mod segment;

mod run;

mod index;
mod search;

mod folder;
mod journal;

mod workspace;

pub mod registry;
pub mod tracking;

#[cfg(feature = "arrow")]
mod arrow;

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;

// The folder.
#[doc(inline)]
pub use {
    journal::catalog::Experiment,
    journal::catalog::NewExperiment,
    options::{Options, TailMode},
    workspace::handle::Workspace,
    workspace::write::experiments::Experiments,
};

// Writing.
#[doc(inline)]
pub use {
    base::ids::{ExperimentId, RunId, WriterId},
    base::point::{Columns, Point, Timestamps},
    base::stats::RunStatus,
    workspace::write::edits::RunEdit,
    workspace::write::runs::NewRun,
    workspace::write::writer::{MetricHandle, RunWriter},
};

// Reading.
#[doc(inline)]
pub use {
    base::stats::{Extreme, SeriesStats, StatPoint},
    base::summary::RunSummary,
    run::chunks::HistoryChunks,
    run::downsample::Downsampled,
    run::salvage::Salvage,
    run::snapshot::{RunSnapshot, part_len},
    run::state::RunState,
    segment::pyramid::Bucket,
    workspace::read::follow::{Begin, Changes, Follow, Follower, NewPoints, RunChange, RunEvent},
    workspace::read::found::SearchResult,
    workspace::read::keys::KeyKind,
};

// Errors and the time.
#[doc(inline)]
pub use {
    error::{Entity, Error, Result},
    folder::clock::now_ms,
};

/// The query language: filters, orders and column names, as text and as values.
pub mod query {
    #[doc(inline)]
    pub use crate::search::{
        ast::{
            Aggregate, Clause, Comparison, DatasetField, Expr, MetricName, Number, NumberTest, Statistic,
            TextAttribute, TextTest, TimeAttribute,
        },
        execute::{Conventions, Query, UriTemplate, View},
        like::Like,
        order::{OrderBy, OrderKey},
        runs::{parse_filter, parse_name, parse_order_by},
        table::{Cell, Profile, Profiles},
    };
}

/// Maintenance: compaction, garbage collection, verification and repair, on demand or on background threads.
pub mod maintenance {
    #[doc(inline)]
    pub use crate::workspace::{
        background::{Background, Rounds, Schedule},
        compact::compaction::{CompactOptions, Compacted},
        compact::purge::{CollectOptions, Collected},
        compact::unlisted::LeftoverOptions,
        maintenance::Maintenance,
        read::report::{Damage, Report},
        read::usage::Usage,
        verify::repair::{RepairOptions, Repaired},
    };
}

/// Importing whole runs, experiments and models of other tools, and pulling from another workspace.
pub mod import {
    #[doc(inline)]
    pub use crate::workspace::{
        transfer::adopt::{AdoptedExperiment, ExperimentImport},
        transfer::import::{
            AddOutcome, ConcurrentImport, ImportChanges, Importer, ParamConflict, RefusalReason, RunAdded, RunImport,
        },
        transfer::pull::Pulled,
    };
}

/// Carrying what writers log from one workspace to another, a parcel at a time, over whatever connects them.
pub mod replication {
    #[doc(inline)]
    pub use crate::log::record::Author;
    #[doc(inline)]
    pub use crate::run::{
        bundle::{Bundle, BundleBuilder, MEDIA_TYPE},
        parcel::Parcel,
    };
    #[doc(inline)]
    pub use crate::workspace::{
        transfer::position::Position,
        transfer::receive::{Receipt, Receiver},
        transfer::ship::Shipment,
        write::params::RefusedParam,
    };
}

/// Items that a facade attaches to runs: datasets, logged models and their sources.
pub mod items {
    #[doc(inline)]
    pub use crate::base::items::*;
}

/// Limits of names and values.
pub mod limits {
    #[doc(inline)]
    pub use crate::base::limits::*;
}

/// Files beside a workspace, written as carefully as those in it.
pub mod files {
    #[doc(inline)]
    pub use crate::storage::disk::{check_no_link, sync_all};
}

/// A simulated disk that loses, tears and reorders what was not synced, and fails on demand.
#[cfg(feature = "testing")]
pub mod testing {
    #[doc(inline)]
    pub use crate::storage::{
        Entry, File, Region, Storage,
        disk::Disk,
        memory::{
            Crashed, Effect, Fate, Fault, FaultError, Op, OpKind, Pending, PendingKind, PowerLoss, SimDisk, Times,
            is_crash,
        },
    };
}
