"""Other tools read what `stepwell export` writes: MLflow's own file store, TensorBoard's reader, pyarrow."""

import json
import math
import os
import pathlib
import subprocess

import pytest

STEPWELL = os.environ.get("STEPWELL_BIN", "stepwell")

TABLE = """run_id,key,step,timestamp_ms,value
mixed,loss,3,,0.1
mixed,loss,1,0,-0
mixed,loss,-7,1700000000123,1e300
mixed,acc,0,,inf
mixed,acc,1,5,NaN
never,loss,0,,0.5
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with an export of each form."""
    folder = tmp_path_factory.mktemp("exports")

    def stepwell(*arguments):
        return subprocess.run([STEPWELL, "-w", "w", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout

    (folder / "t.csv").write_text(TABLE)
    stepwell("import", "t.csv", "--experiment", 'vision "1": é')
    words = stepwell("log", "--new", "--name", "only: words", "--param", "lr=0.1", "--tag", "note=a\nb").strip()
    stepwell("log", "mixed", "--param", "x=two\nlines", "--tag", "empty=")
    for form in ("mlruns", "tfevents", "parquet", "csv"):
        stepwell("export", "--all", "--to", form, "--format", form)
    return folder, words


def test_mlflows_file_store_reads_every_run(exported, monkeypatch):
    folder, words = exported
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient
    from mlflow.entities import ViewType

    client = MlflowClient(tracking_uri=(folder / "mlruns").as_uri())
    experiments = client.search_experiments(view_type=ViewType.ALL)
    assert 'vision "1": é' in [experiment.name for experiment in experiments]
    runs = client.search_runs([experiment.experiment_id for experiment in experiments], run_view_type=ViewType.ALL)
    by_id = {run.info.run_id: run for run in runs}
    assert set(by_id) == {"mixed", "never", words}
    assert by_id["mixed"].data.params == {"x": "two\nlines"}
    assert by_id["mixed"].data.tags["empty"] == ""
    assert by_id["mixed"].info.start_time == 0 and by_id["mixed"].info.status == "FINISHED"
    history = client.get_metric_history("mixed", "loss")
    assert [(point.step, point.timestamp, point.value) for point in history] == [(3, 0, 0.1), (1, 0, -0.0), (-7, 1700000000123, 1e300)]
    infinite, nan = client.get_metric_history("mixed", "acc")
    assert infinite.value == math.inf and math.isnan(nan.value)
    run = by_id[words]
    assert (run.info.run_name, run.data.params, run.data.tags["note"]) == ("only: words", {"lr": "0.1"}, "a\nb")
    assert run.data.metrics == {}
    client.log_metric("never", "loss", 0.25, step=1)
    assert len(client.get_metric_history("never", "loss")) == 2


def test_tensorboard_reads_every_run(exported):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder, words = exported
    files = sorted((folder / "tfevents").rglob("events.out.tfevents.*"))
    assert len(files) == 3
    seen = {}
    for file in files:
        run = json.loads((file.parent / "stepwell-run.json").read_text())["run_id"]
        events = accumulator.EventAccumulator(str(file.parent), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        scalars = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        tensors = [tag for tag in events.Tags()["tensors"] if not tag.endswith("/text_summary")]
        scalars |= {tag: [(e.step, e.tensor_proto.tensor_content) for e in events.Tensors(tag)] for tag in tensors}
        seen[run] = scalars
    assert set(seen) == {"mixed", "never", words} and seen[words] == {}
    assert seen["never"]["loss"] == [(0, 0.5)]
    assert [step for step, _ in seen["mixed"]["loss"]] == [3, 1, -7]
    assert seen["mixed"]["acc"][0] == (0, math.inf)


def test_tables_are_read_by_their_columns(exported):
    folder, words = exported
    runs = json.loads((folder / "csv" / "runs.json").read_text())
    assert {run["run_id"] for run in runs} == {"mixed", "never", words}
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(folder / "parquet" / "points.parquet").to_pylist()
    assert len(rows) == 6 and list(rows[0]) == ["run_id", "key", "step", "timestamp_ms", "value"]
    loss = [(row["step"], row["timestamp_ms"], row["value"]) for row in rows if (row["run_id"], row["key"]) == ("mixed", "loss")]
    assert loss == [(3, None, 0.1), (1, 0, -0.0), (-7, 1700000000123, 1e300)]
    lines = (folder / "csv" / "points.csv").read_text().splitlines()
    assert len(lines) == 7 and "mixed,loss,3,,0.1" in lines


def test_mlflow_changes_an_export_and_it_comes_back(exported, monkeypatch, tmp_path):
    folder, words = exported
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(folder / "mlruns").as_uri())
    client.set_tag(words, "note", "changed")
    client.log_metric(words, "later", 1.5, timestamp=9, step=2)
    back = str(tmp_path / "back")
    subprocess.run([STEPWELL, "-w", back, "import", str(folder / "mlruns")], check=True, capture_output=True)
    shown = subprocess.run([STEPWELL, "-w", back, "--json", "show", words], check=True, capture_output=True, text=True).stdout
    shown = json.loads(shown)
    assert shown["tags"]["note"] == "changed" and "later" in shown["metrics"]
    never = subprocess.run([STEPWELL, "-w", back, "--json", "show", "never"], check=True, capture_output=True, text=True).stdout
    assert json.loads(never)["start_time"] is None
