//! `stepwell delete RUN… [--metric KEY…]` and `stepwell restore RUN…`.

use clap::Args;
use serde_json::json;

use stepwell::{Error, Result, RunId, RunSnapshot, Workspace};

use crate::context::Context;
use crate::failure::{Answer, Outcome};
use crate::find;
use crate::output::{self, escape};

/// Names the runs.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Ids, names, or at least 4 leading characters of ids.
    #[arg(required = true, value_name = "RUN", add = crate::complete::runs())]
    runs: Vec<String>,
}

/// Delete runs; `restore` brings them back until `gc`. With `--metric`, the runs stay, and these metrics of them are
/// removed permanently and at once. Exit status 1 if one of the runs was already deleted.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  stepwell delete 3fa9c1d0 probe\n  stepwell delete probe --metric grad_norm\n  \
                        stepwell restore probe\n  stepwell gc")]
pub(crate) struct Deletion {
    #[command(flatten)]
    runs: Arguments,
    /// Permanently remove this metric from each of the runs. Nobody may be writing to them. Repeatable.
    #[arg(long = "metric", value_name = "KEY", add = crate::complete::metrics())]
    metrics: Vec<String>,
}

pub(crate) fn delete(context: &Context, arguments: &Deletion) -> Outcome {
    let workspace = context.open()?;
    let runs = named(&workspace, &arguments.runs)?;
    if arguments.metrics.is_empty() {
        return mark(context, &workspace, &runs, true);
    }
    // All are looked for first, so that a misspelt one leaves the others as they are.
    for run in &runs {
        let missing = arguments.metrics.iter().find(|key| !run.series().contains_key(*key));
        if let Some(key) = missing {
            return Err(Error::not_found(stepwell::Entity::Metric, format!("{key} of run {}", run.id())).into());
        }
    }
    for run in &runs {
        arguments.metrics.iter().try_for_each(|key| workspace.maintenance().delete_metric(run.id(), key))?;
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
    let workspace = context.open()?;
    let runs = named(&workspace, arguments)?;
    mark(context, &workspace, &runs, false)
}

/// The runs, each once, all of them found before any is changed.
fn named(workspace: &Workspace, arguments: &Arguments) -> Outcome<Vec<RunSnapshot>> {
    let mut runs: Vec<RunSnapshot> = Vec::new();
    for argument in &arguments.runs {
        let run = find::run_to_change(workspace, argument)?;
        if runs.iter().all(|known| known.id() != run.id()) {
            runs.push(run);
        }
    }
    Ok(runs)
}

/// Marks runs deleted or not, and reports which were so already; then the exit status is 1.
fn mark(context: &Context, workspace: &Workspace, runs: &[RunSnapshot], deleted: bool) -> Outcome {
    let (mut changed, mut already) = (Vec::new(), Vec::new());
    for run in runs {
        // Of a run of which something cannot be read nobody knows; the mark is set again.
        if run.damage().is_empty() && workspace.counts_as_deleted(run.state())? == deleted {
            already.push(run.id());
        } else {
            let act: fn(&Workspace, &RunId) -> Result<()> =
                if deleted { Workspace::delete_run } else { Workspace::restore_run };
            act(workspace, run.id())?;
            changed.push(run.id());
        }
    }
    let (done, was) = if deleted { ("deleted", "was deleted already") } else { ("restored", "is not deleted") };
    if context.json {
        let ids = |runs: &[&RunId]| runs.iter().map(ToString::to_string).collect::<Vec<_>>();
        output::json(&json!({ done: ids(&changed), "unchanged": ids(&already) }))?;
    } else {
        let mut text: String = changed.iter().map(|id| format!("{done} {id}\n")).collect();
        text.extend(already.iter().map(|id| format!("{id} {was}\n")));
        output::lines(&text)?;
    }
    Ok(if already.is_empty() { Answer::Done } else { Answer::No })
}
