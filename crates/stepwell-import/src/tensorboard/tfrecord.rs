//! TFRecord framing: finds the records of an event file, and continues after damage.
//!
//! A record is its length (8 bytes), the length's checksum (4), the bytes, and their checksum (4), all little-endian.
//! Checksums are CRC-32C, rotated and offset so that a checksum of checksums stays good.

use std::fs::File;
use std::io::{BufReader, Read, Result, Seek, SeekFrom};

/// Longer records are passed over: no summary is as long, and a damaged length may be.
const RECORD_BYTES_MAX: u64 = 256 << 20;

const HEADER_BYTES: usize = 12;

/// What is next in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A record; its bytes are in the caller's buffer.
    Record {
        /// Where its header begins.
        offset: u64,
    },
    /// A place that cannot be read; the next call goes on behind it.
    Damage {
        /// Where it begins.
        offset: u64,
        /// What it is.
        reason: String,
    },
    /// Nothing more.
    End,
}

/// Reads records one after the other.
pub(crate) struct Records<R> {
    reader: BufReader<R>,
    offset: u64,
    /// The file's length when it was opened; what is appended later is for the next import.
    length: u64,
}

impl Records<File> {
    /// Records of an open file.
    pub(crate) fn open(file: File) -> Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self::new(file, length))
    }
}

impl<R: Read + Seek> Records<R> {
    /// Records of a source of known length, which stands at its beginning.
    pub(crate) fn new(source: R, length: u64) -> Self {
        Self { reader: BufReader::with_capacity(1 << 18, source), offset: 0, length }
    }

    /// Reads the next record into `buffer`, whose capacity never exceeds the bytes that were there.
    pub(crate) fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Next> {
        let (offset, left) = (self.offset, self.length.saturating_sub(self.offset));
        buffer.clear();
        if left == 0 {
            return Ok(Next::End);
        }
        (&mut self.reader).take(HEADER_BYTES as u64).read_to_end(buffer)?;
        let Some(length) = header_length(buffer) else {
            return self.pass_damage(offset, buffer.len() < HEADER_BYTES);
        };
        let needed = length.saturating_add(16);
        if needed > left {
            self.offset = self.length;
            return Ok(Next::Damage {
                offset,
                reason: format!("the last record is torn: it needs {needed} bytes, {left} are there"),
            });
        }
        self.offset = offset + needed;
        if length > RECORD_BYTES_MAX {
            self.reader.seek(SeekFrom::Start(self.offset))?;
            return Ok(Next::Damage {
                offset,
                reason: format!("a record of {length} bytes is longer than {RECORD_BYTES_MAX}; passed over"),
            });
        }
        buffer.clear();
        (&mut self.reader).take(length + 4).read_to_end(buffer)?;
        let data = buffer.len().saturating_sub(4);
        let Some(stored) = buffer
            .get(data..)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_le_bytes)
            .filter(|_| data as u64 == length)
        else {
            self.offset = self.length;
            return Ok(Next::Damage { offset, reason: "the file became shorter while it was read".into() });
        };
        buffer.truncate(data);
        if stored != masked_crc(buffer) {
            return Ok(Next::Damage {
                offset,
                reason: format!("a record of {length} bytes fails its checksum; passed over"),
            });
        }
        Ok(Next::Record { offset })
    }

    /// Behind a header that cannot be one: names a zero-filled or torn tail, else looks for the next good header.
    fn pass_damage(&mut self, offset: u64, short: bool) -> Result<Next> {
        let mut window = Vec::new();
        let mut window_offset = offset;
        let mut all_zero = true;
        self.reader.seek(SeekFrom::Start(offset))?;
        loop {
            let room = (self.length.saturating_sub(window_offset + window.len() as u64)).min(1 << 16);
            let read = (&mut self.reader).take(room).read_to_end(&mut window)?;
            all_zero &= window.iter().all(|byte| *byte == 0);
            let found = window.windows(HEADER_BYTES).enumerate().find(|(at, header)| {
                let left = self.length.saturating_sub(window_offset + *at as u64);
                plausible(header)
                    && header_length(header).is_some_and(|length| length <= RECORD_BYTES_MAX && length + 16 <= left)
            });
            if let Some((at, _)) = found {
                self.offset = window_offset + at as u64;
                self.reader.seek(SeekFrom::Start(self.offset))?;
                let reason = format!("{} bytes that are not a record; passed over", self.offset - offset);
                return Ok(Next::Damage { offset, reason });
            }
            if read == 0 {
                self.offset = self.length;
                let bytes = self.length.saturating_sub(offset);
                let reason = match (all_zero, short) {
                    (true, _) => {
                        format!("a zero-filled tail of {bytes} bytes, as a crash leaves it")
                    }
                    (false, true) => {
                        format!("the last record is torn: its header needs {HEADER_BYTES} bytes, {bytes} are there")
                    }
                    (false, false) => format!("the last {bytes} bytes are not records"),
                };
                return Ok(Next::Damage { offset, reason });
            }
            let keep = window.len().min(HEADER_BYTES - 1);
            window_offset += (window.len() - keep) as u64;
            window.drain(..window.len() - keep);
        }
    }
}

/// The length a header states, if its checksum holds.
fn header_length(header: &[u8]) -> Option<u64> {
    let length = header.get(..8)?;
    let stored = u32::from_le_bytes(header.get(8..12)?.try_into().ok()?);
    (stored == masked_crc(length)).then(|| u64::from_le_bytes(length.try_into().unwrap_or_default()))
}

/// Whether a header's length is small enough to look at its checksum: the upper bytes are zero.
fn plausible(header: &[u8]) -> bool {
    header.get(4..8) == Some(&[0; 4])
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Whether a file's first 16 bytes begin a record.
pub(crate) fn is_event_file(head: &[u8]) -> bool {
    header_length(head).is_some_and(|length| length > 0)
}

/// One record's bytes in a file.
pub(crate) fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), data, &masked_crc(data).to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn read_all(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<(u64, String)>) {
        let mut records = Records::new(Cursor::new(bytes), bytes.len() as u64);
        let (mut good, mut bad, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            match records.next(&mut buffer).unwrap() {
                Next::Record { .. } => good.push(buffer.clone()),
                Next::Damage { offset, reason } => bad.push((offset, reason)),
                Next::End => return (good, bad),
            }
        }
    }

    #[test]
    fn a_known_record_has_known_checksums() {
        // The first record of a file written by TensorFlow.
        let bytes = b"\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22";
        assert_eq!(header_length(bytes), Some(24));
    }

    #[test]
    fn damage_costs_its_own_record_only() {
        let all: Vec<Vec<u8>> = (0..5u8).map(|i| vec![i; 20 + i as usize]).collect();
        let whole: Vec<u8> = all.iter().flat_map(|data| frame(data)).collect();
        assert_eq!(read_all(&whole), (all.clone(), vec![]));
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            let (good, bad) = read_all(&bytes);
            assert_eq!((good.len(), bad.len()), (4, 1), "byte {at}: {bad:?}");
            assert!(good.iter().all(|data| all.contains(data)));
        }
    }

    #[test]
    fn tails_are_named() {
        let mut bytes = frame(b"abc");
        let length = bytes.len();
        bytes.extend_from_slice(&[0; 100]);
        let (good, bad) = read_all(&bytes);
        assert_eq!((good.len(), bad.len(), bad[0].0), (1, 1, length as u64));
        assert!(bad[0].1.contains("zero-filled tail of 100 bytes"), "{}", bad[0].1);
        for cut in 1..length {
            let (good, bad) = read_all(&bytes[..cut]);
            assert!(good.is_empty());
            assert_eq!((bad.len(), bad[0].0), (1, 0));
            assert!(bad[0].1.contains("torn"), "{cut}: {}", bad[0].1);
        }
    }

    #[test]
    fn a_length_out_of_the_world_allocates_nothing() {
        let length = (1u64 << 62).to_le_bytes();
        let bytes = [&length[..], &masked_crc(&length).to_le_bytes(), b"x"].concat();
        let (good, bad) = read_all(&bytes);
        assert!(good.is_empty() && bad[0].1.contains("torn"));
    }
}
