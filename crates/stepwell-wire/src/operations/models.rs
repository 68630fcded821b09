//! Registered models and their aliases.

use serde::Serialize;
use stepwell::tracking::{ModelVersion, RegisteredModel};

use super::shapes::{Each, PAIR, Pairs, pairs};
use super::versions::{self, VersionShape};
use crate::call::{Answer, Call, Outcome};
use crate::json::check::Check::{Array, AtMost, Int, Required, Text};
use crate::json::page;
use crate::json::schema::{Field, Kind, int, many, text};

const CREATE: &[Field] = &[text("name"), many("tags", Kind::Message(PAIR)), text("description")];
const SEARCH: &[Field] = &[text("filter"), int("max_results"), many("order_by", Kind::Text), text("page_token")];
const NAME: &[Field] = &[text("name")];
const TAG: &[Field] = &[text("name"), text("key"), text("value")];
const ALIAS: &[Field] = &[text("name"), text("alias"), text("version")];

/// An alias and its version.
#[derive(Serialize)]
struct Alias<'a> {
    alias: &'a str,
    version: String,
}

/// A registered model.
#[derive(Serialize)]
struct Shape<'a> {
    name: &'a str,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "Each::is_empty")]
    latest_versions: Each<'a, ModelVersion, VersionShape<'a>>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    tags: Pairs<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<Alias<'a>>,
}

impl<'a> From<&'a RegisteredModel> for Shape<'a> {
    fn from(from: &'a RegisteredModel) -> Self {
        Self {
            name: &from.name,
            creation_timestamp: from.creation_timestamp,
            last_updated_timestamp: from.last_updated_timestamp,
            user_id: &from.user,
            description: &from.description,
            latest_versions: Each(&from.latest_versions, Into::into),
            tags: (&from.tags).into(),
            aliases: from
                .aliases
                .iter()
                .map(|(alias, version)| Alias { alias, version: version.to_string() })
                .collect(),
        }
    }
}

/// Bytes of a registered model in an answer, roughly.
const MODEL_BYTES: usize = 4096;

/// One registered model.
#[derive(Serialize)]
struct Got<'a> {
    registered_model: Shape<'a>,
}

/// A page of registered models.
#[derive(Serialize)]
struct Page<'a> {
    #[serde(skip_serializing_if = "Each::is_empty")]
    registered_models: Each<'a, RegisteredModel, Shape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

fn got(model: &RegisteredModel) -> Outcome {
    Answer::json(&Got { registered_model: model.into() })
}

/// `POST registered-models/create`.
pub(crate) fn create(call: &Call<'_>) -> Outcome {
    let request = call.read(CREATE, &[("name", &[Text, Required]), ("tags", &[Array]), ("description", &[Text])])?;
    let (name, tags) = (request.text("name"), pairs(&request, "tags"));
    got(&call.acting().create_registered_model(name, &tags, request.text("description"))?)
}

/// `GET registered-models/get`.
pub(crate) fn get(call: &Call<'_>) -> Outcome {
    let request = call.read(NAME, &[("name", &[Text, Required])])?;
    got(&call.tracking().get_registered_model(request.text("name"))?)
}

/// `POST registered-models/rename`.
pub(crate) fn rename(call: &Call<'_>) -> Outcome {
    let checks = &[("name", &[Text, Required][..]), ("new_name", &[Text, Required])];
    let request = call.read(&[text("name"), text("new_name")], checks)?;
    got(&call.tracking().rename_registered_model(request.text("name"), request.text("new_name"))?)
}

/// `PATCH registered-models/update`.
pub(crate) fn update(call: &Call<'_>) -> Outcome {
    let checks = &[("name", &[Text, Required][..]), ("description", &[Text])];
    let request = call.read(&[text("name"), text("description")], checks)?;
    got(&call.tracking().update_registered_model(request.text("name"), request.text("description"))?)
}

/// `DELETE registered-models/delete`.
pub(crate) fn delete(call: &Call<'_>) -> Outcome {
    let request = call.read(NAME, &[("name", &[Text, Required])])?;
    call.acting().delete_registered_model(request.text("name"))?;
    Ok(Answer::done())
}

/// `GET registered-models/search`.
pub(crate) fn search(call: &Call<'_>) -> Outcome {
    let checks = &[
        ("filter", &[Text][..]),
        ("max_results", &[Int, AtMost(1000)]),
        ("order_by", &[Array]),
        ("page_token", &[Text]),
    ];
    let request = call.read(SEARCH, checks)?;
    let page = call.tracking().search_registered_models(
        request.text("filter"),
        &request.texts("order_by"),
        request.int("max_results").unwrap_or(100),
        page::offset(request.text("page_token"))?,
    )?;
    call.context.reserve(page.items.len() * MODEL_BYTES)?;
    Answer::json(&Page {
        registered_models: Each(&page.items, Into::into),
        next_page_token: page.next_offset.map(page::token),
    })
}

/// `GET` and `POST registered-models/get-latest-versions`.
pub(crate) fn latest_versions(call: &Call<'_>) -> Outcome {
    let checks = &[("name", &[Text, Required][..]), ("stages", &[Array])];
    let request = call.read(&[text("name"), many("stages", Kind::Text)], checks)?;
    let found = call.tracking().get_latest_versions(request.text("name"), &request.texts("stages"))?;
    versions::page(&found, None)
}

/// `POST registered-models/set-tag`.
pub(crate) fn set_tag(call: &Call<'_>) -> Outcome {
    let checks = &[("name", &[Text, Required][..]), ("key", &[Text, Required]), ("value", &[Text])];
    let request = call.read(TAG, checks)?;
    call.tracking().set_registered_model_tag(request.text("name"), request.text("key"), request.text("value"))?;
    Ok(Answer::done())
}

/// `DELETE registered-models/delete-tag`.
pub(crate) fn delete_tag(call: &Call<'_>) -> Outcome {
    let request = call.read(TAG, &[("name", &[Text, Required]), ("key", &[Text, Required])])?;
    call.tracking().delete_registered_model_tag(request.text("name"), request.text("key"))?;
    Ok(Answer::done())
}

/// `POST registered-models/alias`.
pub(crate) fn set_alias(call: &Call<'_>) -> Outcome {
    let checks = &[("name", &[Text, Required][..]), ("alias", &[Text, Required]), ("version", &[Text, Required])];
    let request = call.read(ALIAS, checks)?;
    let (name, alias) = (request.text("name"), request.text("alias"));
    call.tracking().set_registered_model_alias(name, alias, request.text("version"))?;
    Ok(Answer::done())
}

/// `GET registered-models/alias`.
pub(crate) fn by_alias(call: &Call<'_>) -> Outcome {
    let request = call.read(ALIAS, &[("name", &[Text, Required]), ("alias", &[Text, Required])])?;
    versions::got(&call.tracking().get_model_version_by_alias(request.text("name"), request.text("alias"))?)
}

/// `DELETE registered-models/alias`.
pub(crate) fn delete_alias(call: &Call<'_>) -> Outcome {
    let request = call.read(ALIAS, &[("name", &[Text, Required]), ("alias", &[Text, Required])])?;
    call.tracking().delete_registered_model_alias(request.text("name"), request.text("alias"))?;
    Ok(Answer::done())
}
