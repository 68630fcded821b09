//! Moves unsealed points from the tail into the log, as rows or row groups, then frees their slots.

use std::sync::Arc;

use crate::error::Result;
use crate::log::frame::Kind;
use crate::log::record::{Batch, Row};
use crate::log::slot::Slot;
use crate::run::seal::{Head, Sealing, SeriesColumns, seal};
use crate::run::session::Session;
use crate::run::tail::Tail;

/// At most this many unsealed points stay rows when the writer finishes.
const ROWS_AT_END: usize = 64;
/// A buffer is divided into this many parts by pauses, at which the full buffer is sealed a little further.
const PAUSES: usize = 128;
/// Work per pause, in multiples of the points since the last pause. Sealing costs about as much as the pages of two
/// columns, so it ends well before the other buffer is full.
const WORK_AT_PAUSE: usize = 3;
/// Points between pauses while a sync waits, and the work per pause: about a page.
const REQUESTED_PAUSE: usize = 16;
const REQUESTED_WORK: usize = 1 << 10;
/// When a sync requests it, a buffer with at most this fraction of its slots used is sealed at once: two pages.
const SEAL_AT_ONCE: usize = 32;

impl Session {
    /// Moves the tail's points into frames.
    pub(super) fn leave_tail(&mut self) -> Result<()> {
        self.make_ready(0)?;
        self.seal_full_buffer()?;
        let head = self.sequence - self.sealed;
        if head > ROWS_AT_END as u64 {
            self.seal_with(None)?;
        } else if self.tail.as_ref().is_some_and(|tail| !tail.is_empty()) {
            self.flush_rows()?;
        }
        Ok(())
    }

    /// Accepts a sync's request to flush the points logged so far. Ignored if there are fewer points than series:
    /// columns would be no smaller than slots.
    pub(super) fn see_flush_request(&mut self) {
        self.watermark.see_request();
        let Some(tail) = &mut self.tail else { return };
        if (self.sequence - self.base) as usize >= self.series.len() {
            self.requested = self.sequence;
            tail.pause_after(0);
        }
    }

    /// Makes room for `count` points, at most a buffer's size, and seals some of a full buffer.
    pub(super) fn make_room(&mut self, count: usize) -> Result<()> {
        // A failure is retried later while there is room. The requesting sync is given up: the points are safe where
        // they are.
        if self.seal_further().is_err() {
            self.requested = 0;
        }
        let Some(tail) = &mut self.tail else { return Ok(()) };
        if tail.room() < count {
            self.seal_full_buffer()?;
        }
        let Some(tail) = &mut self.tail else { return Ok(()) };
        if tail.room() < count {
            tail.swap()?;
        }
        tail.grow(count)?;
        self.watermark.make_log_durable(tail.reuse_after());
        if self.requested > self.base {
            tail.pause_after(count.max(REQUESTED_PAUSE));
        } else if !tail.full_slots().is_empty() {
            tail.pause_after(count.max(self.place.buffer_slots as usize / PAUSES));
        }
        Ok(())
    }

    /// Does the next piece of sealing a full buffer. If a sync waits for newer points, swaps the buffers again, or
    /// seals the current one if it is short, unless its slots must wait for the log to become durable.
    fn seal_further(&mut self) -> Result<()> {
        let buffer_slots = self.place.buffer_slots as usize;
        let work =
            if self.requested > self.base { REQUESTED_WORK } else { WORK_AT_PAUSE * (buffer_slots / PAUSES).max(1) };
        self.seal_some(work)?;
        let durable = self.watermark.log_durable();
        let free = |tail: &&mut Tail| tail.full_slots().is_empty() && tail.other_reuse_after() <= durable;
        match self.tail.as_mut().filter(free) {
            Some(tail) if self.requested <= self.base || tail.is_empty() => Ok(()),
            Some(tail) if self.unsealed_rows.len() + tail.len() > buffer_slots / SEAL_AT_ONCE => tail.swap(),
            Some(_) => self.seal_with(None),
            None => Ok(()),
        }
    }

    /// Does about this much work, in points, of sealing a full buffer, if there is one. `usize::MAX` finishes it and
    /// appends the frame.
    fn seal_some(&mut self, work: usize) -> Result<()> {
        let Some(tail) = self.tail.as_ref().filter(|tail| !tail.full_slots().is_empty()) else { return Ok(()) };
        let head = Head { slots: [&self.unsealed_rows, tail.full_slots()], columns: None, series: &self.series };
        let end = self.base + head.slots[1].len() as u64;
        let mut sealing = match self.sealing.take() {
            Some(sealing) => sealing,
            None => Sealing::new(head, self.runs.len(), self.log.writer(), self.sealed),
        };
        let mut done = 0;
        while done < work && sealing.group().is_none() {
            done += sealing.step(head, &mut self.hints)?;
        }
        // Appending the frame takes a pause of its own.
        let appended = match sealing.group() {
            Some(group) if done == 0 || work == usize::MAX => {
                self.append_group(group, end, |tail, reuse_after, _| tail.release(reuse_after))
            }
            _ => Ok(()),
        };
        if self.sealed < end {
            self.sealing = Some(sealing);
        }
        appended
    }

    /// Seals the full buffer, if any, so that later points can be framed.
    pub(super) fn seal_full_buffer(&mut self) -> Result<()> {
        self.seal_some(usize::MAX)
    }

    /// Appends the row group of all points up to `end`; `free` then frees their slots.
    fn append_group(&mut self, payload: &[u8], end: u64, free: impl FnOnce(&mut Tail, u64, u64)) -> Result<()> {
        self.append(Kind::RowGroup, self.sealed, (end - self.sealed) as usize, payload)?;
        self.advance(end.saturating_sub(self.sequence));
        self.sealed = end;
        self.unsealed_rows = Vec::new();
        self.free_slots(end, free);
        Ok(())
    }

    /// The tail, created at the first point.
    pub(super) fn tail(&mut self) -> Result<&mut Tail> {
        if self.tail.is_none() {
            let (_, path) = self.place.paths(self.log.writer());
            let buffer_slots = self.place.buffer_slots as usize;
            let tail = Tail::create(&*self.place.storage, &path, self.log.writer(), buffer_slots, self.place.mapped)?;
            self.watermark.tail(Arc::clone(tail.file()));
            self.tail = Some(tail);
        }
        let Some(tail) = &mut self.tail else { unreachable!("it was created above") };
        Ok(tail)
    }

    /// Appends the slots' points as rows. No buffer may be half sealed.
    pub(super) fn flush_rows(&mut self) -> Result<()> {
        let batch = Batch { records: Vec::new(), rows: rows(self.tail.as_ref().map_or(&[], Tail::slots)) };
        let mut payload = Vec::new();
        batch.encode(&mut payload);
        self.append(Kind::Records, self.base, batch.rows.len(), &payload)?;
        self.unsealed_rows.extend(self.tail.iter().flat_map(|tail| tail.slots()));
        self.restart_tail();
        self.bound_rows();
        Ok(())
    }

    /// Seals if there are many rows. On failure the points are still in the log, and the next rows try again.
    pub(super) fn bound_rows(&mut self) {
        if self.unsealed_rows.len() >= self.place.buffer_slots as usize {
            let _ = self.seal_with(None);
        }
    }

    /// Seals all points, followed by these columns.
    pub(super) fn seal_with(&mut self, columns: Option<SeriesColumns<'_>>) -> Result<()> {
        self.seal_full_buffer()?;
        let slots = self.tail.as_ref().map_or(&[][..], Tail::slots);
        let head = Head { slots: [&self.unsealed_rows[..], slots], columns, series: &self.series };
        let end = self.sequence + columns.map_or(0, |columns| columns.values.len() as u64);
        let payload = seal(head, self.runs.len(), self.log.writer(), self.sealed, &mut self.hints)?;
        self.append_group(&payload, end, Tail::restart)
    }

    pub(super) fn restart_tail(&mut self) {
        self.free_slots(self.sequence, Tail::restart);
    }

    /// Frees the slots of all points before `base`, which frames have now. `free` gets the log offset that must be
    /// durable before slots with promised points are reused, and the current durable offset.
    fn free_slots(&mut self, base: u64, free: impl FnOnce(&mut Tail, u64, u64)) {
        self.base = base;
        let reuse_after = self.watermark.framed(base);
        if let Some(tail) = &mut self.tail {
            free(tail, reuse_after, self.watermark.log_durable());
        }
    }
}

/// Slots as rows of a frame.
pub(super) fn rows(slots: &[Slot]) -> Vec<Row> {
    slots.iter().map(|slot| Row::new(slot.series(), slot.point())).collect()
}
