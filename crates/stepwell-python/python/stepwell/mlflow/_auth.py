"""Tokens of an hour for MLflow's requests, made from the one that `stepwell login` keeps. MLflow asks for them with
MLFLOW_TRACKING_AUTH=stepwell."""

from __future__ import annotations

import os
import threading
import time
from urllib.parse import urlsplit

import requests
from mlflow.tracking.request_auth.abstract_request_auth_provider import RequestAuthProvider
from requests.auth import AuthBase

from .. import _native

NAME = "stepwell"
# Seconds before its end at which a token is renewed, and between two tries where that fails.
_BEFORE = 300
_AGAIN = 10
# Seconds that a server may take to make a token.
_PATIENCE = 30


class Provider(RequestAuthProvider):
    """What MLflow finds by the entry point `mlflow.request_auth_provider`."""

    def get_name(self) -> str:
        return NAME

    def get_auth(self) -> AuthBase:
        return _AUTH


class _Token:
    """The token of an hour for one server."""

    def __init__(self, origin: str):
        self.origin = origin
        self._lock = threading.Lock()
        self._token: str | None = None
        self._ends = self._renew_at = 0.0

    def get(self) -> str | None:
        """A token that is valid; None if this user has no credential for the server."""
        with self._lock:
            now = time.monotonic()
            if self._token is not None and now < self._renew_at:
                return self._token
            try:
                return self._renew(now)
            except requests.RequestException:
                # A server that does not answer now may take the one that has not ended.
                if self._token is None or now >= self._ends:
                    raise
                self._renew_at = min(now + _AGAIN, self._ends)
                return self._token

    def drop(self, token: str) -> None:
        """Forgets a token that the server refused, so that the next one is made anew."""
        with self._lock:
            if self._token == token:
                self._token = None

    def _renew(self, now: float) -> str | None:
        found = _native.credential_for(self.origin)
        if found is None:
            return None
        kept, ca = found
        answer = requests.post(
            f"{self.origin}{_prefix(self.origin)}/api/2.0/stepwell/token",
            json={},
            headers={"Authorization": f"Bearer {kept}"},
            # `requests` takes proxies and certificates from the environment beside.
            verify=_certificates(ca),
            timeout=_PATIENCE,
            allow_redirects=False,
        )
        if answer.status_code == 400:
            # A server that has no tokens of its own needs none.
            return None
        if answer.status_code != 200:
            raise requests.HTTPError(
                f"{self.origin} makes no token of an hour: {_said(answer)}; `stepwell login` keeps another one",
                response=answer,
            )
        said = answer.json()
        valid = said["valid_ms"] / 1000
        self._token, self._ends = said["token"], now + valid
        self._renew_at = now + max(valid - _BEFORE, valid / 2)
        return self._token


def _certificates(ca):
    if ca is not None:
        return os.fspath(ca)
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True


def _prefix(origin: str) -> str:
    """What a reverse proxy puts before all paths, by the address that MLflow was given."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        address = os.environ.get(name, "").removeprefix("stepwell+")
        if _origin(address) == origin:
            return urlsplit(address).path.rstrip("/")
    return ""


def _said(answer: requests.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def _origin(address: str) -> str | None:
    try:
        return _native.origin_of(address)
    except ValueError:
        return None


class _Auth(AuthBase):
    """Adds a token to requests to servers that this user is logged in to, and to no others."""

    def __init__(self):
        self._tokens: dict[str, _Token] = {}
        self._lock = threading.Lock()

    def _of(self, origin: str) -> _Token:
        with self._lock:
            return self._tokens.setdefault(origin, _Token(origin))

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

    def _answered(self, of: _Token, token: str, answer, options):
        """Asks once more with a new token where the old one is refused, as after a change of the server's key."""
        body = answer.request.body
        if answer.status_code != 401 or not (body is None or isinstance(body, (str, bytes))):
            return answer
        of.drop(token)
        renewed = of.get()
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
        self._tokens = {}
        self._lock = threading.Lock()


_AUTH = _Auth()
os.register_at_fork(after_in_child=_AUTH.forget)
