//! A run in MLflow's folder store: `EXPERIMENT/RUN/meta.yaml` with folders of metrics, params and tags.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use stepwell::base::ids::RunId;
use stepwell::index::summary::RunStatus;

use crate::context::Context;
use crate::lines::Lines;
use crate::mlflow::meta::{self, Meta};
use crate::number;
use crate::run::{ImportError, ImportedRun};
use crate::series::Gather;
use crate::slashed;
use crate::walk::Group;

/// Params and tags longer than this are cut by nobody else either.
const WORD_BYTES_MAX: u64 = 1 << 20;
/// Keys are nested as folders, this deep at most.
const DEPTH_MAX: usize = 64;

/// What a folder is to MLflow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A run.
    Run,
    /// An experiment, which has runs as folders.
    Experiment,
    /// Neither.
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
        Ok(meta) if meta.get("model_id").is_some() => Kind::Other,
        Ok(meta) if meta.first(&["run_uuid", "run_id"]).is_some() => Kind::Run,
        Ok(meta) if meta.get("experiment_id").is_some() && !looks_like_run => Kind::Experiment,
        Ok(_) | Err(_) if looks_like_run => Kind::Run,
        Ok(_) | Err(_) => Kind::Other,
    }
}

/// Reads a run's folder.
pub(crate) fn read(group: &Group, context: &mut Context<'_>) -> Result<(), ImportError> {
    for file in &group.files {
        read_run(&file.path, &file.relative, context)?;
        context.advance(&file.path, file.bytes);
    }
    Ok(())
}

fn read_run(folder: &Path, relative: &str, context: &mut Context<'_>) -> Result<(), ImportError> {
    let meta_path = folder.join("meta.yaml");
    let meta = meta::read(&meta_path).unwrap_or_else(|reason| {
        context.skip(&meta_path, Some(0), format!("{reason}; the run is imported without it"));
        Meta::default()
    });
    let experiment = folder.parent().and_then(|parent| meta::read(&parent.join("meta.yaml")).ok()).unwrap_or_default();
    let folder_name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let id = [meta.first(&["run_uuid", "run_id"]), Some(folder_name.as_str())]
        .into_iter()
        .flatten()
        .find_map(|id| RunId::new(id).ok());
    let id = id.unwrap_or_else(|| RunId::derived("mlruns", relative));

    let mut gather = Gather::default();
    for (key, path) in files_below(&folder.join("metrics"), context) {
        if let Err(error) = read_metric(&key, &path, &mut gather, context) {
            context.skip(&path, None, format!("cannot be read: {error}"));
        }
    }
    let params = read_words(&folder.join("params"), context);
    let tags = read_words(&folder.join("tags"), context);
    let tag = |wanted: &str| tags.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone());
    let in_trash = folder.components().any(|part| part.as_os_str() == ".trash");
    let is_deleted = |meta: &Meta| meta.get("lifecycle_stage") == Some("deleted");
    let run = ImportedRun {
        source: format!("mlruns:{relative}"),
        experiment: experiment.get("name").map(str::to_owned),
        name: meta
            .first(&["run_name", "name"])
            .map(str::to_owned)
            .or_else(|| tag("mlflow.runName"))
            .unwrap_or_else(|| id.to_string()),
        id,
        user: meta.get("user_id").map(str::to_owned).or_else(|| tag("mlflow.user")).unwrap_or_default(),
        status: meta.get("status").and_then(status_of).unwrap_or(RunStatus::Finished),
        start_time_ms: meta.get("start_time").and_then(number::step),
        end_time_ms: meta.get("end_time").and_then(number::step),
        deleted: in_trash || is_deleted(&meta) || is_deleted(&experiment),
        params,
        tags,
        series: gather.finish(),
    };
    context.emit(run, folder)
}

/// A status as MLflow's number or name.
pub(crate) fn status_of(text: &str) -> Option<RunStatus> {
    match text.parse::<u8>() {
        Ok(number) => RunStatus::ALL.into_iter().find(|status| *status as u8 == number),
        Err(_) => text.parse().ok(),
    }
}

/// All files below a folder with their relative paths, sorted; MLflow nests a key with slashes.
fn files_below(folder: &Path, context: &mut Context<'_>) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut pending = vec![(folder.to_path_buf(), 0)];
    while let Some((next, depth)) = pending.pop() {
        let listing = match fs::read_dir(&next) {
            Ok(listing) => listing,
            // A run without params has no folder for them.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                context.skip(&next, None, format!("cannot list the folder: {error}"));
                continue;
            }
        };
        for path in listing.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            match fs::metadata(&path) {
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
fn read_words(folder: &Path, context: &mut Context<'_>) -> Vec<(String, String)> {
    let mut words = Vec::new();
    for (key, path) in files_below(folder, context) {
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(WORD_BYTES_MAX).read_to_end(&mut bytes)) {
            Ok(_) => match String::from_utf8(bytes) {
                Ok(text) => words.push((key, text)),
                Err(_) => context.skip(&path, Some(0), "no UTF-8; left out"),
            },
            Err(error) => context.skip(&path, None, format!("cannot be read: {error}")),
        }
    }
    words
}

/// A metric's file: a line for each point, `timestamp value step`; old versions wrote no step, new ones add a dataset.
fn read_metric(key: &str, path: &Path, gather: &mut Gather, context: &mut Context<'_>) -> std::io::Result<()> {
    let mut lines = Lines::new(File::open(path)?);
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
            Some((number::step(timestamp)?, number::value(value)?, number::step(step)?))
        });
        match point {
            Some((timestamp_ms, value, step)) => gather.push(key, step, Some(timestamp_ms), value),
            None => context.skip(path, Some(line.offset), "a line that is not `timestamp value step`; passed over"),
        }
    }
    Ok(())
}
