//! `stepwell tail RUN`: follows a run that another process writes.

use std::collections::HashMap;
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use stepwell::{Columns, Point, RunSnapshot, WriterId, part_len};

use crate::context::{self, Context};
use crate::failure::{Answer, Outcome};
use crate::left_out;
use crate::output::{self, Value, count, escape};
use crate::shape::PointShape;
use crate::time::time_of_day;

/// How often the run is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Prints points as they are logged, until the run has ended and nobody writes it any more. Of a run that has ended
/// before, its last points are printed, and standard error says so. With --json each point is one line of JSON, so that
/// the lines can be read as they come.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  stepwell tail probe\n  stepwell tail probe --key loss --from-start\n  \
                        stepwell tail probe --json --timeout 60")]
pub(crate) struct Arguments {
    /// The run's id, its name, or the beginning of its id.
    #[arg(add = crate::complete::runs())]
    run: String,
    /// Only this metric; may be given several times.
    #[arg(short, long, add = crate::complete::metrics())]
    key: Vec<String>,
    /// Begin with the last N points that are there already.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    lines: usize,
    /// Begin with all points that are there already.
    #[arg(long, conflicts_with = "lines")]
    from_start: bool,
    /// End after so many seconds, whatever the run does.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    timeout: Option<Duration>,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A point to print.
struct Line {
    key: String,
    point: Point,
}

/// A line in JSON.
#[derive(Serialize)]
struct LineShape<'a> {
    key: &'a str,
    #[serde(flatten)]
    point: PointShape,
}

/// How many points of each series and writer were seen.
#[derive(Default)]
struct Seen {
    counts: HashMap<(String, WriterId), usize>,
}

impl Seen {
    /// Reads what is new, at most the last `last` points of each series and writer.
    fn read_new(&mut self, run: &RunSnapshot, keys: &[String], last: usize) -> Outcome<Vec<Line>> {
        let mut lines = Vec::new();
        let mut reader = run.salvage();
        for (key, series) in run.series() {
            if !keys.is_empty() && !keys.contains(key) {
                continue;
            }
            let mut totals: HashMap<WriterId, usize> = HashMap::new();
            for (part, &writer) in series.parts.iter().zip(&series.writers) {
                *totals.entry(writer).or_default() += part_len(part);
            }
            let mut offsets: HashMap<WriterId, usize> = HashMap::new();
            for (at, (part, &writer)) in series.parts.iter().zip(&series.writers).enumerate() {
                let offset = offsets.entry(writer).or_default();
                let seen = self.counts.get(&(key.clone(), writer)).copied().unwrap_or(0);
                let wanted_from = seen.max(totals[&writer].saturating_sub(last));
                let len = part_len(part);
                let from = wanted_from.saturating_sub(*offset).min(len);
                *offset += len;
                let mut points = Columns::default();
                reader.part(key, at, from..len, &mut points)?;
                lines.extend(points.iter().map(|point| Line { key: key.clone(), point }));
            }
            for (writer, total) in totals {
                self.counts.insert((key.clone(), writer), total);
            }
        }
        left_out::tell(&reader.told());
        // One poll may bring points of many series: as far as the times tell, they are printed as they were logged.
        lines.sort_by_key(|line| (line.point.timestamp_ms, line.point.step));
        Ok(lines)
    }
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let begun = Instant::now();
    let workspace = context.open()?;
    let id = context::run(&workspace, &arguments.run)?.id().clone();
    // Asked before the run is read, so that the last points of a writer that ends meanwhile are not missed.
    let mut live = workspace.has_live_writer(&id)?;
    let mut run = workspace.run(&id)?;
    left_out::tell(run.damage());
    let ended = run.state().status().is_terminal() && !live;
    for key in arguments.key.iter().filter(|key| !run.series().contains_key(*key)) {
        if ended {
            context::check_metric(&run, key)?;
        }
        note(&format!("run {id} has no metric {key:?} so far"));
    }
    let mut seen = Seen::default();
    let before = if arguments.from_start { usize::MAX } else { arguments.lines };
    let mut lines = seen.read_new(&run, &arguments.key, before)?;
    lines.drain(..lines.len().saturating_sub(before));
    print(&lines, context.json)?;
    if ended {
        let all: u64 = seen.counts.values().map(|count| *count as u64).sum();
        let status = run.state().status().as_str();
        note(&match (all, lines.len() as u64) {
            (0, _) => format!("run {id} has ended ({status}) without a point"),
            (all, shown) if all == shown => format!("run {id} has ended ({status}); these are all its points"),
            (all, shown) => format!(
                "run {id} has ended ({status}); {} of its {} points are shown, --from-start shows all",
                count(shown),
                count(all)
            ),
        });
        return Ok(Answer::Done);
    }
    loop {
        print(&seen.read_new(&run, &arguments.key, usize::MAX)?, context.json)?;
        if run.state().status().is_terminal() && !live {
            note(&format!("run {id} has ended ({})", run.state().status().as_str()));
            return Ok(Answer::Done);
        }
        let left = arguments.timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
        if left == Some(Duration::ZERO) {
            note(&format!("run {id} has not ended; this is the end of --timeout"));
            return Ok(Answer::Done);
        }
        sleep(left.map_or(POLL, |left| left.min(POLL)));
        live = workspace.has_live_writer(&id)?;
        run = workspace.run(&id)?;
    }
}

/// Tells something beside the points.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "note: {}", escape(text));
}

fn print(lines: &[Line], json: bool) -> Outcome<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut out = output::stdout();
    for Line { key, point } in lines {
        if json {
            let line = LineShape { key, point: (*point).into() };
            serde_json::to_writer(&mut out, &line)?;
            out.write_all(b"\n")?;
        } else {
            let time = point.timestamp_ms.map_or_else(|| "        ".to_owned(), time_of_day);
            writeln!(out, "{time}  {:>10}  {}  {}", point.step, escape(key), Value(point.value))?;
        }
    }
    out.flush()?;
    Ok(())
}
