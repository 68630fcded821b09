//! Takes runs from the importers into a workspace.

mod form;
mod said;
mod store;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use stepwell::import::Importer;
use stepwell::items::LOGGED_MODEL;
use stepwell::registry::ModelImport;
use stepwell::tracking::SERVED_ARTIFACTS;
use stepwell::{Error, Experiment, ExperimentId, Options, RunId, Workspace};
use stepwell_import::{
    BoxError, Counts, ImportedExperiment, ImportedModel, ImportedRun, Kind, Report, Sink, Taken, is_local,
};

use crate::commands::files::{self, Files};
use crate::commands::origins::Origins;
use crate::commands::sink::form::fit;
use crate::commands::sink::said::{experiment_changed, model_changed};
use crate::context::Context;
use crate::failure::Outcome;
use crate::progress::Progress;

/// The workspace's side of an import. A run that the workspace refuses is noted, and the next one goes on.
pub(crate) struct Importing<'a> {
    context: &'a Context,
    /// Nothing is stored.
    dry_run: bool,
    /// Nothing is compared with what the workspace has.
    only_counts: bool,
    /// What a dry run would add.
    would_add: Counts,
    /// The workspace, which is not created before there is something to store in it.
    target: Option<(Workspace, Importer)>,
    /// The experiment for all runs, if one was named.
    experiment: Option<String>,
    /// Experiments met so far; for those that do not take runs, why.
    experiments: HashMap<String, Result<ExperimentId, String>>,
    /// Experiments of tracking stores, by their keys.
    adopted: HashMap<String, Result<Experiment, String>>,
    /// Whether the default experiment may become the source's.
    relocate_default: Option<bool>,
    /// Whether files of runs are copied.
    artifacts: bool,
    files: Files,
    /// When the parts of runs started that were given so far, in milliseconds since the epoch.
    starts: HashMap<RunId, BTreeSet<i64>>,
    origins: Origins,
    /// The parts of runs that were stored so far.
    parts: HashMap<RunId, BTreeSet<String>>,
    changed: Changed,
    /// The id of the only run, if the caller gave one.
    as_id: Option<RunId>,
    progress: Progress,
}

/// What is done with a source that no longer begins with what was imported from it, or whose run was deleted for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It is another run if it is known by its place only, and refused if it names the run itself or the run was
    /// deleted.
    #[default]
    AsItIs,
    /// It is another run in any case.
    AsNew,
    /// It takes the place of the run.
    Replace,
}

impl<'a> Importing<'a> {
    /// A sink into the workspace of the call, or into nothing.
    pub(crate) fn new(context: &'a Context, dry_run: bool, experiment: Option<String>, changed: Changed) -> Self {
        let progress = Progress::bytes("importing", context.json);
        Self {
            context,
            dry_run,
            only_counts: false,
            would_add: Counts::default(),
            target: None,
            experiment,
            experiments: HashMap::new(),
            adopted: HashMap::new(),
            relocate_default: None,
            artifacts: false,
            files: Files::default(),
            starts: HashMap::new(),
            origins: Origins::default(),
            parts: HashMap::new(),
            changed,
            as_id: None,
            progress,
        }
    }

    /// Also copies the files of runs.
    pub(crate) fn take_artifacts(&mut self, artifacts: bool) {
        self.artifacts = artifacts;
    }

    /// Says what is imported. Unless that is one tracking store alone, into a workspace that had no run before, the
    /// default experiment keeps its place: runs of other sources come to it too.
    pub(crate) fn take_from(&mut self, paths: &[PathBuf]) {
        let is_store = |path: &PathBuf| {
            let mut below = std::fs::read_dir(path).into_iter().flatten().flatten();
            path.is_file() || below.any(|entry| entry.path().join("meta.yaml").is_file())
        };
        if !matches!(paths, [only] if is_store(only)) {
            self.relocate_default = Some(false);
        }
    }

    /// Stores the only run under this id.
    pub(crate) fn name_as(&mut self, id: Option<RunId>) {
        self.as_id = id;
    }

    /// Counts what there is, and looks at no workspace.
    pub(crate) fn only_count(&mut self) {
        (self.dry_run, self.only_counts) = (true, true);
    }

    /// What a dry run would add.
    pub(crate) fn would_add(&self) -> &Counts {
        &self.would_add
    }

    /// Stores what waits, and takes from the report what another import stored meanwhile; says what that was.
    pub(crate) fn finish(self, report: &mut Report) -> Outcome<Counts> {
        let mut elsewhere = Counts::default();
        if let Some((_, importer)) = self.target.filter(|_| !self.dry_run) {
            for found in importer.finish()? {
                let what = if found.kind == LOGGED_MODEL { Kind::LoggedModel } else { Kind::Run };
                elsewhere.add(what, u64::from(found.is_new));
                elsewhere.add(Kind::Series, found.series);
                elsewhere.add(Kind::Point, found.points);
            }
        }
        elsewhere.iter().for_each(|(kind, count)| report.added.take(kind, count));
        Ok(elsewhere)
    }

    /// Whether there is a workspace to store in, or to compare with if nothing is stored.
    fn has_target(&mut self) -> Result<bool, Error> {
        if !self.dry_run {
            return Ok(true);
        }
        if self.only_counts || !self.context.dir.exists() {
            return Ok(false);
        }
        match self.target() {
            Ok(_) => Ok(true),
            Err(Error::NotWorkspace { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The workspace and what stores runs in it; the workspace is created at the first call.
    fn target(&mut self) -> Result<&mut (Workspace, Importer), Error> {
        if self.target.is_none() {
            let workspace = match self.dry_run {
                true => Workspace::open(&self.context.dir)?,
                false => Workspace::open_or_create_with(&self.context.dir, Options::default())?,
            };
            let mut importer = workspace.importer();
            if self.dry_run {
                importer.dry_run();
            }
            importer.on_progress(self.progress.storing());
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
        let found = match self.dry_run {
            true => there(workspace, name),
            false => workspace.experiments().get_or_create(name),
        };
        let found = found.map_err(|error| error.to_string());
        self.experiments.insert(name.to_owned(), found.clone());
        found
    }
}

/// The experiment of a name, or the default one for one that would be created.
fn there(workspace: &Workspace, name: &str) -> Result<ExperimentId, Error> {
    match workspace.experiments().by_name(name)? {
        Some(known) if known.deleted => {
            Err(Error::Deleted { entity: stepwell::Entity::Experiment, id: known.id.to_string() })
        }
        known => Ok(known.map_or(ExperimentId::DEFAULT, |known| known.id)),
    }
}

impl Sink for Importing<'_> {
    fn run(&mut self, mut run: ImportedRun) -> Result<Taken, BoxError> {
        if let Some(id) = &self.as_id {
            (run.id, run.own_id) = (id.clone(), true);
        }
        let notes = fit(&mut run);
        let counts = run.counts();
        let mut of_files = Taken::default();
        if !self.artifacts {
            files::tell(&run, &mut of_files);
        }
        let mut done = match self.has_target()? {
            true => self.store(run, counts)?,
            false => Taken { taken: counts, ..Taken::default() },
        };
        self.note_would_add(&mut done);
        done.left_out.splice(0..0, notes);
        done.left_out.append(&mut of_files.left_out);
        Ok(done)
    }

    fn experiment(&mut self, experiment: ImportedExperiment) -> Result<Taken, BoxError> {
        if let Some(name) = &self.experiment {
            let why = format!("--experiment puts all runs into {name:?}");
            return Ok(Taken { left_out: vec![(Kind::Experiment, 1, why)], ..Taken::default() });
        }
        let taken = Counts::default().with(Kind::Experiment, 1);
        match self.has_target()? {
            true => Ok(self.adopt(experiment, taken)?),
            false => Ok(Taken { taken, ..Taken::default() }),
        }
    }

    fn model(&mut self, mut model: ImportedModel) -> Result<Taken, BoxError> {
        let counts = model.counts();
        if !self.has_target()? {
            return Ok(Taken { taken: counts, ..Taken::default() });
        }
        self.files.follow(&mut model);
        let (revive, dry_run) = (self.changed != Changed::AsItIs, self.dry_run);
        let workspace = &self.target()?.0;
        let import = ModelImport { name: &model.name, model: &model.model, revive, own_storage: SERVED_ARTIFACTS };
        let done = match dry_run {
            true => workspace.preview_model(&import)?,
            false => workspace.adopt_model(&import)?,
        };
        let refusal = match (done.is_other, done.is_deleted) {
            (true, _) => Some(format!("another registered model is named {:?} here; rename one of them", model.name)),
            (_, true) => Some(format!(
                "the registered model {:?} was deleted here and stays so; --replace brings it back",
                model.name
            )),
            _ => None,
        };
        if let Some(why) = refusal {
            let left_out = counts.iter().map(|(kind, count)| (kind, count, why.clone())).collect();
            return Ok(Taken { left_out, is_refused: true, ..Taken::default() });
        }
        let renamed =
            done.name_here.iter().map(|here| format!("the registered model {:?} is {here:?} here", model.name));
        let notes = renamed.collect();
        let added =
            Counts::default().with(Kind::Model, u64::from(done.is_new)).with(Kind::ModelVersion, done.versions_added);
        let others = &done.versions_left_out;
        let left_out = match others.len() as u64 {
            0 => Vec::new(),
            count => vec![(Kind::ModelVersion, count, files::versions_left_out(&model.name, others))],
        };
        let mut taken = Taken { taken: counts, added, left_out, notes, ..Taken::default() };
        model_changed(&mut taken, &model.name, &done);
        self.note_would_add(&mut taken);
        Ok(taken)
    }

    fn wants_artifacts(&self) -> bool {
        self.artifacts
    }

    fn progress(&mut self, done: u64, total: u64, path: &Path) {
        self.progress.set(done, total);
        self.progress.say(&path.file_name().unwrap_or_default().to_string_lossy());
    }
}

impl Importing<'_> {
    /// A dry run adds nothing; notes what it would add.
    fn note_would_add(&mut self, done: &mut Taken) {
        if self.dry_run {
            self.would_add.merge(&std::mem::take(&mut done.added));
        }
    }

    /// Gives an experiment to the workspace, or looks what would become of it.
    fn adopt(&mut self, given: ImportedExperiment, taken: Counts) -> Result<Taken, Error> {
        let ImportedExperiment { key, mut experiment } = given;
        let workspace = self.target()?.0.clone();
        let relocate_default = match self.relocate_default {
            Some(known) => known,
            None => *self.relocate_default.insert(workspace.run_ids()?.is_empty()),
        };
        if self.artifacts && is_local(&experiment.artifact_location) {
            // Its files come here, and so do those of later runs.
            experiment.artifact_location.clear();
        }
        let refused = |count: u64, why: String| (Kind::Experiment, count, why);
        let adopted = match self.dry_run {
            true => workspace.preview_experiment(&experiment, relocate_default),
            false => workspace.adopt_experiment(&experiment, relocate_default),
        };
        let done = match adopted {
            Ok(done) => done,
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(error) => {
                self.adopted.insert(key, Err(error.to_string()));
                return Ok(Taken::refused(Kind::Experiment, error.to_string()));
            }
        };
        let (own, is_new) = (done.experiment.clone(), done.is_new);
        let mut left_out = Vec::new();
        if let Some(number) = experiment.id.filter(|number| *number != own.id) {
            let why = format!("experiment {:?} has the number {number} in the source and {} here", own.name, own.id);
            left_out.push(refused(1, why));
        }
        for tag in &done.tags_left_out {
            left_out.push((Kind::Tag, 1, format!("tag {tag:?} of experiment {:?} is too long; left out", own.name)));
        }
        let is_refused = own.deleted && !experiment.deleted;
        let why = format!("experiment {:?} is deleted here; restore it to import its runs", own.name);
        if is_refused {
            let way = format!("`stepwell experiments restore {}` restores it", own.id);
            left_out.push(refused(1, format!("experiment {:?} is deleted here and stays so; {way}", own.name)));
        }
        let outcome = if is_refused { Err(why) } else { Ok(own) };
        // Runs of one that would be new are looked for in the default experiment.
        if !(self.dry_run && is_new) {
            self.adopted.insert(key, outcome);
        }
        let added = Counts::default().with(Kind::Experiment, u64::from(is_new));
        let mut taken = Taken { taken, added, left_out, ..Taken::default() };
        experiment_changed(&mut taken, &done);
        self.note_would_add(&mut taken);
        Ok(taken)
    }
}
