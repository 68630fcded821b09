//! What a plot is asked to show.

use crate::plot::scale::{Axis, Horizontal};

/// The axes, the ranges and the smoothing of a plot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View {
    /// What the horizontal axis counts.
    pub(crate) x: Horizontal,
    /// Whether it is logarithmic.
    pub(crate) log_x: bool,
    /// Whether the vertical axis is logarithmic.
    pub(crate) log_y: bool,
    /// Where the horizontal axis begins, if chosen: a step, or milliseconds.
    pub(crate) from: Option<i64>,
    /// Where it ends, if chosen.
    pub(crate) to: Option<i64>,
    /// Where the vertical axis begins, if chosen.
    pub(crate) y_min: Option<f64>,
    /// Where it ends, if chosen.
    pub(crate) y_max: Option<f64>,
    /// The weight of smoothing, if asked for: from 0 to below 1.
    pub(crate) smooth: Option<f64>,
    /// About how many columns of pixels or dots a curve gets.
    pub(crate) pixels: usize,
}

impl View {
    /// Whether a place lies within the chosen range of the horizontal axis.
    pub(crate) fn contains_x(&self, at: f64) -> bool {
        self.from.is_none_or(|from| at >= from as f64) && self.to.is_none_or(|to| at <= to as f64)
    }

    /// Whether a range of the horizontal axis was chosen.
    pub(crate) fn has_range(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// The horizontal axis of curves that reach this far.
    pub(crate) fn horizontal(&self, extent: Option<(f64, f64)>) -> Axis {
        let chosen = (self.from.map(|from| from as f64), self.to.map(|to| to as f64));
        Axis::horizontal(self.x, extent, chosen, self.log_x)
    }

    /// The vertical axis of curves that reach this far.
    pub(crate) fn vertical(&self, extent: Option<(f64, f64)>) -> Axis {
        Axis::vertical(extent, (self.y_min, self.y_max), self.log_y)
    }
}
