//! A registered model's folder in MLflow's file store: `models/NAME`, with its versions, tags and aliases.

use std::path::Path;

use stepwell::registry::{Model, Stage};

use crate::attached::ImportedModel;
use crate::context::Context;
use crate::mlflow::folder::read_words;
use crate::mlflow::meta;
use crate::mlflow::nested;
use crate::mlflow::store::{folders, in_workspace};
use crate::mlflow::version::{self, StoredVersion};
use crate::name_of;
use crate::reading::each_file;
use crate::report::Kind;
use crate::run::ImportError;
use crate::walk::Group;

/// Reads registered models' folders.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    each_file(group, "", context, |file, _, context| Ok(read_model(&file.path, context)?))
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
    let folder_name = name_of(folder);
    let created_ms = meta.ms("creation_timestamp").unwrap_or(0);
    let mut model = Model {
        created_ms,
        updated_ms: meta.ms("last_updated_timestamp").unwrap_or(created_ms),
        description: meta.word("description"),
        tags: read_words(&folder.join("tags"), context).into_iter().collect(),
        ..Model::default()
    };
    for child in folders(folder, context) {
        let name = name_of(&child);
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
    let folder_name = name_of(folder);
    let number = meta.get("version").or_else(|| folder_name.strip_prefix("version-"));
    let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else {
        return context.leave_out(folder, Kind::ModelVersion, 1, "its number is none; not imported");
    };
    let current = meta.get("current_stage");
    if !version::note_number(model, number, current) {
        return;
    }
    let version = StoredVersion {
        stage: version::stage(current).unwrap_or_else(|| {
            context.leave_out(folder, Kind::Other, 1, format!("the stage {:?} is none", meta.word("current_stage")));
            Stage::None
        }),
        created_ms: meta.ms("creation_timestamp"),
        updated_ms: meta.ms("last_updated_timestamp"),
        description: meta.word("description"),
        source: meta.word("source"),
        storage_location: meta.owned("storage_location"),
        run_id: meta.word("run_id"),
        run_link: meta.word("run_link"),
        model_id: meta.owned("model_id"),
        tags: read_words(&folder.join("tags"), context),
        status: meta.word("status"),
        user: meta.word("user_id"),
        status_message: meta.word("status_message"),
    };
    model.versions.insert(number, version.into_version(folder, context));
}
