//! Runs in MLflow's folder layout, which MLflow's tools and older releases read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use stepwell::base::point::{Columns, Point};
use stepwell::run::snapshot::RunSnapshot;
use stepwell::workspace::catalog::Experiment;

use super::{Damage, Export, Written, as_path, check_free, each_series};
use crate::failure::{Failure, Outcome};
use crate::output;

/// Writes `EXPERIMENT/meta.yaml` and `EXPERIMENT/RUN/` for each run.
pub(super) fn write(export: &mut Export<'_>) -> Outcome<Written> {
    let (to, overwrite, workspace) = (export.to.to_owned(), export.overwrite, export.workspace.clone());
    let (mut written, mut experiments) = (Written::default(), BTreeSet::new());
    export.each_run(|damage, run| {
        let number = run.state().experiment.to_string();
        let experiment = to.join(&number);
        fs::create_dir_all(&experiment).map_err(Failure::io("create", &experiment))?;
        let meta = experiment.join("meta.yaml");
        if experiments.insert(run.state().experiment) {
            let known = workspace.experiment(run.state().experiment).ok();
            let text = experiment_meta(&number, &experiment, run, known.as_ref());
            // An experiment that an export wrote before may get further runs.
            if fs::read_to_string(&meta).ok().as_ref() != Some(&text) {
                check_free(&meta, overwrite)?;
                put(&meta, text.as_bytes(), &mut written)?;
            }
        }
        let folder = experiment.join(run.id().as_str());
        check_free(&folder, overwrite)?;
        // Artifacts are not the export's to replace.
        for part in ["metrics", "params", "tags"].map(|part| folder.join(part)).iter().filter(|part| part.exists()) {
            fs::remove_dir_all(part).map_err(Failure::io("remove", part))?;
        }
        let deleted = workspace.counts_as_deleted(run.state())?;
        write_run(run, deleted, &folder, damage, &mut written)
    })?;
    Ok(written)
}

fn write_run(
    run: &RunSnapshot,
    deleted: bool,
    folder: &Path,
    damage: &mut Damage,
    written: &mut Written,
) -> Outcome<()> {
    for part in ["metrics", "params", "tags", "artifacts"] {
        let path = folder.join(part);
        fs::create_dir_all(&path).map_err(Failure::io("create", &path))?;
    }
    put(&folder.join("meta.yaml"), run_meta(run, deleted, folder).as_bytes(), written)?;
    let words = [("params", run.state().params().collect::<Vec<_>>()), ("tags", run.state().tags().collect())];
    for (part, words) in words {
        for (key, value) in words {
            put_key(run, folder, part, key, value.as_bytes(), damage, written)?;
        }
    }
    let (series, points) = each_series(run, damage, |damage, key, columns| {
        put_key(run, folder, "metrics", key, metric_lines(columns).as_bytes(), damage, written)
    })?;
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

/// Writes a file named by a key; a key that cannot be a path, or stands in the way of another, is named and left out.
fn put_key(
    run: &RunSnapshot,
    folder: &Path,
    part: &str,
    key: &str,
    bytes: &[u8],
    damage: &mut Damage,
    written: &mut Written,
) -> Outcome<()> {
    let path: Option<PathBuf> = as_path(key).map(|key| folder.join(part).join(key));
    let free = path.filter(|path| {
        let folder = path.parent().unwrap_or(path);
        !path.exists() && fs::create_dir_all(folder).is_ok()
    });
    match free {
        Some(path) => put(&path, bytes, written),
        None => {
            damage.tell(format!("{key:?} in {part} of run {}: it cannot be a file's name here", run.id()));
            Ok(())
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

fn run_meta(run: &RunSnapshot, deleted: bool, folder: &Path) -> String {
    let state = run.state();
    let time = |time: Option<i64>| time.map_or_else(|| "null".to_owned(), |time| time.to_string());
    let id = quoted(run.id().as_str());
    format!(
        "artifact_uri: {}\nend_time: {}\nentry_point_name: ''\nexperiment_id: {}\nlifecycle_stage: {}\nrun_id: {id}\n\
         run_name: {}\nrun_uuid: {id}\nsource_name: ''\nsource_type: 4\nsource_version: ''\nstart_time: {}\nstatus: {}\n\
         tags: []\nuser_id: {}\n",
        quoted(&folder.join("artifacts").to_string_lossy()),
        time(state.end_time_ms()),
        quoted(&state.experiment.to_string()),
        if deleted { "deleted" } else { "active" },
        quoted(state.name()),
        time(state.start_time_ms()),
        state.status() as u8,
        quoted(state.user()),
    )
}

/// A text as YAML's double-quoted form, which JSON's strings are.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
