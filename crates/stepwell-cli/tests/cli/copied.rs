//! Copies of runs that were exported and imported: what was deleted for good stays away, and every point counts once.

use serde_json::{Value, json};

use crate::place::{Place, text};

/// Workspaces in one place.
struct Workspaces(Place);

impl Workspaces {
    /// `a` with the run `r`, its export `e`, and `b`, which imported that.
    fn of_two(words: &[&str]) -> Self {
        let both = Self(Place::new());
        both.at("a", &[&["log", "--new", "--name", "r"], words].concat());
        both.at("a", &["export", "r", "--to", "e"]);
        both.at("b", &["import", "e"]);
        both
    }

    fn at(&self, workspace: &str, arguments: &[&str]) -> String {
        self.0.ok(&[&["-w", text(&self.0.path(workspace))], arguments].concat())
    }

    /// A call that leaves something out: what it says.
    fn incomplete(&self, workspace: &str, arguments: &[&str]) -> Value {
        let ended = self.0.call(&[&["--json", "-w", text(&self.0.path(workspace))], arguments].concat());
        assert_eq!(ended.status, 1, "{ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    }

    fn json(&self, workspace: &str, arguments: &[&str]) -> Value {
        self.0.json(&[&["-w", text(&self.0.path(workspace))], arguments].concat())
    }

    fn sync(&self, a: &str, b: &str) -> Value {
        self.0.json(&["sync", text(&self.0.path(a)), text(&self.0.path(b)), "--both"])
    }

    /// The metrics of the one run of a workspace, with their values; nothing where there is no run.
    fn values(&self, workspace: &str) -> Vec<(String, Vec<String>)> {
        let runs = self.json(workspace, &["runs"]);
        let Some(run) = runs.as_array().unwrap().first() else { return Vec::new() };
        let id = run["run_id"].as_str().unwrap();
        let values = |key: &String| {
            let history = self.at(workspace, &["history", id, key]);
            history.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().to_owned()).collect()
        };
        run["metrics"].as_object().unwrap().keys().map(|key| (key.clone(), values(key))).collect()
    }
}

fn series(key: &str, values: &[&str]) -> (String, Vec<String>) {
    (key.to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
}

#[test]
fn a_run_that_was_deleted_for_good_does_not_come_back_by_a_copy() {
    for first in [["a", "b"], ["b", "a"]] {
        let both = Workspaces::of_two(&["loss=1", "acc=2", "--step", "0", "--finish"]);
        both.at("a", &["delete", "r"]);
        both.at("a", &["gc", "--older-than", "0s"]);
        // One who takes from the copy alone is told that the run stays away.
        let told = both.0.json(&["sync", text(&both.0.path("b")), text(&both.0.path("a"))]);
        assert_eq!((&told["runs"], &told["deleted"]), (&json!(0), &json!(1)), "{told}");
        let told = both.sync(first[0], first[1]);
        let to_b = told.as_array().unwrap().iter().find(|way| way["to"].as_str().unwrap().ends_with('b')).unwrap();
        assert_eq!(to_b["removed"], 1, "{told}");
        both.sync(first[0], first[1]);
        for workspace in ["a", "b"] {
            assert_eq!(both.values(workspace), [], "{workspace} {first:?}");
            let refused = both.incomplete(workspace, &["import", "e"]);
            assert_eq!(refused["added"]["runs"], 0, "{refused}");
            assert!(refused["skipped"][0]["reason"].as_str().unwrap().contains("deleted for good"), "{refused}");
        }
        // Who asks for it has it, everywhere.
        both.at("b", &["import", "e", "--replace"]);
        both.sync(first[0], first[1]);
        let all = [series("acc", &["2"]), series("loss", &["1"])];
        assert_eq!(["a", "b"].map(|workspace| both.values(workspace)), [all.clone(), all]);
        both.at("a", &["compact"]);
        both.at("a", &["verify"]);
    }
}

#[test]
fn a_metric_that_was_deleted_for_good_does_not_come_back_by_a_copy() {
    let both = Workspaces::of_two(&["loss=1", "acc=2", "--step", "0", "--finish"]);
    both.at("a", &["delete", "r", "--metric", "loss"]);
    let told = both.0.json(&["sync", text(&both.0.path("b")), text(&both.0.path("a"))]);
    assert_eq!((&told["points"], &told["metrics_deleted"]), (&json!(0), &json!(1)), "{told}");
    let told = both.0.json(&["-w", text(&both.0.path("a")), "import", "e"]);
    assert_eq!((&told["added"]["points"], &told["left_out"]["series"]), (&json!(0), &json!(1)), "{told}");
    assert!(told["skipped"][0]["reason"].as_str().unwrap().contains("1 point: deleted for good"), "{told}");
    for _ in 0..2 {
        both.sync("a", "b");
        let left = [series("acc", &["2"])];
        assert_eq!(["a", "b"].map(|workspace| both.values(workspace)), [left.clone(), left]);
    }
    // What is logged later lives.
    both.at("b", &["log", "r", "loss=7"]);
    both.sync("a", "b");
    assert_eq!(both.values("a")[1], series("loss", &["7"]));
}

#[test]
fn which_nan_it_is_makes_no_other_point() {
    for form in ["csv", "mlruns", "parquet"] {
        let both = Workspaces(Place::new());
        both.at("a", &["log", "--new", "--name", "r", "loss=1", "--step", "0", "--timestamp", "5"]);
        both.at("a", &["log", "r", "loss=-NaN", "--step", "1", "--timestamp", "6"]);
        both.at("a", &["export", "r", "--to", "e", "--format", form]);
        for workspace in ["a", "b", "b"] {
            both.at(workspace, &["import", "e"]);
        }
        both.at("b", &["log", "r", "loss=-NaN", "--step", "2", "--timestamp", "7"]);
        both.sync("a", "b");
        let told = both.sync("a", "b");
        assert_eq!((&told[0]["points"], &told[1]["points"]), (&json!(0), &json!(0)), "{form} {told}");
        for workspace in ["a", "b"] {
            assert_eq!(both.values(workspace), [series("loss", &["1", "NaN", "NaN"])], "{form} {workspace}");
        }
    }
}

#[test]
fn of_a_copy_that_differs_in_one_point_that_point_is_taken() {
    let both = Workspaces(Place::new());
    both.at("a", &["log", "--new", "--name", "r", "loss=0", "acc=9", "--step", "0"]);
    for step in 1..6 {
        both.at("a", &["log", "r", &format!("loss={step}"), "--step", &step.to_string()]);
    }
    both.at("a", &["export", "r", "--to", "e", "--format", "csv"]);
    let table = std::fs::read_to_string(both.0.path("e/points.csv")).unwrap();
    let changed: Vec<String> = table
        .lines()
        .map(
            |line| if line.contains("loss,2,") { format!("{}7", line.strip_suffix('2').unwrap()) } else { line.into() },
        )
        .collect();
    both.0.file("e/points.csv", changed.join("\n") + "\n");
    both.at("b", &["import", "e"]);
    for (a, b) in [("a", "b"), ("b", "a"), ("b", "c"), ("a", "c")] {
        let told = both.sync(a, b);
        assert_eq!((&told[0]["left_out"], &told[1]["left_out"]), (&json!([]), &json!([])), "{told}");
        both.at(a, &["compact"]);
    }
    for workspace in ["a", "b", "c"] {
        let mut values = both.values(workspace);
        values[1].1.sort();
        let expected = [series("acc", &["9"]), series("loss", &["0", "1", "2", "3", "4", "5", "7"])];
        assert_eq!(values, expected, "{workspace}");
    }
}

#[test]
fn replacing_an_import_leaves_what_others_logged() {
    for compacted in [false, true] {
        let both = Workspaces(Place::new());
        both.0.file("q.csv", "step,x,lr\n0,1,a\n1,1,a\n");
        both.at("a", &["import", "q.csv"]);
        let id = both.json("a", &["runs"])[0]["run_id"].as_str().unwrap().to_owned();
        both.at("a", &["log", &id, "own=5", "x=8", "--step", "3", "--tag", "mine=1", "--param", "who=me"]);
        for rate in ["b", "c"] {
            if compacted {
                both.at("a", &["compact"]);
            }
            both.0.file("q.csv", format!("step,x,lr\n0,5,{rate}\n1,5,{rate}\n"));
            let told = both.json("a", &["import", "--replace", "q.csv"]);
            assert_eq!(told["changed"]["replaced"], 1, "{told}");
            assert_eq!(told["left_out"], json!({}), "{told}");
            let expected = [series("own", &["5"]), series("x", &["5", "5", "8"])];
            assert_eq!(both.values("a"), expected);
            both.sync("a", "c");
            assert_eq!(both.values("c"), expected, "what was replaced goes from copies too");
            let shown = both.json("a", &["show", &id]);
            assert_eq!((&shown["params"], &shown["tags"]["mine"]), (&json!({"lr": rate, "who": "me"}), &json!("1")));
        }
        // A param that somebody set otherwise stays, and is told.
        both.0.file("q.csv", "step,x,who\n0,6,you\n1,6,you\n");
        let told = both.json("a", &["import", "--replace", "q.csv"]);
        assert_eq!(told["left_out"], json!({"params": 1}), "{told}");
        assert_eq!(both.json("a", &["show", &id])["params"], json!({"who": "me"}));
        both.at("a", &["compact"]);
        both.at("a", &["verify"]);
        both.sync("a", "b");
        assert_eq!(both.values("b"), [series("own", &["5"]), series("x", &["6", "6", "8"])]);
    }
}
