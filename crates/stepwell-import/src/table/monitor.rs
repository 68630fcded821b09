//! Stable-Baselines' `monitor.csv`: one row an episode, with reward `r`, length `l` and seconds `t` since the start.
//!
//! The first line is `#` and a JSON object with `t_start`, in seconds since epoch. A row's step is the number of
//! environment steps at the episode's end, the sum of `l` so far; its time is `t_start + t`.

use std::io;

use serde_json::Value;

use crate::context::Context;
use crate::number;
use crate::report::Kind;
use crate::run::ImportError;
use crate::table::inexact::Inexact;
use crate::table::records::Records;
use crate::table::rows::Rows;
use crate::table::{csv, json};
use crate::text::{self, Text};
use crate::walk::SourceFile;

/// Reads a monitor file from its second line on; answers as the reader of CSV files does.
pub(crate) fn read(
    file: &SourceFile,
    first: &[u8],
    text: Text,
    context: &mut Context<'_>,
) -> io::Result<Result<(), ImportError>> {
    let mut rows = Rows::one("monitor", file);
    let (start, lost) = first.get(1..).and_then(|json| json::parse_counting(json.trim_ascii())).unzip();
    let start_seconds = start.as_ref().and_then(|start| start.get("t_start")).and_then(Value::as_f64);
    match (&start, start_seconds) {
        (Some(start), Some(_)) => json::flatten_words("", start, ".", &mut |key, word| {
            rows.params.push((key.trim_start_matches('.').to_owned(), word));
        }),
        _ => context.skip(&file.path, Some(0), "the first line has no t_start; points are without time"),
    }
    rows.start_time_ms = start_seconds.and_then(number::seconds_to_ms);
    let mut records = Records::new(text, b',', first.len() as u64);
    let names: Vec<String> =
        records.next()?.map(|record| record.iter().map(str::to_owned).collect()).unwrap_or_default();
    let column = |wanted: &str| names.iter().position(|name| name == wanted);
    let (Some(length_at), time_at) = (column("l"), column("t")) else {
        context.skip(&file.path, Some(first.len() as u64), "no column l, the episodes' length; not imported");
        return Ok(Ok(()));
    };
    let (mut step, mut row, mut inexact, mut cut) = (0i64, 0, Inexact::default(), None);
    inexact.lost(0, &lost.unwrap_or_default());
    while let Some(record) = text::or_cut(records.next(), &mut cut) {
        if !csv::is_whole(&record, names.len(), file, context) {
            continue;
        }
        let length = record.text(length_at);
        let Some(sum) = number::step(length).and_then(|length| step.checked_add(length)) else {
            let why = format!("{length:?} is not an episode length; the row is passed over");
            context.skip(&file.path, Some(record.offset), why);
            continue;
        };
        step = sum;
        let seconds = time_at.and_then(|at| number::value(record.text(at)));
        let timestamp_ms =
            start_seconds.zip(seconds).and_then(|(start, seconds)| number::seconds_to_ms(start + seconds));
        for (at, name) in names.iter().enumerate() {
            let cell = record.text(at);
            match number::value(cell) {
                Some(value) => {
                    inexact.look(cell, value, record.offset);
                    rows.builder("").push(name, step, timestamp_ms, value);
                }
                None if cell.is_empty() => {}
                None => {
                    let why = format!("{cell:?} is not a value of {name:?}; left out");
                    context.leave_out_at(&file.path, Some(record.offset), Kind::Cell, 1, why);
                }
            }
        }
        if let Err(error) = rows.row_done("", row, context) {
            return Ok(Err(error));
        }
        row += 1;
    }
    inexact.tell(&file.path, context);
    csv::tell_encoding(&records, file, context);
    cut.into_iter().for_each(|error| context.not_to_its_end(&file.path, error));
    Ok(rows.finish(context))
}
