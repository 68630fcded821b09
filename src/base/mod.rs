//! Basic types for all other folders: ids, points, limits, byte reading, checksums. No I/O.

pub mod bytes;
pub mod checksum;
pub mod control;
pub mod ids;
pub mod items;
pub mod limits;
pub mod names;
pub mod point;
pub mod stats;
pub mod summary;
pub mod texts;
pub(crate) mod zstd;
