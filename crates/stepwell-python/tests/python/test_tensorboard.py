"""TensorBoard's writer: what becomes of each call, in one run for each folder."""

import inspect
import json
import os
import wave

import numpy as np
import pytest

import stepwell
from stepwell import _dropin, tensorboard
from stepwell.tensorboard import SummaryWriter


@pytest.fixture(autouse=True)
def alone(folder, monkeypatch):
    monkeypatch.setenv("STEPWELL_DIR", folder)
    monkeypatch.setattr(_dropin, "_told", set())


def kept(writer):
    folder = writer.run.artifact_folder
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def points(writer, key):
    return [(step, value) for step, _, value in writer.run[key]]


def test_scalars():
    with SummaryWriter("runs/first", strict=True) as writer:
        for step in range(3):
            writer.add_scalar("train/loss", np.float32(step), step, walltime=1000.5 + step)
            writer.add_scalars("both", {"a": step, "b": np.ones(1)}, step)
        writer.add_scalar("alone", 1.0)
        writer.add_scalar("alone", 2.0)
        writer.add_scalar("precise", 0.1, 5, new_style=True, double_precision=True)
        writer.flush()
        assert points(writer, "train/loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]
        assert list(writer.run["train/loss"].times_ms) == [1_000_500, 1_001_500, 1_002_500]
        assert points(writer, "both/a") == [(0, 0.0), (1, 1.0), (2, 2.0)] and len(points(writer, "both/b")) == 3
        assert points(writer, "alone") == [(0, 1.0), (1, 2.0)] and points(writer, "precise") == [(5, 0.1)]


def test_a_folder_names_a_run(ws, tmp_path):
    for log_dir, expected in [
        ("runs/a/b", ("runs", "a/b")),
        ("./runs/c", ("runs", "c")),
        ("alone", ("Default", "alone")),
        (tmp_path / "logs" / "d", ("logs", "d")),
    ]:
        with SummaryWriter(log_dir) as writer:
            assert writer.get_logdir() == os.fspath(log_dir)
            writer.add_scalar("x", 1, 0)
        view = ws[writer.id]
        assert (view.experiment, view.name, view.status) == (*expected, "FINISHED")
        # As with event files, the folder goes on with its run.
        again = SummaryWriter(log_dir)
        assert again.id == writer.id
        again.close()
    with SummaryWriter(comment="-try", experiment="e") as writer:
        pass
    assert ws[writer.id].name.endswith("-try") and ws[writer.id].experiment == "e"


def test_a_closed_writer_goes_on(ws):
    writer = SummaryWriter("runs/a")
    writer.close()
    writer.flush()
    assert ws[writer.id].status == "FINISHED"
    writer.add_scalar("x", 1.0, 0)
    assert ws[writer.id].status == "RUNNING" and points(writer, "x") == [(0, 1.0)]
    with pytest.raises(RuntimeError), SummaryWriter("runs/b") as other:
        raise RuntimeError
    assert ws[other.id].status == "FAILED"


def test_media():
    writer = SummaryWriter("runs/a", strict=True)
    writer.add_text("note", "hello", 3)
    writer.add_histogram("weights", np.arange(10), 2, bins=5)
    writer.add_histogram("auto", np.arange(10), 2, bins="auto")
    writer.add_histogram_raw("raw", 0, 1, 2, 1.0, 0.5, [0.5, 1.0], [1, 1], 0)
    writer.add_image("chw", np.random.rand(3, 4, 5), 0)
    writer.add_image("hw", np.zeros((4, 5), dtype=np.uint8), 0, dataformats="HW")
    writer.add_images("several", np.zeros((2, 1, 4, 4)), 1)
    writer.add_images("last", np.zeros((2, 4, 4, 3)), 1, dataformats="NHWC")
    writer.add_image_with_boxes("boxed", np.zeros((3, 4, 4)), [[0, 0, 1, 1]], 0, labels=["x"])
    writer.add_video("video", np.zeros((1, 3, 3, 4, 4)), 0)
    writer.add_audio("sound", np.zeros((1, 100)), 0, sample_rate=100)
    writer.add_pr_curve("pr", np.array([0, 1, 1]), np.array([0.1, 0.8, 0.4]), 0, num_thresholds=3)
    assert kept(writer) == [
        "audio/sound/0.wav",
        "histograms/auto/2.json",
        "histograms/raw/0.json",
        "histograms/weights/2.json",
        "images/boxed/0.json",
        "images/boxed/0.png",
        "images/chw/0.png",
        "images/hw/0.png",
        "images/last/1-2.png",
        "images/last/1.png",
        "images/several/1-2.png",
        "images/several/1.png",
        "pr_curves/pr/0.json",
        "texts/note/3.txt",
        "videos/video/0.png",
    ]
    folder = writer.run.artifact_folder
    assert json.loads((folder / "histograms/weights/2.json").read_text())["counts"] == [2, 2, 2, 2, 2]
    curve = json.loads((folder / "pr_curves/pr/0.json").read_text())
    assert curve["recall"] == [1.0, 0.5, 0.0] and curve["precision"][1] == 1.0
    with wave.open(str(folder / "audio/sound/0.wav")) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getnframes()) == (100, 1, 100)


def test_figures_are_closed():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.close("all")
    writer = SummaryWriter("runs/a", strict=True)
    writer.add_figure("one", pyplot.figure(), 0)
    writer.add_figure("two", [pyplot.figure(), pyplot.figure()], 0, close=False)
    assert kept(writer) == ["figures/one/0.png", "figures/two/0-2.png", "figures/two/0.png"]
    assert len(pyplot.get_fignums()) == 2
    pyplot.close("all")


def test_hyperparameters_of_one_run_and_of_a_sweep(ws):
    writer = SummaryWriter("runs/a", strict=True)
    for rate in (0.1, 0.2):
        writer.add_hparams({"lr": rate, "name": "x"}, {"hparam/loss": rate / 2})
    writer.add_hparams({"lr": 0.3}, {"hparam/loss": 0.15}, run_name="third")
    writer.close()
    rows = sorted(ws.search(experiments=["runs"]).rows(), key=lambda row: row["params.lr"])
    assert [(row["params.lr"], row["metrics.hparam/loss"]) for row in rows] == [
        ("0.1", 0.05),
        ("0.2", 0.1),
        ("0.3", 0.15),
    ]
    assert rows[0]["run_id"] == writer.id and rows[2]["name"] == "a/third"
    assert {row["status"] for row in rows} == {"FINISHED"}


def test_what_is_ignored_is_told_once():
    with pytest.warns(stepwell.LoggingWarning) as told:
        writer = SummaryWriter("runs/a", purge_step=3, filename_suffix="x", frobnicate=1)
        calls = [name for name in dir(writer) if name.startswith("add_") and "Ignored" in getattr(writer, name).__doc__]
        for _ in range(2):
            for name in calls:
                getattr(writer, name)("something")
        writer.add_hparams({}, {}, hparam_domain_discrete={})
    texts = [str(one.message) for one in told]
    assert len(texts) == len(set(texts)) == len(calls) + 4 and len(calls) == 8
    for name in calls:
        assert any(f"ignores {name}:" in text for text in texts)
        assert name in tensorboard.__doc__ or "custom_scalars" in name
    assert all(one.filename == __file__ for one in told)


def test_training_goes_on_and_strict_does_not():
    writer = SummaryWriter("runs/a")
    for call in (
        lambda: writer.add_scalar("a", "text", 0),
        lambda: writer.add_image("a", np.zeros((2, 2, 2, 2)), 0),
        lambda: writer.add_text("../a", "x"),
        lambda: writer.add_video("a", np.zeros(3)),
        lambda: writer.add_audio("a", "nothing"),
        lambda: writer.add_histogram("a", ["x"]),
        lambda: writer.add_scalars("a", 5),
    ):
        with pytest.warns(stepwell.LoggingWarning):
            call()
    writer.close()
    strict = SummaryWriter("runs/b", strict=True)
    with pytest.raises(TypeError):
        strict.add_scalar("a", "text", 0)
    with pytest.raises(ValueError):
        strict.add_image("a", np.zeros((2, 2)), 0)


def test_the_page_of_the_module_names_each_call():
    for name in dir(SummaryWriter):
        if name.startswith("add_") and "custom_scalars" not in name:
            assert name in tensorboard.__doc__, name
            assert inspect.getdoc(getattr(SummaryWriter, name)), name
