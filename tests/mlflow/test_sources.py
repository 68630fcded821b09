"""What the trackers' own libraries write, imported: all of it is taken, or told with a count."""

import json
import os
import struct
import subprocess
import zlib

import pytest

STEPWELL = os.environ.get("STEPWELL_BIN", "stepwell")


@pytest.fixture
def stepwell(tmp_path):
    def call(*arguments):
        command = [STEPWELL, "--json", "-w", str(tmp_path / "w"), *map(str, arguments)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    return call


def png():
    """A picture of one pixel."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0abc")) + chunk(b"IEND", b"")


def write_events(folder):
    """Two steps of everything that TensorBoard has a plugin for, in the forms of PyTorch and of TensorFlow 2."""
    numpy = pytest.importorskip("numpy")
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
    from tensorboard.plugins.audio import metadata as audio
    from tensorboard.plugins.histogram import metadata as histogram
    from tensorboard.plugins.hparams import metadata as hparams
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
    from tensorboard.plugins.image import metadata as image
    from tensorboard.plugins.pr_curve import metadata as curve
    from tensorboard.plugins.scalar import metadata as scalar
    from tensorboard.plugins.text import metadata as text
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto as tensor

    value = Summary.Value
    writer = EventFileWriter(str(folder))

    def add(step, *values):
        writer.add_event(Event(wall_time=1.7e9 + step, step=step, summary=Summary(value=values)))

    for step in range(2):
        add(step, value(tag="loss", simple_value=1 / (step + 1)))
        add(step, value(tag="acc", metadata=scalar.create_summary_metadata("", "what it is"), tensor=tensor(numpy.float32(0.5))))
        old = HistogramProto(min=0, max=1, num=2, sum=1, sum_squares=1, bucket_limit=[0.5, 1], bucket=[1, 1])
        add(step, value(tag="weights", histo=old))
        buckets = numpy.array([[0, 1, 3.0], [1, 2, 4.0]])
        add(step, value(tag="kernel", metadata=histogram.create_summary_metadata("", ""), tensor=tensor(buckets)))
        add(step, value(tag="picture", image=Summary.Image(height=1, width=1, encoded_image_string=png())))
        pictures = tensor([b"1", b"1", png(), png()])
        add(step, value(tag="pictures", metadata=image.create_summary_metadata("", ""), tensor=pictures))
        add(step, value(tag="sound", audio=Summary.Audio(encoded_audio_string=b"RIFFsound")))
        wav = audio.create_summary_metadata("", "", audio.Encoding.Value("WAV"))
        add(step, value(tag="sounds", metadata=wav, tensor=tensor([[b"RIFFsound", b"label"]])))
        add(step, value(tag="pr", metadata=curve.create_summary_metadata("", "", 4), tensor=tensor(numpy.ones((6, 4), numpy.float32))))
        add(step, value(tag="note", metadata=text.create_summary_metadata("", ""), tensor=tensor([b"text %d" % step])))
        add(step, value(tag="vector", tensor=tensor(numpy.arange(3))))
    graph = GraphDef()
    graph.node.add().name = "n"
    writer.add_event(Event(wall_time=1.7e9, graph_def=graph.SerializeToString()))
    start = plugin_data_pb2.SessionStartInfo(group_name="sweep 1", monitor_url="http://x")
    start.hparams["lr"].number_value = 0.001
    start.hparams["optimizer"].string_value = "adam"
    start.hparams["amp"].bool_value = True
    start.hparams["none"].null_value = 0
    for size in (3, 5):
        start.hparams["kernel"].list_value.values.add().number_value = size
    for tag, data in (
        ("_hparams_/experiment", plugin_data_pb2.HParamsPluginData(experiment=api_pb2.Experiment(description="d"))),
        ("_hparams_/session_start_info", plugin_data_pb2.HParamsPluginData(session_start_info=start)),
    ):
        add(0, value(tag=tag, metadata=hparams.create_summary_metadata(data)))
    writer.close()


def test_tensorboards_values_are_taken_or_counted(stepwell, tmp_path):
    write_events(tmp_path / "logs" / "run")
    done = stepwell("import", tmp_path / "logs")
    assert (done["runs"], done["series"], done["points"]) == (1, 2, 4)
    assert done["left_out"] == {
        "params": 1,
        "texts": 2,
        "images": 6,
        "sounds": 4,
        "histograms": 4,
        "curves": 2,
        "graphs": 1,
        "others": 3,
    }
    run = stepwell("show", "run")
    assert run["params"] == {"amp": "true", "kernel": "[3.0,5.0]", "lr": "0.001", "optimizer": "adam"}
    assert run["tags"] == {"note": "text 1", "hparams.group": "sweep 1", "hparams.monitor_url": "http://x"}
    files = stepwell("import", tmp_path / "logs", "--artifacts")
    assert files["left_out"] == {"params": 1, "texts": 1, "others": 1}
    assert files["added"]["artifacts"] == 21
    kept = {str(path.relative_to(tmp_path / "w" / "artifacts").as_posix().split("/", 3)[3]) for path in (tmp_path / "w" / "artifacts").rglob("*.*")}
    assert {"images/picture/1.png", "images/pictures/0-2.png", "histograms/kernel/0.json", "pr_curves/pr/1.json", "tensors/vector/0.json", "texts/note/0.txt"} <= kept
    again = stepwell("import", tmp_path / "logs", "--artifacts")
    assert again["added"] == {"runs": 0, "series": 0, "points": 0}


def write_run(folder, part, monkeypatch):
    """One start of a W&B run, offline."""
    wandb = pytest.importorskip("wandb")
    numpy = pytest.importorskip("numpy")
    for key, word in {"MODE": "offline", "SILENT": "true", "CONSOLE": "off", "DIR": str(folder)}.items():
        monkeypatch.setenv(f"WANDB_{key}", word)
    folder.mkdir(exist_ok=True)
    with wandb.init(project="p", id="r1", name="nice", tags=["a", "b"], resume="allow" if part else None, config={"lr": 0.1}) as run:
        for step in range(3 * part, 3 * part + 3):
            values = {"loss": 1 / (step + 1), "word": f"w{step}", "list": [1, step], "nested": {"x": step}}
            values["weights"] = wandb.Histogram(numpy.arange(9))
            values["picture"] = wandb.Image(numpy.zeros((2, 2, 3), numpy.uint8))
            values["table"] = wandb.Table(columns=["a"], data=[[step]])
            run.log(values, step=step)
        run.summary["verdict"] = "good"
    # The log is written by another process, until that ends.
    wandb.teardown()


def test_wandbs_values_are_taken_or_counted_and_resumed_runs_go_on(stepwell, tmp_path, monkeypatch):
    logs = tmp_path / "logs"
    for part in range(2):
        write_run(logs, part, monkeypatch)
    parts = sorted((logs / "wandb").glob("*run-*"))
    assert len(parts) == 2
    for at, part in enumerate(reversed(parts)):
        done = stepwell("import", part)
        assert done["added"]["runs"] == 1 - at
        counts = {kind: done["left_out"][kind] for kind in ("texts", "images", "histograms", "tables", "others")}
        assert counts == {"texts": 3, "images": 3, "histograms": 3, "tables": 3, "others": 3}
    run = stepwell("show", "r1")
    assert (run["name"], run["status"], run["params"]) == ("nice", "FINISHED", {"lr": "0.1"})
    assert run["tags"]["wandb.summary.verdict"] == "good" and run["tags"]["wandb.tags"] == "a,b"
    metrics = {name for name in run["metrics"] if not name.startswith(("system/", "_"))}
    assert metrics == {"loss", "nested.x"}
    assert run["series"]["loss"]["count"] == 6
    files = stepwell("import", logs, "--artifacts")
    assert not {"texts", "images", "histograms", "tables", "others"} & set(files["left_out"])
    assert files["added"]["points"] == 0
    kept = [path.name for path in (tmp_path / "w" / "artifacts").rglob("*.*")]
    for name in (f"{step}.{ending}" for step in range(6) for ending in ("txt", "json")):
        assert name in kept, name
    assert any(name.startswith("picture_") for name in kept)


def test_dvclives_folder_is_one_run(stepwell, tmp_path, monkeypatch):
    # DVCLive makes a repository where it is.
    monkeypatch.chdir(tmp_path)
    dvclive = pytest.importorskip("dvclive")
    folder = tmp_path / "dvclive"
    with dvclive.Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None) as live:
        live.log_params({"lr": 0.1, "model": {"depth": 3}})
        for step in range(3):
            live.log_metric("train/loss", 1 / (step + 1), timestamp=True)
            live.log_metric("acc", float("nan") if step == 1 else 0.5)
            live.next_step()
        live.log_metric("final", 0.75, plot=False)
    done = stepwell("import", folder)
    assert (done["runs"], done["series"], done["points"], done["left_out"]) == (1, 2, 6, {})
    run = stepwell("show", "dvclive")
    assert (run["params"], run["tags"]["final"]) == ({"lr": "0.1", "model.depth": "3"}, "0.75")
    assert run["series"]["acc"]["nan_count"] == 1
