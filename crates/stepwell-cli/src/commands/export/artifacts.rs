//! The files of exported runs: copied where the caller asks and the form keeps files, else counted.

use std::path::{Path, PathBuf};

use stepwell::{RunSnapshot, Workspace};

use super::told::Told;
use crate::artifacts;
use crate::commands::files::files_in;
use crate::copy;
use crate::failure::Failure;
use crate::output::plural;
use crate::progress::Progress;

/// What was copied.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Copied {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Tells how many files of a run stay in the workspace.
pub(super) fn tell(workspace: &Workspace, run: &RunSnapshot, way: &str, told: &mut Told) {
    match served(workspace, run) {
        Ok(folder) => {
            let files = files_in(&folder);
            if files > 0 {
                told.cannot_hold(format!("{} of run {}: {way}", plural(files, "artifact", "artifacts"), run.id()));
            }
        }
        Err(why) => told.cannot_hold(why),
    }
}

/// Copies the files of a run to a folder; those that are there stay.
pub(super) fn copy(
    workspace: &Workspace,
    run: &RunSnapshot,
    to: &Path,
    told: &mut Told,
    progress: &Progress,
) -> Copied {
    let id = run.id();
    let from = match served(workspace, run) {
        Ok(from) => from,
        Err(why) => {
            told.leave_out(why);
            return Copied::default();
        }
    };
    if !from.exists() {
        return Copied::default();
    }
    match copy::missing_files(&from, to, &|path| Some(path.to_owned()), progress) {
        Ok(done) => {
            let mut leave_out = |count: usize, why: &str| {
                if count > 0 {
                    let files = plural(count as u64, "artifact", "artifacts");
                    told.leave_out(format!("{files} of run {id}: {why}"));
                }
            };
            leave_out(done.differing.len(), "another file has the name in the export; remove it to export this one");
            leave_out(done.no_files.len(), "links and special files, which are not followed");
            Copied { files: done.files + done.present, bytes: done.bytes }
        }
        Err(Failure::Usage(why) | Failure::Failed(why, _) | Failure::Unstarted(_, why)) => {
            told.leave_out(format!("artifacts of run {id} were not all copied: {why}"));
            Copied::default()
        }
        Err(Failure::PipeClosed) => Copied::default(),
    }
}

/// The folder of a run's files in the workspace, or why it has none to take them from.
fn served(workspace: &Workspace, run: &RunSnapshot) -> Result<PathBuf, String> {
    let (id, uri) = (run.id(), artifacts::uri_of_run(workspace, run.state()));
    let Some(found) = artifacts::served(&uri, &artifacts::own_folder(workspace.root())) else {
        return Err(format!("artifacts of run {id} are at {uri:?}, outside the workspace: take them from there"));
    };
    let leads_out = uri.split('/').any(|part| part == "..") || artifacts::leads_through_link(workspace.root(), &found);
    match leads_out {
        true => Err(format!("artifacts of run {id} are at {uri:?}, which leads out of the workspace: not followed")),
        false => Ok(found),
    }
}
