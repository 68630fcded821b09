//! Bands of groups: at each place of x, the least, quartiles, median and greatest over the runs of a group.
//!
//! A run counts from its first point to its last. Where it has no point at a place, its latest earlier value counts.
//! Quartiles and median are of the runs' last values at a place; least and greatest are of all points there, so every
//! spike shows.

use super::curve::Curve;

/// A group's band; each column has one number for each place.
#[derive(Debug, Default)]
pub(crate) struct Band {
    pub(crate) x: Vec<f64>,
    pub(crate) least: Vec<f64>,
    pub(crate) low: Vec<f64>,
    pub(crate) median: Vec<f64>,
    pub(crate) high: Vec<f64>,
    pub(crate) greatest: Vec<f64>,
    /// Runs that count there.
    pub(crate) runs: Vec<f64>,
}

/// Where places are.
enum Places {
    /// Each distinct x.
    Exact(Vec<f64>),
    /// Equal parts of a range.
    Parts { low: f64, part: f64, count: usize },
}

impl Places {
    fn of(curves: &[Curve], range: Option<(f64, f64)>, width: usize) -> Self {
        let within = |x: &f64| range.is_none_or(|(low, high)| (low..=high).contains(x));
        let mut all: Vec<f64> = curves.iter().flat_map(|curve| curve.x.iter().copied()).filter(within).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        match (all.first(), all.last()) {
            (Some(&low), Some(&high)) if all.len() > width => {
                Self::Parts { low, part: (high - low) / width as f64, count: width }
            }
            _ => Self::Exact(all),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Exact(all) => all.len(),
            Self::Parts { count, .. } => *count,
        }
    }

    fn at(&self, x: f64) -> Option<usize> {
        match self {
            Self::Exact(all) => all.binary_search_by(|known| known.total_cmp(&x)).ok(),
            Self::Parts { low, part, count } => {
                let at = (x - low) / part;
                (at >= 0.0 && at <= *count as f64).then(|| (at as usize).min(count - 1))
            }
        }
    }

    fn middle(&self, at: usize) -> f64 {
        match self {
            Self::Exact(all) => all[at],
            Self::Parts { low, part, .. } => low + part * (at as f64 + 0.5),
        }
    }
}

/// One run's values at a place.
#[derive(Clone, Copy)]
struct Values {
    least: f64,
    greatest: f64,
    last: f64,
}

/// The band of a group's curves.
pub(crate) fn band(curves: &[Curve], range: Option<(f64, f64)>, width: usize) -> Band {
    let places = Places::of(curves, range, width);
    let mut at_places: Vec<Vec<Values>> = vec![Vec::new(); places.len()];
    for curve in curves {
        let mut own: Vec<Option<Values>> = vec![None; places.len()];
        for (&x, &y) in curve.x.iter().zip(&curve.y).filter(|(_, y)| !y.is_nan()) {
            let Some(at) = places.at(x) else { continue };
            own[at] = Some(match own[at] {
                None => Values { least: y, greatest: y, last: y },
                Some(old) => Values { least: old.least.min(y), greatest: old.greatest.max(y), last: y },
            });
        }
        let end = own.iter().rposition(Option::is_some).map_or(0, |at| at + 1);
        let mut latest: Option<Values> = None;
        for (all, own) in at_places.iter_mut().zip(own).take(end) {
            // Without a point here, only its last value carries on.
            latest = own.or(latest.map(|Values { last, .. }| Values { least: last, greatest: last, last }));
            all.extend(latest);
        }
    }
    let mut band = Band::default();
    for (at, values) in at_places.iter().enumerate().filter(|(_, values)| !values.is_empty()) {
        let mut last: Vec<f64> = values.iter().map(|values| values.last).collect();
        last.sort_by(f64::total_cmp);
        band.x.push(places.middle(at));
        band.least.push(values.iter().map(|values| values.least).fold(f64::INFINITY, f64::min));
        band.low.push(quantile(&last, 0.25));
        band.median.push(quantile(&last, 0.5));
        band.high.push(quantile(&last, 0.75));
        band.greatest.push(values.iter().map(|values| values.greatest).fold(f64::NEG_INFINITY, f64::max));
        band.runs.push(values.len() as f64);
    }
    band
}

/// A quantile of sorted numbers, interpolated between neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    if low == high { low } else { low + (high - low) * at.fract() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(f64, f64)]) -> Curve {
        Curve { x: points.iter().map(|p| p.0).collect(), y: points.iter().map(|p| p.1).collect(), ..Curve::default() }
    }

    #[test]
    fn a_band_is_of_all_runs_that_are_there() {
        let runs: Vec<Curve> = (0..5).map(|run| curve(&[(0.0, f64::from(run)), (10.0, f64::from(run * 10))])).collect();
        let of = band(&runs, None, 100);
        assert_eq!((&of.x, &of.least, &of.greatest), (&vec![0.0, 10.0], &vec![0.0, 0.0], &vec![4.0, 40.0]));
        assert_eq!((&of.low, &of.median, &of.high), (&vec![1.0, 10.0], &vec![2.0, 20.0], &vec![3.0, 30.0]));
    }

    #[test]
    fn runs_of_other_steps_count_with_their_latest_value_until_they_end() {
        let of = band(&[curve(&[(0.0, 1.0), (4.0, 1.0)]), curve(&[(1.0, 3.0), (2.0, 5.0)])], None, 100);
        assert_eq!(of.x, [0.0, 1.0, 2.0, 4.0]);
        assert_eq!(of.runs, [1.0, 2.0, 2.0, 1.0]);
        assert_eq!(of.median, [1.0, 2.0, 3.0, 1.0]);
    }

    #[test]
    fn a_spike_shows_in_the_range_and_not_in_the_median() {
        let spiky: Vec<(f64, f64)> = (0..1000).map(|x| (f64::from(x), if x == 500 { 99.0 } else { 0.0 })).collect();
        let of = band(&[curve(&spiky), curve(&spiky), curve(&[(0.0, 0.0), (999.0, 0.0)])], None, 10);
        assert_eq!(of.x.len(), 10);
        assert_eq!(of.greatest.iter().filter(|value| **value == 99.0).count(), 1);
        assert!(of.median.iter().all(|value| *value == 0.0));
    }
}
