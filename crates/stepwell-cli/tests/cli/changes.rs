//! What an import changes of what is there: told in words and counted, also by a dry run and by imports at once.

use serde_json::{Value, json};

use crate::place::Place;

const RUN: &str = "0123456789abcdef0123456789abcdef";

fn answer(place: &Place, arguments: &[&str]) -> (Value, i32) {
    let ended = place.call(&[&["--json", "import"], arguments].concat());
    (serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}")), ended.status)
}

fn notes(done: &Value) -> String {
    done["notes"].to_string()
}

#[test]
fn a_dry_run_says_what_a_changed_source_would_become() {
    let place = Place::new();
    place.file("d/t.csv", "step,loss\n0,1\n1,2\n");
    place.file("d/own.csv", "run_id,step,loss\nr,0,1\n");
    place.ok(&["import", "d"]);
    let before = place.ok(&["--json", "runs"]);
    let (same, _) = answer(&place, &["d", "--dry-run"]);
    assert_eq!((&same["would_add"]["points"], &same["changed"]), (&json!(0), &json!({"new_runs": 0, "replaced": 0})));
    place.file("d/t.csv", "step,loss\n0,7\n1,8\n2,9\n");
    place.file("d/own.csv", "run_id,step,loss\nr,0,5\n");
    let (told, status) = answer(&place, &["d", "--dry-run"]);
    assert_eq!((&told["changed"]["new_runs"], &told["refused"], status), (&json!(1), &json!(1), 1), "{told}");
    assert!(notes(&told).contains("would become a new run"), "{told}");
    assert_eq!((&told["added"]["points"], &told["would_add"]["points"]), (&json!(0), &json!(3)), "{told}");
    assert_eq!(told["left_out"]["runs"], 1, "a source that names its run is refused: {told}");
    assert!(told["skipped"].to_string().contains("--replace"), "{told}");
    let (told, _) = answer(&place, &["d", "--dry-run", "--replace"]);
    assert_eq!(told["changed"]["replaced"], 2, "{told}");
    assert!(notes(&told).contains("would be replaced"), "{told}");
    let words = place.ok(&["import", "d", "--dry-run", "--replace"]);
    assert!(
        words.contains("2 sources changed: would be in the place") && words.contains("nothing was stored"),
        "{words}"
    );
    // One path that is refused alone says so by its exit status, as the import would.
    assert_eq!(answer(&place, &["d/own.csv", "--dry-run"]).1, 1);
    assert_eq!(place.ok(&["--json", "runs"]), before, "nothing was stored");
    let (done, _) = answer(&place, &["d", "--replace"]);
    assert_eq!(done["changed"]["replaced"], 2);
}

#[test]
fn a_dry_run_into_a_workspace_makes_no_experiment() {
    let place = Place::new();
    place.file("t.csv", "step,loss\n0,1\n");
    place.ok(&["log", "--new", "m=1"]);
    let (told, _) = answer(&place, &["t.csv", "--dry-run", "--experiment", "new"]);
    assert_eq!(told["would_add"], json!({"runs": 1, "series": 1, "points": 1}), "{told}");
    assert!(!place.ok(&["experiments"]).contains("new"));
}

/// A store of MLflow with one experiment, run and registered model.
fn store(place: &Place, experiment: &str, run: &str, stage: &str, tag: &str, version: &str) {
    let experiment = format!(
        "artifact_location: ''\ncreation_time: 5\nexperiment_id: '4'\nlifecycle_stage: active\nname: {experiment}\n"
    );
    place.file("m/4/meta.yaml", experiment);
    let meta = format!(
        "artifact_uri: ''\nexperiment_id: '4'\nlifecycle_stage: {stage}\nrun_id: {RUN}\nrun_name: {run}\nstart_time: \
         5\nstatus: 3\n"
    );
    place.file(&format!("m/4/{RUN}/meta.yaml"), meta);
    place.file(&format!("m/4/{RUN}/metrics/loss"), "1 0.5 0\n");
    place.file(&format!("m/4/{RUN}/tags/team"), tag);
    place.file(
        "m/models/net/meta.yaml",
        "name: net\ncreation_timestamp: 1600000000000\nlast_updated_timestamp: 1600000000000\n",
    );
    place.file("m/models/net/aliases/best", version);
    for number in [1, 2] {
        let meta = format!(
            "name: net\nversion: {number}\ncreation_timestamp: 1600000000000\ncurrent_stage: None\nrun_id: \
             {RUN}\nsource: s3://b\nstatus: READY\n"
        );
        place.file(&format!("m/models/net/version-{number}/meta.yaml"), meta);
    }
}

#[test]
fn what_an_import_changes_here_is_told() {
    let place = Place::new();
    store(&place, "one", "first", "active", "a", "1");
    let (done, _) = answer(&place, &["m"]);
    assert_eq!(done["changed_here"], json!({}), "{done}");
    store(&place, "two", "second", "deleted", "b", "2");
    // A dry run says the same, and changes nothing.
    let before = [place.ok(&["--json", "models"]), place.ok(&["--json", "experiments"]), place.ok(&["--json", "runs"])];
    let (dry, _) = answer(&place, &["m", "--dry-run"]);
    assert_eq!(
        (&dry["changed_here"]["aliases_moved"], &dry["changed_here"]["experiments_renamed"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(dry["would_add"], json!({"runs": 0, "series": 0, "points": 0}), "{dry}");
    let after = [place.ok(&["--json", "models"]), place.ok(&["--json", "experiments"]), place.ok(&["--json", "runs"])];
    assert_eq!(before, after, "a dry run changed something");
    let (done, _) = answer(&place, &["m"]);
    let expected = json!({"aliases_moved": 1, "experiments_renamed": 1, "runs_marked_deleted": 1, "runs_renamed": 1, "tags_set": 1});
    assert_eq!(done["changed_here"], expected, "{done}");
    for words in [
        "\"first\\\" is \\\"second\\\" now",
        "marked deleted",
        "\\\"one\\\" is named \\\"two\\\"",
        "alias \\\"best\\\"",
    ] {
        assert!(notes(&done).contains(words), "{words}: {done}");
    }
    assert_eq!(answer(&place, &["m"]).0["changed_here"], json!({}), "a second time nothing changes");
    // A model that was deleted here comes back when it is asked for, and that is told.
    place.ok(&["models"]);
    std::fs::remove_dir_all(place.path("m/models")).unwrap();
    std::fs::remove_file(place.path(&format!("m/4/{RUN}/tags/team"))).unwrap();
    place.file(&format!("m/4/{RUN}/metrics/loss"), "1 0.25 0\n");
    store_run_again(&place);
    let words = place.call(&["import", "m", "--replace"]);
    assert!(
        words.out.contains("changed here: points removed 1, runs renamed 1, runs restored 1, tags removed 1"),
        "{words:?}"
    );
    assert!(words.out.contains("1 tag (\"team\") went") && words.out.contains("is there again"), "{words:?}");
}

#[test]
fn a_dry_run_compares_models_and_experiments() {
    let place = Place::new();
    place.ok(&["log", "--new", "m=1"]);
    store(&place, "one", "first", "active", "a", "1");
    let (dry, status) = answer(&place, &["m", "--dry-run"]);
    let would = &dry["would_add"];
    assert_eq!((&would["models"], &would["experiments"], status), (&json!(1), &json!(1), 0), "{dry}");
    assert_eq!(place.json(&["models"]), json!([]));
    answer(&place, &["m"]);
    let (dry, _) = answer(&place, &["m", "--dry-run"]);
    assert_eq!(dry["would_add"].as_object().map(|would| would.contains_key("models")), Some(false), "{dry}");
    // Another model of the name is refused, as by the import.
    let other = "name: net\ncreation_timestamp: 1700000000000\nlast_updated_timestamp: 1700000000000\n";
    place.file("m/models/net/meta.yaml", other);
    let (dry, _) = answer(&place, &["m", "--dry-run"]);
    let (done, _) = answer(&place, &["m"]);
    assert_eq!((&dry["refused"], &dry["left_out"]), (&done["refused"], &done["left_out"]), "{dry} {done}");
    assert_eq!(dry["refused"], 1);
}

/// The run of the store, active again under a third name.
fn store_run_again(place: &Place) {
    let meta = format!(
        "artifact_uri: ''\nexperiment_id: '4'\nlifecycle_stage: active\nrun_id: {RUN}\nrun_name: third\nstart_time: \
         5\nstatus: 3\n"
    );
    place.file(&format!("m/4/{RUN}/meta.yaml"), meta);
}

#[test]
fn imports_at_once_count_what_each_stored() {
    let place = Place::new();
    for run in 0..40 {
        let rows: String = (0..50).map(|step| format!("r{run},{step},{step}\n")).collect();
        place.file(&format!("d/{run}.csv"), format!("run_id,step,loss\n{rows}"));
    }
    place.ok(&["log", "--new", "--name", "own", "m=1"]);
    for _ in 0..3 {
        let workspace = format!("w{}", place.path("").read_dir().unwrap().count());
        place.ok(&["-w", &workspace, "log", "--new", "m=1"]);
        let mut calls: Vec<_> = (0..4)
            .map(|_| {
                place
                    .command(&["--json", "-w", &workspace, "import", "d"])
                    .stdout(std::process::Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut sum = [0, 0, 0];
        for call in calls.drain(..) {
            let output = call.wait_with_output().unwrap();
            let done: Value = serde_json::from_slice(&output.stdout).unwrap();
            let of = |part: &str, kind: &str| done[part][kind].as_u64().unwrap_or(0);
            for (at, kind) in ["runs", "series", "points"].into_iter().enumerate() {
                sum[at] += of("added", kind);
            }
            assert_eq!(of("taken", "points"), 2_000);
        }
        assert_eq!(sum, [40, 40, 2_000]);
    }
}
