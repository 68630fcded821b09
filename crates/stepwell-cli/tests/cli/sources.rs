//! `import` of sources that grow, change, stand at equal places, come by pipe, or are read by several imports at once.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::place::{Place, event_file, text};

/// The points of a metric in each run that has it, sorted.
fn histories(place: &Place, key: &str) -> Vec<Vec<String>> {
    let runs = place.json(&["runs"]);
    let ids = runs.as_array().unwrap().iter().filter(|run| run["metrics"].get(key).is_some());
    let mut all: Vec<Vec<String>> = ids
        .map(|run| {
            let history = place.ok(&["history", run["run_id"].as_str().unwrap(), key]);
            history.lines().skip(1).map(str::to_owned).collect()
        })
        .collect();
    all.sort();
    all
}

fn added(done: &Value) -> (u64, u64) {
    (done["added"]["runs"].as_u64().unwrap(), done["added"]["points"].as_u64().unwrap())
}

#[test]
fn a_file_that_is_being_written_is_followed() {
    let place = Place::new();
    place.file("d/m.csv", "step,loss\n0,1.25\n1,0.7");
    let first = place.json(&["import", "d"]);
    assert_eq!((added(&first), &first["left_out"]), ((1, 1), &json!({"places": 1})));
    place.file("d/m.csv", "step,loss\n0,1.25\n1,0.75\n2,0.5\n");
    let second = place.json(&["import", "d"]);
    assert_eq!((added(&second), &second["skipped"]), ((0, 2), &json!([])));
    assert_eq!(histories(&place, "loss"), [["0,,1.25", "1,,0.75", "2,,0.5"]]);
}

#[test]
fn a_source_that_was_overwritten_is_another_run_or_replaces_it() {
    let place = Place::new();
    let write = |values: &str| {
        place.file("d/results.csv", format!("step,loss\n{values}"));
        place.file("d/b.csv", "step,m\n0,1\n");
    };
    write("0,1\n1,2\n");
    place.ok(&["import", "d"]);
    // It begins otherwise: it is known at once as another one.
    write("0,9\n1,8\n");
    assert_eq!(added(&place.json(&["import", "d"])), (1, 2));
    // It begins alike and goes on otherwise.
    write("0,1\n1,3\n");
    let told = place.json(&["import", "d"]);
    assert_eq!(added(&told), (1, 2), "{told}");
    let note = told["notes"][0]["note"].as_str().unwrap();
    assert!(note.contains("a new run") && note.contains("--replace"), "{note}");
    assert_eq!(told["changed"], json!({"new_runs": 1, "replaced": 0}));
    assert_eq!(histories(&place, "loss"), [["0,,1", "1,,2"], ["0,,1", "1,,3"], ["0,,9", "1,,8"]]);
    // Each of the three is known again, wherever the folder is named from.
    for values in ["0,1\n1,2\n", "0,9\n1,8\n", "0,1\n1,3\n"] {
        write(values);
        for path in ["d", "./d", text(&place.path("d"))] {
            let again = place.json(&["import", path]);
            assert_eq!((added(&again), &again["runs"], &again["notes"]), ((0, 0), &json!(2), &json!([])), "{values}");
        }
    }
    // Asked to, it takes the place of the run that it was last.
    write("0,1\n1,4\n2,5\n");
    let replaced = place.json(&["import", "d", "--replace"]);
    assert!(replaced["notes"][0]["note"].as_str().unwrap().contains("was replaced"), "{replaced}");
    assert_eq!(histories(&place, "loss"), [vec!["0,,1", "1,,2"], vec!["0,,1", "1,,4", "2,,5"], vec!["0,,9", "1,,8"]]);
    assert_eq!(added(&place.json(&["import", "d"])), (0, 0));
    assert_eq!(place.json(&["verify"])["ok"], true);
}

/// What a source holds for some values of a metric.
type Content = fn(&[f32]) -> Vec<u8>;

/// Each kind of source that does not name its run: where it is, and what it holds for some values of a metric.
fn sources() -> Vec<(&'static str, Content)> {
    fn rows(values: &[f32], row: impl Fn((usize, &f32)) -> String) -> Vec<u8> {
        values.iter().enumerate().map(row).collect::<String>().into_bytes()
    }
    vec![
        ("d/m.csv", |values| [b"step,loss\n".to_vec(), rows(values, |(at, v)| format!("{at},{v}\n"))].concat()),
        ("d/runs.csv", |values| {
            [b"run,step,loss\n".to_vec(), rows(values, |(at, v)| format!("a,{at},{v}\n"))].concat()
        }),
        ("d/m.jsonl", |values| rows(values, |(at, v)| format!("{{\"step\":{at},\"loss\":{v}}}\n"))),
        ("d/dvclive/plots/metrics/loss.tsv", |values| {
            [b"step\tloss\n".to_vec(), rows(values, |(at, v)| format!("{at}\t{v}\n"))].concat()
        }),
        ("d/checkpoint-1/trainer_state.json", |values| {
            let rows: Vec<Value> =
                values.iter().enumerate().map(|(at, v)| json!({"step": at, "loss": f64::from(*v)})).collect();
            json!({"log_history": rows}).to_string().into_bytes()
        }),
        ("d/tb/events.out.tfevents.1.a.0", |values| {
            let start = f64::from(values[0]) * 1000.0;
            let events: Vec<_> =
                values.iter().enumerate().map(|(at, v)| (at as i64, start + at as f64, "loss", *v)).collect();
            event_file(&events)
        }),
    ]
}

#[test]
fn a_source_of_which_the_beginning_changed_is_known_by_its_place() {
    for (path, content) in sources() {
        let place = Place::new();
        place.file("d/dvclive/metrics.json", "{}");
        let give = |values: &[f32]| _ = place.file(path, content(values));
        let values = |place: &Place| {
            let of_run = |run: Vec<String>| {
                let values: Vec<String> = run.iter().map(|line| line.rsplit(',').next().unwrap().to_owned()).collect();
                values.join(" ")
            };
            histories(place, "loss").into_iter().map(of_run).collect::<Vec<_>>()
        };
        give(&[1.0, 2.0]);
        place.ok(&["import", "d"]);
        let id = place.json(&["runs"])[0]["run_id"].clone();
        // By itself a change is another run, and that is told.
        give(&[9.0, 8.0, 7.0]);
        let told = place.json(&["import", "d"]);
        assert_eq!(told["changed"], json!({"new_runs": 1, "replaced": 0}), "{path} {told}");
        let note = told["notes"][0]["note"].as_str().unwrap();
        assert!(note.contains(id.as_str().unwrap()) && note.contains("stepwell delete"), "{path} {note}");
        assert_eq!(values(&place), ["1 2", "9 8 7"], "{path}");
        let again = place.json(&["import", "d", "--replace"]);
        assert_eq!((added(&again), &again["changed"]["replaced"]), ((0, 0), &json!(0)), "{path} {again}");
        // Asked to, it takes the place of what the source gave last, whatever it begins with now.
        give(&[5.0, 6.0]);
        let told = place.json(&["import", "d", "--replace"]);
        assert_eq!(told["changed"], json!({"new_runs": 0, "replaced": 1}), "{path} {told}");
        assert_eq!(values(&place), ["1 2", "5 6"], "{path}");
        // It is known again under that id, and followed.
        give(&[5.0, 6.0, 7.0]);
        assert_eq!(added(&place.json(&["import", "d"])), (0, 1), "{path}");
        give(&[3.0]);
        assert_eq!(place.json(&["import", "d", "--replace"])["changed"]["replaced"], 1, "{path}");
        assert_eq!(values(&place), ["1 2", "3"], "{path}");
        let words = place.ok(&["import", "d"]);
        assert!(!words.contains("changed"), "{path} {words}");
        // What it was before is known too, and is then what it gave last.
        give(&[1.0, 2.0]);
        assert_eq!(added(&place.json(&["import", "d"])), (0, 0), "{path}");
        give(&[4.0, 4.0]);
        place.ok(&["import", "d", "--replace"]);
        assert_eq!(values(&place), ["3", "4 4"], "{path}");
        assert_eq!(place.json(&["verify"])["ok"], true);
    }
}

#[test]
fn a_column_that_is_added_to_a_whole_table_belongs_to_its_run() {
    let place = Place::new();
    place.file("d/m.csv", "step,loss\n0,1\n1,2\n");
    place.ok(&["import", "d"]);
    place.file("d/m.csv", "step,acc,loss\n0,7,1\n1,8,2\n");
    let told = place.json(&["import", "d"]);
    assert_eq!((added(&told), &told["added"]["series"]), ((0, 2), &json!(1)), "{told}");
    assert_eq!((place.json(&["runs"]).as_array().unwrap().len(), &told["notes"]), (1, &json!([])));
    // Two of them at equal places are still two.
    place.file("e/m.csv", "step,acc,loss\n0,7,1\n1,9,2\n");
    assert_eq!(added(&place.json(&["import", "e"])), (1, 4));
}

#[test]
fn what_was_deleted_for_good_comes_back_when_it_is_asked_for() {
    let place = Place::new();
    place.file("d/results.csv", "step,loss\n0,9\n1,8\n");
    place.ok(&["import", "d"]);
    let id = place.json(&["runs"])[0]["run_id"].as_str().unwrap().to_owned();
    for option in ["--as-new", "--replace"] {
        for run in place.json(&["runs"]).as_array().unwrap() {
            place.ok(&["delete", run["run_id"].as_str().unwrap()]);
        }
        place.ok(&["gc"]);
        let refused = place.call(&["import", "d"]);
        assert_eq!(refused.status, 1, "{refused:?}");
        for words in ["deleted for good", "--replace", "--as-new"] {
            assert!(refused.out.contains(words), "{refused:?}");
        }
        assert_eq!(added(&place.json(&["import", "d", option])), (1, 2), "{option}");
        assert_eq!(added(&place.json(&["import", "d"])), (0, 0), "{option}");
        let runs = place.json(&["runs"]);
        assert_eq!((runs.as_array().unwrap().len(), runs[0]["run_id"] == id.as_str()), (1, option == "--replace"));
    }
    // Or under an id of one's own.
    place.ok(&["import", "d/results.csv", "--as", "mine"]);
    assert_eq!(place.ok(&["history", "mine", "loss"]).lines().count(), 3);
    assert_eq!(added(&place.json(&["import", "d/results.csv", "--as", "mine"])), (0, 0));
    place.file("d/more.csv", "step,loss\n0,1\n");
    place.fails(&["import", "d", "--as", "other"], 2, &["--as names one run, and the paths have 2"]);
    place.fails(&["import", "d", "--as", "no/id"], 2, &["run id"]);
}

#[test]
fn a_source_that_names_its_run_and_changed_is_refused_with_a_way_out() {
    let place = Place::new();
    let table = |value: u32| format!("run_id,step,loss\nr1,0,{value}\n");
    place.file("t.csv", table(1));
    place.ok(&["import", "t.csv"]);
    place.file("t.csv", table(2));
    let refused = place.call(&["import", "t.csv"]);
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.out.contains("--replace") && refused.out.contains("--as-new"), "{refused:?}");
    place.ok(&["import", "t.csv", "--as-new"]);
    assert_eq!(histories(&place, "loss"), [["0,,1"], ["0,,2"]]);
    place.file("t.csv", table(3));
    place.ok(&["import", "t.csv", "--replace"]);
    assert_eq!(place.ok(&["history", "r1", "loss"]).lines().last(), Some("0,,3"));
}

#[test]
fn projects_with_equal_relative_paths_are_runs_of_their_own() {
    let place = Place::new();
    for (project, header, value) in [("a", "loss", 1), ("b", "loss", 2), ("c", "acc", 1), ("d", "loss", 1)] {
        // The last one begins as the first does.
        let more = if project == "d" { "1,7\n" } else { "1,0\n2,0\n" };
        place.file(&format!("{project}/logs/metrics.csv"), format!("step,{header}\n0,{value}\n{more}"));
        let seconds = f64::from(value) * 1000.0;
        let events: Vec<(i64, f64, &str, f32)> =
            vec![(0, seconds, header, value as f32), (1, seconds + 1.0, header, 3.0)];
        place.file(
            &format!("{project}/lightning_logs/version_0/events.out.tfevents.{value}.{project}.0"),
            event_file(&events),
        );
    }
    for round in 0..2 {
        for project in ["a", "b", "c", "d"] {
            let done = place.json(&["import", project]);
            let expected = if round == 0 { 2 } else { 0 };
            assert_eq!((added(&done).0, &done["runs"]), (expected, &json!(2)), "{project}, round {round}: {done}");
        }
        let runs = place.json(&["runs"]);
        assert_eq!(runs.as_array().unwrap().len(), 8);
        assert!(runs.as_array().unwrap().iter().all(|run| run["metrics"].as_object().unwrap().len() == 1), "{runs}");
    }
    // Each is followed as itself.
    place.file("d/logs/metrics.csv", "step,loss\n0,1\n1,7\n2,8\n");
    assert_eq!(added(&place.json(&["import", "d"])), (0, 1));
}

#[test]
fn standard_input_is_a_source() {
    let place = Place::new();
    let pipe = |arguments: &[&str], input: &str| {
        let mut command = place.command(&[&["--json", "import"], arguments].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        let told: Value = serde_json::from_slice(&ended.stdout).unwrap_or_default();
        (ended.status.code().unwrap(), told)
    };
    let (status, told) = pipe(&["-"], "step,loss\n0,1\n1,2");
    assert_eq!((status, added(&told), &told["paths"][0]["path"]), (0, (1, 2), &json!("-")), "{told}");
    assert_eq!(added(&pipe(&["-"], "step,loss\n0,1\n1,2\n2,3\n").1), (0, 1));
    assert_eq!(pipe(&["-", "--as", "piped"], "{\"step\":1,\"x\":2}\n").0, 0);
    assert_eq!(place.json(&["show", "piped"])["name"], "stdin");
    assert_eq!(pipe(&["-", "--format", "jsonl"], "step,loss\n0,1\n").0, 1);
    let (status, told) = pipe(&["-"], "hello\n");
    assert_eq!((status, &told["skipped"][0]["path"]), (1, &json!("-")), "{told}");
}

#[test]
fn imports_at_once_store_one_copy() {
    let place = Place::new();
    for file in 0..8 {
        let rows: String =
            (0..2000).map(|step| format!("{step},{},{}\n", step * file, f64::from(step) / 7.0)).collect();
        place.file(&format!("d/m{file}.csv"), format!("step,a,b\n{rows}"));
    }
    let start =
        || place.command(&["--json", "import", "d"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let children: Vec<_> = (0..3).map(|_| start()).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    place.ok(&["compact"]);
    let alone = place.path("alone");
    place.ok(&["-w", text(&alone), "import", "d"]);
    place.ok(&["-w", text(&alone), "compact"]);
    let (both, one) = (place.json(&["stats"]), place.json(&["-w", text(&alone), "stats"]));
    let packs = |stats: &Value| stats["by_kind"].as_object().map(|kinds| kinds.get("packs").cloned());
    assert_eq!((&both["points"], packs(&both).is_some()), (&one["points"], packs(&one).is_some()));
    let bytes = |stats: &Value| stats["bytes_on_disk"].as_u64().unwrap() as f64;
    assert!(bytes(&both) < 1.2 * bytes(&one), "{both} {one}");
}
