"""The examples of heavy frameworks run."""

import pytest
from conftest import EXAMPLES, framework


@pytest.mark.parametrize(
    "name, packages",
    [
        ("with_lightning", ["lightning"]),
        ("with_huggingface", ["transformers", "accelerate"]),
        ("with_torch", ["torch"]),
        ("with_keras", ["keras", "jax"]),
    ],
)
def test_an_example_runs(ws, script, name, packages):
    for package in packages:
        framework(package)
    assert script(EXAMPLES / f"{name}.py").strip()
    (row,) = ws.search(experiments=["examples"]).rows()
    assert row["status"] == "FINISHED" and any(key.startswith("metrics.") for key in row)
