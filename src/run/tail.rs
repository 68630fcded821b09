//! The newest points of a writer: an array of slots that outlives the process, reused in place.
//!
//! The file is mapped where the file system supports it safely; then a slot is a store into kernel memory. Elsewhere
//! each point is one write of the same bytes. Either way the file is just the array; [`crate::log::slot`] explains why
//! stale bytes never count.
//!
//! The array is two buffers. While the points of one are moved into a frame, the other takes new points. Each reuse of
//! a buffer, from its first slot on, is a new generation. If a buffer's points were promised durable in place, it is
//! reused only after the frame that has them is durable.
#![allow(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::ids::WriterId;
use crate::error::{Error, Result};
use crate::log::slot::{CONTINUES, Check, SLOT_LEN, Slot};
use crate::storage::{File, Region, Storage};

/// Slots of a new tail: 64 KiB, so that a run of one point costs little.
const SLOTS_FIRST: usize = 2 << 10;
/// Growth factor of a full tail, up to two buffers.
const GROWTH: usize = 4;

/// A writer's slots.
pub struct Tail {
    /// The first slot.
    slots: *mut Slot,
    /// Slots per buffer.
    buffer_slots: usize,
    /// The first slot of the current buffer.
    start: usize,
    /// The next slot to write; those from `start` up to here are published.
    next: usize,
    /// Slots up to here may be written before the owner is asked again.
    limit: usize,
    capacity: usize,
    /// Slots of the other buffer whose points no frame has yet.
    full: usize,
    /// For each buffer, the log offset that must be durable before its slots are overwritten.
    reuse_after: [u64; 2],
    /// Slots from `next` up to here may hold remains of a failed write, which must not be taken for points.
    dirty: usize,
    check: Check,
    memory: Memory,
    file: Arc<dyn File>,
    path: PathBuf,
}

/// What `Tail::slots` points into.
enum Memory {
    Mapped {
        _region: Box<dyn Region>,
    },
    /// Written to the file point by point; this copy is used for sealing.
    Written(Vec<Slot>),
}

// SAFETY: the pointer leads into memory that the tail owns (a mapping or a vector), which no other thread of this
// process touches; moving the tail to another thread moves that ownership.
unsafe impl Send for Tail {}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tail({}, {} and {} of {} slots)", self.path.display(), self.full, self.len(), self.capacity)
    }
}

impl Tail {
    /// Creates the tail's file, which must not exist.
    ///
    /// # Errors
    /// [`Error::Io`]; no file is left then.
    pub fn create(
        storage: &dyn Storage,
        path: &Path,
        writer: WriterId,
        buffer_slots: usize,
        mapped: bool,
    ) -> Result<Self> {
        let file = match storage.create_new(path) {
            // Only this writer uses the name: an earlier attempt failed, and so did its cleanup.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                storage.remove_file(path).and_then(|()| storage.create_new(path))
            }
            other => other,
        };
        let file: Arc<dyn File> = file.map_err(Error::io("create", path))?.into();
        let mut tail = Self {
            slots: std::ptr::null_mut(),
            buffer_slots,
            start: 0,
            next: 0,
            limit: 0,
            capacity: 0,
            full: 0,
            reuse_after: [0; 2],
            dirty: 0,
            check: Check::new(writer),
            memory: Memory::Written(Vec::new()),
            file,
            path: path.to_owned(),
        };
        if let Err(error) = tail.reserve(SLOTS_FIRST.min(buffer_slots), mapped) {
            let _ = storage.remove_file(path);
            return Err(error);
        }
        Ok(tail)
    }

    fn reserve(&mut self, capacity: usize, mapped: bool) -> Result<()> {
        if mapped {
            let len = capacity * SLOT_LEN;
            self.file.allocate(len as u64).map_err(Error::io("reserve space for", &self.path))?;
        }
        match &mut self.memory {
            Memory::Mapped { .. } => {}
            // Map the maximum at once: remapped pages would fault again.
            Memory::Written(_) if mapped => {
                let region = self.file.map(2 * self.buffer_slots * SLOT_LEN).map_err(Error::io("map", &self.path))?;
                self.slots = region.as_ptr().cast();
                self.memory = Memory::Mapped { _region: region };
            }
            Memory::Written(slots) => {
                slots.resize(capacity, Slot::default());
                self.slots = slots.as_mut_ptr();
            }
        }
        self.capacity = capacity;
        self.pause_after(usize::MAX);
        Ok(())
    }

    /// Allocates `more` slots, for which this buffer must have [`Self::room`], and ends any pause.
    ///
    /// # Errors
    /// [`Error::Io`]; existing slots stay.
    #[cold]
    pub fn grow(&mut self, more: usize) -> Result<()> {
        self.reserve_through(self.next + more)?;
        self.pause_after(usize::MAX);
        Ok(())
    }

    fn reserve_through(&mut self, wanted: usize) -> Result<()> {
        let mut capacity = self.capacity;
        while capacity < wanted {
            // The second buffer is allocated when the first is full.
            let most = if capacity < self.buffer_slots { self.buffer_slots } else { 2 * self.buffer_slots };
            capacity = (capacity * GROWTH).min(most);
        }
        if capacity > self.capacity {
            let mapped = matches!(self.memory, Memory::Mapped { .. });
            self.reserve(capacity, mapped)?;
        }
        Ok(())
    }

    /// Limits [`Self::free`] to `count`, so that the owner gets control back after that many points.
    pub fn pause_after(&mut self, count: usize) {
        let end = self.capacity.min(self.start + self.buffer_slots).max(self.next);
        self.limit = self.next.saturating_add(count).min(end);
    }

    /// Slots free without growing, up to the pause.
    #[inline]
    #[must_use]
    pub fn free(&self) -> usize {
        self.limit - self.next
    }

    /// Slots left in this buffer.
    #[must_use]
    pub fn room(&self) -> usize {
        self.start + self.buffer_slots - self.next
    }

    /// The number of points in the current buffer.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.next - self.start
    }

    /// Whether the current buffer has no points.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next == self.start
    }

    /// The log offset that must be durable before the current buffer's first slot is stored: see [`Self::release`]. 0
    /// once the buffer has points.
    #[must_use]
    pub fn reuse_after(&self) -> u64 {
        if self.is_empty() { self.reuse_after[self.start / self.buffer_slots] } else { 0 }
    }

    /// The same for the other buffer.
    #[must_use]
    pub fn other_reuse_after(&self) -> u64 {
        self.reuse_after[1 - self.start / self.buffer_slots]
    }

    /// The log offset that must be durable before the file is removed.
    #[must_use]
    pub fn remove_after(&self) -> u64 {
        self.reuse_after.into_iter().max().unwrap_or(0)
    }

    /// Swaps the buffers. The points here stay, as [`Self::full_slots`], until [`Self::release`]. Check
    /// [`Self::reuse_after`] before storing the first slot.
    ///
    /// # Errors
    /// [`Error::Io`]; then nothing changed.
    ///
    /// # Panics
    /// If the other buffer was not released.
    pub fn swap(&mut self) -> Result<()> {
        assert_eq!(self.full, 0, "the other buffer_slots still holds points");
        // Remains of a failed write after the last point would have the next point's number.
        self.clean()?;
        let start = self.buffer_slots - self.start;
        self.reserve_through(start + 1)?;
        self.full = self.len();
        self.begin(start);
        Ok(())
    }

    /// The points of the full buffer, in order; empty if there is none.
    #[must_use]
    pub fn full_slots(&self) -> &[Slot] {
        self.published(self.buffer_slots - self.start, self.full)
    }

    /// Frees the full buffer, whose points a frame has now. It may be reused once the log is durable up to
    /// `reuse_after`.
    pub fn release(&mut self, reuse_after: u64) {
        self.full = 0;
        self.reuse_after[1 - self.start / self.buffer_slots] = reuse_after;
    }

    /// Starts a new generation at this slot, the first of a buffer. No slot is free until the owner makes room.
    fn begin(&mut self, start: usize) {
        (self.start, self.next) = (start, start);
        self.pause_after(0);
    }

    /// Publishes one point with this sequence number in the next slot. `free()` must not be 0.
    ///
    /// # Errors
    /// [`Error::Io`] of a written tail; then the point was not logged.
    ///
    /// # Panics
    /// If no slot is free.
    #[inline]
    pub fn push(&mut self, slot: Slot, sequence: u64) -> Result<()> {
        assert!(self.next < self.capacity, "the session makes room first");
        self.store(self.next, slot.sealed(self.check, sequence));
        if let Memory::Written(_) = self.memory {
            self.write_out(self.next, 1)?;
        }
        self.next += 1;
        Ok(())
    }

    /// Publishes points atomically; `sequence` is the number of the first. There must be room.
    ///
    /// # Errors
    /// [`Error::Io`] of a written tail; then none of the points was logged.
    ///
    /// # Panics
    /// If not enough slots are free.
    pub fn push_batch(&mut self, slots: impl ExactSizeIterator<Item = Slot>, sequence: u64) -> Result<()> {
        let count = slots.len();
        assert!(count <= self.free(), "the session makes room first");
        for (index, mut slot) in slots.enumerate().take(count) {
            if index + 1 < count {
                slot.0[3] |= u64::from(CONTINUES);
            }
            self.store(self.next + index, slot.sealed(self.check, sequence + index as u64));
        }
        if let Memory::Written(_) = self.memory {
            self.write_out(self.next, count)?;
        }
        self.next += count;
        Ok(())
    }

    /// Stores a slot, its last word last.
    #[inline]
    fn store(&mut self, index: usize, slot: Slot) {
        debug_assert!(index < self.capacity);
        // SAFETY: `slots` points to `capacity` slots of owned, writable, 32-byte aligned memory (a mapping starts at a
        // page, and so many of its slots are allocated; a vector of slots is aligned as they are), and both callers
        // checked `index < capacity`. Other processes may read the mapping meanwhile; they copy it by a system call and
        // trust only what verifies.
        unsafe {
            let at = self.slots.add(index).cast::<u64>();
            at.write(slot.0[0].to_le());
            at.add(1).write(slot.0[1].to_le());
            at.add(2).write(slot.0[2].to_le());
            AtomicU64::from_ptr(at.add(3)).store(slot.0[3].to_le(), Ordering::Release);
        }
    }

    #[cold]
    fn write_out(&mut self, from: usize, count: usize) -> Result<()> {
        let Memory::Written(slots) = &self.memory else {
            return Ok(());
        };
        let bytes: Vec<u8> = slots[from..from + count].iter().flat_map(|slot| slot.to_bytes()).collect();
        self.clean()?;
        if let Err(error) = self.file.write_at(&bytes, (from * SLOT_LEN) as u64) {
            self.dirty = from + count;
            // If this fails too, the next write tries again first.
            let _ = self.clean();
            return Err(Error::io("write", &self.path)(error));
        }
        Ok(())
    }

    /// Overwrites remains of a failed write after the last point.
    fn clean(&mut self) -> Result<()> {
        if self.dirty > self.next {
            let zeros = vec![0; (self.dirty - self.next) * SLOT_LEN];
            self.file.write_at(&zeros, (self.next * SLOT_LEN) as u64).map_err(Error::io("write", &self.path))?;
        }
        self.dirty = 0;
        Ok(())
    }

    /// The points of the current buffer, in order.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        self.published(self.start, self.len())
    }

    fn published(&self, start: usize, len: usize) -> &[Slot] {
        if len == 0 {
            return &[];
        }
        // SAFETY: `start` is a buffer's first slot and `len` counts the slots that were stored from there on, within
        // owned, initialised memory that only `&mut self` changes.
        unsafe { std::slice::from_raw_parts(self.slots.add(start), len) }
    }

    /// Frees all slots: frames have the points now. Slots may be reused once the log is durable up to `reuse_after`; it
    /// is durable up to `durable`. The next points go to the first buffer unless it must wait and the second need not.
    pub fn restart(&mut self, reuse_after: u64, durable: u64) {
        let here = self.start / self.buffer_slots;
        if !self.is_empty() {
            self.reuse_after[here] = reuse_after;
        }
        if self.full > 0 {
            self.reuse_after[1 - here] = reuse_after;
        }
        self.full = 0;
        let waits = self.reuse_after.map(|reuse_after| reuse_after > durable);
        let start = if waits[0] && !waits[1] { self.buffer_slots } else { 0 };
        // Remains of a failed write are cleaned only by the next write to the same buffer.
        self.begin(if self.dirty > self.next { self.start } else { start });
    }

    /// The file, for syncing it on another thread.
    #[must_use]
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
