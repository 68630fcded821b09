"""Measures what Python training scripts log through today: points/s, processor time and bytes a point, reading back.

    python -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python compare.py

Each contender and form runs in a process of its own for some seconds; then another process reads one key back, compares
every value, and takes the time. What cannot be imported or fails is named with its reason.
"""

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import platform
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time

KEYS = ["loss", "lr", "accuracy", "constant", "counter", "grad_norm", "gpu_util", "step_time", "throughput", "running_mean"]
START_MS = 1_760_000_000_000


def value(key, step):
    """A repeatable value that a float32 holds exactly, since some contenders keep no more."""
    return ((step * 2654435761 + key * 40503) % 65536) / 65536.0


def rows(form):
    """Endless calls of a form, as lists of (key number, step)."""
    if form == "one":
        step = 0
        while True:
            for key in range(len(KEYS)):
                yield [(key, step)]
            step += 1
    steps = {"ten": 1, "thousand": 100}[form]
    step = 0
    while True:
        yield [(key, at) for at in range(step, step + steps) for key in range(len(KEYS))]
        step += steps


class MlflowSqlite:
    """MLflow's client on its own SQLite store, without a server."""

    package = "mlflow"
    forms = ("one", "ten", "thousand")

    def uri(self, folder):
        return f"sqlite:///{folder}/mlflow.db"

    def open(self, folder):
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        self.metric = Metric
        self.client = MlflowClient(self.uri(folder))
        self.run = self.client.create_run(self.client.create_experiment("arena")).info.run_id

    def log(self, points):
        if len(points) == 1:
            key, step = points[0]
            self.client.log_metric(self.run, KEYS[key], value(key, step), timestamp=START_MS + step, step=step)
        else:
            self.client.log_batch(
                self.run, [self.metric(KEYS[key], value(key, step), START_MS + step, step) for key, step in points]
            )

    def close(self):
        self.client.set_terminated(self.run)

    def read(self, folder, key):
        from mlflow import MlflowClient

        client = MlflowClient(self.uri(folder))
        experiment = client.get_experiment_by_name("arena")
        run = client.search_runs([experiment.experiment_id])[0].info.run_id
        return [metric.value for metric in client.get_metric_history(run, key)]


class MlflowFile(MlflowSqlite):
    """MLflow's client on its file store, which newer releases open only when told to."""

    def __init__(self):
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

    def uri(self, folder):
        return f"file://{folder}/mlruns"


class Wandb:
    """W&B offline."""

    package = "wandb"
    forms = ("one", "ten")

    def open(self, folder):
        os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=folder, WANDB_CONSOLE="off")
        import wandb

        settings = wandb.Settings(x_disable_stats=True, x_disable_meta=True, console="off")
        self.run = wandb.init(project="arena", dir=folder, mode="offline", settings=settings)

    def log(self, points):
        self.run.log({KEYS[key]: value(key, step) for key, step in points}, step=points[0][1])

    def close(self):
        self.run.finish()

    def read(self, folder, key):
        import glob

        from wandb.proto import wandb_internal_pb2

        (path,) = glob.glob(f"{folder}/wandb/offline-run-*/*.wandb")
        found = []
        with open(path, "rb") as file:
            data = file.read()
        for payload in log_records(data):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(payload)
            for item in record.history.item:
                if item.key == key or list(item.nested_key) == [key]:
                    found.append(json.loads(item.value_json))
        return found


def log_records(data):
    """Records of a W&B transaction log: LevelDB's log format after a header of 7 bytes."""
    block, at, parts = 32768, 7, []
    while at + 7 <= len(data):
        left = block - at % block
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts.append(data[at + 7 : at + 7 + length])
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield b"".join(parts)
            parts = []


class TensorBoard:
    """TensorBoard's own event file writer, without TensorFlow."""

    package = "tensorboard"
    forms = ("one", "ten")

    def open(self, folder):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.event, self.summary = Event, Summary
        self.writer = EventFileWriter(folder)

    def log(self, points):
        values = [self.summary.Value(tag=KEYS[key], simple_value=value(key, step)) for key, step in points]
        step = points[0][1]
        self.writer.add_event(self.event(wall_time=(START_MS + step) / 1e3, step=step, summary=self.summary(value=values)))

    def close(self):
        self.writer.close()

    def read(self, folder, key):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(folder, size_guidance={"scalars": 0})
        events.Reload()
        return [event.value for event in events.Scalars(key)]


class TensorBoardX(TensorBoard):
    """tensorboardX's SummaryWriter."""

    package = "tensorboardX"
    forms = ("one",)

    def open(self, folder):
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(folder)

    def log(self, points):
        ((key, step),) = points
        self.writer.add_scalar(KEYS[key], value(key, step), step, walltime=(START_MS + step) / 1e3)


class Trackio:
    """trackio, local."""

    package = "trackio"
    forms = ("one", "ten")

    def open(self, folder):
        os.environ["TRACKIO_DIR"] = folder
        import trackio

        self.trackio = trackio
        self.run = trackio.init(project="arena", name="run", embed=False)

    def log(self, points):
        self.trackio.log({KEYS[key]: value(key, step) for key, step in points}, step=points[0][1])

    def close(self):
        self.trackio.finish()

    def read(self, folder, key):
        os.environ["TRACKIO_DIR"] = folder
        from trackio.sqlite_storage import SQLiteStorage

        return [row[key] for row in SQLiteStorage.get_logs("arena", "run") if key in row]


class Aim:
    """Aim, local."""

    package = "aim"
    forms = ("one", "ten")

    def open(self, folder):
        from aim import Run

        self.folder = folder
        self.run = Run(repo=folder, system_tracking_interval=None, capture_terminal_logs=False, log_system_params=False)

    def log(self, points):
        if len(points) == 1:
            ((key, step),) = points
            self.run.track(value(key, step), name=KEYS[key], step=step)
        else:
            self.run.track({KEYS[key]: value(key, step) for key, step in points}, step=points[0][1])

    def close(self):
        with open(f"{self.folder}/hash", "w", encoding="utf-8") as file:
            file.write(self.run.hash)
        self.run.close()

    def read(self, folder, key):
        from aim import Run
        from aim.storage.context import Context

        with open(f"{folder}/hash", encoding="utf-8") as file:
            # A run that nobody indexed is found by its writer only.
            run = Run(file.read(), repo=folder, system_tracking_interval=None, capture_terminal_logs=False)
        steps, (values, *_) = run.get_metric(key, Context({})).data.items_list()
        return [value for _, value in sorted(zip(steps, values))]


class JsonLines:
    """A line of JSON, one write() each: the least that keeps a point when the process is killed."""

    package = None
    forms = ("one", "ten")

    def open(self, folder):
        self.file = open(f"{folder}/metrics.jsonl", "ab", buffering=0)

    def log(self, points):
        step = points[0][1]
        row = {"step": step, "timestamp": START_MS + step} | {KEYS[key]: value(key, step) for key, step in points}
        self.file.write(json.dumps(row).encode() + b"\n")

    def close(self):
        self.file.close()

    def read(self, folder, key):
        with open(f"{folder}/metrics.jsonl", "rb") as file:
            return [row[key] for row in map(json.loads, file) if key in row]


class Stepwell:
    """The wheel's own API: by handle, and a dict of ten."""

    package = "stepwell"
    forms = ("one", "ten")

    def open(self, folder):
        import stepwell

        self.run = stepwell.open(folder).run(experiment="arena", strict=True)
        self.metrics = [self.run.metric(key) for key in KEYS]

    def log(self, points):
        if len(points) == 1:
            key, step = points[0]
            self.metrics[key].log(step, value(key, step))
        else:
            self.run.log({KEYS[key]: value(key, step) for key, step in points}, step=points[0][1])

    def close(self):
        self.run.finish()

    def read(self, folder, key):
        import stepwell

        workspace = stepwell.open(folder)
        return list(workspace[workspace.search()[0]["run_id"]][key].values)


class StepwellMlflow(MlflowSqlite):
    """MLflow's client on a folder, without a server."""

    def uri(self, folder):
        return f"stepwell:{folder}/runs"


CONTENDERS = {
    "Stepwell": Stepwell,
    "MLflow on Stepwell": StepwellMlflow,
    "MLflow SQLite": MlflowSqlite,
    "MLflow file store": MlflowFile,
    "W&B offline": Wandb,
    "TensorBoard": TensorBoard,
    "tensorboardX": TensorBoardX,
    "trackio": Trackio,
    "Aim": Aim,
    "JSON lines": JsonLines,
}
FORMS = {"one": "one call per point", "ten": "one call per 10 metrics", "thousand": "batch of 1,000"}


def cpu():
    """Processor seconds of this process and of its children that ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def write(name, form, folder, seconds, points_max):
    """In a process of its own: logs for some seconds, closes, tells what it cost."""
    contender = CONTENDERS[name]()
    started = time.perf_counter()
    contender.open(folder)
    opened = time.perf_counter()
    cpu_before, points, calls = cpu(), 0, 0
    for row in rows(form):
        contender.log(row)
        points, calls = points + len(row), calls + 1
        if points >= points_max or (calls % 16 == 0 and time.perf_counter() - opened > seconds):
            break
    contender.close()
    wall = time.perf_counter() - opened
    # Helpers that end at exit are counted by the parent, which waits for this process.
    return {"points": points, "wall": wall, "open": opened - started, "cpu_before": cpu_before}


def read(name, folder, expected):
    """In a process of its own: reads one key, compares all values, tells the time."""
    contender = CONTENDERS[name]()
    wall = math.inf
    for _ in range(2):  # the first pays for imports
        started = time.perf_counter()
        found = contender.read(folder, KEYS[0])
        wall = min(wall, time.perf_counter() - started)
    wanted = [value(0, step) for step in range(expected)]
    if len(found) != len(wanted) or any(not math.isclose(a, b, rel_tol=0, abs_tol=0) for a, b in zip(found, wanted)):
        raise SystemExit(f"{len(found)} values of {expected} came back, or others")
    return {"wall": wall, "values": len(found)}


def child(*arguments, timeout):
    """Runs a child, and tells its answer and the processor time of it and its own children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, os.path.abspath(__file__), *map(str, arguments)], capture_output=True, text=True, timeout=timeout
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise RuntimeError(last[:300])
    answer = json.loads(lines[-1].removeprefix("ANSWER "))
    answer["cpu"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return answer


def size(folder):
    """Lengths of all files."""
    return sum(os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(folder) for name in names)


def measure(arguments):
    """All contenders, in turns; returns the rows of the table and what was left out."""
    figures, absent = {}, {}
    for _ in range(arguments.repetitions):
        for name, contender in CONTENDERS.items():
            if name in absent or (arguments.only and name not in arguments.only):
                continue
            if contender.package:
                try:
                    importlib.metadata.version(contender.package)
                except importlib.metadata.PackageNotFoundError:
                    absent[name] = f"{contender.package} is not installed"
                    continue
            for form in contender.forms:
                folder = tempfile.mkdtemp(prefix="arena-", dir=arguments.dir)
                print(f"{name}: {FORMS[form]}", file=sys.stderr)
                try:
                    base = size(folder)
                    done = child("--write", name, form, folder, arguments.seconds, arguments.points, timeout=300)
                    points = done["points"]
                    per_key = points // len(KEYS) + (1 if points % len(KEYS) else 0)
                    back = child("--read", name, folder, per_key, timeout=300)
                    found = {
                        "points/s": points / done["wall"],
                        "µs CPU/point": (done["cpu"] - done["cpu_before"]) / points * 1e6,
                        "B/point": (size(folder) - base) / points,
                        "read, µs/value": back["wall"] / back["values"] * 1e6,
                        "open, s": done["open"],
                        "points": points,
                    }
                    known = figures.setdefault((name, form), found)
                    for what, figure in found.items():
                        better = max if what in ("points/s", "points") else min
                        known[what] = better(known[what], figure)
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    absent[f"{name}, {FORMS[form]}"] = str(error)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
    if arguments.only:
        absent |= {name: "not chosen" for name in CONTENDERS if name not in arguments.only}
    return figures, absent


def table(figures):
    """Markdown with aligned cells."""
    heads = ["contender", "form", "points/s", "µs CPU/point", "B/point", "read, µs/value", "open, s", "points"]
    lines = [heads]
    for (name, form), found in figures.items():
        version = importlib.metadata.version(CONTENDERS[name].package) if CONTENDERS[name].package else ""
        cells = [f"{found[head]:,.0f}" if found[head] >= 100 else f"{found[head]:.2f}" for head in heads[2:]]
        lines.append([f"{name} {version}".strip(), FORMS[form], *cells])
    widths = [max(len(line[at]) for line in lines) for at in range(len(heads))]
    lines.insert(1, ["-" * widths[0], "-" * widths[1], *("-" * (width - 1) + ":" for width in widths[2:])])
    pad = lambda at, cell: cell.ljust(widths[at]) if at < 2 else cell.rjust(widths[at])
    return "\n".join("| " + " | ".join(pad(at, cell) for at, cell in enumerate(line)) + " |" for line in lines)


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--write":
        name, form, folder, seconds, points = sys.argv[2:]
        print("ANSWER " + json.dumps(write(name, form, folder, float(seconds), int(points))), flush=True)
        return
    if len(sys.argv) > 1 and sys.argv[1] == "--read":
        name, folder, expected = sys.argv[2:]
        print("ANSWER " + json.dumps(read(name, folder, int(expected))), flush=True)
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4, help="how long each form logs")
    parser.add_argument("--points", type=int, default=300_000, help="at most so many points a form")
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=list(CONTENDERS))
    parser.add_argument("--dir", help="folder for the stores, on the file system to measure")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--record", help="folder for a record in Markdown, such as ../../../benches/records")
    arguments = parser.parse_args()
    figures, absent = measure(arguments)
    if arguments.json:
        found = [{"contender": name, "form": form, **found} for (name, form), found in figures.items()]
        print(json.dumps({"figures": found, "left_out": absent}, indent=1))
    else:
        print(table(figures))
        for name, why in absent.items():
            print(f"- Left out: {name}: {why}")
    if arguments.record:
        today = datetime.datetime.now(datetime.timezone.utc)
        commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
        os.makedirs(arguments.record, exist_ok=True)
        path = os.path.join(arguments.record, f"{today:%Y-%m-%d}-arena-python.md")
        with open(path, "w", encoding="utf-8") as file:
            file.write(
                f"# What Python scripts log through, {today:%Y-%m-%d}\n\n"
                f"- Machine: {os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}, load "
                f"{os.getloadavg()[0]:.1f} at the end; shared and noisy: trust ratios within this table.\n"
                f"- Measured: {today:%Y-%m-%d %H:%M} UTC, commit {commit}, in `crates/stepwell-compare/python` by "
                f"`python compare.py {' '.join(sys.argv[1:])}`\n"
                "- One run of 10 keys in turn. Processor time is that of the client and its child processes from the first point "
                "until they ended. One key was read back twice in a new process, of which the quicker counts, and every value compared.\n\n"
                f"{table(figures)}\n\n" + "".join(f"- Left out: {name}: {why}\n" for name, why in absent.items())
            )
        print(f"wrote {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
