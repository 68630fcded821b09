//! The form in which the workspace takes an imported run.

use std::collections::BTreeSet;

use stepwell::import::RunImport;
use stepwell::items::{ARTIFACT_URI, IMPORTED_PART, LOGGED_MODEL};
use stepwell::limits::{KEY_CHARS_MAX, PARAM_VALUE_CHARS_MAX, RUN_NAME_CHARS_MAX, TAG_VALUE_CHARS_MAX, check_key};
use stepwell::{Columns, Error, Experiment, RunId, Timestamps, Workspace, now_ms};
use stepwell_import::{ImportedRun, ImportedSeries, Kind};

/// Fits metadata and keys into MLflow's limits: long values are cut as MLflow cuts them, and values whose key no
/// tracker could show are left out. Each is reported.
pub(super) fn fit(run: &mut ImportedRun) -> Vec<(Kind, u64, String)> {
    let mut notes = Vec::new();
    let mut cut = |kind: Kind, what: String, value: &mut String, chars_max: usize| {
        if let Some((at, _)) = value.char_indices().nth(chars_max) {
            let chars = value.chars().count();
            value.truncate(at);
            notes.push((kind, 1, format!("{what} of run {} was cut from {chars} to {chars_max} characters", run.id)));
        }
    };
    cut(Kind::Run, "the name".into(), &mut run.name, RUN_NAME_CHARS_MAX);
    cut(Kind::Run, "the user".into(), &mut run.user, RUN_NAME_CHARS_MAX);
    for (key, value) in &mut run.params {
        cut(Kind::Param, format!("param {key:?}"), value, PARAM_VALUE_CHARS_MAX);
    }
    for (key, value) in &mut run.tags {
        cut(Kind::Tag, format!("tag {key:?}"), value, TAG_VALUE_CHARS_MAX);
    }
    let mut good = |kind: Kind, what: &'static str, key: &str| {
        let good = check_key(what, key).is_ok();
        if !good {
            let start: String = key.chars().take(40).collect();
            let why = format!("{start:?} is empty or longer than {KEY_CHARS_MAX} characters");
            notes.push((kind, 1, format!("a {what} of run {} was left out: {why}", run.id)));
        }
        good
    };
    run.params.retain(|(key, _)| good(Kind::Param, "param key", key));
    run.tags.retain(|(key, _)| good(Kind::Tag, "tag key", key));
    run.series.retain(|series| good(Kind::Series, "metric key", &series.key));
    notes
}

/// The run as the workspace takes it. `place` is where its files were copied to.
pub(super) fn store_form(
    workspace: &Workspace,
    run: ImportedRun,
    experiment: &Experiment,
    place: Option<String>,
    starts: &mut BTreeSet<i64>,
) -> Result<RunImport, Error> {
    let attached = run.attached;
    // A run without a part or a deletion of its own costs no look at the workspace.
    let needs_known = run.deleted || attached.part.is_some() || attached.artifact_uri.is_some();
    let known = if needs_known { workspace.find_run(&run.id)? } else { None };
    let state = known.as_ref().map(|known| known.state());
    let deleted_ms = if run.deleted {
        // Where a source does not say since when, the time of the first import stays.
        let since = state.and_then(|state| state.deleted_ms());
        Some(since.or(attached.deleted_ms).unwrap_or_else(now_ms))
    } else {
        None
    };
    let mut items = attached.items;
    let own_place = match (place, attached.artifact_uri) {
        (Some(place), _) => Some(place),
        // Files may have been copied here since the run was imported first: then the place here stays.
        (None, Some(uri)) if state.is_none() => {
            Some(uri).filter(|uri| *uri != derived(experiment, &run.id, attached.kind))
        }
        _ => None,
    };
    items.extend(own_place.map(|place| (ARTIFACT_URI, String::new(), place)));
    let mut start_time_ms = run.start_time_ms;
    let mut keep_metadata = false;
    if let Some(part) = &attached.part {
        // The words of the latest start stand, in whatever order the parts come; the run starts with its earliest.
        let known = state.into_iter().flat_map(|state| state.items(IMPORTED_PART));
        starts.extend(known.filter_map(|(_, at)| at.parse::<i64>().ok()));
        keep_metadata = starts.last().is_some_and(|latest| part.started_ms.is_none_or(|own| own < *latest));
        starts.extend(part.started_ms);
        start_time_ms = starts.first().copied().or(start_time_ms);
        let since = part.started_ms.map(|time| time.to_string()).unwrap_or_default();
        items.push((IMPORTED_PART, part.id.clone(), since));
    }
    Ok(RunImport {
        own_id: run.own_id,
        name: run.name,
        user: run.user,
        status: run.status,
        start_time_ms,
        end_time_ms: run.end_time_ms,
        deleted_ms,
        params: run.params,
        tags: run.tags,
        items,
        kind: attached.kind,
        series: run.series.into_iter().map(columns).collect(),
        part: attached.part.map(|part| part.id).unwrap_or_default(),
        keep_metadata,
        ..RunImport::new(run.id, experiment.id)
    })
}

/// Where the artifacts of a run are by its experiment's place, if that is known.
fn derived(experiment: &Experiment, run: &RunId, kind: u8) -> String {
    let root = experiment.artifact_location.trim_end_matches('/');
    match (root, kind) {
        ("", _) => String::new(),
        (root, LOGGED_MODEL) => format!("{root}/models/{run}/artifacts"),
        (root, _) => format!("{root}/{run}/artifacts"),
    }
}

fn columns(series: ImportedSeries) -> (String, Columns) {
    let len = series.values.len();
    let timestamps = match series.timestamps_ms {
        Some(timestamps) => timestamps.into_iter().collect(),
        None => Timestamps { ms: vec![0; len], absent: vec![true; len] },
    };
    (series.key, Columns { steps: series.steps, timestamps, values: series.values })
}
