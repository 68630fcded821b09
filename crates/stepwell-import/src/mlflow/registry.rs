//! A registered model's folder in MLflow's file store: `models/NAME`, with its versions, tags and aliases.

use std::path::Path;

use stepwell::registry::{Model, Version};

use crate::attached::ImportedModel;
use crate::context::Context;
use crate::mlflow::folder::read_words;
use crate::mlflow::meta;
use crate::mlflow::model::{DELETED_STAGE, model_of_source, stage};
use crate::mlflow::store::{folders, in_workspace};
use crate::mlflow::{milliseconds, nested};
use crate::report::Kind;
use crate::run::ImportError;
use crate::walk::Group;

/// Reads registered models' folders.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    for file in &group.files {
        read_model(&file.path, context)?;
        context.advance(&file.path, file.bytes);
    }
    Ok(())
}

fn read_model(folder: &Path, context: &mut Context<'_>) -> Result<(), ImportError> {
    let meta_path = folder.join("meta.yaml");
    let meta = match meta::read(&meta_path) {
        Ok(meta) => meta,
        Err(reason) => {
            context.leave_out(&meta_path, Kind::Model, 1, format!("{reason}; not imported"));
            return Ok(());
        }
    };
    let folder_name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let created_ms = meta.get("creation_timestamp").and_then(milliseconds).unwrap_or(0);
    let mut model = Model {
        created_ms,
        updated_ms: meta.get("last_updated_timestamp").and_then(milliseconds).unwrap_or(created_ms),
        description: meta.get("description").unwrap_or_default().to_owned(),
        tags: read_words(&folder.join("tags"), context).into_iter().collect(),
        ..Model::default()
    };
    for child in folders(folder, context) {
        let name = child.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match name.as_str() {
            "tags" | "aliases" => {}
            _ if name.starts_with("version-") => read_version(&child, &mut model, context),
            _ => context.leave_out(&child, Kind::Other, 1, "a folder in a registered model's that is not a version"),
        }
    }
    let mut aliases = nested::read(&meta_path, "aliases");
    aliases.extend(read_words(&folder.join("aliases"), context));
    for (alias, number) in aliases {
        match number.trim().parse().ok().filter(|number| model.versions.contains_key(number)) {
            Some(number) => _ = model.aliases.insert(alias, number),
            None => context.leave_out(
                folder,
                Kind::Alias,
                1,
                format!("{alias:?} names version {number}, which is not there"),
            ),
        }
    }
    let name = in_workspace(meta.get("workspace"), meta.get("name").unwrap_or(&folder_name));
    context.emit_model(ImportedModel { name, model }, folder)
}

fn read_version(folder: &Path, model: &mut Model, context: &mut Context<'_>) {
    let meta = match meta::read(&folder.join("meta.yaml")) {
        Ok(meta) => meta,
        Err(reason) => {
            return context.leave_out(folder, Kind::ModelVersion, 1, format!("meta.yaml: {reason}; not imported"));
        }
    };
    let folder_name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let number = meta.get("version").or_else(|| folder_name.strip_prefix("version-"));
    let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else {
        return context.leave_out(folder, Kind::ModelVersion, 1, "its number is none; not imported");
    };
    model.last_number = model.last_number.max(number);
    if meta.get("current_stage") == Some(DELETED_STAGE) {
        return;
    }
    let own = |name: &str| meta.get(name).unwrap_or_default().to_owned();
    if ["user_id", "status_message"].iter().any(|name| meta.get(name).is_some_and(|word| !word.is_empty())) {
        context.leave_out(folder, Kind::Other, 1, "the user or the status message of a version: no place here");
    }
    if meta.get("status").is_some_and(|status| status != "READY" && status != "1") {
        context.leave_out(folder, Kind::Other, 1, "the status of a version, which is READY here");
    }
    let created_ms = meta.get("creation_timestamp").and_then(milliseconds).unwrap_or(0);
    let source = own("source");
    let version = Version {
        created_ms,
        updated_ms: meta.get("last_updated_timestamp").and_then(milliseconds).unwrap_or(created_ms),
        description: own("description"),
        stage: stage(meta.get("current_stage")).unwrap_or_else(|| {
            context.leave_out(folder, Kind::Other, 1, format!("the stage {:?} is none", own("current_stage")));
            stepwell::registry::Stage::None
        }),
        storage_location: meta.get("storage_location").map_or_else(|| source.clone(), str::to_owned),
        run_id: own("run_id"),
        run_link: own("run_link"),
        model_id: meta.get("model_id").or_else(|| model_of_source(&source)).unwrap_or_default().to_owned(),
        tags: read_words(&folder.join("tags"), context).into_iter().collect(),
        source,
        ..Version::default()
    };
    model.versions.insert(number, version);
}
