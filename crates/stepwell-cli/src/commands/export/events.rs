//! Each run as a folder with a TensorBoard event file.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use stepwell::{RunSnapshot, RunStatus};
use stepwell_import::{Ending, EventWriter};

use super::{Damage, Export, Written, as_path, at_zero, check_free, each_series, whole_file, write_runs, write_words};
use crate::failure::{Failure, Outcome};

/// Writes a folder for each run, named as the run where no other has the name, and `runs.json`.
pub(super) fn write(export: &mut Export<'_>) -> Outcome<Written> {
    check_free(&export.to.join(super::RUNS), export.overwrite)?;
    let (to, overwrite, workspace) = (export.to.to_owned(), export.overwrite, export.workspace.clone());
    let (mut taken, mut written) = (HashSet::from([super::RUNS.to_owned()]), Written::default());
    export.each_run(|damage, run| {
        let folder = to.join(folder_name(run, &mut taken));
        let start = run.state().start_time_ms().unwrap_or(0);
        let path = folder.join(format!("events.out.tfevents.{}.stepwell", start.div_euclid(1000)));
        check_free(&path, overwrite)?;
        fs::create_dir_all(&folder).map_err(Failure::io("create", &folder))?;
        let mut times_at_zero = BTreeMap::new();
        whole_file(&path, |file| {
            let mut out = BufWriter::new(file);
            let (series, points) = write_run(run, &mut out, damage, &path, &mut times_at_zero)?;
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
    damage: &mut Damage,
    path: &std::path::Path,
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
    let counts = each_series(run, damage, |_, key, columns| {
        let zero = at_zero(columns);
        if !zero.is_empty() {
            times_at_zero.insert(key.to_owned(), zero);
        }
        events.scalars(key, columns).map_err(failed())?;
        Ok(true)
    })?;
    let ending = match state.status() {
        RunStatus::Finished => Ending::Success,
        RunStatus::Failed | RunStatus::Killed => Ending::Failure,
        RunStatus::Running | RunStatus::Scheduled => Ending::Running,
    };
    events.end(ending, state.end_time_ms().unwrap_or(0)).map_err(failed())?;
    Ok(counts)
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
