"""What cannot be logged: never raised into a training, warned of once, and counted."""

import shutil
import warnings

import pytest

import stepwell


@pytest.fixture
def run(ws):
    return ws.run()


WRONG = {
    "metric of no text": lambda run: run.metric(7),
    "metric of a long key": lambda run: run.metric("x" * 10_000),
    "metric of no UTF-8": lambda run: run.metric("\ud800"),
    "text": lambda run: run.text("", "x"),
    "text of no text": lambda run: run.text("a", 7),
    "histogram": lambda run: run.histogram("h", ["a"]),
    "histogram without bins": lambda run: run.histogram("h", [1.0], bins=0),
    "figure": lambda run: run.figure("f", object()),
    "artifact": lambda run: run.artifact("/no/such/file"),
    "params": lambda run: run.log_params(7),
    "tags": lambda run: run.set_tags([("a", 1)]),
    "columns": lambda run: run.columns(7, [1], [1.0]),
    "buffer": lambda run: run.device_buffer(["a", "b"]).put(0, 1.0),
    "buffer of texts": lambda run: run.device_buffer(["a"]).put(0, "x"),
}


@pytest.mark.parametrize("call", WRONG)
def test_nothing_is_raised_into_a_training(run, call):
    with pytest.warns(stepwell.LoggingWarning) as told:
        WRONG[call](run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WRONG[call](run)
    health = run.health()
    assert len(told) == 1 and not health["ok"] and health["first_error"] and health["active"]
    if not call.startswith("metric"):
        assert health["lost"] >= 2
    run.log("loss", 1.0, 0)
    assert list(run["loss"].values) == [1.0]


@pytest.mark.parametrize("call", WRONG)
def test_a_strict_run_raises_and_counts_too(ws, call):
    run = ws.run(strict=True)
    with pytest.raises((TypeError, ValueError, OSError, LookupError)):
        WRONG[call](run)
    assert not run.health()["ok"]


def test_a_metric_of_a_wrong_key_counts_what_it_is_given(run):
    with pytest.warns(stepwell.LoggingWarning):
        metric = run.metric("")
    for step in range(5):
        metric.log(step, 1.0)
    assert run.health()["lost"] == 5 and run.view().keys() == []


def test_a_flush_that_fails_counts_each_of_its_points(run):
    buffer = run.device_buffer(["good", "x" * 10_000, "also good"], every=10)
    with pytest.warns(stepwell.LoggingWarning):
        for step in range(10):
            buffer.put(step, 1.0, 2.0, 3.0)
    assert run.health()["lost"] == 10 and len(run["good"]) == len(run["also good"]) == 10


def test_a_flush_of_a_strict_run_keeps_what_it_can(ws):
    run = ws.run(strict=True)
    buffer = run.device_buffer(["x" * 10_000, "good"], every=100)
    for step in range(10):
        buffer.put(step, 1.0, 2.0)
    with pytest.raises(ValueError):
        buffer.flush()
    assert run.health()["lost"] == 10 and len(run["good"]) == 10


def test_columns_that_are_none_count_all_their_points(run):
    with pytest.warns(stepwell.LoggingWarning):
        run.columns("x", list(range(20)), ["a"] * 20)
    assert run.health()["lost"] == 20


@pytest.mark.parametrize("again", [False, True], ids=["removed", "another in its place"])
def test_a_folder_that_goes_is_told(ws, folder, again):
    run = ws.run()
    run.log("loss", 1.0, 0)
    assert run.health()["ok"]
    shutil.rmtree(folder)
    if again:
        stepwell.open(folder)
    health = run.health()
    assert not health["ok"] and "in its place" in health["last_error"] if again else "removed" in health["last_error"]
    with pytest.raises(stepwell.DurabilityError):
        run.sync()
    # Training goes on.
    run.log("loss", 2.0, 1)
