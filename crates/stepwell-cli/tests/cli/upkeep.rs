//! `stats`, `compact`, `verify`, `repair`, and help.

use serde_json::json;

use crate::place::{Place, text};

fn with_runs() -> Place {
    let place = Place::new();
    for run in 0..3 {
        let rows: String = (0..2000).map(|step| format!("{step},{}\n", f64::from(step * run).sqrt())).collect();
        place.file(&format!("in/{run}.csv"), format!("step,m\n{rows}"));
    }
    place.ok(&["import", "in"]);
    place.ok(&["log", "--new", "--name", "logged", "m=1", "n=2", "--finish"]);
    place
}

#[test]
fn stats_count_what_is_there() {
    let place = with_runs();
    let stats = place.json(&["stats"]);
    assert_eq!((&stats["runs"], &stats["series"], &stats["points"]), (&json!(4), &json!(5), &json!(6002)));
    let bytes = stats["bytes_on_disk"].as_u64().unwrap();
    assert!(bytes > 1000 && stats["files"].as_u64().unwrap() > 1);
    assert_eq!(stats["bytes_per_point"].as_f64().unwrap(), bytes as f64 / 6002.0);
    let kinds = stats["by_kind"].as_array().unwrap();
    assert_eq!(kinds.iter().map(|kind| kind["bytes"].as_u64().unwrap()).sum::<u64>(), bytes);
    assert_eq!(stats["largest_keys"][0], json!({"key": "m", "points": 6001}));
    assert!(place.ok(&["stats"]).contains("6,002"));
}

#[test]
fn compacting_packs_logs_and_changes_nothing_else() {
    let place = with_runs();
    let before = place.json(&["runs", "--order-by", "attributes.run_id ASC"]);
    let done = place.json(&["compact"]);
    assert_eq!((&done["busy"], &done["logs"], &done["points"]), (&json!(false), &json!(1), &json!(2)));
    assert_eq!(place.json(&["runs", "--order-by", "attributes.run_id ASC"]), before);
    assert_eq!(place.json(&["compact"])["logs"], 0);
    assert!(place.ok(&["compact"]).contains("packed 0 logs"));
}

#[test]
fn verify_finds_a_changed_bit_and_repair_saves_the_rest() {
    let place = with_runs();
    place.ok(&["compact"]);
    let sound = place.json(&["verify"]);
    assert_eq!((&sound["ok"], &sound["damage"]), (&json!(true), &json!([])));
    let packs: Vec<_> = std::fs::read_dir(place.path("w/packs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let pack = packs
        .iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "pack"))
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::remove_file(pack).unwrap();
    std::fs::write(pack, bytes).unwrap();
    let found = place.call(&["--json", "verify"]);
    assert_eq!(found.status, 1, "{found:?}");
    let found: serde_json::Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!(found["ok"], false);
    let damage = &found["damage"][0];
    assert!(damage["file"].as_str().unwrap().ends_with(".pack"), "{damage}");
    let (offset, length) = (damage["offset"].as_u64().unwrap(), damage["length"].as_u64().unwrap());
    assert!((offset..offset + length).contains(&(middle as u64)), "{damage} does not hold byte {middle}");
    assert!(!damage["cost"].as_str().unwrap().is_empty());
    let told = place.call(&["verify"]);
    assert!(told.status == 1 && told.out.contains("cost:") && told.out.contains("stepwell repair"), "{told:?}");
    let repaired = place.json(&["repair"]);
    assert!(!repaired["quarantined"].as_array().unwrap().is_empty(), "{repaired}");
    assert_eq!(place.call(&["verify"]).status, 0);
    assert!(place.json(&["runs"]).as_array().unwrap().len() >= 3);
}

#[test]
fn an_export_leaves_out_what_is_damaged_and_says_so() {
    let place = with_runs();
    place.ok(&["compact"]);
    let id = place.ok(&["log", "--new", "whole=2", "--step", "7", "--timestamp", "9"]);
    let pack = std::fs::read_dir(place.path("w/packs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|kind| kind == "pack"))
        .unwrap();
    let sound = std::fs::read(&pack).unwrap();
    // The directory at the end is found by the search, the rest where it is read.
    for at in (0..sound.len()).step_by(sound.len() / 20) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        std::fs::remove_file(&pack).unwrap();
        std::fs::write(&pack, bytes).unwrap();
        let told = place.call(&["--json", "export", "--all", "--to", "out", "--format", "csv", "--overwrite"]);
        let done: serde_json::Value = serde_json::from_str(&told.out).unwrap();
        let damaged = !done["left_out"].as_array().unwrap().is_empty();
        assert_eq!((told.status == 1, told.err.contains("warning: left out")), (damaged, damaged), "{at}: {told:?}");
        let points = std::fs::read_to_string(place.path("out/points.csv")).unwrap();
        assert!(points.contains(&format!("{},whole,7,9,2\n", id.trim())), "{at}: {points}");
        assert!(damaged || done["series"].as_u64().unwrap() > 1, "{at}: {done}");
    }
}

#[test]
fn a_damaged_mark_is_found_and_made_anew() {
    let place = with_runs();
    place.ok(&["compact"]);
    let runs = place.ok(&["runs", "--json"]);
    let mark = place.path("w/stepwell.workspace");
    let whole = std::fs::read(&mark).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&mark, bytes).unwrap();
        let found = place.call(&["--json", "verify"]);
        assert_eq!(found.status, 1, "byte {at}: {found:?}");
        let found: serde_json::Value = serde_json::from_str(&found.out).unwrap();
        assert!(found["damage"][0]["file"].as_str().unwrap().ends_with("stepwell.workspace"), "{found}");
    }
    place.fails(&["runs"], 3, &["stepwell.workspace is damaged", "stepwell verify"]);
    assert_eq!(place.json(&["repair"])["quarantined"].as_array().unwrap().len(), 1);
    assert_eq!(place.json(&["verify"])["ok"], true);
    assert_eq!(place.ok(&["runs", "--json"]), runs);
    // A folder without any mark is still no workspace.
    std::fs::remove_file(&mark).unwrap();
    place.fails(&["verify"], 3, &["no Stepwell workspace"]);
}

#[test]
fn a_missing_pack_is_given_up_by_repair_alone() {
    let place = with_runs();
    for entry in std::fs::read_dir(place.path("w/packs")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert_eq!(place.call(&["verify"]).status, 1);
    let told = place.call(&["compact"]);
    assert!(told.status == 1 && told.out.contains(".pack: "), "{told:?}");
    assert_eq!(place.call(&["verify"]).status, 1);
    let lost = place.json(&["repair"])["lost"].to_string();
    assert!(lost.contains("3 runs with 6000 points"), "{lost}");
    assert_eq!(place.json(&["verify"])["ok"], true);
    assert_eq!(place.json(&["runs"]).as_array().unwrap().len(), 1);
}

#[test]
fn stats_count_around_damage() {
    let place = with_runs();
    let packs: Vec<_> = std::fs::read_dir(place.path("w/packs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let pack = packs.iter().find(|path| path.extension().is_some_and(|kind| kind == "pack")).unwrap();
    let whole = std::fs::read(pack).unwrap();
    let mut left_out = 0;
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(pack, bytes).unwrap();
        let told = place.call(&["--json", "stats"]);
        let status = told.status;
        let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!(status == 0, told["unreadable"] == json!([]), "byte {at}: {told}");
        left_out += told["unreadable"].as_array().unwrap().len();
        assert_eq!(told["runs"] == json!(4), told["unreadable"] == json!([]), "byte {at}: {told}");
    }
    assert!(left_out > 0);
}

#[test]
fn a_metric_is_deleted_for_good() {
    let place = with_runs();
    let id = place.ok(&["log", "--new", "m=1", "n=2", "--finish"]);
    let id = id.trim();
    place.fails(&["delete", id, "--metric", "m", "--metric", "nope"], 3, &["no metric", "nope"]);
    assert_eq!(place.json(&["show", id])["metrics"].as_object().unwrap().len(), 2);
    assert!(place.ok(&["delete", id, "--metric", "m"]).contains("deleted metric m of "));
    let shown = place.json(&["show", id]);
    assert_eq!(shown["metrics"].as_object().unwrap().keys().collect::<Vec<_>>(), ["n"]);
    // Importing again does not bring back what was deleted of an imported run, nor anything else.
    let imported = place.json(&["runs", "--filter", "metrics.m > 60"])[0]["run_id"].clone();
    let imported = imported.as_str().unwrap();
    place.ok(&["delete", imported, "--metric", "m"]);
    place.ok(&["import", "in"]);
    assert_eq!(place.json(&["show", imported])["metrics"], json!({}));
    assert_eq!(place.json(&["verify"])["ok"], true);
}

#[test]
fn garbage_takes_runs_with_their_artifacts_and_experiments() {
    let place = with_runs();
    place.ok(&["experiments", "create", "old"]);
    let listed = place.json(&["experiments"]);
    let old = listed.as_array().unwrap().iter().find(|listed| listed["name"] == "old").unwrap().clone();
    let old = old["experiment_id"].as_str().unwrap();
    let id = place.ok(&["log", "--new", "--experiment", "old", "m=1", "--finish"]);
    let folder = format!("w/artifacts/{old}/{}", id.trim());
    place.file(&format!("{folder}/artifacts/model.bin"), "weights");
    place.ok(&["experiments", "delete", "old"]);
    let dry = place.json(&["gc", "--dry-run"]);
    assert_eq!((dry["runs"].as_array().unwrap().len(), &dry["experiments"]), (1, &json!([old])));
    assert!(place.path(&folder).exists());
    assert!(place.ok(&["gc"]).contains("removed experiment"));
    assert!(!place.path(&folder).exists());
    assert_eq!(place.json(&["runs"]).as_array().unwrap().len(), 4);
    place.ok(&["experiments", "create", "old"]);
}

#[test]
fn help_is_there_for_every_command() {
    let place = Place::new();
    let help = place.ok(&["--help"]);
    for command in [
        "import",
        "experiments",
        "runs",
        "show",
        "history",
        "plot",
        "tail",
        "log",
        "export",
        "delete",
        "restore",
        "stats",
        "compact",
        "gc",
        "verify",
        "repair",
        "completions",
        "serve",
        "sync",
        "token",
    ] {
        assert!(help.contains(command), "{command}");
        assert!(place.ok(&[command, "--help"]).contains("Usage:"), "{command}");
    }
    assert!(help.contains("Exit status"));
    assert!(place.ok(&["completions", "bash"]).contains("complete"));
    assert!(place.ok(&["--version"]).starts_with("stepwell "));
}

#[test]
fn a_tracking_uri_holds_a_token_that_ends_within_the_hour() {
    let place = Place::new();
    let secret = |uri: &str, before: &str, after: &str| {
        uri.trim_end()
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .unwrap_or_else(|| panic!("{uri}"))
            .to_owned()
    };
    let uri = place.ok(&["token", "create", "--uri"]);
    assert!(secret(&uri, "http://token:stw_", "@127.0.0.1:5000").len() > 40);
    let made: serde_json::Value = serde_json::from_str(&place.ok(&[
        "--json",
        "token",
        "create",
        "--minutes",
        "5",
        "--uri",
        "https://lab:8443/mlflow/",
    ]))
    .unwrap();
    secret(made["uri"].as_str().unwrap(), "https://token:", "@lab:8443/mlflow");
    let lasts =
        |token: &serde_json::Value| token["expires_ms"].as_i64().unwrap() - token["created_ms"].as_i64().unwrap();
    assert_eq!(lasts(&made), 5 * 60_000);
    let all: serde_json::Value = serde_json::from_str(&place.ok(&["--json", "token", "list"])).unwrap();
    assert_eq!(all.as_array().unwrap().iter().map(lasts).collect::<Vec<_>>(), [60 * 60_000, 5 * 60_000]);
    assert!(place.ok(&["token", "list"]).contains("4 minutes left"));
    for wrong in [
        &["--minutes", "61", "--uri"][..],
        &["--days", "1", "--uri"],
        &["--days", "1", "--minutes", "1"],
        &["--uri", "ftp://host"],
        &["--uri", "http://user@host"],
        &["--uri", "host"],
    ] {
        let ended = place.call(&[&["token", "create"], wrong].concat());
        assert_eq!(ended.status, 2, "{wrong:?}: {}", ended.err);
    }
}

#[test]
fn the_workspace_is_the_option_then_the_variable_then_a_folder() {
    let place = Place::new();
    let named = place.path("named");
    place.ok(&["-w", text(&named), "log", "--new"]);
    assert!(named.exists() && !place.path("w").exists());
    place.ok(&["log", "--new"]);
    assert!(place.path("w").exists() && !place.path("stepwell").exists());
    let output = place.command(&["log", "--new"]).env_remove("STEPWELL_DIR").output().unwrap();
    assert!(output.status.success() && place.path("stepwell").exists());
}
