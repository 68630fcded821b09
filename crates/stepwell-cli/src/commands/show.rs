//! `stepwell show RUN`: one run in full.

mod beside;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use stepwell::{RunSnapshot, RunSummary, SeriesStats, Workspace};

use crate::artifacts;
use crate::commands::runs::duration;
use crate::commands::show::beside::Beside;
use crate::context::{self, Context};
use crate::failure::{Answer, Outcome};
use crate::left_out;
use crate::output::{self, Facts, count, escape, rounded};
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
    let found = Found::read(&workspace, &snapshot, arguments.artifacts_destination.as_deref())?;
    if context.json {
        output::json(&found.shape())?;
    } else {
        output::lines(&found.text())?;
    }
    Ok(Answer::Done)
}

/// What there is to show of a run.
struct Found<'a> {
    snapshot: &'a RunSnapshot,
    /// As `runs` counts, it is deleted by its own mark or with its experiment.
    run: RunSummary,
    experiment: String,
    /// What could not be read, and so is missing.
    left_out: Vec<String>,
    beside: Beside,
}

impl<'a> Found<'a> {
    /// Reads it, and tells what cannot be read. `artifacts` is the folder that the caller named.
    fn read(workspace: &Workspace, snapshot: &'a RunSnapshot, artifacts: Option<&Path>) -> Outcome<Self> {
        let mut reader = snapshot.salvage();
        let mut run = reader.summary()?;
        let left_out = [snapshot.damage(), &reader.messages(), &workspace.damage_of_registry()?].concat();
        left_out::tell(&left_out);
        run.deleted = workspace.counts_as_deleted(snapshot.state())?;
        let experiment = match workspace.experiments().get(run.experiment_id) {
            Ok(known) => known.name,
            Err(_) => snapshot.state().experiment_name.clone(),
        };
        let folder = artifacts.map_or_else(|| artifacts::folder(workspace.root()), |named| Ok(named.to_path_buf()));
        if let Err(failure) = &folder {
            left_out::tell(&[format!("artifacts: {failure}")]);
        }
        let beside = Beside::read(workspace, snapshot.state(), folder.ok().as_deref())?;
        Ok(Self { snapshot, run, experiment, left_out, beside })
    }

    fn shape(&self) -> Shown<'_> {
        Shown {
            run: RunShape::from(&self.run),
            experiment: &self.experiment,
            points: self.snapshot.points(),
            deletion_by: self.snapshot.state().deletion_by(),
            series: self.run.metrics.iter().map(|(key, stats)| (key.as_str(), stats.into())).collect(),
            left_out: &self.left_out,
            beside: &self.beside,
        }
    }

    fn text(&self) -> String {
        let run = &self.run;
        let pairs = [pairs("param", &run.params), pairs("tag", &run.tags)].concat();
        self.facts() + &pairs + &metrics(run) + &self.beside.text()
    }

    fn facts(&self) -> String {
        let (run, state) = (&self.run, self.snapshot.state());
        let is_marked = state.deleted();
        let deleted = match (run.deleted, is_marked) {
            (false, _) => "",
            (true, true) => ", deleted",
            (true, false) => ", deleted with its experiment",
        };
        let time = |ms: Option<i64>| ms.map(|ms| format!("{} {}", moment(ms), zone_name())).unwrap_or_default();
        let mut facts = Facts::default();
        facts.add("run", &run.run_id);
        facts.add("name", escape(&run.name));
        facts.add("experiment", format!("{} ({})", escape(&self.experiment), run.experiment_id));
        facts.add("status", format!("{}{deleted}", run.status.as_str()));
        facts.add(if is_marked { "deleted by" } else { "restored by" }, escape(state.deletion_by()));
        facts.add("user", escape(&run.user));
        facts.add("started", time(run.start_time_ms));
        facts.add("ended", time(run.end_time_ms));
        facts.add("took", duration(run));
        facts.add("points", count(self.snapshot.points()));
        facts.add("artifacts", escape(&self.beside.artifact_uri));
        facts.into_text()
    }
}

fn pairs(kind: &str, pairs: &BTreeMap<String, String>) -> String {
    let rows = pairs.iter().map(|(key, value)| [escape(key), escape(value)]);
    output::section(vec![Column::name(kind), Column::text("value")], rows)
}

fn metrics(run: &RunSummary) -> String {
    let number = |head, rank| Column::number(head).rank(rank);
    let columns = vec![
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
    ];
    let some = |number: u64| if number == 0 { String::new() } else { count(number) };
    let row = |(key, stats): (&String, &SeriesStats)| {
        let SeriesStats { count: points, nan_count, inf_count, latest, min, max, .. } = stats;
        let mut row = vec![escape(key), count(*points), rounded(latest.value), latest.step.to_string()];
        for extreme in [min, max] {
            row.push(extreme.map(|extreme| rounded(extreme.value)).unwrap_or_default());
            row.push(extreme.map(|extreme| extreme.step.to_string()).unwrap_or_default());
        }
        row.push(stats.mean().map(rounded).unwrap_or_default());
        row.extend([some(*nan_count), some(*inf_count)]);
        row
    };
    output::section(columns, run.metrics.iter().map(row))
}
