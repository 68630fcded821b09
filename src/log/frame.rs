//! The bytes of a frame, the unit of a log. A frame verifies only at its own offset.
//!
//! ```text
//! magic u32 | kind u16 | flags u16 = 0 | payload length u32 | payload CRC u32 | count u32 | sequence u64 | durable u64 | header CRC u32
//! ```
//!
//! Both checksums start from a seed of writer and offset, so bytes that were moved, recycled, taken from another log or
//! embedded in user text do not verify. A log's first frame names the writer; its own seed uses writer 0.

use crate::base::bytes::{Malformed, Reader};
use crate::base::checksum::{changed_bytes, crc32};
use crate::base::ids::WriterId;

/// Length of a frame's header, in bytes.
pub const HEADER_LEN: usize = 40;
/// The first bytes of a frame, none of them zero.
pub const MAGIC: [u8; 4] = *b"SWf\x1A";
/// Longest payload, in bytes.
pub const PAYLOAD_MAX: usize = 1 << 30;

/// Bytes that a disk writes atomically.
pub const SECTOR: u64 = 512;

/// Greater sequence numbers are damage; the bound also prevents overflows.
pub const SEQUENCE_MAX: u64 = 1 << 60;

/// The kind of a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The log's first frame, which names its writer.
    Start,
    /// Records and rows, applied atomically.
    Records,
    /// A row group.
    RowGroup,
    /// Empty: the writer finished, and its tail is empty.
    End,
}

impl Kind {
    /// The persisted number.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Start => 1,
            Self::Records => 2,
            Self::RowGroup => 3,
            Self::End => 4,
        }
    }

    fn of(number: u16) -> Option<Self> {
        [Self::Start, Self::Records, Self::RowGroup, Self::End].into_iter().find(|kind| kind.number() == number)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The kind of payload.
    pub kind: Kind,
    /// Length of the payload in bytes.
    pub len: u32,
    /// CRC-32 of the payload, from the frame's seed.
    pub payload_crc: u32,
    /// The number of points in this frame, known even if the payload is damaged.
    pub count: u32,
    /// The number of points of this writer before this frame.
    pub sequence: u64,
    /// The durable offset: bytes of the log before it were durable when this was written.
    pub durable: u64,
}

/// Why bytes are not a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// The file ends before the header does.
    Short,
    /// Only zeros, as a power loss often leaves.
    Zero,
    /// A header except for one byte. A power loss does not do that, so it was changed later.
    Changed,
    /// Something else.
    Foreign,
}

/// The seed of both checksums of the frame at `offset`.
#[must_use]
pub fn seed(writer: WriterId, offset: u64) -> u32 {
    let writer = if offset == 0 { 0 } else { writer.0 };
    crc32(crc32(0, &writer.to_le_bytes()), &offset.to_le_bytes())
}

/// The header fields that the writer sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// See [`Header::kind`].
    pub kind: Kind,
    /// See [`Header::count`].
    pub count: u32,
    /// See [`Header::sequence`].
    pub sequence: u64,
    /// See [`Header::durable`].
    pub durable: u64,
}

#[cfg(any(test, feature = "internals"))]
/// Appends a whole frame for this offset of the log.
///
/// # Panics
/// If the payload exceeds [`PAYLOAD_MAX`].
pub fn encode(label: Label, writer: WriterId, offset: u64, payload: &[u8], out: &mut Vec<u8>) {
    encode_header(label, writer, offset, payload, out);
    out.extend_from_slice(payload);
}

/// Appends the header of a frame with this payload for this offset of the log.
///
/// # Panics
/// If the payload exceeds [`PAYLOAD_MAX`].
pub fn encode_header(label: Label, writer: WriterId, offset: u64, payload: &[u8], out: &mut Vec<u8>) {
    let Label { kind, count, sequence, durable } = label;
    assert!(payload.len() <= PAYLOAD_MAX, "a frame's payload is bounded by its callers");
    let seed = seed(writer, offset);
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&kind.number().to_le_bytes());
    out.extend_from_slice(&0_u16.to_le_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32(seed, payload).to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    let header_crc = crc32(seed, &out[start..]);
    out.extend_from_slice(&header_crc.to_le_bytes());
}

/// Whether byte `at` of bytes that start at `offset` of a log may be zero because it never reached the disk: all bytes
/// from it to the end of its sector, or of `bytes`, are zero. A power loss may also lose just the last byte of a write.
#[must_use]
pub fn may_be_lost(bytes: &[u8], offset: u64, at: usize) -> bool {
    let block = (offset + at as u64 + 1).next_multiple_of(SECTOR) - offset;
    let end = usize::try_from(block).unwrap_or(usize::MAX).min(bytes.len());
    bytes[at..end].iter().all(|&byte| byte == 0)
}

/// Reads the header at `offset` from the bytes that start there.
///
/// # Errors
/// [`NoHeader`].
pub fn decode(bytes: &[u8], writer: WriterId, offset: u64) -> Result<Header, NoHeader> {
    let Some(header) = bytes.get(..HEADER_LEN) else {
        return Err(if bytes.iter().all(|&byte| byte == 0) { NoHeader::Zero } else { NoHeader::Short });
    };
    if header.iter().all(|&byte| byte == 0) {
        return Err(NoHeader::Zero);
    }
    let mut reader = Reader::new(header);
    let seed = seed(writer, offset);
    parse(&mut reader, seed, header).map_err(|_| {
        let (bytes, stored) = header.split_at(HEADER_LEN - 4);
        let stored = Reader::new(stored).u32().unwrap_or_default();
        let changed = changed_bytes(stored, crc32(seed, bytes), bytes.len()).any(|at| !may_be_lost(header, offset, at));
        if changed { NoHeader::Changed } else { NoHeader::Foreign }
    })
}

fn parse(reader: &mut Reader<'_>, seed: u32, header: &[u8]) -> Result<Header, Malformed> {
    let magic: [u8; 4] = reader.array()?;
    let (kind, flags) = (reader.u16()?, reader.u16()?);
    let (len, payload_crc) = (reader.u32()?, reader.u32()?);
    let count = reader.u32()?;
    let (sequence, durable) = (reader.u64()?, reader.u64()?);
    let header_crc = reader.u32()?;
    if magic != MAGIC
        || flags != 0
        || len as usize > PAYLOAD_MAX
        || header_crc != crc32(seed, &header[..HEADER_LEN - 4])
    {
        return Err(Malformed("a frame's header"));
    }
    if sequence.saturating_add(u64::from(count)) > SEQUENCE_MAX {
        return Err(Malformed("a frame's sequence"));
    }
    let kind = Kind::of(kind).ok_or(Malformed("a frame's kind"))?;
    Ok(Header { kind, len, payload_crc, count, sequence, durable })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Vec<u8> {
        let mut out = Vec::new();
        let label = Label { kind: Kind::Records, count: 3, sequence: 5, durable: 64 };
        encode(label, WriterId(7), 100, b"payload", &mut out);
        out
    }

    #[test]
    fn bytes_are_pinned() {
        let expected = "5357661a02000000070000006ca3bc56030000000500000000000000400000000000000053229fa47061796c6f6164";
        let hex: String = frame().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn a_frame_verifies_at_its_place_only() {
        let bytes = frame();
        let header = decode(&bytes, WriterId(7), 100).unwrap();
        assert_eq!((header.kind, header.len, header.count), (Kind::Records, 7, 3));
        assert_eq!((header.sequence, header.durable), (5, 64));
        assert_eq!(header.payload_crc, crc32(seed(WriterId(7), 100), &bytes[HEADER_LEN..]));
        assert_eq!(decode(&bytes, WriterId(7), 101), Err(NoHeader::Foreign));
        assert_eq!(decode(&bytes, WriterId(8), 100), Err(NoHeader::Foreign));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_seen() {
        let bytes = frame();
        for bit in 0..HEADER_LEN * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes, WriterId(7), 100), Err(NoHeader::Changed));
        }
        let text = b"no header at all, but forty bytes of text";
        assert_eq!(decode(text, WriterId(7), 100), Err(NoHeader::Foreign));
        assert_eq!(decode(&bytes[..20], WriterId(7), 100), Err(NoHeader::Short));
        assert_eq!(decode(&[0; 100], WriterId(7), 100), Err(NoHeader::Zero));
        assert_eq!(decode(&[0; 10], WriterId(7), 100), Err(NoHeader::Zero));
    }
}
