"""Reading: columns for numpy and Arrow, plots, tables, and what follows a run."""

import math
import threading

import numpy as np
import pytest

import stepwell


@pytest.fixture
def run(ws):
    with ws.run(experiment="vision", name="first", params={"lr": 0.1}, strict=True) as run:
        values = np.sin(np.arange(100_000) / 900)
        values[77_777] = 1e6
        run.columns("loss", np.arange(100_000), values, times_ms=np.arange(100_000) + 1_700_000_000_000)
        run.columns("gaps", [3, 1, 2], [1.0, math.nan, math.inf])
    return run


def test_a_series_is_columns(ws, run):
    series = ws[run.id]["loss"]
    assert len(series) == 100_000 and series.key == "loss" and series.run_id == run.id
    steps, values = np.asarray(series.steps), np.asarray(series.values)
    assert steps.dtype == np.int64 and values.dtype == np.float64
    assert steps[-1] == 99_999 and values[77_777] == 1e6
    assert np.asarray(series.times_ms).dtype == np.dtype("<M8[ms]")
    # No copy: both arrays are the column's memory, and none may change it.
    assert np.asarray(series.values).ctypes.data == values.ctypes.data and not values.flags.writeable
    assert series[77_777] == (77_777, 1_700_000_077_777, 1e6) and series[-1][0] == 99_999
    with pytest.raises(IndexError):
        series[100_000]
    assert list(series.between(10, 12).steps) == [10, 11, 12]


def test_memory_stays_while_numpy_looks_at_it(ws, run):
    values = np.asarray(ws[run.id]["loss"].values)
    copies = [np.asarray(ws[run.id]["loss"].values).copy() for _ in range(3)]
    assert all(np.array_equal(values, copy) for copy in copies)


def test_points_come_in_the_order_of_their_steps_with_gaps_kept(ws, run):
    series = ws[run.id]["gaps"]
    assert list(series.steps) == [1, 2, 3] and list(series.times_ms) == [None] * 3
    assert math.isnan(series.values[0]) and list(series.values[1:]) == [math.inf, 1.0]
    assert series.values[-1] == 1.0 and series.values[::2][1] == 1.0
    assert series.stats()["nan_count"] == 1 and series.stats()["max"] == math.inf


def test_a_plot_keeps_every_spike(ws, run):
    plot = ws[run.id]["loss"].plot(200)
    assert len(plot) < 2_000 and not plot.exact
    assert max(plot.values) == 1e6 and 77_777 in list(plot.steps)
    assert list(plot.steps) == sorted(plot.steps)
    part = ws[run.id]["loss"].plot(200, first=0, last=50)
    assert len(part) == 51 and part.exact
    with pytest.raises(ValueError):
        ws[run.id]["loss"].plot(0)


def test_arrow_takes_series_columns_and_tables_without_a_copy(ws, run):
    pa = pytest.importorskip("pyarrow")
    series = ws[run.id]["loss"]
    table = pa.table(series)
    assert table.column_names == ["step", "time", "value"] and table.num_rows == 100_000
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"
    assert table["value"].chunk(0).buffers()[1].address == np.asarray(series.values).ctypes.data
    assert pa.array(series.steps)[5].as_py() == 5
    assert pa.table(series.plot(100)).num_rows == len(series.plot(100))
    assert pa.table(ws[run.id]["gaps"])["time"].null_count == 3
    found = pa.table(ws.search())
    assert found["run_id"].to_pylist() == [run.id] and found["metrics.loss"].to_pylist() == [series.values[-1]]
    # A capsule is for one reader, and the table gives as many as are asked for.
    assert pa.table(series).equals(pa.table(series))


def test_polars_duckdb_and_pandas_take_them(ws, run):
    series = ws[run.id]["loss"]
    pd = pytest.importorskip("pandas")
    assert pd.DataFrame.from_arrow(series).shape == (100_000, 3) if hasattr(pd.DataFrame, "from_arrow") else True
    pl = pytest.importorskip("polars")
    assert pl.DataFrame(series)["value"].max() == 1e6
    duckdb = pytest.importorskip("duckdb")
    assert duckdb.sql("select max(value) from series").fetchall() == [(1e6,)]


def test_search_gives_a_table(ws, run):
    for at in range(5):
        with ws.run(experiment="more", params={"at": at}, tags={"even": at % 2 == 0}, strict=True) as other:
            other.log("score", at / 10, at)
    table = ws.search("metrics.score > 0.05", order_by=["metrics.score DESC"], limit=3)
    assert len(table) == 3 and table.total == 4 and table.unreadable == []
    assert list(table["metrics.score"]) == [0.4, 0.3, 0.2] and list(table["params.at"]) == ["4", "3", "2"]
    assert table[0]["experiment"] == "more" and table[-1]["status"] == "FINISHED"
    assert [row["params.at"] for row in table] == ["4", "3", "2"]
    assert set(dict(table)) == set(table.columns)
    everything = ws.search(order_by="metrics.score")
    assert len(everything) == 6 and list(everything["metrics.score"])[-1] is None
    assert np.isnan(np.asarray(everything["metrics.score"])[-1])
    assert len(ws.search(experiments=["vision"])) == 1
    with pytest.raises(stepwell.NotFoundError, match="nope"):
        ws.search(experiments=["nope"])
    with pytest.raises(stepwell.InvalidError):
        ws.search("metrics.score >")
    with pytest.raises(stepwell.NotFoundError, match="no column"):
        table["metrics.none"]
    with pytest.raises(IndexError):
        table[3]


def test_a_table_is_a_data_frame(ws, run):
    pytest.importorskip("pandas")
    frame = ws.search().to_pandas()
    assert frame["run_id"][0] == run.id and frame["metrics.loss"].dtype == np.float64
    assert str(frame["start_time"].dtype) == "datetime64[ms, UTC]"


def test_what_is_not_there_is_told(ws, run):
    with pytest.raises(stepwell.NotFoundError, match="its metrics: gaps, loss"):
        ws[run.id]["nope"]
    with pytest.raises(LookupError):
        ws["0" * 32]
    assert run.id in ws and "0" * 32 not in ws
    view = ws[run.id]
    assert "loss" in view and "nope" not in view and len(view) == 2 and list(view) == ["gaps", "loss"]
    assert dict(view.items())["loss"].key == "loss" and view.latest["loss"] == view["loss"].values[-1]


def test_deleted_runs_are_found_when_asked_for(ws, run):
    ws.delete(run.id)
    assert len(ws.search()) == 0 and len(ws.search(deleted=True)) == 1 and ws[run.id].deleted
    ws.restore(run.id)
    assert len(ws.search()) == 1


def test_compaction_and_verification(ws, run):
    before = list(ws[run.id]["loss"].values[:100])
    assert ws.compact()["runs"] == 1
    assert ws.verify() == []
    assert list(ws[run.id]["loss"].values[:100]) == before


def test_following_gives_each_point_once(ws):
    run = ws.run(strict=True)
    run.log("a", 0.0, 0)

    def write():
        other = stepwell.open(ws.path).run(resume=run.id, strict=True)
        for step in range(1, 500):
            other.log("a", step / 2, step)
        other.finish()

    seen, status = [], None
    thread = None
    for change in run.follow(last=10, timeout=20):
        for points in change["points"]:
            assert points["key"] == "a"
            seen += zip(points["steps"], points["values"])
        status = change.get("status", status)
        if thread is None:
            thread = threading.Thread(target=write)
            thread.start()
        if len(seen) == 500 and status == "FINISHED":
            break
    thread.join()
    assert sorted(seen) == [(step, step / 2) for step in range(500)]
    assert list(ws.follow(timeout=0.01)) == []
    # What comes between the call and the first look is given too.
    changes = ws.follow(runs=run.id, timeout=5)
    stepwell.open(ws.path).run(resume=run.id, strict=True).log("late", 1.0, 0)
    assert any(points["key"] == "late" for points in next(changes)["points"])
    with pytest.raises(ValueError):
        ws.follow(timeout=float("nan"))


def test_a_folder_without_the_right_to_write_is_read(ws, run, folder):
    reader = stepwell.open(folder, read_only=True)
    assert len(reader[run.id]["loss"]) == 100_000
    with pytest.raises(stepwell.StepwellError):
        reader.run()


def test_opening_what_is_not_there(tmp_path):
    with pytest.raises(stepwell.StepwellError):
        stepwell.open(tmp_path / "none", create=False)
    (tmp_path / "file").write_text("x")
    with pytest.raises(stepwell.StepwellError):
        stepwell.open(tmp_path / "file")


def test_notebooks_show_curves_and_tables(ws, run):
    assert "<svg" in ws[run.id]["loss"]._repr_html_() and "<svg" in run._repr_html_()
    assert "<table" in ws.search()._repr_html_() and "first" in ws._repr_html_()
    with ws.run(name="<script>", strict=True) as other:
        other.log("<b>", math.nan, 0)
    assert "<script>" not in ws.search()._repr_html_() and "<b>" not in other._repr_html_().replace("<b>&lt;", "")
    for thing in (ws, run, ws[run.id], ws[run.id]["loss"], ws.search(), run["loss"].plot(10), run["loss"].values):
        assert repr(thing)
