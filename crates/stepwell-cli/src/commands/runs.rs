//! `stepwell runs`: lists and searches runs.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use serde::Serialize;

use stepwell::query::{Query, View};
use stepwell::{RunStatus, RunSummary, now_ms};

use crate::columns::{self, Columns, Known};
use crate::context::{self, Context};
use crate::failure::{Answer, Failure, Outcome};
use crate::keys::tell_unknown;
use crate::output::{self, count, escape, table_of};
use crate::shape::RunShape;
use crate::table::{Cell, Colour, Column};
use crate::time::{moment_or_empty, span, zone_name};

/// How many runs a table has unless asked for more; `--json` has all.
const ROWS: usize = 100;

const HELP: &str = "\
FILTER in short:
  metrics.loss < 0.1        a metric's latest value: = != < <= > >=, [NOT] BETWEEN 1 AND 2,
                            IS [NOT] NULL, IS [NOT] NAN
  metrics.loss.min < 0.1    a statistic: min max mean sum first count step argmin_step and more
  tags.team LIKE 'vis%'     texts: = !=, [NOT] LIKE, [NOT] ILIKE, [NOT] IN ('a', 'b'), =~ 'regex',
                            IS [NOT] NULL; params.KEY too
  status = 'FINISHED'       also run_id run_name user_id start_time end_time artifact_uri
  ... AND ... OR NOT (...)  keys with other characters in quotes: metrics.\"train/loss\"
Put the filter in single quotes, or escape quotes within it; `stepwell help filter` explains all of it.

Examples:
  stepwell runs --filter \"metrics.accuracy > 0.9 AND params.lr = '0.01'\" --order-by metrics.loss
  stepwell runs -e vision -c metrics.loss,metrics.loss.min,params.lr
  stepwell runs --filter 'metrics.\"train/loss\" BETWEEN 0.1 AND 0.2' --exit-code";

/// List runs, newest first. `--filter` and `--order-by` take MLflow's filter language and more.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Only runs of this experiment, by id or name. Repeatable.
    #[arg(short, long, value_name = "EXPERIMENT", add = crate::complete::experiments())]
    experiment: Vec<String>,
    /// Only runs that match this filter.
    #[arg(short, long, value_name = "FILTER", default_value = "")]
    filter: String,
    /// The order, for example "metrics.loss ASC". Repeatable.
    #[arg(short, long, value_name = "ORDER", add = crate::complete::names())]
    order_by: Vec<String>,
    /// At most this many [default: 100 in the table, all with --json].
    #[arg(short = 'n', long, value_name = "N")]
    max: Option<usize>,
    /// Only deleted runs.
    #[arg(long, conflicts_with = "all")]
    deleted: bool,
    /// Include deleted runs.
    #[arg(long)]
    all: bool,
    /// More columns, separated by commas: metrics.loss,metrics.loss.min,params.lr,tags.team,user_id. With --json they
    /// are under "columns".
    #[arg(short, long, value_name = "COLUMN", value_parser = columns::parse, add = crate::complete::names())]
    columns: Vec<Columns>,
    /// Exit with status 1 if nothing matches.
    #[arg(long)]
    exit_code: bool,
}

/// A run of the list in JSON.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    run: RunShape<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    columns: BTreeMap<&'a str, serde_json::Value>,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Outcome {
    let workspace = context.open()?;
    let mut experiments = Vec::new();
    for name in &arguments.experiment {
        experiments.push(context::experiment(&workspace, name)?);
    }
    let view = match (arguments.deleted, arguments.all) {
        (true, _) => View::DeletedOnly,
        (_, true) => View::All,
        _ => View::ActiveOnly,
    };
    let asked = Query::parse(&arguments.filter, &arguments.order_by);
    let query = Query { view, experiments, ..asked.map_err(|error| Failure::Usage(error.to_string()))? };
    // A name that stands in the filter too is told of once.
    let asked = query.names();
    let of_columns: Vec<_> =
        columns::names(&arguments.columns).into_iter().filter(|name| !asked.contains(name)).collect();
    tell_unknown(&workspace, &of_columns)?;
    let columns = columns::look_up(&workspace, &arguments.columns)?;
    let total = if context.json {
        let max = arguments.max.unwrap_or(usize::MAX);
        let mut out = output::stdout();
        let mut first = true;
        // The first run opens the list, so that a wrong filter leaves standard output empty.
        let total = context::search(&workspace, query, max, |run| {
            out.write_all(if first { b"[" } else { b",\n" })?;
            first = false;
            let listed = Listed { run: RunShape::from(&run), columns: columns::shape(&columns, &run) };
            listed.serialize(&mut serde_json::Serializer::new(&mut out))?;
            Ok(())
        })?;
        out.write_all(if first { b"[]\n" } else { b"]\n" })?;
        out.flush()?;
        total
    } else {
        let mut runs = Vec::new();
        let max = arguments.max.unwrap_or(ROWS);
        let total = context::search(&workspace, query, max, |run| {
            runs.push(run);
            Ok(())
        })?;
        let names = workspace.experiments().list()?;
        print(&runs, total, &columns, |run| {
            names
                .iter()
                .find(|known| known.id == run.experiment_id)
                .map_or_else(|| run.experiment_id.to_string(), |known| escape(&known.name))
        })?;
        total
    };
    Ok(if total == 0 && arguments.exit_code { Answer::No } else { Answer::Done })
}

/// A status as a cell, coloured on terminals.
fn status_cell(status: RunStatus, deleted: bool) -> Cell {
    if deleted {
        return Cell::from("DELETED").coloured(Colour::Grey);
    }
    let colour = match status {
        RunStatus::Running => Colour::Cyan,
        RunStatus::Finished => Colour::Green,
        RunStatus::Failed => Colour::Red,
        RunStatus::Killed => Colour::Yellow,
        RunStatus::Scheduled => Colour::Blue,
    };
    Cell::from(status.as_str()).coloured(colour)
}

/// How long a run took, or has taken so far.
pub(crate) fn duration(run: &RunSummary) -> String {
    match (run.start_time_ms, run.end_time_ms) {
        (Some(start), Some(end)) => span(end.saturating_sub(start)),
        (Some(start), None) if run.status == RunStatus::Running => span(now_ms().saturating_sub(start)),
        _ => String::new(),
    }
}

/// An id for a table: on a terminal the first 12 characters of a long random one, which name it as well.
fn short_id(id: &str) -> &str {
    let random = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if random && output::width().is_some() { &id[..12] } else { id }
}

fn print(
    runs: &[RunSummary],
    total: usize,
    columns: &[Known],
    experiment: impl Fn(&RunSummary) -> String,
) -> Outcome<()> {
    if total == 0 {
        return output::lines("no run matches\n");
    }
    // What is the same in each row says the least.
    let experiments: Vec<String> = runs.iter().map(experiment).collect();
    let one_experiment = experiments.windows(2).all(|pair| pair[0] == pair[1]);
    let started = format!("started ({})", zone_name());
    let mut head = vec![
        Column::text("run"),
        Column::name("name").at_least(16),
        Column::text("experiment").at_least(8).rank(if one_experiment { 7 } else { 3 }),
        Column::whole("status").rank(2),
        Column::whole(&started).rank(4),
        Column::whole("took").rank(5),
        Column::number("metrics").rank(6),
    ];
    head.extend(columns.iter().map(Known::column));
    let mut rows = table_of(head);
    for (run, experiment) in runs.iter().zip(experiments) {
        let mut row = vec![
            Cell::from(short_id(run.run_id.as_str())),
            Cell::from(escape(&run.name)),
            Cell::from(experiment),
            status_cell(run.status, run.deleted),
            Cell::from(moment_or_empty(run.start_time_ms)),
            Cell::from(duration(run)),
            Cell::from(count(run.metrics.len() as u64)),
        ];
        row.extend(columns.iter().map(|column| column.cell(run)));
        rows.add_row(row);
    }
    let mut text = format!("{rows}\n");
    if total > runs.len() {
        let all = count(total as u64);
        text += &format!("{} of {all} runs; --max {total} shows them all\n", count(runs.len() as u64));
    }
    output::lines(&text)
}
