"""MLflow's own commands on a folder: `gc`, `experiments`, `runs`, `ui`, `run`."""

import csv
import io
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from mlflow_support import client, command, environment, mlflow, no_addresses  # noqa: F401


def ids(client, experiments):
    return {run.info.run_id for run in client.search_runs(experiments, run_view_type=mlflow.entities.ViewType.ALL)}


def test_gc_deletes_for_good_what_was_deleted(client):
    address = mlflow.get_tracking_uri()
    gone, kept = client.create_experiment("gone"), client.create_experiment("kept")
    with mlflow.start_run(experiment_id=kept) as deleted:
        mlflow.log_metric("m", 1)
        mlflow.log_text("x", "x.txt")
    with mlflow.start_run(experiment_id=kept) as active:
        mlflow.log_text("x", "x.txt")
    with mlflow.start_run(experiment_id=gone) as inside:
        mlflow.log_text("x", "x.txt")
    model, spared = (client.create_logged_model(kept, name=name) for name in ("old", "new"))
    pathlib.Path(model.artifact_location).mkdir(parents=True)
    client.delete_logged_model(model.model_id)
    client.delete_run(deleted.info.run_id)
    client.delete_experiment(gone)
    # Nothing is a day old.
    command("gc", "--backend-store-uri", address, "--older-than", "1d", address=address)
    assert ids(client, [kept]) == {deleted.info.run_id, active.info.run_id}
    assert client.get_run(inside.info.run_id).info.lifecycle_stage == "deleted"
    told = command("gc", "--backend-store-uri", address, address=address).stdout
    for what in (deleted.info.run_id, inside.info.run_id, gone, model.model_id):
        assert what in told, told
    assert ids(client, [kept]) == {active.info.run_id}
    assert not pathlib.Path(deleted.info.artifact_uri).exists() and not pathlib.Path(model.artifact_location).exists()
    assert pathlib.Path(active.info.artifact_uri, "x.txt").read_text() == "x"
    with pytest.raises(mlflow.MlflowException, match="exist|found"):
        client.get_run(inside.info.run_id)
    assert [found.name for found in client.search_experiments(view_type=mlflow.entities.ViewType.ALL)] == ["kept", "Default"]
    assert client.get_logged_model(spared.model_id).name == "new"
    # The name is free.
    client.create_experiment("gone")


def test_gc_of_what_is_named(client):
    address = mlflow.get_tracking_uri()
    one, two = client.create_experiment("one"), client.create_experiment("two")
    runs = [client.create_run(one).info.run_id for _ in range(2)]
    other = client.create_run(two).info.run_id
    models = [client.create_logged_model(two, name=f"m{number}").model_id for number in range(2)]
    for run in (*runs, other):
        client.delete_run(run)
    for model in models:
        client.delete_logged_model(model)
    of = lambda *more, **options: command("gc", "--backend-store-uri", address, *more, address=address, **options)
    # Somebody else's store is not touched by ids, and active ones are not either.
    assert of("--experiment-ids", one, check=False).returncode != 0
    assert of("--run-ids", runs[0], "--older-than", "1d", check=False).returncode != 0
    assert ids(client, [one, two]) == {*runs, other}
    of("--run-ids", runs[0], "--logged-model-ids", models[0])
    assert ids(client, [one, two]) == {runs[1], other}
    from mlflow.tracking._tracking_service.utils import _get_store

    assert _get_store()._get_deleted_logged_models() == [models[1]]
    assert _get_store().get_logged_model(models[1], allow_deleted=True).name == "m1"
    client.delete_experiment(one)
    of("--experiment-ids", one, "--run-ids", runs[1])
    assert ids(client, [two]) == {other}
    with pytest.raises(mlflow.MlflowException):
        client.get_experiment(one)


def test_experiments_and_runs(client, tmp_path):
    address = mlflow.get_tracking_uri()
    command("experiments", "create", "--experiment-name", "by command", address=address)
    experiment = client.get_experiment_by_name("by command").experiment_id
    with mlflow.start_run(experiment_id=experiment, run_name="first") as run:
        mlflow.log_metric("loss", 0.5)
        mlflow.log_param("lr", 0.1)
    assert "by command" in command("experiments", "search", address=address).stdout
    (row,) = csv.DictReader(io.StringIO(command("experiments", "csv", "--experiment-id", experiment, address=address).stdout))
    assert (row["run_id"], row["metrics.loss"], row["params.lr"]) == (run.info.run_id, "0.5", "0.1")
    command("experiments", "csv", "--experiment-id", experiment, "--filename", tmp_path / "runs.csv", address=address)
    assert run.info.run_id in (tmp_path / "runs.csv").read_text()
    listed = command("runs", "list", "--experiment-id", experiment, address=address).stdout
    assert run.info.run_id in listed and "first" in listed
    assert '"loss": 0.5' in command("runs", "describe", "--run-id", run.info.run_id, address=address).stdout
    command("runs", "delete", "--run-id", run.info.run_id, address=address)
    assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
    command("runs", "restore", "--run-id", run.info.run_id, address=address)
    command("experiments", "rename", "--experiment-id", experiment, "--new-name", "renamed", address=address)
    command("experiments", "delete", "--experiment-id", experiment, address=address)
    assert client.get_experiment(experiment).lifecycle_stage == "deleted"
    (tmp_path / "a.txt").write_text("a")
    command("experiments", "restore", "--experiment-id", experiment, address=address)
    command("artifacts", "log-artifact", "--local-file", tmp_path / "a.txt", "--run-id", run.info.run_id, address=address)
    assert "a.txt" in command("artifacts", "list", "--run-id", run.info.run_id, address=address).stdout


def test_projects(client, tmp_path):
    project = tmp_path / "my project"
    project.mkdir()
    (project / "MLproject").write_text(
        "name: probe\nentry_points:\n  main:\n    parameters:\n      alpha: {type: float, default: 0.5}\n"
        f"    command: '\"{sys.executable}\" train.py {{alpha}}'\n"
    )
    (project / "train.py").write_text(
        "import sys, mlflow\nwith mlflow.start_run():\n    mlflow.log_metric('alpha', float(sys.argv[1]))\n    mlflow.log_text('x', 'x.txt')\n"
    )
    address = mlflow.get_tracking_uri()
    command("run", project, "-P", "alpha=0.25", "--env-manager", "local", "--experiment-name", "projects", address=address)
    (run,) = mlflow.search_runs(experiment_names=["projects"], output_format="list")
    assert (run.info.status, run.data.metrics, run.data.params) == ("FINISHED", {"alpha": 0.25}, {"alpha": "0.25"})
    assert run.data.tags["mlflow.project.entryPoint"] == "main"
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/x.txt") == "x"


def test_ui(client):
    """MLflow's own server on the folder answers what its pages ask."""
    import numpy
    import requests

    address = mlflow.get_tracking_uri()
    with mlflow.start_run(run_name="shown") as run:
        for step in range(20):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_param("lr", 0.1)
        mlflow.log_text("hello", "notes.txt")
        mlflow.log_metrics({"odd": float("nan")}, step=3)
        mlflow.log_input(mlflow.data.from_numpy(numpy.zeros(3), name="zeros"), context="train")
    client.create_registered_model("net")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    whole = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", address, "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(whole, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        root = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                if requests.get(root + "/health", timeout=2).text == "OK":
                    break
            except requests.RequestException:
                time.sleep(0.2)
        ask = lambda path, **body: requests.post(f"{root}/ajax-api/2.0/mlflow/{path}", json=body, timeout=30).json()
        get = lambda place, **query: requests.get(root + place, params=query, timeout=30)
        assert "<title>MLflow</title>" in get("/").text
        assert [one["name"] for one in ask("experiments/search", max_results=5)["experiments"]] == ["Default"]
        (found,) = ask("runs/search", experiment_ids=["0"])["runs"]
        assert (found["info"]["run_name"], {metric["key"] for metric in found["data"]["metrics"]}) == ("shown", {"loss", "odd"})
        odd = get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", run_ids=run.info.run_id, metric_key="odd", max_results=320, start_step=0, end_step=9).json()
        assert [(point["step"], point["value"]) for point in odd["metrics"]] == [(3, "NaN")]
        history = get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", run_ids=run.info.run_id, metric_key="loss", max_results=320).json()
        assert [point["step"] for point in history["metrics"]] == list(range(20))
        assert get("/ajax-api/2.0/mlflow/artifacts/list", run_id=run.info.run_id).json()["files"][0]["path"] == "notes.txt"
        assert get("/get-artifact", run_id=run.info.run_id, path="notes.txt").text == "hello"
        (dataset,) = ask("experiments/search-datasets", experiment_ids=["0"])["dataset_summaries"]
        assert (dataset["name"], dataset["context"]) == ("zeros", "train")
        assert ask("logged-models/search", experiment_ids=["0"]).get("models", []) == []
        assert get("/ajax-api/2.0/mlflow/registered-models/search").json()["registered_models"][0]["name"] == "net"
        query = "query GetRun($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { run { info { runName } data { metrics { key value } } } } }"
        shown = requests.post(root + "/graphql", json={"query": query, "variables": {"data": {"runId": run.info.run_id}}}, timeout=30).json()
        assert shown["data"]["mlflowGetRun"]["run"]["info"]["runName"] == "shown"
        # A client of that server, on this machine.
        other = mlflow.MlflowClient(root, registry_uri=root)
        other.log_metric(other.create_run("0", run_name="by http").info.run_id, "m", 1)
        assert {run.info.run_name for run in client.search_runs(["0"])} == {"shown", "by http"}
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
