"""A run that is being written: how it ends, and what it holds beside points."""

from __future__ import annotations

import functools
import os
import warnings

from . import _ending, _native
from ._errors import EndedError, InvalidError, LoggingWarning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from ._device import DeviceBuffer
    from ._follow import Changes
    from ._native import RunView, Series


def _softly(call):
    """Has a logging method count what it could not keep, instead of raising, unless the run is strict."""

    @functools.wraps(call)
    def guarded(self, *arguments, **options):
        try:
            return call(self, *arguments, **options)
        except Exception as error:
            self._lose(1, error)
            return None

    return guarded


class Run(_native.RunBase):
    """A run that is being written. `Workspace.run` begins one.

    As a context manager it ends with its block: FINISHED, FAILED on an exception, KILLED on Ctrl-C. Without, it ends
    with the process, also on SIGTERM.
    """

    def __init__(self, workspace, **arguments):
        self.workspace = workspace
        # What a forked child must not end.
        self._process = os.getpid()
        self._buffers: list[DeviceBuffer] = []
        self._arguments = {"strict": arguments.get("strict", False)}
        # Whether another process ends it, unless it fails here.
        self._joined = arguments.get("joined", False)
        _ending.enlist(self)
        if every := arguments.get("system_metrics", 0):
            self._monitor(every)

    # Ending

    def finish(self, status: str = "FINISHED", *, wait: float | None = None) -> dict[str, Any] | None:
        """Ends the run: FINISHED, FAILED or KILLED. All that it was given survives a power loss then.

        wait: of a server's run, the seconds to wait until all has arrived there (STEPWELL_WAIT, else 10, without).
            Gives `arrived`, `points_left`, `files_left`, what was `refused` and the last `error`. What has not arrived
            is carried later: see docs/python.md.
        """
        if status not in ("FINISHED", "FAILED", "KILLED"):
            raise InvalidError(f"a run ends as FINISHED, FAILED or KILLED, not {status!r}")
        _ending.forget(self)
        self._end(status)
        return self._arrived(wait)

    def _arrived(self, wait: float | None) -> dict[str, Any] | None:
        if self.workspace._server is None:
            return None
        from . import _remote

        return self.workspace._arrive(_remote.patience() if wait is None else wait, self.id)

    def _end(self, status: str) -> None:
        self._flush()
        if self._joined and status == "FINISHED":
            self.close()
        else:
            self._finish(status)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._tell(self.finish(_ending.status_of(error)))

    def _tell(self, arrived: dict[str, Any] | None) -> None:
        if arrived is not None:
            from . import _remote

            _remote.tell(_native.sentences(self.workspace._server, arrived), f"run {self.id}")

    async def __aenter__(self) -> Run:
        return self

    async def __aexit__(self, kind, error, trace) -> None:
        import asyncio

        self._tell(await asyncio.to_thread(self.finish, _ending.status_of(error)))

    # Beside points

    def log_param(self, key: str, value: Any) -> None:
        """Sets a param, once and for all writers of the run."""
        self.log_params({key: value})

    def set_tag(self, key: str, value: Any) -> None:
        """Sets a tag; the last value wins."""
        self.set_tags({key: value})

    def log_metric(self, key: str, value: float, step: int | None = None) -> None:
        """MLflow's name for `log(key, value, step)`."""
        self.log(key, value, step)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """MLflow's name for `log(metrics, step=step)`."""
        self.log(metrics, step=step)

    @property
    def artifact_folder(self) -> Path:
        """The folder of the run's artifacts, which may not be there yet."""
        return self.view().artifact_folder

    @_softly
    def artifact(self, path: str | os.PathLike[str], to: str = "") -> Path | None:
        """Copies a file, or a folder with all in it, among the run's artifacts, below the folder `to`.

        A file that is there under this name is replaced once the new one is whole. Gives where it is now; None if that
        failed, which `health` counts.
        """
        from . import _files

        return _files.copy(path, self.artifact_folder, to, self._root)

    @_softly
    def text(self, key: str, text: str, step: int | None = None) -> Path | None:
        """Keeps a text as an artifact: `texts/KEY.txt`, or `texts/KEY/STEP.txt` with a step."""
        from . import _files

        if not isinstance(text, str):
            raise TypeError(f"a text is a str, not {type(text).__name__}")
        return _files.write(self.artifact_folder, _files.named("texts", key, step, ".txt"), text.encode())

    @_softly
    def histogram(self, key: str, values: Any, step: int | None = None, bins: int = 64) -> Path | None:
        """Keeps a histogram of values as an artifact: `histograms/KEY.json`, or `histograms/KEY/STEP.json`.

        The JSON holds `edges` (one more than there are bins), `counts`, and how many values were `nan` or `infinite`.
        """
        from . import _files

        data = _files.histogram(values, bins)
        return _files.write(self.artifact_folder, _files.named("histograms", key, step, ".json"), data)

    @_softly
    def figure(self, key: str, figure: Any, step: int | None = None) -> Path | None:
        """Keeps a figure as an artifact, `figures/KEY.png`: of matplotlib, or anything with `savefig` or `save`;
        plotly's as `.html`."""
        from . import _files

        suffix, data = _files.figure(figure)
        return _files.write(self.artifact_folder, _files.named("figures", key, step, suffix), data)

    def device_buffer(self, keys: list[str], every: int = 100) -> DeviceBuffer:
        """Collects scalars on their device, and logs them each `every` steps: no `.item()`, no wait for the GPU.

        keys: of the metrics, in the order in which `put` takes their values.
        every: steps that are collected before they cross to the host; up to twice as many are lost by `kill -9`.

        A value is a tensor of one element, on a GPU or the CPU, or a number:

            buffer = run.device_buffer(["loss", "grad_norm"], every=100)
            buffer.put(step, loss, grad_norm)
        """
        from ._device import DeviceBuffer

        buffer = DeviceBuffer(self, keys, every)
        self._buffers.append(buffer)
        return buffer

    def _flush(self) -> None:
        """Logs what buffers hold; what cannot be logged is told, and keeps no run from its end."""
        for buffer in self._buffers:
            try:
                buffer.flush()
            except Exception as error:
                warnings.warn(f"run {self.id}: {error}", LoggingWarning, stacklevel=3)

    # Reading

    def view(self) -> RunView:
        """What the run holds by now: a fixed view, whatever is written meanwhile."""
        return self.workspace.get(self.id)

    def __getitem__(self, key: str) -> Series:
        return self.view()[key]

    def health(self) -> dict[str, Any]:
        """What could not be logged: `ok`, `active`, `lost` (how many points, params, tags and files), `first_error`,
        `last_error`; of a server's run `remote` too, how far it is behind: see `RemoteWorkspace.lag`."""
        health = super().health()
        if self.workspace._server is not None:
            health["remote"] = remote = self.workspace._lag()
            health["ok"] = health["ok"] and not remote["full"] and not remote["refused"]
        return health

    def follow(self, keys: list[str] | None = None, **options) -> Changes:
        """Follows this run: see `Workspace.follow`."""
        return self.workspace.follow([self.id], keys, **options)

    def __reduce__(self):
        # Another process goes on with the run by a writer of its own.
        if not self.active:
            raise EndedError(f"run {self.id} is ended; hand on its id, and resume it there to log more")
        return (_resume, (self.workspace._server or os.fspath(self._root), self.id, self._arguments))

    def __copy__(self) -> Run:
        return self

    def __deepcopy__(self, memo: Any) -> Run:
        return self

    def __repr__(self) -> str:
        return f"<stepwell.Run {self.id} {self.points} points{'' if self.active else ', ended'}>"

    def _repr_html_(self) -> str:
        from . import _html

        return _html.run(self.view())


def _resume(path: str, run_id: str, arguments: dict[str, Any]) -> Run:
    from ._workspace import open

    run = open(path, create=False).run(resume=run_id, **arguments)
    # Who began the run ends it.
    _ending.forget(run)
    return run
