//! What the server says of itself.

use stepwell_wire::{Answer, Code, Fault};

use crate::app::App;
use crate::auth::access::Principal;
use crate::config::Access;

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

/// `POST /api/2.0/stepwell/token`: a token of an hour for what the caller's own is for. So programs keep that one, and
/// send this one.
pub(crate) fn hourly_token(app: &App, who: &Principal) -> Result<Answer, Fault> {
    if app.config.access != Access::Token || app.config.authenticator.is_some() {
        return Err(Fault::invalid(
            "This server has no tokens of its own: none is needed, or another service makes them.",
        ));
    }
    let Some(id) = who.long_lived_id() else {
        let why = "A token of an hour makes no other one. Send the token that `stepwell token create` printed.";
        return Err(Fault::new(Code::PermissionDenied, why));
    };
    let now_ms = stepwell::now_ms();
    let made = app.tokens.hourly(id, now_ms).map_err(|error| {
        tracing::error!(%error, "no token of an hour can be made");
        Fault::new(Code::TemporarilyUnavailable, "The server cannot make tokens now; its log says why.")
    })?;
    let Some((token, expires_ms)) = made else {
        return Err(Fault::new(Code::Unauthenticated, "The token has ended."));
    };
    // By how long it is valid, a client whose clock is wrong knows when it ends.
    let body = serde_json::json!({ "token": token, "expires_ms": expires_ms, "valid_ms": expires_ms - now_ms });
    Ok(Answer { status: 200, content_type: "application/json", body: body.to_string().into() })
}
