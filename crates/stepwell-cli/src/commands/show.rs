//! `stepwell show RUN`: one run in full.

mod beside;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use stepwell::{RunSummary, SeriesStats};

use crate::artifacts;
use crate::commands::runs::duration;
use crate::commands::show::beside::Beside;
use crate::context::{self, Context};
use crate::failure::{Answer, Outcome};
use crate::left_out;
use crate::output::{self, count, escape, rounded, table_of};
use crate::shape::{RunShape, StatsShape};
use crate::table::Column;
use crate::time::{moment, zone_name};

/// Show one run: its name, status, params and tags; for each metric the number of points and the latest, least,
/// greatest and mean value; its datasets, models, registered versions and artifacts. `--json` prints the same object
/// as `runs --json`, with statistics under `series`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  stepwell show probe\n  stepwell show 3fa9 --json\n  stepwell show probe --local")]
pub(crate) struct Arguments {
    /// The run's id, its name, or the beginning of its id.
    #[arg(add = crate::complete::runs())]
    run: String,
    /// The artifact folder, if `serve` was given one [default: `artifacts` in the workspace].
    #[arg(long, value_name = "DIR")]
    artifacts_destination: Option<PathBuf>,
}

/// The run's JSON.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    run: RunShape<'a>,
    experiment: &'a str,
    points: u64,
    /// Who deleted it or restored it last; empty if nobody did.
    deletion_by: &'a str,
    series: BTreeMap<&'a str, StatsShape>,
    /// What could not be read, and so is missing.
    left_out: &'a [String],
    #[serde(flatten)]
    beside: &'a Beside,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let workspace = context.open()?;
    let snapshot = context::run(&workspace, &arguments.run)?;
    let mut reader = snapshot.salvage();
    let mut run = reader.summary()?;
    let left_out = [snapshot.damage(), &reader.messages(), &workspace.damage_of_registry()?].concat();
    left_out::tell(&left_out);
    let marked = run.deleted;
    // As `runs` counts: by the run's own mark, or with its experiment.
    run.deleted = workspace.counts_as_deleted(snapshot.state())?;
    let experiment = match workspace.experiments().get(run.experiment_id) {
        Ok(known) => known.name,
        Err(_) => snapshot.state().experiment_name.clone(),
    };
    let folder = match &arguments.artifacts_destination {
        Some(named) => Ok(named.clone()),
        None => artifacts::folder(workspace.root()),
    };
    if let Err(failure) = &folder {
        left_out::tell(&[format!("artifacts: {failure}")]);
    }
    let beside = Beside::read(&workspace, snapshot.state(), folder.ok().as_deref())?;
    if context.json {
        output::json(&Shown {
            run: RunShape::from(&run),
            experiment: &experiment,
            points: snapshot.points(),
            deletion_by: snapshot.state().deletion_by(),
            series: run.metrics.iter().map(|(key, stats)| (key.as_str(), stats.into())).collect(),
            left_out: &left_out,
            beside: &beside,
        })?;
        return Ok(Answer::Done);
    }
    let deleted = match (run.deleted, marked) {
        (false, _) => "",
        (true, true) => ", deleted",
        (true, false) => ", deleted with its experiment",
    };
    let mut text = format!("run         {}\n", run.run_id);
    let mut word = |name: &str, value: String| {
        if !value.is_empty() {
            text += &format!("{name:<12}{value}\n");
        }
    };
    let time = |ms: Option<i64>| ms.map(|ms| format!("{} {}", moment(ms), zone_name())).unwrap_or_default();
    word("name", escape(&run.name));
    word("experiment", format!("{} ({})", escape(&experiment), run.experiment_id));
    word("status", format!("{}{deleted}", run.status.as_str()));
    let by = snapshot.state().deletion_by();
    let marked = if snapshot.state().deleted() { "deleted by" } else { "restored by" };
    word(marked, escape(by));
    word("user", escape(&run.user));
    word("started", time(run.start_time_ms));
    word("ended", time(run.end_time_ms));
    word("took", duration(&run));
    word("points", count(snapshot.points()));
    word("artifacts", escape(&beside.artifact_uri));
    text += &words("param", &run.params);
    text += &words("tag", &run.tags);
    text += &metrics(&run);
    text += &beside.text();
    output::lines(&text)?;
    Ok(Answer::Done)
}

fn words(kind: &str, words: &BTreeMap<String, String>) -> String {
    if words.is_empty() {
        return String::new();
    }
    let mut rows = table_of(vec![Column::name(kind), Column::text("value")]);
    for (key, value) in words {
        rows.add_row([escape(key), escape(value)]);
    }
    format!("\n{rows}\n")
}

fn metrics(run: &RunSummary) -> String {
    if run.metrics.is_empty() {
        return String::new();
    }
    let number = |head, rank| Column::number(head).rank(rank);
    let mut rows = table_of(vec![
        Column::name("metric"),
        number("points", 4),
        number("latest", 0),
        number("step", 5),
        number("min", 1),
        number("min step", 7),
        number("max", 1),
        number("max step", 7),
        number("mean", 6),
        number("NaN", 2),
        number("inf", 3),
    ]);
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
