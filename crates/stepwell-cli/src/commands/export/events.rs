//! Each run as a folder with a TensorBoard event file.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use stepwell::{RunSnapshot, RunStatus};
use stepwell_import::{Ending, EventWriter, is_event_time};

use super::{
    Export, TIME_0, Told, Written, as_path, at_zero, check_free, each_series, tell_points, whole_file, without_time,
    write_runs, write_words,
};
use crate::failure::{Failure, Outcome};

/// How the names of event files begin.
const EVENTS: &str = "events.out.tfevents.";
/// How the names of those end that an export writes.
const OWN: &str = ".stepwell";

/// Writes a folder for each run, named as the run where no other has the name, and `runs.json`.
pub(super) fn write(export: &mut Export<'_>) -> Outcome<Written> {
    check_free(&export.to.join(super::RUNS), export.overwrite)?;
    let (to, overwrite, workspace) = (export.to.to_owned(), export.overwrite, export.workspace.clone());
    let (mut taken, mut written) = (HashSet::from([super::RUNS.to_owned()]), Written::default());
    export.each_run(|told, run| {
        let folder = to.join(folder_name(run, &mut taken));
        let start = run.state().start_time_ms().unwrap_or(0);
        let path = folder.join(format!("{EVENTS}{}{OWN}", start.div_euclid(1000)));
        check_free(&path, overwrite)?;
        fs::create_dir_all(&folder).map_err(Failure::io("create", &folder))?;
        remove_other_events(&folder, &path, overwrite)?;
        let mut times_at_zero = BTreeMap::new();
        whole_file(&path, |file| {
            let mut out = BufWriter::new(file);
            let (series, points) = write_run(run, &mut out, told, &path, &mut times_at_zero)?;
            written.series += series;
            written.points += points;
            out.flush().map_err(Failure::io("write", &path))
        })?;
        written.files.push(path);
        let deleted = workspace.counts_as_deleted(run.state())?;
        written.files.push(write_words(run, deleted, &folder, None, times_at_zero, BTreeMap::new())?);
        Ok(())
    })?;
    let (runs, words) = write_runs(export)?;
    written.runs = runs;
    written.files.push(words);
    Ok(written)
}

fn write_run(
    run: &RunSnapshot,
    out: &mut impl Write,
    told: &mut Told,
    path: &Path,
    times_at_zero: &mut BTreeMap<String, Vec<u64>>,
) -> Outcome<(u64, u64)> {
    let state = run.state();
    let failed = || Failure::io("write", path);
    let mut events = EventWriter::new(out, state.start_time_ms().unwrap_or(0)).map_err(failed())?;
    let params: Vec<(&str, &str)> = state.params().collect();
    events.params(&params).map_err(failed())?;
    for (key, value) in state.tags() {
        events.text(key, value).map_err(failed())?;
    }
    let (mut no_time, mut other_time) = (0, 0);
    let counts = each_series(run, told, |_, key, columns| {
        no_time += without_time(columns);
        let is_other = |ms: &i64| !is_event_time(*ms);
        other_time += columns.iter().filter_map(|point| point.timestamp_ms).filter(is_other).count() as u64;
        let zero = at_zero(columns);
        if !zero.is_empty() {
            times_at_zero.insert(key.to_owned(), zero);
        }
        events.scalars(key, columns).map_err(failed())?;
        Ok(true)
    })?;
    tell_points(told, run, no_time, TIME_0);
    tell_points(told, run, other_time, "a time that seconds as a float do not hold; it is written as the nearest one");
    let ending = match state.status() {
        RunStatus::Finished => Ending::Success,
        RunStatus::Failed | RunStatus::Killed => Ending::Failure,
        RunStatus::Running | RunStatus::Scheduled => Ending::Running,
    };
    events.end(ending, state.end_time_ms().unwrap_or(0)).map_err(failed())?;
    Ok(counts)
}

/// Removes event files that earlier exports wrote for another start of the run, as all of a folder are one run.
fn remove_other_events(folder: &Path, own: &Path, overwrite: bool) -> Outcome<()> {
    for entry in fs::read_dir(folder).map_err(Failure::io("list", folder))? {
        let path = entry.map_err(Failure::io("list", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path != own && name.starts_with(EVENTS) && name.ends_with(OWN) {
            check_free(&path, overwrite)?;
            fs::remove_file(&path).map_err(Failure::io("remove", &path))?;
        }
    }
    Ok(())
}

/// The run's name where it can be a folder and none before has it, else its id. Nested folders would be runs in runs.
fn folder_name(run: &RunSnapshot, taken: &mut HashSet<String>) -> PathBuf {
    let id = run.id().as_str();
    let name = as_path(run.state().name()).map(|_| run.state().name().replace('/', "_"));
    let name = name.filter(|name| name.len() <= 250 && taken.insert(name.to_lowercase()));
    let free = |name: &String| taken.insert(name.to_lowercase());
    let by_id = || std::iter::once(id.to_owned()).chain((2..).map(|number| format!("{id}_{number}"))).find(free);
    PathBuf::from(name.or_else(by_id).unwrap_or_else(|| id.to_owned()))
}
