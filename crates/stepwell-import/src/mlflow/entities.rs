//! What MLflow's database holds beside runs: experiments, inputs and outputs, logged models, registered models; and a
//! count of the rest, table by table.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use stepwell::ExperimentId;
use stepwell::import::ExperimentImport;
use stepwell::items::{MODEL_INPUT, MODEL_OUTPUT};
use stepwell::registry::{Model, Stage};

use crate::attached::{Attached, ImportedExperiment, ImportedModel};
use crate::context::Context;
use crate::mlflow::model::{Dataset, LatestMetrics, LoggedModel};
use crate::mlflow::sqlite::{pairs_where, rows_where, select, text};
use crate::mlflow::store::in_workspace;
use crate::mlflow::version::{self, StoredVersion};
use crate::mlflow::{NO_PLACE, place};
use crate::number;
use crate::reading::Stop;
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

/// What is read of a version of a registered model.
const VERSION_COLUMNS: [&str; 12] = [
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
        context.emit_experiment(ImportedExperiment { key, experiment: theirs }, &file.path)?;
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
        let number = row.word("experiment_id");
        let tags = pairs_where(connection, "experiment_tags", ["key", "value"], &[("experiment_id", &number)])?;
        let theirs = ExperimentImport {
            id: number.parse().ok().map(ExperimentId),
            deleted: row.word("lifecycle_stage") == "deleted",
            artifact_location: row.word("artifact_location"),
            created_ms: row.ms("creation_time"),
            updated_ms: row.ms("last_update_time"),
            name: in_workspace(row.take("workspace").as_deref(), &row.word("name")),
            tags: tags.into_iter().collect(),
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
        let (kind, source, uuid) = (row.word("source_type"), row.word("source_id"), row.word("input_uuid"));
        match kind.as_str() {
            "DATASET" => {
                let tags = pairs_where(connection, "input_tags", ["name", "value"], &[("input_uuid", &uuid)])?;
                match dataset(connection, &source)? {
                    Some(dataset) => items.push(dataset.item(&tags)),
                    None => context.leave_out(&file.path, Kind::Dataset, 1, "its row in the table datasets is gone"),
                }
            }
            "MODEL" => items.push((MODEL_INPUT, source, String::new())),
            _ => context.leave_out(&file.path, Kind::Other, 1, format!("an input of the type {kind}: {NO_PLACE}")),
        }
    }
    let made = ["source_type", "destination_type", "destination_id", "step"];
    for mut row in rows_where(connection, "inputs", &made, &[("source_id", run)])? {
        let (from, to, model) = (row.word("source_type"), row.word("destination_type"), row.word("destination_id"));
        match (from.as_str(), to.as_str()) {
            ("RUN_INPUT", "MODEL_INPUT") => items.push((MODEL_INPUT, model, String::new())),
            ("RUN_OUTPUT", "MODEL_OUTPUT") => {
                let step = row.take("step").as_deref().and_then(number::step).unwrap_or(0);
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
        name: row.word("name"),
        digest: row.word("digest"),
        source_type: row.word("dataset_source_type"),
        source: row.word("dataset_source"),
        schema: row.take("dataset_schema"),
        profile: row.take("dataset_profile"),
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
        let id = row.word("model_id");
        let of_model = [("model_id", id.as_str())];
        let experiment = experiments.of(row.take("experiment_id"), file, context)?;
        let uri = row.some_word("artifact_location");
        let params = pairs_where(connection, "logged_model_params", ["param_key", "param_value"], &of_model)?;
        let tags = pairs_where(connection, "logged_model_tags", ["tag_key", "tag_value"], &of_model)?;
        let model = LoggedModel {
            name: row.word("name"),
            created_ms: row.ms("creation_timestamp_ms"),
            updated_ms: row.ms("last_updated_timestamp_ms"),
            status: row.take("status"),
            is_deleted: experiment.is_deleted || row.word("lifecycle_stage") == "deleted",
            model_type: row.take("model_type"),
            source_run: row.take("source_run_id"),
            message: row.take("status_message"),
            params,
            tags,
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
            Some(run) => context.emit(run, &file.path)?,
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
        let names = ["metric_name", "dataset_name", "dataset_digest", "run_id"].map(|name| row.word(name));
        let time = row.ms("metric_timestamp_ms").unwrap_or(0);
        let step = row.take("metric_step").as_deref().and_then(number::step).unwrap_or(0);
        // SQLite itself keeps a NaN as null.
        let cell = row.take("metric_value").unwrap_or_else(|| "NaN".to_owned());
        let Some(value) = number::value(&cell) else {
            bad += 1;
            continue;
        };
        inexact.look(&cell, value, None);
        metrics.push(names.each_ref().map(String::as_str), time, step, value);
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
        let (name, workspace) = (row.word("name"), row.take("workspace"));
        let of_model = [("name", name.as_str()), ("workspace", workspace.as_deref().unwrap_or("default"))];
        let created_ms = row.ms("creation_time").unwrap_or(0);
        let tags = pairs_where(connection, "registered_model_tags", ["key", "value"], &of_model)?;
        let mut model = Model {
            created_ms,
            updated_ms: row.ms("last_updated_time").unwrap_or(created_ms),
            description: row.word("description"),
            tags: tags.into_iter().collect(),
            ..Model::default()
        };
        read_versions(connection, &of_model, &mut model, file, context)?;
        let aliases = pairs_where(connection, "registered_model_aliases", ["alias", "version"], &of_model)?;
        for (alias, number) in aliases {
            match number.parse().ok().filter(|number| model.versions.contains_key(number)) {
                Some(number) => _ = model.aliases.insert(alias, number),
                None => context.leave_out(&file.path, Kind::Alias, 1, "names a version that is not there"),
            }
        }
        let name = in_workspace(workspace.as_deref(), &name);
        context.emit_model(ImportedModel { name, model }, &file.path)?;
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
    for mut row in rows_where(connection, "model_versions", &VERSION_COLUMNS, of_model)? {
        let written = row.word("version");
        let Ok(number) = written.parse::<u64>() else {
            context.leave_out(&file.path, Kind::ModelVersion, 1, format!("{written:?} is not a number of a version"));
            continue;
        };
        let current = row.take("current_stage");
        if !version::note_number(model, number, current.as_deref()) {
            continue;
        }
        let of_version = [of_model, &[("version", written.as_str())]].concat();
        let version = StoredVersion {
            stage: version::stage(current.as_deref()).unwrap_or_else(|| {
                context.leave_out(&file.path, Kind::Other, 1, "a version's stage that is none");
                Stage::None
            }),
            created_ms: row.ms("creation_time"),
            updated_ms: row.ms("last_updated_time"),
            description: row.word("description"),
            source: row.word("source"),
            storage_location: row.take("storage_location"),
            run_id: row.word("run_id"),
            run_link: row.word("run_link"),
            model_id: None,
            tags: pairs_where(connection, "model_version_tags", ["key", "value"], &of_version)?,
            status: row.word("status"),
            user: row.word("user_id"),
            status_message: row.word("status_message"),
        };
        model.versions.insert(number, version.into_version(&file.path, context));
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
