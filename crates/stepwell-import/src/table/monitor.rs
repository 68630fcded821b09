//! Stable-Baselines3's `monitor.csv`: one row an episode, with reward `r`, length `l` and seconds `t` since the start.
//!
//! The first line is `#` and a JSON object with `t_start`, in seconds since epoch. A row's step is the number of
//! environment steps at the episode's end, the sum of `l` so far; its time is `t_start + t`.

use std::borrow::Cow;
use std::fs::File;
use std::io;

use serde_json::Value;

use crate::context::Context;
use crate::lines::Lines;
use crate::number;
use crate::run::ImportError;
use crate::table::rows::Rows;
use crate::table::{csv, json};
use crate::walk::SourceFile;

/// Reads a monitor file from its second line on; answers as [`csv::read`]'s own reader does.
pub(crate) fn read(
    file: &SourceFile,
    first: &[u8],
    mut lines: Lines<File>,
    context: &mut Context<'_>,
) -> io::Result<Result<u64, ImportError>> {
    let mut rows = Rows::one("monitor", file);
    let start = first.get(1..).and_then(json::parse);
    let start_seconds = start.as_ref().and_then(|start| start.get("t_start")).and_then(Value::as_f64);
    match (&start, start_seconds) {
        (Some(start), Some(_)) => json::flatten_words("", start, ".", &mut |key, word| {
            rows.params.push((key.trim_start_matches('.').to_owned(), word))
        }),
        _ => context.skip(&file.path, Some(0), "the first line has no t_start; points are without time"),
    }
    rows.start_time_ms = start_seconds.and_then(number::seconds_to_ms);
    let names: Vec<String> = match lines.next()? {
        Some(line) => {
            let mut fields = Vec::new();
            csv::split(line.bytes, b',', &mut fields);
            fields.iter().map(|field| String::from_utf8_lossy(field).trim().to_owned()).collect()
        }
        None => Vec::new(),
    };
    let column = |wanted: &str| names.iter().position(|name| name == wanted);
    let (Some(length_at), time_at) = (column("l"), column("t")) else {
        context.skip(&file.path, Some(first.len() as u64 + 1), "no column l, the episodes' length; not imported");
        return Ok(Ok(0));
    };
    let mut step = 0i64;
    while let Some(line) = lines.next()? {
        if line.bytes.is_empty() && !line.too_long {
            continue;
        }
        let mut fields: Vec<Cow<'_, [u8]>> = Vec::with_capacity(names.len());
        csv::split(line.bytes, b',', &mut fields);
        // The writer ends each row with a line break, so a last row without one was cut.
        if !line.ended || fields.len() != names.len() {
            let what = if line.ended { "has not the header's number of fields" } else { "is cut off" };
            context.skip(&file.path, Some(line.offset), format!("a row {what}; passed over"));
            continue;
        }
        let text = |at: usize| std::str::from_utf8(&fields[at]).unwrap_or("\u{fffd}").trim();
        let Some(sum) = number::step(text(length_at)).and_then(|length| step.checked_add(length)) else {
            context.skip(
                &file.path,
                Some(line.offset),
                format!("{:?} is no episode length; the row is passed over", text(length_at)),
            );
            continue;
        };
        step = sum;
        let seconds = time_at.and_then(|at| number::value(text(at)));
        let timestamp_ms =
            start_seconds.zip(seconds).and_then(|(start, seconds)| number::seconds_to_ms(start + seconds));
        for (at, name) in names.iter().enumerate() {
            match number::value(text(at)) {
                Some(value) => rows.gather("").push(name, step, timestamp_ms, value),
                None if text(at).is_empty() => {}
                None => context.skip(
                    &file.path,
                    Some(line.offset),
                    format!("{:?} is no value of {name:?}; left out", text(at)),
                ),
            }
        }
    }
    Ok(rows.finish(context).map(|()| 0))
}
