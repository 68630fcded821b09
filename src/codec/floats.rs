//! Columns of floats: one constant, views as integers, pco and shuffled bytes.

use super::id::CodecId;
use super::id::ints::NESTS;
use super::id::views::{FLOATS, NARROW};
use super::views::{Seen, View, unordered_narrow, widen};
use super::{ints, nests, pages};
use crate::base::bytes::{Malformed, Reader};

/// zstd's level for shuffled bytes.
const SHUFFLED_LEVEL: i32 = 19;

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
    pages::encode(values, out)
}

/// Appends the head of the float32 view, then pco over the float32; `seen` holds that view.
pub(super) fn encode_pco_narrow(seen: &Seen, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    View::plain(NARROW).put_head(&seen.exceptions, out);
    let narrow: Vec<f32> = seen.ints.iter().map(|&int| f32::from_bits(unordered_narrow(int as i32))).collect();
    let done = pages::encode(&narrow, out);
    if done.is_none() {
        out.truncate(start);
    }
    done
}

/// Appends one zstd frame of all first bytes, then all second bytes, and so on.
pub(super) fn encode_shuffled(values: &[f64], out: &mut Vec<u8>) -> Option<()> {
    if values.is_empty() {
        return None;
    }
    let shuffled: Vec<u8> =
        (0..8).flat_map(|byte| values.iter().map(move |value| value.to_bits().to_le_bytes()[byte])).collect();
    out.extend(zstd::bulk::compress(&shuffled, SHUFFLED_LEVEL).ok()?);
    Some(())
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
        CodecId::FLOAT_PCO_NARROW => {
            let mut reader = Reader::new(bytes);
            let (_, patches) = View::read_head(NARROW, &mut reader, out.len())?;
            let mut narrow = vec![0_f32; out.len()];
            pages::decode(reader.slice(reader.remaining())?, &mut narrow)?;
            out.iter_mut().zip(narrow).for_each(|(out, narrow)| *out = widen(narrow.to_bits()));
            patches.apply(out)
        }
        CodecId::FLOAT_SHUFFLED => {
            let shuffled = super::bytes::decode_zstd(bytes, out.len() * 8)?;
            let count = out.len();
            for (at, out) in out.iter_mut().enumerate() {
                let mut whole = [0; 8];
                for (byte, place) in whole.iter_mut().enumerate() {
                    *place = shuffled[byte * count + at];
                }
                *out = f64::from_bits(u64::from_le_bytes(whole));
            }
            Ok(())
        }
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
