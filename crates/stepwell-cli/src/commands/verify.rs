//! `stepwell verify`: reads every byte and reports damage.

use serde_json::json;

use crate::context::Context;
use crate::failure::{Answer, Outcome};
use crate::output::{self, bytes, count, escape, plural};
use crate::progress::Progress;

pub(crate) fn run(context: &Context) -> Outcome {
    let workspace = context.open_damaged()?;
    let progress = Progress::bytes("verifying", context.json);
    let report = workspace.verify(&mut |done, total| progress.set(done, total))?;
    drop(progress);
    let ok = report.damage.is_empty();
    let answer = if ok { Answer::Done } else { Answer::No };
    if context.json {
        let damage: Vec<_> = report
            .damage
            .iter()
            .map(|damage| {
                json!({
                    "file": damage.file.to_string_lossy(),
                    "offset": damage.offset,
                    "length": damage.length,
                    "what": damage.what,
                    "cost": damage.cost,
                })
            })
            .collect();
        output::json(&json!({"ok": ok, "damage": damage, "files": report.files, "bytes": report.bytes}))?;
        return Ok(answer);
    }
    let mut text = String::new();
    for damage in &report.damage {
        text += &format!(
            "{} at byte {}, {}: {}\n  cost: {}\n",
            escape(&damage.file.to_string_lossy()),
            count(damage.offset),
            plural(damage.length, "byte", "bytes"),
            escape(&damage.what),
            escape(&damage.cost),
        );
    }
    let read = format!("{} in {}", bytes(report.bytes), plural(report.files, "file", "files"));
    text += &if ok {
        format!("sound: read {read}\n")
    } else {
        let places = plural(report.damage.len() as u64, "damaged place", "damaged places");
        format!("{places}: read {read}; the rest reads, and `stepwell repair` saves it\n")
    };
    output::lines(&text)?;
    Ok(answer)
}
