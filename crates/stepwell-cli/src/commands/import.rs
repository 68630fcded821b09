//! `stepwell import PATH…`: takes in other trackers' logs.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use stepwell::options::Options;
use stepwell_import::{ImportError, Report, Skipped};

use crate::commands::sink::{Counts, Importing};
use crate::context::Context;
use crate::failure::{Answer, Failure, Outcome};
use crate::output::{self, count, escape, plural};
use crate::progress::Progress;

/// How many skipped places are printed for people; `--json` has them all.
const SKIPPED_SHOWN: usize = 20;

/// Takes in logs: TensorBoard event files, MLflow's `mlruns` folders and `mlflow.db`, W&B's `.wandb`, CSV, JSON lines,
/// Parquet. Folders are searched. Importing again adds only what is new: a source that grew is appended.
///
/// `runs`, `series` and `points` count what the sources have and the workspace has now; `added` counts what is new in
/// it. What could not be read, or was cut to MLflow's limits, is listed under `skipped` with its place; the rest is
/// imported.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Files and folders.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Put all runs into this experiment, whatever the source says; it is created if needed.
    #[arg(long, value_name = "NAME")]
    experiment: Option<String>,
    /// Read everything and store nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    // A path that is not there makes no workspace.
    for path in &arguments.paths {
        std::fs::metadata(path).map_err(Failure::io("open", path))?;
    }
    let workspace = if arguments.dry_run { None } else { Some(context.open_or_create(Options::default())?) };
    let progress = Progress::bytes("importing", context.json);
    let mut sink = Importing::new(workspace, arguments.experiment.clone(), progress);
    let report = match stepwell_import::import(&arguments.paths, &mut sink) {
        Ok(report) => report,
        Err(ImportError::Path { path, source }) => return Err(Failure::io("open", &path)(source)),
        Err(ImportError::Sink { run, from, error }) => {
            let message = format!("run {run} from {}: {}", escape(&from), escape(&error.to_string()));
            return Err(Failure::hinted(message, "what was imported before it may be stored; import again to go on"));
        }
        Err(error) => return Err(Failure::failed(escape(&error.to_string()))),
    };
    let (read, added, mut refused) = sink.finish()?;
    let Report { mut skipped, .. } = report;
    skipped.append(&mut refused);
    if context.json {
        let skipped: Vec<Value> = skipped.iter().map(shape).collect();
        output::json(&json!({
            "runs": read.runs,
            "series": read.series,
            "points": read.points,
            "skipped": skipped,
            "added": {"runs": added.runs, "series": added.series, "points": added.points},
            "dry_run": arguments.dry_run,
        }))?;
    } else {
        output::lines(&text(read, added, &skipped, arguments.dry_run))?;
    }
    Ok(Answer::Done)
}

fn shape(skipped: &Skipped) -> Value {
    json!({"path": skipped.path.to_string_lossy(), "offset": skipped.offset, "reason": skipped.reason})
}

fn counts(counts: Counts) -> String {
    format!(
        "{}, {}, {}",
        plural(counts.runs, "run", "runs"),
        count(counts.series) + " series",
        plural(counts.points, "point", "points")
    )
}

fn text(read: Counts, added: Counts, skipped: &[Skipped], dry_run: bool) -> String {
    let mut text = String::new();
    for skipped in skipped.iter().take(SKIPPED_SHOWN) {
        let at = skipped.offset.map(|offset| format!(" at byte {}", count(offset))).unwrap_or_default();
        let path = escape(&skipped.path.to_string_lossy());
        text += &format!("skipped {path}{at}: {}\n", escape(&skipped.reason));
    }
    if skipped.len() > SKIPPED_SHOWN {
        text += &format!("… and {} more places; --json lists them all\n", skipped.len() - SKIPPED_SHOWN);
    }
    if read == Counts::default() && skipped.is_empty() {
        text += "no log was recognised; known are TensorBoard event files, mlruns folders, mlflow.db, .wandb, CSV, \
                 JSON lines and Parquet\n";
    }
    text += &match dry_run {
        true => format!("found {}; nothing was stored\n", counts(read)),
        false if read == added => format!("imported {}\n", counts(read)),
        false => format!("found {}; new: {}\n", counts(read), counts(added)),
    };
    text
}
