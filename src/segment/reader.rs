//! Reads one row group: the footer on open, pages on demand, each verified before it is decoded.

use std::cell::Cell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::base::bytes::Malformed;
use crate::base::checksum::crc32;
use crate::base::point::{Columns, Timestamps, TimestampsRef};
use crate::base::stats::SeriesStats;
use crate::codec::{self, CodecId};
use crate::error::{Error, Result};
use crate::segment::footer::{Axis, Footer, Page, Pool};
use crate::segment::layout::{
    BUCKETS_PER_PAGE, FAN_OUT, PAGE_POINTS, ROW_GROUP_MAGIC, ROW_GROUP_MAGIC_FINE, TIMESTAMPS_NONE, TIMESTAMPS_SOME,
    TRAILER_LEN,
};
use crate::segment::pyramid::{Bucket, decode_some_buckets, fan_out, levels, pages};
use crate::segment::stats::stats_of;
use crate::segment::writer::run_pages;
use crate::storage::File;

/// Most bytes of neighbouring pages read at once (a single page may be longer).
const SPAN_LEN: u64 = 256 << 10;

thread_local! {
    /// Reused buffer for spans: fresh memory of this size costs more than reading into it.
    static SPAN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// An open file and its path, for errors.
#[derive(Clone)]
pub struct Source {
    /// The file.
    pub file: Arc<dyn File>,
    /// Its path.
    pub path: Arc<Path>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({})", self.path.display())
    }
}

impl Source {
    /// The file's length in bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn file_len(&self) -> Result<u64> {
        self.file.len().map_err(Error::io("read", &self.path))
    }

    /// Wraps an open file.
    #[must_use]
    pub fn new(file: Box<dyn File>, path: PathBuf) -> Self {
        Self { file: file.into(), path: path.into() }
    }

    /// Reads exactly `len` bytes at `offset`.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Corrupt`] if the file is shorter.
    pub fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_into(offset, len, &mut bytes)?;
        Ok(bytes)
    }

    /// [`Self::read`] that replaces the contents of `bytes`.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub fn read_into(&self, offset: u64, len: usize, bytes: &mut Vec<u8>) -> Result<()> {
        if len > bytes.capacity() {
            // Check the length before allocating: `len` may come from damaged bytes.
            let end = offset.checked_add(len as u64);
            let file_len = self.file.len().map_err(Error::io("read", &self.path))?;
            if end.is_none_or(|end| end > file_len) {
                return Err(self.corrupt(offset, format!("{len} bytes expected, the file ends at {file_len}")));
            }
        }
        bytes.resize(len, 0);
        let got = self.file.read_at(bytes, offset).map_err(Error::io("read", &self.path))?;
        if got < len {
            return Err(self.corrupt(offset, format!("{len} bytes expected, {got} there")));
        }
        Ok(())
    }

    /// An [`Error::Corrupt`] in this file.
    #[must_use]
    pub fn corrupt(&self, offset: u64, what: impl ToString) -> Error {
        Error::corrupt(&self.path, offset, what)
    }
}

/// A row group in a file: the footer in memory, pages on disk.
#[derive(Debug)]
pub struct RowGroup {
    source: Source,
    offset: u64,
    len: u64,
    footer: Footer,
    pool: Pool,
    /// For each column of the pool the page decoded last: callers read short series one after another, many of them in
    /// one page.
    recent: Mutex<Recent>,
    /// Cached tops of pyramids.
    tops: Mutex<FxHashMap<usize, Arc<[Bucket]>>>,
}

/// Most series with cached tops.
const TOPS_MAX: usize = 8;

/// Fills a slice from a page's bytes.
type Decode<T> = fn(CodecId, &[u8], &mut [T]) -> Result<(), codec::CodecError>;

/// Decoded pages of the pool, with their numbers: steps, timestamps, validity; and values.
#[derive(Debug, Default)]
struct Recent {
    ints: [(usize, Vec<i64>); 3],
    floats: (usize, Vec<f64>),
}

/// Reads and verifies the bytes of the footer of a row group that begins at `offset` or later, with its trailer at
/// `trailer_at`. Also returns whether the trailer says that pyramids are fine.
fn read_footer(source: &Source, offset: u64, trailer_at: u64) -> Result<(Vec<u8>, bool)> {
    let trailer = source.read(trailer_at, TRAILER_LEN)?;
    let word = |at: usize| u32::from_le_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]]);
    let (footer_len, footer_crc) = (u64::from(word(0)), word(4));
    let damaged = |what: &str| source.corrupt(trailer_at, what);
    let fine = trailer[8..] == ROW_GROUP_MAGIC_FINE.to_le_bytes();
    if !fine && trailer[8..] != ROW_GROUP_MAGIC.to_le_bytes() {
        return Err(damaged("the magic at the end of a row group is missing"));
    }
    let footer_at = trailer_at.checked_sub(footer_len).filter(|&at| at >= offset);
    let footer_at = footer_at.ok_or_else(|| damaged("a footer longer than its row group"))?;
    let bytes = source.read(footer_at, footer_len as usize)?;
    if crc32(0, &bytes) == footer_crc {
        Ok((bytes, fine))
    } else {
        Err(source.corrupt(footer_at, "the checksum of a row group's footer"))
    }
}

impl RowGroup {
    /// Reads and verifies the footer of the row group of `len` bytes at `offset`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the location of the damage, [`Error::Io`].
    pub fn open(source: Source, offset: u64, len: u64) -> Result<Self> {
        let trailer_at = len
            .checked_sub(TRAILER_LEN as u64)
            .ok_or_else(|| source.corrupt(offset, "a row group shorter than its trailer"))?;
        let (bytes, fine) = read_footer(&source, offset, offset + trailer_at)?;
        let pages_len = trailer_at - bytes.len() as u64;
        let footer = Footer::decode(&bytes, pages_len, fine).map_err(|Malformed(what)| {
            source.corrupt(offset + pages_len, format!("in a row group's footer: {what}"))
        })?;
        Ok(Self::new(source, offset, len, footer))
    }

    /// The same for a row group that ends at `end` and begins at `from` or later: its footer says where.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn ending_at(source: Source, from: u64, end: u64) -> Result<Self> {
        let short = || source.corrupt(from, "a row group shorter than its trailer");
        let trailer_at = end.checked_sub(TRAILER_LEN as u64).filter(|&at| at >= from).ok_or_else(short)?;
        let (bytes, fine) = read_footer(&source, from, trailer_at)?;
        let footer_at = trailer_at - bytes.len() as u64;
        let (footer, pages_len) = Footer::decode_with_len(&bytes, fine)
            .map_err(|Malformed(what)| source.corrupt(footer_at, format!("in a row group's footer: {what}")))?;
        let offset = footer_at.checked_sub(pages_len).filter(|&offset| offset >= from).ok_or_else(short)?;
        Ok(Self::new(source, offset, end - offset, footer))
    }

    fn new(source: Source, offset: u64, len: u64, footer: Footer) -> Self {
        let pool = footer.pool();
        Self { source, offset, len, footer, pool, recent: Mutex::default(), tops: Mutex::default() }
    }

    /// The footer.
    #[must_use]
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// First byte in the file, and length.
    #[must_use]
    pub fn extent(&self) -> (u64, u64) {
        (self.offset, self.len)
    }

    /// The file.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The number of a key, by binary search.
    #[must_use]
    pub fn key(&self, key: &str) -> Option<u32> {
        self.footer.keys.find_sorted(key).map(|index| index as u32)
    }

    /// The axis of a series.
    #[must_use]
    pub fn axis_of(&self, series: usize) -> Axis {
        self.footer.axes[self.footer.series[series].axis as usize]
    }

    /// Buckets per level of a series' pyramid, lowest first; empty if it has at most one page.
    #[must_use]
    pub fn levels(&self, series: usize) -> Vec<usize> {
        levels(self.axis_of(series).count, self.footer.fine)
    }

    /// Buckets of the level below, or points below the lowest level, per bucket of a level of a series' pyramid.
    #[must_use]
    pub fn fan_out(&self, series: usize, level: usize) -> usize {
        fan_out(self.axis_of(series).count, self.footer.fine, level)
    }

    /// The statistics of a series: stored for a long one, computed from its few points for a short one.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn stats(&self, series: usize) -> Result<SeriesStats> {
        if let Some(stats) = self.footer.stats.get(series) {
            return Ok(*stats);
        }
        let mut columns = Columns::default();
        self.read(series, 0..self.axis_of(series).count, &mut columns)?;
        stats_of(&columns).ok_or_else(|| self.source.corrupt(self.offset, "a series without points"))
    }

    /// Appends points `range` of a series, counted in order of arrival, to `out`. Decodes the pages that the range
    /// touches.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the page, [`Error::Io`].
    pub fn read(&self, series: usize, range: Range<usize>, out: &mut Columns) -> Result<()> {
        let entry = self.footer.series[series];
        let axis = self.axis_of(series);
        let range = range.start.min(axis.count)..range.end.min(axis.count);
        self.read_axis(entry.axis as usize, range.clone(), &mut out.steps, &mut out.timestamps)?;
        if axis.pooled() {
            let first_page = self.footer.pool_base + self.pool.bounds()[3];
            let range = entry.base + range.start..entry.base + range.end;
            let recent = &mut self.recent.lock().floats;
            return self.pooled(first_page, range, self.pool.values, recent, &mut out.values, codec::decode_floats);
        }
        self.each_page((entry.base, 1), pages_of(range, axis.count), |page, bytes, points, wanted| {
            let start = out.values.len();
            out.values.resize(start + points, 0.0);
            codec::decode_floats(page.codec, bytes, &mut out.values[start..])?;
            keep(&mut out.values, start, wanted);
            Ok(())
        })
    }

    /// Splits points `range` of a series into ranges that are in one page of every column, so that each can be read
    /// even if a neighbour cannot.
    #[must_use]
    pub fn page_stretches(&self, series: usize, range: Range<usize>) -> Vec<Range<usize>> {
        let (entry, axis) = (self.footer.series[series], self.axis_of(series));
        let end = range.end.min(axis.count);
        // Offsets of the points in columns shared with other series.
        let bases = if axis.pooled() { [axis.base, entry.base] } else { [0, 0] };
        let mut stretches = Vec::new();
        let mut start = range.start.min(end);
        while start < end {
            let next = bases.map(|base| (base + start) / PAGE_POINTS * PAGE_POINTS + PAGE_POINTS - base);
            let stop = next[0].min(next[1]).min(end);
            stretches.push(start..stop);
            start = stop;
        }
        stretches
    }

    /// Appends values `range` of `total` of a pooled column that begins at page `first`, using the cached page.
    fn pooled<T: Copy + Default>(
        &self,
        first: usize,
        range: Range<usize>,
        total: usize,
        (at_hand, decoded): &mut (usize, Vec<T>),
        out: &mut Vec<T>,
        decode: Decode<T>,
    ) -> Result<()> {
        for (index, points, wanted) in pages_of(range, total) {
            if decoded.is_empty() || *at_hand != first + index {
                decoded.clear();
                let (page, bytes) = self.page(first + index)?;
                let mut values = vec![T::default(); points];
                decode(page.codec, &bytes, &mut values).map_err(|error| self.damaged(page, error))?;
                (*at_hand, *decoded) = (first + index, values);
            }
            out.extend_from_slice(&decoded[wanted]);
        }
        Ok(())
    }

    /// Appends the steps and timestamps of points `range` of an axis.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the page, [`Error::Io`].
    pub fn read_axis(
        &self,
        axis: usize,
        range: Range<usize>,
        steps: &mut Vec<i64>,
        timestamps: &mut Timestamps,
    ) -> Result<()> {
        let axis = self.footer.axes[axis];
        let len = range.len();
        let ints = |column: usize, out: &mut Vec<i64>| {
            if axis.pooled() {
                let first_page = self.footer.pool_base + self.pool.bounds()[column];
                let range = axis.base + range.start..axis.base + range.end;
                let recent = &mut self.recent.lock().ints[column];
                return self.pooled(first_page, range, self.pool.axis_points, recent, out, codec::decode_ints);
            }
            self.read_ints((axis.base + column, axis.stride()), range.clone(), axis.count, out)
        };
        ints(0, steps)?;
        match axis.timestamps {
            TIMESTAMPS_NONE => {
                let absent = vec![true; len];
                timestamps.extend(TimestampsRef { ms: &vec![0; len], absent: &absent });
            }
            TIMESTAMPS_SOME => {
                let (mut ms, mut present) = (Vec::new(), Vec::new());
                ints(1, &mut ms)?;
                ints(2, &mut present)?;
                ms.iter().zip(&present).for_each(|(&ms, &present)| timestamps.push((present != 0).then_some(ms)));
            }
            _ => {
                ints(1, &mut timestamps.ms)?;
                if !timestamps.absent.is_empty() {
                    timestamps.absent.resize(timestamps.ms.len(), false);
                }
            }
        }
        Ok(())
    }

    /// The buckets `range` of one level of a long series' pyramid, the lowest being level 0.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the page, [`Error::Io`].
    pub fn buckets(&self, series: usize, level: usize, range: Range<usize>) -> Result<Vec<Bucket>> {
        let count = self.axis_of(series).count;
        let levels = self.levels(series);
        let below: usize = levels[..level].iter().map(|buckets| buckets.div_ceil(BUCKETS_PER_PAGE)).sum();
        let first_page = self.footer.series[series].base + pages(count) + below;
        let mut out = Vec::with_capacity(range.len());
        let first = range.start / BUCKETS_PER_PAGE;
        for index in first..range.end.min(levels[level]).div_ceil(BUCKETS_PER_PAGE) {
            let start = index * BUCKETS_PER_PAGE;
            let in_page = (levels[level] - start).min(BUCKETS_PER_PAGE);
            let (page, bytes) = self.page(first_page + index)?;
            let wanted = range.start.saturating_sub(start)..(range.end - start).min(in_page);
            let decoded = decode_some_buckets(&bytes, in_page, wanted, &mut out);
            decoded.map_err(|Malformed(what)| self.damaged(page, what))?;
        }
        Ok(out)
    }

    /// The top buckets of a series' pyramid: few, and together all its points; empty if it has at most one page. They
    /// are cached.
    ///
    /// # Errors
    /// Those of [`Self::buckets`].
    pub fn top(&self, series: usize) -> Result<Arc<[Bucket]>> {
        if let Some(top) = self.tops.lock().get(&series) {
            return Ok(Arc::clone(top));
        }
        let levels = self.levels(series);
        let Some(&count) = levels.last() else { return Ok(Arc::default()) };
        let top: Arc<[Bucket]> = self.buckets(series, levels.len() - 1, 0..count)?.into();
        let mut tops = self.tops.lock();
        if tops.len() >= TOPS_MAX {
            tops.clear();
        }
        tops.insert(series, Arc::clone(&top));
        Ok(top)
    }

    /// Approximate maximum memory, in bytes, with cached tops and pages.
    #[must_use]
    pub fn weight(&self) -> usize {
        let tops = TOPS_MAX.min(self.footer.stats.len()) * FAN_OUT * size_of::<Bucket>();
        let at_hand = 4 * size_of::<f64>() * PAGE_POINTS.min(self.pool.values.max(self.pool.axis_points));
        self.footer.weight() + tops + at_hand
    }

    /// The records of all runs in order; only in packs.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the page, [`Error::Io`].
    pub fn run_records(&self) -> Result<Vec<Vec<u8>>> {
        let first_page = self.footer.pool_base + self.pool.bounds()[4];
        let mut records = Vec::with_capacity(self.footer.run_lens.len());
        for (index, range) in run_pages(&self.footer.run_lens).into_iter().enumerate() {
            let lens = &self.footer.run_lens[range];
            let total: usize = lens.iter().map(|&len| len as usize).sum();
            if first_page + index >= self.footer.pages.len() {
                return Err(self.source.corrupt(self.offset, "the page of a run's record is missing"));
            }
            let (page, bytes) = self.page(first_page + index)?;
            let bytes = codec::decode_bytes(page.codec, &bytes, total).map_err(|error| self.damaged(page, error))?;
            let mut at = 0;
            for &len in lens {
                records.push(bytes[at..at + len as usize].to_vec());
                at += len as usize;
            }
        }
        Ok(records)
    }

    /// Reads and verifies a page's bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub fn page(&self, index: usize) -> Result<(Page, Vec<u8>)> {
        let page = self.footer.pages[index];
        let bytes = self.source.read(self.offset + page.offset, page.len as usize)?;
        self.verify(index, page, &bytes)?;
        Ok((page, bytes))
    }

    fn read_ints(
        &self,
        (first, stride): (usize, usize),
        range: Range<usize>,
        total: usize,
        out: &mut Vec<i64>,
    ) -> Result<()> {
        self.each_page((first, stride), pages_of(range, total), |page, bytes, points, wanted| {
            let start = out.len();
            out.resize(start + points, 0);
            codec::decode_ints(page.codec, bytes, &mut out[start..])?;
            keep(out, start, wanted);
            Ok(())
        })
    }

    /// Reads pages `first`, `first + stride` …, as many at once as fit [`SPAN_LEN`], verifies each and passes it on.
    fn each_page(
        &self,
        (first, stride): (usize, usize),
        pages: impl Iterator<Item = (usize, usize, Range<usize>)>,
        mut decode: impl FnMut(Page, &[u8], usize, Range<usize>) -> Result<(), codec::CodecError>,
    ) -> Result<()> {
        let mut pages = pages.peekable();
        let mut bytes = SPAN.take();
        let mut batch = Vec::new();
        while let Some(&(start, ..)) = pages.peek() {
            let start = self.footer.pages[first + start * stride];
            // Read interleaved pages of the other columns too: they are needed next, and another call costs more.
            let mut end = start.offset;
            while let Some((index, points, wanted)) = pages.next_if(|&(index, ..)| {
                let page = self.footer.pages[first + index * stride];
                batch.is_empty() || page.offset + u64::from(page.len) - start.offset <= SPAN_LEN
            }) {
                let page = self.footer.pages[first + index * stride];
                end = page.offset + u64::from(page.len);
                batch.push((first + index * stride, page, points, wanted));
            }
            self.source.read_into(self.offset + start.offset, (end - start.offset) as usize, &mut bytes)?;
            for (index, page, points, wanted) in batch.drain(..) {
                let at = (page.offset - start.offset) as usize;
                let bytes = &bytes[at..at + page.len as usize];
                self.verify(index, page, bytes)?;
                decode(page, bytes, points, wanted).map_err(|error| self.damaged(page, error))?;
            }
        }
        if bytes.capacity() <= SPAN_LEN as usize {
            SPAN.set(bytes);
        }
        Ok(())
    }

    fn verify(&self, index: usize, page: Page, bytes: &[u8]) -> Result<()> {
        if crc32(0, bytes) == page.crc {
            return Ok(());
        }
        Err(self.source.corrupt(self.offset + page.offset, format!("the checksum of page {index}")))
    }

    fn damaged(&self, page: Page, what: impl ToString) -> Error {
        self.source.corrupt(self.offset + page.offset, what.to_string())
    }
}

/// The pages that `range` of `total` points touches: number, number of points, and wanted points.
fn pages_of(range: Range<usize>, total: usize) -> impl Iterator<Item = (usize, usize, Range<usize>)> {
    let pages = if range.is_empty() { 0..0 } else { range.start / PAGE_POINTS..range.end.div_ceil(PAGE_POINTS) };
    pages.map(move |page| {
        let start = page * PAGE_POINTS;
        let points = (total - start).min(PAGE_POINTS);
        (page, points, range.start.saturating_sub(start)..(range.end - start).min(points))
    })
}

/// Keeps only the `wanted` range of the values from `start` on.
fn keep<T: Copy>(values: &mut Vec<T>, start: usize, wanted: Range<usize>) {
    values.truncate(start + wanted.end);
    if wanted.start > 0 {
        values.drain(start..start + wanted.start);
    }
}
