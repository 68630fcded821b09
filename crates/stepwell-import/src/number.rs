//! Numbers and times in their many spellings.

/// A metric value as text: a decimal number, or NaN, infinity and booleans as Python, JavaScript, Rust and C write
/// them. Empty or other text is not a value.
pub(crate) fn value(text: &str) -> Option<f64> {
    let text = text.trim();
    let (sign, word) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if word.as_bytes().first()?.is_ascii_digit() || word.starts_with('.') {
        return text.parse().ok();
    }
    let is = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
    if is(&["nan", "1.#qnan", "1.#ind"]) {
        Some(f64::NAN.copysign(sign))
    } else if is(&["inf", "infinity"]) {
        Some(sign * f64::INFINITY)
    } else if text.eq_ignore_ascii_case("true") {
        Some(1.0)
    } else if text.eq_ignore_ascii_case("false") {
        Some(0.0)
    } else {
        None
    }
}

/// A float as a whole number, if it is one and fits.
pub(crate) fn whole(number: f64) -> Option<i64> {
    // 2^63 itself is outside; -2^63 is inside.
    (number.trunc() == number && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number))
        .then_some(number as i64)
}

/// A step as text: a whole number, also when written as a float (`100.0`, `1e5`).
pub(crate) fn step(text: &str) -> Option<i64> {
    let text = text.trim();
    text.parse().ok().or_else(|| whole(text.parse().ok()?))
}

/// Seconds as milliseconds, to the nearest, halves to even. `None` when not finite or out of range.
pub(crate) fn seconds_to_ms(seconds: f64) -> Option<i64> {
    whole((seconds * 1000.0).round_ties_even())
}

/// A time of unknown unit: values from 10^11 on are milliseconds (from the year 1973), smaller ones seconds (to the
/// year 5138).
pub(crate) fn time_to_ms(number: f64) -> Option<i64> {
    if number.abs() >= 1e11 { whole(number.round_ties_even()) } else { seconds_to_ms(number) }
}

/// A time as text: a number as in [`time_to_ms`], or ISO 8601 as `2024-06-09T12:30:00.250+02:00`; without a zone, UTC.
pub(crate) fn time_text_to_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.parse::<i64>() {
        Ok(whole) if whole.unsigned_abs() >= 100_000_000_000 => Some(whole),
        Ok(whole) => whole.checked_mul(1000),
        Err(_) => match text.parse::<f64>() {
            Ok(number) => time_to_ms(number),
            Err(_) => date_to_ms(text),
        },
    }
}

/// An ISO 8601 date, or date and time of day with `T` or a space between them, as milliseconds since epoch (a finer
/// fraction is cut off); without a zone, UTC. `None` for anything else, numbers included.
pub(crate) fn date_to_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    let mark = |at: usize, allowed: &[u8]| text.as_bytes().get(at).is_some_and(|byte| allowed.contains(byte));
    let (year, month, day) = (digits(text, 0, 4)?, digits(text, 5, 7)?, digits(text, 8, 10)?);
    if !(mark(4, b"-/") && mark(7, b"-/") && (1..=12).contains(&month) && (1..=31).contains(&day)) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    if text.len() == 10 {
        return Some(days * 86_400_000);
    }
    let (hour, minute) = (digits(text, 11, 13)?, digits(text, 14, 16)?);
    if !(mark(10, b"T t_") && mark(13, b":") && hour < 24 && minute < 60) {
        return None;
    }
    let mut rest = text.get(16..)?;
    let (mut second, mut ms) = (0, 0);
    if let Some(seconds) = rest.strip_prefix(':') {
        second = digits(seconds, 0, 2).filter(|second| *second <= 60)?;
        rest = seconds.get(2..)?;
        if let Some(fraction) = rest.strip_prefix(['.', ',']) {
            let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if count == 0 {
                return None;
            }
            ms = format!("{:0<3}", &fraction[..count.min(3)]).parse::<i64>().ok()?;
            rest = &fraction[count..];
        }
    }
    let zone_minutes = zone_minutes(rest.trim_start())?;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second - zone_minutes * 60) * 1000 + ms)
}

/// Whether an ISO 8601 time of day has a zone; `None` for dates alone and for all else.
pub(crate) fn has_zone(text: &str) -> Option<bool> {
    let text = text.trim();
    let time = text.get(11..).filter(|_| date_to_ms(text).is_some())?;
    Some(time.contains(['+', '-']) || time.ends_with(|last: char| last.is_ascii_alphabetic()))
}

/// The number that some bytes of a text are, if they are all digits.
fn digits(text: &str, from: usize, to: usize) -> Option<i64> {
    let digits = text.get(from..to)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// A zone as minutes east of UTC: nothing, `Z`, `UTC`, `+02:00`, `+0200` or `+02`.
fn zone_minutes(zone: &str) -> Option<i64> {
    if zone.is_empty() || ["z", "utc", "gmt"].iter().any(|utc| zone.eq_ignore_ascii_case(utc)) {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let east = zone.strip_prefix(['+', '-'])?;
    let (hours, minutes) = match east.len() {
        2 => (digits(east, 0, 2)?, 0),
        4 => (digits(east, 0, 2)?, digits(east, 2, 4)?),
        5 if east.as_bytes()[2] == b':' => (digits(east, 0, 2)?, digits(east, 3, 5)?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (60 * hours + minutes))
}

/// Days since 1970-01-01 of a date in the Gregorian calendar. Years are counted from March, so that the leap day is
/// the last of its year, in eras of 400 years, which all have 146,097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// A float32 widened to f64. NaNs keep sign and payload and become quiet, on every processor.
pub(crate) fn widen(value: f32) -> f64 {
    if value.is_nan() {
        let bits = u64::from(value.to_bits());
        return f64::from_bits(((bits >> 31) << 63) | (0x7ff << 52) | ((bits & 0x7f_ffff) << 29) | (1 << 51));
    }
    f64::from(value)
}

/// An IEEE half-precision number widened to f64.
pub(crate) fn widen_half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    match exponent {
        0 => sign * fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1024.0 + fraction) * 2f64.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_every_spelling() {
        for (text, expected) in [
            ("1", 1.0),
            (" -2.5e3 ", -2500.0),
            (".5", 0.5),
            ("+4", 4.0),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("+Inf", f64::INFINITY),
            ("True", 1.0),
            ("false", 0.0),
            ("5e-324", f64::from_bits(1)),
            ("0.1", 0.1),
        ] {
            assert_eq!(value(text).map(f64::to_bits), Some(expected.to_bits()), "{text}");
        }
        assert_eq!(value("-0.0").map(f64::to_bits), Some((-0.0f64).to_bits()));
        for text in ["nan", "NaN", "NAN", "-nan"] {
            assert!(value(text).unwrap().is_nan());
        }
        for text in ["", " ", "-", "x", "1,5", "0x10", "infinite", "é", "-é"] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn steps_are_whole() {
        assert_eq!(step("9223372036854775807"), Some(i64::MAX));
        assert_eq!(step("100.0"), Some(100));
        assert_eq!(step("1e5"), Some(100_000));
        assert_eq!(step("-3"), Some(-3));
        for text in ["", "1.5", "nan", "inf", "1e19"] {
            assert_eq!(step(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_read_as_seconds_milliseconds_or_words() {
        assert_eq!(time_text_to_ms("1719086897909"), Some(1_719_086_897_909));
        assert_eq!(time_text_to_ms("1719086897"), Some(1_719_086_897_000));
        assert_eq!(time_text_to_ms("1719086897.9095"), Some(1_719_086_897_910));
        assert_eq!(time_text_to_ms("2024-06-22T20:08:17.909Z"), Some(1_719_086_897_909));
        assert_eq!(time_text_to_ms("2024-06-22 22:08:17.9+02:00"), Some(1_719_086_897_900));
        for text in [
            "2024-06-22T20:08:17,909123456+00:00",
            "2024-06-22 20:08:17.909 UTC",
            "2024/06/22 22:08:17.909 +0200",
            "2024-06-22T21:08:17.909+01",
        ] {
            assert_eq!(time_text_to_ms(text), Some(1_719_086_897_909), "{text}");
        }
        assert_eq!(time_text_to_ms("2024-06-22T15:08-05:00"), Some(1_719_086_880_000));
        for (text, zone) in [
            ("2024-06-22T10:00:00", Some(false)),
            ("2024-06-22T10:00:00.5Z", Some(true)),
            ("2024-06-22 10:00 UTC", Some(true)),
            ("2024-06-22 10:00-05:00", Some(true)),
            ("2024-06-22", None),
            ("1719086897", None),
        ] {
            assert_eq!(has_zone(text), zone, "{text}");
        }
        assert_eq!((date_to_ms("1719086897"), date_to_ms("2024-06-22")), (None, Some(1_719_014_400_000)));
        assert_eq!(time_text_to_ms("1970-01-01"), Some(0));
        assert_eq!(time_text_to_ms("1969-12-31T23:59:59"), Some(-1000));
        assert_eq!(time_text_to_ms("2000-03-01"), Some(951_868_800_000));
        for text in [
            "",
            "x",
            "2024-13-01",
            "2024-06-22T25:00:00",
            "2024-06-22T10",
            "nan",
            "1e300",
            "2024-06-22T20:08:17.Z",
            "2024-06-22T20:08:17+1:00",
        ] {
            assert_eq!(time_text_to_ms(text), None, "{text}");
        }
    }

    #[test]
    fn small_floats_widen_exactly() {
        assert_eq!(widen(0.1).to_bits(), f64::from(0.1f32).to_bits());
        assert_eq!(widen(f32::from_bits(0xffc0_0001)).to_bits(), 0xfff8_0000_2000_0000);
        assert_eq!(widen_half(0x3c00), 1.0);
        assert_eq!(widen_half(0xc000), -2.0);
        assert_eq!(widen_half(0x7bff), 65504.0);
        assert_eq!(widen_half(0x0001), 2f64.powi(-24));
        assert_eq!(widen_half(0xfc00), f64::NEG_INFINITY);
        assert!(widen_half(0x7e00).is_nan());
    }
}
