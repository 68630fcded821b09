//! Which float codec a column gets: a look at a sample rules out views; Tight compares the sizes themselves.

use super::choose_ints::{self, Trial, bits_of};
use super::floats;
use super::id::ints::{CONSTANT, RAW};
use super::id::views::{BITS, DECIMAL, INTEGER, NARROW, NARROW_DECIMAL};
use super::ints::{self, Buffers};
use super::views::{Seen, View, exponent_of};
use super::{CodecId, Effort};

/// Contiguous windows of a sample, and the length of each.
const WINDOWS: usize = 4;
const WINDOW: usize = 16;
/// A view with more exceptions in the sample than one in this many is ruled out.
const EXCEPTIONS_ONE_IN: usize = 6;
/// Bits that an exception costs: its float and its place.
const EXCEPTION_BITS: f32 = 72.0;
/// Values of the sample that decimals are sought for, and how many of them must be some.
const PROBES: usize = 16;
const PROBES_MIN: usize = 11;

/// Tight tries the views whose estimate is within this of the best, in bits a value.
const NEAR_BITS: f32 = 3.0;
/// Bytes a value above which pco's own search over floats may find what the views did not, at some 300 ns a value.
const FLOAT_PCO_BYTES_MIN: usize = 4;

/// A view that may pay, with its estimated bits a value.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    view: View,
    bits: f32,
    exact: bool,
}

/// Appends the column in the smallest codec found. The caller has set the default floating-point mode.
pub(super) fn encode(
    values: &[f64],
    effort: Effort,
    seen: &mut Seen,
    buffers: &mut Buffers,
    out: &mut Vec<u8>,
) -> CodecId {
    let Some(&first) = values.first() else { return CodecId::new(BITS, RAW) };
    if values.iter().all(|value| value.to_bits() == first.to_bits()) {
        return encode_constant(first, seen, buffers, out);
    }
    let start = out.len();
    let mut trial = Trial::new(out);
    let mut sample = [0.0; WINDOWS * WINDOW];
    let sample = windows(values, &mut sample);
    let mut work = Work { values, effort, seen, buffers, out };
    if let Some(sample) = work.offer_views(sample, &mut trial) {
        work.offer_views(&sample, &mut trial);
    }
    if effort == Effort::Tight && trial.len() > values.len() * FLOAT_PCO_BYTES_MIN && values.len() > 16 {
        trial.offer(work.out, |out| floats::encode_pco(values, out).map(|()| CodecId::FLOAT_PCO.0));
    }
    if trial.len() > values.len() * 8 {
        // The sample misled, or nothing is shorter than the bits.
        work.out.truncate(start);
        trial = Trial::new(work.out);
        let view = View::plain(BITS);
        view.see(values, work.seen);
        work.offer(view, &mut trial);
    }
    CodecId(trial.codec)
}

/// One column on its way into bytes.
struct Work<'a> {
    values: &'a [f64],
    effort: Effort,
    seen: &'a mut Seen,
    buffers: &'a mut Buffers,
    out: &'a mut Vec<u8>,
}

impl Work<'_> {
    /// Offers the column in the views that fit the sample. Where the column turns out to hold many values that the
    /// sample did not show, returns a sample that does.
    fn offer_views(&mut self, sample: &[f64], trial: &mut Trial) -> Option<Vec<f64>> {
        let mut candidates = candidates(sample, self.seen);
        candidates.sort_by(|a, b| a.bits.total_cmp(&b.bits));
        let near = candidates.first().map_or(0.0, |best| best.bits) + NEAR_BITS;
        match self.effort {
            Effort::Fast => candidates.truncate(1),
            Effort::Tight => candidates.retain(|candidate| candidate.bits <= near),
        }
        let mut better_sample = None;
        for Candidate { view, .. } in candidates {
            view.see(self.values, self.seen);
            let exceptions = &self.seen.exceptions;
            if better_sample.is_none() && exceptions.len() as f32 * EXCEPTION_BITS > self.values.len() as f32 {
                let step = exceptions.len().div_ceil(sample.len());
                let shown = exceptions.iter().step_by(step).map(|&(_, bits)| f64::from_bits(bits));
                better_sample = Some(shown.chain(sample.iter().copied()).collect());
            }
            if exceptions.len() * EXCEPTIONS_ONE_IN <= self.values.len() + EXCEPTIONS_ONE_IN {
                self.offer(view, trial);
            }
        }
        better_sample
    }

    /// Offers the column in this view, which `seen` holds already.
    fn offer(&mut self, view: View, trial: &mut Trial) {
        let len_max = trial.len();
        trial.offer(self.out, |out| {
            let at = out.len();
            view.put_head(&self.seen.exceptions, out);
            let is_short = out.len() - at < len_max;
            is_short.then(|| {
                CodecId::new(view.kind, choose_ints::encode(&self.seen.ints, self.effort, self.buffers, out)).0
            })
        });
    }
}

/// One value for the whole column, in whichever form is shortest.
fn encode_constant(value: f64, seen: &mut Seen, buffers: &mut Buffers, out: &mut Vec<u8>) -> CodecId {
    let mut trial = Trial::new(out);
    trial.offer(out, |out| floats::encode_constant(&[value], out).map(|()| CodecId::FLOAT_CONSTANT.0));
    for (kind, narrow) in [(INTEGER, false), (NARROW, false), (DECIMAL, false), (NARROW_DECIMAL, true)] {
        let exponent = match kind {
            DECIMAL | NARROW_DECIMAL => exponent_of(value, 1, narrow),
            _ => Some(0),
        };
        let Some(exponent) = exponent else { continue };
        let view = View { kind, exponent };
        view.see(&[value], seen);
        if seen.exceptions.is_empty() {
            trial.offer(out, |out| {
                view.put_head(&[], out);
                ints::encode(CONSTANT, &seen.ints, buffers, out).map(|()| CodecId::new(kind, CONSTANT).0)
            });
        }
    }
    CodecId(trial.codec)
}

/// The views that the sample leaves, each with an estimate.
fn candidates(sample: &[f64], seen: &mut Seen) -> Vec<Candidate> {
    let mut found = Vec::with_capacity(5);
    let mut consider = |view: View, found: &mut Vec<Candidate>| {
        if let Some(candidate) = estimate(view, sample, seen) {
            found.push(candidate);
        }
    };
    consider(View::plain(INTEGER), &mut found);
    if found.iter().any(|candidate| candidate.exact) {
        return found;
    }
    consider(View::plain(NARROW), &mut found);
    let is_narrow = found.iter().any(|candidate| candidate.view.kind == NARROW && candidate.exact);
    if !is_narrow {
        consider(View::plain(BITS), &mut found);
    }
    for (kind, narrow) in [(DECIMAL, false), (NARROW_DECIMAL, true)] {
        if narrow && !is_narrow {
            continue;
        }
        if let Some(exponent) = decimal_exponent(sample, narrow) {
            consider(View { kind, exponent }, &mut found);
        }
    }
    found
}

fn windows<'a>(values: &[f64], sample: &'a mut [f64; WINDOWS * WINDOW]) -> &'a [f64] {
    if values.len() <= sample.len() {
        sample[..values.len()].copy_from_slice(values);
        return &sample[..values.len()];
    }
    for (index, window) in sample.chunks_exact_mut(WINDOW).enumerate() {
        let at = (values.len() - WINDOW) * index / (WINDOWS - 1);
        window.copy_from_slice(&values[at..at + WINDOW]);
    }
    sample
}

/// The exponent that covers nearly all decimals of the sample, or `None` where they are too few.
fn decimal_exponent(sample: &[f64], narrow: bool) -> Option<u8> {
    let probes = sample.len().min(PROBES);
    let mut exponents = [0; PROBES];
    let mut found = 0;
    for probe in 0..probes {
        if let Some(exponent) = exponent_of(sample[probe * sample.len() / probes], 1, narrow) {
            exponents[found] = exponent;
            found += 1;
        }
        // Q: Why stop here? A: noise never is decimal, and finding that out is the costly part.
        if probe == 3 && found < 2 {
            return None;
        }
    }
    if found * PROBES < probes * PROBES_MIN {
        return None;
    }
    let exponents = &mut exponents[..found];
    exponents.sort_unstable();
    // A short column has few exceptions to spare; a long one takes the exponent below its rarest outliers.
    Some(exponents[found - 1 - found / 12])
}

fn estimate(view: View, sample: &[f64], seen: &mut Seen) -> Option<Candidate> {
    view.see(sample, seen);
    let exceptions = seen.exceptions.len();
    if exceptions * EXCEPTIONS_ONE_IN > sample.len() + EXCEPTIONS_ONE_IN / 2 {
        return None;
    }
    let mut differences = Vec::new();
    ints::difference(&seen.ints, &mut differences);
    let bits = bits_of(&mut seen.ints).min(bits_of(&mut differences));
    let bits = bits + EXCEPTION_BITS * exceptions as f32 / sample.len() as f32;
    Some(Candidate { view, bits, exact: exceptions == 0 })
}
