"""MLflow's tracking store on a folder."""

from __future__ import annotations

from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunData,
    RunInfo,
    RunInputs,
    RunOutputs,
    RunTag,
    ViewType,
)
from mlflow.entities.dataset_summary import _DatasetSummary
from mlflow.entities.metric import MetricWithRunId
from mlflow.protos.service_pb2 import GetMetricHistoryBulkInterval, SearchDatasets
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.tracking import SEARCH_MAX_RESULTS_DEFAULT
from mlflow.store.tracking.rest_store import RestStore
from mlflow.utils.proto_json_utils import message_to_json
from mlflow.utils.rest_utils import MlflowHostCreds

from . import _faults
from ._local import local, resolved

_VIEWS = {ViewType.ACTIVE_ONLY: "active_only", ViewType.DELETED_ONLY: "deleted_only", ViewType.ALL: "all"}


class StepwellStore(RestStore):
    """MLflow's store of `stepwell:PATH`: calls of its REST store, answered in the process. Those that must be fast go
    past JSON."""

    def __init__(self, store_uri: str, artifact_uri: str | None = None):
        self.store_uri = resolved(store_uri)
        super().__init__(lambda: MlflowHostCreds(self.store_uri))
        local(self.store_uri)

    def _local(self):
        return local(self.store_uri)

    def _native(self):
        return self._local().native

    def _call_endpoint(self, api, json_body=None, endpoint=None, retry_timeout_seconds=None, response_proto=None):
        routes = self._V3_METHOD_TO_INFO if api in self._V3_APIS else self._METHOD_TO_INFO
        known, method = routes[api]
        return self._local().call(endpoint or known, method, json_body, response_proto or api.Response())

    # MLflow's "workspaces" are tenants of a server; its REST store asks one whether it has them.

    @property
    def supports_workspaces(self):
        return False

    def _validate_workspace_support_if_specified(self):
        pass

    def search_experiments(
        self,
        view_type=ViewType.ACTIVE_ONLY,
        max_results=SEARCH_MAX_RESULTS_DEFAULT,
        filter_string=None,
        order_by=None,
        page_token=None,
    ):
        # A server refuses a page of no size, and MLflow's REST store has none; its other stores have this one.
        return super().search_experiments(view_type, max_results, filter_string, order_by, page_token)

    def log_spans(self, location, spans, tracking_uri=None):
        # MLflow's own asks a server which version it has.
        raise NotImplementedError("traces are not kept here")

    # What must be fast

    def log_metric(self, run_id, metric):
        try:
            self._native().log_metric(run_id, metric)
        except (TypeError, ValueError, OverflowError) as error:
            raise _faults.of_metrics([metric], error) from None

    def log_batch(self, run_id, metrics, params, tags):
        try:
            self._native().log_batch(run_id, metrics, params, tags)
        except (TypeError, ValueError, OverflowError) as error:
            raise _faults.of_metrics(metrics, error, "metrics") from None

    def get_metric_history(self, run_id, metric_key, max_results=None, page_token=None):
        store = self._local()
        values, times, steps, token, left_out = store.native.metric_history(
            run_id, metric_key, max_results, page_token or ""
        )
        store.tell(left_out)
        points = [Metric(metric_key, value, at, step) for value, at, step in zip(values, times, steps, strict=True)]
        return PagedList(points, token)

    def get_run(self, run_id):
        store = self._local()
        run, left_out = store.native.get_run(run_id)
        store.tell(left_out)
        return _run(run)

    def _search_runs(self, experiment_ids, filter_string, run_view_type, max_results, order_by, page_token):
        store = self._local()
        runs, token, left_out = store.native.search_runs(
            [str(experiment) for experiment in experiment_ids],
            filter_string or "",
            _VIEWS[run_view_type],
            max_results,
            list(order_by or []),
            page_token or "",
        )
        store.tell(left_out)
        return [_run(run) for run in runs], token

    # `mlflow ui`: what MLflow's REST store has no call for, since only pages ask it of a server

    def get_metric_history_bulk_interval(self, run_ids, metric_key, max_results, start_step, end_step):
        asked = GetMetricHistoryBulkInterval(
            run_ids=run_ids, metric_key=metric_key, max_results=max_results, start_step=start_step, end_step=end_step
        )
        found = self._call_endpoint(GetMetricHistoryBulkInterval, message_to_json(asked))
        return [
            MetricWithRunId(Metric(point.key, point.value, point.timestamp, point.step), point.run_id)
            for point in found.metrics
        ]

    def _search_datasets(self, experiment_ids):
        asked = message_to_json(SearchDatasets(experiment_ids=experiment_ids))
        found = self._call_endpoint(SearchDatasets, asked, endpoint="/ajax-api/2.0/mlflow/experiments/search-datasets")
        return [_DatasetSummary.from_proto(summary) for summary in found.dataset_summaries]

    # `mlflow gc`

    def _get_deleted_runs(self, older_than=0):
        return self._native().deleted_runs(older_than or 0)

    def _hard_delete_run(self, run_id):
        self._native().purge_run(run_id)

    def _get_deleted_logged_models(self, older_than=0):
        return self._native().deleted_logged_models(older_than or 0)

    def _hard_delete_logged_model(self, model_id):
        self._native().purge_logged_model(model_id)

    def _hard_delete_experiment(self, experiment_id):
        self._native().purge_experiment(str(experiment_id))


class _Data(RunData):
    """Data of a run whose metrics become objects when somebody asks for them: searches give thousands of runs, and
    most callers want values alone."""

    def __init__(self, metrics, params, tags):
        self._given = metrics
        self._metrics = {metric[0]: metric[1] for metric in metrics}
        self._params = dict(params)
        self._tags = dict(tags)

    @property
    def _metric_objs(self):
        objects = self.__dict__.get("_objects")
        if objects is None:
            objects = self._objects = [Metric(*metric) for metric in self._given]
        return objects

    def __reduce__(self):
        tags = [RunTag(key, value) for key, value in self._tags.items()]
        return (RunData, (self._metric_objs, [Param(key, value) for key, value in self._params.items()], tags))


# As it is shown, it is MLflow's own.
_Data.__name__ = "RunData"


def _run(run) -> Run:
    """A run of the tuple that the native store gives."""
    (run_id, name, experiment, user, status, start, end, stage, artifacts, *data, datasets, read, made) = run
    inputs = [
        DatasetInput(
            dataset=Dataset(name=name_, digest=digest, source_type=kind, source=source, schema=schema, profile=profile),
            tags=[InputTag(key, value) for key, value in words],
        )
        for name_, digest, kind, source, schema, profile, words in datasets
    ]
    return Run(
        RunInfo(run_id, experiment, user, status, start or 0, end, stage, artifacts, name),
        _Data(*data),
        RunInputs(dataset_inputs=inputs, model_inputs=[LoggedModelInput(model) for model in read]),
        RunOutputs(model_outputs=[LoggedModelOutput(model, step) for model, step in made]),
    )
