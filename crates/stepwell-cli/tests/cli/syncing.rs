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
