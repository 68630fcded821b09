//! `sync` of names and tags of experiments, and the folders that it refuses.

use serde_json::json;

use crate::place::{Place, text};

#[test]
fn names_and_tags_of_experiments_are_carried() {
    let place = Place::new();
    let (own, other) = (place.path("w"), place.path("other"));
    let id = place.ok(&["experiments", "create", "vision"]).trim().to_owned();
    place.ok(&["log", "--new", "--experiment", "vision", "m=1", "--finish"]);
    place.ok(&["sync", text(&own), text(&other)]);
    let name = |workspace: &std::path::Path| {
        let listed = place.json(&["-w", text(workspace), "experiments"]);
        let found = listed.as_array().unwrap().iter().find(|known| known["experiment_id"] == id.as_str()).cloned();
        found.unwrap()["name"].as_str().unwrap().to_owned()
    };
    place.ok(&["experiments", "rename", "vision", "vision-2"]);
    assert_eq!(place.json(&["sync", text(&own), text(&other)])["experiments"], 1);
    assert_eq!(name(&other), "vision-2");
    assert_eq!(place.json(&["sync", text(&own), text(&other)])["experiments"], 0, "once");
    // Both renamed it equally often: the greater by bytes stands, on both sides, whichever way is first.
    place.ok(&["experiments", "rename", &id, "b"]);
    place.ok(&["-w", text(&other), "experiments", "rename", &id, "a"]);
    let both = place.json(&["sync", text(&own), text(&other), "--both"]);
    assert_eq!((&both[0]["experiments"], &both[1]["experiments"]), (&json!(1), &json!(0)));
    assert_eq!((name(&own), name(&other)), ("b".into(), "b".into()));
    // A change after that stands over what was there.
    place.ok(&["-w", text(&other), "experiments", "rename", &id, "a"]);
    place.ok(&["sync", text(&own), text(&other), "--both"]);
    assert_eq!((name(&own), name(&other)), ("a".into(), "a".into()));
    // A name that another experiment has there is left, and told.
    place.ok(&["-w", text(&other), "experiments", "create", "taken"]);
    place.ok(&["experiments", "rename", &id, "taken"]);
    let told = place.call(&["sync", text(&own), text(&other)]);
    assert_eq!(told.status, 1, "{told:?}");
    assert!(told.out.contains("left out") && told.out.contains("\"taken\""), "{told:?}");
    assert_eq!(name(&other), "a");
}

#[test]
fn a_workspace_within_another_is_refused() {
    let place = Place::new();
    place.ok(&["log", "--new", "m=1", "--finish"]);
    place.file("w/artifacts/0/x/artifacts/model.bin", "weights");
    let own = place.path("w");
    std::os::unix::fs::symlink(&own, place.path("link")).unwrap();
    for (from, to) in [
        ("w", "w/inner"),
        ("w", "w/artifacts/inner"),
        ("w", "w/a/b/../inner"),
        ("w", "link/inner"),
        ("w", "other/../w/inner"),
        ("w/inner", "w"),
        ("w", "./w"),
        ("w", "link"),
    ] {
        std::fs::create_dir_all(place.path("w/a/b")).unwrap();
        std::fs::create_dir_all(place.path("other")).unwrap();
        let ended = place.call(&["sync", from, to]);
        assert_eq!((ended.status, ended.out.as_str()), (2, ""), "{from} {to}: {ended:?}");
        assert!(ended.err.contains("within") || ended.err.contains("same folder"), "{from} {to}: {ended:?}");
        assert!(!place.path("w/inner").exists() && !place.path("w/artifacts/inner").exists(), "{from} {to}");
    }
    place.ok(&["sync", "w", "w-beside"]);
}

#[test]
fn links_among_artifacts_are_told() {
    let place = Place::new();
    let id = place.ok(&["log", "--new", "m=1", "--finish"]).trim().to_owned();
    place.file(&format!("w/artifacts/0/{id}/artifacts/model.bin"), "weights");
    std::os::unix::fs::symlink("/etc/hostname", place.path(&format!("w/artifacts/0/{id}/artifacts/link"))).unwrap();
    let told = place.call(&["sync", text(&place.path("w")), text(&place.path("other"))]);
    assert_eq!(told.status, 1, "{told:?}");
    assert!(told.out.contains("artifacts/link is a link"), "{told:?}");
    assert!(place.path(&format!("other/artifacts/0/{id}/artifacts/model.bin")).is_file());
    let shown = place.ok(&["show", &id]);
    assert!(shown.contains("model.bin") && shown.contains("7 B") && shown.contains("link"), "{shown}");
    assert_eq!(place.json(&["show", &id])["artifacts"][1], json!({"path": "model.bin", "bytes": 7}));
}

#[test]
fn artifacts_go_with_runs_that_were_deleted_for_good() {
    let place = Place::new();
    let ids = ["a", "b", "c"].map(|name| {
        let id = place.ok(&["log", "--new", "--name", name, "m=1", "--finish"]).trim().to_owned();
        place.file(&format!("w/artifacts/0/{id}/artifacts/model.bin"), "weights");
        id
    });
    let other = place.path("other");
    let sync = |more: &[&str]| place.call(&[&["sync", text(&place.path("w")), text(&other), "--json"], more].concat());
    assert_eq!(sync(&[]).status, 0);
    let there = |id: &str| other.join("artifacts/0").join(id);
    assert!(ids.iter().all(|id| there(id).join("artifacts/model.bin").is_file()));
    // Somebody put the artifacts of one elsewhere.
    std::fs::rename(there(&ids[1]), place.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(place.path("elsewhere"), there(&ids[1])).unwrap();
    place.ok(&["delete", "a", "b"]);
    place.ok(&["gc"]);
    let told = sync(&[]);
    let json: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(
        (told.status, &json["removed"], &json["artifact_folders_removed"]),
        (1, &json!(2), &json!(1)),
        "{told:?}"
    );
    assert!(json["left_out"][0].as_str().unwrap().contains("reached through a link"), "{told:?}");
    assert!(!there(&ids[0]).exists() && there(&ids[2]).join("artifacts/model.bin").is_file());
    assert!(place.path("elsewhere/artifacts/model.bin").is_file());
}

/// The values of a metric in both workspaces, after one was synced with the other both ways.
fn both(place: &Place, a: &str, b: &str) -> [String; 2] {
    place.ok(&["sync", text(&place.path(a)), text(&place.path(b)), "--both"]);
    [a, b].map(|workspace| {
        let history = place.ok(&["-w", text(&place.path(workspace)), "history", "r", "loss"]);
        history.lines().skip(1).map(|line| line.rsplit(',').next().unwrap()).collect::<Vec<_>>().join(" ")
    })
}

#[test]
fn a_run_that_was_exported_and_imported_has_its_points_once() {
    for format in ["mlruns", "csv", "parquet", "tfevents"] {
        let place = Place::new();
        let log = |workspace: &str, words: &[&str]| {
            let path = place.path(workspace);
            place.ok(&[&["-w", text(&path), "log"], words].concat());
        };
        let export = |to: &str| {
            place.ok(&["-w", text(&place.path("a")), "export", "--all", "--to", to, "--format", format]);
        };
        // A point that was logged twice counts twice, everywhere.
        log("a", &["--new", "--name", "r", "loss=1", "--timestamp", "7", "acc=9"]);
        log("a", &["r", "loss=1", "--step", "0", "--timestamp", "7"]);
        log("a", &["r", "loss=2"]);
        export("out");
        // Into the workspace that it came from.
        let told = place.json(&["-w", text(&place.path("a")), "import", "out"]);
        assert_eq!(told["added"]["points"], 0, "{format} {told}");
        // Into another one, then each from the other.
        place.ok(&["-w", text(&place.path("b")), "import", "out"]);
        for _ in 0..2 {
            assert_eq!(both(&place, "a", "b"), ["1 1 2", "1 1 2"], "{format}");
        }
        // Both go on: there by its writer, here by another; and by another export.
        log("a", &["r", "loss=3"]);
        log("b", &["r", "loss=4", "--step", "9"]);
        for _ in 0..2 {
            assert_eq!(both(&place, "a", "b"), ["1 1 2 3 4", "1 1 2 3 4"], "{format}");
        }
        log("a", &["r", "loss=5", "--step", "10"]);
        let again = format!("{format}-again");
        export(&again);
        place.ok(&["-w", text(&place.path("b")), "import", &again]);
        for _ in 0..2 {
            assert_eq!(both(&place, "a", "b"), ["1 1 2 3 4 5", "1 1 2 3 4 5"], "{format}");
        }
        // A third one takes from either, and compaction changes nothing.
        place.ok(&["-w", text(&place.path("a")), "compact"]);
        place.ok(&["-w", text(&place.path("b")), "compact"]);
        assert_eq!(both(&place, "b", "c"), ["1 1 2 3 4 5", "1 1 2 3 4 5"], "{format}");
        assert_eq!(both(&place, "a", "c"), ["1 1 2 3 4 5", "1 1 2 3 4 5"], "{format}");
        let told = place.json(&["sync", text(&place.path("a")), text(&place.path("c"))]);
        assert_eq!(
            (&told["updated"], &told["points"], &told["left_out"]),
            (&json!(0), &json!(0), &json!([])),
            "{told}"
        );
    }
}

#[test]
fn copies_of_a_run_that_do_not_agree_are_told() {
    let place = Place::new();
    let paths = [place.path("a"), place.path("b")];
    let [a, b] = [text(&paths[0]), text(&paths[1])];
    for (workspace, experiment, rate) in [(a, "one", "lr=1"), (b, "two", "lr=2")] {
        place.file("t.csv", "run_id,step,loss\nr1,0,0.5\nr2,0,1\n");
        place.ok(&["-w", workspace, "import", "t.csv", "--experiment", experiment]);
        place.ok(&["-w", workspace, "log", "r1", "--param", rate]);
    }
    let told = |both: bool| {
        let mut arguments = vec!["--json", "sync", a, b];
        arguments.extend(both.then_some("--both"));
        let ended = place.call(&arguments);
        let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        let ways = if both { told.as_array().unwrap().clone() } else { vec![told] };
        let count = |way: &serde_json::Value, what: &str| {
            let left_out = way["left_out"].as_array().unwrap();
            left_out.iter().filter(|words| words.as_str().unwrap().contains(what)).count()
        };
        let counts: Vec<[usize; 3]> =
            ways.iter().map(|way| ["experiment", "param", "other points"].map(|what| count(way, what))).collect();
        (ended.status, counts)
    };
    // r2 is in two experiments, and so is r1, which also has two values of a param.
    let (status, counts) = told(true);
    assert_eq!((status, counts.iter().all(|counts| counts[1] == 1)), (1, true), "{counts:?}");
    assert!(counts[0][0] > 0, "{counts:?}");
    // What is not made one is told again each time.
    assert_eq!(told(true).0, 1);
    // Two sources under one id.
    let other = place.path("c");
    place.file("t.csv", "run_id,step,loss\nr2,7,3\n");
    place.ok(&["-w", text(&other), "import", "t.csv", "--experiment", "one"]);
    let ended = place.call(&["--json", "sync", text(&other), a]);
    let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(ended.status, 1, "{told}");
    assert!(told["left_out"][0].as_str().unwrap().contains("run r2: other points were imported"), "{told}");
}

/// A workspace from somebody else, whose own folders lead elsewhere: nothing there is read, listed or written.
#[test]
fn folders_of_a_workspace_that_are_links_are_not_followed() {
    let place = Place::new();
    let id = place.ok(&["log", "--new", "m=1", "--finish"]).trim().to_owned();
    let outside = place.path("outside");
    let secret = place.file(&format!("outside/0/{id}/artifacts/secret"), "secret");
    std::os::unix::fs::symlink(&outside, place.path("w/artifacts")).unwrap();
    std::os::unix::fs::symlink(&outside, place.path("w/server")).unwrap();
    let (own, other) = (place.path("w"), place.path("other"));
    place.ok(&["-w", text(&other), "log", "--new", "m=2", "--finish"]);
    for (from, to) in [(&own, &other), (&other, &own)] {
        place.fails(&["sync", text(from), text(to)], 3, &["artifacts is a symbolic link"]);
    }
    let shown = place.call(&["show", &id]);
    assert_eq!(shown.status, 1, "{shown:?}");
    assert!(shown.err.contains("artifacts is a symbolic link") && !shown.out.contains("secret"), "{shown:?}");
    place.fails(&["serve", "--port", "0"], 3, &["is a symbolic link"]);
    place.fails(&["token", "create", "--name", "me"], 3, &["symbolic link"]);
    let names: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!((names.len(), std::fs::read(secret).unwrap()), (1, b"secret".to_vec()), "{names:?}");
}
