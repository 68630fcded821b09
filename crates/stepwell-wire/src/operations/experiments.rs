//! Experiments.

use serde::Serialize;
use serde_json::json;
use stepwell::tracking::{CreateExperiment, Experiment, ExperimentSearch};

use super::shapes::{Each, ExperimentShape, PAIR, VIEW_TYPE_KIND, pairs, view};
use crate::call::{Answer, Call, Outcome};
use crate::json::check::Check::{Array, Int, Required, Text};
use crate::json::page;
use crate::json::schema::{Field, Kind, int, many, one, text};

const CREATE: &[Field] = &[text("name"), text("artifact_location"), many("tags", Kind::Message(PAIR))];
const SEARCH: &[Field] = &[
    int("max_results"),
    text("page_token"),
    text("filter"),
    many("order_by", Kind::Text),
    one("view_type", VIEW_TYPE_KIND),
];

/// Bytes of an experiment in an answer, roughly.
const EXPERIMENT_BYTES: usize = 1024;

/// One experiment.
#[derive(Serialize)]
struct Got<'a> {
    experiment: ExperimentShape<'a>,
}

/// A page of experiments.
#[derive(Serialize)]
struct Page<'a> {
    #[serde(skip_serializing_if = "Each::is_empty")]
    experiments: Each<'a, Experiment, ExperimentShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// `POST experiments/create`.
pub(crate) fn create(call: &Call<'_>) -> Outcome {
    let checks = &[("name", &[Required, Text][..]), ("artifact_location", &[Text]), ("tags", &[Array])];
    let request = call.read(CREATE, checks)?;
    let location = request.opt_text("artifact_location").filter(|given| !given.is_empty());
    let location = location.map(|given| super::sources::location(call.api, given)).transpose()?;
    let id = call.tracking().create_experiment(&CreateExperiment {
        name: request.text("name").to_owned(),
        artifact_location: location,
        tags: pairs(&request, "tags"),
    })?;
    Answer::json(&json!({ "experiment_id": id }))
}

/// `GET experiments/get`.
pub(crate) fn get(call: &Call<'_>) -> Outcome {
    let request = call.read(&[text("experiment_id")], &[("experiment_id", &[Required, Text])])?;
    let experiment = call.tracking().get_experiment(request.text("experiment_id"))?;
    Answer::json(&Got { experiment: (&experiment).into() })
}

/// `GET experiments/get-by-name`.
pub(crate) fn get_by_name(call: &Call<'_>) -> Outcome {
    let request = call.read(&[text("experiment_name")], &[("experiment_name", &[Required, Text])])?;
    let experiment = call.tracking().get_experiment_by_name(request.text("experiment_name"))?;
    Answer::json(&Got { experiment: (&experiment).into() })
}

/// `GET` and `POST experiments/search`.
pub(crate) fn search(call: &Call<'_>) -> Outcome {
    let checks = &[("max_results", &[Int][..]), ("order_by", &[Array]), ("filter", &[Text]), ("page_token", &[Text])];
    let request = call.read(SEARCH, checks)?;
    let page = call.tracking().search_experiments(&ExperimentSearch {
        view: view(request.text("view_type")),
        // Without a number MLflow takes 0, and refuses it.
        max_results: request.int("max_results").unwrap_or(0),
        filter: request.text("filter").to_owned(),
        order_by: request.texts("order_by"),
        offset: page::offset(request.text("page_token"))?,
    })?;
    call.context.reserve(page.items.len() * EXPERIMENT_BYTES)?;
    Answer::json(&Page {
        experiments: Each(&page.items, Into::into),
        next_page_token: page.next_offset.map(page::token),
    })
}

/// `POST experiments/delete`.
pub(crate) fn delete(call: &Call<'_>) -> Outcome {
    let request = call.read(&[text("experiment_id")], &[("experiment_id", &[Required, Text])])?;
    call.acting().delete_experiment(request.text("experiment_id"))?;
    Ok(Answer::done())
}

/// `POST experiments/restore`.
pub(crate) fn restore(call: &Call<'_>) -> Outcome {
    let request = call.read(&[text("experiment_id")], &[("experiment_id", &[Required, Text])])?;
    call.acting().restore_experiment(request.text("experiment_id"))?;
    Ok(Answer::done())
}

/// `POST experiments/update`.
pub(crate) fn update(call: &Call<'_>) -> Outcome {
    let checks = &[("experiment_id", &[Required, Text][..]), ("new_name", &[Text, Required])];
    let request = call.read(&[text("experiment_id"), text("new_name")], checks)?;
    call.tracking().rename_experiment(request.text("experiment_id"), request.text("new_name"))?;
    Ok(Answer::done())
}

/// `POST experiments/set-experiment-tag`.
pub(crate) fn set_tag(call: &Call<'_>) -> Outcome {
    let checks = &[("experiment_id", &[Required, Text][..]), ("key", &[Required, Text]), ("value", &[Text])];
    let request = call.read(&[text("experiment_id"), text("key"), text("value")], checks)?;
    let (id, key) = (request.text("experiment_id"), request.text("key"));
    call.tracking().set_experiment_tag(id, key, request.text("value"))?;
    Ok(Answer::done())
}

/// `POST experiments/delete-experiment-tag`.
pub(crate) fn delete_tag(call: &Call<'_>) -> Outcome {
    let checks = &[("experiment_id", &[Required, Text][..]), ("key", &[Required, Text])];
    let request = call.read(&[text("experiment_id"), text("key")], checks)?;
    call.tracking().delete_experiment_tag(request.text("experiment_id"), request.text("key"))?;
    Ok(Answer::done())
}
