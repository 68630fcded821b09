//! The record of MLflow's faults that are about neither paths nor access: names without bound, batches of operations,
//! and places of models that a server could be made to fetch from.

use serde_json::json;

use crate::support::Server;

#[test]
fn names_and_places_have_bounds() {
    let server = Server::new();
    let make = |body: serde_json::Value| server.post("experiments/create", &body).status.as_u16();
    assert_eq!(make(json!({ "name": "n".repeat(500) })), 200);
    assert_eq!(make(json!({ "name": "n".repeat(501) })), 400);
    assert_eq!(make(json!({ "name": "n".repeat(5_000_000) })), 400);
    assert_eq!(make(json!({ "name": "place", "artifact_location": format!("s3://b/{}", "x".repeat(5_000_000)) })), 400);
    let long = "x".repeat(100_001);
    let tags = json!([{ "key": "k", "value": long }]);
    let model = server.post("registered-models/create", &json!({ "name": "m", "tags": tags }));
    assert_eq!((model.status.as_u16(), model.code().as_str()), (400, "INVALID_PARAMETER_VALUE"));
}

#[test]
fn a_batch_of_operations_is_refused_before_any_is_done() {
    let server = Server::new();
    let run = server.run_in("0");
    let field =
        |at: usize| format!("a{at}: mlflowGetRun(input: {{ runId: \"{run}\" }}) {{ run {{ info {{ runId }} }} }}");
    let ask = |query: String| {
        let answer = server.send(
            axum::http::Method::POST,
            "/graphql",
            &[("content-type", "application/json")],
            json!({ "query": query }).to_string(),
        );
        answer.json()
    };
    let many = |count: usize| format!("{{ {} }}", (0..count).map(field).collect::<Vec<_>>().join(" "));
    let few = ask(many(10));
    assert_eq!(few["data"]["a9"]["run"]["info"]["runId"], run.as_str(), "{few}");
    let refused = ask(many(11));
    assert!(refused["data"].is_null() && refused["errors"][0].as_str().unwrap().contains("at most 10 root fields"));
    assert!(ask(many(400))["data"].is_null());
    // A fragment that spreads itself, and nesting without end.
    let looped = "{ mlflowGetRun(input: {}) { ...f } } fragment f on MlflowGetRunResponse { ...f }";
    assert!(!ask(looped.to_owned())["errors"].is_null());
    let deep = format!("{{ mlflowGetRun(input: {{}}) {}{} }}", "{ run ".repeat(2_000), "}".repeat(2_000));
    assert!(ask(deep)["data"].is_null());
}

#[test]
fn no_place_of_a_model_makes_the_server_fetch() {
    let server = Server::new();
    let run = server.run_in("0");
    server.post("registered-models/create", &json!({ "name": "m" }));
    // Whoever is asked hears nothing: a server of our own stands by and counts.
    let witness = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    witness.set_nonblocking(true).unwrap();
    let port = witness.local_addr().unwrap().port();
    let hosts = ["127.0.0.1", "127.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001"];
    let schemes =
        ["http", "https", "ftp", "sftp", "gopher", "hdfs", "s3", "dbfs", "mlflow-artifacts", "models", "file"];
    let mut taken = 0;
    for scheme in schemes {
        for host in hosts {
            let source = format!("{scheme}://{host}:{port}/x");
            for run_id in [run.as_str(), ""] {
                let body = json!({ "name": "m", "source": source, "run_id": run_id });
                let made = server.post("model-versions/create", &body);
                if made.status.as_u16() != 200 {
                    // A file of another host is an internal error to MLflow.
                    let expected = if scheme == "file" { 500 } else { 400 };
                    assert_eq!(made.status.as_u16(), expected, "{source}: {}", made.text());
                    continue;
                }
                taken += 1;
                let version = made.json()["model_version"]["version"].to_string();
                let version = version.trim_matches('"');
                let uri = format!("/model-versions/get-artifact?name=m&version={version}&path=x");
                assert!(!server.get(&uri).status.is_success(), "{source}");
            }
            let name = format!("e {source}");
            let made = server.post("experiments/create", &json!({ "name": name, "artifact_location": source })).json();
            if let Some(experiment) = made["experiment_id"].as_str() {
                let run = server.run_in(experiment);
                assert!(!server.get(&format!("/get-artifact?run_id={run}&path=x")).status.is_success(), "{source}");
                server.get(&format!("/api/2.0/mlflow/artifacts/list?run_id={run}"));
            }
        }
    }
    assert!(taken > 0, "places in stores that only clients reach are kept as words");
    assert_eq!(witness.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody was asked");
}

#[test]
fn what_was_written_is_told_though_there_is_no_room_for_answers() {
    let server = Server::with(|config| config.limits.answers_bytes = 0);
    let tags: Vec<_> = (0..20).map(|at| json!({ "key": format!("k{at}"), "value": "v".repeat(5_000) })).collect();
    let made = server.post("runs/create", &json!({ "experiment_id": "0", "start_time": 1, "tags": tags }));
    assert_eq!(made.status.as_u16(), 200, "{}", made.text());
    assert!(made.body.len() > 64 << 10);
    let run = made.json()["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let read = server.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}"));
    assert_eq!((read.status.as_u16(), read.code().as_str()), (503, "TEMPORARILY_UNAVAILABLE"));
}
