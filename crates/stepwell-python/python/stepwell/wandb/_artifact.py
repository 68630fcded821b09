"""`wandb.Artifact`: named, versioned folders of files, which later runs of a project find.

A version lies in its run's artifacts as `versions/NAME/vN`, with `artifact.json` beside its folder `files`. Its run has
the tag `wandb.artifact.NAME`, by which it is found.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .. import _files
from .._dropin import alone
from .._errors import InvalidError, NotFoundError
from ._config import plain
from ._errors import CommError
from ._ignored import given, unknown
from ._media import Media, put

if TYPE_CHECKING:
    from .._run import Run as StoredRun
    from .._workspace import Workspace

TAG = "wandb.artifact."


class Entry:
    """A file of an artifact."""

    def __init__(self, artifact: Artifact, path: str) -> None:
        self._artifact = artifact
        self.path = path

    @property
    def ref(self) -> str | None:
        """The address that the entry stands for."""
        return self._artifact._references.get(self.path)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self._artifact._source(self.path).stat().st_size

    @property
    def local_path(self) -> str:
        """Where the file is."""
        return os.fspath(self._artifact._source(self.path))

    def download(self, root: str | os.PathLike[str] | None = None, **_: Any) -> str:
        """Where the file is; with `root`, a copy there."""
        source = self._artifact._source(self.path)
        if root is None:
            return os.fspath(source)
        target = _files.place(Path(root), self.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return os.fspath(target)

    def __repr__(self) -> str:
        return f"<Entry {self.path}>"


class Artifact:
    """A named folder of files. `run.log_artifact` gives it a version: v0, v1, …"""

    def __init__(
        self,
        name: str,
        type: str = "dataset",
        description: str | None = None,
        metadata: dict[str, Any] | None = None,
        incremental: bool = False,
        use_as: str | None = None,
        storage_region: str | None = None,
        digest_algorithm: str = "MD5",
        **more: Any,
    ) -> None:
        if not re.fullmatch(r"[\w.\-]{1,128}", str(name)):
            raise InvalidError(f"an artifact's name has letters, digits, '-', '_' and '.', up to 128: {name!r}")
        given("Artifact", incremental=(incremental, False), use_as=(use_as, None))
        given("Artifact", storage_region=(storage_region, None), digest_algorithm=(digest_algorithm, "MD5"))
        unknown("Artifact", more)
        self.name = str(name)
        self.type = str(type)
        self.description = description
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.aliases: list[str] = []
        self.tags: list[str] = []
        self.version = "draft"
        self._sources: dict[str, Path] = {}
        self._references: dict[str, str] = {}
        self._folder: Path | None = None
        self._made: tempfile.TemporaryDirectory[str] | None = None

    # Making one

    def add_file(
        self, local_path: str | os.PathLike[str], name: str | None = None, overwrite: bool = False, **_: Any
    ) -> Entry:
        """Adds a file under its own or another name."""
        source = Path(local_path)
        if not source.is_file():
            raise NotFoundError(f"no file {os.fspath(local_path)!r} to add to an artifact")
        return self._add(name or source.name, source, overwrite)

    def add_dir(
        self, local_path: str | os.PathLike[str], name: str | None = None, merge: bool = True, **_: Any
    ) -> None:
        """Adds all files of a folder, below the folder `name` of the artifact."""
        folder = Path(local_path)
        if not folder.is_dir():
            raise NotFoundError(f"no folder {os.fspath(local_path)!r} to add to an artifact")
        for source in sorted(folder.rglob("*")):
            if source.is_file():
                below = source.relative_to(folder).as_posix()
                self._add(f"{name.rstrip('/')}/{below}" if name else below, source, True)

    @contextlib.contextmanager
    def new_file(self, name: str, mode: str = "x", encoding: str | None = None, **_: Any) -> Iterator[IO[Any]]:
        """A new file to write to, in a `with` block; `mode="wb"` for bytes."""
        if name in self._sources and "x" in mode:
            raise InvalidError(f"the artifact has a file {name!r} already")
        path = _files.place(self._own(), name)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "b" not in mode
        with open(path, mode, encoding=(encoding or "utf-8") if text else None) as file:
            yield file
        self._add(name, path, True)

    def add(self, obj: Any, name: str | os.PathLike[str], overwrite: bool = False) -> Entry:
        """Adds a table, an image or another of the module's media under a name."""
        if not isinstance(obj, Media):
            raise InvalidError(f"add takes media such as wandb.Table, not {type(obj).__name__}; add_file takes files")
        name = os.fspath(name)
        if obj.kind == "tables":
            with tempfile.TemporaryDirectory() as scratch:
                kept = Path(scratch) / obj.keep(Path(scratch), "a", "0")
                data: bytes | Path = kept.read_bytes()
            suffix = ".table.json"
        else:
            suffix, data = obj.encoded()
        name = name if name.endswith(suffix) else name + suffix
        put(self._own(), name, data)
        return self._add(name, self._own() / name, overwrite)

    def add_reference(self, uri: Any, name: str | os.PathLike[str] | None = None, **_: Any) -> list[Entry]:
        """Adds an address. It is kept, not what is there."""
        address = str(getattr(uri, "ref", None) or uri)
        name = os.fspath(name) if name is not None else address.rstrip("/").rsplit("/", 1)[-1]
        self._references[name] = address
        return [Entry(self, name)]

    def remove(self, item: Any) -> None:
        """Takes a file out of an artifact that is not logged yet."""
        self._draft()
        name = getattr(item, "path", item)
        if self._sources.pop(str(name), None) is None and self._references.pop(str(name), None) is None:
            raise NotFoundError(f"the artifact has no {name!r}")

    def _own(self) -> Path:
        self._draft()
        if self._made is None:
            self._made = tempfile.TemporaryDirectory(prefix="stepwell-artifact-")
        return Path(self._made.name)

    def _draft(self) -> None:
        if self._folder is not None:
            raise InvalidError(f"the artifact {self.name}:{self.version} was logged and does not change")

    def _add(self, name: str, source: Path, overwrite: bool) -> Entry:
        self._draft()
        _files.place(Path("."), name)
        if name in self._sources and not overwrite and self._sources[name] != source:
            raise InvalidError(f"the artifact has a file {name!r} already; overwrite=True replaces it")
        self._sources[name] = source
        return Entry(self, name)

    # Reading one

    def _source(self, name: str) -> Path:
        if self._folder is not None:
            source = _files.place(self._folder / "files", name)
        else:
            source = self._sources.get(name, Path("/nowhere"))
        if not source.is_file():
            raise NotFoundError(f"the artifact {self.name} has no file {name!r}")
        return source

    def _names(self) -> list[str]:
        if self._folder is None:
            return sorted(self._sources)
        files = self._folder / "files"
        return sorted(path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file())

    def files(self, names: list[str] | None = None, **_: Any) -> list[Entry]:
        """The files."""
        return [Entry(self, name) for name in self._names() if names is None or name in names]

    def file(self, root: str | os.PathLike[str] | None = None) -> str:
        """Where the only file is."""
        names = self._names()
        if len(names) != 1:
            raise InvalidError(f"the artifact {self.name} has {len(names)} files; name one with get_entry")
        return Entry(self, names[0]).download(root)

    def get_entry(self, name: str | os.PathLike[str]) -> Entry:
        """A file by its name."""
        name = os.fspath(name)
        if name not in self._references:
            self._source(name)
        return Entry(self, name)

    def get_path(self, name: str | os.PathLike[str]) -> Entry:
        """W&B's older name of `get_entry`."""
        return self.get_entry(name)

    def get(self, name: str) -> Any:
        """A table that was added, as `wandb.Table`; None if there is none of this name."""
        from ._table import Table

        path = name if name.endswith(".table.json") else f"{name}.table.json"
        if path not in self._names():
            return None
        found = json.loads(self._source(path).read_text())
        return Table(columns=found["columns"], data=found["data"])

    def download(self, root: str | os.PathLike[str] | None = None, **_: Any) -> str:
        """The folder with the files: where it is, or with `root`, a copy there."""
        if root is None and self._folder is not None:
            return os.fspath(self._folder / "files")
        target = Path(root if root is not None else Path("artifacts") / f"{self.name}-{self.version}")
        for name in self._names():
            Entry(self, name).download(target)
        target.mkdir(parents=True, exist_ok=True)
        return os.fspath(target)

    def checkout(self, root: str | os.PathLike[str] | None = None) -> str:
        """W&B's call that also removes other files of the folder; here it only brings the artifact's."""
        return self.download(root)

    def wait(self, timeout: int | None = None) -> Artifact:
        """Returns at once: a version is whole when `log_artifact` returns."""
        return self

    @property
    def size(self) -> int:
        """How many bytes the files have."""
        return sum(self._source(name).stat().st_size for name in self._names())

    @property
    def file_count(self) -> int:
        """How many files there are."""
        return len(self._names())

    def is_draft(self) -> bool:
        """Whether it was not logged yet."""
        return self._folder is None

    def save(self) -> None:
        """Writes changes of description, metadata, aliases and tags of a version that was logged."""
        if self._folder is not None:
            _write(self._folder, self)

    @property
    def qualified_name(self) -> str:
        """The name with its version."""
        return f"{self.name}:{self.version}"

    def __repr__(self) -> str:
        return f"<Artifact {self.qualified_name} ({self.type})>"


def _write(folder: Path, artifact: Artifact) -> None:
    described = {
        "name": artifact.name,
        "type": artifact.type,
        "version": artifact.version,
        "aliases": artifact.aliases,
        "tags": artifact.tags,
        "description": artifact.description,
        "metadata": plain(artifact.metadata),
        "references": artifact._references,
        "created_ms": int(time.time() * 1000),
    }
    _files.write(folder, "artifact.json", json.dumps(described).encode())


def _load(folder: Path) -> Artifact:
    described = json.loads((folder / "artifact.json").read_text())
    found = Artifact(described["name"], described["type"], described["description"], described["metadata"])
    found.version = described["version"]
    found.aliases = described["aliases"]
    found.tags = described.get("tags", [])
    found._references = described["references"]
    found._folder = folder
    return found


def versions(workspace: Workspace, project: str, name: str) -> list[Artifact]:
    """All versions of an artifact in a project, the oldest first."""
    if project not in workspace.experiments():
        return []
    found = []
    for row in workspace.search(f"tags.`{TAG}{name}` IS NOT NULL", experiments=[project], limit=1_000_000):
        folder = workspace[row["run_id"]].artifact_folder / "versions" / name
        found += [_load(path.parent) for path in folder.glob("v*/artifact.json")]
    return sorted(found, key=lambda artifact: int(artifact.version[1:]))


def find(workspace: Workspace, project: str, name: str) -> Artifact:
    """A version by `NAME:vN`, `NAME:ALIAS` or `NAME`, which is the latest; the project may stand before it."""
    *path, last = name.split("/")
    if path:
        project = path[-1]
    base, _, alias = last.partition(":")
    known = versions(workspace, project, base)
    for artifact in reversed(known):
        if alias in ("", "latest", artifact.version) or alias in artifact.aliases:
            return artifact
    what = ", ".join(artifact.version for artifact in known) or "none"
    raise CommError(f"no artifact {name!r} in the project {project!r}; versions that are there: {what}")


def log(workspace: Workspace, project: str, run: StoredRun, artifact: Artifact, aliases: list[str]) -> Artifact:
    """Gives an artifact the next version of its name, and copies its files to the run."""
    artifact._draft()
    with alone(workspace.path):
        known = versions(workspace, project, artifact.name)
        version = f"v{int(known[-1].version[1:]) + 1 if known else 0}"
        folder = run.artifact_folder / "versions" / artifact.name / version
        folder.mkdir(parents=True)
        for name, source in artifact._sources.items():
            put(folder / "files", name, source)
        # An alias names one version: the newest that was given it.
        for older in known:
            if set(older.aliases) & {*aliases, "latest"}:
                older.aliases = [alias for alias in older.aliases if alias not in {*aliases, "latest"}]
                older.save()
        artifact.version = version
        artifact.aliases = ["latest", *(alias for alias in aliases if alias != "latest")]
        _write(folder, artifact)
        run.set_tags({f"{TAG}{artifact.name}": version})
    artifact._folder = folder
    if artifact._made is not None:
        artifact._made.cleanup()
        artifact._made = None
    return artifact


def of_path(path: str | os.PathLike[str], name: str, kind: str) -> Artifact:
    """An artifact of a file or a folder; of an address, a reference."""
    text = os.fspath(path)
    artifact = Artifact(name, kind)
    if "://" in text:
        artifact.add_reference(text)
    elif os.path.isdir(text):
        artifact.add_dir(text)
    else:
        artifact.add_file(text)
    return artifact
