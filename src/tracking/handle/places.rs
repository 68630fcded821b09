//! Locations of files: stored in a form that is true for everybody, shown in the form that the caller can reach.
//!
//! A server's clients reach a workspace's own folder of artifacts as `mlflow-artifacts:/`, and a process that opens the
//! workspace itself by its path. Both may ask for one run. So locations in that folder are stored in the first form,
//! and the second is made of it. If the folder moves, its new path is shown.

use crate::registry::store::{ModelVersion, RegisteredModel};
use crate::tracking::handle::store::{Tracking, below};

/// How locations begin that a workspace's server serves.
pub const SERVED_ARTIFACTS: &str = "mlflow-artifacts:";

impl Tracking {
    /// A location as it is shown.
    pub(crate) fn shown_location(&self, stored: String) -> String {
        let Some(folder) = &self.inner.options.artifact_folder else { return stored };
        match within_served(&stored) {
            Some("") => folder.clone(),
            Some(rest) => below(folder, rest),
            None => stored,
        }
    }

    /// A location as it is stored.
    pub(crate) fn stored_location(&self, shown: &str) -> String {
        let within = self.inner.options.artifact_folder.as_deref().and_then(|folder| within_folder(shown, folder));
        within.map_or_else(|| shown.to_owned(), |rest| format!("{SERVED_ARTIFACTS}/{rest}"))
    }

    /// A version with its locations as they are shown.
    pub(crate) fn shown_version(&self, mut version: ModelVersion) -> ModelVersion {
        version.source = self.shown_location(version.source);
        version.storage_location = self.shown_location(version.storage_location);
        version
    }

    /// A registered model, its versions likewise.
    pub(crate) fn shown_registered_model(&self, mut model: RegisteredModel) -> RegisteredModel {
        let versions = std::mem::take(&mut model.latest_versions);
        model.latest_versions = versions.into_iter().map(|version| self.shown_version(version)).collect();
        model
    }
}

/// The path that a server serves under a place; `None` for other places, and for what may mean several.
fn within_served(place: &str) -> Option<&str> {
    let rest = place.strip_prefix(SERVED_ARTIFACTS)?;
    let path = rest.strip_prefix("///").or_else(|| rest.strip_prefix('/').filter(|path| !path.starts_with('/')))?;
    plain(path)
}

/// The path of a place within a folder of this machine.
fn within_folder<'a>(place: &'a str, folder: &str) -> Option<&'a str> {
    let path = place.strip_prefix("file:").map_or(place, |rest| rest.strip_prefix("//").unwrap_or(rest));
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?.strip_prefix('/')?;
    plain(rest)
}

/// A path that stays below where it begins, however often a reader decodes it.
fn plain(path: &str) -> Option<&str> {
    let path = path.trim_end_matches('/');
    let sound = !path.contains(['%', '?', '#', '\\']) && path.split('/').all(|part| !matches!(part, "." | ".."));
    sound.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_the_served_folder() {
        for (place, within) in [
            ("mlflow-artifacts:/", Some("")),
            ("mlflow-artifacts:/0/r/artifacts", Some("0/r/artifacts")),
            ("mlflow-artifacts:///0/a b/", Some("0/a b")),
            ("mlflow-artifacts://host/0", None),
            ("mlflow-artifacts:0", None),
            ("mlflow-artifacts:/0/../x", None),
            ("mlflow-artifacts:/0/%2e%2e/x", None),
            ("s3://b/x", None),
        ] {
            assert_eq!(within_served(place), within, "{place}");
        }
    }

    #[test]
    fn places_of_this_machine() {
        for (place, within) in [
            ("/w/artifacts/0/r", Some("0/r")),
            ("/w/artifacts/é ü/", Some("é ü")),
            ("file:///w/artifacts/0", Some("0")),
            ("file:/w/artifacts/0", Some("0")),
            ("/w/artifacts", None),
            ("/w/artifacts-2/0", None),
            ("/w/artifacts/../x", None),
            ("file:///w/artifacts/%2e%2e/x", None),
            ("file://host/w/artifacts/0", None),
            ("runs:/w/artifacts/0", None),
        ] {
            assert_eq!(within_folder(place, "/w/artifacts/"), within, "{place}");
        }
    }
}
