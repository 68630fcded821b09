"""Artifacts: files beside a run's points, each whole or not there."""

import json
import math
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

from ._errors import InvalidError, LoggingWarning, NotFoundError


def place(folder: Path, name: str) -> Path:
    """The path of a name below a folder; refuses one that leads out of it."""
    parts = Path(name).parts
    if Path(name).is_absolute() or ".." in parts:
        raise InvalidError(f"an artifact's name leads to no other folder: {name!r}")
    return folder.joinpath(*parts)


def named(kind: str, key: str, step: int | None, suffix: str) -> str:
    """The name of what is kept under a key, at a step or without one."""
    if not key:
        raise InvalidError("a key has at least one character")
    return f"{kind}/{key}{suffix}" if step is None else f"{kind}/{key}/{int(step)}{suffix}"


def write(folder: Path, name: str, data: bytes) -> Path:
    """Writes a file that is there whole, or as it was before."""
    path = place(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
    return path


def copy(source: str | os.PathLike[str], folder: Path, to: str, workspace: Path) -> Path:
    """Copies a file or a folder below another folder; leaves the workspace itself out."""
    source = Path(source)
    name = source.name if source.name not in ("", "..") else source.resolve().name
    if not name:
        raise InvalidError(f"{os.fspath(source)!r} has no name to keep it under")
    target = place(folder, to) / name
    if source.is_dir():
        _copy_folder(source, target, workspace.resolve())
        return target
    if not source.exists():
        raise NotFoundError(f"no file {os.fspath(source)!r} to keep as an artifact")
    target.parent.mkdir(parents=True, exist_ok=True)
    _copy_file(source, target)
    return target


def _copy_folder(source: Path, target: Path, workspace: Path) -> None:
    left_out = []
    found = []
    # All names first: the copy may lie within what is copied.
    for base, folders, files in os.walk(source):
        for name in list(folders):
            path = Path(base) / name
            if path.is_symlink() or path.resolve() == workspace:
                folders.remove(name)
                left_out.append(os.fspath(path))
        found.append((Path(base).relative_to(source), files))
    if source.resolve() == workspace:
        raise InvalidError(f"{os.fspath(source)!r} is the workspace itself, and holds its own artifacts")
    for below, files in found:
        (target / below).mkdir(parents=True, exist_ok=True)
        for file in files:
            _copy_file(source / below / file, target / below / file)
    if left_out:
        text = f"{len(left_out)} folders were not copied, links and the workspace itself: {', '.join(left_out[:5])}"
        warnings.warn(text, LoggingWarning, stacklevel=4)


def _copy_file(source: Path, target: Path) -> None:
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=".part-")
    os.close(handle)
    try:
        shutil.copyfile(source, part)
        shutil.copymode(source, part)
        os.replace(part, target)
    except BaseException:
        os.unlink(part)
        raise


def _umask() -> int:
    # There is no way to read it but to set it; /proc has it without a race.
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o022


def histogram(values: Any, bins: int) -> bytes:
    """A histogram of numbers as JSON."""
    if bins < 1:
        raise InvalidError("a histogram has at least one bin")
    for step in ("detach", "cpu"):
        values = getattr(values, step)() if hasattr(values, step) else values
    try:
        import numpy
    except ImportError:
        numpy = None
    if numpy is not None:
        array = numpy.asarray(values, dtype=float).ravel()
        finite = array[numpy.isfinite(array)]
        counts, edges = numpy.histogram(finite, bins=bins) if finite.size else ([], [])
        counts, edges = [int(count) for count in counts], [float(edge) for edge in edges]
        nan, total = int(numpy.isnan(array).sum()), array.size
    else:
        array = [float(value) for value in values]
        finite = [value for value in array if math.isfinite(value)]
        counts, edges = _counts(finite, bins) if finite else ([], [])
        nan, total = sum(math.isnan(value) for value in array), len(array)
    infinite = total - len(finite) - nan
    return json.dumps({"edges": edges, "counts": counts, "nan": nan, "infinite": infinite}).encode()


def _counts(values: list[float], bins: int) -> tuple[list[int], list[float]]:
    least, greatest = min(values), max(values)
    if least == greatest:
        least, greatest = least - 0.5, greatest + 0.5
    width = (greatest - least) / bins
    counts = [0] * bins
    for value in values:
        counts[min(int((value - least) / width), bins - 1)] += 1
    return counts, [least + at * width for at in range(bins)] + [greatest]


def figure(figure: Any) -> tuple[str, bytes]:
    """A figure's suffix and bytes."""
    import io

    # A plot of a library that hands out axes belongs to a figure.
    figure = getattr(figure, "figure", figure) if not hasattr(figure, "savefig") else figure
    data = io.BytesIO()
    if hasattr(figure, "savefig"):
        figure.savefig(data, format="png", bbox_inches="tight")
        return ".png", data.getvalue()
    if hasattr(figure, "to_html"):
        return ".html", figure.to_html(include_plotlyjs="cdn").encode()
    if hasattr(figure, "save"):
        figure.save(data, format="PNG")
        return ".png", data.getvalue()
    raise InvalidError(f"not a figure: {type(figure).__name__} has neither savefig, to_html nor save")
