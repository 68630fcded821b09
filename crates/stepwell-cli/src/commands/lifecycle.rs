//! `stepwell delete RUN… [--metric KEY…]` and `stepwell restore RUN…`.

use clap::Args;
use serde_json::json;

use stepwell::base::ids::RunId;
use stepwell::error::{Error, Result};
use stepwell::run::snapshot::RunSnapshot;
use stepwell::workspace::open::Workspace;

use crate::context::{self, Context};
use crate::failure::{Answer, Outcome};
use crate::output::{self, escape};

/// Names the runs.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Ids, beginnings of ids, or names.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<String>,
}

/// Marks runs deleted; with `--metric` the runs stay, and these metrics of them go at once and for good.
#[derive(Args, Debug)]
pub(crate) struct Deletion {
    #[command(flatten)]
    runs: Arguments,
    /// A metric that goes for good, of each of the runs; may be given often. Nobody may be writing the runs.
    #[arg(long = "metric", value_name = "KEY")]
    metrics: Vec<String>,
}

pub(crate) fn delete(context: &Context, arguments: &Deletion) -> Outcome {
    if arguments.metrics.is_empty() {
        return each(context, &arguments.runs, "deleted", Workspace::delete_run);
    }
    let workspace = context.open()?;
    let runs = named(&workspace, &arguments.runs)?;
    // All are looked for first, so that a misspelt one leaves the others as they are.
    for run in &runs {
        let missing = arguments.metrics.iter().find(|key| !run.series().contains_key(*key));
        if let Some(key) = missing {
            return Err(Error::not_found("metric", format!("{key} of run {}", run.id())).into());
        }
    }
    for run in &runs {
        arguments.metrics.iter().try_for_each(|key| workspace.delete_metric(run.id(), key))?;
    }
    let ids: Vec<&str> = runs.iter().map(|run| run.id().as_str()).collect();
    if context.json {
        output::json(&json!({ "runs": ids, "metrics": arguments.metrics }))?;
    } else {
        let lines = ids.iter().flat_map(|id| arguments.metrics.iter().map(move |key| (id, key)));
        let text: String = lines.map(|(id, key)| format!("deleted metric {} of {id}\n", escape(key))).collect();
        output::lines(&text)?;
    }
    Ok(Answer::Done)
}

pub(crate) fn restore(context: &Context, arguments: &Arguments) -> Outcome {
    each(context, arguments, "restored", Workspace::restore_run)
}

fn named(workspace: &Workspace, arguments: &Arguments) -> Outcome<Vec<RunSnapshot>> {
    arguments.runs.iter().map(|argument| context::run(workspace, argument)).collect()
}

/// Finds all runs first, so that a misspelt one leaves the others as they are.
fn each(
    context: &Context,
    arguments: &Arguments,
    done: &str,
    act: impl Fn(&Workspace, &RunId) -> Result<()>,
) -> Outcome {
    let workspace = context.open()?;
    let runs = named(&workspace, arguments)?;
    runs.iter().try_for_each(|run| act(&workspace, run.id()))?;
    let names: Vec<&str> = runs.iter().map(|run| run.id().as_str()).collect();
    if context.json {
        output::json(&json!({ done: names }))?;
    } else {
        let text: String = names.iter().map(|id| format!("{done} {id}\n")).collect();
        output::lines(&text)?;
    }
    Ok(Answer::Done)
}
