//! Deleting for good, with MLflow's codes.

use super::support::*;
use crate::base::ids::RunId;
use crate::folder::clock::now_ms;
use crate::tracking::handle::store::Tracking;
use crate::tracking::values::entities::MetricRef;
use crate::tracking::values::error::Code;
use crate::tracking::{Batch, CreateExperiment, CreateLoggedModel, CreateRun};

/// Logs one point of each metric.
fn log(tracking: &Tracking, run: &str, keys: &[&str]) {
    let points = keys.iter().map(|key| MetricRef { key, value: 3.0, timestamp: 2, step: 1, ..MetricRef::default() });
    let points: Vec<MetricRef<'_>> = points.collect();
    tracking.log_batch(run, &Batch { metrics: &points, ..Batch::default() }).unwrap();
}

#[test]
fn a_metric_is_deleted_for_good_and_may_be_logged_anew() {
    let tracking = tracking();
    let id = run(&tracking, "r");
    log(&tracking, &id, &["a", "b"]);
    refused(tracking.delete_metric(&id, "c"), Code::ResourceDoesNotExist);
    refused(tracking.delete_metric("no", "a"), Code::ResourceDoesNotExist);
    tracking.delete_metric(&id, "a").unwrap();
    let keys = |tracking: &Tracking| -> Vec<String> {
        tracking.get_run(&id).unwrap().data.metrics.into_iter().map(|metric| metric.key).collect()
    };
    assert_eq!(keys(&tracking), ["b"]);
    log(&tracking, &id, &["a"]);
    assert_eq!(keys(&tracking), ["a", "b"]);
    let other = on(&disk());
    let foreign = run(&other, "open elsewhere");
    let writer = other.workspace().writer(&RunId::new(foreign.clone()).unwrap()).unwrap();
    log(&other, &foreign, &["a"]);
    assert!(refused(other.delete_metric(&foreign, "a"), Code::InvalidState).contains("being written"));
    drop(writer);
    other.delete_metric(&foreign, "a").unwrap();
    tracking.delete_run(&id).unwrap();
    refused(tracking.delete_metric(&id, "a"), Code::InvalidParameterValue);
}

#[test]
fn only_deleted_runs_and_experiments_are_purged() {
    let tracking = tracking();
    let new = CreateExperiment { name: "e".into(), ..CreateExperiment::default() };
    let experiment = tracking.create_experiment(&new).unwrap();
    let create = CreateRun { experiment_id: experiment.clone(), ..CreateRun::default() };
    let (first, second) = (tracking.create_run(&create).unwrap(), tracking.create_run(&create).unwrap());
    let (first, second) = (first.info.run_id, second.info.run_id);
    refused(tracking.purge_run(&first), Code::InvalidState);
    tracking.delete_run(&first).unwrap();
    tracking.purge_run(&first).unwrap();
    refused(tracking.get_run(&first), Code::ResourceDoesNotExist);
    refused(tracking.purge_run(&first), Code::ResourceDoesNotExist);
    log(&tracking, &second, &["a"]);
    refused(tracking.purge_experiment(&experiment), Code::InvalidState);
    tracking.delete_experiment(&experiment).unwrap();
    tracking.purge_experiment(&experiment).unwrap();
    refused(tracking.get_run(&second), Code::ResourceDoesNotExist);
    refused(tracking.get_experiment(&experiment), Code::ResourceDoesNotExist);
    tracking.create_experiment(&new).unwrap();
    refused(tracking.purge_experiment("0"), Code::InvalidState);
}

#[test]
fn what_was_deleted_is_listed_by_its_time() {
    let tracking = tracking();
    let new = CreateExperiment { name: "e".into(), ..CreateExperiment::default() };
    let experiment = tracking.create_experiment(&new).unwrap();
    let inside = CreateRun { experiment_id: experiment.clone(), ..CreateRun::default() };
    let inside = tracking.create_run(&inside).unwrap().info.run_id;
    let (marked, _active) = (run(&tracking, "marked"), run(&tracking, "active"));
    let logged = CreateLoggedModel { experiment_id: "0".into(), ..CreateLoggedModel::default() };
    let (model, spared) =
        (tracking.create_logged_model(&logged).unwrap(), tracking.create_logged_model(&logged).unwrap());
    let before = now_ms() - 1_000;
    tracking.delete_run(&marked).unwrap();
    tracking.delete_experiment(&experiment).unwrap();
    tracking.delete_logged_model(&model.model_id).unwrap();
    // A run counts as deleted since its experiment does.
    assert!(tracking.runs_deleted_by(before).unwrap().is_empty());
    assert!(tracking.logged_models_deleted_by(before).unwrap().is_empty());
    let mut runs = tracking.runs_deleted_by(now_ms()).unwrap();
    let mut expected = vec![inside.clone(), marked];
    runs.sort();
    expected.sort();
    assert_eq!(runs, expected);
    assert_eq!(tracking.logged_models_deleted_by(now_ms()).unwrap(), std::slice::from_ref(&model.model_id));
    tracking.restore_experiment(&experiment).unwrap();
    assert!(!tracking.runs_deleted_by(now_ms()).unwrap().contains(&inside));
    refused(tracking.get_logged_model(&model.model_id), Code::ResourceDoesNotExist);
    assert_eq!(tracking.get_any_logged_model(&model.model_id).unwrap().model_id, model.model_id);
    refused(tracking.purge_logged_model(&spared.model_id), Code::InvalidState);
    refused(tracking.purge_run(&model.model_id), Code::ResourceDoesNotExist);
    tracking.purge_logged_model(&model.model_id).unwrap();
    refused(tracking.get_any_logged_model(&model.model_id), Code::ResourceDoesNotExist);
    assert!(tracking.logged_models_deleted_by(now_ms()).unwrap().is_empty());
}
