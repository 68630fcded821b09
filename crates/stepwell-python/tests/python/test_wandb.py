"""W&B's interface: what is logged, of which kind and at which step."""

import json
import warnings
import wave

import numpy as np
import pytest
from wandb_support import alone, kept, points  # noqa: F401

import stepwell
import stepwell.wandb as wandb


# Logging


def test_steps_count_as_in_wandb():
    run = wandb.init(project="p")
    steps = []
    for arguments in [{}, {"commit": False}, {}, {"step": 10}, {"step": 10, "commit": True}, {"step": 5}, {}]:
        wandb.log({"x": float(len(steps))}, **arguments)
        steps.append(run.step)
    # What wandb 0.31 says.
    assert steps == [1, 1, 2, 10, 11, 11, 12]
    # A lower step, and two values at one step, are kept.
    assert [step for step, _ in points(run, "x")] == [0, 1, 1, 5, 10, 10, 11]
    run.finish()
    again = wandb.init(project="p", id=run.id, resume="must")
    assert again.resumed and again.step == again.starting_step == 12


def test_values_of_every_kind():
    run = wandb.init(project="p")
    big = np.arange(100.0)
    with pytest.warns(stepwell.LoggingWarning, match="None"):
        run.log(
            {
                "loss": 1,
                "yes": True,
                "np": np.float32(0.5),
                "one": np.ones((1, 1)),
                "nested": {"a": 1.5, "b": {"c": 2}},
                "none": None,
                "text": "héllo",
                "list": [1, 2, np.int64(3)],
                "small": np.arange(3),
                "big": big,
            }
        )
    assert {key: points(run, key)[0][1] for key in run.stored.view().keys()} == {
        "loss": 1,
        "yes": 1,
        "np": 0.5,
        "one": 1,
        "nested.a": 1.5,
        "nested.b.c": 2,
    }
    assert kept(run) == ["histograms/big/0.json", "lists/list/0.json", "lists/small/0.json", "texts/text/0.txt"]
    folder = run.stored.artifact_folder
    assert (folder / "texts/text/0.txt").read_text() == "héllo"
    assert json.loads((folder / "lists/list/0.json").read_text()) == [1, 2, 3]
    assert sum(json.loads((folder / "histograms/big/0.json").read_text())["counts"]) == 100
    assert run.stored.view().tags["wandb.summary.text"] == "héllo"


def test_timestamps_are_the_callers():
    run = wandb.init(project="p")
    run.log({"loss": 1.0, "_timestamp": 1000.5})
    assert list(run.stored["loss"].times_ms) == [1_000_500]


def test_training_goes_on_whatever_is_logged():
    run = wandb.init(project="p")
    for arguments in [
        (5,),
        ({"a": 1}, "x"),
        ({"../up": "text"},),
        ({"i": wandb.Image("none.png")},),
        ({"v": wandb.Video(np.zeros(3))},),
    ]:
        with pytest.warns(stepwell.LoggingWarning):
            run.log(*arguments)
        # Each kind is told once.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run.log(*arguments)
    with pytest.warns(stepwell.LoggingWarning, match="as texts"):
        run.log({"object": object, "ok": 1.0})
    assert len(points(run, "ok")) == 1
    run.finish()
    run = wandb.init(project="p")
    run.finish()
    with pytest.warns(stepwell.LoggingWarning, match="is ended"):
        run.log({"a": 1})
    assert run.stored.health()["lost"]


def test_module_functions_need_a_run():
    assert wandb.run is None
    for call in (lambda: wandb.log({}), lambda: wandb.config.a, lambda: wandb.summary["a"], lambda: wandb.alert("x")):
        with pytest.raises(wandb.Error, match=r"call wandb.init\(\) before"):
            call()
    wandb.finish()


def test_media_become_files(tmp_path):
    run = wandb.init(project="p")
    (tmp_path / "a.mp4").write_bytes(b"video")
    run.log(
        {
            "image": wandb.Image(np.random.rand(4, 5, 3), caption="c", boxes={"p": {"box_data": []}}),
            "images": [wandb.Image(np.zeros((2, 2), dtype=np.uint8)), wandb.Image(np.zeros((2, 2, 4), dtype=bool))],
            "file": wandb.Video(tmp_path / "a.mp4"),
            "video": wandb.Video(np.zeros((3, 3, 4, 4), dtype=np.uint8), fps=10),
            "sound": wandb.Audio(np.sin(np.arange(100)), sample_rate=8000),
            "page": wandb.Html("<p>x</p>"),
            "points": wandb.Object3D(np.zeros((5, 3))),
            "text": wandb.Markdown("# x"),
            "h": wandb.Histogram(np_histogram=([1, 2], [0, 1, 2])),
            "table": wandb.Table(columns=["a", "b"], data=[[1, "x"], [2, wandb.Image(np.ones((2, 2)))]]),
        }
    )
    assert kept(run) == [
        "audio/sound/0.wav",
        "histograms/h/0.json",
        "html/page/0.html",
        "images/image/0.json",
        "images/image/0.png",
        "images/images/0-2.png",
        "images/images/0.png",
        "images/table/0/1-b.png",
        "markdown/text/0.md",
        "objects3d/points/0.pts.json",
        "tables/table/0.json",
        "videos/file/0.mp4",
        "videos/video/0.png",
    ]
    folder = run.stored.artifact_folder
    assert json.loads((folder / "images/image/0.json").read_text()) == {
        "caption": "c",
        "boxes": {"p": {"box_data": []}},
    }
    with wave.open(str(folder / "audio/sound/0.wav")) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (8000, 100)
    table = json.loads((folder / "tables/table/0.json").read_text())
    assert table["columns"] == ["a", "b"] and table["data"][0] == [1, "x"]
    assert table["data"][1][1]["path"] == "images/table/0/1-b.png"


def test_pictures_are_as_pillow_reads_them():
    pillow = pytest.importorskip("PIL.Image")
    run = wandb.init(project="p")
    given = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    frames = np.random.default_rng(0).integers(0, 256, (3, 3, 4, 6), dtype=np.uint8)
    run.log(
        {
            "a": wandb.Image(given),
            "b": wandb.Image(given[:, :, 0] / 255.0),
            "c": wandb.Image(pillow.fromarray(given)),
            "v": wandb.Video(frames),
        }
    )
    folder = run.stored.artifact_folder / "images"
    assert (np.asarray(pillow.open(folder / "a/0.png")) == given).all()
    assert (abs(np.asarray(pillow.open(folder / "b/0.png")).astype(int) - given[:, :, 0]) <= 1).all()
    assert (np.asarray(pillow.open(folder / "c/0.png")) == given).all()
    video = pillow.open(run.stored.artifact_folder / "videos/v/0.png")
    assert video.n_frames == 3
    for at in range(3):
        video.seek(at)
        assert (np.asarray(video.convert("RGB")) == frames[at].transpose(1, 2, 0)).all()


def test_tables():
    table = wandb.Table(columns=["a"])
    table.add_data(1)
    table.add_column("b", [2])
    assert table.data == [[1, 2]] and table.get_column("b") == [2]
    with pytest.raises(ValueError, match="2 cells"):
        table.add_data(1)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1, 2], "y": ["a", "b"]})
    assert wandb.Table(dataframe=frame).data == [[1, "a"], [2, "b"]]
    assert wandb.Table(data=frame).get_dataframe().equals(frame)
