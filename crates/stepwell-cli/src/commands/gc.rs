//! `stepwell gc`: removes for good what was deleted.

use clap::Args;
use serde_json::json;

use stepwell::workspace::clock::now_ms;

use crate::context::Context;
use crate::failure::{Answer, Outcome};
use crate::output::{self, plural};
use crate::progress::Progress;
use crate::time::parse_span;

/// Removes runs that were marked deleted, by themselves or with their experiment, and files of no more use.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Keep what was deleted within this time: 30d, 12h, 90m, 2w [default: remove all that is deleted].
    #[arg(long, value_name = "AGE", value_parser = parse_span)]
    older_than: Option<i64>,
    /// Only say what would go.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let workspace = context.open()?;
    // Without an age, what was deleted in this very millisecond goes too.
    let before_ms = arguments.older_than.map_or(i64::MAX, |age| now_ms().saturating_sub(age));
    let progress = Progress::spinner("collecting", context.json);
    let done = workspace.collect_garbage(before_ms, arguments.dry_run)?;
    drop(progress);
    if context.json {
        let ids = |runs: &[stepwell::base::ids::RunId]| runs.iter().map(ToString::to_string).collect::<Vec<_>>();
        output::json(&json!({
            "runs": ids(&done.runs),
            "kept": ids(&done.kept),
            "files": done.files,
            "dry_run": arguments.dry_run,
        }))?;
        return Ok(Answer::Done);
    }
    let verb = if arguments.dry_run { "would remove" } else { "removed" };
    let mut text: String = done.runs.iter().map(|run| format!("{verb} {run}\n")).collect();
    text.extend(done.kept.iter().map(|run| format!("kept {run}: somebody writes it still\n")));
    text += &format!("{verb} {}", plural(done.runs.len() as u64, "run", "runs"));
    if !arguments.dry_run {
        text += &format!(" and {} of no more use", plural(done.files, "file", "files"));
    }
    text.push('\n');
    output::lines(&text)?;
    Ok(Answer::Done)
}
