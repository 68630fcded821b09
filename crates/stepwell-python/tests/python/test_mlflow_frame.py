"""`stepwell.mlflow.search_runs` gives the frames of `mlflow.search_runs`."""

import inspect
import math

import pytest
from mlflow_support import client, mlflow, no_addresses  # noqa: F401 (fixtures)

pd = pytest.importorskip("pandas")

import stepwell.mlflow  # noqa: E402


def same(**arguments):
    """Both frames of a search, compared with their types; the order of MLflow's columns is arbitrary."""
    ours, theirs = stepwell.mlflow.search_runs(**arguments), mlflow.search_runs(**arguments)
    pd.testing.assert_frame_equal(ours, theirs, check_like=True)
    assert list(ours.columns[:6]) == list(theirs.columns[:6])
    return ours


def test_it_takes_what_mlflow_takes():
    ours, theirs = (inspect.signature(call).parameters for call in (stepwell.mlflow.search_runs, mlflow.search_runs))
    assert [(one.name, one.default) for one in ours.values()] == [(one.name, one.default) for one in theirs.values()]


@pytest.mark.parametrize("ended", ["none", "some", "all"])
def test_frames_are_those_of_mlflow(client, ended):  # noqa: F811
    experiment = client.create_experiment("one")
    for at in range(7):
        run = client.create_run(experiment, start_time=1_700_000_000_000 + at * 86_400_001).info.run_id
        client.log_metric(run, f"m{at % 3}", math.nan if at == 4 else at / 3)
        client.log_param(run, f"p{at % 2}", f"größer {at}")
        client.set_tag(run, "x" * at or "empty", "")
        if ended == "all" or ended == "some" and at % 2:
            client.set_terminated(run, end_time=1_800_000_000_123 + at)
    found = same(experiment_ids=[experiment])
    assert len(found) == 7 and found["end_time"].notna().sum() == {"none": 0, "some": 3, "all": 7}[ended]
    assert len(same(experiment_ids=[experiment], filter_string="metrics.m0 > 0.5", max_results=1)) == 1
    assert len(same(experiment_names=["one", "absent"], order_by=["metrics.m1 DESC"])) == 7
    assert len(same(search_all_experiments=True, run_view_type=mlflow.entities.ViewType.ALL)) == 7


def test_no_run_gives_a_frame_without_rows(client):  # noqa: F811
    experiment = client.create_experiment("none")
    assert same(experiment_ids=[experiment]).empty


def test_lists_and_errors_are_those_of_mlflow(client):  # noqa: F811
    experiment = client.create_experiment("one")
    client.create_run(experiment)
    [run] = stepwell.mlflow.search_runs([experiment], output_format="list")
    assert isinstance(run, mlflow.entities.Run)
    with pytest.raises(ValueError, match="Unsupported output format"):
        stepwell.mlflow.search_runs([experiment], output_format="csv")
    with pytest.raises(mlflow.MlflowException, match="not both"):
        stepwell.mlflow.search_runs([experiment], experiment_names=["one"])
