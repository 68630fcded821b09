"""Opening a workspace, and the runs in it."""

from __future__ import annotations

import os

from . import _native
from ._run import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


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
        every = 10.0 if system_metrics is True else float(system_metrics)
        if not 0 <= every < float("inf"):
            raise ValueError(f"the seconds between two looks at the machine are positive, not {system_metrics}")
        return Run(
            self,
            experiment=experiment,
            name=name,
            params=params,
            tags=tags,
            user=_user() if user is None and resume is None else user,
            resume=resume,
            start_time_ms=start_time_ms,
            strict=strict,
            system_metrics=every,
        )

    def follow(
        self,
        runs: list[str] | None = None,
        keys: list[str] | None = None,
        *,
        last: int | None = None,
        timeout: float = float("inf"),
    ) -> Iterator[dict[str, Any]]:
        """Gives what is logged, here or by any other process, as it comes: each point once.

        runs, keys: ids of runs and keys of metrics to follow; all without.
        last: begins with so many of the newest points of each metric that are there; without, with what comes.
        timeout: seconds without news after which it ends.

        Each change is a dict: `run_id`, `event` ("appeared", "deleted", "restored", "gone" or None), `points`, a
        list of dicts of `key`, `writer`, `steps` and `values`, and where they changed `status`, `name`, `params`,
        `tags`.
        """
        runs, keys = ([one] if isinstance(one, str) else one for one in (runs, keys))
        if not timeout >= 0:
            raise ValueError(f"a timeout is a number of seconds, 0 or more, not {timeout}")
        # Now, so that what comes before the first change is asked for is given too.
        follower = self._follow(runs, keys, last)

        def changes() -> Iterator[dict[str, Any]]:
            while (found := follower.next(timeout)) is not None:
                yield from found

        return changes()

    def __init__(self, path: str, *, create: bool = True, read_only: bool = False):
        self._read_only = read_only

    def __reduce__(self):
        return (_reopen, (os.fspath(self.path), self._read_only))

    def _repr_html_(self) -> str:
        return self.search(limit=20)._repr_html_()


def open(path: str | os.PathLike[str] | None = None, *, create: bool = True, read_only: bool = False) -> Workspace:
    """Opens a folder of runs; creates it if there is none.

    path: the folder; without, the environment's STEPWELL_DIR, else "stepwell".
    create: whether a folder that is not there is made.
    read_only: writes nothing, so that a folder or a mount without the right to write can be read.
    """
    if path is None:
        path = os.environ.get("STEPWELL_DIR") or "stepwell"
    text = os.path.expanduser(os.fsdecode(path))
    if text.startswith(("http://", "https://")):
        raise NotImplementedError(
            "logging to a server is not built yet; open a folder, and bring its runs to the other workspace by "
            "`stepwell sync FOLDER WORKSPACE`, or use MLflow's client with the server"
        )
    return Workspace(text, create=create, read_only=read_only)


def opened(workspace: Workspace | str | os.PathLike[str] | None) -> Workspace:
    """A workspace that a caller has, or the one of a path."""
    return workspace if isinstance(workspace, Workspace) else open(workspace)


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
