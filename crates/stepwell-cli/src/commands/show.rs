//! `stepwell show RUN`: one run in full.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use stepwell::base::stats::SeriesStats;
use stepwell::index::summary::RunSummary;

use crate::commands::runs::duration;
use crate::context::{self, Context};
use crate::failure::{Answer, Outcome};
use crate::left_out;
use crate::output::{self, count, escape, escape_short, rounded, table};
use crate::shape::{RunShape, StatsShape};
use crate::time::moment_or_empty;

/// Shows one run in full: its words, and of each metric the number of points, the latest, least, greatest and mean
/// value. `--json` prints the shape of `runs` with these statistics under `series`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The run's id, the beginning of it, or its name.
    run: String,
}

/// The run's JSON.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    run: RunShape<'a>,
    experiment: &'a str,
    points: u64,
    /// Who deleted it or restored it last; empty when nobody did.
    deletion_by: &'a str,
    series: BTreeMap<&'a str, StatsShape>,
    /// What could not be read, and so is missing.
    left_out: &'a [String],
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let workspace = context.open()?;
    let snapshot = context::run(&workspace, &arguments.run)?;
    left_out::tell(snapshot.damage());
    let run = snapshot.summary()?;
    let experiment = match workspace.experiment(run.experiment_id) {
        Ok(known) => known.name,
        Err(_) => snapshot.state().experiment_name.clone(),
    };
    if context.json {
        output::json(&Shown {
            run: RunShape::from(&run),
            experiment: &experiment,
            points: snapshot.points(),
            deletion_by: snapshot.state().deletion_by(),
            series: run.metrics.iter().map(|(key, stats)| (key.as_str(), stats.into())).collect(),
            left_out: snapshot.damage(),
        })?;
        return Ok(Answer::Done);
    }
    let mut text = format!("run         {}\n", run.run_id);
    let mut word = |name: &str, value: String| {
        if !value.is_empty() {
            text += &format!("{name:<12}{value}\n");
        }
    };
    word("name", escape(&run.name));
    word("experiment", format!("{} ({})", escape(&experiment), run.experiment_id));
    word("status", format!("{}{}", run.status.as_str(), if run.deleted { ", deleted" } else { "" }));
    let by = snapshot.state().deletion_by();
    let marked = if snapshot.state().deleted() { "deleted by" } else { "restored by" };
    word(marked, escape(by));
    word("user", escape(&run.user));
    word("started", moment_or_empty(run.start_time_ms));
    word("ended", moment_or_empty(run.end_time_ms));
    word("took", duration(&run));
    word("points", count(snapshot.points()));
    text += &words("param", &run.params);
    text += &words("tag", &run.tags);
    text += &metrics(&run);
    output::lines(&text)?;
    Ok(Answer::Done)
}

fn words(kind: &str, words: &BTreeMap<String, String>) -> String {
    if words.is_empty() {
        return String::new();
    }
    let mut rows = table(&[kind, "value"], &[]);
    for (key, value) in words {
        rows.add_row([escape(key), escape_short(value, 200)]);
    }
    format!("\n{rows}\n")
}

fn metrics(run: &RunSummary) -> String {
    if run.metrics.is_empty() {
        return String::new();
    }
    let head = ["metric", "points", "latest", "at step", "min", "at step", "max", "at step", "mean", "NaN", "inf"];
    let mut rows = table(&head, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let some = |number: u64| if number == 0 { String::new() } else { count(number) };
    for (key, stats) in &run.metrics {
        let SeriesStats { count: points, nan_count, inf_count, latest, min, max, .. } = stats;
        let mut row = vec![escape(key), count(*points), rounded(latest.value), latest.step.to_string()];
        for extreme in [min, max] {
            row.push(extreme.map(|extreme| rounded(extreme.value)).unwrap_or_default());
            row.push(extreme.map(|extreme| extreme.step.to_string()).unwrap_or_default());
        }
        row.push(stats.mean().map(rounded).unwrap_or_default());
        row.extend([some(*nan_count), some(*inf_count)]);
        rows.add_row(row);
    }
    format!("\n{rows}\n")
}
