"""Artifacts: files, folders, texts, histograms and figures beside a run."""

import json

import numpy as np
import pytest

import stepwell
from stepwell import _files


def test_files_and_folders_are_copied(ws, tmp_path):
    (tmp_path / "model" / "deep").mkdir(parents=True)
    (tmp_path / "model" / "deep" / "a.bin").write_bytes(b"12")
    (tmp_path / "one.txt").write_text("one")
    with ws.run(experiment="e") as run:
        where = run.artifact(tmp_path / "one.txt")
        run.artifact(tmp_path / "model", to="kept")
    assert where.read_text() == "one" and where.parent == run.artifact_folder
    assert (run.artifact_folder / "kept" / "model" / "deep" / "a.bin").read_bytes() == b"12"
    assert str(ws.path) in str(where) and run.id in str(where)
    (tmp_path / "one.txt").write_text("two")
    run.artifact(tmp_path / "one.txt")
    assert where.read_text() == "two" and not list(run.artifact_folder.glob(".part-*"))


def test_names_lead_to_no_other_folder(ws, tmp_path):
    (tmp_path / "one.txt").write_text("one")
    run = ws.run(strict=True)
    for to in ("..", "a/../../b", "/tmp"):
        with pytest.raises(stepwell.InvalidError):
            run.artifact(tmp_path / "one.txt", to=to)
    with pytest.raises(stepwell.InvalidError):
        run.text("../x", "x")
    with pytest.raises(stepwell.NotFoundError, match="none.txt"):
        run.artifact(tmp_path / "none.txt")


def test_texts_and_histograms(ws):
    run = ws.run(strict=True)
    assert run.text("sample", "héllo", step=3).read_text() == "héllo"
    assert run.text("note", "x").name == "note.txt"
    data = json.loads(run.histogram("w", np.array([0.0, 1.0, 2.0, np.nan, np.inf]), bins=2).read_text())
    assert data == {"edges": [0.0, 1.0, 2.0], "counts": [1, 2], "nan": 1, "infinite": 1}
    assert json.loads(run.histogram("none", []).read_text())["counts"] == []


def test_histograms_without_numpy_are_the_same(monkeypatch):
    values = [0.0, 0.5, 1.0, 7.0, 7.0, -3.0]
    with_numpy = json.loads(_files.histogram(values, 5))
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    without = json.loads(_files.histogram(values, 5))
    assert without["counts"] == with_numpy["counts"] and without["edges"] == pytest.approx(with_numpy["edges"])


def test_figures(ws):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    axes.plot([1, 2, 3])
    run = ws.run(strict=True)
    assert run.figure("roc", figure).read_bytes().startswith(b"\x89PNG")
    assert run.figure("axes", axes, step=2).read_bytes().startswith(b"\x89PNG")
    with pytest.raises(stepwell.InvalidError, match="not a figure"):
        run.figure("roc", 5)


def test_a_folder_that_holds_the_workspace_is_copied_without_it(ws, folder, tmp_path, monkeypatch):
    (tmp_path / "code.py").write_text("1")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    run = ws.run(strict=True)
    with pytest.warns(stepwell.LoggingWarning, match="2 folders were not copied"):
        where = run.artifact(tmp_path)
    assert sorted(path.name for path in where.iterdir()) == ["code.py", "elsewhere"]
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.warns(stepwell.LoggingWarning):
        where = run.artifact("..", to="again")
    assert where == run.artifact_folder / "again" / tmp_path.name
    with pytest.raises(stepwell.InvalidError, match="workspace itself"):
        run.artifact(folder)
