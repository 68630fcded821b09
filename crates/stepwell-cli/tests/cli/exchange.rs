//! `import`, `export` and `sync`.

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
        format!(
            "artifact_uri: x\nend_time: 2000\nentry_point_name: ''\nexperiment_id: '42'\nlifecycle_stage: \
                 active\nrun_id: {run}\nrun_name: first\nsource_name: ''\nsource_type: 4\nstart_time: 1000\nstatus: \
                 3\ntags: []\nuser_id: me\n"
        ),
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
    // Nothing came of these: a sentence, exit status 1, and no workspace is made.
    place.file("readme.md", "nothing");
    std::fs::create_dir(place.path("empty")).unwrap();
    let unreadable = place.file("locked.csv", "step,m\n0,1\n");
    for (path, says) in [
        ("readme.md", "not a log known here"),
        ("/etc/passwd", "not a log known here"),
        ("empty", "nothing was imported from empty"),
    ] {
        let ended = place.call(&["import", path]);
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(
            ended.out.contains(says) && ended.out.contains(&format!("nothing was imported from {path}\n")),
            "{ended:?}"
        );
        assert!(!place.path("w").exists(), "{path}");
    }
    std::fs::set_permissions(&unreadable, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    // Root reads everything.
    if std::fs::read(&unreadable).is_err() {
        let ended = place.call(&["import", "locked.csv"]);
        assert_eq!((ended.status, ended.out.contains("cannot be read")), (1, true), "{ended:?}");
        assert!(!place.path("w").exists());
    }
    // One path that gave nothing among others is told, and the others are taken; files that are not logs are counted.
    place.file("logs/a.csv", "step,m\n0,1\n");
    place.file("logs/x.png", "");
    place.file("logs/y.png", "");
    place.file("logs/LICENSE", "");
    let ended = place.call(&["import", "logs", "readme.md"]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.out.contains("no logs known here in logs: 3 files (2 .png, 1 without an ending)\n"), "{ended:?}");
    assert!(ended.out.contains("imported 1 run, 1 series, 1 point\n"), "{ended:?}");
    // What an earlier import took counts as given, by whichever path.
    let again = place.json(&["import", "logs", "logs/a.csv", "logs"]);
    assert_eq!((&again["added"]["points"], &again["paths"][0]["unrecognised"][".png"]), (&json!(0), &json!(2)));
    assert_eq!(again["paths"].as_array().unwrap().len(), 3);
    let told = place.call(&["--json", "import", "readme.md"]);
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&told["left_out"], &told["skipped"][0]["kind"]), (&json!({"files": 1}), &json!("file")), "{told}");
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
    place.fails(&["export", id, "--to", "out", "--format", "xml"], 2, &["parquet", "csv", "tfevents", "mlruns"]);
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

#[test]
fn sync_copies_what_is_missing_both_ways_and_once() {
    let place = Place::new();
    place.file("in/a.csv", "step,m\n0,1\n1,2\n");
    place.ok(&["import", text(&place.path("in"))]);
    let id = place.ok(&["log", "--new", "--name", "left", "m=1", "--experiment", "vision"]);
    let id = id.trim();
    place.file(&format!("w/artifacts/0/{id}/artifacts/weights.bin"), "1234");
    let (own, other) = (place.path("w"), place.path("other"));
    let first = place.json(&["sync", text(&own), text(&other)]);
    assert_eq!((&first["runs"], &first["points"], &first["artifacts"]), (&json!(2), &json!(3), &json!(1)));
    assert_eq!(std::fs::read(other.join(format!("artifacts/0/{id}/artifacts/weights.bin"))).unwrap(), b"1234");
    let at_other = |arguments: &[&str]| place.json(&[&["-w", text(&other)], arguments].concat());
    assert_eq!(at_other(&["runs"]), place.json(&["runs"]));
    assert_eq!(at_other(&["show", "left"])["run_id"], json!(id));

    // Both go on; a second time only what is new moves, in both directions.
    place.ok(&["log", id, "m=2", "--step", "1"]);
    place.ok(&["-w", text(&other), "log", id, "m=3", "--step", "2"]);
    place.ok(&["-w", text(&other), "log", "--new", "--name", "right", "n=1"]);
    let both = place.json(&["sync", text(&own), text(&other), "--both"]);
    assert_eq!(
        (&both[0]["runs"], &both[0]["updated"], &both[0]["points"]),
        (&json!(0), &json!(1), &json!(1)),
        "{both}"
    );
    assert_eq!(
        (&both[1]["runs"], &both[1]["updated"], &both[1]["points"]),
        (&json!(1), &json!(1), &json!(2)),
        "{both}"
    );
    let history = place.ok(&["history", id, "m"]);
    assert_eq!(history.lines().count(), 4);
    assert_eq!(place.ok(&["-w", text(&other), "history", id, "m"]), history);
    let again = place.json(&["sync", text(&own), text(&other), "--both"]);
    for way in again.as_array().unwrap() {
        assert_eq!((&way["runs"], &way["updated"], &way["artifacts"]), (&json!(0), &json!(0), &json!(0)), "{again}");
    }
    // What was deleted for good there does not come back.
    place.ok(&["-w", text(&other), "delete", "left"]);
    place.ok(&["-w", text(&other), "gc"]);
    let left = place.json(&["sync", text(&own), text(&other)]);
    assert_eq!((&left["deleted"], &left["runs"]), (&json!(1), &json!(0)));
    place.fails(&["sync", text(&own), text(&own)], 2, &["are the same folder"]);
    place.fails(&["sync", text(&place.path("nowhere")), text(&other)], 3, &["no Stepwell workspace"]);
    assert_eq!(at_other(&["verify"])["ok"], true);
}

/// Runs with all that a form may lose: words, steps that go back, equal steps, numbers of both widths, infinities.
fn with_everything() -> (Place, String) {
    let place = Place::new();
    place.ok(&["experiments", "create", "vision \"1\""]);
    let id = place.ok(&[
        "log",
        "--new",
        "--experiment",
        "vision \"1\"",
        "--name",
        "good: one",
        "--param",
        "lr=0.1",
        "--tag",
        "note=a\nb",
    ]);
    let id = id.trim().to_owned();
    for (step, values) in
        [("3", "loss=0.1"), ("1", "loss=-0.0"), ("1", "loss=1e300"), ("-7", "loss=inf"), ("9", "a/b=0.5")]
    {
        place.ok(&["log", &id, values, "--step", step]);
    }
    place.ok(&["log", &id, "a/b=nan", "--step", "9"]);
    place.ok(&["log", &id, "--finish"]);
    (place, id)
}

/// The history without the lines' order, which the forms do not promise for equal steps and times.
fn lines(place: &Place, run: &str, key: &str) -> Vec<String> {
    let text = place.ok(&["history", run, key]);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_exported_as_event_files_comes_back() {
    let (place, id) = with_everything();
    let done = place.json(&["export", &id, "--to", "out", "--format", "tfevents"]);
    assert_eq!((&done["runs"], &done["series"], &done["points"]), (&json!(1), &json!(2), &json!(6)));
    place.fails(&["export", &id, "--to", "out", "--format", "tfevents"], 3, &["exists already", "--overwrite"]);
    place.ok(&["export", &id, "--to", "out", "--format", "tfevents", "--overwrite"]);
    let back = place.path("back");
    place.ok(&["-w", text(&back), "import", text(&place.path("out/good: one"))]);
    let at_back = |arguments: &[&str]| place.ok(&[&["-w", text(&back)], arguments].concat());
    let runs: serde_json::Value = serde_json::from_str(&at_back(&["--json", "runs"])).unwrap();
    assert_eq!((&runs[0]["params"], &runs[0]["status"]), (&json!({"lr": "0.1"}), &json!("FINISHED")));
    assert_eq!(runs[0]["tags"]["note"], "a\nb");
    let new = runs[0]["run_id"].as_str().unwrap();
    assert_eq!(new, id);
    for key in ["loss", "a/b"] {
        let there: Vec<String> = at_back(&["history", new, key]).lines().map(str::to_owned).collect();
        assert_eq!(there, lines(&place, &id, key));
    }
}

#[test]
fn what_is_exported_as_mlflows_folders_comes_back_with_its_id() {
    let (place, id) = with_everything();
    let done = place.json(&["export", "--all", "--to", "mlruns", "--format", "mlruns"]);
    assert_eq!((&done["runs"], &done["points"], &done["left_out"]), (&json!(1), &json!(6), &json!([])));
    place.fails(&["export", "--all", "--to", "mlruns", "--format", "mlruns"], 3, &["exists already"]);
    let back = place.path("back");
    place.ok(&["-w", text(&back), "import", text(&place.path("mlruns"))]);
    let at_back = |arguments: &[&str]| place.ok(&[&["-w", text(&back)], arguments].concat());
    let (here, there) = (place.ok(&["--json", "show", &id]), at_back(&["--json", "show", &id]));
    let (here, there): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(&here).unwrap(), serde_json::from_str(&there).unwrap());
    for field in ["run_id", "name", "status", "params", "tags", "start_time", "end_time"] {
        assert_eq!(here[field], there[field], "{field}");
    }
    for key in ["loss", "a/b"] {
        let there: Vec<String> = at_back(&["history", &id, key]).lines().map(str::to_owned).collect();
        assert_eq!(there, lines(&place, &id, key));
    }
    assert!(at_back(&["experiments"]).contains("vision \"1\""));
    // A key that can be no file is named, and the rest is written.
    place.ok(&["log", "--new", "--name", "odd", "../evil=1", "fine=2", "fine/under=3"]);
    let told = place.call(&["--json", "export", "odd", "--to", "odd", "--format", "mlruns"]);
    assert_eq!(told.status, 1);
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(told["left_out"].as_array().unwrap().len(), 2, "{told}");
    assert!(!place.path("evil").exists() && !place.path("odd/0/evil").exists());
}

#[test]
fn artifacts_follow_their_runs_and_stay_away_with_them() {
    let place = Place::new();
    let (own, other) = (place.path("w"), place.path("other"));
    place.ok(&["experiments", "create", "cifar"]);
    place.ok(&["-w", text(&other), "experiments", "create", "cifar"]);
    let number = |workspace: &std::path::Path| {
        let listed = place.json(&["-w", text(workspace), "experiments"]);
        let found = listed.as_array().unwrap().iter().find(|listed| listed["name"] == "cifar").unwrap().clone();
        found["experiment_id"].as_str().unwrap().to_owned()
    };
    let (theirs, here) = (number(&own), number(&other));
    assert_ne!(theirs, here);
    let id = place.ok(&["log", "--new", "--experiment", "cifar", "m=1", "--finish"]);
    let id = id.trim();
    place.file(&format!("w/artifacts/{theirs}/{id}/artifacts/a.bin.part"), "1234");
    assert_eq!(place.json(&["sync", text(&own), text(&other)])["artifacts"], 1);
    let copied = other.join(format!("artifacts/{here}/{id}/artifacts/a.bin.part"));
    assert_eq!(std::fs::read(&copied).unwrap(), b"1234");
    // What differs stays as it is, and is named.
    // Another content of the same length differs too.
    place.file(&format!("w/artifacts/{theirs}/{id}/artifacts/a.bin.part"), "1235");
    let (left, status) = {
        let ended = place.call(&["--json", "sync", text(&own), text(&other)]);
        (ended.out, ended.status)
    };
    assert!(left.contains("a.bin.part differs on both sides"), "{left} {status}");
    assert_eq!(std::fs::read(&copied).unwrap(), b"1234");
    place.file(&format!("w/artifacts/{theirs}/{id}/artifacts/a.bin.part"), "longer than it was");
    let told = place.call(&["--json", "sync", text(&own), text(&other)]);
    assert_eq!((told.status, std::fs::read(&copied).unwrap()), (1, b"1234".to_vec()));
    // Deleted for good: neither the run nor its artifacts come back.
    place.ok(&["-w", text(&other), "delete", id]);
    place.ok(&["-w", text(&other), "gc"]);
    assert!(!copied.exists());
    let again = place.json(&["sync", text(&own), text(&other)]);
    assert_eq!((&again["deleted"], &again["artifacts"]), (&json!(1), &json!(0)));
    assert!(!copied.exists());
}

#[test]
fn an_export_into_the_workspace_is_refused() {
    let place = Place::new();
    place.ok(&["log", "--new", "--name", "r", "loss=1", "--finish"]);
    for folder in ["w", "w/logs", "w/new/below", "./w/../w/packs"] {
        place.fails(&["export", "r", "--to", folder], 2, &["is within the workspace"]);
    }
    assert!(!place.path("w/new").exists());
    std::os::unix::fs::symlink(place.path("w"), place.path("link")).unwrap();
    place.fails(&["export", "r", "--to", "link/x"], 2, &["is within the workspace"]);
    place.ok(&["export", "r", "--to", "w-export"]);
}

#[test]
fn an_imported_run_is_exported_without_a_word_of_where_it_came_from() {
    let place = Place::new();
    place.file("a.csv", "step,loss\n0,1\n");
    place.ok(&["import", "a.csv"]);
    assert_eq!(place.json(&["export", "--all", "--to", "out"])["left_out"], serde_json::json!([]));
}
