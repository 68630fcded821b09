//! The router: every request goes through the guard, then to the route of the table that it names.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::any;
use stepwell_wire::routes::Found;
pub use stepwell_wire::routes::{At, Lane, Need, Reach, Route, TABLE, Verb};

use crate::app::App;
use crate::http::body::read_off;
use crate::http::{dispatch, guard};

/// The router of the table. Every path is there with the prefix of a reverse proxy too, where the owner chose one.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .fallback_service(any(routed).with_state(Arc::clone(&app)))
        .layer(axum::middleware::from_fn_with_state(app, guarded))
}

/// Serves a request by the route that its path and method name.
async fn routed(State(app): State<Arc<App>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let own = Arc::clone(&app);
    match own.paths.find(request.method().as_str(), &path) {
        Found::Route(matched) => dispatch::serve(&matched, app, request).await,
        Found::Others(methods) => dispatch::not_so(app, methods, request).await,
        Found::Nothing => dispatch::nowhere(app, request).await,
    }
}

/// Holds every request against the guard, before any route sees it.
async fn guarded(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let request = read_off(request);
    let path = request.uri().path();
    let path = path.strip_prefix(app.config.path_prefix.as_str()).unwrap_or(path);
    let asked = match path {
        "" | "/" => guard::Asked::FrontPage,
        "/health" => guard::Asked::Health,
        _ => guard::Asked::Own,
    };
    if let Err(fault) = guard::check(&app.hosts, request.method(), request.uri(), request.headers(), asked) {
        app.observed.request(request.method(), "-", fault.http_status(), std::time::Duration::ZERO);
        return dispatch::refuse(&fault);
    }
    next.run(request).await
}
