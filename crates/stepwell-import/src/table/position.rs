//! Where a row's points belong: the step, the time, and the part of the training that its own cells say.

use std::borrow::Cow;

use crate::context::Context;
use crate::series::SeriesBuilder;
use crate::table::columns::{Columns, in_part};
use crate::table::epochs::{self, Epochs};
use crate::table::inexact::Inexact;
use crate::table::times::{Cell, Times};
use crate::walk::SourceFile;

/// What a row's own cells say.
pub(crate) struct Head<'r> {
    pub(crate) step: i64,
    pub(crate) part: Option<&'r str>,
    pub(crate) epoch: Option<i64>,
    /// The cell of the time column, and what it was read as; `None` for an empty one.
    pub(crate) time: Option<(Cow<'r, str>, Option<i64>)>,
}

/// Where a row's points belong.
pub(crate) struct Position<'r> {
    step: i64,
    timestamp_ms: Option<i64>,
    part: Option<&'r str>,
    /// The columns of this row that name its part and its time, and so hold no metric.
    taken: [Option<usize>; 2],
}

impl Position<'_> {
    /// The key of a metric in this part of the training.
    pub(crate) fn key<'k>(&self, name: &'k str) -> Cow<'k, str> {
        in_part(self.part, name)
    }

    /// Adds a point here. `key` is one that [`Self::key`] gave.
    pub(crate) fn push(&self, builder: &mut SeriesBuilder, key: &str, value: f64) {
        builder.push(key, self.step, self.timestamp_ms, value);
    }

    /// Whether a column may hold a metric in this row.
    pub(crate) fn may_hold_metric(&self, column: usize) -> bool {
        !self.taken.contains(&Some(column))
    }
}

/// The rows of a table so far, as far as later rows depend on them; and what there is to report of their numbers.
#[derive(Default)]
pub(crate) struct Positions {
    epochs: Epochs,
    times: Times,
    /// Numbers that are not floats.
    pub(crate) inexact: Inexact,
}

impl Positions {
    /// Where the points of the next row belong; the row begins at `offset`.
    pub(crate) fn next<'r>(&mut self, head: Head<'r>, columns: &Columns, offset: u64) -> Position<'r> {
        let step = match head.part.zip(head.epoch) {
            Some((part, epoch)) => self.epochs.step(part, epoch, head.step),
            None => head.step,
        };
        let dates_only = columns.time.is_some_and(|time| time.dates_only);
        let time = head.time.map(|(text, ms)| self.times.take(&text, ms, dates_only, offset));
        let timestamp_ms = match time {
            Some(Cell::At(ms)) => Some(ms),
            _ => None,
        };
        let part_at = columns.part.filter(|_| head.part.is_some());
        let time_at = columns.time.filter(|_| time != Some(Cell::Value)).map(|time| time.at);
        Position { step, timestamp_ms, part: head.part, taken: [part_at, time_at] }
    }

    /// Reports what was met.
    pub(crate) fn tell(&self, file: &SourceFile, context: &mut Context<'_>) {
        if self.epochs.changed {
            context.note(&file.path, epochs::NOTE);
        }
        self.times.tell(&file.path, context);
        self.inexact.tell(&file.path, context);
    }
}
