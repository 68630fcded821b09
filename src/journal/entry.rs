//! The bytes of a journal entry.
//!
//! ```text
//! magic u64 | number u64 | payload length u32 | CRC-32 of all the rest u32 | payload: a control record
//! ```

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::bytes::{Malformed, Reader};
use crate::base::checksum::crc32;
use crate::base::control;

const MAGIC: u64 = u64::from_le_bytes(*b"SWentry2");
/// The digit at the end of [`MAGIC`].
pub(super) const JOURNAL_VERSION: u32 = 2;
const HEADER_LEN: usize = 24;

/// A state that entries change.
pub trait State: Clone + Default + Serialize + DeserializeOwned {
    /// One change.
    type Change: Clone + Serialize + DeserializeOwned;
    /// Applies a change.
    fn apply(&mut self, change: &Self::Change);
}

/// The contents of an entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "", deserialize = ""))]
pub(super) struct Entry<S: State> {
    /// Random, so that of two publishers with equal changes neither takes the other's entry for its own.
    pub(super) nonce: u64,
    /// The CRC-32s of previous entries, newest first; 0 for unreadable ones. An entry with the whole state has many,
    /// any other only one.
    pub(super) before: Vec<u32>,
    /// The state before the changes, in some entries.
    pub(super) state: Option<S>,
    pub(super) changes: Vec<S::Change>,
}

impl<S: State> Entry<S> {
    /// The entry's bytes, and the CRC-32 in them.
    pub(super) fn encode(&self, number: u64) -> (Vec<u8>, u32) {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        control::encode(self, &mut bytes);
        let len = (bytes.len() - HEADER_LEN) as u32;
        bytes[16..20].copy_from_slice(&len.to_le_bytes());
        let crc = crc32(crc32(0, &bytes[..20]), &bytes[HEADER_LEN..]);
        bytes[20..24].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }

    /// Decodes entry `number`, and returns its CRC-32.
    pub(super) fn decode(bytes: &[u8], number: u64) -> Result<(Self, u32), Malformed> {
        let mut reader = Reader::new(bytes);
        let (magic, own) = (reader.u64()?, reader.u64()?);
        let (len, crc) = (reader.u32()?, reader.u32()?);
        if magic != MAGIC || own != number || len as usize != reader.remaining() {
            return Err(Malformed("the header of an entry"));
        }
        if crc != crc32(crc32(0, &bytes[..20]), &bytes[HEADER_LEN..]) {
            return Err(Malformed("the checksum of an entry"));
        }
        Ok((control::decode(&bytes[HEADER_LEN..])?, crc))
    }
}

/// The version of a valid entry of a newer Stepwell, so that nobody builds on a state without it.
pub(super) fn newer_version(bytes: &[u8]) -> Option<u32> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let version = magic.strip_prefix(b"SWentry").and_then(|digit| char::from(*digit.first()?).to_digit(10))?;
    let stored = u32::from_le_bytes(*rest.get(12..)?.first_chunk()?);
    let whole = bytes.len() >= HEADER_LEN && stored == crc32(crc32(0, &bytes[..20]), &bytes[HEADER_LEN..]);
    (version > JOURNAL_VERSION && whole).then_some(version)
}
