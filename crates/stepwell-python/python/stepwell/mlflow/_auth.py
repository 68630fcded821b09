"""Tokens of an hour for MLflow's requests, made from the one that `stepwell login` keeps. MLflow asks for them with
MLFLOW_TRACKING_AUTH=stepwell."""

from __future__ import annotations

import os
import threading
from urllib.parse import urlsplit

from mlflow.tracking.request_auth.abstract_request_auth_provider import RequestAuthProvider
from requests.auth import AuthBase

from .. import _native

NAME = "stepwell"


class Provider(RequestAuthProvider):
    """What MLflow finds by the entry point `mlflow.request_auth_provider`."""

    def get_name(self) -> str:
        return NAME

    def get_auth(self) -> AuthBase:
        return _AUTH


def _prefix(origin: str) -> str:
    """What a reverse proxy puts before all paths, by the address that MLflow was given."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        address = os.environ.get(name, "").removeprefix("stepwell+")
        if _origin(address) == origin:
            return urlsplit(address).path.rstrip("/")
    return ""


def _origin(address: str) -> str | None:
    try:
        return _native.origin_of(address)
    except ValueError:
        return None


class _Auth(AuthBase):
    """Adds a token to requests to servers that this user is logged in to, and to no others."""

    def __init__(self):
        self._bearers: dict[str, _native.Bearer] = {}
        self._lock = threading.Lock()

    def _of(self, origin: str) -> _native.Bearer:
        with self._lock:
            known = self._bearers.get(origin)
            if known is None:
                known = self._bearers[origin] = _native.Bearer(origin + _prefix(origin))
            return known

    def __call__(self, request):
        origin = _origin(request.url)
        # What the caller sets itself, by MLFLOW_TRACKING_TOKEN or in the address, stays.
        if origin is None or "Authorization" in request.headers:
            return request
        of = self._of(origin)
        token = of.get()
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
            request.register_hook("response", lambda answer, **options: self._answered(of, token, answer, options))
        return request

    def _answered(self, of: _native.Bearer, token: str, answer, options):
        """Asks once more with a new token where the old one is refused, as after a change of the server's key."""
        body = answer.request.body
        if answer.status_code != 401 or not (body is None or isinstance(body, (str, bytes))):
            return answer
        renewed = of.get() if of.drop(token) else None
        if renewed is None or renewed == token:
            return answer
        answer.content  # noqa: B018 - read, so that the connection can be used again
        again = answer.request.copy()
        again.headers["Authorization"] = f"Bearer {renewed}"
        again.hooks = {"response": []}
        second = answer.connection.send(again, **options)
        second.history.append(answer)
        second.request = again
        return second

    def forget(self) -> None:
        """A forked child makes tokens of its own, with locks that nobody holds."""
        self._bearers = {}
        self._lock = threading.Lock()


_AUTH = _Auth()
os.register_at_fork(after_in_child=_AUTH.forget)
