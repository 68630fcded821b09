"""Lightning: a logger of `Trainer` or `Fabric` on a Stepwell folder. It takes `lightning` or `pytorch_lightning`.

    from stepwell.lightning import StepwellLogger

    trainer = Trainer(logger=StepwellLogger(experiment="vision", name="first"))

With `all_ranks=True` every process of a distributed training logs to one run, its own values: rank 0 under the plain
key, rank 1 under `rank1/KEY`, and so on. There is no server between them: each writes its own log.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._dropin import as_dict, failed, never_raises, set_params_once, tell
from ._run import Run, _resume
from ._workspace import Workspace, open, place_of

__all__ = ["StepwellLogger"]


def _logger() -> Any:
    # The package that the script has; either takes only its own loggers.
    if "pytorch_lightning" in sys.modules and "lightning" not in sys.modules:
        from pytorch_lightning.loggers.logger import Logger
    else:
        try:
            from lightning.pytorch.loggers.logger import Logger  # type: ignore[assignment]
        except ImportError:
            from pytorch_lightning.loggers.logger import Logger
    return Logger


if TYPE_CHECKING:
    _Logger: Any
else:
    _Logger = _logger()

# How long a rank waits for the id of the run.
_WAIT_SECONDS = 300


class _Silent:
    """Stands for the run where a rank logs nothing: takes every call."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self


class StepwellLogger(_Logger):  # type: ignore[misc]
    """Logs to a run.

    workspace: a folder or an open workspace; as for `stepwell.open` without.
    experiment, name, params, tags: of the run.
    run_id: a run to go on with.
    prefix: goes before each key.
    all_ranks: whether ranks other than 0 log, too. Without, they log nothing.
    rank_prefix: goes before the keys of rank 1 and so on.
    checkpoints: whether the checkpoints that are kept at the end become artifacts.

    `experiment` (as `trainer.logger.experiment`) is Stepwell's run.
    """

    _made = 0

    def __init__(
        self,
        workspace: Workspace | str | os.PathLike[str] | None = None,
        *,
        experiment: str | None = None,
        name: str | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        prefix: str = "",
        all_ranks: bool = False,
        rank_prefix: str = "rank{rank}/",
        checkpoints: bool = False,
        strict: bool = False,
    ) -> None:
        super().__init__()
        # By its number the ranks know which logger is which.
        self._number = StepwellLogger._made
        StepwellLogger._made += 1
        self._path = place_of(workspace)
        self._experiment = experiment
        self._begin: dict[str, Any] = {"name": name, "params": dict(params or {}), "tags": dict(tags or {})}
        self._id = run_id
        self._prefix = prefix
        self._all_ranks = all_ranks
        self._rank_prefix = rank_prefix
        self._checkpoints = checkpoints
        self.strict = strict
        self._run: Run | None = None
        self._is_shared = False
        self._saved: list[str] = []

    # What Lightning asks for

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self._experiment or "Default"

    @property
    def version(self) -> str | None:
        """The run's id, once it began."""
        return self._id

    @property
    def save_dir(self) -> str:
        """The workspace's folder."""
        return self._path

    root_dir = save_dir

    @property
    def log_dir(self) -> str | None:
        """The folder of the run's artifacts, once it began."""
        return os.fspath(self._run.artifact_folder) if self._run is not None else None

    @property
    def id(self) -> str:
        """The run's id; empty before it began."""
        return self._id or ""

    @property
    def experiment(self) -> Any:
        """Stepwell's run. Where a rank logs nothing, an object that takes every call."""
        return self._writer() or _Silent()

    @property
    def rank(self) -> int:
        """The number of this process in a distributed training."""
        distributed = _distributed()
        if distributed is not None:
            return int(distributed.get_rank())
        from lightning_utilities.core.rank_zero import rank_zero_only

        rank = getattr(rank_zero_only, "rank", None)
        if rank is None:
            names = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
            rank = next((os.environ[name] for name in names if os.environ.get(name)), 0)
        return int(rank)

    def _writer(self) -> Run | None:
        """The run of this process; None if the process logs nothing."""
        rank = self.rank
        if rank and not self._all_ranks:
            return None
        if self._run is None or not self._run.active:
            if rank and self._id is None:
                self._id = self._asked()
                if self._id is None:
                    tell("StepwellLogger", f"rank {rank} logs nothing before the ranks are connected")
                    return None
            if rank:
                # Rank 0 ends the run.
                self._run = _resume(self._path, self._id or "", {"strict": self.strict})
            elif self._id is not None:
                self._run = open(self._path).run(resume=self._id, strict=self.strict)
            else:
                self._run = open(self._path).run(experiment=self._experiment, strict=self.strict, **self._begin)
                self._id = self._run.id
        if rank == 0 and self._all_ranks and not self._is_shared:
            self._share()
        return self._run

    def _share(self) -> None:
        """Tells the other ranks which run it is, once they are connected."""
        distributed = _distributed()
        if distributed is not None and distributed.get_world_size() > 1:
            _store().set(f"stepwell/{self._number}", str(self._id))
            self._is_shared = True

    def _asked(self) -> str | None:
        """The run's id of rank 0."""
        if _distributed() is None:
            return None
        key = f"stepwell/{self._number}"
        store = _store()
        try:
            store.wait([key], datetime.timedelta(seconds=_WAIT_SECONDS))
        except Exception as error:
            raise TimeoutError(
                f"rank 0 has not begun its run within {_WAIT_SECONDS} s; pass the same run_id to all ranks"
            ) from error
        return str(store.get(key).decode())

    @never_raises
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Logs values."""
        run = self._writer()
        if run is None:
            return
        rank = self.rank
        prefix = self._prefix + (self._rank_prefix.format(rank=rank) if rank else "")
        run.log({f"{prefix}{key}": value for key, value in metrics.items()}, step=step)

    @never_raises
    def log_hyperparams(self, params: Any, *arguments: Any, **options: Any) -> None:
        """Sets params, nested ones joined by `/`."""
        run = self._writer() if self.rank == 0 else None
        if run is not None:
            set_params_once(run, as_dict(params), "StepwellLogger")

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Ignored, with a warning."""
        tell("StepwellLogger ignores log_graph", "a graph is not kept")

    @never_raises
    def log_image(self, key: str, images: list[Any], step: int | None = None, **options: Any) -> None:
        """Keeps pictures, as Lightning's logger for W&B has it: `images/KEY/STEP.png`, `STEP-2.png` …"""
        from .wandb import Image

        self._keep(key, [Image(image) for image in images], step, options)

    @never_raises
    def log_table(
        self, key: str, columns: Any = None, data: Any = None, dataframe: Any = None, step: int | None = None
    ) -> None:
        """Keeps a table, as Lightning's logger for W&B has it."""
        from .wandb import Table

        self._keep(key, [Table(columns=columns, data=data, dataframe=dataframe)], step, {})

    @never_raises
    def log_text(
        self, key: str, columns: Any = None, data: Any = None, dataframe: Any = None, step: int | None = None
    ) -> None:
        """Keeps a table of texts, as Lightning's logger for W&B has it."""
        self.log_table(key, columns, data, dataframe, step)

    def _keep(self, key: str, media: list[Any], step: int | None, options: Mapping[str, Any]) -> None:
        run = self._writer()
        if run is None:
            return
        captions = options.get("caption") or [None] * len(media)
        for option in options:
            if option != "caption":
                tell(f"StepwellLogger ignores log_image({option})", "the argument is not known")
        rank = self.rank
        prefix = self._rank_prefix.format(rank=rank) if rank else ""
        for number, (one, caption) in enumerate(zip(media, captions, strict=True)):
            one.caption = caption
            at = "0" if step is None else str(int(step))
            one.keep(run.artifact_folder, f"{prefix}{key}", at if number == 0 else f"{at}-{number + 1}")

    def save(self) -> None:
        """Nothing to do: what was logged survives the process."""

    @never_raises
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Remembers which checkpoints there are."""
        if self._checkpoints:
            kept = [
                *getattr(checkpoint_callback, "best_k_models", {}),
                getattr(checkpoint_callback, "best_model_path", ""),
            ]
            kept.append(getattr(checkpoint_callback, "last_model_path", ""))
            self._saved = list(dict.fromkeys(path for path in kept if path))

    def finalize(self, status: str) -> None:
        """Ends the run: FAILED if the training failed. What is logged later, as by `trainer.test`, goes on with it."""
        if self._run is None or not self._run.active:
            return
        if self.rank:
            # The run is rank 0's to end.
            self._sync()
            return
        self._keep_checkpoints()
        try:
            self._run.finish("FAILED" if status in ("failed", "aborted") else "FINISHED")
        except Exception as error:
            failed("StepwellLogger.finalize", error, self.id)

    @never_raises
    def _sync(self) -> None:
        if self._run is not None:
            self._run.sync()

    @never_raises
    def _keep_checkpoints(self) -> None:
        assert self._run is not None
        for path in self._saved:
            if Path(path).exists():
                self._run.artifact(path, "checkpoints")
        self._saved = []

    def __getstate__(self) -> dict[str, Any]:
        # Processes that Lightning spawns open the run themselves.
        return vars(self) | {"_run": None}


def _distributed() -> Any:
    """`torch.distributed` of processes that are connected, else None."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    distributed = torch.distributed
    return distributed if distributed.is_available() and distributed.is_initialized() else None


def _store() -> Any:
    from torch.distributed import distributed_c10d

    return distributed_c10d._get_default_store()
