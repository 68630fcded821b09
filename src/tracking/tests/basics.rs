//! Experiments, runs and what they log: MLflow's rules, one test each.

use super::support::*;
use crate::base::stats::RunStatus;
use crate::tracking::handle::store::Tracking;
use crate::tracking::values::entities::{LifecycleStage, MetricRef, View};
use crate::tracking::values::error::Code;
use crate::tracking::{Batch, CreateExperiment, CreateRun, ExperimentSearch, RunSearch, UpdateRun};

fn experiment(tracking: &Tracking, name: &str) -> String {
    tracking.create_experiment(&CreateExperiment { name: name.into(), ..CreateExperiment::default() }).unwrap()
}

fn found(tracking: &Tracking, filter: &str) -> Vec<String> {
    let search = RunSearch { experiment_ids: vec!["0".into()], filter: filter.into(), ..RunSearch::default() };
    let mut names: Vec<String> =
        tracking.search_runs(&search).unwrap().items.into_iter().map(|run| run.info.run_name).collect();
    names.sort();
    names
}

#[test]
fn an_experiment_is_created_with_everything_at_once() {
    let tracking = tracking();
    let new = CreateExperiment {
        name: "vision".into(),
        artifact_location: Some("s3://bucket/v".into()),
        tags: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
    };
    let id = tracking.create_experiment(&new).unwrap();
    let experiment = tracking.get_experiment(&id).unwrap();
    assert_eq!(experiment.artifact_location, "s3://bucket/v");
    assert_eq!(experiment.tags["a"], "2");
    assert_eq!(tracking.get_experiment_by_name("vision").unwrap(), experiment);
    refused(tracking.create_experiment(&new), Code::ResourceAlreadyExists);
    assert_eq!(tracking.get_experiment("").unwrap().name, "Default");
    assert_eq!(tracking.get_experiment("0").unwrap().artifact_location, "mlflow-artifacts:/0");
    refused(tracking.get_experiment("abc"), Code::InvalidParameterValue);
    refused(tracking.get_experiment("77"), Code::ResourceDoesNotExist);
    for name in ["", "  ", &"x".repeat(501)] {
        let new = CreateExperiment { name: name.into(), ..CreateExperiment::default() };
        refused(tracking.create_experiment(&new), Code::InvalidParameterValue);
    }
}

#[test]
fn names_stay_taken_by_deleted_experiments() {
    let tracking = tracking();
    let (a, b) = (experiment(&tracking, "a"), experiment(&tracking, "b"));
    tracking.delete_experiment(&a).unwrap();
    let again = CreateExperiment { name: "a".into(), ..CreateExperiment::default() };
    refused(tracking.create_experiment(&again), Code::ResourceAlreadyExists);
    refused(tracking.rename_experiment(&b, "a"), Code::BadRequest);
    refused(tracking.rename_experiment(&a, "c"), Code::InvalidState);
    refused(tracking.delete_experiment(&a), Code::ResourceDoesNotExist);
    refused(tracking.restore_experiment(&b), Code::ResourceDoesNotExist);
    refused(tracking.set_experiment_tag(&a, "k", "v"), Code::InvalidParameterValue);
    let new = CreateRun { experiment_id: a.clone(), ..CreateRun::default() };
    refused(tracking.create_run(&new), Code::InvalidParameterValue);
    assert_eq!(tracking.get_experiment_by_name("a").unwrap().lifecycle_stage, LifecycleStage::Deleted);
    tracking.restore_experiment(&a).unwrap();
    tracking.rename_experiment(&a, "c").unwrap();
    tracking.rename_experiment(&a, "c").unwrap();
    refused(tracking.delete_experiment_tag(&a, "k"), Code::ResourceDoesNotExist);
    tracking.set_experiment_tag(&a, "k", &"v".repeat(20_000)).unwrap();
    refused(tracking.set_experiment_tag(&a, "k", &"v".repeat(20_001)), Code::InvalidParameterValue);
    tracking.delete_experiment_tag(&a, "k").unwrap();
}

#[test]
fn experiments_are_found_in_order() {
    let tracking = tracking();
    let ids: Vec<String> = ["a", "b", "c"].iter().map(|name| experiment(&tracking, name)).collect();
    tracking.set_experiment_tag(&ids[1], "owner", "me").unwrap();
    tracking.delete_experiment(&ids[2]).unwrap();
    let names = |search: &ExperimentSearch| {
        let page = tracking.search_experiments(search).unwrap();
        (page.items.into_iter().map(|found| found.name).collect::<Vec<_>>(), page.next_offset)
    };
    let by_name = |filter: &str, view| ExperimentSearch {
        filter: filter.into(),
        order_by: vec!["name".into()],
        view,
        ..ExperimentSearch::default()
    };
    assert_eq!(names(&by_name("", View::ActiveOnly)).0, ["Default", "a", "b"]);
    assert_eq!(names(&by_name("", View::DeletedOnly)).0, ["c"]);
    assert_eq!(names(&by_name("tags.owner = 'me'", View::All)).0, ["b"]);
    assert_eq!(names(&by_name("tags.owner IS NULL", View::All)).0, ["Default", "a", "c"]);
    assert_eq!(names(&by_name("tags.owner != 'you'", View::All)).0, ["b"]);
    assert_eq!(names(&by_name("name ILIKE 'D%' AND creation_time >= 0", View::All)).0, ["Default"]);
    assert_eq!(names(&by_name(&format!("experiment_id IN ('0', '{}')", ids[0]), View::All)).0, ["Default", "a"]);
    let page = ExperimentSearch { max_results: 2, ..by_name("", View::All) };
    assert_eq!(names(&page), (vec!["Default".into(), "a".into()], Some(2)));
    assert_eq!(names(&ExperimentSearch { offset: 2, ..page }), (vec!["b".into(), "c".into()], None));
    for filter in
        ["attr.name = 'a'", "name = 5", "creation_time > 1.5", "owner = 'me'", "name < 'a'", "experiment_id = 0"]
    {
        refused(tracking.search_experiments(&by_name(filter, View::All)), Code::InvalidParameterValue);
    }
    let none = ExperimentSearch { max_results: 0, ..ExperimentSearch::default() };
    refused(tracking.search_experiments(&none), Code::InvalidParameterValue);
}

#[test]
fn a_run_has_a_name_and_a_tag_of_it() {
    let tracking = tracking();
    let create = |name: &str, tag: Option<&str>| {
        let tags = tag.map(|tag| ("mlflow.runName".to_owned(), tag.to_owned())).into_iter().collect();
        tracking.create_run(&CreateRun { run_name: name.into(), tags, ..CreateRun::default() })
    };
    for (name, tag, expected) in [("a", None, "a"), ("", Some("b"), "b"), ("c", Some("c"), "c")] {
        let run = create(name, tag).unwrap();
        assert_eq!((run.info.run_name.as_str(), run.data.tags["mlflow.runName"].as_str()), (expected, expected));
        assert_eq!(run.info.artifact_uri, format!("mlflow-artifacts:/0/{}/artifacts", run.info.run_id));
        assert_eq!((run.info.status, run.info.end_time), (RunStatus::Running, None));
    }
    refused(create("a", Some("b")), Code::InvalidParameterValue);
    let random = create("", None).unwrap();
    assert!(!random.info.run_name.is_empty());
    let id = random.info.run_id;
    tracking.set_tag(&id, "mlflow.runName", "by tag").unwrap();
    assert_eq!(tracking.get_run(&id).unwrap().info.run_name, "by tag");
    let rename = UpdateRun { run_name: Some("by update".into()), ..UpdateRun::default() };
    assert_eq!(tracking.update_run(&id, &rename).unwrap().run_name, "by update");
    assert_eq!(tracking.get_run(&id).unwrap().data.tags["mlflow.runName"], "by update");
    tracking.update_run(&id, &UpdateRun { run_name: Some(String::new()), ..UpdateRun::default() }).unwrap();
    tracking.log_batch(&id, &Batch { tags: &[("mlflow.runName", "by batch")], ..Batch::default() }).unwrap();
    tracking.delete_tag(&id, "mlflow.runName").unwrap();
    let run = tracking.get_run(&id).unwrap();
    assert_eq!((run.info.run_name.as_str(), run.data.tags.len()), ("by batch", 0));
    refused(tracking.delete_tag(&id, "mlflow.runName"), Code::ResourceDoesNotExist);
}

#[test]
fn status_may_go_back_and_ends_are_only_what_was_sent() {
    let tracking = tracking();
    let id = run(&tracking, "a");
    tracking.log_metric(&id, &metric("m", 0, 1, 1.0)).unwrap();
    let finish = UpdateRun { status: Some(RunStatus::Finished), ..UpdateRun::default() };
    let info = tracking.update_run(&id, &finish).unwrap();
    assert_eq!((info.status, info.end_time), (RunStatus::Finished, None));
    tracking.log_metric(&id, &metric("m", 1, 2, 2.0)).unwrap();
    let back = UpdateRun { status: Some(RunStatus::Running), end_time: Some(9), ..UpdateRun::default() };
    let info = tracking.update_run(&id, &back).unwrap();
    assert_eq!((info.status, info.end_time), (RunStatus::Running, Some(9)));
    assert_eq!(tracking.get_run(&id).unwrap().data.metrics[0].value, 2.0);
}

#[test]
fn params_are_written_once_and_a_conflict_keeps_the_whole_batch_out() {
    let tracking = tracking();
    let id = run(&tracking, "a");
    tracking.log_param(&id, "lr", "0.1").unwrap();
    tracking.log_param(&id, "lr", "0.1").unwrap();
    let message = refused(tracking.log_param(&id, "lr", "0.2"), Code::InvalidParameterValue);
    assert_eq!(
        message,
        format!(
            "Changing param values is not allowed. Param with key='lr' was already logged with value='0.1' for run \
             ID='{id}'. Attempted logging new value '0.2'."
        )
    );
    let point = metric("m", 0, 0, 1.0);
    let batch = Batch { metrics: &[(&point).into()], params: &[("new", "1"), ("lr", "0.2")], tags: &[("t", "1")] };
    refused(tracking.log_batch(&id, &batch), Code::InvalidParameterValue);
    let run = tracking.get_run(&id).unwrap();
    assert!(run.data.metrics.is_empty() && !run.data.tags.contains_key("t") && !run.data.params.contains_key("new"));
    let twice = Batch { params: &[("a", "1"), ("a", "1")], ..Batch::default() };
    refused(tracking.log_batch(&id, &twice), Code::InvalidParameterValue);
    tracking.log_param(&id, "long", &"x".repeat(7000)).unwrap();
    tracking.set_tag(&id, "long", &"x".repeat(9000)).unwrap();
    tracking.log_param(&id, "empty", "").unwrap();
    let run = tracking.get_run(&id).unwrap();
    assert_eq!((run.data.params["long"].len(), run.data.tags["long"].len()), (6000, 8000));
    assert_eq!(run.data.params["empty"], "");
}

#[test]
fn batches_have_limits() {
    let tracking = tracking();
    let id = run(&tracking, "a");
    let keys: Vec<String> = (0..1001).map(|at| format!("k{at}")).collect();
    let pairs: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    let metrics: Vec<MetricRef<'_>> =
        (0..1001).map(|step| MetricRef { key: "m", step, ..MetricRef::default() }).collect();
    let batch = |m: usize, p: usize, t: usize| Batch { metrics: &metrics[..m], params: &pairs[..p], tags: &pairs[..t] };
    let sizes = [(1001, 0, 0), (0, 101, 0), (0, 0, 101), (901, 50, 50)];
    for (m, p, t) in sizes {
        refused(tracking.log_batch(&id, &batch(m, p, t)), Code::InvalidParameterValue);
    }
    tracking.log_batch(&id, &batch(900, 50, 50)).unwrap();
    refused(tracking.log_metric(&id, &metric("m", 0, -1, 0.0)), Code::InvalidParameterValue);
    refused(tracking.log_metric(&id, &metric("a//b", 0, 0, 0.0)), Code::InvalidParameterValue);
    tracking.log_metric(&id, &metric("é", i64::MIN, 0, f64::NAN)).unwrap();
    refused(tracking.log_batch("no/id", &Batch::default()), Code::InvalidParameterValue);
    refused(tracking.log_metric("no/id", &metric("m", 0, 0, 0.0)), Code::ResourceDoesNotExist);
    refused(tracking.log_batch("ffff", &Batch::default()), Code::ResourceDoesNotExist);
    refused(tracking.log_metric("ffff", &metric("m", 0, 0, 0.0)), Code::ResourceDoesNotExist);
}

#[test]
fn the_latest_value_is_of_the_greatest_step_time_and_value() {
    let tracking = tracking();
    let id = run(&tracking, "a");
    let latest = |points: &[(i64, i64, f64)]| {
        let key = format!("m{}", points.len() * 100 + tracking.get_run(&id).unwrap().data.metrics.len());
        for &(step, time, value) in points {
            tracking.log_metric(&id, &metric(&key, step, time, value)).unwrap();
        }
        let run = tracking.get_run(&id).unwrap();
        run.data.metrics.iter().find(|metric| metric.key == key).unwrap().value
    };
    assert_eq!(latest(&[(5, 1, 1.0), (3, 9, 2.0)]), 1.0);
    assert_eq!(latest(&[(5, 1, 1.0), (5, 1, 3.0), (5, 1, 2.0)]), 3.0);
    assert!(latest(&[(1, 1, -1.0), (1, 1, f64::NAN)]).is_nan());
    assert_eq!(latest(&[(1, 1, f64::NAN), (1, 1, 1.0)]), 1.0);
    assert_eq!(latest(&[(1, 1, 0.0), (1, 1, f64::NAN)]), 0.0);
    assert_eq!(latest(&[(1, 1, f64::NEG_INFINITY)]), f64::NEG_INFINITY);
}

#[test]
fn a_history_is_in_order_and_has_each_point_once() {
    let tracking = tracking();
    let id = run(&tracking, "a");
    for (step, time, value) in [(3, 5, 1.0), (1, 5, 2.0), (9, 1, 3.0), (1, 5, 2.0), (1, 5, -2.0), (1, 5, f64::NAN)] {
        tracking.log_metric(&id, &metric("m", step, time, value)).unwrap();
    }
    let page = tracking.get_metric_history(&id, "m", None, 0).unwrap();
    let points: Vec<String> =
        page.items.iter().map(|at| format!("{} {} {}", at.timestamp_ms.unwrap(), at.step, at.value)).collect();
    assert_eq!(points, ["1 9 3", "5 1 -2", "5 1 NaN", "5 1 2", "5 3 1"]);
    let page = tracking.get_metric_history(&id, "m", Some(2), 2).unwrap();
    assert_eq!((page.items.len(), page.next_offset), (2, Some(4)));
    assert_eq!(tracking.get_metric_history(&id, "m", Some(2), 4).unwrap().next_offset, None);
    refused(tracking.get_metric_history(&id, "m", Some(0), 0), Code::InvalidParameterValue);
    assert!(tracking.get_metric_history(&id, "none", None, 0).unwrap().items.is_empty());
    assert!(tracking.get_metric_history("none", "m", None, 0).unwrap().items.is_empty());
}

#[test]
fn a_batch_that_is_sent_again_adds_nothing() {
    let tracking = tracking();
    let id = run(&tracking, "a");
    let mut metrics: Vec<MetricRef<'_>> = (0..100)
        .map(|at| MetricRef {
            key: ["a", "b"][at as usize % 2],
            step: at,
            timestamp: 7,
            value: at as f64,
            ..MetricRef::default()
        })
        .collect();
    let batch = Batch { metrics: &metrics, params: &[("p", "1")], tags: &[("t", "1")] };
    for _ in 0..3 {
        tracking.log_batch(&id, &batch).unwrap();
    }
    let parsed = id.parse().unwrap();
    assert_eq!(tracking.workspace().run(&parsed).unwrap().points(), 100);
    // Another point of the same metric is another batch.
    metrics[3].value = -1.0;
    tracking.log_batch(&id, &Batch { metrics: &metrics, ..Batch::default() }).unwrap();
    assert_eq!(tracking.workspace().run(&parsed).unwrap().points(), 200);
    assert_eq!(tracking.get_metric_history(&id, "b", None, 0).unwrap().items.len(), 51);
}

#[test]
fn a_deleted_run_is_read_and_takes_no_word() {
    let tracking = tracking();
    let id = run(&tracking, "a");
    tracking.log_metric(&id, &metric("m", 0, 0, 1.0)).unwrap();
    tracking.delete_run(&id).unwrap();
    tracking.delete_run(&id).unwrap();
    assert_eq!(tracking.get_run(&id).unwrap().info.lifecycle_stage, LifecycleStage::Deleted);
    let deleted = format!("The run {id} must be in the 'active' state. Current state is deleted.");
    let finish = UpdateRun { status: Some(RunStatus::Finished), ..UpdateRun::default() };
    let refusals = [
        tracking.log_metric(&id, &metric("m", 1, 0, 1.0)),
        tracking.log_param(&id, "a", "b"),
        tracking.set_tag(&id, "a", "b"),
        tracking.delete_tag(&id, "mlflow.runName"),
        tracking.log_batch(&id, &Batch::default()),
        tracking.update_run(&id, &finish).map(|_| ()),
    ];
    for result in refusals {
        assert_eq!(refused(result, Code::InvalidParameterValue), deleted);
    }
    assert!(found(&tracking, "").is_empty());
    tracking.restore_run(&id).unwrap();
    tracking.restore_run(&id).unwrap();
    tracking.log_metric(&id, &metric("m", 1, 0, 2.0)).unwrap();
    assert_eq!(tracking.get_run(&id).unwrap().data.metrics[0].value, 2.0);
    refused(tracking.delete_run("nobody"), Code::ResourceDoesNotExist);
    refused(tracking.restore_run("nobody"), Code::ResourceDoesNotExist);
}

#[test]
fn runs_are_found_by_what_they_logged() {
    let tracking = tracking();
    for (name, loss) in [("a", 0.5), ("b", f64::NAN), ("c", f64::INFINITY)] {
        let id = run(&tracking, name);
        tracking.log_metric(&id, &metric("loss", 0, 0, loss)).unwrap();
        tracking.log_param(&id, "p", name).unwrap();
    }
    run(&tracking, "d");
    assert_eq!(found(&tracking, ""), ["a", "b", "c", "d"]);
    assert_eq!(found(&tracking, "metrics.loss < 1"), ["a"]);
    assert_eq!(found(&tracking, "metrics.loss != 0.5"), ["b", "c"]);
    assert_eq!(found(&tracking, "params.p != 'a'"), ["b", "c"]);
    assert_eq!(found(&tracking, "attributes.run_name LIKE 'd'"), ["d"]);
    assert_eq!(found(&tracking, "artifact_uri LIKE 'mlflow-artifacts:/0/%/artifacts'").len(), 4);
    let search = |max_results, offset, order: &str| {
        let search = RunSearch {
            experiment_ids: vec!["0".into()],
            max_results,
            offset,
            order_by: vec![order.into()],
            ..RunSearch::default()
        };
        let page = tracking.search_runs(&search).unwrap();
        (page.items.into_iter().map(|run| run.info.run_name).collect::<Vec<_>>(), page.next_offset)
    };
    assert_eq!(search(10, 0, "metrics.loss ASC").0, ["a", "c", "b", "d"]);
    assert_eq!(search(10, 0, "metrics.loss DESC").0, ["c", "a", "b", "d"]);
    assert_eq!(search(3, 0, "params.p"), (vec!["a".into(), "b".into(), "c".into()], Some(3)));
    assert_eq!(search(3, 3, "params.p"), (vec!["d".into()], None));
    let none = tracking.search_runs(&RunSearch::default()).unwrap();
    assert!(none.items.is_empty() && none.next_offset.is_none());
    let bad = RunSearch { filter: "params.p = 'a' OR params.p = 'b'".into(), ..RunSearch::default() };
    refused(tracking.search_runs(&bad), Code::InvalidParameterValue);
    let bad = RunSearch { experiment_ids: vec!["x".into()], ..RunSearch::default() };
    refused(tracking.search_runs(&bad), Code::InvalidParameterValue);
}

#[test]
fn more_runs_than_open_logs_lose_nothing() {
    use crate::tracking::handle::store::TrackingOptions;
    let workspace = super::support::tracking().workspace().clone();
    let options = TrackingOptions { writers_max: 3, writer_idle_ms: -1, ..TrackingOptions::default() };
    let tracking = Tracking::new(workspace, options);
    let runs: Vec<String> = (0..8).map(|at| run(&tracking, &at.to_string())).collect();
    for step in 0..5 {
        for id in &runs {
            tracking.log_metric(id, &metric("m", step, step, step as f64)).unwrap();
        }
    }
    tracking.close_idle().unwrap();
    tracking.log_metric(&runs[0], &metric("m", 5, 5, 5.0)).unwrap();
    tracking.close().unwrap();
    for id in &runs {
        let history = tracking.get_metric_history(id, "m", None, 0).unwrap().items;
        assert_eq!(history.len(), if *id == runs[0] { 6 } else { 5 });
    }
    for _ in 0..10 {
        refused(tracking.log_metric("nobody", &metric("m", 0, 0, 0.0)), Code::ResourceDoesNotExist);
    }
}

#[test]
fn experiments_numbers_tell_the_order_of_creation() {
    let tracking = tracking();
    let create =
        |name: String| tracking.create_experiment(&CreateExperiment { name, ..CreateExperiment::default() }).unwrap();
    let made: Vec<String> = (0..50).map(|at| create(format!("e{at}"))).collect();
    assert!(made.windows(2).all(|pair| pair[0].len() == 18 && pair[0] < pair[1]), "{made:?}");
    let search = ExperimentSearch { order_by: vec!["experiment_id DESC".into()], ..ExperimentSearch::default() };
    let found = tracking.search_experiments(&search).unwrap().items;
    let found: Vec<String> = found.into_iter().map(|experiment| experiment.experiment_id).collect();
    assert_eq!(found[..50], made.into_iter().rev().collect::<Vec<_>>()[..]);
    refused(tracking.get_experiment("-1"), Code::ResourceDoesNotExist);
}
