//! All points of a series on their way to a picture: smoothed, and thinned to columns of pixels.

use crate::plot::columns::{Columns, Place};
use crate::plot::smooth::Smoother;
use crate::plot::view::View;

/// A curve that is made of every point.
pub(crate) struct Thinner {
    view: View,
    smoother: Option<Smoother>,
    shown: Columns,
    /// The same before smoothing.
    raw: Columns,
    /// The nearest points on both sides of the range, each as it is drawn and as it was before smoothing. They are the
    /// only ones of what lies outside, so that a line leads out of the picture.
    outside: [Option<(Place, Place)>; 2],
}

impl Thinner {
    /// No point yet. `extent` is the least and the greatest x of what comes.
    pub(crate) fn new(view: View, extent: Option<(f64, f64)>) -> Self {
        let columns = || Columns::new(view.horizontal(extent), view.pixels);
        let smoother = view.smooth.map(Smoother::new);
        Self { view, smoother, shown: columns(), raw: columns(), outside: [None, None] }
    }

    /// What the next value becomes; every value must come here once, in order.
    pub(crate) fn smooth(&mut self, value: f64) -> f64 {
        self.smoother.as_mut().map_or(value, |smoother| smoother.next(value))
    }

    /// A point that is drawn, with its value before smoothing.
    pub(crate) fn add(&mut self, place: Place, value: f64) {
        let raw = (place.0, value);
        if self.view.contains_x(place.0) {
            self.draw(place, raw);
            return;
        }
        let is_right = self.view.to.is_some_and(|to| place.0 > to as f64);
        let nearest = &mut self.outside[usize::from(is_right)];
        let is_nearer = |(known, _): &(Place, Place)| if is_right { place.0 < known.0 } else { place.0 >= known.0 };
        if nearest.as_ref().is_none_or(is_nearer) {
            *nearest = Some((place, raw));
        }
    }

    /// A point that cannot be drawn.
    pub(crate) fn gap(&mut self, x: f64) {
        if self.view.contains_x(x) {
            self.shown.gap(x);
            self.raw.gap(x);
        }
    }

    /// A smooth value may be above zero where the value itself is not.
    fn draw(&mut self, place: Place, raw: Place) {
        self.shown.add(place);
        if self.view.log_y && raw.1 <= 0.0 {
            self.raw.gap(raw.0);
        } else {
            self.raw.add(raw);
        }
    }

    /// The stretches of the curve, and those before smoothing where it was smoothed.
    pub(crate) fn finish(mut self) -> (Vec<Vec<Place>>, Vec<Vec<Place>>) {
        for (place, raw) in std::mem::take(&mut self.outside).into_iter().flatten() {
            self.draw(place, raw);
        }
        let raw = if self.smoother.is_some() { self.raw.finish() } else { Vec::new() };
        (self.shown.finish(), raw)
    }
}
