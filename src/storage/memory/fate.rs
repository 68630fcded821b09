//! The fate of one unsynced change at a power loss.

use super::content::Change;

/// Bytes that a disk writes atomically.
const SECTOR: usize = 512;

/// The fate of one unsynced change at a power loss.
///
/// Changes of names and of a file's length happen or not: for them everything but [`Fate::Drop`] is [`Fate::Keep`],
/// except that a torn `allocate` lengthens the file as far as it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It reached the disk.
    Keep,
    /// It did not.
    Drop,
    /// Its first bytes reached the disk, this many.
    Torn(usize),
    /// The file's new length reached the disk, and the bytes did not: where the file grew there are zeros.
    Zeros,
    /// As `Zeros`, but the growth has older disk contents, generated from this seed.
    Garbage(u64),
    /// Some parts reached the disk, chosen by this seed: of a write, sectors of 512 bytes; of a mapped page, each
    /// sector wholly, not at all, or by slots of 32 or words of 8 bytes, because stores went on while it was written.
    Mixed(u64),
}

impl Fate {
    /// Does to the durable bytes what this fate leaves of a change.
    pub(super) fn apply(self, bytes: &mut Vec<u8>, change: &Change) {
        match (change, self) {
            (_, Fate::Drop) => {}
            (Change::SetLen(len), _) => bytes.resize(*len, 0),
            (Change::Allocate(len), fate) => {
                let reached = if let Fate::Torn(reached) = fate { reached.min(*len) } else { *len };
                if reached > bytes.len() {
                    bytes.resize(reached, 0);
                }
            }
            (Change::Write { offset, bytes: new }, fate) => fate.write(bytes, *offset, new),
        }
    }

    fn write(self, bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
        let old_len = bytes.len();
        let end = offset + new.len();
        let mut put = |from: usize, to: usize| {
            if bytes.len() < offset + to {
                bytes.resize(offset + to, 0);
            }
            bytes[offset + from..offset + to].copy_from_slice(&new[from..to]);
        };
        match self {
            Fate::Drop => {}
            Fate::Keep => put(0, new.len()),
            Fate::Torn(0) => {}
            Fate::Torn(count) => put(0, count.min(new.len())),
            Fate::Mixed(seed) => {
                let mut random = Random::new(seed);
                let mut from = 0;
                while from < new.len() {
                    let to = ((offset + from + 1).next_multiple_of(SECTOR) - offset).min(new.len());
                    if random.below(2) == 0 {
                        put(from, to);
                    }
                    from = to;
                }
            }
            Fate::Zeros | Fate::Garbage(_) if end <= old_len => {}
            Fate::Zeros => bytes.resize(end, 0),
            Fate::Garbage(seed) => {
                bytes.resize(offset.max(old_len), 0);
                let mut random = Random::new(seed);
                bytes.resize_with(end, || random.next().to_le_bytes()[0]);
            }
        }
    }

    /// Does to a page of the durable bytes what this fate leaves of the stores to it.
    pub(super) fn mix_page(self, old: &mut [u8], live: &[u8]) {
        let live = &live[..old.len()];
        match self {
            Fate::Keep => old.copy_from_slice(live),
            Fate::Drop | Fate::Zeros | Fate::Garbage(_) => {}
            Fate::Torn(count) => {
                let count = count.min(old.len());
                old[..count].copy_from_slice(&live[..count]);
            }
            Fate::Mixed(seed) => {
                let mut random = Random::new(seed);
                // Some pages by sectors only, as a disk tears; others finer, as stores and the write of a page race.
                let choices = 2 + random.below(3);
                for (old, live) in old.chunks_mut(SECTOR).zip(live.chunks(SECTOR)) {
                    let unit = match random.below(choices) {
                        0 => continue,
                        1 => SECTOR,
                        2 => 32,
                        _ => 8,
                    };
                    for (old, live) in old.chunks_mut(unit).zip(live.chunks(unit)) {
                        if unit == SECTOR || random.below(2) == 0 {
                            old.copy_from_slice(live);
                        }
                    }
                }
            }
        }
    }
}

/// A small generator of numbers from a seed (SplitMix64), the same everywhere and for ever.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
