//! `stepwell stats`: how much there is and what it costs on disk.

use serde_json::json;

use crate::context::Context;
use crate::failure::{Answer, Outcome};
use crate::left_out;
use crate::output::{self, bytes, count, escape, table, table_of};
use crate::progress::Progress;
use crate::table::Column;

pub(crate) fn run(context: &Context) -> Outcome {
    let workspace = context.open()?;
    let progress = Progress::spinner("counting", context.json);
    let usage = workspace.maintenance().usage()?;
    drop(progress);
    left_out::tell(&usage.unreadable);
    let bytes_per_point = (usage.points > 0).then(|| usage.bytes_on_disk as f64 / usage.points as f64);
    if context.json {
        let by_kind: Vec<_> = usage
            .by_kind
            .iter()
            .map(|(kind, files, bytes)| json!({"kind": kind, "files": files, "bytes": bytes}))
            .collect();
        let largest: Vec<_> =
            usage.largest_keys.iter().map(|(key, points)| json!({"key": key, "points": points})).collect();
        output::json(&json!({
            "runs": usage.runs,
            "series": usage.series,
            "points": usage.points,
            "bytes_on_disk": usage.bytes_on_disk,
            "bytes_per_point": bytes_per_point,
            "files": usage.files,
            "by_kind": by_kind,
            "largest_keys": largest,
            "unreadable": usage.unreadable,
        }))?;
        return Ok(Answer::Done);
    }
    let mut text = format!(
        "runs             {}\nseries           {}\npoints           {}\non disk          {} in {} files\n\
         bytes per point  {}\n",
        count(usage.runs),
        count(usage.series),
        count(usage.points),
        bytes(usage.bytes_on_disk),
        count(usage.files),
        bytes_per_point.map_or("-".to_owned(), |size| format!("{size:.2}")),
    );
    if !usage.by_kind.is_empty() {
        let mut kinds = table(&["kind", "files", "size"], &[1, 2]);
        for (kind, files, size) in &usage.by_kind {
            kinds.add_row([kind.clone(), count(*files), bytes(*size)]);
        }
        text += &format!("\n{kinds}\n");
    }
    if !usage.largest_keys.is_empty() {
        let mut keys = table_of(vec![Column::name("largest metrics"), Column::number("points")]);
        for (key, points) in &usage.largest_keys {
            keys.add_row([escape(key), count(*points)]);
        }
        text += &format!("\n{keys}\n");
    }
    output::lines(&text)?;
    Ok(Answer::Done)
}
