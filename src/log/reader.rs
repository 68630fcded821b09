//! Reads a log and its tail, whole, torn or damaged, while they may be written.
//!
//! The order of the steps allows a concurrent writer:
//!
//! 1. The caller copies the tail, then the log is read. A point that left the tail before the copy is in a frame by
//!    then.
//! 2. Frames are walked in order. After a bad header the walk continues at the next bytes that verify as a frame.
//! 3. Bytes before the greatest durable offset *D* reached the disk, so what does not verify there is damage: it is
//!    reported, and later frames count. The same holds after *D* for bytes changed as no power loss changes them (see
//!    `Walk::frames`). Any other bad bytes after *D* were torn by a crash: the log ends there, even if later bytes
//!    verify, since the acknowledged order must have no gap.
//! 4. Slots of the tail count from the end of the last frame with points: first in the buffer that verifies from there,
//!    then in the other. They end at the first slot that does not verify or, in an undamaged log, whose series no frame
//!    names. An incomplete batch does not count.

use std::path::Path;
use std::sync::Arc;

use crate::base::bytes::Malformed;
use crate::base::checksum::{changed_bytes, crc32};
use crate::base::control;
use crate::base::ids::WriterId;
use crate::error::{Error, Result};
use crate::log::buffers::{find_generation, verified_slots};
use crate::log::cursor::drop_open_batch;
use crate::log::frame::{self, HEADER_LEN, Header, Kind, MAGIC, NoHeader, SECTOR};
use crate::log::prefix::Prefix;
use crate::log::record::{Batch, LOG_VERSION, NoStart, Record, Start};
use crate::log::slot::Slot;
use crate::storage::File;

/// Bytes read at once: sequentially, and after skipping a row group.
const WINDOW: usize = 64 << 10;
const WINDOW_AFTER_JUMP: usize = 1 << 10;

/// Longest contents that are tested for a one-byte change; such frames are written at once.
const ONE_BYTE_OF: u32 = 64 << 10;
/// The end of every row group, followed by one byte for its version.
const ROW_GROUP_END: [u8; 7] = *b"SWgroup";

/// A range of bytes that do not verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSpan {
    /// First byte.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// What should be there.
    pub what: &'static str,
    /// Whether the bytes were changed after they were written: no power loss leaves such bytes.
    pub changed: bool,
}

/// Why a log's first frame does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbegun {
    /// It is missing, or what a crash left of an unsynced write.
    Torn,
    /// It was valid once: it was changed later, or later frames say that it was synced.
    Damaged,
}

/// The location of a row group in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowGroupExtent {
    /// First byte of the row group in the log.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// The writer's sequence number of its first point.
    pub sequence: u64,
    /// How many points it has.
    pub points: u64,
}

/// The contents of a log.
#[derive(Clone, Debug)]
pub struct Log {
    /// The start frame.
    pub start: Start,
    /// Frames of records, each with the sequence number of its first row, in order.
    pub batches: Vec<(u64, Arc<Batch>)>,
    /// Sealed row groups in order.
    pub groups: Vec<RowGroupExtent>,
    /// Points of the tail, the first having the sequence number `slots_from`.
    pub slots: Vec<Slot>,
    /// The sequence number of the first slot.
    pub slots_from: u64,
    /// The number of slots in the older buffer.
    pub first_buffer_slots: u64,
    /// Whether the writer ended the log: the tail is empty, and nothing will be added.
    pub ended: bool,
    /// End of the last frame that counts.
    pub end: u64,
    /// Damage: ranges that were valid once.
    pub damage: Vec<BadSpan>,
    /// The torn end that a crash left, if any: never acknowledged as durable.
    pub torn: Option<BadSpan>,
    /// Whether only a power loss can have torn it. A killed writer leaves the beginning of a frame at the end of the
    /// file, or contents whose header was not written yet.
    pub torn_by_stop: bool,
}

impl Log {
    /// One past the sequence number of the last point.
    #[must_use]
    pub fn sequence_end(&self) -> u64 {
        self.slots_from + self.slots.len() as u64
    }

    /// The start of the newest generation with a slot.
    #[must_use]
    pub fn last_generation(&self) -> u64 {
        self.slots_from + if self.slots.len() as u64 > self.first_buffer_slots { self.first_buffer_slots } else { 0 }
    }

    /// The starts of all generations so far, in this or an earlier read of the same log. Old slots in the tail's file,
    /// and those of its last generation, are numbered from one of these.
    #[must_use]
    pub fn generations(&self, earlier: &Self) -> Vec<u64> {
        let of = |log: &Self| {
            let groups = log.groups.iter().map(|group| group.sequence + group.points);
            let rows = log
                .batches
                .iter()
                .filter(|(_, batch)| !batch.rows.is_empty())
                .map(|(sequence, batch)| sequence + batch.rows.len() as u64);
            groups.chain(rows).chain([0, log.slots_from, log.slots_from + log.first_buffer_slots]).collect::<Vec<u64>>()
        };
        let mut generations = [of(self), of(earlier)].concat();
        generations.sort_unstable_by_key(|&generation| std::cmp::Reverse(generation));
        generations.dedup();
        generations
    }

    /// The number of series that the frames of an undamaged log name; they are numbered from 0.
    fn series_named(&self) -> u32 {
        let records = self.batches.iter().flat_map(|(_, batch)| &batch.records);
        let numbers =
            records.filter_map(|record| if let Record::Series { series, .. } = record { Some(*series) } else { None });
        numbers.max().map_or(0, |last| last.saturating_add(1))
    }

    /// One past the last sealed point.
    #[must_use]
    pub fn sealed_through(&self) -> u64 {
        self.groups.last().map_or(0, |group| group.sequence + group.points)
    }
}

/// One frame of the walk.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where it begins in the log.
    pub offset: u64,
    /// Its header.
    pub header: Header,
    /// What it holds.
    pub payload: Payload,
}

impl Frame {
    /// One past its last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + HEADER_LEN as u64 + u64::from(self.header.len)
    }
}

/// What a frame holds.
#[derive(Clone, Debug)]
pub enum Payload {
    /// See [`Kind::Start`].
    Start(Start),
    /// See [`Kind::Records`].
    Records(Arc<Batch>),
    /// See [`Kind::RowGroup`]; the row group is read from its place.
    RowGroup,
    /// See [`Kind::End`].
    End,
    /// Damaged, but the header verifies: what is missing is known.
    Lost,
}

/// How much of a log to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What a crash may have torn; other pages are verified when read.
    Recent,
    /// Every byte.
    All,
}

/// Reads a log's file; `tail` is an earlier copy of its tail, empty if there is none. Returns the log and, if it is
/// undamaged up to a torn end and longer than `known`, a prefix to pass next time. What is `known` is not read again,
/// unless `depth` asks for everything.
///
/// # Errors
/// [`Error::Corrupt`] if the first frame does not verify, so that the writer is unknown; [`Error::NewerFormat`];
/// [`Error::Io`].
pub fn read_log(
    file: &dyn File,
    path: &Path,
    tail: &[u8],
    depth: Depth,
    known: Option<&Prefix>,
) -> Result<(Log, Option<Prefix>)> {
    let mut walk = Walk::new(file, path)?;
    let known = known.filter(|known| depth == Depth::Recent && known.end <= walk.len);
    let (start, first_end) = match known {
        Some(known) => (known.start.clone(), known.first_end),
        None => walk.start()?,
    };
    let writer = start.writer;
    let (later, mut bad) = walk.frames(writer, known.map_or(first_end, Prefix::end))?;
    let mut frames = known.map_or_else(Vec::new, |known| known.frames.clone());
    frames.extend(later);
    let durable = frames.iter().map(|frame| frame.header.durable).max().unwrap_or(0);
    let verified = match depth {
        Depth::Recent => durable.max(known.map_or(0, Prefix::end)),
        Depth::All => 0,
    };
    walk.check_row_groups(writer, verified, &frames, &mut bad)?;

    // Step 3: cut at the first torn range after the durable offset.
    let torn_span = |span: &&BadSpan| span.offset + span.len > durable && !span.changed;
    let cut = bad.iter().filter(torn_span).map(|span| span.offset).min();
    let (mut torn, mut torn_by_stop) = (None, false);
    if let Some(cut) = cut {
        let end = bad.iter().filter(|span| span.offset == cut).map(|span| span.offset + span.len).max();
        torn_by_stop = !walk.may_be_unfinished(writer, cut, end.unwrap_or(cut))?;
        frames.retain(|frame| frame.offset < cut);
        bad.retain(|span| span.offset < cut);
        let what = "a frame torn by a crash";
        torn = Some(BadSpan { offset: cut, len: walk.len - cut, what, changed: false });
    }
    let end = frames.last().map_or(first_end, Frame::end);
    let new = bad.is_empty() && end > known.map_or(0, Prefix::end);
    let mut log = assemble(start.clone(), &frames, first_end, tail, (durable, !bad.is_empty()));
    let prefix = new.then_some(Prefix { start, first_end, frames, end });
    log.damage.append(&mut bad);
    // Nothing is ever written after an end frame, so no crash left this.
    let behind = |span| BadSpan { what: "bytes behind the end of a log", changed: true, ..span };
    if log.ended {
        log.damage.extend(torn.take().map(behind));
    }
    log.torn_by_stop = torn_by_stop && torn.is_some();
    log.torn = torn;
    Ok((log, prefix))
}

/// The frames from offset `from` on, the end of a valid frame. `None` if anything after it does not verify: then only
/// [`read_log`] can tell what counts.
///
/// # Errors
/// [`Error::Io`].
pub fn read_on(file: &dyn File, path: &Path, writer: WriterId, from: u64) -> Result<Option<Vec<Frame>>> {
    let mut walk = Walk::new(file, path)?;
    let (frames, mut bad) = walk.frames(writer, from)?;
    let durable = frames.iter().map(|frame| frame.header.durable).max().unwrap_or(0);
    walk.check_row_groups(writer, durable, &frames, &mut bad)?;
    Ok(bad.is_empty().then_some(frames))
}

/// Why the first frame of a log of `writer` does not verify.
///
/// # Errors
/// [`Error::Io`].
pub fn why_unbegun(file: &dyn File, path: &Path, writer: WriterId) -> Result<Unbegun> {
    let mut walk = Walk::new(file, path)?;
    let changed = match frame::decode(walk.bytes(0, HEADER_LEN)?, WriterId(0), 0) {
        Ok(header) => walk.is_changed(writer, 0, header)?,
        Err(why) => why == NoHeader::Changed,
    };
    let (frames, _) = walk.frames(writer, 0)?;
    let synced = frames.iter().any(|frame| frame.header.durable > 0);
    Ok(if changed || synced { Unbegun::Damaged } else { Unbegun::Torn })
}

fn assemble(start: Start, frames: &[Frame], first_end: u64, tail: &[u8], (durable, damaged): (u64, bool)) -> Log {
    let mut log = Log {
        start,
        batches: Vec::new(),
        groups: Vec::new(),
        slots: Vec::new(),
        slots_from: 0,
        first_buffer_slots: 0,
        ended: false,
        end: first_end,
        damage: Vec::new(),
        torn: None,
        torn_by_stop: false,
    };
    let mut plain = Vec::new();
    for frame in frames {
        let &Frame { offset, header, ref payload } = frame;
        log.end = frame.end();
        let (sequence, points) = (header.sequence, u64::from(header.count));
        if points > 0 {
            log.slots_from = log.slots_from.max(sequence.saturating_add(points));
        }
        match payload {
            Payload::Start(_) | Payload::Lost => {}
            Payload::Records(batch) => {
                if points == 0 {
                    plain.push((log.batches.len(), offset, sequence));
                }
                log.batches.push((sequence, Arc::clone(batch)));
            }
            Payload::RowGroup => {
                let (offset, len) = (offset + HEADER_LEN as u64, u64::from(header.len));
                log.groups.push(RowGroupExtent { offset, len, sequence, points });
            }
            Payload::End => {
                plain.push((log.batches.len(), offset, sequence));
                log.ended = true;
            }
        }
    }
    take_slots(&mut log, tail, plain.iter().map(|&(_, _, sequence)| sequence).max().unwrap_or(0), damaged);
    // Records written after lost points are beyond the gap and do not count, unless they were durable: then the missing
    // points are damage, and the records count.
    let sequence_end = log.sequence_end();
    let beyond = |&&(_, offset, sequence): &&(usize, u64, u64)| sequence > sequence_end && offset >= durable;
    if let Some(&(index, offset, _)) = plain.iter().find(beyond) {
        log.batches.truncate(index);
        log.end = offset;
        log.ended = false;
    }
    if plain.iter().any(|&(_, offset, sequence)| sequence > sequence_end && offset < log.end.min(durable)) {
        let what = "points that later frames count: they were in the tail, or in a frame that is damaged";
        log.damage.push(BadSpan { offset: log.end, len: 0, what, changed: true });
    }
    log
}

/// Adds the slots of the tail that follow the frames. `mentioned` is the greatest number of points that a frame without
/// points counts.
fn take_slots(log: &mut Log, tail: &[u8], mentioned: u64, damaged: bool) {
    if damaged && !tail.is_empty() {
        log.slots_from = find_generation(tail, &log.start, log.slots_from, mentioned);
    }
    let generations = verified_slots(tail, log.start.writer, log.start.buffer_slots, log.slots_from);
    log.first_buffer_slots = generations[0].len() as u64;
    log.slots = generations.into_iter().flatten().map(Slot::from_bytes).collect();
    if !damaged {
        // Lost frames may have named a series of surviving slots: the gap is there.
        let named = log.series_named();
        log.slots.truncate(log.slots.iter().take_while(|slot| slot.series() < named).count());
    }
    drop_open_batch(&mut log.slots);
}

struct Walk<'a> {
    file: &'a dyn File,
    path: &'a Path,
    len: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> Walk<'a> {
    fn new(file: &'a dyn File, path: &'a Path) -> Result<Self> {
        let len = file.len().map_err(Error::io("read", path))?;
        Ok(Self { file, path, len, window: Vec::new(), window_at: 0 })
    }

    /// Up to `len` bytes at `offset`; fewer at the end of the file.
    fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(left);
        let within = offset.checked_sub(self.window_at).is_some_and(|at| at + len as u64 <= self.window.len() as u64);
        if !within {
            let goes_on = offset.checked_sub(self.window_at).is_some_and(|at| at <= self.window.len() as u64);
            let ahead = if goes_on { WINDOW } else { WINDOW_AFTER_JUMP };
            self.window.resize(len.max(ahead.min(left)), 0);
            let got = self.file.read_at(&mut self.window, offset).map_err(Error::io("read", self.path))?;
            self.window.truncate(got);
            self.window_at = offset;
        }
        let at = (offset - self.window_at) as usize;
        Ok(&self.window[at..(at + len).min(self.window.len())])
    }

    fn start(&mut self) -> Result<(Start, u64)> {
        let path = self.path;
        let corrupt = |what: &str| Error::corrupt(path, 0, what);
        let header =
            frame::decode(self.bytes(0, HEADER_LEN)?, WriterId(0), 0).map_err(|_| corrupt("a log's first frame"))?;
        if header.kind != Kind::Start {
            return Err(corrupt("a log's first frame has another kind"));
        }
        match self.payload(WriterId(0), 0, header)? {
            Some(Payload::Start(start)) => Ok((start, (HEADER_LEN as u64) + u64::from(header.len))),
            _ => Err(corrupt("a log's first frame")),
        }
    }

    /// All frames after the first, and the ranges between them that do not verify.
    ///
    /// A power loss may leave of unsynced data nothing, a part, zeros or, on some file systems, older bytes. It never
    /// leaves all but one byte, except the last byte of a part. So a range was *changed* if its header is valid except
    /// for one byte, or if its header is valid and its contents are valid except for one byte, and that byte does not
    /// start a run of zeros that may be a lost part. Long contents have too many candidates for that byte; they were
    /// changed if the whole frame lies within the file, none of its sectors is missing, and they still look like such
    /// contents.
    fn frames(&mut self, writer: WriterId, from: u64) -> Result<(Vec<Frame>, Vec<BadSpan>)> {
        let (mut frames, mut bad) = (Vec::new(), Vec::new());
        let mut offset = from;
        while offset < self.len {
            let header = match frame::decode(self.bytes(offset, HEADER_LEN)?, writer, offset) {
                Ok(header) => header,
                Err(why) => {
                    let next = self.resync(writer, offset + 1)?;
                    let what = match why {
                        NoHeader::Zero => "zeros in place of a frame",
                        NoHeader::Short => "a frame cut short",
                        NoHeader::Changed | NoHeader::Foreign => "the header of a frame",
                    };
                    bad.push(BadSpan { offset, len: next - offset, what, changed: why == NoHeader::Changed });
                    offset = next;
                    continue;
                }
            };
            let len = HEADER_LEN as u64 + u64::from(header.len);
            let payload = self.payload(writer, offset, header)?;
            if payload.is_none() {
                let (len, what) = (len.min(self.len - offset), "the contents of a frame");
                bad.push(BadSpan { offset, len, what, changed: self.is_changed(writer, offset, header)? });
            }
            frames.push(Frame { offset, header, payload: payload.unwrap_or(Payload::Lost) });
            offset += len;
        }
        Ok((frames, bad))
    }

    /// Whether bad contents of a frame were changed after they were written.
    fn is_changed(&mut self, writer: WriterId, offset: u64, header: Header) -> Result<bool> {
        let from = offset + HEADER_LEN as u64;
        let end = from + u64::from(header.len);
        if end > self.len {
            return Ok(false);
        }
        // A sector that never reached the disk.
        let mut at = from;
        while at < end {
            let to = (at + 1).next_multiple_of(SECTOR).min(end);
            if self.bytes(at, (to - at) as usize)?.iter().all(|&byte| byte == 0) {
                return Ok(false);
            }
            at = to;
        }
        let seed = frame::seed(writer, offset);
        if header.len <= ONE_BYTE_OF {
            let computed = self.crc(seed, from, end)?;
            let contents = self.bytes(from, header.len as usize)?;
            let mut changed = changed_bytes(header.payload_crc, computed, contents.len());
            return Ok(changed.any(|at| contents.get(at).is_some() && !frame::may_be_lost(contents, from, at)));
        }
        // There are too many candidate bytes. Test instead whether these look like complete contents, not like older
        // data.
        Ok(match header.kind {
            Kind::RowGroup => {
                let trailer = self.bytes(end - ROW_GROUP_END.len() as u64 - 1, ROW_GROUP_END.len())?;
                trailer.iter().zip(ROW_GROUP_END).filter(|(byte, expected)| **byte != *expected).count() <= 1
            }
            Kind::Records => {
                let contents = self.bytes(from, header.len as usize)?;
                let batch = control::decode::<Batch>(contents);
                batch.is_ok_and(|batch| batch.rows.len() == header.count as usize)
                    && contents.last().is_some_and(|&byte| byte != 0)
            }
            Kind::Start | Kind::End => false,
        })
    }

    /// Whether a killed writer may have left this incomplete frame, which does not verify up to `end`.
    fn may_be_unfinished(&mut self, writer: WriterId, offset: u64, end: u64) -> Result<bool> {
        Ok(match frame::decode(self.bytes(offset, HEADER_LEN)?, writer, offset) {
            Ok(header) => offset + HEADER_LEN as u64 + u64::from(header.len) > self.len,
            // Of long frames the header is written last.
            Err(NoHeader::Zero) => end >= self.len,
            Err(NoHeader::Short) => true,
            Err(NoHeader::Changed | NoHeader::Foreign) => false,
        })
    }

    /// The next offset from `from` on at which a header verifies, or the end of the file.
    fn resync(&mut self, writer: WriterId, from: u64) -> Result<u64> {
        let mut offset = from;
        while offset < self.len {
            let bytes = self.bytes(offset, WINDOW)?;
            let Some(at) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) else {
                // Keep what may be the beginning of a magic.
                let step = bytes.len().saturating_sub(MAGIC.len() - 1).max(1);
                offset += step as u64;
                continue;
            };
            offset += at as u64;
            if frame::decode(self.bytes(offset, HEADER_LEN)?, writer, offset).is_ok() {
                return Ok(offset);
            }
            offset += 1;
        }
        Ok(self.len)
    }

    /// The verified payload; of a row group only its kind. `None` if it does not verify.
    fn payload(&mut self, writer: WriterId, offset: u64, header: Header) -> Result<Option<Payload>> {
        let at = offset + HEADER_LEN as u64;
        let len = header.len as usize;
        if at + u64::from(header.len) > self.len {
            return Ok(None);
        }
        if header.kind == Kind::RowGroup {
            return Ok(Some(Payload::RowGroup));
        }
        let bytes = self.bytes(at, len)?;
        if bytes.len() < len || crc32(frame::seed(writer, offset), bytes) != header.payload_crc {
            return Ok(None);
        }
        let payload = match header.kind {
            Kind::Start => match Start::decode(bytes) {
                Err(NoStart::Newer(found)) => {
                    let (path, supported) = (self.path.to_owned(), LOG_VERSION);
                    return Err(Error::NewerFormat { path, found, supported });
                }
                Err(NoStart::Malformed(malformed)) => Err(malformed),
                Ok(start) => Ok(Payload::Start(start)),
            },
            Kind::Records => control::decode::<Batch>(bytes)
                .and_then(
                    |batch| if batch.rows.len() == header.count as usize { Ok(batch) } else { Err(Malformed("rows")) },
                )
                .map(|batch| Payload::Records(Arc::new(batch))),
            Kind::End | Kind::RowGroup if bytes.is_empty() => Ok(Payload::End),
            Kind::End | Kind::RowGroup => Err(Malformed("an end with contents")),
        };
        Ok(payload.ok())
    }

    /// Verifies all bytes of row groups after `from`, which a crash may have torn. Earlier ones were durable, and their
    /// pages are verified when read.
    fn check_row_groups(
        &mut self,
        writer: WriterId,
        from: u64,
        frames: &[Frame],
        bad: &mut Vec<BadSpan>,
    ) -> Result<()> {
        for frame in frames.iter().filter(|frame| matches!(frame.payload, Payload::RowGroup)) {
            let start = frame.offset + HEADER_LEN as u64;
            let end = start + u64::from(frame.header.len);
            if end > from && self.crc(frame::seed(writer, frame.offset), start, end)? != frame.header.payload_crc {
                let (len, what) = (end - frame.offset, "the contents of a row group");
                let changed = self.is_changed(writer, frame.offset, frame.header)?;
                bad.push(BadSpan { offset: frame.offset, len, what, changed });
            }
        }
        bad.sort_by_key(|span| span.offset);
        Ok(())
    }

    fn crc(&mut self, seed: u32, mut from: u64, end: u64) -> Result<u32> {
        let mut crc = seed;
        while from < end {
            let want = usize::try_from(end - from).map_or(WINDOW, |left| left.min(WINDOW));
            let bytes = self.bytes(from, want)?;
            if bytes.is_empty() {
                break;
            }
            crc = crc32(crc, bytes);
            from += bytes.len() as u64;
        }
        Ok(crc)
    }
}
