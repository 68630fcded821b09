//! Frame of reference with patches: offsets from a base, packed at one width, with a few exceptions stored separately.
//!
//! 1. byte: bits 0 to 6 the width (0 to 64), bit 7 whether there are exceptions;
//! 2. zigzag varint: the base;
//! 3. varint, only if bit 7 is set: how many exceptions, at least 1;
//! 4. the low `width` bits of each `value - base` (wrapping), packed;
//! 5. for each exception: varint, positions skipped since the one before; zigzag varint, `(value - base) >> width`
//!    (arithmetic shift), never 0.

use super::bitpack::{mask, pack, packed_len, unpack};
use crate::base::bytes::{Malformed, Reader, put_varint};

const HAS_EXCEPTIONS: u8 = 0x80;
/// How many values are looked at to guess where most of them lie.
const SAMPLE: usize = 64;

/// Maps small magnitudes of both signs to small numbers.
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Bytes of a varint.
pub(super) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Bits that `value` needs.
pub(super) fn bits(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// How to write one column: decided once, purely, from the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    base: i64,
    width: u32,
    exceptions: usize,
}

impl Plan {
    /// The base and width that give about the fewest bytes. About 1 ns a value, 3 where outliers are seen.
    pub(super) fn new(values: &[i64]) -> Self {
        let Some(&first) = values.first() else {
            return Self { base: 0, width: 0, exceptions: 0 };
        };
        let (min, max) = values.iter().fold((first, first), |(min, max), &value| (min.min(value), max.max(value)));
        let width_all = bits(max.wrapping_sub(min) as u64);
        let all = Self { base: min, width: width_all, exceptions: 0 };
        if width_all == 0 || values.len() < 4 {
            return all;
        }
        let mut sample = [0; SAMPLE];
        let sample = spread(values, &mut sample);
        if spans_widely(sample, min, width_all) {
            return all;
        }
        sample.sort_unstable();
        let (low, high) = (sample[sample.len() / 16], sample[sample.len() - 1 - sample.len() / 16]);
        if bits(high.wrapping_sub(low) as u64) + 1 >= width_all {
            return all;
        }
        let mut best = (all.len_estimate(values.len()), all);
        for base in [min, sample[sample.len() / 32], low] {
            let candidate = Self::with_base(values, base, width_all);
            if candidate.0 < best.0 {
                best = candidate;
            }
        }
        best.1
    }

    fn len_estimate(&self, count: usize) -> usize {
        1 + varint_len(zigzag(self.base)) + packed_len(count, self.width)
    }

    /// The best width for this base, with the bytes it takes.
    fn with_base(values: &[i64], base: i64, width_max: u32) -> (usize, Self) {
        let (mut above, mut below) = ([0_usize; 65], [0_usize; 65]);
        for &value in values {
            let offset = value.wrapping_sub(base);
            let needed = bits((offset ^ (offset >> 63)) as u64) as usize;
            if offset < 0 { below[needed] += 1 } else { above[needed] += 1 }
        }
        let below_count: usize = below.iter().sum();
        let below_bytes: usize = below.iter().enumerate().map(|(bits, count)| count * (2 + bits / 7)).sum();
        let mut best = (usize::MAX, Self { base, width: 64, exceptions: 0 });
        for width in (0..=width_max.min(63)).rev() {
            let (mut exceptions, mut bytes) = (below_count, below_bytes);
            for (needed, &count) in above.iter().enumerate().skip(width as usize + 1) {
                exceptions += count;
                bytes += count * (2 + (needed - width as usize) / 7);
            }
            let candidate = Self { base, width, exceptions };
            let total = candidate.len_estimate(values.len()) + bytes + usize::from(exceptions > 0);
            if total < best.0 {
                best = (total, candidate);
            }
            if bytes > best.0 {
                break;
            }
        }
        best
    }
}

/// Whether the middle seven eighths of a sample take more than a quarter of the range, so that no exceptions pay: told
/// without sorting, by how many values lie in each eighth of `2^width` from `min` on.
fn spans_widely(sample: &[i64], min: i64, width: u32) -> bool {
    let shift = width.saturating_sub(3);
    let mut eighths = [0_usize; 8];
    for value in sample {
        eighths[(value.wrapping_sub(min) as u64 >> shift) as usize & 7] += 1;
    }
    let outside = sample.len() / 16;
    let edge = |mut eighths: std::slice::Iter<'_, usize>| {
        let mut seen = 0;
        eighths.position(|count| {
            seen += count;
            seen > outside
        })
    };
    let (low, mut backwards) = (edge(eighths.iter()), eighths);
    backwards.reverse();
    let high = edge(backwards.iter()).map(|from_end| 7 - from_end);
    low.zip(high).is_some_and(|(low, high)| high >= low + 3)
}

/// Up to [`SAMPLE`] values, evenly spread.
fn spread<'a>(values: &[i64], sample: &'a mut [i64; SAMPLE]) -> &'a mut [i64] {
    let count = values.len().min(SAMPLE);
    for (index, out) in sample[..count].iter_mut().enumerate() {
        *out = values[index * values.len() / count];
    }
    &mut sample[..count]
}

/// Appends the values; `offsets` is a buffer.
pub(super) fn write(values: &[i64], plan: Plan, offsets: &mut Vec<i64>, out: &mut Vec<u8>) {
    let Plan { base, width, exceptions } = plan;
    out.push(width as u8 | if exceptions > 0 { HAS_EXCEPTIONS } else { 0 });
    put_varint(out, zigzag(base));
    if exceptions > 0 {
        put_varint(out, exceptions as u64);
    }
    offsets.clear();
    offsets.extend(values.iter().map(|value| value.wrapping_sub(base)));
    pack(offsets, width, out);
    if exceptions == 0 {
        return;
    }
    let mut skipped = 0;
    for &offset in offsets.iter() {
        if offset as u64 & !mask(width) == 0 {
            skipped += 1;
            continue;
        }
        put_varint(out, skipped);
        put_varint(out, zigzag(offset >> width));
        skipped = 0;
    }
}

/// Fills `out` with the next stream.
pub(super) fn read(reader: &mut Reader<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    let head = reader.u8()?;
    let width = u32::from(head & !HAS_EXCEPTIONS);
    if width > 64 {
        return Err(Malformed("packed width over 64 bits"));
    }
    let base = unzigzag(reader.varint()?);
    let exceptions = if head & HAS_EXCEPTIONS == 0 { 0 } else { reader.count(out.len())? };
    if exceptions == 0 && head & HAS_EXCEPTIONS != 0 || exceptions > 0 && width == 64 {
        return Err(Malformed("exceptions are announced where none can be"));
    }
    unpack(reader.slice(packed_len(out.len(), width))?, width, base, out);
    let mut at = 0;
    for _ in 0..exceptions {
        at = reader.count(out.len())?.checked_add(at).ok_or(Malformed("exception out of place"))?;
        let high = unzigzag(reader.varint()?);
        if high == 0 || high << width >> width != high {
            return Err(Malformed("exception that is none"));
        }
        // The low bits of what is added are zero, so that adding puts the high bits in place also where the base is
        // there.
        let value = out.get_mut(at).ok_or(Malformed("exception out of place"))?;
        *value = value.wrapping_add(high << width);
        at += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(values: &[i64]) -> usize {
        let mut bytes = Vec::new();
        write(values, Plan::new(values), &mut Vec::new(), &mut bytes);
        let mut back = vec![7; values.len()];
        let mut reader = Reader::new(&bytes);
        read(&mut reader, &mut back).unwrap();
        reader.end().unwrap();
        assert_eq!(back, values);
        bytes.len()
    }

    #[test]
    fn outliers_on_both_sides_are_patched() {
        let mut values: Vec<i64> = (0..1024).map(|i| 1_000_000 + i * 37 % 64).collect();
        let plain = round_trip(&values);
        values[3] = i64::MIN;
        values[500] = i64::MAX;
        values[1023] = 0;
        let patched = round_trip(&values);
        assert!(patched < plain + 50, "{plain} {patched}");
    }

    #[test]
    fn extremes_wrap() {
        round_trip(&[i64::MIN, i64::MAX, 0, -1, 1, i64::MAX, i64::MIN, 5]);
        round_trip(&[i64::MIN; 9]);
        let mut values = vec![i64::MAX; 300];
        values[7] = i64::MIN;
        assert!(round_trip(&values) < 40);
    }

    #[test]
    fn lying_exceptions_are_refused() {
        // Width 1, base 0, one exception; two values packed; then the exception.
        let good = [0x81, 0, 1, 0b10, 0, 2];
        let mut out = [0; 2];
        assert_eq!(read(&mut Reader::new(&good), &mut out), Ok(()));
        assert_eq!(out, [2, 1]);
        for bad in [
            &[0x81, 0, 0, 0b10][..],
            &[0x81, 0, 3, 0b10, 0, 2],
            &[0x81, 0, 1, 0b10, 2, 2],
            &[0x81, 0, 1, 0b10, 0, 0],
            &[65, 0],
        ] {
            assert!(read(&mut Reader::new(bad), &mut out).is_err(), "{bad:?}");
        }
    }
}
