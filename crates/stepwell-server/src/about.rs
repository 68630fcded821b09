//! What the server says of itself.

use stepwell_wire::Answer;

use crate::app::App;

/// `GET /ready`: the store works and its disk has room. Reasons are in the log, and here only for those who may know.
pub(crate) fn ready(app: &App) -> Answer {
    let (status, body) = match app.trouble() {
        None => (200, "OK"),
        Some(trouble) => {
            tracing::warn!(trouble, "not ready");
            (503, "not ready; the server's log says why")
        }
    };
    Answer { status, content_type: "text/plain; charset=utf-8", body: body.into() }
}

/// `GET /metrics`, for Prometheus.
pub(crate) fn metrics(app: &App) -> Answer {
    let body = app.observed.text().into_bytes();
    Answer { status: 200, content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8", body }
}
