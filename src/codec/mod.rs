//! Columns as few bytes, bit for bit.
//!
//! A codec turns one column of a page into bytes and back: integers, floats, or plain bytes. The caller stores its
//! number, the count of values and the checksum. The bytes are defined in `docs/format-codecs.md`.
//!
//! 1. A float column is *viewed* as integers if that is exact (`views`): float32, integers, decimals; values that do
//!    not fit are stored separately as bits.
//! 2. Integers are written as they are, as differences, as runs, by a dictionary, or by pco.
//! 3. The choice is separate from the writing: from a sample ([`Effort::Fast`]), or by sizes ([`Effort::Tight`]).
//! 4. Pages of one series resemble each other, so Fast tries the last page's choice first (`hint`).

pub(crate) mod id;

mod bitpack;
mod float_env;
mod pages;
mod stream;

mod choose_ints;
mod ints;
mod nests;

mod choose_floats;
mod floats;
mod views;

mod hint;

mod bytes;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod property_tests;

pub use hint::Hint;
pub use id::{CodecError, CodecId};

/// How much time to spend on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Sealing on the caller's thread: about 10 to 20 ns a value; the codec is chosen from a sample.
    Fast,
    /// Packing cold pages: some hundred ns a value; candidates are encoded and the smallest is kept.
    Tight,
}

/// Buffers that live from page to page, so that encoding allocates next to nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    seen: views::Seen,
    ints: ints::Buffers,
}

/// Appends the smallest encoding found to `out` and returns its codec, which the caller stores, like the count.
///
/// At most 2^24 values should be given; longer columns are kept but never by pco. At most 8 bytes a value are appended.
pub fn encode_ints(values: &[i64], effort: Effort, scratch: &mut Scratch, out: &mut Vec<u8>) -> CodecId {
    CodecId::new(id::views::INTS, choose_ints::encode(values, effort, &mut scratch.ints, out))
}

/// Appends the smallest encoding found to `out` and returns its codec; each value comes back with its 64 bits.
///
/// At most 2^24 values should be given; longer columns are kept but never by pco. At most 8 bytes a value are appended.
pub fn encode_floats(values: &[f64], effort: Effort, scratch: &mut Scratch, out: &mut Vec<u8>) -> CodecId {
    float_env::with_default(|| choose_floats::encode(values, effort, &mut scratch.seen, &mut scratch.ints, out))
}

/// [`encode_ints`] for the next page of a column, of which `hint` remembers the last.
pub fn encode_next_ints(
    values: &[i64],
    hint: &mut Hint,
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> CodecId {
    hint.ints(values, effort, scratch, out)
}

/// [`encode_floats`] for the next page of a column, of which `hint` remembers the last.
pub fn encode_next_floats(
    values: &[f64],
    hint: &mut Hint,
    effort: Effort,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> CodecId {
    float_env::with_default(|| hint.floats(values, effort, scratch, out))
}

/// Decodes a whole column into `out`, whose length is the encoded count.
///
/// Allocates at most a few times the size of `out`, whatever the bytes.
///
/// # Errors
/// [`CodecError`] if the bytes are not such a column; then `out` has arbitrary values.
pub fn decode_ints(codec: CodecId, bytes: &[u8], out: &mut [i64]) -> Result<(), CodecError> {
    if codec.view() != id::views::INTS {
        return Err(CodecError { codec, what: "no codec of integers" });
    }
    floats::decode_ints(codec.ints(), bytes, out).map_err(CodecError::of(codec))
}

/// Decodes a whole column into `out`, whose length is the encoded count.
///
/// Allocates at most a few times the size of `out`, whatever the bytes.
///
/// # Errors
/// [`CodecError`] if the bytes are not such a column; then `out` has arbitrary values.
pub fn decode_floats(codec: CodecId, bytes: &[u8], out: &mut [f64]) -> Result<(), CodecError> {
    float_env::with_default(|| floats::decode(codec, bytes, out)).map_err(CodecError::of(codec))
}

/// Appends `bytes` as a zstd frame (level 3 or 19), or plain if that is not longer; returns which.
///
/// Longer bytes than 256 MiB stay as they are.
pub fn encode_bytes(bytes: &[u8], effort: Effort, out: &mut Vec<u8>) -> CodecId {
    bytes::encode(bytes, effort, out)
}

/// The bytes that were encoded, exactly `len` of them.
///
/// A `len` that the input cannot decode to is rejected before anything is allocated: a frame decodes to at most 32 KiB
/// per byte, and to 256 MiB in all.
///
/// # Errors
/// [`CodecError`] if the input is not such an encoding or decodes to another length.
pub fn decode_bytes(codec: CodecId, bytes: &[u8], len: usize) -> Result<Vec<u8>, CodecError> {
    bytes::decode(codec, bytes, len).map_err(CodecError::of(codec))
}
