//! A server in memory: a workspace in a temporary folder behind the router, and requests to it.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::Value;
use stepwell_server::{Access, App, Config, Place, Role, Tokens};
use tempfile::TempDir;
use tower::ServiceExt;

/// The address that the server in memory believes to have.
pub(crate) const HOST: &str = "127.0.0.1:5000";

/// A server and its folder.
pub(crate) struct Server {
    pub(crate) dir: TempDir,
    pub(crate) router: axum::Router,
    runtime: tokio::runtime::Runtime,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error_code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A server whose choices `change` makes.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::of(&dir.path().join("workspace"));
        change(&mut config);
        let app = App::open(config, &Place::Address(HOST.parse().unwrap())).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { dir, router: stepwell_server::router(app), runtime }
    }

    /// A server that asks for tokens.
    pub(crate) fn with_tokens() -> Self {
        Self::with(|config| config.access = Access::Token)
    }

    /// A token of this server.
    pub(crate) fn token(&self, role: Role, experiments: &[&str]) -> String {
        let tokens = Tokens::of(&self.dir.path().join("workspace"));
        let experiments = experiments.iter().map(|&id| id.to_owned()).collect();
        tokens.create("test", role, experiments, stepwell::now_ms(), 60_000).unwrap().1
    }

    /// Sends a request; `Host` is the right one unless it is given.
    pub(crate) fn send(&self, method: Method, uri: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answered {
        let mut request = Request::builder().method(method).uri(uri);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", HOST);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.run(request.body(body.into()).unwrap())
    }

    pub(crate) fn run(&self, request: Request<Body>) -> Answered {
        let router = self.router.clone();
        self.runtime.block_on(async {
            let response: Response = router.oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            // Events never end.
            let events = parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
            let body = if events { Vec::new() } else { body.collect().await.unwrap().to_bytes().to_vec() };
            Answered { status: parts.status, headers: parts.headers, body }
        })
    }

    /// The response to a request, whose body is not waited for.
    pub(crate) fn respond(&self, request: Request<Body>) -> Response {
        self.runtime.block_on(self.router.clone().oneshot(request)).unwrap()
    }

    /// Waits for something on the server's threads.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub(crate) fn get(&self, path: &str) -> Answered {
        self.send(Method::GET, path, &[], Body::empty())
    }

    /// Posts JSON to a path below `/api/2.0/mlflow/`.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answered {
        self.post_text(path, &body.to_string())
    }

    pub(crate) fn post_text(&self, path: &str, body: &str) -> Answered {
        let path = format!("/api/2.0/mlflow/{path}");
        self.send(Method::POST, &path, &[("content-type", "application/json")], body.to_owned())
    }

    /// A new run of an experiment.
    pub(crate) fn run_in(&self, experiment: &str) -> String {
        let answer = self.post("runs/create", &serde_json::json!({ "experiment_id": experiment, "start_time": 1 }));
        answer.json()["run"]["info"]["run_id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
    }
}
