"""W&B's interface: config, summary, and how runs begin, resume and end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from wandb_support import alone, kept, points  # noqa: F401

import stepwell
import stepwell.wandb as wandb


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
