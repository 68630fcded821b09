//! The contenders' stores, one file each.

#[cfg(feature = "duckdb")]
pub mod duckdb;
pub mod fjall;
pub mod parquet;
pub mod redb;
#[cfg(feature = "rocksdb")]
pub mod rocksdb;
pub mod sqlite;
pub mod stepwell;
#[cfg(feature = "tsink")]
pub mod tsink;

use crate::work::{Logged, Work};

/// Numbers as keys of an ordered store: run, key, step, each so that bytes order as numbers do. Steps are not negative.
pub fn ordered_key(run: u32, key: u32, step: i64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&run.to_be_bytes());
    bytes[4..8].copy_from_slice(&key.to_be_bytes());
    bytes[8..].copy_from_slice(&step.to_be_bytes());
    bytes
}

/// Timestamp and value.
pub fn payload(point: Logged) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&point.timestamp.to_le_bytes());
    bytes[8..].copy_from_slice(&point.value.to_bits().to_le_bytes());
    bytes
}

/// The point of a key and a payload; `None` for bytes of another length.
pub fn point(key: &[u8], payload: &[u8]) -> Option<Logged> {
    let (run, rest) = key.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_first_chunk::<4>()?;
    let (timestamp, value) = payload.split_first_chunk::<8>()?;
    Some(Logged {
        run: u32::from_be_bytes(*run),
        key: u32::from_be_bytes(*key),
        step: i64::from_be_bytes(rest.try_into().ok()?),
        timestamp: i64::from_le_bytes(*timestamp),
        value: f64::from_bits(u64::from_le_bytes(value.try_into().ok()?)),
    })
}

/// All series of a work.
pub fn all_series(work: &Work) -> impl Iterator<Item = (u32, u32)> + '_ {
    (0..work.runs()).flat_map(|run| (0..work.keys()).map(move |key| (run, key)))
}
