"""What all tests of the package share."""

import subprocess
import sys
import textwrap

import pytest

import stepwell


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "runs")


@pytest.fixture
def ws(folder):
    return stepwell.open(folder)


@pytest.fixture
def script(folder):
    """Runs a script in a process of its own, where `ws` is the workspace and `folder` its path."""

    def run(text, *, check=True, **options):
        head = f"import stepwell\nfolder = {folder!r}\nws = stepwell.open(folder)\n"
        done = subprocess.run(
            [sys.executable, "-c", head + textwrap.dedent(text)], capture_output=True, text=True, timeout=120, **options
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run


def values(run, key):
    return list(run[key].values)
