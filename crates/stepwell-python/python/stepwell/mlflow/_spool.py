"""A server behind MLflow's stores: the spool answers what logs, the server all else. What the two call by other names,
ids of experiments and places of files, is translated."""

from __future__ import annotations

import json
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
# A run that was taken into the spool may leave it again before it is logged to.
_TRIES = 4

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

    def adopt(self, ids: set[str | None]) -> bool:
        """Has the spool go on with those runs and logged models that only the server has; whether there are any."""
        absent = [one for one in ids if one and not self.workspace._holds(one)]
        for one in absent:
            try:
                self.workspace._adopt(one)
            except NotFoundError:
                return False
            except StepwellError as error:
                raise _faults.exception("INVALID_PARAMETER_VALUE", str(error)) from error
        return bool(absent)

    def arrive(self, run_id: str | None, model_id: str | None) -> None:
        """Waits until a run and a logged model are on the server, where a version is to be made of them."""
        held = [one for one in (run_id, model_id) if one and self.workspace._holds(one)]
        if not held:
            return
        if model_id in held and run_id is None:
            status, answer = super().answer("GET", f"{_API}logged-models/{model_id}", "", b"")
            run_id = json.loads(answer)["model"]["info"].get("source_run_id") if status == 200 else None
        left = self.workspace._arrive(max(patience(), 30.0), run_id or None)
        if not left["arrived"]:
            why = " ".join(left["refused"]) or left["error"] or "it takes longer"
            raise _faults.exception(
                "TEMPORARILY_UNAVAILABLE",
                f"{' and '.join(held)} has not arrived at {self.url}: {why}; a version can be made when it has",
            )

    def _proxied(self, place: str) -> str:
        """Where the server's proxy has a place."""
        return f"{self.url}/api/2.0/mlflow-artifacts/artifacts/{place.removeprefix(_PROXY).lstrip('/')}"

    def _of_run(self, method, endpoint, query, body):
        asked = json.loads(body) if body else dict(parse_qsl(query))
        ids = {asked.get("run_id") or asked.get("run_uuid")}
        ids |= {one.get("model_id") for kind in ("metrics", "models") for one in asked.get(kind) or []}
        for _ in range(_TRIES):
            status, answer = super().answer(method, endpoint, query, body)
            if status == 200 or not self.adopt(ids):
                break
        return status, answer

    # The server, in its own names

    def _of_server(self, method: str, endpoint: str, query: str, body: bytes) -> tuple[int, bytes]:
        if query:
            query = urlencode([self._pair_to_server(key, value) for key, value in parse_qsl(query)])
        if body:
            asked = self._to_server(json.loads(body))
            if asked.get("experiment_ids") == [] and json.loads(body).get("experiment_ids"):
                # None of these experiments is on the server yet.
                return 200, b"{}"
            body = json.dumps(asked).encode()
        status, answer = self._ask(method, endpoint, query, body)
        if status == 200 and answer:
            answer = json.dumps(self._from_server(json.loads(answer))).encode()
        return status, answer

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
