//! Finds series that have the same steps and timestamps, so that one axis serves them all.

use std::hash::Hasher;

use rustc_hash::{FxHashMap, FxHasher};

use crate::base::point::TimestampsRef;

/// Finds axes that were written before.
#[derive(Debug, Default)]
pub struct AxisTable {
    by_hash: FxHashMap<u64, Vec<(usize, u32)>>,
    last: Option<(usize, u32)>,
}

impl AxisTable {
    /// Returns the number of an axis equal to that of series `index`, or the hash to insert it by. `same` compares two
    /// series.
    pub fn find(
        &mut self,
        index: usize,
        hash: impl FnOnce() -> u64,
        same: impl Fn(usize, usize) -> bool,
    ) -> Result<u32, u64> {
        if let Some((last, axis)) = self.last
            && same(last, index)
        {
            return Ok(axis);
        }
        let hash = hash();
        let known = self.by_hash.get(&hash).and_then(|known| known.iter().find(|(other, _)| same(*other, index)));
        match known {
            Some(&(other, axis)) => {
                self.last = Some((other, axis));
                Ok(axis)
            }
            None => Err(hash),
        }
    }

    /// Records the new axis of series `index`.
    pub fn insert(&mut self, hash: u64, index: usize, axis: u32) {
        self.by_hash.entry(hash).or_default().push((index, axis));
        self.last = Some((index, axis));
    }
}

/// A hash of an axis' contents.
#[must_use]
pub fn hash_axis(steps: &[i64], timestamps: TimestampsRef<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    steps
        .iter()
        .zip(timestamps.ms)
        .for_each(|(&step, &ms)| hasher.write_u64((step as u64).rotate_left(32) ^ ms as u64));
    hasher.finish()
}

/// Whether two axes are equal.
#[must_use]
pub fn same_axis(a: (&[i64], TimestampsRef<'_>), b: (&[i64], TimestampsRef<'_>)) -> bool {
    let absent = |timestamps: TimestampsRef<'_>, index: usize| timestamps.absent.get(index).copied().unwrap_or(false);
    a.0 == b.0
        && a.1.ms == b.1.ms
        && (a.1.absent.is_empty() && b.1.absent.is_empty()
            || (0..a.0.len()).all(|index| absent(a.1, index) == absent(b.1, index)))
}
