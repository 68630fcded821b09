//! Seals a head: points of many series in order of arrival become a group of columns.
//!
//! 1. Count the points of each series and gather them into columns, one series after the other (a counting sort).
//! 2. Series with the same steps and timestamps share one axis: training loops log all keys at one step.
//! 3. Write axes and series; the writer pools the short ones.

use std::cell::Cell;
use std::hash::Hasher;

use rustc_hash::{FxHashMap, FxHasher};

use crate::base::ids::WriterId;
use crate::base::point::TimestampsRef;
use crate::codec::Effort;
use crate::error::Result;
use crate::log::slot::Slot;
use crate::segment::writer::{GroupWriter, SeriesName};

/// A series as a log names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey {
    /// The run's number in the log.
    pub run: u32,
    /// The metric's key.
    pub key: String,
}

/// Columns of a series given whole, to be sealed behind the slots.
#[derive(Clone, Copy, Debug)]
pub struct GivenColumns<'a> {
    /// The series' number in the log.
    pub series: u32,
    /// Steps.
    pub steps: &'a [i64],
    /// Timestamps.
    pub timestamps: TimestampsRef<'a>,
    /// Values.
    pub values: &'a [f64],
}

/// Points of all series, gathered by series.
#[derive(Debug, Default)]
struct Gathered {
    /// Where each series begins, and the end.
    starts: Vec<usize>,
    steps: Vec<i64>,
    timestamps: Vec<i64>,
    /// Empty when every point has a timestamp.
    absent: Vec<bool>,
    values: Vec<f64>,
}

/// Buffers of up to so many points are kept by their thread: fresh memory costs more than filling it.
const KEPT_POINTS: usize = 160 << 10;

thread_local! {
    static KEPT: Cell<Gathered> = Cell::default();
}

impl Gathered {
    /// Gathers the slots, and the given columns behind them.
    fn fill(&mut self, slots: [&[Slot]; 2], series_count: usize, given: Option<GivenColumns<'_>>) {
        let total = slots.iter().map(|part| part.len()).sum::<usize>() + given.map_or(0, |given| given.values.len());
        self.starts.clear();
        self.starts.resize(series_count + 1, 0);
        let (starts, mut all_timed) = (&mut self.starts[..], true);
        for slot in slots.into_iter().flatten() {
            starts[slot.series() as usize + 1] += 1;
            all_timed &= slot.timestamp_ms().is_some();
        }
        if let Some(given) = given {
            starts[given.series as usize + 1] += given.values.len();
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let mut next = starts.to_vec();
        // What is there is overwritten.
        self.steps.resize(total, 0);
        self.timestamps.resize(total, 0);
        self.values.resize(total, 0.0);
        let (steps, timestamps, values) = (&mut self.steps[..], &mut self.timestamps[..], &mut self.values[..]);
        for slot in slots.into_iter().flatten() {
            let at = &mut next[slot.series() as usize];
            steps[*at] = slot.0[1] as i64;
            timestamps[*at] = slot.0[2] as i64;
            values[*at] = f64::from_bits(slot.0[0]);
            *at += 1;
        }
        self.absent.clear();
        if !all_timed {
            self.absent.resize(total, false);
            next.copy_from_slice(&self.starts);
            for slot in slots.into_iter().flatten() {
                let at = &mut next[slot.series() as usize];
                self.absent[*at] = slot.timestamp_ms().is_none();
                *at += 1;
            }
        }
        if let Some(given) = given {
            let range = next[given.series as usize]..next[given.series as usize] + given.values.len();
            self.steps[range.clone()].copy_from_slice(given.steps);
            self.timestamps[range.clone()].copy_from_slice(given.timestamps.ms);
            self.values[range.clone()].copy_from_slice(given.values);
            if !given.timestamps.absent.is_empty() {
                self.absent.resize(total, false);
                self.absent[range].copy_from_slice(given.timestamps.absent);
            }
        }
    }

    fn series(&self, index: usize) -> (&[i64], TimestampsRef<'_>, &[f64]) {
        let range = self.starts[index]..self.starts[index + 1];
        let all = TimestampsRef { ms: &self.timestamps, absent: &self.absent };
        (&self.steps[range.clone()], all.slice(range.clone()), &self.values[range])
    }
}

/// Finds axes that were written before.
#[derive(Debug, Default)]
pub struct AxisTable {
    by_hash: FxHashMap<u64, Vec<(usize, u32)>>,
    last: Option<(usize, u32)>,
}

impl AxisTable {
    /// The number of an axis with the same contents as that of series `index`, by `same`, which compares two series.
    pub fn find(
        &mut self,
        index: usize,
        hash: impl FnOnce() -> u64,
        same: impl Fn(usize, usize) -> bool,
    ) -> Result<u32, u64> {
        if let Some((last, axis)) = self.last
            && same(last, index)
        {
            return Ok(axis);
        }
        let hash = hash();
        let known = self.by_hash.get(&hash).and_then(|known| known.iter().find(|(other, _)| same(*other, index)));
        match known {
            Some(&(other, axis)) => {
                self.last = Some((other, axis));
                Ok(axis)
            }
            None => Err(hash),
        }
    }

    /// Notes that series `index` brought a new axis.
    pub fn insert(&mut self, hash: u64, index: usize, axis: u32) {
        self.by_hash.entry(hash).or_default().push((index, axis));
        self.last = Some((index, axis));
    }
}

/// A hash of an axis' contents.
#[must_use]
pub fn hash_axis(steps: &[i64], timestamps: TimestampsRef<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    steps
        .iter()
        .zip(timestamps.ms)
        .for_each(|(&step, &ms)| hasher.write_u64((step as u64).rotate_left(32) ^ ms as u64));
    hasher.finish()
}

/// Whether two axes have the same points.
#[must_use]
pub fn same_axis(a: (&[i64], TimestampsRef<'_>), b: (&[i64], TimestampsRef<'_>)) -> bool {
    let absent = |timestamps: TimestampsRef<'_>, index: usize| timestamps.absent.get(index).copied().unwrap_or(false);
    a.0 == b.0
        && a.1.ms == b.1.ms
        && (a.1.absent.is_empty() && b.1.absent.is_empty()
            || (0..a.0.len()).all(|index| absent(a.1, index) == absent(b.1, index)))
}

/// Appends the group of all these points to `out`: the slots in order, then `extra`. `sequence` is that of the first.
///
/// # Errors
/// Only when the footer exceeds 4 GiB.
pub fn seal(
    slots: [&[Slot]; 2],
    extra: Option<GivenColumns<'_>>,
    series: &[SeriesKey],
    runs: usize,
    writer: WriterId,
    sequence: u64,
    out: Vec<u8>,
) -> Result<Vec<u8>> {
    // Columns of a series that has no slots are sealed from where they are.
    let apart = extra.filter(|extra| slots.iter().copied().flatten().all(|slot| slot.series() != extra.series));
    let mut gathered = KEPT.take();
    gathered.fill(slots, series.len(), if apart.is_some() { None } else { extra });
    let columns = |index: usize| match apart {
        Some(GivenColumns { series, steps, timestamps, values }) if series as usize == index => {
            (steps, timestamps, values)
        }
        _ => gathered.series(index),
    };
    let mut group = GroupWriter::new(out, Effort::Fast);
    (0..runs).for_each(|_| _ = group.named_run());
    let writer = group.writer(writer);
    let mut axes = AxisTable::default();
    for (index, SeriesKey { run, key }) in series.iter().enumerate() {
        let (steps, timestamps, values) = columns(index);
        if values.is_empty() {
            continue;
        }
        let axis = |index: usize| {
            let (steps, timestamps, _) = columns(index);
            (steps, timestamps)
        };
        let found = axes.find(index, || hash_axis(steps, timestamps), |a, b| same_axis(axis(a), axis(b)));
        let axis = match found {
            Ok(axis) => axis,
            Err(hash) => {
                let axis = group.axis(steps, timestamps)?;
                axes.insert(hash, index, axis);
                axis
            }
        };
        let name = SeriesName { run: *run, key: group.key(key), writer, axis };
        group.series(name, steps, timestamps, values)?;
    }
    let (payload, _) = group.finish(sequence)?;
    if gathered.values.capacity() <= KEPT_POINTS {
        KEPT.set(gathered);
    }
    Ok(payload)
}
