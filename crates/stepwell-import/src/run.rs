//! What an import gives: runs, their series, and the sink that takes them.

use std::path::{Path, PathBuf};

use stepwell::{RunId, RunStatus};

use crate::attached::{Attached, ImportedExperiment, ImportedModel};
use crate::report::Taken;

/// One metric of one run, in the order in which the source holds it.
#[derive(Clone, Debug)]
pub struct ImportedSeries {
    /// The metric's name, as it is in the source.
    pub key: String,
    /// Steps; one for each value.
    pub steps: Vec<i64>,
    /// Milliseconds since epoch, one for each value, absent where the source has none; `None` when no point has one.
    pub timestamps_ms: Option<Vec<Option<i64>>>,
    /// Values with the source's bits; float32 sources are widened exactly.
    pub values: Vec<f64>,
}

/// One complete run.
#[derive(Clone, Debug)]
pub struct ImportedRun {
    /// The source's own id, or one derived from the kind of source, its relative path and its beginning.
    pub id: RunId,
    /// Whether the source itself names the run. Otherwise the run is recognised by its place and content only; a source
    /// that has the id of an earlier one but other contents is another run.
    pub own_id: bool,
    /// The kind of source and its path relative to the given path, as `kind:path`.
    pub source: String,
    /// The experiment's (MLflow) or project's (W&B) name, if the source has one.
    pub experiment: Option<String>,
    /// The run's name; the relative path where the source has no names.
    pub name: String,
    /// Who ran it; empty when the source does not say.
    pub user: String,
    /// The status of the run. Sources that do not record one count as finished.
    pub status: RunStatus,
    /// Start, in milliseconds since epoch.
    pub start_time_ms: Option<i64>,
    /// End, in milliseconds since epoch.
    pub end_time_ms: Option<i64>,
    /// Whether the source marks the run, or its experiment, as deleted.
    pub deleted: bool,
    /// Params in the source's order.
    pub params: Vec<(String, String)>,
    /// Tags in the source's order.
    pub tags: Vec<(String, String)>,
    /// Series in the order of their first point.
    pub series: Vec<ImportedSeries>,
    /// What else belongs to it.
    pub attached: Attached,
}

/// An error of the sink's own.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Receives the runs.
pub trait Sink {
    /// Takes one complete run, and says what of it was taken. A run that is refused for a reason of its own is no
    /// error.
    ///
    /// # Errors
    /// Any error ends the import.
    fn run(&mut self, run: ImportedRun) -> Result<Taken, BoxError>;

    /// Takes an experiment, before its runs. A sink that does not store experiments need not implement this.
    ///
    /// # Errors
    /// Any error ends the import.
    fn experiment(&mut self, experiment: ImportedExperiment) -> Result<Taken, BoxError> {
        let _ = experiment;
        Ok(Taken::default())
    }

    /// Takes a registered model with its versions, after the runs that made them. A sink that does not store models
    /// need not implement this.
    ///
    /// # Errors
    /// Any error ends the import.
    fn model(&mut self, model: ImportedModel) -> Result<Taken, BoxError> {
        let _ = model;
        Ok(Taken::default())
    }

    /// Whether files that belong to runs are taken. If not, they are not read.
    fn wants_artifacts(&self) -> bool {
        false
    }

    /// Reports progress: bytes read, of about how many, and the file being read. Called at least once a file.
    fn progress(&mut self, bytes_done: u64, bytes_total: u64, path: &Path) {
        let _ = (bytes_done, bytes_total, path);
    }
}

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A path given to [`import`](crate::import) cannot be looked at. Correct it, nothing was imported.
    #[error("cannot open {path}: {source}")]
    Path {
        /// The path as given.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The sink refused a run. The runs before it were taken.
    #[error("run {run} from {from} could not be stored: {error}")]
    Sink {
        /// The run's id.
        run: RunId,
        /// The run's [`ImportedRun::source`].
        from: String,
        /// The sink's error.
        error: BoxError,
    },
    /// The sink refused an experiment or a registered model. What came before it was taken.
    #[error("{what} could not be stored: {error}")]
    Store {
        /// What it was.
        what: String,
        /// The sink's error.
        error: BoxError,
    },
}
