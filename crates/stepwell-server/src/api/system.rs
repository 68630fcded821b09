//! What the server says of itself.

use axum::http::StatusCode;
use serde_json::json;

use crate::wire::call::{Answer, Call, Outcome};

/// The version of MLflow whose API this is. Its clients ask for it, and hold back what an older server does not know.
pub(crate) const MLFLOW_VERSION: &str = "3.17.2";

fn text(status: StatusCode, body: String) -> Outcome {
    Ok(Answer { status, content_type: "text/plain; charset=utf-8", body: body.into_bytes() })
}

/// `GET /health`: the process is up.
pub(crate) fn health(_: &Call<'_>) -> Outcome {
    text(StatusCode::OK, "OK".into())
}

/// `GET /ready`: the store works and its disk has room. Reasons are in the log, and here only for those who may know.
pub(crate) fn ready(call: &Call<'_>) -> Outcome {
    match call.app.trouble() {
        None => text(StatusCode::OK, "OK".into()),
        Some(trouble) => {
            tracing::warn!(trouble, "not ready");
            text(StatusCode::SERVICE_UNAVAILABLE, "not ready; the server's log says why".into())
        }
    }
}

/// `GET /version`.
pub(crate) fn version(_: &Call<'_>) -> Outcome {
    text(StatusCode::OK, MLFLOW_VERSION.into())
}

/// `GET /metrics`, for Prometheus.
pub(crate) fn metrics(call: &Call<'_>) -> Outcome {
    let body = call.app.observed.text().into_bytes();
    Ok(Answer {
        status: StatusCode::OK,
        content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
        body,
    })
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
