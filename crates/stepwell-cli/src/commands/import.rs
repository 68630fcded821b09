//! `stepwell import PATH…`: takes in other trackers' logs.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use stepwell_import::{Counts, ImportError, Kind, Named, Report, Skipped};

use crate::commands::sink::Importing;
use crate::context::Context;
use crate::failure::{Answer, Failure, Outcome};
use crate::output::{self, count, escape, plural};

/// How many skipped places are printed for people; `--json` has them all.
const SKIPPED_SHOWN: usize = 20;
/// How many endings of unrecognised files are printed for people.
const ENDINGS_SHOWN: usize = 8;

/// Takes in logs: TensorBoard event files, MLflow's `mlruns` folders and `mlflow.db`, W&B's `.wandb`, CSV, JSON lines,
/// Parquet. Folders are searched. Importing again adds only what is new: a source that grew is appended.
///
/// With `--json`, `runs`, `series`, `points` and `taken` count what the sources have and the workspace has now; `added`
/// counts what is new in it. What could not be read, has no place here, or was cut to MLflow's limits, is listed under
/// `skipped` with its path, kind, count and reason, and summed up by kind under `left_out`; the rest is imported. Files
/// that are no logs known here are counted by ending under `paths`.
///
/// Exit status 1 when one of the named paths gave nothing, neither now nor in an earlier import. A workspace is
/// created only when there is something to store.
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
    /// Also copy the files of runs into the workspace, where `serve` finds them: artifacts of MLflow's stores that are on this
    /// machine, files of W&B's runs, and images, sounds, histograms and texts in TensorBoard's and W&B's logs.
    #[arg(long)]
    artifacts: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    // A path that is not there is a mistake of the call: nothing else is begun.
    for path in &arguments.paths {
        std::fs::metadata(path).map_err(Failure::io("open", path))?;
    }
    let mut sink = Importing::new(context, arguments.dry_run, arguments.experiment.clone());
    sink.take_artifacts(arguments.artifacts);
    let report = match stepwell_import::import(&arguments.paths, &mut sink) {
        Ok(report) => report,
        Err(ImportError::Path { path, source }) => return Err(Failure::io("open", &path)(source)),
        Err(ImportError::Sink { run, from, error }) => {
            let message = format!("run {run} from {}: {}", escape(&from), escape(&error.to_string()));
            return Err(Failure::hinted(message, "what was imported before it may be stored; import again to go on"));
        }
        Err(error) => return Err(Failure::failed(escape(&error.to_string()))),
    };
    sink.finish()?;
    if context.json {
        output::json(&shape(&report, arguments.dry_run))?;
    } else {
        output::lines(&text(&report, arguments.dry_run))?;
    }
    Ok(if report.gave_nothing().next().is_some() { Answer::No } else { Answer::Done })
}

fn shape(report: &Report, dry_run: bool) -> Value {
    let skipped = |skipped: &Skipped| {
        json!({
            "path": skipped.path.to_string_lossy(),
            "offset": skipped.offset,
            "kind": skipped.kind.name(),
            "count": skipped.count,
            "reason": skipped.reason,
        })
    };
    let named = |named: &Named| {
        json!({
            "path": named.path.to_string_lossy(),
            "taken": by_kind(&named.taken),
            "unrecognised": named.unrecognised,
        })
    };
    json!({
        "runs": report.runs(),
        "series": report.series(),
        "points": report.points(),
        "skipped": report.skipped.iter().map(skipped).collect::<Vec<_>>(),
        "taken": by_kind(&report.taken),
        "added": by_kind(&report.added),
        "left_out": Value::Object(kinds(&report.left_out())),
        "paths": report.paths.iter().map(named).collect::<Vec<_>>(),
        "dry_run": dry_run,
    })
}

/// Counts under the plural names of their kinds; runs, series and points are always there.
fn by_kind(counts: &Counts) -> Value {
    let mut all = kinds(counts);
    for kind in [Kind::Run, Kind::Series, Kind::Point] {
        all.entry(kind.plural()).or_insert(0.into());
    }
    Value::Object(all)
}

fn kinds(counts: &Counts) -> Map<String, Value> {
    counts.iter().map(|(kind, count)| (kind.plural().to_owned(), count.into())).collect()
}

/// `2 runs, 3 series, 40 points`; runs, series and points even where there are none.
fn words(counts: &Counts) -> String {
    let always = [Kind::Run, Kind::Series, Kind::Point].map(|kind| (kind, counts.get(kind)));
    let more = counts.iter().filter(|(kind, _)| always.iter().all(|(known, _)| known != kind));
    let all = always.into_iter().chain(more).map(|(kind, count)| plural(count, kind.name(), kind.plural()));
    all.collect::<Vec<_>>().join(", ")
}

fn text(report: &Report, dry_run: bool) -> String {
    let mut text = String::new();
    for skipped in report.skipped.iter().take(SKIPPED_SHOWN) {
        let at = skipped.offset.map(|offset| format!(" at byte {}", count(offset))).unwrap_or_default();
        let path = escape(&skipped.path.to_string_lossy());
        let what = match skipped.kind {
            Kind::Place | Kind::File => String::new(),
            kind => format!(", {}", plural(skipped.count, kind.name(), kind.plural())),
        };
        text += &format!("skipped {path}{at}{what}: {}\n", escape(&skipped.reason));
    }
    if report.skipped.len() > SKIPPED_SHOWN {
        let more = count((report.skipped.len() - SKIPPED_SHOWN) as u64);
        text += &format!("… and {more} more; --json lists them all\n");
    }
    for named in report.paths.iter().filter(|named| !named.unrecognised.is_empty()) {
        let path = escape(&named.path.to_string_lossy());
        text += &format!("no logs known here in {path}: {}\n", unrecognised(named));
    }
    for named in report.gave_nothing() {
        text += &format!("nothing was imported from {}\n", escape(&named.path.to_string_lossy()));
    }
    if report.taken.is_empty() && report.skipped.is_empty() {
        text += "no log was recognised; known are TensorBoard event files, mlruns folders, mlflow.db, .wandb, CSV, \
                 JSON lines and Parquet\n";
    }
    let plain = |counts: &Counts| [Kind::Run, Kind::Series, Kind::Point].map(|kind| counts.get(kind));
    text += &match dry_run {
        true => format!("found {}; nothing was stored\n", words(&report.taken)),
        false if plain(&report.taken) == plain(&report.added) => format!("imported {}\n", words(&report.taken)),
        false => format!("found {}; new: {}\n", words(&report.taken), words(&report.added)),
    };
    text
}

/// `7 files (5 .png, 2 without an ending)`, the most frequent endings first.
fn unrecognised(named: &Named) -> String {
    let mut endings: Vec<(&str, u64)> =
        named.unrecognised.iter().map(|(ending, count)| (ending.as_str(), *count)).collect();
    endings.sort_by_key(|(ending, count)| (std::cmp::Reverse(*count), *ending));
    let total = endings.iter().map(|(_, count)| count).sum();
    let named = endings.iter().take(ENDINGS_SHOWN).map(|(ending, number)| match *ending {
        "" => format!("{} without an ending", count(*number)),
        ending => format!("{} {}", count(*number), escape(ending)),
    });
    let more = (endings.len() > ENDINGS_SHOWN).then(|| "…".to_owned());
    let named: Vec<String> = named.chain(more).collect();
    format!("{} ({})", plural(total, "file", "files"), named.join(", "))
}
