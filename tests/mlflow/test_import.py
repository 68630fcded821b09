"""`stepwell import` of stores that MLflow itself made, compared through MLflow's client: a database, and a folder store."""

import json
import os
import subprocess

import mlflow
import pytest
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput, ViewType
from mlflow.entities.model_registry import RegisteredModelTag
from mlflow.tracking import MlflowClient

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"


def fill(client, root):
    """Puts some of everything into a store; gives the ids of a run and of a logged model."""
    bucket = client.create_experiment("bucket", "s3://no-such/models/team a", tags={"team": "vision", "mlflow.note.content": "two\nlines"})
    first = client.create_run(bucket, run_name="first").info.run_id
    client.log_metric(first, "nan", float("nan"), step=2)
    client.log_metric(first, "inf", float("inf"))
    local = client.create_experiment("local", f"{root}/arts")
    run = client.create_run(local, run_name="second", tags={"t": "a\nb"}).info.run_id
    client.log_metric(run, "m/n", 0.25, step=3)
    client.log_param(run, "a/b", "50%")
    client.log_text(run, "hello", "sub/x.txt")
    data = Dataset("ds", "abc123", "local", '{"uri": "/x"}', '{"s": 1}', None)
    client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", "train")])])
    model = client.create_logged_model(local, name="net", source_run_id=run, params={"k": "v"}, tags={"x": "y"}, model_type="cls")
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run, [LoggedModelOutput(model.model_id, step=2)])
    client.log_inputs(first, models=[LoggedModelInput(model.model_id)])
    client.log_metric(run, "acc", 0.5, step=1, model_id=model.model_id, dataset_name="ds", dataset_digest="abc123")
    client.set_terminated(run)
    gone = client.create_experiment("gone")
    client.create_run(gone, run_name="third")
    client.delete_experiment(gone)
    client.delete_run(client.create_run(client.create_experiment("empty")).info.run_id)
    client.create_registered_model("net", tags={"r": "1"}, description="about")
    client.create_model_version("net", f"{root}/arts/{run}/artifacts/sub", run_id=run, tags={"v": "2"}, description="one", run_link="http://x")
    client.create_model_version("net", f"models:/{model.model_id}", run_id="f" * 32, model_id=model.model_id)
    client.create_model_version("net", "s3://x/y")
    client.set_registered_model_alias("net", "champion", "1")
    client.transition_model_version_stage("net", "2", "Production")
    client.delete_model_version("net", "3")
    client.create_registered_model("versionless")
    # A prompt is a model with a tag, which clients of today make by another call only.
    client._get_registry_client().store.create_registered_model("greeting", tags=[RegisteredModelTag("mlflow.prompt.is_prompt", "true")])
    return run, model.model_id


def experiments(client):
    found = client.search_experiments(view_type=ViewType.ALL)
    return sorted(
        (e.experiment_id, e.name, e.artifact_location, e.lifecycle_stage, e.creation_time, e.last_update_time, sorted(e.tags.items()))
        for e in found
    )


def runs(client):
    ids = [e.experiment_id for e in client.search_experiments(view_type=ViewType.ALL)]
    shown = {}
    for found in client.search_runs(ids, run_view_type=ViewType.ALL):
        # A search of MLflow's database leaves the models out that a run without datasets was given.
        run = client.get_run(found.info.run_id)
        info, data, inputs = run.info, run.data, run.inputs
        shown[info.run_id] = (
            info.run_name, info.experiment_id, info.status, info.start_time, info.end_time, info.lifecycle_stage, info.artifact_uri,
            info.user_id, sorted(data.params.items()), sorted(data.tags.items()), sorted(data.metrics),
            [(i.dataset.to_dictionary(), [(t.key, t.value) for t in i.tags]) for i in inputs.dataset_inputs],
            [m.model_id for m in inputs.model_inputs], [(m.model_id, m.step) for m in run.outputs.model_outputs],
        )
    return shown


def models(client):
    shown = []
    for model in client.search_registered_models(filter_string="name LIKE '%'"):
        versions = client.search_model_versions(f"name = '{model.name}'")
        shown.append((
            model.name, model.description or "", model.creation_timestamp, sorted(model.tags.items()),
            sorted((alias, int(version)) for alias, version in model.aliases.items()),
            sorted(
                (int(v.version), v.creation_timestamp, v.current_stage, v.description or "", v.source, v.run_id or "", v.run_link or "", sorted(v.tags.items()))
                for v in versions
            ),
        ))
    return sorted(shown)


def import_store(workspace, path, *more):
    command = [os.environ["STEPWELL_BIN"], "-w", str(workspace), "--json", "import", str(path), *more]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["database", "folders"])
def test_a_whole_store_moves(tmp_path, kind, opened):
    uri = f"sqlite:///{tmp_path}/mlflow.db" if kind == "database" else f"file://{tmp_path}/mlruns"
    path = tmp_path / ("mlflow.db" if kind == "database" else "mlruns")
    source = MlflowClient(uri, registry_uri=uri)
    # Versions of logged models are looked up where all clients look.
    mlflow.set_tracking_uri(uri)
    run, model = fill(source, tmp_path)
    report = import_store(tmp_path / "w", path)
    assert report["taken"]["experiments"] == 5 and report["taken"]["models"] == 3, report
    with opened(tmp_path / "w") as address:
        here = MlflowClient(address, registry_uri=address)
        assert experiments(here) == experiments(source)
        assert runs(here) == runs(source)
        assert models(here) == models(source)
        theirs, own = source.get_logged_model(model), here.get_logged_model(model)
        for name in ["name", "experiment_id", "artifact_location", "status", "model_type", "source_run_id", "params", "creation_timestamp"]:
            assert getattr(own, name) == getattr(theirs, name), name
        assert [(m.key, m.value, m.step, m.dataset_name) for m in own.metrics] == [("acc", 0.5, 1, "ds")]
        assert {k: v for k, v in theirs.tags.items()} == own.tags
    again = import_store(tmp_path / "w", path)
    assert again["added"] == {"runs": 0, "series": 0, "points": 0}
    # Later changes follow, and the files come when they are asked for.
    source.set_registered_model_alias("net", "champion", "2")
    source.set_experiment_tag(source.get_experiment_by_name("bucket").experiment_id, "team", "audio")
    moved = import_store(tmp_path / "w", path, "--artifacts")
    assert moved["taken"]["artifacts"] >= 1
    with opened(tmp_path / "w") as address:
        here = MlflowClient(address, registry_uri=address)
        assert here.get_registered_model("net").aliases["champion"] in ("2", 2)
        assert here.get_experiment_by_name("bucket").tags["team"] == "audio"
        assert [f.path for f in here.list_artifacts(run, "sub")] == ["sub/x.txt"]
        with open(here.download_artifacts(run, "sub/x.txt", str(tmp_path))) as file:
            assert file.read() == "hello"
