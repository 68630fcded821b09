"""MLflow's stores on a server, by a spool: what logs never waits, what asks goes to the server."""

from __future__ import annotations

from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.rest_store import RestStore as RegistryRestStore
from mlflow.store.tracking.rest_store import RestStore
from mlflow.utils.rest_utils import MlflowHostCreds

from . import _faults
from ._spool import _TRIES, spool
from .registry import StepwellRegistry
from .tracking import StepwellStore


class RemoteStore(StepwellStore):
    """MLflow's store of `stepwell+https://HOST`."""

    def __init__(self, store_uri: str, artifact_uri: str | None = None):
        self.store_uri = store_uri
        RestStore.__init__(self, lambda: MlflowHostCreds(self.store_uri))
        spool(store_uri)

    def _local(self):
        return spool(self.store_uri)

    def log_metric(self, run_id, metric):
        self._in_spool(run_id, [metric], lambda: super(RemoteStore, self).log_metric(run_id, metric))

    def log_batch(self, run_id, metrics, params, tags):
        self._in_spool(run_id, metrics, lambda: super(RemoteStore, self).log_batch(run_id, metrics, params, tags))

    def _in_spool(self, run_id, metrics, call):
        """Logs to a run of the spool, or to one of the server that the spool goes on with."""
        for tried in range(1, _TRIES + 1):
            try:
                return call()
            except MlflowException:
                ids = {run_id, *(getattr(metric, "model_id", None) for metric in metrics)}
                if tried == _TRIES or not self._local().adopt(ids):
                    raise

    def get_run(self, run_id):
        if self._local().workspace._holds(run_id):
            return super().get_run(run_id)
        return RestStore.get_run(self, run_id)

    def get_metric_history(self, run_id, metric_key, max_results=None, page_token=None):
        if self._local().workspace._holds(run_id):
            return super().get_metric_history(run_id, metric_key, max_results, page_token)
        return RestStore.get_metric_history(self, run_id, metric_key, max_results, page_token)

    def _search_runs(self, experiment_ids, filter_string, run_view_type, max_results, order_by, page_token):
        return RestStore._search_runs(
            self, experiment_ids, filter_string, run_view_type, max_results, order_by, page_token
        )

    # What `mlflow gc` removes, the server removes.

    def _refuse(self, *_, **__):
        raise _faults.exception("INVALID_PARAMETER_VALUE", "run `mlflow gc` or `stepwell gc` where the server is")

    _get_deleted_runs = _hard_delete_run = _refuse
    _get_deleted_logged_models = _hard_delete_logged_model = _hard_delete_experiment = _refuse


class RemoteRegistry(StepwellRegistry):
    """MLflow's registry of `stepwell+https://HOST`: the server's own."""

    def __init__(self, store_uri: str, tracking_uri: str | None = None):
        self.store_uri = store_uri
        RegistryRestStore.__init__(self, lambda: MlflowHostCreds(self.store_uri))
        spool(store_uri)

    def _local(self):
        return spool(self.store_uri)

    def create_model_version(self, name, source, run_id=None, *arguments, **options):
        model_id = source.removeprefix("models:/") if source.startswith("models:/m-") else options.get("model_id")
        # The server makes versions of what it has.
        self._local().arrive(run_id, model_id)
        return super().create_model_version(name, source, run_id, *arguments, **options)
