//! Times and durations as people write them. Times are UTC, so that one call prints the same on every machine, unless
//! the call asks for local times.

use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The zone of all times that this process prints; UTC where nobody chose.
static ZONE: OnceLock<TimeZone> = OnceLock::new();

/// Prints times in this machine's zone: $TZ, else what the system is set to. Call it before any time is printed.
///
/// # Errors
/// Says why the zone is not known.
pub(crate) fn use_local() -> Result<(), String> {
    let zone = TimeZone::try_system().map_err(|error| format!("the local time zone is not known: {error}"))?;
    let _ = ZONE.set(zone);
    Ok(())
}

/// The zone of all times that are printed or read without one.
pub(crate) fn zone() -> &'static TimeZone {
    ZONE.get_or_init(|| TimeZone::UTC)
}

/// What heads of columns call the zone: `UTC`, `Europe/Berlin`, or `local`.
pub(crate) fn zone_name() -> &'static str {
    zone().iana_name().unwrap_or("local")
}

/// Milliseconds since the epoch as `2024-01-31 12:34:56`; beyond the years -9999 to 9999 as the number.
pub(crate) fn moment(ms: i64) -> String {
    format(ms, "%Y-%m-%d %H:%M:%S").unwrap_or_else(|| format!("{ms} ms"))
}

/// [`moment`], or nothing.
pub(crate) fn moment_or_empty(ms: Option<i64>) -> String {
    ms.map(moment).unwrap_or_default()
}

/// The time of day of `ms`, as `12:34:56`.
pub(crate) fn time_of_day(ms: i64) -> String {
    format(ms, "%H:%M:%S").unwrap_or_else(|| "--:--:--".to_owned())
}

fn format(ms: i64, form: &str) -> Option<String> {
    Some(Timestamp::from_millisecond(ms).ok()?.to_zoned(zone().clone()).strftime(form).to_string())
}

/// A span as `1.5 s`, `2 m 03 s`, `4 h 05 m`, `3 d 04 h`.
pub(crate) fn span(ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{sign}{:.1} s", ms as f64 / 1000.0),
        60..3600 => format!("{sign}{} m {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{sign}{} h {:02} m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{sign}{} d {:02} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Reads a span such as `30d`, `12h`, `1.5h`, `10m`, `45s`, `2w`; several add up (`1d12h`). In milliseconds.
pub(crate) fn parse_span(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not a span of time; write 30d, 12h, 90m, 45s, 2w or 1d12h");
    let mut rest = text.trim();
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_len = rest[digits..].find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len() - digits);
        let unit = match &rest[digits..digits + unit_len] {
            "ms" => 1.0,
            "s" => 1e3,
            "m" | "min" => 6e4,
            "h" => 3.6e6,
            "d" => 8.64e7,
            "w" => 6.048e8,
            _ => return Err(wrong()),
        };
        total += number * unit;
        rest = &rest[digits + unit_len..];
    }
    Ok(total as i64)
}

/// Reads a moment: `2024-01-31`, `2024-01-31 12:34`, `2024-01-31T12:34:56.789`, with `Z` or `+02:00` if it is not in
/// [`zone`]. In milliseconds since the epoch.
pub(crate) fn parse_moment(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment.as_millisecond());
    }
    let moment = text.parse::<jiff::civil::DateTime>().and_then(|moment| moment.to_zoned(zone().clone()));
    let wrong = |_| format!("{text:?} is not a moment; write 2024-01-31, 2024-01-31T12:34 or 2024-01-31T12:34:56");
    moment.map(|moment| moment.timestamp().as_millisecond()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        assert_eq!(moment(0), "1970-01-01 00:00:00");
        assert_eq!(moment(951_827_696_000), "2000-02-29 12:34:56");
        assert_eq!(moment(-1), "1969-12-31 23:59:59");
        assert_eq!(moment(4_107_542_400_000), "2100-03-01 00:00:00");
        assert_eq!(moment(i64::MAX), "9223372036854775807 ms");
        assert_eq!((time_of_day(3_661_000), time_of_day(i64::MIN)), ("01:01:01".into(), "--:--:--".into()));
    }

    #[test]
    fn moments_are_read() {
        assert_eq!(parse_moment("2000-02-29"), Ok(951_782_400_000));
        for text in ["2000-02-29T12:34:56", "2000-02-29 12:34:56Z", "2000-02-29T14:34:56+02:00"] {
            assert_eq!(parse_moment(text), Ok(951_827_696_000), "{text}");
        }
        assert_eq!(parse_moment("2000-02-29 12:34"), Ok(951_827_640_000));
        for bad in ["", "2000-02-30", "12:00", "1700000000", "2000-02-29T25:00"] {
            assert!(parse_moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_are_read_and_written() {
        assert_eq!(parse_span("30d"), Ok(30 * 86_400_000));
        assert_eq!(parse_span("1d12h"), Ok(36 * 3_600_000));
        assert_eq!(parse_span("1.5h"), Ok(5_400_000));
        for bad in ["", "3", "d", "3 days", "-1d", "1..5h", "éd"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
        assert_eq!(
            (span(1500), span(123_000), span(3_900_000)),
            ("1.5 s".into(), "2 m 03 s".into(), "1 h 05 m".into())
        );
    }
}
