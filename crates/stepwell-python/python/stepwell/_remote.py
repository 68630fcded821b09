"""Runs of a server: logged into a local spool at memory speed, and carried to the server by a thread."""

from __future__ import annotations

import json
import os
import warnings
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlencode

from . import _ending, _native
from ._errors import InvalidError, LoggingWarning, NotFoundError, RefusedError
from ._workspace import Workspace

if TYPE_CHECKING:
    from ._native import Table

# Seconds that the end of a run and of the process wait for what has not arrived.
_WAIT = 10.0
# Runs that one answer of the server has.
_PAGE = 1000


def patience() -> float:
    """How long ends wait by default: STEPWELL_WAIT seconds, else 10."""
    try:
        return max(float(os.environ.get("STEPWELL_WAIT", _WAIT)), 0.0)
    except ValueError:
        return _WAIT


def tell(said: list[str], what: str) -> None:
    """Warns of what has not arrived."""
    for text in said:
        warnings.warn(f"{what}: {text}", LoggingWarning, stacklevel=3)


class RemoteWorkspace(Workspace):
    """The runs of a server. Open one with `stepwell.open("https://…")`.

    What is logged goes to a spool on this machine, whether the server is reached or not, and is carried to it by a
    thread. `search` and `experiments` ask the server.
    """

    def __init__(self, url: str):
        super().__init__(url)
        # What is logged by MLflow's stores has no run of this package that would do it.
        _ending.install()

    @property
    def url(self) -> str:
        """The server's address."""
        return self._server

    def lag(self) -> dict[str, Any]:
        """How far the server is behind: `points`, `runs` and `bytes` in the spool, `seconds` since all had arrived,
        `limit_bytes`, whether it is `full`, what the server `refused`, and the last `error`."""
        return self._lag()

    def flush(self, wait: float | None = None) -> dict[str, Any]:
        """Waits until all that was logged has arrived, so many seconds at most (STEPWELL_WAIT, else 10, without).

        Gives `arrived`, `points_left`, `files_left`, what was `refused` and the last `error`.
        """
        return self._arrive(patience() if wait is None else wait)

    def search(
        self,
        filter: str = "",
        *,
        order_by: str | list[str] | None = None,
        experiments: list[str] | None = None,
        limit: int = 1000,
        offset: int = 0,
        deleted: bool = False,
    ) -> Table:
        """Finds runs on the server: see `Workspace.search`. Filters are MLflow's, unless the server has others.

        Raises `UnreachableError` while the server cannot be reached.
        """
        names = {one["experiment_id"]: one["name"] for one in self._experiments()}
        if experiments is not None:
            unknown = [name for name in experiments if name not in names.values()]
            if unknown:
                raise NotFoundError(f"no experiment {unknown[0]!r} on {self.url}")
            ids = [number for number, name in names.items() if name in experiments]
        else:
            ids = list(names)
        wanted, token, found = limit + offset, None, []
        while ids and len(found) < wanted:
            body = {
                "experiment_ids": ids,
                "filter": filter,
                "order_by": [order_by] if isinstance(order_by, str) else order_by or [],
                "max_results": min(wanted - len(found), _PAGE),
                "run_view_type": "DELETED_ONLY" if deleted else "ACTIVE_ONLY",
                **({"page_token": token} if token else {}),
            }
            page = self._ask("POST", "runs/search", body)
            found += page.get("runs", [])
            token = page.get("next_page_token")
            if not token:
                break
        return _native.Table._of([_row(run, names) for run in found[offset:]], len(found) + bool(token))

    def experiments(self) -> list[str]:
        """Names of the server's experiments that are not deleted."""
        return [one["name"] for one in self._experiments()]

    def __contains__(self, run_id: str) -> bool:
        if self._holds(run_id):
            return True
        try:
            self._ask("GET", "runs/get", {"run_id": run_id})
        except NotFoundError:
            return False
        return True

    def delete(self, run_id: str) -> None:
        """Marks a run deleted on the server; its token must allow that."""
        self._ask("POST", "runs/delete", {"run_id": run_id})

    def restore(self, run_id: str) -> None:
        """Restores a deleted run on the server."""
        self._ask("POST", "runs/restore", {"run_id": run_id})

    def compact(self) -> NoReturn:
        """Refused: the server compacts by itself."""
        raise InvalidError(f"{self.url} compacts its workspace by itself, and what has arrived leaves the spool")

    def scan_points(self, filter: str = "", *, experiments: list[str] | None = None) -> NoReturn:
        """Refused: points of a server are read where they are."""
        raise InvalidError(
            f"points of {self.url} are not scanned from here; `stepwell sync {self.url} FOLDER` brings runs here, and "
            "stepwell.open(FOLDER) scans them"
        )

    def _experiments(self) -> list[dict[str, Any]]:
        found, token = [], None
        while True:
            body = {"max_results": _PAGE, **({"page_token": token} if token else {})}
            page = self._ask("POST", "experiments/search", body)
            found += page.get("experiments", [])
            token = page.get("next_page_token")
            if not token:
                return found

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """An answer of MLflow's REST API."""
        query = urlencode(body or {}, doseq=True) if method == "GET" else ""
        data = b"" if method == "GET" else json.dumps(body or {}).encode()
        status, answer = self._call(method, f"/api/2.0/mlflow/{path}", query, data)
        try:
            said = json.loads(answer)
        except ValueError:
            said = {}
        if status == 200:
            return said
        message = said.get("message", f"status {status}") if isinstance(said, dict) else f"status {status}"
        raise (NotFoundError if status == 404 else RefusedError)(f"{self.url}: {message}")

    def __reduce__(self):
        return (_reopen, (self.url,))

    def __repr__(self) -> str:
        return f"<stepwell.RemoteWorkspace {self.url}>"


def _row(run: dict[str, Any], names: dict[str, str]) -> tuple:
    """A run of the server's JSON, as `Table._of` takes it."""
    info, data = run["info"], run.get("data", {})
    words = [info["run_id"], info.get("run_name", ""), names.get(info["experiment_id"], ""), info.get("status", ""),
             info.get("user_id", "")]
    times = [int(info[name]) if info.get(name) is not None else None for name in ("start_time", "end_time")]
    texts = [[(one["key"], one["value"]) for one in data.get(kind, [])] for kind in ("params", "tags")]
    # JSON writes NaN and infinities as texts.
    metrics = [(one["key"], float(one.get("value", 0.0))) for one in data.get("metrics", [])]
    return (words, times, metrics, *texts)


def _reopen(url: str) -> RemoteWorkspace:
    return RemoteWorkspace(url)
