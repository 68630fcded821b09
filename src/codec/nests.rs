//! Integer codecs that hold others inside: runs, runs of differences, dictionary, common divisor.
//!
//! An inner column is one codec byte and the codec's bytes; its count is known from outside. Inner columns hold no
//! further ones, so that nesting ends. An inner column that is not the last is preceded by its length as a varint.

use super::id::ints::{DELTA_RUNS, DICTIONARY, RUNS, SCALED};
use super::ints::{self, Buffers, add_up, difference};
use super::stream::{unzigzag, zigzag};
use super::{Effort, choose_ints};
use crate::base::bytes::{Malformed, Reader, put_varint};

/// Most distinct values that a dictionary is tried for.
const DISTINCT_MAX: usize = 4096;

/// Appends `values` in this codec; `None`, with `out` as it was, where it cannot hold them or could not pay.
pub(super) fn encode(
    codec: u8,
    values: &[i64],
    effort: Effort,
    buffers: &mut Buffers,
    out: &mut Vec<u8>,
) -> Option<()> {
    match codec {
        RUNS => encode_runs(values, effort, buffers, out),
        DELTA_RUNS => {
            let (&first, rest) = values.split_first()?;
            if rest.is_empty() {
                return None;
            }
            let start = out.len();
            let mut differences = Vec::with_capacity(rest.len());
            difference(values, &mut differences);
            put_varint(out, zigzag(first));
            let done = encode_runs(&differences, effort, buffers, out);
            if done.is_none() {
                out.truncate(start);
            }
            done
        }
        DICTIONARY => encode_dictionary(values, effort, buffers, out),
        SCALED => encode_scaled(values, effort, buffers, out),
        _ => None,
    }
}

/// Fills `out` from bytes that hold nothing else.
pub(super) fn decode(codec: u8, bytes: &[u8], out: &mut [i64]) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    match codec {
        RUNS => decode_runs(reader, out),
        DELTA_RUNS => {
            let (first, rest) = out.split_first_mut().ok_or(Malformed("a column of runs is not empty"))?;
            *first = unzigzag(reader.varint()?);
            decode_runs(reader, rest)?;
            add_up(out);
            Ok(())
        }
        DICTIONARY => decode_dictionary(reader, out),
        SCALED => {
            if out.is_empty() {
                return Err(Malformed("a scaled column is not empty"));
            }
            let divisor = reader.varint()?;
            let first = unzigzag(reader.varint()?);
            if divisor < 2 {
                return Err(Malformed("a common divisor is 2 or more"));
            }
            last_inner(reader, out)?;
            for value in out {
                *value = value.wrapping_mul(divisor as i64).wrapping_add(first);
            }
            Ok(())
        }
        _ => Err(Malformed("unknown codec of integers")),
    }
}

/// Appends an inner column with its length.
fn put_inner(values: &[i64], effort: Effort, buffers: &mut Buffers, out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    let codec = choose_ints::encode_leaf(values, effort, buffers, &mut bytes);
    out.push(codec);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(&bytes);
}

/// Appends an inner column that takes the rest of the page.
fn put_last_inner(values: &[i64], effort: Effort, buffers: &mut Buffers, out: &mut Vec<u8>) {
    let at = out.len();
    out.push(0);
    out[at] = choose_ints::encode_leaf(values, effort, buffers, out);
}

fn inner(reader: &mut Reader<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    let codec = reader.u8()?;
    let len = reader.count(reader.remaining())?;
    ints::decode(codec, reader.slice(len)?, out)
}

fn last_inner(mut reader: Reader<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    let codec = reader.u8()?;
    ints::decode(codec, reader.slice(reader.remaining())?, out)
}

/// Varint: how many runs; inner column: their lengths less 1; last inner column: their values.
fn encode_runs(values: &[i64], effort: Effort, buffers: &mut Buffers, out: &mut Vec<u8>) -> Option<()> {
    let (mut run_values, mut run_lens) = (Vec::new(), Vec::new());
    for run in values.chunk_by(|a, b| a == b) {
        run_values.push(run[0]);
        run_lens.push(run.len() as i64 - 1);
        // Q: Why give up here? A: shorter runs cost more than the values themselves.
        if run_values.len() * 2 > values.len() + 1 {
            return None;
        }
    }
    if run_values.is_empty() {
        return None;
    }
    put_varint(out, run_values.len() as u64);
    put_inner(&run_lens, effort, buffers, out);
    put_last_inner(&run_values, effort, buffers, out);
    Some(())
}

fn decode_runs(mut reader: Reader<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    let count = reader.count(out.len())?;
    let mut lens = vec![0; count];
    inner(&mut reader, &mut lens)?;
    let mut values = vec![0; count];
    last_inner(reader, &mut values)?;
    let mut left = out;
    for (len, value) in lens.into_iter().zip(values) {
        let len = usize::try_from(len)
            .ok()
            .filter(|&len| len < left.len())
            .ok_or(Malformed("runs longer than the column"))?;
        let (run, rest) = left.split_at_mut(len + 1);
        run.fill(value);
        left = rest;
    }
    if left.is_empty() { Ok(()) } else { Err(Malformed("runs shorter than the column")) }
}

/// Varint: how many distinct values, 2 or more; inner column: these, ascending; last inner column: indices.
fn encode_dictionary(values: &[i64], effort: Effort, buffers: &mut Buffers, out: &mut Vec<u8>) -> Option<()> {
    let distinct_max = DISTINCT_MAX.min(values.len() / 2);
    let mut indices = rustc_hash::FxHashMap::default();
    for &value in values {
        indices.insert(value, 0_i64);
        if indices.len() > distinct_max {
            return None;
        }
    }
    if indices.len() < 2 {
        return None;
    }
    let mut distinct: Vec<i64> = indices.keys().copied().collect();
    distinct.sort_unstable();
    for (index, value) in distinct.iter().enumerate() {
        indices.insert(*value, index as i64);
    }
    let indexed: Vec<i64> = values.iter().map(|value| indices[value]).collect();
    put_varint(out, distinct.len() as u64);
    put_inner(&distinct, effort, buffers, out);
    put_last_inner(&indexed, effort, buffers, out);
    Some(())
}

fn decode_dictionary(mut reader: Reader<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    let count = reader.count(out.len())?;
    if count < 2 {
        return Err(Malformed("a dictionary has two values or more"));
    }
    let mut distinct = vec![0; count];
    inner(&mut reader, &mut distinct)?;
    last_inner(reader, out)?;
    for value in out {
        *value = *usize::try_from(*value)
            .ok()
            .and_then(|index| distinct.get(index))
            .ok_or(Malformed("index past the dictionary"))?;
    }
    Ok(())
}

/// Varint: the common divisor, 2 or more; zigzag varint: the first value; last inner column:
/// `(value - first) / divisor`.
fn encode_scaled(values: &[i64], effort: Effort, buffers: &mut Buffers, out: &mut Vec<u8>) -> Option<()> {
    let (&first, rest) = values.split_first()?;
    let mut divisor = 0_u64;
    for &value in rest {
        divisor = greatest_common_divisor(value.checked_sub(first)?.unsigned_abs(), divisor);
        if divisor == 1 {
            return None;
        }
    }
    let divisor = i64::try_from(divisor).ok().filter(|&divisor| divisor >= 2)?;
    put_varint(out, divisor as u64);
    put_varint(out, zigzag(first));
    let quotients: Vec<i64> = values.iter().map(|value| (value - first) / divisor).collect();
    put_last_inner(&quotients, effort, buffers, out);
    Some(())
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
