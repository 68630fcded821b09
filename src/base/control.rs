//! Control records as bytes: the only module that names `bincode` (2.0.1, standard configuration, through serde).
//!
//! The bytes are defined in `docs/format.md` and pinned by golden tests, so that another implementation can replace the
//! crate without changing a byte.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::bytes::Malformed;

/// Greatest length of one encoded record, in bytes; decoding never allocates more.
pub const CONTROL_BYTES_MAX: usize = 256 << 20;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<CONTROL_BYTES_MAX>()
}

/// Appends the record's bytes.
///
/// # Panics
/// Never for the types of this crate: they serialise without a failing step, into memory.
pub fn encode<T: Serialize>(record: &T, out: &mut Vec<u8>) {
    bincode::serde::encode_into_std_write(record, out, config()).expect("a control record serialises into memory");
}

/// Reads one record that takes all of `bytes`.
///
/// # Errors
/// [`Malformed`] if the bytes are not exactly one such record.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    match bincode::serde::decode_from_slice(bytes, config()) {
        Ok((record, len)) if len == bytes.len() => Ok(record),
        Ok(_) => Err(Malformed("bytes follow the control record")),
        Err(_) => Err(Malformed("not a control record of this kind")),
    }
}

/// Reads the first field of a record whose other fields may be unknown.
///
/// # Errors
/// [`Malformed`].
pub fn decode_first<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    let (first, _) =
        bincode::serde::decode_from_slice(bytes, config()).map_err(|_| Malformed("a record's first field"))?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pinned() {
        let mut out = Vec::new();
        encode(&(1_u8, 300_u32, -1_i64, "ab", Some(2_u64), 1.0_f64), &mut out);
        assert_eq!(out, [1, 251, 0x2C, 1, 1, 2, b'a', b'b', 1, 2, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F]);
    }

    #[test]
    fn leftovers_are_refused() {
        assert!(decode::<u8>(&[1, 2]).is_err());
        assert!(decode::<String>(&[253, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
    }
}
