//! TensorBoard's smoothing: an exponential moving average without the pull towards zero at its beginning.

/// A smoothed series in the making; takes values in order.
#[derive(Clone, Debug)]
pub(crate) struct Smoother {
    weight: f64,
    sum: f64,
    /// What the weights of all values so far sum up to: 1 - weight^count.
    share: f64,
}

impl Smoother {
    /// `weight` is from 0, which smooths nothing, to below 1.
    pub(crate) fn new(weight: f64) -> Self {
        Self { weight, sum: 0.0, share: 0.0 }
    }

    /// The average after one more value. NaN and infinities come back as they are, and count for nothing.
    pub(crate) fn next(&mut self, value: f64) -> f64 {
        if !value.is_finite() {
            return value;
        }
        self.sum = self.sum * self.weight + value * (1.0 - self.weight);
        self.share = self.share * self.weight + (1.0 - self.weight);
        self.sum / self.share
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_average_is_tensorboards() {
        // What its scalar card shows for 1, 2, NaN, 3, 10 with a smoothing of 0.6.
        let mut smoother = Smoother::new(0.6);
        let values: Vec<f64> = [1.0, 2.0, f64::NAN, 3.0, 10.0].into_iter().map(|value| smoother.next(value)).collect();
        let expected = [1.0, 1.625, f64::NAN, 2.326_530_612_244_898, 5.852_941_176_470_588];
        for (value, expected) in values.iter().zip(expected) {
            assert!(value.is_nan() && expected.is_nan() || (value - expected).abs() < 1e-12, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn averages_stay_within_the_values(
            values in prop::collection::vec(-1e300..1e300_f64, 1..50), weight in 0.0..0.9999_f64,
        ) {
            let mut smoother = Smoother::new(weight);
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            for value in values {
                (low, high) = (low.min(value), high.max(value));
                let smooth = smoother.next(value);
                let slack = (high.abs().max(low.abs())) * 1e-9;
                prop_assert!((low - slack..=high + slack).contains(&smooth));
            }
        }
    }
}
