//! Sorts points of many series from order of arrival into columns, series by series: an incremental counting sort.

use std::cell::RefCell;

use crate::base::point::TimestampsRef;
use crate::log::slot::Slot;
use crate::run::seal::SeriesColumns;

/// Most points and series for which a thread keeps free buffers: fresh memory costs more than filling it.
const POOLED_MAX: usize = 160 << 10;

thread_local! {
    static FREE: RefCell<Vec<SortedPoints>> = const { RefCell::new(Vec::new()) };
}

/// The points of all series, sorted by series.
#[derive(Debug, Default)]
pub struct SortedPoints {
    /// For each series: the count of its points; after [`Self::lay_out`] the index of its next point, and in the end
    /// one past its last.
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
    /// Starts without points, for this many series.
    #[must_use]
    pub fn new(series: usize) -> Self {
        let mut sorted = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        sorted.ends.clear();
        sorted.ends.resize(series, 0);
        sorted.all_timed = true;
        sorted
    }

    /// Returns the buffers to the thread's pool.
    pub fn recycle(self) {
        FREE.with_borrow_mut(|free| {
            let pooled: usize = free.iter().map(Self::capacity).sum();
            if pooled + self.capacity() <= POOLED_MAX {
                free.push(self);
            }
        });
    }

    /// The number of points and series that fit without allocating.
    fn capacity(&self) -> usize {
        self.values.capacity() + self.ends.capacity()
    }

    /// The number of series.
    #[must_use]
    pub fn series(&self) -> usize {
        self.ends.len()
    }

    /// Counts points. All must be counted before any is placed.
    pub fn count<'a>(&mut self, slots: impl Iterator<Item = &'a Slot>) {
        let counts = &mut self.ends[..];
        for slot in slots {
            counts[slot.series() as usize] += 1;
            self.all_timed &= slot.timestamp_ms().is_some();
        }
    }

    /// Makes room for all counted points and these columns.
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

    /// Appends points to those of their series.
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

    /// Appends columns to the points of their series.
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

    /// The columns of a series once all points are placed. `direct` are the columns of a series without other points,
    /// which were never copied here.
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

/// Sets the length of a column whose contents are overwritten later. The kernel zeroes fresh memory on first touch.
fn resize<T: Clone + Default>(column: &mut Vec<T>, len: usize) {
    if column.capacity() < len {
        *column = vec![T::default(); len];
    } else {
        column.resize(len, T::default());
    }
}
