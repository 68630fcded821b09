//! The newest points of a writer: an array of slots that outlives the process, reused in place.
//!
//! Mapped where the file system keeps the promises that this needs, the slots are stores into memory that the kernel
//! owns. Elsewhere the same bytes are written by one call a point. Either way the file is the array and nothing else;
//! see [`crate::log::slot`] for why stale bytes in it never count.
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
/// How much a full region grows, until it has [`SLOTS_MAX`].
const GROWTH: usize = 4;
/// Slots of the greatest region: 4 MiB.
pub const SLOTS_MAX: usize = 128 << 10;

/// A writer's slots.
pub struct Tail {
    /// The next slot to be written is `slots + len`; all below are published.
    slots: *mut Slot,
    len: usize,
    capacity: usize,
    /// Slots from `len` up to here may hold in the file what a failed write left: it must not be taken for points.
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
        write!(f, "Tail({}, {} of {} slots)", self.path.display(), self.len, self.capacity)
    }
}

impl Tail {
    /// Creates the tail's file, which must not exist; mapped or not.
    ///
    /// # Errors
    /// [`Error::Io`]; no file is left then.
    pub fn create(storage: &dyn Storage, path: &Path, writer: WriterId, mapped: bool) -> Result<Self> {
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
            len: 0,
            capacity: 0,
            dirty: 0,
            check: Check::new(writer),
            memory: Memory::Written(Vec::new()),
            file,
            path: path.to_owned(),
        };
        if let Err(error) = tail.reserve(SLOTS_FIRST, mapped) {
            let _ = storage.remove_file(path);
            return Err(error);
        }
        Ok(tail)
    }

    fn reserve(&mut self, capacity: usize, mapped: bool) -> Result<()> {
        if mapped {
            let len = capacity * SLOT_LEN;
            self.file.allocate(len as u64).map_err(Error::io("reserve space for", &self.path))?;
            let region = self.file.map(len).map_err(Error::io("map", &self.path))?;
            self.slots = region.as_ptr().cast();
            self.memory = Memory::Mapped { _region: region };
        } else if let Memory::Written(slots) = &mut self.memory {
            slots.resize(capacity, Slot::default());
            self.slots = slots.as_mut_ptr();
        }
        self.capacity = capacity;
        Ok(())
    }

    /// Makes room for `more` slots beside those there, if the greatest region has it.
    ///
    /// # Errors
    /// [`Error::Io`]; the slots there stay.
    #[cold]
    pub fn grow(&mut self, more: usize) -> Result<bool> {
        let wanted = self.len + more;
        if wanted > SLOTS_MAX {
            return Ok(wanted <= self.capacity);
        }
        let mut capacity = self.capacity.max(SLOTS_FIRST);
        while capacity < wanted || (capacity == self.len && capacity < SLOTS_MAX) {
            capacity = (capacity * GROWTH).min(SLOTS_MAX);
        }
        if capacity > self.capacity {
            let mapped = matches!(self.memory, Memory::Mapped { .. });
            self.reserve(capacity, mapped)?;
        }
        Ok(true)
    }

    /// How many slots are free without growing.
    #[inline]
    #[must_use]
    pub fn free(&self) -> usize {
        self.capacity - self.len
    }

    /// How many points there are.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
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
        assert!(self.len < self.capacity, "the session makes room first");
        self.store(self.len, slot.sealed(self.check, sequence));
        if let Memory::Written(_) = self.memory {
            self.write_out(self.len, 1)?;
        }
        self.len += 1;
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
            self.store(self.len + index, slot.sealed(self.check, sequence + index as u64));
        }
        if let Memory::Written(_) = self.memory {
            self.write_out(self.len, count)?;
        }
        self.len += count;
        Ok(())
    }

    /// Stores a slot, its last word last.
    #[inline]
    fn store(&mut self, index: usize, slot: Slot) {
        debug_assert!(index < self.capacity);
        // SAFETY: `slots` points to `capacity` slots of owned, writable, 32-byte aligned memory (a mapping starts at a
        // page, a vector of slots is aligned as they are), and both callers checked `index < capacity`. Other
        // processes may read the mapping meanwhile; they copy it by a system call and trust only what verifies.
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
        if self.dirty > self.len {
            let zeros = vec![0; (self.dirty - self.len) * SLOT_LEN];
            self.file.write_at(&zeros, (self.len * SLOT_LEN) as u64).map_err(Error::io("write", &self.path))?;
        }
        self.dirty = 0;
        Ok(())
    }

    /// The points there, in order.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        // SAFETY: the first `len` slots lie in owned, initialised memory that only `&mut self` changes.
        unsafe { std::slice::from_raw_parts(self.slots, self.len) }
    }

    /// Forgets all points: a frame has them now, and the next one takes the first slot.
    pub fn restart(&mut self) {
        self.len = 0;
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
