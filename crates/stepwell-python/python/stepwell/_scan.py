"""Polars' lazy frames of a workspace: filters decide which runs, metrics and steps are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars

    from ._native import Points, RunView
    from ._workspace import Workspace

_STEPS = (-(2**63), 2**63 - 1)
_NAMES = ("run_id", "key")


def scan_points(workspace: Workspace, filter: str, experiments: list[str] | None) -> polars.LazyFrame:
    """A lazy frame of all points of the runs that a filter finds."""
    import polars
    from polars.io.plugins import register_io_source

    schema = {
        "run_id": polars.String,
        "key": polars.String,
        "step": polars.Int64,
        "time": polars.Datetime("ms", "UTC"),
        "value": polars.Float64,
    }

    def source(with_columns, predicate, n_rows, batch_size):
        columns = list(with_columns) if with_columns is not None else list(schema)
        runs = workspace._run_ids(filter, experiments)
        yielded = False
        for frame in _frames(workspace, runs, predicate, columns, batch_size or 100_000):
            if n_rows is not None:
                frame = frame.head(n_rows)
                n_rows -= len(frame)
            yielded = True
            yield frame
            if n_rows == 0:
                return
        if not yielded:
            yield polars.DataFrame(schema=schema).select(columns)

    return register_io_source(source, schema=schema, is_pure=False, explain_name="STEPWELL POINTS")


def scan_runs(workspace: Workspace, filter: str, experiments: list[str] | None) -> polars.LazyFrame:
    """A lazy frame of all runs that a filter finds, a row each."""
    import polars

    return polars.DataFrame(workspace.search(filter, experiments=experiments, limit=2**62)).lazy()


def _frames(workspace, runs, predicate, columns, rows) -> Iterator[polars.DataFrame]:
    """What is left of the points by a predicate, in frames of about so many rows."""
    import polars

    wanted = Wanted(predicate)
    needed = set(columns) if predicate is None else {*columns, *predicate.meta.root_names()}
    names = any(name in needed for name in _NAMES)
    parts: list[polars.DataFrame] = []
    count = 0

    def whole() -> polars.DataFrame:
        frame = polars.concat(parts) if len(parts) > 1 else parts[0]
        return (frame if predicate is None else frame.filter(predicate)).select(columns)

    first, last = wanted.steps
    if first > last:
        return
    for run_id in wanted.runs(runs):
        view = workspace.get(run_id)
        keys = wanted.keys(run_id, view.keys())
        if not keys:
            continue
        points = read(view, keys, first, last, names)
        if len(points):
            parts.append(polars.DataFrame(points))
            count += len(points)
        if count >= rows:
            yield whole()
            parts, count = [], 0
    if parts:
        yield whole()


def read(view: RunView, keys: list[str], first: int, last: int, names: bool) -> Points:
    """The points of some metrics of a run, between two steps. Scans read nothing by another way."""
    return view._points(keys, first, last, names)


class Wanted:
    """What a predicate leaves of runs, metrics and steps. What it says beside, it says of each row later."""

    def __init__(self, predicate: polars.Expr | None):
        self.steps = _STEPS
        self._of_runs: list[polars.Expr] = []
        self._of_keys: list[polars.Expr] = []
        for part in [] if predicate is None else _conjuncts(predicate):
            roots = set(part.meta.root_names())
            if roots == {"run_id"}:
                self._of_runs.append(part)
            elif roots and roots <= set(_NAMES):
                self._of_keys.append(part)
            elif roots == {"step"} and (found := _steps(part)):
                self.steps = (max(self.steps[0], found[0]), min(self.steps[1], found[1]))

    def runs(self, runs: list[str]) -> list[str]:
        """Those of some runs that are to be read."""
        return self._left({"run_id": runs}, self._of_runs, "run_id")

    def keys(self, run_id: str, keys: list[str]) -> list[str]:
        """Those of a run's metrics that are to be read."""
        return self._left({"run_id": [run_id] * len(keys), "key": keys}, self._of_keys, "key")

    @staticmethod
    def _left(columns: dict[str, list[str]], parts: list[polars.Expr], name: str) -> list[str]:
        if not parts or not columns[name]:
            return columns[name]
        import polars

        schema = dict.fromkeys(columns, polars.String)
        return polars.DataFrame(columns, schema=schema).filter(*parts)[name].to_list()


def _conjuncts(expression: polars.Expr) -> Iterator[polars.Expr]:
    """The parts of an expression that all must hold."""
    operands = _operands(expression)
    if len(operands) == 2 and (operands[0] & operands[1]).meta.eq(expression):
        for operand in operands:
            yield from _conjuncts(operand)
    else:
        yield expression


def _operands(expression: polars.Expr) -> list[polars.Expr]:
    """What an expression is made of, in the order of writing; Polars gives the last one first."""
    return expression.meta.pop()[::-1]


def _steps(expression: polars.Expr) -> tuple[int, int] | None:
    """The first and the last step that an expression of `step` and numbers leaves, if it is a comparison."""
    operands = _operands(expression)
    if len(operands) == 2:
        for left, right, turned in ((*operands, False), (*operands[::-1], True)):
            if left.meta.is_column() and (number := _integer(right)) is not None:
                return _compared(expression, left, right, number, turned)
    if len(operands) == 3 and operands[0].meta.is_column():
        step, low, high = operands
        least, greatest = _integer(low), _integer(high)
        if least is None or greatest is None:
            return None
        for closed, (after, before) in {"both": (0, 0), "left": (0, 1), "right": (1, 0), "none": (1, 1)}.items():
            if step.is_between(low, high, closed=closed).meta.eq(expression):
                return (least + after, greatest - before)
    return None


def _compared(whole, step, number, value: int, turned: bool) -> tuple[int, int] | None:
    least, greatest = _STEPS
    left, right = (number, step) if turned else (step, number)
    if (left == right).meta.eq(whole):
        return (value, value)
    below, above = ((left > right), (left < right)) if turned else ((left < right), (left > right))
    if below.meta.eq(whole):
        return (least, value - 1)
    if above.meta.eq(whole):
        return (value + 1, greatest)
    to, since = ((left >= right), (left <= right)) if turned else ((left <= right), (left >= right))
    if to.meta.eq(whole):
        return (least, value)
    if since.meta.eq(whole):
        return (value, greatest)
    return None


def _integer(expression: polars.Expr) -> int | None:
    """The number of a literal, if it is an integer."""
    if not expression.meta.is_literal():
        return None
    import polars

    value: Any = polars.select(expression).item()
    return value if isinstance(value, int) and not isinstance(value, bool) else None
