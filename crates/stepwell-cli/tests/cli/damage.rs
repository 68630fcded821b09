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
        assert!(told["skipped"][0]["why"].as_str().unwrap().contains("still has what was deleted"), "{told}");
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

/// A page costs its 1,024 points, told with their number by each reader and by the exit status; the rest is served.
#[test]
fn a_damaged_page_costs_readers_its_own_points() {
    let place = with_packs();
    damage(&only_file(&place, "w/packs", "pack"));
    let damaged = place.call(&["verify", "--json"]);
    let told = |ended: &Ended| {
        assert_eq!(ended.status, 1, "{ended:?}");
        assert!(ended.err.contains("1024 points of \"loss\" of run") && ended.err.contains(".pack"), "{ended:?}");
    };
    assert!(json_of(&damaged)["damage"][0]["cost"].as_str().unwrap().contains("1024"), "{damaged:?}");
    let run = "a.csv";
    let history = place.call(&["history", run, "loss"]);
    told(&history);
    assert_eq!(history.out.lines().count(), 1 + 3000 - 1024);
    let history = place.call(&["history", run, "loss", "--json"]);
    told(&history);
    assert_eq!(json_of(&history).as_array().unwrap().len(), 3000 - 1024);
    let few = place.call(&["history", run, "loss", "-n", "2500"]);
    assert!(few.out.lines().count() > 500, "{few:?}");
    // Every point is drawn, or smoothed, but those; with a logarithmic axis of steps too.
    for options in [&["--smooth", "0.5"][..], &["--log-x"], &["--log-y"], &["--from", "0", "--to", "2999"]] {
        let plot = [&["plot", run, "--key", "loss", "--json", "-o", "x.svg"], options].concat();
        let plot = place.call(&plot);
        let drawn = json_of(&plot);
        assert!(drawn["curves"][0]["points"].as_u64().unwrap() > 100, "{drawn}");
        let missing = drawn["curves"][0]["missing"].as_u64().unwrap();
        assert!(missing == 0 && plot.status == 0 || missing == 1024 && plot.status == 1, "{plot:?}");
        assert_eq!(drawn["left_out"].as_array().unwrap().len(), usize::from(missing > 0), "{drawn}");
        assert!(options[0] != "--smooth" || missing > 0, "{drawn}");
    }
    let tail = place.call(&["tail", run, "--from-start"]);
    told(&tail);
    assert_eq!(tail.out.lines().count(), 3000 - 1024);
    for format in ["csv", "parquet", "mlruns", "tfevents"] {
        let to = format!("out-{format}");
        let export = place.call(&["export", run, "--to", &to, "--format", format, "--json"]);
        told(&export);
        assert_eq!(json_of(&export)["points"], 3000 - 1024, "{export:?}");
    }
    // Statistics stand elsewhere, under a checksum of their own: nothing is missing from these.
    assert_eq!(place.json(&["show", run])["series"]["loss"]["count"], 3000);
    assert_eq!(place.json(&["runs", "--filter", "metrics.loss.count = 3000"]).as_array().unwrap().len(), 3);
    // The other runs of the pack lack nothing.
    assert_eq!(place.ok(&["history", "b.csv", "loss"]).lines().count(), 3001);
    place.call(&["repair"]);
    assert_eq!(place.ok(&["history", run, "loss"]).lines().count(), 1 + 3000 - 1024);
}

/// Short series share pages. Where one does not verify, and the index is gone, each run is listed with what verifies.
#[test]
fn a_damaged_page_that_runs_share_hides_no_run() {
    let place = Place::new();
    for number in 0..5 {
        place.file(&format!("in/{number}.csv"), format!("step,loss\n0,0.{number}17\n1,0.3{number}\n2,{number}.5\n"));
    }
    place.ok(&["import", "in"]);
    let pack = only_file(&place, "w/packs", "pack");
    let whole = std::fs::read(&pack).unwrap();
    let mut seen = 0;
    for at in 32..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&pack, bytes).unwrap();
        let verified = place.call(&["verify", "--json"]);
        if !json_of(&verified)["damage"][0]["cost"].as_str().unwrap().contains("points") {
            continue;
        }
        let _ = std::fs::remove_file(pack.with_extension("index"));
        let listed = place.call(&["runs", "--json"]);
        let shown = place.call(&["show", "3.csv", "--json"]);
        let history = place.call(&["history", "3.csv", "loss"]);
        if json_of(&listed).as_array().unwrap().is_empty() {
            continue;
        }
        seen += 1;
        assert_eq!(json_of(&listed).as_array().unwrap().len(), 5, "{listed:?}");
        assert!(listed.err.contains("3 points of \"loss\""), "{listed:?}");
        assert!(json_of(&shown)["left_out"][0].as_str().unwrap().contains("3 points of \"loss\""), "{shown:?}");
        assert_eq!((listed.status, shown.status, history.status), (1, 1, 1), "{history:?}");
        assert!(history.err.contains("3 points of \"loss\""), "{history:?}");
    }
    assert!(seen > 0, "no byte is of a page of points");
}

/// A run that is not found, while a pack cannot be read, may be in there: the error says so.
#[test]
fn a_run_that_may_be_in_an_unreadable_pack_is_not_told_as_absent() {
    let place = with_packs();
    let pack = only_file(&place, "w/packs", "pack");
    place.ok(&["import", "other"]);
    std::fs::remove_file(&pack).unwrap();
    assert!(Command::new("mkfifo").arg(&pack).status().unwrap().success());
    let name = pack.file_name().unwrap().to_str().unwrap();
    for arguments in [
        &["show", "a.csv"][..],
        &["history", "a.csv", "loss"],
        &["delete", "a.csv"],
        &["plot", "a.csv", "--key", "loss"],
    ] {
        place.fails(arguments, 3, &["it may be in the 1 file or place named above", name]);
    }
    // What is found is served, and what is missing told.
    let shown = place.call(&["show", "d.csv"]);
    assert!(shown.status == 1 && shown.err.contains(name), "{shown:?}");
}

/// What compaction leaves unnamed is told, with the number.
#[test]
fn compact_tells_packs_that_nothing_names() {
    let place = with_packs();
    let pack = only_file(&place, "w/packs", "pack");
    place.ok(&["import", "other"]);
    // Entries that named it are gone, with their anchors.
    for folder in ["manifest", "anchors"] {
        std::fs::remove_dir_all(place.path("w").join(folder)).unwrap();
    }
    std::fs::create_dir(place.path("w/manifest")).unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(3600);
    for file in std::fs::read_dir(place.path("w/packs")).unwrap() {
        std::fs::File::options().write(true).open(file.unwrap().path()).unwrap().set_modified(old).unwrap();
    }
    let compacted = place.call(&["compact", "--json"]);
    let kept = json_of(&compacted)["unlisted"].clone();
    assert_eq!((compacted.status, kept.as_array().unwrap().len()), (1, 2), "{compacted:?}");
    let named = |file: &Value| file["file"].as_str().unwrap() == pack.to_str().unwrap();
    assert!(kept.as_array().unwrap().iter().any(named), "{kept}");
    let compacted = place.call(&["compact"]);
    assert!(compacted.status == 1 && compacted.out.contains("kept 2 files that nothing names"), "{compacted:?}");
    place.ok(&["repair"]);
    place.ok(&["compact"]);
}

/// A file stands where a folder must be.
#[test]
fn repair_moves_a_file_out_of_the_place_of_a_folder() {
    let place = with_packs();
    for folder in ["logs", "edits", "tmp"] {
        let _ = std::fs::remove_dir_all(place.path("w").join(folder));
        place.file(&format!("w/{folder}"), "mine");
    }
    assert_eq!(place.call(&["verify"]).status, 1);
    let repaired = place.call(&["repair", "--json"]);
    assert_eq!(json_of(&repaired)["quarantined"].as_array().unwrap().len(), 3, "{repaired:?}");
    place.ok(&["verify"]);
    place.ok(&["log", "--new", "m=1", "--finish"]);
    place.ok(&["compact"]);
    let _ = std::fs::remove_dir_all(place.path("w/quarantine"));
    place.file("w/quarantine", "mine");
    let repaired = place.json(&["repair"]);
    assert_eq!(repaired["quarantined"].as_array().unwrap().len(), 1, "{repaired}");
    place.ok(&["verify"]);
}

/// Something that is not a folder stands where one must be: what is not concerned is done, and the answer names the
/// rest.
#[test]
fn what_stands_in_the_place_of_a_folder_ends_no_upkeep_as_a_whole() {
    for (folder, is_link) in
        [("tmp", true), ("packs", false), ("ledgers", true), ("quarantine", false), ("catalog", true)]
    {
        let place = with_packs();
        place.ok(&["log", "--new", "m=1", "--finish"]);
        place.ok(&["delete", "a.csv"]);
        std::fs::rename(place.path("w").join(folder), place.path("home")).unwrap();
        let path = place.path("w").join(folder);
        if is_link {
            std::os::unix::fs::symlink(place.path("home"), &path).unwrap();
        } else {
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        }
        for call in [&["repair", "--json"][..], &["compact", "--json"], &["gc", "--json"]] {
            let ended = place.call(call);
            // Compaction needs the folder of originals for damaged logs alone.
            let is_named = ended.out.contains(path.to_str().unwrap()) || ended.err.contains(path.to_str().unwrap());
            let needless = folder == "quarantine" && call[0] != "repair";
            assert_eq!((ended.status, is_named), if needless { (0, false) } else { (1, true) }, "{folder}: {ended:?}");
        }
    }
}

/// The deletion of an experiment is lost: each command that reads its run says so, and its answer is no.
#[test]
fn every_reading_command_tells_what_may_have_deleted_a_run() {
    let place = Place::new();
    let run = place.ok(&["log", "--new", "--experiment", "vision", "loss=1", "--finish"]);
    let run = run.trim();
    place.ok(&["experiments", "delete", "vision"]);
    let folders = std::fs::read_dir(place.path("w/catalog")).unwrap().map(|entry| entry.unwrap().path());
    let entries = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let last = entries.max().unwrap();
    // Its anchor would serve.
    let anchor = place.path("w/anchors").join(format!("catalog.{}", last.file_name().unwrap().to_str().unwrap()));
    for path in [&last, &anchor] {
        let mut bytes = std::fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    for call in [
        &["runs"][..],
        &["show", run],
        &["history", run, "loss"],
        &["plot", run, "--key", "loss"],
        &["tail", run],
        &["stats"],
        &["experiments"],
        &["export", run, "--to", "out", "--format", "csv"],
    ] {
        let ended = place.call(call);
        let told = ended.err.matches(last.to_str().unwrap()).count();
        assert_eq!((ended.status, told), (1, 1), "{call:?}: {ended:?}");
    }
}

/// A FIFO stands in the place of a log of edits, which may have spoken of any run: runs are written all the same, new
/// ones begin with their params, and a call that is refused leaves nothing half done.
#[test]
fn an_unreadable_log_of_edits_bars_no_write_to_other_runs() {
    let place = Place::new();
    let run = place.ok(&["log", "--new", "--name", "old", "loss=1"]);
    let run = run.trim();
    place.ok(&["delete", "old"]);
    place.ok(&["restore", "old"]);
    let edits: Vec<PathBuf> =
        std::fs::read_dir(place.path("w/edits")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in &edits {
        std::fs::remove_file(path).unwrap();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }
    place.ok(&["log", run, "loss=2", "--tag", "a=b"]);
    place.fails(&["log", run, "loss=3", "--param", "lr=0.1"], 3, &["another value of a param", ".log"]);
    place.ok(&["log", "old", "--finish"]);
    place.ok(&["delete", "old"]);
    place.ok(&["restore", "old"]);
    let new = place.ok(&["log", "--new", "--name", "new", "--param", "lr=0.1", "loss=1", "--finish"]);

    for path in &edits {
        std::fs::remove_file(path).unwrap();
    }
    let history = |run: &str| json_of(&place.call(&["history", run, "loss", "--json"])).as_array().map(Vec::len);
    let shown = |run: &str| json_of(&place.call(&["show", run, "--json"]));
    assert_eq!((history("old"), shown("old")["status"].as_str()), (Some(2), Some("FINISHED")));
    assert_eq!((&shown("old")["params"], &shown("old")["tags"]["a"]), (&json!({}), &json!("b")));
    assert_eq!(shown(new.trim())["params"], json!({"lr": "0.1"}));
    assert_eq!(json_of(&place.call(&["runs", "--json"])).as_array().unwrap().len(), 2);
}
