"""Opening a workspace, and the runs in it."""

from __future__ import annotations

import os

import warnings

from . import _native
from ._errors import InvalidError, LoggingWarning
from ._run import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import polars

    from ._follow import Changes

# Ids of runs that `stepwell run` gave this process, once it has joined them.
_joined: set[str] = set()


class Workspace(_native.WorkspaceBase):
    """A folder of runs. Open one with `stepwell.open`."""

    def run(
        self,
        *,
        experiment: str | None = None,
        name: str | None = None,
        params: dict[str, Any] | None = None,
        tags: dict[str, Any] | None = None,
        user: str | None = None,
        resume: str | None = None,
        fork_from: str | None = None,
        start_time_ms: int | None = None,
        strict: bool = False,
        system_metrics: bool | float = False,
    ) -> Run:
        """Begins a run, or goes on with one.

        experiment: the name of its experiment, created if it is new; "Default" without.
        params, tags: dicts; values become text. A param is written once, a tag may change.
        user: who runs it; the user of the process without.
        resume: the id of a run to go on with, here or from another process; it counts as RUNNING again.
            In a process of `stepwell run`, the first call without it joins the run that was begun there; how that run
            ends is then for `stepwell run` to say, unless it is FAILED or KILLED here.
        start_time_ms: milliseconds since the epoch; the present without.
        strict: whether a logging call that fails raises. Without, it warns once, training goes on, and
            `run.health()` counts what is missing.
        system_metrics: logs processors, memory, disk, network and NVIDIA's GPUs under MLflow's names, `system/…`,
            every 10 seconds, or every so many.
        """
        if fork_from is not None:
            raise NotImplementedError(
                "a run that continues a copy of another needs format 1 of the store; until then start a run and log "
                "what it shares, or `resume` the run itself"
            )
        given = self._given() if resume is None else None
        every = 10.0 if system_metrics is True else float(system_metrics)
        if not 0 <= every < float("inf"):
            raise ValueError(f"the seconds between two looks at the machine are positive, not {system_metrics}")
        run = Run(
            self,
            experiment=experiment,
            name=name,
            params=params,
            tags=tags,
            user=_user() if user is None and resume is None else user,
            resume=given or resume,
            start_time_ms=start_time_ms,
            strict=strict,
            system_metrics=every,
            joined=given is not None,
        )
        if given is not None:
            _joined.add(given)
            _tell_experiment(run, experiment)
        return run

    def _given(self) -> str | None:
        """The run of this workspace that `stepwell run` began for this process, if it was not joined yet."""
        run_id = os.environ.get("STEPWELL_RUN_ID")
        if not run_id or run_id in _joined:
            return None
        if self._server is not None:
            # A spool need not have the run: the server may.
            remote = os.environ.get("STEPWELL_REMOTE", "")
            return run_id if remote.rstrip("/").lower() == self._server.lower() else None
        try:
            same = os.path.samefile(os.environ.get("STEPWELL_DIR", ""), self.path)
        except OSError:
            return None
        return run_id if same and run_id in self else None

    def follow(
        self,
        runs: list[str] | None = None,
        keys: list[str] | None = None,
        *,
        last: int | None = None,
        timeout: float = float("inf"),
    ) -> Changes:
        """Gives what is logged, here or by any other process, as it comes: each point once.

        runs, keys: ids of runs and keys of metrics to follow; all without.
        last: begins with so many of the newest points of each metric that are there; without, with what comes.
        timeout: seconds without news after which it ends.

        Loop over it with `for`, or in a coroutine with `async for`, which lets others run while it waits.

        Each change is a dict: `run_id`, `event` ("appeared", "deleted", "restored", "gone" or None), `points`, a
        list of dicts of `key`, `writer`, `steps` and `values`, and where they changed `status`, `name`, `params`,
        `tags`.
        """
        runs, keys = ([one] if isinstance(one, str) else one for one in (runs, keys))
        if not timeout >= 0:
            raise ValueError(f"a timeout is a number of seconds, 0 or more, not {timeout}")
        # Now, so that what comes before the first change is asked for is given too.
        from ._follow import Changes

        return Changes(self._follow(runs, keys, last), timeout)

    def scan_points(self, filter: str = "", *, experiments: list[str] | None = None) -> polars.LazyFrame:
        """A Polars lazy frame of all points: `run_id`, `key`, `step`, `time`, `value`.

        filter, experiments: which runs, as `search` takes them; all without.

        What is filtered by `run_id`, `key` and `step` is not read at all:

            ws.scan_points().filter(pl.col("key") == "loss", pl.col("step") >= 1000).collect()
        """
        from . import _scan

        return _scan.scan_points(self, filter, experiments)

    def scan_runs(self, filter: str = "", *, experiments: list[str] | None = None) -> polars.LazyFrame:
        """A Polars lazy frame of all runs that a filter finds, a row each, with the columns of `search`."""
        from . import _scan

        return _scan.scan_runs(self, filter, experiments)

    def __init__(self, path: str, *, create: bool = True, read_only: bool = False):
        self._read_only = read_only

    def __reduce__(self):
        return (_reopen, (os.fspath(self.path), self._read_only))

    def _repr_html_(self) -> str:
        return self.search(limit=20)._repr_html_()


def open(path: str | os.PathLike[str] | None = None, *, create: bool = True, read_only: bool = False) -> Workspace:
    """Opens a folder of runs, or the runs of a server.

    path: the folder, created if there is none, or a server's address (`https://lab:5000`). Without: the environment's
        STEPWELL_DIR, else STEPWELL_REMOTE, else "stepwell".
    create: whether a folder that is not there is made.
    read_only: writes nothing, so that a folder or a mount without the right to write can be read.
    """
    text = os.path.expanduser(os.fsdecode(_usual() if path is None else path))
    if is_address(text):
        if read_only:
            raise InvalidError("the runs of a server are opened to log to them; `read_only` is for folders")
        from ._remote import RemoteWorkspace

        return RemoteWorkspace(text)
    return Workspace(text, create=create, read_only=read_only)


def is_address(path: str) -> bool:
    """Whether a path is the address of a server."""
    return path.lower().startswith(("http://", "https://"))


def place_of(workspace: Workspace | str | os.PathLike[str] | None) -> str:
    """Where another process opens the same: a folder's absolute path, or a server's address."""
    if isinstance(workspace, Workspace):
        return workspace._server or os.fspath(workspace.path)
    text = os.fsdecode(workspace or _usual())
    return text if is_address(text) else os.path.abspath(text)


def _usual() -> str:
    return os.environ.get("STEPWELL_DIR") or os.environ.get("STEPWELL_REMOTE") or "stepwell"


def opened(workspace: Workspace | str | os.PathLike[str] | None) -> Workspace:
    """A workspace that a caller has, or the one of a path."""
    return workspace if isinstance(workspace, Workspace) else open(workspace)


def _tell_experiment(run: Run, experiment: str | None) -> None:
    there = run.view().experiment
    if experiment is not None and experiment != there:
        warnings.warn(
            f"this run was begun by `stepwell run` in the experiment {there!r}, not in {experiment!r}; name that one "
            "with its --experiment",
            LoggingWarning,
            stacklevel=3,
        )


def _reopen(path: str, read_only: bool) -> Workspace:
    """What a pickled workspace becomes: of a folder that is there."""
    return Workspace(path, create=False, read_only=read_only)


def _user() -> str:
    # As MLflow does; reads the environment before it asks the system.
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
