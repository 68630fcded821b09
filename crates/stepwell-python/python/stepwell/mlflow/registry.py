"""MLflow's model registry on a folder."""

from __future__ import annotations

from mlflow.store.model_registry.rest_store import RestStore
from mlflow.utils.rest_utils import MlflowHostCreds

from ._local import local, resolved


class StepwellRegistry(RestStore):
    """MLflow's registry of `stepwell:PATH`: calls of its REST store, answered in the process."""

    def __init__(self, store_uri: str, tracking_uri: str | None = None):
        self.store_uri = resolved(store_uri)
        super().__init__(lambda: MlflowHostCreds(self.store_uri))
        local(self.store_uri)

    def _local(self):
        return local(self.store_uri)

    def _call_endpoint(self, api, json_body, call_all_endpoints=False, extra_headers=None):
        endpoint, method = self._get_endpoint_from_method(api)
        return self._local().call(endpoint, method, json_body, self._get_response_from_method(api))
