//! MLflow's SQLite database, any schema since `runs` and `metrics` exist. It is never written to.
//!
//! Experiments come first, then runs, logged models and registered models, and last a count of what cannot be imported.
//! Runs, metrics, params and tags are each read once, in the order of run ids, and merged. Within a run and key, points
//! come in the order in which they were written.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use stepwell::RunId;

use crate::attached::Attached;
use crate::context::Context;
use crate::mlflow::entities::{self, Experiments};
use crate::mlflow::model::source_tags;
use crate::mlflow::sqlite::{Side, Stop, bytes, columns, open, select, text};
use crate::mlflow::{RunWords, milliseconds, place};
use crate::number;
use crate::report::Kind;
use crate::run::{ImportError, ImportedRun};
use crate::series::SeriesBuilder;
use crate::table::inexact::Inexact;
use crate::walk::{Group, SourceFile};

/// Columns of a run, in the order in which they are read.
const RUN_COLUMNS: [&str; 13] = [
    "run_uuid",
    "name",
    "user_id",
    "status",
    "start_time",
    "end_time",
    "lifecycle_stage",
    "experiment_id",
    "artifact_uri",
    "deleted_time",
    "source_name",
    "source_version",
    "entry_point_name",
];

/// Whether an SQLite file has MLflow's tables. A database that cannot be opened counts as one, so that it is reported.
pub(crate) fn is_tracking_store(path: &Path) -> bool {
    let tables = || -> Result<bool, Stop> {
        let (connection, _copy) = open(path)?;
        Ok(columns(&connection, "runs")?.iter().any(|name| name == "run_uuid")
            && !columns(&connection, "metrics")?.is_empty())
    };
    tables().unwrap_or(true)
}

/// Reads a database.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    for file in &group.files {
        match read_database(file, context) {
            Ok(()) => {}
            Err(Stop::Import(error)) => return Err(error),
            Err(Stop::File(reason)) => {
                context.unread(&file.path, format!("not read to its end as an MLflow database: {reason}"))
            }
        }
        context.advance(&file.path, file.bytes);
    }
    Ok(())
}

fn read_database(file: &SourceFile, context: &mut Context<'_>) -> Result<(), Stop> {
    let (connection, _copy) = open(&file.path)?;
    let mut experiments = entities::read_experiments(&connection, file, context)?;
    read_runs(&connection, file, &mut experiments, context)?;
    entities::read_logged_models(&connection, file, &mut experiments, context)?;
    entities::read_registry(&connection, file, context)?;
    entities::tell_the_rest(&connection, file, context)
}

fn read_runs(
    connection: &Connection,
    file: &SourceFile,
    experiments: &mut Experiments,
    context: &mut Context<'_>,
) -> Result<(), Stop> {
    let by_run = "run_uuid COLLATE BINARY, rowid";
    let mut metrics_statement =
        select(connection, "metrics", &["run_uuid", "key", "value", "timestamp", "step", "is_nan"], by_run)?;
    let mut params_statement = select(connection, "params", &["run_uuid", "key", "value"], by_run)?;
    let mut tags_statement = select(connection, "tags", &["run_uuid", "key", "value"], by_run)?;
    let mut metrics = Side::new(&mut metrics_statement)?;
    let mut params = Side::new(&mut params_statement)?;
    let mut tags = Side::new(&mut tags_statement)?;
    let has_inputs = entities::has_rows(connection, "inputs")?;
    let mut statement = select(connection, "runs", &RUN_COLUMNS, "run_uuid COLLATE BINARY")?;
    let mut rows = statement.query([])?;
    let (mut orphans, mut inexact) = ([0, 0, 0], Inexact::default());
    while let Some(row) = rows.next()? {
        let uuid = bytes(row, 0)?.unwrap_or_default();
        let mut builder = SeriesBuilder::default();
        let (mut bad, mut timeless) = (0u64, 0u64);
        orphans[0] += metrics.rows_of(&uuid, &mut |row| {
            match take_metric(row, &mut builder, &mut inexact)? {
                Metric::Whole => {}
                Metric::WithoutTime => timeless += 1,
                Metric::Bad => bad += 1,
            }
            Ok(())
        })?;
        let mut words = [Vec::new(), Vec::new()];
        for (at, side) in [&mut params, &mut tags].into_iter().enumerate() {
            orphans[at + 1] += side.rows_of(&uuid, &mut |row| {
                if let Some(key) = text(row, 1)? {
                    words[at].push((key, text(row, 2)?.unwrap_or_default()));
                }
                Ok(())
            })?;
        }
        let [params, mut tags] = words;
        let name = String::from_utf8_lossy(&uuid).into_owned();
        if bad > 0 {
            let why = format!("metric rows of run {name} without key, step or number; passed over");
            context.leave_out(&file.path, Kind::Point, bad, why);
        }
        let why = format!("points of run {name} whose timestamp cannot be read: taken without a time");
        context.leave_out(&file.path, Kind::Point, timeless, why);
        let mut more = Vec::new();
        for at in 10..RUN_COLUMNS.len() {
            more.push(text(row, at)?);
        }
        source_tags(&mut tags, |word| more[RUN_COLUMNS.iter().position(|name| *name == word)? - 10].clone());
        let tag = |wanted: &str| tags.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone());
        let experiment = experiments.of(text(row, 7)?, file, context)?;
        let uri = text(row, 8)?.filter(|uri| !uri.is_empty());
        let beside = file.path.parent().unwrap_or(Path::new(""));
        let words = RunWords { status: text(row, 3)?, start: text(row, 4)?, end: text(row, 5)? };
        let (status, start_time_ms, end_time_ms) = words.read(&format!(" of run {name}"), &file.path, context);
        let attached = Attached {
            experiment_key: Some(experiment.key),
            items: if has_inputs { entities::links(connection, &name, file, context)? } else { Vec::new() },
            deleted_ms: text(row, 9)?.as_deref().and_then(milliseconds),
            artifacts: place::of(uri.as_deref(), &name, None, beside).into_iter().collect(),
            artifact_uri: uri,
            ..Attached::default()
        };
        let run = ImportedRun {
            id: RunId::new(name.as_str())
                .unwrap_or_else(|_| RunId::derived("mlflow.db", &format!("{}\0{name}", file.relative))),
            own_id: true,
            source: format!("mlflow.db:{}", file.relative),
            experiment: Some(experiment.name),
            name: text(row, 1)?.filter(|name| !name.is_empty()).or_else(|| tag("mlflow.runName")).unwrap_or(name),
            user: text(row, 2)?.or_else(|| tag("mlflow.user")).unwrap_or_default(),
            status,
            start_time_ms,
            end_time_ms,
            deleted: experiment.is_deleted || text(row, 6)?.as_deref() == Some("deleted"),
            params,
            tags,
            series: builder.finish(),
            attached,
        };
        context.emit(run, &file.path).map_err(Stop::Import)?;
    }
    inexact.tell(&file.path, context);
    // What is left belongs to no run, as it would in MLflow.
    let kinds = [(Kind::Point, "metric"), (Kind::Param, "param"), (Kind::Tag, "tag")];
    for (at, side) in [&mut metrics, &mut params, &mut tags].into_iter().enumerate() {
        while side.run.is_some() {
            orphans[at] += 1;
            side.step()?;
        }
        let (kind, what) = kinds[at];
        let why = format!("{what} rows of runs that do not exist; passed over");
        context.leave_out(&file.path, kind, orphans[at], why);
    }
    Ok(())
}

/// How much of a metric row was taken.
enum Metric {
    Whole,
    WithoutTime,
    Bad,
}

/// Takes a metric row. MLflow stores NaN as 0 with a mark, infinities as ±1.797e308.
fn take_metric(row: &Row<'_>, builder: &mut SeriesBuilder, inexact: &mut Inexact) -> Result<Metric, Stop> {
    let is_nan = match row.get_ref(5)? {
        ValueRef::Integer(mark) => mark != 0,
        ValueRef::Text(mark) => mark.eq_ignore_ascii_case(b"true") || mark == b"1",
        _ => false,
    };
    let value = match row.get_ref(2)? {
        _ if is_nan => Some(f64::NAN),
        ValueRef::Real(value) => Some(value),
        ValueRef::Integer(value) => {
            inexact.look_at_whole(value.into());
            Some(value as f64)
        }
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).unwrap_or_default();
            let value = number::value(text);
            value.into_iter().for_each(|value| inexact.look(text, value, None));
            value
        }
        // SQLite itself keeps a NaN as null.
        ValueRef::Null => Some(f64::NAN),
        ValueRef::Blob(_) => None,
    };
    let step = match row.get_ref(4)? {
        // The first schemas had no step.
        ValueRef::Null => Some(0),
        ValueRef::Integer(step) => Some(step),
        _ => text(row, 4)?.and_then(|text| number::step(&text)),
    };
    let timestamp_ms = match row.get_ref(3)? {
        ValueRef::Integer(timestamp) => Some(timestamp),
        _ => text(row, 3)?.as_deref().and_then(milliseconds),
    };
    let ValueRef::Text(key) = row.get_ref(1)? else {
        return Ok(Metric::Bad);
    };
    match (std::str::from_utf8(key), value, step) {
        (Ok(key), Some(value), Some(step)) => builder.push(key, step, timestamp_ms, value),
        _ => return Ok(Metric::Bad),
    }
    let is_lost = timestamp_ms.is_none() && !matches!(row.get_ref(3)?, ValueRef::Null);
    Ok(if is_lost { Metric::WithoutTime } else { Metric::Whole })
}
