//! Lines that a writer leaves outside its log: what must be in the log, so that one that is emptied, cut or gone is
//! missed.
//!
//! A ledger is an array of lines of 128 bytes, one for each writer, and nothing else. A process that opens writers
//! takes a ledger that nobody has locked, or makes one, and keeps its lock as long as it or one of its writers lives. A
//! line is written when its writer creates the log, first puts a point into its tail, is synced, and ends: in place,
//! one write each, never synced by itself. So a line may be older than what it speaks of, and never says what is not
//! so:
//!
//! * What a line calls synced was synced before, and is there whatever happened since.
//! * All else holds until the power fails. The line has the `life` of its file then, which changes when what was not
//!   synced may be lost, and which no copy of the file has; under another life only what was synced counts.

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
/// Where in a line the life stands.
const LIFE_AT: usize = 40;
/// Most lines of a ledger; then another is begun.
const LINES_MAX: u64 = 8 << 10;

/// A point was put into the tail: until the log ends, the tail is there and holds slots.
const TAIL: u32 = 1;
/// The writer ended the log.
const ENDED: u32 = 2;
/// A pack or a tombstone has all of it, or `repair` told that it is lost: the log may be gone.
const RETIRED: u32 = 4;
/// The log is one of edits.
const EDITS: u32 = 8;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The run; `None` for a log of edits.
    pub run: Option<RunKey>,
    /// Whose log it is.
    pub writer: WriterId,
    /// See [`File::life`]; 0 where it was not known.
    pub life: u64,
    /// The log has at least so many bytes; exactly so many once it ended.
    pub len: u64,
    /// How many points it has; 0 before it ended.
    pub points: u64,
    /// So many bytes of it were synced.
    pub synced_len: u64,
    /// So many points were synced, in the log or in the tail.
    pub synced_points: u64,
    /// Whether a point was put into the tail.
    pub tail: bool,
    /// Whether the writer ended the log.
    pub ended: bool,
    /// Whether nothing is to be missed any more.
    pub retired: bool,
}

impl Entry {
    /// The bytes of the line that begins at this offset.
    #[must_use]
    pub fn encode(&self, offset: u64) -> [u8; LINE_LEN] {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let flags = flag(self.tail, TAIL)
            | flag(self.ended, ENDED)
            | flag(self.retired, RETIRED)
            | flag(self.run.is_none(), EDITS);
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
        let known = TAIL | ENDED | RETIRED | EDITS;
        if magic != MAGIC
            || flags & !known != 0
            || reserved.iter().any(|&byte| byte != 0)
            || stored != check(&line[..LINE_LEN - 4], offset)
        {
            return Err(Malformed("a line of a ledger"));
        }
        let has = |flag: u32| flags & flag != 0;
        let run = (!has(EDITS)).then_some(RunKey(run));
        let (tail, ended, retired) = (has(TAIL), has(ENDED), has(RETIRED));
        Ok(Self { run, writer, life, len, points, synced_len, synced_points, tail, ended, retired })
    }
}

/// Whether a line that does not verify was changed: but for one byte it would verify, and but for that it is of this
/// life of its file. A power loss may leave part of a line in place of an older one.
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

/// A ledger that this process has locked.
pub struct Ledger {
    file: Arc<dyn File>,
    life: u64,
    generation: u32,
    /// Where the next line begins.
    end: Mutex<u64>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({:?} bytes)", self.end.try_lock().map(|end| *end))
    }
}

impl Ledger {
    /// Goes on with a ledger whose lock the caller took by this handle.
    ///
    /// # Errors
    /// The operating system's answer.
    pub fn new(file: impl Into<Arc<dyn File>>) -> std::io::Result<Self> {
        let file = file.into();
        let end = file.len()?.next_multiple_of(LINE_LEN as u64);
        let life = file.life().unwrap_or(0);
        Ok(Self { file, life, generation: fork::generation(), end: Mutex::new(end) })
    }

    /// Whether another line can be begun here: there is room, and this process, not its parent, locked it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.generation == fork::generation() && *self.end.lock() < LINES_MAX * LINE_LEN as u64
    }

    /// Begins the line of a writer whose log has so many bytes; of a log of edits where no run is given. `None` in a
    /// forked child, whose parent has the lock.
    #[must_use]
    pub fn begin(self: &Arc<Self>, run: Option<RunKey>, writer: WriterId, len: u64) -> Option<Line> {
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
    /// Says what is so by now. Should the write fail, the log is evidence of itself alone.
    pub fn change(&self, say: impl FnOnce(&mut Entry)) {
        if self.ledger.generation != fork::generation() {
            return;
        }
        let mut entry = self.entry.lock();
        say(&mut entry);
        // Compaction retires the line of a log that it takes away: a later sync must not take that back.
        entry.retired |= self.is_retired();
        let _ = self.ledger.file.write_at(&entry.encode(self.offset), self.offset);
    }
}

impl Line {
    /// Whether somebody else retired the line.
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
        }
    }

    #[test]
    fn a_line_reads_back_at_its_place_only() {
        for entry in [entry(), Entry { run: None, tail: false, ended: true, points: 5, retired: true, ..entry() }] {
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
