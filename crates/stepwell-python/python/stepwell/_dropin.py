"""What the drop-ins share: warnings that come once, params of nested settings, calls that never stop a training."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._errors import LoggingWarning

if TYPE_CHECKING:
    from ._run import Run
    from ._workspace import Workspace

PARAM_CHARACTERS_MAX = 6000
TAG_CHARACTERS_MAX = 8000
KEY_CHARACTERS_MAX = 250

_HERE = os.path.dirname(__file__)
_told: set[tuple[str, ...]] = set()


def tell(what: str, why: str, *more: str) -> None:
    """Warns once in a process of `what`, which is not done as the caller may expect.

    more: what else tells this warning from others, such as a run's id.
    """
    if (what, *more) in _told:
        return
    _told.add((what, *more))
    warnings.warn(f"{what}: {why}", LoggingWarning, stacklevel=_callers_level())


def _callers_level() -> int:
    """How many frames up the caller of the package is, as `warn` counts from `tell`."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    return level


def failed(what: str, error: BaseException, run_id: str = "") -> None:
    """Warns once for each run and kind of call that something could not be logged."""
    tell(what, f"{type(error).__name__}: {error}; training goes on, further failures of this call are not told", run_id)


def never_raises(call: Any) -> Any:
    """Turns errors of a logging method into one warning for each run. `self.strict`, if true, has them raised."""

    @functools.wraps(call)
    def guarded(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return call(self, *arguments, **options)
        except Exception as error:
            if getattr(self, "strict", False):
                raise
            failed(f"{type(self).__name__}.{call.__name__}", error, str(getattr(self, "id", "") or ""))
            return None

    return guarded


def as_dict(settings: Any) -> dict[str, Any]:
    """Settings of any kind as a dict: a mapping, a namespace, a dataclass, or what has `to_dict`."""
    if settings is None:
        return {}
    if isinstance(settings, Mapping):
        return {str(key): value for key, value in settings.items()}
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        return dataclasses.asdict(settings)
    if callable(getattr(settings, "to_dict", None)):
        return dict(settings.to_dict())
    if callable(getattr(settings, "items", None)):
        return {str(key): value for key, value in settings.items()}
    if hasattr(settings, "__dict__"):
        return dict(vars(settings))
    raise TypeError(f"settings must be a dict, a namespace or a dataclass, not {type(settings).__name__}")


def flatten(settings: Mapping[Any, Any], joint: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested dicts, each with its names joined. An empty dict is a leaf."""
    for key, value in settings.items():
        name = f"{prefix}{joint}{key}" if prefix else str(key)
        if isinstance(value, Mapping) and value:
            yield from flatten(value, joint, name)
        else:
            yield name, value


def set_params(run: Run, params: Mapping[str, str], who: str) -> dict[str, str]:
    """Sets params that are not set yet. Returns those that have another value.

    A text that is too long for a param becomes an artifact, `texts/params/KEY.txt`.
    """
    there = run.view().params
    new, others = {}, {}
    for key, text in params.items():
        if key in there:
            if there[key] != text:
                others[key] = text
        elif not 0 < len(key) <= KEY_CHARACTERS_MAX:
            tell(f"{who}: the param {key[:40]!r}…", f"left out: a key has 1 to {KEY_CHARACTERS_MAX} characters")
        elif len(text) > PARAM_CHARACTERS_MAX:
            tell(f"{who}: the param {key!r}", f"kept as a text: a param has up to {PARAM_CHARACTERS_MAX} characters")
            run.text(f"params/{key}", text)
        else:
            new[key] = text
    if new:
        run.log_params(new)
    return others


def set_params_once(run: Run, params: Mapping[str, Any], who: str, joint: str = "/") -> None:
    """Sets params of nested settings as texts; tells of those that have another value already."""
    texts = {key: str(value) for key, value in flatten(params, joint)}
    for key in set_params(run, texts, who):
        tell(f"{who}: the param {key!r}", "has another value already and keeps it: params are written once")


def newest(workspace: Workspace, experiment: str, tag: str, text: str) -> str | None:
    """The id of the newest run of an experiment that has a tag with this text."""
    if experiment not in workspace.experiments():
        return None
    # A filter has no way to write a text with both kinds of quotes.
    quote = next((quote for quote in "'\"" if quote not in text), None)
    condition = "IS NOT NULL" if quote is None else f"= {quote}{text}{quote}"
    found = workspace.search(f"tags.`{tag}` {condition}", experiments=[experiment], order_by=["start_time DESC"])
    return next((str(row["run_id"]) for row in found if row.get(f"tags.{tag}") == text), None)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lets one process at a time look for a run and create it. Where a folder cannot be locked, they are not held."""
    import fcntl

    handle = None
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)
