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
use crate::mlflow::run::{StoredRun, add_code_tags};
use crate::mlflow::sqlite::{Fields, Side, bytes, columns, open, select, text};
use crate::mlflow::{milliseconds, place};
use crate::number;
use crate::reading::{Stop, each_file};
use crate::report::Kind;
use crate::run::{ImportError, ImportedRun, ImportedSeries};
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

/// Columns of a metric's points, in the order in which they are read.
const METRIC_COLUMNS: [&str; 6] = ["run_uuid", "key", "value", "timestamp", "step", "is_nan"];
/// Columns of params and tags, in the order in which they are read.
const PAIR_COLUMNS: [&str; 3] = ["run_uuid", "key", "value"];

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
    each_file(group, " as an MLflow database", context, |file, _, context| read_database(file, context))
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
    let mut metrics = select(connection, "metrics", &METRIC_COLUMNS, by_run)?;
    let mut params = select(connection, "params", &PAIR_COLUMNS, by_run)?;
    let mut tags = select(connection, "tags", &PAIR_COLUMNS, by_run)?;
    let mut reader = Reader {
        connection,
        file,
        experiments,
        has_inputs: entities::has_rows(connection, "inputs")?,
        metrics: Side::new(&mut metrics)?,
        params: Side::new(&mut params)?,
        tags: Side::new(&mut tags)?,
        inexact: Inexact::default(),
    };
    let mut runs = select(connection, "runs", &RUN_COLUMNS, "run_uuid COLLATE BINARY")?;
    let mut rows = runs.query([])?;
    while let Some(row) = rows.next()? {
        let run = reader.read_run(row, context)?;
        context.emit(run, &file.path)?;
    }
    reader.tell(context)
}

/// The tables from which runs are put together, read alongside each other.
struct Reader<'a, 's> {
    connection: &'a Connection,
    file: &'a SourceFile,
    experiments: &'a mut Experiments,
    /// Whether any run has inputs or outputs.
    has_inputs: bool,
    metrics: Side<'s>,
    params: Side<'s>,
    tags: Side<'s>,
    inexact: Inexact,
}

impl Reader<'_, '_> {
    /// The run of a row in the table of runs.
    fn read_run(&mut self, row: &Row<'_>, context: &mut Context<'_>) -> Result<ImportedRun, Stop> {
        let file = self.file;
        let uuid = bytes(row, 0)?.unwrap_or_default();
        let name = String::from_utf8_lossy(&uuid).into_owned();
        let mut row = Fields::of(row, &RUN_COLUMNS)?;
        let series = self.read_series(&uuid, &name, context)?;
        let params = pairs_of(&mut self.params, &uuid)?;
        let mut tags = pairs_of(&mut self.tags, &uuid)?;
        add_code_tags(&mut tags, |column| row.take(column));
        let experiment = self.experiments.of(row.take("experiment_id"), file, context)?;
        let uri = row.some_word("artifact_uri");
        let beside = file.path.parent().unwrap_or(Path::new(""));
        let attached = Attached {
            experiment_key: Some(experiment.key),
            deleted_ms: row.ms("deleted_time"),
            artifacts: place::of(uri.as_deref(), &name, None, beside).into_iter().collect(),
            artifact_uri: uri,
            ..Attached::default()
        };
        let run = StoredRun {
            id: RunId::new(name.as_str())
                .unwrap_or_else(|_| RunId::derived("mlflow.db", &format!("{}\0{name}", file.relative))),
            source: format!("mlflow.db:{}", file.relative),
            experiment: Some(experiment.name),
            name: row.some_word("name"),
            name_of_last_resort: name.clone(),
            user: row.take("user_id"),
            status: row.take("status"),
            start: row.take("start_time"),
            end: row.take("end_time"),
            is_deleted: experiment.is_deleted || row.take("lifecycle_stage").as_deref() == Some("deleted"),
            params,
            tags,
            series,
            attached,
        };
        let mut run = run.into_run(&format!(" of run {name}"), &file.path, context);
        if self.has_inputs {
            run.attached.items = entities::links(self.connection, &name, file, context)?;
        }
        Ok(run)
    }

    /// The series of a run; reports rows that cannot be taken.
    fn read_series(&mut self, uuid: &[u8], name: &str, context: &mut Context<'_>) -> Result<Vec<ImportedSeries>, Stop> {
        let (mut builder, mut bad, mut timeless) = (SeriesBuilder::default(), 0, 0);
        let inexact = &mut self.inexact;
        self.metrics.rows_of(uuid, |row| {
            match take_metric(row, &mut builder, inexact)? {
                Metric::Whole => {}
                Metric::WithoutTime => timeless += 1,
                Metric::Bad => bad += 1,
            }
            Ok(())
        })?;
        let why = format!("metric rows of run {name} without key, step or number; passed over");
        context.leave_out(&self.file.path, Kind::Point, bad, why);
        let why = format!("points of run {name} whose timestamp cannot be read: taken without a time");
        context.leave_out(&self.file.path, Kind::Point, timeless, why);
        Ok(builder.finish())
    }

    /// Reports numbers that no float holds, and rows of no run, which MLflow does not show either.
    fn tell(self, context: &mut Context<'_>) -> Result<(), Stop> {
        self.inexact.tell(&self.file.path, context);
        let sides =
            [(self.metrics, Kind::Point, "metric"), (self.params, Kind::Param, "param"), (self.tags, Kind::Tag, "tag")];
        for (side, kind, what) in sides {
            let why = format!("{what} rows of runs that do not exist; passed over");
            context.leave_out(&self.file.path, kind, side.orphans()?, why);
        }
        Ok(())
    }
}

/// The params or tags of a run.
fn pairs_of(side: &mut Side<'_>, run: &[u8]) -> Result<Vec<(String, String)>, Stop> {
    let mut pairs = Vec::new();
    side.rows_of(run, |row| {
        if let Some(key) = text(row, 1)? {
            pairs.push((key, text(row, 2)?.unwrap_or_default()));
        }
        Ok(())
    })?;
    Ok(pairs)
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
