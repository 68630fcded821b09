//! Which integer codec a column gets: a look at a sample (Fast) or the sizes themselves (Tight).

use super::Effort;
use super::id::ints::{
    ARITHMETIC, CONSTANT, DELTA, DELTA_2, DELTA_PCO, DELTA_RUNS, DICTIONARY, LEAVES, NESTS, PACKED, PCO, RAW, RUNS,
    SCALED,
};
use super::ints::{self, Buffers};
use super::nests;
use super::stream::bits;

/// Up to this many values, each cheap codec is tried even by [`Effort::Fast`]: fixed costs decide there.
const SHORT: usize = 32;
/// Below this size nothing of pco can win: its own head takes about as much.
const PCO_LEN_MIN: usize = 24;
/// Contiguous windows that a sample has, and how long each is.
const WINDOWS: usize = 8;
/// pco is tried on the values and their differences where these are within this of the best, in bits a value.
const PCO_NEAR_BITS: f32 = 1.0;
const WINDOW: usize = 16;
/// Distinct values that Fast gives up counting at.
const DISTINCT_MAX: usize = 64;

/// Appends the column in the smallest codec found and returns its number, without a view.
pub(super) fn encode(values: &[i64], effort: Effort, buffers: &mut Buffers, out: &mut Vec<u8>) -> u8 {
    encode_among(values, effort, true, buffers, out)
}

/// As [`encode`], with codecs only that hold no other: for columns inside another codec.
pub(super) fn encode_leaf(values: &[i64], effort: Effort, buffers: &mut Buffers, out: &mut Vec<u8>) -> u8 {
    encode_among(values, effort, false, buffers, out)
}

fn encode_among(values: &[i64], effort: Effort, nested: bool, buffers: &mut Buffers, out: &mut Vec<u8>) -> u8 {
    let shape = Shape::of(values);
    if let Some(exact) = shape.exact(values.len())
        && ints::encode(exact, values, buffers, out).is_some()
    {
        return exact;
    }
    let start = out.len();
    let chosen = match effort {
        Effort::Fast if values.len() > SHORT => {
            let sampled = SampledBits::of(values);
            let nest = nested.then(|| shape.choose_nest(values, &sampled)).flatten();
            let nest = nest.filter(|&codec| nests::encode(codec, values, effort, buffers, out).is_some());
            nest.or_else(|| {
                let codec = sampled.leaf().0;
                ints::encode(codec, values, buffers, out).map(|()| codec)
            })
        }
        _ => Some(encode_smallest(values, effort, nested, &shape, buffers, out)),
    };
    match chosen {
        Some(codec) if out.len() - start <= values.len() * 8 => codec,
        _ => {
            out.truncate(start);
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            RAW
        }
    }
}

/// Tries codecs one after the other behind `out`'s end and keeps the shortest.
fn encode_smallest(
    values: &[i64],
    effort: Effort,
    nested: bool,
    shape: &Shape,
    buffers: &mut Buffers,
    out: &mut Vec<u8>,
) -> u8 {
    let mut trial = Trial::new(out);
    for codec in LEAVES.into_iter().filter(|codec| ![RAW, CONSTANT, ARITHMETIC, PCO, DELTA_PCO].contains(codec)) {
        trial.offer(out, |out| ints::encode(codec, values, buffers, out).map(|()| codec));
    }
    let pays_pco = |trial: &Trial| effort == Effort::Tight && trial.len() > PCO_LEN_MIN && values.len() > SHORT;
    if pays_pco(&trial) {
        let sampled = SampledBits::of(values);
        let orders = [sampled.plain, sampled.delta, sampled.delta_2];
        let near = orders.iter().copied().fold(f32::MAX, f32::min) + PCO_NEAR_BITS;
        if orders[0] <= near {
            trial.offer(out, |out| ints::encode(PCO, values, buffers, out).map(|()| PCO));
        }
        for more in [0, 1] {
            if orders[more + 1] <= near {
                trial.offer(out, |out| ints::encode_delta_pco(values, more, buffers, out).map(|()| DELTA_PCO));
            }
        }
    }
    if nested && values.len() > 4 {
        for codec in NESTS {
            let may_pay = match codec {
                RUNS => shape.changes * 2 < values.len(),
                DELTA_RUNS => shape.bends * 2 < values.len(),
                DICTIONARY => shape.changes > 2 && trial.len() > values.len() / 8,
                SCALED => trial.len() > 16,
                _ => true,
            };
            if may_pay {
                trial.offer(out, |out| nests::encode(codec, values, effort, buffers, out).map(|()| codec));
            }
        }
    }
    trial.codec
}

/// The shortest encoding so far, which lies at `start..end` of a buffer.
pub(super) struct Trial {
    start: usize,
    end: usize,
    /// Its codec.
    pub(super) codec: u8,
}

impl Trial {
    /// Nothing so far.
    pub(super) fn new(out: &[u8]) -> Self {
        Self { start: out.len(), end: usize::MAX, codec: RAW }
    }

    /// Bytes of the shortest, `usize::MAX` or nearly that where there is none.
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Lets `encode` append and say by which codec; keeps that if it is shorter than what was kept before.
    pub(super) fn offer(&mut self, out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>) -> Option<u8>) {
        let at = out.len();
        match encode(out) {
            Some(codec) if out.len() - at < self.len() => {
                out.drain(self.start..at);
                self.end = out.len();
                self.codec = codec;
            }
            _ => out.truncate(at),
        }
    }
}

/// What one pass over a column tells.
struct Shape {
    /// How often a value differs from the one before.
    changes: usize,
    /// How often a difference differs from the one before.
    bends: usize,
}

impl Shape {
    fn of(values: &[i64]) -> Self {
        let (mut changes, mut bends) = (0, 0);
        let mut before = match *values {
            [first, second, ..] => second.wrapping_sub(first),
            _ => 0,
        };
        for pair in values.windows(2) {
            let delta = pair[1].wrapping_sub(pair[0]);
            changes += usize::from(delta != 0);
            bends += usize::from(delta != before);
            before = delta;
        }
        Self { changes, bends }
    }

    /// The codec of columns that need no choice.
    fn exact(&self, count: usize) -> Option<u8> {
        match (count, self.changes, self.bends) {
            (0, ..) => Some(RAW),
            (_, 0, _) => Some(CONSTANT),
            (3.., _, 0) => Some(ARITHMETIC),
            _ => None,
        }
    }

    /// A codec that holds others and is estimated to beat the best packed one, if there is one.
    fn choose_nest(&self, values: &[i64], sampled: &SampledBits) -> Option<u8> {
        let count = values.len() as f32;
        let packed = sampled.leaf().1 * count;
        let mut best = (packed, None);
        // Runs of fewer than two values on average are refused by their encoder.
        for (breaks, bits, codec) in [(self.changes, sampled.plain, RUNS), (self.bends, sampled.delta, DELTA_RUNS)] {
            let runs = (breaks + 1) as f32 * (bits + 7.0) + 72.0;
            if breaks * 2 + 2 < values.len() && runs < best.0 {
                best = (runs, Some(codec));
            }
        }
        if best.0 > 2.0 * count
            && let Some(distinct) = distinct_count(values)
        {
            let index_bits = bits(distinct as u64 - 1) as f32;
            let entries = distinct as f32 * sampled.plain.max(8.0);
            if index_bits * count + entries + 64.0 < best.0 {
                return Some(DICTIONARY);
            }
        }
        best.1
    }
}

/// Bits a value for the three packed codecs, from a sample.
struct SampledBits {
    plain: f32,
    delta: f32,
    delta_2: f32,
}

impl SampledBits {
    fn of(values: &[i64]) -> Self {
        let (mut plain, mut delta, mut delta_2) = ([0; WINDOWS * WINDOW], [0; WINDOWS * WINDOW], [0; WINDOWS * WINDOW]);
        let mut taken = 0;
        let window = WINDOW.min(values.len().saturating_sub(2));
        let windows = WINDOWS.min((values.len() - 2) / window.max(1));
        for index in 0..windows {
            let at = (values.len() - 2 - window) * index / (windows - 1).max(1);
            for three in values[at..at + window + 2].windows(3) {
                plain[taken] = three[2];
                delta[taken] = three[2].wrapping_sub(three[1]);
                delta_2[taken] = delta[taken].wrapping_sub(three[1].wrapping_sub(three[0]));
                taken += 1;
            }
        }
        Self {
            plain: bits_of(&mut plain[..taken]),
            delta: bits_of(&mut delta[..taken]),
            delta_2: bits_of(&mut delta_2[..taken]),
        }
    }

    /// The packed codec whose estimate is least, and its bits a value.
    fn leaf(&self) -> (u8, f32) {
        [(DELTA, self.delta + 0.02), (DELTA_2, self.delta_2 + 0.03)]
            .into_iter()
            .fold((PACKED, self.plain), |best, other| if other.1 < best.1 { other } else { best })
    }
}

/// Estimated bits a value of the packed stream that these values are a sample of; sorts them.
pub(super) fn bits_of(sample: &mut [i64]) -> f32 {
    let Some(last) = sample.len().checked_sub(1) else {
        return 64.0;
    };
    sample.sort_unstable();
    let whole = bits(sample[last].wrapping_sub(sample[0]) as u64);
    let mut best = whole as f32;
    for cut in [(0, 1), (0, 2), (0, 4), (0, 8), (1, 0), (1, 1), (2, 2), (4, 0), (4, 4), (8, 8)] {
        let (low, high) = (cut.0 * last / 128, last - cut.1 * last / 128);
        let width = bits(sample[high].wrapping_sub(sample[low]) as u64) as f32;
        let outliers = (low + last - high) as f32 / sample.len() as f32;
        best = best.min(width + outliers * (16.0 + (whole as f32 - width)));
    }
    best
}

/// How many distinct values there are, or `None` above [`DISTINCT_MAX`]. About 2 ns a value where they are few.
fn distinct_count(values: &[i64]) -> Option<usize> {
    const SLOTS: usize = 256;
    let mut slots = [None; SLOTS];
    let mut count = 0;
    for &value in values {
        let mut slot = ((value as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize;
        loop {
            match slots[slot] {
                Some(seen) if seen == value => break,
                Some(_) => slot = (slot + 1) % SLOTS,
                None => {
                    slots[slot] = Some(value);
                    count += 1;
                    if count > DISTINCT_MAX {
                        return None;
                    }
                    break;
                }
            }
        }
    }
    Some(count)
}
