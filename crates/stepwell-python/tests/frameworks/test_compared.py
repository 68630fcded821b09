"""The same script with the real W&B or TensorBoard, imported, and with the drop-in: what the store has is the same."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import EXAMPLES, framework

import stepwell

WANDB = """
import sys
import numpy as np
if sys.argv[1] == "real":
    import wandb
else:
    import stepwell.wandb as wandb

run = wandb.init(project="p", name="first", id="abc", notes="why", group="g", job_type="train", tags=["a", "b"],
                 config={"lr": 0.1, "net": {"deep": True, "sizes": [1, 2], "none": None}, "word": "x"})
run.log({"loss": 1, "nested": {"a": 1.5, "deep": {"b": 2}}, "yes": True, "text": "one", "np": np.float32(0.5)})
run.log({"loss": 0.5}, commit=False)
run.log({"acc": 0.25, "text": "two", "list": [1, 2, 3]})
run.log({"loss": 0.25}, step=10)
run.log({"loss": 0.125}, step=10, commit=True)
run.log({"loss": float("nan"), "one": np.ones((1, 1))})
run.config.update({"late": 3})
run.summary["best"] = 0.9
run.summary["word"] = "good"
run.finish()
"""


def command(*arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=True, **options)


def points(view):
    return {key: [(step, repr(value)) for step, _, value in view[key]] for key in sorted(view.keys())}


def test_wandb_leaves_the_same(tmp_path):
    framework("wandb")
    for how in ("real", "ours"):
        where = tmp_path / how
        where.mkdir()
        command(sys.executable, "-c", WANDB, how, cwd=where, env=os.environ | {"STEPWELL_DIR": str(where / "stepwell")})
    real = stepwell.open(tmp_path / "imported")
    command(sys.executable, "-m", "stepwell", "-w", str(real.path), "import", str(tmp_path / "real" / "wandb"))
    real, ours = real["abc"], stepwell.open(tmp_path / "ours" / "stepwell")
    ours = ours[ours.search(experiments=["p"])[0]["run_id"]]
    # W&B measures its own run time and the machine, too.
    expected = {
        key: found for key, found in points(real).items() if key != "_runtime" and not key.startswith("system/")
    }
    found = points(ours)
    # W&B writes one row a step, with the last value of a key; here all are kept.
    assert found["loss"] == [(0, "1.0"), (1, "0.5"), (10, "0.25"), (10, "0.125"), (11, "nan")]
    found["loss"].remove((10, "0.25"))
    assert found == expected
    assert ours.params == real.params
    assert (ours.name, ours.status, ours.experiment) == (real.name, real.status, real.experiment)
    same = ("wandb.notes", "wandb.group", "wandb.job_type", "wandb.tags", "wandb.host")
    assert {key: ours.tags.get(key) for key in same} == {key: real.tags.get(key) for key in same}
    summary = {key: text for key, text in real.tags.items() if key.startswith("wandb.summary.")}
    # The list is an artifact.
    summary.pop("wandb.summary.list", None)
    assert {key: text for key, text in ours.tags.items() if key.startswith("wandb.summary.")} == summary


def test_the_page_has_all_names_of_wandb():
    wandb = framework("wandb")
    page = next(
        (folder / "docs/wandb.md").read_text()
        for folder in Path(__file__).parents
        if (folder / "docs/wandb.md").exists()
    )
    listed = set(re.findall(r"`([^`\n]+)`", page.split("## Names")[1]))
    for name in wandb.__all__:
        assert name in listed, name
    for call, parameters in {
        "init": wandb.init,
        "log": wandb.Run.log,
        "alert": wandb.Run.alert,
        "define_metric": wandb.Run.define_metric,
        "Image": wandb.Image.__init__,
        "Video": wandb.Video.__init__,
        "Audio": wandb.Audio.__init__,
        "Html": wandb.Html.__init__,
        "Table": wandb.Table.__init__,
        "Histogram": wandb.Histogram.__init__,
        "Artifact": wandb.Artifact.__init__,
        "log_artifact": wandb.Run.log_artifact,
        "save": wandb.Run.save,
    }.items():
        for parameter in inspect.signature(parameters).parameters:
            if parameter not in ("self", "kwargs"):
                assert f"{call}({parameter})" in listed, f"{call}({parameter})"
    for name in dir(wandb.Run):
        if not name.startswith("_"):
            assert f"Run.{name}" in listed or name in listed, name


TENSORBOARD = """
import sys
import numpy as np
import torch
torch.manual_seed(0)
if sys.argv[1] == "real":
    from torch.utils.tensorboard import SummaryWriter
else:
    from stepwell.tensorboard import SummaryWriter

with SummaryWriter("runs/first") as writer:
    for step in range(5):
        writer.add_scalar("train/loss", torch.tensor(1 / (step + 1)), step, walltime=1000.0 + step)
    writer.add_scalar("double", 0.1, 7, double_precision=True, new_style=True)
    writer.add_text("note", "hello", 3)
    writer.add_histogram("weights", torch.arange(10.0), 2)
    writer.add_image("picture", torch.rand(3, 4, 5), 1)
    writer.add_audio("sound", torch.sin(torch.arange(100.0)), 1)
"""


def test_tensorboard_leaves_the_same(tmp_path):
    framework("torch")
    framework("tensorboard")
    for how in ("real", "ours"):
        where = tmp_path / how
        where.mkdir()
        command(sys.executable, "-c", TENSORBOARD, how, cwd=where, env=os.environ | {"STEPWELL_DIR": str(where / "w")})
    imported = stepwell.open(tmp_path / "imported")
    command(sys.executable, "-m", "stepwell", "-w", str(imported.path), "import", "--artifacts", str(tmp_path / "real"))
    (row,) = imported.search().rows()
    real = imported[row["run_id"]]
    found = stepwell.open(tmp_path / "ours" / "w")
    (row,) = found.search(experiments=["runs"]).rows()
    ours = found[row["run_id"]]
    assert ours.name == "first"
    assert sorted(ours.keys()) == sorted(real.keys()) == ["double", "train/loss"]
    assert list(ours["train/loss"]) == list(real["train/loss"])
    assert [step for step, _, _ in ours["double"]] == [step for step, _, _ in real["double"]] == [7]
    kinds = {path.parent.relative_to(view.artifact_folder).parts[:2] for view in (ours,) for path in files(view)}
    assert kinds == {("texts", "note"), ("histograms", "weights"), ("images", "picture"), ("audio", "sound")}
    for kind in ("images/picture/1.png", "audio/sound/1.wav"):
        theirs = next(path for path in files(real) if str(path).endswith(kind))
        assert pixels(ours.artifact_folder / kind) == pixels(theirs), kind


def files(view):
    return [path for path in view.artifact_folder.rglob("*") if path.is_file()]


def pixels(path):
    if path.suffix == ".wav":
        import wave

        with wave.open(str(path)) as file:
            return file.getparams()[:4]
    from PIL import Image

    return Image.open(path).convert("RGB").tobytes()


def test_tensorboard_has_no_call_that_this_writer_has_not():
    framework("torch")
    framework("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    from stepwell.tensorboard import SummaryWriter as Ours

    for name, call in vars(SummaryWriter).items():
        if name.startswith("_"):
            continue
        assert hasattr(Ours, name), name
        signature = inspect.signature(getattr(Ours, name))
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in signature.parameters.values()):
            continue
        # Positional arguments mean the same.
        theirs = list(inspect.signature(call).parameters)
        assert list(signature.parameters)[: len(theirs)] == theirs, name
    assert EXAMPLES.exists()
