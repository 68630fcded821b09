"""W&B's interface: artifacts, the API, what is ignored, and that the page says so."""

import importlib.util
import inspect
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from wandb_support import alone, kept  # noqa: F401

import stepwell
import stepwell.wandb as wandb
from stepwell.wandb import _ignored


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
