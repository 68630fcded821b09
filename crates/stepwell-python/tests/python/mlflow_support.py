"""What the tests of the MLflow plugin share."""

import os
import subprocess
import sys
import textwrap

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

mlflow = pytest.importorskip("mlflow")

URIS = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


@pytest.fixture(autouse=True)
def no_addresses(monkeypatch, tmp_path):
    """Each test begins and ends without an address, in a folder of its own."""
    for name in URIS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri("")
    mlflow.tracking.fluent._active_experiment_id = None
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


@pytest.fixture
def client(folder):
    """A client of a folder that is in use."""
    import stepwell.mlflow

    stepwell.mlflow.use(folder)
    return mlflow.MlflowClient()


def environment(**more):
    """The environment of a process to which this one says no address but those given."""
    kept = {key: value for key, value in os.environ.items() if key not in URIS and not key.startswith("MLFLOW_RUN")}
    return {**kept, **more}


def python(text, *arguments, check=True, **options):
    """Runs a script in a process of its own."""
    options.setdefault("env", environment())
    command = [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, **options)
    assert not check or done.returncode == 0, done.stderr
    return done


def command(*arguments, address, check=True, **options):
    """Runs the command `mlflow`."""
    options.setdefault("env", environment(MLFLOW_TRACKING_URI=address))
    whole = [sys.executable, "-m", "mlflow", *map(str, arguments)]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=180, **options)
    assert not check or done.returncode == 0, done.stderr
    return done
