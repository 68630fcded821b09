//! What a process gets that calls the API itself: answers, faults, places of artifacts, and what it is told beside
//! them.

use std::cell::{Cell, RefCell};

use serde_json::{Value, json};
use stepwell::Workspace;
use stepwell_wire::routes::{TABLE, Verb};
use stepwell_wire::{Answer, Api, Context, Fault, Settings};
use tempfile::TempDir;

/// A workspace in a temporary folder, and its API.
struct World {
    dir: TempDir,
    api: Api,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// One whose settings `change` makes.
    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::open_or_create(dir.path().join("workspace")).unwrap();
        let mut settings = Settings::of(&workspace);
        change(&mut settings);
        Self { dir, api: Api::new(workspace, settings).unwrap() }
    }

    /// Answers JSON that is posted to a path below `/api/2.0/mlflow/`.
    fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, &body.to_string())
    }

    fn post_text(&self, path: &str, body: &str) -> Answer {
        self.api.answer("POST", &format!("/api/2.0/mlflow/{path}"), "", body.as_bytes())
    }

    fn get(&self, path: &str, query: &str) -> Answer {
        self.api.answer("GET", &format!("/api/2.0/mlflow/{path}"), query, b"")
    }

    /// A new run of an experiment.
    fn run_in(&self, experiment: &str) -> String {
        let made = read(&self.post("runs/create", &json!({ "experiment_id": experiment, "start_time": 1 })));
        made["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    }
}

/// The JSON of an answer.
fn read(answer: &Answer) -> Value {
    assert_eq!(answer.content_type, "application/json");
    serde_json::from_slice(&answer.body).unwrap()
}

/// The status and the code of a fault.
fn fault(answer: &Answer) -> (u16, String) {
    let body = read(answer);
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    (answer.status, body["error_code"].as_str().unwrap().to_owned())
}

#[test]
fn a_run_is_logged_searched_and_read_back() {
    let world = World::new();
    let made = read(&world.post("experiments/create", &json!({ "name": "vision" })));
    let experiment = made["experiment_id"].as_str().unwrap();
    let run = world.run_in(experiment);
    let metrics = json!([
        { "key": "loss", "value": 0.5, "timestamp": 5, "step": 1 },
        { "key": "loss", "value": "NaN", "timestamp": 6, "step": 2 },
    ]);
    let batch = json!({ "run_id": run, "metrics": metrics, "params": [{ "key": "lr", "value": "0.1" }], "tags": [] });
    let logged = world.post("runs/log-batch", &batch);
    assert_eq!((logged.status, logged.body.as_slice()), (200, b"{}".as_slice()));
    let found = world.post("runs/search", &json!({ "experiment_ids": [experiment], "filter": "params.lr = '0.1'" }));
    let found = read(&found);
    assert_eq!(found["runs"][0]["info"]["run_id"], run.as_str());
    assert_eq!(found["runs"].as_array().unwrap().len(), 1);
    // The id of a run in the arguments, encoded as any client may do.
    let encoded: String = run.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let history = read(&world.get("metrics/get-history", &format!("run_id={encoded}&metric_key=loss")));
    let values: Vec<&Value> = history["metrics"].as_array().unwrap().iter().map(|point| &point["value"]).collect();
    assert_eq!(values, [&json!(0.5), &json!("NaN")]);
}

#[test]
fn a_server_and_a_process_tell_the_same_files_each_its_way() {
    let process = World::new();
    let artifacts = process.dir.path().join("workspace/artifacts").display().to_string();
    let workspace = Workspace::open_or_create(process.dir.path().join("workspace")).unwrap();
    let of_server = Settings { artifact_root: "mlflow-artifacts:/".into(), local: false, ..Settings::of(&workspace) };
    let server = World { dir: tempfile::tempdir().unwrap(), api: Api::new(workspace, of_server).unwrap() };
    let uri = |world: &World, run: &str| {
        read(&world.get("runs/get", &format!("run_id={run}")))["run"]["info"]["artifact_uri"].clone()
    };
    // A place in the folder, named either way; and one that is elsewhere.
    for (made_by, given, name, in_process, in_server) in [
        (&process, format!("{artifacts}/team"), "a", format!("{artifacts}/team"), "mlflow-artifacts:/team".to_owned()),
        (&server, "mlflow-artifacts:/lab".to_owned(), "b", format!("{artifacts}/lab"), "mlflow-artifacts:/lab".into()),
        (&process, "s3://bucket/x".to_owned(), "c", "s3://bucket/x".into(), "s3://bucket/x".into()),
    ] {
        let made = read(&made_by.post("experiments/create", &json!({ "name": name, "artifact_location": given })));
        let run = process.run_in(made["experiment_id"].as_str().unwrap());
        assert_eq!(uri(&process, &run), format!("{in_process}/{run}/artifacts"));
        assert_eq!(uri(&server, &run), format!("{in_server}/{run}/artifacts"));
    }
    let run = process.run_in("0");
    process.post("registered-models/create", &json!({ "name": "net" }));
    let source = format!("{artifacts}/0/{run}/artifacts/net");
    let made = read(&process.post("model-versions/create", &json!({ "name": "net", "source": source })));
    assert_eq!(made["model_version"]["source"], source);
    let served = format!("mlflow-artifacts:/0/{run}/artifacts/net");
    for (world, place) in [(&process, &source), (&server, &served)] {
        assert_eq!(read(&world.get("model-versions/get", "name=net&version=1"))["model_version"]["source"], **place);
        let model = read(&world.get("registered-models/get", "name=net"));
        assert_eq!(model["registered_model"]["latest_versions"][0]["source"], **place);
        let found = read(&world.get("model-versions/search", "filter=name='net'"));
        assert_eq!(found["model_versions"][0]["source"], **place);
        let files = read(&world.get("model-versions/get-download-uri", "name=net&version=1"));
        assert_eq!(files["artifact_uri"], **place);
    }
    // What the process may register, a server's client may not.
    let anywhere = json!({ "name": "net", "source": "/srv/models/net" });
    assert_eq!(process.post("model-versions/create", &anywhere).status, 200);
    assert_eq!(fault(&server.post("model-versions/create", &anywhere)).0, 400);
}

#[test]
fn a_deleted_logged_model_is_told_to_who_asks_for_it() {
    let world = World::new();
    let made = read(&world.post("logged-models", &json!({ "experiment_id": "0", "name": "one" })));
    let path = format!("logged-models/{}", made["model"]["info"]["model_id"].as_str().unwrap());
    assert_eq!(world.api.answer("DELETE", &format!("/api/2.0/mlflow/{path}"), "", b"").status, 200);
    assert_eq!(fault(&world.get(&path, "")).0, 404);
    assert_eq!(read(&world.get(&path, "allow_deleted=true"))["model"]["info"]["name"], "one");
}

#[test]
fn artifacts_live_at_plain_paths_in_the_workspace() {
    let world = World::new();
    let run = world.run_in("0");
    let place = world.dir.path().join("workspace/artifacts/0").join(&run).join("artifacts");
    let got = read(&world.get("runs/get", &format!("run_id={run}")));
    assert_eq!(got["run"]["info"]["artifact_uri"], place.to_str().unwrap());
    assert!(!world.dir.path().join("workspace/artifacts").exists(), "made only when it is needed");
    std::fs::create_dir_all(place.join("model")).unwrap();
    std::fs::write(place.join("model/MLmodel"), "flavors").unwrap();
    let listed = read(&world.get("artifacts/list", &format!("run_id={run}&path=model")));
    assert_eq!(listed["files"], json!([{ "path": "model/MLmodel", "is_dir": false, "file_size": 7 }]));
    assert_eq!(fault(&world.get("artifacts/list", &format!("run_id={run}&path=../.."))).0, 400);
    // A version of a model names files of its run, or any that the process reaches, as in MLflow's own stores.
    world.post("registered-models/create", &json!({ "name": "m" }));
    let version = |source: &str| {
        world.post("model-versions/create", &json!({ "name": "m", "source": source, "run_id": run })).status
    };
    assert_eq!((version(place.join("model").to_str().unwrap()), version("/srv/net")), (200, 200));
}

#[test]
fn a_link_in_place_of_the_artifacts_is_not_followed() {
    let world = World::new();
    let run = world.run_in("0");
    let outside = world.dir.path().join("outside");
    std::fs::create_dir_all(outside.join("0").join(&run).join("artifacts/secret")).unwrap();
    std::os::unix::fs::symlink(&outside, world.dir.path().join("workspace/artifacts")).unwrap();
    let told = Told::default();
    let query = format!("run_id={run}");
    let refused = world.api.answer_in(&told, "GET", "/api/2.0/mlflow/artifacts/list", &query, b"");
    assert_eq!(fault(&refused), (500, "INTERNAL_ERROR".into()));
    assert!(told.failed.borrow()[0].detail.as_ref().unwrap().contains("artifacts"));
}

#[test]
fn faults_have_the_servers_statuses_and_codes() {
    let world = World::new();
    let missing = world.get("runs/get", "run_id=0123456789abcdef0123456789abcdef");
    assert_eq!(fault(&missing), (404, "RESOURCE_DOES_NOT_EXIST".into()));
    assert_eq!(read(&missing)["error_class"], "RESOURCE_NOT_FOUND");
    assert_eq!(fault(&world.post("experiments/create", &json!({}))), (400, "INVALID_PARAMETER_VALUE".into()));
    let made = || world.post("experiments/create", &json!({ "name": "x" }));
    assert_eq!((made().status, fault(&made())), (200, (400, "RESOURCE_ALREADY_EXISTS".into())));
    let spelled = json!({ "run_id": "a", "end_time": 1, "endTime": 2 });
    assert_eq!(fault(&world.post("runs/update", &spelled)), (400, "INVALID_PARAMETER_VALUE".into()));
}

#[test]
fn what_is_not_in_the_table_is_told_so() {
    let world = World::new();
    let answer = |method, path| fault(&world.api.answer(method, path, "", b""));
    for path in ["", "/", "runs/get", "/api/2.0/mlflow/runs", "/api/2.0/mlflow/runs/get/", "/api/1.0/mlflow/runs/get"] {
        let expected = if path == "/" { (501, "NOT_IMPLEMENTED") } else { (404, "ENDPOINT_NOT_FOUND") };
        assert_eq!(answer("GET", path), (expected.0, expected.1.to_owned()), "{path}");
    }
    for method in ["POST", "DELETE", "OPTIONS", "get", ""] {
        let refused = answer(method, "/api/2.0/mlflow/runs/get");
        assert_eq!(refused, (405, "ENDPOINT_NOT_FOUND".into()), "{method}");
    }
    let head = world.api.answer("HEAD", "/api/2.0/mlflow/experiments/get", "experiment_id=0", b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    let decoded = world.api.answer("GET", "/api/2.0/mlflow/logged-models/%ff", "", b"");
    assert_eq!(fault(&decoded), (400, "INVALID_PARAMETER_VALUE".into()));
}

#[test]
fn bad_bodies_are_refused() {
    let world = World::new();
    for body in ["{", "[]", "not json", "{\"max_results\": NaN}", "\u{0}"] {
        assert_eq!(fault(&world.post_text("runs/search", body)), (400, "INVALID_PARAMETER_VALUE".into()), "{body}");
    }
    for body in ["", "null", "\"\"", "{}"] {
        assert_eq!(world.post_text("runs/search", body).status, 200, "{body}");
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let many = format!("{{\"a\":[{}1]}}", "1,".repeat(100_000));
    for path in ["runs/search", "runs/log-batch"] {
        for (body, why) in [(&deep, "deeper than 64 levels"), (&many, "more than 100000 values")] {
            let refused = world.post_text(path, body);
            assert_eq!(fault(&refused), (400, "INVALID_PARAMETER_VALUE".into()));
            assert!(read(&refused)["message"].as_str().unwrap().contains(why), "{path}");
        }
    }
    let small = World::with(|settings| settings.body_bytes = 100);
    let fits = |bytes| small.post_text("runs/search", &" ".repeat(bytes));
    assert_eq!(fits(100).status, 200);
    assert_eq!(fault(&fits(101)), (413, "BAD_REQUEST".into()));
}

#[test]
fn every_route_is_answered_or_is_a_servers_own() {
    let world = World::new();
    for route in TABLE {
        let method = match route.verb {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Put => "PUT",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
        };
        for path in route.paths() {
            let path = path.replace(['{', '}', '*'], "");
            let answer = world.api.answer(method, &path, "", b"");
            let only = read_if_json(&answer).is_some_and(|body| body["message"].as_str().is_some_and(is_servers));
            assert_eq!(only, route.server_only().is_some(), "{route:?}");
            assert!(answer.status != 404 || !is_unknown(&answer), "{route:?}");
            assert!(answer.status < 500 || answer.status == 501, "{route:?}: {answer:?}");
        }
    }
}

fn read_if_json(answer: &Answer) -> Option<Value> {
    serde_json::from_slice(&answer.body).ok()
}

fn is_servers(message: &str) -> bool {
    message.starts_with("Only a server answers this")
}

fn is_unknown(answer: &Answer) -> bool {
    fault(answer).1 == "ENDPOINT_NOT_FOUND"
}

/// A caller that is told everything.
#[derive(Default)]
struct Told {
    stored: Cell<u64>,
    failed: RefCell<Vec<Fault>>,
}

impl Context for Told {
    fn caller(&self) -> Option<&str> {
        Some("somebody")
    }

    fn stored(&self, points: u64) {
        self.stored.set(self.stored.get() + points);
    }

    fn failed(&self, fault: &Fault) {
        self.failed.borrow_mut().push(fault.clone());
    }
}

#[test]
fn a_caller_is_told_what_was_stored_and_what_failed() {
    let world = World::new();
    let (run, told) = (world.run_in("0"), Told::default());
    let post = |path: &str, body: Value| {
        let path = format!("/api/2.0/mlflow/{path}");
        world.api.answer_in(&told, "POST", &path, "", body.to_string().as_bytes()).status
    };
    let point = |step: i64| json!({ "key": "loss", "value": 1, "timestamp": 1, "step": step });
    assert_eq!(post("runs/log-batch", json!({ "run_id": run, "metrics": [point(1), point(2)] })), 200);
    assert_eq!(post("runs/log-metric", json!({ "run_id": run, "key": "acc", "value": 1, "timestamp": 1 })), 200);
    assert_eq!(told.stored.get(), 3);
    assert_eq!(post("runs/log-batch", json!({ "run_id": "none" })), 404);
    let failed: Vec<u16> = told.failed.borrow().iter().map(Fault::http_status).collect();
    assert_eq!(failed, [404]);
}

#[test]
fn threads_share_one_api() {
    let world = World::new();
    let run = world.run_in("0");
    let log = |key: &str| {
        let body = json!({ "run_id": run, "key": key, "value": 1, "timestamp": 1 });
        assert_eq!(world.post("runs/log-metric", &body).status, 200);
    };
    std::thread::scope(|scope| {
        for key in ["a", "b", "c", "d"] {
            scope.spawn(move || log(key));
        }
    });
    let got = read(&world.get("runs/get", &format!("run_id={run}")));
    assert_eq!(got["run"]["data"]["metrics"].as_array().unwrap().len(), 4);
}

#[test]
fn a_pattern_of_sources_must_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let workspace = Workspace::open_or_create(dir.path()).unwrap();
    let settings = Settings { model_source_pattern: Some("(".into()), ..Settings::of(&workspace) };
    assert!(Api::new(workspace, settings).unwrap_err().to_string().contains("regular expression"));
}
