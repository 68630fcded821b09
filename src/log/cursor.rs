//! A reader's position in a tail, so that it reads only new slots.

use std::path::Path;

use crate::base::ids::WriterId;
use crate::error::{Error, Result};
use crate::log::slot::{Check, SLOT_LEN, Slot};
use crate::storage::File;

/// Slots read first, to see whether there are more, and the least read after that.
const SLOTS_FIRST: usize = 2;
const SLOTS_SECOND: usize = 64;

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
    /// The position after `slots`, which were read of this generation, in either buffer.
    #[must_use]
    pub fn new(writer: WriterId, buffer_slots: u32, generation: u64, slots: &[Slot]) -> Self {
        let (buffer_slots, through) = (buffer_slots as usize, generation + slots.len() as u64);
        Self { writer, buffer_slots, generation, start: None, through, last: slots.last().copied() }
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
    pub fn later(mut self, file: &dyn File, path: &Path) -> Result<Option<(Vec<Slot>, Self)>> {
        let known = (self.through - self.generation) as usize;
        let Some(start) = self.find_start(file, path)? else { return Ok((known == 0).then(|| (Vec::new(), self))) };
        // Read the last known slot again.
        let again = known.min(1);
        let mut slots =
            self.read(file, path, start + known - again..start + self.buffer_slots, self.through - again as u64)?;
        if slots.first().copied().filter(|_| again == 1) != self.last {
            return Ok(None);
        }
        slots.drain(..again);
        self.start = Some(start);
        let other = self.buffer_slots - start;
        let swapped_at = self.through + slots.len() as u64;
        let mut further = self.read(file, path, other..other + self.buffer_slots, swapped_at)?;
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

    /// The first slot of the current generation's buffer.
    fn find_start(&self, file: &dyn File, path: &Path) -> Result<Option<usize>> {
        if self.start.is_some() {
            return Ok(self.start);
        }
        for start in [0, self.buffer_slots] {
            if !self.read(file, path, start..start + 1, self.generation)?.is_empty() {
                return Ok(Some(start));
            }
        }
        Ok(None)
    }

    /// The slots of this range that verify, numbered from `first`.
    fn read(&self, file: &dyn File, path: &Path, range: std::ops::Range<usize>, first: u64) -> Result<Vec<Slot>> {
        let check = Check::new(self.writer);
        let mut slots = Vec::new();
        let mut want = SLOTS_FIRST;
        loop {
            let at = range.start + slots.len();
            let mut bytes = vec![0; want.min(range.end - at) * SLOT_LEN];
            let got = file.read_at(&mut bytes, (at * SLOT_LEN) as u64).map_err(Error::io("read", path))?;
            let (read, _) = bytes[..got].as_chunks::<SLOT_LEN>();
            let numbered = read.iter().map(Slot::from_bytes).zip(first + slots.len() as u64..);
            let before = slots.len();
            slots.extend(numbered.take_while(|&(slot, number)| slot.verifies(check, number)).map(|(slot, _)| slot));
            if slots.len() - before < want || slots.len() == range.len() {
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
