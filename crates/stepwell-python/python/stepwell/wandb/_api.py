"""`wandb.Api`: reads the runs of a workspace."""

from __future__ import annotations

import datetime
import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .._dropin import tell
from .._native import RunView
from .._workspace import Workspace, open
from . import _artifact
from ._active import ID, find, folder_of, has, project_of
from ._artifact import Artifact
from ._config import CHANGED, nested, value_of
from ._errors import CommError
from ._ignored import unknown
from ._summary import SET

_STATES = {"RUNNING": "running", "FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$in": lambda value, among: value in among,
    "$nin": lambda value, among: value not in among,
    "$exists": lambda value, wanted: (value is not None) == bool(wanted),
    "$regex": lambda value, pattern: value is not None and __import__("re").search(pattern, str(value)) is not None,
}


class File:
    """A file among a run's artifacts."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        self.name = name

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self._path.stat().st_size

    def download(
        self, root: str | os.PathLike[str] = ".", replace: bool = False, exist_ok: bool = False, **_: Any
    ) -> Any:
        """Copies the file below a folder, and opens the copy."""
        import shutil

        target = Path(root) / self.name
        if target.exists() and not replace and not exist_ok:
            raise CommError(f"{os.fspath(target)!r} is there already; replace=True replaces it")
        if replace or not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._path, target)
        return target.open()

    def __repr__(self) -> str:
        return f"<File {self.name}>"


class ApiRun:
    """A run as it is by now."""

    def __init__(self, workspace: Workspace, view: RunView) -> None:
        self._workspace = workspace
        self._view = view

    @property
    def id(self) -> str:
        """W&B's id of the run; without one, Stepwell's."""
        return self._view.tags.get(ID, self._view.id)

    @property
    def name(self) -> str:
        """The run's name; its id if it has none."""
        return self._view.name or self.id

    display_name = name

    @property
    def state(self) -> str:
        """running, finished, failed or killed."""
        return _STATES.get(self._view.status, self._view.status.lower())

    @property
    def project(self) -> str:
        """The project."""
        return self._view.experiment

    @property
    def entity(self) -> str:
        """Who ran it."""
        return self._view.user

    @property
    def path(self) -> list[str]:
        """Entity, project and id."""
        return [self.entity, self.project, self.id]

    @property
    def config(self) -> dict[str, Any]:
        """The settings."""
        tags = self._view.tags
        flat = {key: value_of(text) for key, text in self._view.params.items()}
        flat |= {key[len(CHANGED) :]: value_of(text) for key, text in tags.items() if key.startswith(CHANGED)}
        return nested(flat)

    @property
    def summary(self) -> dict[str, Any]:
        """The latest value of each key, and what the script set."""
        tags = self._view.tags
        set_by_hand = {key[len(SET) :]: value_of(text) for key, text in tags.items() if key.startswith(SET)}
        return nested(self._view.latest | set_by_hand)

    @property
    def tags(self) -> list[str]:
        """Words by which runs are found."""
        return [tag for tag in self._view.tags.get("wandb.tags", "").split(",") if tag]

    @property
    def group(self) -> str | None:
        """The group."""
        return self._view.tags.get("wandb.group")

    @property
    def job_type(self) -> str | None:
        """The type of its job."""
        return self._view.tags.get("wandb.job_type")

    @property
    def notes(self) -> str | None:
        """What the run is about."""
        return self._view.tags.get("wandb.notes")

    @property
    def created_at(self) -> str:
        """When the run began, as ISO 8601."""
        moment = datetime.datetime.fromtimestamp((self._view.start_time_ms or 0) / 1000, datetime.UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def url(self) -> None:
        """None: `stepwell serve` has pages of runs."""
        return None

    @property
    def lastHistoryStep(self) -> int:  # noqa: N802
        """The greatest of the latest steps; -1 without points."""
        return max((self._view[key].stats()["latest_step"] for key in self._view.keys()), default=-1)

    def _rows(self, keys: Sequence[str] | None, first: int, last: int | None) -> list[dict[str, Any]]:
        rows: dict[int, dict[str, Any]] = {}
        for key in self._view.keys():
            if keys is not None and key not in keys:
                continue
            for step, time_ms, value in self._view[key]:
                if step < first or (last is not None and step >= last):
                    continue
                row = rows.setdefault(step, {"_step": step})
                row[key] = value
                if time_ms is not None:
                    row["_timestamp"] = time_ms / 1000
        found = [rows[step] for step in sorted(rows)]
        # As in W&B, a row has all keys that are asked for, or is left out.
        return found if keys is None else [row for row in found if all(key in row for key in keys if key[0] != "_")]

    def scan_history(
        self,
        keys: Sequence[str] | None = None,
        page_size: int = 1000,
        min_step: int = 0,
        max_step: int | None = None,
        **_: Any,
    ) -> Iterator[dict[str, Any]]:
        """All rows: a dict for each step, with `_step`, `_timestamp` and values by key.

        If a key has several points at a step, the row has the last.
        """
        lowest = min_step if min_step else -(2**63)
        yield from self._rows(keys, lowest, max_step)

    def history(
        self,
        samples: int = 500,
        keys: Sequence[str] | None = None,
        x_axis: str = "_step",
        pandas: bool = True,
        **_: Any,
    ) -> Any:
        """Up to so many rows, spread evenly, with the first and the last: pandas' DataFrame, or a list."""
        rows = self._rows(keys, -(2**63), None)
        if len(rows) > samples:
            last = len(rows) - 1
            count = max(samples, 2)
            rows = [rows[round(at * last / (count - 1))] for at in range(count)]
        if not pandas:
            return rows
        try:
            import pandas as pd
        except ImportError:
            tell("stepwell.wandb: history", "pandas is not installed, so the rows are a list")
            return rows
        frame = pd.DataFrame(rows)
        return frame.sort_values(x_axis) if x_axis in frame and x_axis != "_step" else frame

    def files(self, names: Sequence[str] | None = None, **_: Any) -> list[File]:
        """The files among the run's artifacts."""
        folder = self._view.artifact_folder
        found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return [File(folder, name) for name in found if names is None or name in names]

    def file(self, name: str) -> File:
        """A file by its name; a name below `files/` may leave that out."""
        folder = self._view.artifact_folder
        for known in (name, f"files/{name}"):
            if (folder / known).is_file():
                return File(folder, known)
        raise CommError(f"the run {self.id} has no file {name!r}")

    def logged_artifacts(self, **_: Any) -> list[Artifact]:
        """The versions that the run logged."""
        found = (self._view.artifact_folder / "versions").glob("*/v*/artifact.json")
        return [_artifact._load(path.parent) for path in sorted(found)]

    def delete(self, delete_artifacts: bool = False) -> None:
        """Marks the run as deleted; `stepwell restore` brings it back."""
        self._workspace.delete(self._view.id)

    def load(self, force: bool = False) -> None:
        """Looks again."""
        self._view = self._workspace.get(self._view.id)

    update = load

    def _field(self, name: str) -> Any:
        begin, _, rest = name.partition(".")
        if begin in ("config", "summary_metrics", "summary") and rest:
            at: Any = self.config if begin == "config" else self.summary
            rest = rest.removesuffix(".value")
            if rest in at:
                return at[rest]
            for part in rest.split("."):
                at = at.get(part) if isinstance(at, dict) else None
            return at
        names = {
            "display_name": "name",
            "name": "id",
            "jobType": "job_type",
            "createdAt": "created_at",
            "username": "entity",
        }
        return getattr(self, names.get(name, name), None)

    def __repr__(self) -> str:
        return f"<Run {'/'.join(self.path)} ({self.state})>"


def matches(run: ApiRun, filters: Mapping[str, Any]) -> bool:
    """Whether a run fits a filter in MongoDB's form."""
    for name, wanted in filters.items():
        if name == "$and":
            fits = all(matches(run, one) for one in wanted)
        elif name == "$or":
            fits = any(matches(run, one) for one in wanted)
        elif name == "$not":
            fits = not matches(run, wanted)
        else:
            value = run._field(name)
            conditions = wanted if isinstance(wanted, Mapping) else {"$eq": wanted}
            fits = all(_fits(value, how, operand) for how, operand in conditions.items())
        if not fits:
            return False
    return True


def _fits(value: Any, how: str, operand: Any) -> bool:
    if how not in _COMPARED:
        raise ValueError(f"a filter has no {how!r}; there are {', '.join(_COMPARED)}, $and, $or and $not")
    if isinstance(value, list) and how in ("$eq", "$in", "$ne", "$nin"):
        among = operand if how in ("$in", "$nin") else [operand]
        return any(one in value for one in among) == (how in ("$eq", "$in"))
    try:
        return _COMPARED[how](value, operand)
    except TypeError:
        return False


class Api:
    """Reads runs. `Api().runs("project")`, `Api().run("project/id")`."""

    def __init__(
        self, overrides: Mapping[str, Any] | None = None, dir: str | os.PathLike[str] | None = None, **more: Any
    ) -> None:
        for known in ("timeout", "api_key"):
            more.pop(known, None)
        unknown("Api", more)
        self.settings = dict(overrides or {})
        self._workspace = open(folder_of(dir), create=False)

    @property
    def default_entity(self) -> str:
        """The entity of the settings."""
        return str(self.settings.get("entity") or "")

    def projects(self, entity: str | None = None, **_: Any) -> list[Project]:
        """The projects."""
        return [Project(name) for name in self._workspace.experiments()]

    def _project(self, path: str | None) -> str:
        """The project of `project` or `entity/project`."""
        known = self._workspace.experiments()
        path = path or self.settings.get("project") or project_of(None)
        for name in (path, path.split("/")[-1]):
            if name in known:
                return name
        raise CommError(f"no project {path!r} in {self._workspace.path}; there are {', '.join(known)}")

    def runs(
        self,
        path: str | None = None,
        filters: Mapping[str, Any] | None = None,
        order: str = "+created_at",
        per_page: int = 50,
        **more: Any,
    ) -> list[ApiRun]:
        """The runs of a project, the oldest first.

        filters: MongoDB's form over `config.…`, `summary_metrics.…`, `state`, `display_name`, `group`, `tags` …
        order: a name with + or - before it.
        """
        for known in ("include_sweeps", "lazy"):
            more.pop(known, None)
        unknown("Api.runs", more)
        found = self._workspace.search(experiments=[self._project(path)], limit=1_000_000)
        runs = [ApiRun(self._workspace, self._workspace[row["run_id"]]) for row in found]
        runs = [run for run in runs if matches(run, filters or {})]
        name = order.lstrip("+-")
        runs.sort(key=lambda run: run._view.start_time_ms or 0)
        if name != "created_at":
            has = [run for run in runs if run._field(name) is not None]
            without = [run for run in runs if run._field(name) is None]
            return sorted(has, key=lambda run: run._field(name), reverse=order.startswith("-")) + without
        return runs[::-1] if order.startswith("-") else runs

    def run(self, path: str) -> ApiRun:
        """A run by `project/id` or `entity/project/id`; the id alone does for a default project."""
        *before, id = path.strip("/").split("/")
        if has(self._workspace, id):
            return ApiRun(self._workspace, self._workspace[id])
        project = self._project("/".join(before) or None)
        found = find(self._workspace, project, id)
        if found is None:
            raise CommError(f"no run {id!r} in the project {project!r}")
        return ApiRun(self._workspace, self._workspace[found])

    def artifact(self, name: str, type: str | None = None, **_: Any) -> Artifact:
        """A version of an artifact by `project/name:alias`."""
        return _artifact.find(
            self._workspace, self._project("/".join(name.split("/")[:-1]) or None), name.split("/")[-1]
        )

    def artifact_exists(self, name: str, type: str | None = None) -> bool:
        """Whether there is such a version."""
        try:
            self.artifact(name)
        except CommError:
            return False
        return True

    def artifact_versions(self, type_name: str, name: str, **_: Any) -> list[Artifact]:
        """All versions of an artifact, the newest first."""
        project = self._project("/".join(name.split("/")[:-1]) or None)
        return _artifact.versions(self._workspace, project, name.split("/")[-1])[::-1]

    def flush(self) -> None:
        """Nothing is remembered between calls."""


class Project:
    """A project."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<Project {self.name}>"
