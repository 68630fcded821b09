//! A panel: curves on a pair of axes, as lines in fractions of its width and height.

use crate::plot::columns::Place;
use crate::plot::curve::Curve;
use crate::plot::scale::Axis;
use crate::plot::view::View;

/// How far above and below a panel lines may lead, in heights of it.
const BEYOND: f64 = 20.0;

/// Curves that share axes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panel {
    /// What stands above it.
    pub(crate) title: String,
    /// The curves, each with its number in the legend.
    pub(crate) curves: Vec<(usize, Curve)>,
}

/// The axes of a panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axes {
    /// The horizontal axis.
    pub(crate) x: Axis,
    /// The vertical axis.
    pub(crate) y: Axis,
}

/// The least and the greatest of some numbers.
pub(crate) fn extent(numbers: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    numbers.fold(None, |extent, number| {
        Some(extent.map_or((number, number), |(low, high): (f64, f64)| (low.min(number), high.max(number))))
    })
}

/// All places of curves that lie within the chosen range of the horizontal axis.
fn places<'a>(curves: impl Iterator<Item = &'a Curve>, view: &View) -> impl Iterator<Item = Place> {
    curves
        .flat_map(|curve| curve.stretches.iter().chain(&curve.raw))
        .flatten()
        .copied()
        .filter(|place| view.contains_x(place.0))
}

/// The horizontal axis that all panels share, so that they can be compared.
pub(crate) fn horizontal(panels: &[Panel], view: &View) -> Axis {
    let curves = || panels.iter().flat_map(|panel| &panel.curves).map(|(_, curve)| curve);
    let infinities = curves().flat_map(|curve| &curve.infinities).map(|infinity| infinity.0);
    view.horizontal(extent(places(curves(), view).map(|place| place.0).chain(infinities)))
}

impl Panel {
    /// Its axes, given the horizontal one.
    pub(crate) fn axes(&self, x: Axis, view: &View) -> Axes {
        let curves = self.curves.iter().map(|(_, curve)| curve);
        Axes { x, y: view.vertical(extent(places(curves, view).map(|place| place.1))) }
    }

    /// Whether there is nothing to see in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.curves.iter().all(|(_, curve)| curve.is_empty())
    }
}

impl Axes {
    /// Where a place stands, in fractions of the panel from its lower left corner.
    pub(crate) fn fractions(&self, place: Place) -> Place {
        (self.x.fraction(place.0), self.y.fraction(place.1).clamp(-BEYOND, 1.0 + BEYOND))
    }

    /// A stretch as a line in fractions of the panel. What lies left or right of the panel is cut off where the line
    /// crosses its edge.
    pub(crate) fn line(&self, stretch: &[Place]) -> Vec<Place> {
        let mut line: Vec<Place> = Vec::with_capacity(stretch.len());
        let mut before: Option<Place> = None;
        for &place in stretch {
            let at = self.fractions(place);
            if let Some(before) = before {
                let (low, high) = (before.0.min(at.0), before.0.max(at.0));
                let mut edges = [0.0, 1.0];
                if at.0 < before.0 {
                    edges.reverse();
                }
                for edge in edges.into_iter().filter(|&edge| low < edge && edge < high) {
                    let share = (edge - before.0) / (at.0 - before.0);
                    line.push((edge, before.1 + (at.1 - before.1) * share));
                }
            }
            if (0.0..=1.0).contains(&at.0) {
                line.push(at);
            }
            before = Some(at);
        }
        line
    }

    /// Whether any part of a curve is within the panel.
    pub(crate) fn shows(&self, curve: &Curve) -> bool {
        let within = |y: f64| (0.0..=1.0).contains(&y);
        let mut lines = curve.stretches.iter().chain(&curve.raw).map(|stretch| self.line(stretch));
        !curve.infinities.is_empty()
            || lines.any(|line| {
                line.iter().any(|place| within(place.1))
                    || line.windows(2).any(|pair| pair[0].1.min(pair[1].1) < 0.0 && pair[0].1.max(pair[1].1) > 1.0)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lead_out_of_the_range() {
        let view = View { from: Some(10), to: Some(20), ..View::default() };
        let stretches = vec![vec![(0.0, 0.0), (15.0, 15.0), (40.0, 40.0)]];
        let panel = Panel { curves: vec![(0, Curve { stretches, ..Curve::default() })], ..Panel::default() };
        let axes = panel.axes(horizontal(std::slice::from_ref(&panel), &view), &view);
        let line = axes.line(&panel.curves[0].1.stretches[0]);
        assert_eq!(line.iter().map(|place| place.0).collect::<Vec<_>>(), [0.0, 0.5, 1.0]);
        assert!(axes.shows(&panel.curves[0].1));
        // Both neighbours lie outside, and the line between them crosses all of the panel.
        assert_eq!(axes.line(&[(0.0, 15.0), (30.0, 15.0)]).len(), 2);
        assert_eq!(axes.line(&[(30.0, 15.0), (0.0, 15.0)])[0].0, 1.0);
    }
}
