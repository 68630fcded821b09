//! `stepwell experiments`: lists experiments, and creates, renames, deletes and restores them.

use clap::{Args, Subcommand};
use serde_json::json;

use stepwell::options::Options;
use stepwell::workspace::open::Workspace;
use stepwell::workspace::search::{RunQuery, ViewType};

use crate::context::{self, Context};
use crate::failure::{Answer, Outcome};
use crate::output::{self, count, escape, escape_short, table};
use crate::time::moment;

/// Lists experiments, unless told to change one.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Also those that are deleted.
    #[arg(long)]
    all: bool,
    #[command(subcommand)]
    change: Option<Change>,
}

/// What to change.
#[derive(Debug, Subcommand)]
enum Change {
    /// Create an experiment and print its id.
    Create {
        /// Its name.
        name: String,
    },
    /// Give an experiment another name.
    Rename {
        /// Its name or id.
        experiment: String,
        /// The new name.
        name: String,
    },
    /// Mark an experiment deleted, and its runs with it.
    Delete {
        /// Its name or id.
        experiment: String,
    },
    /// Restore an experiment that was marked deleted.
    Restore {
        /// Its name or id.
        experiment: String,
    },
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Outcome {
    match arguments.change {
        None => list(&context.open()?, context.json, arguments.all),
        Some(Change::Create { name }) => {
            let workspace = context.open_or_create(Options::default())?;
            let id = workspace.create_experiment(&name)?;
            tell(context, &id.to_string(), &name)
        }
        Some(Change::Rename { experiment, name }) => {
            let workspace = context.open()?;
            let id = context::experiment(&workspace, &experiment)?;
            workspace.rename_experiment(id, &name)?;
            tell(context, &id.to_string(), &name)
        }
        Some(Change::Delete { experiment }) => {
            let workspace = context.open()?;
            let id = context::experiment(&workspace, &experiment)?;
            workspace.delete_experiment(id)?;
            tell(context, &id.to_string(), &workspace.experiment(id)?.name)
        }
        Some(Change::Restore { experiment }) => {
            let workspace = context.open()?;
            let id = context::experiment(&workspace, &experiment)?;
            workspace.restore_experiment(id)?;
            tell(context, &id.to_string(), &workspace.experiment(id)?.name)
        }
    }
}

/// Prints the id of the experiment that was changed.
fn tell(context: &Context, id: &str, name: &str) -> Outcome {
    if context.json {
        output::json(&json!({"experiment_id": id, "name": name}))?;
    } else {
        output::lines(&format!("{}\n", escape(id)))?;
    }
    Ok(Answer::Done)
}

fn list(workspace: &Workspace, json: bool, all: bool) -> Outcome {
    let mut experiments = Vec::new();
    for experiment in workspace.experiments()? {
        if experiment.deleted && !all {
            continue;
        }
        let query = RunQuery {
            view: if experiment.deleted { ViewType::All } else { ViewType::ActiveOnly },
            experiments: vec![experiment.id],
            ..RunQuery::default()
        };
        let runs = context::search(workspace, query, 0, |_| Ok(()))?;
        experiments.push((experiment, runs));
    }
    if json {
        let shape = |(experiment, runs): &(stepwell::workspace::catalog::Experiment, usize)| {
            json!({
                "experiment_id": experiment.id.to_string(),
                "name": experiment.name,
                "runs": runs,
                "created": experiment.created_ms,
                "updated": experiment.updated_ms,
                "deleted": experiment.deleted,
                "deletion_by": experiment.deletion_by,
                "tags": experiment.tags,
            })
        };
        output::json(&experiments.iter().map(shape).collect::<Vec<_>>())?;
        return Ok(Answer::Done);
    }
    let mut head = vec!["id", "name", "runs", "created (UTC)"];
    head.extend(all.then_some(["state", "by"]).into_iter().flatten());
    let mut rows = table(&head, &[2]);
    for (experiment, runs) in &experiments {
        let created = if experiment.created_ms == 0 { String::new() } else { moment(experiment.created_ms) };
        let mut row = vec![experiment.id.to_string(), escape_short(&experiment.name, 80), count(*runs as u64), created];
        row.extend(all.then(|| if experiment.deleted { "deleted" } else { "active" }.to_owned()));
        row.extend(all.then(|| escape_short(&experiment.deletion_by, 40)));
        rows.add_row(row);
    }
    output::lines(&format!("{rows}\n"))?;
    Ok(Answer::Done)
}
