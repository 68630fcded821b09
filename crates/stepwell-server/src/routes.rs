//! The one table of endpoints: from it come the router, the permissions, and the tests of both.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, any};

use crate::app::App;
use crate::artifacts::serve as files;

pub use crate::auth::access::{Need, Reach};
use crate::auth::tokens::Role;
use crate::http::body::read_off;
use crate::http::dispatch::{self, Streamed};
use crate::http::guard;
pub use crate::http::lanes::Lane;
use crate::wire::call::{Call, Outcome};
use crate::wire::fault::Fault;
use crate::{api, ui};

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// The methods of HTTP by which it is asked.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["GET", "HEAD"],
            Self::Post => &["POST"],
            Self::Put => &["PUT"],
            Self::Patch => &["PATCH"],
            Self::Delete => &["DELETE"],
        }
    }
}

/// Where a route's path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// `/api/V.0` for clients and `/ajax-api/V.0` for the UI. What is below `/mlflow/` in version 2 is at `preview`
    /// too, where clients before MLflow 1.0 ask for it.
    Both(u8),
    /// `/ajax-api/V.0` alone.
    Ajax(u8),
    /// Nothing before it.
    Root,
}

type StreamFn = fn(Streamed) -> Pin<Box<dyn Future<Output = Result<Response, Fault>> + Send>>;

/// What a route does.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// A call: a body in, a body out, on a thread for blocking work.
    Call(fn(&Call<'_>) -> Outcome),
    /// A stream in or out.
    Stream(StreamFn),
}

/// A route.
#[derive(Clone, Copy)]
pub struct Route {
    /// Its method.
    pub verb: Verb,
    /// Where its path begins.
    pub at: At,
    /// Its path, with `{name}` and `{*rest}`.
    pub path: &'static str,
    /// What it asks of the caller.
    pub need: Need,
    /// Where its call names what it reaches.
    pub reach: Reach,
    /// In which lane it works.
    pub lane: Lane,
    pub(crate) run: Run,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?} {}", self.verb, self.at, self.path)
    }
}

impl Route {
    /// Whether it asks for registered models or their versions.
    #[must_use]
    pub fn is_of_registry(&self) -> bool {
        ["/mlflow/registered-models", "/mlflow/model-versions"].iter().any(|of| self.path.starts_with(of))
    }

    /// All paths under which it answers.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let Self { path, .. } = self;
        match self.at {
            At::Both(2) if path.starts_with("/mlflow/") => {
                ["api/2.0", "ajax-api/2.0", "api/2.0/preview", "ajax-api/2.0/preview"]
                    .map(|start| format!("/{start}{path}"))
                    .to_vec()
            }
            At::Both(version) => vec![format!("/api/{version}.0{path}"), format!("/ajax-api/{version}.0{path}")],
            At::Ajax(version) => vec![format!("/ajax-api/{version}.0{path}")],
            At::Root => vec![(*path).to_owned()],
        }
    }

    fn filter(&self) -> MethodFilter {
        match self.verb {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
            Verb::Put => MethodFilter::PUT,
            Verb::Patch => MethodFilter::PATCH,
            Verb::Delete => MethodFilter::DELETE,
        }
    }
}

const NOBODY: Need = Need::Nobody;
const READ: Need = Need::Role(Role::Read);
const WRITE: Need = Need::Role(Role::Write);
const ADMIN: Need = Need::Role(Role::Admin);

const fn call(
    verb: Verb,
    at: At,
    path: &'static str,
    need: Need,
    reach: Reach,
    lane: Lane,
    run: fn(&Call<'_>) -> Outcome,
) -> Route {
    Route { verb, at, path, need, reach, lane, run: Run::Call(run) }
}

const fn stream(verb: Verb, at: At, path: &'static str, need: Need, reach: Reach, run: StreamFn) -> Route {
    Route { verb, at, path, need, reach, lane: Lane::Artifact, run: Run::Stream(run) }
}

use At::{Ajax, Both, Root};
use Lane::{Artifact, Log, Object, Search};
use Verb::{Delete, Get, Patch, Post, Put};

/// Every endpoint of the server.
pub static TABLE: &[Route] = &[
    // Pages.
    stream(Get, Root, "/", NOBODY, Reach::None, ui::pages::index),
    stream(Get, Root, "/static-files/{*path}", NOBODY, Reach::None, ui::pages::static_file),
    // The server itself.
    call(Get, Root, "/health", NOBODY, Reach::None, Object, api::system::health),
    call(Get, Root, "/ready", NOBODY, Reach::None, Object, api::system::ready),
    call(Get, Root, "/version", NOBODY, Reach::None, Object, api::system::version),
    call(Get, Root, "/metrics", READ, Reach::Whole, Object, api::system::metrics),
    call(Get, Both(3), "/mlflow/server-info", NOBODY, Reach::None, Object, api::system::server_info),
    call(Get, Ajax(3), "/mlflow/ui-telemetry", NOBODY, Reach::None, Object, api::system::telemetry),
    call(Post, Ajax(3), "/mlflow/ui-telemetry", NOBODY, Reach::None, Object, api::system::telemetry_is_dropped),
    // Experiments.
    call(Post, Both(2), "/mlflow/experiments/create", WRITE, Reach::Whole, Object, api::experiments::create),
    call(Get, Both(2), "/mlflow/experiments/get", READ, Reach::Experiment, Object, api::experiments::get),
    call(
        Get,
        Both(2),
        "/mlflow/experiments/get-by-name",
        READ,
        Reach::ExperimentName,
        Object,
        api::experiments::get_by_name,
    ),
    call(Get, Both(2), "/mlflow/experiments/search", READ, Reach::Whole, Search, api::experiments::search),
    call(Post, Both(2), "/mlflow/experiments/search", READ, Reach::Whole, Search, api::experiments::search),
    call(Post, Both(2), "/mlflow/experiments/update", WRITE, Reach::Experiment, Object, api::experiments::update),
    call(Post, Both(2), "/mlflow/experiments/delete", ADMIN, Reach::Experiment, Object, api::experiments::delete),
    call(Post, Both(2), "/mlflow/experiments/restore", ADMIN, Reach::Experiment, Object, api::experiments::restore),
    call(
        Post,
        Both(2),
        "/mlflow/experiments/set-experiment-tag",
        WRITE,
        Reach::Experiment,
        Object,
        api::experiments::set_tag,
    ),
    call(
        Post,
        Both(2),
        "/mlflow/experiments/delete-experiment-tag",
        WRITE,
        Reach::Experiment,
        Object,
        api::experiments::delete_tag,
    ),
    // Runs.
    call(Post, Both(2), "/mlflow/runs/create", WRITE, Reach::Experiment, Log, api::runs::create),
    call(Get, Both(2), "/mlflow/runs/get", READ, Reach::Run, Object, api::runs::get),
    call(Post, Both(2), "/mlflow/runs/update", WRITE, Reach::Run, Log, api::runs::update),
    call(Post, Both(2), "/mlflow/runs/delete", ADMIN, Reach::Run, Object, api::runs::delete),
    call(Post, Both(2), "/mlflow/runs/restore", ADMIN, Reach::Run, Object, api::runs::restore),
    call(Post, Both(2), "/mlflow/runs/search", READ, Reach::Experiments, Search, api::runs::search),
    call(Post, Both(2), "/mlflow/runs/set-tag", WRITE, Reach::Run, Log, api::runs::set_tag),
    call(Post, Both(2), "/mlflow/runs/delete-tag", WRITE, Reach::Run, Log, api::runs::delete_tag),
    call(Post, Both(2), "/mlflow/runs/log-parameter", WRITE, Reach::Run, Log, api::runs::log_param),
    call(Post, Both(2), "/mlflow/runs/log-metric", WRITE, Reach::Run, Log, api::batch::log_metric),
    call(Post, Both(2), "/mlflow/runs/log-batch", WRITE, Reach::Run, Log, api::batch::log_batch),
    // Histories.
    call(Get, Both(2), "/mlflow/metrics/get-history", READ, Reach::Run, Search, api::metrics::history),
    call(
        Get,
        Both(2),
        "/mlflow/metrics/get-history-bulk-interval",
        READ,
        Reach::Runs,
        Search,
        api::metrics::history_bulk_interval,
    ),
    call(Get, Ajax(2), "/mlflow/metrics/get-history-bulk", READ, Reach::Runs, Search, api::metrics::history_bulk),
    // What runs read and make.
    call(Post, Both(2), "/mlflow/runs/log-model", WRITE, Reach::Run, Log, api::runs::log_model),
    call(Post, Both(2), "/mlflow/runs/log-inputs", WRITE, Reach::Run, Log, api::datasets::log_inputs),
    call(Post, Both(2), "/mlflow/runs/outputs", WRITE, Reach::Run, Log, api::datasets::log_outputs),
    call(Post, Ajax(2), "/mlflow/experiments/search-datasets", READ, Reach::Experiments, Search, api::datasets::search),
    // Logged models.
    call(Post, Both(2), "/mlflow/logged-models", WRITE, Reach::Experiment, Log, api::logged_models::create),
    call(Post, Both(2), "/mlflow/logged-models/search", READ, Reach::Experiments, Search, api::logged_models::search),
    call(Get, Both(2), "/mlflow/logged-models/{model_id}", READ, Reach::Model, Object, api::logged_models::get),
    call(Patch, Both(2), "/mlflow/logged-models/{model_id}", WRITE, Reach::Model, Log, api::logged_models::finalize),
    call(Delete, Both(2), "/mlflow/logged-models/{model_id}", ADMIN, Reach::Model, Object, api::logged_models::delete),
    call(
        Post,
        Both(2),
        "/mlflow/logged-models/{model_id}/params",
        WRITE,
        Reach::Model,
        Log,
        api::logged_models::log_params,
    ),
    call(
        Patch,
        Both(2),
        "/mlflow/logged-models/{model_id}/tags",
        WRITE,
        Reach::Model,
        Log,
        api::logged_models::set_tags,
    ),
    call(
        Delete,
        Both(2),
        "/mlflow/logged-models/{model_id}/tags/{tag_key}",
        WRITE,
        Reach::Model,
        Log,
        api::logged_models::delete_tag,
    ),
    call(
        Get,
        Both(2),
        "/mlflow/logged-models/{model_id}/artifacts/directories",
        READ,
        Reach::Model,
        Artifact,
        api::logged_models::list_artifacts,
    ),
    stream(
        Get,
        Ajax(2),
        "/mlflow/logged-models/{model_id}/artifacts/files",
        READ,
        Reach::Model,
        files::get_model_artifact,
    ),
    // Registered models.
    call(Post, Both(2), "/mlflow/registered-models/create", WRITE, Reach::Whole, Object, api::models::create),
    call(Get, Both(2), "/mlflow/registered-models/get", READ, Reach::Whole, Object, api::models::get),
    call(Post, Both(2), "/mlflow/registered-models/rename", WRITE, Reach::Whole, Object, api::models::rename),
    call(Patch, Both(2), "/mlflow/registered-models/update", WRITE, Reach::Whole, Object, api::models::update),
    call(Delete, Both(2), "/mlflow/registered-models/delete", ADMIN, Reach::Whole, Object, api::models::delete),
    call(Get, Both(2), "/mlflow/registered-models/search", READ, Reach::Whole, Search, api::models::search),
    call(
        Get,
        Both(2),
        "/mlflow/registered-models/get-latest-versions",
        READ,
        Reach::Whole,
        Object,
        api::models::latest_versions,
    ),
    call(
        Post,
        Both(2),
        "/mlflow/registered-models/get-latest-versions",
        READ,
        Reach::Whole,
        Object,
        api::models::latest_versions,
    ),
    call(Post, Both(2), "/mlflow/registered-models/set-tag", WRITE, Reach::Whole, Object, api::models::set_tag),
    call(Delete, Both(2), "/mlflow/registered-models/delete-tag", WRITE, Reach::Whole, Object, api::models::delete_tag),
    call(Post, Both(2), "/mlflow/registered-models/alias", WRITE, Reach::Whole, Object, api::models::set_alias),
    call(Get, Both(2), "/mlflow/registered-models/alias", READ, Reach::Whole, Object, api::models::by_alias),
    call(Delete, Both(2), "/mlflow/registered-models/alias", WRITE, Reach::Whole, Object, api::models::delete_alias),
    // Their versions.
    call(Post, Both(2), "/mlflow/model-versions/create", WRITE, Reach::Whole, Object, api::versions::create),
    call(Get, Both(2), "/mlflow/model-versions/get", READ, Reach::Whole, Object, api::versions::get),
    call(
        Get,
        Both(2),
        "/mlflow/model-versions/get-download-uri",
        READ,
        Reach::Whole,
        Object,
        api::versions::download_uri,
    ),
    call(Patch, Both(2), "/mlflow/model-versions/update", WRITE, Reach::Whole, Object, api::versions::update),
    call(
        Post,
        Both(2),
        "/mlflow/model-versions/transition-stage",
        WRITE,
        Reach::Whole,
        Object,
        api::versions::transition,
    ),
    call(Delete, Both(2), "/mlflow/model-versions/delete", ADMIN, Reach::Whole, Object, api::versions::delete),
    call(Get, Both(2), "/mlflow/model-versions/search", READ, Reach::Whole, Search, api::versions::search),
    call(Post, Both(2), "/mlflow/model-versions/set-tag", WRITE, Reach::Whole, Object, api::versions::set_tag),
    call(Delete, Both(2), "/mlflow/model-versions/delete-tag", WRITE, Reach::Whole, Object, api::versions::delete_tag),
    stream(Get, Root, "/model-versions/get-artifact", READ, Reach::Whole, files::get_version_artifact),
    // The UI.
    call(Post, Root, "/graphql", READ, Reach::Operation, Search, api::graphql::post),
    call(Get, Root, "/graphql", READ, Reach::Operation, Search, api::graphql::get),
    call(Post, Both(3), "/mlflow/traces/search", READ, Reach::Whole, Object, api::empty::traces),
    call(Post, Both(3), "/mlflow/traces/metrics", READ, Reach::Whole, Object, api::empty::trace_metrics),
    call(Get, Both(3), "/mlflow/scorers/list", READ, Reach::Whole, Object, api::empty::scorers),
    call(Post, Both(3), "/mlflow/datasets/search", READ, Reach::Whole, Object, api::empty::datasets),
    call(Get, Both(3), "/mlflow/datasets/search", READ, Reach::Whole, Object, api::empty::datasets),
    call(Post, Both(3), "/mlflow/issues/search", READ, Reach::Whole, Object, api::empty::issues),
    call(Get, Ajax(2), "/mlflow/users/current", NOBODY, Reach::None, Object, api::empty::user),
    call(Get, Ajax(3), "/mlflow/assistant/config", NOBODY, Reach::None, Object, api::empty::assistant),
    call(Get, Ajax(3), "/mlflow/assistant/providers", NOBODY, Reach::None, Object, api::empty::assistant_providers),
    call(Get, Ajax(2), "/mlflow/gateway-proxy", READ, Reach::Whole, Object, api::empty::gateway),
    // Artifacts: the proxy, and those of runs, models and versions.
    call(Get, Both(2), "/mlflow-artifacts/artifacts", READ, Reach::Artifact, Artifact, api::artifacts::list_proxied),
    stream(Get, Both(2), "/mlflow-artifacts/artifacts/{*artifact_path}", READ, Reach::Artifact, files::download),
    stream(Put, Both(2), "/mlflow-artifacts/artifacts/{*artifact_path}", WRITE, Reach::Artifact, files::upload),
    call(
        Delete,
        Both(2),
        "/mlflow-artifacts/artifacts/{*artifact_path}",
        ADMIN,
        Reach::Artifact,
        Artifact,
        api::artifacts::delete,
    ),
    call(
        Post,
        Both(2),
        "/mlflow-artifacts/mpu/create/{*artifact_path}",
        WRITE,
        Reach::Artifact,
        Artifact,
        api::artifacts::no_parts,
    ),
    call(
        Post,
        Both(2),
        "/mlflow-artifacts/mpu/complete/{*artifact_path}",
        WRITE,
        Reach::Artifact,
        Artifact,
        api::artifacts::no_parts,
    ),
    call(
        Post,
        Both(2),
        "/mlflow-artifacts/mpu/abort/{*artifact_path}",
        WRITE,
        Reach::Artifact,
        Artifact,
        api::artifacts::no_parts,
    ),
    call(
        Get,
        Both(2),
        "/mlflow-artifacts/presigned/{*artifact_path}",
        READ,
        Reach::Artifact,
        Artifact,
        api::artifacts::no_presigned,
    ),
    call(Get, Both(2), "/mlflow/artifacts/list", READ, Reach::Run, Artifact, api::artifacts::list_of_run),
    stream(Get, Root, "/get-artifact", READ, Reach::Run, files::get_artifact),
    stream(Post, Ajax(2), "/mlflow/upload-artifact", WRITE, Reach::Run, files::upload_to_run),
];

/// A path, its handlers by method, and the names of those methods.
type Place = (String, MethodRouter<Arc<App>>, Vec<&'static str>);

/// The router of the table. Every path is there with the prefix of a reverse proxy too, where the owner chose one.
pub fn router(app: Arc<App>) -> Router {
    let prefix = app.config.path_prefix.clone();
    let mut paths: Vec<Place> = Vec::new();
    for route in TABLE {
        let plain = route.paths();
        let prefixed = plain.iter().filter(|_| !prefix.is_empty()).map(|path| format!("{prefix}{path}"));
        for path in prefixed.collect::<Vec<_>>().into_iter().chain(plain) {
            let handler = move |State(app): State<Arc<App>>, request: Request| dispatch::serve(route, app, request);
            let at = paths.iter().position(|(known, ..)| *known == path).unwrap_or_else(|| {
                paths.push((path, MethodRouter::new(), Vec::new()));
                paths.len() - 1
            });
            let (_, methods, names) = &mut paths[at];
            *methods = std::mem::take(methods).on(route.filter(), handler);
            names.extend(route.verb.names());
        }
    }
    let nowhere = any(|State(app): State<Arc<App>>, request: Request| dispatch::nowhere(app, request));
    let mut router = Router::new();
    for (path, methods, mut names) in paths {
        names.push("OPTIONS");
        let allowed: Arc<str> = names.join(", ").into();
        let otherwise = move |State(app): State<Arc<App>>, request: Request| {
            let allowed = Arc::clone(&allowed);
            async move { dispatch::not_so(app, &allowed, request).await }
        };
        router = router.route(&path, methods.fallback(otherwise));
    }
    router
        .fallback_service(nowhere.with_state(Arc::clone(&app)))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), guarded))
        .with_state(app)
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_route_stands_twice_and_what_changes_something_needs_a_role() {
        let mut seen = HashSet::new();
        for route in TABLE {
            for path in route.paths() {
                assert!(seen.insert((route.verb, path)), "{route:?}");
            }
            // Searches, and answers that hold nothing, are asked by POST too.
            let asks = route.path.ends_with("search")
                || ["ui-telemetry", "search-datasets", "get-latest-versions", "graphql", "batchGetInfos", "metrics"]
                    .iter()
                    .any(|end| route.path.ends_with(end));
            if route.verb != Get && !asks {
                assert!(matches!(route.need, Need::Role(role) if role >= Role::Write), "{route:?}");
            }
            if route.verb == Delete && !route.path.ends_with("alias") && !route.path.contains("tag") {
                assert_eq!(route.need, ADMIN, "{route:?}");
            }
            if matches!(route.need, Need::Role(_)) {
                assert_ne!(route.reach, Reach::None, "{route:?} needs a role, so it reaches something");
            }
        }
    }
}
