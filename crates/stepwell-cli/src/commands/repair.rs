//! `stepwell repair`: takes damaged files out of use and saves what still reads.

use clap::Args;
use serde_json::json;

use stepwell::maintenance::RepairOptions;

use crate::context::Context;
use crate::failure::{Answer, Outcome};
use crate::output::{self, escape, plural};
use crate::progress::Progress;

/// Rewrite what verifies in damaged files, and move the originals to `quarantine` in the workspace. Files that cannot
/// be read, that a newer Stepwell wrote, or that somebody is writing stay as they are and are listed; the exit status
/// is then 1.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Also move files that another process may still be writing and whose locks cannot be checked, as on network
    /// file systems. Use it only when every process that worked on the workspace has ended.
    #[arg(long)]
    take_over: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let workspace = context.open_damaged()?;
    let progress = Progress::spinner("repairing", context.json);
    let done = workspace.maintenance().repair(RepairOptions { take_over: arguments.take_over })?;
    drop(progress);
    let answer = if done.skipped.is_empty() { Answer::Done } else { Answer::No };
    if context.json {
        let files: Vec<_> = done.quarantined.iter().map(|file| file.to_string_lossy()).collect();
        let skipped: Vec<_> = done
            .skipped
            .iter()
            .map(|(file, reason)| json!({"file": file.to_string_lossy(), "reason": reason}))
            .collect();
        output::json(&json!({
            "salvaged_runs": done.salvaged_runs,
            "quarantined": files,
            "lost": done.lost,
            "skipped": skipped,
        }))?;
        return Ok(answer);
    }
    let mut text = String::new();
    for file in &done.quarantined {
        text += &format!("took out of use: {}\n", escape(&file.to_string_lossy()));
    }
    for lost in &done.lost {
        text += &format!("lost: {}\n", escape(lost));
    }
    for (file, reason) in &done.skipped {
        text += &format!("left as it is: {}: {}\n", escape(&file.to_string_lossy()), escape(reason));
    }
    let nothing =
        done.quarantined.is_empty() && done.lost.is_empty() && done.skipped.is_empty() && done.salvaged_runs == 0;
    text += &if nothing {
        "nothing to repair\n".to_owned()
    } else {
        format!("saved {}\n", plural(done.salvaged_runs, "run", "runs"))
    };
    output::lines(&text)?;
    Ok(answer)
}
