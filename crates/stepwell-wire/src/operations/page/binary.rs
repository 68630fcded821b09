//! Columns as bytes: a header of JSON, then little-endian columns, each at a multiple of eight; equal ones stand once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use serde::Serialize;

use crate::fault::{Code, Fault};

/// The first four bytes of every answer.
pub(crate) const MAGIC: &[u8; 4] = b"SWP1";

/// The columns of an answer, while it is made.
#[derive(Default)]
pub(crate) struct Columns {
    bytes: Vec<u8>,
    /// Where columns begin, by a hash of their bytes.
    known: HashMap<u64, usize>,
}

impl Columns {
    /// Adds doubles and returns where they begin, in bytes after the header.
    pub(crate) fn floats(&mut self, values: &[f64]) -> usize {
        self.put(values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Adds bytes, likewise.
    pub(crate) fn small(&mut self, values: Vec<u8>) -> usize {
        self.put(values)
    }

    fn put(&mut self, column: Vec<u8>) -> usize {
        let mut hasher = DefaultHasher::new();
        hasher.write(&column);
        let hash = hasher.finish();
        if let Some(&at) = self.known.get(&hash)
            && self.bytes.get(at..at + column.len()) == Some(&*column)
        {
            return at;
        }
        let at = self.bytes.len();
        self.bytes.extend(column);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.known.insert(hash, at);
        at
    }

    /// The whole answer.
    ///
    /// # Errors
    /// When the header is no JSON.
    pub(crate) fn finish<T: Serialize>(self, header: &T) -> Result<Vec<u8>, Fault> {
        let mut json = serde_json::to_vec(header)
            .map_err(|error| Fault::new(Code::InternalError, format!("cannot write the answer: {error}")))?;
        json.resize(json.len().next_multiple_of(8), b' ');
        let mut all = Vec::with_capacity(8 + json.len() + self.bytes.len());
        all.extend_from_slice(MAGIC);
        all.extend_from_slice(&(json.len() as u32).to_le_bytes());
        all.extend(json);
        all.extend(self.bytes);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_begin_at_multiples_of_eight_and_equal_ones_stand_once() {
        let mut columns = Columns::default();
        assert_eq!(columns.small(vec![1, 2, 3]), 0);
        assert_eq!(columns.floats(&[1.5, -0.0]), 8);
        assert_eq!(columns.floats(&[1.5, 0.0]), 24, "another sign is another column");
        assert_eq!(columns.floats(&[1.5, -0.0]), 8);
        let all = columns.finish(&serde_json::json!({ "a": 1 })).unwrap();
        assert_eq!(&all[..8], b"SWP1\x08\0\0\0");
        assert_eq!(&all[8..16], b"{\"a\":1} ");
        assert_eq!(&all[24..32], 1.5_f64.to_le_bytes());
        assert_eq!(all.len(), 16 + 40);
    }
}
