//! What runs read and made; and experiments deleted and restored with all their runs.

use super::support::*;
use crate::tracking::handle::store::Tracking;
use crate::tracking::values::entities::{Dataset, DatasetInput, LifecycleStage, ModelOutput, View};
use crate::tracking::values::error::Code;
use crate::tracking::{CreateExperiment, CreateRun, RunSearch};
use crate::workspace::compact::compaction::CompactOptions;

fn input(name: &str, digest: &str, source: &str, context: &str) -> DatasetInput {
    DatasetInput {
        dataset: Dataset {
            name: name.into(),
            digest: digest.into(),
            source_type: "local".into(),
            source: source.into(),
            schema: Some(String::new()),
            profile: None,
        },
        tags: vec![("mlflow.data.context".into(), context.into()), ("é:".into(), "1:2".into())],
    }
}

fn found(tracking: &Tracking, filter: &str, view: View) -> Vec<String> {
    let search = RunSearch { experiment_ids: vec!["0".into()], filter: filter.into(), view, ..RunSearch::default() };
    let mut names: Vec<String> =
        tracking.search_runs(&search).unwrap().items.into_iter().map(|run| run.info.run_name).collect();
    names.sort();
    names
}

#[test]
fn inputs_and_outputs_come_in_the_order_in_which_they_were_logged() {
    let disk = disk();
    let tracking = on(&disk);
    let id = run(&tracking, "a");
    let names = ["zebra", "ant", "m10", "m9", "é", "B"];
    for pair in names.chunks(2) {
        let inputs: Vec<DatasetInput> = pair.iter().map(|name| input(name, "1", "s", "train")).collect();
        tracking.log_inputs(&id, &inputs, &pair.iter().map(|name| format!("m-{name}")).collect::<Vec<_>>()).unwrap();
        // What is known already keeps its place, also where it is said twice at once.
        tracking.log_inputs(&id, &[inputs[1].clone(), inputs[1].clone()], &[format!("m-{}", pair[0])]).unwrap();
        let outputs: Vec<ModelOutput> =
            pair.iter().map(|name| ModelOutput { model_id: format!("m-{name}"), step: -3 }).collect();
        tracking.log_outputs(&id, &outputs).unwrap();
    }
    let models = names.map(|name| format!("m-{name}"));
    let check = |tracking: &Tracking| {
        let search = RunSearch { experiment_ids: vec!["0".into()], ..RunSearch::default() };
        let listed = tracking.search_runs(&search).unwrap().items.remove(0);
        let got = tracking.get_run(&id).unwrap();
        for (inputs, outputs) in [(got.inputs, got.outputs), (listed.inputs, listed.outputs)] {
            let told: Vec<&str> = inputs.dataset_inputs.iter().map(|input| input.dataset.name.as_str()).collect();
            assert_eq!(told, names);
            assert!(inputs.dataset_inputs.iter().all(|read| read.tags == input("", "", "", "train").tags));
            assert_eq!(inputs.model_inputs, models);
            assert!(outputs.model_outputs.iter().all(|output| output.step == -3));
            assert_eq!(outputs.model_outputs.iter().map(|output| output.model_id.as_str()).collect::<Vec<_>>(), models);
        }
    };
    check(&tracking);
    // Packed too.
    tracking.close().unwrap();
    on(&disk).workspace().maintenance().compact(CompactOptions::default()).unwrap();
    check(&on(&disk));
}

#[test]
fn the_first_description_of_a_dataset_stands_and_an_edge_is_made_once() {
    let disk = disk();
    let tracking = on(&disk);
    let (a, b) = (run(&tracking, "a"), run(&tracking, "b"));
    let first = input("d", "1", "here", "train");
    tracking.log_inputs(&a, &[first.clone(), input("d", "1", "there", "eval")], &["m-1".into()]).unwrap();
    tracking.log_inputs(&a, &[input("d", "1", "there", "eval")], &["m-1".into()]).unwrap();
    assert_eq!(tracking.get_run(&a).unwrap().inputs.dataset_inputs, std::slice::from_ref(&first));
    assert_eq!(tracking.get_run(&a).unwrap().inputs.model_inputs, ["m-1"]);
    // Another process describes it in another way, and uses it in another.
    let other = on(&disk);
    other.log_inputs(&b, &[input("d", "1", "there", "eval"), input("d", "2", "far", "train")], &[]).unwrap();
    let inputs = tracking.get_run(&b).unwrap().inputs.dataset_inputs;
    assert_eq!((inputs.len(), inputs[0].dataset.source.as_str()), (2, "here"));
    assert_eq!(inputs[0].tags[0].1, "eval");
    let all = |filter: &str| found(&tracking, filter, View::ActiveOnly);
    assert_eq!(all("dataset.name = 'd'"), ["a", "b"]);
    assert_eq!(all("datasets.digest = '2'"), ["b"]);
    assert_eq!(all("dataset.context = 'train' AND dataset.digest IN ('1')"), ["a", "b"]);
    assert_eq!(all("dataset.context = 'eval'"), ["b"]);
    assert!(all("dataset.name LIKE 'x%'").is_empty());
    let summaries = tracking.search_datasets(&["0".into()]).unwrap();
    let told: Vec<(&str, Option<&str>)> =
        summaries.iter().map(|summary| (summary.digest.as_str(), summary.context.as_deref())).collect();
    assert_eq!(told, [("1", Some("eval")), ("1", Some("train")), ("2", Some("train"))]);
    // The list of runs tells the same as the single run.
    let search =
        RunSearch { experiment_ids: vec!["0".into()], filter: "run_name = 'b'".into(), ..RunSearch::default() };
    assert_eq!(tracking.search_runs(&search).unwrap().items[0].inputs, tracking.get_run(&b).unwrap().inputs);
    let long = input(&"x".repeat(501), "1", "", "");
    refused(tracking.log_inputs(&a, &[long], &[]), Code::InvalidParameterValue);
    refused(tracking.log_inputs(&a, &[input("x", &"1".repeat(37), "", "")], &[]), Code::InvalidParameterValue);
    refused(tracking.log_inputs("no/id", &[], &[]), Code::InvalidParameterValue);
}

#[test]
fn an_output_is_made_once() {
    let tracking = tracking();
    let id = run(&tracking, "a");
    let output = ModelOutput { model_id: "m-1".into(), step: 3 };
    tracking.log_outputs(&id, std::slice::from_ref(&output)).unwrap();
    assert_eq!(tracking.get_run(&id).unwrap().outputs.model_outputs, std::slice::from_ref(&output));
    refused(tracking.log_outputs(&id, &[output]), Code::BadRequest);
    tracking.delete_run(&id).unwrap();
    refused(tracking.log_outputs(&id, &[]), Code::InvalidParameterValue);
    refused(tracking.log_inputs(&id, &[], &[]), Code::InvalidParameterValue);
}

#[test]
fn an_experiment_takes_all_its_runs_with_it_and_brings_all_back() {
    let disk = disk();
    let tracking = on(&disk);
    let experiment =
        tracking.create_experiment(&CreateExperiment { name: "e".into(), ..CreateExperiment::default() }).unwrap();
    let create = |name: &str| {
        let new = CreateRun { experiment_id: experiment.clone(), run_name: name.into(), ..CreateRun::default() };
        tracking.create_run(&new).unwrap().info.run_id
    };
    let (one, two) = (create("one"), create("two"));
    let stage = |id: &str| tracking.get_run(id).unwrap().info.lifecycle_stage;
    let found = |view| {
        let ids = vec![experiment.clone()];
        let page = tracking.search_runs(&RunSearch { experiment_ids: ids, view, ..RunSearch::default() }).unwrap();
        let mut found: Vec<(String, LifecycleStage)> =
            page.items.into_iter().map(|run| (run.info.run_name, run.info.lifecycle_stage)).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    };
    let (active, deleted) = (LifecycleStage::Active, LifecycleStage::Deleted);
    let named = |name: &str, stage| (name.to_owned(), stage);
    tracking.delete_run(&one).unwrap();
    assert_eq!(found(View::ActiveOnly), [named("two", active)]);
    tracking.delete_experiment(&experiment).unwrap();
    assert_eq!((stage(&one), stage(&two)), (deleted, deleted));
    assert!(found(View::ActiveOnly).is_empty());
    assert_eq!(found(View::DeletedOnly), [named("one", deleted), named("two", deleted)]);
    refused(tracking.log_metric(&two, &metric("m", 0, 0, 1.0)), Code::InvalidParameterValue);
    // A run of a deleted experiment may be restored by itself, and is written then.
    tracking.restore_run(&two).unwrap();
    tracking.log_metric(&two, &metric("m", 0, 0, 1.0)).unwrap();
    assert_eq!(found(View::ActiveOnly), [named("two", active)]);
    tracking.delete_run(&two).unwrap();
    // The experiment brings all back, whoever was deleted alone before.
    tracking.restore_experiment(&experiment).unwrap();
    assert_eq!((stage(&one), stage(&two)), (active, active));
    assert_eq!(found(View::All), [named("one", active), named("two", active)]);
    // What is said of single runs after that counts again, also for another process and once it is packed.
    tracking.delete_run(&one).unwrap();
    tracking.close().unwrap();
    tracking
        .workspace()
        .maintenance()
        .compact(crate::workspace::compact::compaction::CompactOptions::default())
        .unwrap();
    let other = on(&disk);
    assert_eq!(other.get_run(&one).unwrap().info.lifecycle_stage, deleted);
    assert_eq!(found(View::DeletedOnly), [named("one", deleted)]);
}
