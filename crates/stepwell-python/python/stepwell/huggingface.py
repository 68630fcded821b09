"""Hugging Face Transformers: a callback of `Trainer` that logs to a Stepwell run.

from stepwell.huggingface import StepwellCallback

trainer = Trainer(..., callbacks=[StepwellCallback(experiment="nlp")])
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from . import _files
from ._dropin import as_dict, failed, never_raises, set_params_once, tell
from ._workspace import Workspace, opened

if TYPE_CHECKING:
    from ._run import Run

__all__ = ["StepwellCallback"]


def _renamed(key: str) -> str:
    """Transformers' names as its other reporters have them: `eval_loss` is `eval/loss`, `loss` is `train/loss`."""
    for group in ("eval", "test"):
        if key.startswith(f"{group}_"):
            return f"{group}/{key[len(group) + 1 :]}"
    return f"train/{key}"


class StepwellCallback(TrainerCallback):
    """Logs what the trainer reports, at its global step, from its main process.

    run: a run to log to, which the caller ends. Without, the callback begins one and ends it with the training.
    workspace, experiment, name, params, tags: of the run that it begins. The name is the arguments' `run_name` without.
    resume: the id of a run to go on with, as after a training that was stopped.
    rename: whether keys are renamed as by Transformers' other reporters: `eval_loss` to `eval/loss`, `loss` to
        `train/loss`.
    checkpoints: whether checkpoints become artifacts, as they are saved.

    Params are the training arguments, below `args/`. The model's config is the artifact `model_config.json`.
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
        resume: str | None = None,
        rename: bool = True,
        checkpoints: bool = False,
        strict: bool = False,
    ) -> None:
        self.run = run
        self.strict = strict
        self._owns = run is None
        self._workspace = workspace
        self._begin = {
            "experiment": experiment,
            "name": name,
            "params": dict(params or {}),
            "tags": dict(tags or {}),
            "resume": resume,
            "strict": strict,
        }
        self._rename = rename
        self._checkpoints = checkpoints

    @property
    def id(self) -> str:
        """The run's id; empty before the training begins."""
        return self.run.id if self.run is not None else ""

    def _ready(self, args: Any, state: Any) -> bool:
        """Whether this process logs; begins the run, if there is none."""
        if not state.is_world_process_zero:
            return False
        if self.run is None or (self._owns and not self.run.active):
            begin = dict(self._begin)
            begin["name"] = begin["name"] or getattr(args, "run_name", None)
            if self.run is not None:
                # What comes after the training, such as `evaluate`, belongs to its run.
                begin["resume"] = self.run.id
            elif begin["experiment"] is None:
                begin["experiment"] = getattr(args, "project", None)
            self.run = opened(self._workspace).run(**begin)  # type: ignore[arg-type]
        return True

    @never_raises
    def _describe(self, args: Any, model: Any) -> None:
        assert self.run is not None
        # Tokens are written as placeholders by `to_dict`.
        settings = {key: value for key, value in as_dict(args).items() if value is not None}
        set_params_once(self.run, {"args": settings}, "stepwell.huggingface")
        config: Any = getattr(model, "config", None)
        if hasattr(config, "to_json_string"):
            _files.write(self.run.artifact_folder, "model_config.json", config.to_json_string().encode())

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begins the run, and sets its params."""
        if self._ready(args, state):
            self._describe(args, kwargs.get("model"))

    @never_raises
    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Logs what the trainer reports."""
        if not logs or not self._ready(args, state):
            return
        assert self.run is not None
        numbers, texts = {}, {}
        for key, value in logs.items():
            name = _renamed(key) if self._rename else key
            if isinstance(value, str):
                texts[name] = value
            elif value is None or isinstance(value, (dict, list, tuple)):
                texts[name] = json.dumps(value, default=str)
            else:
                numbers[name] = value
        if numbers:
            self.run.log(numbers, step=state.global_step)
        for name, text in texts.items():
            tell(f"stepwell.huggingface keeps {name!r} as a text", "it is no number", self.run.id)
            self.run.text(name, text, step=state.global_step)

    @never_raises
    def on_predict(self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any], **kwargs: Any) -> None:
        """Logs what `predict` found."""
        if metrics and self._ready(args, state):
            assert self.run is not None
            self.run.log(
                {_renamed(key) if self._rename else key: value for key, value in metrics.items()},
                step=state.global_step,
            )

    @never_raises
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keeps a checkpoint, if those are to be kept."""
        if self._checkpoints and self._ready(args, state):
            assert self.run is not None
            self.run.artifact(Path(args.output_dir) / f"checkpoint-{state.global_step}", "checkpoints")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends the run, if the callback began it."""
        if self._owns and self.run is not None:
            try:
                self.run.finish()
            except Exception as error:
                failed("stepwell.huggingface", error, self.run.id)
