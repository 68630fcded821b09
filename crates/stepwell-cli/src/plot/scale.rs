//! Axes: what they show, how far they reach, where a number stands on them, and their ticks.

use std::borrow::Cow;

use crate::plot::{calendar, number};
use crate::time::{parse_moment, parse_span, zone, zone_name};

/// What the horizontal axis shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Horizontal {
    /// Steps.
    #[default]
    Step,
    /// Times, UTC without --local.
    Time,
    /// Times since the first point of each curve.
    Relative,
}

impl Horizontal {
    /// The axis's name.
    pub(crate) fn name(self) -> Cow<'static, str> {
        match self {
            Self::Step => "step".into(),
            Self::Time => format!("time ({})", zone_name()).into(),
            Self::Relative => "time since the first point".into(),
        }
    }

    fn unit(self) -> Unit {
        match self {
            Self::Step => Unit::Whole,
            Self::Time => Unit::Moment,
            Self::Relative => Unit::Span,
        }
    }

    /// Reads a place on this axis: a step, a moment, or a span; times in milliseconds.
    pub(crate) fn parse(self, text: &str) -> Result<i64, String> {
        match self {
            Self::Step => text.parse().map_err(|_| format!("{text:?} is not a step; write a whole number")),
            Self::Time => parse_moment(text),
            Self::Relative if text.trim() == "0" => Ok(0),
            Self::Relative => parse_span(text),
        }
    }
}

/// What an axis counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Any numbers.
    Number,
    /// Whole numbers.
    Whole,
    /// Milliseconds since something began.
    Span,
    /// Milliseconds since the epoch.
    Moment,
}

/// A named place on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// The number.
    pub(crate) at: f64,
    /// Its text.
    pub(crate) label: String,
    /// A second line of text, such as the date of a time of day.
    pub(crate) within: Option<String>,
}

/// An axis from `low` to `high`, which are finite and differ; above zero if it is logarithmic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    unit: Unit,
    logarithmic: bool,
}

impl Axis {
    /// The horizontal axis of curves that reach from one number to another. Ends that the caller chose stay.
    pub(crate) fn horizontal(
        x: Horizontal,
        extent: Option<(f64, f64)>,
        chosen: (Option<f64>, Option<f64>),
        logarithmic: bool,
    ) -> Self {
        Self::around(x.unit(), extent, chosen, logarithmic)
    }

    /// The vertical axis, with some air above and below, so that no spike touches the frame.
    pub(crate) fn vertical(extent: Option<(f64, f64)>, chosen: (Option<f64>, Option<f64>), logarithmic: bool) -> Self {
        let axis = Self::around(Unit::Number, extent, chosen, logarithmic);
        let (low, high) = (axis.number(-0.04), axis.number(1.04));
        let air = Self { low: chosen.0.unwrap_or(low), high: chosen.1.unwrap_or(high), ..axis };
        // Where there is no number beyond the range there is no air.
        if air.low.is_finite() && air.high.is_finite() && (!logarithmic || air.low > 0.0) { air } else { axis }
    }

    fn around(unit: Unit, extent: Option<(f64, f64)>, chosen: (Option<f64>, Option<f64>), logarithmic: bool) -> Self {
        let (low, high) = extent.unwrap_or(match (logarithmic, unit) {
            (true, _) => (1.0, 10.0),
            (_, Unit::Moment) => (0.0, 86_400_000.0),
            _ => (0.0, 1.0),
        });
        let (mut low, mut high) = (chosen.0.unwrap_or(low), chosen.1.unwrap_or(high));
        // An end that was chosen beyond all that is there is the middle of nothing; the other end gives way.
        if chosen.0.is_some() && low > high {
            high = low;
        } else if chosen.1.is_some() && low > high {
            low = high;
        }
        let narrow =
            if logarithmic { high / low < 1.0 + 1e-9 } else { (high - low) <= low.abs().max(high.abs()) * 1e-12 };
        if narrow {
            let room = match unit {
                Unit::Number if low == 0.0 => 1.0,
                Unit::Number => low.abs() * 0.05,
                Unit::Whole => 1_f64.max(low.abs() * 1e-12),
                Unit::Span => 1e3,
                Unit::Moment => 30e3,
            };
            let wide = if logarithmic { (low / 2.0, high * 2.0) } else { (low - room, high + room) };
            // The ends of all numbers have room on one side only.
            let (least, most) = (if logarithmic { 5e-324 } else { f64::MIN }, f64::MAX);
            let wide = (wide.0.max(least), wide.1.min(most));
            (low, high) = match chosen {
                (Some(low), None) => (low, wide.1),
                (None, Some(high)) => (wide.0, high),
                _ => wide,
            };
        }
        Self { low, high, unit, logarithmic }
    }

    /// Where a number stands: 0 at the low end, 1 at the high end. Numbers without a logarithm have no place on a
    /// logarithmic axis; the caller has left them out.
    pub(crate) fn fraction(&self, at: f64) -> f64 {
        let (at, low, high) = if self.logarithmic {
            (at.log10(), self.low.log10(), self.high.log10())
        } else if (self.high - self.low).is_finite() {
            (at, self.low, self.high)
        } else {
            (at / 2.0, self.low / 2.0, self.high / 2.0)
        };
        (at - low) / (high - low)
    }

    /// The number that stands at a fraction; may be beyond all floats for one outside of 0 to 1.
    fn number(&self, fraction: f64) -> f64 {
        if self.logarithmic {
            let (low, high) = (self.low.log10(), self.high.log10());
            return 10_f64.powf(low + (high - low) * fraction);
        }
        self.low * (1.0 - fraction) + self.high * fraction
    }

    /// The ticks, in order: about `count`.
    pub(crate) fn ticks(&self, count: usize) -> Vec<Tick> {
        let numbers = |numbers: Vec<f64>| {
            let texts = number::texts(&numbers);
            numbers.into_iter().zip(texts).map(|(at, label)| Tick { at, label, within: None }).collect()
        };
        let times = |ticks: Vec<calendar::Tick>| {
            ticks.into_iter().map(|tick| Tick { at: tick.at as f64, label: tick.label, within: tick.within }).collect()
        };
        match (self.unit, self.logarithmic) {
            (Unit::Number | Unit::Whole, true) => numbers(number::logarithmic(self.low, self.high, count)),
            (Unit::Number, false) => numbers(number::linear(self.low, self.high, count, false)),
            (Unit::Whole, false) => numbers(number::linear(self.low, self.high, count, true)),
            (Unit::Span, false) => times(calendar::spans(self.low.ceil() as i64, self.high.floor() as i64, count)),
            // Powers of ten of a second.
            (Unit::Span | Unit::Moment, true) => number::logarithmic(self.low, self.high, count)
                .into_iter()
                .map(|at| Tick { at, label: calendar::span(at as i64), within: None })
                .collect(),
            (Unit::Moment, false) => {
                times(calendar::moments(self.low.ceil() as i64, self.high.floor() as i64, count, zone()))
            }
        }
    }

    /// Where fainter lines than those of the ticks help to read the axis: between the powers of ten.
    pub(crate) fn faint_lines(&self) -> Vec<f64> {
        if self.logarithmic { number::between_powers(self.low, self.high) } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_number_has_a_sensible_axis() {
        let none = (None, None);
        let ticks = |axis: Axis| axis.ticks(6).into_iter().map(|tick| tick.label).collect::<Vec<_>>();
        assert_eq!(ticks(Axis::vertical(Some((5.0, 5.0)), none, false)), ["4.8", "4.9", "5", "5.1", "5.2"]);
        assert_eq!(ticks(Axis::vertical(Some((0.0, 0.0)), none, false)), ["-1", "-0.5", "0", "0.5", "1"]);
        assert_eq!(ticks(Axis::horizontal(Horizontal::Step, Some((7.0, 7.0)), none, false)), ["6", "7", "8"]);
        assert!(ticks(Axis::vertical(Some((3.0, 3.0)), none, true)).len() >= 2);
        assert!(ticks(Axis::vertical(None, none, false)).len() >= 2);
    }

    #[test]
    fn chosen_ends_stay() {
        let axis = Axis::vertical(Some((3.0, 9.0)), (Some(0.0), None), false);
        assert_eq!((axis.fraction(0.0), axis.fraction(9.0) < 1.0), (0.0, true));
        let axis = Axis::vertical(Some((3.0, 9.0)), (None, Some(1.0)), false);
        assert_eq!(axis.fraction(1.0), 1.0);
        assert!(axis.low < axis.high);
    }

    proptest! {
        #[test]
        fn every_finite_number_has_a_place(a in any::<f64>(), b in any::<f64>(), share in 0.0..=1.0_f64) {
            prop_assume!(a.is_finite() && b.is_finite());
            for (a, b, logarithmic) in [(a, b, false), (a.abs().max(5e-324), b.abs().max(5e-324), true)] {
                let extent = (a.min(b), a.max(b));
                for axis in [
                    Axis::vertical(Some(extent), (None, None), logarithmic),
                    Axis::horizontal(Horizontal::Step, Some(extent), (None, None), logarithmic),
                ] {
                    prop_assert!(axis.low < axis.high && axis.low.is_finite() && axis.high.is_finite(), "{:?}", axis);
                    let between = extent.0 * (1.0 - share) + extent.1 * share;
                    for number in [extent.0, extent.1, between.clamp(extent.0, extent.1)] {
                        let place = axis.fraction(number);
                        prop_assert!((-1e-9..=1.0 + 1e-9).contains(&place), "{:?} {} {}", axis, number, place);
                    }
                    for tick in axis.ticks(8) {
                        prop_assert!((-1e-9..=1.0 + 1e-9).contains(&axis.fraction(tick.at)));
                    }
                }
            }
        }
    }
}
