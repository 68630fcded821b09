//! `GET /api/stepwell/series.csv`: metrics of runs as CSV, for spreadsheets and Grafana.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use stepwell::{Columns, RunId};

use super::failed;
use crate::call::{Answer, Call, Outcome};
use crate::fault::Fault;
use crate::routes::Object;

/// Most points of one answer.
const POINTS_MAX: u64 = 1 << 20;
/// Most buckets of a series.
const BUCKETS_MAX: usize = 100_000;
/// Bytes of a point while it is read and written.
const POINT_BYTES: usize = 160;

/// `GET series.csv?run=&key=&from=&to=&points=`.
pub(crate) fn series(call: &Call<'_>) -> Outcome {
    let named = |name: &str| -> Vec<&str> {
        call.input.query.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    };
    let (runs, keys) = (named("run"), named("key"));
    if runs.is_empty() || keys.is_empty() {
        return Err(Fault::invalid("Give run=ID and key=METRIC, each once or more often."));
    }
    if call.context.is_bound() {
        call.context.may_reach(&runs.iter().map(|&id| Object::Run(id.to_owned())).collect::<Vec<_>>())?;
    }
    let step = |name: &str, absent: i64| match call.input.argument(name).filter(|text| !text.is_empty()) {
        None => Ok(absent),
        Some(text) => text.parse().map_err(|_| Fault::invalid(format!("{name} '{text}' is not a step, an integer."))),
    };
    let buckets = match call.input.argument("points").map(str::parse::<usize>) {
        None => None,
        Some(Ok(points)) if (1..=4 * BUCKETS_MAX).contains(&points) => Some(points.div_ceil(4)),
        Some(_) => return Err(Fault::invalid(format!("points must be between 1 and {}.", 4 * BUCKETS_MAX))),
    };
    let mut sheet = Sheet { call, csv: "run,key,step,time,value\n".into(), total: 0 };
    for id in runs {
        sheet.run(id, &keys, step("from", i64::MIN)?..=step("to", i64::MAX)?, buckets)?;
    }
    Ok(Answer { status: 200, content_type: "text/csv; charset=utf-8", body: sheet.csv.into_bytes() })
}

/// A table being written.
struct Sheet<'a> {
    call: &'a Call<'a>,
    csv: String,
    /// Points so far, or as many as there may be.
    total: u64,
}

impl Sheet<'_> {
    fn run(
        &mut self,
        id: &str,
        keys: &[&str],
        steps: RangeInclusive<i64>,
        buckets: Option<usize>,
    ) -> Result<(), Fault> {
        let id = RunId::new(id).map_err(failed)?;
        let found = self.call.tracking().workspace().find_run(&id).map_err(failed)?;
        let run = found.ok_or_else(|| Fault::missing(format!("Run with id={id} not found")))?;
        let mut reader = run.salvage();
        for &key in keys {
            let count = run.count(key).map_err(|_| {
                Fault::missing(format!("Run {id} has no metric '{key}'; GET /api/stepwell/run?run_id={id} lists them."))
            })?;
            let points: Columns = match buckets {
                Some(buckets) => {
                    self.reserve(4 * (buckets as u64).min(count))?;
                    let all = steps == (i64::MIN..=i64::MAX);
                    let found = reader.downsample(key, (!all).then(|| steps.clone()), buckets).map_err(failed)?;
                    found.points()
                }
                None if count > POINTS_MAX => {
                    return Err(Fault::invalid(format!(
                        "'{key}' has {count} points, more than {POINTS_MAX}; add points=2000 for its envelope, with \
                         every spike."
                    )));
                }
                // A range may be short although the series is long, so that its points are counted as they are read.
                None => {
                    let points = reader.range(key, steps.clone()).map_err(failed)?;
                    self.reserve(points.len() as u64)?;
                    points
                }
            };
            self.rows(&format!("{},{}", cell(id.as_str()), cell(key)), &points);
        }
        self.call.context.left_out(&reader.messages());
        Ok(())
    }

    fn reserve(&mut self, points: u64) -> Result<(), Fault> {
        self.total += points;
        if self.total > POINTS_MAX {
            return Err(Fault::invalid(format!(
                "These are more than {POINTS_MAX} points; add points=2000 for envelopes, or ask for fewer metrics."
            )));
        }
        self.call.context.reserve(self.total as usize * POINT_BYTES)
    }

    fn rows(&mut self, start: &str, points: &Columns) {
        for point in points.iter() {
            let time = point.timestamp_ms.map_or_else(String::new, rfc3339);
            let _ = writeln!(self.csv, "{start},{},{time},{}", point.step, point.value);
        }
    }
}

/// A cell of text: quoted where CSV needs it, and with a quote mark before what a spreadsheet would run as a formula.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// A time as RFC 3339 in UTC, with milliseconds; beyond the years that it has, the milliseconds.
fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_text() {
        assert_eq!(cell("loss"), "loss");
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("@x,\"y\""), "\"'@x,\"\"y\"\"\"");
        assert_eq!(cell("-a\nb"), "\"'-a\nb\"");
    }

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_827_696_789), "2000-02-29T12:34:56.789Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(i64::MAX), "9223372036854775807");
        assert_eq!(rfc3339(1_796_083_200_000), "2026-12-01T00:00:00.000Z");
    }
}
