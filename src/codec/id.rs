//! The persisted numbers of the codecs and the error of their decoders.

use std::fmt;

use crate::base::bytes::Malformed;

/// The persisted number of a codec. Numbers never change their meaning; `docs/format-codecs.md` spells out the bytes.
///
/// The high four bits say what a column's values are seen as, the low four bits how those integers are written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodecId(pub u8);

/// Low four bits: how integers are written.
pub(super) mod ints {
    /// 8 bytes each.
    pub(in crate::codec) const RAW: u8 = 0x0;
    /// All equal.
    pub(in crate::codec) const CONSTANT: u8 = 0x1;
    /// A first value and a stride.
    pub(in crate::codec) const ARITHMETIC: u8 = 0x2;
    /// Frame of reference, bit-packed, with patches.
    pub(in crate::codec) const PACKED: u8 = 0x3;
    /// First differences, packed.
    pub(in crate::codec) const DELTA: u8 = 0x4;
    /// Second differences, packed.
    pub(in crate::codec) const DELTA_2: u8 = 0x5;
    /// Runs of equal values.
    pub(in crate::codec) const RUNS: u8 = 0x6;
    /// Runs of equal differences.
    pub(in crate::codec) const DELTA_RUNS: u8 = 0x7;
    /// Few distinct values and their indices.
    pub(in crate::codec) const DICTIONARY: u8 = 0x8;
    /// pco over offsets from the least value, as narrow as they fit.
    pub(in crate::codec) const PCO: u8 = 0x9;
    /// pco over the differences.
    pub(in crate::codec) const DELTA_PCO: u8 = 0xA;
    /// A common divisor taken out.
    pub(in crate::codec) const SCALED: u8 = 0xB;

    /// Those that hold no other codec inside.
    pub(in crate::codec) const LEAVES: [u8; 8] = [RAW, CONSTANT, ARITHMETIC, PACKED, DELTA, DELTA_2, PCO, DELTA_PCO];
    /// Those that hold others inside.
    pub(in crate::codec) const NESTS: [u8; 4] = [RUNS, DELTA_RUNS, DICTIONARY, SCALED];
}

/// High four bits: what the values are seen as.
pub(super) mod views {
    /// Integers as they are.
    pub(in crate::codec) const INTS: u8 = 0x00;
    /// Floats by their 64 bits, in order.
    pub(in crate::codec) const BITS: u8 = 0x10;
    /// Floats that are exactly float32, in order.
    pub(in crate::codec) const NARROW: u8 = 0x20;
    /// Floats that are integers.
    pub(in crate::codec) const INTEGER: u8 = 0x30;
    /// Floats that are decimals of few digits.
    pub(in crate::codec) const DECIMAL: u8 = 0x40;
    /// Floats that are decimals of few digits rounded to float32.
    pub(in crate::codec) const NARROW_DECIMAL: u8 = 0x50;
    /// The views of floats as integers.
    pub(in crate::codec) const FLOATS: [u8; 5] = [BITS, NARROW, INTEGER, DECIMAL, NARROW_DECIMAL];
}

impl CodecId {
    /// Bytes as they are.
    pub const BYTES_PLAIN: Self = Self(0xE0);
    /// Bytes as one zstd frame.
    pub const BYTES_ZSTD: Self = Self(0xE1);
    /// One float for the whole column.
    pub const FLOAT_CONSTANT: Self = Self(0xF0);
    /// pco over the 64-bit floats.
    pub const FLOAT_PCO: Self = Self(0xF1);

    /// Every codec of integers, of floats and of bytes that this version knows.
    pub const ALL: [Self; ALL_LEN] = all();

    pub(super) const fn new(view: u8, ints: u8) -> Self {
        Self(view | ints)
    }

    /// The high four bits.
    pub(super) fn view(self) -> u8 {
        self.0 & 0xF0
    }

    /// The low four bits.
    pub(super) fn ints(self) -> u8 {
        self.0 & 0x0F
    }
}

const INT_CODECS: usize = 12;
const VIEWS: usize = 6;
const ALL_LEN: usize = VIEWS * INT_CODECS + 4;

const fn all() -> [CodecId; ALL_LEN] {
    let mut all = [CodecId(0); ALL_LEN];
    let mut at = 0;
    while at < VIEWS * INT_CODECS {
        all[at] = CodecId::new((at / INT_CODECS) as u8 * 0x10, (at % INT_CODECS) as u8);
        at += 1;
    }
    let others = [CodecId::BYTES_PLAIN, CodecId::BYTES_ZSTD, CodecId::FLOAT_CONSTANT, CodecId::FLOAT_PCO];
    let mut other = 0;
    while other < others.len() {
        all[at + other] = others[other];
        other += 1;
    }
    all
}

/// The number and its meaning, as tools print it.
impl fmt::Debug for CodecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const INTS: [&str; INT_CODECS] = [
            "raw",
            "constant",
            "arithmetic",
            "packed",
            "delta",
            "delta-2",
            "runs",
            "delta-runs",
            "dictionary",
            "pco",
            "delta-pco",
            "scaled",
        ];
        const VIEW_NAMES: [&str; VIEWS] = ["ints", "bits", "narrow", "integer", "decimal", "narrow-decimal"];
        let number = self.0;
        match *self {
            Self::BYTES_PLAIN => write!(f, "{number:#04x} bytes plain"),
            Self::BYTES_ZSTD => write!(f, "{number:#04x} bytes zstd"),
            Self::FLOAT_CONSTANT => write!(f, "{number:#04x} float constant"),
            Self::FLOAT_PCO => write!(f, "{number:#04x} float pco"),
            _ => match (VIEW_NAMES.get(usize::from(number >> 4)), INTS.get(usize::from(number & 0xF))) {
                (Some(view), Some(ints)) => write!(f, "{number:#04x} {view} {ints}"),
                _ => write!(f, "{number:#04x} unknown"),
            },
        }
    }
}

/// Bytes that are not a column of the stated codec and count. Their checksum was verified, so this means a newer
/// writer, a wrong count, or damage that the checksum missed; the page cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a page of codec {codec:?} does not decode: {what}; it is damaged, or a newer Stepwell wrote it")]
pub struct CodecError {
    /// The requested codec.
    pub codec: CodecId,
    /// What was expected.
    pub what: &'static str,
}

impl CodecError {
    pub(super) fn of(codec: CodecId) -> impl FnOnce(Malformed) -> Self {
        move |Malformed(what)| Self { codec, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_without_doubles() {
        let mut numbers: Vec<u8> = CodecId::ALL.iter().map(|id| id.0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), CodecId::ALL.len());
        for view in [views::INTS].into_iter().chain(views::FLOATS) {
            for ints in ints::LEAVES.into_iter().chain(ints::NESTS) {
                assert!(CodecId::ALL.contains(&CodecId::new(view, ints)));
            }
        }
        assert!(CodecId::ALL.iter().all(|id| !format!("{id:?}").contains("unknown")));
        assert!(format!("{:?}", CodecId(0x6F)).contains("unknown"));
    }
}
