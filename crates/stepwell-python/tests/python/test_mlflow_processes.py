"""Processes and threads that log to one folder by MLflow: forks, kills, two writers, a server beside them."""

import collections
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from mlflow_support import client, environment, mlflow, no_addresses, python  # noqa: F401

from mlflow.tracking import MlflowClient


def test_threads(client):
    shared = client.create_run("0").info.run_id
    failures = []

    def work(number):
        try:
            own = MlflowClient().create_run("0").info.run_id
            for step in range(200):
                mlflow.log_metric("m", step, step=step, run_id=own)
                client.log_metric(shared, f"m{number}", step, step=step)
                client.set_tag(shared, f"t{number}", str(step))
            client.set_terminated(own)
        except Exception as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures
    for number in range(4):
        assert [point.step for point in client.get_metric_history(shared, f"m{number}")] == list(range(200))
        assert client.get_run(shared).data.tags[f"t{number}"] == "199"
    assert len(client.search_runs(["0"], "attributes.status = 'FINISHED'")) == 4


def test_a_forked_child_logs_to_its_parents_run(client):
    with mlflow.start_run() as run:
        mlflow.log_metric("parent", 0, step=0)
        stop = threading.Event()

        def busy():
            step = 1
            while not stop.is_set():
                client.log_metric(run.info.run_id, "thread", step, step=step)
                step += 1

        # Another thread may hold anything at the moment of the fork.
        thread = threading.Thread(target=busy)
        thread.start()
        children = []
        for number in range(5):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    # MLflow itself forgets the active run in a child.
                    with mlflow.start_run(run_id=run.info.run_id, nested=True):
                        for step in range(50):
                            mlflow.log_metric(f"child{number}", step, step=step)
                        mlflow.log_text("x", f"child{number}.txt")
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        stop.set()
        thread.join()
        mlflow.log_metric("parent", 1, step=1)
    assert codes == [0] * 5
    for number in range(5):
        assert [point.step for point in client.get_metric_history(run.info.run_id, f"child{number}")] == list(range(50))
    assert [point.step for point in client.get_metric_history(run.info.run_id, "parent")] == [0, 1]
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "thread")]
    assert steps == list(range(1, len(steps) + 1))


def test_children_that_end_as_the_interpreter_ends(folder):
    """What runs at exit leaves the parent's run alone."""
    python(
        """
        import multiprocessing, sys, mlflow, stepwell.mlflow

        def work(run, number):
            for step in range(20):
                mlflow.log_metric(f"m{number}", step, step=step, run_id=run)

        stepwell.mlflow.use(sys.argv[1])
        with mlflow.start_run() as run:
            mlflow.log_metric("own", 0)
            context = multiprocessing.get_context("fork")
            children = [context.Process(target=work, args=(run.info.run_id, number)) for number in range(2)]
            [child.start() for child in children]
            [child.join() for child in children]
            assert [child.exitcode for child in children] == [0, 0]
            mlflow.log_metric("own", 1, step=1)
        """,
        folder,
    )
    mlflow.set_tracking_uri(f"stepwell:{folder}")
    (run,) = mlflow.search_runs(output_format="list")
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"own": 1, "m0": 19, "m1": 19})
    for key in ("m0", "m1"):
        assert [point.step for point in MlflowClient().get_metric_history(run.info.run_id, key)] == list(range(20))


LOGGING = """
    import sys, mlflow
    mlflow.set_tracking_uri(sys.argv[1])
    mlflow.set_registry_uri(sys.argv[1])
    with mlflow.start_run(run_id=sys.argv[2] or None) as run:
        print(run.info.run_id, flush=True)
        for step in range(10 ** 9):
            mlflow.log_metric(sys.argv[3], step, step=step)
            print(step, flush=True)
"""


def logging(folder, run="", key="m"):
    command = [sys.executable, "-c", textwrap.dedent(LOGGING), f"stepwell:{folder}", run, key]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())


def test_what_was_acknowledged_survives_kill_9(folder):
    process = logging(folder)
    run = process.stdout.readline().strip()
    for _ in range(500):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    acknowledged = [line for line in process.stdout.read().splitlines() if line][-1:]
    process.wait()
    last = int(acknowledged[0]) if acknowledged and acknowledged[0].isdigit() else 499
    mlflow.set_tracking_uri(f"stepwell:{folder}")
    steps = [point.step for point in MlflowClient().get_metric_history(run, "m")]
    # One may have been logged and not told of.
    assert steps == list(range(len(steps))) and len(steps) in (last + 1, last + 2)
    # The run goes on.
    with mlflow.start_run(run_id=run):
        mlflow.log_metric("m", -1, step=len(steps))
    assert mlflow.get_run(run).info.status == "FINISHED"
    assert len(MlflowClient().get_metric_history(run, "m")) == len(steps) + 1


def test_two_processes_write_one_run(client, folder):
    run = client.create_run("0").info.run_id
    processes = [logging(folder, run, key) for key in ("a", "b")]
    told = []
    for process in processes:
        for _ in range(200):
            told.append(process.stdout.readline())
        # While both write.
        assert client.get_run(run).data.metrics
    [process.send_signal(signal.SIGKILL) for process in processes]
    [process.communicate() for process in processes]
    for key in ("a", "b"):
        steps = [point.step for point in client.get_metric_history(run, key)]
        assert steps == list(range(len(steps))) and len(steps) >= 199
    counted = collections.Counter(point.step for key in ("a", "b") for point in client.get_metric_history(run, key))
    assert max(counted.values()) <= 2


def test_a_server_beside_a_process_that_logs(client, folder):
    """The server of the wheel's command tells the same runs, models and files, and both may write."""
    from sklearn.linear_model import LinearRegression

    command = [sys.executable, "-m", "stepwell", "-w", folder, "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline()).group(0)
        served = MlflowClient(address, registry_uri=address)
        with mlflow.start_run(run_name="by folder") as run:
            for step in range(100):
                mlflow.log_metric("loss", step, step=step)
            mlflow.log_text("by folder", "d/one.txt")
            info = mlflow.sklearn.log_model(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]), name="line", registered_model_name="line")
            # The run goes on here; the server tells of it what is there.
            assert served.get_run(run.info.run_id).data.metrics == {"loss": 99}
            served.log_metric(run.info.run_id, "served", 1)
            served.log_text(run.info.run_id, "by server", "d/two.txt")
            mlflow.log_metric("loss", 100, step=100)
        assert client.get_run(run.info.run_id).data.metrics == {"loss": 100, "served": 1}
        for reader in (client, served):
            assert [file.path for file in reader.list_artifacts(run.info.run_id, "d")] == ["d/one.txt", "d/two.txt"]
            assert reader.get_run(run.info.run_id).info.status == "FINISHED"
            with open(reader.download_artifacts(run.info.run_id, "d/two.txt")) as file:
                assert file.read() == "by server"
        # A model that the folder registered is loaded from the server, and the other way round.
        mlflow.set_tracking_uri(address)
        mlflow.set_registry_uri(address)
        assert served.get_logged_model(info.model_id).artifact_location.startswith("mlflow-artifacts:/")
        version = served.get_model_version("line", "1")
        assert mlflow.pyfunc.load_model("models:/line/1").predict([[2.0]]).tolist() == pytest.approx([5.0]), version.source
        # Its files are registered by their place, which each tells its own way.
        folder_way = client.create_model_version("line", f"{run.info.artifact_uri}/d", run_id=run.info.run_id)
        served_way = served.get_model_version("line", folder_way.version)
        assert folder_way.source == f"{run.info.artifact_uri}/d"
        assert served_way.source == f"mlflow-artifacts:/0/{run.info.run_id}/artifacts/d"
        experiment = served.create_experiment("served")
        with mlflow.start_run(experiment_id=experiment, run_name="by server") as other:
            mlflow.log_metric("m", 1)
            mlflow.sklearn.log_model(LinearRegression().fit([[0.0], [1.0]], [1.0, 2.0]), name="line", registered_model_name="line")
        mlflow.set_tracking_uri(f"stepwell:{folder}")
        mlflow.set_registry_uri(f"stepwell:{folder}")
        assert [found.info.run_name for found in client.search_runs([experiment])] == ["by server"]
        assert mlflow.pyfunc.load_model("models:/line/3").predict([[2.0]]).tolist() == pytest.approx([3.0])
        assert client.get_run(other.info.run_id).info.artifact_uri.startswith(f"{folder}/artifacts/{experiment}/")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
