"""`stepwell login`, and the tokens of an hour that MLflow's requests carry."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow_support import environment, mlflow, no_addresses, python  # noqa: F401

import stepwell


@pytest.fixture
def credentials(tmp_path, monkeypatch):
    """A file of credentials of this test alone."""
    path = tmp_path / "settings" / "credentials.json"
    monkeypatch.setenv("STEPWELL_CREDENTIALS", str(path))
    for name in ("STEPWELL_TOKEN", "STEPWELL_ALLOW_PLAIN_HTTP", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_AUTH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return path


def stepwell_command(*words, **options):
    return subprocess.run([sys.executable, "-m", "stepwell", *words], capture_output=True, text=True, timeout=60, **options)


@pytest.fixture
def server(folder):
    """A server of the folder that asks for tokens; gives its address."""
    stepwell.open(folder)
    words = [sys.executable, "-m", "stepwell", "-w", folder, "serve", "--port", "0", "--auth"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    line = process.stdout.readline()
    yield re.search(r"http://\S+", line).group().rstrip("/")
    process.terminate()
    process.wait(60)


@pytest.fixture
def token(folder):
    def create(*options):
        done = stepwell_command("-w", folder, "token", "create", *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return create


def test_a_token_is_kept_for_its_owner_alone(credentials):
    done = stepwell_command("login", "http://lab:5000", input="stw_abc\n")
    assert done.returncode == 3 and "unencrypted" in done.stderr
    done = stepwell_command("login", "http://lab:5000", "--allow-plain-http", input="stw_abc\n")
    assert done.returncode == 0 and "stw_abc" not in done.stdout + done.stderr
    assert credentials.stat().st_mode & 0o777 == 0o600
    assert stepwell_command("login").stdout == "http://lab:5000\n"
    assert json.loads(stepwell_command("login", "--json").stdout) == [
        {"server": "http://lab:5000", "allow_plain_http": True, "ca": None}
    ]
    assert stepwell_command("login", "https://lab", input="no token\n").returncode == 3
    assert stepwell_command("login", "http://me:pw@lab", input="stw_abc\n").returncode == 2
    assert stepwell_command("logout", "http://lab:5000/").returncode == 0
    assert stepwell_command("logout", "http://lab:5000").returncode == 3
    assert stepwell_command("login").stdout == ""


SCRIPT = """
    import logging, sys
    logging.basicConfig(level=logging.DEBUG)
    import mlflow
    mlflow.set_experiment("guide")
    with mlflow.start_run() as run:
        mlflow.log_metric("alpha", 0.03)
        mlflow.log_text("text", "a.txt")
    assert mlflow.get_run(run.info.run_id).data.metrics == {"alpha": 0.03}
"""


@pytest.mark.parametrize("how", ["file", "environment"])
def test_mlflow_logs_to_a_server_that_asks_for_tokens(credentials, server, token, ws, how):
    long = token("--name", "ci")
    more = {"STEPWELL_TOKEN": long}
    if how == "file":
        assert stepwell_command("login", server, input=long + "\n").returncode == 0
        more = {}
    env = environment(MLFLOW_TRACKING_URI=server, MLFLOW_REGISTRY_URI=server, MLFLOW_TRACKING_AUTH="stepwell", **more)
    done = python(SCRIPT, env=env)
    assert long not in done.stdout + done.stderr and "stw_" not in done.stdout + done.stderr
    (row,) = ws.search().rows()
    assert row["experiment"] == "guide" and row["metrics.alpha"] == 0.03
    # Without a credential the server refuses, and says what to do.
    env = environment(MLFLOW_TRACKING_URI=server, MLFLOW_REGISTRY_URI=server, MLFLOW_TRACKING_AUTH="stepwell",
                      STEPWELL_CREDENTIALS="/nowhere/credentials.json", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert "valid token is needed" in python(SCRIPT, env=env, check=False).stderr


def test_an_address_holds_a_token_for_an_hour_at_most(credentials, server, token, ws):
    address = token("--uri", server, "--name", "guide")
    assert stepwell_command("-w", os.fspath(ws.path), "token", "create", "--uri", server, "--minutes", "61").returncode == 2
    python(SCRIPT, env=environment(MLFLOW_TRACKING_URI=address, MLFLOW_REGISTRY_URI=address))
    (kept,) = json.loads(stepwell_command("-w", os.fspath(ws.path), "--json", "token", "list").stdout)
    assert kept["expires_ms"] - kept["created_ms"] == 3_600_000
    # It makes no other one that lasts longer.
    import requests

    secret = address.split("token:")[1].split("@")[0]
    answer = requests.post(f"{server}/api/2.0/stepwell/token", json={}, auth=("token", secret), timeout=30)
    assert answer.status_code == 200 and answer.json()["expires_ms"] <= kept["expires_ms"]


class Fake(BaseHTTPRequestHandler):
    """A server whose tokens live as long as a test says, and which notes what it is shown."""

    valid_ms = 3_600_000
    refuses: set = set()
    makes = True

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        shown = self.headers.get("Authorization")
        self.server.seen.append((self.path, shown))
        if self.path == "/api/2.0/stepwell/token":
            if not type(self).makes:
                self.server.down += 1
                return self.answer(503, {"message": "down"})
            self.server.made += 1
            return self.answer(200, {"token": f"stw_short{self.server.made}", "valid_ms": type(self).valid_ms, "expires_ms": 0})
        return self.answer(401 if shown in type(self).refuses else 200, {})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def fake(credentials, monkeypatch):
    made = type("Made", (Fake,), {"refuses": set(), "makes": True, "valid_ms": 3_600_000})
    server = ThreadingHTTPServer(("127.0.0.1", 0), made)
    server.seen, server.made, server.down, server.kind = [], 0, 0, made
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("STEPWELL_TOKEN", "stw_long")
    yield server
    server.shutdown()


@pytest.fixture
def auth(fake):
    from stepwell.mlflow import _auth

    return _auth._Auth()


def post(fake, auth):
    import requests

    return requests.post(f"{fake.address}/api/x", json={"a": 1}, auth=auth, timeout=30).status_code


def shown(fake):
    return [authorization for path, authorization in fake.seen if path == "/api/x"]


def test_a_token_is_made_once_and_renewed_before_its_end(fake, auth):
    assert [post(fake, auth) for _ in range(3)] == [200] * 3 and fake.made == 1
    assert shown(fake) == ["Bearer stw_short1"] * 3
    assert [authorization for path, authorization in fake.seen if path.endswith("token")] == ["Bearer stw_long"]
    # Past the half of a short life.
    fake.kind.valid_ms = 400
    auth.forget()
    assert post(fake, auth) == 200 and fake.made == 2
    time.sleep(0.25)
    assert post(fake, auth) == 200 and shown(fake)[-1] == "Bearer stw_short3"


def test_a_token_that_has_not_ended_is_used_while_the_server_makes_none(fake, auth):
    fake.kind.valid_ms = 4000
    post(fake, auth)
    fake.kind.makes = False
    time.sleep(2.1)
    assert post(fake, auth) == post(fake, auth) == 200 and fake.down == 1
    assert shown(fake)[-1] == "Bearer stw_short1"
    time.sleep(2)
    with pytest.raises(stepwell.StepwellError, match="down"):
        post(fake, auth)


def test_a_refused_token_is_made_anew_once(fake, auth):
    post(fake, auth)
    fake.kind.refuses = {"Bearer stw_short1"}
    assert post(fake, auth) == 200 and shown(fake)[-2:] == ["Bearer stw_short1", "Bearer stw_short2"]
    fake.kind.refuses = {f"Bearer stw_short{at}" for at in range(10)}
    before = fake.made
    assert post(fake, auth) == 401 and fake.made == before + 1


def test_what_a_caller_sets_itself_stays(fake, auth):
    import requests

    requests.post(f"{fake.address}/api/x", json={}, auth=auth, headers={"Authorization": "Bearer own"}, timeout=30)
    assert shown(fake) == ["Bearer own"] and fake.made == 0


def test_no_token_goes_to_another_machine_unencrypted(credentials, monkeypatch):
    from stepwell import _native

    monkeypatch.setenv("STEPWELL_TOKEN", "stw_long")
    with pytest.raises(stepwell.InvalidError, match="unencrypted"):
        _native.Bearer("http://lab.invalid:5000").get()
    # Allowed, it is tried.
    monkeypatch.setenv("STEPWELL_ALLOW_PLAIN_HTTP", "1")
    with pytest.raises(stepwell.UnreachableError):
        _native.Bearer("http://lab.invalid:5000").get()


def test_only_the_server_that_was_named_gets_a_token(fake, auth, monkeypatch, credentials):
    monkeypatch.delenv("STEPWELL_TOKEN")
    assert post(fake, auth) == 200 and shown(fake) == [None] and fake.made == 0
    credentials.parent.mkdir(parents=True)
    credentials.write_text(json.dumps({fake.address: {"token": "stw_kept"}}))
    credentials.chmod(0o600)
    assert post(fake, auth) == 200 and shown(fake)[-1] == "Bearer stw_short1"
    assert Path(credentials).stat().st_mode & 0o777 == 0o600
