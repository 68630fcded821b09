"""The examples that need no heavy framework run; those of `tests/frameworks` run there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
LIGHT = ["loop", "with_wandb", "ranks", "sweep"]


@pytest.mark.parametrize("name", [*LIGHT, "with_keras"])
def test_an_example_runs(ws, folder, name, tmp_path):
    environment = os.environ | {"STEPWELL_DIR": folder}
    if name == "with_keras":
        environment.setdefault("KERAS_BACKEND", "jax")
        pytest.importorskip("keras")
        pytest.importorskip(environment["KERAS_BACKEND"])
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
    assert not done.stderr, done.stderr
    rows = ws.search(experiments=["examples"]).rows()
    assert rows and {row["status"] for row in rows} == {"FINISHED"}
    if name == "ranks":
        assert len(ws[rows[0]["run_id"]]) == 4


def test_each_example_is_run_somewhere():
    heavy = (EXAMPLES.parent / "tests/frameworks/test_examples.py").read_text()
    for path in EXAMPLES.glob("*.py"):
        assert path.stem in LIGHT or f'"{path.stem}"' in heavy, path.name


def test_an_example_hides_no_module():
    """A script's folder comes first in the path, so that `keras.py` would be found in place of Keras."""
    hidden = {
        "wandb",
        "keras",
        "torch",
        "lightning",
        "huggingface",
        "transformers",
        "tensorboard",
        "stepwell",
        "mlflow",
    }
    assert not {path.stem for path in EXAMPLES.glob("*.py")} & (hidden | set(sys.stdlib_module_names))
