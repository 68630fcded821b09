//! `GET /api/stepwell/overview` and `POST /api/stepwell/runs`: experiments, and a window of the table of runs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use stepwell::query::{Cell, OrderKey, Profile, Query, View, parse_name};

use super::{Float, failed, select};
use crate::call::{Answer, Call, Outcome};
use crate::fault::{Code, Fault};
use crate::json::schema::{Field, Fields, Kind, many, one};
use crate::routes::Object;

/// Most columns, and most profiles, of one request.
const COLUMNS_MAX: usize = 100;
/// Most keys that are listed of each kind.
const KEYS_MAX: usize = 20_000;
/// About the bytes of one cell while an answer is made.
const CELL_BYTES: usize = 96;

const RUNS: &[Field] = &{
    let [ids, experiments, filter, order, view, offset, max] = select::SELECTION;
    let (columns, profiles) = (many("columns", Kind::Text), many("profiles", Kind::Text));
    let (keys, explain) = (one("keys", Kind::Bool), one("explain", Kind::Bool));
    [ids, experiments, filter, order, view, offset, max, columns, profiles, keys, explain]
};

/// An experiment, with how many runs it has.
#[derive(Serialize)]
struct ExperimentJson {
    experiment_id: String,
    name: String,
    deleted: bool,
    created_ms: i64,
    updated_ms: i64,
    runs: usize,
    tags: BTreeMap<String, String>,
}

/// `GET /api/stepwell/overview`.
pub(crate) fn overview(call: &Call<'_>) -> Outcome {
    let workspace = call.tracking().workspace();
    let bound = call.context.is_bound();
    let all = workspace.experiments().list().map_err(failed)?;
    let mine = all.into_iter().filter(|experiment| {
        !bound || call.context.may_reach(&[Object::Experiment(experiment.id.to_string())]).is_ok()
    });
    let mine: Vec<_> = mine.collect();
    let query = Query { view: View::All, experiments: mine.iter().map(|it| it.id).collect(), ..Query::default() };
    let (profiles, left_out) = workspace.profiles(&query, &[]).map_err(failed)?;
    call.context.left_out(&left_out);
    let experiments: Vec<ExperimentJson> = mine
        .into_iter()
        .map(|it| ExperimentJson {
            runs: profiles.experiments.get(&it.id).copied().unwrap_or(0),
            experiment_id: it.id.to_string(),
            name: it.name,
            deleted: it.deleted,
            created_ms: it.created_ms,
            updated_ms: it.updated_ms,
            tags: it.tags,
        })
        .collect();
    let name = workspace.root().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Answer::json(&json!({
        "workspace": name,
        "version": env!("CARGO_PKG_VERSION"),
        "bound": bound,
        "experiments": experiments,
        "left_out": left_out.len(),
    }))
}

/// `POST /api/stepwell/runs`.
pub(crate) fn runs(call: &Call<'_>) -> Outcome {
    let request = call.read(RUNS, &[])?;
    let query = match select::query(call, &request, 100) {
        // Half a filter is no failure while somebody types.
        Err(fault) if request.flag("explain") && fault.code == Code::InvalidParameterValue => {
            return Answer::json(&json!({ "mistake": fault.message }));
        }
        query => query?,
    };
    let (columns, profiled) = (names(&request, "columns")?, names(&request, "profiles")?);
    call.context.reserve(query.max_results.saturating_mul(columns.len() + 10).saturating_mul(CELL_BYTES))?;
    let workspace = call.tracking().workspace();
    let mut answer = serde_json::Map::new();
    let mut left_out = Vec::new();
    if query.max_results > 0 {
        let found = workspace.search(&query).map_err(failed)?;
        let rows = found.rows().map_err(failed)?;
        answer.insert("total".into(), found.total.into());
        answer.insert(
            "runs".into(),
            json!({
                "run_id": rows.iter().map(|row| row.run_id.as_str()).collect::<Vec<_>>(),
                "name": rows.iter().map(|row| row.name).collect::<Vec<_>>(),
                "experiment_id": rows.iter().map(|row| row.experiment_id.to_string()).collect::<Vec<_>>(),
                "status": rows.iter().map(|row| row.status.as_str()).collect::<Vec<_>>(),
                "start_ms": rows.iter().map(|row| row.start_time_ms).collect::<Vec<_>>(),
                "end_ms": rows.iter().map(|row| row.end_time_ms).collect::<Vec<_>>(),
                "user": rows.iter().map(|row| row.user).collect::<Vec<_>>(),
                "deleted": rows.iter().map(|row| row.deleted).collect::<Vec<_>>(),
            }),
        );
        let cells = found.cells(&columns).map_err(failed)?;
        answer
            .insert("columns".into(), cells.iter().map(|column| column.iter().map(cell).collect::<Vec<_>>()).collect());
        left_out.extend(found.unreadable.iter().cloned());
    }
    if !profiled.is_empty() || query.max_results == 0 {
        let (profiles, unread) = workspace.profiles(&query, &profiled).map_err(failed)?;
        answer.insert("total".into(), profiles.total.into());
        answer.insert("profiles".into(), profiles.columns.iter().map(profile).collect());
        left_out.extend(unread);
    }
    if request.flag("keys") {
        answer.insert("keys".into(), keys(call, &query)?);
    }
    left_out.sort();
    left_out.dedup();
    call.context.left_out(&left_out);
    answer.insert("left_out".into(), left_out.len().into());
    Answer::long_json(&answer, 64 << 10)
}

/// Columns as filters name them.
pub(super) fn names(request: &Fields, field: &str) -> Result<Vec<OrderKey>, Fault> {
    let names = request.texts(field);
    if names.len() > COLUMNS_MAX {
        return Err(Fault::invalid(format!("{} {field} are more than the limit of {COLUMNS_MAX}.", names.len())));
    }
    names.iter().map(|name| parse_name(name).map_err(failed)).collect()
}

fn cell(cell: &Cell) -> Value {
    match cell {
        Cell::Missing => Value::Null,
        Cell::Float(value) => json!(Float(*value)),
        Cell::Integer(value) => (*value).into(),
        Cell::Text(text) => text.as_str().into(),
    }
}

fn profile(profile: &Profile) -> Value {
    let range = profile.range.map(|(low, high)| [Float(low), Float(high)]);
    json!({
        "count": profile.count,
        "nan_count": profile.nan_count,
        "range": range,
        "distinct": profile.distinct,
        "texts": profile.texts,
    })
}

/// The keys of metrics, params and tags that the runs found have.
fn keys(call: &Call<'_>, query: &Query) -> Result<Value, Fault> {
    let mut all = serde_json::Map::new();
    for (kind, keys) in call.tracking().workspace().keys_of(query).map_err(failed)? {
        let more = keys.len().saturating_sub(KEYS_MAX);
        let listed: Vec<String> = keys.into_iter().take(KEYS_MAX).collect();
        all.insert(kind.entity().into(), json!({ "keys": listed, "more": more }));
    }
    Ok(Value::Object(all))
}
