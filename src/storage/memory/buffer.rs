//! Memory that a simulated file shares with the mappings of it.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Bytes of a page, to which a mapping is aligned.
const PAGE: usize = 4096;
const WORD: usize = 8;

/// Zeroed bytes at a fixed, page-aligned address, which anyone with the pointer may change at any time.
pub(super) struct Buffer {
    words: *mut [u64],
    start: *mut u8,
    len: usize,
}

// SAFETY: the memory is owned by this value, lives as long as it, and is only read and written with atomic operations
// here; who stores through the pointer answers for its own threads, as with a real mapping.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` bytes, rounded up to pages. Pages that nobody touches cost address space only, as a rule.
    pub(super) fn new(len: usize) -> Self {
        let len = len.next_multiple_of(PAGE);
        let words = Box::into_raw(vec![0u64; (len + PAGE) / WORD].into_boxed_slice());
        let first = words.cast::<u8>();
        let start = first.wrapping_add(first.align_offset(PAGE));
        Buffer { words, start, len }
    }

    pub(super) fn as_ptr(&self) -> *mut u8 {
        self.start
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes out, in words, each of which is read at once.
    pub(super) fn read(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset + bytes.len() <= self.len);
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done;
            let skip = at % WORD;
            let count = (WORD - skip).min(bytes.len() - done);
            // SAFETY: the word begins at a multiple of 8 below `len` from an aligned start, so it is within the memory,
            // which lives as long as `self`.
            let word = unsafe { AtomicU64::from_ptr(self.start.add(at - skip).cast()) }.load(Ordering::Acquire);
            // The bytes as they lie in memory, on a machine of either byte order.
            let memory = u64::from_le(word).to_le_bytes();
            bytes[done..done + count].copy_from_slice(&memory[skip..skip + count]);
            done += count;
        }
    }

    /// Copies bytes in.
    pub(super) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.len);
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done;
            if at.is_multiple_of(WORD)
                && let Some(memory) = bytes[done..].first_chunk::<WORD>()
            {
                let word = u64::from_le_bytes(*memory).to_le();
                // SAFETY: as in `read`; the whole word is within the range asserted above.
                unsafe { AtomicU64::from_ptr(self.start.add(at).cast()) }.store(word, Ordering::Release);
                done += WORD;
            } else {
                // SAFETY: the byte is within the range asserted above.
                unsafe { AtomicU8::from_ptr(self.start.add(at)) }.store(bytes[done], Ordering::Release);
                done += 1;
            }
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `Box::into_raw` in `new` and is given back once.
        drop(unsafe { Box::from_raw(self.words) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_at_any_alignment() {
        let buffer = Buffer::new(5000);
        assert_eq!(buffer.len(), 8192);
        assert_eq!(buffer.as_ptr().align_offset(PAGE), 0);
        let bytes: Vec<u8> = (0..100).collect();
        for offset in [0, 1, 7, 8, 4090, 8092] {
            buffer.write(offset, &bytes);
            let mut back = vec![0; 100];
            buffer.read(offset, &mut back);
            assert_eq!(back, bytes);
            // SAFETY: the byte is within the buffer, which lives, and nobody else has it.
            assert_eq!(unsafe { *buffer.as_ptr().add(offset + 99) }, 99);
            buffer.write(offset, &[0; 100]);
        }
        let mut all = vec![1; 8192];
        buffer.read(0, &mut all);
        assert!(all.iter().all(|byte| *byte == 0));
    }
}
