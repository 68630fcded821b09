//! Deleting for good, with MLflow's codes.

use super::support::*;
use crate::base::ids::RunId;
use crate::tracking::error::Code;
use crate::tracking::store::Tracking;
use crate::tracking::{Batch, CreateRun, NewExperiment};

fn batch(keys: &[&str]) -> Batch {
    let metrics = keys.iter().map(|key| metric(key, 1, 2, 3.0)).collect();
    Batch { metrics, ..Batch::default() }
}

#[test]
fn a_metric_is_deleted_for_good_and_may_be_logged_anew() {
    let tracking = tracking();
    let id = run(&tracking, "r");
    tracking.log_batch(&id, &batch(&["a", "b"])).unwrap();
    refused(tracking.delete_metric(&id, "c"), Code::ResourceDoesNotExist);
    refused(tracking.delete_metric("no", "a"), Code::ResourceDoesNotExist);
    tracking.delete_metric(&id, "a").unwrap();
    let keys = |tracking: &Tracking| -> Vec<String> {
        tracking.get_run(&id).unwrap().data.metrics.into_iter().map(|metric| metric.key).collect()
    };
    assert_eq!(keys(&tracking), ["b"]);
    tracking.log_batch(&id, &batch(&["a"])).unwrap();
    assert_eq!(keys(&tracking), ["a", "b"]);
    let other = on(&disk());
    let foreign = run(&other, "open elsewhere");
    let writer = other.workspace().writer(&RunId::new(foreign.clone()).unwrap()).unwrap();
    other.log_batch(&foreign, &batch(&["a"])).unwrap();
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
    tracking.log_batch(&second, &batch(&["a"])).unwrap();
    refused(tracking.purge_experiment(&experiment), Code::InvalidState);
    tracking.delete_experiment(&experiment).unwrap();
    tracking.purge_experiment(&experiment).unwrap();
    refused(tracking.get_run(&second), Code::ResourceDoesNotExist);
    refused(tracking.get_experiment(&experiment), Code::ResourceDoesNotExist);
    tracking.create_experiment(&new).unwrap();
    refused(tracking.purge_experiment("0"), Code::InvalidState);
}
