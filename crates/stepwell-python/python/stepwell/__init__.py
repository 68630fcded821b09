"""Stepwell: an embedded metrics store for experiment tracking.

A workspace is a folder of runs. Any number of processes write and read it at once, with no server. A logging call
costs tens of nanoseconds, and what it logged survives `kill -9`.

    import stepwell

    ws = stepwell.open("runs")
    with ws.run(experiment="vision", name="first", params={"lr": 0.01}) as run:
        loss = run.metric("loss")
        for step in range(1000):
            loss.log(step, 1 / (step + 1))
        run.log({"accuracy": 0.93, "f1": 0.9}, step=1000)

    ws.search("metrics.loss < 0.1", order_by=["metrics.loss"]).to_pandas()
    ws[run.id]["loss"].plot(800)
"""

import sys

from ._native import _claim

# One interpreter of a process has the package: its locks and its runs are not shared with another.
_claim(id(sys.modules))

from ._errors import (  # noqa: E402
    AlreadyExistsError,
    CorruptError,
    DeletedError,
    DurabilityError,
    EndedError,
    InvalidError,
    LoggingWarning,
    NotAWorkspaceError,
    NotFoundError,
    ParamConflictError,
    RefusedError,
    StepwellError,
    StorageError,
    UnreachableError,
)
from ._native import Column, Metric, Plot, RunView, Series, Table, __version__  # noqa: E402
from ._run import Run  # noqa: E402
from ._workspace import Workspace, open  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._remote import RemoteWorkspace


def __getattr__(name: str):
    # Imported when it is asked for: a folder needs nothing of it.
    if name == "RemoteWorkspace":
        from ._remote import RemoteWorkspace

        return RemoteWorkspace
    raise AttributeError(f"module 'stepwell' has no attribute {name!r}")


__all__ = [
    "AlreadyExistsError",
    "Column",
    "CorruptError",
    "DeletedError",
    "DurabilityError",
    "EndedError",
    "InvalidError",
    "LoggingWarning",
    "Metric",
    "NotAWorkspaceError",
    "NotFoundError",
    "ParamConflictError",
    "Plot",
    "RefusedError",
    "RemoteWorkspace",
    "Run",
    "RunView",
    "Series",
    "StepwellError",
    "StorageError",
    "Table",
    "UnreachableError",
    "Workspace",
    "__version__",
    "open",
]
