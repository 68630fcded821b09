//! Takes runs from the importers into a workspace.

use std::collections::HashMap;
use std::path::Path;

use stepwell::base::ids::ExperimentId;
use stepwell::base::limits::{
    KEY_CHARS_MAX, PARAM_VALUE_CHARS_MAX, RUN_NAME_CHARS_MAX, TAG_VALUE_CHARS_MAX, check_key,
};
use stepwell::base::point::{Columns, Timestamps};
use stepwell::error::Error;
use stepwell::options::Options;
use stepwell::workspace::clock::now_ms;
use stepwell::workspace::import::{Importer, OtherParam, RunImport};
use stepwell::workspace::open::Workspace;
use stepwell_import::{BoxError, Counts, ImportedRun, ImportedSeries, Kind, Sink, Taken};

use crate::context::Context;
use crate::failure::Outcome;
use crate::progress::Progress;

/// The workspace's side of an import. A run that the workspace refuses is noted, and the next one goes on.
pub(crate) struct Importing<'a> {
    context: &'a Context,
    /// Nothing is stored.
    dry_run: bool,
    /// The workspace, which is not created before there is something to store in it.
    target: Option<(Workspace, Importer)>,
    /// The experiment for all runs, if one was named.
    experiment: Option<String>,
    /// Experiments met so far; for those that do not take runs, why.
    experiments: HashMap<String, Result<ExperimentId, String>>,
    progress: Progress,
}

impl<'a> Importing<'a> {
    /// A sink into the workspace of the call, or into nothing.
    pub(crate) fn new(context: &'a Context, dry_run: bool, experiment: Option<String>) -> Self {
        let progress = Progress::bytes("importing", context.json);
        Self { context, dry_run, target: None, experiment, experiments: HashMap::new(), progress }
    }

    /// Stores what waits.
    pub(crate) fn finish(self) -> Outcome<()> {
        self.progress.say("storing");
        match self.target {
            Some((_, importer)) => Ok(importer.finish()?),
            None => Ok(()),
        }
    }

    /// The workspace and what stores runs in it; the workspace is created at the first call.
    fn target(&mut self) -> Result<&mut (Workspace, Importer), Error> {
        if self.target.is_none() {
            let workspace = Workspace::open_or_create_with(&self.context.dir, Options::default())?;
            let importer = workspace.importer();
            self.target = Some((workspace, importer));
        }
        Ok(self.target.as_mut().expect("it was set just now"))
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
}

/// Brings words and keys within MLflow's limits: long values are cut as MLflow cuts them; what has a key that no
/// tracker could show is left out. Each is noted.
fn fit(run: &mut ImportedRun) -> Vec<(Kind, u64, String)> {
    let mut notes = Vec::new();
    let mut cut = |kind: Kind, what: String, value: &mut String, chars_max: usize| {
        if let Some((at, _)) = value.char_indices().nth(chars_max) {
            let chars = value.chars().count();
            value.truncate(at);
            notes.push((kind, 1, format!("{what} of run {} was cut from {chars} to {chars_max} characters", run.id)));
        }
    };
    cut(Kind::Run, "the name".into(), &mut run.name, RUN_NAME_CHARS_MAX);
    cut(Kind::Run, "the user".into(), &mut run.user, RUN_NAME_CHARS_MAX);
    for (key, value) in &mut run.params {
        cut(Kind::Param, format!("param {key:?}"), value, PARAM_VALUE_CHARS_MAX);
    }
    for (key, value) in &mut run.tags {
        cut(Kind::Tag, format!("tag {key:?}"), value, TAG_VALUE_CHARS_MAX);
    }
    let mut good = |kind: Kind, what: &'static str, key: &str| {
        let good = check_key(what, key).is_ok();
        if !good {
            let start: String = key.chars().take(40).collect();
            let why = format!("{start:?} is empty or longer than {KEY_CHARS_MAX} characters");
            notes.push((kind, 1, format!("a {what} of run {} was left out: {why}", run.id)));
        }
        good
    };
    run.params.retain(|(key, _)| good(Kind::Param, "param key", key));
    run.tags.retain(|(key, _)| good(Kind::Tag, "tag key", key));
    run.series.retain(|series| good(Kind::Series, "metric key", &series.key));
    notes
}

impl Sink for Importing<'_> {
    fn run(&mut self, mut run: ImportedRun) -> Result<Taken, BoxError> {
        let notes = fit(&mut run);
        let counts = run.counts();
        let mut done =
            if self.dry_run { Taken { taken: counts, ..Taken::default() } } else { self.store(run, counts)? };
        done.left_out.splice(0..0, notes);
        Ok(done)
    }

    fn progress(&mut self, done: u64, total: u64, path: &Path) {
        self.progress.set(done, total);
        self.progress.say(&path.file_name().unwrap_or_default().to_string_lossy());
    }
}

impl Importing<'_> {
    /// Gives a run to the workspace.
    fn store(&mut self, run: ImportedRun, counts: Counts) -> Result<Taken, Error> {
        let workspace = self.target()?.0.clone();
        let id = run.id.clone();
        let refused = |why: String| Taken::refused(Kind::Run, format!("run {id} was not imported: {why}"));
        let experiment = match self.experiment(&workspace, run.experiment.as_deref()) {
            Ok(experiment) => experiment,
            Err(why) => return Ok(refused(why)),
        };
        let run = store_form(&workspace, run, experiment)?;
        match self.target()?.1.add(run) {
            Ok(new) => {
                let added = Counts::default()
                    .with(Kind::Run, u64::from(new.run))
                    .with(Kind::Series, new.series)
                    .with(Kind::Point, new.points);
                let others = new.other_params.iter().map(|param| {
                    let OtherParam { key, existing, given } = param;
                    let why =
                        format!("param {key:?} of run {id} is {given:?} in the source and stays {existing:?} here");
                    (Kind::Param, 1, why + ": params are write-once")
                });
                Ok(Taken { taken: counts, added, left_out: others.collect() })
            }
            // The disk fails for every run alike.
            Err(error @ Error::Io { .. }) => Err(error),
            Err(error) => Ok(refused(error.to_string())),
        }
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
        name: run.name,
        user: run.user,
        status: run.status,
        start_time_ms: run.start_time_ms,
        end_time_ms: run.end_time_ms,
        deleted_ms,
        params: run.params,
        tags: run.tags,
        series: run.series.into_iter().map(columns).collect(),
        ..RunImport::new(run.id, experiment)
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
