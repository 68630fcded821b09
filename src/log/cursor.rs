//! A reader's position in a tail: finds the slots that count, from a generation's first or from those it read before.

use std::borrow::Cow;
use std::path::Path;

use crate::base::ids::WriterId;
use crate::error::{Error, Result};
use crate::log::buffers::verified;
use crate::log::slot::{Check, SLOT_LEN, Slot};
use crate::storage::File;

/// Slots read first, to see whether there are more, and the least read after that.
const SLOTS_FIRST: usize = 2;
const SLOTS_SECOND: usize = 64;

/// The bytes of a tail.
pub trait TailBytes {
    /// Up to `count` slots from number `at` on.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn slots(&self, at: usize, count: usize) -> Result<Cow<'_, [[u8; SLOT_LEN]]>>;
}

/// A tail's file, read as needed.
pub struct FileTail<'a> {
    /// The file.
    pub file: &'a dyn File,
    /// Its path.
    pub path: &'a Path,
}

impl TailBytes for FileTail<'_> {
    fn slots(&self, at: usize, count: usize) -> Result<Cow<'_, [[u8; SLOT_LEN]]>> {
        let mut slots = vec![[0; SLOT_LEN]; count];
        let got = self.file.read_at(slots.as_flattened_mut(), (at * SLOT_LEN) as u64);
        slots.truncate(got.map_err(Error::io("read", self.path))? / SLOT_LEN);
        Ok(Cow::Owned(slots))
    }
}

/// A copy of all bytes of a tail.
pub struct TailCopy<'a>(pub &'a [u8]);

impl TailBytes for TailCopy<'_> {
    fn slots(&self, at: usize, count: usize) -> Result<Cow<'_, [[u8; SLOT_LEN]]>> {
        let (slots, _) = self.0.as_chunks::<SLOT_LEN>();
        let slots = slots.get(at..).unwrap_or_default();
        Ok(Cow::Borrowed(&slots[..count.min(slots.len())]))
    }
}

/// A position in a writer's tail: after the last slot read.
#[derive(Clone, Copy, Debug)]
pub struct TailCursor {
    writer: WriterId,
    /// Slots per buffer.
    buffer_slots: usize,
    /// The current generation: the sequence number of its first point.
    generation: u64,
    /// The current buffer's first slot; `None` while it is unknown which buffer that is.
    start: Option<usize>,
    /// One past the last point read.
    through: u64,
    last: Option<Slot>,
}

impl TailCursor {
    /// The position before a writer's first point.
    #[must_use]
    pub fn new(writer: WriterId, buffer_slots: u32) -> Self {
        let buffer_slots = buffer_slots as usize;
        Self { writer, buffer_slots, generation: 0, start: None, through: 0, last: None }
    }

    /// The current generation: the sequence number of its first point.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// One past the last point read.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through
    }

    /// Whether no slot of the current generation was read.
    #[must_use]
    pub fn is_begin(&self) -> bool {
        self.through == self.generation
    }

    /// Moves to the generation that starts at `through`: frames have all points before it.
    pub fn begin(&mut self, through: u64) {
        (self.generation, self.start, self.through, self.last) = (through, None, through, None);
    }

    /// Reads the slots that follow, whole batches only, and returns them with the new position. `None` if the last slot
    /// read is gone: its buffer was reused, or this is another file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn later(mut self, tail: &dyn TailBytes) -> Result<Option<(Vec<Slot>, Self)>> {
        let known = (self.through - self.generation) as usize;
        let Some(start) = self.find_start(tail)? else { return Ok((known == 0).then(|| (Vec::new(), self))) };
        // Read the last known slot again.
        let again = known.min(1);
        let range = start + known - again..start + self.buffer_slots;
        let mut slots = self.read(tail, range, self.through - again as u64)?;
        if slots.first().copied().filter(|_| again == 1) != self.last {
            return Ok(None);
        }
        slots.drain(..again);
        self.start = Some(start);
        let other = self.buffer_slots - start;
        let swapped_at = self.through + slots.len() as u64;
        let mut further = self.read(tail, other..other + self.buffer_slots, swapped_at)?;
        drop_open_batch(&mut further);
        if further.is_empty() {
            drop_open_batch(&mut slots);
        } else {
            (self.generation, self.start) = (swapped_at, Some(other));
            slots.append(&mut further);
        }
        self.through += slots.len() as u64;
        self.last = slots.last().copied().or(self.last);
        Ok(Some((slots, self)))
    }

    /// This position, moved back so that of the slots read since `before` only these were read.
    #[must_use]
    pub fn back(mut self, before: Self, slots: &[Slot]) -> Self {
        self.through = before.through + slots.len() as u64;
        if self.through <= self.generation {
            (self.generation, self.start) = (before.generation, before.start);
        }
        self.last = slots.last().copied().or(before.last);
        self
    }

    /// The first slot of the current generation's buffer.
    fn find_start(&self, tail: &dyn TailBytes) -> Result<Option<usize>> {
        if self.start.is_some() {
            return Ok(self.start);
        }
        for start in [0, self.buffer_slots] {
            let first = start..start + self.buffer_slots.min(1);
            if !self.read(tail, first, self.generation)?.is_empty() {
                return Ok(Some(start));
            }
        }
        Ok(None)
    }

    /// The slots of this range that verify, numbered from `first`.
    fn read(&self, tail: &dyn TailBytes, range: std::ops::Range<usize>, first: u64) -> Result<Vec<Slot>> {
        let check = Check::new(self.writer);
        let mut slots = Vec::new();
        let mut want = SLOTS_FIRST;
        loop {
            let asked = want.min(range.len() - slots.len());
            let read = tail.slots(range.start + slots.len(), asked)?;
            let count = verified(&read, check, first + slots.len() as u64);
            slots.extend(read[..count].iter().map(Slot::from_bytes));
            if count < want || slots.len() == range.len() {
                return Ok(slots);
            }
            want = (slots.len() * 4).max(SLOTS_SECOND);
        }
    }
}

/// Drops an incomplete batch at the end.
pub fn drop_open_batch(slots: &mut Vec<Slot>) {
    while slots.last().is_some_and(|slot| slot.continues()) {
        slots.pop();
    }
}
