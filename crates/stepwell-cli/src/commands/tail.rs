//! `stepwell tail RUN`: follows a run that another process writes.

use std::io::Write;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use stepwell::{Begin, Follow, Follower, NewPoints, Point, RunEvent, RunId, RunStatus, Workspace};

use crate::context::{self, Context};
use crate::failure::{Answer, Outcome};
use crate::left_out;
use crate::output::{self, Value, count, escape};
use crate::shape::PointShape;
use crate::time::time_of_day;

/// How often to check whether anybody still writes to a run that says it has ended.
const POLL: Duration = Duration::from_millis(200);

/// Print points as they are logged, until the run has ended and nobody writes to it. For a run that has already
/// ended, print its last points and say so on standard error. With --json, each point is one line of JSON.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  stepwell tail probe\n  stepwell tail probe --key loss --from-start\n  \
                        stepwell tail probe --json --timeout 60")]
pub(crate) struct Arguments {
    /// The run's id, its name, or the beginning of its id.
    #[arg(add = crate::complete::runs())]
    run: String,
    /// Only this metric. Repeatable.
    #[arg(short, long, add = crate::complete::metrics())]
    key: Vec<String>,
    /// Start with the last N existing points.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    lines: usize,
    /// Start with all existing points.
    #[arg(long, conflicts_with = "lines")]
    from_start: bool,
    /// Stop after this many seconds, even if the run goes on.
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

/// A run that is followed.
struct Tail<'a> {
    workspace: &'a Workspace,
    id: &'a RunId,
    follower: Follower,
    status: RunStatus,
}

impl Tail<'_> {
    /// Waits for new points, at most this long, and reads all that are there.
    fn read_new(&mut self, timeout: Duration) -> Outcome<Vec<Line>> {
        let (mut lines, mut timeout) = (Vec::new(), timeout);
        while let Some(changes) = self.follower.next(timeout)? {
            left_out::tell(&changes.damage);
            for run in changes.runs {
                if run.event == Some(RunEvent::Gone) {
                    self.workspace.run(self.id)?;
                }
                self.status = run.state.map_or(self.status, |state| state.status());
                for NewPoints { key, columns, .. } in run.points {
                    lines.extend(columns.iter().map(|point| Line { key: key.clone(), point }));
                }
            }
            if !changes.more {
                break;
            }
            timeout = Duration::ZERO;
        }
        // One answer may bring points of many series: as far as the times tell, they are printed as they were logged.
        lines.sort_by_key(|line| (line.point.timestamp_ms, line.point.step));
        Ok(lines)
    }
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let begun = Instant::now();
    let workspace = context.open()?;
    let id = context::run(&workspace, &arguments.run)?.id().clone();
    // Asked before the run is read, so that the last points of a writer that ends meanwhile are not missed.
    let live = workspace.has_live_writer(&id)?;
    let run = workspace.run(&id)?;
    left_out::tell(run.damage());
    let status = run.state().status();
    let ended = status.is_terminal() && !live;
    for key in arguments.key.iter().filter(|key| !run.series().contains_key(*key)) {
        if ended {
            context::check_metric(&run, key)?;
        }
        note(&format!("run {id} has no metric {key:?} so far"));
    }
    let before = if arguments.from_start { usize::MAX } else { arguments.lines };
    let follow = Follow { runs: vec![id.clone()], keys: arguments.key.clone(), begin: Begin::Last(before) };
    let mut tail = Tail { workspace: &workspace, id: &id, follower: workspace.follow(&follow)?, status };
    let mut lines = tail.read_new(Duration::ZERO)?;
    lines.drain(..lines.len().saturating_sub(before));
    print(&lines, context.json)?;
    if ended {
        let keys = run.keys().filter(|&key| arguments.key.is_empty() || arguments.key.iter().any(|own| own == key));
        let all = keys.map(|key| run.count(key)).sum::<stepwell::Result<u64>>()?;
        let status = status.as_str();
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
        let mut wait = Duration::MAX;
        if tail.status.is_terminal() {
            // Nothing tells that a writer closes.
            wait = POLL;
            let live = workspace.has_live_writer(&id)?;
            print(&tail.read_new(Duration::ZERO)?, context.json)?;
            if tail.status.is_terminal() && !live {
                note(&format!("run {id} has ended ({})", tail.status.as_str()));
                return Ok(Answer::Done);
            }
        }
        if let Some(timeout) = arguments.timeout {
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                note(&format!("run {id} has not ended; this is the end of --timeout"));
                return Ok(Answer::Done);
            }
            wait = wait.min(left);
        }
        print(&tail.read_new(wait)?, context.json)?;
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
