//! `stepwell delete RUN…` and `stepwell restore RUN…`.

use clap::Args;
use serde_json::json;

use stepwell::base::ids::RunId;
use stepwell::error::Result;
use stepwell::workspace::open::Workspace;

use crate::context::{self, Context};
use crate::failure::{Answer, Outcome};
use crate::output;

/// Names the runs.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Ids, beginnings of ids, or names.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<String>,
}

pub(crate) fn delete(context: &Context, arguments: &Arguments) -> Outcome {
    each(context, arguments, "deleted", Workspace::delete_run)
}

pub(crate) fn restore(context: &Context, arguments: &Arguments) -> Outcome {
    each(context, arguments, "restored", Workspace::restore_run)
}

/// Finds all runs first, so that a misspelt one leaves the others as they are.
fn each(
    context: &Context,
    arguments: &Arguments,
    done: &str,
    act: impl Fn(&Workspace, &RunId) -> Result<()>,
) -> Outcome {
    let workspace = context.open()?;
    let mut ids = Vec::new();
    for argument in &arguments.runs {
        ids.push(context::run(&workspace, argument)?.id().clone());
    }
    for id in &ids {
        act(&workspace, id)?;
    }
    let names: Vec<&str> = ids.iter().map(RunId::as_str).collect();
    if context.json {
        output::json(&json!({ done: names }))?;
    } else {
        let text: String = names.iter().map(|id| format!("{done} {id}\n")).collect();
        output::lines(&text)?;
    }
    Ok(Answer::Done)
}
