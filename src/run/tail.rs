//! The newest points of a writer: an array of slots that outlives the process, reused in place.
//!
//! Mapped where the file system keeps the promises that this needs, the slots are stores into memory that the kernel
//! owns. Elsewhere the same bytes are written by one call a point. Either way the file is the array and nothing else;
//! see [`crate::log::slot`] for why stale bytes in it never count.
//!
//! The array has two buffers. A generation of points begins at the first slot of either; while the points of one buffer
//! are on their way into a frame, the other takes what comes next. A buffer whose points were promised to survive where
//! they lie is begun anew only after the log survives up to the frame that has them.
#![allow(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::ids::WriterId;
use crate::error::{Error, Result};
use crate::log::slot::{CONTINUES, Check, SLOT_LEN, Slot};
use crate::storage::{File, Region, Storage};

/// Slots of a new region: 64 KiB, so that a run of one point costs little.
const SLOTS_FIRST: usize = 2 << 10;
/// How much a full region grows, until it has both buffers.
const GROWTH: usize = 4;

/// A writer's slots.
pub struct Tail {
    /// The first slot of the region.
    slots: *mut Slot,
    /// Slots of a buffer.
    buffer_slots: usize,
    /// The first slot of the present generation: that of a buffer.
    start: usize,
    /// The next slot to be written; those from `start` up to here are published.
    next: usize,
    /// Up to here slots are written without asking further.
    limit: usize,
    capacity: usize,
    /// How many slots of the other buffer hold points that no frame has yet.
    full: usize,
    /// For each buffer the log's offset that must be durable before its slots are overwritten.
    reuse_after: [u64; 2],
    /// Slots from `next` up to here may hold in the file what a failed write left: it must not be taken for points.
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
    /// Written to the file after each point; the copy here serves sealing.
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
    /// Creates the tail's file, which must not exist, with buffers of so many slots; mapped or not.
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
            // Only this writer has the name: an attempt failed before, and so did its removal.
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
            // All that it may ever have, at once: pages that are mapped anew are touched anew.
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

    /// Makes room for `more` slots, for which this buffer must have [`Self::room`], and lifts any pause.
    ///
    /// # Errors
    /// [`Error::Io`]; the slots there stay.
    #[cold]
    pub fn grow(&mut self, more: usize) -> Result<()> {
        self.reserve_through(self.next + more)?;
        self.pause_after(usize::MAX);
        Ok(())
    }

    fn reserve_through(&mut self, wanted: usize) -> Result<()> {
        let mut capacity = self.capacity;
        while capacity < wanted {
            // Whole buffers: the second is made room for when the first is full.
            let most = if capacity < self.buffer_slots { self.buffer_slots } else { 2 * self.buffer_slots };
            capacity = (capacity * GROWTH).min(most);
        }
        if capacity > self.capacity {
            let mapped = matches!(self.memory, Memory::Mapped { .. });
            self.reserve(capacity, mapped)?;
        }
        Ok(())
    }

    /// Lets [`Self::free`] be at most `count` until it is asked again: the owner has something to do by then.
    pub fn pause_after(&mut self, count: usize) {
        let end = self.capacity.min(self.start + self.buffer_slots).max(self.next);
        self.limit = self.next.saturating_add(count).min(end);
    }

    /// How many slots are free without growing, up to the pause.
    #[inline]
    #[must_use]
    pub fn free(&self) -> usize {
        self.limit - self.next
    }

    /// How many slots this buffer has left.
    #[must_use]
    pub fn room(&self) -> usize {
        self.start + self.buffer_slots - self.next
    }

    /// How many points the present generation has.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.next - self.start
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next == self.start
    }

    /// The log's offset that must be durable before the next generation's first slot is stored: see [`Self::release`].
    /// 0 once the generation has points.
    #[must_use]
    pub fn reuse_after(&self) -> u64 {
        if self.is_empty() { self.reuse_after[self.start / self.buffer_slots] } else { 0 }
    }

    /// The same for the first slot of the other buffer.
    #[must_use]
    pub fn other_reuse_after(&self) -> u64 {
        self.reuse_after[1 - self.start / self.buffer_slots]
    }

    /// The same for all slots: the log's offset that must be durable before the file is removed.
    #[must_use]
    pub fn remove_after(&self) -> u64 {
        self.reuse_after.into_iter().max().unwrap_or(0)
    }

    /// Begins a generation in the other buffer; the points here stay, as [`Self::full_slots`], until [`Self::release`].
    /// Whoever stores its first slot sees to [`Self::reuse_after`] first.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing changed then.
    ///
    /// # Panics
    /// When the other buffer was not released.
    pub fn swap(&mut self) -> Result<()> {
        assert_eq!(self.full, 0, "the other buffer_slots still holds points");
        // What a failed write left behind the last point would have the number of the next one.
        self.clean()?;
        let start = self.buffer_slots - self.start;
        self.reserve_through(start + 1)?;
        self.full = self.len();
        self.begin(start);
        Ok(())
    }

    /// The points of the buffer that is full, in order; none when there is no such buffer.
    #[must_use]
    pub fn full_slots(&self) -> &[Slot] {
        self.published(self.buffer_slots - self.start, self.full)
    }

    /// A frame has the points of the buffer that was full; its slots may be used again once the log survives up to the
    /// byte `reuse_after`.
    pub fn release(&mut self, reuse_after: u64) {
        self.full = 0;
        self.reuse_after[1 - self.start / self.buffer_slots] = reuse_after;
    }

    /// Begins a generation at this slot, the first of a buffer, where none is free before the owner made room.
    fn begin(&mut self, start: usize) {
        (self.start, self.next) = (start, start);
        self.pause_after(0);
    }

    /// Publishes one point, whose sequence number this is, as the next slot. `free()` must not be 0.
    ///
    /// # Errors
    /// [`Error::Io`] of a written tail; the point is not there then.
    ///
    /// # Panics
    /// When no slot is free.
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

    /// Publishes points that are there together or not at all; `sequence` is that of the first. There must be room.
    ///
    /// # Errors
    /// [`Error::Io`] of a written tail; none of the points is there then.
    ///
    /// # Panics
    /// When not enough slots are free.
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
            // If this fails too, the next write tries again before anything else.
            let _ = self.clean();
            return Err(Error::io("write", &self.path)(error));
        }
        Ok(())
    }

    /// Overwrites what a failed write may have left behind the last point.
    fn clean(&mut self) -> Result<()> {
        if self.dirty > self.next {
            let zeros = vec![0; (self.dirty - self.next) * SLOT_LEN];
            self.file.write_at(&zeros, (self.next * SLOT_LEN) as u64).map_err(Error::io("write", &self.path))?;
        }
        self.dirty = 0;
        Ok(())
    }

    /// The points of the present generation, in order.
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

    /// Forgets all points: frames have them now. Their slots may be used again once the log survives up to the byte
    /// `reuse_after`; it survives up to `durable`. The next generation is in the first buffer unless that has to wait.
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
        // What a failed write left in this buffer is cleaned by the next one, if that is here.
        self.begin(if self.dirty > self.next { self.start } else { start });
    }

    /// The file, for syncing it from elsewhere.
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
