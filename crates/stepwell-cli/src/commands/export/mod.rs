//! `stepwell export RUN… --to DIR`: runs as Parquet, CSV, TensorBoard event files or MLflow's folders.

mod artifacts;
mod events;
mod folders;
mod table;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use stepwell::files::sync_all;
use stepwell::items::{DATASET, MODEL_INPUT, MODEL_OUTPUT};
use stepwell::query::{Query, View};
use stepwell::{Columns, RunId, RunSnapshot, Workspace};
use stepwell_import::RunWords;

use crate::context::{self, Context};
use crate::failure::{Answer, Failure, Outcome};
use crate::output::{self, bytes, count, escape, plural};
use crate::place;
use crate::progress::Progress;
use crate::shape::RunShape;

use artifacts::Copied;
use told::Told;

/// The file of words.
const RUNS: &str = "runs.json";

/// Export runs to a folder. `import` of that folder gives the same runs back, by id: all points,
/// absent times, names, params and tags. Runs without points are exported too.
///
/// - parquet: `points.parquet` with the columns run_id, key, step, timestamp_ms (null if absent)
///   and value, each series in the order in which it was logged, every bit kept; and `runs.json`
///   with names, experiments, params and tags, as `runs --json` prints them
/// - csv: the same columns in `points.csv`; each value is the shortest text that reads back as the
///   same number, and every NaN becomes NaN
/// - tfevents: a folder per run with a TensorBoard event file, params as hyperparameters and tags
///   as texts; numbers that a float32 cannot hold are written as float64
/// - mlruns: MLflow's folder layout; takes only keys that MLflow takes; a run without a start time
///   starts with its first point
///
/// In tfevents and mlruns, a point without a time gets time 0. What a format cannot hold goes to
/// `stepwell-run.json` beside the run. What has no place at all is reported with its number, and
/// under `not_held` with --json: datasets, links to models, artifacts without --artifacts.
///
/// What cannot be read or written is listed and left out (`left_out` with --json), the rest is
/// written, and the exit status is 1: damaged runs and points (`repair` may recover more), keys
/// that cannot be file names, artifacts that could not be copied.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Ids, names, or beginnings of ids.
    #[arg(value_name = "RUN", required_unless_present_any = ["all", "filter"], add = crate::complete::runs())]
    runs: Vec<String>,
    /// All runs that are not deleted.
    #[arg(long, conflicts_with_all = ["runs", "filter"])]
    all: bool,
    /// All runs that match this filter, as in `runs`.
    #[arg(long, value_name = "FILTER", conflicts_with = "runs")]
    filter: Option<String>,
    /// The folder. It is created if needed.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The format.
    #[arg(long, value_enum, default_value_t = Format::Parquet)]
    format: Format,
    /// Replace an earlier export in this folder.
    #[arg(long, visible_alias = "replace")]
    overwrite: bool,
    /// With `--format mlruns`: also copy the artifacts that the workspace keeps.
    #[arg(long)]
    artifacts: bool,
}

/// Export formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A Parquet table of points, and `runs.json`.
    Parquet,
    /// A CSV table of points, and `runs.json`.
    Csv,
    /// A TensorBoard event file for each run, and `runs.json`.
    Tfevents,
    /// MLflow's folders: experiments, runs, metrics, params, tags.
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
    if arguments.artifacts && arguments.format != Format::Mlruns {
        let why = "--artifacts copies the files of runs into MLflow's folders; add --format mlruns";
        return Err(Failure::Usage(why.to_owned()));
    }
    let mut told = Told::default();
    let ids = chosen(&workspace, arguments, &mut told)?;
    check_outside(workspace.root(), &arguments.to)?;
    fs::create_dir_all(&arguments.to).map_err(Failure::io("create", &arguments.to))?;
    let progress = Progress::items("exporting", ids.len() as u64, context.json);
    let mut export = Export {
        workspace,
        ids,
        to: &arguments.to,
        overwrite: arguments.overwrite,
        progress,
        told,
        is_mlruns: arguments.format == Format::Mlruns,
        artifacts: arguments.artifacts,
        copied: Copied::default(),
    };
    let written = match arguments.format {
        Format::Parquet => table::parquet(&mut export)?,
        Format::Csv => table::csv(&mut export)?,
        Format::Tfevents => events::write(&mut export)?,
        Format::Mlruns => folders::write(&mut export)?,
    };
    let Export { told, copied, .. } = export;
    let mut size = copied.bytes;
    for path in &written.files {
        size += fs::metadata(path).map_err(Failure::io("look at", path))?.len();
    }
    if context.json {
        output::json(&json!({
            "runs": written.runs,
            "left_out": told.left_out,
            "not_held": told.not_held,
            "artifacts": copied.files,
            "series": written.series,
            "points": written.points,
            "bytes": size,
            "files": written.files.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        }))?;
    } else {
        let files = match copied.files {
            0 => String::new(),
            files => format!(", {}", plural(files, "artifact", "artifacts")),
        };
        output::lines(&format!(
            "exported {}, {} series, {}{files} to {} ({})\n",
            plural(written.runs, "run", "runs"),
            count(written.series),
            plural(written.points, "point", "points"),
            escape(&arguments.to.display().to_string()),
            bytes(size),
        ))?;
    }
    Ok(if told.left_out.is_empty() { Answer::Done } else { Answer::No })
}

/// An export under way.
struct Export<'a> {
    workspace: Workspace,
    ids: Vec<RunId>,
    to: &'a Path,
    overwrite: bool,
    progress: Progress,
    told: Told,
    /// Whether the format is MLflow's, which holds the metadata of experiments and files of runs.
    is_mlruns: bool,
    /// Whether files of runs are copied.
    artifacts: bool,
    copied: Copied,
}

/// Refuses a folder within the workspace, which holds nothing but its own files.
fn check_outside(workspace: &Path, to: &Path) -> Outcome<()> {
    if place::real(to)?.starts_with(place::real(workspace)?) {
        let [to, workspace] = [to, workspace].map(|path| escape(&path.display().to_string()));
        return Err(Failure::Usage(format!(
            "{to} is within the workspace {workspace}; export to a folder outside of it"
        )));
    }
    Ok(())
}

/// Refuses to replace what is there, unless it was asked for.
fn check_free(path: &Path, overwrite: bool) -> Outcome<()> {
    if path.exists() && !overwrite {
        let message = format!("{} exists already", escape(&path.display().to_string()));
        let way = "--overwrite replaces what an earlier export wrote there; or name another folder by --to";
        return Err(Failure::hinted(message, way));
    }
    Ok(())
}

impl Export<'_> {
    /// Gives each run that can be read, in the order in which they were chosen.
    fn each_run(&mut self, mut give: impl FnMut(&mut Told, &RunSnapshot) -> Outcome<()>) -> Outcome<()> {
        for id in &self.ids {
            let run = self.workspace.run(id);
            if let Some(run) = self.told.past(run)? {
                run.damage().iter().for_each(|place| self.told.leave_out(place.clone()));
                give(&mut self.told, &run)?;
                let items: usize =
                    [DATASET, MODEL_INPUT, MODEL_OUTPUT].into_iter().map(|kind| run.state().items(kind).count()).sum();
                if items > 0 {
                    let what = plural(items as u64, "dataset or link to a model", "datasets and links to models");
                    self.told.cannot_hold(format!("{what} of run {id}: this format has no place for them"));
                }
                if self.artifacts {
                    let to = folders::run_folder(self.to, &run).join("artifacts");
                    let done = artifacts::copy(&self.workspace, &run, &to, &mut self.told, &self.progress);
                    self.copied.files += done.files;
                    self.copied.bytes += done.bytes;
                } else {
                    let way = match self.is_mlruns {
                        true => "--artifacts copies them",
                        false => "only --format mlruns with --artifacts copies them",
                    };
                    artifacts::tell(&self.workspace, &run, way, &mut self.told);
                }
            }
            self.progress.step();
        }
        if !self.is_mlruns {
            self.tell_experiments()?;
        }
        Ok(())
    }

    /// Says which experiments have tags that the form has no place for.
    fn tell_experiments(&mut self) -> Outcome<()> {
        let mut seen = BTreeSet::new();
        for id in &self.ids {
            let Ok(run) = self.workspace.run(id) else { continue };
            let number = run.state().experiment;
            let Some(known) = self.workspace.experiments().get(number).ok().filter(|_| seen.insert(number)) else {
                continue;
            };
            if !known.tags.is_empty() {
                let what = plural(known.tags.len() as u64, "tag", "tags");
                self.told
                    .cannot_hold(format!("{what} of experiment {:?}: this format has no place for them", known.name));
            }
        }
        Ok(())
    }
}

/// Gives what can be read of each series of a run, in order of arrival. `give` returns whether it wrote it. Returns how
/// many series and points were written.
fn each_series(
    run: &RunSnapshot,
    told: &mut Told,
    mut give: impl FnMut(&mut Told, &str, &Columns) -> Outcome<bool>,
) -> Outcome<(u64, u64)> {
    let (mut series, mut points) = (0, 0);
    for key in run.keys() {
        let mut reader = run.salvage();
        let columns = reader.arrivals(key)?;
        reader.messages().into_iter().for_each(|place| told.leave_out(place));
        // Where nothing of a series verifies, no form has it.
        if columns.is_empty() && reader.missing() > 0 {
            continue;
        }
        if give(told, key, &columns)? {
            series += 1;
            points += columns.len() as u64;
        }
    }
    Ok((series, points))
}

/// How many NaNs have other bits than the one that is written for all of them.
fn odd_nans(columns: &Columns) -> u64 {
    columns.values.iter().filter(|value| value.is_nan() && value.to_bits() != f64::NAN.to_bits()).count() as u64
}

/// How many points have no time.
fn without_time(columns: &Columns) -> u64 {
    columns.iter().filter(|point| point.timestamp_ms.is_none()).count() as u64
}

/// Reports how many points of a run the export has in another form than the workspace.
fn tell_points(told: &mut Told, run: &RunSnapshot, points: u64, why: &str) {
    if points > 0 {
        told.cannot_hold(format!("{} of run {}: {why}", plural(points, "point", "points"), run.id()));
    }
}

/// The message about points without a time, for a format that must write one.
const TIME_0: &str = "without a time, which is written as 0; stepwell-run.json says so for `import`";
/// What is told of NaNs.
const PLAIN_NAN: &str = "a NaN with bits of its own, which is written as the usual NaN";

/// A key or name as a path below a folder, if it can be one on every system that reads it.
fn as_path(name: &str) -> Option<PathBuf> {
    let good = |part: &str| !matches!(part, "" | "." | "..") && part.len() <= 250 && !part.contains(['\0', '\\']);
    name.split('/').all(good).then(|| name.split('/').collect())
}

/// The ids of the runs, each once, in the order in which they were named or found.
fn chosen(workspace: &Workspace, arguments: &Arguments, told: &mut Told) -> Outcome<Vec<RunId>> {
    let mut ids: Vec<RunId> = Vec::new();
    if arguments.runs.is_empty() {
        let filter = arguments.filter.clone().unwrap_or_default();
        let query = Query { view: View::ActiveOnly, ..Query::filter(&filter)? };
        // The search below tells of these.
        told.left_out = workspace.search(&Query { max_results: 1, ..query.clone() })?.unreadable;
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
    let written = write(&file).and_then(|()| sync_all(&file).map_err(Failure::io("write", &part)));
    if written.is_err() {
        let _ = fs::remove_file(&part);
        return written;
    }
    fs::rename(&part, path).map_err(|error| {
        let _ = fs::remove_file(&part);
        Failure::io("create", path)(error)
    })
}

/// Writes the metadata of the runs beside their points. Returns for how many runs.
fn write_runs(export: &mut Export<'_>) -> Outcome<(u64, PathBuf)> {
    let path = export.to.join(RUNS);
    let mut runs: Vec<Value> = Vec::with_capacity(export.ids.len());
    for id in &export.ids {
        if let Some(run) = export.told.past(export.workspace.run(id))? {
            let mut reader = run.salvage();
            let summary = reader.summary()?;
            reader.messages().into_iter().for_each(|place| export.told.leave_out(place));
            let mut shape = serde_json::to_value(RunShape::from(&summary))?;
            shape["points"] = summary.metrics.iter().map(|(key, stats)| (key.clone(), stats.count)).collect();
            shape["experiment"] = run.state().experiment_name.as_str().into();
            runs.push(shape);
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

/// Writes beside a run what its format cannot hold, for a later import: see [`stepwell_import::RunWords`].
fn write_words(
    run: &RunSnapshot,
    deleted: bool,
    folder: &Path,
    start_as: Option<i64>,
    times_at_zero: BTreeMap<String, Vec<u64>>,
    points: BTreeMap<String, u64>,
) -> Outcome<PathBuf> {
    let state = run.state();
    let words = RunWords {
        run_id: run.id().to_string(),
        experiment: Some(state.experiment_name.clone()),
        name: state.name().to_owned(),
        user: state.user().to_owned(),
        status: state.status().as_str().to_owned(),
        start_time: state.start_time_ms(),
        end_time: state.end_time_ms(),
        deleted,
        params: owned(state.params()),
        tags: owned(state.tags()),
        start_as,
        times_at_zero,
        points,
    };
    let path = folder.join(RunWords::FILE);
    whole_file(&path, |file| Ok(serde_json::to_writer_pretty(file, &words)?))?;
    Ok(path)
}

fn owned<'a>(words: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    words.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Points of a series whose time is 0, counted for formats that write 0 for a missing time.
fn at_zero(columns: &Columns) -> Vec<u64> {
    let zero = columns.iter().enumerate().filter(|(_, point)| point.timestamp_ms == Some(0));
    zero.map(|(at, _)| at as u64).collect()
}
