//! Registered models by MLflow's calls: its rules of names, stages, aliases and prompts.

use super::support::*;
use crate::tracking::CreateModelVersion;
use crate::tracking::handle::store::Tracking;
use crate::tracking::values::entities::{ModelVersion, Stage};
use crate::tracking::values::error::Code;

fn version(tracking: &Tracking, name: &str, source: &str) -> ModelVersion {
    let new = CreateModelVersion { name: name.into(), source: source.into(), ..CreateModelVersion::default() };
    tracking.create_model_version(&new).unwrap()
}

#[test]
fn numbers_never_come_back_until_the_model_goes() {
    let tracking = tracking();
    tracking.create_registered_model("m", &[], "").unwrap();
    assert_eq!((1..=3).map(|_| version(&tracking, "m", "s3://b/m").version).collect::<Vec<_>>(), [1, 2, 3]);
    tracking.delete_model_version("m", "3").unwrap();
    tracking.delete_model_version("m", "2").unwrap();
    refused(tracking.get_model_version("m", "3"), Code::ResourceDoesNotExist);
    refused(tracking.delete_model_version("m", "3"), Code::ResourceDoesNotExist);
    assert_eq!(version(&tracking, "m", "s3://b/m").version, 4);
    tracking.delete_registered_model("m").unwrap();
    let message = refused(tracking.get_registered_model("m"), Code::ResourceDoesNotExist);
    assert_eq!(message, "Registered Model with name=m not found");
    tracking.create_registered_model("m", &[], "").unwrap();
    assert_eq!(version(&tracking, "m", "s3://b/m").version, 1);
    let message = refused(tracking.get_model_version("m", "9"), Code::ResourceDoesNotExist);
    assert_eq!(message, "Model Version (name=m, version=9) not found");
    refused(tracking.get_model_version("m", "x"), Code::InvalidParameterValue);
    refused(tracking.get_model_version("m", "-1"), Code::ResourceDoesNotExist);
}

#[test]
fn names_are_checked_and_taken_once() {
    let tracking = tracking();
    let tags = [("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
    let made = tracking.create_registered_model("m", &tags, "d").unwrap();
    assert_eq!((made.tags["a"].as_str(), made.description.as_str()), ("2", "d"));
    refused(tracking.create_registered_model("m", &[], ""), Code::ResourceAlreadyExists);
    for name in ["", " ", "a/b", "a:b", ".."] {
        refused(tracking.create_registered_model(name, &[], ""), Code::InvalidParameterValue);
    }
    tracking.create_registered_model(&"x".repeat(300), &[], "").unwrap();
    version(&tracking, "m", "s3://b/m");
    tracking.set_registered_model_alias("m", "best", "1").unwrap();
    tracking.rename_registered_model("m", "m").unwrap();
    refused(tracking.rename_registered_model("m", &"x".repeat(300)), Code::ResourceAlreadyExists);
    let renamed = tracking.rename_registered_model("m", "n").unwrap();
    assert_eq!((renamed.aliases["best"], renamed.tags["a"].as_str(), renamed.latest_versions.len()), (1, "2", 1));
    refused(tracking.rename_registered_model("m", "o"), Code::ResourceDoesNotExist);
    tracking.set_registered_model_tag("n", "k", &"v".repeat(100_000)).unwrap();
    refused(tracking.set_registered_model_tag("n", "k", &"v".repeat(100_001)), Code::InvalidParameterValue);
    tracking.delete_registered_model_tag("n", "k").unwrap();
    tracking.delete_registered_model_tag("n", "k").unwrap();
    tracking.set_model_version_tag("n", "1", "k", "v").unwrap();
    tracking.delete_model_version_tag("n", "1", "k").unwrap();
    tracking.delete_model_version_tag("n", "1", "k").unwrap();
    refused(tracking.set_model_version_tag("n", "2", "k", "v"), Code::ResourceDoesNotExist);
    assert_eq!(tracking.update_registered_model("n", "e").unwrap().description, "e");
    assert_eq!(tracking.update_model_version("n", "1", "f").unwrap().description, "f");
}

#[test]
fn a_stage_is_cleared_for_a_newcomer_where_asked() {
    let tracking = tracking();
    tracking.create_registered_model("m", &[], "").unwrap();
    (0..4).for_each(|_| _ = version(&tracking, "m", "s3://b/m"));
    let stage = |number: &str| tracking.get_model_version("m", number).unwrap().current_stage;
    tracking.transition_model_version_stage("m", "1", "production", false).unwrap();
    tracking.transition_model_version_stage("m", "2", "Production", false).unwrap();
    tracking.transition_model_version_stage("m", "3", "Staging", false).unwrap();
    tracking.transition_model_version_stage("m", "2", "PRODUCTION", true).unwrap();
    assert_eq!((stage("1"), stage("2"), stage("3")), (Stage::Archived, Stage::Production, Stage::Staging));
    refused(tracking.transition_model_version_stage("m", "2", "Archived", true), Code::InternalError);
    refused(tracking.transition_model_version_stage("m", "2", "Nowhere", false), Code::InvalidParameterValue);
    let latest = |stages: &[&str]| {
        let stages: Vec<String> = stages.iter().map(|&stage| stage.to_owned()).collect();
        let mut latest: Vec<u64> =
            tracking.get_latest_versions("m", &stages).unwrap().iter().map(|version| version.version).collect();
        latest.sort_unstable();
        latest
    };
    assert_eq!(latest(&[]), [1, 2, 3, 4]);
    assert_eq!(latest(&["none", "STAGING"]), [3, 4]);
    refused(tracking.get_latest_versions("m", &["x".into()]), Code::InvalidParameterValue);
}

#[test]
fn an_alias_names_one_version() {
    let tracking = tracking();
    tracking.create_registered_model("m", &[], "").unwrap();
    refused(tracking.get_model_version_by_alias("m", "latest"), Code::ResourceDoesNotExist);
    (0..2).for_each(|_| _ = version(&tracking, "m", "s3://b/m"));
    tracking.set_registered_model_alias("m", "best", "1").unwrap();
    tracking.set_registered_model_alias("m", "Best", "2").unwrap();
    tracking.set_registered_model_alias("m", "123", "2").unwrap();
    let by = |alias: &str| tracking.get_model_version_by_alias("m", alias).unwrap().version;
    assert_eq!((by("best"), by("Best"), by("123"), by("LATEST")), (1, 2, 2, 2));
    tracking.set_registered_model_alias("m", "best", "2").unwrap();
    assert_eq!(tracking.get_model_version("m", "2").unwrap().aliases, ["123", "Best", "best"]);
    refused(tracking.set_registered_model_alias("m", "best", "9"), Code::ResourceDoesNotExist);
    for alias in ["latest", "Latest", "v1", "V22", "a b", "", &"x".repeat(256)] {
        refused(tracking.set_registered_model_alias("m", alias, "1"), Code::InvalidParameterValue);
    }
    refused(tracking.get_model_version_by_alias("m", "none"), Code::InvalidParameterValue);
    tracking.delete_registered_model_alias("m", "none").unwrap();
    tracking.delete_registered_model_alias("m", "123").unwrap();
    tracking.delete_model_version("m", "2").unwrap();
    assert!(tracking.get_registered_model("m").unwrap().aliases.is_empty());
}

#[test]
fn a_copy_keeps_the_original_place() {
    let tracking = tracking();
    for name in ["a", "b"] {
        tracking.create_registered_model(name, &[], "").unwrap();
    }
    version(&tracking, "a", "s3://b/m");
    tracking.set_registered_model_alias("a", "best", "1").unwrap();
    for source in ["models:/a/1", "models:/a@best", "models:/a/latest"] {
        let copy = version(&tracking, "b", source);
        assert_eq!((copy.source.as_str(), copy.storage_location.as_str()), (source, "s3://b/m"));
    }
    assert_eq!(tracking.get_model_version_download_uri("b", "1").unwrap(), "s3://b/m");
    let new = CreateModelVersion { name: "b".into(), source: "models:/a/9".into(), ..CreateModelVersion::default() };
    refused(tracking.create_model_version(&new), Code::ResourceDoesNotExist);
    let new = CreateModelVersion { name: "c".into(), source: "s3://b".into(), ..CreateModelVersion::default() };
    refused(tracking.create_model_version(&new), Code::ResourceDoesNotExist);
}

#[test]
fn models_and_versions_are_found_and_prompts_only_when_asked_for() {
    let tracking = tracking();
    let prompt = [("mlflow.prompt.is_prompt".to_owned(), "true".to_owned())];
    for (name, tags) in [("b", &[][..]), ("a", &[]), ("p", &prompt)] {
        tracking.create_registered_model(name, tags, "").unwrap();
        for run in ["r1", "r2"] {
            let new = CreateModelVersion {
                name: name.into(),
                source: format!("s3://{name}"),
                run_id: run.into(),
                tags: tags.to_vec(),
                ..CreateModelVersion::default()
            };
            tracking.create_model_version(&new).unwrap();
        }
    }
    tracking.set_registered_model_tag("a", "k", "v").unwrap();
    let models = |filter: &str, order: &str, max, offset| {
        let order: Vec<String> = (!order.is_empty()).then(|| order.to_owned()).into_iter().collect();
        let page = tracking.search_registered_models(filter, &order, max, offset).unwrap();
        (page.items.into_iter().map(|model| model.name).collect::<Vec<_>>(), page.next_offset)
    };
    assert_eq!(models("", "", 10, 0).0, ["a", "b"]);
    assert_eq!(models("", "name DESC", 10, 0).0, ["b", "a"]);
    assert_eq!(models("name ILIKE 'A%' AND tags.k = 'v'", "", 10, 0).0, ["a"]);
    assert_eq!(models("tags.`mlflow.prompt.is_prompt` = 'true'", "", 10, 0).0, ["p"]);
    assert_eq!(models("tags.`mlflow.prompt.is_prompt` != 'true'", "", 10, 0).0, ["a", "b"]);
    assert_eq!(models("name IN ('b', 'p')", "", 10, 0).0, ["b"]);
    assert_eq!(models("", "", 1, 0), (vec!["a".into()], Some(1)));
    assert_eq!(models("", "", 1, 1), (vec!["b".into()], None));
    assert!(models("", "", 0, 0).0.is_empty() && models("", "", -1, 0).0.is_empty());
    refused(tracking.search_registered_models("", &[], 1001, 0), Code::InvalidParameterValue);
    for order in ["creation_timestamp", "tags.k", "x"] {
        refused(tracking.search_registered_models("", &[order.into()], 5, 0), Code::InvalidParameterValue);
    }
    for filter in ["run_id = 'r1'", "name < 'a'", "tags.k IS NULL", "description = 'x'"] {
        refused(tracking.search_registered_models(filter, &[], 5, 0), Code::InvalidParameterValue);
    }
    let versions = |filter: &str, order: &[&str]| {
        let order: Vec<String> = order.iter().map(|&order| order.to_owned()).collect();
        let page = tracking.search_model_versions(filter, &order, 100, 0).unwrap();
        page.items.into_iter().map(|version| format!("{}{}", version.name, version.version)).collect::<Vec<_>>()
    };
    assert_eq!(versions("", &["name ASC"]), ["a2", "a1", "b2", "b1"]);
    assert_eq!(versions("", &["version_number ASC"]), ["a1", "b1", "a2", "b2"]);
    assert_eq!(versions("name = 'a' AND run_id = 'r2'", &[]), ["a2"]);
    assert_eq!(versions("version_number > 1 AND source_path LIKE '%b'", &[]), ["b2"]);
    assert_eq!(versions("version_number = '1' AND name IN ('a')", &[]), ["a1"]);
    assert_eq!(versions("tags.`mlflow.prompt.is_prompt` = 'true'", &["version_number"]), ["p1", "p2"]);
    tracking.delete_model_version("a", "1").unwrap();
    assert_eq!(versions("name = 'a'", &[]), ["a2"]);
    for (filter, max) in [("version_number > 1.5", 5), ("", 0), ("", 200_001), ("status = 'READY'", 5)] {
        refused(tracking.search_model_versions(filter, &[], max, 0), Code::InvalidParameterValue);
    }
}

#[test]
fn models_and_prompts_share_their_names() {
    let tracking = tracking();
    let prompt = [("mlflow.prompt.is_prompt".to_owned(), "true".to_owned())];
    tracking.create_registered_model("m", &[], "").unwrap();
    tracking.create_registered_model("p", &prompt, "").unwrap();
    let said = |name: &str, tags: &[(String, String)]| {
        let fault = tracking.create_registered_model(name, tags, "").unwrap_err();
        assert_eq!(fault.code, Code::ResourceAlreadyExists);
        fault.message
    };
    assert_eq!(said("m", &[]), "Registered Model (name=m) already exists.");
    assert_eq!(said("p", &prompt), "Prompt (name=p) already exists.");
    assert!(
        said("p", &[]).starts_with(
            "Tried to create a registered model with name 'p', but the name is already taken by a prompt."
        )
    );
    assert!(
        said("m", &prompt).starts_with(
            "Tried to create a prompt with name 'm', but the name is already taken by a registered model."
        )
    );
}
