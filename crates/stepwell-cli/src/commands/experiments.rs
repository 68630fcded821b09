//! `stepwell experiments`: lists experiments, and creates, renames, deletes and restores them.

use clap::{Args, Subcommand};
use serde_json::json;

use stepwell::query::{Query, View};
use stepwell::{ExperimentId, Options, Workspace};

use crate::context::{self, Context};
use crate::failure::{Answer, Outcome};
use crate::left_out;
use crate::output::{self, count, escape, table_of};
use crate::table::Column;
use crate::time::{moment, zone_name};

/// List experiments, or change one. EXPERIMENT is an id or a name; ids are tried first.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  stepwell experiments --all\n  stepwell experiments rename vision vision-2024\n  \
                        stepwell experiments delete vision-2024")]
pub(crate) struct Arguments {
    /// Include deleted experiments.
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
    /// Rename an experiment.
    Rename {
        /// Its id or name.
        #[arg(add = crate::complete::experiments())]
        experiment: String,
        /// The new name.
        name: String,
    },
    /// Delete an experiment and its runs. `restore` brings them back until `gc`.
    Delete {
        /// Its id or name.
        #[arg(add = crate::complete::experiments())]
        experiment: String,
    },
    /// Restore a deleted experiment and its runs.
    Restore {
        /// Its id or name.
        #[arg(add = crate::complete::experiments())]
        experiment: String,
    },
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Outcome {
    match arguments.change {
        None => {
            let workspace = context.open()?;
            left_out::tell(&workspace.damage_of_experiments()?);
            list(&workspace, context.json, arguments.all)
        }
        Some(Change::Create { name }) => {
            let workspace = context.open_or_create(Options::default())?;
            let id = workspace.experiments().create(&name)?;
            tell(context, &id.to_string(), &name)
        }
        Some(Change::Rename { experiment, name }) => {
            let workspace = context.open()?;
            let id = context::experiment(&workspace, &experiment)?;
            if workspace.experiments().get(id)?.name == name {
                return unchanged(context, id, &name, "has this name already");
            }
            workspace.experiments().rename(id, &name)?;
            tell(context, &id.to_string(), &name)
        }
        Some(Change::Delete { experiment }) => {
            let workspace = context.open()?;
            let id = context::experiment(&workspace, &experiment)?;
            let known = workspace.experiments().get(id)?;
            if known.deleted {
                return unchanged(context, id, &known.name, "was deleted already");
            }
            workspace.experiments().delete(id)?;
            tell(context, &id.to_string(), &known.name)
        }
        Some(Change::Restore { experiment }) => {
            let workspace = context.open()?;
            let id = context::experiment(&workspace, &experiment)?;
            let known = workspace.experiments().get(id)?;
            if !known.deleted {
                return unchanged(context, id, &known.name, "is not deleted");
            }
            workspace.experiments().restore(id)?;
            tell(context, &id.to_string(), &known.name)
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

/// Says that there was nothing to change.
fn unchanged(context: &Context, id: ExperimentId, name: &str, why: &str) -> Outcome {
    if context.json {
        output::json(&json!({"experiment_id": id.to_string(), "name": name, "unchanged": why}))?;
    } else {
        output::lines(&format!("experiment {id} ({}) {why}\n", escape(name)))?;
    }
    Ok(Answer::No)
}

fn list(workspace: &Workspace, json: bool, all: bool) -> Outcome {
    let mut experiments = Vec::new();
    let mut not_listed = 0;
    for experiment in workspace.experiments().list()? {
        if experiment.deleted && !all {
            not_listed += 1;
            continue;
        }
        let query = Query {
            view: if experiment.deleted { View::All } else { View::ActiveOnly },
            experiments: vec![experiment.id],
            ..Query::default()
        };
        let runs = context::search(workspace, query, 0, |_| Ok(()))?;
        experiments.push((experiment, runs));
    }
    if json {
        let shape = |(experiment, runs): &(stepwell::Experiment, usize)| {
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
    let created = format!("created ({})", zone_name());
    let mut columns =
        vec![Column::whole("id"), Column::name("name"), Column::number("runs"), Column::whole(&created).rank(1)];
    columns.extend(all.then(|| [Column::whole("state"), Column::text("by").rank(2)]).into_iter().flatten());
    let mut rows = table_of(columns);
    for (experiment, runs) in &experiments {
        let created = if experiment.created_ms == 0 { String::new() } else { moment(experiment.created_ms) };
        let mut row = vec![experiment.id.to_string(), escape(&experiment.name), count(*runs as u64), created];
        row.extend(all.then(|| if experiment.deleted { "deleted" } else { "active" }.to_owned()));
        row.extend(all.then(|| escape(&experiment.deletion_by)));
        rows.add_row(row);
    }
    let not_listed = output::not_listed(not_listed, "deleted experiment is", "deleted experiments are");
    output::lines(&format!("{rows}\n{not_listed}"))?;
    Ok(Answer::Done)
}
