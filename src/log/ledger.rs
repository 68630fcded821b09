//! Ledgers: outside its log, each writer leaves a line that says what the log must contain, so that a missing,
//! truncated or emptied log is noticed.
//!
//! A ledger is an array of 128-byte lines, one per writer. A process that opens writers locks a free ledger, or creates
//! one, and keeps the lock as long as it or one of its writers lives. A line is written when its writer creates the
//! log, first uses its tail, syncs, and ends: in place, by one write each, never synced. So a line may be outdated, but
//! it never claims too much:
//!
//! * What it calls synced was synced before the line was written, and stays true.
//! * Everything else holds until a power loss. The line contains the `life` of its file, which changes whenever
//!   unsynced data may have been lost, and which differs for copies of the file. Under another life only what was
//!   synced counts.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::bytes::{Malformed, Reader};
use crate::base::checksum::{crc32, differs_by_one_byte};
use crate::base::ids::{RunKey, WriterId};
use crate::storage::{File, fork};

/// Length of a line, in bytes.
pub const LINE_LEN: usize = 128;
/// The first bytes of a line; none of them is zero.
const MAGIC: [u8; 4] = *b"SWl\x1A";
/// Offset of the life in a line.
const LIFE_AT: usize = 40;
/// Most lines of a ledger; then a new one is started.
const LINES_MAX: u64 = 8 << 10;

/// The tail has points: it must exist until the log ends.
const TAIL: u32 = 1;
/// The writer ended the log.
const ENDED: u32 = 2;
/// The log may be gone: a pack or tombstone covers it, or `repair` reported it lost.
const RETIRED: u32 = 4;
/// The log is an edit log.
const EDITS: u32 = 8;
/// The log is relayed: its points count as another writer's.
const RELAYED: u32 = 16;

/// The contents of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The run; `None` for an edit log.
    pub run: Option<RunKey>,
    /// The log's writer.
    pub writer: WriterId,
    /// See [`File::life`]; 0 if unknown.
    pub life: u64,
    /// The least length of the log in bytes; the exact length once it ended.
    pub len: u64,
    /// Its number of points; 0 before it ended.
    pub points: u64,
    /// Synced bytes.
    pub synced_len: u64,
    /// Synced points, in the log or in the tail.
    pub synced_points: u64,
    /// Whether the tail has points.
    pub tail: bool,
    /// Whether the writer ended the log.
    pub ended: bool,
    /// Whether the log may be gone.
    pub retired: bool,
    /// Whether the log's points count as another writer's.
    pub relayed: bool,
}

impl Entry {
    /// The bytes of the line that begins at this offset.
    #[must_use]
    pub fn encode(&self, offset: u64) -> [u8; LINE_LEN] {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let flags = flag(self.tail, TAIL)
            | flag(self.ended, ENDED)
            | flag(self.retired, RETIRED)
            | flag(self.run.is_none(), EDITS)
            | flag(self.relayed, RELAYED);
        let mut bytes = Vec::with_capacity(LINE_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&self.run.map_or(0, |run| run.0).to_le_bytes());
        bytes.extend_from_slice(&self.writer.0.to_le_bytes());
        for number in [self.life, self.len, self.points, self.synced_len, self.synced_points] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.resize(LINE_LEN - 4, 0);
        let mut line = [0; LINE_LEN];
        line[..LINE_LEN - 4].copy_from_slice(&bytes);
        line[LINE_LEN - 4..].copy_from_slice(&check(&bytes, offset).to_le_bytes());
        line
    }

    /// Reads the line that begins at this offset.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(line: &[u8; LINE_LEN], offset: u64) -> Result<Self, Malformed> {
        let mut reader = Reader::new(line);
        let magic: [u8; 4] = reader.array()?;
        let flags = reader.u32()?;
        let (run, writer) = (reader.u128()?, WriterId(reader.u128()?));
        let [life, len, points, synced_len, synced_points] =
            [reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?];
        let reserved = reader.slice(LINE_LEN - 4 - 80)?;
        let stored = reader.u32()?;
        let known = TAIL | ENDED | RETIRED | EDITS | RELAYED;
        if magic != MAGIC
            || flags & !known != 0
            || reserved.iter().any(|&byte| byte != 0)
            || stored != check(&line[..LINE_LEN - 4], offset)
        {
            return Err(Malformed("a line of a ledger"));
        }
        let has = |flag: u32| flags & flag != 0;
        let run = (!has(EDITS)).then_some(RunKey(run));
        let (tail, ended, retired, relayed) = (has(TAIL), has(ENDED), has(RETIRED), has(RELAYED));
        Ok(Self { run, writer, life, len, points, synced_len, synced_points, tail, ended, retired, relayed })
    }
}

/// Whether a bad line was changed after it was written: it differs from a valid line of this life by one byte. A power
/// loss may leave part of a line over an older one.
#[must_use]
pub fn is_changed(line: &[u8; LINE_LEN], offset: u64, life: u64) -> bool {
    let own = line[LIFE_AT..].iter().zip(life.to_le_bytes());
    if life == 0 || own.filter(|(own, byte)| **own != *byte).count() > 1 {
        return false;
    }
    let (bytes, stored) = line.split_at(LINE_LEN - 4);
    let stored = Reader::new(stored).u32().unwrap_or_default();
    differs_by_one_byte(stored, check(bytes, offset), bytes.len())
}

fn check(bytes: &[u8], offset: u64) -> u32 {
    crc32(crc32(0, &offset.to_le_bytes()), bytes)
}

/// A ledger locked by this process.
pub struct Ledger {
    file: Arc<dyn File>,
    life: u64,
    generation: u32,
    /// The offset of the next line.
    end: Mutex<u64>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({:?} bytes)", self.end.try_lock().map(|end| *end))
    }
}

impl Ledger {
    /// Continues a ledger that the caller locked through this handle.
    ///
    /// # Errors
    /// Errors of the operating system.
    pub fn new(file: impl Into<Arc<dyn File>>) -> std::io::Result<Self> {
        let file = file.into();
        let end = file.len()?.next_multiple_of(LINE_LEN as u64);
        let life = file.life().unwrap_or(0);
        Ok(Self { file, life, generation: fork::generation(), end: Mutex::new(end) })
    }

    /// Whether another line can be added: there is room, and this process, not its parent, holds the lock.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.generation == fork::generation() && *self.end.lock() < LINES_MAX * LINE_LEN as u64
    }

    /// Adds the line of a writer whose log has `len` bytes; of an edit log if `run` is `None`. Returns `None` in a
    /// forked child, whose parent holds the lock.
    #[must_use]
    pub fn begin(self: &Arc<Self>, run: Option<RunKey>, writer: WriterId, relayed: bool, len: u64) -> Option<Line> {
        if self.generation != fork::generation() {
            return None;
        }
        let mut end = self.end.lock();
        let offset = *end;
        *end += LINE_LEN as u64;
        drop(end);
        let entry = Entry {
            run,
            writer,
            life: self.life,
            len,
            points: 0,
            synced_len: 0,
            synced_points: 0,
            tail: false,
            ended: false,
            retired: false,
            relayed,
        };
        let line = Line { ledger: Arc::clone(self), offset, entry: Mutex::new(entry) };
        line.change(|_| {});
        Some(line)
    }
}

/// The line of one writer.
pub struct Line {
    ledger: Arc<Ledger>,
    offset: u64,
    entry: Mutex<Entry>,
}

impl Line {
    /// Updates the line. If the write fails, nothing outside the log shows what is in it.
    pub fn change(&self, update: impl FnOnce(&mut Entry)) {
        if self.ledger.generation != fork::generation() {
            return;
        }
        let mut entry = self.entry.lock();
        update(&mut entry);
        // Compaction retires the line of a log that it removes; a later sync must not undo that.
        entry.retired |= self.is_retired();
        let _ = self.ledger.file.write_at(&entry.encode(self.offset), self.offset);
    }
}

impl Line {
    /// Whether another process retired the line.
    fn is_retired(&self) -> bool {
        let mut line = [0; LINE_LEN];
        let read = self.ledger.file.read_at(&mut line, self.offset);
        read.is_ok_and(|got| got == LINE_LEN) && Entry::decode(&line, self.offset).is_ok_and(|entry| entry.retired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            run: Some(RunKey(7)),
            writer: WriterId(9),
            life: 1,
            len: 300,
            points: 0,
            synced_len: 200,
            synced_points: 5,
            tail: true,
            ended: false,
            retired: false,
            relayed: false,
        }
    }

    #[test]
    fn a_line_reads_back_at_its_place_only() {
        for entry in [
            entry(),
            Entry { run: None, tail: false, ended: true, points: 5, retired: true, ..entry() },
            Entry { relayed: true, ..entry() },
        ] {
            let line = entry.encode(256);
            assert_eq!(Entry::decode(&line, 256), Ok(entry));
            assert!(Entry::decode(&line, 128).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let line = entry().encode(0);
        for bit in 0..LINE_LEN * 8 {
            let mut line = line;
            line[bit / 8] ^= 1 << (bit % 8);
            assert!(Entry::decode(&line, 0).is_err() && is_changed(&line, 0, 1), "bit {bit}");
            assert!(!is_changed(&line, 0, 0x0102_0304), "bit {bit}");
        }
    }
}
