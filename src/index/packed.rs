//! Values that an index does not repeat: those of single points are in the pools of its pack's row groups.
//!
//! A pool has the values of short series by key, then run, which is the order of an index's cells. So few spans
//! (`Span`) locate the values of many cells, and `Pools` locates the pools' pages in the file.

use crate::base::bytes::Malformed;
use crate::base::checksum::crc32;
use crate::base::texts::Texts;
use crate::codec::{self, CodecId, Effort, Scratch};
use crate::error::Result;
use crate::segment::footer::Page;
use crate::segment::layout::{ColumnReader, ColumnWriter, PAGE_POINTS};
use crate::segment::pack::Pack;
use crate::segment::reader::RowGroup;

/// Neighbouring values of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The pack's row group.
    pub(crate) group: u32,
    /// The first value's number in the pool.
    pub(crate) first: u32,
    /// The number of values.
    pub(crate) len: u32,
}

/// Appends spans, with their number.
pub(crate) fn put_spans(spans: &[Span], out: &mut Vec<u8>) {
    let mut scratch = Scratch::default();
    let mut columns = ColumnWriter::new(out, Effort::Fast, &mut scratch);
    columns.number(spans.len() as u64);
    for field in [|span: &Span| span.group, |span: &Span| span.first, |span: &Span| span.len] {
        columns.ints(&spans.iter().map(|span| i64::from(field(span))).collect::<Vec<_>>());
    }
}

/// Reads spans, and what follows them.
pub(crate) fn read_spans(bytes: &[u8]) -> std::result::Result<(Vec<Span>, &[u8]), Malformed> {
    let mut columns = ColumnReader::new(bytes);
    let count = columns.count()?;
    let [groups, firsts, lens] = [(); 3].map(|()| columns.indexes(count, u32::MAX as usize));
    let fields = groups?.into_iter().zip(firsts?).zip(lens?);
    let spans = fields.map(|((group, first), len)| Span { group, first, len }).collect();
    Ok((spans, columns.rest()))
}

/// The pools of a pack: per row group the number of values, and their pages.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Pools {
    /// First page and number of values of each row group.
    groups: Vec<(usize, usize)>,
    /// Offsets are from the file's first byte.
    pages: Vec<Page>,
}

impl Pools {
    fn add(&mut self, group: &RowGroup) {
        let (footer, bounds) = (group.footer(), group.footer().pool().bounds());
        self.groups.push((self.pages.len(), footer.pool().values));
        let of_values = footer.pool_base + bounds[3]..footer.pool_base + bounds[4];
        let start = group.extent().0;
        self.pages.extend(footer.pages[of_values].iter().map(|page| Page { offset: start + page.offset, ..*page }));
    }

    /// Appends the table: per row group its values and the offset of its first page; per page codec, length, CRC-32.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let mut scratch = Scratch::default();
        let mut columns = ColumnWriter::new(out, Effort::Fast, &mut scratch);
        let starts = self.groups.iter().map(|&(page, _)| self.pages.get(page).map_or(0, |page| page.offset as i64));
        columns.number(self.groups.len() as u64);
        columns.ints(&self.groups.iter().map(|&(_, values)| values as i64).collect::<Vec<_>>());
        columns.ints(&starts.collect::<Vec<_>>());
        columns.ints(&self.pages.iter().map(|page| i64::from(page.codec.0)).collect::<Vec<_>>());
        columns.ints(&self.pages.iter().map(|page| i64::from(page.len)).collect::<Vec<_>>());
        columns.ints(&self.pages.iter().map(|page| i64::from(page.crc)).collect::<Vec<_>>());
    }

    /// Reads the table.
    pub(crate) fn read(bytes: &[u8]) -> std::result::Result<Self, Malformed> {
        let mut columns = ColumnReader::new(bytes);
        let count = columns.count()?;
        let (values, starts) = (columns.indexes(count, u32::MAX as usize)?, columns.ints(count)?);
        let pages = values.iter().map(|&values| (values as usize).div_ceil(PAGE_POINTS)).sum();
        let codecs = columns.indexes(pages, usize::from(u8::MAX) + 1)?;
        let lens = columns.indexes(pages, u32::MAX as usize)?;
        let crcs = columns.ints(pages)?;
        columns.end()?;
        let mut table = Self::default();
        for (values, start) in values.into_iter().zip(starts) {
            let first = table.pages.len();
            let mut offset = u64::try_from(start).map_err(|_| Malformed("the offset of a page"))?;
            table.groups.push((first, values as usize));
            for at in first..first + (values as usize).div_ceil(PAGE_POINTS) {
                let crc = u32::try_from(crcs[at]).map_err(|_| Malformed("the checksum of a page"))?;
                table.pages.push(Page { codec: CodecId(codecs[at] as u8), offset, len: lens[at], crc });
                offset = offset.checked_add(lens[at].into()).ok_or(Malformed("the offset of a page"))?;
            }
        }
        Ok(table)
    }

    /// Whether the pools have these values.
    pub(crate) fn have(&self, span: &Span) -> bool {
        let values = self.groups.get(span.group as usize).map_or(0, |&(_, values)| values);
        span.first as usize + span.len as usize <= values
    }
}

/// Reads values of a pack's pools, with a cache of the last page.
pub(crate) struct PoolReader<'a> {
    pools: &'a Pools,
    pack: &'a Pack,
    /// The cached page, its bytes and its values.
    page: usize,
    bytes: Vec<u8>,
    values: Vec<f64>,
}

impl<'a> PoolReader<'a> {
    pub(crate) fn new(pools: &'a Pools, pack: &'a Pack) -> Self {
        Self { pools, pack, page: usize::MAX, bytes: Vec::new(), values: Vec::new() }
    }

    /// Appends the values of a span, of which [`Pools::have`] all.
    ///
    /// # Errors
    /// [`crate::error::Error::Corrupt`] naming the pack and the page, [`crate::error::Error::Io`].
    pub(crate) fn read(&mut self, span: &Span, out: &mut Vec<f64>) -> Result<()> {
        let (first_page, values) = self.pools.groups[span.group as usize];
        let (mut at, end) = (span.first as usize, span.first as usize + span.len as usize);
        while at < end {
            let in_group = at / PAGE_POINTS;
            let (start, page_end) = (in_group * PAGE_POINTS, values.min((in_group + 1) * PAGE_POINTS));
            self.turn_to(first_page + in_group, page_end - start)?;
            out.extend_from_slice(&self.values[at - start..end.min(page_end) - start]);
            at = end.min(page_end);
        }
        Ok(())
    }

    fn turn_to(&mut self, number: usize, values: usize) -> Result<()> {
        if self.page == number {
            return Ok(());
        }
        let (page, source) = (self.pools.pages[number], self.pack.source());
        source.read_into(page.offset, page.len as usize, &mut self.bytes)?;
        if crc32(0, &self.bytes) != page.crc {
            return Err(source.corrupt(page.offset, "the checksum of a page of values"));
        }
        self.page = usize::MAX;
        self.values.resize(values, 0.0);
        codec::decode_floats(page.codec, &self.bytes, &mut self.values)
            .map_err(|error| source.corrupt(page.offset, error))?;
        self.page = number;
        Ok(())
    }
}

/// The locations of the single points of a pack's runs, for building its index.
#[derive(Debug, Default)]
pub struct Places {
    pack: u128,
    pub(crate) pools: Pools,
    /// For each row, its row group and its entries.
    rows: Vec<(u32, std::ops::Range<usize>)>,
    entries: Vec<Entry>,
    keys: Vec<Texts>,
}

/// A row's entry for a key.
#[derive(Clone, Copy, Debug)]
struct Entry {
    run: u32,
    key: u32,
    /// The pool's number of the value of its only point; `None` if it has more points.
    value: Option<u32>,
}

impl Places {
    /// Starts without row groups.
    #[must_use]
    pub fn new(pack: u128) -> Self {
        Self { pack, ..Self::default() }
    }

    /// The pack's number.
    pub(crate) fn pack(&self) -> u128 {
        self.pack
    }

    /// Adds the pack's next row group.
    pub fn add(&mut self, group: &RowGroup) {
        let (number, footer, start) = (self.keys.len() as u32, group.footer(), self.entries.len());
        self.pools.add(group);
        self.keys.push(footer.keys.clone());
        self.entries.extend(footer.series.iter().map(|series| {
            let axis = footer.axes[series.axis as usize];
            let value = (axis.count == 1).then(|| u32::try_from(series.base).ok()).flatten();
            Entry { run: series.run, key: series.key, value }
        }));
        // Stable and almost sorted already, so that this is a merge of few pieces.
        self.entries[start..].sort_by_key(|entry| (entry.run, entry.key));
        let mut at = start;
        for run in 0..footer.runs as u32 {
            let end = at + self.entries[at..].iter().take_while(|entry| entry.run == run).count();
            self.rows.push((number, at..end));
            at = end;
        }
    }

    /// Whether any series has a single point.
    pub(crate) fn has_singles(&self) -> bool {
        self.entries.iter().any(|entry| entry.value.is_some())
    }

    /// The location of the value of a metric's only point: row group and number. `None` if the row has more points or
    /// series.
    pub(crate) fn find(&self, row: usize, key: &str) -> Option<(u32, u32)> {
        let (group, range) = self.rows.get(row)?.clone();
        let (keys, entries) = (&self.keys[group as usize], &self.entries[range]);
        let at = entries.partition_point(|entry| keys.get(entry.key as usize) < key);
        let [entry, rest @ ..] = entries.get(at..)? else { return None };
        let alone = rest.first().is_none_or(|next| next.key != entry.key);
        if alone && keys.get(entry.key as usize) == key { entry.value.map(|value| (group, value)) } else { None }
    }
}
