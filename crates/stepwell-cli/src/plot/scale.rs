//! Scales: which numbers an axis names, and how.

use crate::output::rounded;
use crate::time::{moment, span};

/// What the horizontal axis shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Horizontal {
    /// Steps.
    Step,
    /// Times, UTC.
    Time,
    /// Times since the first point of each curve.
    Relative,
}

impl Horizontal {
    /// The axis's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Time => "time (UTC)",
            Self::Relative => "time since the first point",
        }
    }

    /// A number of the axis as text; `width` is how much the axis spans.
    pub(crate) fn label(self, at: f64, width: f64) -> String {
        match self {
            Self::Step => rounded(at),
            Self::Relative => span(at as i64),
            Self::Time => {
                let text = moment(at as i64);
                // The date where the axis spans days, the time of day where it spans less.
                let (date, time) = text.split_at(text.find(' ').unwrap_or(0));
                match width {
                    ..=60_000.0 => format!("{}.{:03}", time.trim(), (at as i64).rem_euclid(1000)),
                    ..=172_800_000.0 => time.trim().to_owned(),
                    ..=2_592_000_000.0 => text[text.find('-').map_or(0, |at| at + 1)..].to_owned(),
                    _ => date.to_owned(),
                }
            }
        }
    }
}

/// A value's place on the vertical axis: itself, or its logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vertical {
    /// As it is.
    Linear,
    /// By its decimal logarithm; only what is above zero has a place.
    Logarithmic,
}

impl Vertical {
    /// Where a finite value stands, if it has a place.
    pub(crate) fn place(self, value: f64) -> Option<f64> {
        match self {
            Self::Linear => Some(value),
            Self::Logarithmic => (value > 0.0).then(|| value.log10()),
        }
    }

    /// A place as text.
    pub(crate) fn label(self, place: f64) -> String {
        match self {
            Self::Linear => number(place),
            Self::Logarithmic => number(10_f64.powf(place)),
        }
    }
}

/// Four digits are enough beside an axis.
fn number(value: f64) -> String {
    let short: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    rounded(short)
}

/// A range that is never empty: a single number gets room around it.
pub(crate) fn widen((low, high): (f64, f64)) -> (f64, f64) {
    let middle = low / 2.0 + high / 2.0;
    if high > low && (high - low).is_finite() && high - low > middle.abs() * 1e-12 {
        return (low, high);
    }
    if !(high - low).is_finite() {
        // A span beyond all numbers: half of it is drawn.
        return (low.max(f64::MIN / 4.0), high.min(f64::MAX / 4.0));
    }
    let room = if middle == 0.0 { 1.0 } else { middle.abs() * 0.05 };
    (low - room, high + room)
}

/// At most `count` round numbers within a range: multiples of 1, 2 or 5 times a power of ten.
pub(crate) fn ticks((low, high): (f64, f64), count: usize) -> Vec<f64> {
    let rough = (high - low) / count.max(1) as f64;
    if !(rough > 0.0 && rough.is_finite()) {
        return Vec::new();
    }
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|&step| step >= rough * (1.0 - 1e-9));
    let step = step.unwrap_or(10.0 * power);
    if !(step > 0.0 && step.is_finite()) {
        return Vec::new();
    }
    let first = (low / step).ceil();
    let at = |index: usize| {
        let tick = (first + index as f64) * step;
        // What should be zero is zero, whatever rounding left of it.
        if tick.abs() < step * 1e-9 { 0.0 } else { tick }
    };
    (0..=count + 1).map(at).take_while(|&tick| tick <= high + step * 1e-9).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks((0.0, 10.0), 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks((-1.0, 1.0), 4), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        for range in [(1e-300, 3e-300), (-1e300, 1e300), (1e15, 1e15 + 4.0), (5e-324, 1e-323)] {
            let ticks = ticks(range, 6);
            assert!(ticks.len() <= 8 && ticks.iter().all(|tick| tick.is_finite()), "{range:?}: {ticks:?}");
        }
        assert!(ticks((1.0, 1.0), 5).is_empty());
    }

    #[test]
    fn no_range_is_empty() {
        for range in [(0.0, 0.0), (5.0, 5.0), (f64::MIN, f64::MAX), (-3.0, -3.0), (1.0, 1.0 + f64::EPSILON)] {
            let (low, high) = widen(range);
            assert!(low < high && (high - low).is_finite(), "{range:?}");
        }
    }
}
