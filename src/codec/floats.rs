//! Columns of floats: one constant, views as integers, and pco over the floats themselves.

use super::id::CodecId;
use super::id::ints::NESTS;
use super::id::views::FLOATS;
use super::pages::{self, Search};
use super::views::View;
use super::{ints, nests};
use crate::base::bytes::{Malformed, Reader};

/// Appends a float as its most significant bytes without trailing zero bytes, 0 to 8; the page's end tells how many.
pub(super) fn encode_constant(values: &[f64], out: &mut Vec<u8>) -> Option<()> {
    let first = values.first()?.to_bits();
    if values.iter().any(|value| value.to_bits() != first) {
        return None;
    }
    let len = 8 - first.trailing_zeros() as usize / 8;
    out.extend(first.to_le_bytes().iter().rev().take(len.min(8)));
    Some(())
}

/// Appends pco over the 64-bit floats.
pub(super) fn encode_pco(values: &[f64], out: &mut Vec<u8>) -> Option<()> {
    pages::encode(values, Search::All, out)
}

/// Fills `out` from bytes that hold nothing else. The caller has set the default floating-point mode.
pub(super) fn decode(codec: CodecId, bytes: &[u8], out: &mut [f64]) -> Result<(), Malformed> {
    match codec {
        CodecId::FLOAT_CONSTANT => {
            if out.is_empty() || bytes.len() > 8 || bytes.last() == Some(&0) {
                return Err(Malformed("a constant has 0 to 8 bytes and no trailing zero"));
            }
            let mut whole = [0; 8];
            for (place, byte) in whole.iter_mut().rev().zip(bytes) {
                *place = *byte;
            }
            out.fill(f64::from_bits(u64::from_le_bytes(whole)));
            Ok(())
        }
        CodecId::FLOAT_PCO => pages::decode(bytes, out),
        _ if FLOATS.contains(&codec.view()) => {
            let mut reader = Reader::new(bytes);
            let (view, patches) = View::read_head(codec.view(), &mut reader, out.len())?;
            let mut seen = vec![0; out.len()];
            decode_ints(codec.ints(), reader.slice(reader.remaining())?, &mut seen)?;
            view.unsee(&seen, out);
            patches.apply(out)
        }
        _ => Err(Malformed("no codec of floats")),
    }
}

/// Fills `out` by the integer codec of this number, nested or not.
pub(super) fn decode_ints(codec: u8, bytes: &[u8], out: &mut [i64]) -> Result<(), Malformed> {
    if NESTS.contains(&codec) { nests::decode(codec, bytes, out) } else { ints::decode(codec, bytes, out) }
}
