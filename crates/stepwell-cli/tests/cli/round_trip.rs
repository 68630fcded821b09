//! What `export` writes, `import` reads back: each form, run by run and point by point, and what a form has no place for is told.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::place::{Place, text};

/// A workspace with all that a form may lose: words, absent times and times 0, steps that go back, equal points, both widths
/// of numbers, odd keys, and runs without points.
fn everything() -> Place {
    let place = Place::new();
    place.file(
        "t.csv",
        "run_id,key,step,timestamp_ms,value\n\
         mixed,loss,3,,0.1\nmixed,loss,1,0,-0\nmixed,loss,1,0,-0\nmixed,loss,-7,1700000000123,1e300\n\
         mixed,acc,0,,inf\nmixed,acc,1,,NaN\nnever,loss,0,,0.5\nnever,loss,9223372036854775807,,-inf\n\
         times,loss,0,5,1\ntimes,loss,1,4,2\n",
    );
    place.ok(&["import", "t.csv", "--experiment", "vision \"1\""]);
    let words = ["--name", "only: words", "--param", "lr=0.1", "--tag", "note=a\nb", "--tag", "empty="];
    let id = place.ok(&[&["log", "--new", "--experiment", "other"], &words[..]].concat());
    place.ok(&["log", id.trim(), "--finish"]);
    place.ok(&["log", "mixed", "a/b=1.5", "--step", "2", "--timestamp", "7", "--param", "x=y z"]);
    place
}

/// All runs with their words and the points of each metric as lines, by id.
fn content(place: &Place, workspace: &str) -> BTreeMap<String, (Value, BTreeMap<String, String>)> {
    let runs = place.json(&["-w", workspace, "runs"]);
    let one = |run: &Value| {
        let id = run["run_id"].as_str().unwrap().to_owned();
        let shown = place.json(&["-w", workspace, "show", &id]);
        let mut words = json!({});
        for field in ["run_id", "experiment", "name", "user", "status", "start_time", "end_time", "params", "tags"] {
            words[field] = shown[field].clone();
        }
        let keys = run["metrics"].as_object().unwrap().keys();
        let points = keys.map(|key| (key.clone(), place.ok(&["-w", workspace, "history", &id, key]))).collect();
        (id, (words, points))
    };
    runs.as_array().unwrap().iter().map(one).collect()
}

#[test]
fn every_form_gives_back_what_it_was_given() {
    let place = everything();
    let here = content(&place, text(&place.path("w")));
    assert_eq!(here.len(), 4);
    for format in ["parquet", "csv", "tfevents", "mlruns"] {
        let done = place.json(&["export", "--all", "--to", format, "--format", format]);
        assert_eq!((&done["runs"], &done["series"], &done["points"]), (&json!(4), &json!(5), &json!(11)), "{format}");
        assert_eq!(done["left_out"], json!([]), "{format}");
        let back = place.path(&format!("back-{format}"));
        let read = place.json(&["-w", text(&back), "import", format]);
        assert_eq!((&read["skipped"], &read["runs"], &read["points"]), (&json!([]), &json!(4), &json!(11)), "{format}");
        let there = content(&place, text(&back));
        for (id, run) in &here {
            assert_eq!(there.get(id), Some(run), "{format}");
        }
        assert_eq!(there.len(), here.len(), "{format}");
        let again = place.json(&["-w", text(&back), "import", format]);
        assert_eq!((&again["added"]["runs"], &again["added"]["points"]), (&json!(0), &json!(0)), "{format}");
    }
    // A table by its own name has the words beside it.
    let back = place.path("back-file");
    place.ok(&["-w", text(&back), "import", "csv/points.csv"]);
    assert_eq!(content(&place, text(&back)), here);
}

#[test]
fn what_has_no_place_is_told_and_not_counted() {
    let place = Place::new();
    place.ok(&["log", "--new", "--name", "n", "a=1", "a/b=2", "/c=3", "x@1=4", "--tag", "t,1=x"]);
    let told = place.call(&["--json", "export", "n", "--to", "out", "--format", "mlruns"]);
    let shape: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((told.status, &shape["series"], &shape["points"]), (1, &json!(1), &json!(1)), "{told:?}");
    assert_eq!(shape["left_out"].as_array().unwrap().len(), 4, "{told:?}");
    let words = place.call(&["export", "n", "--to", "out", "--format", "mlruns", "--overwrite"]);
    assert!(words.out.contains("exported 1 run, 1 series, 1 point "), "{words:?}");
    // Tables take every key.
    let done = place.json(&["export", "n", "--to", "csv", "--format", "csv"]);
    assert_eq!((&done["points"], &done["left_out"]), (&json!(4), &json!([])));
    let back = place.path("back");
    place.ok(&["-w", text(&back), "import", "csv"]);
    assert_eq!(content(&place, text(&back)), content(&place, text(&place.path("w"))));
}
