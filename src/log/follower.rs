//! Follows a log: decides which of its frames and slots count, from the beginning or from where it was, while they may
//! be written.
//!
//! Every reader of a log is a follower: recovery, snapshots, lists, verification and compaction. The order of the steps
//! allows a concurrent writer:
//!
//! 1. The tail is read before the log: a point that left the tail before that is in a frame by then.
//! 2. Frames are walked in order. After a bad header the walk continues at the next bytes that verify as a frame.
//! 3. Bytes before the greatest durable offset *D* reached the disk, so what does not verify there is damage: it is
//!    reported, and later frames count. The same holds after *D* for bytes changed as no power loss changes them (see
//!    `Walk::frames`). Any other bad bytes after *D* were torn by a crash, or are being written: the log ends there,
//!    even if later bytes verify, since the acknowledged order must have no gap.
//! 4. Slots of the tail count from the end of the last frame with points: first in the buffer that verifies from there,
//!    then in the other. They end at the first slot that does not verify or, in an undamaged log, whose series no frame
//!    names. An incomplete batch does not count.
//! 5. A frame without points that was written after points which are missing does not count yet, unless it was durable:
//!    then the missing points are damage.
//!
//! Whatever the pieces in which a log is followed, the same frames and slots count (see the tests).

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::base::ids::WriterId;
use crate::error::{Error, Result};
use crate::log::buffers::find_generation;
use crate::log::cursor::{FileTail, TailCopy, TailCursor, drop_open_batch};
use crate::log::frame::{self, HEADER_LEN, Header, NoHeader};
use crate::log::record::{Record, Start};
use crate::log::slot::Slot;
use crate::log::walk::{BadSpan, Frame, Payload, Walk};
use crate::storage::{File, Storage};

/// Most generations of the tail that one call follows; a faster writer's log is begun anew.
const GENERATIONS_MAX: usize = 8;

/// How much of a log to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What a crash may have torn; other pages are verified when read.
    Recent,
    /// Every byte.
    All,
}

/// What a follower found, and with it what its caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// All that is there counts. Follow again when there may be more.
    Later,
    /// The writer ended the log. Nothing will follow.
    Ended,
    /// The bytes after the last frame that counts do not verify: they are being written, or a crash tore them. Follow
    /// again if somebody may still write; else the log ends here.
    Torn,
    /// Something was changed or lost that had counted. Only a reading from the beginning tells what counts.
    Damaged,
    /// The files do not continue what was followed: they were replaced, cut short or written too fast. Begin anew.
    Anew,
}

/// What a follower found after the place where it was.
#[derive(Clone, Debug)]
pub struct Step {
    /// Frames that count, in order.
    pub frames: Vec<Frame>,
    /// Points of the tail after these frames.
    pub slots: Vec<Slot>,
    /// The sequence number of the first slot.
    pub slots_from: u64,
    /// Damage: ranges that were valid once.
    pub damage: Vec<BadSpan>,
    /// The torn end, if any: never acknowledged as durable.
    pub torn: Option<BadSpan>,
    /// Whether only a power loss can have torn it. A killed writer leaves the beginning of a frame at the end of the
    /// file, or contents whose header was not written yet.
    pub torn_by_stop: bool,
    /// What to do next.
    pub next: Next,
}

impl Step {
    fn anew() -> Self {
        let (frames, slots, damage) = (Vec::new(), Vec::new(), Vec::new());
        Self { frames, slots, slots_from: 0, damage, torn: None, torn_by_stop: false, next: Next::Anew }
    }
}

/// The slots of a tail, as read before its log.
enum Tail<'a> {
    /// All of its bytes.
    Copy(&'a [u8]),
    /// Those after the ones known, and the position after them; `None` if the last known slot is gone.
    Later(Option<(Vec<Slot>, TailCursor)>),
}

/// A position in a log and its tail. It stays valid until the machine stops: which unsynced bytes survived a crash is
/// known only from the beginning.
#[derive(Clone, Debug)]
pub struct LogFollower {
    start: Arc<Start>,
    /// End of the first frame.
    first_end: u64,
    /// End of the last frame that counts.
    end: u64,
    /// Where that frame is, and its header; `None` for the log's first frame.
    last: Option<(u64, Header)>,
    /// The greatest durable offset.
    durable: u64,
    /// The number of points in frames.
    framed: u64,
    /// The greatest number of points that must precede a frame.
    mentioned: u64,
    /// The number of series that frames name; they are numbered from 0.
    named: u32,
    ended: bool,
    tail: TailCursor,
}

impl LogFollower {
    /// The position after a log's first frame.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if that frame does not verify, so that the writer is unknown (see [`why_unbegun`]);
    /// [`Error::NewerFormat`]; [`Error::Io`].
    pub fn begin(file: &dyn File, path: &Path) -> Result<Self> {
        let (start, end) = Walk::new(file, path)?.start()?;
        Ok(Self::at(Arc::new(start), end))
    }

    fn at(start: Arc<Start>, first_end: u64) -> Self {
        let tail = TailCursor::new(start.writer, start.buffer_slots);
        Self {
            start,
            first_end,
            end: first_end,
            last: None,
            durable: 0,
            framed: 0,
            mentioned: 0,
            named: 0,
            ended: false,
            tail,
        }
    }

    /// The log's first frame.
    #[must_use]
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// End of the last frame that counts.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// One past the sequence number of the last point.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.tail.through()
    }

    /// Whether the writer ended the log: the tail is empty, and nothing will be added.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The start of the newest generation with a slot.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.tail.generation()
    }

    /// Whether this file is the log that was followed: a frame is bound to its writer, offset and contents.
    #[must_use]
    pub fn is_of(&self, file: &dyn File) -> bool {
        let Some((offset, last)) = self.last else { return false };
        let mut bytes = [0; HEADER_LEN];
        let read = file.read_at(&mut bytes, offset);
        let header = frame::decode(&bytes, self.start.writer, offset);
        read.is_ok_and(|read| read == HEADER_LEN) && header.is_ok_and(|header| header == last)
    }

    /// The position after the longest prefix of `frames`, the log's frames after the first, that counts without the
    /// tail, and the number of these frames.
    #[must_use]
    pub fn without_tail(&self, frames: &[Frame]) -> (Self, usize) {
        let begin = || Self::at(Arc::clone(&self.start), self.first_end);
        let (mut at, mut count) = (begin(), 0);
        for (index, frame) in frames.iter().enumerate() {
            if frame.offset != at.end {
                break;
            }
            at.pass(frame);
            count = if at.mentioned <= at.framed { index + 1 } else { count };
        }
        at = begin();
        frames[..count].iter().for_each(|frame| at.pass(frame));
        at.tail.begin(at.framed);
        (at, count)
    }

    /// Reads on; `tail` is an earlier copy of the whole tail, empty if there is none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(&mut self, file: &dyn File, path: &Path, tail: &[u8], depth: Depth) -> Result<Step> {
        self.advance(file, path, Tail::Copy(tail), depth)
    }

    /// Reads on, of the tail only new slots. Also returns the log's file. After [`Next::Damaged`] and [`Next::Anew`]
    /// the position is of no use.
    ///
    /// # Errors
    /// [`Error::Io`], with kind `NotFound` if the log is gone.
    pub fn follow(&mut self, storage: &dyn Storage, log: &Path, tail: &Path) -> Result<(Step, Box<dyn File>)> {
        let mut frames = Vec::new();
        let mut passes = 0;
        loop {
            let slots = self.later_slots(storage, tail)?;
            let file = storage.open_read(log).map_err(Error::io("open", log))?;
            let framed = self.framed;
            let mut step = self.advance(&*file, log, Tail::Later(slots), Depth::Recent)?;
            frames.append(&mut step.frames);
            passes += 1;
            let is_over = self.framed == framed;
            // Frames before others with points were taken before the slots that they follow.
            if matches!(step.next, Next::Damaged | Next::Anew) || (is_over && self.mentioned <= self.points()) {
                return Ok((Step { frames, ..step }, file));
            }
            if is_over || passes == GENERATIONS_MAX {
                return Ok((Step::anew(), file));
            }
        }
    }

    /// The slots after those known, and the position after them. `None` if the last known slot is gone.
    fn later_slots(&self, storage: &dyn Storage, path: &Path) -> Result<Option<(Vec<Slot>, TailCursor)>> {
        match storage.open_read(path) {
            Ok(file) => self.tail.later(&FileTail { file: &*file, path }),
            // The tail is created with the first point and removed with the last frame.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(self.tail.is_begin().then(|| (Vec::new(), self.tail)))
            }
            Err(error) => Err(Error::io("open", path)(error)),
        }
    }

    /// One pass: what counts of the bytes that the log has now.
    fn advance(&mut self, file: &dyn File, path: &Path, tail: Tail<'_>, depth: Depth) -> Result<Step> {
        let writer = self.start.writer;
        let mut walk = Walk::new(file, path)?;
        if walk.len < self.end {
            return Ok(Step::anew());
        }
        let (mut frames, mut damage) = walk.frames(writer, self.end)?;
        let durable = frames.iter().map(|frame| frame.header.durable).fold(self.durable, u64::max);
        let verified = match depth {
            Depth::Recent => durable.max(self.end),
            Depth::All => 0,
        };
        walk.check_row_groups(writer, verified, &frames, &mut damage)?;
        let torn = cut_torn(&mut walk, writer, durable, &mut frames, &mut damage)?;
        let (torn, torn_by_stop) = torn.map_or((None, false), |(span, by_stop)| (Some(span), by_stop));
        let mut step = Step { frames, damage, torn, torn_by_stop, ..Step::anew() };
        let is_later = matches!(tail, Tail::Later(_));
        let Some(after) = self.take_slots(&mut step, tail)? else { return Ok(step) };
        self.tail = after;
        // Slots are read again after frames with points: see `follow`.
        let end = match step.frames.last().filter(|last| is_later && last.has_points()) {
            Some(last) => last.end(),
            None => self.cut_waiting(&mut step, durable),
        };
        step.frames.iter().for_each(|frame| self.pass(frame));
        self.end = end;
        // Nothing is ever written after an end frame, so no crash left this.
        let behind = |span| BadSpan { what: "bytes behind the end of a log", changed: true, ..span };
        if self.ended {
            step.damage.extend(step.torn.take().map(behind));
        }
        step.torn_by_stop &= step.torn.is_some();
        step.next = match (step.damage.is_empty(), &step.torn) {
            (false, _) => Next::Damaged,
            (true, Some(_)) => Next::Torn,
            (true, None) if self.ended => Next::Ended,
            (true, None) => Next::Later,
        };
        Ok(step)
    }

    /// Step 4: the slots that follow the frames of `step`, and the position after them. `None` if `step` says already
    /// that these files cannot be followed.
    fn take_slots(&self, step: &mut Step, tail: Tail<'_>) -> Result<Option<TailCursor>> {
        let is_damaged = !step.damage.is_empty();
        let with_points = step.frames.iter().rposition(Frame::has_points);
        let framed = step.frames.iter().filter(|frame| frame.has_points()).map(Frame::through);
        let framed = framed.fold(self.framed, u64::max);
        let mut before = self.tail;
        let mut after;
        match tail {
            Tail::Copy(bytes) => {
                let mentioned = step.frames.iter().filter_map(Frame::mentions).max().unwrap_or(0);
                let from = match is_damaged && !bytes.is_empty() {
                    true => find_generation(bytes, &self.start, framed, mentioned),
                    false => framed,
                };
                before.begin(from);
                (step.slots, after) = before.later(&TailCopy(bytes))?.unwrap_or((Vec::new(), before));
            }
            Tail::Later(_) if is_damaged => {
                step.next = Next::Damaged;
                return Ok(None);
            }
            // Points left the tail for frames. Slots of the generation that begins after them must be read anew, and
            // then frames after those.
            Tail::Later(_) if let Some(last) = with_points => {
                if step.frames[last].through() != framed {
                    return Ok(None);
                }
                step.frames.truncate(last + 1);
                before.begin(framed);
                after = before;
            }
            Tail::Later(Some(later)) => (step.slots, after) = later,
            Tail::Later(None) => return Ok(None),
        }
        step.slots_from = before.through();
        let records = step.frames.iter().flat_map(Frame::records);
        let named = records.filter_map(named_by).fold(self.named, u32::max);
        let counted = step.slots.iter().take_while(|slot| slot.series() < named).count();
        // Lost frames may have named a series of surviving slots: the gap is there.
        if !is_damaged && counted < step.slots.len() {
            step.slots.truncate(counted);
            drop_open_batch(&mut step.slots);
            after = after.back(before, &step.slots);
        }
        Ok(Some(after))
    }

    /// Step 5: leaves out frames without points that follow points which are missing. Returns where the frames that
    /// count end, except for later points.
    fn cut_waiting(&self, step: &mut Step, durable: u64) -> u64 {
        let is_beyond = |frame: &Frame| frame.mentions().is_some_and(|points| points > self.points());
        let end = step.frames.last().map_or(self.end, Frame::end);
        let waiting = step.frames.iter().find(|frame| is_beyond(frame) && frame.offset >= durable);
        let end = waiting.map_or(end, |frame| frame.offset);
        step.frames.retain(|frame| frame.offset < end || frame.has_points());
        if step.frames.iter().any(|frame| is_beyond(frame) && frame.offset < end.min(durable)) {
            let what = "points that later frames count: they were in the tail, or in a frame that is damaged";
            step.damage.insert(0, BadSpan { offset: end, len: 0, what, changed: true });
        }
        end
    }

    /// Moves behind a frame.
    fn pass(&mut self, frame: &Frame) {
        self.end = frame.end();
        self.last = Some((frame.offset, frame.header));
        self.durable = self.durable.max(frame.header.durable);
        if frame.has_points() {
            self.framed = self.framed.max(frame.through());
        }
        self.mentioned = self.mentioned.max(frame.mentions().unwrap_or(0));
        self.named = frame.records().iter().filter_map(named_by).fold(self.named, u32::max);
        self.ended |= matches!(frame.payload, Payload::End);
    }
}

/// One past the number of the series that a record names.
fn named_by(record: &Record) -> Option<u32> {
    if let Record::Series { series, .. } = record { Some(series.saturating_add(1)) } else { None }
}

/// Step 3: cuts at the first torn range after the durable offset. Returns that range, to the end of the file, and
/// whether only a power loss can have torn it.
fn cut_torn(
    walk: &mut Walk<'_>,
    writer: WriterId,
    durable: u64,
    frames: &mut Vec<Frame>,
    bad: &mut Vec<BadSpan>,
) -> Result<Option<(BadSpan, bool)>> {
    let is_torn = |span: &&BadSpan| span.offset + span.len > durable && !span.changed;
    let Some(offset) = bad.iter().filter(is_torn).map(|span| span.offset).min() else { return Ok(None) };
    let end = bad.iter().filter(|span| span.offset == offset).map(|span| span.offset + span.len).max();
    let by_stop = !walk.may_be_unfinished(writer, offset, end.unwrap_or(offset))?;
    frames.retain(|frame| frame.offset < offset);
    bad.retain(|span| span.offset < offset);
    let torn = BadSpan { offset, len: walk.len - offset, what: "a frame torn by a crash", changed: false };
    Ok(Some((torn, by_stop)))
}

/// Why a log's first frame does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbegun {
    /// It is missing, or what a crash left of an unsynced write.
    Torn,
    /// It was valid once: it was changed later, or later frames say that it was synced.
    Damaged,
}

/// Why the first frame of a log of `writer` does not verify.
///
/// # Errors
/// [`Error::Io`].
pub fn why_unbegun(file: &dyn File, path: &Path, writer: WriterId) -> Result<Unbegun> {
    let mut walk = Walk::new(file, path)?;
    let changed = match walk.header(WriterId(0), 0)? {
        Ok(header) => walk.is_changed(writer, 0, header)?,
        Err(why) => why == NoHeader::Changed,
    };
    let (frames, _) = walk.frames(writer, 0)?;
    let synced = frames.iter().any(|frame| frame.header.durable > 0);
    Ok(if changed || synced { Unbegun::Damaged } else { Unbegun::Torn })
}
