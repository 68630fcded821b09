//! The feeds of Stepwell's own page: the table, plots, one run, CSV, events, and who may ask for them.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use stepwell_server::Role;

use crate::support::{Answered, Server};

fn ask(server: &Server, path: &str, body: &Value) -> Answered {
    let headers = [("content-type", "application/json")];
    server.send(Method::POST, &format!("/api/stepwell/{path}"), &headers, body.to_string())
}

/// A server with two experiments of three runs each: `params.lr`, `loss` of 500 points with a spike, `acc` of one.
fn filled() -> (Server, String, Vec<String>) {
    let server = Server::new();
    let made = server.post("experiments/create", &json!({ "name": "one" }));
    let experiment = made.json()["experiment_id"].as_str().unwrap().to_owned();
    let (rates, mut runs) = (["0.1", "0.2", "0.1"], Vec::new());
    for (at, of) in [&experiment, &experiment, &experiment, "0", "0", "0"].iter().enumerate() {
        let run = server.run_in(of);
        let loss = |step: usize| if step == 333 { 99.0 } else { 1.0 / (step + at + 1) as f64 };
        let metrics: Vec<Value> = (0..500)
            .map(
                |step| json!({ "key": "train/loss", "value": loss(step), "step": step, "timestamp": 1000 + step * 10 }),
            )
            .chain([json!({ "key": "acc", "value": 0.5 + at as f64 / 10.0, "step": 0, "timestamp": 1000 })])
            .collect();
        let params = [json!({ "key": "lr", "value": rates[at % 3] })];
        let answer = server.post("runs/log-batch", &json!({ "run_id": run, "metrics": metrics, "params": params }));
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        runs.push(run);
    }
    (server, experiment, runs)
}

/// The header of a binary answer, and its columns.
fn decoded(answer: &Answered) -> (Value, Vec<u8>) {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(&answer.body[..4], b"SWP1");
    let length = u32::from_le_bytes(answer.body[4..8].try_into().unwrap()) as usize;
    assert_eq!((8 + length) % 8, 0);
    (serde_json::from_slice(&answer.body[8..8 + length]).unwrap(), answer.body[8 + length..].to_vec())
}

fn floats(columns: &[u8], of: &Value, name: &str) -> Vec<f64> {
    let (at, n) = (of[name].as_u64().unwrap() as usize, of["n"].as_u64().unwrap() as usize);
    columns[at..at + 8 * n].chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn the_table_has_windows_profiles_and_keys() {
    let (server, experiment, runs) = filled();
    let body = json!({
        "experiment_ids": [experiment], "order_by": ["metrics.acc DESC"], "max_results": 2,
        "columns": ["params.lr", "metrics.`train/loss`.max", "metrics.none"],
        "profiles": ["params.lr", "metrics.acc"], "keys": true,
    });
    let answer = ask(&server, "runs", &body).json();
    assert_eq!(answer["total"], 3);
    assert_eq!(answer["runs"]["run_id"], json!([runs[2], runs[1]]));
    assert_eq!(answer["columns"], json!([["0.1", "0.2"], [99.0, 99.0], [null, null]]));
    assert_eq!(answer["profiles"][0]["texts"], json!([["0.1", 2], ["0.2", 1]]));
    assert_eq!(answer["profiles"][0]["range"], json!([0.1, 0.2]), "texts that are numbers have a range");
    assert_eq!(answer["profiles"][1]["range"], json!([0.5, 0.7]));
    assert_eq!(answer["keys"]["metrics"]["keys"], json!(["acc", "train/loss"]));
    let only = ask(&server, "runs", &json!({ "run_ids": [runs[4]], "filter": "metrics.acc > 0.1" })).json();
    assert_eq!((&only["total"], &only["runs"]["run_id"]), (&json!(1), &json!([runs[4]])));
}

#[test]
fn a_mistake_in_a_filter_is_told_with_its_column() {
    let (server, ..) = filled();
    let bad = ask(&server, "runs", &json!({ "filter": "metrics.acc <" }));
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert!(bad.text().contains("at column 14"), "{}", bad.text());
    let told = ask(&server, "runs", &json!({ "filter": "metrics.acc <", "explain": true })).json();
    assert!(told["mistake"].as_str().unwrap().contains("at column 14"), "{told}");
    for (field, value) in
        [("max_results", json!(1001)), ("offset", json!(-1)), ("view", json!("x")), ("columns", json!(["what.x"]))]
    {
        let answer = ask(&server, "runs", &json!({ field: value }));
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}: {}", answer.text());
    }
}

#[test]
fn plots_keep_every_spike_and_say_when_nothing_is_new() {
    let (server, _, runs) = filled();
    let body = json!({ "run_ids": [runs[0], runs[1], "none"], "keys": ["train/loss", "acc"], "width": 20 });
    let (header, columns) = decoded(&ask(&server, "plots", &body));
    assert_eq!((&header["missing"], header["curves"].as_array().unwrap().len()), (&json!([2]), 4));
    let loss = &header["curves"][0];
    let (x, y) = (floats(&columns, loss, "x"), floats(&columns, loss, "y"));
    assert!(x.len() <= 4 * 40 && x.is_sorted(), "{} points", x.len());
    let spike = y.iter().position(|value| *value == 99.0).expect("the spike is there");
    assert_eq!((x[spike], loss["points"].as_u64(), loss["exact"].as_bool()), (333.0, Some(500), Some(false)));

    let again = json!({ "run_ids": [runs[0], runs[1], "none"], "keys": ["train/loss", "acc"], "width": 20,
        "since": header["cursor"] });
    let same = ask(&server, "plots", &again);
    assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0));
    let point = json!({ "run_id": runs[1], "key": "acc", "value": 7, "step": 1, "timestamp": 1 });
    assert_eq!(server.post("runs/log-metric", &point).status, StatusCode::OK);
    let (news, columns) = decoded(&ask(&server, "plots", &again));
    let new: Vec<&Value> = news["curves"].as_array().unwrap().iter().filter(|curve| curve["same"] != true).collect();
    assert_eq!((new.len(), &new[0]["run"], &new[0]["key"]), (1, &json!(1), &json!(1)));
    assert_eq!(floats(&columns, new[0], "y"), [0.6, 7.0]);

    let range = json!({ "run_ids": [runs[0]], "keys": ["train/loss"], "from": 330, "to": 335, "width": 100 });
    let (header, columns) = decoded(&ask(&server, "plots", &range));
    assert_eq!(header["curves"][0]["exact"], true);
    let x = floats(&columns, &header["curves"][0], "x");
    assert_eq!((x[0], x[x.len() - 1]), (329.0, 336.0), "with a bucket more at either end");
}

#[test]
fn other_axes_and_bands() {
    let (server, experiment, runs) = filled();
    let one = |x: Value| {
        let mut body = json!({ "run_ids": [runs[0]], "keys": ["train/loss"], "width": 600 });
        body.as_object_mut().unwrap().extend(x.as_object().unwrap().clone());
        let (header, columns) = decoded(&ask(&server, "plots", &body));
        floats(&columns, &header["curves"][0], "x")
    };
    assert_eq!(one(json!({ "x": "time" }))[..2], [1000.0, 1010.0]);
    assert_eq!(one(json!({ "x": "relative" }))[..2], [0.999, 1.009], "seconds since the run's start at 1 ms");
    assert_eq!(one(json!({ "x": "metric", "x_key": "acc" }))[..2], [0.5, 0.5]);
    assert!(one(json!({ "x": "time", "from": 2000, "to": 2100 })).contains(&2050.0));

    let body = json!({ "experiment_ids": [experiment], "pattern": "^train/", "width": 50, "group_by": "params.lr" });
    let (header, columns) = decoded(&ask(&server, "plots", &body));
    let bands = header["bands"].as_array().unwrap();
    assert_eq!(
        bands.iter().map(|band| (&band["group"], &band["runs"])).collect::<Vec<_>>(),
        [(&json!("0.1"), &json!(2)), (&json!("0.2"), &json!(1))]
    );
    let greatest = floats(&columns, &bands[0], "greatest");
    assert_eq!(greatest.iter().copied().fold(0.0, f64::max), 99.0);
    assert!(floats(&columns, &bands[0], "median").iter().all(|median| *median <= 99.0));
    for bad in [
        json!({ "keys": ["acc"], "x": "side" }),
        json!({ "keys": ["acc"], "from": 1 }),
        json!({ "keys": ["acc"], "from": 2, "to": 1 }),
        json!({ "keys": ["acc"], "width": 0 }),
        json!({ "pattern": "(" }),
        json!({ "keys": ["acc"], "since": "*" }),
        json!({ "keys": ["acc"], "group_by": "nothing.x" }),
    ] {
        let answer = ask(&server, "plots", &bad);
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}: {}", answer.text());
    }
}

#[test]
fn a_run_and_its_series_as_csv() {
    let (server, _, runs) = filled();
    let run = server.get(&format!("/api/stepwell/run?run_id={}", runs[0])).json();
    let loss = &run["metrics"]["train/loss"];
    assert_eq!((&loss["count"], &loss["max"], &loss["max_step"]), (&json!(500), &json!(99.0), &json!(333)));
    assert_eq!(server.get("/api/stepwell/run?run_id=none").status, StatusCode::NOT_FOUND);
    let csv = server.get(&format!("/api/stepwell/series.csv?run={}&key=train/loss&from=2&to=3", runs[0]));
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let lines: Vec<String> = csv.text().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "run,key,step,time,value");
    assert!(lines[1].ends_with(",train/loss,2,1970-01-01T00:00:01.020Z,0.3333333333333333"), "{}", lines[1]);
    assert_eq!(lines.len(), 3);
    let envelope = server.get(&format!("/api/stepwell/series.csv?run={}&key=train/loss&points=40", runs[0])).text();
    assert!(envelope.contains(",99\n") && envelope.lines().count() < 60);
    for wrong in ["run=x", "key=y", &format!("run={}&key=none", runs[0]), &format!("run={}&key=acc&from=a", runs[0])] {
        assert!(server.get(&format!("/api/stepwell/series.csv?{wrong}")).status.is_client_error(), "{wrong}");
    }
}

#[test]
fn a_token_for_one_experiment_sees_that_alone() {
    let server = Server::with_tokens();
    let all = format!("Bearer {}", server.token(Role::Admin, &[]));
    let send = |token: &str, path: &str, body: Value| {
        let headers = [("content-type", "application/json"), ("authorization", token)];
        server.send(Method::POST, path, &headers, Body::from(body.to_string()))
    };
    let id = send(&all, "/api/2.0/mlflow/experiments/create", json!({ "name": "mine" })).json()["experiment_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let run_in = |experiment: &str| {
        let made = send(&all, "/api/2.0/mlflow/runs/create", json!({ "experiment_id": experiment }));
        made.json()["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    };
    let (mine, other) = (run_in(&id), run_in("0"));
    let token = format!("Bearer {}", server.token(Role::Read, &[&id]));
    let get = |path: &str| server.send(Method::GET, path, &[("authorization", &*token)], Body::empty());
    let overview = get("/api/stepwell/overview").json();
    assert_eq!(overview["experiments"].as_array().unwrap().len(), 1);
    assert_eq!((&overview["experiments"][0]["runs"], &overview["bound"]), (&json!(1), &json!(true)));
    for (path, within, without) in [
        ("runs", json!({ "experiment_ids": [id] }), json!({})),
        ("runs", json!({ "experiment_ids": [id], "run_ids": [mine] }), json!({ "run_ids": [mine] })),
        ("runs", json!({ "experiment_ids": [id] }), json!({ "experiment_ids": [id, "0"] })),
        ("plots", json!({ "run_ids": [mine], "keys": ["a"] }), json!({ "run_ids": [mine, other], "keys": ["a"] })),
        ("plots", json!({ "experiment_ids": [id] }), json!({ "filter": "" })),
    ] {
        let path = format!("/api/stepwell/{path}");
        assert_eq!(send(&token, &path, within).status, StatusCode::OK, "{path}");
        assert_eq!(send(&token, &path, without.clone()).status, StatusCode::FORBIDDEN, "{path} {without}");
    }
    // A run of another experiment in the words of one's own finds nothing.
    let answer = send(&token, "/api/stepwell/runs", json!({ "experiment_ids": [id], "run_ids": [other] }));
    assert_eq!(answer.json()["total"], 0);
    assert_eq!(get(&format!("/api/stepwell/run?run_id={other}")).status, StatusCode::FORBIDDEN);
    assert_eq!(get(&format!("/api/stepwell/series.csv?run={other}&key=a")).status, StatusCode::FORBIDDEN);
    assert_eq!(get(&format!("/api/stepwell/run?run_id={mine}")).status, StatusCode::OK);
}

#[test]
fn events_tell_what_changes() {
    let (server, experiment, runs) = filled();
    let uri = "/api/stepwell/follow?seconds=3";
    let request = axum::http::Request::builder().uri(uri).header("host", crate::support::HOST);
    let response = server.respond(request.body(Body::empty()).unwrap());
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let point = json!({ "run_id": runs[0], "key": "acc", "value": 7, "step": 1, "timestamp": 1 });
    assert_eq!(server.post("runs/log-metric", &point).status, StatusCode::OK);
    let new = server.run_in(&experiment);
    let bytes = server.block_on(async { response.into_body().collect().await.unwrap().to_bytes() });
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.starts_with("retry: 2000\nevent: hello\n"), "{text}");
    assert!(text.contains("event: update\n") && text.contains(r#""keys":["acc"],"points":1"#), "{text}");
    assert!(text.contains(&new) && text.contains(r#""event":"appeared""#), "{text}");
}

#[test]
fn both_pages_have_their_place() {
    let server = Server::new();
    for path in ["/", "/stepwell", "/mlflow"] {
        let answer = server.get(path);
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
    }
    assert_eq!(server.get("/page/none.js").status, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/page/..%2findex.html").status, StatusCode::NOT_FOUND);
}
