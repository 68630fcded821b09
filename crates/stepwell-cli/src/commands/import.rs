//! `stepwell import PATH…`: takes in other trackers' logs.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};
use tempfile::NamedTempFile;

use stepwell::RunId;
use stepwell_import::{Changes, Counts, Format, ImportError, Kind, Named, Options, Report, Skipped};

use crate::commands::sink::{Changed, Importing};
use crate::context::Context;
use crate::failure::{Answer, Failure, Outcome};
use crate::output::{self, count, escape, plural};

/// How many skipped places are printed for people; `--json` has them all.
const SKIPPED_SHOWN: usize = 20;
/// How many endings of unrecognised files are printed for people.
const ENDINGS_SHOWN: usize = 8;

/// Import runs that other tools logged: TensorBoard event files, MLflow's `mlruns` folders and
/// `mlflow.db`, W&B's `.wandb` files, DVCLive folders, Hugging Face's `trainer_state.json`, and
/// tables as CSV, JSON lines, JSON or Parquet (also gzipped, also in UTF-16). Folders are searched.
///
/// Importing again adds only what is new; a file that grew is continued. A last row without a line
/// break may be half-written, so it waits for its line break (see --complete).
///
/// Runs keep the ids of their source. A source without ids is identified by its path, or by its
/// path below the named folder together with its first row. If such a source no longer begins with
/// what was imported from it, it becomes a new run beside the old one. A changed source that has
/// ids of its own is refused. --replace and --as-new override both rules.
///
/// A table needs a step column. Its name is step, global_step, steps, total_timesteps,
/// TimestepsSoFar, iteration, iter, round, epoch or similar, in any spelling; the first that exists
/// is used. Time columns are named timestamp, wall_time or similar. Times are seconds or
/// milliseconds since 1970, or ISO 8601 (UTC unless they name a zone).
///
/// With --json:
///
/// - `runs`, `series`, `points` and `taken` count what the sources hold and the workspace now has
/// - `added` counts what is new
/// - `changed` counts sources that were overwritten since their last import
/// - `changed_here` counts existing runs, experiments and models that the import changed
/// - `skipped` lists what could not be read, has no place here, or was cut to MLflow's limits, each
///   with path, kind, count and reason; `left_out` sums it up by kind
/// - `paths` counts the files that are not logs, by file extension
/// - `notes` holds further remarks
///
/// Exit status 1 if a named path gave nothing (now or earlier), if something was refused
/// (`refused`), or if a file or folder could not be read to its end (`unread`). The rest is
/// imported. A workspace is created only if there is something to store.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Files and folders; - is standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Put all runs into this experiment instead of the source's. It is created if needed.
    #[arg(long, value_name = "NAME")]
    experiment: Option<String>,
    /// Read and compare everything, store nothing, and print what an import would do.
    #[arg(long)]
    dry_run: bool,
    /// Also copy artifacts into the workspace, where `serve` finds them: local artifacts of MLflow stores, files of
    /// W&B runs, and images, audio, histograms and texts in TensorBoard and W&B logs.
    #[arg(long)]
    artifacts: bool,
    /// Replace the run that a changed source gave last, even if that run was permanently deleted.
    #[arg(long, conflicts_with_all = ["as_new", "as_id"])]
    replace: bool,
    /// Import a changed source as a new run, even if it has an id of its own or its run was permanently deleted.
    #[arg(long, conflicts_with = "as_id")]
    as_new: bool,
    /// Import under this id. The source must hold exactly one run.
    #[arg(long = "as", id = "as_id", value_name = "ID")]
    as_id: Option<String>,
    /// The format of the named files, if neither name nor content shows it.
    #[arg(long, value_enum)]
    format: Option<TableFormat>,
    /// The step column, by name or by number from 1. `row` numbers the rows from 0.
    #[arg(long, value_name = "COLUMN")]
    step_column: Option<String>,
    /// The time column, by name or by number from 1.
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    /// The column that names the run of each row, by name or by number from 1.
    #[arg(long, value_name = "COLUMN")]
    run_column: Option<String>,
    /// Column names of CSV files without a header row, separated by commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// CSV files have no header row. Their columns are named column_1, column_2 and so on.
    #[arg(long, conflicts_with = "columns")]
    no_header: bool,
    /// The files are complete, so a last row without a line break counts.
    #[arg(long)]
    complete: bool,
}

/// Table formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum TableFormat {
    /// Values separated by commas, semicolons, bars or tabs.
    Csv,
    /// One JSON object per line.
    Jsonl,
    /// A JSON document: an array of objects, or one with `log_history`.
    Json,
    /// Apache Parquet.
    Parquet,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let as_id = arguments.as_id.as_deref().map(RunId::new).transpose();
    let as_id = as_id.map_err(|error| Failure::Usage(error.to_string()))?;
    let sources = Sources::of(arguments)?;
    if as_id.is_some() {
        sources.check_that_one_run(context)?;
    }
    let mut sink = Importing::new(context, arguments.dry_run, arguments.experiment.clone(), arguments.changed());
    sink.name_as(as_id);
    sink.take_artifacts(arguments.artifacts);
    sink.take_from(&sources.paths);
    let mut report = sources.import(&mut sink)?;
    let would_add = arguments.dry_run.then(|| sink.would_add().clone());
    let elsewhere = sink.finish(&mut report)?;
    sources.name_stdin(&mut report);
    let done = Done { report, would_add, elsewhere };
    if context.json {
        output::json(&done.shape())?;
    } else {
        output::lines(&done.text())?;
    }
    Ok(if done.is_whole() { Answer::Done } else { Answer::No })
}

impl Arguments {
    /// What is done with sources that changed.
    fn changed(&self) -> Changed {
        match (self.replace, self.as_new) {
            (true, _) => Changed::Replace,
            (_, true) => Changed::AsNew,
            _ => Changed::AsItIs,
        }
    }
}

/// What is read, and how.
struct Sources {
    paths: Vec<PathBuf>,
    options: Options,
    /// Everything that comes by standard input, as a file: tables are read twice where they have several runs.
    stdin: Option<NamedTempFile>,
}

impl Sources {
    /// The sources of a call. A path that is not there is a mistake of the call: nothing else is begun.
    fn of(arguments: &Arguments) -> Outcome<Self> {
        let is_stdin = |path: &Path| path.as_os_str() == "-" && !path.exists();
        for path in arguments.paths.iter().filter(|path| !is_stdin(path)) {
            std::fs::metadata(path).map_err(Failure::io("open", path))?;
        }
        let stdin = match arguments.paths.iter().any(|path| is_stdin(path)) {
            true => Some(kept_stdin()?),
            false => None,
        };
        let file = stdin.as_ref().map(|file| file.path().to_path_buf());
        let found = |path: &PathBuf| file.clone().filter(|_| is_stdin(path)).unwrap_or_else(|| path.clone());
        let paths = arguments.paths.iter().map(found).collect();
        Ok(Self { paths, options: options(arguments, file.clone()), stdin })
    }

    /// Gives all of them to a sink.
    fn import(&self, sink: &mut Importing<'_>) -> Outcome<Report> {
        match stepwell_import::import_with(&self.paths, &self.options, sink) {
            Ok(report) => Ok(report),
            Err(ImportError::Path { path, source }) => Err(Failure::io("open", &path)(source)),
            Err(ImportError::Sink { run, from, error }) => {
                let message = format!("run {run} from {}: {}", escape(&from), escape(&error.to_string()));
                Err(Failure::hinted(message, "what was imported before it may be stored; import again to go on"))
            }
            Err(error) => Err(Failure::failed(escape(&error.to_string()))),
        }
    }

    /// Refuses sources of more or less than one run before anything is stored.
    fn check_that_one_run(&self, context: &Context) -> Outcome<()> {
        let mut sink = Importing::new(context, true, None, Changed::AsItIs);
        sink.only_count();
        match self.import(&mut sink)?.runs() {
            1 => Ok(()),
            runs => Err(Failure::Usage(format!("--as names one run, and the paths have {}", count(runs)))),
        }
    }

    /// Names standard input in the report as the caller did.
    fn name_stdin(&self, report: &mut Report) {
        let Some(file) = &self.stdin else { return };
        let skipped = report.skipped.iter_mut().map(|skipped| &mut skipped.path);
        let notes = report.notes.iter_mut().map(|(path, _)| path);
        let named = report.paths.iter_mut().map(|named| &mut named.path);
        for path in skipped.chain(notes).chain(named).filter(|path| path.as_path() == file.path()) {
            *path = PathBuf::from("-");
        }
    }
}

fn options(arguments: &Arguments, stdin: Option<PathBuf>) -> Options {
    Options {
        step_column: arguments.step_column.clone(),
        time_column: arguments.time_column.clone(),
        run_column: arguments.run_column.clone(),
        columns: arguments.columns.clone(),
        no_header: arguments.no_header,
        complete: arguments.complete,
        format: arguments.format.map(|format| match format {
            TableFormat::Csv => Format::Csv,
            TableFormat::Jsonl => Format::JsonLines,
            TableFormat::Json => Format::Json,
            TableFormat::Parquet => Format::Parquet,
        }),
        stdin,
    }
}

fn kept_stdin() -> Outcome<NamedTempFile> {
    let mut file = NamedTempFile::new()
        .map_err(|error| Failure::failed(format!("cannot keep standard input in a file: {error}")))?;
    std::io::copy(&mut std::io::stdin().lock(), &mut file)
        .map_err(|error| Failure::failed(format!("cannot read standard input: {error}")))?;
    Ok(file)
}

/// What an import did.
struct Done {
    report: Report,
    /// What a dry run would add; `None` of an import.
    would_add: Option<Counts>,
    /// What another import stored at the same time.
    elsewhere: Counts,
}

impl Done {
    /// Whether each named path gave something and nothing of it was unread or refused.
    fn is_whole(&self) -> bool {
        self.report.gave_nothing().next().is_none() && self.report.unread == 0 && self.report.refused == 0
    }

    fn shape(&self) -> Value {
        let mut shape = shape(&self.report, self.would_add.is_some());
        if let Some(would_add) = &self.would_add {
            shape["would_add"] = by_kind(would_add);
        }
        shape["stored_elsewhere"] = Value::Object(kinds(&self.elsewhere));
        shape
    }

    /// The answer for people.
    fn text(&self) -> String {
        let mut text = left_out(&self.report) + &shortfalls(&self.report);
        text += &changes(&self.report.changed, self.would_add.is_some());
        if !self.elsewhere.is_empty() {
            text += &format!("another import stored {} at the same time\n", more_words(&self.elsewhere));
        }
        text + &self.total()
    }

    /// How much was found, and how much of it is new.
    fn total(&self) -> String {
        let Report { taken, added, .. } = &self.report;
        let plain = |counts: &Counts| [Kind::Run, Kind::Series, Kind::Point].map(|kind| counts.get(kind));
        match &self.would_add {
            Some(would) if would.is_empty() => format!("found {}; nothing was stored\n", words(taken)),
            Some(would) => format!("found {}; would add {}; nothing was stored\n", words(taken), words(would)),
            None if plain(taken) == plain(added) => format!("imported {}\n", words(taken)),
            None => format!("found {}; new: {}\n", words(taken), words(added)),
        }
    }
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
        "notes": report.notes.iter().map(|(path, note)| json!({"path": path.to_string_lossy(), "note": note})).collect::<Vec<_>>(),
        "changed_here": report.changed.here,
        "changed": {"new_runs": report.changed.beside, "replaced": report.changed.replaced},
        "unread": report.unread,
        "refused": report.refused,
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

/// The first places that were skipped, and the first notes.
fn left_out(report: &Report) -> String {
    let skipped = |skipped: &Skipped| {
        let at = skipped.offset.map(|offset| format!(" at byte {}", count(offset))).unwrap_or_default();
        let path = escape(&skipped.path.to_string_lossy());
        let what = match skipped.kind {
            Kind::Place | Kind::File => String::new(),
            kind => format!(", {}", plural(skipped.count, kind.name(), kind.plural())),
        };
        format!("skipped {path}{at}{what}: {}\n", escape(&skipped.reason))
    };
    let note =
        |(path, note): &(PathBuf, String)| format!("note on {}: {}\n", escape(&path.to_string_lossy()), escape(note));
    first_lines(&report.skipped, skipped, "more") + &first_lines(&report.notes, note, "more notes")
}

/// The first lines of a list, and how many more there are.
fn first_lines<T>(all: &[T], line: impl Fn(&T) -> String, more: &str) -> String {
    let mut text: String = all.iter().take(SKIPPED_SHOWN).map(line).collect();
    if all.len() > SKIPPED_SHOWN {
        let number = count((all.len() - SKIPPED_SHOWN) as u64);
        text += &format!("… and {number} {more}; --json lists them all\n");
    }
    text
}

/// What gave less than it should: named paths, sources that were refused, and those that could not be read.
fn shortfalls(report: &Report) -> String {
    let mut text = String::new();
    for named in report.paths.iter().filter(|named| !named.unrecognised.is_empty()) {
        let path = escape(&named.path.to_string_lossy());
        text += &format!("no logs known here in {path}: {}\n", unrecognised(named));
    }
    for named in report.gave_nothing() {
        text += &format!("nothing was imported from {}\n", escape(&named.path.to_string_lossy()));
    }
    if report.refused > 0 {
        let what = plural(report.refused, "run, experiment or model was", "runs, experiments and models were");
        text += &format!("{what} refused; the lines above say why, and what to do\n");
    }
    if report.unread > 0 {
        let files = plural(report.unread, "file or folder", "files and folders");
        text += &format!("{files} could not be read, or not to the end; what was read of them is imported\n");
    }
    if report.taken.is_empty() && report.skipped.is_empty() {
        text += "no log was recognised; known are TensorBoard event files, mlruns folders, mlflow.db, .wandb, DVCLive, \
                 trainer_state.json, CSV, JSON lines, JSON and Parquet\n";
    }
    text
}

/// What became of sources that changed, and of what was here.
fn changes(changed: &Changes, dry_run: bool) -> String {
    let mut text = String::new();
    let would = if dry_run { "would be " } else { "" };
    if changed.beside > 0 {
        let runs = if changed.beside == 1 { "a new run beside the old one" } else { "new runs beside the old ones" };
        let sources = plural(changed.beside, "source", "sources");
        text += &format!("{sources} changed: {would}{runs}; --replace puts the next change in the place of the run\n");
    }
    if changed.replaced > 0 {
        let sources = plural(changed.replaced, "source", "sources");
        text += &format!("{sources} changed: {would}in the place of what they gave before\n");
    }
    if !changed.here.is_empty() {
        let all = changed.here.iter().map(|(what, number)| format!("{} {}", what.replace('_', " "), count(*number)));
        let what = if dry_run { "would change here" } else { "changed here" };
        text += &format!("{what}: {}\n", all.collect::<Vec<_>>().join(", "));
    }
    text
}

/// `2 runs, 40 points`: what there is.
fn more_words(counts: &Counts) -> String {
    let all = counts.iter().map(|(kind, count)| plural(count, kind.name(), kind.plural()));
    all.collect::<Vec<_>>().join(", ")
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
