//! The one table of endpoints. The server's router, its permissions, calls without a server and the tests of all of
//! them are derived from it.

use super::access::{Need, Reach, Role};
use super::route::{At, Lane, Route, Run, ServerOnly, Verb};
use crate::call::{Call, Outcome};
use crate::operations::{
    artifacts, batch, datasets, empty, experiments, graphql, logged_models, metrics, models, page, runs, spool, system,
    versions,
};

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

const fn server(
    verb: Verb,
    at: At,
    path: &'static str,
    need: Need,
    reach: Reach,
    lane: Lane,
    what: ServerOnly,
) -> Route {
    Route { verb, at, path, need, reach, lane, run: Run::Server(what) }
}

use At::{Ajax, Both, Root};
use Lane::{Artifact, Log, Object, Search};
use Verb::{Delete, Get, Patch, Post, Put};

/// Every endpoint.
pub static TABLE: &[Route] = &[
    // Pages.
    server(Get, Root, "/", NOBODY, Reach::None, Artifact, ServerOnly::Index),
    server(Get, Root, "/static-files/{*path}", NOBODY, Reach::None, Artifact, ServerOnly::StaticFile),
    server(Get, Root, "/stepwell", NOBODY, Reach::None, Artifact, ServerOnly::OwnPage),
    server(Get, Root, "/mlflow", NOBODY, Reach::None, Artifact, ServerOnly::MlflowPage),
    server(Get, Root, "/page/{*path}", NOBODY, Reach::None, Artifact, ServerOnly::PageFile),
    // Feeds of Stepwell's own page.
    call(Get, Root, "/api/stepwell/overview", READ, Reach::Operation, Search, page::table::overview),
    call(Post, Root, "/api/stepwell/runs", READ, Reach::Operation, Search, page::table::runs),
    call(Post, Root, "/api/stepwell/plots", READ, Reach::Operation, Search, page::plots::plots),
    call(Get, Root, "/api/stepwell/run", READ, Reach::Run, Object, page::one::run),
    call(Get, Root, "/api/stepwell/series.csv", READ, Reach::Operation, Search, page::series::series),
    server(Get, Root, "/api/stepwell/follow", READ, Reach::Operation, Search, ServerOnly::Follow),
    // The server itself.
    call(Get, Root, "/health", NOBODY, Reach::None, Object, system::health),
    server(Get, Root, "/ready", NOBODY, Reach::None, Object, ServerOnly::Ready),
    call(Get, Root, "/version", NOBODY, Reach::None, Object, system::version),
    server(Get, Root, "/metrics", READ, Reach::Whole, Object, ServerOnly::Metrics),
    server(Post, Both(2), "/stepwell/token", READ, Reach::Operation, Object, ServerOnly::HourlyToken),
    call(Get, Both(3), "/mlflow/server-info", NOBODY, Reach::None, Object, system::server_info),
    call(Get, Ajax(3), "/mlflow/ui-telemetry", NOBODY, Reach::None, Object, system::telemetry),
    call(Post, Ajax(3), "/mlflow/ui-telemetry", NOBODY, Reach::None, Object, system::telemetry_is_dropped),
    // Experiments.
    call(Post, Both(2), "/mlflow/experiments/create", WRITE, Reach::Whole, Object, experiments::create),
    call(Get, Both(2), "/mlflow/experiments/get", READ, Reach::Experiment, Object, experiments::get),
    call(
        Get,
        Both(2),
        "/mlflow/experiments/get-by-name",
        READ,
        Reach::ExperimentName,
        Object,
        experiments::get_by_name,
    ),
    call(Get, Both(2), "/mlflow/experiments/search", READ, Reach::Whole, Search, experiments::search),
    call(Post, Both(2), "/mlflow/experiments/search", READ, Reach::Whole, Search, experiments::search),
    call(Post, Both(2), "/mlflow/experiments/update", WRITE, Reach::Experiment, Object, experiments::update),
    call(Post, Both(2), "/mlflow/experiments/delete", ADMIN, Reach::Experiment, Object, experiments::delete),
    call(Post, Both(2), "/mlflow/experiments/restore", ADMIN, Reach::Experiment, Object, experiments::restore),
    call(
        Post,
        Both(2),
        "/mlflow/experiments/set-experiment-tag",
        WRITE,
        Reach::Experiment,
        Object,
        experiments::set_tag,
    ),
    call(
        Post,
        Both(2),
        "/mlflow/experiments/delete-experiment-tag",
        WRITE,
        Reach::Experiment,
        Object,
        experiments::delete_tag,
    ),
    // Runs.
    call(Post, Both(2), "/mlflow/runs/create", WRITE, Reach::Experiment, Log, runs::create),
    call(Get, Both(2), "/mlflow/runs/get", READ, Reach::Run, Object, runs::get),
    call(Post, Both(2), "/mlflow/runs/update", WRITE, Reach::Run, Log, runs::update),
    call(Post, Both(2), "/mlflow/runs/delete", ADMIN, Reach::Run, Object, runs::delete),
    call(Post, Both(2), "/mlflow/runs/restore", ADMIN, Reach::Run, Object, runs::restore),
    call(Post, Both(2), "/mlflow/runs/search", READ, Reach::Experiments, Search, runs::search),
    call(Post, Both(2), "/mlflow/runs/set-tag", WRITE, Reach::Run, Log, runs::set_tag),
    call(Post, Both(2), "/mlflow/runs/delete-tag", WRITE, Reach::Run, Log, runs::delete_tag),
    call(Post, Both(2), "/mlflow/runs/log-parameter", WRITE, Reach::Run, Log, runs::log_param),
    call(Post, Both(2), "/mlflow/runs/log-metric", WRITE, Reach::Run, Log, batch::log_metric),
    call(Post, Both(2), "/mlflow/runs/log-batch", WRITE, Reach::Run, Log, batch::log_batch),
    // Histories.
    call(Get, Both(2), "/mlflow/metrics/get-history", READ, Reach::Run, Search, metrics::history),
    call(
        Get,
        Both(2),
        "/mlflow/metrics/get-history-bulk-interval",
        READ,
        Reach::Runs,
        Search,
        metrics::history_bulk_interval,
    ),
    call(Get, Ajax(2), "/mlflow/metrics/get-history-bulk", READ, Reach::Runs, Search, metrics::history_bulk),
    // What runs read and make.
    call(Post, Both(2), "/mlflow/runs/log-model", WRITE, Reach::Run, Log, runs::log_model),
    call(Post, Both(2), "/mlflow/runs/log-inputs", WRITE, Reach::Run, Log, datasets::log_inputs),
    call(Post, Both(2), "/mlflow/runs/outputs", WRITE, Reach::Run, Log, datasets::log_outputs),
    call(Post, Ajax(2), "/mlflow/experiments/search-datasets", READ, Reach::Experiments, Search, datasets::search),
    // Logged models.
    call(Post, Both(2), "/mlflow/logged-models", WRITE, Reach::Experiment, Log, logged_models::create),
    call(Post, Both(2), "/mlflow/logged-models/search", READ, Reach::Experiments, Search, logged_models::search),
    call(Get, Both(2), "/mlflow/logged-models/{model_id}", READ, Reach::Model, Object, logged_models::get),
    call(Patch, Both(2), "/mlflow/logged-models/{model_id}", WRITE, Reach::Model, Log, logged_models::finalize),
    call(Delete, Both(2), "/mlflow/logged-models/{model_id}", ADMIN, Reach::Model, Object, logged_models::delete),
    call(Post, Both(2), "/mlflow/logged-models/{model_id}/params", WRITE, Reach::Model, Log, logged_models::log_params),
    call(Patch, Both(2), "/mlflow/logged-models/{model_id}/tags", WRITE, Reach::Model, Log, logged_models::set_tags),
    call(
        Delete,
        Both(2),
        "/mlflow/logged-models/{model_id}/tags/{tag_key}",
        WRITE,
        Reach::Model,
        Log,
        logged_models::delete_tag,
    ),
    call(
        Get,
        Both(2),
        "/mlflow/logged-models/{model_id}/artifacts/directories",
        READ,
        Reach::Model,
        Artifact,
        logged_models::list_artifacts,
    ),
    server(
        Get,
        Ajax(2),
        "/mlflow/logged-models/{model_id}/artifacts/files",
        READ,
        Reach::Model,
        Artifact,
        ServerOnly::ModelArtifact,
    ),
    // Registered models.
    call(Post, Both(2), "/mlflow/registered-models/create", WRITE, Reach::Whole, Object, models::create),
    call(Get, Both(2), "/mlflow/registered-models/get", READ, Reach::Whole, Object, models::get),
    call(Post, Both(2), "/mlflow/registered-models/rename", WRITE, Reach::Whole, Object, models::rename),
    call(Patch, Both(2), "/mlflow/registered-models/update", WRITE, Reach::Whole, Object, models::update),
    call(Delete, Both(2), "/mlflow/registered-models/delete", ADMIN, Reach::Whole, Object, models::delete),
    call(Get, Both(2), "/mlflow/registered-models/search", READ, Reach::Whole, Search, models::search),
    call(
        Get,
        Both(2),
        "/mlflow/registered-models/get-latest-versions",
        READ,
        Reach::Whole,
        Object,
        models::latest_versions,
    ),
    call(
        Post,
        Both(2),
        "/mlflow/registered-models/get-latest-versions",
        READ,
        Reach::Whole,
        Object,
        models::latest_versions,
    ),
    call(Post, Both(2), "/mlflow/registered-models/set-tag", WRITE, Reach::Whole, Object, models::set_tag),
    call(Delete, Both(2), "/mlflow/registered-models/delete-tag", WRITE, Reach::Whole, Object, models::delete_tag),
    call(Post, Both(2), "/mlflow/registered-models/alias", WRITE, Reach::Whole, Object, models::set_alias),
    call(Get, Both(2), "/mlflow/registered-models/alias", READ, Reach::Whole, Object, models::by_alias),
    call(Delete, Both(2), "/mlflow/registered-models/alias", WRITE, Reach::Whole, Object, models::delete_alias),
    // Their versions.
    call(Post, Both(2), "/mlflow/model-versions/create", WRITE, Reach::Whole, Object, versions::create),
    call(Get, Both(2), "/mlflow/model-versions/get", READ, Reach::Whole, Object, versions::get),
    call(Get, Both(2), "/mlflow/model-versions/get-download-uri", READ, Reach::Whole, Object, versions::download_uri),
    call(Patch, Both(2), "/mlflow/model-versions/update", WRITE, Reach::Whole, Object, versions::update),
    call(Post, Both(2), "/mlflow/model-versions/transition-stage", WRITE, Reach::Whole, Object, versions::transition),
    call(Delete, Both(2), "/mlflow/model-versions/delete", ADMIN, Reach::Whole, Object, versions::delete),
    call(Get, Both(2), "/mlflow/model-versions/search", READ, Reach::Whole, Search, versions::search),
    call(Post, Both(2), "/mlflow/model-versions/set-tag", WRITE, Reach::Whole, Object, versions::set_tag),
    call(Delete, Both(2), "/mlflow/model-versions/delete-tag", WRITE, Reach::Whole, Object, versions::delete_tag),
    server(Get, Root, "/model-versions/get-artifact", READ, Reach::Whole, Artifact, ServerOnly::VersionArtifact),
    // The UI.
    call(Post, Root, "/graphql", READ, Reach::Operation, Search, graphql::post),
    call(Get, Root, "/graphql", READ, Reach::Operation, Search, graphql::get),
    call(Post, Both(3), "/mlflow/traces/search", READ, Reach::Whole, Object, empty::traces),
    call(Post, Both(3), "/mlflow/traces/metrics", READ, Reach::Whole, Object, empty::trace_metrics),
    call(Get, Both(3), "/mlflow/scorers/list", READ, Reach::Whole, Object, empty::scorers),
    call(Post, Both(3), "/mlflow/datasets/search", READ, Reach::Whole, Object, empty::datasets),
    call(Get, Both(3), "/mlflow/datasets/search", READ, Reach::Whole, Object, empty::datasets),
    call(Post, Both(3), "/mlflow/issues/search", READ, Reach::Whole, Object, empty::issues),
    call(Get, Ajax(2), "/mlflow/users/current", NOBODY, Reach::None, Object, empty::user),
    call(Get, Ajax(3), "/mlflow/assistant/config", NOBODY, Reach::None, Object, empty::assistant),
    call(Get, Ajax(3), "/mlflow/assistant/providers", NOBODY, Reach::None, Object, empty::assistant_providers),
    call(Get, Ajax(2), "/mlflow/gateway-proxy", READ, Reach::Whole, Object, empty::gateway),
    // Artifacts: the proxy, and those of runs, models and versions.
    call(Get, Both(2), "/mlflow-artifacts/artifacts", READ, Reach::Artifact, Artifact, artifacts::list_proxied),
    server(
        Get,
        Both(2),
        "/mlflow-artifacts/artifacts/{*artifact_path}",
        READ,
        Reach::Artifact,
        Artifact,
        ServerOnly::Download,
    ),
    server(
        Put,
        Both(2),
        "/mlflow-artifacts/artifacts/{*artifact_path}",
        WRITE,
        Reach::Artifact,
        Artifact,
        ServerOnly::Upload,
    ),
    call(
        Delete,
        Both(2),
        "/mlflow-artifacts/artifacts/{*artifact_path}",
        ADMIN,
        Reach::Artifact,
        Artifact,
        artifacts::delete,
    ),
    call(
        Post,
        Both(2),
        "/mlflow-artifacts/mpu/create/{*artifact_path}",
        WRITE,
        Reach::Artifact,
        Artifact,
        artifacts::no_parts,
    ),
    call(
        Post,
        Both(2),
        "/mlflow-artifacts/mpu/complete/{*artifact_path}",
        WRITE,
        Reach::Artifact,
        Artifact,
        artifacts::no_parts,
    ),
    call(
        Post,
        Both(2),
        "/mlflow-artifacts/mpu/abort/{*artifact_path}",
        WRITE,
        Reach::Artifact,
        Artifact,
        artifacts::no_parts,
    ),
    call(
        Get,
        Both(2),
        "/mlflow-artifacts/presigned/{*artifact_path}",
        READ,
        Reach::Artifact,
        Artifact,
        artifacts::no_presigned,
    ),
    call(Get, Both(2), "/mlflow/artifacts/list", READ, Reach::Run, Artifact, artifacts::list_of_run),
    server(Get, Root, "/get-artifact", READ, Reach::Run, Artifact, ServerOnly::RunArtifact),
    server(Post, Ajax(2), "/mlflow/upload-artifact", WRITE, Reach::Run, Artifact, ServerOnly::UploadToRun),
    // Spools, of runs that are logged elsewhere, and copies of runs.
    call(Post, Root, "/api/stepwell/spool/positions", WRITE, Reach::Operation, Log, spool::positions),
    server(Post, Root, "/api/stepwell/spool/parcels", WRITE, Reach::Operation, Log, ServerOnly::Parcels),
    server(Get, Root, "/api/stepwell/spool/files", WRITE, Reach::Run, Artifact, ServerOnly::PartOfFile),
    server(Put, Root, "/api/stepwell/spool/files", WRITE, Reach::Run, Artifact, ServerOnly::TakePiece),
    call(Post, Root, "/api/stepwell/spool/list", READ, Reach::Whole, Search, spool::list),
    call(Post, Root, "/api/stepwell/spool/fetch", READ, Reach::Run, Search, spool::fetch),
];

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
            // Searches, answers that hold nothing, and tokens that allow what the caller may, are asked by POST too.
            let asks = route.path.ends_with("search")
                || [
                    "ui-telemetry",
                    "search-datasets",
                    "get-latest-versions",
                    "graphql",
                    "batchGetInfos",
                    "metrics",
                    "/stepwell/token",
                    "/stepwell/runs",
                    "/stepwell/plots",
                    "spool/list",
                    "spool/fetch",
                ]
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
