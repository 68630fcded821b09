//! The cells of a CSV table to points: what is a number, a time, a param, or a text that is told and left out.

use crate::context::Context;
use crate::number;
use crate::report::Kind;
use crate::table::columns::{Columns, Step, in_part, part_of};
use crate::table::commas::Commas;
use crate::table::epochs::{Epochs, NOTE as EPOCHS};
use crate::table::inexact::Inexact;
use crate::table::records::Record;
use crate::table::rows::Rows;
use crate::table::seen::Seen;
use crate::table::times::{Cell, Times};
use crate::walk::SourceFile;

/// Words by which tables say that a cell is empty.
const EMPTY: [&str; 9] = ["", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "-nan(ind)"];

/// A table being read.
pub(crate) struct Cells<'t> {
    file: &'t SourceFile,
    commas: Commas<'t>,
    columns: &'t Columns,
    seen: Vec<Seen>,
    times: Times,
    inexact: Inexact,
    epochs: Epochs,
}

fn is_empty(cell: &str) -> bool {
    EMPTY.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

impl<'t> Cells<'t> {
    /// The cells of a table of so many columns.
    pub(crate) fn new(file: &'t SourceFile, delimiter: u8, columns: &'t Columns, count: usize) -> Self {
        Self {
            file,
            commas: Commas::new(file, delimiter, count),
            columns,
            seen: vec![Seen::default(); count],
            times: Times::default(),
            inexact: Inexact::default(),
            epochs: Epochs::default(),
        }
    }

    /// Takes a row's points, or reports the row.
    pub(crate) fn take(
        &mut self,
        record: &Record<'_>,
        row: u64,
        run: &str,
        rows: &mut Rows<'_>,
        context: &mut Context<'_>,
    ) {
        let options = context.options;
        let mut skip = |reason: String| context.skip(&self.file.path, Some(record.offset), reason);
        let step = match self.columns.step {
            Step::Row => i64::try_from(row).unwrap_or(i64::MAX),
            Step::At(at) => {
                let cell = record.text(at);
                match number::step(cell).or_else(|| number::whole(self.commas.value(cell, at, options)?)) {
                    Some(step) => step,
                    None => return skip(format!("{cell:?} is not a step; the row is passed over")),
                }
            }
        };
        let part = self.columns.part.and_then(|at| part_of(record.text(at)));
        let epoch = self.columns.epoch.filter(|_| rows.is_one()).and_then(|at| number::step(record.text(at)));
        let step = match part.zip(epoch) {
            Some((part, epoch)) => self.epochs.step(part, epoch, step),
            None => step,
        };
        let time = self.time(record);
        let timestamp_ms = match time {
            Some(Cell::At(ms)) => Some(ms),
            _ => None,
        };
        if let Some((key, at)) = self.columns.long {
            let (key, cell) = (record.untrimmed(key), record.text(at));
            return match self.commas.value(cell, at, options) {
                Some(value) => {
                    self.inexact.look(cell, value, record.offset);
                    rows.builder(run).push(&in_part(part, key), step, timestamp_ms, value);
                }
                None => skip(format!("{cell:?} is not a value; the row is passed over")),
            };
        }
        for (_, at) in &self.columns.nameless {
            if !is_empty(record.text(*at)) {
                self.seen[*at].lost(record.offset);
            }
        }
        let dates = self.columns.time.filter(|_| time != Some(Cell::Value)).map(|time| time.at);
        let is_part = |at: usize| part.is_some() && self.columns.part == Some(at);
        for (name, at) in self.columns.metrics.iter().filter(|(_, at)| Some(*at) != dates && !is_part(*at)) {
            let cell = record.text(*at);
            if is_empty(cell) {
                continue;
            }
            match self.commas.value(cell, *at, options) {
                Some(value) => {
                    self.inexact.look(cell, value, record.offset);
                    rows.builder(run).push(&in_part(part, name), step, timestamp_ms, value);
                    self.seen[*at].number();
                }
                None => self.seen[*at].text(cell, record.offset),
            }
        }
    }

    /// A row's time; `None` for an empty cell.
    fn time(&mut self, record: &Record<'_>) -> Option<Cell> {
        let time = self.columns.time?;
        let cell = record.text(time.at);
        if is_empty(cell) {
            return None;
        }
        let ms = if time.dates_only {
            number::date_to_ms(cell)
        } else if time.is_ms {
            number::step(cell).or_else(|| number::date_to_ms(cell))
        } else {
            number::time_text_to_ms(cell)
        };
        Some(self.times.take(cell, ms, time.dates_only, record.offset))
    }

    /// Reports what was left out. A column of one constant text is a param of the table's only run.
    pub(crate) fn tell(&self, rows: &mut Rows<'_>, context: &mut Context<'_>) {
        for (name, at) in &self.columns.metrics {
            self.seen[*at].tell(name, self.file, rows, context);
        }
        for (why, at) in &self.columns.nameless {
            if let Some((offset, count)) = self.seen[*at].left_out() {
                let reason = format!("{why}; left out with its cells, {count}: give it a name of its own");
                context.leave_out_at(&self.file.path, Some(offset), Kind::Cell, count, reason);
            }
        }
        if self.epochs.changed {
            context.note(&self.file.path, EPOCHS);
        }
        self.times.tell(&self.file.path, context);
        self.inexact.tell(&self.file.path, context);
        let metrics = self.columns.metrics.iter().map(|(name, at)| (name.as_str(), *at));
        self.commas.tell(metrics.chain(self.columns.long.map(|(_, at)| ("value", at))), context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_cells_have_many_words() {
        assert!(is_empty("NA") && is_empty("") && is_empty("None") && !is_empty("nan") && !is_empty("-"));
    }
}
