//! Sets of run ordinals as bits, 64 to a word, and the loops that fill them from columns.

use crate::base::bytes::{Malformed, Reader};

/// A set of ordinals below a fixed length. Bits past the length are always zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    /// The empty set over `len` ordinals.
    #[must_use]
    pub fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// All `len` ordinals.
    #[must_use]
    pub fn all(len: usize) -> Self {
        let mut bitmap = Self { words: vec![u64::MAX; len.div_ceil(64)], len };
        bitmap.clear_tail();
        bitmap
    }

    /// The ordinals of those `values` that pass `test`; the loop has no branch, so that it compiles to vector code.
    pub fn of<T: Copy>(values: &[T], test: impl Fn(T) -> bool) -> Self {
        let words = values
            .chunks(64)
            .map(|chunk| {
                let mut passed = [0_u8; 64];
                for (pass, &value) in passed.iter_mut().zip(chunk) {
                    *pass = u8::from(test(value));
                }
                pack_bits(&passed)
            })
            .collect();
        Self { words, len: values.len() }
    }

    /// The number of ordinals the set ranges over, not its size.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[cfg(any(test, feature = "internals"))]
    /// Whether the set ranges over no ordinals.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The size of the set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether `ordinal` is in the set; `false` past the length.
    #[must_use]
    pub fn contains(&self, ordinal: u32) -> bool {
        let at = ordinal as usize;
        self.words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// The least ordinal from `start` on that is in the set.
    #[must_use]
    pub fn first_from(&self, start: u32) -> Option<u32> {
        let first = start as usize / 64;
        let mut mask = u64::MAX << (start % 64);
        for (at, word) in self.words.iter().enumerate().skip(first) {
            let left = word & mask;
            if left != 0 {
                return Some((at * 64) as u32 + left.trailing_zeros());
            }
            mask = u64::MAX;
        }
        None
    }

    /// Adds `ordinal`; nothing happens past the length.
    pub fn insert(&mut self, ordinal: u32) {
        let at = ordinal as usize;
        if at < self.len {
            self.words[at / 64] |= 1 << (at % 64);
        }
    }

    /// Keeps what is also in `other`.
    pub fn and(&mut self, other: &Self) {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine &= theirs;
        }
    }

    /// Adds what is in `other`.
    pub fn or(&mut self, other: &Self) {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
    }

    /// Removes what is in `other`.
    pub fn and_not(&mut self, other: &Self) {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine &= !theirs;
        }
    }

    /// Turns the set into its complement.
    pub fn invert(&mut self) {
        for word in &mut self.words {
            *word = !*word;
        }
        self.clear_tail();
    }

    /// The ordinals in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                if left == 0 {
                    return None;
                }
                let bit = left.trailing_zeros();
                left &= left - 1;
                Some(at as u32 * 64 + bit)
            })
        })
    }

    #[cfg(any(test, feature = "internals"))]
    /// Heap memory, in bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.words.len() * 8
    }

    /// Appends the set's bytes: its words, little-endian; its length is not among them.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        for word in &self.words {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    /// Reads a set over `len` ordinals from all of `bytes`; rejects bits past the length.
    pub(crate) fn read(bytes: &[u8], len: usize) -> Result<Self, Malformed> {
        if bytes.len() != len.div_ceil(64) * 8 {
            return Err(Malformed("a bitmap of another length"));
        }
        let mut reader = Reader::new(bytes);
        let words = (0..len.div_ceil(64)).map(|_| reader.u64()).collect::<Result<Vec<_>, _>>()?;
        let mut bitmap = Self { words, len };
        let last = bitmap.words.last().copied();
        bitmap.clear_tail();
        if bitmap.words.last().copied() == last { Ok(bitmap) } else { Err(Malformed("bits past a bitmap's end")) }
    }

    fn clear_tail(&mut self) {
        let used = self.len % 64;
        if used != 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << used) - 1;
        }
    }
}

/// Packs 64 bytes, each 0 or 1, into bits.
///
/// Q: Why a multiplication? A: it moves the low bits of 8 bytes side by side into the top byte at once: bit `8i` lands
/// on `56 + i`, and no two bits meet.
fn pack_bits(passed: &[u8; 64]) -> u64 {
    let mut word = 0;
    for (at, eight) in passed.as_chunks::<8>().0.iter().enumerate() {
        word |= (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * at);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_agree_with_plain_lists() {
        for len in [0_usize, 1, 7, 63, 64, 65, 200] {
            let values: Vec<u32> = (0..len as u32).map(|i| i.wrapping_mul(2_654_435_761) >> 7).collect();
            let odd = Bitmap::of(&values, |v| v % 2 == 1);
            let third = Bitmap::of(&values, |v| v % 3 == 0);
            let list =
                |test: &dyn Fn(u32) -> bool| (0..len as u32).filter(|&i| test(values[i as usize])).collect::<Vec<_>>();
            assert_eq!(odd.iter().collect::<Vec<_>>(), list(&|v| v % 2 == 1));
            let mut both = odd.clone();
            both.and(&third);
            assert_eq!(both.iter().collect::<Vec<_>>(), list(&|v| v % 2 == 1 && v % 3 == 0));
            let mut either = odd.clone();
            either.or(&third);
            assert_eq!(either.count(), list(&|v| v % 2 == 1 || v % 3 == 0).len());
            let mut without = odd.clone();
            without.and_not(&third);
            assert_eq!(without.count() + both.count(), odd.count());
            let mut inverse = odd.clone();
            inverse.invert();
            assert_eq!(inverse.count() + odd.count(), len);
            let mut bytes = Vec::new();
            odd.put(&mut bytes);
            assert_eq!(Bitmap::read(&bytes, len).unwrap(), odd);
            assert_eq!(Bitmap::all(len).count(), len);
        }
        assert!(Bitmap::read(&[0xFF; 8], 63).is_err());
    }
}
