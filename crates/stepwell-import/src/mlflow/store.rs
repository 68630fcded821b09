//! An experiment's folder in MLflow's file store, with all that lies in it: runs, logged models, tags, and what has no
//! place here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use stepwell::ExperimentId;
use stepwell::import::ExperimentImport;

use crate::attached::{Attached, ImportedExperiment};
use crate::context::Context;
use crate::mlflow::folder::{self, files_below, read_words};
use crate::mlflow::meta::{self, Meta};
use crate::mlflow::model::{LatestMetrics, LoggedModel};
use crate::mlflow::{NO_PLACE, milliseconds, place};
use crate::name_of;
use crate::number;
use crate::reading::each_file;
use crate::report::Kind;
use crate::run::ImportError;
use crate::table::inexact::Inexact;
use crate::walk::Group;

/// Reads experiments' folders.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    each_file(group, "", context, |file, _, context| Ok(read_experiment(&file.path, &file.relative, context)?))
}

fn read_experiment(experiment: &Path, relative: &str, context: &mut Context<'_>) -> Result<(), ImportError> {
    emit(experiment, context)?;
    for child in folders(experiment, context) {
        let name = name_of(&child);
        match name.as_str() {
            "tags" | "datasets" => {}
            "models" => read_models(&child, &format!("{relative}/models"), context)?,
            "traces" => {
                let count = folders(&child, context).len() as u64;
                context.leave_out(&child, Kind::Other, count, format!("traces: {NO_PLACE}"));
            }
            _ if folder::may_be_run(&child) => {
                folder::read_run(&child, &format!("{relative}/{name}"), context)?;
            }
            _ => context.leave_out(&child, Kind::Other, 1, "a folder in an experiment's that is not a run; not read"),
        }
    }
    let strangers = files(experiment).into_iter().filter(|path| !path.ends_with("meta.yaml")).count();
    context.leave_out(experiment, Kind::File, strangers as u64, "in an experiment's folder, not of MLflow; not read");
    Ok(())
}

/// Gives the experiment of a folder to the sink. An experiment whose meta file is gone goes by its folder's name.
pub(crate) fn emit(experiment: &Path, context: &mut Context<'_>) -> Result<(), ImportError> {
    if context.knows_experiment(&key(experiment)) {
        return Ok(());
    }
    let meta_path = experiment.join("meta.yaml");
    let meta = meta::read(&meta_path).unwrap_or_else(|reason| {
        let why = format!("{reason}; the experiment is imported under its folder's name");
        context.leave_out(&meta_path, Kind::Experiment, 1, why);
        Meta::default()
    });
    let folder_name = name_of(experiment);
    let number = meta.get("experiment_id").unwrap_or(&folder_name).parse().ok().map(ExperimentId);
    let name = match meta.get("name") {
        Some(name) if !name.is_empty() => in_workspace(meta.get("workspace"), name),
        _ if number == Some(ExperimentId::DEFAULT) => "Default".to_owned(),
        _ => folder_name,
    };
    let tags: BTreeMap<String, String> = read_words(&experiment.join("tags"), context).into_iter().collect();
    let theirs = ExperimentImport {
        id: number,
        name,
        created_ms: meta.ms("creation_time"),
        updated_ms: meta.ms("last_update_time"),
        deleted: meta.is_deleted(experiment),
        artifact_location: meta.word("artifact_location"),
        tags,
    };
    context.emit_experiment(ImportedExperiment { key: key(experiment), experiment: theirs }, experiment)
}

/// By what an experiment's runs name it.
pub(crate) fn key(experiment: &Path) -> String {
    format!("mlruns:{}", experiment.display())
}

/// A name in a store that several workspaces of MLflow share; those of `default` stay as they are.
pub(crate) fn in_workspace(workspace: Option<&str>, name: &str) -> String {
    match workspace {
        None | Some("" | "default") => name.to_owned(),
        Some(workspace) => format!("{workspace}.{name}"),
    }
}

fn read_models(models: &Path, relative: &str, context: &mut Context<'_>) -> Result<(), ImportError> {
    let experiment = models.parent().unwrap_or(models).to_path_buf();
    for folder in folders(models, context) {
        let meta_path = folder.join("meta.yaml");
        let meta = match meta::read(&meta_path) {
            Ok(meta) => meta,
            Err(reason) => {
                context.leave_out(&folder, Kind::LoggedModel, 1, format!("meta.yaml: {reason}; not imported"));
                continue;
            }
        };
        let folder_name = name_of(&folder);
        let id = meta.owned("model_id").unwrap_or_else(|| folder_name.clone());
        let model = LoggedModel {
            name: meta.word("name"),
            model_type: meta.owned("model_type"),
            source_run: meta.owned("source_run_id"),
            status: meta.owned("status"),
            message: meta.owned("status_message"),
            created_ms: meta.ms("creation_timestamp"),
            updated_ms: meta.ms("last_updated_timestamp"),
            is_deleted: meta.is_deleted(&folder),
            params: read_words(&folder.join("params"), context),
            tags: read_words(&folder.join("tags"), context),
            metrics: read_metrics(&folder.join("metrics"), context),
            id: id.clone(),
        };
        let older = model.metrics.older_count;
        context.leave_out(&folder, Kind::Point, older, "older values of a logged model's metrics: the runs have them");
        let uri = meta.owned("artifact_location");
        let store = experiment.parent().and_then(Path::parent).unwrap_or(&experiment);
        let artifacts = place::of(uri.as_deref(), &id, Some(folder.join("artifacts")), store);
        let attached = Attached {
            experiment_key: Some(key(&experiment)),
            artifacts: artifacts.into_iter().collect(),
            artifact_uri: uri,
            ..Attached::default()
        };
        match model.into_run(format!("mlruns:{relative}/{folder_name}"), attached) {
            Some(run) => context.emit(run, &folder)?,
            None => context.leave_out(&folder, Kind::LoggedModel, 1, format!("{id:?} cannot be kept as an id")),
        }
    }
    Ok(())
}

/// A logged model's metrics: a file each, a line for each point, `timestamp value step run [dataset digest]`.
fn read_metrics(folder: &Path, context: &mut Context<'_>) -> LatestMetrics {
    let mut metrics = LatestMetrics::default();
    for (metric, path) in files_below(folder, context) {
        let mut inexact = Inexact::default();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                context.count_unread();
                context.leave_out(&path, Kind::Series, 1, format!("cannot be read: {error}"));
                continue;
            }
        };
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let point = || {
                let timestamp_ms = milliseconds(fields.first()?)?;
                Some((timestamp_ms, number::value(fields.get(1)?)?, number::step(fields.get(2).unwrap_or(&"0"))?))
            };
            let word = |at: usize| fields.get(at).copied().unwrap_or_default();
            match point() {
                Some((time, value, step)) => {
                    inexact.look(fields[1], value, None);
                    metrics.push([&metric, word(4), word(5), word(3)], time, step, value);
                }
                None => context.leave_out(&path, Kind::Point, 1, "a line that is not `timestamp value step run`"),
            }
        }
        inexact.tell(&path, context);
    }
    metrics
}

/// The folders in a folder, by name. Those that cannot be listed are told.
pub(crate) fn folders(folder: &Path, context: &mut Context<'_>) -> Vec<PathBuf> {
    match fs::read_dir(folder) {
        Ok(listing) => {
            let mut found: Vec<PathBuf> =
                listing.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_dir()).collect();
            found.sort();
            found.retain(|path| {
                let is_link = path.is_symlink();
                if is_link {
                    context.skip(path, None, folder::LINK);
                }
                !is_link
            });
            found
        }
        Err(error) => {
            context.cannot_list(folder, &error);
            Vec::new()
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(folder).into_iter().flatten();
    listing.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_file()).collect()
}
