//! Integer codecs that hold no other codec: raw, constant, arithmetic, packed, differences, pco.

use super::id::ints::{ARITHMETIC, CONSTANT, DELTA, DELTA_2, DELTA_PCO, PACKED, PCO, RAW};
use super::pages::{self, Search};
use super::stream::{self, Plan, bits, unzigzag, zigzag};
use crate::base::bytes::{Malformed, Reader, put_varint};

/// Buffers that a caller keeps between columns.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    offsets: Vec<i64>,
    differences: Vec<i64>,
}

/// Appends `values` in this codec; `None`, with `out` as it was, where the codec cannot hold them.
pub(super) fn encode(codec: u8, values: &[i64], buffers: &mut Buffers, out: &mut Vec<u8>) -> Option<()> {
    match codec {
        RAW => {
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            Some(())
        }
        CONSTANT => {
            let (&first, rest) = values.split_first()?;
            rest.iter().all(|&value| value == first).then(|| put_short(zigzag(first), out))
        }
        ARITHMETIC => {
            let [first, second, ..] = *values else {
                return None;
            };
            let stride = second.wrapping_sub(first);
            values.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == stride).then(|| {
                put_varint(out, zigzag(first));
                put_short(zigzag(stride), out);
            })
        }
        PACKED => {
            stream::write(values, Plan::new(values), &mut buffers.offsets, out);
            Some(())
        }
        DELTA => {
            let (&first, _) = values.split_first()?;
            put_varint(out, zigzag(first));
            difference(values, &mut buffers.differences);
            stream::write(&buffers.differences, Plan::new(&buffers.differences), &mut buffers.offsets, out);
            Some(())
        }
        DELTA_2 => {
            let [first, second, ..] = *values else {
                return None;
            };
            put_varint(out, zigzag(first));
            put_varint(out, zigzag(second.wrapping_sub(first)));
            buffers.differences.clear();
            buffers.differences.extend(
                values
                    .windows(3)
                    .map(|three| three[2].wrapping_sub(three[1]).wrapping_sub(three[1].wrapping_sub(three[0]))),
            );
            stream::write(&buffers.differences, Plan::new(&buffers.differences), &mut buffers.offsets, out);
            Some(())
        }
        PCO => encode_pco(values, Search::Order(0), out),
        DELTA_PCO => encode_delta_pco(values, 0, buffers, out),
        _ => None,
    }
}

/// Fills `out` from bytes that hold nothing else.
pub(super) fn decode(codec: u8, bytes: &[u8], out: &mut [i64]) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    match codec {
        RAW => {
            for value in out {
                *value = i64::from_le_bytes(reader.array()?);
            }
        }
        CONSTANT => {
            if out.is_empty() {
                return Err(Malformed("a constant column is not empty"));
            }
            out.fill(unzigzag(short(&mut reader)?));
        }
        ARITHMETIC => {
            if out.len() < 2 {
                return Err(Malformed("an arithmetic column has two values or more"));
            }
            let mut next = unzigzag(reader.varint()?);
            let stride = unzigzag(short(&mut reader)?);
            for value in out {
                *value = next;
                next = next.wrapping_add(stride);
            }
        }
        PACKED => stream::read(&mut reader, out)?,
        DELTA => {
            let (first, rest) = out.split_first_mut().ok_or(Malformed("a delta column is not empty"))?;
            *first = unzigzag(reader.varint()?);
            stream::read(&mut reader, rest)?;
            add_up(out);
        }
        DELTA_2 => {
            let [first, second, rest @ ..] = out else {
                return Err(Malformed("a delta-2 column has two values or more"));
            };
            *first = unzigzag(reader.varint()?);
            *second = unzigzag(reader.varint()?);
            stream::read(&mut reader, rest)?;
            add_up(&mut out[1..]);
            add_up(out);
        }
        PCO => return decode_pco(bytes, out),
        DELTA_PCO => {
            let (first, rest) = out.split_first_mut().ok_or(Malformed("a delta column is not empty"))?;
            *first = unzigzag(reader.varint()?);
            decode_pco(reader.slice(reader.remaining())?, rest)?;
            add_up(out);
            return Ok(());
        }
        _ => return Err(Malformed("unknown codec of integers")),
    }
    reader.end()
}

/// The differences of neighbours, wrapping; one fewer than the values.
pub(super) fn difference(values: &[i64], out: &mut Vec<i64>) {
    out.clear();
    out.extend(values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
}

/// Replaces each value by the sum up to it, wrapping.
pub(super) fn add_up(values: &mut [i64]) {
    let mut sum = 0_i64;
    for value in values {
        sum = sum.wrapping_add(*value);
        *value = sum;
    }
}

/// Appends a number as the fewest little-endian bytes, 0 to 8; the page's end tells how many.
fn put_short(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes()[..bits(value).div_ceil(8) as usize]);
}

/// The number that takes the rest of the page.
fn short(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let bytes = reader.slice(reader.remaining())?;
    if bytes.len() > 8 || bytes.last() == Some(&0) {
        return Err(Malformed("a last number has 0 to 8 bytes and no leading zero"));
    }
    let mut whole = [0; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    Ok(u64::from_le_bytes(whole))
}

/// Zigzag varint: the first value; then the differences by pco, which takes `more` rounds of differences itself.
pub(super) fn encode_delta_pco(values: &[i64], more: usize, buffers: &mut Buffers, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let (&first, _) = values.split_first()?;
    put_varint(out, zigzag(first));
    difference(values, &mut buffers.differences);
    let done = encode_pco(&buffers.differences, Search::Order(more), out);
    if done.is_none() {
        out.truncate(start);
    }
    done
}

/// One byte: latents of 16 (0), 32 (1) or 64 bits (2); zigzag varint: the least value; pco over the offsets from it.
fn encode_pco(values: &[i64], search: Search, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let (&min, &max) = (values.iter().min()?, values.iter().max()?);
    let kind = match bits(max.wrapping_sub(min) as u64) {
        0..=16 => 0,
        17..=32 => 1,
        _ => 2,
    };
    out.push(kind);
    put_varint(out, zigzag(min));
    let offsets = values.iter().map(|value| value.wrapping_sub(min) as u64);
    let done = match kind {
        0 => pages::encode(&offsets.map(|offset| offset as u16).collect::<Vec<_>>(), search, out),
        1 => pages::encode(&offsets.map(|offset| offset as u32).collect::<Vec<_>>(), search, out),
        _ => pages::encode(&offsets.collect::<Vec<_>>(), search, out),
    };
    if done.is_none() {
        out.truncate(start);
    }
    done
}

fn decode_pco(bytes: &[u8], out: &mut [i64]) -> Result<(), Malformed> {
    fn widen<T: pages::PcoNumber + Default>(
        bytes: &[u8],
        min: i64,
        out: &mut [i64],
        wide: impl Fn(T) -> i64,
    ) -> Result<(), Malformed> {
        let mut offsets = vec![T::default(); out.len()];
        pages::decode(bytes, &mut offsets)?;
        for (value, offset) in out.iter_mut().zip(offsets) {
            *value = min.wrapping_add(wide(offset));
        }
        Ok(())
    }
    let mut reader = Reader::new(bytes);
    let kind = reader.u8()?;
    let min = unzigzag(reader.varint()?);
    let rest = reader.slice(reader.remaining())?;
    match kind {
        0 => widen::<u16>(rest, min, out, i64::from),
        1 => widen::<u32>(rest, min, out, i64::from),
        2 => widen::<u64>(rest, min, out, |offset| offset as i64),
        _ => Err(Malformed("unknown width of pco latents")),
    }
}
