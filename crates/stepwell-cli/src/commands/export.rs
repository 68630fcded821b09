//! `stepwell export RUN… --to DIR`: runs as Parquet or CSV.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use stepwell::base::ids::RunId;
use stepwell::base::point::{Columns, Point};
use stepwell::error::Error;
use stepwell::run::snapshot::RunSnapshot;
use stepwell::workspace::open::Workspace;
use stepwell::workspace::search::{RunQuery, ViewType};

use crate::commands::parquet::Points;
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
    /// The form of the points: parquet or csv.
    #[arg(long, default_value = "parquet", value_parser = parse_format)]
    format: Format,
    /// Replace what an earlier export wrote there.
    #[arg(long)]
    overwrite: bool,
}

/// The forms that can be written.
#[derive(Clone, Copy, Debug)]
enum Format {
    Parquet,
    Csv,
}

impl Format {
    /// The file of points.
    fn file(self) -> &'static str {
        match self {
            Self::Parquet => "points.parquet",
            Self::Csv => "points.csv",
        }
    }
}

fn parse_format(text: &str) -> Result<Format, String> {
    match text {
        "parquet" => Ok(Format::Parquet),
        "csv" => Ok(Format::Csv),
        "tfevents" | "mlruns" => Err(format!("this version exports parquet and csv, not {text}")),
        _ => Err("the formats are parquet and csv".to_owned()),
    }
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let workspace = context.open()?;
    let mut damage = Damage::default();
    let ids = chosen(&workspace, arguments, &mut damage)?;
    fs::create_dir_all(&arguments.to).map_err(Failure::io("create", &arguments.to))?;
    let (points_path, runs_path) = (arguments.to.join(arguments.format.file()), arguments.to.join(RUNS));
    for path in [&points_path, &runs_path] {
        if path.exists() && !arguments.overwrite {
            let message = format!("{} exists already", escape(&path.display().to_string()));
            return Err(Failure::hinted(message, "--overwrite replaces it"));
        }
    }
    let progress = Progress::items("exporting", ids.len() as u64, context.json);
    let (series, points) = write_points(&workspace, &ids, arguments.format, &points_path, &progress, &mut damage)?;
    let runs = write_runs(&workspace, &ids, &runs_path, &mut damage)?;
    drop(progress);
    let size = fs::metadata(&points_path).map_err(Failure::io("look at", &points_path))?.len();
    if context.json {
        output::json(&json!({
            "runs": runs,
            "left_out": damage.places,
            "series": series,
            "points": points,
            "bytes": size,
            "files": [points_path.to_string_lossy(), runs_path.to_string_lossy()],
        }))?;
    } else {
        output::lines(&format!(
            "exported {}, {} series, {} to {} ({})\n",
            plural(runs, "run", "runs"),
            count(series),
            plural(points, "point", "points"),
            escape(&points_path.display().to_string()),
            bytes(size),
        ))?;
    }
    Ok(if damage.places.is_empty() { Answer::Done } else { Answer::No })
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
            Err(error @ Error::Corrupt { .. }) => {
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

fn write_points(
    workspace: &Workspace,
    ids: &[RunId],
    format: Format,
    path: &Path,
    progress: &Progress,
    damage: &mut Damage,
) -> Outcome<(u64, u64)> {
    let (mut series, mut points) = (0, 0);
    // Gives every series to `add`, run by run, in arrival order.
    let mut each = |add: &mut dyn FnMut(&RunId, &str, &Columns) -> Outcome<()>| -> Outcome<()> {
        for id in ids {
            let run: Option<RunSnapshot> = damage.past(workspace.run(id))?;
            for (run, key) in run.iter().flat_map(|run| run.keys().map(move |key| (run, key))) {
                let Some(columns) = damage.past(run.arrivals(key))? else {
                    continue;
                };
                series += 1;
                points += columns.len() as u64;
                add(id, key, &columns)?;
            }
            progress.step();
        }
        Ok(())
    };
    whole_file(path, |file| {
        let mut out = BufWriter::new(file);
        match format {
            Format::Parquet => {
                let mut parquet = Points::new(&mut out)?;
                each(&mut |id, key, columns| parquet.add(id.as_str(), key, columns))?;
                parquet.finish()?;
            }
            Format::Csv => {
                out.write_all(b"run_id,key,step,timestamp_ms,value\n").map_err(Failure::io("write", path))?;
                each(&mut |id, key, columns| csv_rows(&mut out, id, key, columns).map_err(Failure::io("write", path)))?;
            }
        }
        out.flush().map_err(Failure::io("write", path))
    })?;
    Ok((series, points))
}

/// The rows of one series. Run ids need no quotes.
fn csv_rows(out: &mut impl Write, id: &RunId, key: &str, columns: &Columns) -> std::io::Result<()> {
    let special = |c: char| matches!(c, ',' | '"' | ';' | '\t' | '\n' | '\r') || c.is_whitespace();
    let key = match key.contains(special) {
        true => Cow::Owned(format!("\"{}\"", key.replace('"', "\"\""))),
        false => Cow::Borrowed(key),
    };
    for Point { step, timestamp_ms, value } in columns.iter() {
        match timestamp_ms {
            Some(ms) => writeln!(out, "{id},{key},{step},{ms},{}", output::Value(value))?,
            None => writeln!(out, "{id},{key},{step},,{}", output::Value(value))?,
        }
    }
    Ok(())
}

/// Writes the words of the runs; says of how many.
fn write_runs(workspace: &Workspace, ids: &[RunId], path: &Path, damage: &mut Damage) -> Outcome<u64> {
    let mut runs: Vec<Value> = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(summary) = damage.past(workspace.run(id).and_then(|run| run.summary()))? {
            runs.push(serde_json::to_value(RunShape::from(&summary))?);
        }
    }
    whole_file(path, |file| {
        let mut out = BufWriter::new(file);
        serde_json::to_writer_pretty(&mut out, &runs)?;
        // A buffer that is dropped swallows the error of its last write.
        out.flush().map_err(Failure::io("write", path))
    })?;
    Ok(runs.len() as u64)
}
