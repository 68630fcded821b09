//! `log`, `experiments`, `delete`, `restore` and `tail`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;

use crate::place::Place;

#[test]
fn a_shell_script_logs_a_run() {
    let place = Place::new();
    let id = place.ok(&[
        "log",
        "--new",
        "--name",
        "probe",
        "--experiment",
        "vision",
        "--param",
        "lr=0.1",
        "--tag",
        "a=b=c",
        "loss=0.5",
        "a=b=-inf",
        "--step",
        "-3",
    ]);
    let id = id.trim();
    assert_eq!(id.len(), 32);
    assert_eq!(place.ok(&["log", id, "loss=NaN", "--step", "4", "--timestamp", "1700000000000"]).trim(), id);
    let shown = place.json(&["show", id]);
    assert_eq!(shown["status"], "RUNNING");
    assert_eq!(shown["experiment"], "vision");
    assert_eq!(shown["params"], json!({"lr": "0.1"}));
    assert_eq!(shown["tags"]["a"], "b=c");
    assert_eq!(shown["metrics"], json!({"a=b": "-Infinity", "loss": "NaN"}));
    assert_eq!(shown["series"]["loss"]["count"], 2);
    assert_eq!(shown["series"]["loss"]["first"]["step"], -3);
    place.ok(&["log", "probe", "--finish=failed"]);
    let shown = place.json(&["show", "probe"]);
    assert_eq!(shown["status"], "FAILED");
    assert!(shown["end_time"].as_i64() > Some(0));
    place.fails(&["log", "probe", "--param", "lr=0.2"], 3, &["write-once", "0.1"]);
}

#[test]
fn wrong_words_are_told() {
    let place = Place::new();
    place.fails(&["log", "--new", "loss"], 2, &["\"loss\"", "KEY=VALUE"]);
    place.fails(&["log", "--new", "loss=high"], 2, &["\"high\" is no number"]);
    place.fails(&["log"], 2, &["RUN"]);
    place.fails(&["log", "--new", "--param", "lr"], 2, &["KEY=VALUE"]);
    place.fails(&["log", "some", "loss=1"], 3, &["no Stepwell workspace", "hint"]);
    assert!(!place.path("w").exists(), "a call that fails makes no workspace");
    place.fails(&["serv"], 2, &["serve"]);
    place.fails(&["serve", "--port", "none"], 2, &["--port"]);
    place.fails(&["runs", "--no-such"], 2, &["--no-such"]);
}

#[test]
fn experiments_are_listed_and_changed() {
    let place = Place::new();
    let id = place.json(&["experiments", "create", "a\u{1b}[31m"])["experiment_id"].as_str().unwrap().to_owned();
    place.fails(&["experiments", "create", "a\u{1b}[31m"], 3, &["exists already"]);
    place.ok(&["experiments", "rename", &id, "vision"]);
    place.ok(&["log", "--new", "--experiment", "vision"]);
    let listed = place.json(&["experiments"]);
    assert_eq!(listed[0]["experiment_id"], "0");
    assert_eq!((&listed[1]["name"], &listed[1]["runs"]), (&json!("vision"), &json!(1)));
    place.ok(&["experiments", "delete", "vision"]);
    assert_eq!(place.json(&["experiments"]).as_array().unwrap().len(), 1);
    assert_eq!(place.json(&["runs"]), json!([]));
    assert_eq!(place.json(&["runs", "--deleted"]).as_array().unwrap().len(), 1);
    place.fails(&["log", "--new", "--experiment", "vision"], 3, &["deleted", "restore"]);
    place.ok(&["experiments", "restore", "vision"]);
    assert!(place.ok(&["experiments", "--all"]).contains("vision"));
    place.fails(&["runs", "-e", "visoin"], 3, &["did you mean \"vision\""]);
}

#[test]
fn deleted_runs_come_back_until_collected() {
    let place = Place::new();
    let id = place.ok(&["log", "--new", "--name", "x", "loss=1", "--finish"]).trim().to_owned();
    place.ok(&["delete", "x"]);
    assert_eq!(place.json(&["runs"]), json!([]));
    place.fails(&["log", "x", "loss=2"], 3, &["deleted", "stepwell restore"]);
    place.ok(&["restore", &id[..8]]);
    assert_eq!(place.json(&["runs"])[0]["run_id"], id.as_str());
    place.ok(&["delete", &id]);
    assert_eq!(place.json(&["gc", "--older-than", "30d"])["runs"], json!([]));
    assert_eq!(place.json(&["gc", "--dry-run"])["runs"], json!([id]));
    assert_eq!(place.json(&["runs", "--all"]).as_array().unwrap().len(), 1);
    assert_eq!(place.json(&["gc"])["runs"], json!([id]));
    assert_eq!(place.json(&["runs", "--all"]), json!([]));
    place.fails(&["gc", "--older-than", "soon"], 2, &["\"soon\""]);
}

#[test]
fn tail_prints_new_points_and_ends_with_the_run() {
    let place = Place::new();
    place.ok(&["log", "--new", "--name", "live", "loss=1", "other=7"]);
    let mut tail = place
        .command(&["tail", "live", "--json", "--key", "loss", "--timeout", "60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!((&next()["value"], &json!("loss")), (&json!(1.0), &json!("loss")));
    place.ok(&["log", "live", "loss=2", "other=8", "--step", "1"]);
    place.ok(&["log", "live", "loss=NaN", "--step", "2", "--finish"]);
    let second = next();
    assert_eq!((&second["key"], &second["step"], &second["value"]), (&json!("loss"), &json!(1), &json!(2.0)));
    assert_eq!(next()["value"], "NaN");
    assert!(lines.next().is_none(), "it ends by itself");
    assert!(tail.wait().unwrap().success());
    let text = place.ok(&["tail", "live", "-n", "2"]);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(place.ok(&["tail", "live", "-n", "0"]).is_empty());
    assert_eq!(place.ok(&["tail", "live", "--from-start"]).lines().count(), 5);
}
