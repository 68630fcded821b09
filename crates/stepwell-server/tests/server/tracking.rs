//! Experiments and runs over the wire: shapes, leniency, errors.

use serde_json::json;

use crate::support::Server;

#[test]
fn a_run_is_logged_and_read_back() {
    let server = Server::new();
    let run = server.run_in("0");
    let metrics = json!([
        { "key": "loss", "value": 0.5, "timestamp": 5, "step": 1 },
        { "key": "loss", "value": "NaN", "timestamp": "6", "step": "2" },
        { "key": "acc", "value": "-Infinity", "timestamp": 6 },
    ]);
    let batch = json!({ "run_id": run, "metrics": metrics, "params": [{ "key": "lr", "value": "0.1" }], "tags": [{ "key": "t", "value": "v\n\"" }] });
    assert_eq!(server.post("runs/log-batch", &batch).text(), "{}");
    // The same in other spellings, which only the lenient reading understands.
    let odd = json!({ "runId": run, "metrics": [{ "key": "loss", "value": "0.25", "timestamp": 7.0, "step": 3, "extra": 1 }] });
    assert_eq!(
        server.post("runs/log-batch", &odd).code(),
        "INVALID_PARAMETER_VALUE",
        "run_id is looked for by that name"
    );
    let odd = json!({ "run_id": run, "metrics": [{ "key": "loss", "value": "0.25", "timestamp": 7.0, "step": 3, "extra": 1 }] });
    assert_eq!(server.post("runs/log-batch", &odd).text(), "{}");
    let got = server.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}")).json()["run"].clone();
    assert_eq!(got["info"]["run_uuid"], run.as_str());
    assert_eq!(got["info"]["status"], "RUNNING");
    assert_eq!(got["data"]["params"], json!([{ "key": "lr", "value": "0.1" }]));
    let latest: Vec<_> =
        got["data"]["metrics"].as_array().unwrap().iter().map(|m| (m["key"].clone(), m["value"].clone())).collect();
    assert!(latest.contains(&(json!("loss"), json!(0.25))), "{latest:?}");
    let history = server.get(&format!("/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=loss")).json();
    let values: Vec<_> = history["metrics"].as_array().unwrap().iter().map(|m| m["value"].clone()).collect();
    assert_eq!(values, [json!(0.5), json!("NaN"), json!(0.25)]);
    assert_eq!(history["metrics"][1]["timestamp"], 6);
}

#[test]
fn histories_come_in_pages() {
    let server = Server::new();
    let run = server.run_in("0");
    let metrics: Vec<_> =
        (0..25).map(|step| json!({ "key": "m", "value": step, "timestamp": step, "step": step })).collect();
    server.post("runs/log-batch", &json!({ "run_id": run, "metrics": metrics }));
    let (mut token, mut steps, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let uri =
            format!("/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=m&max_results=10&page_token={token}");
        let page = server.get(&uri).json();
        steps.extend(page["metrics"].as_array().unwrap().iter().map(|m| m["step"].as_i64().unwrap()));
        pages += 1;
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((pages, steps), (3, (0..25).collect()));
    let bad = server.get(&format!("/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=m&page_token=x"));
    assert_eq!(bad.code(), "INVALID_PARAMETER_VALUE");
}

#[test]
fn requests_are_read_in_both_spellings_and_wrong_ones_are_refused() {
    let server = Server::new();
    let run = server.run_in("0");
    let update = |body: serde_json::Value| server.post("runs/update", &body);
    let wrong = update(json!({ "run_id": run, "status": "NOPE" }));
    assert_eq!(wrong.status.as_u16(), 400);
    assert!(wrong.text().contains("'status'") && wrong.text().contains("FINISHED"), "{}", wrong.text());
    assert_eq!(
        update(json!({ "run_uuid": run, "status": "FINISHED", "endTime": "9" })).json()["run_info"]["end_time"],
        9
    );
    let both = update(json!({ "run_id": run, "end_time": 1, "endTime": 2 }));
    assert!(both.text().contains("both 'end_time' and 'endTime'"), "{}", both.text());
    for body in ["", "null", "\"\""] {
        assert_eq!(server.post_text("runs/search", body).text(), "{}", "{body}");
        let missing = server.post_text("runs/delete", body);
        assert!(
            missing.json()["message"].as_str().unwrap().starts_with("Missing value for required parameter 'run_id'.")
        );
    }
    for body in ["{", "[]", "not json"] {
        let refused = server.post_text("runs/search", body);
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "INVALID_PARAMETER_VALUE"), "{body}");
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(server.post_text("runs/search", &deep).code(), "INVALID_PARAMETER_VALUE");
    let long = "9".repeat(1_000_000);
    assert!(server.post_text("runs/search", &format!("{{\"max_results\":{long}}}")).status.as_u16() < 500);
}

#[test]
fn errors_have_mlflows_codes() {
    let server = Server::new();
    let missing = server.get("/api/2.0/mlflow/runs/get?run_id=0123456789abcdef0123456789abcdef");
    assert_eq!((missing.status.as_u16(), missing.code().as_str()), (404, "RESOURCE_DOES_NOT_EXIST"));
    assert_eq!(missing.json()["error_class"], "RESOURCE_NOT_FOUND");
    server.post("experiments/create", &json!({ "name": "x" }));
    let again = server.post("experiments/create", &json!({ "name": "x" }));
    assert_eq!((again.status.as_u16(), again.code().as_str()), (400, "RESOURCE_ALREADY_EXISTS"));
    let zero = server.get("/api/2.0/mlflow/experiments/search");
    assert_eq!(zero.code(), "INVALID_PARAMETER_VALUE", "an absent max_results is 0");
}

#[test]
fn the_registry_names_only_places_of_its_own_runs_and_models() {
    let server = Server::new();
    let run = server.run_in("0");
    server.post("registered-models/create", &json!({ "name": "m" }));
    let own = format!("mlflow-artifacts:/0/{run}/artifacts/model");
    let try_ = |source: &str, run_id: &str, tags: serde_json::Value| {
        let body = json!({ "name": "m", "source": source, "run_id": run_id, "tags": tags });
        server.post("model-versions/create", &body).status.as_u16()
    };
    let good = [(own.as_str(), run.as_str()), ("s3://bucket/model", ""), ("dbfs:/databricks/m", "")];
    for (source, run_id) in good {
        assert_eq!(try_(source, run_id, json!([])), 200, "{source}");
    }
    let other = format!("mlflow-artifacts:/0/{run}/artifacts-of-others/model");
    let above = format!("mlflow-artifacts:/0/{run}/artifacts/%252e%252e/x");
    let bad = [
        "/etc",
        "file:///etc/",
        "FILE:///etc",
        "//proc/self/root",
        "///etc/passwd",
        "../x",
        "http://169.254.169.254/x",
        "http:///#/../../etc",
        "http://h/?/../../etc",
        "s3://bucket",
        "s3://b/../x",
        "s3://b/a%23/..",
        "dbfs:/x?../../etc",
        "runs:/none/m",
        "models:/m-none",
        "word",
        "mlflow-artifacts:/0",
        "mlflow-artifacts://host/0",
        "s3://b/a\u{0}b",
        "s3://b/\\..\\x",
        &other,
        &above,
    ];
    for source in bad {
        // A tag switches nothing off.
        for tags in [json!([]), json!([{ "key": "mlflow.prompt.is_prompt", "value": "true" }])] {
            assert_eq!(try_(source, &run, tags.clone()), 400, "{source} {tags}");
        }
        assert!(try_(source, "", json!([])) == 400 || source == "models:/m-none", "{source}");
    }
}

#[test]
fn the_default_experiment_is_as_old_as_the_workspace() {
    let server = Server::new();
    let now = stepwell::now_ms();
    let get = || server.get("/api/2.0/mlflow/experiments/get?experiment_id=0").json()["experiment"].clone();
    let made = get();
    assert!((now - 600_000..=now + 1000).contains(&made["creation_time"].as_i64().unwrap()), "{made}");
    assert_eq!(made["creation_time"], made["last_update_time"]);
    server.post("experiments/set-experiment-tag", &json!({ "experiment_id": "0", "key": "k", "value": "v" }));
    let tagged = get();
    assert_eq!(tagged["creation_time"], made["creation_time"]);
    assert!(tagged["last_update_time"].as_i64() >= made["last_update_time"].as_i64());
}

#[test]
fn graphql_shows_all_of_a_long_run() {
    let server = Server::new();
    let run = server.run_in("0");
    let metrics: Vec<_> =
        (0..1_000).map(|at| json!({ "key": format!("m{at}"), "value": at + 1, "timestamp": 5, "step": 7 })).collect();
    let words = |kind: &str| -> Vec<_> {
        (0..100).map(|at| json!({ "key": format!("{kind}{at}"), "value": format!("{kind} {at}") })).collect()
    };
    for batch in [
        json!({ "run_id": run, "metrics": metrics }),
        json!({ "run_id": run, "params": words("param") }),
        json!({ "run_id": run, "tags": words("tag") }),
    ] {
        assert_eq!(server.post("runs/log-batch", &batch).text(), "{}");
    }
    let query = "query($i: MlflowGetRunInput!) { mlflowGetRun(input: $i) { run { data {
        metrics { ...m } params { key value } tags { key value } } } } }
        fragment m on MlflowMetricExtension { key value timestamp step }";
    let asked = json!({ "query": query, "variables": { "i": { "runId": run } } }).to_string();
    let answer =
        server.send(axum::http::Method::POST, "/graphql", &[("content-type", "application/json")], asked).json();
    let data = &answer["data"]["mlflowGetRun"]["run"]["data"];
    let of = |name: &str| data[name].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
    let shown = of("metrics");
    assert_eq!(shown.len(), 1_000);
    for at in 0..1_000 {
        let whole = json!({ "key": format!("m{at}"), "value": f64::from(at + 1), "timestamp": "5", "step": "7" });
        assert!(shown.contains(&whole), "{at}");
    }
    let (params, tags) = (of("params"), of("tags"));
    assert!(words("param").iter().all(|word| params.contains(word)), "{params:?}");
    assert!(words("tag").iter().all(|word| tags.contains(word)), "{tags:?}");
}
