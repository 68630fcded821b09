//! A list of texts in one buffer, each found by its number: keys, names, dictionaries.

use crate::base::bytes::{Malformed, Reader, put_varint};

/// Texts by number, of 4 GiB in all. Costs 4 bytes a text beside itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// All texts, concatenated.
    text: String,
    /// The end of each.
    ends: Vec<u32>,
}

impl Texts {
    /// The number of texts.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All texts without anything between them.
    #[must_use]
    pub fn concatenated(&self) -> &str {
        &self.text
    }

    /// A text by its number; empty past the end, since numbers come from files.
    #[inline]
    #[must_use]
    pub fn get(&self, number: usize) -> &str {
        let Some(&end) = self.ends.get(number) else { return "" };
        let from = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[from as usize..end as usize]
    }

    /// All texts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|number| self.get(number))
    }

    /// Appends a text. Returns `false` if the texts would exceed 4 GiB.
    #[must_use]
    pub fn push(&mut self, text: &str) -> bool {
        let Ok(end) = u32::try_from(self.text.len() + text.len()) else { return false };
        self.text.push_str(text);
        self.ends.push(end);
        true
    }

    /// The number of a text, by binary search among texts in order of their bytes.
    #[must_use]
    pub fn find_sorted(&self, text: &str) -> Option<usize> {
        let (mut from, mut end) = (0, self.len());
        while from < end {
            let middle = from.midpoint(end);
            match self.get(middle).cmp(text) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => end = middle,
            }
        }
        None
    }

    #[cfg(any(test, feature = "internals"))]
    /// Heap memory, in bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.text.len() + size_of_val(&self.ends[..])
    }

    /// Appends the list's bytes: count, each length (varints), then the texts.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        self.iter().for_each(|text| put_varint(out, text.len() as u64));
        out.extend_from_slice(self.text.as_bytes());
    }

    /// Reads what [`Self::put`] wrote.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        // Each length takes at least a byte, so the count is bounded by the input.
        let mut lengths = vec![0; reader.count(reader.remaining())?];
        let mut total = 0_u64;
        for length in &mut lengths {
            *length = u32::try_from(reader.varint()?).map_err(|_| Malformed("a text over 4 GiB"))?;
            total += u64::from(*length);
        }
        let total = usize::try_from(total).map_err(|_| Malformed("texts over 4 GiB"))?;
        Self::from_lengths(reader.slice(total)?.to_vec(), lengths)
    }

    /// Texts of these lengths, one after the other, which must fill the bytes and be UTF-8 each.
    ///
    /// # Errors
    /// [`Malformed`] when they are not.
    pub fn from_lengths(bytes: Vec<u8>, mut lengths: Vec<u32>) -> Result<Self, Malformed> {
        let text = String::from_utf8(bytes).map_err(|_| Malformed("texts that are no UTF-8"))?;
        let mut end = 0_u32;
        for length in &mut lengths {
            end = end.checked_add(*length).ok_or(Malformed("the length of a text"))?;
            *length = end;
            if !text.is_char_boundary(end as usize) {
                return Err(Malformed("the length of a text"));
            }
        }
        if end as usize == text.len() {
            Ok(Self { text, ends: lengths })
        } else {
            Err(Malformed("the length of texts"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_by_number_and_in_order() {
        let mut texts = Texts::default();
        let given = ["", "a", "aä", "b", "layer.1", "layer.10"];
        assert!(given.iter().all(|text| texts.push(text)));
        assert_eq!(texts.iter().collect::<Vec<_>>(), given);
        for (number, text) in given.iter().enumerate() {
            assert_eq!((texts.get(number), texts.find_sorted(text)), (*text, Some(number)));
        }
        for none in ["A", "aa", "c", "layer.", "layer.100"] {
            assert_eq!(texts.find_sorted(none), None);
        }
        let lengths = given.iter().map(|text| text.len() as u32).collect();
        assert_eq!(Texts::from_lengths(texts.concatenated().into(), lengths).unwrap(), texts);
        assert_eq!(texts.get(given.len()), "");
        let mut bytes = Vec::new();
        texts.put(&mut bytes);
        assert_eq!(Texts::read(&mut Reader::new(&bytes)).unwrap(), texts);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let from = |text: &str, lengths: &[u32]| Texts::from_lengths(text.into(), lengths.into());
        assert!(from("ab", &[1, 1]).is_ok() && from("", &[]).is_ok());
        for (text, lengths) in [("ab", &[1][..]), ("ab", &[1, 2]), ("ä", &[1, 1]), ("a", &[u32::MAX, 2]), ("a", &[])] {
            assert!(from(text, lengths).is_err(), "{text} {lengths:?}");
        }
        assert!(Texts::from_lengths(vec![0xff], vec![1]).is_err());
        assert!(Texts::read(&mut Reader::new(&[2, 1, 1, 0xC3, 0xA9])).is_err(), "split within a character");
        assert!(Texts::read(&mut Reader::new(&[1, 1, 0xFF])).is_err());
        assert!(Texts::read(&mut Reader::new(&[1, 2, 0x61])).is_err());
    }
}
