//! What an import gives besides runs' metadata and points: experiments, registered models, and what belongs to a run.

use std::path::PathBuf;

use stepwell::import::ExperimentImport;
use stepwell::items::{DATASET, LOGGED_MODEL};
use stepwell::registry::Model;

use crate::report::{Counts, Kind};
use crate::run::ImportedRun;

/// An experiment of a tracking store.
#[derive(Clone, Debug)]
pub struct ImportedExperiment {
    /// By what its runs name it, see [`Attached::experiment_key`].
    pub key: String,
    /// What it is.
    pub experiment: ExperimentImport,
}

/// A registered model or prompt, with its versions.
#[derive(Clone, Debug)]
pub struct ImportedModel {
    /// Its name.
    pub name: String,
    /// What it is.
    pub model: Model,
}

/// What belongs to a run besides its metadata and points.
#[derive(Clone, Debug, Default)]
pub struct Attached {
    /// The [`ImportedExperiment::key`] of the run's experiment, which was given to the sink before.
    pub experiment_key: Option<String>,
    /// The kind of entity that the run represents, see [`stepwell::items`].
    pub kind: u8,
    /// Items by kind and key, see [`stepwell::items`].
    pub items: Vec<(u8, String, String)>,
    /// When it was deleted, in milliseconds since the epoch, where the source says it.
    pub deleted_ms: Option<i64>,
    /// Where its artifacts are, as the source says it.
    pub artifact_uri: Option<String>,
    /// Folders with its files, which exist.
    pub artifacts: Vec<ArtifactFolder>,
    /// Which part of the run this is, for a run that was resumed and so has several logs.
    pub part: Option<Part>,
    /// What the run came from, for a run that its source does not name: the kind of source, its absolute path, and the
    /// run's name within it. It stays the same when the source is overwritten.
    pub origin: Option<String>,
}

/// A folder whose files belong to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactFolder {
    /// The folder.
    pub folder: PathBuf,
    /// Where its files go, below the run's artifacts; empty for right there.
    pub below: String,
}

/// One of several logs of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What distinguishes it from other parts: the same wherever the log is copied, and when it grows.
    pub id: String,
    /// When this start of the run began, in milliseconds since the epoch.
    pub started_ms: Option<i64>,
    /// Where the log is: the kind of source and its absolute path. It stays the same when the log is overwritten. A log
    /// without a point has none, since its beginning is not whole.
    pub place: Option<String>,
    /// How much of this part (the run itself, and names of metrics, params and tags) earlier parts had too.
    pub known: Counts,
}

impl ImportedRun {
    /// How much the run holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let points = self.series.iter().map(|series| series.values.len() as u64).sum();
        let datasets = self.attached.items.iter().filter(|(kind, ..)| *kind == DATASET).count();
        let known = |kind: Kind| self.attached.part.as_ref().map_or(0, |part| part.known.get(kind));
        let all = [
            (self.what(), 1),
            (Kind::Series, self.series.len()),
            (Kind::Param, self.params.len()),
            (Kind::Tag, self.tags.len()),
            (Kind::Dataset, datasets),
        ];
        let new = |counts: Counts, (kind, count)| counts.with(kind, (count as u64).saturating_sub(known(kind)));
        all.into_iter().fold(Counts::default().with(Kind::Point, points), new)
    }

    /// What it counts as.
    #[must_use]
    pub fn what(&self) -> Kind {
        if self.attached.kind == LOGGED_MODEL { Kind::LoggedModel } else { Kind::Run }
    }
}

impl ImportedModel {
    /// How much the model holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::default()
            .with(Kind::Model, 1)
            .with(Kind::ModelVersion, self.model.versions.len() as u64)
            .with(Kind::Alias, self.model.aliases.len() as u64)
    }
}
