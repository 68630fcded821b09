//! Strings and control records: one zstd frame, or as they are.

use super::{CodecId, Effort};
use crate::base::bytes::Malformed;

/// Most bytes that are decoded to, in one piece.
const DECODED_MAX: usize = 256 << 20;
/// Most bytes that one byte of a zstd frame can decode to: four bytes make a block of 128 KiB.
const EXPANSION_MAX: usize = (128 << 10) / 4;
/// Below this nothing is gained, since a frame's head alone takes 9 bytes.
const ZSTD_LEN_MIN: usize = 16;

/// Appends the shorter of the two forms.
pub(super) fn encode(bytes: &[u8], effort: Effort, out: &mut Vec<u8>) -> CodecId {
    let level = match effort {
        Effort::Fast => 3,
        Effort::Tight => 9,
    };
    let may_pay = (ZSTD_LEN_MIN..=DECODED_MAX).contains(&bytes.len());
    let frame = may_pay.then(|| crate::base::zstd::compress(bytes, level)).flatten();
    if let Some(frame) = frame.filter(|frame| frame.len() < bytes.len()) {
        out.extend_from_slice(&frame);
        return CodecId::BYTES_ZSTD;
    }
    out.extend_from_slice(bytes);
    CodecId::BYTES_PLAIN
}

/// Decodes to exactly `len` bytes.
pub(super) fn decode(codec: CodecId, bytes: &[u8], len: usize) -> Result<Vec<u8>, Malformed> {
    match codec {
        CodecId::BYTES_PLAIN if bytes.len() == len => Ok(bytes.to_vec()),
        CodecId::BYTES_PLAIN => Err(Malformed("plain bytes of another length")),
        CodecId::BYTES_ZSTD => decode_zstd(bytes, len),
        _ => Err(Malformed("no codec of bytes")),
    }
}

/// Decodes one frame of exactly `len` bytes; a length that the frame cannot reach is refused before it is allocated.
fn decode_zstd(frame: &[u8], len: usize) -> Result<Vec<u8>, Malformed> {
    if len > DECODED_MAX || len / EXPANSION_MAX > frame.len() {
        return Err(Malformed("a zstd frame cannot be that long"));
    }
    let stated = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
    let taken = zstd::zstd_safe::find_frame_compressed_size(frame);
    if stated != Some(len as u64) || taken != Ok(frame.len()) {
        return Err(Malformed("a zstd frame of another length"));
    }
    match crate::base::zstd::decompress(frame, len) {
        Some(bytes) if bytes.len() == len => Ok(bytes),
        _ => Err(Malformed("not a zstd frame")),
    }
}
