//! Words and bytes that every other folder speaks: ids, points, limits, byte reading, checksums. No I/O.

pub mod bytes;
pub mod checksum;
pub mod control;
pub mod ids;
pub mod items;
pub mod limits;
pub mod point;
pub mod stats;
pub(crate) mod zstd;
