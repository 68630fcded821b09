//! Packs runs: the parts of each series become one, encoded with the strongest codecs.

use std::hash::Hasher;

use rustc_hash::{FxHashMap, FxHasher};

use crate::base::control::{self, CONTROL_BYTES_MAX};
use crate::base::ids::RunKey;
use crate::base::point::{Columns, Timestamps};
use crate::base::summary::RunSummary;
use crate::codec::Hint;
use crate::error::{Error, Result};
use crate::run::axes::{AxisTable, hash_axis, same_axis};
use crate::run::log_view::SeriesPart;
use crate::run::snapshot::{RunSnapshot, part_len, read_part};
use crate::segment::layout::{PAGE_POINTS, POOLED_BELOW, TIMESTAMPS_ALL, TIMESTAMPS_NONE, TIMESTAMPS_SOME};
use crate::segment::pack::PackWriter;
use crate::segment::writer::{PageSink, RowGroupWriter, SeriesName, timestamps_kind};

/// A row group is full at this many bytes of pages,
const ROW_GROUP_BYTES: u64 = 4 << 20;
/// or this many pooled values,
const ROW_GROUP_POOLED: usize = 64 << 10;
/// or this many runs.
const ROW_GROUP_RUNS: usize = 1024;
/// Longer series are copied in pieces of this many points, to bound memory.
const POINTS_AT_ONCE: usize = 256 * PAGE_POINTS;

/// What was packed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed {
    /// Runs.
    pub runs: u64,
    /// Series, by key and writer.
    pub series: u64,
    /// Points.
    pub points: u64,
    /// The runs' rows for lists, in order. `None` if they must be read from the pack: statistics of long series are
    /// made while writing.
    pub rows: Option<Vec<RunSummary>>,
}

/// Writes runs into a pack in the given order.
///
/// # Errors
/// Errors of reading the runs or writing the pack, which is then useless.
pub fn pack_runs(pack: &mut PackWriter, runs: &mut dyn Iterator<Item = Result<RunSnapshot>>) -> Result<Packed> {
    let mut packed = Packed { rows: Some(Vec::new()), ..Packed::default() };
    let mut runs = runs.peekable();
    while runs.peek().is_some() {
        pack.group(|group| {
            let mut keys: Vec<RunKey> = Vec::new();
            for run in runs.by_ref() {
                let run = run?;
                keys.push(run.id().key());
                add_run(group, &run, &mut packed)?;
                match &mut packed.rows {
                    Some(rows) if is_short(&run) => rows.push(run.summary()?),
                    rows => *rows = None,
                }
                let (pooled, count) = group.pooled();
                if group.bytes() >= ROW_GROUP_BYTES || pooled >= ROW_GROUP_POOLED || count >= ROW_GROUP_RUNS {
                    break;
                }
            }
            Ok(keys)
        })?;
    }
    Ok(packed)
}

/// Whether every series is short and in one part, so its statistics equal those in the pack.
fn is_short(run: &RunSnapshot) -> bool {
    run.series().values().all(|series| matches!(&series.parts[..], [part] if part_len(part) < POOLED_BELOW))
}

fn add_run<S: PageSink>(group: &mut RowGroupWriter<S>, run: &RunSnapshot, packed: &mut Packed) -> Result<()> {
    let mut record = Vec::new();
    control::encode(run.state(), &mut record);
    if record.len() > CONTROL_BYTES_MAX {
        let why = format!("its params and tags take {} bytes, the limit is {CONTROL_BYTES_MAX}", record.len());
        return Err(Error::invalid("run", why));
    }
    let number = group.run(&record);
    packed.runs += 1;
    let mut axes = Axes::default();
    for (key, series) in run.series() {
        let key = group.key(key)?;
        let mut start = 0;
        while start < series.parts.len() {
            // Consecutive parts of one writer become one series.
            let of = series.writers[start];
            let end = start + series.writers[start..].iter().take_while(|&&writer| writer == of).count();
            let parts = &series.parts[start..end];
            let name = |group: &mut RowGroupWriter<S>, axis: u32| SeriesName {
                run: number,
                key,
                writer: group.writer(of),
                axis,
            };
            let count: usize = parts.iter().map(part_len).sum();
            if count <= POINTS_AT_ONCE {
                let columns = read_parts(parts, 0..count)?;
                let axis = axes.whole(group, &columns)?;
                let name = name(group, axis);
                group.series(name, &columns.steps, columns.timestamps.view(), &columns.values)?;
            } else {
                let axis = axes.in_pieces(group, parts, count)?;
                let name = name(group, axis);
                group.begin_series(name, count, Hint::default());
                in_pieces(parts, count, |columns, range| {
                    let timestamps = columns.timestamps.view().slice(range.clone());
                    group.series_page(&columns.steps[range.clone()], timestamps, &columns.values[range])
                })?;
                group.end_series()?;
            }
            packed.series += 1;
            packed.points += count as u64;
            start = end;
        }
    }
    Ok(())
}

/// The axes of one run written so far.
#[derive(Default)]
struct Axes {
    table: AxisTable,
    /// Contents of the axes in `table`, by their numbers there; the last one may be a candidate.
    contents: Vec<(Vec<i64>, Timestamps)>,
    /// Axes too long to keep in memory, by the identity of their source.
    by_origin: FxHashMap<u64, u32>,
}

impl Axes {
    fn whole<S: PageSink>(&mut self, group: &mut RowGroupWriter<S>, columns: &Columns) -> Result<u32> {
        let (steps, timestamps) = (&columns.steps, columns.timestamps.view());
        let candidate = self.contents.len();
        let axis = |index: usize| match self.contents.get(index) {
            Some((steps, timestamps)) => (&steps[..], timestamps.view()),
            None => (&steps[..], timestamps),
        };
        match self.table.find(candidate, || hash_axis(steps, timestamps), |a, b| same_axis(axis(a), axis(b))) {
            Ok(axis) => Ok(axis),
            Err(hash) => {
                let axis = group.axis(steps, timestamps)?;
                self.table.insert(hash, candidate, axis);
                self.contents.push((columns.steps.clone(), columns.timestamps.clone()));
                Ok(axis)
            }
        }
    }

    fn in_pieces<S: PageSink>(
        &mut self,
        group: &mut RowGroupWriter<S>,
        parts: &[SeriesPart],
        count: usize,
    ) -> Result<u32> {
        let origin = origin(parts);
        if let Some(&axis) = self.by_origin.get(&origin) {
            return Ok(axis);
        }
        let axis = group.begin_axis(count, kind(parts), Default::default());
        in_pieces(parts, count, |columns, range| {
            let timestamps = columns.timestamps.view().slice(range.clone());
            group.axis_page(axis, &columns.steps[range], timestamps)
        })?;
        self.by_origin.insert(origin, axis);
        Ok(axis)
    }
}

/// Identifies the axes of parts: the same axes of the same row groups, or the same rows.
fn origin(parts: &[SeriesPart]) -> u64 {
    let mut hasher = FxHasher::default();
    for part in parts {
        match part {
            SeriesPart::Sealed(group, index) => {
                hasher.write_u64(group.extent().0);
                hasher.write_usize(std::ptr::from_ref(&**group).addr());
                hasher.write_u32(group.footer().series[*index].axis);
            }
            SeriesPart::Rows(columns) => hasher.write_u64(hash_axis(&columns.steps, columns.timestamps.view())),
        }
        hasher.write_usize(part_len(part));
    }
    hasher.finish()
}

/// The timestamp kind that covers all parts.
fn kind(parts: &[SeriesPart]) -> i64 {
    let mut kinds = parts.iter().map(|part| match part {
        SeriesPart::Sealed(group, index) => group.axis_of(*index).timestamps,
        SeriesPart::Rows(columns) => timestamps_kind(columns.timestamps.view()),
    });
    let first = kinds.next().unwrap_or(TIMESTAMPS_NONE);
    debug_assert!(matches!(first, TIMESTAMPS_NONE | TIMESTAMPS_ALL | TIMESTAMPS_SOME));
    if kinds.all(|kind| kind == first) { first } else { TIMESTAMPS_SOME }
}

/// Reads all points piece by piece and passes on the range of each page.
fn in_pieces(
    parts: &[SeriesPart],
    count: usize,
    mut page: impl FnMut(&Columns, std::ops::Range<usize>) -> Result<()>,
) -> Result<()> {
    for start in (0..count).step_by(POINTS_AT_ONCE) {
        let columns = read_parts(parts, start..count.min(start + POINTS_AT_ONCE))?;
        for at in (0..columns.len()).step_by(PAGE_POINTS) {
            page(&columns, at..columns.len().min(at + PAGE_POINTS))?;
        }
    }
    Ok(())
}

/// Reads points `range`, counted over all parts.
fn read_parts(parts: &[SeriesPart], range: std::ops::Range<usize>) -> Result<Columns> {
    let mut columns = Columns::default();
    let mut start = 0;
    for part in parts {
        let len = part_len(part);
        let within = range.start.saturating_sub(start).min(len)..range.end.saturating_sub(start).min(len);
        if !within.is_empty() {
            read_part(part, within, &mut columns)?;
        }
        start += len;
    }
    Ok(columns)
}
