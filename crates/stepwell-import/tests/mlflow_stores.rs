//! Whole MLflow stores, made on the spot: a database and a folder store with all that they hold beside runs.

use std::path::Path;

use stepwell::items::{DATASET, LOGGED_MODEL, MODEL_FIELD, MODEL_INPUT, MODEL_METRIC, MODEL_OUTPUT, join};
use stepwell::registry::Stage;
use stepwell_import::{BoxError, ImportedExperiment, ImportedModel, ImportedRun, Kind, Report, Sink, Taken, import};

#[derive(Default)]
struct Collect {
    experiments: Vec<ImportedExperiment>,
    runs: Vec<ImportedRun>,
    models: Vec<ImportedModel>,
}

impl Sink for Collect {
    fn run(&mut self, run: ImportedRun) -> Result<Taken, BoxError> {
        let counts = run.counts();
        self.runs.push(run);
        Ok(Taken::new(counts))
    }
    fn experiment(&mut self, experiment: ImportedExperiment) -> Result<Taken, BoxError> {
        self.experiments.push(experiment);
        Ok(Taken::default())
    }
    fn model(&mut self, model: ImportedModel) -> Result<Taken, BoxError> {
        let counts = model.counts();
        self.models.push(model);
        Ok(Taken::new(counts))
    }
}

fn read(path: &Path) -> (Collect, Report) {
    let mut sink = Collect::default();
    let report = import(&[path.to_path_buf()], &mut sink).unwrap();
    (sink, report)
}

fn told(report: &Report) -> Vec<(Kind, u64, &str)> {
    report.skipped.iter().map(|skipped| (skipped.kind, skipped.count, skipped.reason.as_str())).collect()
}

const RUN: &str = "0123456789abcdef0123456789abcdef";
const MODEL: &str = "m-0123456789abcdef0123456789abcdef";

#[test]
fn a_database_gives_all_that_it_holds_and_counts_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlflow.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(&format!(
        "CREATE TABLE experiments (experiment_id INTEGER, name TEXT, artifact_location TEXT, lifecycle_stage TEXT, \
         creation_time BIGINT, last_update_time BIGINT, workspace TEXT);
         CREATE TABLE experiment_tags (key TEXT, value TEXT, experiment_id INTEGER);
         CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, start_time REAL, end_time BIGINT, lifecycle_stage TEXT, deleted_time BIGINT, artifact_uri TEXT, experiment_id INTEGER, source_name TEXT);
         CREATE TABLE metrics (key TEXT, value FLOAT, timestamp REAL, run_uuid TEXT, step BIGINT, is_nan BOOLEAN);
         CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
         CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
         CREATE TABLE datasets (dataset_uuid TEXT, experiment_id INTEGER, name TEXT, digest TEXT, dataset_source_type TEXT, dataset_source TEXT, dataset_schema TEXT, dataset_profile TEXT);
         CREATE TABLE inputs (input_uuid TEXT, source_type TEXT, source_id TEXT, destination_type TEXT, destination_id TEXT, step BIGINT);
         CREATE TABLE input_tags (input_uuid TEXT, name TEXT, value TEXT);
         CREATE TABLE logged_models (model_id TEXT, experiment_id INTEGER, name TEXT, artifact_location TEXT, creation_timestamp_ms BIGINT, last_updated_timestamp_ms BIGINT, status INTEGER, lifecycle_stage TEXT, model_type TEXT, source_run_id TEXT, status_message TEXT);
         CREATE TABLE logged_model_metrics (model_id TEXT, metric_name TEXT, metric_timestamp_ms BIGINT, metric_step BIGINT, metric_value FLOAT, run_id TEXT, dataset_name TEXT, dataset_digest TEXT);
         CREATE TABLE registered_models (name TEXT, creation_time BIGINT, last_updated_time BIGINT, description TEXT, workspace TEXT);
         CREATE TABLE registered_model_aliases (alias TEXT, version INTEGER, name TEXT, workspace TEXT);
         CREATE TABLE model_versions (name TEXT, version INTEGER, creation_time BIGINT, current_stage TEXT, source TEXT, run_id TEXT, storage_location TEXT, workspace TEXT);
         CREATE TABLE model_version_tags (key TEXT, value TEXT, name TEXT, version INTEGER, workspace TEXT);
         CREATE TABLE trace_info (request_id TEXT);
         CREATE TABLE alembic_version (version_num TEXT);
         CREATE TABLE something_new (x TEXT);
         INSERT INTO experiments VALUES (0, 'Default', '/x/0', 'active', 5, 6, 'default'), (7, 'empty', 's3://b/7', 'deleted', 10, 20, 'default'), (8, 'shared', 's3://b/8', 'active', 10, 20, 'team');
         INSERT INTO experiment_tags VALUES ('team', 'vision', 7);
         INSERT INTO runs VALUES ('{RUN}', 'r', 'FINISHED', 1000.25, 2000, 'deleted', 3000, 's3://b/0/r/artifacts', 0, 'train.py'), ('{}', 'lost', 'FINISHED', 1, 2, 'active', NULL, NULL, 99, '');
         INSERT INTO metrics VALUES ('m', 1, 1000.5, '{RUN}', 0, 0);
         INSERT INTO params VALUES ('p', 'x', 'nobody');
         INSERT INTO datasets VALUES ('d1', 0, 'ds', 'abc', 'local', '{{}}', NULL, 'prof');
         INSERT INTO inputs VALUES ('i1', 'DATASET', 'd1', 'RUN', '{RUN}', 0), ('i2', 'RUN_OUTPUT', '{RUN}', 'MODEL_OUTPUT', '{MODEL}', 4), ('i3', 'RUN_INPUT', '{RUN}', 'MODEL_INPUT', 'm-other', 0);
         INSERT INTO input_tags VALUES ('i1', 'mlflow.data.context', 'train');
         INSERT INTO logged_models VALUES ('{MODEL}', 0, 'net', '/x/0/models/{MODEL}/artifacts', 100, 200, 2, 'active', 'cls', '{RUN}', NULL);
         INSERT INTO logged_model_metrics VALUES ('{MODEL}', 'acc', 5, 1, 0.5, '{RUN}', 'ds', 'abc'), ('{MODEL}', 'acc', 6, 2, 0.75, '{RUN}', 'ds', 'abc');
         INSERT INTO registered_models VALUES ('net', 50, 60, 'about', 'default');
         INSERT INTO registered_model_aliases VALUES ('best', 1, 'net', 'default'), ('gone', 2, 'net', 'default');
         INSERT INTO model_versions VALUES ('net', 1, 51, 'Production', 'models:/{MODEL}', '{RUN}', '/x', 'default'), ('net', 2, 52, 'Deleted_Internal', 'REDACTED', 'REDACTED', '/y', 'default'), ('net', 1, 1, 'None', 'other workspace', NULL, NULL, 'team');
         INSERT INTO model_version_tags VALUES ('k', 'v', 'net', 1, 'default');
         INSERT INTO trace_info VALUES ('a'), ('b');
         INSERT INTO something_new VALUES ('1');",
        RUN.replace('0', "f")
    ))
    .unwrap();
    drop(db);
    let (all, report) = read(&path);
    let experiments: Vec<_> = all
        .experiments
        .iter()
        .map(|own| &own.experiment)
        .map(|own| {
            (own.id.map(|id| id.0), own.name.as_str(), own.created_ms, own.deleted, own.artifact_location.as_str())
        })
        .collect();
    assert_eq!(
        experiments,
        [
            (Some(0), "Default", Some(5), false, "/x/0"),
            (Some(7), "empty", Some(10), true, "s3://b/7"),
            (Some(8), "team.shared", Some(10), false, "s3://b/8"),
            (Some(99), "99", None, false, ""),
        ]
    );
    assert_eq!(all.experiments[1].experiment.tags["team"], "vision");
    let run = all.runs.iter().find(|run| run.id.as_str() == RUN).unwrap();
    assert_eq!((run.start_time_ms, run.attached.deleted_ms), (Some(1000), Some(3000)));
    assert_eq!(run.series[0].timestamps_ms, Some(vec![Some(1000)]), "halves go to even");
    assert_eq!(run.attached.artifact_uri.as_deref(), Some("s3://b/0/r/artifacts"));
    assert_eq!(run.attached.experiment_key.as_ref(), Some(&all.experiments[0].key));
    assert_eq!(run.tags, [("mlflow.source.name".to_owned(), "train.py".to_owned())]);
    let dataset = join(&["local", "{}", "", "+prof", "mlflow.data.context", "train"]);
    assert_eq!(
        run.attached.items,
        [
            (DATASET, join(&["ds", "abc"]), dataset),
            (MODEL_OUTPUT, MODEL.to_owned(), "4".to_owned()),
            (MODEL_INPUT, "m-other".to_owned(), String::new()),
        ]
    );
    let model = all.runs.iter().find(|run| run.attached.kind == LOGGED_MODEL).unwrap();
    assert_eq!((model.id.as_str(), model.name.as_str(), model.start_time_ms), (MODEL, "net", Some(100)));
    let item = |kind: u8, key: &str| {
        model.attached.items.iter().find(|item| item.0 == kind && item.1 == key).map(|item| item.2.as_str())
    };
    assert_eq!((item(MODEL_FIELD, "status"), item(MODEL_FIELD, "run")), (Some("READY"), Some(RUN)));
    let value = join(&[format!("{:016x}", 0.75f64.to_bits()), "6".into(), "2".into()]);
    assert_eq!(item(MODEL_METRIC, &join(&["acc", "ds", "abc", RUN])), Some(value.as_str()));
    let [net] = &all.models[..] else { panic!("{:?}", all.models) };
    assert_eq!((net.model.created_ms, net.model.last_number, net.model.versions.len()), (50, 2, 1));
    let version = &net.model.versions[&1];
    assert_eq!((version.stage, version.model_id.as_str(), version.tags["k"].as_str()), (Stage::Production, MODEL, "v"));
    assert_eq!((net.model.aliases.len(), net.model.aliases["best"]), (1, 1));
    let told = told(&report);
    for (kind, count, words) in [
        (Kind::Other, 2, "trace_info"),
        (Kind::Other, 1, "something_new"),
        (Kind::Param, 1, "runs that do not exist"),
        (Kind::Alias, 1, "not there"),
        (Kind::Experiment, 1, "does not list it"),
        (Kind::Point, 1, "older values"),
    ] {
        assert!(told.iter().any(|one| one.0 == kind && one.1 == count && one.2.contains(words)), "{words}: {told:?}");
    }
    assert!(!told.iter().any(|one| one.2.contains("alembic")), "{told:?}");
    assert_eq!((report.runs(), report.taken.get(Kind::LoggedModel), report.taken.get(Kind::Dataset)), (2, 1, 1));
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_folder_store_gives_all_that_it_holds_and_counts_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mlruns");
    let run = format!("5/{RUN}");
    let bare = "5/ffffffffffffffffffffffffffffffff";
    for (name, text) in [
        (
            "5/meta.yaml",
            "experiment_id: '5'\nname: vision\nartifact_location: s3://b/5\ncreation_time: 10\nlast_update_time: \
             20\nlifecycle_stage: active\n",
        ),
        ("5/tags/team/lead", "me\nyou"),
        ("5/notes.txt", "mine"),
        ("5/traces/tr-1/trace_info.yaml", "x: 1"),
        (
            "5/datasets/d1/meta.yaml",
            "name: ds\ndigest: abc\nsource_type: local\nsource: s\nschema: null\nprofile: null\n",
        ),
        (
            &format!("5/models/{MODEL}/meta.yaml"),
            &format!("model_id: {MODEL}\nname: net\nstatus: 2\ncreation_timestamp: 100\nsource_run_id: {RUN}\n"),
        ),
        (&format!("5/models/{MODEL}/metrics/acc"), &format!("6 0.5 1 {RUN} ds abc\n")),
        (
            &format!("{run}/meta.yaml"),
            &format!(
                "run_id: {RUN}\nrun_name: r\nstatus: 3\nstart_time: 1700000000000.75\nend_time: 5\nartifact_uri: \
                 s3://b/5/{RUN}/artifacts\n"
            ),
        ),
        (&format!("{run}/metrics/loss"), "1700000000000.25 1.0 0\n1700000001000.5 0.5 1\n1700000002000 0.25 2.0\n"),
        (&format!("{run}/artifacts/model.bin"), "weights"),
        (
            &format!("{run}/inputs/i/meta.yaml"),
            "source_type: DATASET\nsource_id: d1\ntags:\n  mlflow.data.context: train\n",
        ),
        (
            &format!("{run}/outputs/o/meta.yaml"),
            &format!("source_type: RUN_OUTPUT\nsource_id: {MODEL}\ndestination_id: {MODEL}\nstep: 3\n"),
        ),
        (&format!("{bare}/metrics/loss"), "1 0.5 0\n"),
        (".trash/6/meta.yaml", "experiment_id: '6'\nname: gone\nlifecycle_stage: deleted\n"),
        (
            "models/net/meta.yaml",
            "name: net\ncreation_timestamp: 50\nlast_updated_timestamp: 60\naliases:\n  best: '1'\n",
        ),
        (
            "models/net/version-1/meta.yaml",
            &format!(
                "name: net\nversion: 1\ncreation_timestamp: 51\ncurrent_stage: Staging\nrun_id: {RUN}\nsource: \
                 s3://x\nstatus: READY\n"
            ),
        ),
        (
            "models/net/version-2/meta.yaml",
            "name: net\nversion: 2\ncreation_timestamp: 52\ncurrent_stage: Deleted_Internal\nsource: s3://y\n",
        ),
        ("models/empty/meta.yaml", "name: empty\ncreation_timestamp: 70\n"),
    ] {
        write(&root, name, text);
    }
    let (all, report) = read(&root);
    let experiments: Vec<_> =
        all.experiments.iter().map(|own| (own.experiment.name.as_str(), own.experiment.deleted)).collect();
    assert_eq!(experiments, [("gone", true), ("vision", false)]);
    assert_eq!(all.experiments[1].experiment.tags["team/lead"], "me\nyou");
    let ids: Vec<_> = all.runs.iter().map(|run| run.id.as_str()).collect();
    assert_eq!(ids, [RUN, "ffffffffffffffffffffffffffffffff", MODEL], "a version's folder is not a run");
    let run = &all.runs[0];
    assert_eq!(run.series[0].timestamps_ms.as_ref().unwrap()[1..], [Some(1_700_000_001_000), Some(1_700_000_002_000)]);
    assert_eq!((run.start_time_ms, run.series[0].steps[2]), (Some(1_700_000_000_001), 2));
    assert_eq!(run.attached.artifacts[0].folder, root.join("5").join(RUN).join("artifacts"));
    assert_eq!(run.attached.items.len(), 2);
    assert!(run.attached.items[0].2.contains("5:train"), "{:?}", run.attached.items);
    let names: Vec<_> = all.models.iter().map(|model| (model.name.as_str(), model.model.versions.len())).collect();
    assert_eq!(names, [("empty", 0), ("net", 1)]);
    assert_eq!((all.models[1].model.aliases["best"], all.models[1].model.last_number), (1, 2));
    assert_eq!(all.models[1].model.versions[&1].run_id, RUN);
    let told = told(&report);
    for (kind, words) in [(Kind::Place, "without it"), (Kind::Other, "traces"), (Kind::File, "not of MLflow")] {
        assert!(told.iter().any(|one| one.0 == kind && one.1 == 1 && one.2.contains(words)), "{words}: {told:?}");
    }
    // A registry without the runs that made it, and a run alone with its experiment.
    let (registry, report) = read(&root.join("models"));
    assert_eq!((registry.runs.len(), registry.experiments.len(), registry.models.len()), (0, 0, 2));
    assert!(report.gave_nothing().next().is_none());
    let (alone, _) = read(&root.join("5").join(RUN));
    assert_eq!((alone.runs.len(), alone.experiments[0].experiment.name.as_str()), (1, "vision"));
}
