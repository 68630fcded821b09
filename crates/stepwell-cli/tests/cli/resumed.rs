//! `import` of a W&B run that was resumed: its parts in any order, alone and together, and copies of them.

use serde_json::{Value, json};

use crate::place::{Place, bytes_field, varint};

fn nested(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|(field, bytes)| bytes_field(&mut out, *field, bytes));
    out
}

fn number(field: u8, number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, u64::from(field) << 3);
    varint(&mut out, number);
    out
}

fn item(key: &str, json: &str) -> Vec<u8> {
    nested(&[(1, key.as_bytes()), (16, json.as_bytes())])
}

/// A log of the run `r1` that began at this second with these points of `loss`, a param and a status.
fn log(start: u64, points: &[(u64, &str)], epochs: &str, exit_code: u64) -> Vec<u8> {
    let config = nested(&[(1, &item("epochs", epochs))]);
    let name = format!("start {start}");
    let run = nested(&[(1, b"r1"), (3, b"p"), (4, &config), (8, name.as_bytes()), (17, &number(1, start))]);
    let mut records = vec![nested(&[(17, &run)])];
    for (step, loss) in points {
        let time = format!("{}", start + step);
        let rows = [item("loss", loss), item("_timestamp", &time)];
        records.push(nested(&[(2, &nested(&[(1, &rows[0]), (1, &rows[1]), (2, &number(1, *step))]))]));
    }
    records.push(nested(&[(18, &[number(1, exit_code), number(2, 9)].concat())]));
    let mut file = b":W&B\xe1\xbe\0".to_vec();
    for record in records {
        let chunk = [&[1], &record[..]].concat();
        file.extend(crc32(&chunk).to_le_bytes());
        file.extend((record.len() as u16).to_le_bytes());
        file.extend(chunk);
    }
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Three starts of a run, the second of which was killed, and a copy of all.
fn with_parts() -> Place {
    let place = Place::new();
    let first = log(1_700_000_000, &[(0, "1"), (1, "0.5")], "2", 0);
    let second = log(1_700_100_000, &[(2, "0.25"), (3, "NaN")], "4", 1);
    let third = log(1_700_200_000, &[(3, "0.125"), (4, "0.0625")], "4", 0);
    for (folder, log) in [("a", &first), ("b", &second), ("c", &third)] {
        place.file(&format!("d/run-{folder}-r1/run-r1.wandb"), log);
        place.file(&format!("copies/of/d/run-{folder}-r1/run-r1.wandb"), log);
    }
    place
}

/// What the run is, without what the order of imports may decide: the param that came first, and the number of its
/// experiment.
fn content(place: &Place, workspace: &str) -> (Value, Vec<String>) {
    let shown = place.json(&["-w", workspace, "show", "r1"]);
    let history = place.ok(&["-w", workspace, "history", "r1", "loss"]);
    let words = ["name", "status", "start_time", "end_time", "tags"].map(|word| shown[word].clone());
    let mut points: Vec<String> = history.lines().skip(1).map(str::to_owned).collect();
    points.sort();
    (json!(words), points)
}

#[test]
fn parts_of_a_resumed_run_come_in_any_order_alone_and_together() {
    let place = with_parts();
    let together = place.json(&["import", "d"]);
    let counts = |done: &Value| (done["runs"].clone(), done["series"].clone(), done["points"].clone());
    assert_eq!(counts(&together), (json!(1), json!(1), json!(6)), "a metric of three parts is one: {together}");
    assert_eq!(together["added"], json!({"runs": 1, "series": 1, "points": 6}));
    assert_eq!(together["left_out"], json!({"params": 2}), "{together}");
    let all = content(&place, "w");
    assert_eq!(all.0, json!(["start 1700200000", "FINISHED", 1_700_000_000_000_i64, 1_700_200_009_000_i64, {}]));
    assert_eq!(all.1.len(), 6);
    let parts = ["d/run-a-r1", "d/run-b-r1", "d/run-c-r1"];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let workspace = format!("w{order:?}").replace(", ", "");
        for (at, part) in order.iter().enumerate() {
            let done = place.json(&["-w", &workspace, "import", parts[*part]]);
            assert_eq!(done["added"], json!({"runs": u8::from(at == 0), "series": 1, "points": 2}), "{order:?}");
        }
        assert_eq!(content(&place, &workspace), all, "{order:?}");
        // The rest of them, all of them, and copies of all add nothing.
        for path in ["d", "copies", parts[1]] {
            let again = place.json(&["-w", &workspace, "import", path]);
            assert_eq!(again["added"], json!({"runs": 0, "series": 0, "points": 0}), "{order:?} {path}");
        }
        assert_eq!(content(&place, &workspace), all, "{order:?}");
    }
}

#[test]
fn a_number_that_no_float_holds_is_told() {
    let place = Place::new();
    place.file("d/run-a-r1/run-r1.wandb", log(1_700_000_000, &[(0, "1152921504606846977"), (1, "2")], "2", 0));
    let done = place.json(&["import", "d"]);
    assert_eq!(done["left_out"], json!({"cells": 1}), "{done}");
    assert!(done["skipped"][0]["reason"].as_str().unwrap().contains("1152921504606846977"), "{done}");
}

#[test]
fn a_copied_folder_doubles_nothing() {
    let place = with_parts();
    let both = place.json(&["import", "d", "copies"]);
    assert_eq!(
        (&both["points"], &both["added"]["points"], &both["left_out"]["files"]),
        (&json!(6), &json!(6), &json!(3))
    );
    // A copy that was made while the run went on is behind, and no reason to refuse either.
    let short = log(1_700_200_000, &[(3, "0.125")], "4", 0);
    place.file("old/run-c-r1/run-r1.wandb", short);
    let old = place.json(&["import", "old"]);
    assert_eq!(old["added"], json!({"runs": 0, "series": 0, "points": 0}), "{old}");
    assert_eq!(content(&place, "w").1.len(), 6);
}

#[test]
fn a_log_that_was_overwritten_is_a_changed_source() {
    let old = log(1_700_000_000, &[(0, "1"), (1, "0.5")], "2", 0);
    let new = log(1_700_300_000, &[(0, "9"), (1, "8"), (2, "7")], "2", 0);
    let values = |place: &Place, run: &str| {
        let history = place.ok(&["history", run, "loss"]);
        history.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let with_change = || {
        let place = Place::new();
        place.file("d/run-a-r1/run-r1.wandb", &old);
        place.ok(&["import", "d"]);
        place.file("d/run-a-r1/run-r1.wandb", &new);
        place
    };
    let place = with_change();
    for _ in 0..2 {
        let refused = place.call(&["import", "d"]);
        assert!(refused.out.contains("another log was at this place"), "{refused:?}");
        assert!(refused.status == 1 && refused.out.contains("--replace"), "{refused:?}");
        assert_eq!(values(&place, "r1"), ["1", "0.5"]);
    }
    let replaced = place.json(&["import", "d", "--replace"]);
    assert_eq!(replaced["changed"]["replaced"], 1, "{replaced}");
    assert_eq!(values(&place, "r1"), ["9", "8", "7"]);
    assert_eq!(place.json(&["import", "d"])["added"]["points"], 0);

    let place = with_change();
    let beside = place.json(&["import", "d", "--as-new"]);
    assert_eq!((&beside["added"]["runs"], &beside["changed"]["new_runs"]), (&json!(1), &json!(1)), "{beside}");
    assert_eq!(values(&place, "r1"), ["1", "0.5"]);
    assert_eq!(place.json(&["import", "d"])["added"], json!({"runs": 0, "series": 0, "points": 0}));

    // A run that has other logs too is not replaced by one of them.
    let place = with_change();
    let second = log(1_700_100_000, &[(2, "0.25")], "2", 0);
    place.file("d/run-b-r1/run-r1.wandb", &second);
    place.ok(&["import", "d/run-b-r1"]);
    let refused = place.json_with(1, &["import", "d", "--replace"]);
    assert!(refused["skipped"].to_string().contains("1 other log of it would be lost"), "{refused}");
    assert_eq!(values(&place, "r1"), ["1", "0.5", "0.25"]);
}
