//! zstd frames, with thread-local contexts: setting one up costs more than compressing a short text.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

/// Contexts of greater levels are too large to keep.
const KEPT_LEVEL_MAX: i32 = 3;

thread_local! {
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// One frame of all `bytes`, its length stated in it; `None` when zstd has no memory.
pub(crate) fn compress(bytes: &[u8], level: i32) -> Option<Vec<u8>> {
    let anew = || zstd::bulk::compress(bytes, level).ok();
    if level > KEPT_LEVEL_MAX {
        return anew();
    }
    let kept = |slot: &RefCell<Option<(i32, Compressor<'static>)>>| {
        let mut slot = slot.borrow_mut();
        if slot.as_ref().is_none_or(|(own, _)| *own != level) {
            *slot = Some((level, Compressor::new(level).ok()?));
        }
        slot.as_mut()?.1.compress(bytes).ok()
    };
    // An ending thread has no thread-local contexts.
    COMPRESSOR.try_with(kept).unwrap_or_else(|_| anew())
}

/// Decompresses a frame of at most `len` bytes, which are allocated at once; `None` if it is invalid or longer.
pub(crate) fn decompress(frame: &[u8], len: usize) -> Option<Vec<u8>> {
    let kept = |slot: &RefCell<Option<Decompressor<'static>>>| {
        let mut slot = slot.borrow_mut();
        if slot.is_none() {
            *slot = Some(Decompressor::new().ok()?);
        }
        slot.as_mut()?.decompress(frame, len).ok()
    };
    DECOMPRESSOR.try_with(kept).unwrap_or_else(|_| zstd::bulk::decompress(frame, len).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_contexts_give_the_same_frames() {
        for text in ["", "short", &"a longer text, again and again; ".repeat(500)] {
            for level in [1, 3, 1, 19] {
                let frame = compress(text.as_bytes(), level).unwrap();
                assert_eq!(frame, zstd::bulk::compress(text.as_bytes(), level).unwrap());
                assert_eq!(decompress(&frame, text.len()).unwrap(), text.as_bytes());
                // A context that failed serves on.
                assert!(decompress(b"no frame", 100).is_none());
                assert!(text.is_empty() || decompress(&frame, text.len() - 1).is_none());
            }
        }
    }
}
