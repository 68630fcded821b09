"""Measures single calls of the wheel beside their floors, in one run; each answer is verified.

    pip install ../../stepwell-python numpy pandas mlflow==3.17.2 trackio
    python calls.py [--json FILE]

Each figure is the least of several rounds, since machines are shared. `floor` is what the same call costs when nothing
is done: a method of C that takes the same arguments, or MLflow's client on a store whose methods are empty.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings

ROUNDS, CALLS = 200, 3_000
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")


def least(call, *, rounds=ROUNDS, calls=CALLS):
    """Nanoseconds of a call `call(n)` that repeats something n times: the least of the rounds, a repetition."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter_ns()
        call(calls)
        best = min(best, time.perf_counter_ns() - began)
    return best / calls


def once(call, rounds=5):
    """Milliseconds of one call: the least of the rounds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter_ns()
        call()
        best = min(best, time.perf_counter_ns() - began)
    return best / 1e6


class Report:
    """Figures as they come, and what they must reach."""

    def __init__(self):
        self.rows = []

    def add(self, what, figure, unit, bar=None, *, at_least=False):
        held = None if bar is None else (figure >= bar if at_least else figure <= bar)
        self.rows.append({"what": what, "figure": figure, "unit": unit, "bar": bar, "held": held})
        told = "" if bar is None else f"   bar {'≥' if at_least else '≤'} {bar:.4g}: {'held' if held else 'MISSED'}"
        print(f"{what:<66}{figure:>12,.2f} {unit}{told}", flush=True)
        return figure

    def skip(self, why):
        self.rows.append({"what": why, "figure": None, "held": None})
        print(why, flush=True)


def native(report, folder):
    """The native API."""
    import numpy as np
    import stepwell

    run = stepwell.open(folder).run(strict=True)
    loss = run.metric("loss")
    ten = {f"key{at}": at / 10 for at in range(10)}
    nothing = {}

    def loop(n):
        for at in range(n):
            pass

    def floor(n, get=nothing.get):
        for at in range(n):
            get(at, 0.5)

    def floor_key(n, replace="".replace):
        for at in range(n):
            replace("x", "y", at)

    def handle(n, log=loss.log):
        for at in range(n):
            log(at, 0.5)

    def key(n, log=run.log):
        for at in range(n):
            log("loss", 0.5, at)

    def many(n, log=run.log):
        for at in range(n):
            log(ten, step=at)

    empty = least(loop)
    floor_ns, key_floor = least(floor), least(floor_key)
    report.add("an empty loop", empty, "ns")
    report.add("a C method of two arguments that does nothing", floor_ns, "ns")
    report.add("a C method of three arguments that does nothing", key_floor, "ns")
    handle_ns = least(handle)
    report.add("metric.log(step, value)", handle_ns, "ns", 2 * floor_ns)
    key_ns = report.add("run.log(key, value, step)", least(key), "ns", 3 * key_floor)
    singles = {"metric.log": handle_ns, "run.log": key_ns}
    report.add("run.log(dict of ten), a point", least(many, calls=300) / 10, "ns", 45)
    assert run.points == ROUNDS * CALLS * 2 + ROUNDS * 300 * 10, run.points
    run.finish()
    view = run.view()
    assert len(view["loss"]) == ROUNDS * CALLS * 2 and set(view["loss"].values[:100]) == {0.5}
    return singles


def columns(report, folder):
    """Whole columns in and out, beside the same in Rust on the same numbers."""
    import numpy as np
    import stepwell

    steps, values = np.arange(1_000_000), np.random.default_rng(1).standard_normal(1_000_000)
    os.makedirs(folder)
    file = os.path.join(folder, "values")
    values.astype("<f8").tofile(file)
    rust = rust_columns(folder, file)
    workspace = stepwell.open(os.path.join(folder, "python"))
    logged = read = float("inf")
    for _ in range(5):
        run = workspace.run(strict=True)
        logged = min(logged, once(lambda: run.columns("column", steps, values), 1))
        run.finish()
        read = min(read, once(lambda: np.asarray(workspace[run.id]["column"].values)))
        assert np.array_equal(np.asarray(workspace[run.id]["column"].values), values)
    report.add("log_columns of 10^6 values in Rust, a point", rust["columns_ns"], "ns")
    # A million points: as many nanoseconds a point as milliseconds in all.
    report.add("run.columns of 10^6 numpy values, a point", logged, "ns", 1.5 * rust["columns_ns"])
    report.add("history of 10^6 points in Rust", rust["history_ms"], "ms")
    report.add("history of 10^6 points into numpy", read, "ms", 2 * rust["history_ms"])


def rust_columns(folder, file):
    """What `examples/columns.rs` measures, built in release mode."""
    command = ["cargo", "run", "--quiet", "--release", "--example", "columns", os.path.join(folder, "rust"), file]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"cargo cannot run the example `columns`:\n{done.stderr}")
    return json.loads(done.stdout)


def trackio(report, folder, singles):
    """trackio's own call, if it is installed."""
    try:
        import trackio as other
    except ImportError:
        report.skip("trackio is not installed: no rows of it")
        return
    os.environ["TRACKIO_DIR"] = folder
    other.init(project="calls", name="run", embed=False)
    began, cpu = time.perf_counter(), time.process_time()
    for at in range(2_000):
        other.log({"loss": 0.5}, step=at)
    other.finish()
    took = (time.process_time() - cpu) / 2_000 * 1e9
    report.add("trackio.log of one key, its processor time", took, "ns")
    report.add("the same until all is kept", (time.perf_counter() - began) / 2_000 * 1e9, "ns")
    for name, ns in singles.items():
        report.add(f"trackio over {name}", took / ns, "×", 200, at_least=True)


class Quiet:
    """MLflow says much on the way."""

    def __enter__(self):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)

    def __exit__(self, *_):
        logging.disable(logging.NOTSET)


def mlflow_calls(report, folder, singles):
    """MLflow's client: on Stepwell, on SQLite, and on a store that does nothing."""
    import mlflow
    import stepwell.mlflow
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking._tracking_service.utils import _get_store

    def fluent(uri, empty=False):
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        mlflow.set_experiment("calls")
        with mlflow.start_run():
            store = _get_store()
            if empty:
                # On the class: stores are made anew and cached by MLflow as it likes.
                kept = type(store).log_metric, type(store).log_batch
                type(store).log_metric = type(store).log_batch = lambda self, *_, **__: None
            try:
                mlflow.log_metric("loss", 0.5, step=0)
                return least(
                    lambda n: [mlflow.log_metric("loss", 0.5, step=at) for at in range(n)],
                    rounds=5 if "sqlite" in uri else 20, calls=20 if "sqlite" in uri else 200,
                ) / 1e3
            finally:
                if empty:
                    type(store).log_metric, type(store).log_batch = kept

    address, sqlite = f"stepwell:{folder}/mlflow", f"sqlite:///{folder}/mlflow.db"
    floor = fluent(address, empty=True)
    report.add("mlflow.log_metric on a store that does nothing", floor, "µs")
    report.add("mlflow.log_metric on Stepwell", fluent(address), "µs", 1.3 * floor)
    of_sqlite = report.add("mlflow.log_metric on SQLite", fluent(sqlite), "µs")
    for name, ns in singles.items():
        report.add(f"mlflow.log_metric on SQLite over {name}", of_sqlite * 1e3 / ns, "×", 3_000, at_least=True)
    searches = {}
    for name, uri in (("Stepwell", address), ("SQLite", sqlite)):
        client = MlflowClient(uri)
        experiment = client.create_experiment("search")
        run = client.create_run(experiment).info.run_id
        points = [Metric(f"m{at % 10}", at / 7, 1_700_000_000_000 + at, at) for at in range(1_000)]
        bar = 2 if name == "Stepwell" else None
        # Each time other points: those that are there already are not written again.
        batches = iter([
            [Metric(one.key, one.value + again, one.timestamp, one.step) for one in points] for again in range(5)
        ])
        report.add(f"log_batch of 1,000 metrics on {name}", once(lambda: client.log_batch(run, next(batches))), "ms", bar)
        assert len(client.get_metric_history(run, "m3")) == 500
        for at in range(999):
            one = client.create_run(experiment)
            client.log_batch(
                one.info.run_id,
                [Metric(f"m{key}", at / 3, 1_700_000_000_000, 0) for key in range(5)],
                [Param(f"p{key}", str(at)) for key in range(5)],
                [RunTag("tag", str(at))],
            )
        mlflow.set_tracking_uri(uri)
        frame = mlflow.search_runs([experiment], max_results=2_000)
        assert len(frame) == 1_000 and frame["metrics.m1"].notna().all()
        searches[name] = once(lambda: mlflow.search_runs([experiment], max_results=2_000))
        report.add(f"mlflow.search_runs of 1,000 runs as a data frame on {name}", searches[name], "ms")
        if name == "Stepwell":
            ours = stepwell.mlflow.search_runs([experiment], max_results=2_000)
            assert ours.sort_index(axis=1).equals(frame.sort_index(axis=1))
            own = once(lambda: stepwell.mlflow.search_runs([experiment], max_results=2_000))
            report.add("stepwell.mlflow.search_runs, the same frame", own, "ms")
    report.add("mlflow.search_runs on SQLite over that on Stepwell", searches["SQLite"] / searches["Stepwell"], "×")
    report.add("the same over stepwell.mlflow.search_runs", searches["SQLite"] / own, "×", 20, at_least=True)


def imported(report):
    """How long `import stepwell` takes."""
    code = "import time; began = time.perf_counter(); import stepwell; print((time.perf_counter() - began) * 1e3)"
    took = min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout) for _ in range(7))
    report.add("import stepwell", took, "ms", 30)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--dir", help="where to make the workspaces; the system's folder for temporary files without")
    arguments = parser.parse_args()
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", GIT_PYTHON_REFRESH="quiet")
    report = Report()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
        imported(report)
        singles = native(report, os.path.join(folder, "native"))
        columns(report, os.path.join(folder, "columns"))
        with Quiet():
            trackio(report, os.path.join(folder, "trackio"), singles)
            mlflow_calls(report, folder, singles)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(report.rows, file, indent=1, ensure_ascii=False)
    sys.exit(any(row["held"] is False for row in report.rows))


if __name__ == "__main__":
    main()
