"""What guides of hosted MLflow tell their readers to do, step by step, on each kind of address."""

import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest
from mlflow_support import mlflow, no_addresses  # noqa: F401
from remote_support import Server, script, spool, wait_for  # noqa: F401

import stepwell
import stepwell.mlflow


# A model that its script logs, as the beginning of the script.
TWICE = """
import mlflow

class Twice(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return [2 * number for number in model_input]
"""


def command(*words, **options):
    done = subprocess.run([sys.executable, "-m", "stepwell", *words], capture_output=True, text=True, check=True, **options)
    return done.stdout.strip()


class Place:
    """Where MLflow logs: an address, and what else its environment says."""

    def __init__(self, address, folder, **more):
        self.address, self.folder, self.environment = address, folder, more

    @property
    def whole(self):
        return {"MLFLOW_TRACKING_URI": self.address, "MLFLOW_REGISTRY_URI": self.address, **self.environment}


@pytest.fixture(params=["folder", "address with a token", "login", "spool"])
def place(request, folder, monkeypatch):
    if request.param == "folder":
        yield Place(stepwell.mlflow.uri(folder), folder)
        return
    server = Server(folder, "--auth")
    try:
        if request.param == "address with a token":
            yield Place(command("-w", folder, "token", "create", "--uri", server.url), folder)
            return
        command("login", server.url, input=command("-w", folder, "token", "create", "--name", "me") + "\n")
        monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "stepwell")
        address = server.url if request.param == "login" else f"stepwell+{server.url}"
        yield Place(address, folder, MLFLOW_TRACKING_AUTH="stepwell")
    finally:
        server.stop(signal.SIGKILL)


def runs(place):
    ws = stepwell.open(place.folder)
    return [ws[row["run_id"]] for row in ws.search()]


def test_a_script_that_names_the_address(place):
    script(
        """
        import mlflow, sys

        mlflow.set_tracking_uri(sys.argv[1])
        mlflow.set_registry_uri(sys.argv[1])
        experiment_name = "experiment_with_mlflow"
        mlflow.set_experiment(experiment_name)

        with mlflow.start_run():
            mlflow.log_metric("alpha", 0.03)
        """,
        place.address, env=place.environment,
    )
    (view,) = runs(place)
    assert view.experiment == "experiment_with_mlflow" and view.latest == {"alpha": 0.03} and view.status == "FINISHED"


def test_a_script_that_runs_elsewhere_by_its_environment_alone(place, tmp_path):
    script(
        """
        import mlflow

        with mlflow.start_run():
            mlflow.log_metric("example", 1.23)
            mlflow.log_param("rate", 0.1)
            mlflow.set_tag("where", "elsewhere")
        """,
        env={**place.whole, "MLFLOW_EXPERIMENT_NAME": "remote", "STEPWELL_SPOOL": str(tmp_path / "elsewhere")},
    )
    (view,) = runs(place)
    assert view.experiment == "remote" and view.latest == {"example": 1.23}
    assert view.params == {"rate": "0.1"} and view.tags["where"] == "elsewhere"


def test_a_model_of_a_run_is_registered_and_loaded(place):
    _, out, _ = script(
        TWICE + textwrap.dedent("""
        from mlflow import MlflowClient

        mlflow.set_experiment("models")
        with mlflow.start_run() as run:
            mlflow.log_metric("score", 0.9)
            info = mlflow.pyfunc.log_model(name="model", python_model=Twice(), pip_requirements=[])
        version = mlflow.register_model(info.model_uri, "twice")
        client = MlflowClient()
        client.set_registered_model_alias("twice", "champion", version.version)
        found = client.get_model_version_by_alias("twice", "champion")
        assert str(found.version) == "1" and found.run_id == run.info.run_id
        loaded = mlflow.pyfunc.load_model("models:/twice@champion")
        assert list(loaded.predict([1, 2])) == [2, 4]
        assert [one.name for one in client.search_registered_models()] == ["twice"]
        (row,) = mlflow.search_runs(experiment_names=["models"], output_format="list")
        assert row.data.metrics == {"score": 0.9}
        assert client.get_run(run.info.run_id).info.status == "FINISHED"
        print(run.info.run_id)
        """),
        env=place.whole,
    )
    assert [view.id for view in runs(place)] == [out.split()[-1]]


def test_artifacts_of_a_run_are_downloaded(place, tmp_path):
    script(
        """
        import mlflow, os, sys

        mlflow.set_experiment("files")
        with mlflow.start_run() as run:
            mlflow.log_text("hello", "notes/a.txt")
            mlflow.log_dict({"a": 1}, "b.json")
        client = mlflow.MlflowClient()
        assert sorted(file.path for file in client.list_artifacts(run.info.run_id)) == ["b.json", "notes"]
        path = client.download_artifacts(run.info.run_id, "notes/a.txt", sys.argv[1])
        assert open(path).read() == "hello"
        """,
        tmp_path, env=place.whole,
    )


def test_an_address_that_has_lived_its_hour_is_made_anew(folder):
    server = Server(folder, "--auth")
    try:
        first = command("-w", folder, "token", "create", "--uri", server.url, "--name", "first")
        # As after its hour: the token is no more.
        kept = command("-w", folder, "token", "list").split()[0]
        command("-w", folder, "token", "revoke", kept)
        text = """
            import mlflow
            mlflow.set_experiment("e")
            with mlflow.start_run():
                mlflow.log_metric("alpha", 0.03)
            """
        more = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        ended = {"MLFLOW_TRACKING_URI": first, "MLFLOW_REGISTRY_URI": first, **more}
        code, _, err = script(text, env=ended, check=False)
        assert code != 0 and "valid token is needed" in err
        assert re.search(r"stw_\w{20}", err) is None
        second = command("-w", folder, "token", "create", "--uri", server.url)
        script(text, env={"MLFLOW_TRACKING_URI": second, "MLFLOW_REGISTRY_URI": second, **more})
        assert len(server.runs) == 1
    finally:
        server.stop(signal.SIGKILL)


def test_a_server_that_is_down_stops_no_script_with_a_spool(folder):
    server = Server(folder)
    try:
        address = f"stepwell+{server.url}"
        server.stop()
        _, out, _ = script(
            """
            import mlflow
            mlflow.set_experiment("offline")
            with mlflow.start_run() as run:
                for step in range(100):
                    mlflow.log_metric("loss", step, step=step)
                mlflow.log_text("hello", "a.txt")
                assert mlflow.get_run(run.info.run_id).data.metrics == {"loss": 99.0}
            try:
                mlflow.MlflowClient().search_registered_models()
            except mlflow.exceptions.MlflowException as error:
                assert error.error_code == "TEMPORARILY_UNAVAILABLE" and "only the server answers" in str(error), error
            else:
                raise SystemExit("answered")
            print(run.info.run_id)
            """,
            env={"MLFLOW_TRACKING_URI": address, "MLFLOW_REGISTRY_URI": address, "STEPWELL_WAIT": "0.5"},
        )
        server.start()
        script("import stepwell, sys; assert stepwell.open(sys.argv[1]).flush(60)['arrived']", server.url)
        (view,) = server.runs
        assert view.id == out.split()[-1] and view.experiment == "offline" and view.status == "FINISHED"
        assert list(view["loss"].steps) == list(range(100))
        wait_for(lambda: os.path.exists(view.artifact_folder / "a.txt"))
    finally:
        server.stop(signal.SIGKILL)


def test_what_mlflow_ends_with_the_process_arrives_with_it(folder):
    """MLflow ends runs that are left open after all that this package does when the process ends."""
    server = Server(folder)
    try:
        address = f"stepwell+{server.url}"
        _, out, _ = script(
            """
            import mlflow
            mlflow.set_experiment("open")
            run = mlflow.start_run()
            mlflow.log_metric("loss", 1.0)
            print(run.info.run_id)
            """,
            env={"MLFLOW_TRACKING_URI": address, "MLFLOW_REGISTRY_URI": address},
        )
        (view,) = server.runs
        # MLflow prints where the run is after that.
        assert view.id == out.split()[0] and view.status == "FINISHED" and view.end_time_ms is not None
        assert view.latest == {"loss": 1.0}
    finally:
        server.stop(signal.SIGKILL)


def test_logged_models_arrive_with_their_files(folder, tmp_path):
    server = Server(folder)
    try:
        address = f"stepwell+{server.url}"
        env = {"MLFLOW_TRACKING_URI": address, "MLFLOW_REGISTRY_URI": address}
        _, out, _ = script(
            TWICE + textwrap.dedent("""
            mlflow.set_experiment("models")
            with mlflow.start_run() as run:
                info = mlflow.pyfunc.log_model(name="net", python_model=Twice(), pip_requirements=[])
                mlflow.log_metric("score", 0.9, model_id=info.model_id)
            print(run.info.run_id, info.model_id)
            """),
            env=env,
        )
        run_id, model_id = out.split()[-2:]
        # Another machine, without the spool: loads it, measures it, registers it.
        script(
            """
            import mlflow, sys
            from mlflow import MlflowClient

            run_id, model_id = sys.argv[1:]
            model = mlflow.get_logged_model(model_id)
            assert (model.name, model.source_run_id, str(model.status)) == ("net", run_id, "READY"), model
            assert [(one.key, one.value) for one in model.metrics] == [("score", 0.9)]
            assert list(mlflow.pyfunc.load_model(f"models:/{model_id}").predict([1, 2])) == [2, 4]
            mlflow.set_experiment("models")
            with mlflow.start_run():
                mlflow.log_metric("later", 0.5, model_id=model_id)
            (found,) = mlflow.search_logged_models(output_format="list")
            assert found.model_id == model_id
            version = mlflow.register_model(f"models:/{model_id}", "twice")
            assert list(mlflow.pyfunc.load_model("models:/twice/1").predict([3])) == [6]
            """,
            run_id, model_id, env={**env, "STEPWELL_SPOOL": str(tmp_path / "elsewhere")},
        )
        script(
            """
            import mlflow, sys
            assert {(one.key, one.value) for one in mlflow.get_logged_model(sys.argv[1]).metrics} == {
                ("score", 0.9), ("later", 0.5)
            }
            """,
            model_id, env={**env, "STEPWELL_SPOOL": str(tmp_path / "third")},
        )
    finally:
        server.stop(signal.SIGKILL)


def test_a_run_of_the_server_is_joined_by_its_id(folder, tmp_path):
    """MLFLOW_RUN_ID names a run that the spool has never seen."""
    server = Server(folder)
    try:
        with stepwell.open(folder).run(experiment="begun there") as run:
            run.log("before", 1.0, 0)
        address = f"stepwell+{server.url}"
        script(
            """
            import mlflow
            with mlflow.start_run() as run:
                mlflow.log_metric("after", 2.0)
                assert mlflow.get_experiment(run.info.experiment_id).name == "begun there"
            """,
            env={"MLFLOW_TRACKING_URI": address, "MLFLOW_REGISTRY_URI": address, "MLFLOW_RUN_ID": run.id},
        )
        assert server.runs[0].latest == {"before": 1.0, "after": 2.0}
    finally:
        server.stop(signal.SIGKILL)
