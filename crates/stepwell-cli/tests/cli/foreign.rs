//! `import` of other trackers' stores: what MLflow's and W&B's hold is there afterwards, and told where it cannot be.

use serde_json::json;
use stepwell::Workspace;
use stepwell::registry::ModelRegistry;
use stepwell::tracking::{ExperimentSearch, Tracking, TrackingOptions, View};

use crate::place::{Place, text};

const RUN: &str = "0123456789abcdef0123456789abcdef";

/// A folder store with an experiment in a bucket, one in its own folder, a deleted one, and a registered model.
fn store(place: &Place) -> std::path::PathBuf {
    let root = place.path("mlruns");
    let exp = |id: &str, name: &str, location: &str, stage: &str| {
        let number = id.rsplit('/').next().unwrap();
        place.file(
            &format!("mlruns/{id}/meta.yaml"),
            format!(
                "artifact_location: {location}\ncreation_time: 1600000000000\nlast_update_time: \
                     1600000001000\nexperiment_id: '{number}'\nlifecycle_stage: {stage}\nname: {name}\n"
            ),
        );
    };
    exp("0", "Default", "s3://b/0", "active");
    exp("11", "bucket", "s3://b/11", "active");
    exp("12", "local", root.join("12").to_str().unwrap(), "active");
    exp(".trash/13", "gone", "s3://b/13", "deleted");
    let run = |experiment: &str, id: &str, uri: &str| {
        let folder = format!("mlruns/{experiment}/{id}");
        place.file(
            &format!("{folder}/meta.yaml"),
            format!(
                "artifact_uri: {uri}\nend_time: 1600000009000\nexperiment_id: '{experiment}'\nlifecycle_stage: \
                     active\nrun_id: {id}\nrun_name: r\nstart_time: 1600000000000\nstatus: 3\nuser_id: u\n"
            ),
        );
        place.file(&format!("{folder}/metrics/loss"), "1600000000000 0.5 0\n");
    };
    run("11", RUN, &format!("s3://other/{RUN}/artifacts"));
    place.file(&format!("mlruns/11/{RUN}/artifacts/sub/model.bin"), "weights");
    place.file("mlruns/11/tags/team", "vision");
    let own = RUN.replace('0', "f");
    run("12", &own, root.join("12").join(&own).join("artifacts").to_str().unwrap());
    place.file(
        "mlruns/models/net/meta.yaml",
        "name: net\ncreation_timestamp: 1600000000000\nlast_updated_timestamp: 1600000000000\n",
    );
    place.file("mlruns/models/net/aliases/best", "1");
    place.file(
        "mlruns/models/net/version-1/meta.yaml",
        format!(
            "name: net\nversion: 1\ncreation_timestamp: 1600000000000\ncurrent_stage: None\nrun_id: {RUN}\nsource: \
                 s3://other/{RUN}/artifacts/sub\nstatus: READY\n"
        ),
    );
    root
}

fn tracking(place: &Place) -> Tracking {
    Tracking::new(Workspace::open(place.path("w")).unwrap(), TrackingOptions::default())
}

#[test]
fn an_mlflow_store_is_there_as_it_was_and_follows_its_source() {
    let place = Place::new();
    let root = store(&place);
    let first = place.json(&["import", text(&root)]);
    assert_eq!((&first["taken"]["experiments"], &first["taken"]["models"]), (&json!(4), &json!(1)));
    assert_eq!((&first["runs"], &first["left_out"]["artifacts"]), (&json!(2), &json!(1)));
    let facade = tracking(&place);
    let search = ExperimentSearch { view: View::All, order_by: vec!["name ASC".into()], ..ExperimentSearch::default() };
    let all = facade.search_experiments(&search).unwrap().items;
    let shown: Vec<_> = all
        .iter()
        .map(|own| (own.experiment_id.as_str(), own.name.as_str(), own.lifecycle_stage.as_str(), own.creation_time))
        .collect();
    let then = 1_600_000_000_000;
    assert_eq!(
        shown,
        [
            ("0", "Default", "active", then),
            ("11", "bucket", "active", then),
            ("13", "gone", "deleted", then),
            ("12", "local", "active", then)
        ]
    );
    assert_eq!((all[1].artifact_location.as_str(), all[1].tags["team"].as_str()), ("s3://b/11", "vision"));
    assert_eq!(all[0].artifact_location, "s3://b/0");
    let uri = format!("s3://other/{RUN}/artifacts");
    assert_eq!(facade.get_run(RUN).unwrap().info.artifact_uri, uri);
    let found = facade
        .search_runs(&stepwell::tracking::RunSearch {
            experiment_ids: vec!["11".into()],
            filter: format!("artifact_uri = '{uri}'"),
            ..Default::default()
        })
        .unwrap();
    assert_eq!((found.items.len(), found.items[0].info.artifact_uri.as_str()), (1, uri.as_str()));
    let again = place.json(&["import", text(&root)]);
    assert_eq!(again["added"], json!({"runs": 0, "series": 0, "points": 0}));

    place.file("mlruns/11/tags/team", "audio");
    place.file(
        "mlruns/models/net/version-2/meta.yaml",
        "name: net\nversion: 2\ncreation_timestamp: \
                                                         1600000005000\ncurrent_stage: Production\nsource: \
                                                         s3://y\nstatus: READY\n",
    );
    place.file("mlruns/models/net/aliases/best", "2");
    let third = place.json(&["import", text(&root)]);
    assert_eq!(third["added"]["model versions"], json!(1));
    let facade = tracking(&place);
    assert_eq!(facade.get_experiment("11").unwrap().tags["team"], "audio");
    let workspace = Workspace::open(place.path("w")).unwrap();
    let net = ModelRegistry::new(&workspace).model("net").unwrap();
    assert_eq!((net.aliases["best"], net.creation_timestamp), (2, then));
}

#[test]
fn artifacts_are_copied_on_request_and_found_where_the_server_looks() {
    let place = Place::new();
    let root = store(&place);
    place.ok(&["import", text(&root)]);
    let done = place.json(&["import", text(&root), "--artifacts"]);
    assert_eq!((&done["taken"]["artifacts"], &done["added"]["artifacts"]), (&json!(1), &json!(1)));
    assert_eq!(done["left_out"].get("artifacts"), None);
    let copied = place.path(&format!("w/artifacts/11/{RUN}/artifacts/sub/model.bin"));
    assert_eq!(std::fs::read(copied).unwrap(), b"weights");
    let uri = format!("mlflow-artifacts:/11/{RUN}/artifacts");
    assert_eq!(tracking(&place).get_run(RUN).unwrap().info.artifact_uri, uri);
    let workspace = Workspace::open(place.path("w")).unwrap();
    let version = ModelRegistry::new(&workspace).version("net", 1).unwrap();
    assert_eq!(version.storage_location, format!("{uri}/sub"), "a version follows the files of its run");
    assert_eq!(version.source, format!("s3://other/{RUN}/artifacts/sub"));
    let again = place.json(&["import", text(&root), "--artifacts"]);
    assert_eq!((&again["taken"]["artifacts"], again["added"].get("artifacts")), (&json!(1), None));
    std::os::unix::fs::symlink("/etc/hostname", root.join(format!("11/{RUN}/artifacts/link"))).unwrap();
    let linked = place.json(&["import", text(&root), "--artifacts"]);
    assert_eq!(linked["left_out"]["artifacts"], 1, "a link is not followed, and told: {linked}");
    place.ok(&["import", text(&root)]);
    assert_eq!(
        tracking(&place).get_run(RUN).unwrap().info.artifact_uri,
        uri,
        "an import without files leaves the place"
    );
}

#[test]
fn the_default_experiment_moves_only_with_a_store_that_comes_alone() {
    for alone in [true, false] {
        let place = Place::new();
        let meta =
            "artifact_location: file:///C:/theirs/0\nexperiment_id: '0'\nlifecycle_stage: active\nname: Default\n";
        place.file("mlruns/0/meta.yaml", meta);
        place.file("tables/run.csv", "step,loss\n1,0.5\n2,0.25\n");
        let sources: &[&str] = if alone { &["import", "mlruns"] } else { &["import", "mlruns", "tables"] };
        place.ok(sources);
        let workspace = Workspace::open(place.path("w")).unwrap();
        let own = workspace.experiments().get(stepwell::ExperimentId::DEFAULT).unwrap();
        assert_eq!(own.artifact_location, if alone { "file:///C:/theirs/0" } else { "" });
    }
}

#[test]
fn what_was_deleted_here_stays_deleted_is_counted_and_comes_back_when_it_is_asked_for() {
    let place = Place::new();
    let root = store(&place);
    place.ok(&["import", text(&root)]);
    let registry = || Workspace::open(place.path("w")).unwrap();
    ModelRegistry::new(&registry()).delete_model("net").unwrap();
    place.ok(&["delete", RUN]);
    place.ok(&["experiments", "delete", "local"]);
    for _ in 0..2 {
        let done = place.json_with(1, &["import", text(&root)]);
        assert_eq!(done["added"], json!({"runs": 0, "series": 0, "points": 0}), "{done}");
        let left_out = &done["left_out"];
        let counts = ["models", "model versions", "aliases", "experiments", "runs"].map(|kind| left_out[kind].clone());
        // The run that is marked, and the run of the experiment.
        assert_eq!(json!(counts), json!([1, 1, 1, 1, 2]), "{done}");
        let reasons = done["skipped"].to_string();
        for way in ["--replace brings it back", "stepwell restore RUN", "stepwell experiments restore 12"] {
            assert!(reasons.contains(way), "{way}: {reasons}");
        }
        assert!(ModelRegistry::new(&registry()).model("net").is_err());
        assert_eq!(place.json(&["runs"]), json!([]));
    }
    // The experiment stays deleted, and with it the run that it has.
    let back = place.json_with(1, &["import", text(&root), "--replace"]);
    assert_eq!((&back["added"]["models"], &back["added"]["model versions"]), (&json!(1), &json!(1)), "{back}");
    assert_eq!(ModelRegistry::new(&registry()).model("net").unwrap().aliases["best"], 1);
    assert_eq!(place.json_with(1, &["import", text(&root)])["left_out"].get("models"), None, "it is known again");
}

#[test]
fn an_experiments_number_that_is_taken_is_told() {
    let place = Place::new();
    let root = store(&place);
    place.ok(&["import", text(&root)]);
    place.file(
        "other/11/meta.yaml",
        "artifact_location: s3://c/11\ncreation_time: 1500000000000\nexperiment_id: '11'\nlifecycle_stage: \
         active\nname: speech\n",
    );
    let other = place.path("other");
    let done = place.json(&["import", text(&other)]);
    let told = done["skipped"].as_array().unwrap();
    assert!(
        told.iter().any(|one| one["kind"] == "experiment" && one["reason"].as_str().unwrap().contains("number 11")),
        "{done}"
    );
    assert_eq!(place.json(&["experiments", "--all"]).as_array().unwrap().len(), 5);
}
