//! Gathers points of many series from their order of arrival into columns, one series after the other: a counting sort,
//! in pieces.

use std::cell::RefCell;

use crate::base::point::TimestampsRef;
use crate::log::slot::Slot;
use crate::run::seal::SeriesColumns;

/// Buffers of up to so many points and series in all are kept by their thread, also for writers that take turns: fresh
/// memory costs more than filling it.
const POOLED_MAX: usize = 160 << 10;

thread_local! {
    static FREE: RefCell<Vec<SortedPoints>> = const { RefCell::new(Vec::new()) };
}

/// Points of all series, sorted by series.
#[derive(Debug, Default)]
pub struct SortedPoints {
    /// Of each series: how many points it has; from [`Self::lay_out`] on where its next point goes, which is where it
    /// ends when all are placed.
    ends: Vec<u32>,
    /// Whether every point has a timestamp.
    all_timed: bool,
    steps: Vec<i64>,
    timestamps: Vec<i64>,
    /// Empty when every point has a timestamp.
    absent: Vec<bool>,
    values: Vec<f64>,
}

impl SortedPoints {
    /// Begins with no point of so many series.
    #[must_use]
    pub fn new(series: usize) -> Self {
        let mut sorted = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        sorted.ends.clear();
        sorted.ends.resize(series, 0);
        sorted.all_timed = true;
        sorted
    }

    /// Lets the thread keep the buffers for another one.
    pub fn recycle(self) {
        FREE.with_borrow_mut(|free| {
            let pooled: usize = free.iter().map(Self::capacity).sum();
            if pooled + self.capacity() <= POOLED_MAX {
                free.push(self);
            }
        });
    }

    /// For how many points and series there is room.
    fn capacity(&self) -> usize {
        self.values.capacity() + self.ends.capacity()
    }

    /// How many series there are.
    #[must_use]
    pub fn series(&self) -> usize {
        self.ends.len()
    }

    /// Counts points; all of them, before any is placed.
    pub fn count<'a>(&mut self, slots: impl Iterator<Item = &'a Slot>) {
        let counts = &mut self.ends[..];
        for slot in slots {
            counts[slot.series() as usize] += 1;
            self.all_timed &= slot.timestamp_ms().is_some();
        }
    }

    /// All points are counted but these columns: makes room for them.
    pub fn lay_out(&mut self, columns: Option<SeriesColumns<'_>>) {
        if let Some(SeriesColumns { series, timestamps, values, .. }) = columns {
            self.ends[series as usize] += values.len() as u32;
            self.all_timed &= timestamps.absent.is_empty();
        }
        let mut total = 0;
        for end in &mut self.ends {
            total += std::mem::replace(end, total);
        }
        let total = total as usize;
        resize(&mut self.steps, total);
        resize(&mut self.timestamps, total);
        resize(&mut self.values, total);
        self.absent.clear();
        self.absent.resize(if self.all_timed { 0 } else { total }, false);
    }

    /// Puts points behind those of their series that were placed before.
    pub fn place<'a>(&mut self, slots: impl Iterator<Item = &'a Slot>) {
        let (steps, timestamps, values) = (&mut self.steps[..], &mut self.timestamps[..], &mut self.values[..]);
        let (next, absent, all_timed) = (&mut self.ends[..], &mut self.absent[..], self.all_timed);
        for slot in slots {
            let next = &mut next[slot.series() as usize];
            let at = *next as usize;
            steps[at] = slot.0[1] as i64;
            timestamps[at] = slot.0[2] as i64;
            values[at] = f64::from_bits(slot.0[0]);
            if !all_timed {
                absent[at] = slot.timestamp_ms().is_none();
            }
            *next += 1;
        }
    }

    /// Puts these columns behind the points of their series.
    pub fn place_columns(&mut self, SeriesColumns { series, steps, timestamps, values }: SeriesColumns<'_>) {
        let from = self.ends[series as usize] as usize;
        let range = from..from + values.len();
        self.ends[series as usize] = range.end as u32;
        self.steps[range.clone()].copy_from_slice(steps);
        self.timestamps[range.clone()].copy_from_slice(timestamps.ms);
        self.values[range.clone()].copy_from_slice(values);
        if !timestamps.absent.is_empty() {
            self.absent[range].copy_from_slice(timestamps.absent);
        }
    }

    /// The columns of a series, when all points are placed: steps, timestamps and values. `direct` are columns of a
    /// series that has no other points, given rather than sorted.
    #[inline]
    #[must_use]
    pub fn of<'a>(
        &'a self,
        series: usize,
        direct: Option<SeriesColumns<'a>>,
    ) -> (&'a [i64], TimestampsRef<'a>, &'a [f64]) {
        match direct {
            Some(given) if given.series as usize == series => (given.steps, given.timestamps, given.values),
            _ => {
                let start = series.checked_sub(1).map_or(0, |before| self.ends[before]);
                let range = start as usize..self.ends[series] as usize;
                let all = TimestampsRef { ms: &self.timestamps, absent: &self.absent };
                (&self.steps[range.clone()], all.slice(range.clone()), &self.values[range])
            }
        }
    }
}

/// Gives a column this length; what is in it is overwritten later. Fresh memory is left to the kernel to fill with
/// zeros when it is touched.
fn resize<T: Clone + Default>(column: &mut Vec<T>, len: usize) {
    if column.capacity() < len {
        *column = vec![T::default(); len];
    } else {
        column.resize(len, T::default());
    }
}
