//! What `export` writes, `import` reads back: each form, run by run and point by point, and what a form has no place
//! for is told.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use stepwell::import::RunImport;
use stepwell::{Columns, Point, RunId, RunStatus, Timestamps, Workspace};

use crate::place::{Place, text};

/// A workspace with all that a form may lose: words, absent times and times 0, steps that go back, equal points, both
/// widths of numbers, odd keys, and runs without points.
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
        let told = place.call(&["--json", "export", "--all", "--to", format, "--format", format]);
        let done: Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!(told.status, 0, "{told:?}");
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

/// Texts that text formats like to change: blanks at the ends, line breaks, quotes, words that YAML and JSON know,
/// other scripts.
fn word() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "",
        " ",
        " lead",
        "trail ",
        "null",
        "~",
        "true",
        "1.0",
        "- a",
        "a: b",
        "# no",
        "'",
        "\"",
        "\\",
        "{}",
        "[1]",
        "a\nb\n",
        "\r\n",
        "\t",
        "日本語 😀",
        "e\u{301}",
        "\u{202e}x",
        "NaN",
        "a,b;c|d",
    ]);
    prop_oneof![odd.prop_map(str::to_owned), "\\PC{0,12}"]
}

/// Keys that every form can hold, none of which is a folder of another.
fn key() -> impl Strategy<Value = String> {
    let keys = ["loss", "a/b", "a/c d", "train.acc", "x-1", "λ", "null", "0", "A", "step", "value", "wall time", "k_0"];
    prop::sample::select(keys.map(str::to_owned).to_vec())
}

fn words() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(key(), word(), 0..4)
}

fn point() -> impl Strategy<Value = Point> {
    let step = prop_oneof![-3..9_i64, any::<i64>()];
    let time = prop::option::of(prop_oneof![Just(0), 0..4_000_000_000_000_i64]);
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324, f64::MAX, 0.1];
    let value = prop_oneof![prop::sample::select(odd.to_vec()), any::<f32>().prop_map(f64::from), any::<f64>()];
    (step, time, value).prop_map(|(step, timestamp_ms, value)| {
        // Forms of text have one NaN.
        Point { step, timestamp_ms, value: if value.is_nan() { f64::NAN } else { value } }
    })
}

/// A run without an id and an experiment.
fn run() -> impl Strategy<Value = RunImport> {
    let points = prop::collection::vec(point(), 1..6);
    let times = (prop::option::of(0..4_000_000_000_000_i64), prop::option::of(0..4_000_000_000_000_i64));
    let status = prop::sample::select(RunStatus::ALL.to_vec());
    let series = prop::collection::btree_map(key(), points, 0..4);
    (word(), word(), status, times, words(), words(), series).prop_map(
        |(name, user, status, times, params, tags, series)| {
            let columns = |points: Vec<Point>| {
                let mut columns = Columns { timestamps: Timestamps::default(), ..Columns::default() };
                points.into_iter().for_each(|point| columns.push(point));
                columns
            };
            RunImport {
                name,
                user,
                status,
                start_time_ms: times.0,
                end_time_ms: times.1,
                params: params.into_iter().collect(),
                tags: tags.into_iter().collect(),
                series: series.into_iter().map(|(key, points)| (key, columns(points))).collect(),
                ..RunImport::new(RunId::new("x").unwrap(), stepwell::ExperimentId::DEFAULT)
            }
        },
    )
}

/// All that a workspace has of its runs, each point by its bits, in the order of arrival.
fn all_of(workspace: &Workspace) -> BTreeMap<String, Vec<String>> {
    let ids = workspace.run_ids().unwrap();
    let one = |id: &RunId| {
        let run = workspace.run(id).unwrap();
        let state = run.state();
        let words: BTreeMap<&str, &str> = state.params().collect();
        let tags: BTreeMap<&String, &Option<String>> = state.tags.iter().map(|(key, tag)| (key, &tag.value)).collect();
        let mut lines = vec![
            format!("{:?} {:?} {:?}", state.name(), state.user(), state.status()),
            format!("{:?} {:?} {:?}", state.start_time_ms(), state.end_time_ms(), state.experiment_name),
            format!("{words:?} {tags:?}"),
        ];
        for key in run.keys() {
            let points = run.arrivals(key).unwrap();
            let shown = points.iter().map(|point| (point.step, point.timestamp_ms, point.value.to_bits()));
            lines.push(format!("{key:?} {:?}", shown.collect::<Vec<_>>()));
        }
        (id.to_string(), lines)
    };
    ids.iter().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_runs_there_are_come_back(
        runs in prop::collection::btree_map("[a-z0-9][a-z0-9_-]{0,8}", (run(), word()), 1..4),
    ) {
        let place = Place::new();
        let workspace = Workspace::open_or_create(place.path("w")).unwrap();
        let mut importer = workspace.importer();
        for (id, (run, experiment)) in runs {
            let name = if experiment.trim().is_empty() { "Default".to_owned() } else { experiment };
            let Ok(experiment) = workspace.experiments().get_or_create(&name) else { continue };
            importer.add(RunImport { id: RunId::new(id).unwrap(), experiment, ..run }).unwrap();
        }
        importer.finish().unwrap();
        let here = all_of(&workspace);
        for format in ["parquet", "csv", "tfevents", "mlruns"] {
            place.ok(&["export", "--all", "--to", format, "--format", format]);
            let back = place.path(&format!("back-{format}"));
            let read = place.json(&["-w", text(&back), "import", format]);
            prop_assert_eq!(&read["skipped"], &json!([]), "{}", format);
            let there = all_of(&Workspace::open(&back).unwrap());
            let ids = |all: &BTreeMap<String, Vec<String>>| all.keys().cloned().collect::<BTreeSet<_>>();
            prop_assert_eq!(ids(&there), ids(&here), "{}", format);
            for (id, lines) in &here {
                for (own, back) in lines.iter().zip(&there[id]) {
                    prop_assert_eq!(back, own, "{} {}", format, id);
                }
            }
        }
    }
}
