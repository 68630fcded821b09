//! Logged models.

use serde::Serialize;
use serde_json::{Map, Value, json};
use stepwell::tracking::{CreateLoggedModel, LoggedModel, LoggedModelSearch, LoggedModelStatus, ModelOrder};

use super::artifacts::{Listed, list};
use super::shapes::{Each, Metrics, PAIR, Pairs, pairs};
use crate::artifacts::ArtifactPath;
use crate::call::{Answer, Call, Outcome};
use crate::json::check::Check::{Array, Int, Required, Text};
use crate::json::page;
use crate::json::schema::{Field, Fields, Kind, int, many, one, text};

/// `LoggedModelStatus`.
const STATUS: &[(&str, i64)] = &[
    ("LOGGED_MODEL_STATUS_UNSPECIFIED", 0),
    ("LOGGED_MODEL_PENDING", 1),
    ("LOGGED_MODEL_READY", 2),
    ("LOGGED_MODEL_UPLOAD_FAILED", 3),
];
const STATUSES: [LoggedModelStatus; 4] = LoggedModelStatus::ALL;

const CREATE: &[Field] = &[
    text("experiment_id"),
    text("name"),
    text("model_type"),
    text("source_run_id"),
    many("params", Kind::Message(PAIR)),
    many("tags", Kind::Message(PAIR)),
];
const DATASET: &[Field] = &[text("dataset_name"), text("dataset_digest")];
const ORDER: &[Field] =
    &[text("field_name"), one("ascending", Kind::Bool), text("dataset_name"), text("dataset_digest")];
const SEARCH: &[Field] = &[
    many("experiment_ids", Kind::Text),
    text("filter"),
    many("datasets", Kind::Message(DATASET)),
    int("max_results"),
    many("order_by", Kind::Message(ORDER)),
    text("page_token"),
];

fn status_name(status: LoggedModelStatus) -> &'static str {
    let index = STATUSES.iter().position(|known| *known == status).unwrap_or(0);
    STATUS[index].0
}

/// What a model is.
#[derive(Serialize)]
struct Info<'a> {
    model_id: &'a str,
    experiment_id: &'a str,
    name: &'a str,
    creation_timestamp_ms: i64,
    last_updated_timestamp_ms: i64,
    artifact_uri: &'a str,
    status: &'static str,
    model_type: &'a str,
    source_run_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    tags: Pairs<'a>,
}

/// What was measured of a model.
#[derive(Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    params: Pairs<'a>,
    #[serde(skip_serializing_if = "Each::is_empty")]
    metrics: Metrics<'a>,
}

/// A model.
#[derive(Serialize)]
struct Shape<'a> {
    info: Info<'a>,
    data: Data<'a>,
}

impl<'a> From<&'a LoggedModel> for Shape<'a> {
    fn from(from: &'a LoggedModel) -> Self {
        Self {
            info: Info {
                model_id: &from.model_id,
                experiment_id: &from.experiment_id,
                name: &from.name,
                creation_timestamp_ms: from.creation_timestamp,
                last_updated_timestamp_ms: from.last_updated_timestamp,
                artifact_uri: &from.artifact_uri,
                status: status_name(from.status),
                model_type: from.model_type.as_deref().unwrap_or_default(),
                source_run_id: &from.source_run_id,
                status_message: from.status_message.as_deref(),
                tags: (&from.tags).into(),
            },
            data: Data { params: (&from.params).into(), metrics: Each(&from.metrics, Into::into) },
        }
    }
}

/// Bytes of a model in an answer, roughly.
const MODEL_BYTES: usize = 4096;

/// One model.
#[derive(Serialize)]
struct Got<'a> {
    model: Shape<'a>,
}

/// A page of models.
#[derive(Serialize)]
struct Page<'a> {
    #[serde(skip_serializing_if = "Each::is_empty")]
    models: Each<'a, LoggedModel, Shape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

fn got(model: &LoggedModel) -> Outcome {
    Answer::json(&Got { model: model.into() })
}

/// `POST logged-models`.
pub(crate) fn create(call: &Call<'_>) -> Outcome {
    let checks = &[
        ("experiment_id", &[Text, Required][..]),
        ("name", &[Text]),
        ("model_type", &[Text]),
        ("source_run_id", &[Text]),
        ("params", &[Array]),
        ("tags", &[Array]),
    ];
    let request = call.read(CREATE, checks)?;
    let optional = |name: &str| request.opt_text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let model = call.tracking().create_logged_model(&CreateLoggedModel {
        experiment_id: request.text("experiment_id").to_owned(),
        name: optional("name"),
        model_type: optional("model_type"),
        source_run_id: optional("source_run_id"),
        params: pairs(&request, "params"),
        tags: pairs(&request, "tags"),
    })?;
    got(&model)
}

/// `GET logged-models/{model_id}`.
pub(crate) fn get(call: &Call<'_>) -> Outcome {
    let id = call.input.path("model_id");
    let deleted_too = call.input.argument("allow_deleted").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let tracking = call.tracking();
    got(&if deleted_too { tracking.get_any_logged_model(id) } else { tracking.get_logged_model(id) }?)
}

/// `PATCH logged-models/{model_id}`.
pub(crate) fn finalize(call: &Call<'_>) -> Outcome {
    let request = call.read(&[text("model_id"), one("status", Kind::Enum(STATUS))], &[("status", &[Int, Required])])?;
    let index = STATUS.iter().position(|(name, _)| *name == request.text("status")).unwrap_or(0);
    got(&call.tracking().finalize_logged_model(call.input.path("model_id"), STATUSES[index])?)
}

/// `DELETE logged-models/{model_id}`.
pub(crate) fn delete(call: &Call<'_>) -> Outcome {
    call.acting().delete_logged_model(call.input.path("model_id"))?;
    Ok(Answer::done())
}

/// `PATCH logged-models/{model_id}/tags`.
pub(crate) fn set_tags(call: &Call<'_>) -> Outcome {
    let request = call.read(&[many("tags", Kind::Message(PAIR))], &[("tags", &[Array])])?;
    call.tracking().set_logged_model_tags(call.input.path("model_id"), &pairs(&request, "tags"))?;
    Ok(Answer::done())
}

/// `DELETE logged-models/{model_id}/tags/{tag_key}`.
pub(crate) fn delete_tag(call: &Call<'_>) -> Outcome {
    call.tracking().delete_logged_model_tag(call.input.path("model_id"), call.input.path("tag_key"))?;
    Ok(Answer::done())
}

/// `POST logged-models/{model_id}/params`.
pub(crate) fn log_params(call: &Call<'_>) -> Outcome {
    let request = call.read(&[many("params", Kind::Message(PAIR))], &[("params", &[Array])])?;
    call.tracking().log_logged_model_params(call.input.path("model_id"), &pairs(&request, "params"))?;
    Ok(Answer::done())
}

/// `POST logged-models/search`.
pub(crate) fn search(call: &Call<'_>) -> Outcome {
    let checks = &[
        ("experiment_ids", &[Array, Required][..]),
        ("filter", &[Text]),
        ("datasets", &[Array]),
        ("max_results", &[Int]),
        ("order_by", &[Array]),
        ("page_token", &[Text]),
    ];
    let request = call.read(SEARCH, checks)?;
    let optional =
        |fields: &Fields, name: &str| fields.opt_text(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let order = |fields: &Fields| ModelOrder {
        field_name: fields.text("field_name").to_owned(),
        // Protobuf's default of this field is true.
        ascending: !fields.has("ascending") || fields.flag("ascending"),
        dataset_name: optional(fields, "dataset_name"),
        dataset_digest: optional(fields, "dataset_digest"),
    };
    let asked = Map::from_iter([
        ("experiment_ids".to_owned(), json!(request.texts("experiment_ids"))),
        ("filter_string".to_owned(), json!(optional(&request, "filter"))),
        (
            "order_by".to_owned(),
            match request.messages("order_by").as_slice() {
                [] => Value::Null,
                clauses => clauses.iter().map(order_named).collect(),
            },
        ),
    ]);
    let datasets = request.messages("datasets");
    let page = call.tracking().search_logged_models(&LoggedModelSearch {
        experiment_ids: request.texts("experiment_ids"),
        filter: request.text("filter").to_owned(),
        datasets: datasets
            .iter()
            .map(|one| (one.text("dataset_name").to_owned(), optional(one, "dataset_digest")))
            .collect(),
        order_by: request.messages("order_by").iter().map(order).collect(),
        max_results: request.int("max_results").unwrap_or(50),
        offset: page::bound_offset(&asked, request.text("page_token"))?,
    })?;
    call.context.reserve(page.items.len() * MODEL_BYTES)?;
    let next_page_token = page.next_offset.map(|offset| page::bound_token(&asked, offset));
    Answer::json(&Page { models: Each(&page.items, Into::into), next_page_token })
}

/// A clause of an order, for the token of the next page.
fn order_named(fields: &Fields) -> Value {
    json!({
        "field_name": fields.text("field_name"),
        "ascending": !fields.has("ascending") || fields.flag("ascending"),
        "dataset_name": fields.text("dataset_name"),
        "dataset_digest": fields.text("dataset_digest"),
    })
}

/// `GET logged-models/{model_id}/artifacts/directories`.
pub(crate) fn list_artifacts(call: &Call<'_>) -> Outcome {
    let request = call.read(&[text("artifact_directory_path")], &[("artifact_directory_path", &[Text])])?;
    let path = ArtifactPath::folder(request.text("artifact_directory_path"))?;
    let root = call.api.artifacts_of_model(call.input.path("model_id"))?;
    let (store, base) = call.api.artifacts()?.resolve(&root)?;
    Answer::json(&Listed { files: list(&store, &base, &path)?, root_uri: Some(root) })
}
