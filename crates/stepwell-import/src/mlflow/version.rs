//! A version of a registered model in MLflow's stores, put together as Stepwell keeps it.

use std::path::Path;

use stepwell::registry::{Model, Stage, Version};

use crate::context::Context;
use crate::mlflow::model::model_of_source;
use crate::report::Kind;

/// The stage of a version that was deleted; a row of it stays so that its number is not given out again.
const DELETED_STAGE: &str = "Deleted_Internal";

/// A version as a store has it.
pub(crate) struct StoredVersion {
    pub(crate) stage: Stage,
    pub(crate) created_ms: Option<i64>,
    pub(crate) updated_ms: Option<i64>,
    pub(crate) description: String,
    pub(crate) source: String,
    /// `None` where it is the source.
    pub(crate) storage_location: Option<String>,
    pub(crate) run_id: String,
    pub(crate) run_link: String,
    /// `None` where only the source says it.
    pub(crate) model_id: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) status: String,
    /// Who created it, and why its status is as it is; they have no place here.
    pub(crate) user: String,
    pub(crate) status_message: String,
}

impl StoredVersion {
    /// The version; reports what of it has no place here.
    pub(crate) fn into_version(self, path: &Path, context: &mut Context<'_>) -> Version {
        if !matches!(self.status.as_str(), "" | "READY" | "1") {
            context.leave_out(path, Kind::Other, 1, "the status of a version, which is READY here");
        }
        if !self.user.is_empty() || !self.status_message.is_empty() {
            context.leave_out(path, Kind::Other, 1, "the user or the status message of a version: no place here");
        }
        let created_ms = self.created_ms.unwrap_or(0);
        let model_id = self.model_id.or_else(|| model_of_source(&self.source).map(str::to_owned));
        Version {
            created_ms,
            updated_ms: self.updated_ms.unwrap_or(created_ms),
            description: self.description,
            stage: self.stage,
            storage_location: self.storage_location.unwrap_or_else(|| self.source.clone()),
            run_id: self.run_id,
            run_link: self.run_link,
            model_id: model_id.unwrap_or_default(),
            tags: self.tags.into_iter().collect(),
            source: self.source,
            ..Version::default()
        }
    }
}

/// Keeps a version's number from being given out again. Returns whether the version is still there.
pub(crate) fn note_number(model: &mut Model, number: u64, stage: Option<&str>) -> bool {
    model.last_number = model.last_number.max(number);
    stage != Some(DELETED_STAGE)
}

/// A version's stage; `None` for an unknown stage.
pub(crate) fn stage(word: Option<&str>) -> Option<Stage> {
    match word {
        None | Some("") => Some(Stage::None),
        Some(word) => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_of_versions() {
        assert_eq!(stage(Some("production")), Some(Stage::Production));
        assert_eq!((stage(None), stage(Some(DELETED_STAGE))), (Some(Stage::None), None));
    }
}
