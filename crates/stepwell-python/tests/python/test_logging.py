"""Logging: every form, every kind of number, and what is refused."""

import decimal
import fractions
import math
import struct
import warnings

import numpy as np
import pytest

import stepwell
from conftest import values


class Whole:
    def __index__(self):
        return 7


class Real:
    def __float__(self):
        return 2.5


VALUES = [
    (1.5, 1.5),
    (3, 3.0),
    (2**53 + 1, float(2**53)),
    (True, 1.0),
    (False, 0.0),
    (math.inf, math.inf),
    (-math.inf, -math.inf),
    (-0.0, -0.0),
    (5e-324, 5e-324),
    (decimal.Decimal("0.1"), 0.1),
    (fractions.Fraction(1, 3), 1 / 3),
    (np.float16(0.5), 0.5),
    (np.float32(0.1), float(np.float32(0.1))),
    (np.float64(0.1), 0.1),
    (np.int8(-3), -3.0),
    (np.uint64(2**63), float(2**63)),
    (np.bool_(True), 1.0),
    (np.array(4.25), 4.25),
    (np.array(4, dtype=np.int32), 4.0),
    (Whole(), 7.0),
    (Real(), 2.5),
]


@pytest.mark.parametrize("given, expected", VALUES, ids=lambda value: f"{type(value).__name__}-{value}")
def test_numbers_of_every_kind_are_values(ws, given, expected):
    with ws.run(strict=True) as run:
        run.log("a", given, 0)
        run.log({"b": given}, step=0)
        run.metric("c").log(0, given)
        for key in "abc":
            (value,) = values(run, key)
            assert struct.pack("d", value) == struct.pack("d", expected)


def test_the_bits_of_a_nan_are_kept(ws):
    odd = struct.unpack("d", struct.pack("Q", 0x7FF8000000001234))[0]
    with ws.run(strict=True) as run:
        run.log("a", odd, 0)
        run.columns("b", [0], np.array([odd]))
        for key in "ab":
            assert struct.pack("d", values(run, key)[0]) == struct.pack("d", odd)


@pytest.mark.parametrize("given", ["1", b"1", None, [1.0], {"a"}, 1j, object(), np.array([1.0, 2.0])])
def test_what_is_no_number_is_refused_with_its_kind(ws, given):
    run = ws.run(strict=True)
    with pytest.raises(TypeError, match="must be a number"):
        run.metric("a").log(0, given)
    if given is not None:
        with pytest.raises(TypeError, match="must be a number"):
            run.log("a", given, 0)
    with pytest.raises(TypeError, match='"b": a value must be a number'):
        run.log({"a": 1, "b": given}, step=0)
    # All of a call is there, or nothing.
    assert run.points == 0


def test_an_integer_beyond_all_floats_is_refused(ws):
    with pytest.raises(OverflowError, match="64-bit float"):
        ws.run(strict=True).log("a", 10**400, 0)


@pytest.mark.parametrize("given, expected", [(3, 3), (-(2**63), -(2**63)), (2**63 - 1, 2**63 - 1), (True, 1), (4.0, 4),
                                             (np.int64(5), 5), (np.uint8(6), 6), (Whole(), 7), (np.array(8), 8)],
                         ids=str)
def test_steps_of_every_kind(ws, given, expected):
    with ws.run(strict=True) as run:
        run.log("a", 1.0, given)
        run.metric("a").log(given, 2.0)
        run.log({"a": 3.0}, step=given)
        assert list(run["a"].steps) == [expected] * 3


@pytest.mark.parametrize("given, error", [(1.5, TypeError), ("1", TypeError), (math.nan, TypeError), (math.inf, TypeError),
                                          (2**63, OverflowError), (-(2**63) - 1, OverflowError), (1e30, TypeError)], ids=str)
def test_what_is_no_step_is_refused(ws, given, error):
    run = ws.run(strict=True)
    for log in (lambda: run.log("a", 1.0, given), lambda: run.log({"a": 1.0}, step=given),
                lambda: run.metric("a").log(given, 1.0)):
        with pytest.raises(error, match="step"):
            log()
    assert run.points == 0


def test_steps_count_on_by_themselves(ws):
    with ws.run(strict=True) as run:
        run.log({"a": 0.0})
        run.log({"a": 1.0})
        run.log("a", 2.0)
        run.log({"a": 3.0}, step=10)
        run.log({"a": 4.0})
        run.log({"a": 5.0}, 20)
        run.columns("a", [30, 31], [6.0, 7.0])
        run.log({"a": 8.0})
        assert list(run["a"].steps) == [0, 1, 2, 10, 11, 20, 30, 31, 32]
    again = ws.run(resume=run.id, strict=True)
    again.log({"a": 9.0})
    assert list(again["a"].steps)[-1] == 33


def test_dicts_within_dicts_are_joined(ws):
    with ws.run(strict=True) as run:
        run.log({"train": {"loss": 1.0, "top": {5: 2.0}}, "β": 3.0}, step=0)
        assert run.view().keys() == ["train/loss", "train/top/5", "β"]


def test_times_are_the_callers_or_the_present(ws):
    import time

    before = int(time.time() * 1000)
    with ws.run(strict=True) as run:
        run.log("a", 1.0, 0)
        run.log("a", 1.0, 1, time_ms=5)
        run.log({"a": 1.0}, step=2, time_ms=-7)
        run.metric("a").log(3, 1.0, 9)
        run.columns("a", [4], [1.0], times_ms=[11])
        run.columns("a", [5], [1.0])
        times = list(run["a"].times_ms)
    assert before - 20 <= times[0] <= time.time() * 1000 + 20
    assert times[1:] == [5, -7, 9, 11, None]


COLUMNS = [
    [1.0, 2.0, 3.0],
    (1, 2, 3),
    range(1, 4),
    np.array([1.0, 2.0, 3.0]),
    np.array([1, 2, 3], dtype=np.float32),
    np.array([1, 2, 3], dtype=np.float16),
    np.array([1, 2, 3], dtype=np.int64),
    np.array([1, 2, 3], dtype=np.int16),
    np.array([1, 2, 3], dtype=np.uint64),
    np.array([1.0, 0, 2.0, 0, 3.0, 0])[::2],
    np.array([3.0, 2.0, 1.0])[::-1],
    memoryview(struct.pack("3d", 1, 2, 3)).cast("d"),
]


@pytest.mark.parametrize("given", COLUMNS, ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}")
def test_columns_of_every_kind(ws, given):
    with ws.run(strict=True) as run:
        run.columns("a", [0, 1, 2], given)
        run.columns("b", given if not isinstance(given, list) else [1, 2, 3], [5, 6, 7])
        assert values(run, "a") == [1.0, 2.0, 3.0]
        assert list(run["b"].steps) == [1, 2, 3]
        # What a run gives is what a run takes.
        run.columns("c", run["a"].steps, run["a"].values)
        assert values(run, "c") == [1.0, 2.0, 3.0]


def test_columns_of_arrow_and_polars(ws):
    pa = pytest.importorskip("pyarrow")
    with ws.run(strict=True) as run:
        run.columns("a", pa.array([0, 1]), pa.array([1.0, 2.0]))
        assert values(run, "a") == [1.0, 2.0]
    pl = pytest.importorskip("polars")
    with ws.run(strict=True) as run:
        run.columns("a", pl.Series([0, 1]), pl.Series([1.0, 2.0]))
        assert values(run, "a") == [1.0, 2.0]


def test_a_column_has_one_dimension_and_all_have_one_length(ws):
    run = ws.run(strict=True)
    with pytest.raises(TypeError, match="one dimension"):
        run.columns("a", [0, 1], np.zeros((2, 2)))
    with pytest.raises(stepwell.InvalidError, match="must be as many"):
        run.columns("a", [0, 1], [1.0])
    with pytest.raises(TypeError, match="whole number"):
        run.columns("a", [0.5], [1.0])
    assert run.points == 0


def test_training_goes_on_when_logging_fails(ws):
    run = ws.run()
    with pytest.warns(stepwell.LoggingWarning, match="training goes on"):
        run.log({"a": "text", "b": 1.0}, step=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.log("a", None or "text", 0)
        run.metric("a").log("x", 1.0)
        run.columns("a", [1], ["x"])
        run.log(5)
        run.log("a")
    health = run.health()
    assert not health["ok"] and health["active"]
    assert health["lost"] == 6 and "must be a number" in health["first_error"] and "key" in health["last_error"]
    # What can be kept of a call is.
    assert values(run, "b") == [1.0]
    run.finish()


def test_an_ended_run_takes_nothing_and_says_so(ws):
    with ws.run() as run:
        loss = run.metric("loss")
    with pytest.warns(stepwell.LoggingWarning, match="is ended"):
        run.log({"a": 1.0}, step=0)
    assert run.health()["lost"] == 1 and not run.active
    loss.log(0, 1.0)
    run.metric("other").log(0, 1.0)
    assert run.health()["lost"] == 3
    # Ending twice is no mistake.
    run.finish("FAILED")
    assert ws[run.id].status == "FINISHED"
    strict = ws.run(strict=True)
    strict.finish()
    with pytest.raises(stepwell.EndedError, match="resume"):
        strict.log("a", 1.0, 0)


def test_params_and_tags(ws):
    with ws.run(params={"lr": 0.1, "deep": True, "none": None}, tags={"who": "me"}, strict=True) as run:
        run.log_params({"a": 1}, b="two")
        run.log_param("c", [1, 2])
        run.log_param("c", [1, 2])
        with pytest.raises(stepwell.ParamConflictError, match="write-once"):
            run.log_param("c", 3)
        run.set_tags(who="you")
        run.set_tag("x", 1)
        run.remove_tag("x")
        run.rename("better")
        view = run.view()
    assert view.params == {"lr": "0.1", "deep": "True", "none": "None", "a": "1", "b": "two", "c": "[1, 2]"}
    assert view.tags == {"who": "you"} and view.name == "better" and view.status == "RUNNING"


def test_keys_that_break_a_rule_are_refused(ws):
    run = ws.run(strict=True)
    for key in ("", "x" * 251):
        with pytest.raises(stepwell.InvalidError, match="metric key"):
            run.log(key, 1.0, 0)
        with pytest.raises(ValueError):
            run.metric(key)


def test_a_device_buffer_logs_each_row_once(ws):
    with ws.run(strict=True) as run:
        buffer = run.device_buffer(["a", "b"], every=10)
        for step in range(25):
            buffer.put(step, step / 2, np.float32(step))
        assert list(run["a"].steps) == list(range(20))
        buffer.flush()
        assert list(run["a"].steps) == list(range(25))
        buffer.put(25, 12.5, 25)
        with pytest.raises(ValueError, match="2 values"):
            buffer.put(26, 1.0)
        with pytest.raises(ValueError):
            run.device_buffer([])
        with pytest.raises(ValueError):
            run.device_buffer(["a", "a"])
    view = ws[run.id]
    assert list(view["a"].values) == [step / 2 for step in range(26)]
    assert list(view["b"].values) == [float(step) for step in range(26)]
    assert None not in list(view["a"].times_ms)


def test_a_device_buffer_takes_tensors(ws):
    torch = pytest.importorskip("torch")
    with ws.run(strict=True) as run:
        buffer = run.device_buffer(["a", "b"], every=7)
        for step in range(30):
            loss = torch.tensor(float(step), requires_grad=True) * 2
            buffer.put(step, loss, torch.tensor([step], dtype=torch.int32))
    view = ws[run.id]
    assert list(view["a"].values) == [2.0 * step for step in range(30)]
    assert list(view["b"].values) == [float(step) for step in range(30)]


def test_system_metrics_go_with_the_run(ws):
    import time

    run = ws.run(system_metrics=0.05, strict=True)
    deadline = time.monotonic() + 60
    while "system/cpu_utilization_percentage" not in run.view() and time.monotonic() < deadline:
        time.sleep(0.05)
    run.finish()
    latest = ws[run.id].latest
    assert 0 <= latest["system/cpu_utilization_percentage"] <= 100
    assert 0 < latest["system/system_memory_usage_percentage"] < 100
    assert latest["system/disk_available_megabytes"] > 0 and latest["system/network_receive_megabytes"] >= 0
    points = ws[run.id]["system/cpu_utilization_percentage"]
    assert list(points.steps) == list(range(len(points)))
    with pytest.raises(ValueError, match="positive"):
        ws.run(system_metrics=-1.0)


@pytest.mark.parametrize("kind", [">f8", ">f4", ">i8", ">i4", "<f8", "f2"])
def test_numbers_of_either_byte_order(ws, kind):
    with ws.run(strict=True) as run:
        run.columns("a", np.array([0, 1, 2], ">i8"), np.array([1, 2, 3], kind))
        assert values(run, "a") == [1.0, 2.0, 3.0] and list(run["a"].steps) == [0, 1, 2]


def test_dates_are_times_and_nothing_else(ws):
    dates = np.array(["2026-01-01", "2026-01-02"], "datetime64[ns]")
    with ws.run(strict=True) as run:
        run.columns("a", [0, 1], [1.0, 2.0], times_ms=dates)
        assert list(run["a"].times_ms) == [1767225600000, 1767312000000]
        for steps, given in ((dates, [1.0, 2.0]), ([0, 1], dates)):
            with pytest.raises(TypeError, match="dates"):
                run.columns("b", steps, given)
        with pytest.raises(TypeError, match="masked"):
            run.columns("b", [0, 1], np.ma.masked_array([1.0, 2.0], mask=[False, True]))
        with pytest.raises(TypeError, match="NaT"):
            run.columns("b", [0], [1.0], times_ms=np.array(["NaT"], "datetime64[ms]"))


def test_dicts_may_be_odd(ws):
    run = ws.run()
    own = {"x": 1.0}
    own["o"] = own
    with pytest.warns(stepwell.LoggingWarning, match="64 levels"):
        run.log(own, step=0)
    assert run.health()["lost"] == 1 and len(run.view()) == 65
    deep = {"x": 1.0}
    for _ in range(200_000):
        deep = {"d": deep}
    run.log(deep, step=1)
    # Freed level by level, since Python's own way down is no deeper.
    while isinstance(deep, dict):
        deep = deep.get("d")

    class Grows:
        def __float__(self):
            growing[f"n{len(growing)}"] = 1.0
            return 1.0

    growing = {"v": Grows(), "w": 2.0}
    run.log(growing, step=2)
    assert values(run, "w") == [2.0]

    class Interrupts:
        def __float__(self):
            raise KeyboardInterrupt

    for log in (lambda: run.log({"i": Interrupts()}), lambda: run.log("i", Interrupts())):
        with pytest.raises(KeyboardInterrupt):
            log()


def test_odd_arguments_do_not_stop_training(ws):
    run = ws.run()
    loss = run.metric("loss")
    run.log("a", 1.0, 1, time_ms=1234.9)
    assert list(run["a"].times_ms) == [1234]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run.log("a", 1.0, 1, time_ms="now")
        loss.log(1, 1.0, 2**70)
        run.log({"\ud800": 1.0})
        run.log_params({"\ud800": 1})
        run.set_tags({"a": "\ud800"})
    assert len(told) == 1 and run.health()["lost"] == 5
    run.log("end", 1.0, 2**63 - 1)
    run.log("end", 2.0)
    assert list(run["end"].steps) == [2**63 - 1] * 2

    class Long:
        def __len__(self):
            return 2**60

        def __iter__(self):
            return iter([1, 2])

    run.columns("long", [1, 2], Long())
    assert values(run, "long") == [1.0, 2.0]
