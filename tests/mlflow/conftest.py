"""Servers for the tests: `stepwell serve` on a fresh workspace, and MLflow's own on SQLite to compare with."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
import requests

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import mlflow  # noqa: E402


class Stepwell:
    """A server in a process of its own, which can be stopped, killed and started again on the same port."""

    def __init__(self, workspace, *choices, environment=None):
        self.workspace, self.choices, self.port, self.process = workspace, choices, 0, None
        self.environment = environment
        self.start()

    @property
    def uri(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        command = [os.environ["STEPWELL_BIN"], "-w", str(self.workspace), "serve", "--port", str(self.port), *self.choices]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self.environment)
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, f"the server did not start: {line!r}"
        self.port = int(found.group(1))
        assert requests.get(self.uri + "/health", timeout=10).text == "OK"

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(timeout=30)
        assert how == signal.SIGKILL or code == 0, f"the server ended with {code}"


@pytest.fixture(scope="session")
def session_server(tmp_path_factory):
    server = Stepwell(tmp_path_factory.mktemp("stepwell") / "workspace")
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.fixture
def server(session_server, request):
    """The server, chosen as MLflow's tracking server, with an experiment of the test's own."""
    mlflow.set_tracking_uri(session_server.uri)
    mlflow.set_registry_uri(session_server.uri)
    mlflow.set_experiment(request.node.name)
    yield session_server
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """MLflow's own server, on SQLite."""
    folder = tmp_path_factory.mktemp("mlflow")
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "artifacts"), "--port", str(port), "--workers", "1",
    ]
    log = open(folder / "log", "w")
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            if requests.get(uri + "/health", timeout=2).text == "OK":
                break
        except requests.RequestException:
            time.sleep(0.3)
    else:
        raise AssertionError(open(folder / "log").read()[-3000:])
    yield uri
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=30)
