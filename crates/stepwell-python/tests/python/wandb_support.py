"""What the tests of W&B's interface share."""

import os

import pytest

import stepwell.wandb as wandb
from stepwell import _dropin


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
