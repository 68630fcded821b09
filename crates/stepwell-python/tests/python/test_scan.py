"""Scans by Polars: the same points as by hand, and nothing read that a filter leaves out."""

import pytest

import stepwell
from stepwell import _scan

pl = pytest.importorskip("polars")


@pytest.fixture
def filled(ws):
    """Three runs of two metrics with 100 points each."""
    runs = []
    for at in range(3):
        with ws.run(experiment=f"e{at % 2}", name=f"r{at}", params={"at": at}) as run:
            run.columns("loss", list(range(100)), [at + step / 100 for step in range(100)])
            run.columns("acc", list(range(100)), [float(step) for step in range(100)])
        runs.append(run.id)
    return runs


@pytest.fixture
def reads(monkeypatch):
    """What is read: run, keys, first and last step, how many points came."""
    seen = []
    real = _scan.read

    def read(view, keys, first, last, names):
        points = real(view, keys, first, last, names)
        seen.append((view.id, sorted(keys), first, last, len(points)))
        return points

    monkeypatch.setattr(_scan, "read", read)
    return seen


def test_a_scan_has_all_points(ws, filled):
    frame = ws.scan_points().collect()
    assert frame.columns == ["run_id", "key", "step", "time", "value"] and len(frame) == 600
    for run in filled:
        for key in ("loss", "acc"):
            part = frame.filter(pl.col("run_id") == run, pl.col("key") == key)
            series = ws[run][key]
            assert part["step"].to_list() == list(series.steps) and part["value"].to_list() == list(series.values)
    # Columns that were logged without times have none.
    assert frame["time"].dtype == pl.Datetime("ms", "UTC") and frame["time"].null_count() == 600
    ws.run().log("timed", 1.0, 0)
    assert ws.scan_points().filter(pl.col("key") == "timed").collect()["time"].null_count() == 0


def test_only_what_is_asked_for_is_read(ws, filled, reads):
    one = filled[1]
    found = (
        ws.scan_points()
        .filter(pl.col("run_id") == one, pl.col("key") == "loss", pl.col("step") >= 90, pl.col("step") < 95)
        .select("value")
        .collect()
    )
    assert found["value"].to_list() == [1 + step / 100 for step in range(90, 95)]
    assert reads == [(one, ["loss"], 90, 94, 5)]


STEPS = [
    (lambda step: step > 97, (98, 2**63 - 1), 2),
    (lambda step: step >= 98, (98, 2**63 - 1), 2),
    (lambda step: step < 2, (-(2**63), 1), 2),
    (lambda step: step <= 1, (-(2**63), 1), 2),
    (lambda step: step == 7, (7, 7), 1),
    (lambda step: pl.lit(97) < step, (98, 2**63 - 1), 2),
    (lambda step: pl.lit(1) >= step, (-(2**63), 1), 2),
    (lambda step: step.is_between(3, 5), (3, 5), 3),
    (lambda step: step.is_between(3, 5, closed="none"), (4, 4), 1),
    (lambda step: step.is_between(3, 5, closed="left"), (3, 4), 2),
    # What is no range is told from the rows.
    (lambda step: step.is_in([3, 50]), (-(2**63), 2**63 - 1), 2),
    (lambda step: (step < 1) | (step > 98), (-(2**63), 2**63 - 1), 2),
    (lambda step: step + 1 == 5, (-(2**63), 2**63 - 1), 1),
    (lambda step: step > 97.5, (-(2**63), 2**63 - 1), 2),
    (lambda step: step.is_null(), (-(2**63), 2**63 - 1), 0),
]


@pytest.mark.parametrize("condition, steps, count", STEPS)
def test_steps_are_a_range_where_the_filter_says_one(ws, filled, reads, condition, steps, count):
    found = ws.scan_points().filter(pl.col("key") == "acc", condition(pl.col("step"))).collect()
    assert len(found) == 3 * count
    assert {read[2:4] for read in reads} == {steps}


@pytest.mark.parametrize(
    "condition, runs, keys",
    [
        (lambda ids: pl.col("run_id").is_in(ids[:2]), 2, {"acc", "loss"}),
        (lambda ids: pl.col("run_id") != ids[0], 2, {"acc", "loss"}),
        (lambda ids: pl.col("key").str.starts_with("l"), 3, {"loss"}),
        (lambda ids: (pl.col("run_id") == ids[0]) | (pl.col("key") == "acc"), 3, {"acc", "loss"}),
        (lambda ids: (pl.col("key") == "acc") & (pl.col("value") > 200), 3, {"acc"}),
        (lambda ids: pl.col("key") == "none", 0, set()),
        (lambda ids: pl.col("run_id").is_null(), 0, set()),
    ],
)
def test_runs_and_keys(ws, filled, reads, condition, runs, keys):
    found = ws.scan_points().filter(condition(filled)).collect()
    assert found.equals(ws.scan_points().collect().filter(condition(filled)))
    of_scan = reads[: len(reads) - 3]
    assert len(of_scan) == runs and {key for read in of_scan for key in read[1]} == keys


def test_a_scan_of_some_runs(ws, filled):
    found = ws.scan_points("params.at = '2'").select("run_id").unique().collect()
    assert found["run_id"].to_list() == [filled[2]]
    assert len(ws.scan_points(experiments=["e1"]).collect()) == 200
    with pytest.raises(stepwell.NotFoundError):
        ws.scan_points(experiments=["none"]).collect()


def test_a_head_reads_no_more_than_it_needs(ws, filled, reads):
    assert len(ws.scan_points().head(5).collect()) == 5
    # One frame, since these runs are short.
    frame = next(_scan._frames(ws, filled, None, ["value"], 150))
    assert frame.columns == ["value"] and len(frame) == 200


def test_deleted_runs_and_empty_workspaces(ws, filled):
    ws.delete(filled[0])
    assert len(ws.scan_points().collect()) == 400
    ws.delete(filled[1])
    ws.delete(filled[2])
    empty = ws.scan_points().collect()
    assert empty.columns == ["run_id", "key", "step", "time", "value"] and len(empty) == 0


def test_points_that_come_later_are_there_in_the_next_collect(ws, filled):
    scan = ws.scan_points().filter(pl.col("key") == "new").select(pl.len())
    assert scan.collect().item() == 0
    ws.run().log("new", 1.0, 0)
    assert scan.collect().item() == 1


def test_runs_are_scanned_too(ws, filled):
    frame = ws.scan_runs().filter(pl.col("params.at") == "1").select("run_id", "metrics.loss").collect()
    assert frame["run_id"].to_list() == [filled[1]]
    joined = ws.scan_points().join(ws.scan_runs().select("run_id", "name"), on="run_id").collect()
    assert len(joined) == 600 and set(joined["name"]) == {"r0", "r1", "r2"}
