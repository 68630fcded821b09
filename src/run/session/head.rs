//! Moves unsealed points from the tail into the log, as rows or as groups, then frees their slots.

use std::sync::Arc;

use crate::error::Result;
use crate::log::frame::Kind;
use crate::log::record::{Batch, Row};
use crate::log::slot::Slot;
use crate::run::seal::{GivenColumns, Head, Sealing, seal};
use crate::run::session::Session;
use crate::run::tail::Tail;

/// Up to so many points of a head stay rows when the writer is finished.
const ROWS_AT_END: usize = 64;
/// Into so many parts a half of the tail is divided by pauses, at which a full half is sealed further.
const PAUSES: usize = 128;
/// How much of a full half's work is done at a pause, in parts of the points that came since the last: sealing costs
/// about as much as the pages of two columns, so it ends well before the other half is full.
const WORK_AT_PAUSE: usize = 3;
/// Points between two pieces of the work when a sync waits for it, and how much is done then: about a page.
const ASKED_PAUSE: usize = 16;
const ASKED_WORK: usize = 1 << 10;
/// This part of a half is sealed in one piece when a sync asks for it: two pages.
const AT_ONCE: usize = 32;

impl Session {
    /// Moves the tail's points into frames.
    pub(super) fn leave_tail(&mut self) -> Result<()> {
        self.make_ready(0)?;
        self.seal_full_half()?;
        let head = self.sequence - self.sealed;
        if head > ROWS_AT_END as u64 {
            self.seal_with(None)?;
        } else if self.tail.as_ref().is_some_and(|tail| !tail.is_empty()) {
            self.settle()?;
        }
        Ok(())
    }

    /// Notes that a sync asks for what was logged so far. Ignored when there are fewer points than series: columns
    /// would be no smaller than slots.
    pub(super) fn hear(&mut self) {
        self.watermark.heard();
        let Some(tail) = &mut self.tail else { return };
        if (self.sequence - self.base) as usize >= self.series.len() {
            self.wanted = self.sequence;
            tail.pause_after(0);
        }
    }

    /// Makes room in the tail for `count` points, of which a half can hold that many; seals some of a full half.
    pub(super) fn make_room(&mut self, count: usize) -> Result<()> {
        // While there is room, what fails here is tried again later, but not for a sync, which can do without: the
        // points are safe where they are.
        if self.seal_further().is_err() {
            self.wanted = 0;
        }
        let Some(tail) = &mut self.tail else { return Ok(()) };
        if tail.room() < count {
            self.seal_full_half()?;
        }
        let Some(tail) = &mut self.tail else { return Ok(()) };
        if tail.room() < count {
            tail.turn_over()?;
        }
        tail.grow(count)?;
        self.watermark.keep(tail.kept());
        if self.wanted > self.base {
            tail.pause_after(count.max(ASKED_PAUSE));
        } else if !tail.full_slots().is_empty() {
            tail.pause_after(count.max(self.place.half as usize / PAUSES));
        }
        Ok(())
    }

    /// Does the next piece of the work that a full half makes. When a sync waits for more than that half has, turns the
    /// other over too, or seals it if it is short; unless it would have to wait for its place.
    fn seal_further(&mut self) -> Result<()> {
        let half = self.place.half as usize;
        let work = if self.wanted > self.base { ASKED_WORK } else { WORK_AT_PAUSE * (half / PAUSES).max(1) };
        self.seal_some(work)?;
        let durable = self.watermark.log_durable();
        let free = |tail: &&mut Tail| tail.full_slots().is_empty() && tail.kept_over() <= durable;
        match self.tail.as_mut().filter(free) {
            Some(tail) if self.wanted <= self.base || tail.is_empty() => Ok(()),
            Some(tail) if self.settled.len() + tail.len() > half / AT_ONCE => tail.turn_over(),
            Some(_) => self.seal_with(None),
            None => Ok(()),
        }
    }

    /// Does about so much of the work that a full half makes, in points of a page, if there is one; all that is left of
    /// it at the end, with the frame.
    fn seal_some(&mut self, work: usize) -> Result<()> {
        let Some(tail) = self.tail.as_ref().filter(|tail| !tail.full_slots().is_empty()) else { return Ok(()) };
        let head = Head { slots: [&self.settled, tail.full_slots()], extra: None, series: &self.series };
        let end = self.base + head.slots[1].len() as u64;
        let mut sealing = match self.sealing.take() {
            Some(sealing) => sealing,
            None => Sealing::new(head, self.runs.len(), self.log.writer(), self.sealed),
        };
        let mut done = 0;
        while done < work && sealing.group().is_none() {
            done += sealing.step(head, &mut self.hints)?;
        }
        // The frame has a pause to itself.
        let appended = match sealing.group() {
            Some(group) if done == 0 || work == usize::MAX => {
                self.append_group(group, end, |tail, kept, _| tail.release(kept))
            }
            _ => Ok(()),
        };
        if self.sealed < end {
            self.sealing = Some(sealing);
        }
        appended
    }

    /// Seals the full half, if there is one: the points behind it can be framed then.
    pub(super) fn seal_full_half(&mut self) -> Result<()> {
        self.seal_some(usize::MAX)
    }

    /// Appends the group of all points up to `end`, whose slots are then freed by `free`.
    fn append_group(&mut self, payload: &[u8], end: u64, free: impl FnOnce(&mut Tail, u64, u64)) -> Result<()> {
        self.append(Kind::Group, self.sealed, (end - self.sealed) as usize, payload)?;
        self.advance(end.saturating_sub(self.sequence));
        self.sealed = end;
        self.settled = Vec::new();
        self.free_slots(end, free);
        Ok(())
    }

    /// The tail; created at the first point.
    pub(super) fn tail(&mut self) -> Result<&mut Tail> {
        if self.tail.is_none() {
            let (_, path) = self.place.paths(self.log.writer());
            let half = self.place.half as usize;
            let tail = Tail::create(&*self.place.storage, &path, self.log.writer(), half, self.place.mapped)?;
            self.watermark.tail(Arc::clone(tail.file()));
            self.tail = Some(tail);
        }
        let Some(tail) = &mut self.tail else { unreachable!("it was created above") };
        Ok(tail)
    }

    /// Appends the slots' points as rows; no half is being sealed.
    pub(super) fn settle(&mut self) -> Result<()> {
        let batch = Batch { records: Vec::new(), rows: rows(self.tail.as_ref().map_or(&[], Tail::slots)) };
        let mut payload = Vec::new();
        batch.encode(&mut payload);
        self.append(Kind::Records, self.base, batch.rows.len(), &payload)?;
        self.settled.extend(self.tail.iter().flat_map(|tail| tail.slots()));
        self.restart_tail();
        self.bound_rows();
        Ok(())
    }

    /// Seals when there are many rows. Their points are in the log already; should it fail, it is tried again with the
    /// next ones.
    pub(super) fn bound_rows(&mut self) {
        if self.settled.len() >= self.place.half as usize {
            let _ = self.seal_with(None);
        }
    }

    /// Seals all points, and these columns behind them.
    pub(super) fn seal_with(&mut self, extra: Option<GivenColumns<'_>>) -> Result<()> {
        self.seal_full_half()?;
        let slots = self.tail.as_ref().map_or(&[][..], Tail::slots);
        let head = Head { slots: [&self.settled[..], slots], extra, series: &self.series };
        let end = self.sequence + extra.map_or(0, |extra| extra.values.len() as u64);
        let payload = seal(head, self.runs.len(), self.log.writer(), self.sealed, &mut self.hints)?;
        self.append_group(&payload, end, Tail::restart)
    }

    pub(super) fn restart_tail(&mut self) {
        self.free_slots(self.sequence, Tail::restart);
    }

    /// Frames have all points before `base`: `free` is told how far the log must survive before slots that were
    /// promised to survive are used again, and how far it does.
    fn free_slots(&mut self, base: u64, free: impl FnOnce(&mut Tail, u64, u64)) {
        self.base = base;
        let kept = self.watermark.framed(base);
        if let Some(tail) = &mut self.tail {
            free(tail, kept, self.watermark.log_durable());
        }
    }
}

/// Points as rows of a frame.
pub(super) fn rows(slots: &[Slot]) -> Vec<Row> {
    slots.iter().map(|slot| Row::new(slot.series(), slot.point())).collect()
}
