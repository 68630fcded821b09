"""W&B's interface: what is kept and how, what is told, and that the page says so."""

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import warnings
import wave
from pathlib import Path

import numpy as np
import pytest

import stepwell
import stepwell.wandb as wandb
from stepwell import _dropin
from stepwell.wandb import _ignored


@pytest.fixture(autouse=True)
def alone(folder, monkeypatch):
    """A workspace and warnings of its own for each test."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STEPWELL_DIR", folder)
    monkeypatch.setattr(_dropin, "_told", set())
    yield
    wandb.finish()


def kept(run):
    folder = run.stored.artifact_folder
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def points(run, key):
    return [(step, value) for step, _, value in run.stored[key]]


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


# Config and summary


def test_config_by_attribute_and_item():
    run = wandb.init(project="p", config={"lr": 0.1, "net": {"deep": True, "sizes": [1, 2]}})
    wandb.config.width = 8
    wandb.config["depth"] = None
    wandb.config.update({"word": "x"})
    wandb.config.setdefaults({"lr": 5, "decay": 0.5})
    assert wandb.config.lr == 0.1 and wandb.config["net"]["sizes"] == [1, 2] and "width" in wandb.config
    assert wandb.config.get("none", 7) == 7 and set(wandb.config) >= {"lr", "net", "width"}
    with pytest.raises(AttributeError, match="no 'none'"):
        _ = wandb.config.none
    with pytest.raises(KeyError):
        wandb.config["none"]
    assert run.stored.view().params == {
        "lr": "0.1",
        "net.deep": "true",
        "net.sizes": "[1,2]",
        "width": "8",
        "depth": "null",
        "word": "x",
        "decay": "0.5",
    }


def test_a_changed_config_is_a_tag():
    run = wandb.init(project="p", config={"lr": 0.1})
    with pytest.raises(wandb.ConfigError, match="allow_val_change"):
        wandb.config.lr = 0.2
    with pytest.warns(stepwell.LoggingWarning, match="written once"):
        wandb.config.update({"lr": 0.2}, allow_val_change=True)
    view = run.stored.view()
    assert view.params == {"lr": "0.1"} and view.tags["wandb.config.lr"] == "0.2" and wandb.config.lr == 0.2
    wandb.config.update({"lr": 0.1}, allow_val_change=True)
    assert wandb.Api().run(run.path).config == {"lr": 0.1}


def test_a_long_config_value_is_a_text():
    run = None
    with pytest.warns(stepwell.LoggingWarning, match="kept as a text"):
        run = wandb.init(project="p", config={"long": "x" * 7000})
    assert kept(run) == ["texts/params/long.txt"]


def test_config_of_namespaces_and_files(tmp_path):
    import argparse

    run = wandb.init(project="p", config=argparse.Namespace(lr=0.1), config_exclude_keys=["x"])
    assert run.config.lr == 0.1
    run.finish()
    (tmp_path / "c.json").write_text('{"a": {"value": 1}, "b": {"desc": "", "value": 2}}')
    run = wandb.init(project="p", config=str(tmp_path / "c.json"), config_include_keys=["a"])
    assert dict(run.config.items()) == {"a": 1}


def test_summary():
    run = wandb.init(project="p")
    run.define_metric("acc", summary="max", step_metric="epoch")
    for value in (0.5, 0.9, 0.7):
        run.log({"acc": value, "loss": 1 - value})
    wandb.summary["best"] = 0.9
    wandb.summary.update({"note": "good", "deep": {"er": 1}})
    run.summary["loss"] = 0.05
    assert run.summary["acc"] == {"max": 0.9} and run.summary["best"] == 0.9 and run.summary["loss"] == 0.05
    assert run.summary["deep"] == {"er": 1} and run.summary.note == "good" and "none" not in run.summary
    # A number of the summary is searched for as a metric.
    assert points(run, "best") == [(2, 0.9)] and points(run, "deep.er") == [(2, 1.0)]
    tags = run.stored.view().tags
    assert tags["wandb.summary.note"] == "good" and tags["wandb.summary.loss"] == "0.05"
    assert json.loads(tags["wandb.define_metric.acc"]) == {"step_metric": "epoch", "summary": "max"}


# Runs


def test_what_init_is_told_is_kept(ws, monkeypatch):
    monkeypatch.setenv("WANDB_NOTES", "from outside")
    run = wandb.init(entity="me", project="p", name="n", group="g", job_type="j", tags=["a", "b"], id="x'y\"z")
    view = ws[run.stored.id]
    assert (view.experiment, view.name, view.user) == ("p", "n", "me")
    tags = {key: text for key, text in view.tags.items() if key not in ("wandb.host", "wandb.program")}
    assert tags == {
        "wandb.group": "g",
        "wandb.job_type": "j",
        "wandb.tags": "a,b",
        "wandb.id": "x'y\"z",
        "wandb.notes": "from outside",
    }
    run.tags += ("c",)
    run.name = "better"
    view = ws[run.stored.id]
    assert run.path == "p/x'y\"z" and view.tags["wandb.tags"] == "a,b,c" and view.name == "better"
    run.finish(exit_code=1)
    assert ws[run.stored.id].status == "FAILED" and wandb.run is None
    assert wandb.init(project="p", id="x'y\"z", resume="must").stored.id == run.stored.id


def test_resuming(ws):
    with pytest.raises(wandb.UsageError, match="no run 'a'"):
        wandb.init(project="p", id="a", resume="must")
    with wandb.init(project="p", id="a", resume="allow", config={"lr": 1}) as first:
        first.log({"x": 1.0})
    with wandb.init(project="p", id="a", resume="allow") as second:
        assert second.resumed and second.config.lr == 1 and second.summary["x"] == 1
        second.log({"x": 2.0})
    assert second.stored.id == first.stored.id and points(second, "x") == [(0, 1.0), (1, 2.0)]
    with pytest.raises(wandb.UsageError, match="has a run 'a'"):
        wandb.init(project="p", id="a", resume="never")
    with pytest.warns(stepwell.LoggingWarning, match="another one"):
        third = wandb.init(project="p", id="a")
    assert third.stored.id != first.stored.id
    third.finish(1)
    fourth = wandb.init(project="p", resume="auto")
    assert fourth.stored.id == third.stored.id
    fourth.finish()
    assert not wandb.init(project="p", resume=True).resumed
    assert len(ws.search(experiments=["p"])) == 3
    # An id of Stepwell's own does, too.
    wandb.finish()
    assert wandb.init(project="p", id=first.stored.id, resume="must").stored.id == first.stored.id


def test_one_run_at_a_time():
    first = wandb.init(project="p")
    with pytest.warns(stepwell.LoggingWarning, match="is returned"):
        assert wandb.init(project="p") is first
    side = wandb.init(project="p", reinit="create_new")
    assert wandb.run is first and side is not first
    second = wandb.init(project="p", reinit=True)
    assert wandb.run is second and not first.stored.active
    side.finish()
    assert wandb.run is second


def test_a_disabled_run_keeps_nothing(folder):
    with wandb.init(project="p", mode="disabled", config={"a": 1}) as run:
        run.log({"x": 1.0, "i": wandb.Image("none.png")})
        run.summary["s"] = 1
        run.log_artifact(wandb.Artifact("a", "b"))
        run.save("*.py")
        assert run.config.a == 1 and run.summary["s"] == 1 and run.disabled
    assert not Path(folder).exists()
    with pytest.raises(wandb.UsageError, match="mode"):
        wandb.init(mode="nothing")


def test_where_the_workspace_is(tmp_path, monkeypatch):
    monkeypatch.delenv("STEPWELL_DIR")
    assert wandb.init(dir=tmp_path).stored.workspace.path == tmp_path / "stepwell"
    wandb.finish()
    assert wandb.init(dir=tmp_path / "stepwell").stored.workspace.path == tmp_path / "stepwell"
    wandb.finish()
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "other"))
    assert wandb.init().stored.workspace.path == tmp_path / "other" / "stepwell"


def test_a_process_ends_its_run(script, ws, tmp_path):
    script(f"""
        import stepwell.wandb as wandb
        from pathlib import Path
        run = wandb.init(project="p", dir=folder)
        Path({str(tmp_path)!r}, "a.txt").write_text("old")
        wandb.save({str(tmp_path / "a.txt")!r})
        wandb.log({{"x": 1}})
        Path({str(tmp_path)!r}, "a.txt").write_text("newer")
        """)
    (row,) = ws.search(experiments=["p"]).rows()
    assert row["status"] == "FINISHED"
    assert (ws[row["run_id"]].artifact_folder / "files/a.txt").read_text() == "newer"


def test_several_processes_share_a_run_by_its_id(script, ws, folder):
    code = (
        "import sys, stepwell.wandb as wandb\n"
        "run = wandb.init(project='p', id='one', mode='shared', config={'lr': 1})\n"
        "run.log({f'rank{sys.argv[1]}': 1.0})\n"
    )
    environment = os.environ | {"STEPWELL_DIR": folder}
    ranks = [subprocess.Popen([sys.executable, "-c", code, str(rank)], env=environment) for rank in range(4)]
    assert [rank.wait(60) for rank in ranks] == [0] * 4
    (row,) = ws.search(experiments=["p"]).rows()
    assert ws[row["run_id"]].keys() == [f"rank{rank}" for rank in range(4)]


# Files


def test_artifacts_have_versions(tmp_path):
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "a.txt").write_text("a")
    run = wandb.init(project="p")
    artifact = wandb.Artifact("set", type="dataset", metadata={"n": 1})
    artifact.add_dir(tmp_path / "data", name="below")
    with artifact.new_file("new.txt") as file:
        file.write("new")
    artifact.add_reference("s3://bucket/x", name="far")
    artifact.add(wandb.Table(columns=["a"], data=[[1]]), "rows")
    with pytest.raises(ValueError, match="already"):
        artifact.add_file(tmp_path / "data" / "deep" / "a.txt", name="new.txt")
    assert run.log_artifact(artifact, aliases=["best"]).wait().version == "v0"
    with pytest.raises(ValueError, match="does not change"):
        artifact.add_file(tmp_path / "data" / "deep" / "a.txt")
    run.log_artifact(tmp_path / "data" / "deep" / "a.txt", name="set", type="dataset")
    run.finish()

    run = wandb.init(project="other")
    found = run.use_artifact("p/set:best", type="dataset")
    assert found.version == "v0" and found.metadata == {"n": 1} and found.get("rows").data == [[1]]
    copy = Path(found.download(tmp_path / "copy"))
    assert (copy / "below/deep/a.txt").read_text() == "a" and (copy / "new.txt").read_text() == "new"
    assert found.get_path("far").ref == "s3://bucket/x"
    assert run.use_artifact("p/set").version == run.use_artifact("p/set:latest").version == "v1"
    assert run.stored.view().tags["wandb.used.set"] == "v1"
    with pytest.raises(wandb.CommError, match="v0, v1"):
        run.use_artifact("p/set:v7")
    with pytest.raises(ValueError, match="type"):
        run.use_artifact("p/set", type="model")
    with pytest.warns(stepwell.LoggingWarning, match="none.txt"):
        assert run.log_artifact("none.txt").is_draft()
    with pytest.raises(ValueError, match="name"):
        wandb.Artifact("a/b", "c")


def test_saved_files_and_the_runs_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("a.py", "b.py", "sub/c.txt"):
        (tmp_path / name).write_text(name)
    run = wandb.init(project="p")
    assert len(run.save("*.py")) == 2
    run.save("sub/c.txt")
    Path(run.dir, "made.txt").write_text("x")
    assert kept(run) == ["files/a.py", "files/b.py", "files/made.txt", "files/sub/c.txt"]
    with pytest.warns(stepwell.LoggingWarning, match="no file matches"):
        run.save("*.none")


def test_alerts_are_kept_and_printed(capsys):
    run = wandb.init(project="p")
    wandb.alert("low", text="accuracy", level=wandb.AlertLevel.WARN)
    (name,) = kept(run)
    told = json.loads((run.stored.artifact_folder / name).read_text())
    assert (told["title"], told["text"], told["level"]) == ("low", "accuracy", "WARN")
    assert "WARN: low: accuracy" in capsys.readouterr().err


# Reading


def test_the_api_reads_runs():
    for number in range(3):
        config = {"lr": number / 10, "net": {"deep": number == 1}}
        with wandb.init(project="p", name=f"n{number}", config=config, tags=["t"], group="g") as run:
            for step in range(10):
                run.log({"loss": number + step / 10})
            run.log({"late": 1.0})
            run.summary["word"] = "x"
    api = wandb.Api()
    runs = api.runs("me/p")
    assert [run.name for run in runs] == ["n0", "n1", "n2"] and [one.name for one in api.projects()][-1] == "p"
    assert [run.name for run in api.runs("p", order="-summary_metrics.loss")] == ["n2", "n1", "n0"]
    for filters, expected in [
        ({"config.lr": {"$gt": 0.05}, "state": "finished"}, ["n1", "n2"]),
        ({"config.net.deep": True}, ["n1"]),
        ({"$or": [{"display_name": "n0"}, {"summary_metrics.loss": {"$gte": 2.9}}]}, ["n0", "n2"]),
        ({"tags": {"$in": ["t"]}, "group": "g", "config.lr.value": 0.2}, ["n2"]),
        ({"display_name": {"$regex": "[01]"}}, ["n0", "n1"]),
    ]:
        assert [run.name for run in api.runs("p", filters)] == expected, filters
    with pytest.raises(ValueError, match="no '\\$near'"):
        api.runs("p", {"state": {"$near": 1}})
    run = api.run(f"me/p/{runs[1].id}")
    assert run.config == {"lr": 0.1, "net": {"deep": True}} and run.summary["word"] == "x" and run.state == "finished"
    rows = list(run.scan_history())
    assert len(rows) == 11 and rows[3]["loss"] == 1.3 and rows[3]["_step"] == 3 and "_timestamp" in rows[3]
    assert len(list(run.scan_history(keys=["late"]))) == 1 and run.lastHistoryStep == 10
    short = run.history(samples=4, pandas=False)
    assert len(short) == 4 and short[0] == rows[0] and short[-1] == rows[-1]
    losses = [row["loss"] for row in rows[:-1]]
    if importlib.util.find_spec("pandas"):
        assert list(run.history(keys=["loss"])["loss"]) == losses
    else:
        with pytest.warns(stepwell.LoggingWarning, match="pandas"):
            assert [row["loss"] for row in run.history(keys=["loss"])] == losses
    with pytest.raises(wandb.CommError, match="no project"):
        api.runs("none")
    with pytest.raises(wandb.CommError, match="no run"):
        api.run("p/none")
    run.delete()
    assert len(api.runs("p")) == 2


# What is told


def test_each_unknown_argument_is_told_once():
    for call in (
        lambda: wandb.init(project="p", reinit=True, frobnicate=1),
        lambda: wandb.log({"a": 1}, frobnicate=1),
        lambda: wandb.Image(np.zeros((2, 2)), frobnicate=1),
        lambda: wandb.Table(frobnicate=1),
        lambda: wandb.Artifact("a", "b", frobnicate=1),
        lambda: wandb.define_metric("a", frobnicate=1),
        lambda: wandb.alert("a", frobnicate=1),
        lambda: wandb.login(frobnicate=1),
    ):
        with pytest.warns(stepwell.LoggingWarning, match="frobnicate"):
            call()
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*frobnicate")
            call()


def test_each_ignored_thing_is_told():
    """Every entry of the table warns, by the name that the page has."""
    wandb.init(project="p")
    calls = {
        "Image": lambda **more: wandb.Image(np.zeros((2, 2)), **more),
        "Html": lambda **more: wandb.Html("x", **more),
        "Object3D": lambda **more: wandb.Object3D(np.zeros((2, 3)), **more),
        "Table": wandb.Table,
        "Artifact": lambda **more: wandb.Artifact("a", "b", **more),
        "save": lambda **more: wandb.save("/dev/null", **more),
        "alert": lambda **more: wandb.alert("a", **more),
        "log": lambda **more: wandb.log({}, **more),
        "define_metric": lambda **more: wandb.define_metric("a", **more),
        "login": wandb.login,
        "init": lambda **more: wandb.init(project="p", reinit=True, **more),
    }
    other = {"save(glob)": False, "save(policy)": "now", "Table(optional)": False, "Html(inject)": False}
    for name, why in _ignored.IGNORED.items():
        call, _, argument = name.partition("(")
        with pytest.warns(stepwell.LoggingWarning, match=re.escape(f"ignores {name}: {why}")):
            if argument:
                calls[call](**{argument.rstrip(")"): other.get(name, "something")})
            elif name == "plot":
                wandb.plot.line(wandb.Table(), "x", "y")
            else:
                getattr(wandb, name)()


def test_what_is_refused_says_what_to_do():
    for name, hint in _ignored.REFUSED.items():
        assert not hasattr(wandb, name)
        with pytest.raises(AttributeError, match=re.escape(hint)):
            getattr(wandb, name)
    with pytest.raises(AttributeError, match="docs/wandb.md"):
        _ = wandb.frobnicate


def page():
    """Rows of the table of names: name to what becomes of it."""
    docs = next(path for path in (folder / "docs/wandb.md" for folder in Path(__file__).parents) if path.exists())
    found = {}
    for line in docs.read_text().split("## Names")[1].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[1] in ("kept", "mapped", "ignored", "refused"):
            for name in re.findall(r"`([^`]+)`", cells[0]):
                assert name not in found, name
                found[name] = cells[1]
    return found


def test_the_page_says_what_the_module_does():
    rows = page()
    assert {name for name, here in rows.items() if here == "ignored"} == set(_ignored.IGNORED)
    refused = {name for name, here in rows.items() if here == "refused"}
    assert {name for name in refused if not name.startswith("Run.")} == set(_ignored.REFUSED)
    run = wandb.init(project="p")
    for name, here in rows.items():
        if name.startswith("Run."):
            assert hasattr(run, name[4:]) == (here != "refused"), name
        elif here != "refused":
            call, _, argument = name.partition("(")
            thing = getattr(wandb, call)
            if argument:
                thing = getattr(wandb.Run, call, thing)
                assert argument.rstrip(")") in inspect.signature(thing).parameters, name
    for name in wandb.__all__:
        assert name in rows, name
    for call in (
        "init",
        "log",
        "alert",
        "define_metric",
        "save",
        "Image",
        "Video",
        "Audio",
        "Html",
        "Table",
        "Histogram",
        "Artifact",
        "log_artifact",
    ):
        thing = getattr(wandb.Run, call, None) or getattr(wandb, call)
        for name, one in inspect.signature(thing).parameters.items():
            if name != "self" and one.kind is not inspect.Parameter.VAR_KEYWORD:
                assert f"{call}({name})" in rows, f"{call}({name})"
    for name, thing in inspect.getmembers(wandb):
        if name in wandb.__all__ and (inspect.isclass(thing) or inspect.isfunction(thing)):
            assert inspect.getdoc(thing), name


def test_the_module_loads_nothing_heavy():
    heavy = ("numpy", "pandas", "PIL", "wandb")
    code = f"import sys, stepwell.wandb; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
