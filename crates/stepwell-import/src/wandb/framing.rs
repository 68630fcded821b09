//! LevelDB's log framing as W&B uses it: finds the records of a `.wandb` file, and continues after damage.
//!
//! A file is a header of 7 bytes, then chunks in blocks of 32 KiB counted from the file's beginning. A chunk is a
//! CRC-32 of kind and data (4 bytes), its length (2), its kind (1), and the data. A chunk never crosses a block; a
//! record is one full chunk, or a first, some middle ones and a last. Up to 6 bytes at a block's end are zero.

use std::io::{Chain, Cursor, Read, Result};

/// What every file begins with; three bytes of version follow.
pub(crate) const MAGIC: &[u8] = b":W&B";

const FILE_HEADER_BYTES: usize = 7;
const CHUNK_HEADER_BYTES: usize = 7;
const BLOCK_BYTES: usize = 32 << 10;

/// Longer records are passed over: W&B's own messages are limited to less.
const RECORD_BYTES_MAX: usize = 256 << 20;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// What is next in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A record.
    Record {
        /// Where its first chunk begins.
        offset: u64,
        /// Its bytes.
        bytes: Vec<u8>,
        /// Whether all its chunks' checksums hold.
        sound: bool,
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

/// A chunk's header.
struct Header {
    crc: u32,
    length: usize,
    kind: u8,
}

/// A record of several chunks, as far as it was read.
struct Partial {
    offset: u64,
    bytes: Vec<u8>,
    sound: bool,
}

/// Reads records one after the other.
pub(crate) struct Records<R> {
    source: Chain<Cursor<Vec<u8>>, R>,
    block: Vec<u8>,
    /// Where the block begins, counted as if the file had a header.
    block_offset: u64,
    /// Where in the block the next chunk begins.
    at: usize,
    /// How many bytes of header the file lacks: offsets are told without them.
    missing: u64,
    partial: Option<Partial>,
    /// Where zeros began that have lasted to here.
    zeros_from: Option<u64>,
    /// Damage found and not yet told.
    untold: Option<Next>,
}

impl<R: Read> Records<R> {
    /// Records of a source that stands at its beginning.
    pub(crate) fn new(mut source: R) -> Result<Self> {
        let mut head = Vec::new();
        (&mut source).take(BLOCK_BYTES as u64).read_to_end(&mut head)?;
        let mut missing = 0;
        let damage = |reason: &str| Some(Next::Damage { offset: 0, reason: reason.into() });
        let untold = if head.starts_with(MAGIC) && head.len() >= FILE_HEADER_BYTES {
            None
        } else if head.is_empty() {
            damage("the file is empty")
        } else if sound_chunk(&head, 0) {
            missing = FILE_HEADER_BYTES;
            head.splice(0..0, [0; FILE_HEADER_BYTES]);
            damage("the header of a W&B log is missing; read without it")
        } else if head.len() < FILE_HEADER_BYTES {
            damage("the file ends within its header")
        } else {
            damage("the header of a W&B log is damaged; read without it")
        };
        let mut records = Self {
            source: Cursor::new(head).chain(source),
            block: Vec::new(),
            block_offset: 0,
            at: FILE_HEADER_BYTES,
            missing: missing as u64,
            partial: None,
            zeros_from: None,
            untold,
        };
        records.fill()?;
        Ok(records)
    }

    /// Reads the next record.
    pub(crate) fn next(&mut self) -> Result<Next> {
        loop {
            if let Some(damage) = self.untold.take() {
                return Ok(damage);
            }
            let left = self.block.len().saturating_sub(self.at);
            if left < CHUNK_HEADER_BYTES {
                let at_end = self.block.len() < BLOCK_BYTES;
                if at_end && left > 0 && self.block[self.at..].iter().any(|byte| *byte != 0) {
                    let offset = self.offset(self.at);
                    self.at = self.block.len();
                    return Ok(torn(offset, left));
                }
                if at_end || !self.next_block()? {
                    return Ok(self.end());
                }
                continue;
            }
            if self.block[self.at..].iter().take(CHUNK_HEADER_BYTES).all(|byte| *byte == 0)
                && self.block[self.at..].iter().all(|byte| *byte == 0)
            {
                self.zeros_from.get_or_insert(self.block_offset + self.at as u64);
                self.at = self.block.len();
                continue;
            }
            if let Some(from) = self.zeros_from.take() {
                let reason = format!("{} zero bytes between records", self.block_offset + self.at as u64 - from);
                return Ok(Next::Damage { offset: from.saturating_sub(self.missing), reason });
            }
            if let Some(next) = self.chunk() {
                return Ok(next);
            }
        }
    }

    /// Takes the chunk at the present place; `None` when it only adds to a record.
    fn chunk(&mut self) -> Option<Next> {
        let (at, offset) = (self.at, self.offset(self.at));
        let header = header(&self.block, at)?;
        let data = at + CHUNK_HEADER_BYTES..at + CHUNK_HEADER_BYTES + header.length;
        let fits = (FULL..=LAST).contains(&header.kind) && data.end <= self.block.len();
        let sound = sound_chunk(&self.block, at);
        // A length is believed when the checksum holds, or when what it leads to is a chunk or the end.
        let believed = sound || (fits && self.leads_on(data.end));
        if !believed {
            return Some(self.pass_damage(offset, header.length));
        }
        self.at = data.end;
        let bytes = self.block.get(data)?;
        match header.kind {
            FULL | FIRST => {
                let broken = self
                    .partial
                    .take()
                    .map(|partial| Next::Damage { offset: partial.offset, reason: "a record without its end".into() });
                if header.kind == FIRST {
                    self.partial = Some(Partial { offset, bytes: bytes.to_vec(), sound });
                    return broken;
                }
                let record = Next::Record { offset, bytes: bytes.to_vec(), sound };
                if broken.is_some() {
                    self.untold = Some(record);
                    return broken;
                }
                Some(record)
            }
            kind => {
                let Some(partial) = &mut self.partial else {
                    return Some(Next::Damage { offset, reason: "a record without its beginning; passed over".into() });
                };
                partial.sound &= sound;
                if partial.bytes.len() + bytes.len() > RECORD_BYTES_MAX {
                    let offset = partial.offset;
                    self.partial = None;
                    return Some(Next::Damage {
                        offset,
                        reason: format!("a record longer than {RECORD_BYTES_MAX} bytes; passed over"),
                    });
                }
                partial.bytes.extend_from_slice(bytes);
                if kind == MIDDLE {
                    return None;
                }
                self.partial.take().map(|Partial { offset, bytes, sound }| Next::Record { offset, bytes, sound })
            }
        }
    }

    /// Whether a place is the end of the file or of the block, or has a sound chunk.
    fn leads_on(&self, at: usize) -> bool {
        let left = self.block.len().saturating_sub(at);
        left == 0 || (left < CHUNK_HEADER_BYTES && self.block.len() == BLOCK_BYTES) || sound_chunk(&self.block, at)
    }

    /// Behind a header that cannot be one: goes to the next sound chunk in this block, else to the next block.
    fn pass_damage(&mut self, offset: u64, length: usize) -> Next {
        let from = self.at;
        self.partial = None;
        let found = (from + 1..self.block.len()).find(|&at| sound_chunk(&self.block, at));
        self.at = found.unwrap_or(self.block.len());
        if found.is_none() && self.block.len() < BLOCK_BYTES {
            let left = self.block.len() - from;
            return if length + CHUNK_HEADER_BYTES > left {
                torn(offset, left)
            } else {
                Next::Damage { offset, reason: format!("the last {left} bytes are not records") }
            };
        }
        Next::Damage { offset, reason: format!("{} bytes that are not a record; passed over", self.at - from) }
    }

    /// The last words at the end of the file.
    fn end(&mut self) -> Next {
        if let Some(from) = self.zeros_from.take() {
            let bytes = self.block_offset + self.block.len() as u64 - from;
            self.untold = self
                .partial
                .take()
                .map(|partial| Next::Damage { offset: partial.offset, reason: "the last record is torn".into() });
            return Next::Damage {
                offset: from.saturating_sub(self.missing),
                reason: format!("a zero-filled tail of {bytes} bytes, as a crash leaves it"),
            };
        }
        match self.partial.take() {
            Some(partial) => Next::Damage {
                offset: partial.offset,
                reason: format!("the last record is torn after {} bytes", partial.bytes.len()),
            },
            None => Next::End,
        }
    }

    /// Goes to the next block; false when there is none.
    fn next_block(&mut self) -> Result<bool> {
        self.block_offset += self.block.len() as u64;
        self.at = 0;
        self.fill()?;
        Ok(!self.block.is_empty())
    }

    fn fill(&mut self) -> Result<()> {
        self.block.clear();
        (&mut self.source).take(BLOCK_BYTES as u64).read_to_end(&mut self.block)?;
        self.at = self.at.min(self.block.len());
        Ok(())
    }

    /// A place of the block as an offset in the file.
    fn offset(&self, at: usize) -> u64 {
        (self.block_offset + at as u64).saturating_sub(self.missing)
    }
}

fn torn(offset: u64, left: usize) -> Next {
    Next::Damage { offset, reason: format!("the last record is torn: {left} bytes of it are there") }
}

fn header(block: &[u8], at: usize) -> Option<Header> {
    let bytes: [u8; CHUNK_HEADER_BYTES] = block.get(at..at + CHUNK_HEADER_BYTES)?.try_into().ok()?;
    let [a, b, c, d, low, high, kind] = bytes;
    Some(Header { crc: u32::from_le_bytes([a, b, c, d]), length: usize::from(u16::from_le_bytes([low, high])), kind })
}

/// Whether a chunk begins here that fits and whose checksum holds.
fn sound_chunk(block: &[u8], at: usize) -> bool {
    header(block, at).is_some_and(|header| {
        (FULL..=LAST).contains(&header.kind)
            && block
                .get(at + CHUNK_HEADER_BYTES - 1..at + CHUNK_HEADER_BYTES + header.length)
                .is_some_and(|bytes| crc32fast::hash(bytes) == header.crc)
    })
}

/// A file of these records.
#[cfg(test)]
pub(crate) fn write_log(records: &[Vec<u8>]) -> Vec<u8> {
    let mut file = [MAGIC, &[0xe1, 0xbe, 0]].concat();
    for record in records {
        let (mut rest, mut first) = (record.as_slice(), true);
        loop {
            let mut left = BLOCK_BYTES - file.len() % BLOCK_BYTES;
            if left < CHUNK_HEADER_BYTES {
                file.extend(std::iter::repeat_n(0, left));
                left = BLOCK_BYTES;
            }
            let (now, later) = rest.split_at(rest.len().min(left - CHUNK_HEADER_BYTES));
            let kind = match (first, later.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            let checked = [&[kind], now].concat();
            file.extend_from_slice(&crc32fast::hash(&checked).to_le_bytes());
            file.extend_from_slice(&(now.len() as u16).to_le_bytes());
            file.extend_from_slice(&checked);
            (rest, first) = (later, false);
            if later.is_empty() {
                break;
            }
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<(u64, String)>) {
        let mut records = Records::new(bytes).unwrap();
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        loop {
            match records.next().unwrap() {
                Next::Record { bytes, sound, .. } if sound => good.push(bytes),
                Next::Record { offset, .. } => bad.push((offset, "checksum".into())),
                Next::Damage { offset, reason } => bad.push((offset, reason)),
                Next::End => return (good, bad),
            }
        }
    }

    fn sample() -> Vec<Vec<u8>> {
        vec![vec![1; 10], vec![2; 40_000], vec![3; 5], vec![4; 100_000], vec![5; 7], vec![6; 30_000], vec![7; 3]]
    }

    #[test]
    fn records_cross_blocks() {
        let whole = write_log(&sample());
        assert_eq!(read_all(&whole), (sample(), vec![]));
    }

    #[test]
    fn a_file_without_its_header_is_read_and_its_offsets_are_its_own() {
        let whole = write_log(&sample());
        let (good, bad) = read_all(&whole[7..]);
        assert_eq!(good, sample());
        assert_eq!(bad.len(), 1);
        assert!(bad[0].1.contains("missing"));
        let mut damaged = whole.clone();
        damaged[1] = b'x';
        assert_eq!(read_all(&damaged).0, sample());
        damaged[7 + 10] ^= 1;
        let mut headless = Records::new(&damaged[7..]).unwrap();
        assert!(matches!(headless.next().unwrap(), Next::Damage { offset: 0, .. }));
    }

    #[test]
    fn damage_costs_its_own_record_only() {
        let all: Vec<Vec<u8>> = (0..6u8).map(|i| vec![i + 1; 20]).collect();
        let whole = write_log(&all);
        for at in 7..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            let (good, bad) = read_all(&bytes);
            assert_eq!((good.len(), bad.len()), (5, 1), "byte {at}: {bad:?}");
        }
    }

    #[test]
    fn every_cut_is_told_unless_it_is_between_records() {
        let all: Vec<Vec<u8>> = (0..4u8).map(|i| vec![i + 1; 9]).collect();
        let whole = write_log(&all);
        for cut in 0..whole.len() {
            let (good, bad) = read_all(&whole[..cut]);
            let clean = cut >= 7 && (cut - 7) % 16 == 0;
            assert_eq!(bad.is_empty(), clean, "cut at {cut}: {bad:?}");
            assert_eq!(good, all[..cut.saturating_sub(7) / 16]);
        }
    }

    #[test]
    fn zeros_have_a_name() {
        let mut bytes = write_log(&[vec![1; 9]]);
        let length = bytes.len() as u64;
        bytes.resize(200_000, 0);
        let (good, bad) = read_all(&bytes);
        assert_eq!((good.len(), bad.len(), bad[0].0), (1, 1, length));
        assert!(bad[0].1.contains("zero-filled tail"), "{}", bad[0].1);
    }
}
