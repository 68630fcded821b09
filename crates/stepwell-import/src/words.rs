//! What a Stepwell export says of its runs beside their points, so that they come back as they were.
//!
//! `runs.json` beside `points.csv` or `points.parquet` lists all runs, those without points too. [`RunWords::FILE`] in
//! a run's own folder has what TensorBoard's and MLflow's forms cannot hold; what MLflow's form holds counts more,
//! since somebody may have changed it there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stepwell::{RunId, RunStatus};

use crate::attached::Attached;
use crate::run::{ImportedRun, ImportedSeries};

/// The name of the list of runs.
pub(crate) const LIST: &str = "runs.json";
/// Longer files are not those of an export of ours.
const BYTES_MAX: u64 = 1 << 30;

/// What is said of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunWords {
    /// Its id.
    pub run_id: String,
    /// Its experiment's name.
    #[serde(default)]
    pub experiment: Option<String>,
    /// Its name.
    pub name: String,
    /// Who ran it.
    #[serde(default)]
    pub user: String,
    /// Its status, as MLflow writes it.
    pub status: String,
    /// Start in milliseconds since the epoch.
    pub start_time: Option<i64>,
    /// End in milliseconds since the epoch.
    pub end_time: Option<i64>,
    /// Whether it is marked deleted.
    #[serde(default)]
    pub deleted: bool,
    /// Its params.
    pub params: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The start that was written in the run's own form, which may have to have one.
    #[serde(default)]
    pub start_as: Option<i64>,
    /// The places, by series, of points whose time is 0: all other times 0 stand for none.
    #[serde(default)]
    pub times_at_zero: BTreeMap<String, Vec<u64>>,
    /// How many points of each metric were written.
    #[serde(default)]
    pub points: BTreeMap<String, u64>,
}

impl RunWords {
    /// The name of the file in a run's own folder.
    pub const FILE: &'static str = "stepwell-run.json";

    /// The words in a run's folder, if there are any that can be read. A link is nothing of the folder's.
    pub(crate) fn in_folder(folder: &Path) -> Option<Self> {
        let path = folder.join(Self::FILE);
        serde_json::from_slice(&read(&path).filter(|_| !path.is_symlink())?).ok()
    }

    /// Puts back into a run what the form in its folder could not hold.
    pub(crate) fn complete(&self, run: &mut ImportedRun) {
        let is_mlflow = run.source.starts_with("mlruns:");
        if is_mlflow && run.id.as_str() != self.run_id {
            return;
        }
        run.series.iter_mut().for_each(|series| self.times(series));
        if !is_mlflow {
            return self.apply(run);
        }
        if self.start_time.is_none() && run.start_time_ms == self.start_as {
            run.start_time_ms = None;
        }
        // Where MLflow's form has no name, its readers show another word.
        if self.name.is_empty() && run.name == run.id.as_str() {
            run.name.clear();
        }
    }

    /// How many metrics and points that were exported a run lacks.
    pub(crate) fn missing(&self, run: &ImportedRun) -> (u64, u64) {
        let (mut series, mut points) = (0, 0);
        for (key, count) in &self.points {
            let found = run.series.iter().find(|series| series.key == *key).map(|series| series.values.len() as u64);
            series += u64::from(found.is_none());
            points += count.saturating_sub(found.unwrap_or_default());
        }
        (series, points)
    }

    /// Makes all times 0 absent but for those that are.
    fn times(&self, series: &mut ImportedSeries) {
        let zero = self.times_at_zero.get(&series.key).map(Vec::as_slice).unwrap_or_default();
        let times = series.timestamps_ms.take().unwrap_or_else(|| vec![None; series.values.len()]);
        let at = |(place, time): (usize, Option<i64>)| match time {
            None | Some(0) => zero.binary_search(&(place as u64)).is_ok().then_some(0),
            other => other,
        };
        let times: Vec<Option<i64>> = times.into_iter().enumerate().map(at).collect();
        series.timestamps_ms = times.iter().any(Option::is_some).then_some(times);
    }

    /// Gives a run these words.
    pub(crate) fn apply(&self, run: &mut ImportedRun) {
        if let Ok(id) = RunId::new(self.run_id.as_str()) {
            (run.id, run.own_id) = (id, true);
        }
        let all = |words: &BTreeMap<String, String>| {
            words.iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>()
        };
        run.experiment.clone_from(&self.experiment);
        (run.name, run.user) = (self.name.clone(), self.user.clone());
        // Of a status that nobody knows nobody can say that the run has ended.
        run.status = self.status.parse().unwrap_or(RunStatus::Running);
        (run.start_time_ms, run.end_time_ms, run.deleted) = (self.start_time, self.end_time, self.deleted);
        (run.params, run.tags) = (all(&self.params), all(&self.tags));
    }

    /// What is told of a status that nobody knows.
    pub(crate) fn unknown_status(&self) -> Option<String> {
        let word: String = self.status.chars().take(40).collect();
        let is_unknown = self.status.parse::<RunStatus>().is_err();
        is_unknown.then(|| format!("status {word:?} of run {} is unknown; it is taken as running", self.run_id))
    }

    /// A run of which there is nothing but words.
    pub(crate) fn alone(&self, source: String) -> Option<ImportedRun> {
        let mut run = ImportedRun {
            id: RunId::new(self.run_id.as_str()).ok()?,
            own_id: true,
            source,
            experiment: None,
            name: String::new(),
            user: String::new(),
            status: RunStatus::Finished,
            start_time_ms: None,
            end_time_ms: None,
            deleted: false,
            params: Vec::new(),
            tags: Vec::new(),
            series: Vec::new(),
            attached: Attached::default(),
        };
        self.apply(&mut run);
        Some(run)
    }
}

/// The runs that an export lists, if the file is such a list.
pub(crate) fn list(path: &Path) -> Option<Vec<RunWords>> {
    serde_json::from_slice(&read(path)?).ok()
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
