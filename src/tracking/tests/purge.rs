//! Deleting for good, with MLflow's codes.

use super::support::*;
use crate::base::ids::RunId;
use crate::tracking::entities::MetricRef;
use crate::tracking::error::Code;
use crate::tracking::store::Tracking;
use crate::tracking::{Batch, CreateRun, NewExperiment};

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
    let new = NewExperiment { name: "e".into(), ..NewExperiment::default() };
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
