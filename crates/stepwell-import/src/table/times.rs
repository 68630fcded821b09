//! The times of a table's rows. Cells that are not times are reported, and so are columns that mean several things.

use std::path::Path;

use crate::context::Context;
use crate::number;
use crate::report::Kind;

/// What a cell of a time column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// A time, in milliseconds since the epoch.
    At(i64),
    /// Nothing that is kept: it was counted.
    Lost,
    /// A value of a metric: the column holds no dates.
    Value,
}

/// A time column so far.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Whether the column holds dates, by its first cell; for columns that may hold numbers as well.
    holds_dates: Option<bool>,
    /// The first cell that is not a time: its offset and words, and how many there are.
    bad: Option<(u64, String, u64)>,
    /// How many dates have a zone, and how many have none.
    zones: [u64; 2],
}

impl Times {
    /// Takes a cell that is not empty, and which was read as `ms`. `dates_only` says that it may be a metric's too.
    pub(crate) fn take(&mut self, text: &str, ms: Option<i64>, dates_only: bool, offset: u64) -> Cell {
        if dates_only && !*self.holds_dates.get_or_insert(ms.is_some()) {
            // A date among numbers is a text among numbers.
            return Cell::Value;
        }
        if ms.is_some()
            && let Some(has_zone) = number::has_zone(text)
        {
            self.zones[usize::from(!has_zone)] += 1;
        }
        ms.map_or_else(
            || {
                self.bad.get_or_insert_with(|| (offset, text.to_owned(), 0)).2 += 1;
                Cell::Lost
            },
            Cell::At,
        )
    }

    /// Reports what was met.
    pub(crate) fn tell(&self, path: &Path, context: &mut Context<'_>) {
        if let Some((offset, time, count)) = &self.bad {
            let what = if self.holds_dates.is_some() { "a date as the column's first one is" } else { "a time" };
            let reason = format!("{time:?} is not {what}; points kept without one, in rows: {count}");
            context.leave_out_at(path, Some(*offset), Kind::Cell, *count, reason);
        }
        let [with, without] = self.zones;
        if with > 0 && without > 0 {
            let note = format!("times with a zone: {with}, without: {without}; those without are taken as UTC");
            context.note(path, note);
        }
    }
}
