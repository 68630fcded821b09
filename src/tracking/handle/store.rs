//! The facade's handle.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::base::ids::{ExperimentId, RunId};
use crate::base::items::RUN;
use crate::journal::catalog;
use crate::run::snapshot::RunSnapshot;
use crate::search::execute::UriTemplate;
use crate::tracking::handle::writers::Writers;
use crate::tracking::values::error::{Fault, Result};
use crate::workspace::handle::Workspace;

/// Choices of a facade.
#[derive(Clone, Debug)]
pub struct TrackingOptions {
    /// Where artifacts go of experiments that were created without a location: each below it in a folder of its number.
    pub artifact_root: String,
    /// The folder that `mlflow-artifacts:/` stands for, if who asks reaches it by its path: then locations in it
    /// are shown as paths. They are stored as `mlflow-artifacts:/` all the same, so that a server can serve them.
    pub artifact_folder: Option<String>,
    /// Whether longer values of params and tags are cut (MLflow's default) or refused.
    pub truncate_long_values: bool,
    /// Whether filters may go beyond MLflow's: OR, NOT, parentheses, IN, regular expressions, statistics of metrics.
    pub extended_filters: bool,
    /// Most runs whose logs are kept open for writing.
    pub writers_max: usize,
    /// How long a log without a write stays open, in milliseconds.
    pub writer_idle_ms: i64,
}

impl Default for TrackingOptions {
    fn default() -> Self {
        Self {
            artifact_root: "mlflow-artifacts:/".into(),
            artifact_folder: None,
            truncate_long_values: true,
            extended_filters: false,
            writers_max: 256,
            writer_idle_ms: 60_000,
        }
    }
}

/// MLflow's operations on a workspace. Cheap to clone and shared between threads; any number of them, and writers and
/// readers of the workspace without it, may work on one folder at once.
#[derive(Clone)]
pub struct Tracking {
    pub(crate) inner: Arc<Inner>,
    /// The workspace, with this handle's actor.
    pub(crate) acting: Workspace,
}

/// What the clones of a handle share.
pub(crate) struct Inner {
    pub(crate) workspace: Workspace,
    pub(crate) options: TrackingOptions,
    pub(crate) writers: Writers,
    /// The first description of each dataset that this facade has met, by experiment and item key.
    pub(crate) datasets: Mutex<FxHashMap<(ExperimentId, String), String>>,
}

impl std::fmt::Debug for Tracking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tracking({})", self.inner.workspace.root().display())
    }
}

impl Tracking {
    /// A facade of a workspace.
    #[must_use]
    pub fn new(workspace: Workspace, options: TrackingOptions) -> Self {
        let writers = Writers::new(options.writers_max.max(1), options.writer_idle_ms);
        let acting = workspace.clone();
        Self { inner: Arc::new(Inner { workspace, options, writers, datasets: Mutex::default() }), acting }
    }

    /// The same facade for somebody else: see [`Workspace::acting_as`].
    #[must_use]
    pub fn acting_as(&self, actor: &str) -> Self {
        Self { inner: Arc::clone(&self.inner), acting: self.inner.workspace.acting_as(actor) }
    }

    /// The workspace below.
    #[must_use]
    pub fn workspace(&self) -> &Workspace {
        &self.inner.workspace
    }

    /// Its choices.
    #[must_use]
    pub fn options(&self) -> &TrackingOptions {
        &self.inner.options
    }

    /// Closes logs that were not written for a while, so that compaction may pack them. A server calls this now and
    /// then, and before it ends [`Self::close`].
    ///
    /// # Errors
    /// [`Fault`] when a log could not be ended; what was logged stays.
    pub fn close_idle(&self) -> Result<()> {
        self.inner.writers.close_idle()
    }

    /// Closes all logs that are open for writing, and makes everything survive a power loss. Later calls open
    /// logs anew.
    ///
    /// # Errors
    /// As [`Self::close_idle`].
    pub fn close(&self) -> Result<()> {
        self.inner.writers.close_all()?;
        Ok(self.inner.workspace.sync()?)
    }

    /// Where an experiment's artifacts go.
    pub(crate) fn artifact_location(&self, experiment: &catalog::Experiment) -> String {
        if experiment.artifact_location.is_empty() {
            below(&self.inner.options.artifact_root, &experiment.id.to_string())
        } else {
            self.shown_location(experiment.artifact_location.clone())
        }
    }

    /// Where a run's artifacts are. Of an experiment that the catalog does not know, as after a copy of single runs, it
    /// is where they would be by default.
    pub(crate) fn artifact_uri(&self, experiment: ExperimentId, run: &RunId) -> Result<String> {
        let root = match self.inner.workspace.experiments().get(experiment) {
            Ok(experiment) => self.artifact_location(&experiment),
            Err(crate::error::Error::NotFound { .. }) => {
                below(&self.inner.options.artifact_root, &experiment.to_string())
            }
            Err(error) => return Err(error.into()),
        };
        Ok(artifact_uris(&root).of(run))
    }

    /// The run of an id, deleted or not.
    pub(crate) fn snapshot(&self, id: &RunId) -> Result<RunSnapshot> {
        let run = self.inner.workspace.find_run(id)?.filter(|run| run.state().kind() == RUN);
        run.ok_or_else(|| Fault::missing(format!("Run with id={id} not found")))
    }
}

/// The artifact URIs of an experiment's runs: `ROOT/RUN/artifacts`.
pub(crate) fn artifact_uris(root: &str) -> UriTemplate {
    let (path, rest) = path_of(root);
    UriTemplate { before: format!("{path}/"), after: format!("/artifacts{rest}") }
}

/// The place below a URI; a query or fragment stays at the end.
pub(crate) fn below(uri: &str, name: &str) -> String {
    let (path, rest) = path_of(uri);
    format!("{path}/{name}{rest}")
}

/// A URI without a slash at its end, and its query or fragment.
fn path_of(uri: &str) -> (&str, &str) {
    let end = uri.find(['?', '#']).filter(|_| uri.contains("://")).unwrap_or(uri.len());
    let (path, rest) = uri.split_at(end);
    (path.trim_end_matches('/'), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_below_a_uri() {
        for (uri, expected) in [
            ("mlflow-artifacts:/", "mlflow-artifacts:/0"),
            ("/srv/mlruns", "/srv/mlruns/0"),
            ("/srv/mlruns/", "/srv/mlruns/0"),
            ("s3://bucket/a?version=1", "s3://bucket/a/0?version=1"),
            ("file:///a", "file:///a/0"),
        ] {
            assert_eq!(below(uri, "0"), expected);
            let run = RunId::new("r").unwrap();
            assert_eq!(artifact_uris(uri).of(&run), below(&below(uri, "r"), "artifacts"));
        }
    }
}
