"""What MLflow's own store on SQLite says to a mistake, the folder says too: the same exception, code and status."""

import pytest
from mlflow_support import mlflow, no_addresses  # noqa: F401

from mlflow.entities import Metric, Param, RunTag
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking._tracking_service.utils import _get_store

import stepwell.mlflow


class Made:
    """A store with something in it."""

    def __init__(self, address):
        mlflow.set_tracking_uri(address)
        mlflow.set_registry_uri(address)
        client = self.client = MlflowClient(address, registry_uri=address)
        self.store, self.registry = _get_store(address), client._get_registry_client().store
        self.experiment, self.deleted_experiment = client.create_experiment("here"), client.create_experiment("gone")
        self.run, self.deleted = (client.create_run(self.experiment).info.run_id for _ in range(2))
        self.inside = client.create_run(self.deleted_experiment).info.run_id
        client.log_param(self.run, "p", "1")
        client.log_batch(self.run, [Metric("m", 1, 1, 1)])
        client.delete_run(self.deleted)
        client.delete_experiment(self.deleted_experiment)
        client.create_registered_model("net")
        client.create_model_version("net", "s3://b/x")
        self.model = client.create_logged_model(self.experiment, name="one").model_id


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("errors")
    return Made(f"sqlite:///{folder}/mlflow.db"), Made(stepwell.mlflow.uri(folder / "runs"))


NO_RUN = "f" * 32
MISTAKES = {
    "unknown run": lambda it: it.client.get_run(NO_RUN),
    "metric of an unknown run": lambda it: it.client.log_metric(NO_RUN, "m", 1),
    "param of an unknown run": lambda it: it.client.log_param(NO_RUN, "p", 1),
    "tag of an unknown run": lambda it: it.client.set_tag(NO_RUN, "t", 1),
    "batch of an unknown run": lambda it: it.client.log_batch(NO_RUN, [Metric("m", 1, 1, 1)]),
    "end of an unknown run": lambda it: it.client.set_terminated(NO_RUN),
    "deletion of an unknown run": lambda it: it.client.delete_run(NO_RUN),
    "restoration of an unknown run": lambda it: it.client.restore_run(NO_RUN),
    "metric of a deleted run": lambda it: it.client.log_metric(it.deleted, "m", 1),
    "param of a deleted run": lambda it: it.client.log_param(it.deleted, "p", 1),
    "tag of a deleted run": lambda it: it.client.set_tag(it.deleted, "t", 1),
    "batch of a deleted run": lambda it: it.client.log_batch(it.deleted, [Metric("m", 1, 1, 1)]),
    "metric of a run of a deleted experiment": lambda it: it.client.log_metric(it.inside, "m", 1),
    "end of a deleted run": lambda it: it.client.set_terminated(it.deleted),
    "empty key": lambda it: it.client.log_metric(it.run, "", 1),
    "key of another path": lambda it: it.client.log_metric(it.run, "a//b", 1),
    "key that leads up": lambda it: it.client.log_param(it.run, "../x", 1),
    "key with a strange letter": lambda it: it.client.log_metric(it.run, "a@b", 1),
    "long key": lambda it: it.client.log_metric(it.run, "k" * 251, 1),
    "value that is none": lambda it: it.store.log_metric(it.run, Metric("m", "abc", 1, 1)),
    "value that is a bool": lambda it: it.store.log_metric(it.run, Metric("m", True, 1, 1)),
    "value that is missing": lambda it: it.store.log_metric(it.run, Metric("m", None, 1, 1)),
    "time that is none": lambda it: it.store.log_metric(it.run, Metric("m", 1, "abc", 1)),
    "time before time": lambda it: it.store.log_metric(it.run, Metric("m", 1, -1, 1)),
    "step that is none": lambda it: it.store.log_metric(it.run, Metric("m", 1, 1, "abc")),
    "value of a batch that is none": lambda it: it.store.log_batch(it.run, [Metric("m", "abc", 1, 1)], [], []),
    "batch that is too long": lambda it: it.store.log_batch(it.run, [Metric("m", 1, 1, step) for step in range(1001)], [], []),
    "batch with too many params": lambda it: it.store.log_batch(it.run, [], [Param(f"p{i}", "1") for i in range(101)], []),
    "batch with too many tags": lambda it: it.store.log_batch(it.run, [], [], [RunTag(f"t{i}", "1") for i in range(101)]),
    "param twice in a batch": lambda it: it.store.log_batch(it.run, [], [Param("q", "1"), Param("q", "2")], []),
    "param with another value": lambda it: it.client.log_param(it.run, "p", "2"),
    "param with another value in a batch": lambda it: it.store.log_batch(it.run, [], [Param("p", "2")], []),
    "name of the run that is not text": lambda it: it.store.log_batch(it.run, [], [], [RunTag("mlflow.runName", "")]),
    "tag that is not there": lambda it: it.client.delete_tag(it.run, "none"),
    "history of an unknown run": lambda it: it.client.get_metric_history(NO_RUN, "m"),
    "history with a wrong token": lambda it: it.store.get_metric_history(it.run, "m", max_results=1, page_token="x"),
    "filter that is none": lambda it: it.client.search_runs([it.experiment], "foo"),
    "filter of a name that is none": lambda it: it.client.search_runs([it.experiment], "foo = 'x'"),
    "filter of another entity": lambda it: it.client.search_runs([it.experiment], "nope.x = 'x'"),
    "filter with a wrong value": lambda it: it.client.search_runs([it.experiment], "metrics.m = 'x'"),
    "filter with a wrong operator": lambda it: it.client.search_runs([it.experiment], "params.p > 'x'"),
    "filter that ends early": lambda it: it.client.search_runs([it.experiment], "metrics.m >"),
    "order that is none": lambda it: it.client.search_runs([it.experiment], order_by=["metrics.m sideways"]),
    "order of a name that is none": lambda it: it.client.search_runs([it.experiment], order_by=["nope.x"]),
    "wrong token": lambda it: it.client.search_runs([it.experiment], page_token="x"),
    "page of nothing": lambda it: it.client.search_runs([it.experiment], max_results=0),
    "page that is too long": lambda it: it.client.search_runs([it.experiment], max_results=50_001),
    "runs of an experiment that is no number": lambda it: it.client.search_runs(["abc"]),
    "unknown experiment": lambda it: it.client.get_experiment("999999"),
    "experiment that is no number": lambda it: it.client.get_experiment("abc"),
    "run in an unknown experiment": lambda it: it.client.create_run("999999"),
    "run in a deleted experiment": lambda it: it.client.create_run(it.deleted_experiment),
    "experiment twice": lambda it: it.client.create_experiment("here"),
    "experiment with the name of a deleted one": lambda it: it.client.create_experiment("gone"),
    "experiment without a name": lambda it: it.client.create_experiment(""),
    "experiment in runs": lambda it: it.client.create_experiment("in runs", artifact_location="runs:/x"),
    "deletion of an unknown experiment": lambda it: it.client.delete_experiment("999999"),
    "restoration of an active experiment": lambda it: it.client.restore_experiment(it.experiment),
    "name of another experiment": lambda it: it.client.rename_experiment(it.experiment, "gone"),
    "filter of experiments that is none": lambda it: it.client.search_experiments(filter_string="foo = 'x'"),
    "token of experiments that is wrong": lambda it: it.client.search_experiments(page_token="x"),
    "tag of an unknown experiment": lambda it: it.client.set_experiment_tag("999999", "k", "v"),
    "unknown model": lambda it: it.client.get_registered_model("none"),
    "model twice": lambda it: it.client.create_registered_model("net"),
    "model with a slash": lambda it: it.client.create_registered_model("a/b"),
    "model without a name": lambda it: it.client.create_registered_model(""),
    "version of an unknown model": lambda it: it.client.create_model_version("none", "s3://b/x"),
    "unknown version": lambda it: it.client.get_model_version("net", "9"),
    "version that is no number": lambda it: it.client.get_model_version("net", "abc"),
    "files of an unknown version": lambda it: it.client.get_model_version_download_uri("net", "9"),
    "unknown alias": lambda it: it.client.get_model_version_by_alias("net", "none"),
    "alias of an unknown version": lambda it: it.client.set_registered_model_alias("net", "a", "9"),
    "alias that is reserved": lambda it: it.client.set_registered_model_alias("net", "v1", "1"),
    "stage that is none": lambda it: it.registry.transition_model_version_stage("net", "1", "Nowhere", False),
    "tag of an unknown version": lambda it: it.registry.set_model_version_tag("net", "9", ModelVersionTag("k", "v")),
    "filter of models that is none": lambda it: it.client.search_registered_models("foo = 'x'"),
    "filter of versions that is none": lambda it: it.client.search_model_versions("foo = 'x'"),
    "token of models that is wrong": lambda it: it.client.search_registered_models(page_token="x"),
    "too many models": lambda it: it.client.search_registered_models(max_results=1001),
    "unknown logged model": lambda it: it.client.get_logged_model("m-none"),
    "logged model with a slash": lambda it: it.client.create_logged_model(it.experiment, name="a/b"),
    "logged model in an unknown experiment": lambda it: it.client.create_logged_model("999999", name="a"),
    "deletion of an unknown logged model": lambda it: it.client.delete_logged_model("m-none"),
    "tag of a logged model that is not there": lambda it: it.client.delete_logged_model_tag(it.model, "none"),
    "filter of logged models that is none": lambda it: it.client.search_logged_models([it.experiment], "name >"),
    "inputs of an unknown run": lambda it: it.client.log_inputs(NO_RUN, []),
}


def outcome(call, it):
    """What a call came to: how it failed, or that it did not."""
    try:
        call(it)
    except MlflowException as error:
        return error.error_code, error.get_http_status_code(), error.message
    except Exception as error:  # noqa: BLE001 - compared by its class
        return type(error).__name__, None, str(error)
    return "done", None, ""


@pytest.mark.parametrize("name", MISTAKES)
def test_the_same_code(both, name):
    theirs, ours = (outcome(MISTAKES[name], it) for it in both)
    assert ours[:2] == theirs[:2], f"\n  stepwell {ours}\n  mlflow   {theirs}"
