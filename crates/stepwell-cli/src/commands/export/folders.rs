//! Runs in MLflow's folder layout, which MLflow's tools and older releases read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use stepwell::{Columns, Experiment, Point, RunSnapshot};

use super::{
    Export, PLAIN_NAN, TIME_0, Told, Written, as_path, at_zero, check_free, each_series, odd_nans, tell_points,
    without_time, write_words,
};
use crate::failure::{Failure, Outcome};
use crate::output;

/// Writes `EXPERIMENT/meta.yaml` and `EXPERIMENT/RUN/` for each run.
pub(super) fn write(export: &mut Export<'_>) -> Outcome<Written> {
    let (overwrite, workspace) = (export.overwrite, export.workspace.clone());
    // MLflow keeps where artifacts are as a whole path.
    let to = fs::canonicalize(export.to).map_err(Failure::io("look at", export.to))?;
    let (mut written, mut experiments) = (Written::default(), BTreeSet::new());
    export.each_run(|told, run| {
        let number = run.state().experiment.to_string();
        let experiment = to.join(&number);
        fs::create_dir_all(&experiment).map_err(Failure::io("create", &experiment))?;
        let meta = experiment.join("meta.yaml");
        if experiments.insert(run.state().experiment) {
            let known = workspace.experiments().get(run.state().experiment).ok();
            let text = experiment_meta(&number, &experiment, run, known.as_ref());
            // An experiment that an export wrote before may get further runs.
            if fs::read_to_string(&meta).ok().as_ref() != Some(&text) {
                check_free(&meta, overwrite)?;
                put(&meta, text.as_bytes(), &mut written)?;
            }
            let tags = experiment.join("tags");
            if tags.exists() {
                fs::remove_dir_all(&tags).map_err(Failure::io("remove", &tags))?;
            }
            let what = format!("experiment {number}");
            for (key, value) in known.iter().flat_map(|known| &known.tags) {
                put_key(&what, &experiment, "tags", key, value.as_bytes(), told, &mut written)?;
            }
        }
        let folder = run_folder(&to, run);
        check_free(&folder, overwrite)?;
        // Artifacts are not the export's to replace.
        for part in ["metrics", "params", "tags"].map(|part| folder.join(part)).iter().filter(|part| part.exists()) {
            fs::remove_dir_all(part).map_err(Failure::io("remove", part))?;
        }
        let deleted = workspace.counts_as_deleted(run.state())?;
        write_run(run, deleted, &folder, told, &mut written)
    })?;
    Ok(written)
}

/// Where a run is below the export's folder.
pub(super) fn run_folder(to: &Path, run: &RunSnapshot) -> PathBuf {
    to.join(run.state().experiment.to_string()).join(run.id().as_str())
}

fn write_run(run: &RunSnapshot, deleted: bool, folder: &Path, told: &mut Told, written: &mut Written) -> Outcome<()> {
    for part in ["metrics", "params", "tags", "artifacts"] {
        let path = folder.join(part);
        fs::create_dir_all(&path).map_err(Failure::io("create", &path))?;
    }
    let (mut first_ms, mut times_at_zero, mut counts) = (None::<i64>, BTreeMap::new(), BTreeMap::new());
    let (mut nans, mut no_time) = (0, 0);
    let what = format!("run {}", run.id());
    let words = [("params", run.state().params().collect::<Vec<_>>()), ("tags", run.state().tags().collect())];
    for (part, words) in words {
        for (key, value) in words {
            put_key(&what, folder, part, key, value.as_bytes(), told, written)?;
        }
    }
    let (series, points) = each_series(run, told, |told, key, columns| {
        let is_written = put_key(&what, folder, "metrics", key, metric_lines(columns).as_bytes(), told, written)?;
        let zero = at_zero(columns);
        if is_written {
            counts.insert(key.to_owned(), columns.len() as u64);
            nans += odd_nans(columns);
            no_time += without_time(columns);
        }
        if is_written && !zero.is_empty() {
            times_at_zero.insert(key.to_owned(), zero);
        }
        let first = columns.iter().filter_map(|point| point.timestamp_ms).min();
        first_ms = first_ms.into_iter().chain(first).min();
        Ok(is_written)
    })?;
    tell_points(told, run, nans, PLAIN_NAN);
    tell_points(told, run, no_time, TIME_0);
    // MLflow reads no run without a start.
    let start_ms = run.state().start_time_ms().or(first_ms).unwrap_or(0);
    put(&folder.join("meta.yaml"), run_meta(run, deleted, folder, start_ms).as_bytes(), written)?;
    written.files.push(write_words(run, deleted, folder, Some(start_ms), times_at_zero, counts)?);
    written.runs += 1;
    written.series += series;
    written.points += points;
    Ok(())
}

/// A line for each point: `timestamp value step`, numbers as Python reads them.
fn metric_lines(columns: &Columns) -> String {
    let mut text = String::new();
    for Point { step, timestamp_ms, value } in columns.iter() {
        let value = match value {
            nan if nan.is_nan() => "nan".to_owned(),
            infinite if infinite.is_infinite() => (if infinite > 0.0 { "inf" } else { "-inf" }).to_owned(),
            finite => output::Value(finite).to_string(),
        };
        let _ = writeln!(text, "{} {value} {step}", timestamp_ms.unwrap_or(0));
    }
    text
}

/// Writes a file named by a key. If MLflow does not accept the key, or it cannot be a path, or it conflicts with
/// another, it is reported and left out. Returns whether the file was written.
fn put_key(
    what: &str,
    folder: &Path,
    part: &str,
    key: &str,
    bytes: &[u8],
    told: &mut Told,
    written: &mut Written,
) -> Outcome<bool> {
    let is_good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | ' ' | ':' | '/');
    let path: Option<PathBuf> =
        as_path(key).filter(|_| key.chars().all(is_good)).map(|key| folder.join(part).join(key));
    let free = path.filter(|path| {
        let folder = path.parent().unwrap_or(path);
        !path.exists() && fs::create_dir_all(folder).is_ok()
    });
    match free {
        Some(path) => put(&path, bytes, written).map(|()| true),
        None => {
            told.leave_out(format!("{key:?} in {part} of {what}: it cannot be a file's name here"));
            Ok(false)
        }
    }
}

fn put(path: &Path, bytes: &[u8], written: &mut Written) -> Outcome<()> {
    let create = fs::File::create(path);
    create.and_then(|mut file| file.write_all(bytes)).map_err(Failure::io("write", path))?;
    written.files.push(path.to_owned());
    Ok(())
}

fn experiment_meta(number: &str, folder: &Path, run: &RunSnapshot, known: Option<&Experiment>) -> String {
    let name = known.map_or(run.state().experiment_name.as_str(), |known| known.name.as_str());
    let (created, updated) = known.map_or((0, 0), |known| (known.created_ms, known.updated_ms));
    let stage = if known.is_some_and(|known| known.deleted) { "deleted" } else { "active" };
    format!(
        "artifact_location: {}\ncreation_time: {created}\nexperiment_id: {}\nlast_update_time: {updated}\n\
         lifecycle_stage: {stage}\nname: {}\n",
        quoted(&folder.to_string_lossy()),
        quoted(number),
        quoted(name),
    )
}

fn run_meta(run: &RunSnapshot, deleted: bool, folder: &Path, start_ms: i64) -> String {
    let state = run.state();
    let time = |time: Option<i64>| time.map_or_else(|| "null".to_owned(), |time| time.to_string());
    let id = quoted(run.id().as_str());
    format!(
        "artifact_uri: {}\nend_time: {}\nentry_point_name: ''\nexperiment_id: {}\nlifecycle_stage: {}\nrun_id: {id}\n\
         run_name: {}\nrun_uuid: {id}\nsource_name: ''\nsource_type: 4\nsource_version: ''\nstart_time: {}\nstatus: \
         {}\n\
         tags: []\nuser_id: {}\n",
        quoted(&folder.join("artifacts").to_string_lossy()),
        time(state.end_time_ms()),
        quoted(&state.experiment.to_string()),
        if deleted { "deleted" } else { "active" },
        quoted(state.name()),
        start_ms,
        state.status() as u8,
        quoted(state.user()),
    )
}

/// A text as YAML's double-quoted form, which JSON's strings are.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
