//! The filter language at the command line: what it finds, names that nothing has, and columns.

use serde_json::json;

use crate::place::Place;

fn with_runs() -> Place {
    let place = Place::new();
    for (name, loss, optimizer) in [("a", "0.3", "adam"), ("b", "0.1", "sgd"), ("c", "0.2", "adamw")] {
        let id = place.ok(&[
            "log",
            "--new",
            "--name",
            name,
            &format!("loss={loss}"),
            "--param",
            &format!("optimizer={optimizer}"),
        ]);
        place.ok(&["log", id.trim(), "loss=9", "train/loss=5", "--tag", "team=vision", "--finish"]);
    }
    place
}

/// Names of the runs that a call lists, and what it says on standard error.
fn names(place: &Place, arguments: &[&str]) -> (Vec<String>, String) {
    let ended = place.call(&[&["--json", "runs", "--order-by", "run_name"], arguments].concat());
    assert_eq!(ended.status, 0, "{arguments:?}: {ended:?}");
    let runs: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    (runs.as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap().to_owned()).collect(), ended.err)
}

#[test]
fn ranges_negations_and_statistics_are_found() {
    let place = with_runs();
    for (filter, found) in [
        ("metrics.loss.min BETWEEN 0.1 AND 0.2", &["b", "c"][..]),
        ("metrics.loss.min NOT BETWEEN 0.1 AND 0.2", &["a"]),
        ("metrics.loss BETWEEN 9 AND 9", &["a", "b", "c"]),
        ("metrics.absent NOT BETWEEN 1 AND 2", &[]),
        ("params.optimizer NOT LIKE 'adam%'", &["b"]),
        ("params.optimizer NOT ILIKE 'ADAM'", &["b", "c"]),
        ("params.optimizer NOT RLIKE '^adam$'", &["b", "c"]),
        ("params.optimizer NOT IN ('adam', 'sgd')", &["c"]),
        ("NOT params.optimizer LIKE 'adam%' OR run_name = 'a'", &["a", "b"]),
        ("metrics.\"train/loss\" = 5 AND metrics.`train/loss`.count = 1", &["a", "b", "c"]),
    ] {
        assert_eq!(names(&place, &["--filter", filter]).0, found, "{filter}");
    }
}

#[test]
fn a_key_that_no_run_has_is_told_with_the_one_that_is_meant() {
    let place = with_runs();
    for (arguments, note) in [
        (&["-f", "metrics.los < 1"][..], "note: no run has metrics.los; did you mean metrics.loss?\n"),
        (&["-f", "metrics.los.min < 1"], "note: no run has metrics.los; did you mean metrics.loss?\n"),
        (
            &["-f", "metrics.\"train/los\" < 1"],
            "note: no run has metrics.`train/los`; did you mean metrics.`train/loss`?\n",
        ),
        (&["-f", "params.loss = '1'"], "note: no run has params.loss; did you mean metrics.loss?\n"),
        (&["-f", "tags.teem = 'vision' OR tags.teem = 'x'"], "note: no run has tags.teem; did you mean tags.team?\n"),
        (&["-f", "params.quite_another IS NULL"], "note: no run has params.quite_another\n"),
        (&["-o", "params.optimiser"], "note: no run has params.optimiser; did you mean params.optimizer?\n"),
        (&["-c", "metrics.los,params.optimizer"], "note: no run has metrics.los; did you mean metrics.loss?\n"),
        (&["-c", "metrics.los", "-f", "metrics.los < 1"], "note: no run has metrics.los; did you mean metrics.loss?\n"),
        (&["-c", "metrics.loss.min,tags.team,status", "-f", "metrics.loss.max > 1", "-o", "metrics.loss.count"], ""),
    ] {
        assert_eq!(names(&place, arguments).1, note, "{arguments:?}");
    }
    let ended = place.call(&["export", "--filter", "metrics.los < 1", "--to", "out"]);
    assert!(ended.err.contains("no run has metrics.los; did you mean metrics.loss?"), "{ended:?}");
}

#[test]
fn a_name_without_its_kind_is_told_what_it_may_be() {
    let place = with_runs();
    for (filter, meant) in [
        ("loss < 1", "did you mean metrics.loss?"),
        ("loss BETWEEN 1 AND 2", "did you mean metrics.loss?"),
        ("optimizer = 'adam'", "did you mean params.optimizer or tags.optimizer?"),
        ("optimizer LIKE 'a%'", "did you mean params.optimizer or tags.optimizer?"),
    ] {
        place.fails(&["runs", "--filter", filter], 2, &["invalid filter: at column 1", meant]);
    }
    place.fails(&["runs", "--order-by", "loss"], 2, &["did you mean metrics.loss, params.loss or tags.loss?"]);
    place.fails(&["runs", "--columns", "loss"], 2, &["did you mean metrics.loss, params.loss or tags.loss?"]);
    // What is advised is taken.
    assert_eq!(names(&place, &["--filter", "metrics.loss > 1"]).0.len(), 3);
}

#[test]
fn statistics_are_spelt_alike_in_filters_orders_and_columns() {
    let place = with_runs();
    let columns =
        "metrics.loss.min,metrics.loss,metrics.loss.argmin_step,params.optimizer,run_name,start_time,metrics.absent";
    let run = &place.call(&["--json", "runs", "-c", columns, "-o", "metrics.loss.min", "-f", "metrics.loss.min < 0.2"]);
    let run: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    let of = |name: &str| run[0]["columns"][name].clone();
    assert_eq!((of("metrics.loss.min"), of("metrics.loss")), (json!(0.1), json!(9.0)));
    assert_eq!((of("metrics.loss.argmin_step"), of("params.optimizer")), (json!(0), json!("sgd")));
    assert_eq!((of("run_name"), of("metrics.absent")), (json!("b"), json!(null)));
    assert_eq!(of("start_time"), run[0]["start_time"]);
    // A key that ends like a statistic is told apart by quotes.
    place.ok(&["log", "a", "loss.min=77"]);
    let table = place.ok(&["runs", "-c", "metrics.`loss.min`,metrics.`loss`.min", "-f", "run_name = 'a'"]);
    assert!(table.contains("77") && table.contains("0.3"), "{table}");
    assert_eq!(names(&place, &["-f", "metrics.loss.min = 77"]).0, ["a"], "without quotes the metric goes first");
    assert_eq!(names(&place, &["-f", "metrics.`loss`.min < 0.2"]).0, ["b"]);
    let table = place.ok(&["runs", "-c", "metrics.loss.min"]);
    assert!(table.contains("77") && !table.contains("0.3"), "as in filters\n{table}");
}

#[test]
fn every_example_of_the_language_is_taken() {
    let place = with_runs();
    let page = place.ok(&["help", "filter"]);
    assert_eq!(page, include_str!("../../../../docs/filter.md"));
    let mut tried = 0;
    let tests = page.split("## Comparing numbers").nth(1).unwrap();
    let names = page.split("## Statistics of a metric").nth(1).unwrap().split("## Comparing").next().unwrap();
    for line in tests.lines().filter_map(|line| line.strip_prefix("    ")) {
        // Behind a wide gap stands what it means.
        let example = line.split("      ").next().unwrap().split("   ").next().unwrap().trim();
        let ended = place.call(&["runs", "--filter", example]);
        assert_eq!(ended.status, 0, "{example}: {}", ended.err);
        tried += 1;
    }
    for name in names.split_whitespace().filter(|word| word.starts_with("metrics.")) {
        let name = name.split(',').next().unwrap();
        for call in [["runs", "--order-by", name], ["runs", "--columns", name]] {
            let ended = place.call(&call);
            assert_eq!(ended.status, 0, "{call:?}: {}", ended.err);
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried}");
    assert!(place.ok(&["runs", "--help"]).contains("stepwell help filter"));
}

#[test]
fn a_status_that_is_none_is_told() {
    let place = Place::new();
    place.ok(&["log", "--new", "loss=1", "--finish"]);
    for (filter, told) in [
        ("attributes.status = 'FINSHED'", "note: no status is \"FINSHED\"; did you mean FINISHED?\n"),
        ("status IN ('FAILED', 'kiled')", "note: no status is \"kiled\"; did you mean KILLED?\n"),
        ("status != 'x'", "note: no status is \"x\"; there are RUNNING"),
        ("status = 'finished'", "did you mean FINISHED?"),
        ("status LIKE 'F%'", ""),
        ("status = 'FINISHED'", ""),
    ] {
        let ended = place.call(&["runs", "-f", filter]);
        assert_eq!(
            (ended.status, ended.err.contains(told), ended.err.is_empty()),
            (0, true, told.is_empty()),
            "{ended:?}"
        );
    }
}
