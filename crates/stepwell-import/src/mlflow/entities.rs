//! What MLflow's database holds beside runs: experiments, inputs and outputs, logged models, registered models; and a
//! count of the rest, table by table.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use stepwell::ExperimentId;
use stepwell::import::ExperimentImport;
use stepwell::items::{MODEL_INPUT, MODEL_OUTPUT};
use stepwell::registry::{Model, Stage, Version};

use crate::attached::{Attached, ImportedExperiment, ImportedModel};
use crate::context::Context;
use crate::mlflow::model::{DELETED_STAGE, Dataset, LatestMetrics, LoggedModel, model_of_source, stage};
use crate::mlflow::sqlite::{Stop, rows_where, select, text};
use crate::mlflow::store::in_workspace;
use crate::mlflow::{NO_PLACE, milliseconds, place};
use crate::number;
use crate::report::Kind;
use crate::table::inexact::Inexact;
use crate::walk::SourceFile;

/// Tables that are read.
const READ: [&str; 19] = [
    "experiments",
    "experiment_tags",
    "runs",
    "metrics",
    "params",
    "tags",
    "latest_metrics",
    "inputs",
    "input_tags",
    "datasets",
    "logged_models",
    "logged_model_params",
    "logged_model_tags",
    "logged_model_metrics",
    "registered_models",
    "registered_model_tags",
    "registered_model_aliases",
    "model_versions",
    "model_version_tags",
];
/// Tables by which MLflow runs itself, with nothing that a person put there.
const BOOKKEEPING: [&str; 5] = ["alembic_version", "workspaces", "job_locks", "scheduler_leases", "sqlite_sequence"];

/// A row's texts, of which each is taken once.
type Texts = Vec<Option<String>>;

fn take(row: &mut Texts, at: usize) -> Option<String> {
    row.get_mut(at).and_then(Option::take)
}

fn word(row: &mut Texts, at: usize) -> String {
    take(row, at).unwrap_or_default()
}

/// Pairs of two columns; a missing value is empty.
fn pairs(rows: Vec<Texts>) -> impl Iterator<Item = (String, String)> {
    rows.into_iter().map(|mut row| (word(&mut row, 0), word(&mut row, 1)))
}

/// Whether a table is there and has rows.
pub(crate) fn has_rows(connection: &Connection, table: &str) -> Result<bool, Stop> {
    Ok(select(connection, table, &["rowid"], "1")?.query([])?.next()?.is_some())
}

/// An experiment as its runs need it.
#[derive(Clone)]
pub(crate) struct ExperimentOf {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) is_deleted: bool,
}

/// The experiments of a database by their numbers.
pub(crate) struct Experiments(BTreeMap<String, ExperimentOf>);

impl Experiments {
    /// The experiment of a number. One that the store does not list goes by its number.
    pub(crate) fn of(
        &mut self,
        number: Option<String>,
        file: &SourceFile,
        context: &mut Context<'_>,
    ) -> Result<ExperimentOf, Stop> {
        let number = number.unwrap_or_else(|| "0".to_owned());
        if let Some(known) = self.0.get(&number) {
            return Ok(known.clone());
        }
        let why = "runs name it and the store does not list it; it goes by its number";
        context.leave_out(&file.path, Kind::Experiment, 1, why);
        let name = if number == "0" { "Default".to_owned() } else { number.clone() };
        let theirs = ExperimentImport { id: number.parse().ok().map(ExperimentId), name, ..Default::default() };
        self.add(number, theirs, file, context)
    }

    fn add(
        &mut self,
        number: String,
        theirs: ExperimentImport,
        file: &SourceFile,
        context: &mut Context<'_>,
    ) -> Result<ExperimentOf, Stop> {
        let key = format!("mlflow.db:{}\0{number}", file.path.display());
        let own = ExperimentOf { key: key.clone(), name: theirs.name.clone(), is_deleted: theirs.deleted };
        self.0.insert(number, own.clone());
        context.emit_experiment(ImportedExperiment { key, experiment: theirs }, &file.path).map_err(Stop::Import)?;
        Ok(own)
    }
}

/// Gives all experiments to the sink, those without runs too.
pub(crate) fn read_experiments(
    connection: &Connection,
    file: &SourceFile,
    context: &mut Context<'_>,
) -> Result<Experiments, Stop> {
    let mut experiments = Experiments(BTreeMap::new());
    let wanted = [
        "experiment_id",
        "name",
        "lifecycle_stage",
        "artifact_location",
        "creation_time",
        "last_update_time",
        "workspace",
    ];
    for mut row in rows_where(connection, "experiments", &wanted, &[])? {
        let number = word(&mut row, 0);
        let tags = rows_where(connection, "experiment_tags", &["key", "value"], &[("experiment_id", &number)])?;
        let name = word(&mut row, 1);
        let theirs = ExperimentImport {
            id: number.parse().ok().map(ExperimentId),
            deleted: word(&mut row, 2) == "deleted",
            artifact_location: word(&mut row, 3),
            created_ms: take(&mut row, 4).as_deref().and_then(milliseconds),
            updated_ms: take(&mut row, 5).as_deref().and_then(milliseconds),
            name: in_workspace(take(&mut row, 6).as_deref(), &name),
            tags: pairs(tags).collect(),
        };
        experiments.add(number, theirs, file, context)?;
    }
    Ok(experiments)
}

/// What a run read and made: datasets, logged models.
pub(crate) fn links(
    connection: &Connection,
    run: &str,
    file: &SourceFile,
    context: &mut Context<'_>,
) -> Result<Vec<(u8, String, String)>, Stop> {
    let mut items = Vec::new();
    let read = ["source_type", "source_id", "input_uuid"];
    for mut row in rows_where(connection, "inputs", &read, &[("destination_type", "RUN"), ("destination_id", run)])? {
        let (kind, source, uuid) = (word(&mut row, 0), word(&mut row, 1), word(&mut row, 2));
        match kind.as_str() {
            "DATASET" => {
                let tags = rows_where(connection, "input_tags", &["name", "value"], &[("input_uuid", &uuid)])?;
                match dataset(connection, &source)? {
                    Some(dataset) => items.push(dataset.item(&pairs(tags).collect::<Vec<_>>())),
                    None => context.leave_out(&file.path, Kind::Dataset, 1, "its row in the table datasets is gone"),
                }
            }
            "MODEL" => items.push((MODEL_INPUT, source, String::new())),
            _ => context.leave_out(&file.path, Kind::Other, 1, format!("an input of the type {kind}: {NO_PLACE}")),
        }
    }
    let made = ["source_type", "destination_type", "destination_id", "step"];
    for mut row in rows_where(connection, "inputs", &made, &[("source_id", run)])? {
        let (from, to, model) = (word(&mut row, 0), word(&mut row, 1), word(&mut row, 2));
        match (from.as_str(), to.as_str()) {
            ("RUN_INPUT", "MODEL_INPUT") => items.push((MODEL_INPUT, model, String::new())),
            ("RUN_OUTPUT", "MODEL_OUTPUT") => {
                let step = take(&mut row, 3).as_deref().and_then(number::step).unwrap_or(0);
                items.push((MODEL_OUTPUT, model, step.to_string()));
            }
            _ => context.leave_out(&file.path, Kind::Other, 1, format!("a link from {from} to {to}: {NO_PLACE}")),
        }
    }
    Ok(items)
}

fn dataset(connection: &Connection, uuid: &str) -> Result<Option<Dataset>, Stop> {
    let wanted = ["name", "digest", "dataset_source_type", "dataset_source", "dataset_schema", "dataset_profile"];
    let found = rows_where(connection, "datasets", &wanted, &[("dataset_uuid", uuid)])?.into_iter().next();
    Ok(found.map(|mut row| Dataset {
        name: word(&mut row, 0),
        digest: word(&mut row, 1),
        source_type: word(&mut row, 2),
        source: word(&mut row, 3),
        schema: take(&mut row, 4),
        profile: take(&mut row, 5),
    }))
}

/// Gives all logged models to the sink.
pub(crate) fn read_logged_models(
    connection: &Connection,
    file: &SourceFile,
    experiments: &mut Experiments,
    context: &mut Context<'_>,
) -> Result<(), Stop> {
    let wanted = [
        "model_id",
        "experiment_id",
        "name",
        "artifact_location",
        "creation_timestamp_ms",
        "last_updated_timestamp_ms",
        "status",
        "lifecycle_stage",
        "model_type",
        "source_run_id",
        "status_message",
    ];
    for mut row in rows_where(connection, "logged_models", &wanted, &[])? {
        let id = word(&mut row, 0);
        let of_model = [("model_id", id.as_str())];
        let experiment = experiments.of(take(&mut row, 1), file, context)?;
        let uri = take(&mut row, 3).filter(|uri| !uri.is_empty());
        let params = rows_where(connection, "logged_model_params", &["param_key", "param_value"], &of_model)?;
        let tags = rows_where(connection, "logged_model_tags", &["tag_key", "tag_value"], &of_model)?;
        let model = LoggedModel {
            name: word(&mut row, 2),
            created_ms: take(&mut row, 4).as_deref().and_then(milliseconds),
            updated_ms: take(&mut row, 5).as_deref().and_then(milliseconds),
            status: take(&mut row, 6),
            is_deleted: experiment.is_deleted || word(&mut row, 7) == "deleted",
            model_type: take(&mut row, 8),
            source_run: take(&mut row, 9),
            message: take(&mut row, 10),
            params: pairs(params).collect(),
            tags: pairs(tags).collect(),
            metrics: model_metrics(connection, &id, file, context)?,
            id: id.clone(),
        };
        let older = model.metrics.older_count;
        context.leave_out(&file.path, Kind::Point, older, "older values of logged models' metrics: the runs have them");
        let beside = file.path.parent().unwrap_or(Path::new(""));
        let attached = Attached {
            experiment_key: Some(experiment.key),
            artifacts: place::of(uri.as_deref(), &id, None, beside).into_iter().collect(),
            artifact_uri: uri,
            ..Attached::default()
        };
        match model.into_run(format!("mlflow.db:{}", file.relative), attached) {
            Some(run) => context.emit(run, &file.path).map_err(Stop::Import)?,
            None => context.leave_out(&file.path, Kind::LoggedModel, 1, format!("{id:?} cannot be kept as an id")),
        }
    }
    Ok(())
}

fn model_metrics(
    connection: &Connection,
    model: &str,
    file: &SourceFile,
    context: &mut Context<'_>,
) -> Result<LatestMetrics, Stop> {
    let wanted = [
        "metric_name",
        "dataset_name",
        "dataset_digest",
        "run_id",
        "metric_timestamp_ms",
        "metric_step",
        "metric_value",
    ];
    let (mut metrics, mut inexact, mut bad) = (LatestMetrics::default(), Inexact::default(), 0);
    for mut row in rows_where(connection, "logged_model_metrics", &wanted, &[("model_id", model)])? {
        let names = [0, 1, 2, 3].map(|at| word(&mut row, at));
        let names = [0, 1, 2, 3].map(|at: usize| names[at].as_str());
        let time = take(&mut row, 4).as_deref().and_then(milliseconds).unwrap_or(0);
        let step = take(&mut row, 5).as_deref().and_then(number::step).unwrap_or(0);
        // SQLite itself keeps a NaN as null.
        let cell = take(&mut row, 6).unwrap_or_else(|| "NaN".to_owned());
        let Some(value) = number::value(&cell) else {
            bad += 1;
            continue;
        };
        inexact.look(&cell, value, None);
        metrics.push(names, time, step, value);
    }
    inexact.tell(&file.path, context);
    let why = format!("metric rows of logged model {model} without a number; passed over");
    context.leave_out(&file.path, Kind::Point, bad, why);
    Ok(metrics)
}

/// Gives all registered models and prompts to the sink.
pub(crate) fn read_registry(connection: &Connection, file: &SourceFile, context: &mut Context<'_>) -> Result<(), Stop> {
    let wanted = ["name", "creation_time", "last_updated_time", "description", "workspace"];
    for mut row in rows_where(connection, "registered_models", &wanted, &[])? {
        let (name, workspace) = (word(&mut row, 0), take(&mut row, 4));
        let of_model = [("name", name.as_str()), ("workspace", workspace.as_deref().unwrap_or("default"))];
        let created_ms = take(&mut row, 1).as_deref().and_then(milliseconds).unwrap_or(0);
        let tags = rows_where(connection, "registered_model_tags", &["key", "value"], &of_model)?;
        let mut model = Model {
            created_ms,
            updated_ms: take(&mut row, 2).as_deref().and_then(milliseconds).unwrap_or(created_ms),
            description: word(&mut row, 3),
            tags: pairs(tags).collect(),
            ..Model::default()
        };
        read_versions(connection, &of_model, &mut model, file, context)?;
        for (alias, number) in
            pairs(rows_where(connection, "registered_model_aliases", &["alias", "version"], &of_model)?)
        {
            match number.parse().ok().filter(|number| model.versions.contains_key(number)) {
                Some(number) => _ = model.aliases.insert(alias, number),
                None => context.leave_out(&file.path, Kind::Alias, 1, "names a version that is not there"),
            }
        }
        let name = in_workspace(workspace.as_deref(), &name);
        context.emit_model(ImportedModel { name, model }, &file.path).map_err(Stop::Import)?;
    }
    Ok(())
}

fn read_versions(
    connection: &Connection,
    of_model: &[(&str, &str)],
    model: &mut Model,
    file: &SourceFile,
    context: &mut Context<'_>,
) -> Result<(), Stop> {
    let wanted = [
        "version",
        "current_stage",
        "creation_time",
        "last_updated_time",
        "description",
        "source",
        "storage_location",
        "run_id",
        "run_link",
        "status",
        "user_id",
        "status_message",
    ];
    for mut row in rows_where(connection, "model_versions", &wanted, of_model)? {
        let written = word(&mut row, 0);
        let Ok(number) = written.parse::<u64>() else {
            context.leave_out(&file.path, Kind::ModelVersion, 1, format!("{written:?} is not a number of a version"));
            continue;
        };
        model.last_number = model.last_number.max(number);
        let current = take(&mut row, 1);
        if current.as_deref() == Some(DELETED_STAGE) {
            continue;
        }
        let created_ms = take(&mut row, 2).as_deref().and_then(milliseconds).unwrap_or(0);
        let source = word(&mut row, 5);
        let of_version = [of_model, &[("version", written.as_str())]].concat();
        let tags = rows_where(connection, "model_version_tags", &["key", "value"], &of_version)?;
        let version = Version {
            created_ms,
            updated_ms: take(&mut row, 3).as_deref().and_then(milliseconds).unwrap_or(created_ms),
            description: word(&mut row, 4),
            stage: stage(current.as_deref()).unwrap_or_else(|| {
                context.leave_out(&file.path, Kind::Other, 1, "a version's stage that is none");
                Stage::None
            }),
            storage_location: take(&mut row, 6).unwrap_or_else(|| source.clone()),
            run_id: word(&mut row, 7),
            run_link: word(&mut row, 8),
            model_id: model_of_source(&source).unwrap_or_default().to_owned(),
            tags: pairs(tags).collect(),
            source,
            ..Version::default()
        };
        if !matches!(word(&mut row, 9).as_str(), "" | "READY") {
            context.leave_out(&file.path, Kind::Other, 1, "the status of a version, which is READY here");
        }
        if !word(&mut row, 10).is_empty() || !word(&mut row, 11).is_empty() {
            context.leave_out(&file.path, Kind::Other, 1, "the user or the status message of a version: no place here");
        }
        model.versions.insert(number, version);
    }
    Ok(())
}

/// Tells how many rows there are of each table that has no counterpart here, whatever MLflow's version calls it.
pub(crate) fn tell_the_rest(connection: &Connection, file: &SourceFile, context: &mut Context<'_>) -> Result<(), Stop> {
    let mut statement = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let table = text(row, 0)?.unwrap_or_default();
        if READ.contains(&table.as_str()) || BOOKKEEPING.contains(&table.as_str()) || table.starts_with("sqlite_") {
            continue;
        }
        let quoted = table.replace('"', "\"\"");
        let count: i64 = connection.query_row(&format!("SELECT COUNT(*) FROM \"{quoted}\""), [], |row| row.get(0))?;
        let count = u64::try_from(count).unwrap_or(0);
        context.leave_out(&file.path, Kind::Other, count, format!("rows of the table {table}: {NO_PLACE}"));
    }
    Ok(())
}
