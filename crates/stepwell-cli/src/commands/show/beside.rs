//! What belongs to a run beside its words and metrics: datasets, models, registered versions, artifacts.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use stepwell::items::{DATASET, MODEL_INPUT, MODEL_OUTPUT, dataset_tag, split};
use stepwell::{RunState, Workspace};

use crate::artifacts::{on_this_machine, uri_of_run};
use crate::failure::{Failure, Outcome};
use crate::left_out;
use crate::output::{bytes, count, escape, section};
use crate::table::Column;

/// Most artifacts that the text lists; `--json` has all.
const ARTIFACTS_SHOWN: usize = 50;

/// All of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Beside {
    datasets: Vec<Dataset>,
    models: Vec<Model>,
    registered: Vec<Version>,
    /// Where the run's artifacts are.
    pub(super) artifact_uri: String,
    /// Nothing where they are not on this machine.
    artifacts: Option<Vec<Artifact>>,
}

#[derive(Debug, Serialize)]
struct Dataset {
    name: String,
    digest: String,
    context: Option<String>,
}

#[derive(Debug, Serialize)]
struct Model {
    model_id: String,
    name: String,
    /// `read` or `made`.
    by_run: &'static str,
}

#[derive(Debug, Serialize)]
struct Version {
    model: String,
    version: u64,
    stage: &'static str,
    aliases: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Artifact {
    path: String,
    bytes: u64,
}

impl Beside {
    /// Reads it. `folder` is where the server keeps artifacts.
    pub(super) fn read(workspace: &Workspace, run: &RunState, folder: Option<&Path>) -> Outcome<Self> {
        let artifact_uri = uri_of_run(workspace, run);
        let place = folder.and_then(|folder| on_this_machine(&artifact_uri, folder));
        let artifacts = place
            .and_then(|place| files(&place).map_err(|failure| left_out::tell(&[format!("artifacts: {failure}")])).ok());
        Ok(Self {
            datasets: datasets(run),
            models: models(workspace, run)?,
            registered: registered(workspace, run)?,
            artifact_uri,
            artifacts,
        })
    }

    /// What there is as tables.
    pub(super) fn text(&self) -> String {
        [self.datasets_text(), self.models_text(), self.registered_text(), self.artifacts_text()].concat()
    }

    fn datasets_text(&self) -> String {
        let columns = vec![Column::name("dataset"), Column::text("digest").rank(1), Column::text("used for")];
        let row = |dataset: &Dataset| {
            let context = dataset.context.as_deref().unwrap_or_default();
            [escape(&dataset.name), escape(&dataset.digest), escape(context)]
        };
        section(columns, self.datasets.iter().map(row))
    }

    fn models_text(&self) -> String {
        let columns = vec![Column::whole("model"), Column::name("name"), Column::whole("by this run")];
        let row = |model: &Model| [escape(&model.model_id), escape(&model.name), model.by_run.to_owned()];
        section(columns, self.models.iter().map(row))
    }

    fn registered_text(&self) -> String {
        let columns = vec![
            Column::name("registered as"),
            Column::number("version"),
            Column::whole("stage").rank(1),
            Column::text("aliases"),
        ];
        let row = |version: &Version| {
            let aliases: Vec<String> = version.aliases.iter().map(|alias| escape(alias)).collect();
            let number = version.version.to_string();
            [escape(&version.model), number, version.stage.to_owned(), aliases.join(", ")]
        };
        section(columns, self.registered.iter().map(row))
    }

    fn artifacts_text(&self) -> String {
        let Some(artifacts) = &self.artifacts else {
            return "\nthe artifacts are not on this machine and are not listed\n".to_owned();
        };
        let row = |artifact: &Artifact| [escape(&artifact.path), bytes(artifact.bytes)];
        let columns = vec![Column::name("artifact"), Column::number("size")];
        let mut text = section(columns, artifacts.iter().take(ARTIFACTS_SHOWN).map(row));
        if artifacts.len() > ARTIFACTS_SHOWN {
            let more = count((artifacts.len() - ARTIFACTS_SHOWN) as u64);
            text += &format!("… and {more} more artifacts; --json lists them all\n");
        }
        text
    }
}

fn datasets(run: &RunState) -> Vec<Dataset> {
    let items = run.items(DATASET).map(|(key, value)| {
        let fields = split(key);
        let field = |at: usize| fields.get(at).copied().unwrap_or_default().to_owned();
        Dataset { name: field(0), digest: field(1), context: dataset_tag(value, "context").map(str::to_owned) }
    });
    items.collect()
}

fn models(workspace: &Workspace, run: &RunState) -> Outcome<Vec<Model>> {
    let mut models = Vec::new();
    for (kind, by_run) in [(MODEL_INPUT, "read"), (MODEL_OUTPUT, "made")] {
        for (id, _) in run.items(kind) {
            let known = match stepwell::RunId::new(id) {
                Ok(id) => workspace.find_run(&id)?,
                Err(_) => None,
            };
            let name = known.map(|model| model.state().name().to_owned()).unwrap_or_default();
            models.push(Model { model_id: id.to_owned(), name, by_run });
        }
    }
    Ok(models)
}

fn registered(workspace: &Workspace, run: &RunState) -> Outcome<Vec<Version>> {
    Ok(workspace.registry().read(|registry| {
        let mut found = Vec::new();
        for (name, model) in &registry.models {
            for (&version, known) in model.versions.iter().filter(|(_, known)| known.run_id == run.id.as_str()) {
                let aliases = model.aliases.iter().filter(|(_, of)| **of == version);
                found.push(Version {
                    model: name.clone(),
                    version,
                    stage: known.stage.as_str(),
                    aliases: aliases.map(|(alias, _)| alias.clone()).collect(),
                });
            }
        }
        Ok(found)
    })?)
}

/// The files below a folder, by path. A link is listed and not followed; a folder that is not there has none.
fn files(folder: &Path) -> Outcome<Vec<Artifact>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let path = folder.join(&below);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Failure::io("list", &path)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(Failure::io("list", &path))?;
            let name = below.join(entry.file_name());
            // Of the entry itself, not of what a link leads to.
            let kind = entry.metadata().map_err(Failure::io("look at", &entry.path()))?;
            if kind.is_dir() {
                folders.push(name);
            } else {
                found.push(Artifact { path: name.to_string_lossy().into_owned(), bytes: kind.len() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
