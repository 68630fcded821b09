//! What every command works with: the workspace, the form of the output, and searches page by page.

use std::path::PathBuf;

use stepwell::query::Query;
use stepwell::{Error, Options, RunSnapshot, RunSummary, Workspace};

use crate::failure::{Failure, Outcome};
use crate::find::{CANDIDATES, hint};
pub(crate) use crate::find::{experiment, run};
use crate::keys::{tell_unknown, tell_unknown_statuses};
use crate::left_out;

/// Runs that one page of a search brings.
const PAGE: usize = 1000;

/// The global options.
#[derive(Debug)]
pub(crate) struct Context {
    /// The workspace's folder.
    pub(crate) dir: PathBuf,
    /// Whether the output is one JSON document.
    pub(crate) json: bool,
}

impl Context {
    /// Opens the workspace, which must exist.
    pub(crate) fn open(&self) -> Outcome<Workspace> {
        Ok(Workspace::open(&self.dir)?)
    }

    /// Opens the workspace, which must exist, even if its marker file is damaged.
    pub(crate) fn open_damaged(&self) -> Outcome<Workspace> {
        Ok(Workspace::open_damaged(&self.dir)?)
    }

    /// Opens the workspace, or creates it.
    pub(crate) fn open_or_create(&self, options: Options) -> Outcome<Workspace> {
        Ok(Workspace::open_or_create_with(&self.dir, options)?)
    }

    /// The workspace if there is one.
    pub(crate) fn open_if_present(&self) -> Outcome<Option<Workspace>> {
        match Workspace::open(&self.dir) {
            Ok(workspace) => Ok(Some(workspace)),
            Err(Error::NotWorkspace { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Passes all runs of a query to `take`, page by page and at most `max`. Returns how many match in all. Reports on
/// standard error what cannot be read, and keys that no run has.
pub(crate) fn search(
    workspace: &Workspace,
    mut query: Query,
    max: usize,
    mut take: impl FnMut(RunSummary) -> Outcome<()>,
) -> Outcome<usize> {
    let mut taken = 0;
    loop {
        query.max_results = (max - taken).clamp(1, PAGE);
        let page = workspace.search(&query)?;
        if query.offset == 0 {
            tell_unknown(workspace, &query.names())?;
            tell_unknown_statuses(&query.unknown_statuses());
            left_out::tell(&page.unreadable);
        }
        if taken < max {
            for run in page.summaries()? {
                taken += 1;
                take(run)?;
            }
        }
        match page.next_offset {
            Some(offset) if taken < max => query.offset = offset,
            _ => return Ok(page.total),
        }
    }
}

/// Checks that a run has a metric.
pub(crate) fn check_metric(run: &RunSnapshot, key: &str) -> Outcome<()> {
    if run.series().contains_key(key) {
        return Ok(());
    }
    let keys: Vec<&str> = run.keys().collect();
    let lists = format!("`stepwell show {}` lists its metrics", run.id());
    let hint = match keys.len() {
        0 => "the run has no metrics".to_owned(),
        1..=CANDIDATES => {
            let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
            format!("it has {}", keys.join(", "))
        }
        _ => hint(key, keys.iter().copied(), &lists),
    };
    Err(Failure::hinted(format!("run {} has no metric {:?}", run.id(), key), hint))
}
