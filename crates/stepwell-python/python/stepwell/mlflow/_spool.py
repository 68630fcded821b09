"""A server behind MLflow's stores: the spool answers what logs, the server all else. What the two call by other names,
ids of experiments and places of files, is translated."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from .._errors import NotFoundError, StepwellError, UnreachableError
from .._remote import RemoteWorkspace, patience
from . import _faults
from ._local import Local

_API = "/api/2.0/mlflow/"
# What the spool answers by itself, of the calls that name a run.
_OF_RUNS = {
    "runs/update",
    "runs/log-metric",
    "runs/log-batch",
    "runs/log-parameter",
    "runs/set-tag",
    "runs/delete-tag",
    "runs/log-inputs",
    "runs/outputs",
    "runs/log-model",
}
_OF_SPOOL = {"runs/create", "experiments/create", "experiments/get", "experiments/get-by-name", "logged-models"}
# Fields that hold places of files.
_PLACES = {"artifact_uri", "artifact_location", "source", "storage_location"}
_PROXY = "mlflow-artifacts:/"

_logger = logging.getLogger("stepwell.mlflow")
_lock = threading.Lock()
_spools: dict[tuple[int, str], Spool] = {}


def spool(address: str) -> Spool:
    """The spool of `stepwell+https://HOST`: one an address and process."""
    key = (os.getpid(), address)
    with _lock:
        found = _spools.get(key)
        if found is None:
            found = _spools[key] = Spool(address)
        return found


class Spool(Local):
    """Answers MLflow's REST API from the spool and from the server."""

    def __init__(self, address: str):
        try:
            self.workspace = RemoteWorkspace(address.removeprefix("stepwell+"))
        except StepwellError as error:
            raise _faults.exception("INVALID_PARAMETER_VALUE", str(error)) from error
        super().__init__(os.fspath(self.workspace.path))
        self.url = self.workspace.url
        self._artifacts = os.fspath(Path(self.path) / "artifacts")
        # Ids of experiments: the server's by name, names by the server's, the spool's by name.
        self._server_ids: dict[str, str] = {}
        self._server_names: dict[str, str] = {}

    def answer(self, method: str, endpoint: str, query: str, body: bytes) -> tuple[int, bytes]:
        name = endpoint.removeprefix(_API)
        if name in _OF_SPOOL:
            return super().answer(method, endpoint, query, body)
        if name in _OF_RUNS:
            return self._of_run(method, endpoint, query, body)
        if name.startswith("logged-models/") and name != "logged-models/search":
            status, answer = super().answer(method, endpoint, query, body)
            # A model that has left the spool.
            return (status, answer) if status != 404 else self._of_server(method, endpoint, query, body)
        return self._of_server(method, endpoint, query, body)

    def adopt(self, run_id: str) -> None:
        """Has the spool go on with a run of the server."""
        try:
            self.workspace._adopt(run_id)
        except NotFoundError:
            raise _faults.exception("RESOURCE_DOES_NOT_EXIST", f"Run with id={run_id} not found") from None
        except StepwellError as error:
            raise _faults.exception("INVALID_PARAMETER_VALUE", str(error)) from error

    def arrive(self, run_id: str) -> None:
        """Waits until a run is on the server, where something is to be made of it."""
        left = self.workspace._arrive(max(patience(), 30.0), run_id)
        if not left["arrived"]:
            raise _faults.exception(
                "TEMPORARILY_UNAVAILABLE",
                f"run {run_id} has not arrived at {self.url}: {left['error'] or 'it takes longer'}; its model can be "
                "registered when it has",
            )

    def send_model(self, source: str, run_id: str | None) -> tuple[str, str | None]:
        """Where the server has the files of a logged model, and its run. The files of one that the spool alone has go
        among its run's."""
        model_id = source.removeprefix("models:/")
        path = f"{_API}logged-models/{model_id}"
        status, answer = super().answer("GET", path, "", b"")
        if status != 200 or self._ask("GET", path, "", b"")[0] == 200:
            return source, run_id
        from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

        info = json.loads(answer)["model"]["info"]
        run_id = run_id or info.get("source_run_id")
        if not run_id:
            raise _faults.exception(
                "INVALID_PARAMETER_VALUE", f"the logged model {model_id} is in the spool alone, and belongs to no run"
            )
        # Its experiment is on the server then too.
        self.arrive(run_id)
        server_id = self._server_id(info["experiment_id"])
        target = f"{_PROXY}{server_id}/{run_id}/artifacts/{info.get('name') or model_id}"
        HttpArtifactRepository(self._proxied(target)).log_artifacts(info["artifact_uri"].removeprefix("file://"))
        return target, run_id

    def _proxied(self, place: str) -> str:
        """Where the server's proxy has a place."""
        return f"{self.url}/api/2.0/mlflow-artifacts/artifacts/{place.removeprefix(_PROXY).lstrip('/')}"

    def _of_run(self, method, endpoint, query, body):
        status, answer = super().answer(method, endpoint, query, body)
        asked = json.loads(body) if body else dict(parse_qsl(query))
        run_id = asked.get("run_id") or asked.get("run_uuid")
        if status != 404 or not run_id or run_id in self.workspace:
            return status, answer
        self.adopt(run_id)
        return super().answer(method, endpoint, query, body)

    # The server, in its own names

    def _of_server(self, method: str, endpoint: str, query: str, body: bytes) -> tuple[int, bytes]:
        if query:
            query = urlencode([self._pair_to_server(key, value) for key, value in parse_qsl(query)])
        if body:
            asked = self._to_server(json.loads(body))
            if asked.get("experiment_ids") == [] and json.loads(body).get("experiment_ids"):
                # None of these experiments is on the server yet.
                return 200, b"{}"
            if endpoint == f"{_API}model-versions/create":
                self._without_own_model(asked)
            body = json.dumps(asked).encode()
        status, answer = self._ask(method, endpoint, query, body)
        if status == 200 and answer:
            answer = json.dumps(self._from_server(json.loads(answer))).encode()
        return status, answer

    def _without_own_model(self, asked: dict[str, Any]) -> None:
        """Leaves out of a new version the logged model that is in the spool alone."""
        model_id = asked.get("model_id")
        if model_id and self._ask("GET", f"{_API}logged-models/{model_id}", "", b"")[0] == 404:
            del asked["model_id"]
            _logger.warning(
                "%s: the logged model %s is not on the server; the version has its files and names its run",
                asked.get("name"), model_id,
            )

    def _ask(self, method: str, endpoint: str, query: str, body: bytes) -> tuple[int, bytes]:
        try:
            return self.workspace._call(method, endpoint, query, body)
        except UnreachableError as error:
            what = endpoint.removeprefix(_API)
            raise _faults.exception(
                "TEMPORARILY_UNAVAILABLE",
                f"only the server answers {what}: {error}. What is logged meanwhile is kept, and carried to it later",
            ) from error
        except StepwellError as error:
            raise _faults.exception("INVALID_PARAMETER_VALUE", str(error)) from error

    def _pair_to_server(self, key: str, value: str) -> tuple[str, str]:
        if key == "experiment_id":
            return key, self._server_id(value) or value
        return key, value

    def _to_server(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self._to_server(item, name) for name, item in value.items()}
        if key == "experiment_ids" and isinstance(value, list):
            return [found for one in value if (found := self._server_id(str(one))) is not None]
        if isinstance(value, list):
            return [self._to_server(item, key) for item in value]
        if key == "experiment_id" and isinstance(value, (str, int)):
            return self._server_id(str(value)) or value
        if key in _PLACES and isinstance(value, str):
            return self._place_to_server(value)
        return value

    def _from_server(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            name = value.get("name")
            if "lifecycle_stage" in value and "experiment_id" in value and isinstance(name, str):
                # An experiment: what it is called need not be asked.
                self._note(name, str(value["experiment_id"]))
            return {name: self._from_server(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self._from_server(item, key) for item in value]
        if key == "experiment_id" and isinstance(value, str) and value:
            return self._own_id(value)
        if key in _PLACES and isinstance(value, str) and value.startswith(_PROXY):
            return self._proxied(value)
        return value

    def _place_to_server(self, place: str) -> str:
        """A place of the spool, or of the server's proxy, as the server calls it."""
        proxy = f"{self.url}/api/2.0/mlflow-artifacts/artifacts/"
        if place.startswith(proxy):
            return _PROXY + place.removeprefix(proxy)
        path = place.removeprefix("file://")
        if not path.startswith(self._artifacts + os.sep):
            return place
        experiment, _, rest = path[len(self._artifacts) + 1 :].partition(os.sep)
        server_id = self._server_id(experiment)
        if server_id is None:
            raise _faults.exception("RESOURCE_DOES_NOT_EXIST", f"the files at {place} have not arrived at {self.url}")
        return f"{_PROXY}{server_id}/{rest}"

    # Names of experiments

    def _note(self, name: str, server_id: str) -> None:
        self._server_ids[name] = server_id
        self._server_names[server_id] = name

    def _server_id(self, own_id: str) -> str | None:
        """The server's id of an experiment of the spool; None if the server has none of its name."""
        status, answer = super().answer("GET", f"{_API}experiments/get", urlencode({"experiment_id": own_id}), b"")
        if status != 200:
            return None
        name = json.loads(answer)["experiment"]["name"]
        if name not in self._server_ids:
            query = urlencode({"experiment_name": name})
            status, answer = self._ask("GET", f"{_API}experiments/get-by-name", query, b"")
            if status != 200:
                return None
            self._note(name, json.loads(answer)["experiment"]["experiment_id"])
        return self._server_ids[name]

    def _own_id(self, server_id: str) -> str:
        """The spool's id of an experiment of the server, which the spool gets if it has none of its name."""
        name = self._server_names.get(server_id)
        if name is None:
            status, answer = self._ask("GET", f"{_API}experiments/get", urlencode({"experiment_id": server_id}), b"")
            if status != 200:
                return server_id
            name = json.loads(answer)["experiment"]["name"]
            self._note(name, server_id)
        query = urlencode({"experiment_name": name})
        status, answer = super().answer("GET", f"{_API}experiments/get-by-name", query, b"")
        if status == 200:
            return json.loads(answer)["experiment"]["experiment_id"]
        status, answer = super().answer("POST", f"{_API}experiments/create", "", json.dumps({"name": name}).encode())
        return json.loads(answer)["experiment_id"] if status == 200 else server_id


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
