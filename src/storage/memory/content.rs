//! A simulated file's bytes: what readers see, what is durable, and what lies between.

use std::io;
use std::sync::Arc;

use super::buffer::Buffer;
use super::fate::Fate;

/// Bytes of a page: the unit in which mapped stores reach the disk, and in which room is counted.
pub(super) const PAGE: usize = 4096;
/// The longest simulated file: a greater length is a mistake of the test, answered with EFBIG.
const LEN_MAX: u64 = 1 << 30;
/// What a mapped file may grow to while it is mapped, unless its first mapping is longer.
const MAPPABLE: usize = 8 << 20;

/// A change of a file that was not synced.
#[derive(Clone)]
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
    Allocate(usize),
}

/// A file's first bytes once it was mapped.
struct Head {
    buffer: Arc<Buffer>,
    len: usize,
    /// How long the longest mapping is: the head grows up to there when the file does.
    mapped: usize,
    /// The bytes at the last sync, also a failed one: pages that differ were stored to since.
    clean: Vec<u8>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Content {
    len: usize,
    head: Option<Head>,
    /// The bytes after the head; a head may be longer than the file only if the file was never shorter than it.
    rest: Vec<u8>,
    /// Which pages have room on the disk.
    blocks: Vec<bool>,
    durable: Vec<u8>,
    /// The changes since the last sync, each with the number of its operation.
    pub(super) pending: Vec<(u64, Change)>,
}

pub(super) fn too_long() -> io::Error {
    io::Error::from_raw_os_error(libc::EFBIG)
}

fn checked(len: Option<u64>) -> io::Result<usize> {
    match len {
        Some(len) if len <= LEN_MAX => usize::try_from(len).map_err(|_| too_long()),
        _ => Err(too_long()),
    }
}

impl Content {
    /// A file with these bytes, all durable.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        let blocks = vec![true; bytes.len().div_ceil(PAGE)];
        Content { len: bytes.len(), durable: bytes.clone(), rest: bytes, blocks, ..Content::default() }
    }

    pub(super) fn len(&self) -> u64 {
        self.len as u64
    }

    /// How many pages of room it takes.
    pub(super) fn pages(&self) -> usize {
        self.blocks.iter().filter(|block| **block).count()
    }

    fn head_len(&self) -> usize {
        self.head.as_ref().map_or(0, |head| head.len)
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let Ok(offset) = usize::try_from(offset) else {
            return 0;
        };
        let count = self.len.saturating_sub(offset).min(buf.len());
        let buf = &mut buf[..count];
        let split = self.head_len().saturating_sub(offset).min(count);
        let (in_head, in_rest) = buf.split_at_mut(split);
        if let Some(head) = &self.head
            && !in_head.is_empty()
        {
            head.buffer.read(offset, in_head);
        }
        if !in_rest.is_empty() {
            let from = offset + split - self.head_len();
            in_rest.copy_from_slice(&self.rest[from..from + in_rest.len()]);
        }
        count
    }

    /// What a reader sees.
    pub(super) fn live(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(&mut bytes, 0);
        bytes
    }

    /// How many bytes of a write fit into `free` pages of room.
    pub(super) fn fits(&self, offset: u64, len: usize, free: usize) -> io::Result<usize> {
        let end = checked(offset.checked_add(len as u64))?;
        let start = usize::try_from(offset).map_err(|_| too_long())?;
        let mut left = free;
        for page in start / PAGE..end.div_ceil(PAGE) {
            if !self.blocks.get(page).copied().unwrap_or(false) {
                if left == 0 {
                    return Ok((page * PAGE).saturating_sub(start));
                }
                left -= 1;
            }
        }
        Ok(len)
    }

    /// Writes what fits; the caller asked [`Content::fits`].
    pub(super) fn write(&mut self, number: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = checked(offset.checked_add(bytes.len() as u64))?;
        let offset = end - bytes.len();
        if bytes.is_empty() {
            return Ok(());
        }
        self.grow(end);
        self.take_room(offset, end);
        let split = self.head_len().saturating_sub(offset).min(bytes.len());
        let (in_head, in_rest) = bytes.split_at(split);
        if let Some(head) = &self.head
            && !in_head.is_empty()
        {
            head.buffer.write(offset, in_head);
        }
        if !in_rest.is_empty() {
            let from = offset + split - self.head_len();
            self.rest[from..from + in_rest.len()].copy_from_slice(in_rest);
        }
        self.pending.push((number, Change::Write { offset, bytes: bytes.to_vec() }));
        Ok(())
    }

    /// Refuses to shorten a file while a mapping of what would go is in use: on a real disk the next store there ends
    /// the process with SIGBUS.
    pub(super) fn set_len(&mut self, number: u64, len: u64) -> io::Result<()> {
        let len = checked(Some(len))?;
        if len < self.head_len() {
            self.unmap(number)?;
        }
        if len < self.len {
            self.rest.truncate(len - self.head_len());
            self.blocks.truncate(len.div_ceil(PAGE));
            self.len = len;
        } else {
            self.grow(len);
        }
        self.pending.push((number, Change::SetLen(len)));
        Ok(())
    }

    pub(super) fn allocate(&mut self, number: u64, len: u64) -> io::Result<()> {
        let len = checked(Some(len))?;
        self.grow(len);
        self.take_room(0, len);
        self.extend_head();
        self.pending.push((number, Change::Allocate(len)));
        Ok(())
    }

    fn grow(&mut self, len: usize) {
        if len > self.len {
            self.rest.resize(len - self.head_len(), 0);
            self.len = len;
        }
    }

    fn take_room(&mut self, from: usize, to: usize) {
        let pages = from / PAGE..to.div_ceil(PAGE);
        if self.blocks.len() < pages.end {
            self.blocks.resize(pages.end, false);
        }
        self.blocks[pages].fill(true);
    }

    /// The pages of the head that were stored to since the last sync.
    pub(super) fn changed_pages(&self) -> Vec<usize> {
        let Some(head) = &self.head else {
            return Vec::new();
        };
        let mut live = [0; PAGE];
        let clean = head.clean.chunks(PAGE).enumerate();
        clean
            .filter_map(|(page, clean)| {
                let live = &mut live[..clean.len()];
                head.buffer.read(page * PAGE, live);
                (live != clean).then_some(page)
            })
            .collect()
    }

    /// The bytes of one page of the head, at the last sync and now.
    fn page(&self, page: usize) -> (Vec<u8>, Vec<u8>) {
        let Some(head) = &self.head else {
            return (Vec::new(), Vec::new());
        };
        let end = head.len.min((page + 1) * PAGE);
        let clean = head.clean[page * PAGE..end].to_vec();
        let mut live = vec![0; clean.len()];
        head.buffer.read(page * PAGE, &mut live);
        (clean, live)
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) {
        let mut durable = std::mem::take(&mut self.durable);
        for (_, change) in self.pending.drain(..) {
            Fate::Keep.apply(&mut durable, &change);
        }
        for page in self.changed_pages() {
            let (_, live) = self.page(page);
            let at = page * PAGE;
            durable[at..at + live.len()].copy_from_slice(&live);
            if let Some(head) = &mut self.head {
                head.clean[at..at + live.len()].copy_from_slice(&live);
            }
        }
        self.durable = durable;
    }

    /// What a failed sync leaves: readers still see the bytes, and no later sync will write them.
    ///
    /// The length stays as pending as it was: file systems keep that apart from the bytes.
    pub(super) fn lose(&mut self, number: u64) {
        self.pending.retain(|(_, change)| !matches!(change, Change::Write { .. }));
        self.pending.push((number, Change::SetLen(self.len)));
        if let Some(head) = &mut self.head {
            head.buffer.read(0, &mut head.clean);
        }
    }

    /// Makes the first `len` bytes memory, as far as there are so many, and returns it.
    pub(super) fn map(&mut self, len: usize) -> io::Result<Arc<Buffer>> {
        let allocated = self.blocks.iter().take_while(|block| **block).count() * PAGE;
        if len == 0 || self.len == 0 || len.min(self.len) > allocated {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a mapping must have at least one byte, as must the file, and lie in what was allocated or written",
            ));
        }
        let room = len.max(MAPPABLE);
        if let Some(head) = &mut self.head
            && head.buffer.len() < room
        {
            if Arc::strong_count(&head.buffer) == 1 {
                head.buffer = head.copy(room);
            } else if head.buffer.len() < len {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a file was mapped longer than 8 MiB while a shorter mapping of it is in use",
                ));
            }
        }
        let new = || Head { buffer: Arc::new(Buffer::new(room)), len: 0, mapped: 0, clean: Vec::new() };
        let head = self.head.get_or_insert_with(new);
        head.mapped = head.mapped.max(len);
        let buffer = head.buffer.clone();
        self.extend_head();
        Ok(buffer)
    }

    /// Makes what is mapped and allocated part of the head.
    fn extend_head(&mut self) {
        let allocated = self.blocks.iter().take_while(|block| **block).count() * PAGE;
        let Some(head) = &mut self.head else { return };
        let end = head.mapped.min(self.len).min(allocated);
        if head.len < end {
            let mut early = vec![0; end - head.len];
            head.buffer.read(head.len, &mut early);
            assert!(early.iter().all(|byte| *byte == 0), "a store behind the end of a file: SIGBUS on a real disk");
            let moved: Vec<u8> = self.rest.drain(..end - head.len).collect();
            head.buffer.write(head.len, &moved);
            head.clean.extend_from_slice(&moved);
            head.len = end;
        }
    }

    /// Turns the head into plain bytes, and stores to it into pending writes, unless a mapping is in use.
    fn unmap(&mut self, number: u64) -> io::Result<()> {
        if self.head.as_ref().is_some_and(|head| Arc::strong_count(&head.buffer) > 1) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a file was shortened, or damaged, while it is mapped",
            ));
        }
        for page in self.changed_pages() {
            let bytes = self.page(page).1;
            self.pending.push((number, Change::Write { offset: page * PAGE, bytes }));
        }
        self.rest = self.live();
        self.head = None;
        Ok(())
    }

    /// The same file for another disk: nothing that happens to the one is seen in the other.
    pub(super) fn fork(&self) -> Self {
        let head = self.head.as_ref().map(|head| Head {
            buffer: head.copy(head.len),
            len: head.len,
            mapped: head.len,
            clean: head.clean.clone(),
        });
        Content {
            len: self.len,
            head,
            rest: self.rest.clone(),
            blocks: self.blocks.clone(),
            durable: self.durable.clone(),
            pending: self.pending.clone(),
        }
    }

    /// Takes the file away from its mappings: what they store from now on is not seen.
    pub(super) fn freeze(&mut self) {
        if let Some(head) = &mut self.head {
            head.buffer = head.copy(head.len);
            head.mapped = head.len;
        }
    }

    /// What the disk holds after a power loss: a fate for each pending change, then one for each changed page.
    pub(super) fn after_power_loss(&self, changes: &[Fate], pages: &[(usize, Fate)]) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for ((_, change), fate) in self.pending.iter().zip(changes) {
            fate.apply(&mut bytes, change);
        }
        for (page, fate) in pages {
            // A page past the end has no place: the length did not reach the disk.
            let at = page * PAGE;
            if at < bytes.len() {
                let (_, live) = self.page(*page);
                let end = bytes.len().min(at + live.len());
                fate.mix_page(&mut bytes[at..end], &live);
            }
        }
        bytes
    }

    /// Changes the bytes on the disk and in its cache, as damage does: nothing is pending afterwards.
    pub(super) fn damage(&mut self, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.unmap(0)?;
        let mut bytes = self.live();
        change(&mut bytes);
        *self = Content::durable(bytes);
        Ok(())
    }
}

impl Head {
    /// The same bytes elsewhere, with room to map this many.
    fn copy(&self, room: usize) -> Arc<Buffer> {
        let mut bytes = vec![0; self.len];
        self.buffer.read(0, &mut bytes);
        let copy = Buffer::new(room);
        copy.write(0, &bytes);
        Arc::new(copy)
    }
}
