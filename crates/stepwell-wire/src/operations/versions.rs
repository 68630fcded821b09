//! Versions of registered models.

use serde::Serialize;
use serde_json::json;
use stepwell::tracking::{CreateModelVersion, ModelVersion};

use super::shapes::{Each, PAIR, Pairs, pairs};
use super::sources;
use crate::call::{Answer, Call, Outcome};
use crate::json::check::Check::{Array, AtMost, Bool, Int, Required, Text};
use crate::json::page;
use crate::json::schema::{Field, Kind, int, many, one, text};

const CREATE: &[Field] = &[
    text("name"),
    text("source"),
    text("run_id"),
    many("tags", Kind::Message(PAIR)),
    text("run_link"),
    text("description"),
    text("model_id"),
];
const SEARCH: &[Field] = &[text("filter"), int("max_results"), many("order_by", Kind::Text), text("page_token")];
const VERSION: &[Field] = &[text("name"), text("version")];
const DESCRIBED: &[Field] = &[text("name"), text("version"), text("description")];
const STAGED: &[Field] = &[text("name"), text("version"), text("stage"), one("archive_existing_versions", Kind::Bool)];
const TAG: &[Field] = &[text("name"), text("version"), text("key"), text("value")];

/// Bytes of a version in an answer, roughly.
const VERSION_BYTES: usize = 1024;

/// A version.
#[derive(Serialize)]
pub(crate) struct VersionShape<'a> {
    name: &'a str,
    version: String,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_id: &'a str,
    current_stage: &'static str,
    description: &'a str,
    source: &'a str,
    run_id: &'a str,
    status: &'static str,
    run_link: &'a str,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    tags: Pairs<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    aliases: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    model_id: &'a str,
}

impl<'a> From<&'a ModelVersion> for VersionShape<'a> {
    fn from(from: &'a ModelVersion) -> Self {
        Self {
            name: &from.name,
            version: from.version.to_string(),
            creation_timestamp: from.creation_timestamp,
            last_updated_timestamp: from.last_updated_timestamp,
            user_id: &from.user,
            current_stage: from.current_stage.as_str(),
            description: &from.description,
            source: &from.source,
            run_id: &from.run_id,
            // A version is a name for files that are there: nothing is pending.
            status: "READY",
            run_link: &from.run_link,
            tags: (&from.tags).into(),
            aliases: &from.aliases,
            model_id: &from.model_id,
        }
    }
}

/// One version.
#[derive(Serialize)]
struct Got<'a> {
    model_version: VersionShape<'a>,
}

/// A page of versions.
#[derive(Serialize)]
struct Page<'a> {
    #[serde(skip_serializing_if = "Each::is_empty")]
    model_versions: Each<'a, ModelVersion, VersionShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// The answer of one version.
pub(super) fn got(version: &ModelVersion) -> Outcome {
    Answer::json(&Got { model_version: version.into() })
}

/// The answer of a page of versions.
pub(super) fn page(versions: &[ModelVersion], next: Option<usize>) -> Outcome {
    Answer::json(&Page { model_versions: Each(versions, Into::into), next_page_token: next.map(page::token) })
}

/// `POST model-versions/create`.
pub(crate) fn create(call: &Call<'_>) -> Outcome {
    let checks = &[
        ("name", &[Text, Required][..]),
        ("source", &[Text, Required]),
        ("run_id", &[Text]),
        ("tags", &[Array]),
        ("run_link", &[Text]),
        ("description", &[Text]),
        ("model_id", &[Text]),
    ];
    let request = call.read(CREATE, checks)?;
    let words = |name: &str| request.text(name).to_owned();
    sources::check_pattern(call.api, request.text("source"))?;
    let tags = pairs(&request, "tags");
    let is_prompt = tags.iter().any(|(key, value)| sources::is_prompt_tag(key, value));
    let (mut source, mut run_id, mut model_id) = (words("source"), words("run_id"), words("model_id"));
    if !is_prompt {
        let (run, model) = (request.opt_text("run_id"), request.opt_text("model_id"));
        if let Some(known) = sources::lineage(call.api, &source, run, model)? {
            (source, run_id, model_id) = known;
        }
    }
    sources::check(call.api, &source, &run_id, &model_id, is_prompt)?;
    got(&call.acting().create_model_version(&CreateModelVersion {
        name: words("name"),
        source,
        run_id,
        run_link: words("run_link"),
        model_id,
        description: words("description"),
        tags,
    })?)
}

/// `GET model-versions/get`.
pub(crate) fn get(call: &Call<'_>) -> Outcome {
    let request = call.read(VERSION, &[("name", &[Text, Required]), ("version", &[Text, Required])])?;
    got(&call.tracking().get_model_version(request.text("name"), request.text("version"))?)
}

/// `GET model-versions/get-download-uri`.
pub(crate) fn download_uri(call: &Call<'_>) -> Outcome {
    let request = call.read(VERSION, &[])?;
    let uri = call.api.artifacts_of_version(request.text("name"), request.text("version"))?;
    Answer::json(&json!({ "artifact_uri": uri }))
}

/// `PATCH model-versions/update`.
pub(crate) fn update(call: &Call<'_>) -> Outcome {
    let checks = &[("name", &[Text, Required][..]), ("version", &[Text, Required]), ("description", &[Text])];
    let request = call.read(DESCRIBED, checks)?;
    let (name, version) = (request.text("name"), request.text("version"));
    got(&call.tracking().update_model_version(name, version, request.text("description"))?)
}

/// `POST model-versions/transition-stage`.
pub(crate) fn transition(call: &Call<'_>) -> Outcome {
    let checks = &[
        ("name", &[Text, Required][..]),
        ("version", &[Text, Required]),
        ("stage", &[Text, Required]),
        ("archive_existing_versions", &[Bool]),
    ];
    let request = call.read(STAGED, checks)?;
    got(&call.acting().transition_model_version_stage(
        request.text("name"),
        request.text("version"),
        request.text("stage"),
        request.flag("archive_existing_versions"),
    )?)
}

/// `DELETE model-versions/delete`.
pub(crate) fn delete(call: &Call<'_>) -> Outcome {
    let request = call.read(VERSION, &[("name", &[Text, Required]), ("version", &[Text, Required])])?;
    call.acting().delete_model_version(request.text("name"), request.text("version"))?;
    Ok(Answer::done())
}

/// `GET model-versions/search`.
pub(crate) fn search(call: &Call<'_>) -> Outcome {
    let checks = &[
        ("filter", &[Text][..]),
        ("max_results", &[Int, AtMost(200_000)]),
        ("order_by", &[Array]),
        ("page_token", &[Text]),
    ];
    let request = call.read(SEARCH, checks)?;
    let found = call.tracking().search_model_versions(
        request.text("filter"),
        &request.texts("order_by"),
        request.int("max_results").unwrap_or(200_000),
        page::offset(request.text("page_token"))?,
    )?;
    call.context.reserve(found.items.len() * VERSION_BYTES)?;
    page(&found.items, found.next_offset)
}

/// `POST model-versions/set-tag`.
pub(crate) fn set_tag(call: &Call<'_>) -> Outcome {
    let checks = &[
        ("name", &[Text, Required][..]),
        ("version", &[Text, Required]),
        ("key", &[Text, Required]),
        ("value", &[Text]),
    ];
    let request = call.read(TAG, checks)?;
    let (name, version, key) = (request.text("name"), request.text("version"), request.text("key"));
    call.tracking().set_model_version_tag(name, version, key, request.text("value"))?;
    Ok(Answer::done())
}

/// `DELETE model-versions/delete-tag`.
pub(crate) fn delete_tag(call: &Call<'_>) -> Outcome {
    let checks = &[("name", &[Text, Required][..]), ("version", &[Text, Required]), ("key", &[Text, Required])];
    let request = call.read(TAG, checks)?;
    let (name, version) = (request.text("name"), request.text("version"));
    call.tracking().delete_model_version_tag(name, version, request.text("key"))?;
    Ok(Answer::done())
}
