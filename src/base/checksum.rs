//! Checksums: CRC-32 (IEEE, by `crc32fast`) over frames, pages and footers; CRC-32C over a log's slots.

/// CRC-32 (IEEE 802.3, reflected, initial and final XOR `0xFFFF_FFFF`) of `bytes`, started from `seed`.
///
/// A seed other than zero ties bytes to their place: the same bytes elsewhere do not verify.
#[must_use]
pub fn crc32(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        assert_eq!(crc32(0, b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(0, b""), 0);
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xCBF4_3926);
    }
}
