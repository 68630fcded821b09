//! Stable-Baselines' `monitor.csv`: one row an episode, with reward `r`, length `l` and seconds `t` since the start.
//!
//! The first line is `#` and a JSON object with `t_start`, in seconds since epoch. A row's step is the number of
//! environment steps at the episode's end, the sum of `l` so far; its time is `t_start + t`.

use serde_json::Value;

use crate::context::Context;
use crate::number;
use crate::reading::Stop;
use crate::report::Kind;
use crate::series::SeriesBuilder;
use crate::table::inexact::Inexact;
use crate::table::records::{Record, Records};
use crate::table::rows::Rows;
use crate::table::{csv, json};
use crate::text::{self, Text};
use crate::walk::SourceFile;

/// Reads a monitor file from its second line on.
pub(crate) fn read(file: &SourceFile, first: &[u8], text: Text, context: &mut Context<'_>) -> Result<(), Stop> {
    let mut rows = Rows::one("monitor", file);
    let mut inexact = Inexact::default();
    let start_seconds = read_start(file, first, &mut rows, &mut inexact, context);
    let mut records = Records::new(text, b',', first.len() as u64);
    let names = records.header()?;
    let column = |wanted: &str| names.iter().position(|name| name == wanted);
    let (Some(length_at), time_at) = (column("l"), column("t")) else {
        context.skip(&file.path, Some(first.len() as u64), "no column l, the episodes' length; not imported");
        return Ok(());
    };
    let mut episodes = Episodes { file, names, length_at, time_at, start_seconds, step: 0, inexact };
    let (mut row, mut cut) = (0, None);
    while let Some(record) = text::or_cut(records.next(), &mut cut) {
        if csv::is_whole(&record, episodes.names.len(), file, context)
            && episodes.take(&record, rows.builder(""), context)
        {
            rows.row_done("", row, context)?;
            row += 1;
        }
    }
    episodes.inexact.tell(&file.path, context);
    csv::tell_encoding(&records, file, context);
    cut.into_iter().for_each(|error| context.not_to_its_end(&file.path, error));
    Ok(rows.finish(context)?)
}

/// Takes the first line: its words are params. Returns the start of the training.
fn read_start(
    file: &SourceFile,
    first: &[u8],
    rows: &mut Rows<'_>,
    inexact: &mut Inexact,
    context: &mut Context<'_>,
) -> Option<f64> {
    let (start, lost) = first.get(1..).and_then(|json| json::parse_counting(json.trim_ascii())).unzip();
    let start_seconds = start.as_ref().and_then(|start| start.get("t_start")).and_then(Value::as_f64);
    match (&start, start_seconds) {
        (Some(start), Some(_)) => json::flatten_words("", start, ".", &mut |key, word| {
            rows.params.push((key.trim_start_matches('.').to_owned(), word));
        }),
        _ => context.skip(&file.path, Some(0), "the first line has no t_start; points are without time"),
    }
    rows.start_time_ms = start_seconds.and_then(number::seconds_to_ms);
    inexact.lost(0, &lost.unwrap_or_default());
    start_seconds
}

/// The episodes of a training.
struct Episodes<'t> {
    file: &'t SourceFile,
    names: Vec<String>,
    length_at: usize,
    time_at: Option<usize>,
    start_seconds: Option<f64>,
    /// The step at the end of the last episode.
    step: i64,
    inexact: Inexact,
}

impl Episodes<'_> {
    /// Takes an episode's points. Returns whether it has a length; one without is reported.
    fn take(&mut self, record: &Record<'_>, builder: &mut SeriesBuilder, context: &mut Context<'_>) -> bool {
        let length = record.text(self.length_at);
        let Some(step) = number::step(length).and_then(|length| self.step.checked_add(length)) else {
            let why = format!("{length:?} is not an episode length; the row is passed over");
            context.skip(&self.file.path, Some(record.offset), why);
            return false;
        };
        self.step = step;
        let seconds = self.time_at.and_then(|at| number::value(record.text(at)));
        let timestamp_ms =
            self.start_seconds.zip(seconds).and_then(|(start, seconds)| number::seconds_to_ms(start + seconds));
        for (at, name) in self.names.iter().enumerate() {
            let cell = record.text(at);
            match number::value(cell) {
                Some(value) => {
                    self.inexact.look(cell, value, record.offset);
                    builder.push(name, step, timestamp_ms, value);
                }
                None if cell.is_empty() => {}
                None => {
                    let why = format!("{cell:?} is not a value of {name:?}; left out");
                    context.leave_out_at(&self.file.path, Some(record.offset), Kind::Cell, 1, why);
                }
            }
        }
        true
    }
}
