//! The order of an index image: header, sections, directory, and the constants that name them.
//!
//! ```text
//! header (56 bytes): magic[8] version:u32 zero:u32 directory_offset:u64 directory_len:u64 directory_crc:u32 pack:u128
//!   header_crc:u32
//! sections, one after the other without a gap, each with its own checksum
//! directory: rows, blocks of four families, one entry a section; it ends the image
//! ```
//! Sections are in this order: the runs' own columns ([`run`]), then for metrics, params, tags and items the key table
//! ([`KEY_SECTIONS`]) and each block's sections. A **block** has the cells of one dense key (a row for each run) or of
//! several sparse keys (a row for each run that has the key, key after key), so that rare keys share sections.
//!
//! An image belongs to a pack, with its runs in the order of the pack's rows, or stands alone. The image of a pack
//! repeats neither run keys nor the values of single points: see [`crate::index::packed`].

use crate::base::bytes::{Malformed, Reader, put_varint};
use crate::base::checksum::crc32;
use crate::index::section::Section;

/// First bytes of an index image.
pub(crate) const MAGIC: [u8; 8] = *b"STEPWIDX";
/// The format that this build writes; it reads no other.
pub(crate) const VERSION: u32 = 2;
/// Bytes of the header.
pub(crate) const HEADER_LEN: usize = 56;

/// Which sections hold what every run has.
pub(crate) mod run {
    /// Run keys, 16 bytes each; empty in the image of a pack, which has them.
    pub(crate) const IDS: usize = 0;
    /// For each run its id if that is not 32 hex characters, else nothing; empty if there are none.
    pub(crate) const ID_TEXTS: usize = 1;
    /// Distinct experiment ids, as two's complement, ascending.
    pub(crate) const EXPERIMENTS: usize = 2;
    /// Each run's place in [`EXPERIMENTS`].
    pub(crate) const EXPERIMENT_CODES: usize = 3;
    /// Distinct names, sorted.
    pub(crate) const NAMES: usize = 4;
    /// Each run's place in [`NAMES`].
    pub(crate) const NAME_CODES: usize = 5;
    /// Distinct users, sorted.
    pub(crate) const USERS: usize = 6;
    /// Each run's place in [`USERS`].
    pub(crate) const USER_CODES: usize = 7;
    /// Each run's status, by its number.
    pub(crate) const STATUS: usize = 8;
    /// Which runs are deleted; empty if none are.
    pub(crate) const DELETED: usize = 9;
    /// Which runs have a start; empty if all have.
    pub(crate) const START_PRESENT: usize = 10;
    /// Start times in milliseconds.
    pub(crate) const START: usize = 11;
    /// Which runs have an end; empty if all have.
    pub(crate) const END_PRESENT: usize = 12;
    /// End times in milliseconds.
    pub(crate) const END: usize = 13;
    /// Each run's kind.
    pub(crate) const KIND: usize = 14;
    /// The generation of each run's deletion attribute.
    pub(crate) const DELETED_GENERATION: usize = 15;
    /// The locations of the pack's pools; empty if no column needs them.
    pub(crate) const POOLS: usize = 16;
    /// Sections of integers.
    pub(crate) const INTS: [usize; 8] =
        [EXPERIMENT_CODES, NAME_CODES, USER_CODES, STATUS, START, END, KIND, DELETED_GENERATION];
    /// How many sections these are.
    pub(crate) const SECTIONS: usize = 17;
}

/// Sections of a key table: names sorted by bytes, each key's block, each key's count of runs.
pub(crate) const KEY_SECTIONS: usize = 3;

/// Sections of a block of metrics, after the first, which says which runs have cells.
pub(crate) mod metric {
    /// Bits: 1 latest has a timestamp, 2 first has one, 4 there is a min, 8 there is a max.
    pub(crate) const FLAGS: usize = 1;
    /// Counts of points; 0 if a dense key has no cell.
    pub(crate) const COUNT: usize = 2;
    /// See [`COUNT`].
    pub(crate) const NAN_COUNT: usize = 3;
    /// See [`COUNT`].
    pub(crate) const INF_COUNT: usize = 4;
    /// The latest point.
    pub(crate) const LATEST_STEP: usize = 5;
    /// Milliseconds; may be stored relative to the run's start.
    pub(crate) const LATEST_TIME: usize = 6;
    /// The latest value; those of single-point cells may be in the pack.
    pub(crate) const LATEST: usize = 7;
    /// The first point; this and what follows may be stored relative to the latest point's field.
    pub(crate) const FIRST_STEP: usize = 8;
    /// Milliseconds.
    pub(crate) const FIRST_TIME: usize = 9;
    /// The first value.
    pub(crate) const FIRST: usize = 10;
    /// The least value's step.
    pub(crate) const MIN_STEP: usize = 11;
    /// The least value.
    pub(crate) const MIN: usize = 12;
    /// The greatest value's step.
    pub(crate) const MAX_STEP: usize = 13;
    /// The greatest value.
    pub(crate) const MAX: usize = 14;
    /// The sum of finite values.
    pub(crate) const SUM: usize = 15;
    /// How many sections a block of metrics has.
    pub(crate) const SECTIONS: usize = 16;
    /// The section that `column` may be relative to.
    pub(crate) fn reference(column: usize) -> Option<usize> {
        match column {
            FIRST_STEP | MIN_STEP | MAX_STEP => Some(LATEST_STEP),
            FIRST_TIME => Some(LATEST_TIME),
            FIRST | MIN | MAX | SUM => Some(LATEST),
            _ => None,
        }
    }
}

/// Sections of a block of params, tags or items, after the first, which says which runs have cells.
pub(crate) mod text {
    /// Distinct values of the block, sorted.
    pub(crate) const DICTIONARY: usize = 1;
    /// Each cell's place in the dictionary.
    pub(crate) const CODES: usize = 2;
    /// How many sections such a block has.
    pub(crate) const SECTIONS: usize = 3;
}

/// How a column is stored: its first byte.
pub(crate) mod form {
    /// As it is.
    pub(crate) const PLAIN: u8 = 0;
    /// Relative to another column of the block: integers by difference, floats by XOR.
    pub(crate) const RELATIVE: u8 = 1;
    /// Floats: first the spans of the pack's pools with the values of single-point cells, then the values of the
    /// others, except cells of 0 points.
    pub(crate) const IN_PACK: u8 = 2;
    /// Integers: relative to the start of the cell's run.
    pub(crate) const TO_START: u8 = 3;
    /// Integers: relative to the previous value; the first 8 bytes are the value before the first.
    pub(crate) const TO_PREVIOUS: u8 = 4;
}

/// What has keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Metrics = 0,
    Params = 1,
    Tags = 2,
    Items = 3,
}

impl Family {
    pub(crate) const ALL: [Self; 4] = [Self::Metrics, Self::Params, Self::Tags, Self::Items];

    /// Sections of each of its blocks.
    pub(crate) fn block_sections(self) -> usize {
        if self == Self::Metrics { metric::SECTIONS } else { text::SECTIONS }
    }
}

/// A block of cells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// Whether it is a single key with a cell for each run.
    pub(crate) dense: bool,
    /// The number of cells.
    pub(crate) cells: usize,
    /// Its first section.
    pub(crate) section: usize,
}

/// The contents of an image and their locations.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// The pack whose runs these are; 0 for none.
    pub(crate) pack: u128,
    /// The number of runs.
    pub(crate) rows: usize,
    /// Blocks of metrics, params, tags and items.
    pub(crate) blocks: [Vec<Block>; 4],
    /// First section of each family's key table.
    pub(crate) keys: [usize; 4],
    /// All sections.
    pub(crate) sections: Vec<Section>,
}

impl Directory {
    /// Completes the image: appends the directory and writes the header.
    pub(crate) fn finish(&self, image: &mut Vec<u8>) {
        let offset = image.len() as u64;
        let mut bytes = Vec::new();
        put_varint(&mut bytes, self.rows as u64);
        for blocks in &self.blocks {
            put_varint(&mut bytes, blocks.len() as u64);
            for block in blocks {
                bytes.push(u8::from(block.dense));
                put_varint(&mut bytes, block.cells as u64);
            }
        }
        for section in &self.sections {
            section.put(&mut bytes);
        }
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&0_u32.to_le_bytes());
        header.extend_from_slice(&offset.to_le_bytes());
        header.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        header.extend_from_slice(&crc32(0, &bytes).to_le_bytes());
        header.extend_from_slice(&self.pack.to_le_bytes());
        header.extend_from_slice(&crc32(0, &header).to_le_bytes());
        image[..HEADER_LEN].copy_from_slice(&header);
        image.extend_from_slice(&bytes);
    }

    /// Reads the directory's bytes; `sections_end` is where the last section must end.
    pub(crate) fn read(bytes: &[u8], sections_end: u64) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        // Ordinals are u32, and the last one is unused.
        let rows = reader.count(u32::MAX as usize - 1)?;
        let mut directory = Self { rows, ..Self::default() };
        let mut section = run::SECTIONS;
        for family in Family::ALL {
            directory.keys[family as usize] = section;
            section += KEY_SECTIONS;
            // A block takes at least two bytes of the directory.
            let count = reader.count(reader.remaining() / 2)?;
            for _ in 0..count {
                let dense = match reader.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(Malformed("a block that is neither dense nor sparse")),
                };
                let cells = reader.count(u32::MAX as usize)?;
                if dense && cells != rows {
                    return Err(Malformed("a dense block of another length"));
                }
                directory.blocks[family as usize].push(Block { dense, cells, section });
                section += family.block_sections();
            }
        }
        let mut offset = HEADER_LEN as u64;
        for _ in 0..section {
            let entry = Section::read(&mut reader, offset, sections_end)?;
            offset += entry.stored_len as u64;
            directory.sections.push(entry);
        }
        reader.end()?;
        if offset == sections_end { Ok(directory) } else { Err(Malformed("bytes that no section covers")) }
    }
}

/// The header.
pub(crate) struct Header {
    /// The offset of the directory.
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) len: usize,
    /// Its checksum.
    pub(crate) crc: u32,
    /// The format's version.
    pub(crate) version: u32,
    /// The pack whose runs the image has; 0 for none.
    pub(crate) pack: u128,
}

impl Header {
    /// Reads and verifies the header of an image of `image_len` bytes. The caller checks the version.
    pub(crate) fn read(bytes: &[u8], image_len: u64) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(Malformed("not a run index"));
        }
        let version = reader.u32()?;
        let zero = reader.u32()?;
        let offset = reader.u64()?;
        let len = reader.u64()?;
        let crc = reader.u32()?;
        let pack = reader.u128()?;
        if reader.u32()? != crc32(0, &bytes[..HEADER_LEN - 4]) {
            return Err(Malformed("a header whose checksum does not match"));
        }
        if version == VERSION && (zero != 0 || offset < HEADER_LEN as u64 || offset.checked_add(len) != Some(image_len))
        {
            return Err(Malformed("a directory that does not end the image"));
        }
        let len = usize::try_from(len).map_err(|_| Malformed("an image over the address space"))?;
        Ok(Self { offset, len, crc, version, pack })
    }
}
