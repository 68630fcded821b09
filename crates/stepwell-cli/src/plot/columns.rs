//! Reduces a stream of points to what a picture can show: the first, least, greatest and last of each column of pixels.

use std::collections::BTreeMap;

use crate::plot::scale::Axis;

/// A place of a curve: x and y.
pub(crate) type Place = (f64, f64);

/// What one column of pixels shows, in order of arrival; nothing is a gap.
#[derive(Clone, Copy, Debug)]
struct Column {
    first: (u64, Place),
    least: (u64, Place),
    greatest: (u64, Place),
    last: (u64, Place),
}

/// Points thinned by columns of an axis. Takes memory by columns, however many points arrive.
#[derive(Debug)]
pub(crate) struct Columns {
    axis: Axis,
    pixels: f64,
    columns: BTreeMap<i64, Option<Column>>,
    arrived: u64,
}

impl Columns {
    /// No point yet. Points beyond the axis get columns of their own.
    pub(crate) fn new(axis: Axis, pixels: usize) -> Self {
        Self { axis, pixels: pixels.max(1) as f64, columns: BTreeMap::new(), arrived: 0 }
    }

    fn column(&mut self, x: f64) -> &mut Option<Column> {
        let at = (self.axis.fraction(x) * self.pixels).floor() as i64;
        self.columns.entry(at).or_default()
    }

    /// A point that is drawn.
    pub(crate) fn add(&mut self, place: Place) {
        self.arrived += 1;
        let new = (self.arrived, place);
        match self.column(place.0) {
            Some(column) => {
                column.last = new;
                if place.1 < column.least.1.1 {
                    column.least = new;
                }
                if place.1 > column.greatest.1.1 {
                    column.greatest = new;
                }
            }
            empty => *empty = Some(Column { first: new, least: new, greatest: new, last: new }),
        }
    }

    /// A point that cannot be drawn: a gap, unless its column has others.
    pub(crate) fn gap(&mut self, x: f64) {
        self.column(x);
    }

    /// The curve, broken at gaps.
    pub(crate) fn finish(self) -> Vec<Vec<Place>> {
        let mut stretches = Vec::new();
        let mut stretch = Vec::new();
        for column in self.columns.into_values() {
            match column {
                Some(Column { first, least, greatest, last }) => {
                    let mut points = [first, least, greatest, last];
                    points.sort_by_key(|point| point.0);
                    let mut before = 0;
                    for (arrival, place) in points {
                        if arrival != before {
                            stretch.push(place);
                        }
                        before = arrival;
                    }
                }
                None if stretch.is_empty() => {}
                None => stretches.push(std::mem::take(&mut stretch)),
            }
        }
        if !stretch.is_empty() {
            stretches.push(stretch);
        }
        stretches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::view::View;

    #[test]
    fn spikes_stay_and_gaps_break() {
        let axis = View::default().horizontal(Some((0.0, 10_000.0)));
        let mut columns = Columns::new(axis, 100);
        for step in 0..10_000 {
            let x = f64::from(step);
            match step {
                2000..3000 => columns.gap(x),
                5555 => columns.add((x, 1e9)),
                7777 => columns.add((x, -1e9)),
                _ => columns.add((x, x)),
            }
        }
        let stretches = columns.finish();
        assert_eq!(stretches.len(), 2);
        let all: Vec<Place> = stretches.concat();
        assert!(all.contains(&(5555.0, 1e9)) && all.contains(&(7777.0, -1e9)), "both spikes");
        assert!(all.len() <= 4 * 100 && all.windows(2).all(|pair| pair[0].0 < pair[1].0), "few, and in order");
    }
}
