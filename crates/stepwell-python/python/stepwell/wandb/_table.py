"""`wandb.Table`: rows under named columns, kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .._errors import InvalidError
from ._config import plain
from ._ignored import given, unknown
from ._media import Media, put


class Table(Media):
    """Rows under named columns. Cells may be media, which become files of their own.

    The file is JSON: `columns`, and `data`, a list of rows.
    """

    kind = "tables"

    def __init__(
        self,
        columns: list[Any] | None = None,
        data: Any = None,
        rows: Any = None,
        dataframe: Any = None,
        dtype: Any = None,
        optional: Any = True,
        allow_mixed_types: bool = False,
        log_mode: str | None = "IMMUTABLE",
        **more: Any,
    ) -> None:
        super().__init__()
        given("Table", optional=(optional, True), dtype=(dtype, None), allow_mixed_types=(allow_mixed_types, False))
        given("Table", log_mode=(log_mode, "IMMUTABLE"))
        unknown("Table", more)
        data = rows if data is None else data
        frame = dataframe if dataframe is not None else data if hasattr(data, "columns") else None
        self.data: list[list[Any]] = []
        if frame is not None:
            names = [str(name) for name in frame.columns]
            self.columns: list[Any] = names if dataframe is not None or columns is None else list(columns)
            self.data = [list(row) for row in frame.itertuples(index=False, name=None)]
            return
        found = [] if data is None else [list(row) for row in data]
        if columns is None:
            wide = len(found[0]) if found else 0
            columns = [str(at) for at in range(wide)] if data is not None else ["Input", "Output", "Expected"]
        self.columns = list(columns)
        for row in found:
            self.add_data(*row)

    def add_data(self, *data: Any) -> None:
        """Adds a row: a cell for each column."""
        if len(data) != len(self.columns):
            raise InvalidError(f"a row of this table has {len(self.columns)} cells, not {len(data)}: {self.columns}")
        self.data.append(list(data))

    def add_row(self, *row: Any) -> None:
        """W&B's older name of `add_data`."""
        self.add_data(*row)

    def add_column(self, name: Any, data: Any, optional: bool = False) -> None:
        """Adds a column: a cell for each row."""
        cells = list(data)
        if self.data and len(cells) != len(self.data):
            raise InvalidError(f"a column of this table has {len(self.data)} cells, not {len(cells)}")
        if not self.data:
            self.data = [[None] * len(self.columns) for _ in cells]
        self.columns.append(name)
        for row, cell in zip(self.data, cells, strict=True):
            row.append(cell)

    def get_column(self, name: Any, convert_to: str | None = None) -> Any:
        """The cells of a column; as an array with `convert_to="numpy"`."""
        at = self.columns.index(name)
        cells = [row[at] for row in self.data]
        if convert_to == "numpy":
            import numpy

            return numpy.array(cells)
        return cells

    def get_dataframe(self) -> Any:
        """The table as pandas' DataFrame."""
        import pandas

        return pandas.DataFrame(self.data, columns=self.columns)

    def iterrows(self) -> Iterator[tuple[int, list[Any]]]:
        """Rows with their numbers."""
        yield from enumerate(self.data)

    def keep(self, folder: Path, key: str, where: str) -> str:
        rows = []
        for number, row in enumerate(self.data):
            cells = []
            for column, cell in zip(self.columns, row, strict=True):
                if isinstance(cell, Media):
                    name = cell.keep(folder, f"{key}/{where}", f"{number}-{str(column).replace('/', '_')}")
                    cell = {"_type": cell.kind, "path": name, **cell.notes()}
                cells.append(plain(cell))
            rows.append(cells)
        name = f"{self.kind}/{key}/{where}.json"
        put(folder, name, json.dumps({"columns": plain(self.columns), "data": rows}).encode())
        return name
