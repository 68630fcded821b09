"""Sorts what `log` is given: numbers, texts, lists, media and figures, each with its key."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from typing import Any

from .._dropin import tell
from ._artifact import Artifact
from ._config import plain
from ._media import Histogram, Image, Media, Plotly

# Arrays of more values become histograms, as in W&B.
LIST_VALUES_MAX = 32


class Sorted:
    """The values of one call by what becomes of them."""

    def __init__(self, data: Mapping[Any, Any]) -> None:
        self.numbers: dict[str, Any] = {}
        self.texts: dict[str, str] = {}
        self.lists: dict[str, list[Any]] = {}
        self.media: dict[str, list[Media]] = {}
        self.artifacts: list[Artifact] = []
        for key, value in data.items():
            self._take(str(key), value)

    def _take(self, key: str, value: Any) -> None:
        if isinstance(value, (float, int)):
            self.numbers[key] = value
        elif isinstance(value, str):
            self.texts[key] = value
        elif value is None:
            tell("stepwell.wandb ignores log(None)", "there is no value to keep")
        elif isinstance(value, Media):
            self.media[key] = [value]
        elif isinstance(value, Artifact):
            self.artifacts.append(value)
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                self._take(f"{key}.{name}", inner)
        elif isinstance(value, (list, tuple, set, frozenset)):
            items = list(value)
            if items and all(isinstance(item, Media) for item in items):
                self.media[key] = items
            elif items and all(hasattr(item, "convert") and hasattr(item, "save") for item in items):
                self.media[key] = [Image(item) for item in items]
            else:
                self.lists[key] = [plain(item) for item in items]
        elif isinstance(value, enum.Enum):
            self.texts[key] = value.name
        elif isinstance(value, (datetime.datetime, datetime.date)):
            self.texts[key] = value.isoformat()
        elif isinstance(value, bytes):
            self.texts[key] = value.decode(errors="replace")
        else:
            self._take_object(key, value)

    def _take_object(self, key: str, value: Any) -> None:
        if hasattr(value, "savefig") or hasattr(value, "to_html") and hasattr(value, "update_layout"):
            self.media[key] = [Plotly(value)]
        elif hasattr(value, "convert") and hasattr(value, "save"):
            self.media[key] = [Image(value)]
        elif hasattr(value, "shape") and hasattr(value, "dtype"):
            size = 1
            for extent in value.shape:
                size *= int(extent)
            if size == 1:
                self.numbers[key] = value.item() if hasattr(value, "item") else float(value)
            elif size <= LIST_VALUES_MAX:
                self.lists[key] = plain(value)
            else:
                self.media[key] = [Histogram(value)]
        elif hasattr(value, "columns") and hasattr(value, "itertuples"):
            from ._table import Table

            self.media[key] = [Table(dataframe=value)]
        elif hasattr(type(value), "__float__") or hasattr(type(value), "__index__"):
            self.numbers[key] = value
        else:
            tell(f"stepwell.wandb keeps values of the type {type(value).__name__} as texts", "it is no number", key)
            self.texts[key] = str(plain(value))
