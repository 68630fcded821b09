//! The constants of the segment format, which never change, and the columns of footers.

use crate::base::bytes::{Malformed, Reader, put_varint};
use crate::codec::{self, CodecId, Effort, Scratch};

/// Most points of one page, the unit of decoding and checksum. Pages of one series or axis are full but the last.
pub const PAGE_POINTS: usize = 1024;
/// Series and axes with fewer points than this share pages with others of their row group.
pub const POOLED_BELOW: usize = 96;
/// Buckets of one pyramid level per bucket of the next.
pub const FAN_OUT: usize = 8;
/// Series with at least this many points have a level of finer buckets below that of pages; for shorter ones a plot may
/// read every point.
pub const FINE_FROM: usize = 128 * PAGE_POINTS;
/// Points per bucket of that level.
pub const FINE_POINTS: usize = 256;
/// Most buckets in one page of a pyramid.
pub const BUCKETS_PER_PAGE: usize = 256;
/// Most bytes of run records, before compression, in one page; one larger record has a page of its own.
pub const RUN_PAGE_BYTES: usize = 64 << 10;
/// The last bytes of a row group: footer length (u32), footer CRC-32 (u32), magic (u64).
pub const TRAILER_LEN: usize = 16;
/// Magic of a row group without fine pyramid levels.
pub const ROW_GROUP_MAGIC: u64 = u64::from_le_bytes(*b"SWgroup1");
/// Magic of a row group with fine levels in the pyramids of long series.
pub const ROW_GROUP_MAGIC_FINE: u64 = u64::from_le_bytes(*b"SWgroup2");
/// Most entries in any list of a footer; decoding refuses more.
pub const ENTRIES_MAX: usize = 1 << 24;

/// No point of an axis has a timestamp.
pub const TIMESTAMPS_NONE: i64 = 0;
/// Every point has one.
pub const TIMESTAMPS_ALL: i64 = 1;
/// Some points have one; a validity column says which.
pub const TIMESTAMPS_SOME: i64 = 2;

/// Writes footer columns: `codec u8, length varint, bytes` each.
#[derive(Debug)]
pub struct ColumnWriter<'a> {
    out: &'a mut Vec<u8>,
    effort: Effort,
    scratch: &'a mut Scratch,
    column: Vec<u8>,
}

impl<'a> ColumnWriter<'a> {
    /// Starts appending to `out`.
    pub fn new(out: &'a mut Vec<u8>, effort: Effort, scratch: &'a mut Scratch) -> Self {
        Self { out, effort, scratch, column: Vec::new() }
    }

    /// A plain number.
    pub fn number(&mut self, value: u64) {
        put_varint(self.out, value);
    }

    /// A column of integers, whose count the reader knows from elsewhere.
    pub fn ints(&mut self, values: &[i64]) {
        self.column.clear();
        let codec = codec::encode_ints(values, self.effort, self.scratch, &mut self.column);
        self.put(codec);
    }

    /// A column of floats.
    pub fn floats(&mut self, values: &[f64]) {
        self.column.clear();
        let codec = codec::encode_floats(values, self.effort, self.scratch, &mut self.column);
        self.put(codec);
    }

    /// Bytes, preceded by their length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        put_varint(self.out, bytes.len() as u64);
        self.column.clear();
        let codec = codec::encode_bytes(bytes, self.effort, &mut self.column);
        self.put(codec);
    }

    fn put(&mut self, codec: CodecId) {
        self.out.push(codec.0);
        put_varint(self.out, self.column.len() as u64);
        self.out.extend_from_slice(&self.column);
    }
}

/// Columns have at most this many entries, plus as many for each byte of all columns. Constant columns take few bytes,
/// but a checksum or name takes at least a byte per some thousand entries. So allocations stay in proportion to the
/// input.
const ENTRIES_FREE: usize = 1 << 16;
const ENTRIES_PER_BYTE: usize = 1 << 10;

/// Reads what [`ColumnWriter`] wrote, from untrusted bytes.
#[derive(Debug)]
pub struct ColumnReader<'a> {
    reader: Reader<'a>,
    entries_max: usize,
}

impl<'a> ColumnReader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let entries_max = bytes.len().saturating_mul(ENTRIES_PER_BYTE).saturating_add(ENTRIES_FREE);
        Self { reader: Reader::new(bytes), entries_max }
    }

    /// A plain number.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        self.reader.varint()
    }

    /// A count of at most [`ENTRIES_MAX`].
    pub fn count(&mut self) -> Result<usize, Malformed> {
        self.reader.count(ENTRIES_MAX)
    }

    /// A column of `count` integers.
    pub fn ints(&mut self, count: usize) -> Result<Vec<i64>, Malformed> {
        let (codec, bytes) = self.column(count)?;
        let mut values = zeroed(count)?;
        codec::decode_ints(codec, bytes, &mut values).map_err(|_| Malformed("a footer's integer column"))?;
        Ok(values)
    }

    /// A column of `count` integers from 0 to below `limit`.
    pub fn indexes(&mut self, count: usize, limit: usize) -> Result<Vec<u32>, Malformed> {
        let limit = limit.min(u32::MAX as usize);
        self.ints(count)?
            .into_iter()
            .map(|value| match usize::try_from(value) {
                Ok(index) if index < limit => Ok(index as u32),
                _ => Err(Malformed("an index out of range")),
            })
            .collect()
    }

    /// A column of `count` floats.
    pub fn floats(&mut self, count: usize) -> Result<Vec<f64>, Malformed> {
        let (codec, bytes) = self.column(count)?;
        let mut values = zeroed(count)?;
        codec::decode_floats(codec, bytes, &mut values).map_err(|_| Malformed("a footer's float column"))?;
        Ok(values)
    }

    /// Bytes whose length is at most `max`.
    pub fn bytes(&mut self, max: usize) -> Result<Vec<u8>, Malformed> {
        let len = self.reader.count(max)?;
        let (codec, bytes) = self.column(0)?;
        codec::decode_bytes(codec, bytes, len).map_err(|_| Malformed("a footer's byte column"))
    }

    /// The remaining bytes.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.reader.clone().slice(self.reader.remaining()).unwrap_or_default()
    }

    /// Fails if bytes are left.
    pub fn end(&self) -> Result<(), Malformed> {
        self.reader.end()
    }

    fn column(&mut self, count: usize) -> Result<(CodecId, &'a [u8]), Malformed> {
        if count > self.entries_max {
            return Err(Malformed("more entries than its bytes can say"));
        }
        let codec = CodecId(self.reader.u8()?);
        let len = self.reader.count(usize::MAX)?;
        Ok((codec, self.reader.slice(len)?))
    }
}

/// A vector of `count` defaults, or an error if out of memory.
pub fn zeroed<T: Clone + Default>(count: usize) -> Result<Vec<T>, Malformed> {
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| Malformed("a count beyond memory"))?;
    values.resize(count, T::default());
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_bytes_claim_no_millions_of_entries() {
        let (count, mut bytes, mut scratch) = (1 << 20, Vec::new(), Scratch::default());
        ColumnWriter::new(&mut bytes, Effort::Fast, &mut scratch).ints(&vec![7; count]);
        assert!(bytes.len() < 64, "a constant takes {} bytes", bytes.len());
        assert!(ColumnReader::new(&bytes).ints(count).is_err());
        // The same column among as many bytes as its entries' names or checksums would take.
        bytes.resize(count >> 10, 0);
        assert_eq!(ColumnReader::new(&bytes).ints(count), Ok(vec![7; count]));
    }
}
