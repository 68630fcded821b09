"""MLflow on a folder, by the plugin: addresses, runs, models. `tests/mlflow` has what a server does alike."""

import math
import os
import pathlib
import struct
import time

import pytest
from mlflow_support import client, environment, mlflow, no_addresses, python  # noqa: F401

from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

import stepwell
import stepwell.mlflow


def test_use_sets_both_addresses_here_and_for_children(folder):
    address = stepwell.mlflow.use(folder)
    assert address == f"stepwell://{folder}" == mlflow.get_tracking_uri() == mlflow.get_registry_uri()
    assert os.environ["MLFLOW_TRACKING_URI"] == os.environ["MLFLOW_REGISTRY_URI"] == address
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 0.5)
    told = python("import mlflow, sys; print(mlflow.get_run(sys.argv[1]).data.metrics)", run.info.run_id, env=dict(os.environ))
    assert told.stdout.strip() == "{'loss': 0.5}"
    # The package sees the same run.
    assert list(stepwell.open(folder)[run.info.run_id]["loss"].values) == [0.5]


@pytest.mark.parametrize("form", ["stepwell:runs", "stepwell:./runs", "stepwell:{}/runs", "stepwell://{}/runs"])
def test_forms_of_addresses(tmp_path, form):
    # A relative address is known by where it was met first, so that each form of it is a name of its own.
    address = form.format(tmp_path) if "{}" in form else form.replace("runs", f"{tmp_path.name}-runs")
    expected = tmp_path / ("runs" if "{}" in form else f"{tmp_path.name}-runs")
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    with mlflow.start_run() as run:
        mlflow.log_text("hello", "notes.txt")
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    # The folder is the same after a change of the working folder, for runs and for models.
    mlflow.MlflowClient().create_registered_model("net")
    assert mlflow.get_run(run.info.run_id).info.artifact_uri == f"{expected}/artifacts/0/{run.info.run_id}/artifacts"
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes.txt") == "hello"
    assert stepwell.open(expected, create=False)[run.info.run_id].name == run.info.run_name
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["with a space", "ünï cödé", "50% off", "a#b", "a?b=c", "a+b&c"])
def test_names_of_folders(tmp_path, name):
    folder = tmp_path / name / "runs"
    address = stepwell.mlflow.use(folder)
    assert stepwell.mlflow.uri(address) == address
    (tmp_path / "f.txt").write_text("file")
    with mlflow.start_run() as run:
        mlflow.log_metric("m", 1)
        mlflow.log_text("hello", "d/x y ü.txt")
        mlflow.log_artifact(str(tmp_path / "f.txt"))
    assert (folder / "artifacts" / "0" / run.info.run_id / "artifacts" / "d" / "x y ü.txt").read_text() == "hello"
    assert [file.path for file in MlflowClient().list_artifacts(run.info.run_id)] == ["d", "f.txt"]
    assert pathlib.Path(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/f.txt")).read_text() == "file"
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_dir()] == [name]


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("stepwell:", "names no folder"),
        ("stepwell://", "names"),
        ("stepwell://host/runs", "names a machine"),
        ("stepwell:{file}", "file.txt"),
        ("stepwell:/proc/no/such", "/proc/no"),
    ],
)
def test_wrong_addresses_are_told(tmp_path, address, told):
    (tmp_path / "file.txt").write_text("no folder")
    mlflow.set_tracking_uri(address.format(file=tmp_path / "file.txt"))
    with pytest.raises(MlflowException, match=told) as raised:
        mlflow.search_experiments()
    assert raised.value.error_code == "INVALID_PARAMETER_VALUE"


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    mlflow.set_tracking_uri(f"stepwell:{tmp_path}/photos")
    with pytest.raises(MlflowException, match="photos"):
        mlflow.search_experiments()
    assert [entry.name for entry in (tmp_path / "photos").iterdir()] == ["a.jpg"]


def test_environment_variables_alone(folder):
    script = """
        import mlflow
        mlflow.set_experiment("elsewhere")
        with mlflow.start_run(run_name="by environment"):
            mlflow.log_metric("alpha", 0.03)
            mlflow.log_text("hello", "notes.txt")
    """
    python(script, env=environment(MLFLOW_TRACKING_URI=f"stepwell:{folder}"))
    stepwell.mlflow.use(folder)
    (run,) = mlflow.search_runs(experiment_names=["elsewhere"], output_format="list")
    assert (run.info.run_name, run.info.status, run.data.metrics) == ("by environment", "FINISHED", {"alpha": 0.03})
    assert mlflow.artifacts.load_text(run.info.artifact_uri + "/notes.txt") == "hello"


def test_the_documents_flow(folder, tmp_path):
    """Address, experiment, run, metric, registered model; then a script elsewhere by environment variables."""
    from sklearn.linear_model import LinearRegression

    mlflow.set_tracking_uri(f"stepwell:{folder}")
    mlflow.set_experiment("pricing")
    with mlflow.start_run(run_name="first") as run:
        mlflow.log_metric("alpha", 0.03)
        mlflow.sklearn.log_model(LinearRegression().fit([[0], [1]], [0, 2]), name="model")
        version = mlflow.register_model(f"runs:/{run.info.run_id}/model", "pricing")
    assert int(version.version) == 1 and version.run_id == run.info.run_id
    (tmp_path / "elsewhere").mkdir()
    script = """
        import mlflow
        model = mlflow.pyfunc.load_model("models:/pricing/1")
        with mlflow.start_run():
            mlflow.log_metric("alpha", float(model.predict([[2]])[0]))
    """
    python(script, cwd=tmp_path / "elsewhere", env=environment(MLFLOW_TRACKING_URI=f"stepwell:{folder}", MLFLOW_EXPERIMENT_NAME="pricing"))
    found = mlflow.search_runs(order_by=["metrics.alpha"], output_format="list")
    assert [round(other.data.metrics["alpha"], 6) for other in found] == [0.03, 4]


def test_fluent_logging(client):
    mlflow.set_experiment("fluent")
    with mlflow.start_run(run_name="first", tags={"team": "vision"}, description="what it is") as run:
        mlflow.log_param("lr", 0.1)
        mlflow.log_params({"layers": 3, "text": 'a\nb"c'})
        for step in range(10):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"acc": 0.5, "f1": 0.25}, step=3, timestamp=17)
        mlflow.set_tags({"a": 1})
        with pytest.raises(MlflowException, match="already logged|Changing param"):
            mlflow.log_param("lr", 0.2)
    got = mlflow.get_run(run.info.run_id)
    assert (got.info.status, got.info.run_name) == ("FINISHED", "first")
    assert got.data.params == {"lr": "0.1", "layers": "3", "text": 'a\nb"c'}
    assert got.data.metrics == {"loss": 0.1, "acc": 0.5, "f1": 0.25}
    assert got.data.tags["team"] == "vision" and got.data.tags["mlflow.note.content"] == "what it is"
    (acc,) = client.get_metric_history(run.info.run_id, "acc")
    assert (acc.key, acc.value, acc.step, acc.timestamp) == ("acc", 0.5, 3, 17)
    with pytest.raises(KeyError), mlflow.start_run() as failed:
        raise KeyError("its own")
    assert mlflow.get_run(failed.info.run_id).info.status == "FAILED"
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_metric("loss", 7, step=10)
    assert mlflow.get_run(run.info.run_id).data.metrics["loss"] == 7


def test_async_logging(client):
    with mlflow.start_run() as run:
        waits = [mlflow.log_metric("m", step, step=step, synchronous=False) for step in range(2000)]
        mlflow.log_params({f"p{i}": i for i in range(50)}, synchronous=False)
        mlflow.set_tag("t", "v", synchronous=False)
        waits[-1].wait()
        mlflow.flush_async_logging()
    assert [point.step for point in client.get_metric_history(run.info.run_id, "m")] == list(range(2000))
    data = mlflow.get_run(run.info.run_id).data
    assert len(data.params) == 50 and data.tags["t"] == "v"


def test_nested_runs(client):
    with mlflow.start_run() as parent:
        for lr in (0.1, 0.01):
            with mlflow.start_run(nested=True):
                mlflow.log_param("lr", lr)
                with mlflow.start_run(nested=True):
                    mlflow.log_metric("loss", lr)
    of = lambda run: mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{run}'", output_format="list")
    children = of(parent.info.run_id)
    assert sorted(child.data.params["lr"] for child in children) == ["0.01", "0.1"]
    assert len(of(children[0].info.run_id)) == 1
    assert {run.info.run_id for run in mlflow.search_runs(filter_string="metrics.loss > 0.05", output_format="list")} != set()


@pytest.mark.parametrize("library", ["sklearn", "xgboost"])
def test_autolog(client, library):
    from sklearn.datasets import load_iris

    features, labels = load_iris(return_X_y=True, as_frame=True)
    if library == "sklearn":
        from sklearn.linear_model import LogisticRegression

        estimator, expected = LogisticRegression(max_iter=200), "training_score"
    else:
        estimator, expected = pytest.importorskip("xgboost").XGBClassifier(n_estimators=5, eval_metric="mlogloss"), "validation_0-mlogloss"
    module = getattr(mlflow, library)
    module.autolog()
    try:
        with mlflow.start_run() as run:
            more = {"eval_set": [(features, labels)]} if library == "xgboost" else {}
            model = estimator.fit(features, labels, **more)
    finally:
        module.autolog(disable=True)
    got = mlflow.get_run(run.info.run_id)
    assert expected in got.data.metrics, got.data.metrics
    assert got.data.params and got.inputs.dataset_inputs and len(got.outputs.model_outputs) == 1
    if library == "xgboost":
        assert [point.step for point in client.get_metric_history(run.info.run_id, expected)] == list(range(5))
    (logged,) = mlflow.search_logged_models(experiment_ids=["0"], output_format="list")
    assert logged.source_run_id == run.info.run_id and logged.status.value == "READY"
    loaded = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    assert (loaded.predict(features) == model.predict(features)).all()


def test_models_are_loaded_by_every_address(client, folder, tmp_path):
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(model, name="line", params={"depth": 3}, registered_model_name="line", input_example=[[0.0]])
        mlflow.log_metric("rmse", 0.0, model_id=info.model_id)
    client.set_registered_model_alias("line", "champion", "1")
    with pytest.warns(FutureWarning):
        client.transition_model_version_stage("line", "1", "Production")
    location = client.get_logged_model(info.model_id).artifact_location
    assert location == f"{folder}/artifacts/0/models/{info.model_id}/artifacts"
    addresses = [
        info.model_uri, f"models:/{info.model_id}", f"runs:/{run.info.run_id}/line", "models:/line/1", "models:/line@champion",
        "models:/line/latest", "models:/line/Production", location, pathlib.Path(location).as_uri(),
    ]
    for address in addresses:
        assert mlflow.sklearn.load_model(address).predict([[2.0]]).tolist() == pytest.approx([5.0]), address
    assert client.get_logged_model(info.model_id).metrics[0].value == 0.0
    # A model that lies somewhere else is registered by its path, as in MLflow's own stores.
    mlflow.sklearn.save_model(model, tmp_path / "saved")
    assert int(mlflow.register_model(str(tmp_path / "saved"), "line").version) == 2
    assert mlflow.sklearn.load_model("models:/line/2").predict([[2.0]]).tolist() == pytest.approx([5.0])
    copied = client.copy_model_version("models:/line/1", "copy")
    assert mlflow.sklearn.load_model(f"models:/copy/{copied.version}").predict([[2.0]]).tolist() == pytest.approx([5.0])


def test_registry_with_aliases_and_stages(client):
    client.create_registered_model("net", tags={"task": "vision"}, description="about")
    with mlflow.start_run() as run:
        mlflow.log_text("weights", "net/w.txt")
    for _ in range(3):
        client.create_model_version("net", f"{run.info.artifact_uri}/net", run_id=run.info.run_id)
    client.set_registered_model_alias("net", "champion", "2")
    client.set_model_version_tag("net", "2", "checked", "yes")
    client.update_model_version("net", "2", description="the second")
    with pytest.warns(FutureWarning):
        client.transition_model_version_stage("net", "2", "Production")
        client.transition_model_version_stage("net", "3", "Production", archive_existing_versions=True)
    champion = client.get_model_version_by_alias("net", "champion")
    assert (int(champion.version), champion.tags, champion.description, champion.current_stage) == (2, {"checked": "yes"}, "the second", "Archived")
    assert champion.source == f"{run.info.artifact_uri}/net" == client.get_model_version_download_uri("net", "2")
    assert {alias: int(version) for alias, version in client.get_registered_model("net").aliases.items()} == {"champion": 2}
    assert [int(version.version) for version in client.search_model_versions("name = 'net'", order_by=["version_number ASC"])] == [1, 2, 3]
    assert [model.name for model in client.search_registered_models("tags.task = 'vision'")] == ["net"]
    client.delete_registered_model_alias("net", "champion")
    client.delete_model_version("net", "3")
    client.rename_registered_model("net", "network")
    assert len(client.search_model_versions("name = 'network'")) == 2
    client.delete_registered_model("network")
    assert client.search_registered_models() == []


def test_pages_of_runs(client):
    experiment = client.create_experiment("pages")
    made = [client.create_run(experiment, start_time=1000 + number, run_name=f"r{number}").info.run_id for number in range(25)]
    for number, run in enumerate(made):
        client.log_metric(run, "m", number % 5)
    seen, token, sizes = [], None, []
    while True:
        page = client.search_runs([experiment], max_results=10, page_token=token, order_by=["metrics.m DESC", "start_time ASC"])
        seen += [run.info.run_id for run in page]
        sizes.append(len(page))
        token = page.token
        if not token:
            break
    assert sizes == [10, 10, 5]
    assert seen == sorted(made, key=lambda run: (-(made.index(run) % 5), made.index(run)))
    assert [run.info.run_name for run in client.search_runs([experiment], max_results=3)] == ["r24", "r23", "r22"]
    assert len(mlflow.search_runs([experiment], max_results=7)) == 7


def test_datasets(client):
    import pandas

    data = mlflow.data.from_pandas(pandas.DataFrame({"a": [1, 2], "b": [0.5, 1]}), name="numbers", source="here", targets="b")
    with mlflow.start_run() as run:
        mlflow.log_input(data, context="train", tags={"fold": "1"})
        model = mlflow.create_external_model(name="outside", params={"depth": "3"})
        mlflow.log_metrics({"acc": 0.5}, step=1, model_id=model.model_id, dataset=data)
    for got in (mlflow.get_run(run.info.run_id), mlflow.search_runs(filter_string="dataset.name = 'numbers'", output_format="list")[0]):
        (given,) = got.inputs.dataset_inputs
        assert (given.dataset.name, given.dataset.digest, given.dataset.source_type) == ("numbers", data.digest, data.source._get_source_type())
        assert given.dataset.schema and given.dataset.profile
        assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": "train", "fold": "1"}
    assert mlflow.data.get_source(given.dataset) is not None
    (found,) = mlflow.search_logged_models(["0"], "metrics.acc > 0.4", datasets=[{"dataset_name": "numbers"}], output_format="list")
    assert (found.name, found.metrics[0].dataset_digest) == ("outside", data.digest)


def test_values_come_back_bit_by_bit(client):
    values = [0.0, -0.0, 5e-324, -5e-324, 1.7976931348623157e308, math.pi, 0.1, float("inf"), float("-inf"), float("nan"), 2.0**53 + 2, 1]
    run = client.create_run("0").info.run_id
    for step, value in enumerate(values):
        client.log_metric(run, "one", value, step=step, timestamp=step)
    client.log_batch(run, [Metric("many", value, step, step - 5) for step, value in enumerate(values)])
    bits = [struct.pack("d", value) for value in values]
    for key, offset in (("one", 0), ("many", 5)):
        history = client.get_metric_history(run, key)
        assert [struct.pack("d", point.value) for point in history] == bits
        assert [point.step + offset for point in history] == list(range(len(values)))
        assert [point.timestamp for point in history] == list(range(len(values)))
    assert client.get_metric_history(run, "none such") == []


def test_a_long_history_is_paged(client):
    from mlflow.tracking._tracking_service.utils import _get_store

    run = client.create_run("0").info.run_id
    for start in range(0, 30_000, 1000):
        client.log_batch(run, [Metric("m", step * 0.5, step, step) for step in range(start, start + 1000)])
    assert [point.value for point in client.get_metric_history(run, "m")] == [step * 0.5 for step in range(30_000)]
    page = _get_store().get_metric_history(run, "m", max_results=7)
    assert len(page) == 7 and page.token
    assert [point.step for point in _get_store().get_metric_history(run, "m", max_results=2, page_token=page.token)] == [7, 8]


def test_numbers_of_other_kinds(client):
    import numpy

    run = client.create_run("0").info.run_id
    for step, value in enumerate((1, numpy.float32(0.5), numpy.int64(3), numpy.array(2.5))):
        client.log_metric(run, "m", value, step=step)
    client.log_batch(run, [Metric("b", numpy.float64(0.25), 1000 * 1.7, numpy.int64(7)), Metric("b", 1, 1700.9, 8.0)])
    assert [point.value for point in client.get_metric_history(run, "m")] == [1, 0.5, 3, 2.5]
    assert [(point.value, point.timestamp, point.step) for point in client.get_metric_history(run, "b")] == [(0.25, 1700, 7), (1, 1700, 8)]


def test_all_kinds_of_one_batch(client):
    run = client.create_run("0").info.run_id
    client.log_batch(run, [Metric("m", 1, 2, 3)], [Param("p", "v"), Param("q", 5)], [RunTag("t", "w"), RunTag("u", None)])
    data = client.get_run(run).data
    assert data.metrics == {"m": 1} and data.params == {"p": "v", "q": "5"} and data.tags["t"] == "w"


def test_deletion_and_restoration(client):
    experiment = client.create_experiment("gone")
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "m", 1)
    client.delete_run(run)
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    assert client.search_runs([experiment]) == []
    assert [found.info.run_id for found in client.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)] == [run]
    with pytest.raises(MlflowException, match="active"):
        client.log_metric(run, "m", 2)
    client.restore_run(run)
    client.log_metric(run, "m", 2, step=1)
    assert client.get_run(run).data.metrics == {"m": 2}
    client.delete_experiment(experiment)
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    assert experiment not in [found.experiment_id for found in client.search_experiments()]
    client.restore_experiment(experiment)
    assert client.get_run(run).info.lifecycle_stage == "active"
    client.rename_experiment(experiment, "back")
    client.set_experiment_tag(experiment, "k", "v")
    assert (client.get_experiment_by_name("back").tags, client.get_experiment_by_name("gone")) == ({"k": "v"}, None)


def test_traces_are_refused_at_once(client):
    """There are no traces here: what is traced works on, and nothing waits for a server that is not there."""
    from mlflow.tracking._tracking_service.utils import _get_store

    @mlflow.trace
    def double(number):
        return number * 2

    began = time.monotonic()
    assert [double(number) for number in range(20)] == [number * 2 for number in range(20)]
    mlflow.flush_trace_async_logging()
    assert time.monotonic() - began < 20
    with pytest.raises(NotImplementedError):
        _get_store().log_spans("0", [object()])
