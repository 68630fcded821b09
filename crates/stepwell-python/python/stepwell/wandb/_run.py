"""A run as W&B has it, over a run of Stepwell."""

from __future__ import annotations

import glob as globbing
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import _ending, _files
from .._dropin import TAG_CHARACTERS_MAX, failed, never_raises, tell
from .._run import Run as StoredRun
from .._workspace import Workspace
from . import _artifact
from ._artifact import Artifact
from ._config import Config, word
from ._errors import CommError
from ._ignored import given, ignored, unknown
from ._summary import SET, STATISTICS, Summary
from ._values import Sorted

# How the tags begin that hold what `define_metric` was told.
DEFINED = "wandb.define_metric."


class Run:
    """A run. `wandb.init` begins one.

    store: the run of Stepwell; None if the run keeps nothing (`mode="disabled"`).
    """

    strict = False

    def __init__(
        self,
        store: StoredRun | None,
        workspace: Workspace | None,
        *,
        project: str,
        id: str,
        name: str = "",
        entity: str = "",
        resumed: bool = False,
        allow_val_change: bool = False,
    ) -> None:
        self._store = store
        self._workspace = workspace
        self._process = os.getpid()
        self._step = 0
        self._saved: dict[Path, tuple[str, int]] = {}
        self._alerts = 0
        self._folder: Path | None = None
        self._began = time.time()
        self.project = project
        self.id = id
        self.entity = entity
        self.resumed = resumed
        self._name = name
        tags: dict[str, str] = {}
        if store is not None:
            view = store.view()
            self._name = view.name or name
            tags = view.tags
            if resumed:
                latest = [view[key].stats()["latest_step"] for key in view.keys()]
                self._step = max([-1, *latest]) + 1
        self.starting_step = self._step
        self._tags = tuple(tag for tag in tags.get("wandb.tags", "").split(",") if tag)
        self._notes = tags.get("wandb.notes")
        self.group = tags.get("wandb.group", "")
        self.job_type = tags.get("wandb.job_type", "")
        self._config = Config(store, allow_val_change)
        self.summary = Summary(self)
        for key, text in tags.items():
            if key.startswith(DEFINED):
                self._ask(key[len(DEFINED) :], json.loads(text).get("summary"))

    # What it is

    @property
    def config(self) -> Config:
        """The settings of the run."""
        return self._config

    @config.setter
    def config(self, values: Any) -> None:
        self._config.update(values)

    @property
    def name(self) -> str:
        """The run's name; its id if it has none."""
        return self._name or self.id

    @name.setter
    def name(self, name: str) -> None:
        self._name = str(name)
        if self._store is not None:
            self._store.rename(self._name)

    @property
    def notes(self) -> str | None:
        """What the run is about."""
        return self._notes

    @notes.setter
    def notes(self, notes: str) -> None:
        self._notes = notes
        self._set_tags({"wandb.notes": notes})

    @property
    def tags(self) -> tuple[str, ...]:
        """Words by which runs are found: Stepwell's tag `wandb.tags`, joined by commas."""
        return self._tags

    @tags.setter
    def tags(self, tags: Any) -> None:
        self._tags = tuple(str(tag) for tag in tags)
        self._set_tags({"wandb.tags": ",".join(self._tags)})

    @property
    def step(self) -> int:
        """The step of the next `log` that names none."""
        return self._step

    @property
    def start_time(self) -> float:
        """When the run began here, in seconds since the epoch."""
        return self._began

    @property
    def path(self) -> str:
        """The project and the id, as `Api.run` takes them."""
        return f"{self.project}/{self.id}"

    @property
    def dir(self) -> str:
        """A folder of the run's artifacts, `files`: what is written there belongs to the run."""
        if self._store is None:
            import tempfile

            return tempfile.mkdtemp(prefix="stepwell-disabled-")
        folder = self._artifacts() / "files"
        folder.mkdir(parents=True, exist_ok=True)
        return os.fspath(folder)

    sync_dir = dir

    @property
    def disabled(self) -> bool:
        """Whether the run keeps nothing."""
        return self._store is None

    @property
    def offline(self) -> bool:
        """True: there is no server."""
        return True

    @property
    def url(self) -> None:
        """None: `stepwell serve` has pages of runs."""
        return None

    project_url = sweep_id = sweep_url = url

    def get_url(self) -> None:
        """None: `stepwell serve` has pages of runs."""
        return None

    @property
    def stored(self) -> StoredRun | None:
        """Stepwell's run, for all that W&B's interface has no name for."""
        return self._store

    # Logging

    @never_raises
    def log(
        self,
        data: Mapping[str, Any],
        step: int | None = None,
        commit: bool | None = None,
        sync: bool | None = None,
        **more: Any,
    ) -> None:
        """Logs values at a step: numbers, texts, lists, media, figures; dicts within it are joined by `.`.

        step: without, the run's own, which counts on by 1 with each call unless `commit` is False.
        """
        given("log", sync=(sync, None))
        unknown("log", more)
        if not isinstance(data, Mapping):
            raise TypeError(f"log takes a dict, not {type(data).__name__}")
        if self._store is None:
            return
        stored = self._store
        time_ms = None
        if "_timestamp" in data:
            data = dict(data)
            time_ms = int(float(data.pop("_timestamp")) * 1000)
        found = Sorted(data)
        at = self._step if step is None else step
        if found.numbers:
            # What is no step is told and counted there.
            stored.log(found.numbers, step=at, time_ms=time_ms)
            self.summary._logged(found.numbers)
        if step is not None:
            at = int(step)
            if at != step:
                raise TypeError(f"a step must be a whole number, not {step!r}")
            self._step = max(self._step, at)
        self._keep_files(found, at)
        if commit or (step is None and commit is None):
            self._step += 1

    def _keep_files(self, found: Sorted, at: int) -> None:
        stored = self._store
        assert stored is not None
        for key, text in found.texts.items():
            self._try(key, lambda key=key, text=text: self._write("texts", key, at, ".txt", text.encode()))
            self.summary._logged({key: text})
            if len(text) <= TAG_CHARACTERS_MAX:
                stored.set_tags({f"{SET}{key}": text})
        for key, items in found.lists.items():
            self._try(key, lambda key=key, items=items: self._write("lists", key, at, ".json", word(items).encode()))
            self.summary._logged({key: items})
        for key, media in found.media.items():
            for number, one in enumerate(media):
                where = f"{at}" if number == 0 else f"{at}-{number + 1}"
                self._try(key, lambda key=key, one=one, where=where: one.keep(self._artifacts(), key, where))
        for artifact in found.artifacts:
            self.log_artifact(artifact)

    def _try(self, key: str, keep: Any) -> None:
        """One value that cannot be kept costs no other."""
        try:
            keep()
        except Exception as error:
            failed(f"Run.log({key!r})", error, self.id)

    def _write(self, kind: str, key: str, at: int, suffix: str, data: bytes) -> None:
        _files.write(self._artifacts(), _files.named(kind, key, at, suffix), data)

    def _artifacts(self) -> Path:
        assert self._store is not None
        if self._folder is None:
            self._folder = self._store.artifact_folder
        return self._folder

    def _set_tags(self, tags: dict[str, Any]) -> None:
        if self._store is not None:
            self._store.set_tags({key: str(value)[:TAG_CHARACTERS_MAX] for key, value in tags.items()})

    @never_raises
    def log_system(self, metrics: Mapping[str, Any]) -> None:
        """Trackio's call: logs values of the machine under `system/`."""
        if self._store is not None:
            self._store.log({f"system/{key}": value for key, value in metrics.items()}, step=self._step)

    @never_raises
    def define_metric(
        self,
        name: str,
        step_metric: Any = None,
        step_sync: bool | None = None,
        hidden: bool | None = None,
        summary: str | None = None,
        overwrite: bool | None = None,
        **more: Any,
    ) -> Any:
        """Keeps how a metric is to be shown, as the tag `wandb.define_metric.NAME`. `summary` decides what
        `run.summary` has of it: "min", "max", "mean", "last" or "first"."""
        given("define_metric", step_sync=(step_sync, None), hidden=(hidden, None), overwrite=(overwrite, None))
        unknown("define_metric", more)
        defined = {"step_metric": getattr(step_metric, "name", step_metric), "step_sync": step_sync, "hidden": hidden}
        defined |= {"summary": summary}
        kept = {key: value for key, value in defined.items() if value is not None}
        self._set_tags({f"{DEFINED}{name}": json.dumps(kept)})
        self._ask(name, summary)
        return Defined(name, kept)

    def _ask(self, name: str, summary: str | None) -> None:
        for statistic in (summary or "").split(","):
            if statistic in STATISTICS and statistic != "last":
                self.summary._ask(name, statistic)
            elif statistic not in ("", "last", "copy", "none"):
                tell(f"stepwell.wandb ignores define_metric(summary={statistic!r})", "the statistic is not known")

    @never_raises
    def alert(self, title: str, text: str = "", level: Any = None, wait_duration: Any = None, **more: Any) -> None:
        """Keeps an alert as the artifact `alerts/NUMBER.json`, and prints it to standard error."""
        given("alert", wait_duration=(wait_duration, None))
        unknown("alert", more)
        level = str(getattr(level, "value", level) or "INFO").upper()
        print(f"stepwell: {level}: {title}{': ' if text else ''}{text}", file=sys.stderr)
        if self._store is None:
            return
        self._alerts += 1
        told = {"time_ms": int(time.time() * 1000), "step": self._step, "level": level, "title": title, "text": text}
        # Several processes of one run have numbers of their own.
        name = f"alerts/{told['time_ms']}-{os.getpid()}-{self._alerts}.json"
        _files.write(self._artifacts(), name, json.dumps(told).encode())

    # Files

    @never_raises
    def save(
        self, glob_str: Any = None, base_path: Any = None, policy: str = "live", glob: bool = True, **more: Any
    ) -> list[str]:
        """Copies files that match a pattern to the run's `files`, now and, if they changed, when the run ends.

        Gives where the copies are. base_path: what is left out of the names; the present folder without.
        """
        given("save", policy=(policy, "live"), glob=(glob, True))
        unknown("save", more)
        if self._store is None or glob_str is None:
            return []
        pattern = os.fspath(glob_str)
        base = Path(base_path or (os.path.dirname(pattern) if os.path.isabs(pattern) else "."))
        found = [pattern] if os.path.exists(pattern) else globbing.glob(pattern, recursive=True)
        if not found:
            tell("Run.save", f"no file matches {pattern!r}", pattern)
        copies = []
        for name in sorted(found):
            sources = [Path(name)] if os.path.isfile(name) else [one for one in Path(name).rglob("*") if one.is_file()]
            for source in sources:
                inside = source.resolve().is_relative_to(base.resolve())
                below = os.fspath(source.resolve().relative_to(base.resolve())) if inside else source.name
                copies.append(self._copy(source.resolve(), f"files/{below}"))
        return copies

    def _copy(self, source: Path, name: str) -> str:
        from ._media import put

        target = self._artifacts() / name
        # A file in `run.dir` is where it belongs.
        if target.resolve() != source:
            changed = source.stat().st_mtime_ns
            put(self._artifacts(), name, source)
            self._saved[source] = (name, changed)
        return os.fspath(target)

    def _save_again(self) -> None:
        for source, (name, changed) in self._saved.items():
            try:
                if source.exists() and source.stat().st_mtime_ns != changed:
                    self._copy(source, name)
            except Exception as error:
                failed("Run.save", error, self.id)

    def log_artifact(
        self,
        artifact_or_path: Any,
        name: str | None = None,
        type: str | None = None,
        aliases: Any = None,
        tags: Any = None,
        **more: Any,
    ) -> Artifact:
        """Keeps an artifact as a new version of its name; a file or a folder becomes one.

        If it cannot be kept, a warning says so, and what is returned stays a draft.
        """
        unknown("log_artifact", more)
        artifact = artifact_or_path if isinstance(artifact_or_path, Artifact) else Artifact(f"run-{self.id}-artifact")
        try:
            if artifact is not artifact_or_path:
                base = name or f"run-{self.id}-{Path(os.fspath(artifact_or_path)).name or 'artifact'}"
                artifact = _artifact.of_path(artifact_or_path, base, type or "unspecified")
            artifact.tags = list(tags or artifact.tags)
            if self._store is not None and self._workspace is not None:
                named = [aliases] if isinstance(aliases, str) else list(aliases or [])
                _artifact.log(self._workspace, self.project, self._store, artifact, named)
        except Exception as error:
            failed("Run.log_artifact", error, self.id)
        return artifact

    def upsert_artifact(self, artifact_or_path: Any, *arguments: Any, **options: Any) -> Artifact:
        """As `log_artifact`: each call makes a version."""
        return self.log_artifact(artifact_or_path, *arguments, **options)

    finish_artifact = upsert_artifact

    def use_artifact(
        self, artifact_or_name: Any, type: str | None = None, aliases: Any = None, **more: Any
    ) -> Artifact:
        """A version of an artifact of this or another project: `NAME:latest`, `NAME:v3`, `PROJECT/NAME:ALIAS`.

        It raises if there is none. The run has the tag `wandb.used.NAME`.
        """
        unknown("use_artifact", more)
        if isinstance(artifact_or_name, Artifact):
            found = artifact_or_name
            if found.is_draft():
                found = self.log_artifact(found, aliases=aliases)
        elif self._workspace is None:
            raise CommError("a disabled run has no artifacts")
        else:
            found = _artifact.find(self._workspace, self.project, str(artifact_or_name))
        if type is not None and found.type != type:
            raise ValueError(f"the artifact {found.qualified_name} is of the type {found.type!r}, not {type!r}")
        self._set_tags({f"wandb.used.{found.name}": found.version})
        return found

    def log_model(self, path: Any, name: str | None = None, aliases: Any = None, **more: Any) -> Artifact:
        """Keeps a model's file or folder as an artifact of the type "model"."""
        return self.log_artifact(path, name or f"run-{self.id}-model", "model", aliases, **more)

    # Ignored

    def watch(self, *models: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        ignored("watch")

    def unwatch(self, *models: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        ignored("unwatch")

    def mark_preempting(self) -> None:
        """Ignored, with a warning."""
        ignored("mark_preempting")

    def log_code(self, *arguments: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        ignored("log_code")

    def link_artifact(self, *arguments: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        ignored("link_artifact")

    def link_model(self, *arguments: Any, **options: Any) -> None:
        """Ignored, with a warning."""
        ignored("link_model")

    # Ending

    def finish(self, exit_code: int | None = None, quiet: bool | None = None, **more: Any) -> None:
        """Ends the run: FINISHED, or FAILED with an exit code that is not 0."""
        unknown("finish", more)
        self._end("FAILED" if exit_code else "FINISHED")

    join = finish

    def _end(self, status: str) -> None:
        from . import _active

        _active.forget(self)
        self._save_again()
        if self._store is not None:
            self._store.finish(status)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._end(_ending.status_of(error))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a run of stepwell.wandb has no {name!r}; docs/wandb.md lists what it has")

    def __repr__(self) -> str:
        return f"<stepwell.wandb run {self.path}>"


class Defined:
    """What `define_metric` was told."""

    def __init__(self, name: str, kept: dict[str, Any]) -> None:
        self.name = name
        self.step_metric = kept.get("step_metric")
        self.summary = kept.get("summary")
