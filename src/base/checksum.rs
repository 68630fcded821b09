//! Checksums: CRC-32 (IEEE, by `crc32fast`) over frames, pages and footers; CRC-32C over a log's slots.

/// CRC-32 (IEEE 802.3, reflected, initial and final XOR `0xFFFF_FFFF`) of `bytes`, started from `seed`.
///
/// A seed other than zero binds bytes to their location: elsewhere they do not verify.
#[must_use]
pub fn crc32(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

/// The CRC-32 of each byte alone, without initial value and final XOR.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// For each value of the uppermost byte the one entry of [`TABLE`] that has it.
const BY_TOP: [u8; 256] = {
    let mut by_top = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        by_top[(TABLE[byte] >> 24) as usize] = byte as u8;
        byte += 1;
    }
    by_top
};

/// The byte whose change alone explains why the CRC-32 of `len` bytes is `computed` instead of `stored`: its index, or
/// from `len` on an index into the stored checksum. Other differences give an index with a probability of `len` in 16
/// million. Costs 1 to 2 ns per byte.
pub fn changed_bytes(stored: u32, computed: u32, len: usize) -> impl Iterator<Item = usize> {
    let difference = stored ^ computed;
    let of_checksum = (0..4).filter(move |byte| difference & !(0xFF << (8 * byte)) == 0).map(move |byte| len + byte);
    // CRCs are linear: step back from the end until the difference is that of a single byte.
    let mut left = difference;
    let of_bytes = (0..len).rev().filter(move |_| {
        let last = BY_TOP[(left >> 24) as usize];
        let alone = left == TABLE[last as usize];
        left = (left ^ TABLE[last as usize]) << 8 | u32::from(last);
        alone
    });
    of_checksum.chain(of_bytes).filter(move |_| difference != 0)
}

/// Whether a single changed byte explains the difference, see [`changed_bytes`].
#[must_use]
pub fn differs_by_one_byte(stored: u32, computed: u32, len: usize) -> bool {
    changed_bytes(stored, computed, len).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_byte_is_reported_from_more() {
        let bytes: Vec<u8> = (0..200_u8).map(|byte| byte.wrapping_mul(167)).collect();
        let stored = crc32(7, &bytes);
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xFF, 0x5A] {
                let mut bytes = bytes.clone();
                bytes[at] ^= change;
                let found: Vec<usize> = changed_bytes(stored, crc32(7, &bytes), bytes.len()).collect();
                assert_eq!(found, [at]);
                bytes[(at + 1) % 200] ^= 3;
                assert!(!differs_by_one_byte(stored, crc32(7, &bytes), bytes.len()), "bytes from {at} on");
            }
        }
        for bit in 0..32 {
            let found: Vec<usize> = changed_bytes(stored ^ (1 << bit), stored, bytes.len()).collect();
            assert_eq!(found, [bytes.len() + bit / 8]);
        }
        assert!(!differs_by_one_byte(stored, stored, bytes.len()));
        // What a crash leaves: the first bytes, and zeros.
        for kept in 0..190 {
            let mut bytes = bytes.clone();
            bytes[kept..].fill(0);
            assert!(!differs_by_one_byte(stored, crc32(7, &bytes), bytes.len()), "{kept} bytes kept");
        }
    }

    #[test]
    fn known_answers() {
        assert_eq!(crc32(0, b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(0, b""), 0);
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xCBF4_3926);
    }
}
