//! `stepwell export RUN… --to DIR`: runs as Parquet, CSV, TensorBoard event files or MLflow's folders.

mod events;
mod folders;
mod table;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use stepwell::base::ids::RunId;
use stepwell::base::point::Columns;
use stepwell::error::Error;
use stepwell::run::snapshot::RunSnapshot;
use stepwell::workspace::open::Workspace;
use stepwell::workspace::search::{RunQuery, ViewType};

use crate::context::{self, Context};
use crate::failure::{Answer, Failure, Outcome};
use crate::output::{self, bytes, count, escape, plural};
use crate::progress::Progress;
use crate::shape::RunShape;

/// The file of words.
const RUNS: &str = "runs.json";

/// Writes runs to a folder: `points.parquet` with the columns run_id, key, step, timestamp_ms (null where absent) and
/// value, each series in the order in which it was logged, every bit kept; and `runs.json` with names, params and tags,
/// as `runs --json` prints them. With `--format csv` the points are in `points.csv`, with the same columns: values in the
/// shortest form that reads back as the same number, and every NaN as NaN.
///
/// With `--format tfevents` each run is a folder with a TensorBoard event file, params as hyperparameters and tags as texts;
/// numbers that no float32 holds are written as float64. With `--format mlruns` the runs are in MLflow's folder layout; a
/// point without a time gets time 0 there. Both take only keys that can be paths; others are named and left out.
///
/// Runs and series that are damaged are named and left out, the rest is written, and the exit status is 1; `repair` may
/// save more of them.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Ids, beginnings of ids, or names.
    #[arg(value_name = "RUN", required_unless_present_any = ["all", "filter"])]
    runs: Vec<String>,
    /// All runs that are not deleted.
    #[arg(long, conflicts_with_all = ["runs", "filter"])]
    all: bool,
    /// All runs that this matches, as in `runs`.
    #[arg(long, value_name = "FILTER", conflicts_with = "runs")]
    filter: Option<String>,
    /// The folder; it is created if needed.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The form.
    #[arg(long, value_enum, default_value_t = Format::Parquet)]
    format: Format,
    /// Replace what an earlier export wrote there.
    #[arg(long)]
    overwrite: bool,
}

/// The forms that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One table of points, and `runs.json`.
    Parquet,
    /// The same as text.
    Csv,
    /// A TensorBoard event file for each run, and `runs.json`.
    Tfevents,
    /// MLflow's folders: experiment, run, metrics, params, tags.
    Mlruns,
}

/// What was written.
#[derive(Default)]
struct Written {
    runs: u64,
    series: u64,
    points: u64,
    files: Vec<PathBuf>,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let workspace = context.open()?;
    let mut damage = Damage::default();
    let ids = chosen(&workspace, arguments, &mut damage)?;
    fs::create_dir_all(&arguments.to).map_err(Failure::io("create", &arguments.to))?;
    let progress = Progress::items("exporting", ids.len() as u64, context.json);
    let mut export = Export { workspace, ids, to: &arguments.to, overwrite: arguments.overwrite, progress, damage };
    let written = match arguments.format {
        Format::Parquet => table::parquet(&mut export)?,
        Format::Csv => table::csv(&mut export)?,
        Format::Tfevents => events::write(&mut export)?,
        Format::Mlruns => folders::write(&mut export)?,
    };
    let damage = export.damage;
    let mut size = 0;
    for path in &written.files {
        size += fs::metadata(path).map_err(Failure::io("look at", path))?.len();
    }
    if context.json {
        output::json(&json!({
            "runs": written.runs,
            "left_out": damage.places,
            "series": written.series,
            "points": written.points,
            "bytes": size,
            "files": written.files.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        }))?;
    } else {
        output::lines(&format!(
            "exported {}, {} series, {} to {} ({})\n",
            plural(written.runs, "run", "runs"),
            count(written.series),
            plural(written.points, "point", "points"),
            escape(&arguments.to.display().to_string()),
            bytes(size),
        ))?;
    }
    Ok(if damage.places.is_empty() { Answer::Done } else { Answer::No })
}

/// An export under way.
struct Export<'a> {
    workspace: Workspace,
    ids: Vec<RunId>,
    to: &'a Path,
    overwrite: bool,
    progress: Progress,
    damage: Damage,
}

/// Refuses to replace what is there, unless it was asked for.
fn check_free(path: &Path, overwrite: bool) -> Outcome<()> {
    if path.exists() && !overwrite {
        let message = format!("{} exists already", escape(&path.display().to_string()));
        return Err(Failure::hinted(message, "--overwrite replaces it"));
    }
    Ok(())
}

impl Export<'_> {
    /// Gives each run that can be read, in the order in which they were chosen.
    fn each_run(&mut self, mut give: impl FnMut(&mut Damage, &RunSnapshot) -> Outcome<()>) -> Outcome<()> {
        for id in &self.ids {
            let run = self.workspace.run(id);
            if let Some(run) = self.damage.past(run)? {
                run.damage().iter().for_each(|place| self.damage.tell(place.clone()));
                give(&mut self.damage, &run)?;
            }
            self.progress.step();
        }
        Ok(())
    }
}

/// Gives each series of a run that can be read, in order of arrival. Says how many series and points.
fn each_series(
    run: &RunSnapshot,
    damage: &mut Damage,
    mut give: impl FnMut(&mut Damage, &str, &Columns) -> Outcome<()>,
) -> Outcome<(u64, u64)> {
    let (mut series, mut points) = (0, 0);
    for key in run.keys() {
        let Some(columns) = damage.past(run.arrivals(key))? else { continue };
        series += 1;
        points += columns.len() as u64;
        give(damage, key, &columns)?;
    }
    Ok((series, points))
}

/// A key or name as a path below a folder, if it can be one on every system that reads it.
fn as_path(name: &str) -> Option<PathBuf> {
    let good = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 250 && !part.contains(['\0', '\\']);
    name.split('/').all(good).then(|| name.split('/').collect())
}

/// What could not be written since it is damaged.
#[derive(Default)]
struct Damage {
    /// Each place once, in words.
    places: Vec<String>,
}

impl Damage {
    /// The value, or nothing where it is damaged, which is told; other errors stay.
    fn past<T>(&mut self, result: Result<T, Error>) -> Outcome<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_of_one_file() => {
                self.tell(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn tell(&mut self, place: String) {
        if !self.places.contains(&place) {
            let _ = writeln!(std::io::stderr(), "warning: left out: {}", escape(&place));
            self.places.push(place);
        }
    }
}

/// The ids of the runs, each once, in the order in which they were named or found.
fn chosen(workspace: &Workspace, arguments: &Arguments, damage: &mut Damage) -> Outcome<Vec<RunId>> {
    let mut ids: Vec<RunId> = Vec::new();
    if arguments.runs.is_empty() {
        let filter = arguments.filter.clone().unwrap_or_default();
        let query = RunQuery { filter, view: ViewType::ActiveOnly, ..RunQuery::default() };
        // The search below tells of these.
        damage.places = workspace.search(&RunQuery { max_results: 1, ..query.clone() })?.unreadable;
        context::search(workspace, query, usize::MAX, |run| {
            ids.push(run.run_id);
            Ok(())
        })?;
        return Ok(ids);
    }
    for argument in &arguments.runs {
        let id = context::run(workspace, argument)?.id().clone();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Writes a file beside its place and moves it there when it is whole.
fn whole_file(path: &Path, write: impl FnOnce(&File) -> Outcome<()>) -> Outcome<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let file = File::create(&part).map_err(Failure::io("create", &part))?;
    let written = write(&file).and_then(|()| file.sync_all().map_err(Failure::io("write", &part)));
    if written.is_err() {
        let _ = fs::remove_file(&part);
        return written;
    }
    fs::rename(&part, path).map_err(Failure::io("create", path))
}

/// Writes the words of the runs beside their points; says of how many.
fn write_runs(export: &mut Export<'_>) -> Outcome<(u64, PathBuf)> {
    let path = export.to.join(RUNS);
    let mut runs: Vec<Value> = Vec::with_capacity(export.ids.len());
    for id in &export.ids {
        if let Some(summary) = export.damage.past(export.workspace.run(id).and_then(|run| run.summary()))? {
            runs.push(serde_json::to_value(RunShape::from(&summary))?);
        }
    }
    whole_file(&path, |file| {
        let mut out = BufWriter::new(file);
        serde_json::to_writer_pretty(&mut out, &runs)?;
        // A buffer that is dropped swallows the error of its last write.
        out.flush().map_err(Failure::io("write", &path))
    })?;
    Ok((runs.len() as u64, path))
}
