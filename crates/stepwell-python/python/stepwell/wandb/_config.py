"""`wandb.config`: a run's params by attribute and by item."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Callable, Iterator
from typing import Any

from .._dropin import TAG_CHARACTERS_MAX, as_dict, flatten, set_params, tell
from .._run import Run
from ._errors import ConfigError

# How the tags begin that hold values of params that were changed.
CHANGED = "wandb.config."


def word(value: Any) -> str:
    """The text of a value: strings as they are, the rest as JSON, as `stepwell import` writes W&B's config."""
    value = plain(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def plain(value: Any) -> Any:
    """A value of the types of JSON."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if callable(getattr(value, "tolist", None)):
        return plain(value.tolist())
    if callable(value):
        name, module = getattr(value, "__qualname__", None), getattr(value, "__module__", None)
        return f"{module}.{name}" if name and module else str(value)
    return str(value)


def value_of(text: str) -> Any:
    """The value of a param's text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Dicts within dicts of keys that are joined by `.`; a key that stands in another's way stays joined."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        at, names = tree, key.split(".")
        for name in names[:-1]:
            inner = at.setdefault(name, {})
            if not isinstance(inner, dict):
                break
            at = inner
        else:
            if not isinstance(at.get(names[-1]), dict):
                at[names[-1]] = value
                continue
        tree[key] = value
    return tree


class Config:
    """The settings of a run. A value is a param, nested ones joined by `.`.

    A param is written once. A value that is changed, with `allow_val_change`, is the tag `wandb.config.KEY`.
    """

    def __init__(self, run: Run | None = None, allow_val_change: bool = False) -> None:
        # Attributes of the config itself go around `__setattr__`.
        vars(self)["_run"] = run
        vars(self)["_allowed"] = allow_val_change
        vars(self)["_values"] = {}
        if run is not None:
            view = run.view()
            flat = {key: value_of(text) for key, text in view.params.items()}
            flat |= {key[len(CHANGED) :]: value_of(text) for key, text in view.tags.items() if key.startswith(CHANGED)}
            self._values.update(nested(flat))

    def update(self, d: Any = None, allow_val_change: bool | None = None, **more: Any) -> None:
        """Sets values of a dict, a namespace or a dataclass. Changing one needs `allow_val_change`."""
        self._set(as_dict(d) | more, self._allowed if allow_val_change is None else allow_val_change)

    def setdefaults(self, d: Any) -> None:
        """Sets those values that are not there."""
        self._set({key: value for key, value in as_dict(d).items() if key not in self._values}, False)

    def _set(self, values: dict[str, Any], allowed: bool) -> None:
        values = {key: plain(value) for key, value in values.items()}
        for key, value in values.items():
            if key in self._values and self._values[key] != value and not allowed:
                raise ConfigError(
                    f"the config has {key!r} = {self._values[key]!r} and cannot become {value!r}; "
                    "pass allow_val_change=True to config.update()"
                )
        before = dict(flatten(self._values, "."))
        self._values.update(values)
        if self._run is None:
            return
        leaves = dict(flatten(values, "."))
        changed = set_params(self._run, {key: word(value) for key, value in leaves.items()}, "wandb.config")
        # A value may come back to what the param has, too.
        changed |= {key: word(value) for key, value in leaves.items() if key in before and before[key] != value}
        if changed:
            tell(
                "wandb.config",
                "params are written once, so the new value of a changed one is the tag wandb.config.KEY",
                self._run.id,
            )
            self._run.set_tags({f"{CHANGED}{key}": text[:TAG_CHARACTERS_MAX] for key, text in changed.items()})

    def get(self, key: str, default: Any = None) -> Any:
        """A value, or the default."""
        return self._values.get(key, default)

    def keys(self) -> Any:
        """The names of values."""
        return self._values.keys()

    def values(self) -> Any:
        """The values."""
        return self._values.values()

    def items(self) -> Any:
        """Names with values."""
        return self._values.items()

    def as_dict(self) -> dict[str, Any]:
        """All of it as a dict."""
        return dict(self._values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._set({key: value}, self._allowed)

    def __getattr__(self, key: str) -> Any:
        try:
            return vars(self)["_values"][key]
        except KeyError:
            raise AttributeError(f"the config has no {key!r}") from None

    def __setattr__(self, key: str, value: Any) -> None:
        self._set({key: value}, self._allowed)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


class Forward:
    """Stands for a part of the run that is active, such as `wandb.config`."""

    def __init__(self, name: str, part: Callable[[str], Any]) -> None:
        vars(self)["_name"] = name
        vars(self)["_part"] = part

    def _now(self) -> Any:
        return vars(self)["_part"](vars(self)["_name"])

    def __getattr__(self, key: str) -> Any:
        # Names such as `__wrapped__` are asked for by tools that look at modules.
        if key.startswith("__"):
            raise AttributeError(key)
        return getattr(self._now(), key)

    def __setattr__(self, key: str, value: Any) -> None:
        setattr(self._now(), key, value)

    def __getitem__(self, key: str) -> Any:
        return self._now()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._now()[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self._now()

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def __repr__(self) -> str:
        return f"<{vars(self)['_name']} of the active run>"
