//! Runs: creating, finding, changing.

use serde::Serialize;
use serde_json::Value;
use stepwell::tracking::{CreateRun, ListedRun, RunSearch, UpdateRun};

use super::shapes::{Each, PAIR, RUN_STATUS, RunInfoShape, RunShape, VIEW_TYPE_KIND, pairs, status, view};
use crate::call::{Answer, Call, Outcome};
use crate::fault::{Code, Fault};
use crate::json::check::Check::{Array, AtMost, Int, Required, Text};
use crate::json::schema::{Field, Kind, int, many, one, text};
use crate::json::{Shape, page};

const CREATE: &[Field] =
    &[text("experiment_id"), text("user_id"), text("run_name"), int("start_time"), many("tags", Kind::Message(PAIR))];
const UPDATE: &[Field] =
    &[text("run_id"), text("run_uuid"), one("status", Kind::Enum(RUN_STATUS)), int("end_time"), text("run_name")];
const SEARCH: &[Field] = &[
    many("experiment_ids", Kind::Text),
    text("filter"),
    one("run_view_type", VIEW_TYPE_KIND),
    int("max_results"),
    many("order_by", Kind::Text),
    text("page_token"),
];
/// A run's id by either of its names.
pub(crate) const RUN_ID: &[Field] = &[text("run_id"), text("run_uuid")];
const KEYED: &[Field] = &[text("run_id"), text("run_uuid"), text("key"), text("value")];

/// One run.
#[derive(Serialize)]
struct Got<'a> {
    run: RunShape<'a>,
}

/// What a changed run is.
#[derive(Serialize)]
struct Updated<'a> {
    run_info: RunInfoShape<'a>,
}

/// A page of runs.
#[derive(Serialize)]
struct Page<'a> {
    #[serde(skip_serializing_if = "Each::is_empty")]
    runs: Each<'a, ListedRun<'a>, RunShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// What a run of some params, metrics and tags takes as JSON, so that a page is not moved as it grows.
const RUN_BYTES: usize = 1200;

/// `POST runs/create`.
pub(crate) fn create(call: &Call<'_>) -> Outcome {
    let checks = &[("experiment_id", &[Text][..]), ("start_time", &[Int]), ("run_name", &[Text])];
    let request = call.read(CREATE, checks)?;
    if request.text("experiment_id").is_empty() {
        return Err(Fault::new(Code::BadRequest, "A run needs the experiment_id of its experiment."));
    }
    let run = call.tracking().create_run(&CreateRun {
        experiment_id: request.text("experiment_id").to_owned(),
        user_id: request.text("user_id").to_owned(),
        run_name: request.text("run_name").to_owned(),
        // An absent number is 0 to MLflow's handler.
        start_time: Some(request.int("start_time").unwrap_or(0)),
        tags: pairs(&request, "tags"),
        run_id: None,
    })?;
    Answer::json(&Got { run: RunShape::from(&run).fresh() })
}

/// `GET runs/get`.
pub(crate) fn get(call: &Call<'_>) -> Outcome {
    let request = call.read(RUN_ID, &[("run_id", &[Required, Text])])?;
    let (run, left_out) = call.tracking().get_run_and_left_out(request.run_id())?;
    call.context.left_out(&left_out);
    Answer::json(&Got { run: (&run).into() })
}

/// `POST runs/update`.
pub(crate) fn update(call: &Call<'_>) -> Outcome {
    let checks = &[("run_id", &[Required, Text][..]), ("end_time", &[Int]), ("status", &[Text]), ("run_name", &[Text])];
    let request = call.read(UPDATE, checks)?;
    let update = UpdateRun {
        status: status(request.text("status")),
        end_time: request.int("end_time"),
        run_name: request.opt_text("run_name").map(str::to_owned),
    };
    let info = call.tracking().update_run(request.run_id(), &update)?;
    Answer::json(&Updated { run_info: (&info).into() })
}

/// `POST runs/delete`.
pub(crate) fn delete(call: &Call<'_>) -> Outcome {
    let request = call.read(RUN_ID, &[("run_id", &[Required, Text])])?;
    call.acting().delete_run(request.run_id())?;
    Ok(Answer::done())
}

/// `POST runs/restore`.
pub(crate) fn restore(call: &Call<'_>) -> Outcome {
    let request = call.read(RUN_ID, &[("run_id", &[Required, Text])])?;
    call.acting().restore_run(request.run_id())?;
    Ok(Answer::done())
}

/// `POST runs/search`.
pub(crate) fn search(call: &Call<'_>) -> Outcome {
    let checks = &[
        ("experiment_ids", &[Array][..]),
        ("filter", &[Text]),
        ("max_results", &[Int, AtMost(50_000)]),
        ("order_by", &[Array]),
    ];
    let request = call.read(SEARCH, checks)?;
    let page = call.tracking().find_runs(&RunSearch {
        experiment_ids: request.texts("experiment_ids"),
        filter: request.text("filter").to_owned(),
        view: view(request.text("run_view_type")),
        max_results: request.int("max_results").unwrap_or(1000),
        order_by: request.texts("order_by"),
        offset: page::offset(request.text("page_token"))?,
    })?;
    call.context.left_out(page.left_out());
    let rows = call.tracking().rows(&page)?;
    call.context.reserve(rows.len() * 2 * RUN_BYTES)?;
    let next_page_token = page.next_offset.map(page::token);
    Answer::long_json(&Page { runs: Each(&rows, Into::into), next_page_token }, (rows.len() + 1) * RUN_BYTES)
}

/// `POST runs/set-tag`.
pub(crate) fn set_tag(call: &Call<'_>) -> Outcome {
    let checks = &[("run_id", &[Required, Text][..]), ("key", &[Required, Text]), ("value", &[Text])];
    let request = call.read(KEYED, checks)?;
    call.tracking().set_tag(request.run_id(), request.text("key"), request.text("value"))?;
    Ok(Answer::done())
}

/// `POST runs/delete-tag`.
pub(crate) fn delete_tag(call: &Call<'_>) -> Outcome {
    let request = call.read(KEYED, &[("run_id", &[Required, Text]), ("key", &[Required, Text])])?;
    call.tracking().delete_tag(request.run_id(), request.text("key"))?;
    Ok(Answer::done())
}

/// `POST runs/log-parameter`.
pub(crate) fn log_param(call: &Call<'_>) -> Outcome {
    let checks = &[("run_id", &[Required, Text][..]), ("key", &[Required, Text]), ("value", &[Text])];
    let request = call.read(KEYED, checks)?;
    call.tracking().log_param(request.run_id(), request.text("key"), request.text("value"))?;
    Ok(Answer::done())
}

/// The tag in which MLflow's older clients keep what models a run logged.
const MODELS_TAG: &str = "mlflow.log-model.history";
/// What a model's description must have.
const MODEL_FIELDS: [&str; 4] = ["artifact_path", "flavors", "run_id", "utc_time_created"];
/// What of a model's description is kept in the tag.
const MODEL_FIELDS_KEPT: [&str; 5] = ["run_id", "artifact_path", "utc_time_created", "model_uuid", "flavors"];

/// `POST runs/log-model`, by which clients record a model's description in a tag of the run.
pub(crate) fn log_model(call: &Call<'_>) -> Outcome {
    let checks = &[("run_id", &[Text, Required][..]), ("model_json", &[Text, Required])];
    let request = call.read(&[text("run_id"), text("model_json")], checks)?;
    let model = request.text("model_json").as_bytes();
    Shape::of(model).check()?;
    let model: Value = serde_json::from_slice(model)
        .map_err(|_| Fault::invalid("Malformed model info: model_json is not a valid JSON."))?;
    let missing: Vec<&str> = MODEL_FIELDS.into_iter().filter(|name| model.get(name).is_none()).collect();
    if !missing.is_empty() {
        return Err(Fault::invalid(format!("Model json is missing mandatory fields: {missing:?}")));
    }
    let run_id = request.text("run_id");
    let run = call.tracking().get_run(run_id)?;
    let before = run.data.tags.get(MODELS_TAG).and_then(|tag| serde_json::from_str(tag).ok());
    let mut models: Vec<Value> = before.unwrap_or_default();
    let kept = |name: &str| model.get(name).map(|value| (name.to_owned(), value.clone()));
    let mut kept: serde_json::Map<String, Value> = MODEL_FIELDS_KEPT.into_iter().filter_map(kept).collect();
    for flavor in kept.get_mut("flavors").and_then(Value::as_object_mut).into_iter().flat_map(|all| all.values_mut()) {
        if let Some(flavor) = flavor.as_object_mut() {
            flavor.shift_remove("config");
        }
    }
    models.push(kept.into());
    call.tracking().set_tag(run_id, MODELS_TAG, &Value::from(models).to_string())?;
    Ok(Answer::done())
}
