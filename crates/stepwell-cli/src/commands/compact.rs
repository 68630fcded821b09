//! `stepwell compact`: packs ended logs.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use stepwell::maintenance::CompactOptions;

use crate::context::Context;
use crate::failure::{Answer, Outcome};
use crate::output::{self, escape, plural};
use crate::progress::Progress;

/// Move the logs of finished writers into packs, and merge small packs. Other processes may read and write meanwhile.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Also compact logs whose locks cannot be checked, as on network file systems. Use it only when their writers
    /// have ended.
    #[arg(long)]
    take_over: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let workspace = context.open()?;
    let progress = Progress::spinner("compacting", context.json);
    let done = workspace.maintenance().compact(CompactOptions { take_over: arguments.take_over })?;
    drop(progress);
    let answer = if done.skipped.is_empty() && done.unlisted.is_empty() { Answer::Done } else { Answer::No };
    if context.json {
        let named = |files: &[(PathBuf, String)]| -> Vec<_> {
            files.iter().map(|(file, reason)| json!({"file": file.to_string_lossy(), "reason": reason})).collect()
        };
        output::json(&json!({
            "busy": done.busy,
            "logs": done.logs,
            "runs": done.runs,
            "points": done.points,
            "packs_merged": done.packs_merged,
            "skipped": named(&done.skipped),
            "unlisted": named(&done.unlisted),
        }))?;
        return Ok(answer);
    }
    let mut text = if done.busy {
        "another process is compacting this workspace; nothing was done\n".to_owned()
    } else {
        format!(
            "packed {} of {} with {}; merged {}\n",
            plural(done.logs, "log", "logs"),
            plural(done.runs, "run", "runs"),
            plural(done.points, "point", "points"),
            plural(done.packs_merged, "pack", "packs"),
        )
    };
    for (file, reason) in &done.skipped {
        text += &format!("left {}: {}\n", escape(&file.to_string_lossy()), escape(reason));
    }
    for (file, reason) in &done.unlisted {
        text += &format!("kept {}: {}\n", escape(&file.to_string_lossy()), escape(reason));
    }
    if !done.unlisted.is_empty() {
        text += &format!("kept {} that nothing names\n", plural(done.unlisted.len() as u64, "file", "files"));
    }
    output::lines(&text)?;
    Ok(answer)
}
