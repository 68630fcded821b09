//! The cells of a CSV table to points: what is a number, a time, a param, or a text that is told and left out.

use std::borrow::Cow;

use crate::context::Context;
use crate::number;
use crate::options::Options;
use crate::report::Kind;
use crate::series::SeriesBuilder;
use crate::table::columns::{Columns, Step, Time, part_of};
use crate::table::commas::Commas;
use crate::table::position::{Head, Position, Positions};
use crate::table::records::Record;
use crate::table::rows::Rows;
use crate::table::seen::Seen;
use crate::walk::SourceFile;

/// Words by which tables say that a cell is empty.
const EMPTY: [&str; 9] = ["", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "-nan(ind)"];

/// A table being read.
pub(crate) struct Cells<'t> {
    file: &'t SourceFile,
    commas: Commas<'t>,
    columns: &'t Columns,
    seen: Vec<Seen>,
    positions: Positions,
}

fn is_empty(cell: &str) -> bool {
    EMPTY.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

/// The time in a cell that is not empty.
fn time_of(time: Time, cell: &str) -> Option<i64> {
    if time.dates_only {
        number::date_to_ms(cell)
    } else if time.is_ms {
        number::step(cell).or_else(|| number::date_to_ms(cell))
    } else {
        number::time_text_to_ms(cell)
    }
}

impl<'t> Cells<'t> {
    /// The cells of a table of so many columns.
    pub(crate) fn new(file: &'t SourceFile, delimiter: u8, columns: &'t Columns, count: usize) -> Self {
        Self {
            file,
            commas: Commas::new(file, delimiter, count),
            columns,
            seen: vec![Seen::default(); count],
            positions: Positions::default(),
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
        if let Err(why) = self.take_row(record, row, run, rows, context.options) {
            context.skip(&self.file.path, Some(record.offset), format!("{why}; the row is passed over"));
        }
    }

    /// The error is why the row has no points.
    fn take_row(
        &mut self,
        record: &Record<'_>,
        row: u64,
        run: &str,
        rows: &mut Rows<'_>,
        options: &Options,
    ) -> Result<(), String> {
        let head = self.head(record, row, rows.is_one(), options)?;
        let position = self.positions.next(head, self.columns, record.offset);
        let builder = rows.builder(run);
        match self.columns.long {
            Some(long) => self.take_long(record, long, &position, builder, options)?,
            None => self.take_wide(record, &position, builder, options),
        }
        Ok(())
    }

    /// What the row says of its step, part and time.
    fn head<'r>(&mut self, record: &Record<'r>, row: u64, is_one: bool, options: &Options) -> Result<Head<'r>, String> {
        let step = match self.columns.step {
            Step::Row => i64::try_from(row).unwrap_or(i64::MAX),
            Step::At(at) => {
                let cell = record.text(at);
                let step = number::step(cell).or_else(|| number::whole(self.commas.value(cell, at, options)?));
                step.ok_or_else(|| format!("{cell:?} is not a step"))?
            }
        };
        let time = self.columns.time.map(|time| (time, record.text(time.at))).filter(|(_, cell)| !is_empty(cell));
        Ok(Head {
            step,
            part: self.columns.part.and_then(|at| part_of(record.text(at))),
            epoch: self.columns.epoch.filter(|_| is_one).and_then(|at| number::step(record.text(at))),
            time: time.map(|(time, cell)| (Cow::Borrowed(cell), time_of(time, cell))),
        })
    }

    /// Takes the point of a row in long form.
    fn take_long(
        &mut self,
        record: &Record<'_>,
        (key, at): (usize, usize),
        position: &Position<'_>,
        builder: &mut SeriesBuilder,
        options: &Options,
    ) -> Result<(), String> {
        let cell = record.text(at);
        let value = self.commas.value(cell, at, options).ok_or_else(|| format!("{cell:?} is not a value"))?;
        self.positions.inexact.look(cell, value, record.offset);
        position.push(builder, &position.key(record.untrimmed(key)), value);
        Ok(())
    }

    /// Takes the points of a row in wide form.
    fn take_wide(
        &mut self,
        record: &Record<'_>,
        position: &Position<'_>,
        builder: &mut SeriesBuilder,
        options: &Options,
    ) {
        let columns = self.columns;
        for (_, at) in columns.nameless.iter().filter(|(_, at)| !is_empty(record.text(*at))) {
            self.seen[*at].lost(record.offset);
        }
        for (name, at) in columns.metrics.iter().filter(|(_, at)| position.may_hold_metric(*at)) {
            let cell = record.text(*at);
            if is_empty(cell) {
                continue;
            }
            match self.commas.value(cell, *at, options) {
                Some(value) => {
                    self.positions.inexact.look(cell, value, record.offset);
                    position.push(builder, &position.key(name), value);
                    self.seen[*at].number();
                }
                None => self.seen[*at].text(cell, record.offset),
            }
        }
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
        self.positions.tell(self.file, context);
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
