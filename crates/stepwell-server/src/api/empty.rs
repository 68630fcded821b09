//! What the UI's main pages ask for and this store has none of: honestly empty answers, in the shape of full ones.

use serde_json::json;

use crate::wire::call::{Answer, Call, Outcome};

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
