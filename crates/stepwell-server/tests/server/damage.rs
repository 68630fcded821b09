//! A page that does not verify: histories and charts have the rest, and say what is missing.

use stepwell::maintenance::CompactOptions;
use stepwell::{ExperimentId, NewRun, RunStatus, Workspace};

use crate::support::Server;

#[test]
fn a_damaged_page_costs_histories_and_charts_its_own_points_and_is_told() {
    let server = Server::new();
    let workspace = Workspace::open(server.dir.path().join("workspace")).unwrap();
    let mut run = workspace.create_run(ExperimentId::DEFAULT, NewRun::default()).unwrap();
    let id = run.run_id().to_string();
    let loss = run.metric("loss").unwrap();
    let mut bits = 7_u64;
    let mut noise = || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (bits >> 11) as f64
    };
    let (steps, values): (Vec<i64>, Vec<f64>) = (0..2000).map(|step| (step, noise())).unzip();
    run.log_columns(loss, &steps, None, &values).unwrap();
    run.finish(RunStatus::Finished).unwrap();
    workspace.maintenance().compact(CompactOptions::default()).unwrap();
    let history = format!("/api/2.0/mlflow/metrics/get-history?run_id={id}&metric_key=loss");
    let bulk = format!("/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={id}&metric_key=loss");
    let interval = format!("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={id}&metric_key=loss");
    for path in [&history, &bulk, &interval] {
        let whole = server.get(path).json();
        assert_eq!(whole["metrics"].as_array().unwrap().len(), 2000, "{path}");
        assert!(whole["left_out"].is_null(), "{path}: {}", whole["left_out"]);
    }
    let packs = std::fs::read_dir(workspace.root().join("packs")).unwrap().map(|entry| entry.unwrap().path());
    let pack = packs.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "pack")).unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    // Within a page of values, which are most of the pack.
    bytes[1000] ^= 0x40;
    std::fs::write(&pack, bytes).unwrap();
    for path in [&history, &bulk, &interval] {
        let left = server.get(path).json();
        let points = left["metrics"].as_array().unwrap().len();
        assert!(points == 2000 - 1024 || points == 1024, "{path}: {points}");
        let told = left["left_out"][0].as_str().unwrap();
        assert!(told.starts_with(&format!("{} points of \"loss\" of run {id}: packs/", 2000 - points)), "{told}");
    }
    assert!(server.get(&format!("/api/2.0/mlflow/runs/get?run_id={id}")).status.is_success());
}
