//! `stepwell runs`: lists and searches runs.

use std::io::Write;

use clap::Args;
use comfy_table::{Cell, Color, ColumnConstraint};
use serde::Serialize;

use stepwell::base::stats::RunStatus;
use stepwell::index::summary::RunSummary;
use stepwell::workspace::clock::now_ms;
use stepwell::workspace::search::{RunQuery, ViewType};

use crate::context::{self, Context};
use crate::failure::{Answer, Failure, Outcome};
use crate::output::{self, count, escape_middle, escape_short, rounded, table};
use crate::shape::RunShape;
use crate::time::{moment_or_empty, span};

/// How many runs a table has unless asked for more; `--json` has all.
const ROWS: usize = 100;

/// Lists runs, the newest first; `--filter` and `--order-by` speak MLflow's language and more.
///
/// FILTER examples: "metrics.loss < 0.1", "params.optimizer IN ('adam', 'sgd') OR tags.best = 'yes'",
/// "attributes.status = 'FINISHED' AND attributes.run_name LIKE 'probe%'".
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Only runs of this experiment: its name or id; may be given several times.
    #[arg(short, long, value_name = "EXPERIMENT")]
    experiment: Vec<String>,
    /// Only runs that this matches.
    #[arg(short, long, value_name = "FILTER", default_value = "")]
    filter: String,
    /// The order, for example "metrics.loss ASC"; may be given several times.
    #[arg(short, long, value_name = "ORDER")]
    order_by: Vec<String>,
    /// At most so many [default: 100 in the table, all with --json].
    #[arg(short = 'n', long, value_name = "N")]
    max: Option<usize>,
    /// Only deleted runs.
    #[arg(long, conflicts_with = "all")]
    deleted: bool,
    /// Deleted runs too.
    #[arg(long)]
    all: bool,
    /// More columns of the table, with commas between: metrics.loss,params.lr,tags.team
    #[arg(short, long, value_name = "COLUMN", value_delimiter = ',', value_parser = parse_column)]
    columns: Vec<Column>,
    /// Exit with 1 when nothing matches.
    #[arg(long)]
    exit_code: bool,
}

/// A column that the caller asked for.
#[derive(Clone, Debug)]
enum Column {
    /// A metric's latest value.
    Metric(String),
    /// A param.
    Param(String),
    /// A tag.
    Tag(String),
}

fn parse_column(text: &str) -> Result<Column, String> {
    let (kind, key) = text.split_once('.').unwrap_or((text, ""));
    match (kind, key) {
        (_, "") => Err("write metrics.KEY, params.KEY or tags.KEY".to_owned()),
        ("metrics" | "metric", key) => Ok(Column::Metric(key.to_owned())),
        ("params" | "param" | "parameters", key) => Ok(Column::Param(key.to_owned())),
        ("tags" | "tag", key) => Ok(Column::Tag(key.to_owned())),
        _ => Err(format!("{kind:?} is none of metrics, params, tags")),
    }
}

impl Column {
    fn head(&self) -> String {
        let (Self::Metric(key) | Self::Param(key) | Self::Tag(key)) = self;
        escape_short(key, 30)
    }

    fn cell(&self, run: &RunSummary) -> String {
        match self {
            Self::Metric(key) => run.metrics.get(key).map(|stats| rounded(stats.latest.value)),
            Self::Param(key) => run.params.get(key).map(|value| escape_short(value, 30)),
            Self::Tag(key) => run.tags.get(key).map(|value| escape_short(value, 30)),
        }
        .unwrap_or_default()
    }
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Outcome {
    let workspace = context.open()?;
    let mut experiments = Vec::new();
    for name in &arguments.experiment {
        experiments.push(context::experiment(&workspace, name)?);
    }
    let view = match (arguments.deleted, arguments.all) {
        (true, _) => ViewType::DeletedOnly,
        (_, true) => ViewType::All,
        _ => ViewType::ActiveOnly,
    };
    let query =
        RunQuery { filter: arguments.filter, order_by: arguments.order_by, view, experiments, ..RunQuery::default() };
    // What the search calls invalid is a word of this call.
    let usage = |failure| match failure {
        Failure::Failed(message, _) if message.starts_with("invalid ") => Failure::Usage(message),
        other => other,
    };
    let total = if context.json {
        let max = arguments.max.unwrap_or(usize::MAX);
        let mut out = output::stdout();
        let mut first = true;
        // The first run opens the list, so that a wrong filter leaves standard output empty.
        let total = context::search(&workspace, query, max, |run| {
            out.write_all(if first { b"[" } else { b",\n" })?;
            first = false;
            RunShape::from(&run).serialize(&mut serde_json::Serializer::new(&mut out))?;
            Ok(())
        })
        .map_err(usage)?;
        out.write_all(if first { b"[]\n" } else { b"]\n" })?;
        out.flush()?;
        total
    } else {
        let mut runs = Vec::new();
        let max = arguments.max.unwrap_or(ROWS);
        let total = context::search(&workspace, query, max, |run| {
            runs.push(run);
            Ok(())
        })
        .map_err(usage)?;
        let names = workspace.experiments()?;
        print(&runs, total, &arguments.columns, |run| {
            names
                .iter()
                .find(|known| known.id == run.experiment_id)
                .map_or_else(|| run.experiment_id.to_string(), |known| escape_short(&known.name, 30))
        })?;
        total
    };
    Ok(if total == 0 && arguments.exit_code { Answer::No } else { Answer::Done })
}

/// A status as a cell, coloured on terminals.
pub(crate) fn status_cell(status: RunStatus, deleted: bool) -> Cell {
    if deleted {
        return Cell::new("DELETED").fg(Color::DarkGrey);
    }
    let colour = match status {
        RunStatus::Running => Color::Cyan,
        RunStatus::Finished => Color::Green,
        RunStatus::Failed => Color::Red,
        RunStatus::Killed => Color::Yellow,
        RunStatus::Scheduled => Color::Blue,
    };
    Cell::new(status.as_str()).fg(colour)
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
    columns: &[Column],
    experiment: impl Fn(&RunSummary) -> String,
) -> Outcome<()> {
    if total == 0 {
        return output::lines("no run matches\n");
    }
    let heads: Vec<String> = columns.iter().map(Column::head).collect();
    let mut head = vec!["run", "name", "experiment", "status", "started (UTC)", "took", "metrics"];
    head.extend(heads.iter().map(String::as_str));
    let mut rows = table(&head, &[6]);
    // What the other columns leave of a terminal's width; elsewhere there is room.
    let name_chars = output::width().map_or(60, |width| usize::from(width).saturating_sub(90).clamp(16, 60));
    for run in runs {
        let mut row = vec![
            Cell::new(short_id(run.run_id.as_str())),
            Cell::new(escape_middle(&run.name, name_chars)),
            Cell::new(experiment(run)),
            status_cell(run.status, run.deleted),
            Cell::new(moment_or_empty(run.start_time_ms)),
            Cell::new(duration(run)),
            Cell::new(count(run.metrics.len() as u64)),
        ];
        row.extend(columns.iter().map(|column| Cell::new(column.cell(run))));
        rows.add_row(row);
    }
    // Ids, statuses and times are copied and compared, so other columns give way where the terminal is narrow.
    for index in [0, 1, 3, 4, 5, 6] {
        if let Some(column) = rows.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let mut text = format!("{rows}\n");
    if total > runs.len() {
        let all = count(total as u64);
        text += &format!("{} of {all} runs; --max {total} shows them all\n", count(runs.len() as u64));
    }
    output::lines(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_told_apart() {
        assert!(stepwell::error::Error::invalid("filter", "x").to_string().starts_with("invalid "));
    }

    #[test]
    fn columns_are_read() {
        assert!(matches!(parse_column("metrics.a.b"), Ok(Column::Metric(key)) if key == "a.b"));
        assert!(parse_column("loss").is_err() && parse_column("x.y").is_err());
    }
}
