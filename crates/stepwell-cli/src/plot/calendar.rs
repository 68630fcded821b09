//! Ticks of spans and moments: whole seconds, minutes, hours, days, months and years, rather than round numbers of
//! milliseconds.
//!
//! Moments are whole by the clocks of a zone, which may be moved on or back within a day.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Distances between ticks that people count in, up to a day.
const WITHIN_A_DAY: [i64; 29] = [
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    4 * HOUR,
    6 * HOUR,
    8 * HOUR,
    12 * HOUR,
    DAY,
];

/// A tick of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    /// Where, in milliseconds.
    pub(crate) at: i64,
    /// Its text.
    pub(crate) label: String,
    /// What it is within, where that differs from the tick before: a date below times of the day, a year below dates.
    pub(crate) within: Option<String>,
}

/// 1, 2 or 5 times a power of ten that is `least` or more.
fn round_up(least: i64) -> i64 {
    let mut power = 1_i64;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if step >= least || step == i64::MAX {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// The multiples of `step` within `low..=high`.
fn multiples(low: i64, high: i64, step: i64) -> Vec<i64> {
    let first = low.div_euclid(step) + i64::from(low.rem_euclid(step) != 0);
    (first..).map_while(|index| index.checked_mul(step)).take_while(|&at| at <= high).collect()
}

fn rough(low: i64, high: i64, count: usize) -> i64 {
    let span = i128::from(high) - i128::from(low);
    let count = count.max(1) as i128;
    i64::try_from((span + count - 1) / count).unwrap_or(i64::MAX).max(1)
}

/// Ticks of a span since something began: `0`, `30 min`, `1 h`, `1 h 30 min`. At most `count` + 1.
pub(crate) fn spans(low: i64, high: i64, count: usize) -> Vec<Tick> {
    let rough = rough(low, high, count);
    let step = match WITHIN_A_DAY.into_iter().find(|&step| step >= rough) {
        Some(step) => step,
        None => round_up(rough / DAY + i64::from(rough % DAY != 0)).saturating_mul(DAY),
    };
    multiples(low, high, step).into_iter().map(|at| Tick { at, label: span(at), within: None }).collect()
}

/// A span to the millisecond, in the units that it needs: `1 h 30 min`, `2.5 s`, `0`.
pub(crate) fn span(ms: i64) -> String {
    let mut rest = ms.unsigned_abs();
    let mut parts = Vec::new();
    for (unit, name) in [(DAY, "d"), (HOUR, "h"), (MINUTE, "min")] {
        let whole = rest / unit.unsigned_abs();
        if whole > 0 {
            parts.push(format!("{whole} {name}"));
        }
        rest %= unit.unsigned_abs();
    }
    if rest > 0 {
        parts.push(format!("{} s", rest as f64 / 1e3));
    }
    match (parts.is_empty(), ms < 0) {
        (true, _) => "0".to_owned(),
        (_, true) => format!("-{}", parts.join(" ")),
        (_, false) => parts.join(" "),
    }
}

/// How far apart ticks of moments are.
enum Distance {
    Milliseconds(i64),
    Months(i32),
}

/// Ticks of moments in a zone: times of the day with the date below where it changes, dates with the year below,
/// months, or years. At most about `count` of them.
pub(crate) fn moments(low: i64, high: i64, count: usize, zone: &TimeZone) -> Vec<Tick> {
    let rough = rough(low, high, count);
    let week = 7 * DAY;
    let small = WITHIN_A_DAY.into_iter().chain([2 * DAY, week, 2 * week]).find(|&step| step >= rough);
    let distance = match small {
        Some(step) => Distance::Milliseconds(step),
        None => {
            let months = rough / (30 * DAY) + 1;
            match [1, 2, 3, 6, 12].into_iter().find(|&step| i64::from(step) >= months) {
                Some(step) => Distance::Months(step),
                None => Distance::Months(12 * i32::try_from(round_up(months / 12 + 1)).unwrap_or(100_000)),
            }
        }
    };
    let at: Vec<i64> = match distance {
        // Weeks begin on Mondays; 1970-01-05 was one.
        Distance::Milliseconds(step) => whole(low, high, step, if step % week == 0 { 4 * DAY } else { 0 }, zone),
        Distance::Months(step) => months(low, high, step, zone),
    };
    let mut last = None;
    at.into_iter()
        .filter_map(|at| {
            let moment = calendar(at, zone)?;
            let (label, within) = match distance {
                Distance::Milliseconds(step) if step % DAY == 0 => ("%m-%d", "%Y"),
                Distance::Milliseconds(step) if step % MINUTE == 0 => ("%H:%M", "%Y-%m-%d"),
                Distance::Milliseconds(step) if step % SECOND == 0 => ("%H:%M:%S", "%Y-%m-%d"),
                Distance::Milliseconds(_) => ("%H:%M:%S%.3f", "%Y-%m-%d"),
                Distance::Months(step) if step % 12 == 0 => ("%Y", ""),
                Distance::Months(_) => ("%Y-%m", ""),
            };
            let within = Some(moment.strftime(within).to_string()).filter(|within| !within.is_empty());
            let changed = within.clone().filter(|_| within != last);
            last = within;
            Some(Tick { at, label: moment.strftime(label).to_string(), within: changed })
        })
        .collect()
}

/// The moments at which the clocks of a zone show multiples of `step`, counted from `origin`. Times that clocks skip
/// are moved forward; of times that come twice, the first counts.
fn whole(low: i64, high: i64, step: i64, origin: i64, zone: &TimeZone) -> Vec<i64> {
    let ahead = |ms: i64| clock(ms, zone).map_or(0, |shown| shown - ms).saturating_sub(origin);
    if step < HOUR {
        // Clocks are moved by whole steps.
        let ahead = ahead(low);
        let times = multiples(low.saturating_add(ahead), high.saturating_add(ahead), step);
        return times.into_iter().map(|at| at.saturating_sub(ahead)).filter(|at| (low..=high).contains(at)).collect();
    }
    // Some islands moved their clocks by a day.
    let from = low.saturating_add(ahead(low)).saturating_sub(DAY);
    let to = high.saturating_add(ahead(high)).saturating_add(DAY);
    let times = multiples(from, to, step).into_iter().map(|at| at.saturating_add(origin));
    let mut at: Vec<i64> =
        times.map(|at| moment(at, zone).unwrap_or(at)).filter(|at| (low..=high).contains(at)).collect();
    at.sort_unstable();
    at.dedup();
    at
}

/// The local time of a zone at a moment, as the moment at which UTC clocks show the same.
fn clock(ms: i64, zone: &TimeZone) -> Option<i64> {
    Some(calendar(ms, zone)?.datetime().to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

/// The moment at which the clocks of a zone show what UTC clocks show at `ms`.
fn moment(ms: i64, zone: &TimeZone) -> Option<i64> {
    let shown: DateTime = calendar(ms, &TimeZone::UTC)?.datetime();
    Some(shown.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
}

/// A moment's date and time of day; `None` beyond the years -9999 to 9999.
fn calendar(ms: i64, zone: &TimeZone) -> Option<Zoned> {
    Some(Timestamp::from_millisecond(ms).ok()?.to_zoned(zone.clone()))
}

/// The first days of every `step`th month.
fn months(low: i64, high: i64, step: i32, zone: &TimeZone) -> Vec<i64> {
    let month_of =
        |ms: i64| calendar(ms, zone).map(|moment| i32::from(moment.year()) * 12 + i32::from(moment.month()) - 1);
    // Years that the calendar does not have have no ticks.
    let (first, last) = (month_of(low).unwrap_or(-12 * 9999), month_of(high).unwrap_or(12 * 9999 + 11));
    (first.div_euclid(step)..=last.div_euclid(step) + 1)
        .filter_map(|index| {
            let month = index * step;
            let (year, month) = (i16::try_from(month.div_euclid(12)).ok()?, month.rem_euclid(12) as i8 + 1);
            Some(Date::new(year, month, 1).ok()?.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
        })
        .filter(|at| (low..=high).contains(at))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn spans_have_the_units_that_people_count_in() {
        assert_eq!(labels(&spans(0, 3 * HOUR, 7)), ["0", "30 min", "1 h", "1 h 30 min", "2 h", "2 h 30 min", "3 h"]);
        assert_eq!(labels(&spans(0, 90 * SECOND, 4)), ["0", "30 s", "1 min", "1 min 30 s"]);
        assert_eq!(labels(&spans(0, 4 * DAY, 5)), ["0", "1 d", "2 d", "3 d", "4 d"]);
        assert_eq!(labels(&spans(0, 2000, 5)), ["0", "0.5 s", "1 s", "1.5 s", "2 s"]);
        assert_eq!(labels(&spans(-HOUR, HOUR, 3)), ["-1 h", "0", "1 h"]);
    }

    #[test]
    fn moments_are_whole_and_say_their_date_once() {
        let day = 1_700_006_400_000;
        let ticks = moments(day - 3 * HOUR, day + 9 * HOUR, 4, &TimeZone::UTC);
        assert_eq!(labels(&ticks), ["21:00", "00:00", "03:00", "06:00", "09:00"]);
        let within: Vec<_> = ticks.iter().map(|tick| tick.within.as_deref()).collect();
        assert_eq!(within, [Some("2023-11-14"), Some("2023-11-15"), None, None, None]);
        assert_eq!(
            labels(&moments(day, day + 400 * DAY, 5, &TimeZone::UTC)),
            ["2024-01", "2024-04", "2024-07", "2024-10"]
        );
        assert_eq!(labels(&moments(day, day + 30 * DAY, 4, &TimeZone::UTC)), ["11-27", "12-11"]);
        assert_eq!(labels(&moments(0, 100 * 365 * DAY, 6, &TimeZone::UTC)), ["1980", "2000", "2020", "2040", "2060"]);
    }

    #[test]
    fn moments_are_whole_by_the_clocks_of_their_zone() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // 2024-03-31, when clocks went from 02:00 to 03:00, at 21:00 the day before.
        let evening = 1_711_828_800_000;
        let ticks = moments(evening, evening + 12 * HOUR, 4, &berlin);
        assert_eq!(labels(&ticks), ["21:00", "00:00", "03:00", "06:00", "09:00"]);
        assert_eq!(ticks[1].within.as_deref(), Some("2024-03-31"));
        let apart: Vec<_> = ticks.windows(2).map(|pair| (pair[1].at - pair[0].at) / HOUR).collect();
        assert_eq!(apart, [3, 2, 3, 3]);
        // And back: 2024-10-27 has 25 hours.
        let ticks = moments(1_729_980_000_000 - HOUR, 1_729_980_000_000 + 26 * HOUR, 3, &berlin);
        assert_eq!(labels(&ticks), ["00:00", "12:00", "00:00"]);
        assert_eq!(ticks[2].at - ticks[0].at, 25 * HOUR);
        assert_eq!(labels(&moments(evening, evening + 200 * DAY, 4, &berlin)), ["2024-05", "2024-07", "2024-09"]);
    }

    proptest! {
        #[test]
        fn ticks_of_any_time_are_in_order_and_named_apart(
            low in any::<i64>(), width in 1_u64..1 << 45, count in 1_usize..20, zone in 0_usize..5,
        ) {
            let zones = [
                "UTC0",
                "CET-1CEST,M3.5.0,M10.5.0/3",
                "<+0545>-5:45",
                "NST3:30NDT,M3.2.0,M11.1.0",
                "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
            ];
            let zone = TimeZone::posix(zones[zone]).unwrap();
            let high = low.saturating_add_unsigned(width);
            let spans = spans(low, high, count);
            prop_assert!(spans.len() <= count + 1);
            let moments = moments(low, high, count, &zone);
            prop_assert!(moments.len() <= 2 * count + 2, "{} of {count}", moments.len());
            for ticks in [&spans, &moments] {
                prop_assert!(ticks.windows(2).all(|pair| pair[0].at < pair[1].at));
                prop_assert!(ticks.iter().all(|tick| (low..=high).contains(&tick.at)));
            }
            prop_assert!(spans.windows(2).all(|pair| pair[0].label != pair[1].label));
            prop_assert!(moments.windows(2).all(|pair| pair[0].label != pair[1].label || pair[1].within.is_some()));
        }

        #[test]
        fn everyday_times_have_ticks(low in 0_i64..4_000_000_000_000, width in 6_i64..1 << 40, count in 6_usize..20) {
            prop_assert!(spans(low, low + width, count).len() >= 2);
            prop_assert!(moments(low, low + width, count, &TimeZone::UTC).len() >= 2);
        }
    }
}
