//! Sections of an index image: packs and unpacks a column's bytes, with checksums.

use crate::base::bytes::{Malformed, Reader, put_varint};
use crate::base::checksum::crc32;

/// The location of a section and how to verify and unpack it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// First byte in the image.
    pub(crate) offset: u64,
    /// Bytes in the image.
    pub(crate) stored_len: usize,
    /// Bytes once unpacked.
    pub(crate) raw_len: usize,
    /// The packing: [`PLAIN`] or [`ZSTD`].
    packing: u8,
    /// CRC-32 of the stored bytes, seeded with the section's number, so that sections cannot be swapped.
    crc: u32,
}

/// Stored as they are.
const PLAIN: u8 = 0;
/// One zstd frame.
const ZSTD: u8 = 1;
/// A zstd block of 4 bytes expands to at most 128 KiB, so no valid section grows by more than this.
const GROWTH_MAX: usize = 1 << 15;
/// Level 3: index parts are rewritten often, and higher levels gain little on columns that are narrow already.
const LEVEL: i32 = 3;

/// Packs `raw` as section `number` and appends it to `image`.
pub(crate) fn pack(image: &mut Vec<u8>, number: usize, raw: &[u8]) -> Section {
    let offset = image.len() as u64;
    let packed = crate::base::zstd::compress(raw, LEVEL).filter(|packed| packed.len() < raw.len());
    let (packing, stored) = match &packed {
        Some(packed) => (ZSTD, packed.as_slice()),
        None => (PLAIN, raw),
    };
    image.extend_from_slice(stored);
    Section { offset, stored_len: stored.len(), raw_len: raw.len(), packing, crc: crc32(number as u32, stored) }
}

/// Verifies the stored bytes of section `number` and unpacks them.
///
/// # Errors
/// [`Malformed`] if checksum, length or packing is wrong. Allocations are bounded by the stored bytes times
/// [`GROWTH_MAX`], and only touched as far as they unpack.
pub(crate) fn unpack(section: &Section, number: usize, stored: Vec<u8>) -> Result<Vec<u8>, Malformed> {
    if stored.len() != section.stored_len || crc32(number as u32, &stored) != section.crc {
        return Err(Malformed("a section whose checksum does not match"));
    }
    let raw = match section.packing {
        PLAIN => stored,
        _ => crate::base::zstd::decompress(&stored, section.raw_len)
            .ok_or(Malformed("a section that does not unpack"))?,
    };
    if raw.len() == section.raw_len { Ok(raw) } else { Err(Malformed("a section of another length")) }
}

impl Section {
    /// Appends the entry for the directory; the offset follows from those before it.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.stored_len as u64);
        put_varint(out, self.raw_len as u64);
        out.push(self.packing);
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    /// Reads an entry whose section starts at `offset` and must end by `end`.
    pub(crate) fn read(reader: &mut Reader<'_>, offset: u64, end: u64) -> Result<Self, Malformed> {
        let room =
            usize::try_from(end.saturating_sub(offset)).map_err(|_| Malformed("an image over the address space"))?;
        let stored_len = reader.count(room)?;
        let raw_len = reader.count(stored_len.saturating_mul(GROWTH_MAX))?;
        let packing = reader.u8()?;
        let crc = reader.u32()?;
        match packing {
            PLAIN if raw_len != stored_len => Err(Malformed("a plain section of two lengths")),
            PLAIN | ZSTD => Ok(Self { offset, stored_len, raw_len, packing, crc }),
            _ => Err(Malformed("an unknown packing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_round_trip_and_know_their_place() {
        for raw in [vec![], vec![7], vec![0; 3 << 20], (0..200_u8).collect::<Vec<_>>()] {
            let mut image = vec![1, 2, 3];
            let section = pack(&mut image, 5, &raw);
            let stored = image[3..].to_vec();
            let mut entry = Vec::new();
            section.put(&mut entry);
            let read = Section::read(&mut Reader::new(&entry), 3, image.len() as u64).unwrap();
            assert_eq!(read, section);
            assert_eq!(unpack(&read, 5, stored.clone()).unwrap(), raw);
            assert!(raw.is_empty() || unpack(&read, 6, stored).is_err());
        }
    }
}
