"""`wandb.summary`: what a run ends with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .._dropin import TAG_CHARACTERS_MAX, failed, flatten
from ._config import nested, plain, value_of, word

if TYPE_CHECKING:
    from ._run import Run

# How the tags begin that hold values of the summary, as `stepwell import` has them.
SET = "wandb.summary."
# What `define_metric(summary=)` asks for, and Stepwell's names for it.
STATISTICS = {"min": "min", "max": "max", "mean": "mean", "last": "latest", "first": "first"}


class Summary:
    """The latest value of each key, and what a script sets.

    A number under a key that was not logged becomes a metric, so that runs can be searched and sorted by it. Everything
    else that is set becomes the tag `wandb.summary.KEY`.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._latest: dict[str, Any] = {}
        self._set: dict[str, Any] = {}
        # Keys whose points come from here.
        self._own: set[str] = set()
        self._asked: dict[str, str] = {}
        if run._store is not None:
            view = run._store.view()
            self._latest.update(view.latest)
            self._set = {key[len(SET) :]: value_of(text) for key, text in view.tags.items() if key.startswith(SET)}

    def _logged(self, values: Mapping[str, Any]) -> None:
        self._latest.update(values)
        if self._set:
            for key in values:
                self._set.pop(key, None)

    def _ask(self, key: str, statistic: str) -> None:
        self._asked[key] = statistic

    def update(self, key_vals: Any = None, **more: Any) -> None:
        """Sets values; dicts within it are joined by `.`."""
        values = dict(flatten(dict(key_vals or {}) | more, "."))
        try:
            self._keep(values)
        except Exception as error:
            failed("wandb.summary", error, self._run.id)

    def _keep(self, values: dict[str, Any]) -> None:
        tags = {}
        numbers = {}
        for key, value in values.items():
            value = plain(value)
            is_number = isinstance(value, (bool, int, float))
            if is_number and (key not in self._latest or key in self._own):
                self._own.add(key)
                numbers[key] = value
                self._latest[key] = value
            else:
                self._set[key] = value
                tags[f"{SET}{key}"] = word(value)[:TAG_CHARACTERS_MAX]
        if self._run._store is None:
            return
        if numbers:
            self._run._store.log(numbers, step=max(self._run._step - 1, 0))
        if tags:
            self._run._store.set_tags(tags)

    def _flat(self) -> dict[str, Any]:
        values = self._latest | self._set
        if self._run._store is not None and self._asked:
            view = self._run._store.view()
            for key, statistic in self._asked.items():
                if key in view:
                    values[key] = {statistic: view[key].stats()[STATISTICS[statistic]]}
        return values

    def get(self, key: str, default: Any = None) -> Any:
        """A value, or the default."""
        try:
            return self[key]
        except KeyError:
            return default

    def keys(self) -> Any:
        """The names of values."""
        return nested(self._flat()).keys()

    def values(self) -> Any:
        """The values."""
        return nested(self._flat()).values()

    def items(self) -> Any:
        """Names with values."""
        return nested(self._flat()).items()

    def __getitem__(self, key: str) -> Any:
        flat = self._flat()
        return flat[key] if key in flat else nested(flat)[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        try:
            return self[key]
        except KeyError:
            raise AttributeError(f"the summary has no {key!r}") from None

    def __setattr__(self, key: str, value: Any) -> None:
        if key.startswith("_"):
            super().__setattr__(key, value)
        else:
            self.update({key: value})

    def __contains__(self, key: object) -> bool:
        return key in self._flat() or key in nested(self._flat())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __repr__(self) -> str:
        return repr(nested(self._flat()))
