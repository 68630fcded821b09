"""The unmodified client against `stepwell serve`, and on a folder: what users' scripts do."""

import math
import os
import signal
import subprocess
import sys
import threading

import mlflow
import pytest
from conftest import Stepwell
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


def test_quickstart(store):
    with mlflow.start_run(run_name="first", tags={"team": "vision"}) as run:
        mlflow.log_param("lr", 0.1)
        mlflow.log_params({"layers": 3, "text": "a\nb\"c"})
        for step in range(10):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"nan": float("nan"), "acc": 0.5}, step=3)
        mlflow.set_tags({"a": 1, "b": "x"})
        mlflow.log_text("hello", "notes/hello.txt")
        mlflow.log_dict({"k": [1, 2]}, "config.json")
    got = mlflow.get_run(run.info.run_id)
    assert got.info.status == "FINISHED" and got.info.run_name == "first" and got.info.end_time
    assert got.data.params == {"lr": "0.1", "layers": "3", "text": "a\nb\"c"}
    assert got.data.metrics["loss"] == 0.1 and math.isnan(got.data.metrics["nan"])
    assert got.data.tags["team"] == "vision" and got.data.tags["a"] == "1"
    client = MlflowClient()
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(step, 1 / (step + 1)) for step in range(10)]
    assert {f.path: f.is_dir for f in client.list_artifacts(run.info.run_id)} == {"notes": True, "config.json": False}
    assert mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/hello.txt") == "hello"
    assert mlflow.artifacts.load_dict(run.info.artifact_uri + "/config.json") == {"k": [1, 2]}


def test_nested_runs_and_search(store):
    with mlflow.start_run() as parent:
        for lr in (0.1, 0.01, 0.001):
            with mlflow.start_run(nested=True):
                mlflow.log_param("lr", lr)
                mlflow.log_metric("loss", lr * 10)
    children = mlflow.search_runs(filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}'", order_by=["metrics.loss ASC"])
    assert list(children["params.lr"]) == ["0.001", "0.01", "0.1"]
    few = mlflow.search_runs(filter_string="metrics.loss < 0.5 and params.lr LIKE '0.0%'")
    assert len(few) == 2
    pages, token = 0, None
    client, experiment = MlflowClient(), parent.info.experiment_id
    while True:
        page = client.search_runs([experiment], max_results=1, page_token=token)
        pages, token = pages + 1, page.token
        if not token:
            break
    assert pages == 4
    assert len(mlflow.search_experiments(filter_string="name = 'test_nested_runs_and_search'")) == 1


def test_artifact_trees(store, tmp_path):
    for name in ("a.txt", "sub/b.bin", "sub/deep/ünï cödé (1).txt"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(range(256)) * 40_000)
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(tmp_path / "tree"), "tree")
        mlflow.log_artifact(str(big))
    fetched = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="", dst_path=str(tmp_path / "out"))
    for name in ("a.txt", "sub/b.bin", "sub/deep/ünï cödé (1).txt"):
        assert (tmp_path / "out" / "tree" / name).read_bytes() == name.encode() * 1000, fetched
    assert (tmp_path / "out" / "big.bin").read_bytes() == big.read_bytes()


def test_deleting_restoring_and_errors(store):
    client = MlflowClient()
    with mlflow.start_run() as run:
        mlflow.log_param("p", 1)
    with pytest.raises(MlflowException, match="Changing param values"):
        client.log_param(run.info.run_id, "p", 2)
    client.delete_run(run.info.run_id)
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    with pytest.raises(MlflowException):
        client.set_tag(run.info.run_id, "k", "v")
    client.restore_run(run.info.run_id)
    client.set_tag(run.info.run_id, "k", "v")
    with pytest.raises(MlflowException) as missing:
        client.get_run("0" * 32)
    assert missing.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    with pytest.raises(MlflowException) as taken:
        mlflow.create_experiment("test_deleting_restoring_and_errors")
    assert taken.value.error_code == "RESOURCE_ALREADY_EXISTS"


def test_sklearn_autolog_registry_and_loading(store):
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    features, labels = load_iris(return_X_y=True)
    mlflow.sklearn.autolog()
    try:
        with mlflow.start_run() as run:
            model = LogisticRegression(max_iter=200).fit(features, labels)
    finally:
        mlflow.sklearn.autolog(disable=True)
    got = mlflow.get_run(run.info.run_id)
    assert got.data.metrics["training_score"] > 0.9 and got.data.params["max_iter"] == "200"
    assert got.inputs.dataset_inputs
    logged = mlflow.search_logged_models(experiment_ids=[run.info.experiment_id], output_format="list")
    assert len(logged) == 1 and logged[0].source_run_id == run.info.run_id
    client = MlflowClient()
    for number in ("1", "2"):
        version = mlflow.register_model(f"models:/{logged[0].model_id}", "iris")
        assert version.version == number or int(version.version) == int(number)
    client.set_registered_model_alias("iris", "champion", "1")
    client.set_model_version_tag("iris", "1", "checked", "yes")
    client.update_registered_model("iris", description="flowers")
    assert client.get_model_version_by_alias("iris", "champion").tags == {"checked": "yes"}
    loaded = mlflow.sklearn.load_model("models:/iris@champion")
    assert (loaded.predict(features) == model.predict(features)).all()
    assert mlflow.pyfunc.load_model("models:/iris/2").predict(features[:3]).shape == (3,)
    with pytest.warns(FutureWarning):
        client.transition_model_version_stage("iris", "2", "Staging")
        assert client.get_latest_versions("iris", ["Staging"])[0].version in (2, "2")
    assert [m.name for m in client.search_registered_models("name = 'iris'")] == ["iris"]
    assert len(client.search_model_versions("name = 'iris'")) == 2
    client.delete_registered_model_alias("iris", "champion")
    client.delete_model_version("iris", "1")
    client.delete_registered_model("iris")
    assert client.search_registered_models("name = 'iris'") == []


def test_xgboost_autolog(store):
    import xgboost
    from sklearn.datasets import load_iris

    features, labels = load_iris(return_X_y=True)
    mlflow.xgboost.autolog()
    try:
        data = xgboost.DMatrix(features, label=labels)
        with mlflow.start_run() as run:
            options = {"objective": "multi:softprob", "num_class": 3, "max_depth": 2, "eta": 0.3}
            booster = xgboost.train(options, data, num_boost_round=12, evals=[(data, "train")], verbose_eval=False)
    finally:
        mlflow.xgboost.autolog(disable=True)
    client = MlflowClient()
    got = client.get_run(run.info.run_id)
    assert got.data.params["max_depth"] == "2" and got.data.params["num_boost_round"] == "12"
    history = client.get_metric_history(run.info.run_id, "train-mlogloss")
    assert [point.step for point in history] == list(range(12))
    assert history[-1].value < history[0].value and got.data.metrics["train-mlogloss"] == history[-1].value
    importance = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert any(name.startswith("feature_importance_weight") for name in importance)
    (model,) = mlflow.search_logged_models(experiment_ids=[run.info.experiment_id], output_format="list")
    loaded = mlflow.xgboost.load_model(f"models:/{model.model_id}")
    assert (loaded.predict(data) == booster.predict(data)).all()


def test_tracing_never_hurts_the_traced(store):
    """There are no traces here (W7): the client warns, and what it wraps works on."""

    @mlflow.trace
    def double(number):
        with mlflow.start_span("inner") as span:
            span.set_inputs({"number": number})
        return number * 2

    @mlflow.trace
    def fail():
        raise KeyError("its own")

    with mlflow.start_run() as run:
        assert [double(number) for number in range(3)] == [0, 2, 4]
        with pytest.raises(KeyError, match="its own"):
            fail()
        mlflow.log_metric("m", 1)
    mlflow.flush_trace_async_logging()
    assert mlflow.get_run(run.info.run_id).info.status == "FINISHED"
    assert mlflow.get_trace(mlflow.get_last_active_trace_id()) is None
    assert mlflow.search_traces(locations=[run.info.experiment_id], return_type="list") == []


def test_pictures_tables_and_datasets(store):
    import numpy
    import pandas

    data = mlflow.data.from_pandas(pandas.DataFrame({"a": [1, 2]}), name="numbers", source="here")
    with mlflow.start_run() as run:
        for step in range(2):
            mlflow.log_image(numpy.zeros((4, 4, 3), dtype=numpy.uint8), key="dog", step=step, synchronous=True)
        mlflow.log_table({"a": [1, 2]}, "table.json")
        mlflow.log_table({"a": [3]}, "table.json")
        mlflow.log_input(data, context="train")
        model = mlflow.create_external_model(name="outside", params={"depth": "3"})
        mlflow.log_metrics({"acc": 0.5}, step=1, model_id=model.model_id, dataset=data)
    experiment = run.info.experiment_id
    assert len(MlflowClient().list_artifacts(run.info.run_id, "images")) == 4
    assert list(mlflow.load_table("table.json", run_ids=[run.info.run_id])["a"]) == [1, 2, 3]
    assert len(mlflow.search_runs(filter_string="dataset.name = 'numbers' AND dataset.context = 'train'")) == 1
    found = mlflow.search_logged_models([experiment], "metrics.acc > 0.4", datasets=[{"dataset_name": "numbers", "dataset_digest": data.digest}], output_format="list")
    assert [(m.name, m.status.value, m.params, m.metrics[0].dataset_name) for m in found] == [("outside", "READY", {"depth": "3"}, "numbers")]


def test_prompts(store):
    import mlflow.genai as genai

    genai.register_prompt("greet", "Hi {{who}}", commit_message="first", tags={"a": "b"})
    assert genai.register_prompt("greet", [{"role": "user", "content": "Hello {{who}}"}]).version == 2
    genai.set_prompt_alias("greet", "prod", 1)
    assert genai.load_prompt("prompts:/greet@prod").format(who="you") == "Hi you"
    assert genai.load_prompt("greet").version == 2 and genai.load_prompt("greet", 9, allow_missing=True) is None
    genai.set_prompt_tag("greet", "team", "x")
    assert [p.name for p in genai.search_prompts("tags.team = 'x'")] == ["greet"]
    assert MlflowClient().search_registered_models("name = 'greet'") == []
    with pytest.raises(MlflowException):
        MlflowClient().create_registered_model("greet")


def test_async_logging(store):
    with mlflow.start_run() as run:
        for step in range(500):
            mlflow.log_metric("m", step, step=step, synchronous=False)
        mlflow.log_params({f"p{i}": i for i in range(20)}, synchronous=False)
        mlflow.flush_async_logging()
    assert len(MlflowClient().get_metric_history(run.info.run_id, "m")) == 500
    assert len(mlflow.get_run(run.info.run_id).data.params) == 20


def test_command_line(store):
    def call(*arguments):
        command = [sys.executable, "-m", "mlflow", *arguments]
        return subprocess.run(command, env={**__import__("os").environ, "MLFLOW_TRACKING_URI": store.uri}, capture_output=True, text=True, check=True).stdout

    call("experiments", "create", "--experiment-name", "by-command")
    assert "by-command" in call("experiments", "search")
    experiment = mlflow.get_experiment_by_name("by-command").experiment_id
    run = MlflowClient().create_run(experiment)
    assert run.info.run_id in call("runs", "list", "--experiment-id", experiment)
    call("runs", "delete", "--run-id", run.info.run_id)
    assert mlflow.get_run(run.info.run_id).info.lifecycle_stage == "deleted"


def test_a_project_runs_locally(store, tmp_path):
    (tmp_path / "MLproject").write_text(
        "name: probe\nentry_points:\n  main:\n    parameters:\n      alpha: {type: float, default: 0.5}\n"
        f"    command: '\"{sys.executable}\" train.py {{alpha}}'\n"
    )
    (tmp_path / "train.py").write_text(
        "import sys, mlflow\n"
        "with mlflow.start_run():\n"
        "    mlflow.log_metric('alpha', float(sys.argv[1]))\n"
    )
    submitted = mlflow.projects.run(str(tmp_path), parameters={"alpha": 0.25}, env_manager="local")
    assert submitted.wait()
    run = mlflow.get_run(submitted.run_id)
    assert (run.info.status, run.data.metrics, run.data.params) == ("FINISHED", {"alpha": 0.25}, {"alpha": "0.25"})
    assert run.data.tags["mlflow.project.entryPoint"] == "main"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_restart_between_two_calls(server, how):
    with mlflow.start_run() as run:
        mlflow.log_metric("m", 1, step=1)
        mlflow.log_param("p", "v")
        server.stop(how)
        server.start()
        mlflow.log_metric("m", 2, step=2)
    got = mlflow.get_run(run.info.run_id)
    assert got.data.metrics == {"m": 2} and got.data.params == {"p": "v"} and got.info.status == "FINISHED"
    assert [m.value for m in MlflowClient().get_metric_history(run.info.run_id, "m")] == [1, 2]


def test_three_clients_at_once(store):
    experiment = mlflow.get_experiment_by_name("test_three_clients_at_once").experiment_id
    shared = MlflowClient().create_run(experiment).info.run_id
    failures = []

    def work(number):
        try:
            client = MlflowClient()
            own = client.create_run(experiment).info.run_id
            for step in range(40):
                client.log_metric(own, "m", step, step=step)
                client.log_metric(shared, f"m{number}", step, step=step)
                client.set_tag(shared, f"t{number}", str(step))
            client.set_terminated(own)
        except Exception as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures
    client = MlflowClient()
    for number in range(3):
        assert [m.step for m in client.get_metric_history(shared, f"m{number}")] == list(range(40))
        assert client.get_run(shared).data.tags[f"t{number}"] == "39"
    assert len(client.search_runs([experiment], "attributes.status = 'FINISHED'")) == 3


def test_a_tracking_uri_with_a_token(tmp_path):
    """What `stepwell token create --uri` prints is all that a training script needs."""
    server = Stepwell(tmp_path / "workspace", "--auth")
    issue = [os.environ["STEPWELL_BIN"], "-w", str(tmp_path / "workspace"), "token", "create", "--role"]
    try:
        uri = subprocess.run([*issue, "write", "--uri", server.uri], check=True, capture_output=True, text=True).stdout.strip()
        assert uri.startswith("http://token:stw_") and uri.endswith(f"@127.0.0.1:{server.port}")
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment("with a token")
        with mlflow.start_run() as run:
            mlflow.log_metric("alpha", 0.03)
            mlflow.log_text("hello", "notes.txt")
        assert MlflowClient(uri).get_run(run.info.run_id).data.metrics == {"alpha": 0.03}
        reading = subprocess.run([*issue, "read", "--minutes", "1", "--uri", server.uri], check=True, capture_output=True, text=True).stdout.strip()
        assert MlflowClient(reading).get_run(run.info.run_id).info.status == "FINISHED"
        with pytest.raises(MlflowException, match="does not allow"):
            MlflowClient(reading).set_tag(run.info.run_id, "a", "b")
        with pytest.raises(MlflowException, match="token is needed"):
            MlflowClient(server.uri).get_run(run.info.run_id)
    finally:
        mlflow.set_tracking_uri("")
        server.stop()
