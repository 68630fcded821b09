"""W&B's logging interface on a Stepwell folder: change the import, keep the script.

    import stepwell.wandb as wandb

    with wandb.init(project="vision", config={"lr": 0.1}) as run:
        for step in range(100):
            wandb.log({"loss": 1 / (step + 1)})
        run.summary["best"] = 0.01

There is no account, server or process beside the script. `docs/wandb.md` lists what is kept, mapped, ignored with one
warning, and refused. Logging never raises; `init`, `config` and `use_artifact` do, with W&B's errors.
"""

from __future__ import annotations

import enum
import secrets
import string
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from .._native import __version__
from . import _active
from ._active import init
from ._api import Api
from ._artifact import Artifact
from ._config import Config, Forward
from ._errors import CommError, ConfigError, Error, UsageError
from ._ignored import REFUSED, given, ignored, unknown
from ._media import Audio, Histogram, Html, Image, Markdown, Media, Molecule, Object3D, Plotly, Video
from ._run import Run
from ._table import Table

if TYPE_CHECKING:
    run: Run | None

__all__ = [
    "AlertLevel",
    "Api",
    "Artifact",
    "Audio",
    "Classes",
    "CommError",
    "Config",
    "ConfigError",
    "Error",
    "Graph",
    "Histogram",
    "Html",
    "Image",
    "Markdown",
    "Molecule",
    "Object3D",
    "Plotly",
    "Run",
    "Settings",
    "Table",
    "UsageError",
    "Video",
    "__version__",
    "alert",
    "config",
    "define_metric",
    "errors",
    "finish",
    "init",
    "join",
    "link_artifact",
    "link_model",
    "log",
    "log_artifact",
    "log_code",
    "log_model",
    "log_system",
    "login",
    "mark_preempting",
    "plot",
    "require",
    "run",
    "save",
    "setup",
    "summary",
    "teardown",
    "termerror",
    "termlog",
    "termwarn",
    "unwatch",
    "use_artifact",
    "util",
    "watch",
]


class AlertLevel(enum.Enum):
    """How grave an alert is."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class Settings(dict[str, Any]):
    """W&B's settings: taken, and ignored by `init` with a warning."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(settings)


class Classes:
    """Class labels of an image, kept beside it."""

    def __init__(self, class_set: Any) -> None:
        self.class_set = list(class_set)


class Graph(Media):
    """Ignored, with a warning."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__()
        ignored("Graph")

    def keep(self, folder: Any, key: str, where: str) -> str:
        return ""


# Parts of the active run.

config: Any = Forward("config", lambda name: _active.needed(name).config)
summary: Any = Forward("summary", lambda name: _active.needed(name).summary)


def log(
    data: Mapping[str, Any], step: int | None = None, commit: bool | None = None, sync: bool | None = None, **more: Any
) -> None:
    """`Run.log` of the active run."""
    _active.needed("log()").log(data, step=step, commit=commit, sync=sync, **more)


def log_system(metrics: Mapping[str, Any]) -> None:
    """`Run.log_system` of the active run."""
    _active.needed("log_system()").log_system(metrics)


def finish(exit_code: int | None = None, quiet: bool | None = None, **more: Any) -> None:
    """Ends the active run, if there is one."""
    now = _active.current()
    if now is not None:
        now.finish(exit_code, quiet, **more)


join = finish


def define_metric(name: str, *arguments: Any, **options: Any) -> Any:
    """`Run.define_metric` of the active run."""
    return _active.needed("define_metric()").define_metric(name, *arguments, **options)


def alert(title: str, *arguments: Any, **options: Any) -> None:
    """`Run.alert` of the active run."""
    _active.needed("alert()").alert(title, *arguments, **options)


def save(*arguments: Any, **options: Any) -> Any:
    """`Run.save` of the active run."""
    return _active.needed("save()").save(*arguments, **options)


def log_artifact(*arguments: Any, **options: Any) -> Artifact:
    """`Run.log_artifact` of the active run."""
    return _active.needed("log_artifact()").log_artifact(*arguments, **options)


def use_artifact(*arguments: Any, **options: Any) -> Artifact:
    """`Run.use_artifact` of the active run."""
    return _active.needed("use_artifact()").use_artifact(*arguments, **options)


def log_model(*arguments: Any, **options: Any) -> Artifact:
    """`Run.log_model` of the active run."""
    return _active.needed("log_model()").log_model(*arguments, **options)


def login(key: str | None = None, relogin: bool | None = None, host: str | None = None, **more: Any) -> bool:
    """True: there is no account."""
    for known in ("force", "timeout", "verify", "anonymous", "referrer", "prompt"):
        more.pop(known, None)
    given("login", key=(key, None), host=(host, None))
    unknown("login", more)
    return True


def watch(*models: Any, **options: Any) -> None:
    """Ignored, with a warning."""
    ignored("watch")


def unwatch(*models: Any, **options: Any) -> None:
    """Ignored, with a warning."""
    ignored("unwatch")


def require(*arguments: Any, **options: Any) -> None:
    """Ignored, with a warning."""
    ignored("require")


def setup(*arguments: Any, **options: Any) -> None:
    """Ignored, with a warning."""
    ignored("setup")


def teardown(*arguments: Any, **options: Any) -> None:
    """Ignored, with a warning."""
    ignored("teardown")


def mark_preempting() -> None:
    """Ignored, with a warning."""
    ignored("mark_preempting")


def log_code(*arguments: Any, **options: Any) -> None:
    """Ignored, with a warning."""
    ignored("log_code")


def link_artifact(*arguments: Any, **options: Any) -> None:
    """Ignored, with a warning."""
    ignored("link_artifact")


def link_model(*arguments: Any, **options: Any) -> None:
    """Ignored, with a warning."""
    ignored("link_model")


def termlog(text: str = "", newline: bool = True, repeat: bool = True) -> None:
    """Prints to standard error."""
    print(f"stepwell: {text}", file=sys.stderr, end="\n" if newline else "")


termwarn = termerror = termlog


class _Plot:
    """`wandb.plot`: of each chart, the table that it was to draw."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def chart(*arguments: Any, **options: Any) -> Any:
            ignored("plot")
            given_values = [*arguments, *options.values()]
            return next((value for value in given_values if isinstance(value, Table)), None)

        return chart


plot = _Plot()
errors = SimpleNamespace(Error=Error, UsageError=UsageError, CommError=CommError, ConfigError=ConfigError)


def _generate_id(length: int = 8) -> str:
    """An id for `init`."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length))


util = SimpleNamespace(generate_id=_generate_id)


def __getattr__(name: str) -> Any:
    if name == "run":
        return _active.current()
    if name in REFUSED:
        raise AttributeError(f"stepwell.wandb has no {name!r}: {REFUSED[name]}")
    raise AttributeError(f"stepwell.wandb has no {name!r}; docs/wandb.md lists what it has")
