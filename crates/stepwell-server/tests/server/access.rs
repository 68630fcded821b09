//! Who may do what, proven by walking over the table of routes.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use stepwell_server::Role;
use stepwell_server::routes::{Reach, Route, TABLE, Verb};

use crate::support::Server;

fn method(route: &Route) -> Method {
    match route.verb {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
        Verb::Patch => Method::PATCH,
        Verb::Delete => Method::DELETE,
    }
}

/// A path of a route with something in place of its parameters.
fn filled(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "0" } else { part }).collect::<Vec<_>>().join("/")
}

/// What a token of this role meets at a route: whether it gets past the door.
fn let_in(server: &Server, route: &Route, path: &str, authorization: Option<&str>) -> Result<(), StatusCode> {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.map(|value| ("authorization", value)));
    let answer = server.send(method(route), &filled(path), &headers, Body::from("{}"));
    match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(answer.status),
        StatusCode::METHOD_NOT_ALLOWED => panic!("{route:?} is not routed"),
        _ => {
            assert_ne!(answer.code_if_any().as_deref(), Some("ENDPOINT_NOT_FOUND"), "{route:?} is not routed");
            Ok(())
        }
    }
}

impl crate::support::Answered {
    fn code_if_any(&self) -> Option<String> {
        serde_json::from_slice::<serde_json::Value>(&self.body).ok()?["error_code"].as_str().map(str::to_owned)
    }
}

#[test]
fn every_route_asks_for_what_its_table_says() {
    let server = Server::with_tokens();
    let tokens: Vec<(Role, String)> = [Role::Read, Role::Write, Role::Admin]
        .into_iter()
        .map(|role| (role, format!("Bearer {}", server.token(role, &[]))))
        .collect();
    let revoked = format!("Bearer {}x", server.token(Role::Admin, &[]));
    for route in TABLE {
        for path in route.paths() {
            use stepwell_server::routes::Need;
            let needed = match route.need {
                Need::Nobody => None,
                Need::Role(role) => Some(role),
            };
            let nobody = if needed.is_none() { Ok(()) } else { Err(StatusCode::UNAUTHORIZED) };
            assert_eq!(let_in(&server, route, &path, None), nobody, "{path}");
            for wrong in
                [revoked.as_str(), "Bearer ", "Bearer stw_000000000000_", "Basic !", "Digest x", "", "Bearer \u{e9}"]
            {
                assert_eq!(let_in(&server, route, &path, Some(wrong)), nobody, "{path} {wrong}");
            }
            for (role, token) in &tokens {
                let expected =
                    if needed.is_none_or(|needed| *role >= needed) { Ok(()) } else { Err(StatusCode::FORBIDDEN) };
                assert_eq!(let_in(&server, route, &path, Some(token)), expected, "{path} {role:?}");
            }
        }
    }
}

#[test]
fn a_token_for_one_experiment_reaches_nothing_else() {
    let server = Server::with_tokens();
    let token = format!("Bearer {}", server.token(Role::Admin, &["1"]));
    for route in TABLE {
        for path in route.paths() {
            // Feeds without a selection are of all experiments: `page.rs` tries them.
            if path.starts_with("/api/stepwell/") && route.verb == Verb::Post {
                continue;
            }
            // What an operation names is held against the scope by itself, and has a test of its own.
            let open = matches!(route.need, stepwell_server::routes::Need::Nobody)
                || matches!(route.reach, Reach::None | Reach::Operation);
            let expected = if open { Ok(()) } else { Err(StatusCode::FORBIDDEN) };
            assert_eq!(let_in(&server, route, &path, Some(&token)), expected, "{path}");
        }
    }
}

#[test]
fn a_token_for_one_experiment_works_there() {
    let server = Server::with_tokens();
    let all = format!("Bearer {}", server.token(Role::Admin, &[]));
    let post = |token: &str, path: &str, body: serde_json::Value| {
        let headers = [("content-type", "application/json"), ("authorization", token)];
        server.send(Method::POST, &format!("/api/2.0/mlflow/{path}"), &headers, Body::from(body.to_string()))
    };
    let made = post(&all, "experiments/create", serde_json::json!({ "name": "one" }));
    let id = made.json()["experiment_id"].as_str().unwrap().to_owned();
    let one = format!("Bearer {}", server.token(Role::Write, &[&id]));
    let mine = post(&one, "runs/create", serde_json::json!({ "experiment_id": id }));
    assert_eq!(mine.status, StatusCode::OK, "{}", mine.text());
    let mine = mine.json()["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let other = post(&all, "runs/create", serde_json::json!({ "experiment_id": "0" }));
    let other = other.json()["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let tag = |run: &str| post(&one, "runs/set-tag", serde_json::json!({ "run_id": run, "key": "k", "value": "v" }));
    assert_eq!(tag(&mine).status, StatusCode::OK);
    // A run of others and one that does not exist look the same.
    let (refused, unknown) = (tag(&other), tag("0123456789abcdef0123456789abcdef"));
    assert_eq!((refused.status, refused.text()), (StatusCode::FORBIDDEN, unknown.text()));
    let smuggled = serde_json::json!({ "run_id": mine, "run_uuid": other, "key": "k", "value": "v" });
    assert_eq!(post(&one, "runs/set-tag", smuggled).status, StatusCode::FORBIDDEN);
    let put = |path: &str| {
        let uri = format!("/api/2.0/mlflow-artifacts/artifacts/{path}");
        server.send(Method::PUT, &uri, &[("authorization", one.as_str())], Body::from("x")).status
    };
    assert_eq!(put(&format!("{id}/r/artifacts/a")), StatusCode::OK);
    for path in ["0/r/artifacts/a".to_owned(), format!("{id}0/r/a"), format!("{id}%2f..%2f0/r/a"), format!("./{id}/a")]
    {
        assert_ne!(put(&path), StatusCode::OK, "{path}");
    }
}

#[test]
fn a_scope_holds_for_models_and_operations_too() {
    let server = Server::with_tokens();
    let all = format!("Bearer {}", server.token(Role::Admin, &[]));
    let send = |token: &str, method: Method, path: &str, body: serde_json::Value| {
        let headers = [("content-type", "application/json"), ("authorization", token)];
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/api/2.0/mlflow/{path}") };
        server.send(method, &path, &headers, Body::from(body.to_string()))
    };
    let post = |token: &str, path: &str, body: serde_json::Value| send(token, Method::POST, path, body);
    let made = post(&all, "experiments/create", serde_json::json!({ "name": "mine" }));
    let id = made.json()["experiment_id"].as_str().unwrap().to_owned();
    let mine = format!("Bearer {}", server.token(Role::Write, &[&id]));
    let run_in = |experiment: &str| {
        let made = post(&all, "runs/create", serde_json::json!({ "experiment_id": experiment }));
        made.json()["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    };
    let (own_run, other_run) = (run_in(&id), run_in("0"));
    let model = |token: &str, experiment: &str, run: &str| {
        let body = serde_json::json!({ "experiment_id": experiment, "name": "m", "source_run_id": run });
        post(token, "logged-models", body)
    };
    let model_id = |answer: crate::support::Answered| {
        answer.json()["model"]["info"]["model_id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
    };
    let own_model = model_id(model(&mine, &id, &own_run));
    let other_model = model_id(model(&all, "0", &other_run));
    // A model in one's own experiment, but of a run of others.
    assert_eq!(model(&mine, &id, &other_run).status, StatusCode::FORBIDDEN);
    assert_eq!(model(&mine, "0", &own_run).status, StatusCode::FORBIDDEN);
    let points = |model: &str| {
        let metric = serde_json::json!({ "key": "a", "value": 1, "timestamp": 1, "step": 1, "model_id": model });
        post(&mine, "runs/log-batch", serde_json::json!({ "run_id": own_run, "metrics": [metric] })).status
    };
    assert_eq!((points(&own_model), points(&other_model)), (StatusCode::OK, StatusCode::FORBIDDEN));
    let outputs = |model: &str| {
        let body = serde_json::json!({ "run_id": own_run, "models": [{ "model_id": model, "step": 1 }] });
        post(&mine, "runs/outputs", body).status
    };
    assert_eq!((outputs(&own_model), outputs(&other_model)), (StatusCode::OK, StatusCode::FORBIDDEN));
    let nothing = serde_json::json!({});
    for (model, expected) in [(&own_model, StatusCode::OK), (&other_model, StatusCode::FORBIDDEN)] {
        let path = format!("logged-models/{model}");
        assert_eq!(send(&mine, Method::GET, &path, nothing.clone()).status, expected);
        let tags = serde_json::json!({ "tags": [{ "key": "k", "value": "v" }] });
        assert_eq!(send(&mine, Method::PATCH, &format!("{path}/tags"), tags).status, expected);
        let files = format!("/ajax-api/2.0/mlflow/{path}/artifacts/files?artifact_file_path=x");
        let got = send(&mine, Method::GET, &files, nothing.clone()).status;
        assert_eq!(got == StatusCode::FORBIDDEN, expected == StatusCode::FORBIDDEN, "{got}");
    }
    for (name, expected) in
        [("mine", StatusCode::OK), ("Default", StatusCode::FORBIDDEN), ("none", StatusCode::FORBIDDEN)]
    {
        let path = format!("experiments/get-by-name?experiment_name={name}");
        assert_eq!(send(&mine, Method::GET, &path, nothing.clone()).status, expected, "{name}");
    }
    for (method, path) in [
        (Method::GET, "registered-models/search"),
        (Method::GET, "registered-models/get?name=m"),
        (Method::POST, "registered-models/create"),
        (Method::GET, "model-versions/search"),
        (Method::POST, "model-versions/create"),
    ] {
        // A run of one's own in the request opens nothing.
        let body = serde_json::json!({ "name": "m", "source": "s3://b/m", "run_id": own_run });
        assert_eq!(send(&mine, method, path, body).status, StatusCode::FORBIDDEN, "{path}");
    }
    // The same over GraphQL, whether ids come as variables or stand in the document.
    post(&all, "registered-models/create", serde_json::json!({ "name": "m" }));
    let version = serde_json::json!({ "name": "m", "source": "s3://b/m", "run_id": own_run });
    assert_eq!(post(&all, "model-versions/create", version).status, StatusCode::OK);
    let ask = |token: &str, query: String, variables: serde_json::Value| {
        post(token, "/graphql", serde_json::json!({ "query": query, "variables": variables })).json()
    };
    let fields = "run { info { runId } experiment { name } modelVersions { name } }";
    for (run, seen) in [(&own_run, true), (&other_run, false)] {
        let written =
            ask(&mine, format!("{{ mlflowGetRun(input: {{ runId: \"{run}\" }}) {{ {fields} }} }}"), nothing.clone());
        let document = format!("query($i: MlflowGetRunInput!) {{ mlflowGetRun(input: $i) {{ {fields} }} }}");
        let given = ask(&mine, document, serde_json::json!({ "i": { "runId": run } }));
        for answer in [written, given] {
            assert_eq!(answer["data"]["mlflowGetRun"]["run"]["info"]["runId"] == run.as_str(), seen, "{answer}");
            assert_eq!(answer["errors"].is_null(), seen, "{answer}");
            assert!(seen || !answer.to_string().contains(run.as_str()), "{answer}");
            if seen {
                let run = &answer["data"]["mlflowGetRun"]["run"];
                assert_eq!(
                    (&run["experiment"]["name"], &run["modelVersions"]),
                    (&"mine".into(), &serde_json::json!([]))
                );
            }
        }
    }
    for query in [
        "{ mlflowSearchModelVersions(input: {}) { modelVersions { name } } }".to_owned(),
        "{ mlflowSearchModelVersions(input: { filter: \"name = 'm'\" }) { modelVersions { name } } }".to_owned(),
        "{ mlflowSearchRuns(input: {}) { runs { info { runId } } } }".to_owned(),
        format!(
            "{{ mlflowSearchRuns(input: {{ experimentIds: [\"{id}\", \"0\"] }}) {{ runs {{ info {{ runId }} }} }} }}"
        ),
        "{ mlflowGetExperiment(input: { experimentId: \"0\" }) { experiment { name } } }".to_owned(),
        format!("{{ mlflowListArtifacts(input: {{ runId: \"{other_run}\" }}) {{ rootUri }} }}"),
        format!(
            "{{ mlflowGetMetricHistoryBulkInterval(input: {{ runIds: [\"{other_run}\"], metricKey: \"a\" }}) {{ \
             metrics {{ value }} }} }}"
        ),
    ] {
        let answer = ask(&mine, query.clone(), nothing.clone());
        assert!(answer["data"].as_object().unwrap().values().all(serde_json::Value::is_null), "{query}: {answer}");
        assert_eq!(answer["errors"][0], "This token does not allow that.", "{query}: {answer}");
        let allowed = ask(&all, query.clone(), nothing.clone());
        assert!(allowed["errors"][0] != "This token does not allow that.", "{query}: {allowed}");
    }
}

#[test]
fn a_browser_gives_its_token_as_password() {
    use base64::Engine as _;
    let server = Server::with_tokens();
    let token = server.token(Role::Read, &[]);
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("anyone:{token}"));
    let uri = "/ajax-api/2.0/mlflow/experiments/get?experiment_id=0";
    let answer = server.send(Method::GET, uri, &[("authorization", &format!("Basic {basic}"))], Body::empty());
    assert_eq!(answer.status, StatusCode::OK);
    let answer = server.send(Method::GET, uri, &[], Body::empty());
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    assert_eq!(answer.code(), "UNAUTHENTICATED");
}

#[test]
fn addresses_that_are_no_route_ask_for_a_token_too() {
    let server = Server::with_tokens();
    for path in [
        "/api/2.0/mlflow/nothing",
        "/nothing",
        "/api/2.0/mlflow/runs/search/",
        "//api/2.0/mlflow/runs/get",
        "/API/2.0/mlflow/runs/get",
    ] {
        assert_eq!(server.get(path).status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let open = Server::new();
    for path in [
        "/api/2.0/mlflow/nothing",
        "/api/2.0/mlflow/runs%2fget",
        "/api/2.0/mlflow/runs/get;x",
        "/api/2.0/mlflow/Runs/get",
    ] {
        let answer = open.get(path);
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "ENDPOINT_NOT_FOUND"), "{path}");
    }
}

#[test]
fn other_methods_and_doubled_slashes_are_told_to_who_may_know() {
    let server = Server::with_tokens();
    let token = format!("Bearer {}", server.token(Role::Read, &[]));
    let send = |method: Method, uri: &str| {
        let unknown = server.send(method.clone(), uri, &[], Body::empty());
        assert_eq!(unknown.status, StatusCode::UNAUTHORIZED, "{uri}");
        assert!(!unknown.headers.contains_key("location"), "{uri}");
        server.send(method, uri, &[("authorization", &token)], Body::empty())
    };
    let words =
        |text: &str| text.split(',').map(|word| word.trim().to_owned()).collect::<std::collections::BTreeSet<_>>();
    for (method, uri, allowed) in [
        (Method::POST, "/api/2.0/mlflow/runs/get", "GET,HEAD,OPTIONS"),
        (Method::GET, "/api/2.0/mlflow/runs/create", "POST,OPTIONS"),
        (Method::PUT, "/graphql", "GET,HEAD,POST,OPTIONS"),
    ] {
        let answer = send(method.clone(), uri);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::METHOD_NOT_ALLOWED, "ENDPOINT_NOT_FOUND"),
            "{uri}"
        );
        assert_eq!(words(answer.headers["allow"].to_str().unwrap()), words(allowed), "{method} {uri}");
    }
    let moved = send(Method::GET, "//api///2.0/mlflow//runs/get?run_id=a%2F%2Fb&x=//");
    assert_eq!(moved.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(moved.headers["location"], "/api/2.0/mlflow/runs/get?run_id=a%2F%2Fb&x=//");
    // Never to another host: a browser reads a backslash as a slash.
    assert_eq!(send(Method::POST, "///evil.example//x").headers["location"], "/evil.example/x");
    for uri in ["//\\evil.example", "//\\\\evil.example//x", "/\\evil.example//x", "///\\/evil.example"] {
        let answer = send(Method::GET, uri);
        assert_eq!((answer.status, answer.headers.get("location")), (StatusCode::NOT_FOUND, None), "{uri}");
    }
}

#[test]
fn others_reach_a_server_only_when_its_owner_said_how() {
    use stepwell_server::{Access, Config};
    let dir = tempfile::tempdir().unwrap();
    let config = |access| Config { host: [0, 0, 0, 0].into(), access, ..Config::of(dir.path()) };
    assert!(config(Access::Local).check().is_err());
    assert!(config(Access::Token).check().is_ok());
    assert!(config(Access::Anyone).check().is_ok());
    assert!(Config::of(dir.path()).check().is_ok());
}

#[test]
fn who_did_it_is_the_name_of_the_token() {
    let server = Server::with_tokens();
    let token = format!("Bearer {}", server.token(Role::Admin, &[]));
    let post = |path: &str, body: serde_json::Value| {
        let headers = [("content-type", "application/json"), ("authorization", &token)];
        let answer =
            server.send(Method::POST, &format!("/api/2.0/mlflow/{path}"), &headers, Body::from(body.to_string()));
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        answer.json()
    };
    let made = post("registered-models/create", serde_json::json!({ "name": "m" }));
    assert_eq!(made["registered_model"]["user_id"], "test");
    let version = post("model-versions/create", serde_json::json!({ "name": "m", "source": "s3://b/m" }));
    assert_eq!(version["model_version"]["user_id"], "test");
    let stage = serde_json::json!({ "name": "m", "version": "1", "stage": "Staging" });
    post("model-versions/transition-stage", stage);
    let run = post("runs/create", serde_json::json!({ "experiment_id": "0" }));
    let run = run["run"]["info"]["run_id"].as_str().unwrap();
    post("runs/delete", serde_json::json!({ "run_id": run }));
    let workspace = stepwell::Workspace::open(server.dir.path().join("workspace")).unwrap();
    let id = stepwell::RunId::new(run).unwrap();
    assert_eq!(workspace.run(&id).unwrap().state().deletion_by(), "test");
    let store = stepwell::registry::ModelRegistry::new(&workspace);
    assert_eq!(store.version("m", 1).unwrap().stage_by, "test");
    assert_ne!(workspace.actor(), "test", "a handle of its own acts for the user who runs the process");
}

#[derive(Debug)]
struct ByHeader;

impl stepwell_server::Authenticator for ByHeader {
    fn caller(&self, headers: &stepwell_server::HeaderMap) -> std::io::Result<Option<stepwell_server::Caller>> {
        let Some(user) = headers.get("x-user").and_then(|user| user.to_str().ok()) else { return Ok(None) };
        let role = match user {
            "nobody can tell" => return Err(std::io::Error::other("the directory does not answer")),
            "reader" => Role::Read,
            _ => Role::Write,
        };
        Ok(Some(stepwell_server::Caller { name: user.to_owned(), role, experiments: Vec::new() }))
    }
}

#[test]
fn a_program_tells_itself_who_asks() {
    let server = Server::with(|config| config.authenticator = Some(std::sync::Arc::new(ByHeader)));
    let make = |user: Option<&str>| {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(user.map(|user| ("x-user", user)));
        let body = serde_json::json!({ "name": "m" }).to_string();
        server.send(Method::POST, "/api/2.0/mlflow/registered-models/create", &headers, Body::from(body))
    };
    assert_eq!(make(None).status, StatusCode::UNAUTHORIZED);
    assert_eq!(make(Some("reader")).status, StatusCode::FORBIDDEN);
    assert_eq!(make(Some("nobody can tell")).status, StatusCode::SERVICE_UNAVAILABLE);
    let made = make(Some("ada"));
    assert_eq!((made.status, &made.json()["registered_model"]["user_id"]), (StatusCode::OK, &serde_json::json!("ada")));
    // An address that others reach needs no further word then.
    let dir = tempfile::tempdir().unwrap();
    let open = stepwell_server::Config {
        host: [0, 0, 0, 0].into(),
        authenticator: Some(std::sync::Arc::new(ByHeader)),
        ..stepwell_server::Config::of(dir.path())
    };
    assert!(open.check().is_ok());
}

#[test]
fn a_token_of_an_hour_allows_what_the_one_it_was_made_from_does() {
    let server = Server::with_tokens();
    let ask = |method: Method, path: &str, token: &str| {
        let authorization = format!("Bearer {token}");
        let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
        server.send(method, path, &headers, Body::from("{}"))
    };
    let own = "/api/2.0/stepwell/token";
    let hourly = |token: &str| {
        let answer = ask(Method::POST, own, token);
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let said = answer.json();
        // No longer than an hour, nor than its own token, which the tests' server gives a minute.
        assert!(said["valid_ms"].as_i64().unwrap() <= 60_000);
        said["token"].as_str().unwrap().to_owned()
    };
    let reader = server.token(Role::Read, &[]);
    let bound = server.token(Role::Write, &["1"]);
    for (long, role, whole) in [(&reader, Role::Read, true), (&bound, Role::Write, false)] {
        let short = hourly(long);
        assert_ne!(&short, long);
        for route in TABLE {
            for path in route.paths().iter().filter(|path| path.as_str() != own) {
                let authorization = |token: &str| format!("Bearer {token}");
                let of_long = let_in(&server, route, path, Some(&authorization(long)));
                let of_short = let_in(&server, route, path, Some(&authorization(&short)));
                if route.path != "/stepwell/token" {
                    assert_eq!(of_short, of_long, "{role:?} {path}");
                }
            }
        }
        let search = ask(Method::GET, "/api/2.0/mlflow/experiments/search?max_results=1", &short);
        assert_eq!(search.status == StatusCode::OK, whole);
        // It makes no other one, so that whoever finds it has it for an hour.
        assert_eq!(ask(Method::POST, own, &short).status, StatusCode::FORBIDDEN);
    }
    // A server without tokens says so.
    let open = Server::new();
    let answer = open.send(Method::POST, own, &[("content-type", "application/json")], Body::from("{}"));
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE".to_owned()));
}
