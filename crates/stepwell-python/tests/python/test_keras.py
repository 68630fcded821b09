"""The callback in Keras. KERAS_BACKEND is jax, if nothing else is said."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import pytest

import stepwell

keras = pytest.importorskip("keras")
pytest.importorskip(os.environ["KERAS_BACKEND"])

from stepwell import _dropin  # noqa: E402
from stepwell.keras import StepwellCallback  # noqa: E402

X = np.random.default_rng(0).normal(size=(64, 4))
Y = X.sum(axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def alone(folder, monkeypatch):
    monkeypatch.setenv("STEPWELL_DIR", folder)
    monkeypatch.setattr(_dropin, "_told", set())


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse", metrics=["mae"])
    return model


def test_a_training_is_logged(ws, model):
    callback = StepwellCallback(experiment="e", name="n", params={"mine": 1}, tags={"t": "x"}, every_batches=3)
    history = model.fit(X, Y, epochs=4, batch_size=8, validation_split=0.25, verbose=0, callbacks=[callback])
    view = ws[callback.id]
    assert (view.status, view.experiment, view.name, view.tags) == ("FINISHED", "e", "n", {"t": "x"})
    for key, values in history.history.items():
        assert list(view[key].values) == values and list(view[key].steps) == [0, 1, 2, 3]
    assert list(view["learning_rate"].values) == pytest.approx([0.01] * 4)
    assert list(view["batch/loss"].steps) == list(range(0, 24, 3))
    assert view.params["mine"] == "1" and view.params["epochs"] == "4" and view.params["weights_count"] == "5"
    assert float(view.params["optimizer/learning_rate"]) == pytest.approx(0.01)
    assert "dense" in (view.artifact_folder / "texts/model.txt").read_text().lower()


def test_a_run_of_the_callers(ws, model):
    with ws.run(experiment="e") as run:
        callback = StepwellCallback(run, prefix="net/")
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[callback])
        assert run.active
        loss, _ = model.evaluate(X, Y, verbose=0, callbacks=[callback])
        assert list(run["net/test/loss"].values) == [loss]
        assert len(run["net/loss"]) == 2 and "net/test/mae" in run.view()
    assert ws[run.id].status == "FINISHED"


def test_each_training_has_a_run_of_its_own(ws, model):
    callback = StepwellCallback(experiment="e")
    first = model.fit(X, Y, epochs=1, verbose=0, callbacks=[callback]) and callback.id
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[callback])
    assert callback.id != first and len(ws.search(experiments=["e"])) == 2


def test_a_schedule_and_bad_input(ws, model):
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 8, 0.5)
    model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
    callback = StepwellCallback(experiment="e")
    model.fit(X, Y, epochs=2, batch_size=8, verbose=0, callbacks=[callback])
    values = list(ws[callback.id]["learning_rate"].values)
    assert len(values) == 2 and values[1] < values[0]
    with pytest.raises(ValueError, match="at least 1"):
        StepwellCallback(every_batches=0)
    run = ws.run()
    with pytest.warns(stepwell.LoggingWarning, match="must be a number"):
        StepwellCallback(run).on_epoch_end(0, {"a": "text"})
