"""MLflow's web UI in a real Chromium on `stepwell serve`: every main page shows what it should, with no failed request and no
error on the console.

`STEPWELL_REAL_LOGS` names a folder with `raw/*.tar.zst` of real training logs, which are imported; without it the runs are those
that the test logs itself. `STEPWELL_UI_SCREENSHOTS` names a folder that gets a picture of each page.
"""

import http.client
import http.server
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import threading
import zlib

import mlflow
import pytest
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression

from conftest import Stepwell

# What the UI itself does wrong, whatever server it is on.
OF_THE_UI = (
    "AG Grid:",  # it uses names that its table calls old
    "ResizeObserver loop completed",  # a chart grows while it is laid out, which browsers tell as an error
)


def browser_path():
    given = os.environ.get("STEPWELL_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return given or next((found for found in map(shutil.which, names) if found), None)


@pytest.fixture(scope="module")
def browser():
    path, missing = browser_path(), None
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        missing = f"playwright is not installed ({error})"
    if not path:
        missing = "there is no Chromium on this machine (STEPWELL_CHROMIUM may name one)"
    if missing:
        print(f"\n*** tests/mlflow/test_ui.py SKIPPED: {missing}, so MLflow's UI was not tried\n", file=sys.__stderr__, flush=True)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        # Without its own sandbox it runs as root too; it opens nothing but this server.
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield opened
        opened.close()


def picture():
    """A PNG of 64 x 48 pixels."""
    rows = b"".join(b"\0" + b"".join(bytes([x * 4 % 256, y * 5 % 256, 90]) for x in range(64)) for y in range(48))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def filled(server, folder):
    """Logs what the pages show beside the imported runs; gives the names of it all."""
    mlflow.set_tracking_uri(server.uri)
    mlflow.set_registry_uri(server.uri)
    client = MlflowClient()
    imported = client.search_runs(["0"], max_results=1000)
    assert imported, "the import made no runs"
    by_key = {}
    for run in imported:
        for key in run.data.metrics:
            by_key.setdefault(key, []).append(run)
    key, runs = max(by_key.items(), key=lambda pair: len(pair[1]))
    names = {"metric": key, "ids": [run.info.run_id for run in runs[:3]], "newest": imported[0].info.run_name}
    mlflow.set_experiment("files and models")
    with mlflow.start_run(run_name="with files") as run:
        mlflow.log_params({"lr": 0.1, "layers": "3"})
        mlflow.log_text("hello text", "notes/hello.txt")
        mlflow.log_dict({"inner": [1, 2]}, "config.json")
        mlflow.log_text("colour,count\nred,1\nblue,2\n", "table.csv")
        (folder / "picture.png").write_bytes(picture())
        mlflow.log_artifact(str(folder / "picture.png"))
        for step in range(50):
            mlflow.log_metrics({"loss": 1 / (step + 1), "accuracy": step / 50}, step=step)
        fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
        signature = mlflow.models.infer_signature([[0.0]], [0])
        model = mlflow.sklearn.log_model(fitted, name="echo", signature=signature, pip_requirements=["scikit-learn"])
        version = mlflow.register_model(model.model_uri, "registered-echo")
    client.set_registered_model_alias("registered-echo", "champion", version.version)
    client.update_registered_model("registered-echo", description="says what it is told")
    mlflow.set_experiment("taken back")
    for name in ("kept", "removed"):
        with mlflow.start_run(run_name=name) as other:
            mlflow.log_metric("score", 1)
    client.delete_run(other.info.run_id)
    taken_back = other.info.experiment_id
    nothing = client.create_experiment("nothing yet")
    mlflow.set_experiment("many tags")
    for number in range(12):
        with mlflow.start_run(run_name=f"run {number}", tags={f"t{i}": "v" for i in range(number)}):
            mlflow.log_metric("score", number)
    names |= {"taken back": taken_back, "nothing": nothing}
    return names | {"experiment": run.info.experiment_id, "run": run.info.run_id, "model": model.model_id}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A server with the UI, and the names of what its workspace holds."""
    folder = tmp_path_factory.mktemp("ui")
    logs = os.environ.get("STEPWELL_REAL_LOGS")
    if logs:
        # A relative path is one in the repository, as for the tests of imports.
        for archive in sorted((pathlib.Path(__file__).parents[2] / logs / "raw").glob("*.tar.zst")):
            if archive.stat().st_size < 4 << 20:
                place = folder / "logs" / archive.name.removesuffix(".tar.zst")
                place.mkdir(parents=True)
                subprocess.run(["tar", "--zstd", "-xf", archive, "-C", place], check=True)
    else:
        # What a trainer without any tracker leaves: tables of numbers.
        for name, rate in (("slow", 0.02), ("good", 0.1), ("hot", 0.9)):
            place = folder / "logs" / name
            place.mkdir(parents=True)
            rows = [f"{step},{(1 - rate) ** step},{1 - (1 - rate) ** step}" for step in range(400)]
            (place / "progress.csv").write_text("\n".join(["step,loss,accuracy", *rows]) + "\n")
    command = [os.environ["STEPWELL_BIN"], "-w", str(folder / "workspace"), "import", str(folder / "logs")]
    subprocess.run(command, check=True, capture_output=True)
    ui = pathlib.Path(mlflow.__file__).parent / "server/js/build"
    server = Stepwell(folder / "workspace", "--ui", str(ui))
    try:
        names = filled(server, folder)
        yield server, names
    finally:
        server.stop()


def pages(names):
    """Each page: its address, and what it must say."""
    own, run, ids = names["experiment"], names["run"], names["ids"]
    return {
        "home": ("/#/", ["files and models", "many tags"]),
        "experiments": ("/#/experiments", ["Default", "files and models", "many tags"]),
        "runs": ("/#/experiments/0/runs", [names["newest"][:20], "matching runs"]),
        "runs of a client": (f"/#/experiments/{own}/runs", ["with files", "1 matching run"]),
        "charts": ("/#/experiments/0/runs?compareRunsMode=CHART", [names["newest"][:20], names["metric"].split("/")[0]]),
        "compare": (f"/#/compare-runs?runs={json.dumps(ids)}&experiments={json.dumps(['0'])}", [f"Comparing {len(ids)} Runs from 1 Experiment", "Run ID:", *[i[:8] for i in ids]]),
        "run": (f"/#/experiments/{own}/runs/{run}", ["with files", "Finished", "accuracy", "layers", "echo"]),
        "charts of a run": (f"/#/experiments/0/runs/{ids[0]}/model-metrics", [names["metric"].split("/")[-1]]),
        "artifacts": (f"/#/experiments/{own}/runs/{run}/artifacts", ["notes", "config.json", "table.csv", "picture.png"]),
        "artifact text": (f"/#/experiments/{own}/runs/{run}/artifacts/notes/hello.txt", ["hello text"]),
        "artifact json": (f"/#/experiments/{own}/runs/{run}/artifacts/config.json", ["inner"]),
        "artifact table": (f"/#/experiments/{own}/runs/{run}/artifacts/table.csv", ["colour", "blue"]),
        "artifact picture": (f"/#/experiments/{own}/runs/{run}/artifacts/picture.png", ["picture.png"]),
        "models": ("/#/models", ["registered-echo", "@ champion"]),
        "model": ("/#/models/registered-echo", ["registered-echo", "Version 1", "says what it is told"]),
        "version": ("/#/models/registered-echo/versions/1", ["Version 1", "with files", "champion"]),
        "logged models": (f"/#/experiments/{own}/models", ["echo"]),
        "logged model": (f"/#/experiments/{own}/models/{names['model']}", ["echo", names["model"], "with files"]),
        "artifacts of a logged model": (f"/#/experiments/{own}/models/{names['model']}/artifacts", ["MLmodel", "requirements.txt"]),
        "prompts": ("/#/prompts", ["Prompts"]),
        "deleted runs": (f"/#/experiments/{names['taken back']}/runs?lifecycleFilter=Deleted", ["removed", "1 matching run"]),
        "experiment without runs": (f"/#/experiments/{names['nothing']}/runs", ["No runs logged"]),
    }


PAGES = tuple(pages({"experiment": "", "run": "", "ids": ["", "", ""], "metric": "", "newest": "", "model": "", "taken back": "", "nothing": ""}))


@pytest.mark.parametrize("name", PAGES)
def test_page(name, shown, browser):
    server, names = shown
    path, says = pages(names)[name]
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    wrong, answered = [], []
    page.on("console", lambda said: wrong.append(f"console: {said.text}") if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    # A request that the page itself gives up, because it has moved on, has not failed.
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.method} {request.url} {request.failure}") if request.failure != "net::ERR_ABORTED" else None)
    page.on("response", lambda answer: (answered.append(answer.url), wrong.append(f"{answer.status}: {answer.request.method} {answer.url} {answer.request.post_data}") if answer.status >= 400 else None))
    page.goto(server.uri + path)
    try:
        for text in says:
            page.get_by_text(text).first.wait_for(state="attached", timeout=30_000)
        if name == "artifact picture":
            page.wait_for_function("[...document.images].some(image => image.naturalWidth === 64 && image.naturalHeight === 48)", timeout=30_000)
        if name in ("charts", "charts of a run"):
            # Points of the chart, not its frame alone.
            page.locator(".js-plotly-plot .scatterlayer path, .js-plotly-plot .barlayer path").first.wait_for(state="attached", timeout=30_000)
        page.wait_for_timeout(1000)
        words = page.inner_text("body")
    finally:
        folder = os.environ.get("STEPWELL_UI_SCREENSHOTS")
        if folder:
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=str(pathlib.Path(folder, name.replace(" ", "-") + ".png")))
        page.close()
    for trouble in ("Request error", "Something went wrong", "Cannot read properties", "Page not found", "Loading artifact failed"):
        assert trouble not in words, f"{name}: {words[:3000]}"
    assert any("/ajax-api/" in url or "/graphql" in url for url in answered), "the page asked the server nothing"
    wrong = [what for what in wrong if not any(known in what for known in OF_THE_UI)]
    assert not wrong, "\n".join(wrong)


def test_the_table_sorts_and_filters(shown, browser):
    """What a user does on the table of runs: a filter, and a wrong one, whose words the page shows."""
    server, names = shown
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    experiment = MlflowClient().get_experiment_by_name("many tags").experiment_id
    page.goto(f"{server.uri}/#/experiments/{experiment}/runs")
    page.get_by_text("12 matching runs").wait_for(timeout=30_000)
    box = page.locator("input[placeholder*='metrics.rmse']").first
    box.fill("metrics.score >= 9")
    box.press("Enter")
    page.get_by_text("3 matching runs").wait_for(timeout=30_000)
    box.fill("metrics.score ~ 9")
    box.press("Enter")
    page.get_by_text("Invalid").first.wait_for(timeout=30_000)
    box.fill("")
    box.press("Enter")
    page.get_by_text("12 matching runs").wait_for(timeout=30_000)
    page.close()


class Proxy(http.server.BaseHTTPRequestHandler):
    """A reverse proxy as nginx is one: it hands on what lies below /lab, with the host that the browser asked."""

    protocol_version = "HTTP/1.1"
    behind = None

    def hand_on(self):
        if not self.path.startswith("/lab"):
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("connection", "content-length"):
                connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        connection.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = hand_on

    def log_message(self, *_):
        pass


CHART = "<h1 id=mark>before</h1><script>document.getElementById('mark').textContent = 'ran in ' + origin</script>"


def test_behind_a_proxy_with_a_prefix(shown, browser):
    """The UI and MLflow's client below a prefix, and an HTML artifact whose scripts run in a sandbox."""
    ours, names = shown
    ui = pathlib.Path(mlflow.__file__).parent / "server/js/build"
    server = Stepwell(ours.workspace, "--ui", str(ui), "--path-prefix", "/lab", "--trust-artifacts")
    handler = type("Handler", (Proxy,), {"behind": server.port})
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    root = f"http://localhost:{proxy.server_port}/lab"
    try:
        client = MlflowClient(root)
        client.log_text(names["run"], CHART, "chart.html")
        assert client.get_run(names["run"]).info.run_name == "with files"
        assert [file.path for file in client.list_artifacts(names["run"], "notes")] == ["notes/hello.txt"]
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        wrong, asked = [], []
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        page.on("response", lambda answer: (asked.append(answer.url), wrong.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else None))
        # Without the slash at the end, which the server adds.
        page.goto(root)
        page.get_by_text("files and models").first.wait_for(timeout=30_000)
        own, run = names["experiment"], names["run"]
        for path, says in (
            (f"/#/experiments/{own}/runs", "with files"),
            (f"/#/experiments/{own}/runs/{run}/model-metrics", "accuracy"),
            (f"/#/experiments/{own}/runs/{run}/artifacts/notes/hello.txt", "hello text"),
            ("/#/models/registered-echo", "says what it is told"),
        ):
            page.goto(root + path)
            page.get_by_text(says).first.wait_for(state="attached", timeout=30_000)
        page.goto(f"{root}/#/experiments/{own}/runs/{run}/artifacts/chart.html")
        frame = page.frame_locator("iframe#html")
        frame.get_by_text("ran in null").wait_for(timeout=30_000)
        folder = os.environ.get("STEPWELL_UI_SCREENSHOTS")
        if folder:
            page.screenshot(path=str(pathlib.Path(folder, "behind-a-proxy.png")))
        # At its own address too.
        page.goto(f"{root}/get-artifact?run_id={run}&path=chart.html")
        page.get_by_text("ran in null").wait_for(timeout=30_000)
        outside = [url for url in asked if not url.startswith(root) and url.startswith("http")]
        assert not outside, outside
        assert not wrong, "\n".join(wrong)
        page.close()
    finally:
        proxy.shutdown()
        server.stop()


def test_scripts_of_artifacts_are_blocked(shown, browser):
    """As it is by default: neither in the UI's frame nor at the file's own address."""
    server, names = shown
    own, run = names["experiment"], names["run"]
    MlflowClient(server.uri).log_text(run, CHART, "blocked.html")
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    page.goto(f"{server.uri}/#/experiments/{own}/runs/{run}/artifacts/blocked.html")
    page.frame_locator("iframe#html").get_by_text("before").wait_for(timeout=30_000)
    page.close()


def test_the_plain_page(shown, browser, tmp_path):
    """Without a build of the UI: experiments, runs, and a metric's curve."""
    ours, _ = shown
    # Where no Python is found, no UI is.
    server = Stepwell(ours.workspace, environment={"PATH": "", "HOME": str(tmp_path)})
    try:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        wrong = []
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("response", lambda answer: wrong.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else None)
        page.goto(server.uri)
        page.get_by_text("pip install mlflow").first.wait_for()
        page.get_by_role("button", name="files and models").click()
        page.get_by_role("cell", name="with files").wait_for()
        page.get_by_role("button", name="loss").first.click()
        line = page.locator("#plot polyline")
        line.wait_for()
        assert len(line.get_attribute("points").split()) == 50
        # A filter that finds nothing, and one that is none.
        page.locator("#filter").fill("metrics.loss > 5")
        page.locator("#filter").press("Enter")
        page.get_by_role("cell", name="with files").wait_for(state="detached")
        assert not wrong, wrong
        page.locator("#filter").fill("metrics.loss ~ 5")
        page.locator("#filter").press("Enter")
        page.locator("#trouble").get_by_text("Invalid").wait_for()
        folder = os.environ.get("STEPWELL_UI_SCREENSHOTS")
        if folder:
            page.screenshot(path=str(pathlib.Path(folder, "plain-page.png")))
        page.close()
    finally:
        server.stop()
