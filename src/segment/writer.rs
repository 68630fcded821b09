//! Writes one row group: axes and series as pages, short ones pooled, then the footer.
//!
//! The layout of a row group: the pages of long axes and series in order of writing, each series followed by its
//! pyramid; the pool of short ones; the runs' records; the footer; the trailer.

use crate::base::checksum::crc32;
use crate::base::ids::WriterId;
use crate::base::names::Names;
use crate::base::point::{Point, Timestamps, TimestampsRef};
use crate::base::stats::SeriesStats;
use crate::codec::{self, CodecId, Effort, Hint, Scratch};
use crate::error::{Error, Result};
use crate::segment::footer::{Axis, Footer, Page, Series};
use crate::segment::layout::{
    BUCKETS_PER_PAGE, FAN_OUT, FINE_FROM, FINE_POINTS, PAGE_POINTS, POOLED_BELOW, ROW_GROUP_MAGIC,
    ROW_GROUP_MAGIC_FINE, RUN_PAGE_BYTES, TIMESTAMPS_ALL, TIMESTAMPS_NONE, TIMESTAMPS_SOME,
};
use crate::segment::pyramid::{Bucket, encode_buckets, level_above};
use crate::segment::stats::summarise;

/// Pyramids are small and read often: the strongest codecs would slow plots down.
const PYRAMID_EFFORT: Effort = Effort::Fast;

/// A sink for the bytes of a row group, in order.
pub trait PageSink {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// Those of the underlying file.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;
}

impl PageSink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Identifies a series by the row group's numbers of its run, key, writer and axis.
#[derive(Clone, Copy, Debug)]
pub struct SeriesName {
    /// From [`RowGroupWriter::run`] or [`RowGroupWriter::named_run`].
    pub run: u32,
    /// From [`RowGroupWriter::key`].
    pub key: u32,
    /// From [`RowGroupWriter::writer`].
    pub writer: u32,
    /// From [`RowGroupWriter::axis`] or [`RowGroupWriter::begin_axis`].
    pub axis: u32,
}

/// The lowest level of a pyramid, kept encoded until the series' pages are written, since its buckets are many.
#[derive(Debug, Default)]
struct FineLevel {
    newest: Vec<Bucket>,
    /// Pages of earlier buckets.
    pages: Vec<Vec<u8>>,
}

impl FineLevel {
    fn push(&mut self, bucket: Bucket, scratch: &mut Scratch) {
        self.newest.push(bucket);
        if self.newest.len() == BUCKETS_PER_PAGE {
            let mut page = Vec::new();
            encode_buckets(&self.newest, PYRAMID_EFFORT, scratch, &mut page);
            self.pages.push(page);
            self.newest.clear();
        }
    }
}

/// A long series being written page by page.
#[derive(Debug)]
struct OpenSeries {
    name: SeriesName,
    base: usize,
    stats: Option<SeriesStats>,
    /// One bucket per page.
    buckets: Vec<Bucket>,
    /// The fine level, if any.
    fine: Option<FineLevel>,
    hint: Hint,
}

impl OpenSeries {
    /// Adds the next page to statistics and pyramid.
    fn summarise(&mut self, steps: &[i64], timestamps: TimestampsRef<'_>, values: &[f64], scratch: &mut Scratch) {
        let piece = if self.fine.is_some() { FINE_POINTS } else { PAGE_POINTS };
        let mut page: Option<Bucket> = None;
        for start in (0..values.len()).step_by(piece) {
            let range = start..values.len().min(start + piece);
            let (steps, timestamps, values) = (&steps[range.clone()], timestamps.slice(range.clone()), &values[range]);
            let first = Point { step: steps[0], timestamp_ms: timestamps.get(0), value: values[0] };
            let (stats, bucket) = summarise(first, steps, timestamps, values);
            match &mut self.stats {
                Some(earlier) => earlier.merge(&stats),
                None => self.stats = Some(stats),
            }
            match &mut page {
                Some(earlier) => earlier.merge(&bucket),
                None => page = Some(bucket),
            }
            if let Some(fine) = &mut self.fine {
                fine.push(bucket, scratch);
            }
        }
        self.buckets.extend(page);
    }
}

/// Writes one row group into a sink.
#[derive(Debug)]
pub struct RowGroupWriter<S> {
    sink: S,
    effort: Effort,
    scratch: Scratch,
    buffer: Vec<u8>,
    offset: u64,
    footer: Footer,
    keys: Names,
    run_records: Vec<u8>,
    open: Option<OpenSeries>,
    /// Hints for steps and timestamps of the axis begun last.
    axis_hints: [Hint; 2],
    short: Vec<Series>,
    pool_steps: Vec<i64>,
    pool_timestamps: Timestamps,
    pool_values: Vec<f64>,
}

impl<S: PageSink> RowGroupWriter<S> {
    /// Starts a row group.
    pub fn new(sink: S, effort: Effort) -> Self {
        Self {
            sink,
            effort,
            scratch: Scratch::default(),
            buffer: Vec::new(),
            offset: 0,
            footer: Footer::default(),
            keys: Names::default(),
            run_records: Vec::new(),
            open: None,
            axis_hints: Default::default(),
            short: Vec::new(),
            pool_steps: Vec::new(),
            pool_timestamps: Timestamps::default(),
            pool_values: Vec::new(),
        }
    }

    /// Bytes of pages written, without the pools, which come last.
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// The numbers of pooled points and of runs, for bounding the row group.
    pub fn pooled(&self) -> (usize, usize) {
        (self.pool_values.len(), self.footer.runs)
    }

    /// The number of a metric key in this row group.
    ///
    /// # Errors
    /// If the keys exceed 4 GiB.
    pub fn key(&mut self, key: &str) -> Result<u32> {
        self.keys.number((), key).ok_or_else(too_many_keys)
    }

    /// The number of a writer in this row group.
    pub fn writer(&mut self, writer: WriterId) -> u32 {
        let known = self.footer.writers.iter().rposition(|&own| own == writer);
        known.unwrap_or_else(|| {
            self.footer.writers.push(writer);
            self.footer.writers.len() - 1
        }) as u32
    }

    /// Adds a run with its record, for packs. Returns its number.
    pub fn run(&mut self, record: &[u8]) -> u32 {
        self.run_records.extend_from_slice(record);
        self.footer.run_lens.push(record.len() as u32);
        self.named_run()
    }

    /// Adds a run that is named outside the row group. Returns its number.
    pub fn named_run(&mut self) -> u32 {
        self.footer.runs += 1;
        self.footer.runs as u32 - 1
    }

    /// Writes a whole axis; its length must be that of each of its series, and not 0.
    ///
    /// # Errors
    /// The sink's.
    pub fn axis(&mut self, steps: &[i64], timestamps: TimestampsRef<'_>) -> Result<u32> {
        let axis = self.begin_axis(steps.len(), timestamps_kind(timestamps), Default::default());
        if steps.len() < POOLED_BELOW {
            self.pool_steps.extend_from_slice(steps);
            self.pool_timestamps.extend(timestamps);
            return Ok(axis);
        }
        for start in (0..steps.len()).step_by(PAGE_POINTS) {
            let range = start..steps.len().min(start + PAGE_POINTS);
            self.axis_page(axis, &steps[range.clone()], timestamps.slice(range))?;
        }
        Ok(axis)
    }

    /// Starts an axis of `count` points with timestamps of this `kind`. The pages of a long one follow at once, by
    /// [`Self::axis_page`]. The hints are those of a similar axis, for steps and timestamps.
    pub fn begin_axis(&mut self, count: usize, kind: i64, hints: [Hint; 2]) -> u32 {
        let base = if count < POOLED_BELOW { self.pool_steps.len() } else { self.footer.pages.len() };
        self.footer.axes.push(Axis { count, timestamps: kind, base });
        self.axis_hints = hints;
        self.footer.axes.len() as u32 - 1
    }

    /// Hints of the axis begun last, for a similar one.
    pub fn axis_hints(&self) -> [Hint; 2] {
        self.axis_hints
    }

    /// Writes the next page of the axis begun last: [`PAGE_POINTS`] points, or the last few.
    ///
    /// # Errors
    /// The sink's.
    pub fn axis_page(&mut self, axis: u32, steps: &[i64], timestamps: TimestampsRef<'_>) -> Result<()> {
        let kind = self.footer.axes[axis as usize].timestamps;
        let [mut of_steps, mut of_timestamps] = self.axis_hints;
        self.int_page(steps, &mut of_steps)?;
        if kind != TIMESTAMPS_NONE {
            self.int_page(timestamps.ms, &mut of_timestamps)?;
        }
        self.axis_hints = [of_steps, of_timestamps];
        if kind == TIMESTAMPS_SOME {
            self.validity_page(timestamps)?;
        }
        Ok(())
    }

    /// Writes a whole series in order of arrival, on an axis written before that has the same steps and timestamps.
    ///
    /// # Errors
    /// The sink's.
    pub fn series(
        &mut self,
        name: SeriesName,
        steps: &[i64],
        timestamps: TimestampsRef<'_>,
        values: &[f64],
    ) -> Result<()> {
        if values.len() < POOLED_BELOW {
            self.short_series(name, values);
            return Ok(());
        }
        self.begin_series(name, values.len(), Hint::default());
        for start in (0..values.len()).step_by(PAGE_POINTS) {
            let range = start..values.len().min(start + PAGE_POINTS);
            self.series_page(&steps[range.clone()], timestamps.slice(range.clone()), &values[range])?;
        }
        self.end_series().map(|_| ())
    }

    /// Adds a short series to the pool.
    pub fn short_series(&mut self, name: SeriesName, values: &[f64]) {
        let SeriesName { run, key, writer, axis } = name;
        self.short.push(Series { run, key, writer, axis, base: self.pool_values.len() });
        self.pool_values.extend_from_slice(values);
    }

    /// Starts a long series of `count` points, whose pages follow at once. The hint is that of a similar series.
    pub fn begin_series(&mut self, name: SeriesName, count: usize, hint: Hint) {
        let base = self.footer.pages.len();
        let fine = (count >= FINE_FROM).then(FineLevel::default);
        self.footer.fine |= fine.is_some();
        self.open = Some(OpenSeries { name, base, stats: None, buckets: Vec::new(), fine, hint });
    }

    /// Writes the next page of the open series: [`PAGE_POINTS`] points, or the last few.
    ///
    /// # Errors
    /// The sink's.
    pub fn series_page(&mut self, steps: &[i64], timestamps: TimestampsRef<'_>, values: &[f64]) -> Result<()> {
        let mut none = Hint::default();
        let hint = match &mut self.open {
            Some(open) => {
                open.summarise(steps, timestamps, values, &mut self.scratch);
                &mut open.hint
            }
            None => &mut none,
        };
        self.buffer.clear();
        let codec = codec::encode_next_floats(values, hint, self.effort, &mut self.scratch, &mut self.buffer);
        self.page(codec)
    }

    /// Ends the open series with its pyramid. Returns its hint for a similar one.
    ///
    /// # Errors
    /// The sink's.
    pub fn end_series(&mut self) -> Result<Hint> {
        let Some(OpenSeries { name: SeriesName { run, key, writer, axis }, base, stats, buckets, fine, hint }) =
            self.open.take()
        else {
            return Ok(Hint::default());
        };
        let FineLevel { newest, pages } = fine.unwrap_or_default();
        for page in pages {
            self.buffer = page;
            self.page(CodecId(0))?;
        }
        if !newest.is_empty() {
            self.bucket_page(&newest)?;
        }
        self.footer.series.push(Series { run, key, writer, axis, base });
        self.footer.stats.extend(stats);
        let mut level = buckets;
        while level.len() > 1 {
            for buckets in level.chunks(BUCKETS_PER_PAGE) {
                self.bucket_page(buckets)?;
            }
            if level.len() <= FAN_OUT {
                break;
            }
            level = level_above(&level);
        }
        Ok(hint)
    }

    fn bucket_page(&mut self, buckets: &[Bucket]) -> Result<()> {
        self.buffer.clear();
        encode_buckets(buckets, PYRAMID_EFFORT, &mut self.scratch, &mut self.buffer);
        self.page(CodecId(0))
    }

    /// Writes pool, runs, footer and trailer. Returns the sink and the row group's length in bytes.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish(mut self, first_sequence: u64) -> Result<(S, u64)> {
        self.sort_keys()?;
        self.write_pool()?;
        self.write_runs()?;
        let footer = &mut self.footer;
        footer.first_sequence = first_sequence;
        footer.points = footer.series.iter().map(|series| footer.axes[series.axis as usize].count as u64).sum();
        self.buffer.clear();
        // Footers are small and many: the strongest codecs would cost more than the pages.
        self.footer.encode(Effort::Fast, &mut self.scratch, &mut self.buffer);
        let len = u32::try_from(self.buffer.len()).map_err(|_| {
            Error::invalid("row group", "its footer exceeds 4 GiB; seal or compact fewer series at once")
        })?;
        let crc = crc32(0, &self.buffer);
        self.buffer.extend_from_slice(&len.to_le_bytes());
        self.buffer.extend_from_slice(&crc.to_le_bytes());
        let magic = if self.footer.fine { ROW_GROUP_MAGIC_FINE } else { ROW_GROUP_MAGIC };
        self.buffer.extend_from_slice(&magic.to_le_bytes());
        self.sink.write(&self.buffer)?;
        let len = self.offset + self.buffer.len() as u64;
        Ok((self.sink, len))
    }

    /// Numbers the keys in order of their bytes.
    fn sort_keys(&mut self) -> Result<()> {
        let keys = std::mem::take(&mut self.keys);
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        order.sort_unstable_by_key(|&key| keys.get(key).1);
        let mut rank = vec![0; order.len()];
        for (index, &key) in order.iter().enumerate() {
            rank[key as usize] = index as u32;
            if !self.footer.keys.push(keys.get(key).1) {
                return Err(too_many_keys());
            }
        }
        for series in self.footer.series.iter_mut().chain(&mut self.short) {
            series.key = rank[series.key as usize];
        }
        Ok(())
    }

    fn write_pool(&mut self) -> Result<()> {
        self.footer.pool_base = self.footer.pages.len();
        let short_axes = || self.footer.axes.iter().filter(|axis| axis.pooled());
        let has_timestamps = short_axes().any(|axis| axis.timestamps != TIMESTAMPS_NONE);
        let has_validity = short_axes().any(|axis| axis.timestamps == TIMESTAMPS_SOME);
        let steps = std::mem::take(&mut self.pool_steps);
        let timestamps = std::mem::take(&mut self.pool_timestamps);
        for page in steps.chunks(PAGE_POINTS) {
            self.int_page(page, &mut Hint::default())?;
        }
        if has_timestamps {
            for page in timestamps.ms.chunks(PAGE_POINTS) {
                self.int_page(page, &mut Hint::default())?;
            }
        }
        if has_validity {
            for start in (0..timestamps.len()).step_by(PAGE_POINTS) {
                self.validity_page(timestamps.view().slice(start..timestamps.len().min(start + PAGE_POINTS)))?;
            }
        }
        // Values of one key are adjacent: they resemble each other more than those of one run do.
        self.short.sort_unstable_by_key(|series| (series.key, series.run, series.writer, series.base));
        let mut values = Vec::with_capacity(self.pool_values.len());
        for series in &mut self.short {
            let count = self.footer.axes[series.axis as usize].count;
            let from = std::mem::replace(&mut series.base, values.len());
            values.extend_from_slice(&self.pool_values[from..from + count]);
        }
        for page in values.chunks(PAGE_POINTS) {
            self.buffer.clear();
            let codec = codec::encode_floats(page, self.effort, &mut self.scratch, &mut self.buffer);
            self.page(codec)?;
        }
        self.footer.series.append(&mut self.short);
        Ok(())
    }

    fn write_runs(&mut self) -> Result<()> {
        let records = std::mem::take(&mut self.run_records);
        let mut at = 0;
        for range in run_pages(&self.footer.run_lens) {
            let len: usize = self.footer.run_lens[range].iter().map(|&len| len as usize).sum();
            self.buffer.clear();
            let codec = codec::encode_bytes(&records[at..at + len], self.effort, &mut self.buffer);
            self.page(codec)?;
            at += len;
        }
        Ok(())
    }

    fn int_page(&mut self, values: &[i64], hint: &mut Hint) -> Result<()> {
        self.buffer.clear();
        let codec = codec::encode_next_ints(values, hint, self.effort, &mut self.scratch, &mut self.buffer);
        self.page(codec)
    }

    fn validity_page(&mut self, timestamps: TimestampsRef<'_>) -> Result<()> {
        let present: Vec<i64> = (0..timestamps.ms.len()).map(|index| timestamps.get(index).is_some().into()).collect();
        self.int_page(&present, &mut Hint::default())
    }

    /// Writes the buffer as a page.
    fn page(&mut self, codec: CodecId) -> Result<()> {
        let len = u32::try_from(self.buffer.len()).map_err(|_| Error::invalid("page", "longer than 4 GiB"))?;
        self.footer.pages.push(Page { codec, offset: self.offset, len, crc: crc32(0, &self.buffer) });
        self.sink.write(&self.buffer)?;
        self.offset += u64::from(len);
        Ok(())
    }
}

fn too_many_keys() -> Error {
    Error::invalid("row group", "it has too many keys; seal or compact fewer series at once")
}

/// Which of the `TIMESTAMPS_` kinds these are.
#[must_use]
pub fn timestamps_kind(timestamps: TimestampsRef<'_>) -> i64 {
    let absent = timestamps.absent.iter().filter(|&&absent| absent).count();
    match absent {
        0 => TIMESTAMPS_ALL,
        all if all == timestamps.ms.len() => TIMESTAMPS_NONE,
        _ => TIMESTAMPS_SOME,
    }
}

/// The ranges of runs whose records share a page: as many as fit [`RUN_PAGE_BYTES`], at least one.
#[must_use]
pub fn run_pages(lens: &[u32]) -> Vec<std::ops::Range<usize>> {
    let mut pages = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, &len) in lens.iter().enumerate() {
        if index > start && bytes + len as usize > RUN_PAGE_BYTES {
            pages.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += len as usize;
    }
    if start < lens.len() {
        pages.push(start..lens.len());
    }
    pages
}
