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
    place.fails(&["log", "--new", "loss=high"], 2, &["\"high\" is not a number"]);
    place.fails(&["log"], 2, &["RUN"]);
    place.fails(&["log", "loss=1"], 2, &["\"loss=1\"", "--new"]);
    place.fails(&["log", "--new", "loss=1", "--finish", "FAIL"], 2, &["\"FAIL\"", "FINISHED, FAILED or KILLED"]);
    assert!(!place.path("w").exists());
    place.fails(&["log", "--new", "--param", "lr"], 2, &["KEY=VALUE"]);
    place.fails(&["log", "some", "loss=1"], 3, &["no Stepwell workspace", "hint"]);
    assert!(!place.path("w").exists(), "a call that fails makes no workspace");
    place.fails(&["serv"], 2, &["serve"]);
    place.fails(&["serve", "--port", "none"], 2, &["--port"]);
    place.fails(&["runs", "--no-such"], 2, &["--no-such"]);
    let id = place.ok(&["log", "--new", "--name", "lr=0.1"]);
    place.fails(&["log", "loss=1", "acc=2"], 2, &["\"loss=1\"", "--new"]);
    place.fails(&["log", id.trim()], 2, &["nothing to log"]);
    // A run may be called like a value.
    place.ok(&["log", "lr=0.1", "loss=2"]);
    assert_eq!(place.json(&["show", id.trim()])["metrics"], json!({"loss": 2.0}));
}

#[test]
fn values_without_a_step_count_on() {
    let place = Place::new();
    let id = place.ok(&["log", "--new", "loss=3", "acc=1"]);
    let id = id.trim();
    for loss in ["2", "1"] {
        place.ok(&["log", id, &format!("loss={loss}")]);
    }
    assert_eq!(place.json(&["log", id, "loss=0.5", "acc=0.9", "new=1"])["step"], 3);
    place.ok(&["log", id, "acc=0.95"]);
    place.ok(&["log", id, "other=1", "--step", "-9"]);
    place.ok(&["log", id, "other=2"]);
    let steps = |key: &str| -> Vec<i64> {
        let points = place.json(&["history", id, key]);
        points.as_array().unwrap().iter().map(|point| point["step"].as_i64().unwrap()).collect()
    };
    assert_eq!((steps("loss"), steps("acc")), (vec![0, 1, 2, 3], vec![0, 3, 4]));
    assert_eq!((steps("new"), steps("other")), (vec![3], vec![-9, -8]));
    place.ok(&["log", id, "loss=7", "--step", "10"]);
    place.ok(&["log", id, "loss=8", "--step", "5"]);
    assert_eq!(place.json(&["log", id, "loss=9"])["step"], 11, "after the greatest, not after the last");
    place.ok(&["compact"]);
    assert_eq!(place.json(&["log", id, "loss=9"])["step"], 12);
    place.ok(&["log", id, "end=1", "--step", &i64::MAX.to_string()]);
    place.fails(&["log", id, "end=2"], 3, &["give --step"]);
}

#[test]
fn a_run_is_finished_with_any_status() {
    let place = Place::new();
    for (words, status) in [
        (&["--finish"][..], "FINISHED"),
        (&["--finish", "FAILED"], "FAILED"),
        (&["--finish", "killed"], "KILLED"),
        (&["--finish=failed"], "FAILED"),
        (&["--finish", "loss=1"], "FINISHED"),
    ] {
        let id = place.ok(&["log", "--new"]);
        place.ok(&[&["log", id.trim()], words].concat());
        assert_eq!(place.json(&["show", id.trim()])["status"], status, "{words:?}");
        let new = place.json(&[&["log", "--new"], words].concat())["run_id"].clone();
        assert_eq!(place.json(&["show", new.as_str().unwrap()])["status"], status, "{words:?}");
    }
    let id = place.ok(&["log", "--new"]);
    place.ok(&["log", "--finish", "FAILED", id.trim(), "loss=1"]);
    assert_eq!(place.json(&["show", id.trim()])["status"], "FAILED");
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
    for (options, lines, says) in [
        (&["-n", "2"][..], 2, "has ended (FINISHED); 2 of its 5 points are shown, --from-start shows all"),
        (&["-n", "0"], 0, "0 of its 5 points are shown"),
        (&["--from-start"], 5, "has ended (FINISHED); these are all its points"),
        (&["--key", "other"], 2, "these are all its points"),
    ] {
        let ended = place.call(&[&["tail", "live"], options].concat());
        assert_eq!((ended.status, ended.out.lines().count()), (0, lines), "{ended:?}");
        assert!(ended.err.contains(says), "{options:?}: {}", ended.err);
    }
    place.fails(&["tail", "live", "--key", "los"], 3, &["no metric \"los\""]);
    let empty = place.ok(&["log", "--new", "--finish", "FAILED"]);
    let ended = place.call(&["tail", empty.trim()]);
    assert_eq!((ended.status, ended.out.as_str()), (0, ""));
    assert!(ended.err.contains("has ended (FAILED) without a point"), "{ended:?}");
}

#[test]
fn what_breaks_a_limit_leaves_no_run_behind() {
    let place = Place::new();
    let (key, value) = ("k".repeat(251), "v".repeat(8001));
    place.fails(&["log", "--new", &format!("{key}=1")], 2, &["251", "250"]);
    place.fails(&["log", "--new", "--param", &format!("{key}=1")], 2, &["251", "250"]);
    place.fails(&["log", "--new", "--param", &format!("a={value}")], 2, &["8001", "6000"]);
    place.fails(&["log", "--new", "--tag", &format!("a={value}")], 2, &["8001", "8000"]);
    place.fails(&["log", "--new", "--param", "a=1", "--param", "a=2"], 2, &["given twice"]);
    place.fails(&["log", "--new", "--tag", "a=1", "--tag", "a=2"], 2, &["tag \"a\" is given twice"]);
    assert!(!place.path("w").exists());
    place.ok(&["log", "--new", &format!("{}=1", "é".repeat(250)), "--param", "a=1", "--param", "a=1"]);
    assert_eq!(place.json(&["runs"]).as_array().unwrap().len(), 1);
}

#[test]
fn numbers_that_no_float_holds_are_refused_or_told() {
    let place = Place::new();
    for value in ["1e400", "-1e999", "9".repeat(400).as_str()] {
        let word = format!("loss={value}");
        place.fails(&["log", "--new", &word], 2, &["too large", "inf"]);
    }
    assert!(!place.path("w").exists(), "nothing was made for what is refused");
    let told = place.call(&["log", "--new", "--name", "r", "n=9007199254740993", "m=9007199254740992", "i=-inf"]);
    assert_eq!(told.status, 0, "{told:?}");
    assert_eq!(told.err, "note: n=9007199254740993 is logged as 9007199254740992, the nearest float\n");
    let told = place.json(&["log", "r", "n=9007199254740993"]);
    assert_eq!(told["rounded"][0]["given"], "n=9007199254740993", "{told}");
    assert_eq!(place.json(&["log", "r", "n=1"])["rounded"], serde_json::json!([]));
}
