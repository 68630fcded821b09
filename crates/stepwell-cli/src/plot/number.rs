//! Round numbers for an axis, and their texts.

/// Multiples of 1, 2 or 5 times a power of ten within `low..=high`, at most `count` + 1 of them and in order. With
/// `whole` no two are closer than 1. Each is the float nearest to its decimal text, so that its shortest text is short.
pub(crate) fn linear(low: f64, high: f64, count: usize, whole: bool) -> Vec<f64> {
    let parts = count.max(1) as f64;
    // Divided first: the span of two floats may be beyond all floats.
    let rough = high / parts - low / parts;
    if !(rough > 0.0 && rough.is_finite()) {
        return Vec::new();
    }
    let mut exponent = rough.log10().floor() as i32;
    let round = |multiple: i128, exponent: i32| format!("{multiple}e{exponent}").parse::<f64>().unwrap_or(f64::NAN);
    // A logarithm may be rounded up to the next power.
    if round(1, exponent) > rough {
        exponent -= 1;
    }
    let enough = |&multiple: &i128| round(multiple, exponent) >= rough * (1.0 - 1e-9);
    let mut multiple = [1, 2, 5, 10].into_iter().find(enough).unwrap_or(10);
    if whole && round(multiple, exponent) < 1.0 {
        (multiple, exponent) = (1, 0);
    }
    let step = round(multiple, exponent);
    if !(step > 0.0 && step.is_finite()) {
        return Vec::new();
    }
    let first = (low / step).ceil();
    if first.abs() > 9e15 {
        // Neighbouring floats: there is no round number between.
        return vec![low, high];
    }
    (-1..=count as i128 + 1)
        .map(|index| round((first as i128 + index) * multiple, exponent))
        .filter(|tick| (low..=high).contains(tick))
        .map(|tick| if tick == 0.0 { 0.0 } else { tick })
        .take(count + 1)
        .collect()
}

/// Numbers for a logarithmic axis: powers of ten, fewer where there are many and more where there are few. At most
/// about `count` of them, in order; `low` is above zero.
pub(crate) fn logarithmic(low: f64, high: f64, count: usize) -> Vec<f64> {
    if !is_logarithmic(low, high) {
        return Vec::new();
    }
    let (from, to) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let within = |factors: &[u8], every: i32| -> Vec<f64> {
        (from..=to)
            .filter(|decade| decade.rem_euclid(every) == 0)
            .flat_map(|decade| factors.iter().map(move |factor| format!("{factor}e{decade}")))
            .filter_map(|text| text.parse().ok())
            .filter(|tick| (low..=high).contains(tick) && *tick > 0.0)
            .collect()
    };
    let count = count.max(2);
    let decades = within(&[1], 1);
    if decades.len() > count {
        return within(&[1], (decades.len() as i32 - 1) / count as i32 + 1);
    }
    let finer = [&[1, 2, 3, 4, 5, 6, 7, 8, 9][..], &[1, 2, 5], &[1, 3]];
    match finer.into_iter().map(|factors| within(factors, 1)).find(|ticks| ticks.len() <= count) {
        Some(ticks) if ticks.len() >= 3 => ticks,
        _ if decades.len() >= 2 => decades,
        _ => linear(low, high, count, false),
    }
}

/// Whether there is a logarithmic axis from one number to the other.
fn is_logarithmic(low: f64, high: f64) -> bool {
    low > 0.0 && low < high && high.is_finite()
}

/// The lines between the powers of ten of a logarithmic axis, where there is room for them.
pub(crate) fn between_powers(low: f64, high: f64) -> Vec<f64> {
    if !is_logarithmic(low, high) {
        return Vec::new();
    }
    let (from, to) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    if to - from > 8 {
        return Vec::new();
    }
    let all = (from..=to).flat_map(|decade| (2..10).map(move |factor| format!("{factor}e{decade}")));
    all.filter_map(|text| text.parse().ok()).filter(|line| (low..=high).contains(line)).collect()
}

/// The texts of an axis's numbers: all of them positional, or all with exponents where that is shorter and they are far
/// from everyday magnitudes. Different numbers have different texts.
pub(crate) fn texts(numbers: &[f64]) -> Vec<String> {
    let positional: Vec<String> = numbers.iter().map(f64::to_string).collect();
    let everyday = |number: &f64| *number == 0.0 || (1e-4..1e6).contains(&number.abs());
    if numbers.iter().all(everyday) {
        return positional;
    }
    let exponential = numbers.iter().map(|number| match number {
        0.0 => "0".to_owned(),
        number => format!("{number:e}"),
    });
    let exponential: Vec<String> = exponential.collect();
    let longest = |texts: &[String]| texts.iter().map(String::len).max();
    if longest(&exponential) < longest(&positional) { exponential } else { positional }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(linear(0.0, 10.0, 5, false), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(linear(-1.0, 1.0, 4, false), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(texts(&linear(0.0, 0.7, 7, false)), ["0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"]);
        assert_eq!(linear(0.0, 2.0, 8, true), [0.0, 1.0, 2.0]);
        assert_eq!(logarithmic(0.5, 2000.0, 6), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(logarithmic(1.0, 60.0, 6), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(texts(&[0.0, 5e5, 1e6, 1.5e6]), ["0", "5e5", "1e6", "1.5e6"]);
        assert_eq!(texts(&[1_700_000_001.0, 1_700_000_002.0]), ["1700000001", "1700000002"]);
    }

    #[test]
    fn an_axis_without_an_end_has_no_ticks() {
        for (low, high) in [(1.0, f64::INFINITY), (0.0, 1.0), (-1.0, 1.0), (f64::NAN, 1.0), (1.0, f64::NAN), (2.0, 1.0)]
        {
            assert!(logarithmic(low, high, 8).is_empty() && between_powers(low, high).is_empty(), "{low} {high}");
        }
    }

    /// All that holds of every axis: numbers in order and within, texts that differ and read back as their numbers.
    fn check(low: f64, high: f64, ticks: &[f64], most: usize) {
        assert!(ticks.len() <= most, "{low} {high}: {ticks:?}");
        assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]), "{low} {high}: {ticks:?}");
        assert!(ticks.iter().all(|tick| (low..=high).contains(tick)), "{low} {high}: {ticks:?}");
        for (tick, text) in ticks.iter().zip(texts(ticks)) {
            assert_eq!(text.parse::<f64>().unwrap(), *tick, "{text}");
            assert!(text.len() <= 24, "{text}");
        }
    }

    proptest! {
        #[test]
        fn ticks_of_any_range_are_in_order_and_named_apart(a in any::<f64>(), b in any::<f64>(), count in 1_usize..30) {
            prop_assume!(a.is_finite() && b.is_finite() && a != b);
            let (low, high) = (a.min(b), a.max(b));
            for whole in [false, true] {
                check(low, high, &linear(low, high, count, whole), count + 1);
            }
            if low > 0.0 {
                check(low, high, &logarithmic(low, high, count), count.max(2) + 2);
            }
        }

        #[test]
        fn an_everyday_axis_has_enough_ticks(
            low in -1e6..1e6_f64, width in 1e-6..1e9_f64, count in 2_usize..20,
        ) {
            let ticks = linear(low, low + width, count, false);
            prop_assert!(ticks.len() >= count / 3, "{ticks:?}");
        }

        #[test]
        fn logarithmic_axes_have_ticks(exponent in -300..300_i32, factor in 1.5..1e12_f64) {
            let low = 10_f64.powi(exponent);
            let high = (low * factor).min(f64::MAX);
            let ticks = logarithmic(low, high, 8);
            prop_assert!(between_powers(low, high).len() < 100, "{low} {high}");
            prop_assert!(ticks.len() >= 2, "{low} {factor}: {ticks:?}");
        }
    }
}
