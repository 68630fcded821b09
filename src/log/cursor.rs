//! Where a reader is in a tail, so that it reads only what was put there since.

use std::path::Path;

use crate::base::ids::WriterId;
use crate::error::{Error, Result};
use crate::log::slot::{Check, SLOT_LEN, Slot};
use crate::storage::File;

/// Slots that are read at first, to see whether there is any more, and then at least.
const SLOTS_FIRST: usize = 2;
const SLOTS_SECOND: usize = 64;

/// A place in a writer's tail: behind the last slot that was read.
#[derive(Clone, Copy, Debug)]
pub struct TailCursor {
    writer: WriterId,
    /// Slots of a buffer.
    buffer_slots: usize,
    /// The number at which the present generation was begun.
    generation: u64,
    /// The buffer's first slot; `None` while it is not known which buffer that is.
    start: Option<usize>,
    /// One past the last point that was read, and its slot if it is of this generation.
    through: u64,
    last: Option<Slot>,
}

impl TailCursor {
    /// Behind `slots`, those that were read of a generation begun at the number `generation`, in either buffer.
    #[must_use]
    pub fn new(writer: WriterId, buffer_slots: u32, generation: u64, slots: &[Slot]) -> Self {
        let (buffer_slots, through) = (buffer_slots as usize, generation + slots.len() as u64);
        Self { writer, buffer_slots, generation, start: None, through, last: slots.last().copied() }
    }

    /// One past the number of the last point that was read.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through
    }

    /// Whether no slot of the present generation was read.
    #[must_use]
    pub fn is_begin(&self) -> bool {
        self.through == self.generation
    }

    /// Frames have all points before `through`, and the next one begins a generation.
    pub fn begin(&mut self, through: u64) {
        (self.generation, self.start, self.through, self.last) = (through, None, through, None);
    }

    /// What follows in the tail's file, whole batches only, and the place behind it. `None` when the last slot that was
    /// read is not there any more: another generation has begun there, or another file is here.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn later(mut self, file: &dyn File, path: &Path) -> Result<Option<(Vec<Slot>, Self)>> {
        let known = (self.through - self.generation) as usize;
        let Some(start) = self.find_start(file, path)? else { return Ok((known == 0).then(|| (Vec::new(), self))) };
        // The last slot known is read again.
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

    /// The first slot of the buffer in which the present generation is.
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

    /// The slots of this range that verify, the first of them with this number.
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

/// Leaves out the end of a batch that is not whole.
pub fn drop_open_batch(slots: &mut Vec<Slot>) {
    while slots.last().is_some_and(|slot| slot.continues()) {
        slots.pop();
    }
}
