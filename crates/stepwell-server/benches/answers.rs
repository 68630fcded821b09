//! What an answer costs without sockets: requests through the router, by time and by allocations, each answer verified.
//!
//! `cargo bench -p stepwell-server --bench answers [-- RUNS]` prints one table: the least and the median time of some
//! rounds, in microseconds, the allocations of one, and both by metric, run or point.

use std::alloc::System;
use std::time::Instant;

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use stepwell::import::RunImport;
use stepwell::{ExperimentId, Point, RunId, Workspace};
use stepwell_server::{App, Config, Place};
use tower::ServiceExt;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HOST: &str = "127.0.0.1:5000";
const ROUNDS: usize = 200;
const POINTS: i64 = 100_000;

struct Server {
    router: axum::Router,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    fn send(&self, method: Method, uri: &str, body: String) -> Vec<u8> {
        let request = Request::builder().method(method).uri(uri).header("host", HOST);
        let request = request.header("content-type", "application/json").body(Body::from(body)).unwrap();
        self.runtime.block_on(async {
            let answer = self.router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 200, "{uri}");
            answer.into_body().collect().await.unwrap().to_bytes().to_vec()
        })
    }

    fn post(&self, path: &str, body: &Value) -> Vec<u8> {
        self.send(Method::POST, &format!("/api/2.0/mlflow/{path}"), body.to_string())
    }

    fn get(&self, path: &str) -> Vec<u8> {
        self.send(Method::GET, &format!("/api/2.0/mlflow/{path}"), String::new())
    }

    fn new_run(&self) -> String {
        let made = self.post("runs/create", &json!({ "experiment_id": "0", "start_time": 1 }));
        let made: Value = serde_json::from_slice(&made).unwrap();
        made["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    }
}

/// Finished and packed runs of 5 params, 5 metrics of one point and 3 tags, and one with a long history; gives the
/// latter's id.
fn fill(workspace: &Workspace, runs: usize) -> String {
    let mut importer = workspace.importer();
    let point = |value: f64, step: i64| Point { step, timestamp_ms: Some(1_760_000_000_000 + step), value };
    for number in 0..runs {
        let pairs = |key: &str, count: usize, value: String| {
            (0..count).map(|at| (format!("{key}{at}"), value.clone())).collect::<Vec<_>>()
        };
        let one = |key: usize| (format!("m{key}"), [point((number + key) as f64 / 7.0, 0)].into_iter().collect());
        let long = || ("long".to_owned(), (0..POINTS).map(|step| point(1.0 / (step + 1) as f64, step)).collect());
        let run = RunImport {
            name: format!("run {number}"),
            user: "somebody".into(),
            start_time_ms: Some(number as i64),
            end_time_ms: Some(number as i64 + 1000),
            params: pairs("p", 5, (number % 10).to_string()),
            tags: pairs("mlflow.tag", 3, format!("value {}", number % 7)),
            series: (0..5).map(one).chain((number == 0).then(long)).collect(),
            ..RunImport::new(RunId::new(format!("{number:032x}")).unwrap(), ExperimentId::DEFAULT)
        };
        importer.add(run).unwrap();
    }
    importer.finish().unwrap();
    format!("{:032x}", 0)
}

/// One row of the table. `verify` sees each answer, outside of what is measured.
fn row(what: &str, items: usize, rounds: usize, ask: impl Fn(usize) -> Vec<u8>, verify: impl Fn(&[u8])) {
    verify(&ask(0));
    let mut took = Vec::with_capacity(rounds);
    let mut allocations = 0;
    for round in 1..=rounds {
        let (region, start) = (Region::new(COUNTED), Instant::now());
        let answer = ask(round);
        took.push(start.elapsed().as_secs_f64() * 1e6);
        allocations += region.change().allocations;
        verify(&answer);
    }
    took.sort_by(f64::total_cmp);
    let (least, median, each) = (took[0], took[rounds / 2], allocations as f64 / rounds as f64);
    let (ns, own) = (1e3 * median / items as f64, each / items as f64);
    println!("| {what} | {least:.0} | {median:.0} | {each:.0} | {ns:.0} | {own:.2} |");
}

fn main() {
    let runs = std::env::args().filter_map(|given| given.parse().ok()).next().unwrap_or(20_000);
    let dir = tempfile::tempdir().unwrap();
    let config = Config::of(&dir.path().join("workspace"));
    let long = fill(&Workspace::open_or_create(&config.workspace).unwrap(), runs);
    let app = App::open(config, &Place::Address(HOST.parse().unwrap())).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = Server { router: stepwell_server::router(app), runtime };

    println!("{runs} runs, {ROUNDS} rounds\n");
    println!("| call | least, µs | median, µs | allocations | ns an item | allocations an item |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let holds =
        |text: &'static str, times: usize| move |answer: &[u8]| assert_eq!(count(answer, text.as_bytes()), times);
    row("version: what every answer costs", 1, ROUNDS, |_| server.send(Method::GET, "/version", String::new()), |_| {});
    let run = server.new_run();
    let bodies: Vec<String> = (0..=ROUNDS as i64)
        .map(|round| {
            let point = |at: i64| {
                let value = 1.0 / (round * 1000 + at + 1) as f64;
                json!({ "key": format!("m{}", at % 10), "value": value, "timestamp": at, "step": round * 100 + at / 10 })
            };
            json!({ "run_id": run, "metrics": (0..1000).map(point).collect::<Vec<_>>() }).to_string()
        })
        .collect();
    let log = |round: usize| server.send(Method::POST, "/api/2.0/mlflow/runs/log-batch", bodies[round].clone());
    let empty = |answer: &[u8]| assert_eq!(answer, b"{}");
    row("log-batch of 1,000 metrics", 1000, ROUNDS, log, empty);
    row("log-batch that was sent before", 1000, ROUNDS / 10, |_| log(ROUNDS), empty);
    let history = |run: &str, key: &str| server.get(&format!("metrics/get-history?run_id={run}&metric_key={key}"));
    holds("\"step\":", 100 * (ROUNDS + 1))(&history(&run, "m3"));
    let newest = json!({ "experiment_ids": ["0"], "max_results": 100 });
    row("runs/search, the newest 100", 100, ROUNDS, |_| server.post("runs/search", &newest), holds("\"run_id\":", 100));
    row("runs/get", 1, ROUNDS, |_| server.get(&format!("runs/get?run_id={long}")), holds("\"run_id\":", 1));
    let points = POINTS as usize;
    row("get-history of 100,000 points", points, ROUNDS / 10, |_| history(&long, "long"), holds("\"step\":", points));
}

/// How often a text occurs.
fn count(bytes: &[u8], text: &[u8]) -> usize {
    let mut rest = bytes;
    let mut count = 0;
    while let Some(at) = rest.windows(text.len()).position(|window| window == text) {
        count += 1;
        rest = &rest[at + text.len()..];
    }
    count
}
