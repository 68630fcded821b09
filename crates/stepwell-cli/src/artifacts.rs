//! Where the artifacts of runs are, and folders whose runs are gone.

use std::fs;
use std::path::{Path, PathBuf};

use stepwell::files::check_no_link;
use stepwell::items::ARTIFACT_URI;
use stepwell::tracking::SERVED_ARTIFACTS;
use stepwell::{RunState, Workspace};

use crate::failure::{Failure, Outcome};

/// The folder of artifacts in the workspace at `root`, whatever stands there.
pub(crate) fn own_folder(root: &Path) -> PathBuf {
    root.join("artifacts")
}

/// The path of a location that the server stores, below its folder; `None` for any other location.
pub(crate) fn served(uri: &str, folder: &Path) -> Option<PathBuf> {
    let place = uri.strip_prefix(SERVED_ARTIFACTS)?.strip_prefix('/')?;
    Some(folder.join(place.trim_start_matches('/')))
}

/// The folder of a place that is on this machine; `folder` is where the server keeps artifacts.
pub(crate) fn on_this_machine(uri: &str, folder: &Path) -> Option<PathBuf> {
    let path = uri.strip_prefix("file://").or_else(|| uri.strip_prefix("file:")).unwrap_or(uri);
    served(uri, folder).or_else(|| path.starts_with('/').then(|| PathBuf::from(path)))
}

/// The folder of a run's artifacts, which may not be there yet.
///
/// # Errors
/// Where they are, when they are not on this machine.
pub fn folder_of_run(workspace: &Workspace, run: &RunState) -> Result<PathBuf, String> {
    let uri = uri_of_run(workspace, run);
    on_this_machine(&uri, &own_folder(workspace.root())).ok_or(uri)
}

/// Folders of artifacts that no run has any more.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    /// Those that may be removed.
    pub(crate) folders: Vec<PathBuf>,
    /// Folders that are reached through a link, which may lead anywhere: they stay.
    linked: Vec<PathBuf>,
}

impl Gone {
    /// Those of the folders that are there. Links above `own` are the caller's.
    pub(crate) fn of(own: &Path, folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let there = folders.into_iter().filter(|folder| folder.is_dir());
        let (linked, folders) = there.partition(|folder| leads_through_link(own, folder));
        Self { folders, linked }
    }

    /// The folders of runs in the workspace at `root`, whichever experiments they were in.
    pub(crate) fn of_runs(root: &Path, runs: &[&str]) -> Outcome<Self> {
        let artifacts = own_folder(root);
        if runs.is_empty() || !artifacts.is_dir() {
            return Ok(Self::default());
        }
        let mut folders = Vec::new();
        for experiment in fs::read_dir(&artifacts).map_err(Failure::io("list", &artifacts))? {
            let experiment = experiment.map_err(Failure::io("list", &artifacts))?.path();
            folders.extend(runs.iter().map(|run| experiment.join(run)));
        }
        folders.sort();
        Ok(Self::of(root, folders))
    }

    /// Removes the folders with all that is in them. It follows no link.
    pub(crate) fn remove(&self) -> Outcome<()> {
        self.folders.iter().try_for_each(|folder| fs::remove_dir_all(folder).map_err(Failure::io("remove", folder)))
    }

    /// What stays, and why.
    pub(crate) fn left_out(&self) -> Vec<String> {
        let why = |folder: &PathBuf| format!("{} is reached through a link and was not removed", folder.display());
        self.linked.iter().map(why).collect()
    }
}

/// The folder of artifacts in the workspace at `root`.
///
/// # Errors
/// When it is a link: a workspace from somebody else touches nothing outside itself.
pub(crate) fn folder(root: &Path) -> Outcome<PathBuf> {
    let folder = own_folder(root);
    let hint = "put the folder itself there, or name another place with --artifacts-destination where there is that";
    check_no_link(&folder).map_err(|error| Failure::hinted(error.to_string(), hint))?;
    Ok(folder)
}

/// Where the artifacts of a run are: its own place, or one below its experiment's.
pub(crate) fn uri_of_run(workspace: &Workspace, run: &RunState) -> String {
    if let Some(own) = run.item(ARTIFACT_URI, "") {
        return own.to_owned();
    }
    let location = match workspace.experiments().get(run.experiment) {
        Ok(known) if !known.artifact_location.is_empty() => known.artifact_location,
        _ => format!("{SERVED_ARTIFACTS}/{}", run.experiment),
    };
    format!("{}/{}/artifacts", location.trim_end_matches('/'), run.id)
}

/// Whether any part of a path below a folder is a symbolic link.
pub(crate) fn leads_through_link(folder: &Path, path: &Path) -> bool {
    let below = path.ancestors().take_while(|part| *part != folder);
    below.into_iter().any(|part| fs::symlink_metadata(part).is_ok_and(|metadata| metadata.is_symlink()))
}
