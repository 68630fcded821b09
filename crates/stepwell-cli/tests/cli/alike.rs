//! `import` of sources that begin alike or stand at equal places below what was named: each keeps its own run.

use serde_json::{Value, json};

use crate::place::Place;

/// The values of `loss` in each run, sorted.
fn losses(place: &Place) -> Vec<Vec<String>> {
    let runs = place.json(&["runs"]);
    let ids = runs.as_array().unwrap().iter().map(|run| run["run_id"].as_str().unwrap().to_owned());
    let of = |id: String| {
        let history = place.ok(&["history", &id, "loss"]);
        history.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().to_owned()).collect()
    };
    let mut all: Vec<Vec<String>> = ids.map(of).collect();
    all.sort();
    all
}

fn notes(done: &Value) -> String {
    done["notes"].to_string()
}

#[test]
fn replace_takes_only_what_this_place_gave() {
    for options in [&["--replace"][..], &[]] {
        let place = Place::new();
        for (seed, last) in [("s1", 2), ("s2", 3), ("s3", 4)] {
            place.file(&format!("runs/{seed}/progress.csv"), format!("step,loss\n0,9\n1,{last}\n"));
        }
        let paths = ["s1", "s2", "s3"].map(|seed| format!("runs/{seed}/progress.csv"));
        let call = ["import"].into_iter().chain(options.iter().copied()).chain(paths.iter().map(String::as_str));
        let call: Vec<&str> = call.collect();
        for again in 0..3 {
            let done = place.json(&call);
            assert_eq!(done["added"]["runs"], if again == 0 { 3 } else { 0 }, "{options:?} {done}");
            assert_eq!(done["changed"], json!({"new_runs": 0, "replaced": 0}), "{options:?} {done}");
            assert!(!notes(&done).contains("imported before"), "nothing changed: {done}");
            assert_eq!(losses(&place), [["9", "2"], ["9", "3"], ["9", "4"]]);
        }
        // What changed takes the place of its own run.
        place.file("runs/s2/progress.csv", "step,loss\n0,9\n1,7\n");
        let done = place.json(&["import", "--replace", &paths[0], &paths[1], &paths[2]]);
        assert_eq!(done["changed"], json!({"new_runs": 0, "replaced": 1}), "{done}");
        assert_eq!(losses(&place), [["9", "2"], ["9", "4"], ["9", "7"]]);
    }
}

#[test]
fn folders_with_equal_paths_below_do_not_swap() {
    let place = Place::new();
    place.file("A/m.csv", "step,loss\n0,9\n1,2\n");
    place.file("B/m.csv", "step,loss\n0,9\n1,3\n");
    place.ok(&["import", "A"]);
    for again in 0..2 {
        let done = place.json(&["import", "--replace", "B"]);
        assert_eq!((&done["added"]["runs"], &done["changed"]["replaced"]), (&json!(1 - again), &json!(0)), "{done}");
        assert_eq!(losses(&place), [["9", "2"], ["9", "3"]]);
    }
    let both = place.json(&["import", "--replace", "A", "B"]);
    assert_eq!((&both["added"]["points"], &both["changed"]["replaced"]), (&json!(0), &json!(0)), "{both}");
}

#[test]
fn a_run_of_two_places_is_replaced_for_one_and_comes_anew_for_the_other() {
    let place = Place::new();
    for name in ["A", "B"] {
        place.file(&format!("{name}/m.csv"), "step,loss\n0,9\n1,2\n");
    }
    place.ok(&["import", "A", "B"]);
    assert_eq!(losses(&place), [["9", "2"]]);
    place.file("A/m.csv", "step,loss\n0,9\n1,5\n");
    let done = place.json(&["import", "--replace", "A", "B"]);
    assert_eq!(done["changed"], json!({"new_runs": 0, "replaced": 1}), "{done}");
    assert_eq!(losses(&place), [["9", "2"], ["9", "5"]]);
}

#[test]
fn decimal_commas_are_told_from_thousands() {
    let place = Place::new();
    place.file("t.tsv", "step\tloss\tm\n0\t0,693\t1,234\n1\t0,512\t2,345\n2\t1,250\t3,456\n");
    place.file("b.csv", "step|loss\n0|0,693\n1|1,512\n");
    place.file("q.csv", "step,loss\n0,\"0,125\"\n1,\"1,125\"\n");
    place.file("k.csv", "step,loss\n0,\"1,250\"\n1,\"1,234.5\"\n");
    let done = place.json(&["import", "t.tsv", "b.csv", "q.csv", "k.csv"]);
    assert_eq!(done["skipped"], json!([]));
    assert_eq!(
        losses(&place),
        [&["0.125", "1.125"][..], &["0.693", "0.512", "1.25"], &["0.693", "1.512"], &["1250", "1234.5"]]
    );
    let note = notes(&done);
    assert!(note.contains("column \\\"m\\\"") && note.contains("in cells: 3"), "{note}");
    // Nothing says what these are: that is told.
    place.file("u.csv", "step,loss\n0,\"1,250\"\n");
    let told = notes(&place.json(&["import", "u.csv"]));
    assert!(told.contains("two ways") && told.contains("thousands") && told.contains("in cells: 1"), "{told}");
}
