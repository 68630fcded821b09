"""What the tests of remote runs share: a server that is stopped, killed and started again, and a spool of its own."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import stepwell

VARIABLES = ("STEPWELL_", "MLFLOW_TRACKING", "MLFLOW_REGISTRY", "MLFLOW_RUN", "MLFLOW_EXPERIMENT")


class Server:
    """A server on a folder, at one address whether it is up or not."""

    def __init__(self, folder, *choices):
        self.folder, self.choices, self.port, self.process = folder, choices, 0, None
        stepwell.open(folder)
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        words = ["-w", self.folder, "serve", "--port", str(self.port), *self.choices]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stepwell", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        line = self.process.stdout.readline()
        found = re.search(r":(\d+)", line)
        assert found, f"the server did not start: {line!r}"
        self.port = int(found.group(1))

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(60)

    @property
    def runs(self):
        """The server's runs, read from its folder."""
        ws = stepwell.open(self.folder)
        return [ws[row["run_id"]] for row in ws.search(limit=10_000)]

    def points(self, run_id, key):
        view = stepwell.open(self.folder)[run_id]
        return list(zip(view[key].steps, view[key].values, strict=True))


@pytest.fixture(autouse=True)
def spool(tmp_path, monkeypatch):
    """A folder for spools, and an environment that says nothing else."""
    for name in list(os.environ):
        if name.startswith(VARIABLES):
            monkeypatch.delenv(name)
    folder = tmp_path / "spool"
    monkeypatch.setenv("STEPWELL_SPOOL", str(folder))
    monkeypatch.setenv("STEPWELL_CREDENTIALS", str(tmp_path / "credentials.json"))
    monkeypatch.setenv("STEPWELL_WAIT", "30")
    return folder


@pytest.fixture
def server(folder):
    server = Server(folder)
    yield server
    server.stop(signal.SIGKILL)


def process(text, *arguments, **more):
    """Starts a script in a process of its own."""
    env = {**os.environ, **more.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, **more,
    )


def script(text, *arguments, check=True, **more):
    """Runs a script in a process of its own, to its end."""
    started = process(text, *arguments, **more)
    out, err = started.communicate(timeout=180)
    assert not check or started.returncode == 0, err
    return started.returncode, out, err


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found
