"""A folder's store in this process, shared by MLflow's tracking and registry."""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
from urllib.parse import urlencode

from mlflow.utils.proto_json_utils import parse_dict

from .. import _native
from .._errors import NotAWorkspaceError, StorageError
from . import _address, _faults

_logger = logging.getLogger("stepwell.mlflow")
_lock = threading.Lock()
_stores: dict[tuple[int, str], Local] = {}
_resolved: dict[str, str] = {}
# Of this process, by address: what each call asks for.
_known: dict[str, Local] = {}


def resolved(address: str) -> str:
    """An address whatever folder the process is in later: a relative one is of where the process first met it."""
    try:
        return _resolved.setdefault(address, _address.uri(address))
    except ValueError as error:
        raise _faults.exception("INVALID_PARAMETER_VALUE", str(error)) from None


def local(address: str) -> Local:
    """The store of an address: one a folder and process, so that a forked child opens its own."""
    store = _known.get(address)
    if store is None:
        key = (os.getpid(), os.path.realpath(_address.folder(address)))
        with _lock:
            store = _stores.get(key)
            if store is None:
                store = _stores[key] = Local(key[1])
            _known[address] = store
    return store


class Local:
    """A folder that answers MLflow's REST API in the process."""

    def __init__(self, path: str):
        try:
            self.native = _native.MlflowStore(path)
        except (NotAWorkspaceError, StorageError) as error:
            raise _faults.exception("INVALID_PARAMETER_VALUE", f"stepwell:{path}: {error}") from error
        self.path = path
        self._told: set[str] = set()

    def call(self, endpoint: str, method: str, json_body: str | None, response):
        """Answers a call of MLflow's REST stores; fills `response`, a message of its protocol."""
        # Some of them put arguments into the path.
        endpoint, _, query = endpoint.partition("?")
        body = b""
        if method == "GET":
            asked = json.loads(json_body) if json_body else {}
            given = urlencode({key: value for key, value in asked.items() if value is not None}, doseq=True)
            query = "&".join(filter(None, (query, given)))
        elif json_body:
            body = json_body.encode()
        status, answer = self.answer(method, endpoint, query, body)
        if status not in (200, 204):
            raise _faults.of_answer(status, answer)
        if answer:
            parse_dict(js_dict=json.loads(answer), message=response)
        return response

    def answer(self, method: str, endpoint: str, query: str, body: bytes) -> tuple[int, bytes]:
        """The answer to a request: status and JSON."""
        status, answer, left_out = self.native.answer(method, endpoint, query, body)
        self.tell(left_out)
        return status, answer

    def tell(self, left_out: list[str]) -> None:
        """Warns of what could not be read, each once."""
        for what in left_out:
            if what not in self._told:
                self._told.add(what)
                _logger.warning("left out of the answer: %s", what)


@atexit.register
def _close_all() -> None:
    for (process, path), store in list(_stores.items()):
        # A folder that was removed meanwhile has nothing left to be kept.
        if process == os.getpid() and os.path.isdir(path):
            try:
                store.native.close()
            except Exception as error:
                _logger.warning("%s could not be closed: %s", path, error)


def _after_fork() -> None:
    # Another thread of the parent may have held it.
    global _lock
    _lock = threading.Lock()
    _known.clear()


os.register_at_fork(after_in_child=_after_fork)
