//! The footer of a row group: its series, the locations of their pages, and statistics.

use crate::base::bytes::Malformed;
use crate::base::ids::WriterId;
use crate::base::stats::{Extreme, SeriesStats, StatPoint};
use crate::base::texts::Texts;
use crate::codec::{CodecId, Effort, Scratch};
use crate::segment::layout::{
    ColumnReader, ColumnWriter, ENTRIES_MAX, POOLED_BELOW, TIMESTAMPS_ALL, TIMESTAMPS_NONE, TIMESTAMPS_SOME,
};
use crate::segment::pyramid::{bucket_pages, pages};

/// The location and checksum of a page. Offsets are from the row group's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its codec; run pages and pyramid pages have their own inner format.
    pub codec: CodecId,
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub len: u32,
    /// CRC-32 of its bytes.
    pub crc: u32,
}

/// A sequence of (step, timestamp) that one or more series share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The number of points.
    pub count: usize,
    /// Which points have timestamps: one of the `TIMESTAMPS_` constants.
    pub timestamps: i64,
    /// First page of a long axis; first point in the pool of a short one.
    pub base: usize,
}

impl Axis {
    /// Whether the axis is in the pool.
    #[must_use]
    pub fn pooled(&self) -> bool {
        self.count < POOLED_BELOW
    }

    /// Pages per page-full of points: steps, timestamps, validity.
    #[must_use]
    pub fn stride(&self) -> usize {
        match self.timestamps {
            TIMESTAMPS_NONE => 1,
            TIMESTAMPS_ALL => 2,
            _ => 3,
        }
    }
}

/// One metric of one run by one writer in this row group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Series {
    /// The run's number in the row group.
    pub run: u32,
    /// The key's number in the row group.
    pub key: u32,
    /// The writer's number in the row group.
    pub writer: u32,
    /// The axis' number in the row group.
    pub axis: u32,
    /// First page of a long series; first value in the pool of a short one.
    pub base: usize,
}

/// All of a footer, decoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Footer {
    /// In a log: the writer's sequence number of the first point. In a pack: 0.
    pub first_sequence: u64,
    /// The number of points of all series.
    pub points: u64,
    /// Distinct keys, sorted by bytes.
    pub keys: Texts,
    /// Writers.
    pub writers: Vec<WriterId>,
    /// Bytes of each run's record in a pack; empty in a log.
    pub run_lens: Vec<u32>,
    /// The number of runs: in a log those named so far.
    pub runs: usize,
    /// Axes, long and short.
    pub axes: Vec<Axis>,
    /// Series: long ones in order of their pages, then short ones by key, run, writer.
    pub series: Vec<Series>,
    /// Statistics of long series; those of short ones are computed from their points.
    pub stats: Vec<SeriesStats>,
    /// Pages in order of offset.
    pub pages: Vec<Page>,
    /// First page of the pool; the pool's pages and the run pages end the row group.
    pub pool_base: usize,
    /// Whether pyramids of long series have a level below that of pages; stored in the trailer's magic.
    pub fine: bool,
}

/// The sizes of the pool, derived from the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Points of short axes.
    pub axis_points: usize,
    /// Values of short series.
    pub values: usize,
    /// Whether there are pages of timestamps.
    pub has_timestamps: bool,
    /// Whether there are pages of validity.
    pub has_validity: bool,
}

impl Pool {
    /// First pages of steps, timestamps, validity and values, and one past the last page, relative to the pool's base.
    #[must_use]
    pub fn bounds(&self) -> [usize; 5] {
        let axis = pages(self.axis_points);
        let timestamps = axis;
        let validity = timestamps + if self.has_timestamps { axis } else { 0 };
        let values = validity + if self.has_validity { axis } else { 0 };
        [0, timestamps, validity, values, values + pages(self.values)]
    }
}

impl Footer {
    /// The key of one of the series.
    #[must_use]
    pub fn key_of(&self, series: &Series) -> &str {
        self.keys.get(series.key as usize)
    }

    /// The series with pages of their own.
    pub fn long_series(&self) -> impl Iterator<Item = &Series> {
        self.series.iter().take(self.stats.len())
    }

    /// Approximate memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of_val(&self.pages[..])
            + size_of_val(&self.series[..])
            + size_of_val(&self.stats[..])
            + size_of_val(&self.axes[..])
            + size_of_val(&self.run_lens[..])
            + self.keys.concatenated().len()
            + size_of::<Self>()
    }

    /// The pool's sizes.
    #[must_use]
    pub fn pool(&self) -> Pool {
        let short = || self.axes.iter().filter(|axis| axis.pooled());
        let short_series = self.series.iter().filter(|series| self.axes[series.axis as usize].pooled());
        Pool {
            axis_points: short().map(|axis| axis.count).sum(),
            values: short_series.map(|series| self.axes[series.axis as usize].count).sum(),
            has_timestamps: short().any(|axis| axis.timestamps != TIMESTAMPS_NONE),
            has_validity: short().any(|axis| axis.timestamps == TIMESTAMPS_SOME),
        }
    }

    /// Appends the footer's bytes.
    pub fn encode(&self, effort: Effort, scratch: &mut Scratch, out: &mut Vec<u8>) {
        let mut columns = ColumnWriter::new(out, effort, scratch);
        let ints = |values: &mut dyn Iterator<Item = i64>| values.collect::<Vec<i64>>();
        columns.number(self.first_sequence);
        columns.number(self.points);
        columns.number(self.keys.len() as u64);
        columns.ints(&ints(&mut self.keys.iter().map(|key| key.len() as i64)));
        columns.bytes(self.keys.concatenated().as_bytes());
        columns.number(self.writers.len() as u64);
        let writers: Vec<u8> = self.writers.iter().flat_map(|writer| writer.0.to_le_bytes()).collect();
        columns.bytes(&writers);
        columns.number(self.runs as u64);
        columns.number(self.run_lens.len() as u64);
        columns.ints(&ints(&mut self.run_lens.iter().map(|&len| i64::from(len))));

        columns.number(self.axes.len() as u64);
        columns.ints(&ints(&mut self.axes.iter().map(|axis| axis.count as i64)));
        columns.ints(&ints(&mut self.axes.iter().map(|axis| axis.timestamps)));
        columns.ints(&ints(&mut self.axes.iter().filter(|axis| !axis.pooled()).map(|axis| axis.base as i64)));

        columns.number(self.series.len() as u64);
        columns.ints(&ints(&mut self.series.iter().map(|series| i64::from(series.run))));
        columns.ints(&ints(&mut self.series.iter().map(|series| i64::from(series.key))));
        columns.ints(&ints(&mut self.series.iter().map(|series| i64::from(series.writer))));
        columns.ints(&ints(&mut self.series.iter().map(|series| i64::from(series.axis))));
        columns.ints(&ints(&mut self.long_series().map(|series| series.base as i64)));
        encode_stats(&self.stats, &mut columns);

        columns.number(self.pages.len() as u64);
        columns.ints(&ints(&mut self.pages.iter().map(|page| i64::from(page.codec.0))));
        columns.ints(&ints(&mut self.pages.iter().map(|page| i64::from(page.len))));
        columns.ints(&ints(&mut self.pages.iter().map(|page| i64::from(page.crc))));
        columns.number(self.pool_base as u64);
    }

    /// Decodes the footer of a row group with `pages_len` bytes of pages; `fine` is from the trailer's magic. Checks
    /// that every index is in range.
    ///
    /// # Errors
    /// [`Malformed`] naming what is wrong.
    pub fn decode(bytes: &[u8], pages_len: u64, fine: bool) -> Result<Self, Malformed> {
        match Self::decode_with_len(bytes, fine)? {
            (footer, len) if len == pages_len => Ok(footer),
            _ => Err(Malformed("pages that do not fill the row group")),
        }
    }

    /// The same for a row group of unknown length. Also returns the length of its pages.
    ///
    /// # Errors
    /// [`Malformed`] naming what is wrong.
    pub fn decode_with_len(bytes: &[u8], fine: bool) -> Result<(Self, u64), Malformed> {
        let mut columns = ColumnReader::new(bytes);
        let (first_sequence, points) = (columns.number()?, columns.number()?);
        let keys = decode_keys(&mut columns)?;
        let writer_count = columns.count()?;
        let writers = columns.bytes(ENTRIES_MAX * 16)?;
        let writers: Vec<WriterId> =
            writers.as_chunks::<16>().0.iter().map(|&bytes| WriterId(u128::from_le_bytes(bytes))).collect();
        if writers.len() != writer_count {
            return Err(Malformed("the count of writers"));
        }
        let runs = columns.count()?;
        let run_count = columns.count()?;
        let run_lens = columns.indexes(run_count, u32::MAX as usize)?;
        let axes = decode_axes(&mut columns)?;
        let (series, stats) = decode_series(&mut columns, &axes, [runs, keys.len(), writers.len()])?;
        let (pages, pages_len) = decode_pages(&mut columns)?;
        let pool_base = columns.count()?;
        columns.end()?;
        let footer =
            Self { first_sequence, points, keys, writers, run_lens, runs, axes, series, stats, pages, pool_base, fine };
        footer.check()?;
        Ok((footer, pages_len))
    }

    /// Checks the columns against each other, so that reading needs no more checks.
    fn check(&self) -> Result<(), Malformed> {
        if !self.run_lens.is_empty() && self.run_lens.len() != self.runs {
            return Err(Malformed("the count of run records"));
        }
        let mut points = 0_u64;
        for series in &self.series {
            let axis = self.axes[series.axis as usize];
            points = points.checked_add(axis.count as u64).ok_or(Malformed("the count of points"))?;
            let long_end = || series.base.checked_add(pages(axis.count) + bucket_pages(axis.count, self.fine));
            if !axis.pooled() && long_end().is_none_or(|end| end > self.pool_base) {
                return Err(Malformed("a series beyond the pages"));
            }
        }
        for (series, stats) in self.series.iter().zip(&self.stats) {
            let axis = self.axes[series.axis as usize];
            if axis.pooled() || stats.count != axis.count as u64 {
                return Err(Malformed("a series whose axis has another length"));
            }
        }
        if points != self.points {
            return Err(Malformed("the count of points"));
        }
        for axis in self.axes.iter().filter(|axis| !axis.pooled()) {
            let end = axis.base.checked_add(pages(axis.count) * axis.stride());
            if end.is_none_or(|end| end > self.pool_base) {
                return Err(Malformed("an axis beyond the pages"));
            }
        }
        let pool_end = self.pool_base.checked_add(self.pool().bounds()[4]);
        if pool_end.is_none_or(|end| end > self.pages.len()) {
            return Err(Malformed("a pool beyond the pages"));
        }
        Ok(())
    }
}

fn decode_keys(columns: &mut ColumnReader<'_>) -> Result<Texts, Malformed> {
    let count = columns.count()?;
    let lens = columns.indexes(count, ENTRIES_MAX)?;
    let bytes = columns.bytes(ENTRIES_MAX * 64)?;
    let keys = Texts::from_lengths(bytes, lens)?;
    if keys.iter().is_sorted_by(|a, b| a < b) { Ok(keys) } else { Err(Malformed("keys out of order")) }
}

fn decode_axes(columns: &mut ColumnReader<'_>) -> Result<Vec<Axis>, Malformed> {
    let count = columns.count()?;
    let counts = columns.ints(count)?;
    let kinds = columns.indexes(count, TIMESTAMPS_SOME as usize + 1)?;
    let long = counts.iter().filter(|&&count| count >= POOLED_BELOW as i64).count();
    let mut bases = columns.indexes(long, ENTRIES_MAX)?.into_iter();
    let mut axes = Vec::with_capacity(count);
    let mut pooled = 0;
    for (count, kind) in counts.into_iter().zip(kinds) {
        let count = usize::try_from(count).ok().filter(|&count| count > 0 && count <= 1 << 40);
        let mut axis =
            Axis { count: count.ok_or(Malformed("the length of an axis"))?, timestamps: kind.into(), base: 0 };
        if axis.pooled() {
            axis.base = pooled;
            pooled += axis.count;
        } else {
            axis.base = bases.next().ok_or(Malformed("the pages of an axis"))? as usize;
        }
        axes.push(axis);
    }
    Ok(axes)
}

fn decode_series(
    columns: &mut ColumnReader<'_>,
    axes: &[Axis],
    limits: [usize; 3],
) -> Result<(Vec<Series>, Vec<SeriesStats>), Malformed> {
    let count = columns.count()?;
    let runs = columns.indexes(count, limits[0])?;
    let keys = columns.indexes(count, limits[1])?;
    let writers = columns.indexes(count, limits[2])?;
    let axis_indexes = columns.indexes(count, axes.len())?;
    let long = axis_indexes.iter().filter(|&&axis| !axes[axis as usize].pooled()).count();
    let mut bases = columns.indexes(long, ENTRIES_MAX)?.into_iter();
    let stats = decode_stats(columns, long)?;
    let mut pooled = 0;
    let mut series = Vec::with_capacity(count);
    for index in 0..count {
        let axis = axis_indexes[index];
        let mut entry = Series { run: runs[index], key: keys[index], writer: writers[index], axis, base: 0 };
        if axes[axis as usize].pooled() {
            entry.base = pooled;
            pooled += axes[axis as usize].count;
        } else {
            entry.base = bases.next().ok_or(Malformed("the pages of a series"))? as usize;
        }
        series.push(entry);
    }
    Ok((series, stats))
}

/// The pages, and the length of all of them.
fn decode_pages(columns: &mut ColumnReader<'_>) -> Result<(Vec<Page>, u64), Malformed> {
    let count = columns.count()?;
    let codecs = columns.indexes(count, 256)?;
    let lens = columns.ints(count)?;
    let crcs = columns.ints(count)?;
    let mut offset = 0_u64;
    let mut pages = Vec::with_capacity(count);
    for index in 0..count {
        let len = u32::try_from(lens[index]).map_err(|_| Malformed("the length of a page"))?;
        let crc = u32::try_from(crcs[index]).map_err(|_| Malformed("the checksum of a page"))?;
        pages.push(Page { codec: CodecId(codecs[index] as u8), offset, len, crc });
        offset += u64::from(len);
    }
    Ok((pages, offset))
}

fn encode_stats(stats: &[SeriesStats], columns: &mut ColumnWriter<'_>) {
    let mut ints = |f: &dyn Fn(&SeriesStats) -> i64| columns.ints(&stats.iter().map(f).collect::<Vec<i64>>());
    ints(&|stats| stats.count as i64);
    ints(&|stats| stats.nan_count as i64);
    ints(&|stats| stats.inf_count as i64);
    ints(&|stats| stats.first.step);
    ints(&|stats| stats.latest.step);
    ints(&|stats| i64::from(stats.first.timestamp_ms.is_some()) + 2 * i64::from(stats.latest.timestamp_ms.is_some()));
    ints(&|stats| stats.first.timestamp_ms.unwrap_or(0));
    ints(&|stats| stats.latest.timestamp_ms.unwrap_or(0));
    ints(&|stats| i64::from(stats.min.is_some()));
    ints(&|stats| stats.min.map_or(0, |min| min.step));
    ints(&|stats| stats.max.map_or(0, |max| max.step));
    let mut floats = |f: &dyn Fn(&SeriesStats) -> f64| columns.floats(&stats.iter().map(f).collect::<Vec<f64>>());
    floats(&|stats| stats.first.value);
    floats(&|stats| stats.latest.value);
    floats(&|stats| stats.min.map_or(0.0, |min| min.value));
    floats(&|stats| stats.max.map_or(0.0, |max| max.value));
    floats(&|stats| stats.sum);
}

fn decode_stats(columns: &mut ColumnReader<'_>, count: usize) -> Result<Vec<SeriesStats>, Malformed> {
    let mut ints: [Vec<i64>; 11] = Default::default();
    for column in &mut ints {
        *column = columns.ints(count)?;
    }
    let mut floats: [Vec<f64>; 5] = Default::default();
    for column in &mut floats {
        *column = columns.floats(count)?;
    }
    let [counts, nans, infs, first_steps, latest_steps, present, first_ms, latest_ms, extremes, min_steps, max_steps] =
        ints;
    let [firsts, latests, mins, maxs, sums] = floats;
    let stats = |index: usize| SeriesStats {
        count: counts[index] as u64,
        nan_count: nans[index] as u64,
        inf_count: infs[index] as u64,
        first: StatPoint {
            step: first_steps[index],
            timestamp_ms: (present[index] & 1 != 0).then_some(first_ms[index]),
            value: firsts[index],
        },
        latest: StatPoint {
            step: latest_steps[index],
            timestamp_ms: (present[index] & 2 != 0).then_some(latest_ms[index]),
            value: latests[index],
        },
        min: (extremes[index] != 0).then_some(Extreme { value: mins[index], step: min_steps[index] }),
        max: (extremes[index] != 0).then_some(Extreme { value: maxs[index], step: max_steps[index] }),
        sum: sums[index],
    };
    let valid =
        |stats: &SeriesStats| stats.nan_count.checked_add(stats.inf_count).is_some_and(|odd| odd <= stats.count);
    let stats: Vec<SeriesStats> = (0..count).map(stats).collect();
    if stats.iter().all(valid) { Ok(stats) } else { Err(Malformed("the statistics of a series")) }
}
