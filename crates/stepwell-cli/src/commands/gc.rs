//! `stepwell gc`: removes for good what was deleted.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use stepwell::maintenance::{CollectOptions, LeftoverOptions};
use stepwell::{ExperimentId, RunId, now_ms};

use crate::artifacts::{Gone, own_folder};
use crate::context::Context;
use crate::failure::{Answer, Outcome};
use crate::left_out;
use crate::output::{self, escape, plural};
use crate::progress::Progress;
use crate::time::parse_span;

/// Permanently remove deleted runs and experiments, the runs of deleted experiments, the artifacts that the server
/// keeps for these runs, and files that are no longer used.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Keep what was deleted within this time: 30d, 12h, 90m, 2w [default: remove everything that is deleted].
    #[arg(long, value_name = "AGE", value_parser = parse_span)]
    older_than: Option<i64>,
    /// Only print what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// The artifact folder, if `serve` was given one [default: `artifacts` in the workspace].
    #[arg(long, value_name = "DIR")]
    artifacts_destination: Option<PathBuf>,
    /// Also remove files that another process may still be writing and whose locks cannot be checked, as on network
    /// file systems. Use it only when every process that worked on the workspace has ended.
    #[arg(long)]
    take_over: bool,
    /// Also remove packs that the manifest does not name and that hold data found nowhere else: from an interrupted
    /// import, or runs whose manifest entry was lost. `repair` recovers them instead.
    #[arg(long)]
    drop_unlisted: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let workspace = context.open()?;
    // Without an age, what was deleted in this very millisecond goes too.
    let before_ms = arguments.older_than.map_or(i64::MAX, |age| now_ms().saturating_sub(age));
    let progress = Progress::spinner("collecting", context.json);
    let leftovers = LeftoverOptions { take_over: arguments.take_over, drop_unlisted: arguments.drop_unlisted };
    let done =
        workspace.maintenance().collect_garbage(CollectOptions { before_ms, dry_run: arguments.dry_run, leftovers })?;
    let artifacts = arguments.artifacts_destination.clone().unwrap_or_else(|| own_folder(workspace.root()));
    let of_run = |(experiment, run): &(ExperimentId, RunId)| artifacts.join(experiment.to_string()).join(run.as_str());
    // The folder that the caller names may be a link, and so may the workspace; what somebody put into them may not.
    let own = if arguments.artifacts_destination.is_some() { &artifacts } else { workspace.root() };
    let gone = Gone::of(own, done.runs.iter().map(of_run));
    if !arguments.dry_run {
        gone.remove()?;
    }
    drop(progress);
    let left_out: Vec<String> = done.left_out.iter().cloned().chain(gone.left_out()).collect();
    left_out::tell(&left_out);
    let answer = if done.skipped.is_empty() && left_out.is_empty() { Answer::Done } else { Answer::No };
    if context.json {
        output::json(&json!({
            "runs": done.runs.iter().map(|(_, run)| run.as_str()).collect::<Vec<_>>(),
            "in_use": done.in_use.iter().map(RunId::as_str).collect::<Vec<_>>(),
            "experiments": done.experiments.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "artifact_folders": gone.folders.iter().map(|folder| folder.to_string_lossy()).collect::<Vec<_>>(),
            "files": done.files,
            "left_out": left_out,
            "skipped": done.skipped.iter().map(|(file, why)| json!({"file": file.to_string_lossy(), "why": why})).collect::<Vec<_>>(),
            "dry_run": arguments.dry_run,
        }))?;
        return Ok(answer);
    }
    let verb = if arguments.dry_run { "would remove" } else { "removed" };
    let mut text: String = done.runs.iter().map(|(_, run)| format!("{verb} {run}\n")).collect();
    text.extend(done.in_use.iter().map(|run| format!("kept {run}: somebody writes it still\n")));
    text.extend(done.experiments.iter().map(|experiment| format!("{verb} experiment {experiment}\n")));
    text.extend(gone.folders.iter().map(|folder| format!("{verb} {}\n", escape(&folder.display().to_string()))));
    text.extend(
        done.skipped.iter().map(|(file, why)| format!("left {}: {}\n", escape(&file.to_string_lossy()), escape(why))),
    );
    text += &format!("{verb} {}", plural(done.runs.len() as u64, "run", "runs"));
    if !arguments.dry_run {
        text += &format!(" and {} of no more use", plural(done.files, "file", "files"));
    }
    text.push('\n');
    output::lines(&text)?;
    Ok(answer)
}
