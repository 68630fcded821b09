//! Takes runs from the importers into a workspace.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use stepwell::base::ids::ExperimentId;
use stepwell::base::limits::{
    KEY_CHARS_MAX, PARAM_VALUE_CHARS_MAX, RUN_NAME_CHARS_MAX, TAG_VALUE_CHARS_MAX, check_key,
};
use stepwell::base::point::{Columns, Timestamps};
use stepwell::error::Error;
use stepwell::workspace::clock::now_ms;
use stepwell::workspace::import::{Importer, RunImport};
use stepwell::workspace::open::Workspace;
use stepwell_import::{BoxError, ImportedRun, ImportedSeries, Sink, Skipped};

use crate::failure::Outcome;
use crate::progress::Progress;

/// Runs, series and points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Runs.
    pub(crate) runs: u64,
    /// Series.
    pub(crate) series: u64,
    /// Points.
    pub(crate) points: u64,
}

/// The workspace's side of an import. A run that the workspace refuses is noted, and the next one goes on.
pub(crate) struct Importing {
    /// Nothing for a dry run.
    target: Option<(Workspace, Importer)>,
    /// The experiment for all runs, if one was named.
    experiment: Option<String>,
    /// Experiments met so far; for those that do not take runs, why.
    experiments: HashMap<String, Result<ExperimentId, String>>,
    read: Counts,
    added: Counts,
    skipped: Vec<Skipped>,
    progress: Progress,
}

impl Importing {
    /// A sink into `workspace`, or into nothing.
    pub(crate) fn new(workspace: Option<Workspace>, experiment: Option<String>, progress: Progress) -> Self {
        Self {
            target: workspace.map(|workspace| {
                let importer = workspace.importer();
                (workspace, importer)
            }),
            experiment,
            experiments: HashMap::new(),
            read: Counts::default(),
            added: Counts::default(),
            skipped: Vec::new(),
            progress,
        }
    }

    /// Stores what waits. Gives what the sources had, what of it is new, and what was not taken.
    pub(crate) fn finish(self) -> Outcome<(Counts, Counts, Vec<Skipped>)> {
        self.progress.say("storing");
        if let Some((_, importer)) = self.target {
            importer.finish()?;
        }
        Ok((self.read, self.added, self.skipped))
    }

    fn skip(&mut self, source: &str, reason: String) {
        self.skipped.push(Skipped { path: PathBuf::from(source), offset: None, reason });
    }

    /// The experiment for a run.
    fn experiment(&mut self, workspace: &Workspace, of_source: Option<&str>) -> Result<ExperimentId, String> {
        let Some(name) = self.experiment.as_deref().or(of_source).filter(|name| !name.is_empty()) else {
            return Ok(ExperimentId::DEFAULT);
        };
        if let Some(known) = self.experiments.get(name) {
            return known.clone();
        }
        let found = workspace.experiment_named(name).map_err(|error| error.to_string());
        self.experiments.insert(name.to_owned(), found.clone());
        found
    }

    /// Brings words and keys within MLflow's limits: long values are cut as MLflow cuts them; what has a key that no
    /// tracker could show is left out. Each is noted.
    fn fit(&mut self, run: &mut ImportedRun) {
        let mut notes = Vec::new();
        let mut cut = |what: String, value: &mut String, chars_max: usize| {
            if let Some((at, _)) = value.char_indices().nth(chars_max) {
                let chars = value.chars().count();
                value.truncate(at);
                notes.push(format!("{what} of run {} was cut from {chars} to {chars_max} characters", run.id));
            }
        };
        cut("the name".into(), &mut run.name, RUN_NAME_CHARS_MAX);
        cut("the user".into(), &mut run.user, RUN_NAME_CHARS_MAX);
        for (key, value) in &mut run.params {
            cut(format!("param {key:?}"), value, PARAM_VALUE_CHARS_MAX);
        }
        for (key, value) in &mut run.tags {
            cut(format!("tag {key:?}"), value, TAG_VALUE_CHARS_MAX);
        }
        let mut good = |what: &'static str, key: &str| {
            let good = check_key(what, key).is_ok();
            if !good {
                let start: String = key.chars().take(40).collect();
                notes.push(format!(
                    "a {what} of run {} was left out: {start:?} is empty or longer than {KEY_CHARS_MAX} characters",
                    run.id
                ));
            }
            good
        };
        run.params.retain(|(key, _)| good("param key", key));
        run.tags.retain(|(key, _)| good("tag key", key));
        run.series.retain(|series| good("metric key", &series.key));
        for note in notes {
            self.skip(&run.source, note);
        }
    }
}

impl Sink for Importing {
    fn run(&mut self, mut run: ImportedRun) -> Result<(), BoxError> {
        self.fit(&mut run);
        let of_run = Counts {
            runs: 1,
            series: run.series.len() as u64,
            points: run.series.iter().map(|series| series.values.len() as u64).sum(),
        };
        if let Some((workspace, _)) = &self.target {
            let workspace = workspace.clone();
            let experiment = match self.experiment(&workspace, run.experiment.as_deref()) {
                Ok(id) => id,
                Err(why) => {
                    self.skip(&run.source, format!("run {} was not imported: {why}", run.id));
                    return Ok(());
                }
            };
            let source = run.source.clone();
            let id = run.id.clone();
            let run = store_form(&workspace, run, experiment)?;
            let Some((_, importer)) = &mut self.target else {
                return Ok(());
            };
            match importer.add(run) {
                Ok(new) => {
                    self.added.runs += u64::from(new.run);
                    self.added.series += new.series;
                    self.added.points += new.points;
                }
                // The disk fails for every run alike.
                Err(error @ Error::Io { .. }) => return Err(error.into()),
                Err(error) => {
                    self.skip(&source, format!("run {id} was not imported: {error}"));
                    return Ok(());
                }
            }
        }
        self.read.runs += of_run.runs;
        self.read.series += of_run.series;
        self.read.points += of_run.points;
        Ok(())
    }

    fn progress(&mut self, done: u64, total: u64, path: &Path) {
        self.progress.set(done, total);
        self.progress.say(&path.file_name().unwrap_or_default().to_string_lossy());
    }
}

/// The run as the workspace takes it.
fn store_form(workspace: &Workspace, run: ImportedRun, experiment: ExperimentId) -> Result<RunImport, Error> {
    // Sources say that a run is deleted, not since when: the time of the first import stays.
    let deleted_ms = if run.deleted {
        let known = workspace.find_run(&run.id)?.and_then(|known| known.state().deleted_ms());
        Some(known.unwrap_or_else(now_ms))
    } else {
        None
    };
    Ok(RunImport {
        id: run.id,
        experiment,
        name: run.name,
        user: run.user,
        status: run.status,
        start_time_ms: run.start_time_ms,
        end_time_ms: run.end_time_ms,
        deleted_ms,
        params: run.params,
        tags: run.tags,
        series: run.series.into_iter().map(columns).collect(),
    })
}

fn columns(series: ImportedSeries) -> (String, Columns) {
    let len = series.values.len();
    let timestamps = match series.timestamps_ms {
        Some(timestamps) => timestamps.into_iter().collect(),
        None => Timestamps { ms: vec![0; len], absent: vec![true; len] },
    };
    (series.key, Columns { steps: series.steps, timestamps, values: series.values })
}
