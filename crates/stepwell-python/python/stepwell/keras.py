"""Keras: a callback that logs a training to a Stepwell run. It takes Keras 3, or TensorFlow's.

from stepwell.keras import StepwellCallback

model.fit(x, y, epochs=10, callbacks=[StepwellCallback(experiment="vision", name="first")])
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._dropin import failed, never_raises, set_params_once
from ._workspace import Workspace, opened

if TYPE_CHECKING:
    import os

    from ._run import Run


def _callback() -> Any:
    # TensorFlow's own Keras, where a script has that and no other.
    if "keras" not in sys.modules and "tensorflow" in sys.modules:
        from tensorflow import keras
    else:
        import keras
    return keras.callbacks.Callback


_Callback: Any = _callback()


class StepwellCallback(_Callback):  # type: ignore[misc]
    """Logs each epoch's values at the epoch's number, from 0; with `every_batches`, batches too.

    run: a run to log to, which the caller ends. Without, the callback begins one and ends it with the training.
    workspace, experiment, name, params, tags: of the run that it begins.
    every_batches: of so many batches, logs one, as `batch/KEY` at the number of all batches before it.
    prefix: goes before each key.

    Params of the run are the optimizer's settings (`optimizer/…`), epochs and steps, and the count of the model's
    weights; the model's summary is the artifact `texts/model.txt`. The learning rate is the metric `learning_rate`.
    """

    def __init__(
        self,
        run: Run | None = None,
        *,
        workspace: Workspace | str | os.PathLike[str] | None = None,
        experiment: str | None = None,
        name: str | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        every_batches: int | None = None,
        prefix: str = "",
        strict: bool = False,
    ) -> None:
        super().__init__()
        if every_batches is not None and every_batches < 1:
            raise ValueError(f"every_batches is at least 1, not {every_batches}")
        self.run = run
        self.strict = strict
        self._owns = run is None
        self._workspace = workspace
        self._begin = {
            "experiment": experiment,
            "name": name,
            "params": dict(params or {}),
            "tags": dict(tags or {}),
            "strict": strict,
        }
        self._every = every_batches
        self._prefix = prefix
        self._batch = 0
        self._epoch = 0
        self._in_training = False

    @property
    def id(self) -> str:
        """The run's id; empty before the training begins."""
        return self.run.id if self.run is not None else ""

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Begins the run, if there is none, and sets its params."""
        self._in_training = True
        if self.run is None or (self._owns and not self.run.active):
            self.run = opened(self._workspace).run(**self._begin)  # type: ignore[arg-type]
        self._describe()

    @never_raises
    def _describe(self) -> None:
        assert self.run is not None
        params: dict[str, Any] = {
            key: value for key, value in (self.params or {}).items() if key in ("epochs", "steps")
        }
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is not None and hasattr(optimizer, "get_config"):
            params["optimizer"] = {key: _plain(value) for key, value in optimizer.get_config().items()}
        if getattr(self.model, "built", False):
            params["weights_count"] = self.model.count_params()
            lines: list[str] = []
            self.model.summary(print_fn=lambda line, *_, **__: lines.append(str(line)))
            self.run.text("model", "\n".join(lines) + "\n")
        set_params_once(self.run, params, "stepwell.keras")

    @never_raises
    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Logs a batch, if it is one of those to log."""
        if self._every is not None and self._batch % self._every == 0 and self.run is not None:
            self.run.log({f"{self._prefix}batch/{key}": value for key, value in (logs or {}).items()}, step=self._batch)
        self._batch += 1

    @never_raises
    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Logs an epoch."""
        if self.run is None:
            return
        self._epoch = epoch
        values = {f"{self._prefix}{key}": value for key, value in (logs or {}).items()}
        rate = getattr(getattr(self.model, "optimizer", None), "learning_rate", None)
        if rate is not None and f"{self._prefix}learning_rate" not in values:
            try:
                values[f"{self._prefix}learning_rate"] = float(rate)
            except TypeError:
                # A schedule that has no value by itself.
                pass
        self.run.log(values, step=epoch)

    @never_raises
    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Logs what `evaluate` found, as `test/KEY`, to a run that is open. Within a training the epoch has it."""
        if self.run is not None and self.run.active and not self._in_training and logs:
            self.run.log({f"{self._prefix}test/{key}": value for key, value in logs.items()}, step=self._epoch)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Ends the run, if the callback began it."""
        self._in_training = False
        if self._owns and self.run is not None:
            try:
                self.run.finish()
            except Exception as error:
                failed("stepwell.keras", error, self.run.id)


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, dict, type(None))) else str(value)
