"""Columns that other libraries hold: Arrow's capsules and DLPack's, with and without numpy."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

pl = pytest.importorskip("polars")


class Arrow:
    """An object of no other protocol than Arrow's."""

    def __init__(self, of):
        self._of = of

    def __arrow_c_stream__(self, requested_schema=None):
        return self._of.__arrow_c_stream__(requested_schema)


class ArrowArray:
    def __init__(self, of):
        self._of = of

    def __arrow_c_array__(self, requested_schema=None):
        return self._of.__arrow_c_array__(requested_schema)


class Tensor:
    """An object of no other protocol than DLPack's."""

    def __init__(self, of, device=None):
        self._of = of

    def __dlpack__(self, **options):
        return self._of.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._of.__dlpack_device__()


def back(run, key):
    return list(run[key].steps), list(run[key].values)


DTYPES = [pl.Float64, pl.Float32, pl.Int64, pl.Int32, pl.Int16, pl.Int8, pl.UInt64, pl.UInt32, pl.UInt16, pl.UInt8, pl.Boolean]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_arrow_streams(ws, dtype):
    run = ws.run(strict=True)
    values = pl.Series([0, 1, 1]).cast(dtype)
    run.columns("x", Arrow(pl.Series([1, 2, 3])), Arrow(values))
    # A stream of several arrays, and a table of one column.
    run.columns("y", Arrow(pl.concat([pl.Series([1]), pl.Series([2, 3])], rechunk=False)), Arrow(values.to_frame()))
    assert back(run, "x") == back(run, "y") == ([1, 2, 3], [0.0, 1.0, 1.0])


def test_arrow_arrays(ws):
    run = ws.run(strict=True)
    run.columns("a", [1, 2], [0.5, math.nan])
    column = run["a"].values
    run.columns("b", ArrowArray(run["a"].steps), ArrowArray(column))
    assert back(run, "b")[0] == [1, 2] and np.array_equal(np.asarray(run["b"].values), np.asarray(column), equal_nan=True)


def test_gaps_are_nan_in_values_and_refused_in_steps(ws):
    run = ws.run(strict=True)
    run.columns("x", [0, 1], Arrow(pl.Series([None, 2.0])))
    assert math.isnan(run["x"].values[0]) and run["x"].values[1] == 2.0
    with pytest.raises(TypeError, match="missing"):
        run.columns("x", Arrow(pl.Series([None, 2])), [1.0, 2.0])


def test_times_of_arrow(ws):
    run = ws.run(strict=True)
    moments = [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)]
    for unit in ("ms", "us", "ns"):
        run.columns(unit, [0, 1], [0.0, 1.0], times_ms=pl.Series(moments).cast(pl.Datetime(unit, "UTC")))
        assert list(run[unit].times_ms) == [int(moment.timestamp() * 1000) for moment in moments]
    with pytest.raises(TypeError, match="timestamps"):
        run.columns("x", [0, 1], Arrow(pl.Series(moments)))
    with pytest.raises(TypeError, match="numbers"):
        run.columns("x", [0, 1], Arrow(pl.Series(["a", "b"])))


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"])
def test_dlpack(ws, dtype):
    run = ws.run(strict=True)
    values = np.array([0, 1, 1, 0, 1], dtype=dtype)
    run.columns("x", Tensor(np.arange(5)), Tensor(values))
    # Every second item, and from behind.
    run.columns("y", Tensor(np.arange(10)[::2]), Tensor(np.repeat(values, 2)[::2]))
    run.columns("z", Tensor(np.arange(5)[::-1]), Tensor(values[::-1]))
    assert back(run, "x") == (list(range(5)), [0.0, 1.0, 1.0, 0.0, 1.0])
    assert back(run, "y") == ([0, 2, 4, 6, 8], [0.0, 1.0, 1.0, 0.0, 1.0])
    assert back(run, "z") == back(run, "x")


def test_what_dlpack_holds_and_no_column_is(ws):
    run = ws.run(strict=True)
    for wrong in (np.zeros((2, 2)), np.zeros(2, dtype="c16")):
        with pytest.raises(TypeError):
            run.columns("x", [0, 1], Tensor(wrong))
    run.columns("empty", Tensor(np.zeros(0, dtype="i8")), Tensor(np.zeros(0)))
    assert "empty" not in run.view()


def test_capsules_that_were_used(ws):
    run = ws.run(strict=True)

    class Used:
        def __init__(self):
            self.capsule = pl.Series([1.0, 2.0]).__arrow_c_stream__()

        def __arrow_c_stream__(self, requested_schema=None):
            return self.capsule

    used = Used()
    run.columns("x", [0, 1], used)
    # The stream is at its end.
    with pytest.raises((RuntimeError, ValueError)):
        run.columns("x", [0, 1], used)


def test_without_numpy(script, ws):
    """Polars and others hand on their columns where numpy is not installed."""
    script(
        """
        import sys
        sys.modules["numpy"] = None
        import polars as pl
        run = ws.run(strict=True)
        steps, values = pl.Series([1, 2, 3]), pl.Series([0.5, None, 1.5])
        run.columns("polars", steps, values)
        run.columns("own", run["polars"].steps, run["polars"].values)
        assert list(run["own"].steps) == [1, 2, 3] and list(run["own"].values)[::2] == [0.5, 1.5]
        run.finish()
        """
    )
