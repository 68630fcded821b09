//! What is said of this API itself.

use serde_json::json;

use crate::call::{Answer, Call, Outcome};

/// The version of MLflow whose API this is. Its clients ask for it, and hold back what an older server does not know.
const MLFLOW_VERSION: &str = "3.17.2";

fn text(text: &str) -> Outcome {
    Ok(Answer { status: 200, content_type: "text/plain; charset=utf-8", body: text.into() })
}

/// `GET /health`: the process is up.
pub(crate) fn health(_: &Call<'_>) -> Outcome {
    text("OK")
}

/// `GET /version`.
pub(crate) fn version(_: &Call<'_>) -> Outcome {
    text(MLFLOW_VERSION)
}

/// `GET server-info`, by which the UI decides what it shows.
pub(crate) fn server_info(_: &Call<'_>) -> Outcome {
    Answer::json(&json!({
        // The only other word that the UI knows is FileStore, for which it hides what this store can do.
        "store_type": "SqlStore",
        "workspaces_enabled": false,
        "trace_archival_enabled": false,
        "multipart_uploads_enabled": false,
        "multipart_downloads_enabled": false,
        "presigned_upload_run_id_supported": true,
        "presigned_upload_model_id_supported": true,
        "features_enabled": { "gateway": false },
    }))
}

/// `GET ui-telemetry`: none.
pub(crate) fn telemetry(_: &Call<'_>) -> Outcome {
    Answer::json(&json!({ "disable_ui_telemetry": true, "disable_ui_events": [], "ui_rollout_percentage": 0 }))
}

/// `POST ui-telemetry`: what a UI sends all the same goes nowhere.
pub(crate) fn telemetry_is_dropped(_: &Call<'_>) -> Outcome {
    Answer::json(&json!({ "status": "disabled" }))
}
