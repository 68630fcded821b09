//! A facade on a workspace in memory.

use std::path::Path;
use std::sync::Arc;

use crate::options::Options;
use crate::storage::memory::SimDisk;
use crate::tracking::CreateRun;
use crate::tracking::handle::store::{Tracking, TrackingOptions};
use crate::tracking::values::entities::Metric;
use crate::tracking::values::error::{Code, Result};
use crate::workspace::handle::Workspace;

pub(super) fn disk() -> Arc<SimDisk> {
    Arc::new(SimDisk::new())
}

/// A handle of its own on the workspace of a disk.
pub(super) fn on(disk: &Arc<SimDisk>) -> Tracking {
    let storage = Arc::clone(disk);
    let workspace = Workspace::open_or_create_on(storage, Path::new("/w"), Options::default()).unwrap();
    Tracking::new(workspace, TrackingOptions::default())
}

pub(super) fn tracking() -> Tracking {
    on(&disk())
}

/// A run of the default experiment.
pub(super) fn run(tracking: &Tracking, name: &str) -> String {
    let new = CreateRun { experiment_id: "0".into(), run_name: name.into(), ..CreateRun::default() };
    tracking.create_run(&new).unwrap().info.run_id
}

pub(super) fn metric(key: &str, step: i64, timestamp: i64, value: f64) -> Metric {
    Metric { key: key.into(), step, timestamp, value, ..Metric::default() }
}

/// Checks that a call was refused with a code, and gives the message.
#[track_caller]
pub(super) fn refused<T: std::fmt::Debug>(result: Result<T>, code: Code) -> String {
    let fault = result.unwrap_err();
    assert_eq!(fault.code, code, "{fault}");
    fault.message
}
