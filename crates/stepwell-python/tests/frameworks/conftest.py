"""Tests of the drop-ins in the real frameworks.

They need `requirements.txt`, some gigabytes, and the package itself:

    python3 -m venv FOLDER
    FOLDER/bin/pip install -r crates/stepwell-python/tests/frameworks/requirements.txt ./crates/stepwell-python
    FOLDER/bin/python -m pytest -q crates/stepwell-python/tests/frameworks

None of them is skipped: without its framework a test fails, and says what to install.
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

# No test asks a network, or a device.
os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "MPLBACKEND": "Agg", "TOKENIZERS_PARALLELISM": "false"}

EXAMPLES = Path(__file__).parents[2] / "examples"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def framework(name):
    """A framework's module; the test fails where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.fail(f"{name} cannot be imported ({error}); install it: pip install -r {REQUIREMENTS}", pytrace=False)


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "runs")


@pytest.fixture
def ws(folder):
    import stepwell

    return stepwell.open(folder)


@pytest.fixture
def script(folder, tmp_path):
    """Runs a file or a text with a workspace of its own, and gives what it printed."""

    def run(what, *arguments, **more):
        command = [sys.executable, *(["-c", what] if "\n" in str(what) else [str(what)]), *arguments]
        environment = os.environ | {"STEPWELL_DIR": folder} | more
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
