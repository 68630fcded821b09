//! `stepwell log`: logging from a shell script.

use std::ffi::OsString;
use std::io::Write as _;

use clap::Args;
use serde_json::json;

use stepwell::limits::{PARAM_VALUE_CHARS_MAX, TAG_VALUE_CHARS_MAX, check_chars, check_key};
use stepwell::{ExperimentId, NewRun, Options, Point, RunEdit, RunSnapshot, RunStatus, RunWriter, TailMode, now_ms};

use crate::context::Context;
use crate::failure::{Answer, Failure, Outcome};
use crate::{find, output};

/// Log values, params and tags to a run, and print the run's id.
///
/// RUN=$(stepwell log --new --name probe --param lr=0.1)
/// stepwell log $RUN loss=0.5 acc=0.7 --step 1
/// stepwell log $RUN --finish
///
/// All values of one call are logged together or not at all, at one step. Without --step, it is one
/// after the greatest step of these metrics in the run, or 0 if they have no points. VALUE may be
/// NaN, inf or -inf. A number too large for a float is refused; an integer that a float cannot hold
/// exactly is reported.
///
/// RUN is an id, a name, or at least 4 leading characters of an id.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// A run (unless --new is given), then the values.
    #[arg(value_name = "RUN|KEY=VALUE", required_unless_present = "new", add = crate::complete::runs())]
    words: Vec<String>,
    /// Start a new run. Creates the workspace if there is none.
    #[arg(long)]
    new: bool,
    /// The step of the values [default: one after the greatest step of these metrics].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    step: Option<i64>,
    /// The time of the values, in milliseconds since the epoch [default: now].
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    timestamp: Option<i64>,
    /// The new run's experiment, by id or name. It is created if needed [default: Default].
    #[arg(long, value_name = "EXPERIMENT", requires = "new", add = crate::complete::experiments())]
    experiment: Option<String>,
    /// The run's name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A param, which can be set only once. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_param)]
    param: Vec<(String, String)>,
    /// A tag. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_tag)]
    tag: Vec<(String, String)>,
    /// End the run as FINISHED, or as FAILED or KILLED if that follows. Everything logged to it then survives a power
    /// loss.
    #[arg(long, value_name = "STATUS", num_args = 0..=1, default_missing_value = "FINISHED", require_equals = true,
          value_parser = parse_status)]
    finish: Option<RunStatus>,
}

/// Joins `--finish STATUS` to `--finish=STATUS` in a call of `log`. So a status may also follow after a space, while a
/// run or a value after `--finish` is not taken for one.
pub(crate) fn join_finish(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut is_log = false;
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let is_status = |word: &OsString| word.to_str().is_some_and(|word| parse_status(word).is_ok());
        if is_log
            && word == "--finish"
            && let Some(status) = words.next_if(is_status)
        {
            joined.push(format!("--finish={}", status.to_string_lossy()).into());
            continue;
        }
        is_log |= word == "log";
        let ends = word == "--";
        joined.push(word);
        if ends {
            break;
        }
    }
    joined.extend(words);
    joined
}

// What breaks a limit is refused before a run is made, which would be left without it.

fn parse_pair(text: &str, value_chars_max: usize) -> Result<(String, String), String> {
    let Some((key, value)) = text.split_once('=') else { return Err("write KEY=VALUE".to_owned()) };
    check_key("key", key).map_err(|error| error.to_string())?;
    check_chars("value", value, value_chars_max).map_err(|error| error.to_string())?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(crate) fn parse_param(text: &str) -> Result<(String, String), String> {
    parse_pair(text, PARAM_VALUE_CHARS_MAX)
}

pub(crate) fn parse_tag(text: &str) -> Result<(String, String), String> {
    parse_pair(text, TAG_VALUE_CHARS_MAX)
}

fn parse_status(text: &str) -> Result<RunStatus, String> {
    let status: RunStatus = text.to_uppercase().parse().map_err(|error| format!("{error}"))?;
    if status.is_terminal() { Ok(status) } else { Err("write FINISHED, FAILED or KILLED".to_owned()) }
}

/// A value with its key, which may hold `=` itself.
fn parse_value(text: &str) -> Outcome<(String, f64)> {
    let wrong = |why: String| Failure::Usage(format!("{text:?} is not KEY=VALUE: {why}"));
    match text.rsplit_once('=') {
        Some(("", _)) => Err(wrong("the key is empty".into())),
        Some((key, value)) => match value.trim().parse::<f64>() {
            Ok(number) if number.is_infinite() && value.contains(|c: char| c.is_ascii_digit()) => {
                Err(wrong(format!("{value:?} is too large for a metric; write inf or -inf for infinity")))
            }
            Ok(number) => match check_key("key", key) {
                Ok(()) => Ok((key.to_owned(), number)),
                Err(error) => Err(wrong(error.to_string())),
            },
            Err(_) => Err(wrong(format!("{value:?} is not a number; --param and --tag take texts"))),
        },
        None => Err(wrong("there is no '='".into())),
    }
}

/// The values of a call.
fn parse_values(words: &[String], arguments: &Arguments) -> Outcome<Vec<(String, f64)>> {
    let value = |word: &String| {
        parse_value(word).map_err(|failure| match failure {
            Failure::Usage(why) if arguments.finish.is_some() && !word.contains('=') => {
                Failure::Usage(format!("{why}; a status after --finish is FINISHED, FAILED or KILLED"))
            }
            failure => failure,
        })
    };
    words.iter().map(value).collect()
}

/// Refuses two values of one param or tag.
fn check_once(kind: &str, pairs: &[(String, String)]) -> Outcome<()> {
    for (at, (key, value)) in pairs.iter().enumerate() {
        if let Some((_, other)) = pairs[..at].iter().find(|(known, other)| known == key && other != value) {
            return Err(Failure::Usage(format!("{kind} {key:?} is given twice, as {other:?} and as {value:?}")));
        }
    }
    Ok(())
}

/// The run that a call names. A first argument that can be read as a value names no run, unless a run has that name.
fn named(context: &Context, word: &str) -> Outcome<RunSnapshot> {
    let workspace = match context.open_if_present()? {
        Some(workspace) => workspace,
        None if parse_value(word).is_ok() => return Err(no_run(word)),
        // Says that there is no workspace, rather than make an empty one.
        None => context.open()?,
    };
    match find::exact_run(&workspace, word)? {
        Some(run) => Ok(run),
        None if parse_value(word).is_ok() => Err(no_run(word)),
        None => find::run_to_change(&workspace, word),
    }
}

fn no_run(word: &str) -> Failure {
    Failure::Usage(format!("no run is named before {word:?}; put one first, or begin one with --new"))
}

/// The step of values without one: after the greatest of their metrics.
fn next_step(run: &RunSnapshot, values: &[(String, f64)]) -> Outcome<i64> {
    let mut next = None;
    for (key, _) in values {
        if run.series().contains_key(key) {
            // The latest point is the one of the greatest step.
            let step = run.stats(key)?.latest.step;
            let after = step.checked_add(1).ok_or_else(|| {
                Failure::hinted(
                    format!("metric {key:?} has a point at step {step}, after which there is none"),
                    "give --step",
                )
            })?;
            next = next.max(Some(after));
        }
    }
    Ok(next.unwrap_or(0))
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let entry = Entry::read(context, arguments)?;
    let mut writer = entry.writer(context)?;
    let id = writer.run_id().to_string();
    entry.log(&mut writer)?;
    if let Some(status) = arguments.finish {
        writer.finish(status).map_err(|error| {
            let hint = format!("all else was logged to run {id}; `stepwell log {id} --finish` tries to end it again");
            Failure::hinted(output::escape(&error.to_string()), hint)
        })?;
    }
    entry.report(context, &id)?;
    Ok(Answer::Done)
}

/// What a call logs, and to which run.
struct Entry<'a> {
    arguments: &'a Arguments,
    /// The run; `None` if a new one begins.
    known: Option<RunSnapshot>,
    /// The values as they were given.
    words: &'a [String],
    values: Vec<(String, f64)>,
    step: i64,
}

impl<'a> Entry<'a> {
    /// Reads the call and finds its run. Nothing is changed yet, so that a mistake leaves no run behind.
    fn read(context: &Context, arguments: &'a Arguments) -> Outcome<Self> {
        let (name, words) = match &arguments.words[..] {
            words if arguments.new => (None, words),
            [run, words @ ..] => (Some(run), words),
            [] => return Err(Failure::Usage("name a run, or begin one with --new".into())),
        };
        let has_metadata = !arguments.param.is_empty() || !arguments.tag.is_empty() || arguments.name.is_some();
        let has_anything = !words.is_empty() || has_metadata || arguments.finish.is_some();
        if !has_anything && name.is_some_and(|name| parse_value(name).is_err()) {
            let why = "nothing to log: give KEY=VALUE, --param, --tag, --name or --finish";
            return Err(Failure::Usage(why.into()));
        }
        let known = name.map(|name| named(context, name)).transpose()?;
        let values = parse_values(words, arguments)?;
        check_once("param", &arguments.param)?;
        check_once("tag", &arguments.tag)?;
        let step = match (arguments.step, &known) {
            (Some(step), _) => step,
            (None, Some(run)) => next_step(run, &values)?,
            (None, None) => 0,
        };
        Ok(Self { arguments, known, words, values, step })
    }

    /// A writer of the run; begins the run if it is new, with its params and tags.
    fn writer(&self, context: &Context) -> Outcome<RunWriter> {
        // A process that logs a handful of points is better off without a mapped tail of its own.
        let workspace = context.open_or_create(Options { tail: TailMode::Written, ..Options::default() })?;
        if let Some(run) = &self.known {
            return Ok(workspace.writer(run.id())?);
        }
        let experiment = match &self.arguments.experiment {
            Some(name) => find::experiment_or_create(&workspace, name)?,
            None => ExperimentId::DEFAULT,
        };
        let user = std::env::var("USER").unwrap_or_default();
        let name = self.arguments.name.clone().unwrap_or_default();
        let (params, tags) = (self.arguments.param.clone(), self.arguments.tag.clone());
        Ok(workspace.create_run(experiment, NewRun { name, user, params, tags, ..NewRun::default() })?)
    }

    /// The params, tags and name that a known run gets. A new run has them from its beginning.
    fn edits(&self) -> Vec<RunEdit> {
        if self.known.is_none() {
            return Vec::new();
        }
        let Arguments { param, tag, name, .. } = self.arguments;
        let params = param.iter().cloned().map(|(key, value)| RunEdit::Param(key, value));
        let tags = tag.iter().cloned().map(|(key, value)| RunEdit::Tag(key, value));
        params.chain(tags).chain(name.iter().cloned().map(RunEdit::Name)).collect()
    }

    /// Logs the values and the edits together.
    fn log(&self, writer: &mut RunWriter) -> Outcome<()> {
        let timestamp_ms = Some(self.arguments.timestamp.unwrap_or_else(now_ms));
        let id = writer.run_id().to_string();
        let mut log = || {
            let mut points = Vec::with_capacity(self.values.len());
            for (key, value) in &self.values {
                points.push((writer.metric(key)?, Point { step: self.step, timestamp_ms, value: *value }));
            }
            writer.log_batch(&points, &self.edits())
        };
        log().map_err(|error| match &self.known {
            None => Failure::hinted(
                output::escape(&error.to_string()),
                format!("run {id} has begun, without these values; log them to it by `stepwell log {id} KEY=VALUE`"),
            ),
            Some(_) => error.into(),
        })
    }

    /// The whole numbers among the values that no float can represent, as they were given, each with the value that is
    /// logged for it.
    fn rounded(&self) -> impl Iterator<Item = (&str, f64)> {
        let both = self.words.iter().zip(&self.values).map(|(word, (_, value))| (word.as_str(), *value));
        both.filter(|(word, value)| {
            let given = word.rsplit_once('=').and_then(|(_, given)| given.trim().parse::<i128>().ok());
            given.is_some_and(|given| *value as i128 != given)
        })
    }

    /// Prints the run's id, and which values were rounded.
    fn report(&self, context: &Context, id: &str) -> Outcome<()> {
        if context.json {
            let step = (!self.values.is_empty()).then_some(self.step);
            let rounded: Vec<_> =
                self.rounded().map(|(given, value)| json!({"given": given, "logged": value})).collect();
            return output::json(&json!({"run_id": id, "step": step, "rounded": rounded}));
        }
        for (given, value) in self.rounded() {
            let (given, logged) = (output::escape(given), output::Value(value));
            let _ = writeln!(std::io::stderr(), "note: {given} is logged as {logged}, the nearest float");
        }
        output::lines(&format!("{id}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_may_follow_after_a_blank() {
        let joined = |words: &[&str]| -> Vec<String> {
            let words = words.iter().map(OsString::from);
            join_finish(words).into_iter().map(|word| word.into_string().unwrap()).collect()
        };
        assert_eq!(
            joined(&["stepwell", "log", "r", "--finish", "FAILED"]),
            ["stepwell", "log", "r", "--finish=FAILED"]
        );
        assert_eq!(joined(&["log", "--finish", "killed", "r", "a=1"]), ["log", "--finish=killed", "r", "a=1"]);
        for same in [
            &["log", "--finish", "r"][..],
            &["log", "--finish", "a=1"],
            &["log", "r", "--finish"],
            &["log", "FAILED", "--finish"],
            &["log", "r", "--", "--finish", "FAILED"],
            &["show", "--finish", "FAILED"],
        ] {
            assert_eq!(joined(same), same);
        }
    }
}
