//! A slot of a log's tail: one point in 32 bytes, published by its last word.
//!
//! ```text
//! value u64 | step i64 | timestamp i64 | series and flags u32, checksum u32
//! ```
//!
//! The checksum is CRC-32C of the first 28 bytes, seeded with the writer and the point's sequence number. So a slot
//! verifies only in its own log, at its own place, in the current generation of its buffer. Remains of earlier
//! generations, or pages written back out of order, never verify.
//!
//! A writer stores the last word of a slot last, with release ordering. A reader that sees a word with a valid checksum
//! sees the other words too; otherwise it sees no point.

use crate::base::ids::WriterId;
use crate::base::point::Point;

/// Length of a slot in bytes.
pub const SLOT_LEN: usize = 32;
/// Most slots of a tail's buffer.
pub const BUFFER_SLOTS_MAX: u32 = 256 << 10;
/// Flag: the next slot belongs to the same batch, which counts as a whole or not at all.
pub const CONTINUES: u32 = 1 << 31;
/// Flag: the point has no timestamp.
pub const NO_TIMESTAMP: u32 = 1 << 30;
/// The bits of the series' number.
pub const SERIES: u32 = NO_TIMESTAMP - 1;

/// The four words of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(32))]
pub struct Slot(pub [u64; 4]);

impl Slot {
    /// An unpublished point, without checksum.
    #[inline]
    #[must_use]
    pub fn new(series: u32, step: i64, timestamp_ms: Option<i64>, value: f64) -> Self {
        let flag = if timestamp_ms.is_none() { NO_TIMESTAMP } else { 0 };
        Self([value.to_bits(), step as u64, timestamp_ms.unwrap_or(0) as u64, u64::from(series | flag)])
    }

    /// The slot from its little-endian bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; SLOT_LEN]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        Self([0, 1, 2, 3].map(|word| u64::from_le_bytes(words[word])))
    }

    /// The slot as little-endian bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; SLOT_LEN] {
        let mut bytes = [0; SLOT_LEN];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The series' number in its log.
    #[inline]
    #[must_use]
    pub fn series(self) -> u32 {
        self.0[3] as u32 & SERIES
    }

    /// Whether the next slot belongs to the same batch.
    #[inline]
    #[must_use]
    pub fn continues(self) -> bool {
        self.0[3] as u32 & CONTINUES != 0
    }

    /// The timestamp, if there is one.
    #[inline]
    #[must_use]
    pub fn timestamp_ms(self) -> Option<i64> {
        (self.0[3] as u32 & NO_TIMESTAMP == 0).then_some(self.0[2] as i64)
    }

    /// The point.
    #[inline]
    #[must_use]
    pub fn point(self) -> Point {
        Point { step: self.0[1] as i64, timestamp_ms: self.timestamp_ms(), value: f64::from_bits(self.0[0]) }
    }

    /// The slot with its checksum for this sequence number.
    #[inline]
    #[must_use]
    pub fn sealed(mut self, check: Check, sequence: u64) -> Self {
        let last = self.0[3] & u64::from(u32::MAX);
        self.0[3] = last | u64::from(check.of(sequence, self.0[0], self.0[1], self.0[2], last as u32)) << 32;
        self
    }

    /// Whether the checksum is valid for this sequence number.
    #[inline]
    #[must_use]
    pub fn verifies(self, check: Check, sequence: u64) -> bool {
        self.sealed(check, sequence) == self
    }
}

/// Computes the checksums of one writer's slots.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    seed: u32,
    hardware: bool,
}

impl Check {
    /// For the slots of `writer`, by the processor's CRC-32C instruction where it has one.
    #[must_use]
    pub fn new(writer: WriterId) -> Self {
        let portable = Self { seed: 0, hardware: false };
        let seed = portable.words(u32::MAX, &[writer.0 as u64, (writer.0 >> 64) as u64]);
        Self { seed, hardware: hardware::available() }
    }

    #[cfg(any(test, feature = "internals"))]
    /// The same without the instruction.
    #[must_use]
    pub fn portable(mut self) -> Self {
        self.hardware = false;
        self
    }

    /// The checksum of a slot's words.
    #[inline]
    fn of(self, sequence: u64, value: u64, step: u64, timestamp: u64, series: u32) -> u32 {
        if self.hardware {
            hardware::check(self.seed, sequence, value, step, timestamp, series)
        } else {
            let crc = self.words(self.seed, &[sequence, value, step, timestamp]);
            !series.to_le_bytes().iter().fold(crc, |crc, &byte| byte_step(crc, byte))
        }
    }

    fn words(self, crc: u32, words: &[u64]) -> u32 {
        words.iter().flat_map(|word| word.to_le_bytes()).fold(crc, byte_step)
    }
}

/// One byte of CRC-32C (Castagnoli, reflected polynomial `0x82F63B78`).
fn byte_step(crc: u32, byte: u8) -> u32 {
    TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(target_arch = "x86_64")]
mod hardware {
    //! The SSE 4.2 instruction.
    #![allow(unsafe_code)]
    use std::arch::x86_64::{_mm_crc32_u32, _mm_crc32_u64};

    pub(super) fn available() -> bool {
        is_x86_feature_detected!("sse4.2")
    }

    #[inline]
    pub(super) fn check(seed: u32, sequence: u64, value: u64, step: u64, timestamp: u64, series: u32) -> u32 {
        #[inline]
        #[target_feature(enable = "sse4.2")]
        fn instruction(seed: u32, words: [u64; 4], series: u32) -> u32 {
            let crc = words.into_iter().fold(u64::from(seed), |crc, word| _mm_crc32_u64(crc, word));
            !_mm_crc32_u32(crc as u32, series)
        }
        // SAFETY: `Check` takes this way only when `available` found the instruction.
        unsafe { instruction(seed, [sequence, value, step, timestamp], series) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod hardware {
    //! No instruction is used on this processor.
    pub(super) fn available() -> bool {
        false
    }

    pub(super) fn check(_: u32, _: u64, _: u64, _: u64, _: u64, _: u32) -> u32 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_crc32c() {
        assert_eq!(!b"123456789".iter().fold(u32::MAX, |crc, &byte| byte_step(crc, byte)), 0xE306_9283);
    }

    #[test]
    fn hardware_and_table_agree() {
        let check = Check::new(WriterId(0x0123_4567_89AB_CDEF_0011_2233_4455_6677));
        let slot = Slot::new(9, -5, Some(17), f64::NAN);
        for sequence in [0, 1, u64::MAX] {
            assert_eq!(slot.sealed(check, sequence), slot.sealed(check.portable(), sequence));
        }
        assert_eq!(slot.sealed(check, 3).0[3] >> 32, 0x4053_1610);
    }

    #[test]
    fn a_slot_verifies_at_its_place_only() {
        let check = Check::new(WriterId(1));
        let slot = Slot::new(5, i64::MIN, None, -0.0).sealed(check, 7);
        assert!(slot.verifies(check, 7) && !slot.verifies(check, 8) && !slot.verifies(Check::new(WriterId(2)), 7));
        assert!(!Slot::default().verifies(check, 0));
        let bytes = slot.to_bytes();
        assert_eq!(Slot::from_bytes(&bytes), slot);
        for bit in 0..256 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!Slot::from_bytes(&bytes).verifies(check, 7), "bit {bit}");
        }
        assert_eq!(
            (slot.series(), slot.point().timestamp_ms, slot.point().value.to_bits()),
            (5, None, (-0.0_f64).to_bits())
        );
    }
}
