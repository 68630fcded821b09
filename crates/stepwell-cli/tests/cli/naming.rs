//! Which run or experiment an argument names, and what an argument that names several or none is told.

use serde_json::json;

use crate::place::Place;

/// A workspace of runs with the ids and names given, each with a point.
fn with(runs: &[(&str, &str)]) -> Place {
    let place = Place::new();
    // A shell makes random ids only.
    let workspace = stepwell::Workspace::open_or_create(place.path("w")).unwrap();
    for (id, name) in runs {
        let new = stepwell::NewRun {
            id: Some(stepwell::RunId::new(*id).unwrap()),
            name: (*name).to_owned(),
            ..stepwell::NewRun::default()
        };
        let mut run = workspace.create_run(stepwell::ExperimentId::DEFAULT, new).unwrap();
        run.log_metrics(0, None, &[("loss", 1.0)]).unwrap();
        run.finish(stepwell::RunStatus::Finished).unwrap();
    }
    place
}

fn shown(place: &Place, argument: &str) -> String {
    place.json(&["show", argument])["run_id"].as_str().unwrap().to_owned()
}

#[test]
fn an_exact_id_goes_before_a_name_and_a_name_before_a_beginning() {
    let place = with(&[("2a5f00aa", "first"), ("9c11", "2"), ("7d22", "9c11"), ("first0", "2a5f")]);
    assert_eq!(shown(&place, "9c11"), "9c11", "an id, not the run of this name");
    assert_eq!(shown(&place, "2"), "9c11", "a name, not the beginning of 2a5f00aa");
    assert_eq!(shown(&place, "first"), "2a5f00aa", "a name, not the beginning of first0");
    assert_eq!(shown(&place, "2a5f"), "first0", "a name, not the beginning of 2a5f00aa");
    assert_eq!(shown(&place, "2a5f0"), "2a5f00aa", "a beginning, as nothing else fits");
    // Every command asks alike.
    place.ok(&["delete", "2"]);
    assert_eq!(place.json(&["runs", "--deleted"])[0]["run_id"], "9c11");
    place.ok(&["restore", "2"]);
    place.ok(&["log", "2", "loss=2"]);
    assert_eq!(place.ok(&["history", "2", "loss"]).lines().count(), 3);
    assert_eq!(place.ok(&["tail", "2"]).lines().count(), 2);
    place.ok(&["export", "2", "--to", "out", "--format", "csv"]);
    assert!(std::fs::read_to_string(place.path("out/points.csv")).unwrap().contains("9c11"));
    assert!(place.ok(&["plot", "2", "--key", "loss"]).contains("loss of 2"), "the run that is called 2");
}

#[test]
fn a_short_beginning_reads_and_changes_nothing() {
    let place = with(&[("2a5f00aa", "probe")]);
    for short in ["2", "2a", "2a5"] {
        assert_eq!(shown(&place, short), "2a5f00aa");
        for call in [
            &["delete", short][..],
            &["restore", short],
            &["log", short, "loss=2"],
            &["delete", short, "--metric", "loss"],
        ] {
            place.fails(call, 3, &["too short to change a run", "2a5f00aa", "at least 4 characters"]);
        }
    }
    assert_eq!(place.json(&["show", "probe"])["series"]["loss"]["count"], 1);
    assert_eq!(place.json(&["runs"]).as_array().unwrap().len(), 1);
    place.ok(&["delete", "2a5f"]);
    assert_eq!(place.json(&["runs"]), json!([]));
}

#[test]
fn several_that_fit_are_listed_with_what_tells_them_apart() {
    let place = with(&[("aaaa1", "twin"), ("aaaa2", "twin"), ("bbbb", "other")]);
    place.ok(&["delete", "aaaa2"]);
    for call in [&["show", "twin"][..], &["delete", "twin"], &["history", "twin", "loss"]] {
        place.fails(call, 3, &["is the name of 2 runs", "aaaa1", "aaaa2", "twin", "Default", "20", "(deleted)"]);
    }
    place.fails(&["show", "aaaa"], 3, &["begins the ids of 2 runs", "aaaa1", "aaaa2"]);
    let many: Vec<(String, String)> = (0..30).map(|at| (format!("many{at:02}"), "same".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
    let place = with(&many);
    place.fails(&["show", "same"], 3, &["30 runs", "… and 20 more"]);
    place.fails(&["delete", "many"], 3, &["30 runs", "… and 20 more"]);
    assert_eq!(place.json(&["runs", "--deleted"]), json!([]));
}

#[test]
fn an_empty_text_names_no_run() {
    // As `stepwell delete "$RUN"` where the variable is not set; the run has an empty name too.
    let place = with(&[("aaaa1", "")]);
    for call in [&["delete", ""][..], &["show", ""], &["log", "", "loss=1"], &["history", "", "loss"]] {
        place.fails(call, 2, &["empty"]);
    }
    assert_eq!(place.json(&["runs"]).as_array().unwrap().len(), 1);
}

#[test]
fn names_with_quotes_and_signs_of_the_filter_language_are_names() {
    let names = ["it's", "say \"x\"", "both ' and \"", "100%", "a_b", "back`tick", "x' OR run_id != '"];
    let runs: Vec<(String, &str)> = names.iter().enumerate().map(|(at, name)| (format!("run{at}"), *name)).collect();
    let place = with(&runs.iter().map(|(id, name)| (id.as_str(), *name)).collect::<Vec<_>>());
    for (id, name) in &runs {
        assert_eq!(shown(&place, name), *id, "{name}");
    }
}

#[test]
fn experiments_are_found_by_id_then_by_name() {
    let place = Place::new();
    let id = place.ok(&["experiments", "create", "vision"]).trim().to_owned();
    // An experiment whose name is another's id.
    let other = place.ok(&["experiments", "create", &id]).trim().to_owned();
    place.ok(&["log", "--new", "--experiment", &id, "--name", "by-id"]);
    place.ok(&["log", "--new", "--experiment", "vision", "--name", "by-name"]);
    place.ok(&["log", "--new", "--experiment", &other, "--name", "of-other"]);
    let names = |experiment: &str| -> Vec<String> {
        let runs = place.json(&["runs", "-e", experiment, "--order-by", "run_name"]);
        runs.as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&id), ["by-id", "by-name"]);
    assert_eq!(names("vision"), ["by-id", "by-name"]);
    assert_eq!(names(&other), ["of-other"]);
    place.ok(&["experiments", "delete", &id]);
    let listed = place.json(&["experiments"]);
    assert!(listed.as_array().unwrap().iter().any(|known| known["experiment_id"] == other.as_str()), "{listed}");
    place.fails(&["log", "--new", "--experiment", "vision"], 3, &["deleted", "stepwell experiments restore"]);
}

#[test]
fn what_is_so_already_is_told() {
    let place = with(&[("aaaa1", "one"), ("aaaa2", "two")]);
    let both = |call: &[&str], status: i32, says: &[&str]| {
        let ended = place.call(call);
        assert_eq!((ended.status, ended.err.as_str()), (status, ""), "{call:?}: {ended:?}");
        says.iter().for_each(|words| assert!(ended.out.contains(words), "{call:?}: {}", ended.out));
    };
    both(&["delete", "one"], 0, &["deleted aaaa1"]);
    both(&["delete", "one"], 1, &["aaaa1 was deleted already"]);
    both(&["delete", "one", "two", "two"], 1, &["deleted aaaa2\n", "aaaa1 was deleted already"]);
    both(&["--json", "delete", "one"], 1, &["\"deleted\":[]", "\"unchanged\":[\"aaaa1\"]"]);
    both(&["restore", "one", "two"], 0, &["restored aaaa1", "restored aaaa2"]);
    both(&["restore", "one"], 1, &["aaaa1 is not deleted"]);
    place.ok(&["experiments", "create", "vision"]);
    both(&["experiments", "delete", "vision"], 0, &[]);
    both(&["experiments", "delete", "vision"], 1, &["was deleted already"]);
    both(&["experiments", "restore", "vision"], 0, &[]);
    both(&["experiments", "restore", "vision"], 1, &["is not deleted"]);
    both(&["experiments", "rename", "vision", "vision"], 1, &["has this name already"]);
    // Deleted with its experiment, a run is deleted for every command.
    place.ok(&["experiments", "delete", "Default"]);
    both(&["delete", "one"], 1, &["aaaa1 was deleted already"]);
    assert_eq!(place.json(&["show", "one"])["deleted"], true);
    assert!(place.ok(&["show", "one"]).contains("FINISHED, deleted with its experiment"));
    assert_eq!(place.json(&["runs", "--deleted"]).as_array().unwrap().len(), 2);
    place.ok(&["experiments", "restore", "0"]);
    assert_eq!(place.json(&["show", "one"])["deleted"], false);
    place.ok(&["delete", "one"]);
    place.ok(&["experiments", "delete", "0"]);
    place.ok(&["experiments", "restore", "0"]);
    // Restoring the experiment brought it back, whatever its own mark says.
    assert_eq!(
        place.json(&["show", "one"])["deleted"],
        place.json(&["runs", "--all", "-f", "run_id = 'aaaa1'"])[0]["deleted"]
    );
}
