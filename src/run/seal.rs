//! Seals points: turns points of many series in order of arrival into a row group of columns.
//!
//! 1. Count the points of each series and sort them by series (a counting sort).
//! 2. Series with the same steps and timestamps share one axis: training loops log all keys at one step.
//! 3. Write axes and series page by page; the writer pools the short ones.
//!
//! The work is done in small steps, so that no logging call waits for all of it.

use rustc_hash::FxHashMap;

use crate::base::ids::WriterId;
use crate::base::names::Names;
use crate::base::point::TimestampsRef;
use crate::codec::{Effort, Hint};
use crate::error::Result;
use crate::log::slot::Slot;
use crate::run::axes::{AxisTable, hash_axis, same_axis};
use crate::run::columns::SortedPoints;
use crate::segment::layout::{PAGE_POINTS, POOLED_BELOW};
use crate::segment::writer::{RowGroupWriter, SeriesName, timestamps_kind};

/// Whole columns of one series, to be sealed after the slots.
#[derive(Clone, Copy, Debug)]
pub struct SeriesColumns<'a> {
    /// The series' number in the log.
    pub series: u32,
    /// Steps.
    pub steps: &'a [i64],
    /// Timestamps.
    pub timestamps: TimestampsRef<'a>,
    /// Values.
    pub values: &'a [f64],
}

/// The points to seal; the same at each step.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Points in order: first those already in rows, then those of the tail.
    pub slots: [&'a [Slot]; 2],
    /// Columns that follow them.
    pub columns: Option<SeriesColumns<'a>>,
    /// The log's series; some may be newer than this sealing.
    pub series: &'a Names<u32>,
}

/// How a writer's columns were last encoded, as hints for its next row groups.
#[derive(Debug, Default)]
pub struct Hints {
    values: FxHashMap<u32, Hint>,
    /// For steps and timestamps, by the first series of the axis.
    axes: FxHashMap<u32, [Hint; 2]>,
}

/// A row group being built.
#[derive(Debug)]
pub struct Sealing {
    sorted: SortedPoints,
    group: RowGroupWriter<Vec<u8>>,
    writer: u32,
    axes: AxisTable,
    /// The sequence number of the first point.
    sequence: u64,
    /// Whether the given columns are the only points of their series and are sealed without copying.
    direct: bool,
    stage: Stage,
}

/// The next step.
#[derive(Debug)]
enum Stage {
    /// Count points from this index.
    Count(usize),
    /// Copy points from this index into their columns.
    Place(usize),
    /// Write the page of this series' new axis that begins with this point.
    Axis(usize, u32, usize),
    /// Write the page of this series' values that begins with this point.
    Values(usize, usize),
    /// Begin this series.
    Series(usize),
    /// Write pools and footer.
    Last,
    /// Done: the bytes of the row group.
    Done(Vec<u8>),
}

/// Bytes reserved per point; more are allocated if needed.
const SEALED_BYTES: usize = 6;
/// Slots counted, or copied into columns, in one step.
const SLOTS_AT_ONCE: usize = 2 << 10;

impl Sealing {
    /// Starts a row group of a head's points. `sequence` is the number of the first one; `runs` is the log's number of
    /// runs.
    #[must_use]
    pub fn new(head: Head<'_>, runs: usize, writer: WriterId, sequence: u64) -> Self {
        let direct =
            |columns: SeriesColumns<'_>| head.slots.into_iter().flatten().all(|slot| slot.series() != columns.series);
        let points = head.slots.map(<[Slot]>::len).iter().sum::<usize>()
            + head.columns.map_or(0, |columns| columns.values.len());
        let mut group = RowGroupWriter::new(Vec::with_capacity(64 + points * SEALED_BYTES), Effort::Fast);
        (0..runs).for_each(|_| _ = group.named_run());
        let writer = group.writer(writer);
        Self {
            sorted: SortedPoints::new(head.series.len()),
            group,
            writer,
            axes: AxisTable::default(),
            sequence,
            direct: head.columns.is_some_and(direct),
            stage: Stage::Count(0),
        }
    }

    /// The row group, once it is done.
    #[must_use]
    pub fn group(&self) -> Option<&[u8]> {
        if let Stage::Done(bytes) = &self.stage { Some(bytes) } else { None }
    }

    /// Does the next piece of work, about a page, and returns its size in points.
    ///
    /// # Errors
    /// If a page or the footer exceeds 4 GiB: start again with fewer points.
    pub fn step(&mut self, head: Head<'_>, hints: &mut Hints) -> Result<usize> {
        let points: usize = head.slots.iter().map(|part| part.len()).sum();
        match self.stage {
            Stage::Count(from) => {
                let end = points.min(from + SLOTS_AT_ONCE);
                self.sorted.count(slots(head.slots, from, end));
                self.stage = Stage::Count(end);
                if end == points {
                    self.sorted.lay_out(head.columns.filter(|_| !self.direct));
                    self.stage = Stage::Place(0);
                }
                Ok((end - from) / 4)
            }
            Stage::Place(from) => {
                let end = points.min(from + SLOTS_AT_ONCE);
                self.sorted.place(slots(head.slots, from, end));
                self.stage = Stage::Place(end);
                if end == points {
                    head.columns.filter(|_| !self.direct).inspect(|&columns| self.sorted.place_columns(columns));
                    self.stage = Stage::Series(0);
                }
                Ok((end - from) / 2)
            }
            Stage::Series(series) => self.begin(series, head, hints),
            Stage::Axis(series, axis, from) => {
                let (steps, timestamps, values) = self.sorted.of(series, head.columns.filter(|_| self.direct));
                let end = values.len().min(from + PAGE_POINTS);
                self.group.axis_page(axis, &steps[from..end], timestamps.slice(from..end))?;
                self.stage = Stage::Axis(series, axis, end);
                if end == values.len() {
                    hints.axes.insert(series as u32, self.group.axis_hints());
                    self.open(series, axis, values.len(), head, hints)?;
                }
                Ok(end - from)
            }
            Stage::Values(series, from) => {
                let (steps, timestamps, values) = self.sorted.of(series, head.columns.filter(|_| self.direct));
                let end = values.len().min(from + PAGE_POINTS);
                self.group.series_page(&steps[from..end], timestamps.slice(from..end), &values[from..end])?;
                self.stage = Stage::Values(series, end);
                if end == values.len() {
                    let hint = self.group.end_series()?;
                    hints.values.insert(series as u32, hint);
                    self.stage = Stage::Series(series + 1);
                }
                Ok(end - from)
            }
            Stage::Last => {
                std::mem::take(&mut self.sorted).recycle();
                let group = std::mem::replace(&mut self.group, RowGroupWriter::new(Vec::new(), Effort::Fast));
                let (bytes, _) = group.finish(self.sequence)?;
                self.stage = Stage::Done(bytes);
                Ok(2 * PAGE_POINTS)
            }
            Stage::Done(_) => Ok(0),
        }
    }

    /// Starts the next series that has points, at `from` or later: its axis, its values, or its place in the pool.
    fn begin(&mut self, from: usize, head: Head<'_>, hints: &mut Hints) -> Result<usize> {
        let direct = head.columns.filter(|_| self.direct);
        let sorted = &self.sorted;
        let Some(series) = (from..sorted.series()).find(|&series| !sorted.of(series, direct).2.is_empty()) else {
            self.stage = Stage::Last;
            return Ok(0);
        };
        let axis = |index: usize| {
            let (steps, timestamps, _) = sorted.of(index, direct);
            (steps, timestamps)
        };
        let (steps, timestamps, values) = sorted.of(series, direct);
        let same = |a, b| same_axis(axis(a), axis(b));
        let found = self.axes.find(series, || hash_axis(steps, timestamps), same);
        let long = values.len() >= POOLED_BELOW;
        let axis = match found {
            Ok(axis) => axis,
            Err(hash) => {
                let axis = if long {
                    let last = hints.axes.get(&(series as u32)).copied().unwrap_or_default();
                    self.group.begin_axis(values.len(), timestamps_kind(timestamps), last)
                } else {
                    self.group.axis(steps, timestamps)?
                };
                self.axes.insert(hash, series, axis);
                if long {
                    self.stage = Stage::Axis(series, axis, 0);
                    return Ok(values.len() / 8);
                }
                axis
            }
        };
        if long {
            let count = values.len();
            self.open(series, axis, count, head, hints)?;
            return Ok(count / 8);
        }
        let (run, key) = head.series.get(series as u32);
        let name = SeriesName { run, key: self.group.key(key)?, writer: self.writer, axis };
        self.group.short_series(name, values);
        self.stage = Stage::Series(series + 1);
        Ok(values.len())
    }

    /// Starts a long series whose axis is written.
    fn open(&mut self, series: usize, axis: u32, count: usize, head: Head<'_>, hints: &Hints) -> Result<()> {
        let (run, key) = head.series.get(series as u32);
        let name = SeriesName { run, key: self.group.key(key)?, writer: self.writer, axis };
        self.group.begin_series(name, count, hints.values.get(&(series as u32)).copied().unwrap_or_default());
        self.stage = Stage::Values(series, 0);
        Ok(())
    }
}

/// Builds the whole row group of a head. `runs` is the log's number of runs, `sequence` the number of the first point.
///
/// # Errors
/// If a page or the footer exceeds 4 GiB.
pub fn seal(head: Head<'_>, runs: usize, writer: WriterId, sequence: u64, hints: &mut Hints) -> Result<Vec<u8>> {
    let mut sealing = Sealing::new(head, runs, writer, sequence);
    loop {
        if let Stage::Done(bytes) = sealing.stage {
            return Ok(bytes);
        }
        sealing.step(head, hints)?;
    }
}

/// A range of slots over both parts.
fn slots(parts: [&[Slot]; 2], from: usize, end: usize) -> impl Iterator<Item = &Slot> {
    let [first, second] = parts;
    let within = |at: usize| (at.min(first.len()), at.saturating_sub(first.len()));
    let ((a, b), (c, d)) = (within(from), within(end));
    first[a..c].iter().chain(&second[b..d])
}
