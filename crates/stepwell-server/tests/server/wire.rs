//! Requests as clients write them: numbers, JSON that is none, methods, sizes of heads, old addresses, the owner's
//! choices.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::Server;

/// Asserts that a call is refused with 400, and that the message names a parameter.
fn is_refused(server: &Server, method: Method, path: &str, body: &str, name: &str) {
    let uri = if path.starts_with('/') { path.to_owned() } else { format!("/api/2.0/mlflow/{path}") };
    let answer = server.send(method.clone(), &uri, &[("content-type", "application/json")], body.to_owned());
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{method} {path} {body}: {}", answer.text());
    let told = answer.json();
    assert_eq!(told["error_code"], "INVALID_PARAMETER_VALUE", "{told}");
    assert!(told["message"].as_str().unwrap().contains(name), "{method} {path} {body}: {told}");
}

#[test]
fn a_number_that_does_not_parse_is_refused_on_every_route() {
    let server = Server::new();
    let run = server.run_in("0");
    let model = server.post("logged-models", &json!({ "experiment_id": "0", "name": "m" })).json();
    let model = model["model"]["info"]["model_id"].as_str().unwrap().to_owned();
    let wrong =
        ["\"abc\"", "1.5", "\"1.5\"", "\"\"", "\" 7\"", "[1]", "{}", "true", "1e30", "9223372036854775808", "\"0x10\""];
    for value in wrong {
        let post = |path: &str, name: &str, body: String| is_refused(&server, Method::POST, path, &body, name);
        post("runs/create", "start_time", format!(r#"{{"experiment_id":"0","start_time":{value}}}"#));
        post("runs/update", "end_time", format!(r#"{{"run_id":"{run}","end_time":{value}}}"#));
        post("runs/search", "max_results", format!(r#"{{"experiment_ids":["0"],"max_results":{value}}}"#));
        post("experiments/search", "max_results", format!(r#"{{"max_results":{value}}}"#));
        post("logged-models/search", "max_results", format!(r#"{{"experiment_ids":["0"],"max_results":{value}}}"#));
        let metric = |step: &str, time: &str| format!(r#""key":"k","value":1,"timestamp":{time},"step":{step}"#);
        post("runs/log-metric", "step", format!(r#"{{"run_id":"{run}",{}}}"#, metric(value, "1")));
        post("runs/log-metric", "timestamp", format!(r#"{{"run_id":"{run}",{}}}"#, metric("1", value)));
        let batch = |inner: String| {
            format!(r#"{{"run_id":"{run}","metrics":[{{"key":"a","value":1,"timestamp":1}},{{{inner}}}]}}"#)
        };
        post("runs/log-batch", "metrics[1].step", batch(metric(value, "1")));
        // An empty one counts as missing.
        post("runs/log-batch", "metrics[1].timestamp", batch(metric("1", value)));
        post(
            "runs/outputs",
            "step",
            format!(r#"{{"run_id":"{run}","models":[{{"model_id":"{model}","step":{value}}}]}}"#),
        );
    }
    for value in ["\"abc\"", "\"nan\"", "\"inf\"", "[1]", "{}", "\"1,5\""] {
        let one = format!(r#"{{"run_id":"{run}","key":"k","value":{value},"timestamp":1}}"#);
        is_refused(&server, Method::POST, "runs/log-metric", &one, "value");
        let many = format!(r#"{{"run_id":"{run}","metrics":[{{"key":"k","value":{value},"timestamp":1}}]}}"#);
        is_refused(&server, Method::POST, "runs/log-batch", &many, "metrics[0].value");
    }
    for value in ["abc", "1.5", "", "1e3", "%207", "0x10", "9223372036854775808", "NaN"] {
        for (path, name) in [
            (format!("metrics/get-history?run_id={run}&metric_key=k&max_results={value}"), "max_results"),
            (
                format!("metrics/get-history-bulk-interval?run_ids={run}&metric_key=k&max_results={value}"),
                "max_results",
            ),
            (
                format!("metrics/get-history-bulk-interval?run_ids={run}&metric_key=k&start_step={value}&end_step=2"),
                "start_step",
            ),
            (
                format!("metrics/get-history-bulk-interval?run_ids={run}&metric_key=k&start_step=1&end_step={value}"),
                "end_step",
            ),
            (
                format!("/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={run}&metric_key=k&max_results={value}"),
                "max_results",
            ),
            (format!("experiments/search?max_results={value}"), "max_results"),
            (format!("registered-models/search?max_results={value}"), "max_results"),
            (format!("model-versions/search?max_results={value}"), "max_results"),
        ] {
            is_refused(&server, Method::GET, &path, "", name);
        }
    }
    is_refused(
        &server,
        Method::GET,
        "/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id=a&metric_key=k&max_results=-1",
        "",
        "max_results",
    );
    let asked = json!({ "query": "{ mlflowSearchRuns(input: { experimentIds: [\"0\"], maxResults: \"abc\" }) { runs { \
                                  info { runId } } } }" });
    let told = server.send(Method::POST, "/graphql", &[("content-type", "application/json")], asked.to_string()).json();
    assert!(told["errors"][0].as_str().unwrap().contains("max_results"), "{told}");
    // Nothing of it was stored.
    let got = server.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}")).json();
    assert!(
        got["run"]["data"]["metrics"].is_null()
            && got["run"]["outputs"].as_object().is_none_or(serde_json::Map::is_empty),
        "{got}"
    );
    // What protobuf takes for a number is one.
    for value in ["7", "\"7\"", "7.0", "\"-7\"", "7e0"] {
        let body =
            format!(r#"{{"run_id":"{run}","metrics":[{{"key":"ok","value":"1.5","timestamp":1,"step":{value}}}]}}"#);
        assert_eq!(server.post_text("runs/log-batch", &body).status, StatusCode::OK, "{value}");
    }
}

#[test]
fn json_that_is_none_is_told() {
    let server = Server::new();
    let run = server.run_in("0");
    for word in ["NaN", "Infinity", "-Infinity"] {
        let one = format!(r#"{{"run_id":"{run}","key":"k","value":{word},"timestamp":1}}"#);
        is_refused(&server, Method::POST, "runs/log-metric", &one, &format!("bare word {word} at byte"));
        let many = format!(r#"{{"run_id":"{run}","metrics":[{{"key":"k","value":{word},"timestamp":1}}]}}"#);
        is_refused(&server, Method::POST, "runs/log-batch", &many, &format!("bare word {word} at byte"));
    }
    for (body, words) in [("{", "not JSON"), ("[]", "a list"), ("5", "a number"), ("{\"a\":1}}", "not JSON")] {
        for path in ["runs/create", "runs/search", "experiments/search", "registered-models/create", "/graphql"] {
            is_refused(&server, Method::POST, path, body, words);
        }
    }
}

#[test]
fn options_tells_the_methods_and_lets_no_other_site_in() {
    let server = Server::new();
    for (path, allowed) in [
        ("/api/2.0/mlflow/runs/create", "POST, OPTIONS"),
        ("/api/2.0/mlflow/runs/get", "GET, HEAD, OPTIONS"),
        ("/api/2.0/mlflow-artifacts/artifacts/0/a", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("/", "GET, HEAD, OPTIONS"),
    ] {
        let answer = server.send(Method::OPTIONS, path, &[], Body::empty());
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0), "{path}");
        assert_eq!(answer.headers["allow"], allowed, "{path}");
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));
    }
    assert_eq!(
        server.send(Method::OPTIONS, "/api/2.0/mlflow/nothing", &[], Body::empty()).status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(server.send(Method::OPTIONS, "*", &[], Body::empty()).status, StatusCode::NO_CONTENT);
    let preflight = [("origin", "http://evil.com"), ("access-control-request-method", "POST")];
    let answer = server.send(Method::OPTIONS, "/api/2.0/mlflow/runs/create", &preflight, Body::empty());
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[test]
fn old_clients_find_their_addresses() {
    let server = Server::new();
    for start in ["/api/2.0/preview", "/ajax-api/2.0/preview"] {
        let json = [("content-type", "application/json")];
        let made = server.send(Method::POST, &format!("{start}/mlflow/runs/create"), &json, r#"{"experiment_id":"0"}"#);
        let run = made.json()["run"]["info"]["run_uuid"].as_str().unwrap().to_owned();
        assert_eq!(server.get(&format!("{start}/mlflow/runs/get?run_uuid={run}")).status, StatusCode::OK);
        let token = Server::with_tokens();
        assert_eq!(token.get(&format!("{start}/mlflow/runs/get?run_uuid={run}")).status, StatusCode::UNAUTHORIZED);
    }
}

#[test]
fn filters_go_beyond_mlflows_where_the_owner_says_so() {
    for extended in [false, true] {
        let server = Server::with(|config| config.extended_filters = extended);
        let run = server.run_in("0");
        let tag = json!({ "run_id": run, "key": "k", "value": "a" });
        assert_eq!(server.post("runs/set-tag", &tag).status, StatusCode::OK);
        for filter in ["tags.k = 'b' OR tags.k = 'a'", "tags.k IN ('a', 'b')", "NOT (tags.k = 'b')"] {
            let found = server.post("runs/search", &json!({ "experiment_ids": ["0"], "filter": filter }));
            if extended {
                assert_eq!(found.json()["runs"][0]["info"]["run_id"], run.as_str(), "{filter}: {}", found.text());
            } else {
                assert_eq!(found.status, StatusCode::BAD_REQUEST, "{filter}");
            }
        }
    }
}

#[test]
fn sources_of_model_versions_match_the_owners_pattern() {
    let server = Server::with(|config| config.model_source_pattern = Some("^s3://(?!private)[^/]+/team/".into()));
    server.post("registered-models/create", &json!({ "name": "m" }));
    let made = |source: &str| server.post("model-versions/create", &json!({ "name": "m", "source": source }));
    assert_eq!(made("s3://bucket/team/model").status, StatusCode::OK);
    for source in ["s3://private/team/model", "s3://bucket/other", "runs:/x/model", "xs3://bucket/team/model"] {
        let refused = made(source);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE"),
            "{source}"
        );
        assert!(refused.text().contains("pattern") && !refused.text().contains("team/\\"), "{}", refused.text());
    }
    let config = stepwell_server::Config {
        model_source_pattern: Some("(".into()),
        ..stepwell_server::Config::of(&server.dir.path().join("other"))
    };
    let place = stepwell_server::Place::Address("127.0.0.1:5000".parse().unwrap());
    assert!(stepwell_server::App::open(config, &place).unwrap_err().to_string().contains("regular expression"));
}

#[test]
fn a_prefix_is_before_everything_and_may_be_left_out() {
    let server = Server::with(|config| config.path_prefix = "/lab/stepwell".into());
    for start in ["", "/lab/stepwell"] {
        for path in [
            "/health",
            "/ready",
            "/version",
            "/",
            "/static-files/plain.js",
            "/api/2.0/mlflow/experiments/get?experiment_id=0",
        ] {
            assert_eq!(server.get(&format!("{start}{path}")).status, StatusCode::OK, "{start}{path}");
        }
        let page = server.get(&format!("{start}/"));
        assert!(!page.text().contains("\"/") && !page.text().contains("'/"), "the page names its files relatively");
    }
    assert_eq!(server.get("/lab/stepwell/lab/stepwell/health").status, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/lab/health").status, StatusCode::NOT_FOUND);
    let moved = |path: &str| {
        let answer = server.get(path);
        assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT, "{path}");
        answer.headers["location"].to_str().unwrap().to_owned()
    };
    assert_eq!(moved("/lab/stepwell"), "/lab/stepwell/");
    assert_eq!(moved("/lab/stepwell?a=b"), "/lab/stepwell/?a=b");
    assert_eq!(moved("/lab/stepwell//api/2.0/mlflow//runs/get"), "/lab/stepwell/api/2.0/mlflow/runs/get");
    assert_eq!(moved("//api/2.0/mlflow/runs/get"), "/lab/stepwell/api/2.0/mlflow/runs/get");
    // The guard knows the page under its prefix, and what is exempt.
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    assert_eq!(server.send(Method::GET, "/lab/stepwell/", &link, Body::empty()).status, StatusCode::OK);
    let asked = server.send(Method::GET, "/lab/stepwell/health", &[("host", "10.0.0.1")], Body::empty());
    assert_eq!(asked.status, StatusCode::OK);
    let asked = server.send(Method::GET, "/lab/stepwell/version", &[("host", "evil.example")], Body::empty());
    assert_eq!(asked.status, StatusCode::MISDIRECTED_REQUEST);
    for wrong in ["x", "/", "/x/", "//x", "/a//b", "/a/..", "/a b", "/{x}", "/a?b"] {
        let config =
            stepwell_server::Config { path_prefix: wrong.into(), ..stepwell_server::Config::of(server.dir.path()) };
        assert!(config.check().is_err(), "{wrong}");
    }
}

#[test]
fn graphql_tells_its_own_schema() {
    let server = Server::new();
    let ask = |query: &str| {
        let body = json!({ "query": query }).to_string();
        server.send(Method::POST, "/graphql", &[("content-type", "application/json")], body).json()
    };
    // What tools for GraphQL send first.
    let told = ask(
        "query IntrospectionQuery { __schema { queryType { name } mutationType { name } subscriptionType { name } \
         types { ...FullType } directives { name description locations args { ...InputValue } } } } \
         fragment FullType on __Type { kind name description fields(includeDeprecated: true) { name description \
         args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason } inputFields { ...InputValue } \
         interfaces { ...TypeRef } enumValues(includeDeprecated: true) { name description isDeprecated \
         deprecationReason } possibleTypes { ...TypeRef } } \
         fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue } \
         fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind \
         name ofType { kind name ofType { kind name ofType { kind name } } } } } } } }",
    );
    assert!(told["errors"].is_null(), "{}", told["errors"]);
    let schema = &told["data"]["__schema"];
    assert_eq!((&schema["queryType"]["name"], &schema["subscriptionType"]), (&json!("Query"), &Value::Null));
    let types = schema["types"].as_array().unwrap();
    let known = |name: &str| types.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no type {name}"));
    let run =
        known("Query")["fields"].as_array().unwrap().iter().find(|field| field["name"] == "mlflowGetRun").unwrap();
    assert_eq!(run["args"][0]["type"]["name"], "MlflowGetRunInput");
    assert_eq!(run["type"]["name"], "MlflowGetRunResponse");
    let metrics = &known("MlflowRunData")["fields"][0];
    assert_eq!(
        (&metrics["name"], &metrics["type"]["ofType"]["ofType"]["name"]),
        (&json!("metrics"), &json!("MlflowMetricExtension"))
    );
    assert_eq!(known("MlflowRunStatus")["enumValues"][2]["name"], "FINISHED");
    // Every type that is named is there.
    fn named<'a>(value: &'a Value, to: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                if fields.contains_key("ofType") && fields.contains_key("kind") {
                    to.extend(fields["name"].as_str());
                }
                fields.values().for_each(|inner| named(inner, to));
            }
            Value::Array(items) => items.iter().for_each(|inner| named(inner, to)),
            _ => {}
        }
    }
    let mut all = Vec::new();
    named(schema, &mut all);
    assert!(all.len() > 50);
    all.into_iter().for_each(|name| _ = known(name));
    let one = ask("{ kind: __type(name: \"MlflowRunInfo\") { name fields { name type { name } } } __typename }");
    assert_eq!(one["data"]["kind"]["fields"][0], json!({ "name": "runId", "type": { "name": "String" } }));
    assert_eq!(ask("{ __type(name: \"Nothing\") { name } }"), json!({ "data": { "__type": null }, "errors": null }));
    assert!(ask("{ __type(name: \"Query\") { colour } }")["errors"][0].as_str().unwrap().contains("colour"));
}
