//! One damaged file, and what every command makes of the rest.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::place::{Ended, Place};

/// Runs of noisy values, whose pages are long: three in one pack, and one in another.
fn with_packs() -> Place {
    let place = Place::new();
    let mut bits = 7_u64;
    let mut noise = || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (bits >> 11) as f64
    };
    for name in ["a", "b", "c", "d"] {
        let rows: String = (0..3000).map(|step| format!("{step},{}\n", noise())).collect();
        let folder = if name == "d" { "other" } else { "in" };
        place.file(&format!("{folder}/{name}.csv"), format!("step,loss\n{rows}"));
    }
    place.ok(&["import", "in"]);
    place
}

fn only_file(place: &Place, folder: &str, ending: &str) -> PathBuf {
    let files = std::fs::read_dir(place.path(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files = files.filter(|path| path.extension().is_some_and(|own| own == ending));
    let only = files.next().unwrap();
    assert_eq!(files.next(), None);
    only
}

/// Changes one byte of a page of the first run of a pack.
fn damage(path: &PathBuf) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[1000] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}

fn json_of(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn a_damaged_page_keeps_no_other_run_from_being_copied() {
    let place = with_packs();
    damage(&only_file(&place, "w/packs", "pack"));
    place.ok(&["import", "other"]);
    for round in 0..2 {
        let ended = place.call(&["sync", "w", "copy", "--json"]);
        let told = json_of(&ended);
        assert_eq!(ended.status, 1, "{ended:?}");
        assert_eq!(told["runs"], if round == 0 { 3 } else { 0 }, "{told}");
        assert_eq!(told["points"], if round == 0 { 9000 } else { 0 }, "{told}");
        assert!(told["left_out"][0].as_str().unwrap().contains(".pack"), "{told}");
    }
    let copied = place.json(&["-w", "copy", "runs"]);
    assert_eq!(copied.as_array().unwrap().len(), 3, "{copied}");
}

#[test]
fn a_damaged_page_keeps_no_other_run_from_being_deleted_for_good() {
    let place = with_packs();
    damage(&only_file(&place, "w/packs", "pack"));
    let damaged = place.call(&["verify", "--json"]);
    place.ok(&["delete", "c.csv"]);
    let gone = place.json(&["runs", "--deleted"])[0]["run_id"].clone();
    for round in 0..2 {
        let ended = place.call(&["gc", "--json"]);
        let told = json_of(&ended);
        assert_eq!(ended.status, 1, "{ended:?}");
        assert_eq!(told["runs"], if round == 0 { json!([gone]) } else { json!([]) }, "{told}");
        assert!(told["left"][0]["why"].as_str().unwrap().contains("still has what was deleted"), "{told}");
    }
    assert_eq!(place.json(&["runs", "--all"]).as_array().unwrap().len(), 2);
    assert_eq!(json_of(&damaged)["damage"].as_array().unwrap().len(), 1);
    // What can be saved is saved, and then the rest goes.
    place.call(&["repair"]);
    place.ok(&["gc"]);
    place.ok(&["verify"]);
}

#[test]
fn a_damaged_log_of_edits_keeps_no_run_from_being_found_by_its_name() {
    let place = Place::new();
    place.ok(&["log", "--new", "--name", "first", "m=1", "--finish"]);
    place.ok(&["log", "--new", "--name", "second", "m=2", "--finish"]);
    place.ok(&["delete", "second"]);
    let edits = only_file(&place, "w/edits", "log");
    let mut bytes = std::fs::read(&edits).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&edits, bytes).unwrap();
    let shown = place.call(&["show", "first"]);
    assert!(shown.out.contains("first") && shown.err.contains("edits"), "{shown:?}");
    let missing = place.call(&["show", "third"]);
    assert!(missing.status == 3 && missing.err.contains("edits"), "it may be in there: {missing:?}");
}

#[test]
fn what_repair_took_out_of_use_is_not_damage_any_more() {
    let place = Place::new();
    let id = place.ok(&["log", "--new", "m=1", "--finish"]).trim().to_owned();
    place.ok(&["log", "--new", "m=2", "--finish"]);
    let shard = std::fs::read_dir(place.path("w/logs")).unwrap().flatten().find_map(|shard| {
        let logs = std::fs::read_dir(shard.path()).unwrap().flatten();
        logs.map(|log| log.path()).find(|path| path.to_string_lossy().contains(&id))
    });
    let log = shard.unwrap();
    std::fs::remove_file(&log).unwrap();
    assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
    assert_eq!(place.call(&["verify"]).status, 1);
    let repaired = place.call(&["repair", "--json"]);
    assert_eq!(json_of(&repaired)["quarantined"].as_array().unwrap().len(), 1, "{repaired:?}");
    place.ok(&["verify"]);
}
