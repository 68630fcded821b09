//! What an export or import leaves out, loses or cannot read is told with its number, and exports say it by their
//! exit status.

use serde_json::{Value, json};

use crate::place::Place;

const RUN: &str = "0123456789abcdef0123456789abcdef";

/// A store of MLflow with a run, one metric and these further lines of its `meta.yaml`.
fn store(meta: &str, metric: &str) -> Place {
    let place = Place::new();
    place.file("m/4/meta.yaml", "artifact_location: ''\nexperiment_id: '4'\nlifecycle_stage: active\nname: e\n");
    place.file("m/4/tags/kept", "yes");
    let head = format!("artifact_uri: ''\nexperiment_id: '4'\nlifecycle_stage: active\nrun_id: {RUN}\nrun_name: r\n");
    place.file(&format!("m/4/{RUN}/meta.yaml"), format!("{head}{meta}"));
    place.file(&format!("m/4/{RUN}/metrics/loss"), metric);
    place
}

fn told(done: &Value) -> String {
    done["skipped"].to_string()
}

#[test]
fn what_exports_have_no_place_for_is_told() {
    let place = store("status: 3\nstart_time: 5\n", "1 0.5 0\n");
    place.ok(&["import", "m"]);
    place.file(&format!("w/artifacts/4/{RUN}/artifacts/deep/model.bin"), "x");
    for format in ["csv", "tfevents", "mlruns"] {
        let ended = place.call(&["--json", "export", "--all", "--to", format, "--format", format]);
        let done: Value = serde_json::from_str(&ended.out).unwrap();
        let not_held = done["not_held"].to_string();
        assert_eq!((ended.status, &done["left_out"]), (0, &json!([])), "{ended:?}");
        assert!(not_held.contains("1 artifact of run") && ended.err.contains("1 artifact of run"), "{ended:?}");
        assert_eq!(not_held.contains("1 tag of experiment"), format != "mlruns", "{format} {not_held}");
    }
    let number = place.json(&["show", RUN])["experiment_id"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(place.path(&format!("mlruns/{number}/tags/kept"))).unwrap(), "yes");
}

#[test]
fn what_is_gone_from_an_export_is_told() {
    let place = Place::new();
    place.file("t.csv", "run_id,step,loss,acc\na,0,1,2\na,1,3,4\nb,0,5,6\n");
    place.ok(&["import", "t.csv"]);
    let import = |workspace: &str, path: &str| place.json(&["-w", workspace, "import", path]);
    for format in ["csv", "tfevents", "mlruns"] {
        place.ok(&["export", "--all", "--to", format, "--format", format]);
        let whole = import(&format!("whole-{format}"), format);
        assert_eq!((&whole["points"], told(&whole).as_str()), (&json!(6), "[]"), "{format}");
    }
    // Points cut at a row.
    let points = std::fs::read_to_string(place.path("csv/points.csv")).unwrap();
    let cut: Vec<&str> = points.lines().take(4).collect();
    place.file("csv/points.csv", cut.join("\n") + "\n");
    let done = import("cut", "csv");
    assert_eq!((&done["points"], &done["left_out"]["points"]), (&json!(3), &json!(3)), "{done}");
    // Points that are no more.
    std::fs::remove_file(place.path("csv/points.csv")).unwrap();
    assert_eq!(import("gone", "csv")["left_out"], json!({"points": 6, "series": 4}));
    // Words that are damaged.
    place.file("csv/points.csv", &points);
    place.file("csv/runs.json", "{");
    assert!(told(&import("words", "csv")).contains("not a list of runs any more"));
    // An event file, and a metric of MLflow.
    let event = std::fs::read_dir(place.path("tfevents/a")).unwrap().map(|entry| entry.unwrap().path());
    event
        .filter(|path| path.to_string_lossy().contains("tfevents."))
        .for_each(|path| std::fs::remove_file(path).unwrap());
    assert_eq!(import("event", "tfevents")["left_out"], json!({"points": 4, "series": 2}));
    std::fs::remove_file(place.path("mlruns/0/a/metrics/acc")).unwrap();
    assert_eq!(import("metric", "mlruns")["left_out"], json!({"points": 2, "series": 1}));
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_in_a_foreign_store_and_told_elsewhere() {
    use std::os::unix::fs::symlink;
    let place = store("status: 3\n", "1 0.5 0\n");
    let secret = place.file("secret", "password");
    let folder = place.path(&format!("m/4/{RUN}"));
    std::fs::create_dir_all(folder.join("params")).unwrap();
    symlink(&secret, folder.join("params/k")).unwrap();
    symlink(place.path("elsewhere"), place.path("m/4/dangling")).unwrap();
    std::fs::create_dir(place.path("elsewhere2")).unwrap();
    symlink(place.path("elsewhere2"), folder.join("tags")).unwrap();
    let done = place.json(&["import", "m"]);
    assert!(told(&done).contains("params/k") && told(&done).contains("not followed"), "{done}");
    assert_eq!(place.json(&["show", RUN])["params"], json!({}));
    place.file("d/t.csv", "step,loss\n0,1\n");
    symlink(place.path("nothing"), place.path("d/gone.csv")).unwrap();
    let done = place.json(&["import", "d"]);
    assert!(told(&done).contains("gone.csv") && told(&done).contains("a link to nothing"), "{done}");
}

#[test]
fn words_and_numbers_of_mlflow_that_cannot_be_kept_are_told() {
    let place = store("status: 77\nstart_time: tomorrow\n", "1 9007199254740993 0\n1 1e400 1\n");
    let done = place.json(&["import", "m"]);
    for words in ["77", "tomorrow", "9007199254740993", "1e400"] {
        assert!(told(&done).contains(words), "{words}: {done}");
    }
    assert_eq!(done["left_out"], json!({"places": 2, "cells": 2}), "{done}");
}

#[test]
fn a_run_may_be_named_as_the_list_of_runs() {
    let place = Place::new();
    place.ok(&["log", "--new", "--name", "runs.json", "loss=1"]);
    place.ok(&["export", "--all", "--to", "t", "--format", "tfevents"]);
    assert_eq!(place.json(&["-w", "v", "import", "t"])["added"]["points"], 1);
    let names = std::fs::read_dir(place.path("t")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().ends_with(".part")).count(), 0);
}

/// An export's answer, told notes and warnings, and its exit status.
fn export(place: &Place, arguments: &[&str]) -> (Value, String, i32) {
    let ended = place.call(&[&["--json", "export", "--all"], arguments].concat());
    let done = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    (done, ended.err, ended.status)
}

#[test]
fn an_export_copies_the_files_of_runs_where_it_is_asked_to() {
    let place = store("status: 3\nstart_time: 5\n", "1 0.5 0\n");
    place.ok(&["import", "m"]);
    let number = place.json(&["show", RUN])["experiment_id"].as_str().unwrap().to_owned();
    place.file(&format!("w/artifacts/{number}/{RUN}/artifacts/deep/model.bin"), "weights");
    let to = ["--to", "out", "--format", "mlruns", "--artifacts"];
    let (done, _, status) = export(&place, &to);
    assert_eq!(
        (&done["artifacts"], &done["left_out"], &done["not_held"], status),
        (&json!(1), &json!([]), &json!([]), 0)
    );
    let copy = place.path(&format!("out/{number}/{RUN}/artifacts/deep/model.bin"));
    assert_eq!(std::fs::read(&copy).unwrap(), b"weights");
    // MLflow's folders hold them, so they come back.
    let back = place.json(&["-w", "back", "import", "out", "--artifacts"]);
    assert_eq!(back["taken"]["artifacts"], 1, "{back}");
    // What is another file there stays, and the exit status says so.
    std::fs::write(&copy, "mine, and longer").unwrap();
    let (done, _, status) = export(&place, &[&to[..], &["--overwrite"]].concat());
    assert!(done["left_out"].to_string().contains("1 artifact of run"), "{done}");
    assert_eq!((std::fs::read(&copy).unwrap(), status), (b"mine, and longer".to_vec(), 1));
    place.fails(&["export", "--all", "--to", "csv", "--format", "csv", "--artifacts"], 2, &["--format mlruns"]);
    #[cfg(unix)]
    {
        // A link below the workspace is not followed, and a link among the files is told.
        std::os::unix::fs::symlink("/etc/passwd", place.path(&format!("w/artifacts/{number}/{RUN}/artifacts/link")))
            .unwrap();
        let (done, _, status) = export(&place, &["--to", "other", "--format", "mlruns", "--artifacts"]);
        assert!(done["left_out"].to_string().contains("links and special files"), "{done}");
        assert_eq!((&done["artifacts"], status), (&json!(1), 1));
    }
}

#[test]
fn times_and_nans_that_a_form_cannot_hold_are_told_with_their_number() {
    let place = Place::new();
    let far = "9007199254740993";
    place.file("t.csv", format!("run_id,key,step,timestamp_ms,value\nr,a,0,{far},1\nr,a,1,-1500,2\nr,a,2,,-nan\n"));
    place.ok(&["import", "t.csv"]);
    let told = |form: &str| {
        let (done, err, status) = export(&place, &["--to", form, "--format", form]);
        assert_eq!((&done["left_out"], &done["points"], status), (&json!([]), &json!(3), 0), "{form} {err}");
        done["not_held"].as_array().unwrap().iter().for_each(|note| assert!(err.contains(note.as_str().unwrap())));
        done["not_held"].to_string()
    };
    let events = told("tfevents");
    assert!(events.contains("1 point of run r: a time that seconds as a float do not hold"), "{events}");
    assert!(events.contains("1 point of run r: without a time"), "{events}");
    let folders = told("mlruns");
    assert!(
        folders.contains("1 point of run r: without a time") && folders.contains("1 point of run r: a NaN"),
        "{folders}"
    );
    assert!(told("csv").contains("1 point of run r: a NaN"));
    assert_eq!(told("parquet"), "[]");
    let back = place.json(&["-w", "back", "import", "tfevents"]);
    assert_eq!(back["points"], 3);
    let history = place.ok(&["-w", "back", "history", "r", "a"]);
    assert!(history.contains("1,-1500,2") && history.contains("2,,"), "{history}");
}

#[test]
fn a_run_begun_anew_is_exported_again_in_place_of_itself() {
    let place = Place::new();
    let run = |start: &str, value: &str| {
        place.file("t.csv", format!("step,loss,wall_time\n0,{value},{start}\n"));
        place.ok(&["import", "t.csv", "--replace"]);
    };
    run("1700000000", "1");
    let to = ["export", "--all", "--to", "out", "--format", "tfevents"];
    place.ok(&to);
    run("1800000000", "2");
    place.fails(&to, 3, &["out/runs.json exists already", "--overwrite replaces", "--to"]);
    place.ok(&[&to[..], &["--replace"]].concat());
    let back = place.json(&["-w", "back", "import", "out"]);
    assert_eq!((&back["points"], told(&back).as_str()), (&json!(1), "[]"), "the first start's file is gone: {back}");
}
