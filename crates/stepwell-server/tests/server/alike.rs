//! A call in the process gets what a request to the server gets: the same status, kind and bytes.

use axum::body::Body;
use axum::http::Method;
use stepwell::Workspace;
use stepwell_server::routes::{TABLE, Verb};
use stepwell_wire::{Api, Settings};

use crate::support::Server;

/// An API of the server's workspace with the server's settings.
fn api_of(server: &Server) -> Api {
    let workspace = Workspace::open(server.dir.path().join("workspace")).unwrap();
    let settings = Settings { artifact_root: "mlflow-artifacts:/".into(), local: false, ..Settings::of(&workspace) };
    Api::new(workspace, settings).unwrap()
}

/// Asks both, and compares.
fn ask(server: &Server, api: &Api, method: Method, path: &str, query: &str, body: &str) {
    let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let sent = server.send(method.clone(), &uri, &[("content-type", "application/json")], Body::from(body.to_owned()));
    let called = api.answer(method.as_str(), path, query, body.as_bytes());
    let asked = format!("{method} {uri} {body}");
    assert_eq!(
        (sent.status.as_u16(), sent.text()),
        (called.status, String::from_utf8_lossy(&called.body).into_owned()),
        "{asked}"
    );
    assert_eq!(sent.headers["content-type"], called.content_type, "{asked}");
}

#[test]
fn what_is_called_is_answered_as_what_is_sent() {
    let server = Server::new();
    let run = server.run_in("0");
    let batch = format!(r#"{{"run_id":"{run}","metrics":[{{"key":"m","value":"NaN","timestamp":1,"step":1}}]}}"#);
    assert_eq!(server.post_text("runs/log-batch", &batch).text(), "{}");
    let api = api_of(&server);
    let of_run = format!("run_id={run}");
    let history = format!("{of_run}&metric_key=m");
    let deep = "[".repeat(2000);
    for (method, path, query, body) in [
        (Method::GET, "runs/get", of_run.as_str(), ""),
        (Method::HEAD, "runs/get", of_run.as_str(), ""),
        (Method::GET, "runs/get", "run_id=none", ""),
        (Method::GET, "metrics/get-history", history.as_str(), ""),
        (Method::GET, "artifacts/list", of_run.as_str(), ""),
        (Method::POST, "runs/search", "", r#"{"experiment_ids":["0"]}"#),
        (Method::POST, "runs/search", "", r#"{"filter":"nonsense"}"#),
        (Method::POST, "runs/search", "", deep.as_str()),
        (Method::POST, "runs/search", "", "{"),
        (Method::POST, "experiments/create", "", "{}"),
        (Method::POST, "runs/get", "", "{}"),
        (Method::GET, "runs/nowhere", "", ""),
    ] {
        ask(&server, &api, method, &format!("/api/2.0/mlflow/{path}"), query, body);
    }
    let query =
        format!(r#"{{"query":"{{ mlflowGetRun(input: {{runId: \"{run}\"}}) {{ run {{ info {{ runId }} }} }} }}"}}"#);
    ask(&server, &api, Method::POST, "/graphql", "", &query);
    ask(&server, &api, Method::POST, "/api/2.0/mlflow/runs/search", "", &" ".repeat((16 << 20) + 1));
}

#[test]
fn every_route_is_answered_alike_without_a_message() {
    let server = Server::new();
    let api = api_of(&server);
    for route in TABLE.iter().filter(|route| route.server_only().is_none()) {
        let method = match route.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        };
        for path in route.paths() {
            ask(&server, &api, method.clone(), &path.replace(['{', '}', '*'], ""), "", "");
        }
    }
}
