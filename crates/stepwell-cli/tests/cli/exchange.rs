//! `import` and `export`.

use serde_json::json;

use crate::place::{Place, event_file, text};

#[test]
fn importing_again_adds_nothing_and_a_grown_file_appends() {
    let place = Place::new();
    let events: Vec<(i64, f64, &str, f32)> =
        (0..50).map(|step| (step, 1000.5 + step as f64, "loss", step as f32 / 3.0)).collect();
    let name = "logs/train/events.out.tfevents.1.host";
    place.file(name, event_file(&events[..30]));
    let logs = place.path("logs");
    let dry = place.json(&["import", text(&logs), "--dry-run"]);
    assert_eq!((&dry["runs"], &dry["points"], &dry["added"]["points"]), (&json!(1), &json!(30), &json!(0)));
    assert!(!place.path("w").exists(), "a dry run stores nothing");
    let first = place.json(&["import", text(&logs)]);
    assert_eq!(first["skipped"], json!([]));
    assert_eq!((&first["runs"], &first["series"], &first["points"]), (&json!(1), &json!(1), &json!(30)));
    assert_eq!(first["added"], json!({"runs": 1, "series": 1, "points": 30}));
    let again = place.json(&["import", text(&logs)]);
    assert_eq!((&again["points"], &again["added"]), (&json!(30), &json!({"runs": 0, "series": 0, "points": 0})));
    place.file(name, event_file(&events));
    let grown = place.json(&["import", text(&logs)]);
    assert_eq!((&grown["points"], &grown["added"]), (&json!(50), &json!({"runs": 0, "series": 1, "points": 20})));
    let run = &place.json(&["runs"])[0];
    let history = place.ok(&["history", run["run_id"].as_str().unwrap(), "loss"]);
    let expected: Vec<String> = events
        .iter()
        .map(|&(step, seconds, _, value)| format!("{step},{},{}", (seconds * 1000.0) as i64, f64::from(value)))
        .collect();
    assert_eq!(history.lines().skip(1).collect::<Vec<_>>(), expected);
}

#[test]
fn a_source_that_changed_its_past_is_skipped_and_the_rest_goes_on() {
    let place = Place::new();
    place.file("in/a.csv", "step,m\n0,1\n1,2\n");
    place.file("in/b.csv", "step,m\n0,1\n");
    let folder = place.path("in");
    place.ok(&["import", text(&folder)]);
    place.file("in/a.csv", "step,m\n0,1\n1,3\n");
    place.file("in/b.csv", "step,m\n0,1\n1,5\n");
    let second = place.json(&["import", text(&folder)]);
    assert_eq!((&second["runs"], &second["added"]["points"]), (&json!(1), &json!(1)));
    let skipped = second["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 1);
    assert!(
        skipped[0]["path"].as_str().unwrap().contains("a.csv")
            && skipped[0]["reason"].as_str().unwrap().contains("no longer")
    );
}

#[test]
fn damage_is_told_with_its_place() {
    let place = Place::new();
    let mut file = event_file(&[(0, 1.0, "m", 1.0), (1, 2.0, "m", 2.0)]);
    file.truncate(file.len() - 3);
    let path = place.file("events.out.tfevents.1.h", file);
    let done = place.json(&["import", text(&path)]);
    assert_eq!(done["points"], 1);
    let skipped = &done["skipped"][0];
    assert!(
        skipped["path"].as_str().unwrap().contains("tfevents")
            && skipped["offset"].is_u64()
            && skipped["reason"].is_string()
    );
    assert!(place.ok(&["import", text(&path)]).contains("skipped"));
}

#[test]
fn experiments_are_made_and_long_words_cut() {
    let place = Place::new();
    let run = "0123456789abcdef0123456789abcdef";
    let root = format!("mlruns/42/{run}");
    place.file(
        "mlruns/42/meta.yaml",
        "artifact_location: x\nexperiment_id: '42'\nlifecycle_stage: active\nname: vision\n",
    );
    place.file(
        &format!("{root}/meta.yaml"),
        format!("artifact_uri: x\nend_time: 2000\nentry_point_name: ''\nexperiment_id: '42'\nlifecycle_stage: active\nrun_id: {run}\nrun_name: first\nsource_name: ''\nsource_type: 4\nstart_time: 1000\nstatus: 3\ntags: []\nuser_id: me\n"),
    );
    place.file(&format!("{root}/metrics/loss"), "1500 0.25 7\n");
    place.file(&format!("{root}/params/long"), "x".repeat(7000));
    place.file(&format!("{root}/tags/kept"), "y".repeat(8000));
    let mlruns = place.path("mlruns");
    let done = place.json(&["import", text(&mlruns)]);
    assert_eq!((&done["runs"], &done["points"]), (&json!(1), &json!(1)));
    let reason = done["skipped"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("\"long\"") && reason.contains("7000") && reason.contains("6000"), "{reason}");
    let shown = place.json(&["show", run]);
    assert_eq!(
        (&shown["experiment"], &shown["name"], &shown["user"]),
        (&json!("vision"), &json!("first"), &json!("me"))
    );
    assert_eq!((&shown["start_time"], &shown["status"]), (&json!(1000), &json!("FINISHED")));
    assert_eq!(
        (shown["params"]["long"].as_str().unwrap().len(), shown["tags"]["kept"].as_str().unwrap().len()),
        (6000, 8000)
    );
    let again = place.json(&["import", text(&mlruns)]);
    assert_eq!(again["added"], json!({"runs": 0, "series": 0, "points": 0}));
    place.file("m.csv", "step,m\n0,1\n");
    place.ok(&["import", "m.csv", "--experiment", "mine"]);
    assert_eq!(place.json(&["runs", "-e", "mine"]).as_array().unwrap().len(), 1);
}

#[test]
fn paths_that_do_not_serve_are_told() {
    let place = Place::new();
    place.fails(&["import", "nowhere"], 3, &["nowhere"]);
    assert!(!place.path("w").exists());
    place.fails(&["import"], 2, &["PATH"]);
    place.file("readme.md", "nothing");
    assert!(
        place.ok(&["import", "readme.md"]).contains("found 0 runs")
            || place.ok(&["import", "readme.md"]).contains("imported 0 runs")
    );
}

#[test]
fn what_is_exported_imports_as_the_same() {
    let place = Place::new();
    let id = place.ok(&["log", "--new", "b=2", "a=-0", "--step", "5", "--timestamp", "9"]);
    let id = id.trim();
    place.ok(&["log", id, "a=NaN", "--step", "3", "--timestamp", "8"]);
    place.file("c.csv", "step,m\n0,1e300\n1,\n2,3\n");
    place.ok(&["import", "c.csv"]);
    let done = place.json(&["export", "--all", "--to", "out"]);
    assert_eq!((&done["runs"], &done["series"], &done["points"]), (&json!(2), &json!(3), &json!(5)));
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&std::fs::read(place.path("out/runs.json")).unwrap())
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        2
    );
    place.fails(&["export", "--all", "--to", "out"], 3, &["exists already", "--overwrite"]);
    place.ok(&["export", id, "--to", "out", "--overwrite"]);
    place.ok(&["export", "--all", "--to", "out", "--overwrite"]);
    let other = place.path("other");
    place.ok(&["-w", text(&other), "import", "out/points.parquet"]);
    for run in place.json(&["runs"]).as_array().unwrap() {
        let id = run["run_id"].as_str().unwrap();
        for key in run["metrics"].as_object().unwrap().keys() {
            let here = place.ok(&["history", id, key]);
            assert_eq!(place.ok(&["-w", text(&other), "history", id, key]), here);
        }
    }
    place.fails(&["export", id, "--to", "out", "--format", "tfevents"], 2, &["parquet and csv"]);
    place.fails(&["export", "--to", "out"], 2, &["RUN"]);
}

#[test]
fn what_is_exported_as_csv_imports_as_the_same() {
    let place = Place::new();
    let id = place.ok(&["log", "--new", "b=0.1", "a=-0", "x,\"y\"; z=5e-324", " edge =1", "--step", "5"]);
    let id = id.trim();
    place.ok(&["log", id, "b=NaN", "b=-inf", "b=1e300", "--step", "-3", "--timestamp", "8"]);
    place.file("c.csv", "step,m\n1,1e300\n0,2\n");
    place.ok(&["import", "c.csv"]);
    let done = place.json(&["export", "--all", "--to", "out", "--format", "csv"]);
    assert_eq!((&done["runs"], &done["series"], &done["points"]), (&json!(2), &json!(5), &json!(9)));
    let text_of = std::fs::read_to_string(place.path("out/points.csv")).unwrap();
    assert!(text_of.starts_with("run_id,key,step,timestamp_ms,value\n"), "{text_of}");
    assert!(text_of.contains(",m,1,,1e300\n") && text_of.contains(&format!("{id},b,-3,8,NaN\n")), "{text_of}");
    let other = place.path("other");
    let read = place.json(&["-w", text(&other), "import", "out/points.csv"]);
    assert_eq!((&read["points"], &read["skipped"]), (&json!(9), &json!([])));
    for run in place.json(&["runs"]).as_array().unwrap() {
        let id = run["run_id"].as_str().unwrap();
        for key in run["metrics"].as_object().unwrap().keys() {
            let here = place.ok(&["history", id, key]);
            assert_eq!(place.ok(&["-w", text(&other), "history", id, key]), here, "{key}");
        }
    }
}

#[test]
fn history_as_parquet_imports_as_the_same() {
    let place = Place::new();
    let id = place.ok(&["log", "--new", "m=0.1"]);
    place.ok(&["history", id.trim(), "m", "--format", "parquet", "-o", "m.parquet"]);
    let other = place.path("other");
    let done = place.json(&["-w", text(&other), "import", "m.parquet"]);
    assert_eq!((&done["runs"], &done["points"]), (&json!(1), &json!(1)));
    assert_eq!(place.json(&["-w", text(&other), "runs"])[0]["run_id"], id.trim());
}
