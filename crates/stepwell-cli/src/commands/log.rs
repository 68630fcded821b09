//! `stepwell log`: logging from a shell script.

use clap::Args;
use serde_json::json;

use stepwell::base::ids::ExperimentId;
use stepwell::base::limits::{PARAM_VALUE_CHARS_MAX, TAG_VALUE_CHARS_MAX, check_chars, check_key};
use stepwell::base::point::Point;
use stepwell::base::stats::RunStatus;
use stepwell::options::{Options, TailMode};
use stepwell::workspace::clock::now_ms;
use stepwell::workspace::runs::{NewRun, RunEdit};

use crate::context::{self, Context};
use crate::failure::{Answer, Failure, Outcome};
use crate::output;

/// Logs values, params and tags to a run, and prints the run's id.
///
/// RUN=$(stepwell log --new --name probe --param lr=0.1)
/// stepwell log $RUN loss=0.5 acc=0.7 --step 1
/// stepwell log $RUN --finish
///
/// All values of one call are logged together or not at all. VALUE may be NaN, inf or -inf.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// A run (unless --new is given), then the values.
    #[arg(value_name = "RUN|KEY=VALUE", required_unless_present = "new")]
    words: Vec<String>,
    /// Begin a new run; makes the workspace if there is none.
    #[arg(long)]
    new: bool,
    /// The step of the values.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    step: i64,
    /// The time of the values, in milliseconds since the epoch [default: now].
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    timestamp: Option<i64>,
    /// The new run's experiment: its name, created if needed [default: Default].
    #[arg(long, value_name = "NAME", requires = "new")]
    experiment: Option<String>,
    /// The run's name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A param, set once for all; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_param)]
    param: Vec<(String, String)>,
    /// A tag; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_tag)]
    tag: Vec<(String, String)>,
    /// End the run, as FINISHED or with another status; all that was logged to it survives a power loss then.
    #[arg(long, value_name = "STATUS", num_args = 0..=1, default_missing_value = "FINISHED", require_equals = true,
          value_parser = parse_status)]
    finish: Option<RunStatus>,
}

// What breaks a limit is refused before a run is made, which would be left without it.

fn parse_pair(text: &str, value_chars_max: usize) -> Result<(String, String), String> {
    let Some((key, value)) = text.split_once('=') else { return Err("write KEY=VALUE".to_owned()) };
    check_key("key", key).map_err(|error| error.to_string())?;
    check_chars("value", value, value_chars_max).map_err(|error| error.to_string())?;
    Ok((key.to_owned(), value.to_owned()))
}

fn parse_param(text: &str) -> Result<(String, String), String> {
    parse_pair(text, PARAM_VALUE_CHARS_MAX)
}

fn parse_tag(text: &str) -> Result<(String, String), String> {
    parse_pair(text, TAG_VALUE_CHARS_MAX)
}

fn parse_status(text: &str) -> Result<RunStatus, String> {
    let status: RunStatus = text.to_uppercase().parse().map_err(|error| format!("{error}"))?;
    if status.is_terminal() { Ok(status) } else { Err("write FINISHED, FAILED or KILLED".to_owned()) }
}

/// A value with its key, which may hold `=` itself.
fn parse_value(text: &str) -> Outcome<(String, f64)> {
    let wrong = |why: String| Failure::Usage(format!("{text:?} is no KEY=VALUE: {why}"));
    match text.rsplit_once('=') {
        Some(("", _)) => Err(wrong("the key is empty".into())),
        Some((key, value)) => match value.trim().parse() {
            Ok(number) => match check_key("key", key) {
                Ok(()) => Ok((key.to_owned(), number)),
                Err(error) => Err(wrong(error.to_string())),
            },
            Err(_) => Err(wrong(format!("{value:?} is no number; --param and --tag take texts"))),
        },
        None => Err(wrong("there is no '='".into())),
    }
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let (name, words) = match &arguments.words[..] {
        words if arguments.new => (None, words),
        [run, words @ ..] => (Some(run), words),
        [] => return Err(Failure::Usage("name a run, or begin one with --new".into())),
    };
    let mut values = Vec::with_capacity(words.len());
    for word in words {
        values.push(parse_value(word)?);
    }
    for (at, (key, value)) in arguments.param.iter().enumerate() {
        if let Some((_, other)) = arguments.param[..at].iter().find(|(known, other)| known == key && other != value) {
            return Err(Failure::Usage(format!("param {key:?} is given twice, as {other:?} and as {value:?}")));
        }
    }
    let mut edits: Vec<RunEdit> = Vec::new();
    let owned = |pair: &(String, String)| pair.clone();
    edits.extend(arguments.param.iter().map(owned).map(|(key, value)| RunEdit::Param(key, value)));
    edits.extend(arguments.tag.iter().map(owned).map(|(key, value)| RunEdit::Tag(key, value)));
    // A process that logs a handful of points is better off without a mapped tail of its own.
    let options = Options { tail: TailMode::Written, ..Options::default() };
    let mut writer = match name {
        None => {
            let workspace = context.open_or_create(options)?;
            let experiment = match &arguments.experiment {
                Some(name) => workspace.experiment_named(name)?,
                None => ExperimentId::DEFAULT,
            };
            let user = std::env::var("USER").unwrap_or_default();
            let name = arguments.name.clone().unwrap_or_default();
            workspace.create_run(experiment, NewRun { name, user, ..NewRun::default() })?
        }
        Some(run) => {
            if context.open_if_present()?.is_none() {
                // Says that there is no workspace, rather than make an empty one.
                context.open()?;
            }
            let workspace = context.open_or_create(options)?;
            edits.extend(arguments.name.iter().map(|name| RunEdit::Name(name.clone())));
            let id = context::run(&workspace, run)?.id().clone();
            workspace.writer(&id)?
        }
    };
    let timestamp_ms = Some(arguments.timestamp.unwrap_or_else(now_ms));
    let mut points = Vec::with_capacity(values.len());
    for (key, value) in &values {
        points.push((writer.metric(key)?, Point { step: arguments.step, timestamp_ms, value: *value }));
    }
    writer.log_batch(&points, &edits)?;
    let id = writer.run_id().to_string();
    if let Some(status) = arguments.finish {
        writer.finish(status)?;
    }
    if context.json {
        output::json(&json!({"run_id": id}))?;
    } else {
        output::lines(&format!("{id}\n"))?;
    }
    Ok(Answer::Done)
}
