//! A column of integers, held as offsets from its least value in the narrowest of 0, 1, 2, 4 or 8 bytes.

use crate::base::bytes::{Malformed, Reader};
use crate::index::bitmap::Bitmap;

/// Integers with random access and a vectorised range scan.
#[derive(Clone, Debug)]
pub(crate) struct Ints {
    base: i64,
    offsets: Offsets,
}

#[derive(Clone, Debug)]
enum Offsets {
    /// All values are the base; how many there are.
    Same(usize),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
}

impl Ints {
    /// The column of `values`. O(n).
    pub(crate) fn new(values: &[i64]) -> Self {
        let base = values.iter().copied().min().unwrap_or(0);
        let offset = |value: &i64| value.wrapping_sub(base) as u64;
        let greatest = values.iter().map(offset).max().unwrap_or(0);
        let offsets = match greatest {
            0 => Offsets::Same(values.len()),
            1..=0xFF => Offsets::U8(values.iter().map(|v| offset(v) as u8).collect()),
            0x100..=0xFFFF => Offsets::U16(values.iter().map(|v| offset(v) as u16).collect()),
            0x1_0000..=0xFFFF_FFFF => Offsets::U32(values.iter().map(|v| offset(v) as u32).collect()),
            _ => Offsets::U64(values.iter().map(offset).collect()),
        };
        Self { base, offsets }
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        match &self.offsets {
            Offsets::Same(len) => *len,
            Offsets::U8(v) => v.len(),
            Offsets::U16(v) => v.len(),
            Offsets::U32(v) => v.len(),
            Offsets::U64(v) => v.len(),
        }
    }

    /// The value at `at`, which must be below the length; 0 past it.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> i64 {
        let offset = match &self.offsets {
            Offsets::Same(_) => 0,
            Offsets::U8(v) => v.get(at).copied().map_or(0, u64::from),
            Offsets::U16(v) => v.get(at).copied().map_or(0, u64::from),
            Offsets::U32(v) => v.get(at).copied().map_or(0, u64::from),
            Offsets::U64(v) => v.get(at).copied().unwrap_or(0),
        };
        self.base.wrapping_add(offset as i64)
    }

    /// All values, widened.
    pub(crate) fn to_vec(&self) -> Vec<i64> {
        (0..self.len()).map(|at| self.get(at)).collect()
    }

    /// The least and greatest value; `None` for an empty column.
    pub(crate) fn range(&self) -> Option<(i64, i64)> {
        let greatest = match &self.offsets {
            Offsets::Same(len) => (*len > 0).then_some(0),
            Offsets::U8(v) => v.iter().max().copied().map(u64::from),
            Offsets::U16(v) => v.iter().max().copied().map(u64::from),
            Offsets::U32(v) => v.iter().max().copied().map(u64::from),
            Offsets::U64(v) => v.iter().max().copied(),
        }?;
        let least = match &self.offsets {
            Offsets::Same(_) => Some(0),
            Offsets::U8(v) => v.iter().min().copied().map(u64::from),
            Offsets::U16(v) => v.iter().min().copied().map(u64::from),
            Offsets::U32(v) => v.iter().min().copied().map(u64::from),
            Offsets::U64(v) => v.iter().min().copied(),
        }?;
        Some((self.base.wrapping_add(least as i64), self.base.wrapping_add(greatest as i64)))
    }

    /// Where the value lies within `low..=high`; nothing when `low > high`.
    pub(crate) fn within(&self, low: i64, high: i64) -> Bitmap {
        if low > high || high < self.base {
            return Bitmap::none(self.len());
        }
        let low = if low <= self.base { 0 } else { low.wrapping_sub(self.base) as u64 };
        let high = high.wrapping_sub(self.base) as u64;
        // An offset over the column's width would be cut off by the casts below, so such bounds are handled first.
        macro_rules! scan {
            ($values:expr, $narrow:ty) => {{
                if low > u64::from(<$narrow>::MAX) {
                    return Bitmap::none(self.len());
                }
                let (low, high) = (low as $narrow, high.min(u64::from(<$narrow>::MAX)) as $narrow);
                if low == high {
                    Bitmap::of($values, |value| value == low)
                } else {
                    Bitmap::of($values, |value| (value >= low) & (value <= high))
                }
            }};
        }
        match &self.offsets {
            Offsets::Same(len) => {
                if low == 0 {
                    Bitmap::all(*len)
                } else {
                    Bitmap::none(*len)
                }
            }
            Offsets::U8(v) => scan!(v, u8),
            Offsets::U16(v) => scan!(v, u16),
            Offsets::U32(v) => scan!(v, u32),
            Offsets::U64(v) => scan!(v, u64),
        }
    }

    /// Where `wanted` holds the value as an index; values outside it count as not wanted.
    pub(crate) fn among(&self, wanted: &[bool]) -> Bitmap {
        let base = self.base;
        let look = |offset: u64| {
            usize::try_from(base.wrapping_add(offset as i64))
                .ok()
                .and_then(|at| wanted.get(at))
                .copied()
                .unwrap_or(false)
        };
        match &self.offsets {
            Offsets::Same(len) => {
                if look(0) {
                    Bitmap::all(*len)
                } else {
                    Bitmap::none(*len)
                }
            }
            Offsets::U8(v) => {
                // 256 answers fit the cache and need no bounds check.
                let table: [bool; 256] = std::array::from_fn(|offset| look(offset as u64));
                Bitmap::of(v, |offset| table[usize::from(offset)])
            }
            Offsets::U16(v) => Bitmap::of(v, |offset| look(u64::from(offset))),
            Offsets::U32(v) => Bitmap::of(v, |offset| look(u64::from(offset))),
            Offsets::U64(v) => Bitmap::of(v, look),
        }
    }

    /// Approximate compressed bytes of the column: those of each value that differs from the previous one.
    pub(crate) fn weight(&self) -> usize {
        fn changes<T: PartialEq>(values: &[T]) -> usize {
            values.windows(2).filter(|pair| pair[0] != pair[1]).count() * size_of::<T>()
        }
        match &self.offsets {
            Offsets::Same(_) => 0,
            Offsets::U8(v) => changes(v),
            Offsets::U16(v) => changes(v),
            Offsets::U32(v) => changes(v),
            Offsets::U64(v) => changes(v),
        }
    }

    #[cfg(any(test, feature = "internals"))]
    /// Heap memory, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.offsets {
            Offsets::Same(_) => 0,
            Offsets::U8(v) => v.len(),
            Offsets::U16(v) => v.len() * 2,
            Offsets::U32(v) => v.len() * 4,
            Offsets::U64(v) => v.len() * 8,
        }
    }

    /// Appends the column: width in bytes (`u8`), base (`i64`), then the offsets, little-endian.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let width = match &self.offsets {
            Offsets::Same(_) => 0,
            Offsets::U8(_) => 1,
            Offsets::U16(_) => 2,
            Offsets::U32(_) => 4,
            Offsets::U64(_) => 8,
        };
        out.push(width);
        out.extend_from_slice(&self.base.to_le_bytes());
        match &self.offsets {
            Offsets::Same(_) => {}
            Offsets::U8(v) => out.extend_from_slice(v),
            Offsets::U16(v) => v.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes())),
            Offsets::U32(v) => v.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes())),
            Offsets::U64(v) => v.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes())),
        }
    }

    /// Reads a column of `len` values that takes all that is left.
    pub(crate) fn read(mut reader: Reader<'_>, len: usize) -> Result<Self, Malformed> {
        let width = reader.u8()?;
        let base = i64::from_le_bytes(reader.array()?);
        let bytes = reader.slice(len.checked_mul(usize::from(width)).ok_or(Malformed("integers over all bounds"))?)?;
        reader.end()?;
        let offsets = match width {
            0 => Offsets::Same(len),
            1 => Offsets::U8(bytes.to_vec()),
            2 => Offsets::U16(bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b)).collect()),
            4 => Offsets::U32(bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect()),
            8 => Offsets::U64(bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect()),
            _ => return Err(Malformed("an unknown width of integers")),
        };
        Ok(Self { base, offsets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_keeps_values_and_scans_like_a_loop() {
        let columns: [&[i64]; 7] = [
            &[],
            &[7, 7, 7],
            &[-3, 0, 200],
            &[1_000, -20_000, 5],
            &[i64::from(i32::MAX), 0, -5],
            &[i64::MIN, i64::MAX, 0, -1],
            &[i64::MAX, i64::MAX - 255],
        ];
        for values in columns {
            let column = Ints::new(values);
            let mut bytes = Vec::new();
            column.put(&mut bytes);
            let back = Ints::read(Reader::new(&bytes), values.len()).unwrap();
            assert_eq!(back.to_vec(), values);
            assert_eq!(column.range(), values.iter().min().copied().zip(values.iter().max().copied()));
            let mut bounds = vec![i64::MIN, -1, 0, 1, i64::MAX];
            bounds.extend(values.iter().flat_map(|&v| [v.saturating_sub(1), v, v.saturating_add(1)]));
            for &low in &bounds {
                for &high in &bounds {
                    let expected = Bitmap::of(values, |v| v >= low && v <= high);
                    assert_eq!(back.within(low, high), expected, "{values:?} within {low}..={high}");
                }
            }
        }
        let codes = Ints::new(&[0, 2, 1, 2, 5]);
        assert_eq!(codes.among(&[true, false, true]).iter().collect::<Vec<_>>(), [0, 1, 3]);
    }
}
