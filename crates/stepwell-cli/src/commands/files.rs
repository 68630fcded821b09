//! The files that belong to imported runs: copied to where the server finds them, or counted where they stay.

use std::fs;
use std::path::{Path, PathBuf};

use stepwell::items::LOGGED_MODEL;
use stepwell::tracking::SERVED_ARTIFACTS;
use stepwell_import::{Counts, ImportedModel, ImportedRun, Kind, Taken};

use crate::artifacts;
use crate::copy;
use crate::failure::Outcome;
use crate::output::plural;
use crate::progress::Progress;

/// What became of the files of runs so far.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Places as sources name them, and where their files are in the workspace.
    moved: Vec<(String, String)>,
}

impl Files {
    /// Copies the files of a run to the workspace, compares each copy with its original, and returns their location.
    /// `None` for a run without files.
    pub(crate) fn copy(
        &mut self,
        root: &Path,
        experiment: &str,
        run: &ImportedRun,
        done: &mut Taken,
        progress: &Progress,
    ) -> Outcome<Option<String>> {
        if run.attached.artifacts.is_empty() {
            return Ok(None);
        }
        let place = match run.attached.kind {
            LOGGED_MODEL => format!("{experiment}/models/{}/artifacts", run.id),
            _ => format!("{experiment}/{}/artifacts", run.id),
        };
        for part in &run.attached.artifacts {
            let to = artifacts::folder(root)?.join(&place).join(&part.below);
            let copied = copy::missing_files(&part.folder, &to, &|path| Some(path.to_owned()), progress)?;
            let total = copied.files + copied.present;
            done.taken.merge(&Counts::default().with(Kind::Artifact, total));
            done.added.merge(&Counts::default().with(Kind::Artifact, copied.files));
            let mut leave_out = |count: u64, why: &str| {
                if count > 0 {
                    done.left_out.push((Kind::Artifact, count, format!("of run {}: {why}", run.id)));
                }
            };
            leave_out(copied.differing.len() as u64, "another file has the name in the workspace, where it stays");
            leave_out(copied.no_files.len() as u64, "links and special files, which are not followed");
        }
        let uri = format!("{SERVED_ARTIFACTS}/{place}");
        if let Some(before) = &run.attached.artifact_uri {
            self.moved.push((before.trim_end_matches('/').to_owned(), uri.clone()));
        }
        Ok(Some(uri))
    }

    /// Points versions at the files that were copied.
    pub(crate) fn follow(&self, model: &mut ImportedModel) {
        for version in model.model.versions.values_mut() {
            let place = &version.storage_location;
            let below = |before: &str| {
                let rest = place.strip_prefix(before)?;
                (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
            };
            let found = self.moved.iter().find_map(|(before, uri)| Some(format!("{uri}{}", below(before)?)));
            if let Some(found) = found {
                version.storage_location = found;
            }
        }
    }
}

/// Tells how many files stay where they are, as nobody asked for them.
pub(crate) fn tell(run: &ImportedRun, done: &mut Taken) {
    let count: u64 = run.attached.artifacts.iter().map(|part| files_in(&part.folder)).sum();
    if count > 0 {
        let why = "files of runs stay where they are; --artifacts copies them".to_owned();
        done.left_out.push((Kind::Artifact, count, why));
    }
}

/// How many files are in a folder, links not followed; what cannot be listed counts as none.
pub(crate) fn files_in(folder: &Path) -> u64 {
    let (mut count, mut pending) = (0, vec![PathBuf::from(folder)]);
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => pending.push(entry.path()),
                Ok(_) => count += 1,
                Err(_) => {}
            }
        }
    }
    count
}

/// `version 3 is another one here` for one or some numbers.
pub(crate) fn versions_left_out(name: &str, numbers: &[u64]) -> String {
    let listed: Vec<String> = numbers.iter().take(10).map(u64::to_string).collect();
    let which = plural(numbers.len() as u64, "version", "versions");
    format!("{which} of model {name:?} ({}) were deleted here, or are others here; left as they are", listed.join(", "))
}
