//! Logged models.

use super::support::*;
use crate::tracking::handle::store::Tracking;
use crate::tracking::values::entities::{LoggedModel, LoggedModelStatus, Metric};
use crate::tracking::values::error::Code;
use crate::tracking::{CreateLoggedModel, CreateModelVersion, CreateRun, LoggedModelSearch, ModelOrder, RunSearch};

fn model(tracking: &Tracking, name: &str, lr: &str) -> LoggedModel {
    let new = CreateLoggedModel {
        experiment_id: "0".into(),
        name: Some(name.into()),
        params: vec![("lr".into(), lr.into())],
        tags: vec![("t".into(), "1".into()), ("t".into(), name.into())],
        model_type: (name != "a").then(|| "Agent".into()),
        ..CreateLoggedModel::default()
    };
    tracking.create_logged_model(&new).unwrap()
}

fn measured(key: &str, step: i64, value: f64, model: &LoggedModel, dataset: Option<&str>) -> Metric {
    Metric {
        model_id: Some(model.model_id.clone()),
        dataset_name: dataset.map(str::to_owned),
        dataset_digest: dataset.map(|_| "1".to_owned()),
        ..metric(key, step, 5, value)
    }
}

#[test]
fn a_model_lives_from_pending_to_deleted() {
    let disk = disk();
    let tracking = on(&disk);
    let made = model(&tracking, "a", "0.1");
    assert!(made.model_id.starts_with("m-") && made.model_id.len() == 34);
    assert_eq!(
        (made.status, made.tags["t"].as_str(), made.params["lr"].as_str()),
        (LoggedModelStatus::Pending, "a", "0.1")
    );
    assert_eq!(made.artifact_uri, format!("mlflow-artifacts:/0/models/{}/artifacts", made.model_id));
    assert_eq!(tracking.get_logged_model(&made.model_id).unwrap(), made);
    let ready = tracking.finalize_logged_model(&made.model_id, LoggedModelStatus::Ready).unwrap();
    assert_eq!(ready.status, LoggedModelStatus::Ready);
    tracking.log_logged_model_params(&made.model_id, &[("depth".into(), "3".into())]).unwrap();
    tracking.set_logged_model_tags(&made.model_id, &[("t".into(), "2".into()), ("u".into(), "3".into())]).unwrap();
    tracking.delete_logged_model_tag(&made.model_id, "t").unwrap();
    refused(tracking.delete_logged_model_tag(&made.model_id, "t"), Code::ResourceDoesNotExist);
    let now = on(&disk).get_logged_model(&made.model_id).unwrap();
    assert_eq!((now.params["depth"].as_str(), now.tags.len(), now.tags["u"].as_str()), ("3", 1, "3"));
    tracking.delete_logged_model(&made.model_id).unwrap();
    refused(tracking.get_logged_model(&made.model_id), Code::ResourceDoesNotExist);
    // Words about a deleted one are taken all the same.
    tracking.set_logged_model_tags(&made.model_id, &[("t".into(), "4".into())]).unwrap();
    tracking.finalize_logged_model(&made.model_id, LoggedModelStatus::UploadFailed).unwrap();
    for id in ["m-none", "no/id", &run(&tracking, "r")] {
        refused(tracking.get_logged_model(id), Code::ResourceDoesNotExist);
    }
    for name in ["", "a/b", "a:b", "a.b", "a%", "a\"", "a'"] {
        let new = CreateLoggedModel { name: Some(name.into()), ..CreateLoggedModel::default() };
        refused(tracking.create_logged_model(&new), Code::InvalidParameterValue);
    }
    assert!(!tracking.create_logged_model(&CreateLoggedModel::default()).unwrap().name.is_empty());
}

#[test]
fn models_are_no_runs() {
    let tracking = tracking();
    let made = model(&tracking, "a", "0.1");
    let one = run(&tracking, "r");
    let check = |tracking: &Tracking| {
        let search = RunSearch { experiment_ids: vec!["0".into()], ..RunSearch::default() };
        let found = tracking.search_runs(&search).unwrap().items;
        assert_eq!(found.iter().map(|run| run.info.run_id.as_str()).collect::<Vec<_>>(), [one.as_str()]);
        assert_eq!(tracking.workspace().run_ids().unwrap().len(), 1);
        assert_eq!(tracking.workspace().maintenance().usage().unwrap().runs, 1);
        refused(tracking.get_run(&made.model_id), Code::ResourceDoesNotExist);
        let search = LoggedModelSearch { experiment_ids: vec!["0".into()], ..LoggedModelSearch::default() };
        assert_eq!(tracking.search_logged_models(&search).unwrap().items.len(), 1);
    };
    check(&tracking);
    tracking.close().unwrap();
    tracking
        .workspace()
        .maintenance()
        .compact(crate::workspace::compact::compaction::CompactOptions::default())
        .unwrap();
    check(&tracking);
}

#[test]
fn metrics_of_a_model_are_the_runs_and_the_models() {
    let tracking = tracking();
    let (a, b, c) = (model(&tracking, "a", "1"), model(&tracking, "b", "2"), model(&tracking, "c", "3"));
    let id = run(&tracking, "r");
    tracking.log_metric(&id, &measured("acc", 1, 0.5, &a, None)).unwrap();
    tracking.log_metric(&id, &measured("acc", 0, 0.1, &a, None)).unwrap();
    tracking.log_metric(&id, &measured("acc", 0, 0.7, &a, Some("eval"))).unwrap();
    tracking.log_metric(&id, &measured("acc", 0, 0.6, &b, Some("eval"))).unwrap();
    let metrics = tracking.get_logged_model(&a.model_id).unwrap().metrics;
    let told: Vec<(f64, Option<&str>)> =
        metrics.iter().map(|metric| (metric.value, metric.dataset_name.as_deref())).collect();
    assert_eq!(told, [(0.5, None), (0.7, Some("eval"))]);
    assert_eq!(metrics[0].run_id.as_deref(), Some(id.as_str()));
    assert_eq!(tracking.get_metric_history(&id, "acc", None, 0).unwrap().items.len(), 4);
    let gone = Metric { model_id: Some("m-none".into()), ..metric("acc", 0, 0, 0.0) };
    refused(tracking.log_metric(&id, &gone), Code::ResourceDoesNotExist);

    let names = |search: LoggedModelSearch| {
        let search = LoggedModelSearch { experiment_ids: vec!["0".into()], ..search };
        let page = tracking.search_logged_models(&search).unwrap();
        (page.items.into_iter().map(|model| model.name).collect::<Vec<_>>(), page.next_offset)
    };
    let by = |field: &str, ascending, dataset: Option<&str>| ModelOrder {
        field_name: field.into(),
        ascending,
        dataset_name: dataset.map(str::to_owned),
        dataset_digest: None,
    };
    let filtered = |filter: &str| {
        let order_by = vec![by("name", true, None)];
        names(LoggedModelSearch { filter: filter.into(), order_by, ..LoggedModelSearch::default() }).0
    };
    assert_eq!(filtered(""), ["a", "b", "c"]);
    // The latest value counts, on whichever dataset it was measured.
    assert_eq!((filtered("metrics.acc > 0.55"), filtered("metrics.acc = 0.5")), (vec!["b".into()], vec!["a".into()]));
    assert_eq!(filtered("params.lr = '3' AND tags.t != 'x'"), ["c"]);
    assert_eq!(filtered("status = 'PENDING' AND attributes.model_type = 'Agent'"), ["b", "c"]);
    assert_eq!(filtered("model_type = '' AND name = a"), ["a"]);
    assert_eq!(filtered("name IN ('a', 'c',) AND creation_timestamp > 5"), ["a", "c"]);
    assert_eq!(filtered(&format!("model_id = '{}'", b.model_id)), ["b"]);
    for filter in ["nothing = 'x'", "metrics.acc = '1'", "params.lr IS NULL", "attribute.name = 'a'"] {
        let search = LoggedModelSearch { filter: filter.into(), ..LoggedModelSearch::default() };
        refused(tracking.search_logged_models(&search), Code::InvalidParameterValue);
    }
    let eval = vec![("eval".to_owned(), None)];
    let search =
        LoggedModelSearch { datasets: eval, filter: "metrics.acc < 0.65".into(), ..LoggedModelSearch::default() };
    assert_eq!(names(search.clone()).0, ["b"]);
    let order_by = vec![by("metrics.acc", true, None)];
    assert_eq!(names(LoggedModelSearch { filter: String::new(), order_by, ..search }).0, ["a", "b"]);
    let order_by = vec![by("metrics.acc", false, None)];
    assert_eq!(names(LoggedModelSearch { order_by, ..LoggedModelSearch::default() }).0, ["b", "a", "c"]);
    let order_by = vec![by("metrics.acc", false, Some("eval"))];
    let search = LoggedModelSearch { order_by, max_results: 2, ..LoggedModelSearch::default() };
    assert_eq!(names(search.clone()), (vec!["a".into(), "b".into()], Some(2)));
    assert_eq!(names(LoggedModelSearch { offset: 2, ..search }), (vec!["c".into()], None));
    let page = names(LoggedModelSearch { max_results: 2, ..LoggedModelSearch::default() });
    assert_eq!((page.0.len(), page.1), (2, Some(2)));
    let none = tracking.search_logged_models(&LoggedModelSearch::default()).unwrap();
    assert!(none.items.is_empty());
    tracking.delete_logged_model(&c.model_id).unwrap();
    assert_eq!(filtered(""), ["a", "b"]);
}

#[test]
fn a_version_of_a_logged_model_knows_its_files_and_its_run() {
    let tracking = tracking();
    let id = run(&tracking, "r");
    let new = CreateLoggedModel { source_run_id: Some(id.clone()), ..CreateLoggedModel::default() };
    let made = tracking.create_logged_model(&new).unwrap();
    tracking.create_registered_model("m", &[], "").unwrap();
    let source = format!("models:/{}", made.model_id);
    let version = CreateModelVersion { name: "m".into(), source: source.clone(), ..CreateModelVersion::default() };
    let version = tracking.create_model_version(&version).unwrap();
    assert_eq!((version.source, version.storage_location, version.run_id), (source, made.artifact_uri, id.clone()));
    let by_id = CreateModelVersion {
        name: "m".into(),
        source: "s3://b/m".into(),
        model_id: made.model_id.clone(),
        ..CreateModelVersion::default()
    };
    let version = tracking.create_model_version(&by_id).unwrap();
    assert_eq!((version.version, version.run_id, version.model_id), (2, id, made.model_id));
}

#[test]
fn a_model_knows_the_versions_that_it_is() {
    let tracking = tracking();
    let made = model(&tracking, "a", "1");
    for name in ["one", "it's \"two\""] {
        tracking.create_registered_model(name, &[], "").unwrap();
        let new = CreateModelVersion {
            name: name.into(),
            source: made.artifact_uri.clone(),
            model_id: made.model_id.clone(),
            ..CreateModelVersion::default()
        };
        tracking.create_model_version(&new).unwrap();
    }
    let known = tracking.get_logged_model(&made.model_id).unwrap();
    assert_eq!(
        known.tags["mlflow.modelVersions"],
        r#"[{"name": "one", "version": 1}, {"name": "it's \"two\"", "version": 1}]"#
    );
}

#[test]
fn letters_of_tags_and_params_are_not_looked_at() {
    let tracking = tracking();
    let odd = vec![("a@[b]".to_owned(), "1".to_owned())];
    let new = CreateLoggedModel { params: odd.clone(), tags: odd.clone(), ..CreateLoggedModel::default() };
    let made = tracking.create_logged_model(&new).unwrap();
    assert_eq!((made.params["a@[b]"].as_str(), made.tags["a@[b]"].as_str()), ("1", "1"));
    let new = CreateRun { tags: odd, ..CreateRun::default() };
    assert_eq!(tracking.create_run(&new).unwrap().data.tags["a@[b]"], "1");
    let long = CreateRun { tags: vec![("k".repeat(251), "v".into())], ..CreateRun::default() };
    refused(tracking.create_run(&long), Code::InvalidParameterValue);
}

#[test]
fn only_versions_of_models_that_are_there_are_told_to_them() {
    let tracking = tracking();
    let known = model(&tracking, "a", "0.1").model_id;
    tracking.create_registered_model("m", &[], "").unwrap();
    let version = |model_id: &str, tags: &[(&str, &str)]| {
        let tags = tags.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let (run_id, source) = ("r".to_owned(), "s3://b/m".to_owned());
        let new = CreateModelVersion {
            name: "m".into(),
            source,
            run_id,
            model_id: model_id.into(),
            tags,
            ..Default::default()
        };
        tracking.create_model_version(&new)
    };
    let prompt = [("mlflow.prompt.is_prompt", "True")];
    // Nothing stays of what is refused, so that the number is still free.
    refused(version("m-none", &[]), Code::ResourceDoesNotExist);
    // A prompt has no files, so it is not a model either.
    assert_eq!(version("m-none", &prompt).unwrap().version, 1);
    assert_eq!(version(&known, &prompt).unwrap().version, 2);
    let told = || tracking.get_logged_model(&known).unwrap().tags.get("mlflow.modelVersions").cloned();
    assert_eq!(told(), None);
    assert_eq!(version(&known, &[]).unwrap().version, 3);
    assert_eq!(told().as_deref(), Some("[{\"name\": \"m\", \"version\": 3}]"));
}
