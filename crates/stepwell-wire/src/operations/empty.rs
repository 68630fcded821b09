//! What the UI's main pages ask for and this store does not have: empty answers, in the shape of full ones.

use serde_json::json;

use crate::call::{Answer, Call, Outcome};

/// `POST traces/search`: no traces.
pub(crate) fn traces(_: &Call<'_>) -> Outcome {
    Answer::json(&json!({ "traces": [] }))
}

/// `GET scorers/list`: no scorers.
pub(crate) fn scorers(_: &Call<'_>) -> Outcome {
    Answer::json(&json!({ "scorers": [] }))
}

/// `POST datasets/search`: no evaluation datasets.
pub(crate) fn datasets(_: &Call<'_>) -> Outcome {
    Answer::json(&json!({ "datasets": [] }))
}

/// `POST traces/metrics`: nothing measured.
pub(crate) fn trace_metrics(_: &Call<'_>) -> Outcome {
    Answer::json(&json!({ "data_points": [] }))
}

/// `POST issues/search`: no issues.
pub(crate) fn issues(_: &Call<'_>) -> Outcome {
    Answer::json(&json!({ "issues": [] }))
}

/// `GET gateway-proxy`, by which the table of runs asks for language models: none.
pub(crate) fn gateway(_: &Call<'_>) -> Outcome {
    Answer::json(&json!({ "endpoints": [] }))
}

/// `GET users/current`: nobody is signed in by name; who holds a token is known by the token alone.
pub(crate) fn user(_: &Call<'_>) -> Outcome {
    Ok(Answer::done())
}

/// `GET assistant/config`: no assistant.
pub(crate) fn assistant(_: &Call<'_>) -> Outcome {
    Answer::json(&json!({ "providers": {}, "projects": {}, "remote_access_allowed": false }))
}

/// `GET assistant/providers`: none that an assistant could ask.
pub(crate) fn assistant_providers(_: &Call<'_>) -> Outcome {
    Answer::json(&json!({ "providers": [], "resolved": null, "gateway_vendor_options": {} }))
}
