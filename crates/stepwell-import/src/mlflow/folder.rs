//! A run in MLflow's folder store: `EXPERIMENT/RUN/meta.yaml` with folders of metrics, params and tags.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use stepwell::RunId;
use stepwell::items::{MODEL_INPUT, MODEL_OUTPUT};

use crate::attached::Attached;
use crate::context::Context;
use crate::lines::Lines;
use crate::mlflow::meta::{self, Meta};
use crate::mlflow::model::Dataset;
use crate::mlflow::run::{StoredRun, add_code_tags};
use crate::mlflow::{milliseconds, nested, place, store};
use crate::number;
use crate::reading::each_file;
use crate::report::Kind as Import;
use crate::run::{ImportError, ImportedSeries};
use crate::series::SeriesBuilder;
use crate::table::inexact::Inexact;
use crate::walk::Group;
use crate::{name_of, slashed};

/// Params and tags longer than this are cut by nobody else either.
const WORD_BYTES_MAX: u64 = 1 << 20;
/// Keys are nested as folders, this deep at most.
const DEPTH_MAX: usize = 64;

/// What is told of links.
pub(crate) const LINK: &str = "a link; not followed in a store of MLflow";

/// What a folder is to MLflow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A run.
    Run,
    /// An experiment, which has runs as folders.
    Experiment,
    /// A registered model, which has versions as folders.
    Model,
    /// A version of a registered model.
    Version,
    /// None of them.
    Other,
}

/// What a folder with these entries is.
pub(crate) fn recognise(folder: &Path, names: &[String]) -> Kind {
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if !has("meta.yaml") {
        return Kind::Other;
    }
    let looks_like_run = has("metrics") || has("params");
    match meta::read(&folder.join("meta.yaml")) {
        Ok(meta) if meta.get("version").is_some() && meta.get("name").is_some() => Kind::Version,
        Ok(meta) if meta.get("model_id").is_some() => Kind::Other,
        Ok(meta) if meta.first(&["run_uuid", "run_id"]).is_some() => Kind::Run,
        Ok(meta) if meta.get("experiment_id").is_some() && !looks_like_run => Kind::Experiment,
        Ok(meta) if meta.get("name").is_some() && meta.get("creation_timestamp").is_some() => Kind::Model,
        Ok(_) | Err(_) if looks_like_run => Kind::Run,
        Ok(_) | Err(_) => Kind::Other,
    }
}

/// Whether a folder in an experiment's folder is a run, even one whose meta file is missing.
pub(crate) fn may_be_run(folder: &Path) -> bool {
    let name = name_of(folder);
    let is_id = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id || ["meta.yaml", "metrics", "params"].iter().any(|name| folder.join(name).exists())
}

/// Reads a run's folder that stands alone, with what is known of its experiment.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    each_file(group, "", context, |file, _, context| {
        if let Some(experiment) = file.path.parent().filter(|parent| parent.join("meta.yaml").exists()) {
            store::emit(experiment, context)?;
        }
        Ok(read_run(&file.path, &file.relative, context)?)
    })
}

/// Reads a run's folder.
pub(crate) fn read_run(folder: &Path, relative: &str, context: &mut Context<'_>) -> Result<(), ImportError> {
    let meta_path = folder.join("meta.yaml");
    let meta = meta::read(&meta_path).unwrap_or_else(|reason| {
        context.skip(&meta_path, Some(0), format!("{reason}; the run is imported without it"));
        Meta::default()
    });
    let parent = folder.parent().unwrap_or(folder);
    let experiment = meta::read(&parent.join("meta.yaml")).unwrap_or_default();
    let folder_name = name_of(folder);
    let ids = [meta.first(&["run_uuid", "run_id"]), Some(folder_name.as_str())];
    let id = ids.into_iter().flatten().find_map(|id| RunId::new(id).ok());
    let id = id.unwrap_or_else(|| RunId::derived("mlruns", relative));
    let series = read_metrics(folder, context);
    let params = read_words(&folder.join("params"), context);
    let mut tags = read_words(&folder.join("tags"), context);
    add_code_tags(&mut tags, |name| meta.owned(name));
    let run = StoredRun {
        source: format!("mlruns:{relative}"),
        experiment: experiment.owned("name"),
        name: meta.first(&["run_name", "name"]).map(str::to_owned),
        name_of_last_resort: id.to_string(),
        user: meta.owned("user_id"),
        status: meta.owned("status"),
        start: meta.owned("start_time"),
        end: meta.owned("end_time"),
        is_deleted: meta.is_deleted(folder) || experiment.is_deleted(parent),
        params,
        tags,
        series,
        attached: attached(folder, &id, &meta, context),
        id,
    };
    let mut run = run.into_run("", &meta_path, context);
    run.attached.items = read_links(folder, parent, context);
    context.emit(run, folder)
}

/// What belongs to a run besides its links: its experiment, its deletion, and its artifacts.
fn attached(folder: &Path, id: &RunId, meta: &Meta, context: &Context<'_>) -> Attached {
    let experiment = folder.parent().unwrap_or(folder);
    let store = experiment.parent().and_then(Path::parent).unwrap_or(experiment);
    let key = store::key(experiment);
    let uri = meta.owned("artifact_uri");
    let artifacts = place::of(uri.as_deref(), id.as_str(), Some(folder.join("artifacts")), store);
    Attached {
        experiment_key: context.knows_experiment(&key).then_some(key),
        deleted_ms: meta.ms("deleted_time"),
        artifacts: artifacts.into_iter().collect(),
        artifact_uri: uri,
        ..Attached::default()
    }
}

/// The series of a run; reports files that cannot be read.
fn read_metrics(folder: &Path, context: &mut Context<'_>) -> Vec<ImportedSeries> {
    let mut builder = SeriesBuilder::default();
    for (key, path) in files_below(&folder.join("metrics"), context) {
        if let Err(error) = read_metric(folder, &key, &path, &mut builder, context) {
            context.unread(&path, format!("cannot be read: {error}"));
        }
    }
    builder.finish()
}

/// What a run read and made: datasets, logged models.
fn read_links(folder: &Path, experiment: &Path, context: &mut Context<'_>) -> Vec<(u8, String, String)> {
    let mut items = Vec::new();
    for (kind, below) in [("inputs", MODEL_INPUT), ("outputs", MODEL_OUTPUT)] {
        let links = folder.join(kind);
        if !links.is_dir() {
            continue;
        }
        for link in store::folders(&links, context) {
            let meta_path = link.join("meta.yaml");
            let meta = meta::read(&meta_path).unwrap_or_default();
            let source = meta.get("source_id").unwrap_or_default();
            let other = if kind == "outputs" { meta.get("destination_id").unwrap_or(source) } else { source };
            match meta.get("source_type") {
                Some("DATASET") => match read_dataset(&experiment.join("datasets").join(source)) {
                    Some(dataset) => items.push(dataset.item(&nested::read(&meta_path, "tags"))),
                    None => context.leave_out(
                        &link,
                        Import::Dataset,
                        1,
                        "its description is not in the experiment's folder",
                    ),
                },
                Some("MODEL" | "RUN_INPUT" | "MODEL_INPUT" | "RUN_OUTPUT" | "MODEL_OUTPUT") if !other.is_empty() => {
                    let step = if kind == "outputs" { meta.get("step").unwrap_or("0") } else { "" };
                    items.push((below, other.to_owned(), step.to_owned()));
                }
                _ => context.leave_out(
                    &link,
                    Import::Other,
                    1,
                    "an input or output that is neither a dataset nor a model",
                ),
            }
        }
    }
    items
}

fn read_dataset(folder: &Path) -> Option<Dataset> {
    let meta = meta::read(&folder.join("meta.yaml")).ok()?;
    Some(Dataset {
        name: meta.owned("name")?,
        digest: meta.owned("digest")?,
        source_type: meta.word("source_type"),
        source: meta.word("source"),
        schema: meta.owned("schema"),
        profile: meta.owned("profile"),
    })
}

/// All files below a folder with their relative paths, sorted; MLflow nests a key with slashes.
pub(crate) fn files_below(folder: &Path, context: &mut Context<'_>) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut pending = vec![(folder.to_path_buf(), 0)];
    if folder.is_symlink() {
        context.skip(folder, None, LINK);
        return found;
    }
    while let Some((next, depth)) = pending.pop() {
        let listing = match fs::read_dir(&next) {
            Ok(listing) => listing,
            // A run without params has no folder for them.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                context.cannot_list(&next, &error);
                continue;
            }
        };
        for path in listing.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            // What a link leads to is not the store's, and may be any file of whoever imports it.
            match fs::symlink_metadata(&path) {
                Ok(kind) if kind.is_symlink() => context.skip(&path, None, LINK),
                Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => pending.push((path, depth + 1)),
                Ok(kind) if kind.is_file() => found.push((slashed(path.strip_prefix(folder).unwrap_or(&path)), path)),
                _ => context.skip(&path, None, "neither a file nor a folder to look into; passed over"),
            }
        }
    }
    found.sort();
    found
}

/// Params or tags: each is a file.
pub(crate) fn read_words(folder: &Path, context: &mut Context<'_>) -> Vec<(String, String)> {
    let mut words = Vec::new();
    for (key, path) in files_below(folder, context) {
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(WORD_BYTES_MAX).read_to_end(&mut bytes)) {
            Ok(_) => match String::from_utf8(bytes) {
                Ok(text) => words.push((key, text)),
                Err(_) => context.skip(&path, Some(0), "no UTF-8; left out"),
            },
            Err(error) => context.unread(&path, format!("cannot be read: {error}")),
        }
    }
    words
}

/// A metric's file in a run's folder: a line for each point, `timestamp value step`; old versions wrote no step, new
/// ones add a dataset.
fn read_metric(
    folder: &Path,
    key: &str,
    path: &Path,
    builder: &mut SeriesBuilder,
    context: &mut Context<'_>,
) -> std::io::Result<()> {
    let mut lines = Lines::new(File::open(path)?);
    let (mut with_dataset, mut inexact) = (0, Inexact::default());
    while let Some(line) = lines.next()? {
        if line.bytes.trim_ascii().is_empty() && !line.too_long {
            continue;
        }
        // MLflow ends each line; what has no end was cut, and a cut number would be a wrong one.
        if !line.ended || line.too_long {
            context.skip(path, Some(line.offset), "a torn line, without its line break; passed over");
            continue;
        }
        let fields = std::str::from_utf8(line.bytes).unwrap_or_default().split_whitespace().collect::<Vec<_>>();
        let point = match fields[..] {
            [timestamp, value] => Some((timestamp, value, "0")),
            [timestamp, value, step] | [timestamp, value, step, ..] => Some((timestamp, value, step)),
            _ => None,
        };
        let point = point.and_then(|(timestamp, value, step)| {
            Some((milliseconds(timestamp)?, number::value(value)?, number::step(step)?))
        });
        match point {
            Some((timestamp_ms, value, step)) => {
                inexact.look(fields[1], value, line.offset);
                with_dataset += u64::from(fields.len() > 3);
                builder.push(key, step, Some(timestamp_ms), value);
            }
            None => context.skip(path, Some(line.offset), "a line that is not `timestamp value step`; passed over"),
        }
    }
    inexact.tell(path, context);
    let why = "names of the datasets by which points were measured: a point has no place for them";
    context.leave_out(folder, Import::Other, with_dataset, why);
    Ok(())
}
