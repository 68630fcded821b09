"""Measures `stepwell serve` beside `mlflow server` on SQLite: the same runs in both, the same questions to both, one table.

    python servers.py --stepwell target/release/stepwell [--runs 100000] [--folder DIR] [--seconds 5]

One command does all of it:

1. MLflow makes its database, which is filled through MLflow's own tables: runs of 5 params, 5 metrics of one point and 3 tags, and
   among them some with a long history. `stepwell import` takes the same database in.
2. Both servers start, and both must answer each question the same before anything is measured. (Of charts, which the two cut down
   in different ways, each point must be one that was logged, and the last must be there.)
3. Each question is asked by one client, then by three at once, each a process with one connection. A client sends a call when the
   last one was answered, for some seconds and at least three times; what stands in the table are medians.

The interpreter must have mlflow (`requirements.txt`). With `--folder` the stores stay there and serve the next time.
"""

import argparse
import http.client
import json
import math
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

FILTER = "metrics.m1 < 0.1 and params.p1 = '3'"
START = 1_760_000_000_000
CHART_POINTS = 320
# Of long histories: the metric's key, how many runs have it, and how many points each.
HISTORIES = [("long", 10, 100_000), ("middle", 100, 10_000)]
ROWS_AT_ONCE = 20_000


# Filling.


def run_ids(count):
    source = random.Random(7)
    return [f"{source.getrandbits(128):032x}" for _ in range(count)]


def runs_of(ids, key):
    """The runs with a long history of this metric, and how many points each has."""
    first = 0
    for other, runs, points in HISTORIES:
        if other == key:
            return ids[first : first + runs], points
        first += runs
    raise KeyError(key)


def value(run, step):
    """A noisy decaying curve, the same for the same run and step."""
    noise = (run * 2_654_435_761 + step * 40_503) % 65_537 / 65_537
    return math.exp(-step / 30_000) + run % 17 / 100 + noise / 10


def fill_mlflow(database, folder, count):
    """Makes MLflow's database and puts all runs in."""
    from mlflow.store.tracking.dbmodels import models
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{database}", str(folder / "artifacts"))
    ids = run_ids(count)

    def insert(model, rows):
        with store.engine.begin() as connection:
            batch = []
            for row in rows:
                batch.append(row)
                if len(batch) == ROWS_AT_ONCE:
                    connection.execute(model.__table__.insert(), batch)
                    batch = []
            if batch:
                connection.execute(model.__table__.insert(), batch)

    def run(number):
        start = START + 1000 * (number * 7919 % count)
        return {
            "run_uuid": ids[number], "name": f"clever-name-{number % 5000}", "source_type": "UNKNOWN", "source_name": "",
            "entry_point_name": "", "user_id": f"user{number % 7}", "status": "FINISHED", "start_time": start, "end_time": start + 120_000,
            "source_version": "", "lifecycle_stage": "active", "artifact_uri": f"{folder}/artifacts/0/{ids[number]}/artifacts",
            "experiment_id": 0,
        }

    def metrics(number):
        noise = random.Random(number)
        at = START + 1000 * (number * 7919 % count) + 60_000
        for key in range(5):
            yield {
                "run_uuid": ids[number], "key": f"m{key}", "value": noise.random(), "timestamp": at, "step": 0, "is_nan": False,
            }

    def params(number):
        noise = random.Random(-number)
        return ({"run_uuid": ids[number], "key": f"p{key}", "value": str(noise.randrange(10))} for key in range(5))

    def tags(number):
        texts = {
            "mlflow.runName": f"clever-name-{number % 5000}", "mlflow.user": f"user{number % 7}",
            "mlflow.source.name": f"train_{number % 3}.py",
        }
        return ({"run_uuid": ids[number], "key": key, "value": text} for key, text in texts.items())

    def history(key, only_last):
        chosen, points = runs_of(ids, key)
        for step in range(points - 1 if only_last else 0, points):
            for number, run in enumerate(chosen):
                yield {
                    "run_uuid": run, "key": key, "value": value(number, step), "timestamp": START + 100 * step, "step": step,
                    "is_nan": False,
                }

    every = range(count)
    insert(models.SqlRun, map(run, every))
    insert(models.SqlParam, (row for number in every for row in params(number)))
    insert(models.SqlTag, (row for number in every for row in tags(number)))
    insert(models.SqlMetric, (row for number in every for row in metrics(number)))
    insert(models.SqlLatestMetric, (row for number in every for row in metrics(number)))
    for key, _, _ in HISTORIES:
        insert(models.SqlMetric, history(key, False))
        insert(models.SqlLatestMetric, history(key, True))
    store.engine.dispose()


def fill(folder, stepwell, count):
    """Both stores, unless they are there already."""
    database, workspace, done = folder / "mlflow.db", folder / "workspace", folder / f"filled-{count}"
    if done.exists():
        return database, workspace
    if any(folder.iterdir()):
        raise SystemExit(f"{folder} holds something else; name an empty folder")
    for what, act in [
        ("MLflow's database", lambda: fill_mlflow(database, folder, count)),
        ("Stepwell's workspace", lambda: subprocess.run(
            [stepwell, "-w", workspace, "import", database], check=True, stdout=subprocess.DEVNULL
        )),
    ]:
        start = time.perf_counter()
        act()
        print(f"filled {what} in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    done.touch()
    return database, workspace


# Asking.


class Api:
    """One connection to a server."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        self.used = time.monotonic()

    def send(self, call):
        """The bytes of the answer to (method, path, body)."""
        method, path, body = call
        if time.monotonic() - self.used > 1:
            # Servers close connections that are silent; the next request opens another.
            self.connection.close()
        self.connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = self.connection.getresponse()
        text = answer.read()
        self.used = time.monotonic()
        if answer.status != 200:
            raise RuntimeError(f"{path[:100]}: {answer.status} {text[:300]!r}")
        return text

    def ask(self, call):
        return json.loads(self.send(call) or b"{}")


def post(path, body):
    return "POST", "/api/2.0/mlflow" + path, json.dumps(body).encode()


def get(path, pairs):
    return "GET", path + "?" + urllib.parse.urlencode(pairs), None


def search(more):
    return post("/runs/search", {"experiment_ids": ["0"], "max_results": 100, **more})


def chart(runs, key):
    pairs = [("run_ids", run) for run in runs] + [("metric_key", key), ("max_results", CHART_POINTS)]
    return get("/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", pairs)


def history(run, key):
    return get("/api/2.0/mlflow/metrics/get-history", [("run_id", run), ("metric_key", key)])


def new_run(api):
    return api.ask(post("/runs/create", {"experiment_id": "0", "start_time": 1}))["run"]["info"]["run_id"]


def log_batches(api, client):
    """Calls that each log 1,000 points of ten metrics to a run of the client's own."""
    run, source = new_run(api), random.Random(client)
    for number in range(10**9):
        points = [
            {"key": f"b{at % 10}", "value": source.random(), "timestamp": START + number, "step": number * 100 + at // 10}
            for at in range(1000)
        ]
        yield post("/runs/log-batch", {"run_id": run, "metrics": points})


def log_metrics(api, client):
    run = new_run(api)
    for step in range(10**9):
        yield post("/runs/log-metric", {"run_id": run, "key": "single", "value": step / 7, "timestamp": START + step, "step": step})


def repeated(call):
    def calls(_api, _client):
        while True:
            yield call

    return calls


def questions(count):
    """What is measured: its name, and what makes the calls of a client."""
    ids = run_ids(count)
    asked = [
        ("log-batch of 1,000 points", log_batches),
        ("log-metric", log_metrics),
        ("runs/search, filtered and ordered, 100 of them", repeated(search({"filter": FILTER, "order_by": ["metrics.m2 DESC"]}))),
        ("runs/search, the newest 100", repeated(search({}))),
        ("runs/get", repeated(get("/api/2.0/mlflow/runs/get", [("run_id", ids[count // 2])]))),
    ]
    for key, runs, points in HISTORIES:
        chosen, _ = runs_of(ids, key)
        asked.append((f"bulk-interval, {runs} runs of {points:,} points", repeated(chart(chosen, key))))
    chosen, _ = runs_of(ids, "middle")
    asked.append(("bulk-interval, 10 runs of 10,000 points", repeated(chart(chosen[:10], "middle"))))
    for key, _, points in HISTORIES:
        chosen, _ = runs_of(ids, key)
        asked.append((f"get-history of {points:,} points", repeated(history(chosen[0], key))))
    return asked


# Verifying.


def plain(run):
    """A run without what depends on the server."""
    info, data = run["info"], run["data"]
    words = {key: info.get(key) for key in ("run_id", "run_name", "experiment_id", "status", "start_time", "end_time", "lifecycle_stage")}
    pairs = {kind: sorted((pair["key"], pair["value"]) for pair in data.get(kind, [])) for kind in ("params", "tags")}
    metrics = sorted((point["key"], point["value"], point["timestamp"], point["step"]) for point in data.get("metrics", []))
    return words, pairs, metrics


def check(ports, count):
    """Both servers must give the same answers."""
    ids, (ours, theirs) = run_ids(count), [Api(port) for port in ports]
    queries = [
        {"filter": FILTER, "order_by": ["metrics.m2 DESC"]},
        {},
        {"filter": "params.p0 = '1' and metrics.m2 > 0.99", "order_by": ["params.p4 ASC", "metrics.m3 ASC"]},
        {"filter": "tags.`mlflow.source.name` = 'train_1.py' and metrics.m0 > 0.999"},
    ]
    for query in queries:
        found = [[plain(run) for run in api.ask(search(query))["runs"]] for api in (ours, theirs)]
        assert found[0] == found[1] and found[0], f"different runs for {query}"
    for run in (ids[0], ids[count // 2], ids[-1]):
        asked = get("/api/2.0/mlflow/runs/get", [("run_id", run)])
        assert plain(ours.ask(asked)["run"]) == plain(theirs.ask(asked)["run"]), f"different runs {run}"
    for key, _, points in HISTORIES:
        chosen, _ = runs_of(ids, key)
        logged = {}
        for run in chosen[:2]:
            histories = [
                [(point["step"], point["timestamp"], point["value"]) for point in api.ask(history(run, key))["metrics"]]
                for api in (ours, theirs)
            ]
            assert histories[0] == histories[1] and len(histories[0]) == points, f"different histories of {run}"
            logged[run] = histories[0]
        for api in (ours, theirs):
            drawn = {}
            for point in api.ask(chart(chosen[:2], key))["metrics"]:
                drawn.setdefault(point["run_id"], []).append((point["step"], point["timestamp"], point["value"]))
            for run, shown in logged.items():
                assert CHART_POINTS // 2 <= len(drawn[run]) <= CHART_POINTS, f"{len(drawn[run])} points of {run}"
                assert set(drawn[run]) <= set(shown) and drawn[run][-1] == shown[-1], f"a chart of {run} that is none"
    for api in (ours, theirs):
        run = new_run(api)
        api.ask(post("/runs/log-batch", {"run_id": run, "metrics": [
            {"key": "k", "value": at / 3, "timestamp": START + at, "step": at} for at in range(1000)
        ]}))
        api.ask(post("/runs/log-metric", {"run_id": run, "key": "k", "value": 0.5, "timestamp": START, "step": 1000}))
        found = {(point["step"], point["value"]) for point in api.ask(history(run, "k"))["metrics"]}
        assert found == {(at, at / 3) for at in range(1000)} | {(1000, 0.5)}, "what was logged is not there"
        api.ask(post("/runs/delete", {"run_id": run}))


# Measuring.


def client(port, make_calls, number, seconds, barrier, answers):
    try:
        api, took = Api(port), []
        calls = make_calls(api, number)
        api.send(next(calls))
        barrier.wait()
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(took) < 3:
            call = next(calls)
            start = time.perf_counter()
            api.send(call)
            took.append(time.perf_counter() - start)
        answers.put(took)
    except Exception as error:  # noqa: BLE001 told in the table
        barrier.abort()
        answers.put(str(error))


def measure(port, make_calls, clients, seconds):
    """Medians over the calls of some clients, in milliseconds, or why there are none."""
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(clients), context.Queue()
    processes = [
        context.Process(target=client, args=(port, make_calls, number, seconds, barrier, answers)) for number in range(clients)
    ]
    for process in processes:
        process.start()
    got = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    failed = [answer for answer in got if isinstance(answer, str)]
    if failed:
        print(f"  failed: {failed[0]}", file=sys.stderr)
        return None
    return 1e3 * statistics.median(second for took in got for second in took)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def start(command, port, log):
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    for _ in range(600):
        try:
            if Api(port).send(("GET", "/health", None)):
                return process
        except (OSError, RuntimeError, http.client.HTTPException):
            time.sleep(0.2)
    raise SystemExit(f"{command[0]} does not start")


def stop(process):
    """Ends a server and its workers, which may be at a query that takes minutes."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--stepwell", required=True, type=pathlib.Path, help="the stepwell program, a release build")
    arguments.add_argument("--runs", type=int, default=100_000)
    arguments.add_argument("--folder", type=pathlib.Path, help="where the stores are made, and kept")
    arguments.add_argument("--seconds", type=float, default=5, help="how long a client asks one question")
    arguments.add_argument("--workers", type=int, default=1, help="of mlflow server; with several, whose sockets wait for "
                           "acknowledgements, each of its answers takes 40 ms more")
    arguments.add_argument("--only", nargs="*", default=[""], help="questions with one of these texts in their name")
    given = arguments.parse_args()
    if given.runs < sum(runs for _, runs, _ in HISTORIES):
        arguments.error("too few runs for the long histories")
    stepwell = given.stepwell.resolve()
    folder = (given.folder or pathlib.Path(tempfile.mkdtemp(prefix="servers-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    database, workspace = fill(folder, stepwell, given.runs)
    # What is logged here goes into copies, so that the stores are the same each time.
    used = pathlib.Path(tempfile.mkdtemp(prefix="used-", dir=folder))
    shutil.copy(database, used / "mlflow.db")
    shutil.copytree(workspace, used / "workspace")
    ports = free_port(), free_port()
    commands = [
        [stepwell, "-w", used / "workspace", "serve", "--port", str(ports[0])],
        [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{used}/mlflow.db", "--artifacts-destination",
         used / "artifacts", "--port", str(ports[1]), "--workers", str(given.workers)],
    ]
    servers = []
    with open(used / "log", "w") as log:
        try:
            servers = [start(command, port, log) for command, port in zip(commands, ports)]
            check(ports, given.runs)
            print("both servers answer the same", file=sys.stderr)
            print(f"{given.runs:,} runs; medians in ms, with one client and with three at once\n")
            print("| call | stepwell, 1 | mlflow, 1 | ratio | stepwell, 3 | mlflow, 3 | ratio |\n| --- | --- | --- | --- | --- | --- | --- |")
            for name, make_calls in questions(given.runs):
                if not any(text in name for text in given.only):
                    continue
                cells = []
                for clients in (1, 3):
                    ours, theirs = [measure(port, make_calls, clients, given.seconds) for port in ports]
                    cells += ["failed" if took is None else f"{took:.3g}" for took in (ours, theirs)]
                    cells.append(f"{theirs / ours:.0f}" if ours and theirs else "")
                print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        finally:
            for server in servers:
                stop(server)
    shutil.rmtree(used if given.folder else folder)


if __name__ == "__main__":
    main()
