//! `stepwell models`: registered models with their versions, and who moved them where.

use clap::Args;
use serde_json::{Value, json};

use stepwell::registry::{DeletedModel, Model, Registry, Version};

use crate::context::Context;
use crate::failure::{Answer, Failure, Outcome};
use crate::find::hint;
use crate::left_out;
use crate::output::{self, Facts, count, escape, table_of};
use crate::table::Column;
use crate::time::{moment, zone_name};

/// List registered models and prompts. With a name, list its versions: stage, who set it, time of the last change,
/// aliases, tags, and the run or logged model behind each.
///
/// `by` is the name of the token that the server was called with, else the user; it is empty if neither is known.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  stepwell models\n  stepwell models classifier\n  stepwell models --all --json")]
pub(crate) struct Arguments {
    /// The model's name.
    #[arg(value_name = "MODEL", add = crate::complete::models())]
    model: Option<String>,
    /// Include deleted models and versions, and show who deleted them.
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Outcome {
    let workspace = context.open()?;
    let registry = workspace.registry().read(|registry| Ok(registry.clone()))?;
    left_out::tell(&workspace.damage_of_registry()?);
    match &arguments.model {
        None => list(context, &registry, arguments.all),
        Some(name) => show(context, &registry, name, arguments.all),
    }
}

fn time(ms: i64) -> String {
    if ms == 0 { String::new() } else { moment(ms) }
}

fn list(context: &Context, registry: &Registry, all: bool) -> Outcome {
    if context.json {
        let mut models: Vec<Value> = registry.models.iter().map(|(name, model)| shape(name, model, all)).collect();
        models.extend(registry.deleted.values().filter(|_| all).map(shape_deleted));
        output::json(&models)?;
        return Ok(Answer::Done);
    }
    let changed = format!("changed ({})", zone_name());
    let mut columns = vec![
        Column::name("model"),
        Column::number("versions"),
        Column::text("stages").rank(1),
        Column::text("aliases").rank(3),
        Column::whole(&changed).rank(4),
        Column::text("created by").rank(5),
    ];
    columns.extend(all.then(|| Column::whole("deleted by").rank(2)));
    let mut rows = table_of(columns);
    for (name, model) in &registry.models {
        let mut row = vec![
            escape(name),
            count(model.versions.len() as u64),
            stages(model),
            aliases(model.aliases.keys()),
            time(model.updated_ms),
            escape(&model.user),
        ];
        row.extend(all.then(String::new));
        rows.add_row(row);
    }
    for gone in registry.deleted.values().filter(|_| all) {
        let by = if gone.by.is_empty() { "(nobody said)".to_owned() } else { escape(&gone.by) };
        let versions = count(gone.versions.len() as u64);
        rows.add_row([escape(&gone.name), versions, String::new(), String::new(), time(gone.at_ms), String::new(), by]);
    }
    let mut text = format!("{rows}\n");
    if registry.models.is_empty() && (registry.deleted.is_empty() || !all) {
        text = "no model is registered\n".to_owned();
    }
    if !all {
        text += &output::not_listed(registry.deleted.len() as u64, "deleted model is", "deleted models are");
    }
    output::lines(&text)?;
    Ok(Answer::Done)
}

fn aliases<'a>(aliases: impl Iterator<Item = &'a String>) -> String {
    aliases.map(|alias| escape(alias)).collect::<Vec<_>>().join(", ")
}

/// `Production 3, Staging 4`: the greatest version of each stage.
fn stages(model: &Model) -> String {
    let mut latest: Vec<(&str, u64)> = Vec::new();
    for (number, version) in model.versions.iter().rev() {
        let stage = version.stage.as_str();
        if stage != "None" && !latest.iter().any(|(known, _)| *known == stage) {
            latest.push((stage, *number));
        }
    }
    latest.iter().map(|(stage, number)| format!("{stage} {number}")).collect::<Vec<_>>().join(", ")
}

fn aliases_of(model: &Model, number: u64) -> impl Iterator<Item = &String> {
    model.aliases.iter().filter(move |(_, version)| **version == number).map(|(alias, _)| alias)
}

fn show(context: &Context, registry: &Registry, name: &str, all: bool) -> Outcome {
    match registry.models.get(name) {
        Some(model) if context.json => output::json(&shape(name, model, all))?,
        Some(model) => output::lines(&text(name, model, all))?,
        None => {
            let gone: Vec<&DeletedModel> = registry.deleted.values().filter(|gone| gone.name == name).collect();
            if gone.is_empty() || !all || !context.json {
                return Err(unknown(registry, name, !gone.is_empty()));
            }
            output::json(&gone.into_iter().map(shape_deleted).collect::<Vec<_>>())?;
        }
    }
    Ok(Answer::Done)
}

/// The failure that no model has this name.
fn unknown(registry: &Registry, name: &str, was_deleted: bool) -> Failure {
    let otherwise = match was_deleted {
        true => "it was deleted; `stepwell models --all` says by whom",
        false => "`stepwell models` lists them",
    };
    let hint = hint(name, registry.models.keys().map(String::as_str), otherwise);
    Failure::hinted(format!("no registered model {name:?}"), hint)
}

/// A model for people: what is known of it, its versions, and its deleted versions.
fn text(name: &str, model: &Model, all: bool) -> String {
    let mut facts = Facts::default();
    let at = |ms: i64| if ms == 0 { String::new() } else { format!("{} {}", moment(ms), zone_name()) };
    facts.add("model", escape(name));
    facts.add("about", escape(&model.description));
    facts.add("created", at(model.created_ms));
    facts.add("created by", escape(&model.user));
    facts.add("changed", at(model.updated_ms));
    for (key, value) in &model.tags {
        facts.add("tag", format!("{} = {}", escape(key), escape(value)));
    }
    facts.into_text() + &versions(model) + &deleted_versions(model, all)
}

fn versions(model: &Model) -> String {
    let changed = format!("changed ({})", zone_name());
    let columns = vec![
        Column::number("version"),
        Column::whole("stage"),
        Column::text("stage by").at_least(8),
        Column::text("aliases").at_least(8),
        Column::whole(&changed).rank(2),
        Column::text("of").rank(3),
        Column::text("tags").rank(4),
        Column::text("created by").rank(5),
    ];
    let row = |(number, version): (&u64, &Version)| {
        let tags: Vec<String> =
            version.tags.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value))).collect();
        [
            number.to_string(),
            version.stage.as_str().to_owned(),
            escape(&version.stage_by),
            aliases(aliases_of(model, *number)),
            time(version.updated_ms),
            escape(of(version)),
            tags.join(", "),
            escape(&version.user),
        ]
    };
    output::section(columns, model.versions.iter().map(row))
}

fn deleted_versions(model: &Model, all: bool) -> String {
    let deleted = &model.deleted_versions;
    if !all {
        return output::not_listed(deleted.len() as u64, "deleted version is", "deleted versions are");
    }
    let line = |number: u64, by: &str| {
        let by = if by.is_empty() { String::new() } else { format!(" by {}", escape(by)) };
        format!("version {number} was deleted{by}\n")
    };
    deleted.iter().map(|(number, version)| line(*number, &version.by)).collect()
}

/// What a version is of: its run, else its logged model, else its source.
fn of(version: &Version) -> &str {
    [&version.run_id, &version.model_id, &version.source]
        .into_iter()
        .find(|word| !word.is_empty())
        .map_or("", String::as_str)
}

fn shape(name: &str, model: &Model, all: bool) -> Value {
    let version = |(number, version): (&u64, &Version)| {
        json!({
            "version": number,
            "stage": version.stage.as_str(),
            "stage_by": version.stage_by,
            "aliases": aliases_of(model, *number).collect::<Vec<_>>(),
            "description": version.description,
            "source": version.source,
            "run_id": version.run_id,
            "model_id": version.model_id,
            "tags": version.tags,
            "created": version.created_ms,
            "created_by": version.user,
            "updated": version.updated_ms,
        })
    };
    let mut shape = json!({
        "name": name,
        "deleted": false,
        "description": model.description,
        "tags": model.tags,
        "aliases": model.aliases,
        "created": model.created_ms,
        "created_by": model.user,
        "updated": model.updated_ms,
        "versions": model.versions.iter().map(version).collect::<Vec<_>>(),
    });
    if all {
        let deleted = |(number, by): (&u64, &str)| json!({"version": number, "deleted_by": by});
        let gone = model.deleted_versions.iter().map(|(number, version)| deleted((number, &version.by)));
        shape["deleted_versions"] = gone.collect();
    }
    shape
}

fn shape_deleted(gone: &DeletedModel) -> Value {
    json!({
        "name": gone.name,
        "deleted": true,
        "deleted_at": gone.at_ms,
        "deleted_by": gone.by,
        "versions": gone.versions.iter().map(|(number, _)| json!({"version": number})).collect::<Vec<_>>(),
    })
}
