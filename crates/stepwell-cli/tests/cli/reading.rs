//! `runs`, `show` and `history`, and how runs and metrics are named.

use std::process::Stdio;

use serde_json::json;

use crate::place::{Place, text};

/// A workspace with one imported run `curve` of 20,000 points and one spike.
fn with_spike() -> (Place, String) {
    let place = Place::new();
    let mut csv = "step,loss\n".to_owned();
    for step in 0..20_000 {
        let value = if step == 7_777 { 1e9 } else { f64::from(step % 10) };
        csv += &format!("{step},{value}\n");
    }
    let file = place.file("in/curve.csv", csv);
    place.ok(&["import", text(&file)]);
    let id = place.json(&["runs"])[0]["run_id"].as_str().unwrap().to_owned();
    (place, id)
}

#[test]
fn history_is_whole_or_down_sampled_with_its_spike() {
    let (place, id) = with_spike();
    let all = place.ok(&["history", &id, "loss"]);
    let mut lines = all.lines();
    assert_eq!(lines.next(), Some("step,timestamp_ms,value"));
    assert_eq!((lines.next(), lines.clone().count()), (Some("0,,0"), 19_999));
    for max in ["1", "2", "3", "4", "5", "100", "2000", "19999"] {
        let few = place.ok(&["history", &id, "loss", "--max-points", max]);
        let count = few.lines().count() - 1;
        assert!((1..=max.parse().unwrap()).contains(&count), "{count} of at most {max}");
        assert!(max.parse::<u32>().unwrap() < 3 || few.contains("7777,,1000000000\n"), "no spike in {max}");
    }
    assert_eq!(place.ok(&["history", &id, "loss", "--max-points", "20000"]), all);
    let points = place.json(&["history", &id, "loss", "--max-points", "100"]);
    assert!(points.as_array().unwrap().contains(&json!({"step": 7777, "timestamp_ms": null, "value": 1e9})));
    place.fails(&["history", &id, "loss", "--max-points", "0"], 2, &["max-points"]);
    place.fails(&["history", &id, "los"], 3, &["no metric \"los\"", "it has \"loss\""]);
    place.fails(&["--json", "history", &id, "loss", "--format", "csv"], 2, &["--json"]);
}

#[test]
fn values_keep_their_bits_in_every_form() {
    let place = Place::new();
    let id = place.ok(&["log", "--new", "v=5e-324", "--timestamp", "-5"]);
    let id = id.trim();
    for value in ["-0", "NaN", "inf", "-inf", "1.7976931348623157e308", "0.1", "100000"] {
        place.ok(&["log", id, &format!("v={value}"), "--timestamp", "7", "--step", "0"]);
    }
    let csv = place.ok(&["history", id, "v"]);
    let expected = "0,-5,5e-324\n0,7,-0\n0,7,NaN\n0,7,inf\n0,7,-inf\n0,7,1.7976931348623157e308\n0,7,0.1\n0,7,100000\n";
    assert_eq!(csv, format!("step,timestamp_ms,value\n{expected}"));
    let points = place.json(&["history", id, "v"]);
    let values: Vec<_> = points.as_array().unwrap().iter().map(|point| point["value"].to_string()).collect();
    let expected =
        ["5e-324", "-0.0", "\"NaN\"", "\"Infinity\"", "\"-Infinity\"", "1.7976931348623157e+308", "0.1", "100000.0"];
    assert_eq!(values, expected);
}

#[test]
fn runs_have_the_contracts_shape() {
    let place = Place::new();
    let id =
        place.ok(&["log", "--new", "--name", "n", "--param", "lr=1", "--tag", "t=x", "m=0.5", "bad=NaN", "--finish"]);
    let run = &place.json(&["runs"])[0];
    assert_eq!(run["run_id"], id.trim());
    assert_eq!((&run["experiment_id"], &run["name"], &run["status"]), (&json!("0"), &json!("n"), &json!("FINISHED")));
    assert_eq!((&run["metrics"], &run["params"]), (&json!({"m": 0.5, "bad": "NaN"}), &json!({"lr": "1"})));
    assert_eq!(run["tags"]["t"], "x");
    assert!(run["start_time"].as_i64() <= run["end_time"].as_i64());
}

#[test]
fn runs_are_filtered_ordered_and_limited() {
    let place = Place::new();
    for (name, loss) in [("a", "0.3"), ("b", "0.1"), ("c", "0.2")] {
        place.ok(&["log", "--new", "--name", name, &format!("loss={loss}"), "--param", "lr=0.01", "--finish"]);
    }
    let names = |arguments: &[&str]| -> Vec<String> {
        let mut all = vec!["runs"];
        all.extend(arguments);
        let runs = place.json(&all);
        runs.as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["--order-by", "metrics.loss ASC"]), ["b", "c", "a"]);
    assert_eq!(names(&["--order-by", "metrics.loss DESC", "--max", "2"]), ["a", "c"]);
    assert_eq!(names(&["--filter", "metrics.loss < 0.25", "--order-by", "metrics.loss ASC"]), ["b", "c"]);
    assert_eq!(names(&["--filter", "attributes.run_name IN ('a', 'c')", "--order-by", "metrics.loss ASC"]), ["c", "a"]);
    assert_eq!(place.json(&["runs", "--max", "0"]), json!([]));
    assert!(place.ok(&["runs", "--max", "0"]).contains("0 of "));
    let table = place.ok(&["runs", "--max", "1", "--columns", "metrics.loss,params.lr"]);
    assert!(table.contains("1 of 3 runs") && table.contains("0.01"), "{table}");
    assert_eq!(place.call(&["runs", "--filter", "metrics.loss > 9"]).status, 0);
    assert_eq!(place.call(&["runs", "--filter", "metrics.loss > 9", "--exit-code"]).status, 1);
    assert_eq!(place.call(&["runs", "--exit-code"]).status, 0);
    for bad in ["metrics.loss <", "loss ~ 3", "metrics.loss < 'a"] {
        place.fails(&["runs", "--filter", bad], 2, &["invalid"]);
        place.fails(&["--json", "runs", "--filter", bad], 2, &["invalid"]);
    }
    place.fails(&["runs", "--order-by", "metrics.loss SIDEWAYS"], 2, &["invalid"]);
}

#[test]
fn runs_are_found_by_prefix_and_name() {
    let place = Place::new();
    let mut ids = Vec::new();
    for name in ["twin", "twin", "it's \"one\"", "baseline"] {
        ids.push(place.ok(&["log", "--new", "--name", name, "m=1"]).trim().to_owned());
    }
    assert_eq!(place.json(&["show", &ids[2][..10]])["run_id"], ids[2].as_str());
    assert_eq!(place.json(&["show", "it's \"one\""])["run_id"], ids[2].as_str());
    place.fails(&["show", "basline"], 3, &["no run \"basline\"", "did you mean \"baseline\"?"]);
    place.fails(&["show", "no such\u{1b}run"], 3, &["stepwell runs", "\\u{1b}run"]);
}

#[test]
fn without_a_workspace_the_way_to_one_is_told() {
    let place = Place::new();
    for call in [&["runs"][..], &["show", "x"], &["history", "x", "k"], &["stats"], &["verify"], &["compact"]] {
        place.fails(call, 3, &["no Stepwell workspace", "-w DIR", "stepwell import"]);
    }
    assert!(!place.path("w").exists());
}

#[test]
fn texts_of_logs_cannot_drive_the_terminal() {
    let place = Place::new();
    let id = place.ok(&["log", "--new", "--name", "a\u{1b}[2Jb\nc", "k\u{7}\n=1", "--tag", "t=\u{1b}]0;x\u{7}"]);
    for call in [&["runs"][..], &["show", id.trim()], &["tail", id.trim(), "--timeout", "0"]] {
        let text = place.ok(call);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{call:?}: {text:?}");
        assert!(text.lines().all(|line| !line.starts_with("c ")), "{call:?}: {text:?}");
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let (place, id) = with_spike();
    let mut command = place.command(&["history", &id, "loss"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
