"""Stores for the tests: `stepwell serve` on a fresh workspace, a workspace that MLflow opens itself by the plugin of
the Python package, and MLflow's own server on SQLite to compare with.

Each test runs twice, by HTTP and on the folder, unless `SERVER_ONLY` says why it cannot.
"""

import contextlib
import os
import pathlib
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

# What is of a server, or of the command, alone, and why: by file, or by file and test.
SERVER_ONLY = {
    "test_ui.py": "pages in a browser",
    "test_together.py": "one of two servers is killed; crates/stepwell-python/tests kills processes that log to a folder",
    "test_exports.py": "files that the command writes",
    "test_sources.py": "files of other trackers that the command reads",
    "test_client.py::test_restart_between_two_calls": "the server's process ends between two calls",
    "test_client.py::test_a_tracking_uri_with_a_token": "tokens are for servers; a folder has its permissions",
    "test_words.py::test_files_in_a_folder_of_the_server_are_sources_of_versions": "a choice of a server, see `Side.root` for folders",
}
# Scenarios likewise.
SERVER_SCENARIOS = {
    "locations": "a process may keep files wherever it reaches",
    "places": "a process may keep files wherever it reaches",
    "sources": "a process may register what it reaches",
}
# Endpoints that are not asked of a folder: files go through MLflow's own repository of local ones.
SERVER_ROUTES = ("/get-artifact", "//get-artifact", "/ajax-api/2.0/mlflow/upload-artifact")


def pytest_collection_modifyitems(items):
    for item in items:
        file, test = item.path.name, f"{item.path.name}::{item.originalname}"
        alone = file in SERVER_ONLY or test in SERVER_ONLY
        if alone == ("place" in item.fixturenames):
            raise pytest.UsageError(f"{test} runs by HTTP and on a folder, or SERVER_ONLY in {__name__}.py says why not")


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


class Folder:
    """A workspace that MLflow opens in the test's own process."""

    def __init__(self, workspace):
        pytest.importorskip("stepwell.mlflow", reason="the Python package is not installed")
        self.workspace = pathlib.Path(workspace)

    @property
    def uri(self):
        from stepwell.mlflow import uri

        return uri(self.workspace)


@pytest.fixture(params=["http", "folder"], scope="session")
def place(request):
    """How MLflow reaches a workspace."""
    return request.param


@pytest.fixture
def opened(place):
    """Opens a workspace for a while, and gives the address for MLflow."""

    @contextlib.contextmanager
    def opened(workspace):
        if place == "folder":
            yield Folder(workspace).uri
            return
        server = Stepwell(workspace)
        try:
            yield server.uri
        finally:
            server.stop()

    return opened


@pytest.fixture(scope="session")
def session_store(place, tmp_path_factory, request):
    """The workspace that all tests of a place share."""
    if place == "http":
        return request.getfixturevalue("session_server")
    return Folder(tmp_path_factory.mktemp("stepwell") / "workspace")


@pytest.fixture(scope="session")
def session_server(tmp_path_factory):
    server = Stepwell(tmp_path_factory.mktemp("stepwell") / "workspace")
    yield server
    if server.process.poll() is None:
        server.stop()


@contextlib.contextmanager
def chosen(store, request):
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_registry_uri(store.uri)
    mlflow.set_experiment(request.node.originalname)
    yield store
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture
def store(session_store, request):
    """The workspace, chosen as MLflow's store, with an experiment of the test's own."""
    with chosen(session_store, request) as store:
        yield store


@pytest.fixture
def server(session_server, request):
    """The same for what only a server has."""
    with chosen(session_server, request) as server:
        yield server


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
