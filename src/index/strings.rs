//! A list of texts in one buffer, each found by its number: dictionaries, keys, names.

use crate::base::bytes::{Malformed, Reader, put_varint};

/// Texts by number. At most 4 GiB in all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strings {
    text: String,
    ends: Vec<u32>,
}

impl Strings {
    /// Appends one; `None` when the buffer is full.
    pub(crate) fn push(&mut self, text: &str) -> Option<()> {
        let end = u32::try_from(self.text.len().checked_add(text.len())?).ok()?;
        self.text.push_str(text);
        self.ends.push(end);
        Some(())
    }

    /// The number of texts.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text at `at`; empty past the end.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> &str {
        let Some(&end) = self.ends.get(at) else {
            return "";
        };
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        self.text.get(start as usize..end as usize).unwrap_or("")
    }

    /// All of them in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.get(at))
    }

    /// The number of `text` in a list that is sorted by bytes. O(log n).
    pub(crate) fn find(&self, text: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).cmp(text) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    #[cfg(any(test, feature = "internals"))]
    /// Heap memory, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.text.len() + self.ends.len() * 4
    }

    /// Appends the list: count, each length (varints), then the texts.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        for text in self.iter() {
            put_varint(out, text.len() as u64);
        }
        out.extend_from_slice(self.text.as_bytes());
    }

    /// Reads a list; each text must be UTF-8.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        // Each text takes at least a byte, so the count is bounded by the input.
        let count = reader.count(reader.remaining())?;
        let mut ends = Vec::with_capacity(count);
        let mut end = 0_u32;
        for _ in 0..count {
            let len = u32::try_from(reader.varint()?).map_err(|_| Malformed("a text over 4 GiB"))?;
            end = end.checked_add(len).ok_or(Malformed("texts over 4 GiB"))?;
            ends.push(end);
        }
        let text =
            std::str::from_utf8(reader.slice(end as usize)?).map_err(|_| Malformed("a text that is not UTF-8"))?;
        if !ends.iter().all(|&end| text.is_char_boundary(end as usize)) {
            return Err(Malformed("a text that ends within a character"));
        }
        Ok(Self { text: text.to_owned(), ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_round_trip_and_find() {
        let texts = ["", "a", "aé", "b\n", "é"];
        let mut list = Strings::default();
        for text in texts {
            list.push(text).unwrap();
        }
        let mut bytes = Vec::new();
        list.put(&mut bytes);
        let back = Strings::read(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(back.iter().collect::<Vec<_>>(), texts);
        for (at, text) in texts.iter().enumerate() {
            assert_eq!(back.find(text), Some(at));
        }
        assert_eq!(back.find("zz"), None);
        assert!(Strings::read(&mut Reader::new(&[2, 1, 1, 0xC3, 0xA9])).is_err(), "split within a character");
        assert!(Strings::read(&mut Reader::new(&[1, 1, 0xFF])).is_err());
    }
}
